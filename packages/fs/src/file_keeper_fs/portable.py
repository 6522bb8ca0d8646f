"""Directories by path, where the system has no calls relative to a descriptor (Windows).

Nothing can be pinned here, so each step is looked at before and after: every directory from the root down must still be
the one that was walked through, and no reparse point (symbolic link, junction). This narrows the gap for who swaps one
in between; it cannot close it as descriptors do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Self

from .directory import Directory, Scan, no_such
from .locks import NoLocks

_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_CLOEXEC", 0)
_REPARSE = 0x400
_TRIES = 100
_REFUSED = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]$')
_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9\u00b9\u00b2\u00b3])\s*(\..*)?", re.IGNORECASE)


def windows_refuses(name: str) -> bool:
    """Return whether Windows has another meaning for a name, or none."""
    return bool(_REFUSED.search(name) or _DEVICE.fullmatch(name))


def _is_link(st: os.stat_result) -> bool:
    return stat.S_ISLNK(st.st_mode) or bool(getattr(st, "st_file_attributes", 0) & _REPARSE)


def _drop(path: str, st: os.stat_result) -> None:
    """Remove a file that was just made, if its path leads to it."""
    with contextlib.suppress(OSError):
        if os.path.samestat(os.lstat(path), st):
            os.unlink(path)


class PortableDirectory(Directory):
    """A directory by its path.

    :param path: of it
    :param trail: the directories from below the root to this one, each with what it was when it was walked through
    """

    __slots__ = ("_path", "_trail")

    closes: ClassVar[bool] = True

    def __init__(self, path: str, trail: tuple[tuple[str, int], ...] = ()):
        super().__init__(-1)
        self._path = path
        self._trail = trail

    @classmethod
    def at(cls, path: str) -> Self:
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return cls(path)

    def _to(self, name: str) -> str:
        """Return the path of a name, after a look at the way to it."""
        if sys.platform == "win32" and windows_refuses(name):
            raise OSError(errno.EINVAL, "windows cannot have this name")
        self._look()
        return os.path.join(self._path, name)

    def _look(self) -> None:
        for path, inode in self._trail:
            st = os.lstat(path)
            if _is_link(st) or not stat.S_ISDIR(st.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "a directory was replaced meanwhile")
            if st.st_ino != inode:
                raise no_such(path)

    def sub(self, name: str) -> Self:
        path = self._to(name)
        st = os.lstat(path)
        if _is_link(st) or not stat.S_ISDIR(st.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return type(self)(path, (*self._trail, (path, st.st_ino)))

    def grant_folder(self, name: str, mode: int) -> None:
        if sys.platform != "win32":
            os.chmod(self._to(name), mode)

    def sub_alike(self, name: str) -> Self:
        try:
            self.mkdir(name)
        except FileExistsError:
            pass
        return self.sub(name)

    def mkdir(self, name: str) -> None:
        os.mkdir(self._to(name))

    def rmdir(self, name: str) -> None:
        os.rmdir(self._to(name))

    def _checked(self, path: str, flags: int, mode: int = 0o666) -> tuple[int, os.stat_result] | None:
        """Open a file and look whether the path still leads to it; ``None`` when it leads to another one."""
        fd = os.open(path, flags | _BINARY, mode)
        try:
            st, now = os.fstat(fd), os.lstat(path)
            if _is_link(now) or not stat.S_ISREG(st.st_mode):
                raise no_such(path)
            self._look()
        except BaseException:
            made = os.fstat(fd)
            os.close(fd)
            if flags & os.O_EXCL:  # the directory was replaced by another, in which it was made: nobody comes for it
                _drop(path, made)
            raise
        if st.st_ino == now.st_ino:
            return fd, st
        os.close(fd)
        return None

    def open(self, name: str) -> tuple[int, os.stat_result]:
        for _ in range(_TRIES):
            path = self._to(name)
            st = os.lstat(path)
            if _is_link(st) or not stat.S_ISREG(st.st_mode):
                raise no_such(name)
            if found := self._checked(path, os.O_RDONLY):
                return found
        raise no_such(name)

    def create(self, name: str, mode: int = 0o666) -> int:
        if found := self._checked(self._to(name), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode):
            return found[0]
        raise no_such(name)

    def create_or_open(self, name: str) -> int:
        if found := self._checked(self._to(name), os.O_RDWR | os.O_CREAT):
            return found[0]
        raise no_such(name)

    def create_nameless(self, mode: int) -> int:
        return -1

    def grant(self, fd: int, name: str, mode: int) -> None:
        if sys.platform != "win32":  # there the rights of the directory hold
            os.chmod(self._to(name), mode)

    def give(self, fd: int, name: str, owner: int, group: int) -> None:
        if sys.platform != "win32":
            os.chown(self._to(name), owner, group)

    def touch(self, fd: int, name: str, ns: int) -> os.stat_result:
        path = self._to(name)
        os.utime(path, ns=(ns, ns))
        return os.lstat(path)

    def stat(self) -> os.stat_result:
        return os.lstat(self._path)

    def lstat(self, name: str) -> os.stat_result:
        st = os.lstat(self._to(name))
        if _is_link(st) and not stat.S_ISLNK(st.st_mode):
            # A junction: to everyone else it looks like a directory.
            raise no_such(name)
        return st

    def teller(self) -> Callable[[str], os.stat_result]:
        return self.lstat

    def unlink(self, name: str) -> None:
        os.unlink(self._to(name))

    def rename(self, name: str, target: Any, new: str) -> None:
        os.replace(self._to(name), target._to(new))

    def rename_new(self, name: str, target: Any, new: str) -> None:
        if sys.platform != "win32":
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        # Here the plain rename refuses to replace.
        os.rename(self._to(name), target._to(new))

    def link(self, name: str, target: Any, new: str) -> None:
        if sys.platform == "win32":
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        os.link(self._to(name), target._to(new), follow_symlinks=False)

    def scan(self) -> Scan:
        self._look()
        return os.scandir(self._path)

    def names(self) -> list[str]:
        self._look()
        return os.listdir(self._path)

    def sync(self) -> None:
        pass

    def locked(self, exclusive: bool, timeout: float) -> AbstractContextManager[None]:
        raise NoLocks(errno.ENOLCK, os.strerror(errno.ENOLCK))

    def close(self) -> None:
        pass
