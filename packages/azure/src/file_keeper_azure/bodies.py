"""The body of an answer, and what the answer says of it.

https://learn.microsoft.com/rest/api/storageservices/get-blob
"""

# The SDK does not type the objects of its transports.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from file_keeper.backend import Body

from .listing import info_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.IGNORECASE)


class BodyStream(io.RawIOBase):
    """The body of an answer as a stream, never decoded."""

    _response: Any = None  # there is nothing to give back in one that was never made whole

    def __init__(self, response: Any):
        super().__init__()
        self._response = response
        self._chunks: Iterator[bytes] = response.iter_raw()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        target = memoryview(buffer).cast("B")
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return b"".join((bytes(self._rest), *self._chunks))
        if not self._rest:
            chunk = next(self._chunks, b"")
            if len(chunk) <= size:
                return chunk
            self._rest = memoryview(chunk)
        chunk, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return chunk

    def close(self) -> None:
        """Return the connection to the pool; one that still has bytes on it is closed."""
        if not self.closed:
            self._rest = memoryview(b"")
            if self._response is not None:
                self._response.close()
            super().close()


class Nothing:
    """The body of an answer that has none."""

    def read(self, size: int = -1, /) -> bytes:
        return b""


def body_of(key: str, response: Any) -> Body:
    """Return the body of an answer with what the answer says of it; nothing is judged here."""
    headers = response.headers
    told = headers.get("Content-Length", "")
    length = int(told) if told.isdecimal() else None
    whole = response.status_code == 200
    start: int | None = 0
    size = -1 if length is None else length
    if not whole:
        start, size = None, -1
        if found := _RANGE.fullmatch(headers.get("Content-Range", "").strip()):
            start = int(found[1])
            size = int(found[3]) if found[3] != "*" else -1
    return Body(info_of(key, headers, size=size, whole=whole), length, BodyStream(response), start=start)
