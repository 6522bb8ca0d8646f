"""What was found out about one bucket at one address, by any storage of this process."""

from __future__ import annotations

import collections
import time
from typing import Literal

Kind = Literal["put", "complete", "copy", "delete"]
"""The writes that a condition can be given to."""

Feature = Literal["tagging", "parts", "copy"]
"""What a request is about instead of the content of its key: a service that ignores that would harm the content."""


class Facts:
    """What is known; each fact is written once and read without a lock."""

    def __init__(self) -> None:
        self.legacy = False
        """It refuses ``x-amz-checksum-*``."""
        self.legacy_parts = False
        """It refuses a checksum on the parts of uploads that were begun without one."""
        self.keeps: bool | None = None
        """It answers with the checksum that it was sent; ``None`` while nobody knows."""
        self.md5_etags: bool | None = None
        """The ETag of what is put in one request is its MD5."""
        self.list_v1 = False
        self.conditions: dict[tuple[Kind, bool], str] = {}
        """By kind of write and whether ``If-Match`` is meant: the form of the etag, ``""`` where it is not decided."""
        self.features: dict[Feature, bool] = {}
        self.copies_parts: bool | None = None
        """UploadPartCopy copies what it is asked for."""
        self.final_etag: bool | None = None
        """The ETag that CompleteMultipartUpload answers is the one that a HEAD answers."""
        self.identified: bool | None = None
        """Its answers bear an id of the request."""
        self.bucket_seen = False
        self._begun: collections.deque[tuple[float, str]] = collections.deque(maxlen=10_000)

    def begun(self, upload_id: str) -> None:
        """Remember an upload that was begun here just now."""
        self._begun.append((time.monotonic(), upload_id))

    def begun_since(self, moment: float) -> set[str]:
        """Return the ids of the uploads that were begun here since a moment of the monotonic clock."""
        return {upload_id for at, upload_id in list(self._begun) if at >= moment}


_KNOWN: dict[tuple[str, str], Facts] = {}


def facts_of(url: str, bucket: str) -> Facts:
    """Return what this process knows of a bucket at an address."""
    return _KNOWN.setdefault((url, bucket), Facts())
