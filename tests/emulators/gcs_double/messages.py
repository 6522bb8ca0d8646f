"""One request and one answer, apart from sockets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import parse_qsl

from .errors import ClientGone, invalid

CHUNK = 256 * 1024
MAX_DOCUMENT = 16 * 1024 * 1024  # JSON and batch bodies; objects are streamed


class BodyReader:
    """The body of a request, with a length or chunked; a body that ends too early is a caller that went away."""

    def __init__(self, source: BinaryIO, length: int | None, *, chunked: bool = False) -> None:
        self.received = 0
        self.length = length
        self._source = source
        self._chunked = chunked
        self._left = 0 if chunked else (length or 0)
        self._done = not chunked and not self._left

    def read(self, limit: int = CHUNK) -> bytes:
        """The next bytes, at most `limit`; b"" at the end."""
        if self._done:
            return b""
        if self._chunked and not self._left:
            self._next_chunk()
            if self._done:
                return b""
        data = self._source.read(min(limit, self._left))
        if not data:
            self._done = True
            raise ClientGone
        self._left -= len(data)
        self.received += len(data)
        if not self._left and not self._chunked:
            self._done = True
        elif not self._left:
            self._source.readline(8)
        return data

    def _next_chunk(self) -> None:
        line = self._source.readline(1024)
        try:
            self._left = int(line.split(b";")[0], 16)
        except ValueError:
            self._done = True
            raise ClientGone from None
        if not self._left:
            self._done = True
            while self._source.readline(8192).strip():
                pass

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read():
            yield data

    def drain(self) -> None:
        for _ in self:
            pass

    def document(self) -> bytes:
        parts: list[bytes] = []
        for data in self:
            parts.append(data)
            if self.received > MAX_DOCUMENT:
                raise invalid("Request payload is too large")
        return b"".join(parts)


@dataclass
class Request:
    method: str
    path: str  # as sent, percent-encoded
    query_string: str
    headers: dict[str, str]  # names in lower case
    body: BodyReader
    base: str  # scheme and host as the caller sees them
    acknowledge: int | None = None  # set by a fault: how much of a chunk a session may keep
    in_batch: bool = False
    query: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.query = dict(parse_qsl(self.query_string, keep_blank_values=True))

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() == "true"

    def number(self, name: str) -> int | None:
        text = self.query.get(name)
        if text is None:
            return None
        if not text.isdigit():
            raise invalid(f"Invalid value '{text}' for {name}")
        return int(text)

    def json(self) -> dict[str, Any]:
        return parse_json(self.body.document())


def parse_json(data: bytes) -> dict[str, Any]:
    if not data.strip():
        return {}
    try:
        found = json.loads(data)
    except ValueError:
        raise invalid("Parse Error") from None
    if not isinstance(found, dict):
        raise invalid("Parse Error")
    return found


@dataclass
class Response:
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | Iterable[bytes] = b""
    length: int | None = 0  # None: not known, so sent chunked

    @classmethod
    def of(cls, data: bytes, content_type: str, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
        return cls(status, [("Content-Type", content_type), *headers], data, len(data))

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
        data = json.dumps(value, ensure_ascii=False).encode()
        return cls.of(data, "application/json; charset=UTF-8", status, headers)

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def chunks(self) -> Iterator[bytes]:
        if isinstance(self.body, bytes):
            if self.body:
                yield self.body
        else:
            yield from self.body
