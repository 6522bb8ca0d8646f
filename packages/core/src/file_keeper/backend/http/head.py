"""The head of an answer, read strictly by RFC 9112: what is accepted generously here is guessed wrongly later."""

from __future__ import annotations

import re
from typing import NamedTuple

HEAD_MAX = 64 << 10
"""Bytes of a head, interim answers apart: no service sends a tenth of that."""

_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9]\d\d)(?: ([^\r\n\0]*))?\r\n")
_LINE = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\r\n\0]*)\r\n")
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
    start = first.end()
    lines = _LINE.findall(text, start)
    headers = {name.lower(): value.strip(" \t") for name, value in lines}
    # What the expression passed over (a folded line, a name with a blank, a bare CR or LF) makes a difference here.
    if len(lines) != text.count("\n", start) or sum(len(name) + len(value) + 3 for name, value in lines) != (
        len(text) - start
    ):
        raise ProtocolError("the head of the answer has a line that is not a header")
    if len(headers) != len(lines):
        headers = {}
        for name, value in lines:
            name, value = name.lower(), value.strip(" \t")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    minor, status, reason = first.groups()
    return Head(int(minor), int(status), reason or "", headers, lines)


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
