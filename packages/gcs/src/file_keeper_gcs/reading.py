"""The bytes of an object, as an answer brings them."""

from __future__ import annotations

import re

from file_keeper import hashing
from file_keeper.backend import Body, ObjectInfo

from . import records
from .answers import Reply
from .senders import Unpacked


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def body_of_answer(key: str, reply: Reply, *, generation: str = "") -> Body:
    """Return the body of an answer with data, with what the answer says of it.

    Reference: "HTTP headers": ``X-Goog-Generation``, ``X-Goog-Hash`` (of the whole object) and
    ``X-Goog-Stored-Content-Length``, ``-Encoding``.

    :param generation: taken for that of an answer that names none
    """
    headers = reply.headers
    stored = headers.get("x-goog-stored-content-encoding", "")
    # Packed on the way, not stored so ("Dynamic compression"): what is stored is inside.
    unpack = headers.get("content-encoding", "") == "gzip" and stored == "identity"
    length = None if unpack else _number(headers.get("content-length", ""))
    start: int | None = 0 if reply.status == 200 else None
    size = _number(headers.get("x-goog-stored-content-length", ""))
    if size is None and start == 0:
        size = length
    if unpack and start == 0:
        length = size
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", headers.get("content-range", ""))
    if match and start is None:
        start = int(match[1])
        size = _number(match[3]) if size is None or match[3] != "*" else size
        length = int(match[2]) + 1 - start if length is None else length
    hashes = (part.strip().partition("=") for part in headers.get("x-goog-hash", "").split(","))
    digests = {name: hashing.from_base64(value, name) for name, _, value in hashes if name in records.DIGESTS}
    info = ObjectInfo(
        key=key,
        size=-1 if size is None else size,
        content_type=headers.get("content-type", ""),
        etag=headers.get("x-goog-generation", generation),
        digests={name: value for name, value in digests.items() if value},
    )
    return Body(info, length, Unpacked(reply.stream) if unpack else reply.stream, start=start)
