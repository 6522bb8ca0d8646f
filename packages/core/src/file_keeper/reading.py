"""Reading: streams that survive a lost connection, ranges, the lazy seekable file."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from . import exc
from .backend import Backend, Body
from .backend.contract import MiB

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

log = logging.getLogger("file_keeper")

CHUNK = 1 * MiB
"""Bytes of a chunk of a stream."""

_FIRST_WINDOW = 256 << 10
_RESUMES = 5


Tell = Callable[[exc.FilesError], None]
"""Told of each error before it is raised, to add where it happened."""


def _quiet(_: exc.FilesError) -> None:
    pass


class Reader(io.RawIOBase):
    """The bytes ``[start, end)`` of an object: iterable in chunks, readable, a context manager.

    A connection that is lost half-way is opened again at the byte reached, pinned to the same version.

    :raises MissingFileError: when it is made, not at the first byte
    """

    def __init__(
        self,
        backend: Backend[Any],
        key: str,
        start: int = 0,
        end: int | None = None,
        *,
        etag: str = "",
        tell: Tell = _quiet,
    ):
        super().__init__()
        self._backend = backend
        self._key = key
        self._tell = tell
        try:
            body = backend.read(key, start, end, etag=etag)
        except exc.FilesError as error:
            tell(error)
            raise
        self._body: Body | None = body
        self.info = body.info
        self._position = start
        self._end = start + body.length
        self._failures = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return self._end - self._position

    def readable(self) -> bool:
        return True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if chunk := self.read(CHUNK):
            return chunk
        raise StopIteration

    def _reopen(self, error: exc.FilesError) -> None:
        """Open the rest again after a failure, or raise it."""
        self._failures += 1
        self._drop()  # also when it is the end: nobody closes a stream that has failed
        if self._failures > _RESUMES or not error.retryable:
            self._tell(error)
            raise error
        log.info("reading %r goes on at byte %d after: %s", self._key, self._position, error)
        self._body = self._open()

    def _open(self) -> Body:
        # The pin keeps two versions from being mixed.
        try:
            return self._backend.read(self._key, self._position, self._end, etag=self.info.etag)
        except exc.FilesError as error:
            self._tell(error)
            raise

    def _drop(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            with suppress(Exception):
                body.close()

    def _check(self) -> Body | None:
        if self.closed:
            raise ValueError("the stream is closed")
        if self._body is None and self.left:
            self._body = self._open()
        return self._body

    def _short(self) -> exc.FilesError:
        return exc.ConnectionError(f"the content ended {self.left} bytes short", retryable=True)

    def read(self, size: int | None = -1, /) -> bytes:
        """Give up to `size` bytes, ``b""`` only at the end; all that is left for -1."""
        if size is None or size < 0:
            return self.readall()
        while self._check() and self.left and size:
            try:
                chunk = self._body.read(min(size, self.left)) if self._body else b""
                if not chunk:
                    raise self._short()
            except exc.FilesError as error:
                self._reopen(error)
                continue
            self._moved(len(chunk))
            return chunk
        return b""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Put up to as many bytes into `buffer` as it holds; 0 only at the end."""
        target = memoryview(buffer).cast("B")
        while self._check() and self.left and target:
            try:
                count = self._body.readinto(target[: self.left]) if self._body else 0
                if not count:
                    raise self._short()
            except exc.FilesError as error:
                self._reopen(error)
                continue
            self._moved(count)
            return count
        return 0

    def _moved(self, count: int) -> None:
        self._position += count
        self._failures = 0
        if not self.left:
            self._drop()

    def readall(self) -> bytes:
        """Give all that is left."""
        self._check()
        first = self.read(self.left) if self.left else b""
        if not self.left:
            return first
        # BytesIO gives its buffer away without a copy: the content is in memory once.
        whole = io.BytesIO()
        whole.write(first)
        del first
        while chunk := self.read(CHUNK):
            whole.write(chunk)
        return whole.getvalue()

    def close(self) -> None:
        """Stop; the connection is closed."""
        if not self.closed:
            self._drop()
        super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SeekableFile(io.RawIOBase):
    """A file that fetches only what is read: a seek costs nothing until bytes are wanted elsewhere.

    The first read asks for a little; who goes on reading gets the rest in one request.
    """

    def __init__(self, backend: Backend[Any], key: str, *, name: str = "", tell: Tell = _quiet):
        super().__init__()
        self._tell = tell
        self._backend = backend
        self._key = key
        self.info = backend.head(key)
        self.name = name or key
        self.mode = "rb"
        self._position = 0
        self._reader: Reader | None = None
        self._at = 0
        self._last_end = -1

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if self.closed:
            raise ValueError("the file is closed")
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.info.size}.get(whence)
        if base is None:
            raise ValueError(f"whence {whence!r} is not 0, 1 or 2")
        if base + offset < 0:
            raise ValueError(f"a position is not negative: {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self.closed:
            raise ValueError("the file is closed")
        target = memoryview(buffer).cast("B")
        if not target or self._position >= self.info.size:
            return 0
        reader = self._reader
        if reader is None or self._at != self._position or not reader.left:
            reader = self._open(len(target))
        count = reader.readinto(target)
        self._position += count
        self._at = self._position
        return count

    def readall(self) -> bytes:
        """Give all that is left, in one request more at most."""
        if self.closed:
            raise ValueError("the file is closed")
        if self._position >= self.info.size:
            return b""
        reader = self._reader
        if reader is None or self._at != self._position or self._last_end < self.info.size:
            self._last_end = self._position  # as one who goes on reading
            reader = self._open(0)
        content = reader.readall()
        self._position += len(content)
        self._at = self._position
        return content

    def _open(self, wanted: int) -> Reader:
        sequential = self._position == self._last_end
        self._drop()
        end = None if sequential else self._position + max(wanted, _FIRST_WINDOW)
        self._reader = reader = Reader(
            self._backend, self._key, self._position, end, etag=self.info.etag, tell=self._tell
        )
        self._at = self._position
        self._last_end = self._position + reader.left
        return reader

    def _drop(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """Stop; the connection is closed."""
        if not self.closed:
            self._drop()
        super().close()
