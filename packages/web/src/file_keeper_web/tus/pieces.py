"""Taking a piece of an upload: into parts of the storage, noted as they are sent."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import file_keeper as fk

from ..http import Failure, Reply
from ..receiving import Terms
from .records import LEASE, Record, Records, link, new_claim

_SNIFF = 2048


class Uploads:
    """What can be done with the uploads of one storage.

    :param overwrite: as for :meth:`file_keeper.Storage.upload`
    :param published: called with the file when an upload is complete, before that is noted
    """

    def __init__(
        self,
        storage: fk.Storage,
        terms: Terms,
        seconds: float,
        overwrite: bool | None,
        published: Callable[[fk.FileData, Record], object],
    ):
        self.storage = storage
        self.overwrite = overwrite
        self.terms = terms
        self.seconds = seconds
        self.records = Records(storage)
        self._published = published

    def drop(self, record: Record) -> None:
        """Drop an upload; the file of a finished one stays."""
        if not record.done:
            with suppress(fk.exc.MissingFileError):
                self.storage.multipart_remove(record.data)
        self.records.remove(record)

    def publish(self, record: Record) -> None:
        """Make the file out of the parts. :raises Failure: when a part is not the one that was noted"""
        storage = self.storage
        data = storage.multipart_refresh(record.data)
        if "multipart" in data.storage_data:
            chain = ""
            for part in sorted(data.storage_data["parts"], key=lambda part: part["part"]):
                chain = link(chain, part)
            if chain != record.chain:
                # A request that was given up long ago came through after all.
                self.drop(record)
                raise Failure(410, "The upload was damaged: begin again.")
            data = self._completed(record, data)
        self._published(data, record)

    def _completed(self, record: Record, data: fk.FileData) -> fk.FileData:
        try:
            return self.storage.multipart_complete(data)
        except (fk.exc.ExistingFileError, fk.exc.UploadError):
            self.drop(record)
            raise

    def find_published(self, record: Record) -> bool:
        """Return whether an upload was published by a request that could not note it any more; tell of it again."""
        try:
            data = self.storage.multipart_refresh(record.data)
        except fk.exc.MissingFileError:
            return False
        if "multipart" in data.storage_data:
            return False
        self._published(data, record)
        return True


class Piece:
    """Takes the body of one request.

    What is sent is noted part by part, so a cut keeps what came; with a checksum nothing is noted before that is
    right.

    :param record: as it was read, with `version`
    :param reply: makes the answer out of the record at the end
    :raises ChangedFileError: when another request was quicker
    """

    def __init__(
        self,
        uploads: Uploads,
        record: Record,
        version: fk.FileData,
        checksum: tuple[str, bytes] | None,
        reply: Callable[[Record], Reply],
    ):
        self._uploads = uploads
        self._reply = reply
        self._checksum = checksum
        self._hasher = hashlib.new(checksum[0], usedforsecurity=False) if checksum else None
        self._record: Record = dataclasses.replace(record, claim=new_claim())
        self._version = uploads.records.save(self._record, version)
        self._sent: Record = self._record  # with parts that are sent and not noted yet
        self._position = record.offset  # of the whole that came
        self._buffer = bytearray()
        self._loaded = not record.tail
        self._broken = False
        self._found = False  # published by an earlier request

    @property
    def _part_size(self) -> int:
        return int(self._record.data.storage_data["part_size"])

    # -- intake -------------------------------------------------------------------------------------------------------

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. :raises Failure: when they are more than the upload has"""
        try:
            self._feed(chunk)
        except BaseException:
            self._broken = True
            raise

    def _feed(self, chunk: bytes) -> None:
        if self._position + len(chunk) > self._record.size:
            raise Failure(413, "The body goes beyond the length of the upload.")
        if self._hasher is not None:
            self._hasher.update(chunk)
        self._position += len(chunk)
        if self._found:
            return
        try:
            self._load_tail()
            self._buffer += chunk
            while len(self._buffer) > self._part_size:
                self._send(self._part_size)
                if self._checksum is None:
                    self._note()
        except fk.exc.MissingFileError:
            # An earlier request may have published the file, and have been unable to say so.
            if not self._uploads.find_published(self._record):
                raise
            self._found = True
            self._buffer.clear()
        self._renew()

    def finish(self) -> Reply:
        """Note what came; publish the file when it is whole."""
        try:
            if self._checksum is not None and self._hasher is not None and self._hasher.digest() != self._checksum[1]:
                raise Failure(460, "The checksum is another: nothing of this piece is kept.")
            try:
                if self._found:
                    self._done()
                else:
                    self._load_tail()
                    if self._position < self._record.size:
                        self._rest()
                        self._note(claim=False)
                    else:
                        self._end()
            except fk.exc.MissingFileError:  # as in `feed`
                if not self._uploads.find_published(self._record):
                    raise
                self._done()
            return self._reply(self._record)
        except BaseException:
            self._broken = True
            self.abort()
            raise

    def abort(self) -> None:
        """Keep what came before the connection broke, unless it cannot be checked; let the next request go on."""
        with suppress(Exception):
            if not self._broken and self._found:
                self._done()
            elif not self._broken and self._checksum is None:
                self._load_tail()
                self._rest()
                self._note(claim=False)
            else:
                left = dataclasses.replace(self._record, claim=None)
                self._version = self._uploads.records.save(left, self._version)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _load_tail(self) -> None:
        if not self._loaded:
            self._buffer += self._uploads.records.read_tail(self._record.tail)
            self._sent = dataclasses.replace(self._sent, tail="")
            self._loaded = True

    def _send(self, size: int) -> None:
        """Send the next part."""
        self._renew()
        number = self._sent.count
        body = bytes(memoryview(self._buffer)[:size])
        if number == 0:
            self._judge(body)
        part = self._uploads.storage.multipart_update(self._sent.data, body, number)
        self._sent = self._sent.grown(part, number)
        del self._buffer[:size]

    def _judge(self, body: bytes) -> None:
        try:
            self._uploads.terms.check_head(body[:_SNIFF])
        except fk.exc.UploadError:
            self._uploads.drop(self._record)
            raise
        data = self._sent.data
        # The type that the upload was begun with is what the client's name says.
        kind = fk.make_upload(fk.Upload(io.BytesIO(body[:_SNIFF]), data.location)).content_type
        if kind != data.content_type:
            self._begin_again(kind)

    def _begin_again(self, content_type: str) -> None:
        """Go on in an upload of another type, before the first part is sent."""
        storage, old = self._uploads.storage, self._sent.data
        try:
            data = storage.multipart_start(
                old.location, old.size, content_type=content_type, overwrite=self._uploads.overwrite
            )
        except fk.exc.ExistingFileError:
            self._uploads.drop(self._record)
            raise
        record = dataclasses.replace(self._record, data=data)
        try:
            self._version = self._uploads.records.save(record, self._version)
        except fk.exc.ChangedFileError:
            with suppress(fk.exc.FilesError):
                storage.multipart_remove(data)
            raise
        self._record, self._sent = record, dataclasses.replace(self._sent, data=data)
        with suppress(fk.exc.FilesError):
            storage.multipart_remove(old)

    def _rest(self) -> None:
        """Put aside what is left when more is to come: as a part, where one so small is taken, else beside."""
        limits = self._uploads.storage.limits
        rest = len(self._buffer)
        to_come = self._record.size - self._position
        room = limits.parts_max - self._sent.count - 1 > -(-to_come // self._part_size)
        if rest == self._part_size or (rest >= max(limits.part_min, _SNIFF) and not limits.equal_parts and room):
            self._send(rest)
        elif rest:
            self._sent = dataclasses.replace(
                self._sent, tail=self._uploads.records.keep_tail(self._record.id, bytes(self._buffer))
            )

    def _end(self) -> None:
        """Send the last part and publish. That is noted when it is so: what is noted as whole is there."""
        if self._buffer:
            self._send(len(self._buffer))
        self._uploads.publish(self._sent)
        self._done()

    def _done(self) -> None:
        self._sent = dataclasses.replace(self._sent, tail="")
        self._position = self._record.size
        self._note(done=True, claim=False)

    # -- the record ---------------------------------------------------------------------------------------------------

    def _note(self, *, claim: bool = True, done: bool = False) -> None:
        """Note what was sent."""
        old = self._record.tail
        buffered = 0 if self._sent.tail or done else len(self._buffer)
        changes: dict[str, Any] = {"offset": self._position - buffered, "done": done}
        changes["expires"] = time.time() + self._uploads.seconds
        changes["claim"] = {**(self._record.claim or {}), "until": time.time() + LEASE} if claim else None
        record = dataclasses.replace(self._sent, **changes)
        self._version = self._uploads.records.save(record, self._version)
        self._record = self._sent = record
        if old != record.tail:
            self._uploads.records.drop_tail(old)

    def _renew(self) -> None:
        """Keep the claim while bytes come."""
        claim = self._record.claim
        if claim is not None and claim["until"] - time.time() < LEASE / 2:
            claim = {**claim, "until": time.time() + LEASE}
            self._record = dataclasses.replace(self._record, claim=claim)
            self._version = self._uploads.records.save(self._record, self._version)
