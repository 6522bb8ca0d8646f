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
        """Give the connection back; one that has bytes left is closed."""
        self._response.close()


def body_of_answer(key: str, response: Response) -> Body:
    """Make a body of an answer with data.

    Reference: "HTTP headers": ``X-Goog-Generation``, ``X-Goog-Hash`` (of the whole object) and
    ``X-Goog-Stored-Content-Length``, ``-Encoding``.
    """
    headers = response.headers
    stored = headers.get("X-Goog-Stored-Content-Encoding", "")
    # Packed on the way, not stored so ("Dynamic compression"): what is stored is inside.
    unpack = headers.get("Content-Encoding", "") == "gzip" and stored == "identity"
    length = -1 if unpack else int(headers.get("Content-Length", -1))
    size = int(headers.get("X-Goog-Stored-Content-Length", length))
    if match := re.fullmatch(r"bytes (\d+)-(\d*)/(\d+)", headers.get("Content-Range", "")):
        size = int(match[3])
    hashes = (part.strip().partition("=") for part in headers.get("X-Goog-Hash", "").split(","))
    digests = {name: hashing.from_base64(value, name) for name, _, value in hashes if name in records.DIGESTS}
    info = ObjectInfo(
        key=key,
        size=size,
        content_type=headers.get("Content-Type", ""),
        etag=headers.get("X-Goog-Generation", ""),
        digests={name: value for name, value in digests.items() if value},
    )
    return Body(info, size if length < 0 else length, _Stream(response, unpack=unpack))
