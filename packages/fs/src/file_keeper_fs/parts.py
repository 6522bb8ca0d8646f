"""Uploads in parts: a directory under ``.file-keeper`` beside the target, one file a part, and what they are to become.

Everything that another process needs to go on is in that directory. It appears whole, by a rename, each part too; it
goes whole, by a rename, before its files are removed. What a kill leaves in between is found by ``sweep``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from file_keeper import exc
from file_keeper.backend import MultipartRef, OpenUpload, Part
from file_keeper.location import RESERVED
from file_keeper.types import Buffer

from . import attributes, locks
from .attributes import identity
from .directory import Directory
from .errors import NO_FILE
from .listing import modified
from .place import STAGED, Place, copy_range, writing
from .tree import Tree, locked, missing

META = "meta.json"
DROPPED = "old-"
"""What the directories of uploads that are being removed begin with."""
NEW = "new-"
"""What the directories of uploads that are being begun begin with."""

SCRATCH = frozenset(("sessions",))
"""The directories of the core under the reserved segment."""

_TRIES = 100
_ID = re.compile(r"[0-9a-f]{32}")
_PART = re.compile(r"[0-9]{8}")


def create(tree: Tree, key: str) -> str:
    """Begin an upload; give its id."""
    for _ in range(_TRIES):
        try:
            with writing(tree, key, staging=False) as place:
                return _create(place)
        except FileNotFoundError as error:
            # A sweep took it for a dead one's, or another one removed the empty directory.
            if isinstance(error, exc.FilesError):
                raise
    raise exc.ConnectionError("the upload could not be begun: its directory keeps vanishing", retryable=True)


def _create(place: Place) -> str:
    upload, sync = secrets.token_hex(16), place.tree.fsync
    place.hold.mkdir(NEW + upload)
    try:
        with place.hold.sub(NEW + upload) as made:
            _write(made, META, json.dumps({"name": place.name, "started": time.time()}).encode(), sync)
            if sync:
                made.sync()
        place.hold.rename(NEW + upload, place.hold, upload)
    except BaseException:
        with contextlib.suppress(OSError):
            remove(place.hold, NEW + upload)
        raise
    if sync:
        place.hold.sync()
    return upload


def _write(where: Directory, name: str, data: Buffer, sync: bool = False) -> os.stat_result:
    """Write a file, whole or not at all; its time of change names this version of it."""
    staged = STAGED + secrets.token_hex(8)
    fd = where.create(staged)
    try:
        try:
            view = memoryview(data)
            while len(view):
                view = view[os.write(fd, view) :]
            if sync:
                os.fsync(fd)
            st = where.touch(fd, staged, time.time_ns())
        finally:
            os.close(fd)
        where.rename(staged, where, name)
    except BaseException:
        with contextlib.suppress(OSError):
            where.unlink(staged)
        raise
    return st


@contextlib.contextmanager
def opened(tree: Tree, upload: MultipartRef) -> Generator[tuple[Directory, Directory]]:
    """Open an upload: give ``.file-keeper`` and the directory of its parts.

    :raises MissingFileError: when there is no such upload
    """
    if not _ID.fullmatch(upload.id):
        raise exc.MissingFileError("there is no such upload")
    with contextlib.ExitStack() as stack:
        try:
            above, name = stack.enter_context(tree.find(upload.key))
            hold = stack.enter_context(above.sub(RESERVED))
            parts = stack.enter_context(hold.sub(upload.id))
            meta = _meta(parts)
        except (OSError, ValueError, RecursionError) as error:
            if isinstance(error, OSError) and not isinstance(missing(error), exc.MissingFileError):
                raise
            raise exc.MissingFileError("there is no such upload") from error
        if meta.get("name") != name:
            raise exc.MissingFileError("there is no such upload")
        yield hold, parts


def _meta(parts: Directory) -> dict[str, Any]:
    fd, _ = parts.open(META)
    try:
        found: Any = json.loads(os.read(fd, 1 << 16))
    finally:
        os.close(fd)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def put(tree: Tree, upload: MultipartRef, number: int, body: Buffer) -> Part:
    """Write a part."""
    with opened(tree, upload) as (_, parts):
        try:
            st = _write(parts, f"{number:08d}", body, tree.fsync)
            if tree.fsync:
                parts.sync()
        except FileNotFoundError as error:
            raise exc.MissingFileError("the upload was ended meanwhile") from error
    return _part(number, st)


def _part(number: int, st: os.stat_result) -> Part:
    return Part(number=number, size=st.st_size, etag=identity(st), modified=modified(st))


def listed(tree: Tree, upload: MultipartRef) -> list[Part]:
    """Tell the parts that are there, by number."""
    with opened(tree, upload) as (_, parts):
        return _parts(parts)


def _parts(parts: Directory) -> list[Part]:
    found: list[Part] = []
    for name in sorted(parts.names()):
        if _PART.fullmatch(name):
            with contextlib.suppress(FileNotFoundError):
                st = parts.lstat(name)
                if stat.S_ISREG(st.st_mode):
                    found.append(_part(int(name), st))
    return found


def join(place: Place, parts: Directory, chosen: Sequence[Part]) -> None:
    """Copy parts one after the other into the staging file.

    :raises MultipartUploadError: when one is not there, or not as it was
    """
    for part in chosen:
        try:
            fd, st = parts.open(f"{part.number:08d}")
        except FileNotFoundError as error:
            raise exc.MultipartUploadError(f"part {part.number} is not there") from error
        try:
            if identity(st) != part.etag:
                raise exc.MultipartUploadError(f"part {part.number} is not the one that was sent")
            copy_range(fd, place.fd, st.st_size)
        finally:
            os.close(fd)


def drop(hold: Directory, upload: str) -> bool:
    """Remove an upload and its parts; tell whether it was there."""
    try:
        hold.rename(upload, hold, DROPPED + upload)
    except FileNotFoundError:
        return False
    remove(hold, DROPPED + upload)
    return True


def remove(hold: Directory, name: str) -> bool:
    """Remove a directory of parts; tell whether that was done. What cannot go now is found by ``sweep``."""
    for _ in range(_TRIES):
        try:
            with hold.sub(name) as found:
                for entry in found.names():
                    with contextlib.suppress(FileNotFoundError):
                        found.unlink(entry)
            hold.rmdir(name)
        except FileNotFoundError:
            return False
        except OSError as error:
            # A writer who had opened it before put another part into it.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return True
    return False


def abort(tree: Tree, upload: MultipartRef) -> bool:
    """Drop an upload; tell whether it was open."""
    try:
        with opened(tree, upload) as (hold, _):
            dropped = drop(hold, upload.id)
    except exc.MissingFileError:
        return False
    tidy(tree, upload.key.split("/")[:-1])
    return dropped


def tidy(tree: Tree, segments: Sequence[str]) -> None:
    """Remove ``.file-keeper`` when it is empty, and the directories above it that are then."""
    with contextlib.suppress(OSError, exc.FilesError), tree.walk(segments) as found:
        found.rmdir(RESERVED)
    tree.prune(segments)


def holds(tree: Tree, prefix: str) -> Iterator[tuple[str, Directory, Directory]]:
    """Find every ``.file-keeper``: give the key of the directory that it is in, that directory, and itself."""
    folder = prefix[: prefix.rfind("/") + 1]
    stack = [folder]
    while stack:
        key = stack.pop()
        try:
            above = tree.walk(key.split("/")[:-1])
        except OSError as error:
            if error.errno in NO_FILE:
                continue
            raise
        with above:
            ours = False
            try:
                scan = above.scan()
            except OSError as error:
                if error.errno in NO_FILE:
                    continue
                raise
            with scan as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        ours = ours or entry.name == RESERVED
                        deeper = f"{key}{entry.name}/"
                        if entry.name != RESERVED and (deeper.startswith(prefix) or prefix.startswith(deeper)):
                            stack.append(deeper)
            if ours:
                try:
                    hold = above.sub(RESERVED)
                except OSError as error:
                    if error.errno in NO_FILE:
                        continue
                    raise
                with hold:
                    # The core keeps unpublished objects below it, which are staged as everything is.
                    stack.extend(f"{key}{RESERVED}/{name}/" for name in hold.names() if name in SCRATCH)
                    yield key, above, hold


def uploads(tree: Tree, prefix: str) -> Iterator[OpenUpload]:
    """Find the open uploads whose key begins with `prefix`."""
    for folder, _, hold in holds(tree, prefix):
        for name in sorted(filter(_ID.fullmatch, hold.names())):
            try:
                with hold.sub(name) as parts:
                    meta = _meta(parts)
                    times = [part.modified for part in _parts(parts) if part.modified]
                    key = folder + str(meta["name"])
                    started = datetime.fromtimestamp(float(meta["started"]), UTC)
            except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
                continue
            if key.startswith(prefix):
                yield OpenUpload(MultipartRef(key, name), started, max(times, default=None))


def sweep(tree: Tree, prefix: str, older_than: float) -> int:
    """Remove what killed writers left: staging files, half-made and half-removed uploads, sidecars of no file.

    A living writer holds the lock of its staging file; a sidecar is written and its file published under the lock of
    the directory. So nothing is taken from the living, however young it is.
    """
    count = 0
    before = time.time() - older_than
    for folder, above, hold in holds(tree, prefix):
        try:
            names = hold.names()
        except FileNotFoundError:
            continue  # it went away with the last that was in it
        for name in names:
            if name.startswith((NEW, DROPPED)):
                with contextlib.suppress(FileNotFoundError):
                    if hold.lstat(name).st_mtime <= before:
                        count += remove(hold, name)
            elif name.startswith(STAGED):
                count += _sweep_staged(hold, name, before)
        if any(name.endswith(attributes.SIDECAR) for name in names):
            with contextlib.suppress(FileNotFoundError), locked(tree, above, alone=True, needed=False):
                count += _sweep_sidecars(above, hold, before)
        tidy(tree, folder.split("/")[:-1])
    return count


def _sweep_staged(hold: Directory, name: str, before: float) -> bool:
    try:
        if hold.closes:
            # A living writer must close its file, and with that gives up its lock, before it can publish it.
            before = min(before, time.time() - 60)
        if hold.lstat(name).st_mtime > before:
            return False
        fd, _ = hold.open(name)
    except OSError as error:
        if error.errno in NO_FILE:
            return False
        raise
    try:
        if not locks.try_lock(fd):
            return False
        with contextlib.suppress(FileNotFoundError):
            hold.unlink(name)
            return True
        return False
    finally:
        os.close(fd)


def _sweep_sidecars(above: Directory, hold: Directory, before: float) -> int:
    valid: set[str] = set()
    for name in above.names():
        with contextlib.suppress(OSError):
            st = above.lstat(name)
            if stat.S_ISREG(st.st_mode):
                valid.add(attributes.sidecar_name(name, st))
    count = 0
    for name in hold.names():
        if name.endswith(attributes.SIDECAR) and name not in valid:
            with contextlib.suppress(FileNotFoundError):
                if hold.lstat(name).st_mtime <= before:
                    hold.unlink(name)
                    count += 1
    return count
