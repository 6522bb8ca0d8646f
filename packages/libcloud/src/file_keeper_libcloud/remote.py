"""What stands behind a connection: the verbs, through the public methods of a driver."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Generator, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from file_keeper import exc
from file_keeper.backend import Body, ObjectInfo, Page, Source, WriteOptions, cut_pages, looking
from file_keeper.settings import humanize_filesize
from file_keeper.streams import BufferReader, IterableBytesReader
from file_keeper.types import Buffer
from libcloud.common.types import LibcloudError
from libcloud.storage.base import Object
from libcloud.storage.types import ContainerAlreadyExistsError, ContainerDoesNotExistError, ObjectDoesNotExistError

from . import errors
from .answers import Advance
from .pool import Held, Pool
from .traits import Traits, has
from .transport import Answer, RawBody

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# Libcloud types its objects' extra and metadata as bare dicts.

_MD5 = re.compile("[0-9a-f]{32}")
_TOTAL = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")
_HEADERS = ("Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language")
_METADATA_MAX = 2048
_CHUNK = 256 << 10


def missing_bucket(held: Held, response: Any) -> exc.FilesError:
    """Return the error for a 404 where only a bucket can be missing."""
    answer = Answer.of(response)
    return exc.InvalidStorageConfigurationError(
        f"there is no bucket {held.bucket!r}", code=answer.code, status=answer.status, request_id=answer.request_id
    )


class Remote:
    """Objects of one container."""

    def __init__(self, pool: Pool, traits: Traits):
        self._pool = pool
        self._traits = traits

    # -- looking ----------------------------------------------------------------------------------------------------

    def head(self, key: str) -> ObjectInfo:
        with self._pool.lend() as held:
            return self._look(held, key)[1]

    def _look(self, held: Held, key: str) -> tuple[Object, ObjectInfo]:
        found = held.driver.get_object(held.bucket, key)
        return found, self._info(held, found, key)

    def _info(self, held: Held, found: Object, key: str) -> ObjectInfo:
        """Describe an object by what the driver made of an answer, and by the answer's own headers."""
        extra: dict[str, Any] = found.extra
        headers = {name: value for name in _HEADERS if (value := held.header(name))}
        etag = (held.header("etag") or str(extra.get("etag") or found.hash or "")).strip('"')
        return ObjectInfo(
            key=key,
            size=int(found.size),
            content_type=held.header("content-type") or str(extra.get("content_type") or ""),
            etag=etag,
            modified=moment(held.header("last-modified") or extra.get("last_modified")),
            metadata=metadata_of(found.meta_data) if self._traits.metadata else {},
            headers=headers if self._traits.header_prefix is not None else {},
            digests=self._digests(held, etag),
        )

    def _digests(self, held: Held, etag: str) -> Mapping[str, str]:
        """Return the MD5 of the whole content, where it is certain that it is one.

        An etag is: plain hex (that of parts has a dash), and not of an object encrypted with keys of KMS or of the
        customer. https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
        """
        if self._traits.hash == "content-md5":
            value = held.header("content-md5")
            return {"md5": base64.b64decode(value).hex()} if value else {}
        if self._traits.hash == "etag" and _MD5.fullmatch(etag):
            encrypted = held.header("x-amz-server-side-encryption").startswith("aws:kms") or held.header(
                "x-amz-server-side-encryption-customer-algorithm"
            )
            multipart = held.header("x-object-manifest") or held.header("x-static-large-object")  # of Swift
            return {} if encrypted or multipart else {"md5": etag}
        return {}

    # -- reading ----------------------------------------------------------------------------------------------------

    def read(self, key: str, start: int, end: int | None, etag: str) -> Body:
        if end is not None and end <= start:
            return self._nothing(key, etag)
        with self._pool.lend() as held:
            target = held.object(key)
            seen = self._info(held, target, key) if not self._traits.plain else None
            held.trace.response = None
            whole = not start and end is None
            ranged = has(type(held.driver), "download_object_range_as_stream")
            try:
                if whole or not ranged:
                    chunks = held.driver.download_object_as_stream(target)
                else:
                    chunks = held.driver.download_object_range_as_stream(target, start, end)
            except exc.FilesError:
                raise
            except Exception:
                if held.trace.response is not None and held.trace.response.status_code == 416:
                    return self._nothing(key, etag)
                raise
            response = held.trace.response
        if response is None or not (whole or ranged):
            # A driver that asks for the bytes only when they are wanted, or that knows no ranges.
            info = seen or self.head(key)
            self._same(info, etag)
            return _skipped(info, chunks if response is None else _chunks(RawBody(response)), start, end)
        stream = RawBody(response)
        try:
            return self._opened(held, key, stream, response, start, end, etag)
        except BaseException:
            stream.close()
            raise

    def _opened(
        self, held: Held, key: str, stream: RawBody, response: Any, start: int, end: int | None, etag: str
    ) -> Body:
        """Describe an open answer."""
        told = response.headers.get("content-length")
        length = int(told) if told else self.head(key).size - start  # sent in chunks
        ranged = _TOTAL.match(response.headers.get("content-range", ""))
        if ranged is None and start:
            raise exc.StorageError("the service gives the whole object where a range was asked for")
        size = int(ranged[1]) if ranged else length
        there = (response.headers.get("etag") or "").strip('"')
        info = ObjectInfo(key=key, size=size, etag=there, content_type=response.headers.get("content-type", ""))
        # The answer itself tells its version: no other can slip between a look and the bytes.
        self._same(info, etag)
        return Body(info, length if ranged or end is None else min(length, end), stream)

    @staticmethod
    def _same(info: ObjectInfo, etag: str) -> None:
        if etag and info.etag != etag:
            raise exc.ChangedFileError("the file is another version")

    def _nothing(self, key: str, etag: str) -> Body:
        info = self.head(key)
        self._same(info, etag)
        return Body(info, 0, BufferReader(memoryview(b"")))

    # -- listing ----------------------------------------------------------------------------------------------------

    def list(self, prefix: str, start_after: str, delimiter: str) -> Iterator[Page]:
        with self._pool.lend() as held:
            found = (self._listed(item, str(item.name)) for item in self._objects(held, prefix))
            yield from cut_pages(found, prefix, start_after=start_after, delimiter=delimiter)

    def _objects(self, held: Held, prefix: str) -> Iterator[Object]:
        container = held.container()
        held.trace.advance = Advance()
        try:
            yield from held.driver.iterate_container_objects(container, prefix=prefix or None)
        except LibcloudError as error:
            response = held.trace.response
            if response is not None and response.status_code == 404:
                raise missing_bucket(held, response) from error
            raise

    def _listed(self, found: Object, key: str) -> ObjectInfo:
        extra: dict[str, Any] = found.extra
        md5 = str(extra.get("md5_hash") or "") if self._traits.hash == "content-md5" else ""
        return ObjectInfo(
            key=key,
            size=int(found.size),
            content_type=str(extra.get("content_type") or ""),
            etag=str(extra.get("etag") or found.hash or "").strip('"'),
            modified=moment(extra.get("last_modified")),
            metadata=metadata_of(found.meta_data) if self._traits.metadata else {},
            digests={"md5": md5} if md5 else {},
        )

    # -- writing ----------------------------------------------------------------------------------------------------

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        self._fits(options)
        with self._pool.lend() as held:
            self._condition(held, key, options)
            try:
                return self._put(held, key, body, options)
            except LibcloudError as error:
                response = held.trace.response
                if response is not None and response.status_code == 404 and not errors.hidden(error):
                    raise missing_bucket(held, response) from error
                raise

    def _fits(self, options: WriteOptions) -> None:
        told = sum(len(name) + len(value) for name, value in options.metadata.items())
        if told > _METADATA_MAX:
            raise exc.ContentError(f"the metadata takes {told} bytes, at most {_METADATA_MAX} can be kept")
        if options.headers and self._traits.header_prefix is None:
            raise exc.UnsupportedOperationError("Libcloud's driver keeps no headers with a file")
        if options.size is not None and options.size > self._traits.object_max:
            raise self._large()

    def _large(self) -> exc.FilesError:
        most = humanize_filesize(self._traits.object_max)
        return exc.LargeUploadError(f"Libcloud's driver cannot send more than {most} as a stream")

    def _condition(self, held: Held, key: str, options: WriteOptions) -> None:
        """Look before writing: a driver has no condition to give to its provider."""
        if not (options.if_absent or options.if_match):
            return
        try:
            info = self._look(held, key)[1]
        except ObjectDoesNotExistError:
            if options.if_match:
                raise exc.ChangedFileError("the file to be replaced is not there any more") from None
            return
        if options.if_absent:
            raise exc.ExistingFileError("there is a file already and overwriting is off")
        if info.etag != options.if_match:
            raise exc.ChangedFileError("the file is another version")

    def _put(self, held: Held, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        counter = _Counter(self._large, self._traits.object_max)
        extra: dict[str, Any] = {"content_type": options.content_type, "meta_data": dict(options.metadata)}
        prefix = self._traits.header_prefix or ""
        headers = {(prefix + name.lower() if prefix else name): value for name, value in options.headers.items()}
        whole = isinstance(body, bytes | bytearray | memoryview) and (self._traits.empty or len(body) > 0)
        if whole or not self._traits.streams:
            with _file(counter.passed(body)) as path:
                more: dict[str, Any] = {}
                if self._traits.content_md5 and isinstance(body, bytes | bytearray | memoryview):
                    # The service compares it before it stores; the driver would afterwards, and with the etag, which is
                    # no MD5 of what is encrypted.
                    headers["Content-MD5"] = _content_md5(body, options)
                    more["verify_hash"] = False
                if headers:
                    more["headers"] = headers
                made = held.driver.upload_object(path, held.container(), key, extra=extra, **more)
        else:
            if held.blocks is not None:
                held.blocks.begin()
            more = {"headers": headers} if headers else {}
            made = held.driver.upload_object_via_stream(
                counter.passed(body), held.container(), key, extra=extra, **more
            )
        etag = (held.header("etag") or str(made.hash or "")).strip('"')
        return ObjectInfo(
            key=key,
            size=counter.size,
            content_type=options.content_type,
            etag=etag,
            modified=moment(held.header("last-modified") or held.header("date")),
            metadata=options.metadata,
            headers=options.headers,
        )

    def delete(self, key: str, etag: str) -> bool:
        with self._pool.lend() as held:
            try:
                with looking():
                    found, info = self._look(held, key)
                self._same(info, etag)
                if not held.driver.delete_object(found):
                    raise exc.StorageError("the service did not delete it")
            except ObjectDoesNotExistError:
                return False
        return True

    # -- the container ----------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        with self._pool.lend() as held:
            try:
                held.driver.get_container(held.bucket)
            except ContainerDoesNotExistError:
                with contextlib.suppress(ContainerAlreadyExistsError):
                    held.driver.create_container(held.bucket)

    def cleanup(self, prefix: str, older_than: float) -> int:
        """Abort the uploads in parts of S3 that a killed process has left open."""
        limit = datetime.now(UTC).timestamp() - older_than
        count = 0
        with self._pool.lend() as held:
            driver: Any = held.driver
            container = held.container()
            for upload in list(driver.ex_iterate_multipart_uploads(container, prefix=prefix)):
                begun = moment(upload.created_at)
                if begun is not None and begun.timestamp() <= limit:
                    # The public method aborts every upload there is, whatever its age.
                    driver._abort_multipart(container, upload.key, upload.id)
                    count += 1
        return count


class _Counter:
    """Counts the bytes that a driver takes, and stops what is too large."""

    def __init__(self, large: Any, most: int):
        self.size = 0
        self._large = large
        self._most = most

    def passed(self, body: Buffer | Source) -> Iterator[bytes]:
        """Return the bytes of a body; Libcloud knows no other buffers than ``bytes``."""
        parts = (memoryview(body),) if isinstance(body, bytes | bytearray | memoryview) else body
        for part in parts:
            self.size += len(part)
            if self.size > self._most:
                raise self._large()
            yield bytes(part)


def _content_md5(body: Buffer, options: WriteOptions) -> str:
    """Return the value of ``Content-MD5``: of what was read from the source, where that is known."""
    known = options.digests.get("md5")
    digest = bytes.fromhex(known) if known else hashlib.md5(body, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


@contextlib.contextmanager
def _file(chunks: Iterator[bytes]) -> Generator[str]:
    """Return the path of a temporary file with that content: drivers can send nothing else in one request."""
    file = tempfile.NamedTemporaryFile(prefix="file-keeper-", delete=False)  # noqa: SIM115 - closed before it is sent
    try:
        with file:
            for chunk in chunks:
                file.write(chunk)
        yield file.name
    finally:
        os.unlink(file.name)


def _chunks(body: RawBody) -> Iterator[bytes]:
    """Return the bytes of an answer, and close it."""
    try:
        while chunk := body.read(_CHUNK):
            yield chunk
    finally:
        body.close()


def _skipped(info: ObjectInfo, chunks: Iterator[bytes], start: int, end: int | None) -> Body:
    """Read from the beginning, throw away what lies before `start`, and stop at `end`."""
    stop = info.size if end is None else min(end, info.size)

    def wanted() -> Iterator[bytes]:
        at = 0
        for chunk in chunks:
            piece = chunk[max(0, start - at) : max(0, stop - at)]
            at += len(chunk)
            if piece:
                yield piece
            if at >= stop:
                return

    return Body(info, max(0, stop - start), IterableBytesReader(wanted()))


def metadata_of(raw: Mapping[Any, Any]) -> dict[str, str]:
    """Return metadata in lower case; what a listing puts there beside it (the owner) is no text."""
    return {str(name).lower(): value for name, value in raw.items() if isinstance(value, str)}


def moment(value: Any) -> datetime | None:
    """Return the time that a provider writes in its headers (RFC 9110) or listings (RFC 9110, ISO 8601)."""
    if not value:
        return None
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        try:
            found = parsedate_to_datetime(str(value))
        except ValueError:
            return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
