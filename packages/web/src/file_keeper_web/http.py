"""Requests and replies, whatever carries them: WSGI, ASGI or a framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable
from urllib.parse import parse_qsl

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked, without its body.

    :param root: path under which the application is mounted, decoded
    :param path: what follows it, decoded; with its leading slash
    :param headers: by lower-case name; a header that came several times is joined with commas
    :param length: bytes of the body as declared, ``None`` when nothing was declared
    """

    method: str
    root: str = ""
    path: str = "/"
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    length: int | None = None

    def header(self, name: str) -> str:
        """Return a header, ``""`` when it is not there."""
        return self.headers.get(name, "")


class Chunks(Protocol):
    """A body that is produced as it is sent."""

    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None:
        """Let go of what is behind it, at its end or before."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered.

    :param body: bytes, or chunks whose length ``Content-Length`` tells
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | Chunks = b""

    def close(self) -> None:
        """Let go of the body."""
        if not isinstance(self.body, bytes):
            self.body.close()


class Failure(Exception):
    """A request that cannot be served as it is.

    :param status: of the answer
    :param text: for whoever reads the answer; it names nothing that is inside
    """

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None):
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


@runtime_checkable
class Intake(Protocol[T_co]):
    """Takes the body of a request, chunk by chunk. Either ``finish`` or ``abort`` is called, once."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""

    def finish(self) -> T_co:
        """Return what is answered or was stored, when the whole body has come."""
        ...

    def abort(self) -> None:
        """Give up, because the body broke off or could not be taken."""


Handler: TypeAlias = Callable[[Request], Reply | Intake[Reply]]
"""Answers a request, or says who takes its body. It may ask a storage, so it is called in a thread of its own."""


def parse_length(value: str) -> int | None:
    """Return a ``Content-Length``. :raises Failure: when it is none"""
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise Failure(400, "The Content-Length is not a number.")
    return int(value)


def parse_query(value: str) -> list[tuple[str, str]]:
    """Return the pairs of a query; one that cannot be read is empty."""
    try:
        return parse_qsl(value, keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError:
        return []


def plain(status: int, text: str, headers: Mapping[str, str] | None = None, *, method: str = "GET") -> Reply:
    """Return an answer of plain text."""
    body = b"" if status in (204, 304) else (text + "\n").encode()
    sent = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"} if body else {}
    length = {} if status in (204, 304) else {"Content-Length": str(len(body))}
    return Reply(
        status, {**sent, "Cache-Control": "no-store", **(headers or {}), **length}, b"" if method == "HEAD" else body
    )
