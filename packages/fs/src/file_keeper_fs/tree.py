"""The directory of a storage: how keys become places in it.

Every operation opens the root anew: it may vanish and come back, and nothing is held between two calls.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Generator, Sequence

from file_keeper import exc
from file_keeper.location import RESERVED

from . import locks
from .directory import Directory
from .errors import NO_FILE
from .locks import NoLocks
from .settings import FsSettings, mode_of

LOCK = "lock"
"""The lock file, where directories cannot be locked."""


def segments_of(key: str) -> list[str]:
    """Cut a key into segments. Keys of the core's own under the reserved segment are keys like any other.

    :raises MissingFileError: for a segment that no path can have
    """
    segments = key.split("/")
    for segment in segments:
        if segment in ("", ".", "..") or "\0" in segment:
            raise exc.MissingFileError(f"a file system has no segment {segment!r}")
    return segments


def is_reserved_variant(segment: str) -> bool:
    """Return whether a segment could be ours on a file system that ignores case, or has short names as well."""
    if segment == RESERVED:
        return False
    return (len(segment) == len(RESERVED) and segment.casefold() == RESERVED) or "~" in segment[:8]


class Tree:
    """The directory of a storage.

    :param path: absolute
    :param settings: its options, resolved
    :param kind: how directories are reached on this platform
    """

    def __init__(self, path: str, settings: FsSettings, kind: type[Directory]):
        self.path = path
        self.attributes = settings.attributes
        self.fsync = settings.fsync
        self.timeout = settings.timeout
        self.file_mode = mode_of(settings.file_mode)
        self.directory_mode = mode_of(settings.directory_mode)
        self.kind = kind
        self.nameless = settings.attributes != "sidecar"
        """Whether new files are written without a name first; a sidecar needs the name of its file."""

    def root(self) -> Directory:
        """Open the storage's directory.

        :raises InvalidStorageConfigurationError: when it is not there, saying what to do
        """
        try:
            return self.kind.at(self.path)
        except FileNotFoundError as error:
            raise exc.InvalidStorageConfigurationError(
                f"the directory {self.path!r} does not exist: create it, or set initialize to true", code="ENOENT"
            ) from error
        except NotADirectoryError as error:
            raise exc.InvalidStorageConfigurationError(f"{self.path!r} is not a directory", code="ENOTDIR") from error
        except OSError as error:
            if error.errno not in NO_FILE:
                raise
            # A loop of links, a name too long, a device that is gone: of the files below nothing is known.
            raise exc.InvalidStorageConfigurationError(
                f"the directory {self.path!r} cannot be reached: {(error.strerror or '').lower()}",
                code=errno.errorcode.get(error.errno or 0, ""),
            ) from error

    def walk(self, segments: Sequence[str]) -> Directory:
        """Open a directory below the root. :raises OSError: with a number in ``NO_FILE`` when there is none"""
        current = self.root()
        try:
            for segment in segments:
                if is_reserved_variant(segment):
                    _refuse_variant(current, segment)
                above, current = current, current.sub(segment)
                above.close()
        except BaseException:
            current.close()
            raise
        return current

    def above(self, key: str) -> tuple[Directory, str]:
        """Open the directory of a file that should be there; give it and the file's name in it.

        :raises MissingFileError: when there is no such directory
        """
        *segments, name = segments_of(key)
        try:
            return self.walk(segments), name
        except OSError as error:
            raise missing(error) from error

    @contextlib.contextmanager
    def find(self, key: str) -> Generator[tuple[Directory, str]]:
        """Open the directory of a file that should be there; give it and the file's name in it.

        :raises MissingFileError: when there is no such directory, also for what the body of the ``with`` says so of
        """
        directory, name = self.above(key)
        with directory:
            try:
                yield directory, name
            except OSError as error:
                raise missing(error) from error

    def make(self, segments: Sequence[str]) -> tuple[Directory, int]:
        """Open a directory, created if need be; give it and how many of its segments were there before.

        :raises FileNotFoundError: when another one removed it meanwhile: try again
        :raises LocationError: when it cannot be
        """
        current, there = self.root(), len(segments)
        try:
            for depth, segment in enumerate(segments):
                above = current
                try:
                    current = above.sub(segment)
                except FileNotFoundError:
                    with contextlib.suppress(FileExistsError):
                        above.mkdir(segment)
                        there = min(there, depth)
                        if self.directory_mode is not None:
                            above.grant_folder(segment, self.directory_mode)
                        if self.fsync:
                            above.sync()
                    current = above.sub(segment)
                if is_reserved_variant(segment):
                    _refuse_variant(above, segment)
                above.close()
        except BaseException as error:
            current.close()
            if there < len(segments):
                self.prune(segments, there)
            if isinstance(error, OSError) and error.errno in NO_FILE - {errno.ENOENT}:
                raise exc.LocationError(
                    f"{'/'.join(segments)!r} cannot be a directory here: {(error.strerror or '').lower()}",
                    code=errno.errorcode.get(error.errno or 0, ""),
                ) from error
            raise
        return current, there

    def prune(self, segments: Sequence[str], keep: int = 0) -> None:
        """Remove directories that are empty, from the innermost to the one after the first `keep`."""
        for depth in range(len(segments), keep, -1):
            try:
                with self.walk(segments[: depth - 1]) as above:
                    above.rmdir(segments[depth - 1])
            except OSError as error:
                # One that is not there (any more) does not keep those above it.
                if error.errno not in NO_FILE:
                    return
            except exc.FilesError:
                return


@contextlib.contextmanager
def locked(tree: Tree, where: Directory, *, alone: bool, needed: bool) -> Generator[None]:
    """Hold the lock of a directory, by itself or, where directories have none (NFS), by a file in ``.file-keeper``.

    :param alone: and not shared with others who share it
    :param needed: without a lock the promise cannot be kept
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(where.locked(alone, tree.timeout))
        except NoLocks:
            stack.enter_context(_locked_by_file(tree, where, alone, needed))
        yield


@contextlib.contextmanager
def _locked_by_file(tree: Tree, where: Directory, alone: bool, needed: bool) -> Generator[None]:
    hold, fd = _lock_file(where, alone, tree.timeout, needed)
    with hold:
        try:
            yield
        finally:
            # The last one removes it, alone: whoever has it open by then sees that it is gone and makes a new one.
            with contextlib.suppress(OSError):
                if sys.platform != "win32" and locks.try_lock(fd):
                    hold.unlink(LOCK)
            os.close(fd)
            with contextlib.suppress(OSError):
                if sys.platform == "win32":
                    hold.unlink(LOCK)
            with contextlib.suppress(OSError):
                where.rmdir(RESERVED)


def _lock_file(where: Directory, alone: bool, timeout: float, needed: bool) -> tuple[Directory, int]:
    """Open the lock file and lock it, so that it is still the one that others would open."""
    while True:
        hold, fd = ours(where), -1
        try:
            fd = hold.create_or_open(LOCK)
            locks.lock(fd, alone, timeout)
            if hold.lstat(LOCK).st_ino == os.fstat(fd).st_ino:
                return hold, fd
        except FileNotFoundError:
            pass
        except NoLocks as error:
            if not needed:
                return hold, fd
            _let_go(hold, fd)
            raise exc.StorageError(
                "this file system has no locks: a file cannot be replaced under a condition", code="ENOLCK"
            ) from error
        except BaseException:
            _let_go(hold, fd)
            raise
        _let_go(hold, fd)


def ours(where: Directory) -> Directory:
    """Open ``.file-keeper`` in a directory, created if need be.

    :raises StorageError: when something else has the name
    """
    try:
        return where.sub_alike(RESERVED)
    except OSError as error:
        if error.errno not in NO_FILE - {errno.ENOENT}:
            raise
        raise exc.StorageError(
            f"{RESERVED!r} beside the file is no directory: the name is ours, remove what has it",
            code=errno.errorcode.get(error.errno or 0, ""),
        ) from error


def _let_go(hold: Directory, fd: int) -> None:
    if fd >= 0:
        os.close(fd)
    hold.close()


def missing(error: OSError) -> OSError:
    """Return the error for a file that is not there, if that is what the system says; else the error itself."""
    if isinstance(error, exc.FilesError) or error.errno not in NO_FILE:
        return error
    return exc.MissingFileError("there is no such file", code=errno.errorcode.get(error.errno or 0, ""))


def _refuse_variant(above: Directory, segment: str) -> None:
    """Refuse ``.FILE-KEEPER`` where it is the same as ``.file-keeper``."""
    try:
        ours, theirs = above.lstat(RESERVED), above.lstat(segment)
    except FileNotFoundError:
        return
    if (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino):
        raise exc.LocationError(f"the segment {segment!r} is reserved: this file system ignores case")
