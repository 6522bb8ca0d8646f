"""The requests of the tus protocol and their answers."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
import secrets
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import file_keeper as fk

from ..conditions import format_date
from ..failures import failure_of
from ..http import Failure, Intake, Reply, Request
from ..receiving import LocationOf, Terms
from .pieces import Piece, Uploads
from .records import Record

VERSION = "1.0.0"
EXTENSIONS = "creation,termination,expiration,checksum"
CHECKSUMS = ("sha1", "md5", "sha256", "sha512")
_TYPE = "application/offset+octet-stream"
_METADATA_MAX = 8192


@dataclasses.dataclass(slots=True)
class Tus:
    """Answers the requests of tus clients."""

    storage: fk.Storage
    location: LocationOf
    max_size: int | None
    types: tuple[str, ...]
    overwrite: bool | None
    seconds: float
    base_url: str
    finished: Callable[[fk.FileData, Mapping[str, str]], object] | None
    max_part_size: int
    _uploads: Uploads = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        terms = Terms(max_size=self.max_size, types=self.types)
        self._uploads = Uploads(self.storage, terms, self.seconds, self.overwrite, self._publish)

    def _publish(self, file: fk.FileData, record: Record) -> None:
        if self.finished is not None:
            self.finished(file, parse_metadata(record.metadata))

    def handle(self, request: Request) -> Reply | Intake[Reply]:
        """Answer a request, or take its body."""
        with _told():
            method = request.header("x-http-method-override").upper() or request.method
            if method == "OPTIONS":
                return self._options()
            if request.header("tus-resumable") != VERSION:
                raise Failure(412, "This version of the protocol is not spoken here.", {"Tus-Version": VERSION})
            id = request.path.strip("/")
            if not id:
                if method != "POST":
                    raise Failure(405, "An upload is begun with POST.", {"Allow": "OPTIONS, POST"})
                return self._create(request)
            if not re.fullmatch("[0-9a-f]{32}", id):
                raise Failure(404, "There is no such upload.")
            if method == "HEAD":
                return self._status(id)
            if method == "PATCH":
                return _Told(self._patch(id, request))
            if method == "DELETE":
                self._uploads.drop(self._load(id)[0])
                return _reply(204)
            raise Failure(405, "An upload has no such method.", {"Allow": "OPTIONS, HEAD, PATCH, DELETE"})

    def _options(self) -> Reply:
        headers = {"Tus-Version": VERSION, "Tus-Extension": EXTENSIONS, "Tus-Checksum-Algorithm": ",".join(CHECKSUMS)}
        if self.max_size is not None:
            headers["Tus-Max-Size"] = str(self.max_size)
        return _reply(204, headers)

    # -- creation -----------------------------------------------------------------------------------------------------

    def _create(self, request: Request) -> Reply:
        size = _count(request.header("upload-length"), "Upload-Length")
        raw = request.header("upload-metadata")
        metadata = parse_metadata(raw)
        self._uploads.terms.check_size(size)
        name = metadata.get("filename") or metadata.get("name") or ""
        location = self.location if isinstance(self.location, str) else self.location(name)
        overwrite = self.storage.settings.overwrite_existing if self.overwrite is None else self.overwrite
        if not overwrite and self.storage.exists(location):
            raise fk.exc.ExistingFileError("there is a file already and overwriting is off")
        expires = time.time() + self.seconds
        id = secrets.token_hex(16)
        if size:
            data = self._start(location, size)
            record = Record(id=id, data=data, metadata=raw, expires=expires)
        else:
            self._uploads.terms.check_head(b"")
            data = self.storage.upload(location, b"", overwrite=self.overwrite)
            record = Record(id=id, data=data, metadata=raw, expires=expires, done=True)
            self._publish(data, record)
        try:
            self._uploads.records.create(record)
        except BaseException:
            if size:
                with suppress(Exception):
                    self.storage.multipart_remove(data)
            raise
        base = self.base_url or request.root.rstrip("/")
        return _reply(201, {"Location": f"{base}/{id}", "Content-Length": "0", **_described(record)})

    def _start(self, location: str, size: int) -> fk.FileData:
        """Begin an upload, unless its parts, which are held in memory, are too large."""
        data = self.storage.multipart_start(location, size, overwrite=self.overwrite)
        if data.storage_data["part_size"] > max(self.max_part_size, self.storage.settings.part_size):
            with suppress(fk.exc.FilesError):
                self.storage.multipart_remove(data)
            raise fk.exc.LargeUploadError(
                f"{fk.humanize_filesize(size)} need parts of more than {fk.humanize_filesize(self.max_part_size)}"
            )
        return data

    # -- what is there ------------------------------------------------------------------------------------------------

    def _load(self, id: str) -> tuple[Record, fk.FileData]:
        try:
            record, version = self._uploads.records.load(id)
        except fk.exc.MissingFileError as error:
            raise Failure(404, "There is no such upload.") from error
        if record.expires < time.time() and not record.claimed():
            self._uploads.drop(record)
            raise Failure(410, "The upload has expired.")
        return record, version

    def _status(self, id: str) -> Reply:
        record, _ = self._load(id)
        headers = {"Upload-Length": str(record.size), "Content-Length": "0", **_described(record)}
        if record.metadata:
            headers["Upload-Metadata"] = record.metadata
        return _reply(200, headers)

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _patch(self, id: str, request: Request) -> Intake[Reply]:
        if request.header("content-type").strip().lower() != _TYPE:
            raise Failure(415, f"The Content-Type of a piece is {_TYPE}.")
        offset = _count(request.header("upload-offset"), "Upload-Offset")
        checksum = parse_checksum(request.header("upload-checksum"))
        record, version = self._load(id)
        if offset != record.offset or (record.claimed() and not record.done):
            raise _conflict(record)
        if request.length is not None and offset + request.length > record.size:
            raise Failure(413, "The body goes beyond the length of the upload.")
        if record.done:
            return _Nothing(_answer(record))
        try:
            if record.claim is not None and self._uploads.find_published(record):
                # The last sender ended without a word, when all was done.
                record = dataclasses.replace(record, done=True, claim=None, tail="")
                self._uploads.records.save(record, version)
                raise _conflict(record)
            return Piece(self._uploads, record, version, checksum, _answer)
        except (fk.exc.ChangedFileError, fk.exc.MissingFileError) as error:
            raise _conflict(self._load(id)[0]) from error


class _Nothing:
    """Takes an empty body."""

    def __init__(self, reply: Reply):
        self._reply = reply

    def feed(self, chunk: bytes) -> None:
        if chunk:
            raise Failure(413, "The body goes beyond the length of the upload.")

    def finish(self) -> Reply:
        return self._reply

    def abort(self) -> None:
        pass


class _Told:
    """An intake whose failures are those of the protocol."""

    def __init__(self, inner: Intake[Reply]):
        self._inner = inner

    def feed(self, chunk: bytes) -> None:
        with _told():
            self._inner.feed(chunk)

    def finish(self) -> Reply:
        with _told():
            return self._inner.finish()

    def abort(self) -> None:
        self._inner.abort()


@contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except (Failure, fk.exc.FilesError) as error:
        failure = failure_of(error)
        if isinstance(error, fk.exc.ChangedFileError):  # of the record: another request was quicker
            failure = Failure(409, "Another request sends this upload.")
        failure.headers["Tus-Resumable"] = VERSION
        raise failure from error


def _reply(status: int, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, {"Tus-Resumable": VERSION, "Cache-Control": "no-store", **(headers or {})})


def _described(record: Record) -> dict[str, str]:
    offset = record.size if record.done else record.offset
    ends = format_date(datetime.fromtimestamp(record.expires, UTC))
    return {"Upload-Offset": str(offset), "Upload-Expires": ends}


def _answer(record: Record) -> Reply:
    return _reply(204, _described(record))


def _conflict(record: Record) -> Failure:
    return Failure(409, "The upload stands elsewhere, or another request sends it.", _described(record))


def _count(value: str, name: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise Failure(400, f"{name} must be a number of bytes.")
    return int(value)


def parse_metadata(value: str) -> dict[str, str]:
    """Return ``Upload-Metadata``, name to text. :raises Failure: when it is none"""
    if len(value) > _METADATA_MAX:
        raise Failure(400, "Upload-Metadata is too long.")
    result: dict[str, str] = {}
    for pair in filter(None, (pair.strip() for pair in value.split(","))):
        name, _, encoded = pair.partition(" ")
        try:
            text = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            raise Failure(400, "Upload-Metadata cannot be read.") from None
        if not name or name in result:
            raise Failure(400, "Upload-Metadata has a name twice, or none.")
        result[name] = text
    return result


def parse_checksum(value: str) -> tuple[str, bytes] | None:
    """Return ``Upload-Checksum``: the algorithm and the digest. :raises Failure: when it is none that is known"""
    if not value:
        return None
    algorithm, _, encoded = value.strip().partition(" ")
    try:
        digest = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise Failure(400, "Upload-Checksum cannot be read.") from None
    if algorithm.lower() not in CHECKSUMS:
        raise Failure(400, f"Upload-Checksum is one of {', '.join(CHECKSUMS)}.")
    return algorithm.lower(), digest
