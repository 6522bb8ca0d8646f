"""Our records out of Google's object resources, and the other way round.

Reference: "Objects", resource representation: https://cloud.google.com/storage/docs/json_api/v1/objects
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from file_keeper import exc, hashing
from file_keeper.backend import ObjectInfo, WriteOptions

from .answers import misshapen

HEADERS = {
    "Cache-Control": "cacheControl",
    "Content-Disposition": "contentDisposition",
    "Content-Encoding": "contentEncoding",
    "Content-Language": "contentLanguage",
}
DIGESTS = {"md5": "md5Hash", "crc32c": "crc32c"}
DEFAULT_TYPE = "application/octet-stream"


def resource(options: WriteOptions, storage_class: Mapping[str, str]) -> dict[str, Any]:
    """Return the writable part of an object's resource, without its name and its hashes."""
    found: dict[str, Any] = {"contentType": options.content_type or DEFAULT_TYPE, **storage_class}
    if options.metadata:
        found["metadata"] = dict(options.metadata)
    for name, value in options.headers.items():
        found[HEADERS[name.title()]] = value
    return found


def expected(digests: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes that the service is to verify, as it writes them (base64), by the name of their field."""
    return {DIGESTS[name]: hashing.to_base64(value) for name, value in digests.items() if name in DIGESTS}


def info(found: Mapping[str, Any]) -> ObjectInfo:
    """Return the record of an object resource. Its etag is its generation, which every condition speaks of."""
    digests = {name: hashing.from_base64(found[field], name) for name, field in DIGESTS.items() if found.get(field)}
    try:
        key, size = str(found["name"]), int(found["size"])
    except (KeyError, ValueError, TypeError) as error:
        raise misshapen("an object", error) from error
    metadata: Mapping[str, str | None] = found.get("metadata") or {}
    return ObjectInfo(
        key=key,
        size=size,
        content_type=found.get("contentType") or DEFAULT_TYPE,
        etag=str(found.get("generation") or ""),
        modified=moment(found.get("timeCreated")),
        # An emulator keeps the null that removes an entry.
        metadata={name: value for name, value in metadata.items() if value is not None},
        headers={name: found[field] for name, field in HEADERS.items() if found.get(field)},
        digests={name: value for name, value in digests.items() if value},
    )


def moment(value: Any) -> datetime | None:
    """Return the time that an answer tells, ``None`` where it tells none that can be read."""
    try:
        return datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return None


def generation(etag: str) -> str:
    """Return the generation that an etag of ours names.

    :raises ChangedFileError: when it cannot be one: it is of another provider, or made up
    """
    if not (etag.isascii() and etag.isdigit()):
        raise exc.ChangedFileError(f"{etag!r} is not a generation of Google Cloud Storage: no object is this version")
    return etag


def conditions(options: WriteOptions) -> dict[str, str]:
    """Return the query parameters that make a write conditional. Reference: "Request preconditions"."""
    if options.if_absent:
        return {"ifGenerationMatch": "0"}
    return {"ifGenerationMatch": generation(options.if_match)} if options.if_match else {}
