"""Reading objects and changing their metadata.

Reference: "Objects: get", "Objects: patch", "Objects: update", "Objects: delete", "Download objects",
"Transcoding of gzip-compressed files".
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from email.utils import formatdate
from typing import Any

from .errors import ApiError
from .messages import Request, Response
from .store import WRITABLE, StoredObject, check_metadata, writable


def download(found: StoredObject, request: Request, *, xml: bool = False) -> Response:
    """The bytes: alt=media, or GET of the XML API."""
    fields = found.fields
    encoding = fields.get("contentEncoding", "")
    headers = media_headers(found, xml=xml)
    if _unpacks(found, request):
        # "Transcoding": no Content-Encoding, no Content-Length, and a Range is ignored.
        headers.append(("Warning", "214 UploadServer gunzipped"))
        return Response(200, headers, gunzip(found.content.chunks()), None)
    if encoding:
        headers.append(("Content-Encoding", encoding))
    headers.append(("Accept-Ranges", "bytes"))
    start, end = 0, found.size
    status = 200
    if wanted := byte_range(request.headers.get("range", ""), found.size):
        start, end = wanted
        status = 206
        headers.append(("Content-Range", f"bytes {start}-{end - 1}/{found.size}"))
    return Response(status, headers, found.content.chunks(start, end), end - start)


def media_headers(found: StoredObject, *, xml: bool = False) -> list[tuple[str, str]]:
    """Reference: "HTTP headers and common query string parameters" (the X-Goog-* of answers with data)."""
    fields = found.fields
    headers = [
        ("Content-Type", fields.get("contentType") or "application/octet-stream"),
        ("ETag", f'"{found.xml_etag}"' if xml else found.etag),
        ("Last-Modified", formatdate(found.updated, usegmt=True)),
        ("X-Goog-Generation", str(found.generation)),
        ("X-Goog-Metageneration", str(found.metageneration)),
        ("X-Goog-Storage-Class", found.storage_class),
        ("X-Goog-Stored-Content-Encoding", fields.get("contentEncoding") or "identity"),
        ("X-Goog-Stored-Content-Length", str(found.size)),
    ]
    if not found.content.discarded:
        headers.append(("X-Goog-Hash", found.hash_header))
    if found.components:
        headers.append(("X-Goog-Component-Count", str(found.components)))
    for field, name in (
        ("contentDisposition", "Content-Disposition"),
        ("contentLanguage", "Content-Language"),
        ("cacheControl", "Cache-Control"),
    ):
        if fields.get(field):
            headers.append((name, fields[field]))
    if xml:
        headers += [(f"x-goog-meta-{key}", value) for key, value in fields.get("metadata", {}).items()]
    return headers


def _unpacks(found: StoredObject, request: Request) -> bool:
    return (
        found.fields.get("contentEncoding") == "gzip"
        and "gzip" not in request.headers.get("accept-encoding", "")
        and "no-transform" not in (found.fields.get("cacheControl") or "")
        and found.content.read(0, 2) == b"\x1f\x8b"
    )


def gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    unpack = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        while chunk:
            yield unpack.decompress(chunk, 256 * 1024)
            chunk = unpack.unconsumed_tail
    yield unpack.flush()


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """The bytes that a Range asks for; None where it is absent, malformed or of several parts: then all is sent."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if not found or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, end = max(size - int(found[2]), 0), size
        satisfiable = int(found[2]) > 0 and size > 0
    else:
        start = int(found[1])
        if found[2] and int(found[2]) < start:
            return None
        end = min(int(found[2]) + 1, size) if found[2] else size
        satisfiable = start < size
    if not satisfiable:
        headers = (("Content-Range", f"bytes */{size}"),)
        raise ApiError(416, "requestedRangeNotSatisfiable", "Request range not satisfiable", headers=headers)
    return start, end


def patched(fields: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """ "Objects: patch" (patch semantics): what is given replaces, null removes, the rest stays; so in `metadata`."""
    made = dict(fields)
    for key, value in body.items():
        if key not in WRITABLE:
            continue
        if value is None:
            made.pop(key, None)
        elif key == "metadata":
            writable({key: value})
            merged = {**made.get(key, {}), **value}
            made[key] = {name: text for name, text in merged.items() if text is not None}
            check_metadata(made[key])
        else:
            made.update(writable({key: value}))
    return made


def updated(fields: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """ "Objects: update": what is not given is removed, but for the storage class, which only a rewrite changes."""
    return writable(body) | {"storageClass": fields.get("storageClass", "STANDARD")}
