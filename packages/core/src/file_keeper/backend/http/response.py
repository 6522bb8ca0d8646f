"""An answer: its head, and its body as it comes, by length, in chunks, or to the end of the connection.

RFC 9112, sections 6 to 8: less of a body than was promised is an error, never an end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import exc
from .connection import Connection, LostError
from .head import Head, ProtocolError

_BLOCK = 1 << 20
_WHOLE = 16 << 20
_LINE_MAX = 4096
_TRAILERS_MAX = 16 << 10
_ENDLESS = 1 << 62


class Response:
    """An answer whose body may still be under way.

    Read it to its end, or close it: that gives the connection back, or closes it.

    :param length: bytes of the body; ``None``: it ends with the connection
    :param release: takes the connection back; called once, with whether it can be used again
    """

    __slots__ = (
        "_connection",
        "_left",
        "_release",
        "headers",
        "length",
        "lines",
        "reason",
        "reusable",
        "status",
        "url",
    )

    def __init__(
        self, head: Head, connection: Connection, length: int | None, release: Callable[[Connection, bool], object],
        url: str, *, reusable: bool,
    ):  # fmt: skip
        self.status = head.status
        self.reason = head.reason
        self.headers = head.headers
        self.lines = head.lines
        """Names of headers as they were spelled, and values."""
        self.length = length
        self.url = url
        """What was asked, for messages: without its query."""
        self.reusable = reusable and length is not None
        self._connection = connection
        self._release = release
        self._left = _ENDLESS if length is None else length
        if not self._left:
            self._end()

    def readinto(self, buffer: Any, /) -> int:
        """Put the next bytes into a buffer; return how many, 0 at the end.

        :raises ConnectionError: when the connection ends before the body does
        """
        left = self._left
        view = memoryview(buffer).cast("B")
        if not left or not len(view):
            return 0
        count = self._receive_into(view if len(view) <= left else view[:left])
        self._account(count)
        return count

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most `size`, all without it; ``b""`` at the end.

        :raises ConnectionError: when the connection ends before the body does
        """
        if size < 0:
            return self._rest()
        if not self._left or not size:
            return b""
        chunk = self._receive(min(size, self._left, _BLOCK))
        self._account(len(chunk))
        return chunk

    def content(self, limit: int) -> bytes:
        """Return the whole body, or the first `limit` bytes of a longer one, and end.

        :raises ConnectionError: when the connection ends before the body does
        """
        if self.length is not None and self._left <= min(limit, _WHOLE):
            return self._whole(self._left)
        chunks: list[bytes] = []
        while limit > 0 and (chunk := self.read(limit)):
            chunks.append(chunk)
            limit -= len(chunk)
        self.close()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def close(self) -> None:
        """Give the connection back when all was read, else close it."""
        if self._left:
            self.reusable = False
            self._end()

    def __del__(self) -> None:
        if getattr(self, "_left", 0):
            self.close()

    def _rest(self) -> bytes:
        left = self._left
        if left == _ENDLESS or left > _BLOCK:
            chunks: list[bytes] = []
            while chunk := self.read(_BLOCK):
                chunks.append(chunk)
            return b"".join(chunks)
        return self._whole(left)

    def _whole(self, left: int) -> bytes:
        """Return the rest of the body, read in place: small reads into large buffers cost more than the copy."""
        first = self.read(left)
        if not self._left:
            return first
        whole = bytearray(left)
        whole[: len(first)] = first
        view, start = memoryview(whole), len(first)
        while count := self.readinto(view[start:]):
            start += count
        return bytes(whole)

    def _receive_into(self, view: memoryview) -> int:
        try:
            return self._connection.receive_into(view)
        except LostError as error:
            raise self._broken(error) from error
        except BaseException:  # nobody knows how much was read
            self.close()
            raise

    def _receive(self, size: int) -> bytes:
        try:
            return self._connection.receive(size)
        except LostError as error:
            raise self._broken(error) from error
        except BaseException:
            self.close()
            raise

    def _account(self, count: int) -> None:
        if not count:
            if self.length is not None:
                raise self._broken(ProtocolError("the connection ended"))
            self.close()
            return
        self._left -= count
        if not self._left:
            self._end()

    def _broken(self, error: LostError | ProtocolError) -> exc.ConnectionError:
        missing = "" if self.length is None else f" {self._left} bytes before the end of the body"
        self.close()
        kind = exc.TimeoutError if isinstance(error, LostError) and error.timeout else exc.ConnectionError
        return kind(f"{self.url}: {error}{missing}", retryable=True)

    def _end(self) -> None:
        self._left = 0
        self._release(self._connection, self.reusable)


class ChunkedResponse(Response):
    """An answer whose body comes in chunks: RFC 9112, section 7.1."""

    __slots__ = ("_chunk", "_data")

    def __init__(
        self, head: Head, connection: Connection, release: Callable[[Connection, bool], object], url: str, *,
        reusable: bool,
    ):  # fmt: skip
        self._chunk = 0  # bytes of this chunk that are not read yet
        self._data = False  # a chunk was begun, whose line end is still to come
        super().__init__(head, connection, _ENDLESS, release, url, reusable=reusable)
        self.length = None

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        if not self._left or not len(view) or not self._begun():
            return 0
        count = self._receive_into(view if len(view) <= self._chunk else view[: self._chunk])
        self._took(count)
        return count

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return self._rest()
        if not self._left or not size or not self._begun():
            return b""
        chunk = self._receive(min(size, self._chunk, _BLOCK))
        self._took(len(chunk))
        return chunk

    def _took(self, count: int) -> None:
        if not count:
            raise self._broken(ProtocolError("the connection ended within a chunk of the body"))
        self._chunk -= count

    def _begun(self) -> bool:
        """Go to the next chunk where this one ended; return whether there is one."""
        if self._chunk:
            return True
        try:
            if self._data and self._line():
                raise ProtocolError("a chunk of the body is longer than it says")
            self._data = True
            size = self._line().split(b";")[0].strip(b" \t")
            if not size or len(size) > 15 or size.strip(b"0123456789abcdefABCDEF"):
                raise ProtocolError(f"a chunk of the body has no size but {size[:20]!r}")
            self._chunk = int(size, 16)
            if self._chunk:
                return True
            trailers = 0
            while line := self._line():
                trailers += len(line)
                if trailers > _TRAILERS_MAX:
                    raise ProtocolError("the body ends in trailers without an end")
        except (LostError, ProtocolError) as error:
            raise self._broken(error) from error
        except BaseException:
            self.close()
            raise
        self._end()
        return False

    def _line(self) -> bytes:
        connection = self._connection
        rest = connection.rest
        while (end := rest.find(b"\r\n")) < 0:
            if len(rest) > _LINE_MAX:
                raise ProtocolError("a line of the body is too long")
            connection.rest = b""
            more = connection.receive(_BLOCK >> 4)
            if not more:
                raise ProtocolError("the connection ended within the body")
            rest += more
            connection.rest = rest
        connection.rest = rest[end + 2 :]
        return rest[:end]
