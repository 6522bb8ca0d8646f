"""Bodies that botocore sends and reads, without copies and without the waits that it adds."""

# botocore ships no types: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import http.client
import io
from collections.abc import Callable
from typing import Any, TypeVar

import urllib3
from botocore.exceptions import ReadTimeoutError, ResponseStreamingError
from file_keeper import exc
from file_keeper.types import Buffer

T = TypeVar("T")

SLICE = 256 << 10
"""Bytes given to the socket at a time: a socket's time limit is for the whole of such a call."""


class RequestBody:
    """A buffer as the file-like object that botocore and its hooks want, which copies a slice at a time."""

    __slots__ = ("_position", "_view")

    def __init__(self, body: Buffer):
        self._view = memoryview(body).cast("B")
        self._position = 0

    def __len__(self) -> int:
        return len(self._view)

    def __bool__(self) -> bool:
        return len(self._view) > 0

    def read(self, size: int | None = -1) -> bytes:
        # More than was asked for is given to urllib3, whose blocks are small; it takes what comes.
        end = len(self._view) if size is None or size < 0 else self._position + max(size, SLICE)
        chunk = bytes(self._view[self._position : end])
        self._position += len(chunk)
        return chunk

    def readinto(self, buffer: memoryview) -> int:
        # How the CRT's signer reads.
        chunk = self._view[self._position : self._position + len(buffer)]
        buffer[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._view)}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position


class ResponseBody:
    """The body of an answer, read straight into the caller's memory where the connection allows it.

    :param body: botocore's ``StreamingBody``
    :param length: bytes that it must have; ``None`` when the answer does not tell: then it ends with the connection
    """

    __slots__ = ("_body", "_direct", "_endless", "_left", "_raw")

    def __init__(self, body: Any, length: int | None):
        self._body = body
        self._left = _UNKNOWN if length is None else length
        self._endless = length is None
        self._raw = getattr(body, "_raw_stream", None)
        direct = getattr(self._raw, "_fp", None)
        # urllib3 copies each block once more on its way. Nothing is decoded here, so http.client may be read itself.
        self._direct = direct if isinstance(direct, http.client.HTTPResponse) else None
        if not self._left:
            body.read()  # gives the connection back

    def readinto(self, buffer: memoryview, /) -> int:
        if not self._left:
            return 0
        with_room = buffer[: self._left]
        if self._direct is not None:
            count = self._guarded(lambda direct: direct.readinto(with_room))
        else:
            count = self._body.readinto(with_room)
        self._account(count)
        return count

    def read(self, size: int = -1, /) -> bytes:
        if not self._left or not size:
            return b""
        if self._endless and size < 0:
            chunk = self._body.read()
            self.close()
            return chunk
        size = self._left if size < 0 else min(size, self._left)
        chunk = self._guarded(lambda direct: direct.read(size)) if self._direct is not None else self._body.read(size)
        self._account(len(chunk))
        return chunk

    def _guarded(self, read: Callable[[http.client.HTTPResponse], T]) -> T:
        assert self._direct is not None
        try:
            return read(self._direct)
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=None, error=error) from error
        except (http.client.HTTPException, OSError) as error:
            raise ResponseStreamingError(error=error) from error

    def _account(self, count: int) -> None:
        if not count:
            if self._endless:
                self.close()
                return
            left = self._left
            self.close()
            raise exc.ConnectionError(f"the connection ended {left} bytes before the end", retryable=True)
        self._left -= count
        if not self._left:
            self._finish()

    def _finish(self) -> None:
        """Return the connection to the pool, now that all is read."""
        if self._direct is None:
            return
        if not self._direct.isclosed() and self._guarded(lambda direct: direct.read(1)):
            self._body.close()  # more came than was promised: nothing that follows can be trusted
        elif isinstance(self._raw, urllib3.response.BaseHTTPResponse):
            self._raw.release_conn()

    def close(self) -> None:
        """Return the connection to the pool when all was read, else close it."""
        if self._left:
            self._left = 0
            self._body.close()


_UNKNOWN = 1 << 62
