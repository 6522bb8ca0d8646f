"""Uploads in parts: a directory under ``.file-keeper`` beside the target, one file a part, and what they are to become.

Everything that another process needs to go on is in that directory. It appears whole, by a rename, each part too; it
goes whole, by a rename, before its files are removed. What a kill leaves in between is found by ``cleaning.sweep``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime

from file_keeper import exc
from file_keeper.backend import MultipartRef, OpenUpload, Part
from file_keeper.location import RESERVED
from file_keeper.types import Buffer

from . import rights
from .attributes import identity
from .cleaning import DROPPED, ID, META, NEW, holds, meta_of, passing, remove, tidy
from .copying import copy_range
from .directory import Directory
from .listing import modified
from .place import STAGED, Place, writing
from .tree import Tree, missing

_TRIES = 100
_PART = re.compile(r"[0-9]{8}")


def create(tree: Tree, key: str) -> str:
    """Begin an upload; return its id."""
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
            _write(
                made, META, json.dumps({"name": place.name, "started": time.time()}).encode(), sync, rights.READ_WRITE
            )
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


def _write(where: Directory, name: str, data: Buffer, sync: bool, mode: int) -> os.stat_result:
    """Write a file, whole or not at all; its time of change names this version of it."""
    staged = STAGED + secrets.token_hex(8)
    fd = where.create(staged, mode)
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
    if not ID.fullmatch(upload.id):
        raise exc.MissingFileError("there is no such upload")
    with contextlib.ExitStack() as stack:
        try:
            above, name = stack.enter_context(tree.find(upload.key))
            hold = stack.enter_context(above.sub(RESERVED))
            parts = stack.enter_context(hold.sub(upload.id))
            meta = meta_of(parts)
        except (OSError, ValueError, RecursionError) as error:
            if isinstance(error, OSError) and not isinstance(missing(error), exc.MissingFileError):
                raise
            raise exc.MissingFileError("there is no such upload") from error
        if meta.get("name") != name:
            raise exc.MissingFileError("there is no such upload")
        yield hold, parts


def put(tree: Tree, upload: MultipartRef, number: int, body: Buffer) -> Part:
    """Write a part."""
    with opened(tree, upload) as (_, parts):
        mode = _mode_while_written(tree, upload.key)
        try:
            st = _write(parts, f"{number:08d}", body, tree.fsync, mode)
            if tree.fsync:
                parts.sync()
        except FileNotFoundError as error:
            raise exc.MissingFileError("the upload was ended meanwhile") from error
    return _part(number, st)


def _mode_while_written(tree: Tree, key: str) -> int:
    """Return the most that a part may be open to: no more than what it is to replace."""
    with contextlib.suppress(exc.MissingFileError), tree.find(key) as (above, name):
        return rights.mode_while_written((above.lstat(name),), tree.file_mode)
    return rights.mode_while_written((), tree.file_mode)


def _part(number: int, st: os.stat_result) -> Part:
    return Part(number=number, size=st.st_size, etag=identity(st), modified=modified(st))


def listed(tree: Tree, upload: MultipartRef) -> list[Part]:
    """Return the parts that are there, by number."""
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
    """Remove an upload and its parts; return whether it was there."""
    try:
        hold.rename(upload, hold, DROPPED + upload)
    except FileNotFoundError:
        return False
    # It has ended, whatever becomes of its files: a sweep finds what is left of them.
    with passing(DROPPED + upload):
        remove(hold, DROPPED + upload)
    return True


def abort(tree: Tree, upload: MultipartRef) -> bool:
    """Drop an upload; return whether it was open."""
    try:
        with opened(tree, upload) as (hold, _):
            dropped = drop(hold, upload.id)
    except exc.MissingFileError:
        return False
    tidy(tree, upload.key.split("/")[:-1])
    return dropped


def uploads(tree: Tree, prefix: str) -> Iterator[OpenUpload]:
    """Find the open uploads whose key begins with `prefix`."""
    for folder, _, hold in holds(tree, prefix):
        names: list[str] = []
        with passing(folder + RESERVED):
            names = sorted(filter(ID.fullmatch, hold.names()))
        for name in names:
            try:
                with hold.sub(name) as parts:
                    meta = meta_of(parts)
                    times = [part.modified for part in _parts(parts) if part.modified]
                    if not isinstance(called := meta["name"], str):
                        continue
                    key = folder + called
                    started = datetime.fromtimestamp(float(meta["started"]), UTC)
            except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
                continue
            if key.startswith(prefix):
                yield OpenUpload(MultipartRef(key, name), started, max(times, default=None))
