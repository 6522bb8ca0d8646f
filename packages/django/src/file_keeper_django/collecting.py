"""A run of collectstatic: one listing tells what is there, equal content is not sent, the rest goes side by side."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import file_keeper as fk

from .sources import upload_of

_CONCURRENCY = 16
"""Files on their way at one time where each waits for a service, as in the batches of a storage."""

_MEMORY = 4 << 20
"""Bytes of a file that may wait in memory to be sent; a larger one is sent at once."""


class Collecting:
    """What a run knows of its storage, and what is on its way there.

    :param storage: where static files go
    :param store: stores content at a location, replacing what is there
    :param sources: where each name comes from: a storage and the name there
    """

    def __init__(
        self,
        storage: fk.Storage,
        store: Callable[[str, Any], None],
        sources: Mapping[str, tuple[Any, str]] | None = None,
    ):
        self._storage = storage
        self._store = store
        self.sources = sources or {}
        self._there: dict[str, fk.FileData] = {}
        self._folders = {""}
        for file in storage.files():
            self._know(file)
        self._removed: set[str] = set()
        count = storage.settings.max_concurrency
        if not storage.limits.local:
            count = max(_CONCURRENCY, count)
        self._pool = ThreadPoolExecutor(count, "file-keeper-static")
        self._room = threading.BoundedSemaphore(2 * count)
        self._under_way: dict[str, Future[None]] = {}

    # -- what is there ----------------------------------------------------------------------------------------------

    def exists(self, location: str) -> bool:
        """Return whether there is a file or a directory, as far as this run knows; no request."""
        name = location.rstrip("/")
        return name in self._folders or (location in self._there and location not in self._removed)

    def _know(self, file: fk.FileData) -> None:
        self._there[file.location] = file
        folder = file.location.rpartition("/")[0]
        while folder not in self._folders:
            self._folders.add(folder)
            folder = folder.rpartition("/")[0]

    def has(self, location: str, content: Any) -> bool:
        """Return whether the very same content is there. A request only where neither hash nor etag tells."""
        return location in self._there and self._is_same(location, upload_of(content, location))

    def _is_same(self, location: str, upload: fk.Upload) -> bool:
        known = self._there.get(location)
        stream = upload.seekable_stream
        if known is None or stream is None or (upload.size or 0) != known.size:
            return False
        if known.hash:
            return _hash(stream, known.algorithm) == known.hash
        if known.etag and _hash(stream, "md5") == known.etag.strip('"'):
            return True  # on S3 the etag of what was sent in one request is its MD5; nothing else is equal to one
        try:
            known = self._storage.analyze(location)
        except fk.exc.MissingFileError:
            return False
        return bool(known.hash) and _hash(stream, known.algorithm) == known.hash

    # -- what changes -----------------------------------------------------------------------------------------------

    def remove(self, location: str) -> None:
        """Remove a file at the end of the run, unless it is saved again: what is replaced is never missing."""
        if location in self._there:
            self._removed.add(location)

    def save(self, location: str, content: Any) -> None:
        """Store a file, sooner or later. :raises FilesError: when one of those before it has failed"""
        self._raise_failures(wait=False)
        self._removed.discard(location)
        upload = upload_of(content, location)
        if self._is_same(location, upload):
            return
        if upload.size is None or upload.size > _MEMORY or upload.seekable_stream is None:
            self._know(fk.FileData(location, size=-1))
            self._store(location, content)
            return
        if location in self._under_way:
            self._under_way.pop(location).result()
        upload.stream.seek(0)
        data = io.BytesIO(upload.stream.read())
        digest = _hash(data, "md5")
        self._know(fk.FileData(location, size=len(data.getvalue()), hash=digest, algorithm="md5"))
        self._room.acquire()
        self._under_way[location] = self._pool.submit(self._send, location, data)

    def _send(self, location: str, data: io.BytesIO) -> None:
        try:
            self._store(location, data)
        finally:
            self._room.release()

    def flush(self) -> None:
        """Wait for what is under way. :raises FilesError: when one of it failed"""
        self._raise_failures(wait=True)

    def _raise_failures(self, *, wait: bool) -> None:
        ended = [name for name, future in self._under_way.items() if wait or future.done()]
        for name in ended:
            self._under_way.pop(name).result()

    def end(self, *, failed: bool) -> None:
        """End the run: wait for all, remove what was to be removed. After a failure nothing more is begun."""
        try:
            if failed:
                self._pool.shutdown(cancel_futures=True)
                return
            self.flush()
            _raise_first(self._storage.remove_many(sorted(self._removed)))
        finally:
            with suppress(RuntimeError):
                self._pool.shutdown()


def _hash(stream: Any, algorithm: str) -> str:
    stream.seek(0)
    reader = fk.HashingReader(stream, algorithm=algorithm)
    reader.exhaust()
    stream.seek(0)
    return reader.get_hash()


def _raise_first(errors: Iterable[fk.exc.FilesError]) -> None:
    for error in errors:
        raise error
