"""Where a file is written: staged beside its target, and published there in one step.

What is written is staged in ``.file-keeper`` beside its target, so on the same mount, and gets its name in one step of
the file system: ``link`` to create, ``rename`` to replace. What replaces nothing needs no name before, where the system
has files without one: then nothing is staged, and a kill leaves nothing. A writer that must know what it replaces holds
the lock of the directory alone while it compares and renames; all others share it. So no writer of ours slips in
between.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import stat
import time
from collections.abc import Generator, Sequence

from file_keeper import exc
from file_keeper.location import RESERVED
from file_keeper.types import Buffer

from . import attributes, directory, locks, rights
from .attributes import Record, identity
from .copying import copy_range
from .directory import Directory
from .errors import NO_FILE
from .tree import Tree, locked, ours, segments_of

STAGED = "tmp-"
"""What the names of staging files begin with."""

_TRIES = 1000


def is_private(key: str) -> bool:
    """Return whether a key is one of the core's whose content is published elsewhere, by a move.

    The entries of ledgers are none: whoever may write here may go on with an upload.
    """
    _, found, below = f"/{key}".rpartition(f"/{RESERVED}/")
    folder, _, rest = below.partition("/")
    return bool(found) and (folder == "incoming" or (folder == "sessions" and "/" not in rest))


@contextlib.contextmanager
def writing(tree: Tree, key: str, *, staging: bool = True, new: bool = False) -> Generator[Place]:
    """Make the place where a file is to be written, and clean up behind it.

    :param new: it is published with `if_absent`
    :raises LocationError: when there can be no such file
    """
    try:
        *above, name = segments_of(key)
    except exc.MissingFileError as error:
        raise exc.LocationError(error.message) from error
    failed = True
    place = None
    there = len(above)
    for attempt in itertools.count(1):
        try:
            current, found = tree.make(above)
            there = min(there, found)
            place = Place(tree, current, name)
            place.private = is_private(key)
            if staging and not (new and place.begin_nameless(above)):
                place.stage()
            break
        except FileNotFoundError as error:
            # Another one removed an empty directory that we had just opened.
            if place is not None:
                place.close()
            if attempt == _TRIES:
                raise exc.ConnectionError("the directory keeps vanishing", code="ENOENT", retryable=True) from error
        except BaseException:
            if place is not None:
                place.close()
            tree.prune(above, there)
            raise
    assert place is not None
    try:
        yield place
        failed = False
    finally:
        place.close()
        if failed:
            tree.prune(above, there)


class Place:
    """Where one file is written: its directory, its name, and the staging beside it.

    :param directory: of the file; closed with this
    """

    def __init__(self, tree: Tree, directory: Directory, name: str):
        self.tree = tree
        self.directory = directory
        self.name = name
        self.fd = -1
        self._hold: Directory | None = None
        self._staged = ""
        self._above: Sequence[str] | None = None
        """The segments of the directory, while what is written has no name."""
        self._sources: list[os.stat_result] = []
        self.private = False
        """What is written is nobody's before it gets its place by a move."""
        self.like: os.stat_result | None = None
        """A file whose rights this one gets, whatever it replaces: the one that it is, moved."""

    @property
    def hold(self) -> Directory:
        """The directory of what is ours, ``.file-keeper``."""
        if self._hold is None:
            self._hold = ours(self.directory)
        return self._hold

    def stage(self) -> None:
        """Create the staging file. Its lock tells the living writers from the dead."""
        self.fd, self._staged = _stage(self.hold, self.mode_while_written())

    def begin_nameless(self, above: Sequence[str]) -> bool:
        """Begin a file that has no name until it is published; ``False`` where there is no such thing.

        :param above: the segments of the directory
        """
        mode = rights.mode_while_written((), rights.OWN if self.private else self.tree.file_mode)
        self.fd = self.directory.create_nameless(mode) if self.tree.nameless else -1
        if self.fd < 0:
            return False
        self._above = above
        return True

    @property
    def _beside(self) -> Directory:
        """The directory of what is written."""
        return self.hold if self._above is None else self.directory

    def mode_while_written(self) -> int:
        """Return the most that what is to become this file may be open to until it is published."""
        try:
            old = self.directory.lstat(self.name)
        except OSError:
            old = None  # there is none, or there can be none, which is told when it is published
        return rights.mode_while_written((old,), rights.OWN if self.private else self.tree.file_mode)

    def write(self, data: Buffer) -> None:
        """Write to the staging file."""
        view = memoryview(data)
        while len(view):
            view = view[os.write(self.fd, view) :]

    def narrow(self, source: os.stat_result) -> None:
        """See to it that nobody may read what is written who may not read `source`, which it comes from."""
        self._sources.append(source)
        mode = os.fstat(self.fd).st_mode & 0o777
        narrow = mode & rights.mode_while_written((source,), None)
        if mode != narrow:
            self._beside.grant(self.fd, self._staged, narrow)

    def copy(self, fd: int, size: int) -> None:
        """Copy a file from its beginning to the end of the staging file, by the system where it can.

        :raises ChangedFileError: when it has not `size` bytes any more
        """
        copy_range(fd, self.fd, size)

    def _settle(self, old: os.stat_result | None, st: os.stat_result) -> os.stat_result:
        """Set the rights that the staged file will have under its name; return its status."""
        sources = self._sources
        if self.like is not None:
            old, sources = self.like, []
        came_from = (*sources, *filter(None, (old,)))
        wanted = rights.final(st, old, sources, rights.OWN if self.private else self.tree.file_mode)
        return _grant(self._beside, self.fd, self._staged, wanted, came_from, st)

    def settle_moved(self, where: Directory, fd: int, name: str, old: os.stat_result | None) -> os.stat_result:
        """Set the rights of a file that was written for this place and is moved here."""
        wanted = rights.final(self.hold.lstat(self._staged), old, (), self.tree.file_mode)
        return _grant(where, fd, name, wanted, (old,) if old is not None else (), where.lstat(name))

    def publish(self, record: Record, *, if_absent: bool, if_match: str) -> os.stat_result:
        """Publish the staged file under its name, with its attributes; return what was published.

        :raises ExistingFileError, ChangedFileError: by the conditions
        :raises LocationError: when something else than a file has the name
        """
        try:
            st, sidecar = self._attach(record)
            if self._above is not None and sidecar is not None:
                self.tree.nameless = False
                st = self._name_staged(record, st)
            if self._above is not None:
                # While there is a version that another one compares with, nothing can be created: no lock is needed.
                st = self._settle(None, st)
                st = self._create(st, record)
                if self.tree.fsync:
                    self.directory.sync()
                return st
            with locked(self.tree, self.directory, alone=bool(if_match) or sidecar is not None, needed=bool(if_match)):
                old = None if if_absent else self.current(if_match)
                st = self._settle(old, st)
                if sidecar is not None:
                    st = self._put_sidecar(record, st)
                try:
                    if if_absent:
                        self._create(st)
                    else:
                        self.rename(self.hold, self._staged)
                except BaseException:
                    if sidecar is not None:
                        self.drop_sidecar(st)
                    raise
                if old is not None:
                    self.drop_sidecar(old)
                self.drop_seal()
        except FileNotFoundError as error:
            if isinstance(error, exc.FilesError):
                raise
            self.tree.root().close()
            raise exc.StorageError("another program removed the file while it was written", code="ENOENT") from error
        if self.tree.fsync:
            self.directory.sync()
        return st

    def current(self, if_match: str = "") -> os.stat_result | None:
        """Describe the file that has the name now.

        :raises ChangedFileError: when it is not the version of `if_match`
        :raises LocationError: when it is no file
        """
        try:
            st = self.directory.lstat(self.name)
        except FileNotFoundError:
            st = None
        except OSError as error:
            if error.errno in NO_FILE:
                raise exc.LocationError(
                    f"no file can have the name {self.name!r} here: {(error.strerror or '').lower()}",
                    code=errno.errorcode.get(error.errno or 0, ""),
                ) from error
            raise
        if st is not None and not stat.S_ISREG(st.st_mode):
            if stat.S_ISDIR(st.st_mode) and self._remove_empty():
                st = None
            else:
                raise exc.LocationError(f"{self.name!r} is {_kind(st)}, so no file can be written there")
        if if_match and (st is None or identity(st) != if_match):
            raise exc.ChangedFileError("the file was changed or removed meanwhile")
        return st

    def _remove_empty(self) -> bool:
        """Remove an empty directory that stands where a file is to be: it means nothing."""
        try:
            self.directory.rmdir(self.name)
        except OSError:
            return False
        return True

    def _create(self, st: os.stat_result, record: Record | None = None) -> os.stat_result:
        """Give what is written its name, only if nothing has it; return its status."""
        for _ in range(_TRIES):
            try:
                if self._above is not None:
                    self.directory.link_nameless(self.fd, self.name)
                else:
                    directory.publish_new(self.hold, self._staged, self.directory, self.name)
                return st
            except FileExistsError as error:
                if self.current() is not None:
                    raise exc.ExistingFileError("there is a file already and overwriting is off") from error
                # What was there is gone by now, or was an empty directory.
            except FileNotFoundError:
                if self._above is None:
                    raise
                # Nothing of this writer is in the directory, so whoever removed the last file of it has removed it too.
                self._find_again(self._above)
            except OSError as error:
                if record is not None and self._above is not None and directory.cannot_link(error):
                    self.tree.nameless = False
                    st = self._name_staged(record, st)
                    continue
                if error.errno in NO_FILE - {errno.ENOENT}:
                    raise exc.LocationError((error.strerror or "").lower()) from error
                raise
        raise exc.ConnectionError("the file keeps appearing and vanishing", code="EEXIST", retryable=True)

    def _find_again(self, above: Sequence[str]) -> None:
        self.directory.close()
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):
                self.directory, _ = self.tree.make(above)
                return
        raise exc.ConnectionError("the directory keeps vanishing", code="ENOENT", retryable=True)

    def _name_staged(self, record: Record, st: os.stat_result) -> os.stat_result:
        """Go on with a staged file that has a name: what has none cannot be linked here, or has a sidecar beside it."""
        assert self._above is not None
        nameless, above, self.fd, self._above = self.fd, self._above, -1, None
        try:
            for _ in range(_TRIES):
                try:
                    self.stage()
                    break
                except FileNotFoundError:
                    self._find_again(above)
            copy_range(nameless, self.fd, st.st_size)
            self.hold.grant(self.fd, self._staged, st.st_mode & 0o777)
            made = self.hold.touch(self.fd, self._staged, st.st_mtime_ns)
            if self.tree.attributes != "none":
                attributes.write_xattr(self.fd, attributes.encode(record, made), self.tree.attributes)
            if self.tree.fsync:
                os.fsync(self.fd)
            return os.fstat(self.fd)
        finally:
            os.close(nameless)

    def rename(self, source: Directory, name: str) -> None:
        """Move a file of another directory to the name, replacing what has it."""
        try:
            source.rename(name, self.directory, self.name)
        except OSError as error:
            if error.errno in (NO_FILE | {errno.ENOTEMPTY, errno.EEXIST}) - {errno.ENOENT}:
                raise exc.LocationError((error.strerror or "").lower()) from error
            raise

    # -- attributes -------------------------------------------------------------------------------------------------

    def _stamp(self, later: int = 0) -> os.stat_result:
        """Set the time of change to this very nanosecond, so that it names the version; tell of the staged file."""
        return self._beside.touch(self.fd, self._staged, time.time_ns() + later)

    def _attach(self, record: Record) -> tuple[os.stat_result, bytes | None]:
        """Set time and attributes of the staged file; return the content of a sidecar where one is needed."""
        if self.directory.closes:
            if self.tree.fsync:
                os.fsync(self.fd)
            fd, self.fd = self.fd, -1
            os.close(fd)
        else:
            # Over a network what was written may be refused as late as when it is closed: before it has its name.
            os.close(os.dup(self.fd))
        st = self._stamp()
        data = None
        if self.tree.attributes != "none":
            data = attributes.encode(record, st)
            if self.fd >= 0 and attributes.write_xattr(self.fd, data, self.tree.attributes):
                data = None
        if self.tree.fsync and self.fd >= 0:
            os.fsync(self.fd)
        return st, data

    def _put_sidecar(self, record: Record, st: os.stat_result) -> os.stat_result:
        """Write the sidecar of the staged file, whose time is put off where a coarse clock makes two versions equal."""
        for step in range(1, 100):
            name = attributes.sidecar_name(self.name, st)
            try:
                self.hold.lstat(name)
            except FileNotFoundError:
                self.write_sidecar(name, attributes.encode(record, st), st)
                return st
            st = self._stamp(step * (1 if step < 10 else 100_000_000))
        raise exc.StorageError("the file system tells too few versions apart: its times are too coarse")

    def write_sidecar(self, name: str, data: bytes, of: os.stat_result) -> None:
        """Write the sidecar of a file, whole or not at all; who may read the file may read this."""
        mode = of.st_mode & rights.READ_WRITE
        fd, staged = _stage(self.hold, rights.mode_while_written((of,), None))
        try:
            if os.fstat(fd).st_gid != of.st_gid:
                with contextlib.suppress(OSError):
                    self.hold.give(fd, staged, -1, of.st_gid)
            self.hold.grant(fd, staged, rights.for_group(mode, os.fstat(fd).st_gid, (of,)))
            view = memoryview(data)
            while len(view):
                view = view[os.write(fd, view) :]
            if self.tree.fsync:
                os.fsync(fd)
            # The lock is held until it has its name: a sweep in between would take it for a dead writer's.
            if self.hold.closes:
                closing, fd = fd, -1
                os.close(closing)
            self.hold.rename(staged, self.hold, name)
            if self.tree.fsync:
                self.hold.sync()
        except BaseException:
            if fd >= 0:
                os.close(fd)
            with contextlib.suppress(OSError):
                self.hold.unlink(staged)
            raise
        if fd >= 0:
            os.close(fd)

    def drop_sidecar(self, st: os.stat_result) -> None:
        """Remove the sidecar of a version of this file, if it has one."""
        with contextlib.suppress(OSError):
            self.hold.unlink(attributes.sidecar_name(self.name, st))

    def drop_seal(self) -> None:
        """Remove what was recorded of the file that had this name before."""
        with contextlib.suppress(OSError):
            self.hold.unlink(attributes.seal_name(self.name))

    def close(self) -> None:
        """Remove what is still staged, and ``.file-keeper`` when nothing else is in it."""
        fd, self.fd = self.fd, -1
        hold, self._hold = self._hold, None
        with contextlib.suppress(OSError):
            if hold is not None and self._staged:
                hold.unlink(self._staged)
        if fd >= 0:
            os.close(fd)
        if hold is not None:
            hold.close()
            with contextlib.suppress(OSError):
                self.directory.rmdir(RESERVED)
        self.directory.close()


def _grant(
    where: Directory,
    fd: int,
    name: str,
    wanted: tuple[int, int, int],
    came_from: Sequence[os.stat_result],
    now: os.stat_result,
) -> os.stat_result:
    """Set mode, owner and group of an open file, as far as that is allowed; return its status.

    :param now: its status before
    """

    def status() -> os.stat_result:
        return os.fstat(fd) if fd >= 0 else where.lstat(name)

    mode, owner, group = wanted
    for who in ((owner, group), (-1, group)):
        if who != (-1, -1):
            with contextlib.suppress(OSError):
                where.give(fd, name, *who)
                now = status()
                break
    mode = rights.for_group(mode, now.st_gid, came_from)
    if mode != now.st_mode & 0o777:
        where.grant(fd, name, mode)
        now = status()
    return now


def _stage(hold: Directory, mode: int) -> tuple[int, str]:
    """Create and lock a staging file; return its descriptor and its name."""
    while True:
        name = STAGED + secrets.token_hex(8)
        fd = hold.create(name, mode)
        try:
            if locks.try_lock(fd) and os.fstat(fd).st_nlink:
                return fd, name
        except BaseException:
            os.close(fd)
            raise
        # A sweep came in between, took it for a dead one's and removes it.
        os.close(fd)


def _kind(st: os.stat_result) -> str:
    if stat.S_ISDIR(st.st_mode):
        return "a directory with files below it"
    return "a symbolic link" if stat.S_ISLNK(st.st_mode) else "not a regular file"
