"""Directories by descriptor: nothing below the root is reached through a symbolic link.

Every name that is used here is one segment, relative to an open descriptor, and the kernel is told to follow no link
(``O_NOFOLLOW``; the other calls work on the name itself). Who swaps a directory for a link between check and use thus
finds us still in the directory that was opened.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import stat
import sys
from collections.abc import Callable
from typing import Any, ClassVar, Self, TypeAlias

from . import locks

_DIRECTORY = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_READ = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

_NAMELESS = (
    os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_TMPFILE", 0)
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd")
    else 0
)
_NO_LINK = frozenset((errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP))
_NO_FLAG = frozenset((errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP))


Scan: TypeAlias = "os._ScandirIterator[str]"  # pyright: ignore[reportPrivateUsage] - its only name in the stubs


UTF8 = sys.getfilesystemencoding().lower() in ("utf-8", "utf8")
"""Whether Python itself speaks UTF-8 with the file system; names are UTF-8 in any case."""


def raw(name: str) -> bytes:
    """Return a name as the file system has it, also one that is not UTF-8."""
    return name.encode("utf-8", "surrogateescape")


def text(name: str) -> str:
    """Return a name that Python has read from the file system, whatever its locale, as UTF-8 has it."""
    return name if UTF8 else os.fsencode(name).decode("utf-8", "surrogateescape")


def is_text(name: str) -> bool:
    """Return whether a name is UTF-8."""
    return not any("\udc80" <= letter <= "\udcff" for letter in name)


def no_such(name: str) -> FileNotFoundError:
    """Make the error for a name that leads to no file."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


class Directory:
    """An open directory.

    All methods raise :class:`OSError` as the system does.

    :param fd: of the directory; it is closed with this object
    """

    __slots__ = ("fd",)

    closes: ClassVar[bool] = False
    """Whether a file must be closed before it can be renamed."""

    def __init__(self, fd: int):
        self.fd = fd

    @classmethod
    def at(cls, path: str) -> Self:
        """Open the root. Links on the way to it are the operator's and are followed."""
        return cls(os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)))

    def sub(self, name: str) -> Self:
        """Open a directory in this one. A link is no directory."""
        return type(self)(os.open(raw(name), _DIRECTORY, dir_fd=self.fd))

    def mkdir(self, name: str) -> None:
        """Create a directory."""
        os.mkdir(raw(name), dir_fd=self.fd)

    def grant_folder(self, name: str, mode: int) -> None:
        """Set the rights of a directory in this one."""
        with self.sub(name) as made:
            os.fchmod(made.fd, mode)

    def sub_alike(self, name: str) -> Self:
        """Open a directory in this one, created if need be so that whoever may write here may write there."""
        try:
            return self.sub(name)
        except FileNotFoundError:
            pass
        try:
            self.mkdir(name)
        except FileExistsError:
            return self.sub(name)
        sub = self.sub(name)
        try:
            mode = os.fstat(self.fd).st_mode & 0o777
            made = os.fstat(sub.fd).st_mode
            if made & 0o777 != mode:
                with contextlib.suppress(OSError):
                    os.fchmod(sub.fd, made & 0o7000 | mode)
        except BaseException:
            sub.close()
            raise
        return sub

    def rmdir(self, name: str) -> None:
        """Remove an empty directory."""
        os.rmdir(raw(name), dir_fd=self.fd)

    def open(self, name: str) -> tuple[int, os.stat_result]:
        """Open a regular file for reading; return its descriptor and what it is.

        :raises FileNotFoundError: for any other kind (a link, a pipe, a directory)
        """
        fd = os.open(raw(name), os.O_RDONLY | _READ, dir_fd=self.fd)
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode):
            os.close(fd)
            raise no_such(name)
        return fd, st

    def create(self, name: str, mode: int = 0o666) -> int:
        """Create a file that must not be there; give a descriptor that reads and writes.

        :param mode: its rights at most; the mask of the process takes away from them
        """
        return os.open(raw(name), _CREATE, mode, dir_fd=self.fd)

    def create_nameless(self, mode: int) -> int:
        """Create a file without a name, which is gone with its last descriptor; -1 where there are none.

        :param mode: as for :meth:`create`
        :raises FileNotFoundError: when the directory was removed
        """
        if not _NAMELESS:
            return -1
        try:
            return os.open(".", _NAMELESS, mode, dir_fd=self.fd)
        except OSError as error:
            # Kernels and file systems that do not know the flag see a directory that is to be written.
            if error.errno in _NO_FLAG | {errno.EISDIR, errno.EACCES, errno.EPERM}:
                return -1
            raise

    def link_nameless(self, fd: int, new: str) -> None:
        """Give a file of :meth:`create_nameless` its name, only if nothing has it.

        :raises FileExistsError: when something has it
        :raises FileNotFoundError: when the directory was removed
        """
        os.link(f"/proc/self/fd/{fd}", raw(new), dst_dir_fd=self.fd, follow_symlinks=True)

    def grant(self, fd: int, name: str, mode: int) -> None:
        """Set the rights of an open file."""
        os.fchmod(fd, mode)

    def give(self, fd: int, name: str, owner: int, group: int) -> None:
        """Set owner and group of an open file; -1 leaves one as it is."""
        os.fchown(fd, owner, group)

    def lstat(self, name: str) -> os.stat_result:
        """Return the status of the name itself; links are not followed."""
        return os.stat(raw(name), dir_fd=self.fd, follow_symlinks=False)

    def teller(self) -> Callable[[str], os.stat_result]:
        """Return a function that does what :meth:`lstat` does, faster, for many names out of :meth:`scan`."""
        if not UTF8:
            return self.lstat
        return functools.partial(os.stat, dir_fd=self.fd, follow_symlinks=False)

    def unlink(self, name: str) -> None:
        """Remove a file."""
        os.unlink(raw(name), dir_fd=self.fd)

    def rename(self, name: str, target: Any, new: str) -> None:
        """Rename, replacing what is there."""
        os.rename(raw(name), raw(new), src_dir_fd=self.fd, dst_dir_fd=target.fd)

    def rename_new(self, name: str, target: Any, new: str) -> None:
        """Rename in one step, only if nothing has the new name.

        :raises FileExistsError: when something has it
        :raises OSError: with EINVAL, ENOSYS or ENOTSUP where the system cannot do it
        """
        rename = _rename_exclusive()
        if rename is None:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        rename(self.fd, raw(name), target.fd, raw(new))

    def link(self, name: str, target: Any, new: str) -> None:
        """Link a file to a second name, only if nothing has it. :raises FileExistsError: when something has it"""
        os.link(raw(name), raw(new), src_dir_fd=self.fd, dst_dir_fd=target.fd, follow_symlinks=False)

    def touch(self, fd: int, name: str, ns: int) -> os.stat_result:
        """Set the time of change of an open file, in nanoseconds; return what it is then."""
        os.utime(fd, ns=(ns, ns))
        return os.fstat(fd)

    def stat(self) -> os.stat_result:
        """Return the status of the directory itself."""
        return os.fstat(self.fd)

    def create_or_open(self, name: str) -> int:
        """Open a file for reading and writing that may be there already."""
        return os.open(raw(name), _CREATE & ~os.O_EXCL, 0o666, dir_fd=self.fd)

    def scan(self) -> Scan:
        """Go through what is in it; close it as a context manager."""
        return os.scandir(self.fd)

    def names(self) -> list[str]:
        """Return all names in it; those that are not UTF-8 in the form of ``surrogateescape``."""
        return [text(name) for name in os.listdir(self.fd)]

    def folders(self) -> list[str]:
        """Return the names of the directories in it, as :meth:`names`. A link is no directory."""
        found: list[str] = []
        with self.scan() as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        found.append(text(entry.name))
        return found

    def sync(self) -> None:
        """Write the directory itself through to the device."""
        with contextlib.suppress(OSError):  # not every file system can
            os.fsync(self.fd)

    def locked(self, exclusive: bool, timeout: float) -> contextlib.AbstractContextManager[None]:
        """Hold the lock of this directory: shared with others who share it, or alone.

        It is a lock on the directory itself (``flock``), which the system drops when the process dies.

        :raises NoLocks: where the file system has none
        :raises TimeoutError: when it was not given within `timeout` seconds
        """
        return locks.held(self.fd, exclusive, timeout)

    def close(self) -> None:
        """Close the descriptor."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_cached: list[Any] = []


def _rename_exclusive() -> Any:
    """Return the system's rename that refuses to replace: ``renameat2`` (Linux), ``renameatx_np`` (macOS)."""
    if not _cached:
        _cached.append(_find_rename())
    return _cached[0]


def _find_rename() -> Any:
    name, flag = {"linux": ("renameat2", 1), "darwin": ("renameatx_np", 4)}.get(sys.platform, ("", 0))
    try:
        function = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (AttributeError, OSError, TypeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    function.restype = ctypes.c_int

    def rename(source: int, old: bytes, target: int, new: bytes) -> None:
        if function(source, old, target, new, flag):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return rename


def cannot_link(error: OSError) -> bool:
    """Return whether the system says that it gives no second name to a file, or to this one."""
    return error.errno in _NO_LINK


def publish_new(source: Directory, name: str, target: Directory, new: str) -> None:
    """Publish a staged file under its name, only if nothing has that name: by ``link``, else by an exclusive rename.

    :raises FileExistsError: when something has it
    :raises OSError: with ENOTSUP where the file system can do neither
    """
    try:
        source.link(name, target, new)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
    else:
        return
    try:
        source.rename_new(name, target, new)
    except OSError as error:
        if error.errno in _NO_FLAG:
            raise OSError(
                errno.ENOTSUP,
                "this file system can neither link nor rename exclusively, so nothing can be created here without the "
                "danger of overwriting: allow overwriting",
            ) from error
        raise


def move_new(source: Directory, name: str, target: Directory, new: str) -> None:
    """Rename a file only if nothing has the new name; where the system cannot, by a link and an unlink.

    :raises FileExistsError: when something has it
    """
    try:
        source.rename_new(name, target, new)
    except OSError as error:
        if error.errno not in _NO_FLAG:
            raise
        source.link(name, target, new)
        try:
            source.unlink(name)
        except FileNotFoundError:
            pass  # another took the old name away: it has moved all the same
        except BaseException:
            # It stands under its old name, so the new one is taken back.
            target.unlink(new)
            raise
