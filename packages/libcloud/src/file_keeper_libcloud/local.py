"""The LOCAL driver: a directory of this machine.

The driver writes in place (without its locks, a file in the temporary directory for each name, it even swallows what is
raised meanwhile), reads a file twice for a range of it, ignores errors when it deletes, and lists nothing at all when
one link leads nowhere. What it is known to be, a directory, allows better: files are written under a reserved name, and
the file system publishes them in one step. The driver finds the container.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from typing import Any, cast

from file_keeper import exc
from file_keeper.backend import Body, ObjectInfo, Page, Source, WriteOptions, cut_pages
from file_keeper.location import RESERVED
from file_keeper.types import Buffer
from libcloud.storage.types import ContainerDoesNotExistError

from .pool import Held, Pool

# pyright: reportUnknownMemberType=false
# Libcloud types what is beside an object as bare dicts.

# The driver does not walk into folders of this name: what is half written never disturbs a listing.
_STAGING = f"{RESERVED}/.lock"
_UNLISTED = frozenset((".lock", ".hash"))
"""Folders that the driver keeps for itself."""
_TRIES = 20


class Local:
    """Files below ``base_path/bucket``.

    :param path: of the storage, a prefix: what is half written lies below it
    """

    def __init__(self, pool: Pool, path: str):
        self._pool = pool
        self._path = path

    @contextlib.contextmanager
    def _lend(self) -> Generator[tuple[Held, str]]:
        """Lend a driver, and the directory of the container."""
        with self._pool.lend() as held:
            driver: Any = held.driver
            yield held, driver.get_container_cdn_url(held.container(), check=True)

    def _file(self, root: str, key: str) -> str:
        return os.path.join(root, *key.split("/"))

    def head(self, key: str) -> ObjectInfo:
        with self._lend() as (_, root):
            return self._stat(self._file(root, key), key)

    def _stat(self, path: str, key: str) -> ObjectInfo:
        try:
            return self._info(os.stat(path), key)
        except (FileNotFoundError, NotADirectoryError):
            raise exc.MissingFileError("there is no such file") from None

    def _info(self, found: os.stat_result, key: str) -> ObjectInfo:
        if not stat.S_ISREG(found.st_mode):
            raise exc.MissingFileError("there is no such file")
        return ObjectInfo(
            key=key,
            size=found.st_size,
            etag=f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}",
            modified=datetime.fromtimestamp(found.st_mtime, UTC),
        )

    def read(self, key: str, start: int, end: int | None, etag: str) -> Body:
        with self._lend() as (_, root):
            path = self._file(root, key)
            try:
                file = open(path, "rb", buffering=0, opener=_open)  # noqa: SIM115 - the body closes it
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise exc.MissingFileError("there is no such file") from None
            try:
                info = self._info(os.fstat(file.fileno()), key)
                if etag and info.etag != etag:
                    raise exc.ChangedFileError("the file is another version")
                file.seek(start)
            except BaseException:
                file.close()
                raise
            stop = info.size if end is None else min(end, info.size)
            return Body(info, max(0, stop - start), file)

    def list(self, prefix: str, start_after: str, delimiter: str) -> Iterator[Page]:
        with self._lend() as (_, root):
            yield from cut_pages(
                self._files(root, prefix, start_after), prefix, start_after=start_after, delimiter=delimiter
            )

    def _files(self, root: str, prefix: str, start_after: str) -> Iterator[ObjectInfo]:
        for key in _keys(root):
            if key.startswith(prefix) and key > start_after:
                with contextlib.suppress(exc.MissingFileError):
                    yield self._stat(self._file(root, key), key)

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        with self._lend() as (_, root):
            path = self._file(root, key)
            if os.path.isdir(path):
                raise exc.LocationError("there are files below this location")
            name = "/".join(filter(None, (self._path, _STAGING, secrets.token_hex(16))))
            staged = self._file(root, name)
            chunks = (body,) if isinstance(body, bytes | bytearray | memoryview) else body
            try:
                _again(lambda: os.makedirs(os.path.dirname(staged), exist_ok=True))
                with open(staged, "xb", buffering=0) as file:
                    for chunk in chunks:
                        _write(file, chunk)
                self._check(path, key, options)
                self._publish(staged, path, options.if_absent)
                return self._stat(path, key)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(staged)

    def _check(self, path: str, key: str, options: WriteOptions) -> None:
        if options.if_match:
            try:
                found = self._stat(path, key).etag
            except exc.MissingFileError:
                found = ""
            if found != options.if_match:
                raise exc.ChangedFileError("the file is another version")

    def _publish(self, staged: str, path: str, absent: bool) -> None:
        """Publish a file under its name in one step; with `absent` the file system decides whether the name is free."""

        def once() -> None:
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
            except FileExistsError as error:
                raise exc.LocationError("a part of this location is a file") from error
            if absent:
                os.link(staged, path)
            else:
                os.replace(staged, path)

        try:
            _again(once)
        except FileExistsError as error:
            if os.path.isdir(path):
                raise exc.LocationError("there are files below this location") from error
            raise exc.ExistingFileError("there is a file already and overwriting is off") from error

    def delete(self, key: str, etag: str) -> bool:
        with self._lend() as (_, root):
            path = self._file(root, key)
            try:
                if etag and self._stat(path, key).etag != etag:
                    raise exc.ChangedFileError("the file is another version")
                self._stat(path, key)
                os.unlink(path)
            except (exc.MissingFileError, FileNotFoundError, NotADirectoryError):
                return False
            # As the driver does: folders are what locations need, and go with the last of them.
            folder = os.path.dirname(path)
            with contextlib.suppress(OSError):
                while folder != root:
                    os.rmdir(folder)
                    folder = os.path.dirname(folder)
            return True

    def prepare(self) -> None:
        with self._pool.lend() as held:
            try:
                held.driver.get_container(held.bucket)
            except ContainerDoesNotExistError:
                with contextlib.suppress(FileExistsError):
                    os.makedirs(self._file(cast("Any", held.driver).base_path, held.bucket))

    def cleanup(self, prefix: str, older_than: float) -> int:
        """Remove what killed writers have left."""
        limit = time.time() - older_than
        count = 0
        with self._lend() as (_, root):
            folder = os.path.join(root, *filter(None, self._path.split("/")), *_STAGING.split("/"))
            with contextlib.suppress(FileNotFoundError):
                for entry in os.scandir(folder):
                    with contextlib.suppress(FileNotFoundError):
                        if entry.stat().st_mtime <= limit:
                            os.unlink(entry.path)
                            count += 1
        return count


def _keys(root: str) -> list[str]:
    """Return the keys of all files, sorted. A folder that goes meanwhile has none; one that cannot be read raises."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    keys: list[str] = []
    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if name not in _UNLISTED]
        above = os.path.relpath(folder, root).replace(os.sep, "/") + "/" if folder != root else ""
        # What is no regular file (a pipe, a link that leads nowhere) would be a missing one to every other call.
        keys += [above + name for name in names if os.path.isfile(os.path.join(folder, name))]
    keys.sort()
    return keys


def _open(path: str, flags: int) -> int:
    """Open without waiting: nobody may ever write into a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _write(file: Any, chunk: Buffer) -> None:
    """Write all of a buffer; a raw file may take less at a time."""
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


def _again(do: Callable[[], None]) -> None:
    """Do what needs a folder that another, who removes the last file in it, may take away at the same time."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(FileNotFoundError):
            return do()
    return do()
