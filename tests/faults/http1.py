"""HTTP/1.1 on the wire, as much as a proxy needs and without interpreting anything: raw targets, raw headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import parse_qsl

CHUNK = 64 * 1024
HEAD_LIMIT = 256 * 1024


class WireError(Exception):
    """The other side sent something that is not HTTP/1.1, or less of it than it promised."""


class Headers(list[tuple[str, str]]):
    """Header lines in their order and spelling; names are compared without case."""

    def get(self, name: str, default: str = "") -> str:
        name = name.lower()
        return next((value for key, value in self if key.lower() == name), default)

    def has(self, name: str) -> bool:
        name = name.lower()
        return any(key.lower() == name for key, _ in self)

    def without(self, *names: str) -> Headers:
        unwanted = {name.lower() for name in names}
        return Headers((key, value) for key, value in self if key.lower() not in unwanted)

    def starting(self, prefix: str) -> dict[str, str]:
        """The headers whose names begin with `prefix`, names in lower case."""
        return {key.lower(): value for key, value in self if key.lower().startswith(prefix)}


def read_head(file: BinaryIO) -> tuple[str, Headers] | None:
    """The first line and the headers; `None` when the other side closed before sending any."""
    first = file.readline(HEAD_LIMIT)
    while first in (b"\r\n", b"\n"):  # RFC 9112, 2.2: an empty line before a request is skipped
        first = file.readline(HEAD_LIMIT)
    if not first:
        return None
    return _text(first), read_headers(file)


def read_headers(file: BinaryIO) -> Headers:
    headers = Headers()
    left = HEAD_LIMIT
    while True:
        line = file.readline(left)
        left -= len(line)
        if line in (b"\r\n", b"\n"):
            return headers
        if not line.endswith(b"\n"):
            raise WireError("the headers end early or are too long")
        name, colon, value = _text(line).partition(":")
        if not colon:
            raise WireError("a header without a colon")
        headers.append((name, value.strip(" \t")))


def _text(line: bytes) -> str:
    return line.rstrip(b"\r\n").decode("latin-1")


def head_bytes(first: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def is_chunked(headers: Headers) -> bool:
    return headers.get("Transfer-Encoding").lower().rpartition(",")[2].strip() == "chunked"


def read_length(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length:
        data = file.read1(min(length, CHUNK))
        if not data:
            raise WireError(f"{length} bytes of the body are missing")
        length -= len(data)
        yield data


def read_chunked(file: BinaryIO, trailers: Headers) -> Iterator[bytes]:
    """RFC 9112, 7.1; chunk extensions are dropped, trailer fields are added to `trailers`."""
    while True:
        line = file.readline(HEAD_LIMIT)
        try:
            size = int(line.partition(b";")[0].strip(), 16)
        except ValueError:
            raise WireError("a chunk without its size") from None
        if not size:
            trailers.extend(read_headers(file))
            return
        yield from read_length(file, size)
        if file.readline(3) not in (b"\r\n", b"\n"):
            raise WireError("a chunk without its end")


def read_to_end(file: BinaryIO) -> Iterator[bytes]:
    while data := file.read1(CHUNK):
        yield data


@dataclass
class Request:
    """One request as it came in.

    `target` is what was asked for, raw; `path` is its path without the proxy's prefix, `outside` says that it has not
    that prefix. `body_length` is what came of the body, `status` what was answered, 0 when nothing was.
    """

    number: int
    method: str
    target: str
    path: str
    query: str
    headers: Headers
    outside: bool = False
    body_length: int = 0
    status: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))


class Body:
    """The body of a request, read once. `length` is `None` for a chunked one, `trailers` is filled at its end."""

    def __init__(
        self, chunks: Iterator[bytes], length: int | None, trailers: Headers, before: Callable[[], None] | None = None
    ) -> None:
        self._chunks = chunks
        self._before = before
        self.length = length
        self.trailers = trailers
        self.exhausted = length == 0

    @property
    def waiting(self) -> bool:
        """The client waits for `100 Continue`, which is sent when the body is first read."""
        return self._before is not None

    def wrap(self, wrapper: Callable[[Iterator[bytes]], Iterator[bytes]]) -> None:
        self._chunks = wrapper(self._chunks)

    def __iter__(self) -> Iterator[bytes]:
        if self._before:
            before, self._before = self._before, None
            before()
        received = 0
        for data in self._chunks:
            received += len(data)
            self.exhausted = received == self.length
            yield data
        self.exhausted = True


@dataclass
class Response:
    """What is answered; `length` is `None` when only the end of `chunks` tells it, and `close` frees what is behind."""

    status: int
    headers: Headers
    chunks: Iterable[bytes] = ()
    length: int | None = None
    reason: str = ""
    close: Callable[[], None] = lambda: None

    @classmethod
    def of(cls, status: int, body: bytes | str = b"", headers: Iterable[tuple[str, str]] = ()) -> Response:
        data = body.encode() if isinstance(body, str) else body
        return cls(status, Headers(headers), [data] if data else [], len(data))

    def read(self) -> bytes:
        try:
            return b"".join(self.chunks)
        finally:
            self.close()
