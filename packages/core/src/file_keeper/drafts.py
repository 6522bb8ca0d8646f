"""An upload in the making: what it is to become, what is sent with it, what is known of its hash."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from . import attributes, exc
from .attributes import TOKEN
from .backend import Limits, ObjectInfo, WriteOptions
from .intake import SourceReader
from .resilience.allowed import Allowed
from .types import Progress
from .upload import Upload


@dataclasses.dataclass(frozen=True, kw_only=True)
class UploadRequest:
    """What an upload is to become.

    :param metadata: in its encoded form
    :param if_match: the etag to be replaced
    :param expected: declared hashes, algorithm to hex: the content must have them
    :param name: tells the content type where neither the upload nor its content does
    :param allowed: what the content is held to
    :param waits: for its turn, where the uploads of the storage have filled the memory that they may
    """

    key: str
    content_type: str = ""
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    if_absent: bool = False
    if_match: str = ""
    expected: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    name: str = ""
    progress: Progress | None = None
    allowed: Allowed | None = None
    waits: bool = True


@dataclasses.dataclass(frozen=True)
class UploadResult:
    """What came of it: the object, its content type, its hashes."""

    info: ObjectInfo
    content_type: str
    digests: Mapping[str, str]


class Draft:
    """Write options in the making: the same token and attributes at the beginning and at the end."""

    def __init__(self, limits: Limits, algorithm: str, plan: UploadRequest, content_type: str, size: int | None):
        self.plan = plan
        self.content_type = content_type
        self._limits = limits
        self._algorithm = algorithm
        self._size = size
        self._token = {attributes.named(TOKEN, limits): attributes.new_token()} if limits.metadata else {}

    def options(self, digests: Mapping[str, str], native: frozenset[str], *, size: int | None = None) -> WriteOptions:
        plan = self.plan
        recorded = attributes.record(digests, self._algorithm, native, self._limits)
        return WriteOptions(
            content_type=self.content_type,
            metadata={**plan.metadata, **self._token, **recorded},
            headers=plan.headers,
            if_absent=plan.if_absent,
            if_match=plan.if_match,
            digests=digests,
            size=self._size if size is None else size,
        )


class Known:
    """What is known of the hash before the bytes are sent."""

    def __init__(
        self,
        reader: SourceReader,
        digests: Mapping[str, str],
        *,
        native: bool = False,
        size: int | None = None,
        fingerprint: tuple[int, int] | None = None,
    ):
        self.reader = reader
        self.digests = digests
        self.recorded = native or bool(digests)
        self._size = size
        self._fingerprint = fingerprint

    def finish(self, upload: Upload, expected: Mapping[str, str], reader: SourceReader) -> dict[str, str]:
        """Check the content when all of it is sent and before it is published; return its hashes."""
        reader.verify(expected)
        if self._size is not None:
            if self._size != reader.size:
                raise exc.UploadSizeMismatchError(
                    f"the source changed while it was sent: it had {self._size} bytes and gave {reader.size}"
                )
            if self._fingerprint is not None and self._fingerprint != upload.fingerprint():
                raise exc.UploadHashMismatchError("the source changed while it was sent")
        return {**self.digests, **reader.digests}
