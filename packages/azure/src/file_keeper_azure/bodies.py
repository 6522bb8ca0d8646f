"""The body of an answer, and what the answer says of it.

https://learn.microsoft.com/rest/api/storageservices/get-blob
"""

from __future__ import annotations

import re

from file_keeper.backend import Body

from .listing import info_of
from .transport import Raw

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.IGNORECASE)


class Nothing:
    """The body of an answer that has none."""

    def read(self, size: int = -1, /) -> bytes:
        return b""


def body_of(key: str, raw: Raw) -> Body:
    """Return the body of an answer with what the answer says of it; nothing is judged here."""
    headers = raw.headers
    told = headers.get("content-length", "")
    length = int(told) if told.isdecimal() else None
    whole = raw.status == 200
    start: int | None = 0
    size = -1 if length is None else length
    if not whole:
        start, size = None, -1
        if found := _RANGE.fullmatch(headers.get("content-range", "").strip()):
            start = int(found[1])
            size = int(found[3]) if found[3] != "*" else -1
    return Body(info_of(key, headers, raw.lines, size=size, whole=whole), length, raw, start=start)
