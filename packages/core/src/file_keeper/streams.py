"""Readers of bytes: hashing, iterable, peeking, from a path."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from . import exc, hashing
from .sources import refuse_async
from .types import Buffer, Readable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 1 << 20
"""Bytes that are read at a time where nobody says otherwise."""


def _bytes_like(chunk: Any) -> Buffer:
    if isinstance(chunk, bytes | bytearray):
        return chunk
    try:
        return memoryview(chunk).cast("B")
    except TypeError:
        refuse_async(chunk)
        raise exc.ContentError(f"the source gives {type(chunk).__name__}, not bytes") from None


def is_seekable(stream: Any) -> bool:
    """Return whether a stream can be read again from a position."""
    if isinstance(stream, io.IOBase) or hasattr(stream, "seekable"):
        with contextlib.suppress(AttributeError, ValueError):
            return bool(stream.seekable())
    if not (hasattr(stream, "seek") and hasattr(stream, "tell")):
        return False
    try:
        stream.seek(stream.tell())
    except (OSError, AttributeError, ValueError):
        return False
    return True


def fill(stream: Readable, target: memoryview) -> int:
    """Read until `target` is full or the source ends; return the number of bytes read.

    Short reads are put together, so a source may give as little as it likes at a time.

    :raises ContentError: when the source gives something else than bytes
    """
    readinto = getattr(stream, "readinto", None)
    total, size = 0, len(target)
    while total < size:
        if readinto is not None:
            try:
                count: Any = readinto(target[total:])
            except (io.UnsupportedOperation, NotImplementedError, AttributeError):
                readinto = None
                continue
            if count is None:
                raise exc.ContentError("the source is non-blocking and has no data: it must block until it has some")
            refuse_async(count)
            if not 0 <= count <= size - total:
                raise exc.ContentError(f"the source says that it put {count} bytes into a buffer of {size - total}")
        else:
            chunk = cast("Any", stream.read(size - total))
            if chunk is None:
                raise exc.ContentError("the source is non-blocking and has no data: it must block until it has some")
            chunk = _bytes_like(chunk)
            count = len(chunk)
            if count > size - total:
                raise exc.ContentError(f"the source gave {count} bytes when asked for {size - total}")
            target[total : total + count] = chunk
        if not count:
            break
        total += count
    return total


class IterableBytesReader(io.RawIOBase):
    """A readable stream over an iterable of bytes-likes, of any sizes, empty ones too.

    Chunks are passed on as they come wherever that is possible; nothing walks their bytes.

    :param iterable: of bytes-likes; it is read once
    """

    # What there is to close of one that could not be made.
    _chunks: Iterator[Any] = iter(())
    _rest: Buffer = b""

    def __init__(self, iterable: Iterable[Buffer]):
        super().__init__()
        self._chunks = iter(iterable)
        self.source: Any = iterable
        """What the bytes come from."""
        self._taken = 0
        self._broken = False

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        """Return the number of bytes that were read."""
        return self._taken - len(self._rest)

    def _next(self) -> Buffer:
        """Return what is left over or the next chunk that is not empty; ``b""`` at the end."""
        if rest := self._rest:
            self._rest = b""
            return rest
        if self._broken:
            # A generator that raised looks like one at its end: what is missing must not go unnoticed.
            raise exc.ContentError(f"the source broke off at byte {self._taken} before")
        try:
            for chunk in self._chunks:
                if data := _bytes_like(chunk):
                    self._taken += len(data)
                    return data
        except BaseException:
            self._broken = True
            raise
        return b""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if chunk := self._next():
            return bytes(chunk)
        raise StopIteration

    def peek(self, size: int = CHUNK) -> bytes:
        """Return up to `size` bytes without moving on."""
        head = bytes(self.read(size))
        self._rest = head + bytes(self._rest)
        return head

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, fewer only at the end; all that is left for -1."""
        if size is None or size < 0:
            size = sys.maxsize
        if not size:
            return b""
        first = self._next()
        if len(first) > size:
            self._rest = memoryview(first)[size:]
            return bytes(memoryview(first)[:size])
        if len(first) == size or not first:
            return bytes(first)
        # Copied at once: a source may fill the same buffer again for its next chunk. And once: BytesIO gives its buffer
        # away as it is.
        whole, total = io.BytesIO(), len(first)
        whole.write(first)
        del first
        while total < size and (chunk := self._next()):
            if len(chunk) > size - total:
                self._rest = memoryview(chunk)[size - total :]
                chunk = memoryview(chunk)[: size - total]
            whole.write(chunk)
            total += len(chunk)
            del chunk
        return whole.getvalue()

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer`; fewer bytes only at the end."""
        target = memoryview(buffer).cast("B")
        total, size = 0, len(target)
        while total < size and (chunk := self._next()):
            count = min(len(chunk), size - total)
            if count < len(chunk):
                self._rest = memoryview(chunk)[count:]
                chunk = memoryview(chunk)[:count]
            target[total : total + count] = chunk
            total += count
            del chunk
        return total

    def close(self) -> None:
        """Stop: the iterable is closed where it can be, as a generator."""
        if not self.closed:
            closer = getattr(self._chunks, "close", None)
            self.source = None
            self._chunks = iter(())
            self._rest = b""
            super().close()
            if closer is not None:
                closer()


class PeekingReader(IterableBytesReader):
    """A view of a stream that cannot seek, which can tell its beginning without losing it."""

    def __init__(self, stream: Readable):
        super().__init__(())
        self._stream = self.source = stream

    def _next(self) -> Buffer:
        if self._rest:
            return super()._next()
        chunk: Any = self._stream.read(CHUNK)
        if chunk is None:
            raise exc.ContentError("the source is non-blocking and has no data: it must block until it has some")
        data = _bytes_like(chunk)
        self._taken += len(data)
        return data

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        target = memoryview(buffer).cast("B")
        count = 0
        if rest := self._rest:
            count = min(len(rest), len(target))
            target[:count] = memoryview(rest)[:count]
            self._rest = memoryview(rest)[count:] if count < len(rest) else b""
        more = fill(self._stream, target[count:])
        self._taken += more
        return count + more

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0 or size > CHUNK:
            return super().read(size)
        target = bytearray(size)
        return bytes(memoryview(target)[: self.readinto(target)])


class BufferReader(io.RawIOBase):
    """A seekable stream over bytes in memory that copies nothing."""

    def __init__(self, view: memoryview):
        super().__init__()
        self._view = view
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._view)}[whence]
        if base + offset < 0:
            raise ValueError("a position is not negative")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        # RawIOBase would read into a buffer first, and copy that.
        end = None if size is None or size < 0 else self._position + size
        chunk = bytes(self._view[self._position : end])
        self._position += len(chunk)
        return chunk

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        target = memoryview(buffer).cast("B")
        chunk = self._view[self._position : self._position + len(target)]
        target[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)


class PathReader(io.RawIOBase):
    """A file that is opened when it is first read, and again after it was closed: nothing leaks that is never read."""

    _file: io.FileIO | None = None

    def __init__(self, path: str | os.PathLike[str]):
        super().__init__()
        self._path = path

    def _open(self) -> io.FileIO:
        if self._file is None:
            self._file = open(self._path, "rb", buffering=0)  # noqa: SIM115 - close() closes it
        return self._file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        # Without opening it: an upload that is made need not be sent.
        return self._file.seekable() if self._file else stat.S_ISREG(os.stat(self._path).st_mode)

    def fileno(self) -> int:
        return self._open().fileno()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._open().readinto(buffer) or 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._open().seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell() if self._file else 0

    def close(self) -> None:
        """Close the file; a later read opens it again, so this reader itself is never closed."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


class HashingReader:
    """A reader that hashes what passes through it.

    :param stream: anything with ``read``
    :param chunk_size: bytes that iteration reads at a time
    :param algorithm: a name of :mod:`hashlib`, ``crc32c`` or ``crc64nvme``
    """

    def __init__(self, stream: Readable, chunk_size: int = CHUNK, algorithm: str = "md5"):
        self.source = stream
        """What the bytes come from."""
        self._hasher = hashing.new(algorithm)
        self.chunk_size = chunk_size
        self.algorithm = algorithm
        self.position = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if chunk := self.read(self.chunk_size):
            return chunk
        raise StopIteration

    def read(self, size: int = -1, /) -> bytes:
        """Read from the stream and hash what it gave."""
        chunk = self.source.read(size)
        self._hasher.update(chunk)
        self.position += len(chunk)
        return chunk

    def get_hash(self) -> str:
        """Return the hash of what was read so far, as lower-case hex."""
        return self._hasher.hexdigest()

    def exhaust(self) -> None:
        """Read to the end."""
        for _ in self:
            pass
