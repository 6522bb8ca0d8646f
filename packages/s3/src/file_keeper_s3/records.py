"""Between our records and S3's parameters and answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from file_keeper import hashing
from file_keeper.backend import ObjectInfo, WriteOptions

from .checksums import PARAMS, etag_of, md5_etag
from .reply import Members, Reply
from .settings import HASH_TAG, S3Settings

MD5_KEY = "md5chksum"
"""The metadata key under which an MD5 is recorded, as base64: the one that rclone reads."""

_RECORDED = ("fk-hash", HASH_TAG, MD5_KEY)
_HEADERS = {
    "Cache-Control": "CacheControl",
    "Content-Disposition": "ContentDisposition",
    "Content-Encoding": "ContentEncoding",
    "Content-Language": "ContentLanguage",
}
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def attributes(options: WriteOptions, settings: S3Settings) -> dict[str, Any]:
    """Return the parameters of what an object is to be like."""
    params: dict[str, Any] = {"ContentType": options.content_type, "Metadata": dict(options.metadata)}
    params.update((_HEADERS[name], value) for name, value in options.headers.items())
    return params | storing(settings)


def storing(settings: S3Settings) -> dict[str, str]:
    """Return the parameters of how an object is to be kept."""
    params: dict[str, str] = {}
    if settings.sse:
        params["ServerSideEncryption"] = settings.sse
    if settings.kms_key:
        params["SSEKMSKeyId"] = settings.kms_key
    if settings.storage_class:
        params["StorageClass"] = settings.storage_class
    if settings.acl:
        params["ACL"] = settings.acl
    if settings.tags:
        params["Tagging"] = urlencode(settings.tags)
    return params


def written(key: str, size: int, answer: Members, options: WriteOptions) -> ObjectInfo:
    """Describe an object that was just written: the answer has only its etag, and perhaps checksums."""
    return ObjectInfo(
        key=key,
        size=size,
        content_type=options.content_type,
        etag=etag_of(answer),
        metadata=options.metadata,
        headers=options.headers,
        digests={**_checksums(answer), **options.digests},
    )


def described(key: str, answer: Reply, bucket: str, size: int, *, md5: bool) -> ObjectInfo:
    """Describe an object by the answer to HEAD or GET.

    :param md5: whether an ETag that looks like an MD5 is taken for one
    """
    metadata = answer.metadata
    return ObjectInfo(
        key=key,
        size=size,
        content_type=answer.get("ContentType", ""),
        etag=etag_of(answer),
        modified=answer.modified,
        metadata=metadata,
        headers={ours: str(answer[theirs]) for ours, theirs in _HEADERS.items() if answer.get(theirs)},
        digests=_digests(answer, bucket, metadata, md5=md5),
        noted=bool(answer.get("TagCount")) and not any(name in metadata for name in _RECORDED),
    )


def _checksums(answer: Members) -> dict[str, str]:
    """Return the checksums of the whole content. :seealso: Amazon S3 User Guide, "Checking object integrity"."""
    found: dict[str, str] = {}
    if answer.get("ChecksumType", "FULL_OBJECT") != "COMPOSITE":
        for algorithm, name in PARAMS.items():
            # A composite one is followed by the number of parts, and so is no base64.
            if (value := answer.get(name)) and (digest := hashing.from_base64(value, algorithm)):
                found[algorithm] = digest
    return found


def _digests(answer: Members, bucket: str, metadata: Mapping[str, str], *, md5: bool) -> dict[str, str]:
    """Return the hashes of the whole content that are certain."""
    found = _checksums(answer)
    # What is recorded is certain on every service.
    if md5 and MD5_KEY not in metadata and (etag := md5_etag(answer, bucket)):
        found["md5"] = etag
    return found


def sizes(answer: Reply, *, partial: bool) -> tuple[int | None, int]:
    """Return the bytes that the body of an answer to GET has and those of the object, as far as the answer tells.

    :param partial: it holds a range
    :return: ``None`` and -1 for what it does not tell
    """
    length = answer.length
    if not partial:
        return length, -1 if length is None else length
    found = _range_of(answer)
    if found is None:
        return length, -1
    promised = int(found[2]) - int(found[1]) + 1
    return promised if length is None else min(promised, length), -1 if found[3] == "*" else int(found[3])


def is_partial(answer: Reply) -> bool:
    """Return whether an answer to GET holds a range; rclone's server gives ranges with a status of 200."""
    return answer.status == 206 or _range_of(answer) is not None


def first_byte(answer: Reply) -> int | None:
    """Return where a partial answer begins; ``None`` when it does not tell."""
    found = _range_of(answer)
    return None if found is None else int(found[1])


def _range_of(answer: Reply) -> re.Match[str] | None:
    return _RANGE.fullmatch(answer.get("ContentRange") or "")


def to_tag(digests: Mapping[str, str], etag: str) -> str:
    """Return the value of the tag that records the hashes of an object.

    A tag goes to whatever stands at the key, which another writer may have replaced: so it names its object.
    """
    return " ".join(f"{name}:{value}" for name, value in [*sorted(digests.items()), ("etag", etag)])


def from_tag(value: str, etag: str) -> dict[str, str]:
    """Read the value of the tag that records hashes; what makes no sense, or is of another object, is left out."""
    found: dict[str, str] = {}
    if f"etag:{etag}" not in value.split():
        return found
    for entry in value.split():
        algorithm, _, digest = entry.partition(":")
        if len(digest) == 2 * hashing.digest_size(algorithm) and re.fullmatch("[0-9a-f]+", digest):
            found[algorithm] = digest
    return found
