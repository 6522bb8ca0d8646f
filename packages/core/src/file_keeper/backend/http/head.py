"""The head of an answer, read strictly by RFC 9112: what is accepted generously here is guessed wrongly later."""

from __future__ import annotations

import re
from typing import NamedTuple

HEAD_MAX = 64 << 10
"""Bytes of a head, interim answers apart: no service sends a tenth of that."""

_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9]\d\d)(?: ([^\r\n\0]*))?\r\n")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BLANKS = " \t"
_names: dict[str, str] = {}  # of headers, in lower case: services send the same few, so each is looked at once
_NAMES_MAX = 1000
_BODYLESS = frozenset((204, 304))


class ProtocolError(Exception):
    """What came is not HTTP/1.1, or less of it than was promised."""


class Head(NamedTuple):
    """The head of an answer.

    :param minor: of the version: 0 or 1
    :param headers: names in lower case; values of several lines of one name are joined by ``", "``
    :param lines: names as they were spelled, and values: some services keep the case of what is named by users
    """

    minor: int
    status: int
    reason: str
    headers: dict[str, str]
    lines: list[tuple[str, str]] = []  # noqa: RUF012 - made anew for each head

    @property
    def persistent(self) -> bool:
        """Whether the connection stays open after the answer (RFC 9112, section 9.3)."""
        option = self.headers.get("connection")
        if option is None:
            return self.minor == 1
        options = option.lower()
        return "close" not in options and (self.minor == 1 or "keep-alive" in options)


def stranger(data: bytes) -> ProtocolError:
    """Return the error for an answer that begins as none of HTTP/1.1 does.

    A server that sends back what it gets is no reason to show a signature: nothing behind a question mark is shown.
    """
    return ProtocolError(f"the answer begins with {data[:40].partition(b'?')[0]!r}, which is not HTTP/1.1")


def check_begun(data: bytes) -> None:
    """Look at a head that has not come whole: whoever speaks something else is not waited for.

    :raises ProtocolError: it cannot become one, or it is too long
    """
    if data[:7] != b"HTTP/1."[: len(data)]:
        raise stranger(data)
    if len(data) > HEAD_MAX:
        raise ProtocolError(f"the head of the answer is longer than {HEAD_MAX} bytes")
    if data.count(b"\n") != data.count(b"\r\n"):
        raise ProtocolError("the head of the answer has a line that ends in a bare line feed")


def _name_of(name: str) -> str:
    """Return the name of a header in lower case, and remember it.

    :raises ProtocolError: it is none: what continues the line before begins with a blank
    """
    if _NAME.fullmatch(name) is None:
        raise ProtocolError("the head of the answer has a line that is not a header")
    lower = name.lower()
    if len(_names) < _NAMES_MAX and len(name) < 100:
        _names[name] = lower
    return lower


def parse(data: bytes) -> Head:
    """Read a head, its last empty line left out (RFC 9112, sections 4 and 5; names and values: RFC 9110, section 5).

    :param data: ends with the CRLF of its last line
    :raises ProtocolError: for whatever RFC 9112 does not allow: folded lines too (section 5.2), a blank before the
        colon (5.1), a bare CR (2.2)
    """
    text = data.decode("latin-1")
    first = _STATUS.match(text)
    if first is None:
        raise stranger(data)
    lines = text[first.end() : -2].split("\r\n") if len(text) > first.end() else []
    # Of a bare CR or LF there would be one more here.
    if text.count("\r") != len(lines) + 1 or text.count("\n") != len(lines) + 1 or "\0" in text:
        raise ProtocolError("the head of the answer holds a bare CR, a bare LF or a NUL")
    headers: dict[str, str] = {}
    pairs: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        value = value.strip(_BLANKS)
        key = _names.get(name) or _name_of(name)
        if not colon:
            raise ProtocolError("the head of the answer has a line that is not a header")
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
        pairs.append((name, value))
    minor, status, reason = first.groups()
    return Head(int(minor), int(status), reason or "", headers, pairs)


def body_length(head: Head, method: str) -> int | None:
    """Return how many bytes follow; ``None`` to the end of the connection, -1 in chunks (RFC 9112, section 6.3).

    Chunks win over a length, and no connection is used again behind both (:meth:`.client.Client.request`); a length
    that is said twice alike is one (RFC 9110, section 8.6).

    :raises ProtocolError: when that cannot be told for certain
    """
    headers = head.headers
    if method == "HEAD" or head.status in _BODYLESS or (method == "CONNECT" and head.status < 300):
        return 0
    if (coding := headers.get("transfer-encoding")) is not None:
        if coding.strip().lower() != "chunked":
            raise ProtocolError(f"the answer has the transfer coding {coding[:40]!r}")
        return -1
    if (told := headers.get("content-length")) is None:
        return None
    if not (told.isascii() and told.isdigit()):
        values = {value.strip(" \t") for value in told.split(",")}
        told = values.pop()
        if values or not (told.isascii() and told.isdigit()):
            raise ProtocolError("the answer has a Content-Length that is not one number")
    if len(told) > 18:
        raise ProtocolError("the answer has a Content-Length that nothing can have")
    return int(told)
