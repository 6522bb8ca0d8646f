"""What is written, as headers; what an answer to a write tells, as a record."""

from __future__ import annotations

from collections.abc import Mapping

from file_keeper import exc
from file_keeper.backend import ObjectInfo, WriteOptions

from . import listing


def quoted(etag: str) -> str:
    """Return an etag as headers carry it."""
    return f'"{etag}"'


def pinned(etag: str) -> dict[str, str]:
    """Return the condition that the blob is still this version; none without an etag."""
    return {"If-Match": quoted(etag)} if etag else {}


def metadata_headers(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata as headers."""
    return {f"x-ms-meta-{name}": value for name, value in metadata.items()}


def attributes(options: WriteOptions) -> dict[str, str]:
    """Return the headers that carry type, headers and metadata of what is written."""
    named = {f"x-ms-blob-{name.lower()}": value for name, value in options.headers.items()}
    return {"x-ms-blob-content-type": options.content_type, **named, **metadata_headers(options.metadata)}


def conditions(options: WriteOptions) -> dict[str, str]:
    """Return the condition under which the service is to write."""
    if options.if_absent:
        return {"If-None-Match": "*"}
    return pinned(options.if_match)


def written(
    key: str, size: int, options: WriteOptions, headers: Mapping[str, str], digests: Mapping[str, str]
) -> ObjectInfo:
    """Make the record of what was just written, out of what was sent and the headers of the answer."""
    return ObjectInfo(
        key=key,
        size=size,
        content_type=options.content_type,
        etag=listing.etag_of(headers.get("etag", "")),
        modified=listing.parse_date(headers.get("last-modified", "")),
        metadata=dict(options.metadata),
        headers=dict(options.headers),
        digests=dict(digests),
    )


def check_writable(key: str) -> None:
    r"""Refuse names that the service does not keep as they are: it takes ``\`` for ``/`` and drops dots at the end.

    https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
    """
    if "\\" in key:
        raise exc.LocationError("Azure takes '\\' for '/': a file cannot be written to a location with one")
    if "." in key and any(segment.endswith(".") for segment in key.split("/")):
        raise exc.LocationError("Azure drops a dot at the end of a segment: no file can be written to such a location")
