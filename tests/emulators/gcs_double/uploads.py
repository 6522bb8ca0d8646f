"""Objects: insert in one request: media and multipart.

Reference: "Objects: insert"; "Upload objects from memory/file systems" (uploadType media and multipart);
"Data validation" (md5Hash and crc32c, in the resource or in X-Goog-Hash, refuse what does not match).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .content import Writer, crc_text
from .errors import ApiError, invalid
from .messages import BodyReader, Request, parse_json
from .store import Preconditions, Store, StoredObject, check_name, required_name, writable

MAX_PREAMBLE = 64 * 1024

Guard = Callable[[StoredObject | None], None]


def object_name(request: Request, resource: Mapping[str, Any]) -> str:
    # "Objects: insert", name: overrides the name in the resource; required if that has none.
    name = request.query.get("name") or resource.get("name") or ""
    if not isinstance(name, str) or not name:
        raise required_name()
    return check_name(name)


def expected_hashes(resource: Mapping[str, Any], request: Request) -> dict[str, str]:
    """What the caller says that the checksums are. Reference: "Data validation"; "x-goog-hash" (XML headers)."""
    found = {"md5": resource.get("md5Hash") or "", "crc32c": resource.get("crc32c") or ""}
    for part in request.headers.get("x-goog-hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        if kind in found and value:
            found[kind] = value
    if request.headers.get("content-md5"):
        found["md5"] = request.headers["content-md5"]
    for kind, value in found.items():
        length = 16 if kind == "md5" else 4
        try:
            right = not value or len(base64.b64decode(value, validate=True)) == length
        except (binascii.Error, ValueError, TypeError):
            right = False
        if not right:
            raise ApiError(400, "invalid", f"Invalid {kind} hash: {value}", code="InvalidDigest")
    return found


def check_hashes(writer: Writer, expected: Mapping[str, str]) -> None:
    if expected["crc32c"] and expected["crc32c"] != crc_text(writer.crc32c):
        message = (
            f'Provided CRC32C "{expected["crc32c"]}" doesn\'t match calculated CRC32C "{crc_text(writer.crc32c)}".'
        )
        raise ApiError(400, "invalid", message, code="BadDigest")
    if expected["md5"] and expected["md5"] != writer.md5:
        message = f'Provided MD5 hash "{expected["md5"]}" doesn\'t match calculated MD5 hash "{writer.md5}".'
        raise ApiError(400, "invalid", message, code="BadDigest")


def draft(bucket: str, name: str, writer: Writer, fields: Mapping[str, Any]) -> StoredObject:
    return StoredObject(bucket, name, writer.content(), writer.crc32c, writer.md5, fields)


def insert_media(store: Store, bucket: str, request: Request, guard: Guard) -> StoredObject:
    name = object_name(request, {})
    fields: dict[str, Any] = {}
    if request.headers.get("content-type"):
        fields["contentType"] = request.headers["content-type"]
    if request.query.get("contentEncoding"):
        fields["contentEncoding"] = request.query["contentEncoding"]
    expected = expected_hashes({}, request)
    writer = store.writer()
    for data in request.body:
        writer.write(data)
    check_hashes(writer, expected)
    return store.commit(draft(bucket, name, writer, fields), Preconditions.parse(request.query), guard)


def insert_multipart(store: Store, bucket: str, request: Request, guard: Guard) -> StoredObject:
    """Two parts: the resource in JSON, then the data. The data are streamed."""
    content_type = request.headers.get("content-type", "")
    found = re.match(r"multipart/[\w.+-]+\s*;.*?boundary=(\"[^\"]+\"|[^;\s]+)", content_type, re.I)
    if not found:
        raise invalid("Multipart must have Content-Type of multipart/related with a boundary")
    parts = RelatedBody(request.body, found[1].strip('"').encode())
    head = parts.next_head()
    if head is None:
        raise invalid("Malformed multipart body.")
    resource = parse_json(b"".join(parts.data()))
    head = parts.next_head()
    if head is None:
        raise invalid("Multipart must have exactly two parts")
    name = object_name(request, resource)
    fields = writable(resource)
    fields["contentType"] = agreed_type(fields.get("contentType"), head.get("content-type"))
    if fields["contentType"] is None:
        del fields["contentType"]
    if request.query.get("contentEncoding"):
        fields["contentEncoding"] = request.query["contentEncoding"]
    expected = expected_hashes(resource, request)
    writer = store.writer()
    for data in parts.data():
        writer.write(data)
    check_hashes(writer, expected)
    return store.commit(draft(bucket, name, writer, fields), Preconditions.parse(request.query), guard)


def agreed_type(resource: str | None, upload: str | None) -> str | None:
    """Where both are given they must be the same ("Objects: insert"; the wording is the service's)."""
    if resource and upload and resource != upload:
        raise invalid(
            f"Content-Type specified in the upload ({upload}) does not match "
            f"Content-Type specified in metadata ({resource})."
        )
    return resource or upload


class RelatedBody:
    """A multipart/related body, read as it comes: only what may be the beginning of a boundary is held back."""

    def __init__(self, body: BodyReader, boundary: bytes) -> None:
        self._body = body
        self._mark = b"\r\n--" + boundary
        self._buffer = b"\r\n"  # so that the first boundary needs no line before it

    def _more(self) -> bool:
        data = self._body.read()
        self._buffer += data
        return bool(data)

    def next_head(self) -> dict[str, str] | None:
        """The headers of the next part; None where there is none."""
        while (at := self._buffer.find(self._mark)) < 0:
            if len(self._buffer) > MAX_PREAMBLE or not self._more():
                return None
        rest = at + len(self._mark)
        while (end := self._buffer.find(b"\r\n\r\n", rest)) < 0:
            if self._buffer[rest : rest + 2] == b"--" or len(self._buffer) > rest + MAX_PREAMBLE or not self._more():
                return None
        if self._buffer[rest : rest + 2] == b"--":
            return None
        lines = self._buffer[rest:end].decode("utf-8", "replace").split("\r\n")
        self._buffer = self._buffer[end + 2 :]  # the line break stays: an empty part is a boundary at once
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        return {name.strip().lower(): value.strip() for name, value in pairs}

    def data(self) -> Iterator[bytes]:
        """The bytes of the part whose head was read."""
        first = True  # the line break that ends the head is still in the buffer
        while True:
            at = self._buffer.find(self._mark)
            end = at if at >= 0 else max(len(self._buffer) - len(self._mark), 2 if first else 0)
            piece, self._buffer = self._buffer[:end], self._buffer[end:]
            if first:
                piece, first = piece[2:], False
            if piece:
                yield piece
            if at >= 0:
                return
            if not self._more():
                raise invalid("Malformed multipart body.")
