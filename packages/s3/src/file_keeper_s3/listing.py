"""Listings: version 2 of the API where the service has it, version 1 from the last key on where it has not."""

# botocore ships no types: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError
from file_keeper import exc
from file_keeper.backend import MultipartRef, ObjectInfo, OpenUpload, Prefix

from .endpoint import Facts
from .errors import code_of, status_of
from .records import etag_of, in_utc

Call = Callable[..., Any]
PAGE = 1000
LAST = "\U0010ffff"


def listed(
    call: Call, facts: Facts, prefix: str, start_after: str, delimiter: str, *, ordered: bool
) -> Iterator[ObjectInfo | Prefix]:
    """List keys and common prefixes, a page at a time.

    :param ordered: the service lists in the order of UTF-8 and can begin behind a key
    """
    asked = {"Prefix": prefix, "MaxKeys": PAGE}
    if delimiter:
        asked["Delimiter"] = delimiter
    last, token = start_after, ""
    while not facts.list_v1:
        where = {"ContinuationToken": token} if token else {"StartAfter": last} if last and ordered else {}
        try:
            answer = call("list_objects_v2", **asked, **where)
        except ClientError as error:
            if token or status_of(error) not in (400, 405, 501) or code_of(error) not in _UNKNOWN:
                raise
            facts.list_v1 = True
            break
        token = answer.get("NextContinuationToken", "")
        for item in _items(answer):
            # S3 rolls the keys after "a/b" up into "a/", which is not after it.
            if ordered and item.key <= last:
                continue
            if not ordered and item.key <= start_after:
                continue
            yield item
            if ordered:
                last = item.key
        if not answer.get("IsTruncated"):
            return
        if not token:
            # It answered as version 1, which has no token: it does not know the parameter.
            facts.list_v1 = True
    yield from _listed_v1(call, asked, last)


_UNKNOWN = ("NotImplemented", "InvalidArgument", "InvalidRequest", "MethodNotAllowed", "UnsupportedOperation", "501")


def _listed_v1(call: Call, asked: dict[str, Any], last: str) -> Iterator[ObjectInfo | Prefix]:
    """API Reference, "ListObjects": ``NextMarker`` is given with a delimiter only; else the last key goes on."""
    marker = last
    while True:
        answer = call("list_objects", **asked, **({"Marker": marker} if marker else {}))
        items = list(_items(answer))
        for item in items:
            if item.key > last:
                yield item
                last = item.key
        if not answer.get("IsTruncated"):
            return
        end = answer.get("NextMarker") or (items[-1].key if items else "")
        if not end:
            raise exc.StorageError("the service says that the listing goes on, and not where")
        # Some begin inside of a common prefix again when it is the marker: then from behind its last possible key.
        marker = end if end > marker else marker + LAST


def _items(answer: Any) -> list[ObjectInfo | Prefix]:
    """Give the keys and the prefixes of a page in one order."""
    items: list[ObjectInfo | Prefix] = [
        ObjectInfo(key=found["Key"], size=found["Size"], etag=etag_of(found), modified=in_utc(found["LastModified"]))
        for found in answer.get("Contents", ())
    ]
    prefixes = answer.get("CommonPrefixes")
    if prefixes:
        items.extend(Prefix(found["Prefix"]) for found in prefixes)
        items.sort(key=lambda item: item.key)
    return items


def uploads(call: Call, prefix: str) -> Iterator[OpenUpload]:
    """List the open multipart uploads below a prefix."""
    asked = {"Prefix": prefix, "MaxUploads": PAGE, "EncodingType": "url"}
    where: dict[str, Any] = {}
    while True:
        answer = call("list_multipart_uploads", **asked, **where)
        encoded = answer.get("EncodingType") == "url"
        for found in answer.get("Uploads", ()):
            key = unquote_plus(found["Key"]) if encoded else found["Key"]
            if not key.startswith(prefix):  # not every service looks at the prefix
                continue
            ref = MultipartRef(key, found["UploadId"])
            started = in_utc(found["Initiated"])
            assert started is not None
            yield OpenUpload(ref, started, in_utc(_touched(call, ref)))
        if not answer.get("IsTruncated"):
            return
        marker = answer.get("NextKeyMarker", "")
        before, where = (
            where,
            {
                "KeyMarker": unquote_plus(marker) if encoded else marker,
                "UploadIdMarker": answer.get("NextUploadIdMarker", ""),
            },
        )
        if where == before or not marker:
            raise exc.StorageError("the service says that the list of uploads goes on, and not where")


def parts(call: Call, upload: MultipartRef) -> Iterator[Any]:
    """Give what the service tells of each part of an upload."""
    marker = 0
    while True:
        answer = call("list_parts", Key=upload.key, UploadId=upload.id, MaxParts=PAGE, PartNumberMarker=marker)
        yield from answer.get("Parts", ())
        if not answer.get("IsTruncated"):
            return
        following = int(answer.get("NextPartNumberMarker", 0))
        if following <= marker:
            return
        marker = following


def _touched(call: Call, upload: MultipartRef) -> Any:
    try:
        return max((part["LastModified"] for part in parts(call, upload)), default=None)
    except ClientError as error:
        if status_of(error) == 404:
            return None  # it was completed or aborted just now
        raise
