"""Listings: version 2 of the API where the service has it, version 1 from the last key on where it has not.

Nothing is dropped for its order: whether the service lists in the order that it should is seen by the core.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from file_keeper.backend import Items, MultipartRef, Page, Pages, Row, follow_pages

from .endpoint import Endpoint
from .reply import Refusal, iso_date

Call = Callable[..., Any]
PAGE = 1000
LAST = "\U0010ffff"
_UNKNOWN = ("NotImplemented", "InvalidArgument", "InvalidRequest", "MethodNotAllowed", "UnsupportedOperation", "501")
# The token of a page says which version of the API it belongs to.
_V1, _V2 = "1", "2"


def listed(call: Call, endpoint: Endpoint, prefix: str, start_after: str, delimiter: str) -> Pages[Page]:
    """List keys and common prefixes, a page at a time, in the order of the service.

    :param start_after: a key to begin behind, ``""`` where the service cannot
    """
    asked: dict[str, Any] = {"Prefix": prefix, "MaxKeys": PAGE}
    if delimiter:
        asked["Delimiter"] = delimiter

    def fetch(token: str) -> tuple[Page, str | None]:
        version, place = token[:1], token[1:]
        if version == _V1 or (not token and endpoint.lacks("list_v2")):
            return _first_version(call, asked, place if token else start_after)
        where = {"ContinuationToken": place} if token else {"StartAfter": start_after} if start_after else {}
        try:
            answer = call("list_objects_v2", **asked, **where)
        except Refusal as error:
            if token or endpoint.aws or error.status not in (400, 405, 501) or error.code not in _UNKNOWN:
                raise
            endpoint.facts.learn("list_v2", False)
            return _first_version(call, asked, start_after)
        if not _is_truncated(answer):
            return _page(answer), None
        if following := answer.get("NextContinuationToken"):
            return _page(answer), _V2 + following
        # It answered as version 1, which has no token: it does not know the parameter.
        endpoint.facts.learn("list_v2", False)
        return _page(answer), _next_marker(answer, start_after)

    return follow_pages(fetch)


def _first_version(call: Call, asked: dict[str, Any], marker: str) -> tuple[Page, str | None]:
    answer = call("list_objects", **asked, **({"Marker": marker} if marker else {}))
    return _page(answer), _next_marker(answer, marker) if _is_truncated(answer) else None


def _is_truncated(answer: Any) -> bool:
    return str(answer.get("IsTruncated", "")).lower() == "true"


def _next_marker(answer: Any, marker: str) -> str:
    """Return the token of the page that follows: API Reference, "ListObjects".

    ``NextMarker`` is given with a delimiter only; else the last key goes on.
    """
    ends = [row[0] for row in answer["Rows"][-1:]] + answer["Names"][-1:]
    end = answer.get("NextMarker") or max(ends, default="")
    if not end:
        return ""
    # Some begin inside of a common prefix again when it is the marker: then from behind its last possible key.
    return _V1 + (marker + LAST if end == marker and not end.endswith(LAST) else end)


def _page(answer: Any) -> Page:
    rows: list[Row] = [
        (key, int(size) if size else -1, etag.strip('"'), iso_date(modified))
        for key, modified, etag, size in answer["Rows"]
    ]
    return Page([row[0] for row in rows], rows, answer["Names"])


Started = tuple[MultipartRef, datetime]


def upload_pages(call: Call, prefix: str) -> Pages[tuple[Mapping[str, str], list[Started]]]:
    """List the open multipart uploads below a prefix and when they began, a page at a time, with its headers."""
    asked = {"Prefix": prefix, "MaxUploads": PAGE, "EncodingType": "url"}

    def fetch(token: str) -> tuple[tuple[Mapping[str, str], list[Started]], str | None]:
        where = dict(zip(("KeyMarker", "UploadIdMarker"), json.loads(token), strict=True)) if token else {}
        try:
            answer = call("list_multipart_uploads", **asked, **where)
        except Refusal as error:
            if error.code == "NoSuchUpload":  # how rclone's server says that there is none
                return (error.headers, []), None
            raise
        encoded = answer.get("EncodingType") == "url"
        page: list[Started] = []
        for found in answer.get("Uploads", ()):
            key = unquote_plus(found["Key"]) if encoded else found["Key"]
            if key.startswith(prefix):  # not every service looks at the prefix
                page.append((MultipartRef(key, found["UploadId"]), iso_date(found.get("Initiated")) or _LONG_AGO))
        if not _is_truncated(answer):
            return (answer.headers, page), None
        marker = answer.get("NextKeyMarker", "")
        following = [unquote_plus(marker) if encoded else marker, answer.get("NextUploadIdMarker", "")]
        return (answer.headers, page), json.dumps(following) if marker else ""

    return follow_pages(fetch)


_LONG_AGO = datetime.fromtimestamp(0, UTC)


def parts(call: Call, upload: MultipartRef) -> Items[Any]:
    """List what the service tells of each part of an upload."""

    def fetch(token: str) -> tuple[list[Any], str | None]:
        marker = int(token or 0)
        answer = call("list_parts", Key=upload.key, UploadId=upload.id, MaxParts=PAGE, PartNumberMarker=marker)
        if not _is_truncated(answer):
            return answer.get("Parts", []), None
        following = int(answer.get("NextPartNumberMarker") or 0)
        # Numbers grow: one that does not would list parts twice.
        return answer.get("Parts", []), str(following) if following > marker else ""

    return Items(follow_pages(fetch))
