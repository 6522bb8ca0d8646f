"""The bytes of an object, as an answer brings them."""

# `requests` types the connection below an answer as anything.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re

from file_keeper import hashing
from file_keeper.backend import Body, ObjectInfo
from requests import Response

from . import records


class _Stream:
    """The bytes of an answer as they come, through the SDK's own connection."""

    def __init__(self, response: Response, *, unpack: bool):
        self._response = response
        self._unpack = unpack

    def read(self, size: int = -1, /) -> bytes:
        return self._response.raw.read(None if size < 0 else size, decode_content=self._unpack)

    def close(self) -> None:
        """Return the connection to the pool; one that has bytes left is closed."""
        self._response.close()


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def body_of_answer(key: str, response: Response, *, generation: str = "") -> Body:
    """Return the body of an answer with data, with what the answer says of it.

    Reference: "HTTP headers": ``X-Goog-Generation``, ``X-Goog-Hash`` (of the whole object) and
    ``X-Goog-Stored-Content-Length``, ``-Encoding``.

    :param generation: taken for that of an answer that names none
    """
    headers = response.headers
    stored = headers.get("X-Goog-Stored-Content-Encoding", "")
    # Packed on the way, not stored so ("Dynamic compression"): what is stored is inside.
    unpack = headers.get("Content-Encoding", "") == "gzip" and stored == "identity"
    length = None if unpack else _number(headers.get("Content-Length", ""))
    start: int | None = 0 if response.status_code == 200 else None
    size = _number(headers.get("X-Goog-Stored-Content-Length", ""))
    if size is None and start == 0:
        size = length
    if unpack and start == 0:
        length = size
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", headers.get("Content-Range", ""))
    if match and start is None:
        start = int(match[1])
        size = _number(match[3]) if size is None or match[3] != "*" else size
        length = int(match[2]) + 1 - start if length is None else length
    hashes = (part.strip().partition("=") for part in headers.get("X-Goog-Hash", "").split(","))
    digests = {name: hashing.from_base64(value, name) for name, _, value in hashes if name in records.DIGESTS}
    info = ObjectInfo(
        key=key,
        size=-1 if size is None else size,
        content_type=headers.get("Content-Type", ""),
        etag=headers.get("X-Goog-Generation", generation),
        digests={name: value for name, value in digests.items() if value},
    )
    return Body(info, length, _Stream(response, unpack=unpack), start=start)
