"""Uploads in parts: objects under the reserved name that are composed into one.

Google's JSON API has no multipart uploads, and its XML API has them without preconditions and without an MD5. So a
part is an object of its own, `complete` composes them (the condition on the target, the type and the metadata go with
that one request), and the scaffolding is deleted::

    PATH/.file-keeper/gcs-uploads/ID/begin         empty; its metadata names the key: the upload is open
    PATH/.file-keeper/gcs-uploads/ID/part-00000
    PATH/.file-keeper/gcs-uploads/ID/join-1-00000  more than 32 parts are composed in several steps

Reference: "Composite objects": https://cloud.google.com/storage/docs/composite-objects
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from file_keeper import exc, hashing
from file_keeper.backend import MultipartRef, ObjectInfo, OpenUpload, Part, Workers
from file_keeper.location import RESERVED
from file_keeper.types import Buffer

from . import batch, errors, records
from .answers import NotFound, Refused
from .listing import LISTED, pages
from .transport import Transport

log = logging.getLogger("file_keeper")

SOURCES = 32
"""Most objects that one request composes."""

BEGIN = "begin"
REMEMBERED = 1000
"""Uploads that are known to be open without asking again."""


_TRIES = 2
"""How often scaffolding is deleted that has served: one lost request leaves nothing."""


def _may_be_done(error: Exception) -> bool:
    """Return whether what was asked for may have been done although this error came back."""
    return not (isinstance(error, Refused) and error.status < 500)


def _may_pass(error: Exception) -> bool:
    """Return whether the same request may succeed another time."""
    return error.retryable if isinstance(error, exc.FilesError) else _may_be_done(error)


def _metadata(found: Mapping[str, Any]) -> Mapping[str, str]:
    return found.get("metadata") or {}


class Source:
    """An object that goes into a composition, and the generation that it must have (``""``: any)."""

    __slots__ = ("generation", "key")

    def __init__(self, key: str, generation: str):
        self.key = key
        self.generation = generation

    def request(self) -> dict[str, Any]:
        """Return it as the API wants it."""
        if not self.generation:
            return {"name": self.key}
        return {"name": self.key, "objectPreconditions": {"ifGenerationMatch": records.generation(self.generation)}}


class Parts:
    """The uploads in parts of one storage.

    :param transport: gives what requests go through
    :param path: the storage's own, below which the scaffolding lies
    :param concurrency: requests at a time where objects are composed in steps

    Parts have the storage class of what they become: a composed object has that of its sources.
    """

    def __init__(self, transport: Callable[[], Transport], path: str, concurrency: int):
        self._transport = transport
        self._root = f"{path}/{RESERVED}/gcs-uploads/" if path else f"{RESERVED}/gcs-uploads/"
        self._concurrency = concurrency
        self._lock = threading.Lock()
        self._open: OrderedDict[str, str] = OrderedDict()

    # -- names ------------------------------------------------------------------------------------------------------

    @staticmethod
    def new_id() -> str:
        """Return the id of a new upload."""
        return os.urandom(16).hex()

    def name(self, upload_id: str, leaf: str) -> str:
        """Return the key of a piece of scaffolding.

        :raises MissingFileError: for an id that is not one of ours: it comes from a user's record
        """
        if not re.fullmatch(r"[0-9a-f]{32}", upload_id):
            raise exc.MissingFileError("there is no such upload")
        return f"{self._root}{upload_id}/{leaf}"

    def part_name(self, upload: MultipartRef, number: int) -> str:
        """Return the key of a part."""
        return self.name(upload.id, f"part-{number:05d}")

    # -- the life of an upload --------------------------------------------------------------------------------------

    def create(self, key: str) -> str:
        """Begin an upload; return its id."""
        upload_id = self.new_id()
        transport = self._transport()
        name = self.name(upload_id, BEGIN)
        resource = {"name": name, "metadata": {"key": key}, **transport.storage_class}
        with self.undone(name):
            transport.insert(resource, b"", {"ifGenerationMatch": "0"})
        self._remember(upload_id, key)
        return upload_id

    def put(self, upload: MultipartRef, number: int, body: Buffer) -> Part:
        """Send a part. :raises MissingFileError: when there is no such upload"""
        self.must_be_open(upload)
        info = self.write(self.part_name(upload, number), body)
        return Part(number=number, size=info.size, etag=info.etag, modified=info.modified)

    def write(self, key: str, body: Buffer) -> ObjectInfo:
        """Write a piece of scaffolding, verified by its crc32c."""
        crc = hashing.new("crc32c")
        crc.update(body)
        transport = self._transport()
        resource = {"name": key, **transport.storage_class, **records.expected({"crc32c": crc.hexdigest()})}
        return records.info(transport.insert(resource, body, {}))

    def parts(self, upload: MultipartRef) -> Iterator[Part]:
        """Return the parts that are there, by number. :raises MissingFileError: when there is no such upload"""
        begun = False
        for item in self._list(self.name(upload.id, "")):
            leaf = item["name"].rpartition("/")[2]
            if leaf == BEGIN:
                begun = _metadata(item).get("key") == upload.key
            elif not begun:
                break
            elif match := re.fullmatch(r"part-(\d+)", leaf):
                info = records.info(item)
                yield Part(number=int(match[1]), size=info.size, etag=info.etag, modified=info.modified)
        if not begun:
            raise exc.MissingFileError("there is no such upload")

    def complete(
        self, upload: MultipartRef, parts: Sequence[Part], resource: Mapping[str, Any], conditions: Mapping[str, str]
    ) -> dict[str, Any]:
        """Compose the parts into the target; :meth:`remove_scaffolding` afterwards."""
        sources = [Source(self.part_name(upload, part.number), part.etag) for part in parts]
        return self.compose(sources, upload.key, resource, conditions, upload.id)

    def must_be_open(self, upload: MultipartRef) -> None:
        """Ask, once for each upload, whether it was begun.

        :raises MissingFileError: when it was not, or is over
        """
        with self._lock:
            known = self._open.get(upload.id)
        if known is None:
            transport = self._transport()
            try:
                found = transport.json("objects.get", "GET", transport.path(self.name(upload.id, BEGIN)))
            except NotFound as error:
                raise errors.missing(error, transport.bucket, "there is no such upload") from error
            known = _metadata(found).get("key", "")
            self._remember(upload.id, known)
        if known != upload.key:
            raise exc.MissingFileError("there is no such upload")

    def remove_scaffolding(self, upload_id: str) -> tuple[bool, Refused | None]:
        """Delete the scaffolding; return whether the upload was open, and what could not be deleted."""
        with self._lock:
            self._open.pop(upload_id, None)
        names = [item["name"] for item in self._list(self.name(upload_id, ""))]
        failures = [error for _, error in batch.delete(self._transport(), names)]
        return self.name(upload_id, BEGIN) in names, failures[0] if failures else None

    def tidy(self, upload_id: str) -> None:
        """Delete the scaffolding of what is published already: that stands, whatever happens here."""
        failure: Exception | None = None
        for _ in range(_TRIES):
            try:
                failure = self.remove_scaffolding(upload_id)[1]
            except Exception as error:
                failure = error
            if failure is None or not _may_pass(failure):
                break
        if failure is not None:
            log.warning(
                "the parts of a finished upload could not be deleted, cleanup_uploads finds them: %s: %s",
                type(failure).__name__,
                getattr(failure, "message", ""),
            )

    @contextlib.contextmanager
    def undone(self, key: str) -> Generator[None]:
        """Delete a piece of scaffolding if making it fails, where it may have been made all the same."""
        try:
            yield
        except BaseException as error:
            if not isinstance(error, Exception) or _may_be_done(error):
                self.discard(key)
            raise

    def discard(self, key: str) -> None:
        """Delete one piece of scaffolding that is not needed any more, whatever becomes of it."""
        failure: Exception | None = None
        for _ in range(_TRIES):
            try:
                self._transport().request("objects.delete", "DELETE", self._transport().path(key))
                return
            except NotFound:
                return
            except Exception as error:
                failure = error
                if not _may_pass(error):
                    break
        log.warning("%r could not be deleted, cleanup_uploads finds it: %s", key, type(failure).__name__)

    def open_uploads(self, prefix: str) -> Iterator[OpenUpload]:
        """Return the uploads that were begun for keys with `prefix`, and what is left of others without their begin."""
        found = self._list(self._root)
        for upload_id, group in groupby(found, key=lambda item: item["name"][len(self._root) :].partition("/")[0]):
            items = list(group)
            times = [records.moment(item.get("timeCreated")) or datetime.now(UTC) for item in items]
            begin = next((item for item in items if item["name"].endswith(f"/{BEGIN}")), None)
            key = str(_metadata(begin or {}).get("key") or items[0]["name"])
            if key.startswith(prefix):
                started = times[items.index(begin)] if begin else times[0]
                yield OpenUpload(MultipartRef(key, upload_id), started, max(times))

    # -- composition ------------------------------------------------------------------------------------------------

    def compose(
        self,
        sources: Sequence[Source],
        key: str,
        resource: Mapping[str, Any],
        conditions: Mapping[str, str],
        scratch: str,
    ) -> dict[str, Any]:
        """Make one object of several; more than 32 in steps, by way of objects in the scaffolding `scratch`."""
        level = 0
        while len(sources) > SOURCES:
            level += 1
            sources = self._join(sources, level, scratch)
        transport = self._transport()
        return transport.json(
            "objects.compose",
            "POST",
            f"{transport.path(key)}/compose",
            conditions,
            {"destination": dict(resource), "sourceObjects": [source.request() for source in sources]},
        )

    def _join(self, sources: Sequence[Source], level: int, scratch: str) -> list[Source]:
        groups = [sources[start : start + SOURCES] for start in range(0, len(sources), SOURCES)]

        def join(numbered: tuple[int, Sequence[Source]]) -> Source:
            number, group = numbered
            if len(group) == 1:
                return group[0]
            key = self.name(scratch, f"join-{level}-{number:05d}")
            made = records.info(self.compose(group, key, {"contentType": records.DEFAULT_TYPE}, {}, scratch))
            return Source(key, made.etag)

        with Workers(self._concurrency, "file-keeper-gcs") as pool:
            return pool.map(join, enumerate(groups))

    # -- below ------------------------------------------------------------------------------------------------------

    def _remember(self, upload_id: str, key: str) -> None:
        with self._lock:
            self._open[upload_id] = key
            while len(self._open) > REMEMBERED:
                self._open.popitem(last=False)

    def _list(self, prefix: str) -> Iterator[dict[str, Any]]:
        fields = f"kind,nextPageToken,items({LISTED},metadata)"
        for page in pages(self._transport(), {"prefix": prefix, "fields": fields}, dict[str, Any]):
            yield from page.get("items") or ()
