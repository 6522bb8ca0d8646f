"""What was found out about one bucket at one address, by any storage of this process."""

from __future__ import annotations

import collections
import logging
import re
import time
from typing import Literal

from .reply import Refusal

log = logging.getLogger("file_keeper")

Kind = Literal["put", "complete", "copy", "delete"]
"""The writes that a condition can be given to."""

Feature = Literal[
    "tagging", "parts", "copy", "copy_parts", "copy_source_if_match", "delete_objects", "read_if_match", "etags",
    "list_v2", "content_md5", "unsigned_payload", "unequal_parts",
]  # fmt: skip
"""What Amazon S3 does and another service may not do."""

LOST: dict[Feature, str] = {
    "tagging": "the service keeps no object tags: the hash of a file that is sent in parts from a source that can be "
    "read only once is not recorded",
    "parts": "the service takes no uploads in parts: a file is sent in one request, or not at all",
    "copy": "the service copies nothing by itself: what is copied is read and written",
    "copy_parts": "the service copies no parts: large copies, append and compose read and write",
    "copy_source_if_match": "the service does not look at the version of what it copies: that is looked at before and "
    "after, two requests more for each copy",
    "delete_objects": "the service removes one file in a request: many are removed one by one",
    "read_if_match": "the service does not bind a read to a version: the ETag of each answer is compared instead",
    "etags": "the service's ETags change where the file does not: they bind no read and no write to a version",
    "list_v2": "the service lists by version 1 of the API",
    "content_md5": "the service refuses Content-MD5: bodies are checked by a CRC, or by the signature",
    "unsigned_payload": "the service refuses bodies that are not signed: each is hashed once more for the signature",
    "unequal_parts": "the service wants parts of one size: what cannot be made of such is read and written",
}
"""The features that may be missing, and what a user loses by it; the names are those of the option ``features``."""

_UNSUPPORTED = re.compile("X?NotImplemented|NotSupported|UnsupportedOperation|MethodNotAllowed|405|501")


def is_unsupported(error: Refusal) -> bool:
    """Return whether a request is refused since the service does not do such things at all."""
    return error.status in (405, 501) or (error.status == 400 and _UNSUPPORTED.fullmatch(error.code) is not None)


class Facts:
    """What is known; each fact is written once and read without a lock."""

    def __init__(self, url: str = "") -> None:
        self._url = url
        self.known: dict[Feature, bool] = {}
        """What the service was seen to have or not to have."""
        self.lost: frozenset[str] = frozenset()
        """What it was seen not to have: another object after each change."""
        self.legacy = False
        """It refuses ``x-amz-checksum-*``."""
        self.legacy_parts = False
        """It refuses a checksum on the parts of uploads that were begun without one."""
        self.md5_demanded = False
        """It takes no body without ``Content-MD5``."""
        self.keeps: bool | None = None
        """It answers with the checksum that it was sent; ``None`` while nobody knows."""
        self.md5_etags: bool | None = None
        """The ETag of what is put in one request is its MD5."""
        self.conditions: dict[tuple[Kind, bool], str] = {}
        """By kind of write and whether ``If-Match`` is meant: the form of the etag, ``""`` where it is not decided."""
        self.final_etag: bool | None = None
        """The ETag that CompleteMultipartUpload answers is the one that a HEAD answers."""
        self.identified: bool | None = None
        """Its answers bear an id of the request."""
        self.bucket_seen = False
        self._begun: collections.deque[tuple[float, str]] = collections.deque(maxlen=10_000)

    def learn(self, feature: Feature, has: bool) -> None:
        """Remember a feature; tell once what is lost without it."""
        before = self.known.get(feature)
        self.known[feature] = has
        self.lost = frozenset(name for name, there in self.known.items() if not there)
        if not has and before is not False:
            log.warning("%s: %s ('features': {'%s': false} says it beforehand)", self._url, LOST[feature], feature)

    def begun(self, upload_id: str) -> None:
        """Remember an upload that was begun here just now."""
        self._begun.append((time.monotonic(), upload_id))

    def begun_since(self, moment: float) -> set[str]:
        """Return the ids of the uploads that were begun here since a moment of the monotonic clock."""
        return {upload_id for at, upload_id in list(self._begun) if at >= moment}


_KNOWN: dict[tuple[str, str], Facts] = {}


def facts_of(url: str, bucket: str) -> Facts:
    """Return what this process knows of a bucket at an address."""
    return _KNOWN.setdefault((url, bucket), Facts(url))
