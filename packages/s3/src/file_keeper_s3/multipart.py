"""Uploads in parts: begun, sent, completed, dropped; what an answer that was lost left open is found and dropped."""

from __future__ import annotations

import dataclasses
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from file_keeper import exc, hashing
from file_keeper.attributes import token_of
from file_keeper.backend import (
    MultipartRef,
    ObjectInfo,
    OpenUpload,
    Part,
    PartsDiscardedError,
    WriteOptions,
    was_unsent,
)
from file_keeper.types import Buffer

from . import errors, listing
from .checksums import PARAMS, etag_of
from .objects import Objects
from .records import attributes
from .reply import Refusal, http_date, iso_date

log = logging.getLogger("file_keeper")

_SLACK = 2.0
"""Seconds by which a service's clock may differ between two of its answers; theirs have whole seconds."""


class Multipart:
    """The uploads in parts of one bucket."""

    def __init__(self, objects: Objects):
        self._objects = objects
        self._call = objects.call
        self._endpoint = objects.endpoint

    def begin(self, key: str, options: WriteOptions) -> str:
        return self.create(key, attributes(options, self._objects.settings))

    def create(self, key: str, params: Mapping[str, Any], algorithm: str = "") -> str:
        """Begin an upload; return its id.

        :param algorithm: of the checksum of the whole, else the storage's own
        """
        if not self._endpoint.has("parts"):
            raise exc.UnsupportedOperationError(
                "the service takes no uploads in parts (a part takes the place of the file): set "
                "'multipart_threshold' to the size of the largest file, which is then sent in one request"
            )
        if algorithm := algorithm or self._endpoint.checksums.part_algorithm:
            params = {**params, "ChecksumAlgorithm": algorithm.upper(), "ChecksumType": "FULL_OBJECT"}
        began = time.monotonic()
        try:
            upload_id: str = self._call("create_multipart_upload", Key=key, **params)["UploadId"]
        except BaseException as error:
            if self._is_doubtful(error):
                self._drop_orphan(key, began, error)
            raise
        self._endpoint.facts.begun(upload_id)
        return upload_id

    def _is_doubtful(self, error: BaseException) -> bool:
        """Return whether the service may have begun an upload whose id nobody was told."""
        if not isinstance(error, Exception):
            return True  # an interrupt
        if was_unsent(error):
            return False
        ours = error if isinstance(error, exc.FilesError) else errors.translate(error, self._objects.bucket)
        return isinstance(ours, exc.ConnectionError) and not isinstance(ours, exc.ThrottledError)

    def _drop_orphan(self, key: str, began: float, error: BaseException) -> None:
        """Drop the upload that a request began whose answer was lost.

        Nothing in a list of uploads says whose one is. So only one is dropped that is at this key, began no earlier
        than that request, has no part, was not begun by this process, and is the only such one. In doubt it stays:
        another writer's upload is worth more than an orphan, which cleanup_uploads finds.
        """
        try:
            found = self._candidates(key, began)
            if len(found) == 1:
                self.abort(found[0])
            elif found:
                log.warning("of %d uploads of %r one may be an orphan (cleanup_uploads finds it)", len(found), key)
        except Exception as failure:
            said = errors.translate(failure, self._objects.bucket) or failure
            error.add_note(f"and whether an upload was left open could not be found out: {said} (cleanup_uploads does)")

    def _candidates(self, key: str, began: float) -> list[MultipartRef]:
        known = self._endpoint.facts.begun_since(began - _SLACK)
        found: list[MultipartRef] = []
        for headers, page in listing.upload_pages(self._call, key):
            # By the clock of the service: ours may be wrong.
            since = _date_of(headers) - timedelta(seconds=time.monotonic() - began + _SLACK)
            for ref, started in page:
                if ref.key == key and ref.id not in known and started >= since and not self._has_part(ref):
                    found.append(ref)
        return found

    def _has_part(self, ref: MultipartRef) -> bool:
        return next(iter(listing.parts(self._call, ref)), None) is not None

    def put(self, upload: MultipartRef, number: int, body: Buffer) -> Part:
        send = self._endpoint.checksums.send
        answer = send("upload_part", body, Key=upload.key, UploadId=upload.id, PartNumber=number + 1)
        return Part(number=number, size=len(body), etag=etag_of(answer))

    def parts(self, upload: MultipartRef) -> Iterator[Part]:
        try:
            for found in listing.parts(self._call, upload):
                yield Part(
                    number=int(found["PartNumber"]) - 1,
                    size=int(found["Size"]),
                    etag=etag_of(found),
                    modified=iso_date(found.get("LastModified")),
                )
        except Refusal as error:
            if error.status == 404 and error.code != "NoSuchBucket":
                raise errors.answer(error, exc.MissingFileError, "there is no such upload") from error
            raise

    def complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        if parts:
            named = [{"ETag": f'"{part.etag}"', "PartNumber": part.number + 1} for part in parts]
            return self.publish(upload, named, sum(part.size for part in parts), options)
        info = self._objects.put(upload.key, b"", options)
        try:
            self.abort(upload)
        except Exception as error:
            ours = errors.translate(error, self._objects.bucket)
            if ours is None or ours.retryable:
                raise
            # The file is published all the same.
            log.warning("the upload of %r could not be aborted (cleanup_uploads finds it): %s", upload.key, ours)
        return info

    def publish(
        self, upload: MultipartRef, parts: list[dict[str, Any]], size: int, options: WriteOptions, algorithm: str = ""
    ) -> ObjectInfo:
        """Complete an upload.

        :param parts: as S3 wants them named
        :param algorithm: as in :meth:`create`
        """
        params: dict[str, Any] = self._objects.conditions("complete", upload.key, options)
        if algorithm := algorithm or self._endpoint.checksums.part_algorithm:
            params["ChecksumType"] = "FULL_OBJECT"
            if value := options.digests.get(algorithm):
                # S3 compares it with what it makes of the parts.
                params[PARAMS[algorithm]] = hashing.to_base64(value)
        try:
            answer = self._call(
                "complete_multipart_upload",
                Key=upload.key,
                UploadId=upload.id,
                MultipartUpload={"Parts": parts},
                **params,
            )
        except Refusal as error:
            self.wants_equal(error)
            if error.code == "ConditionalRequestConflict":
                raise errors.answer(
                    error, PartsDiscardedError, "another writer of this key broke the upload"
                ) from error
            if ours := self._objects.failed(error, options):
                raise ours from error
            raise
        info = self._objects.written(upload.key, size, answer, options)
        return self._with_final_etag(info, several=len(parts) > 1)

    def _with_final_etag(self, info: ObjectInfo, *, several: bool) -> ObjectInfo:
        """Look at the object where the answer to CompleteMultipartUpload has another etag than it (SeaweedFS)."""
        facts = self._endpoint.facts
        if self._endpoint.aws or facts.final_etag:
            return info
        try:
            found = self._objects.head(info.key)
        except exc.MissingFileError:
            return info  # it was published, and removed by another since
        except Exception as error:
            # It is published whatever becomes of this look: a failure here is none of the upload.
            ours = errors.translate(error, self._objects.bucket) or error
            log.warning("the final etag of %r could not be looked up: %s", info.key, ours)
            return info
        token = token_of(found.metadata)  # none on a service that keeps no metadata of what is put in parts
        if found.size != info.size or (token and token != token_of(info.metadata)):
            return info  # replaced by another since
        if several or found.etag != info.etag:  # one part alone shows nothing
            facts.final_etag = found.etag == info.etag
        digests = {**found.digests, **info.digests}  # on rclone's server the final etag is the MD5
        return dataclasses.replace(info, etag=found.etag, digests=digests)

    def wants_equal(self, error: Refusal) -> bool:
        """Return whether parts of several sizes are what was refused, as R2 does, and remember that."""
        told = error.code == "InvalidPart" and re.search("same (?:length|size)", error.said) is not None
        if told and not self._endpoint.aws:
            self._endpoint.facts.learn("unequal_parts", False)
        return told

    def abort(self, upload: MultipartRef) -> bool:
        try:
            self._call("abort_multipart_upload", Key=upload.key, UploadId=upload.id)
        except Refusal as error:
            if error.status == 404 and error.code != "NoSuchBucket":
                return False
            raise
        return True

    def open_uploads(self, prefix: str) -> Iterator[OpenUpload]:
        for _, page in listing.upload_pages(self._call, prefix):
            for ref, started in page:
                yield OpenUpload(ref, started, self._touched(ref))

    def _touched(self, upload: MultipartRef) -> datetime | None:
        try:
            times = [iso_date(part.get("LastModified")) for part in listing.parts(self._call, upload)]
        except Refusal as error:
            if error.status == 404:
                return None  # it was completed or aborted just now
            raise
        return max(filter(None, times), default=None)


def _date_of(headers: Mapping[str, str]) -> datetime:
    """Return the time of the service when it answered."""
    return http_date(headers.get("date", "")) or datetime.now(UTC)
