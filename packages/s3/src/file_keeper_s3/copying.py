"""Copies of any size, and objects made of others, by parts that never leave the service."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from file_keeper import exc
from file_keeper.backend import (
    Backend,
    MultipartRef,
    NotSupportedForObject,
    ObjectInfo,
    PartsDiscardedError,
    Workers,
    WriteOptions,
)
from file_keeper.resilience.retry import Retry
from file_keeper.types import Buffer

from . import errors
from .checksums import NATIVE
from .multipart import Multipart
from .objects import Objects
from .records import MD5_KEY, attributes
from .reply import Refusal
from .tags import Tags

MiB = 1 << 20
GiB = 1 << 30

COPY_MAX = 5 * GiB
"""Largest object of one CopyObject; what is larger is copied in parts."""

COPY_PART = 256 * MiB
"""Bytes of one copied part: large for few requests, small enough for several at a time."""

PART_MIN = 5 * MiB
PARTS_MAX = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """A range of an object, both ends included, that becomes a part; without a range the whole object."""

    source: ObjectInfo
    start: int
    end: int


def pieces(source: ObjectInfo, size: int, *, equal: bool = False) -> Iterator[Piece]:
    """Cut an object into pieces of nearly one size, about `size` and no smaller than :data:`PART_MIN`.

    :param equal: all but the last one have this size
    """
    if equal:
        for start in range(0, source.size, size):
            yield Piece(source, start, min(start + size, source.size) - 1)
        return
    count = max(1, min(-(-source.size // size), source.size // PART_MIN))
    start = 0
    for number in range(count):
        end = source.size * (number + 1) // count
        yield Piece(source, start, end - 1)
        start = end


def plan(sources: Sequence[ObjectInfo], *, tail: int = 0, equal: bool = False) -> list[Piece]:
    """Cut sources into the parts of one object.

    :param tail: bytes of one part that follows them
    :param equal: all parts but the last must have one size
    :raises NotSupportedForObject: when one is too small to be a part that is not the last, or there are too many
    """
    sources = [source for source in sources if source.size]
    room = PARTS_MAX - bool(tail) - max(0, len(sources) - 1)  # each source may end in a piece that is not full
    last = len(sources) - (0 if tail else 1)
    if not sources or room <= 0 or any(source.size < PART_MIN for source in sources[:last]):
        raise NotSupportedForObject(f"S3 makes no object of parts under {PART_MIN} bytes, nor of over {PARTS_MAX}")
    size = max(PART_MIN, min(COPY_PART, COPY_MAX), -(-sum(source.size for source in sources) // room))
    if equal and (tail or len(sources) > 1) and sources[0].size <= COPY_MAX:
        size = sources[0].size  # the one size that may fit all
    found = [piece for source in sources for piece in pieces(source, size, equal=equal)]
    if equal:
        sizes = [*(piece.end - piece.start + 1 for piece in found), *([tail] if tail else [])]
        if any(one != sizes[0] for one in sizes[:-1]) or sizes[-1] > sizes[0]:
            raise NotSupportedForObject("these make no parts of one size, which the service wants")
    return found


def send_pieces(
    backend: Backend[Any], copy: Callable[[int, Piece], dict[str, Any]], found: list[Piece], concurrency: int
) -> list[dict[str, Any]]:
    """Copy pieces as parts, several at a time, each repeated by itself.

    :param copy: copies one piece as the part of a number, and gives how the part is named at completion
    :raises FilesError: what a part failed with after its repeats: not to be repeated as a whole
    """
    repeats = Retry(backend)

    def one(number: int, piece: Piece) -> dict[str, Any]:
        def attempt() -> dict[str, Any]:
            try:
                return copy(number, piece)
            except exc.FilesError:
                raise
            except Exception as error:
                ours = backend.translate(error)
                if ours is None:
                    raise
                raise ours from error

        try:
            return repeats.around("copy", piece.source.key, attempt)
        except exc.FilesError as error:
            error.retryable = False
            raise

    with Workers(concurrency, "file-keeper-s3") as pool:
        return pool.map(lambda numbered: one(*numbered), enumerate(found, 1))


def _with_md5(source: ObjectInfo, options: WriteOptions) -> WriteOptions:
    """Record the MD5 that a single object has by its etag, and one made of parts has not."""
    digest = source.digests.get("md5")
    if not digest or MD5_KEY in options.metadata:
        return options
    value = base64.b64encode(bytes.fromhex(digest)).decode()
    return dataclasses.replace(options, metadata={**options.metadata, MD5_KEY: value})


class Copies:
    """The copies of one bucket.

    :param backend: repeats transient failures, piece by piece
    """

    def __init__(self, backend: Backend[Any], objects: Objects, parts: Multipart, tags: Tags):
        self._backend = backend
        self._objects = objects
        self._parts = parts
        self._tags = tags
        self._call = objects.call
        self._endpoint = objects.endpoint
        self._settings = objects.settings

    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        if source.size > COPY_MAX:
            return self.assemble(key, self._plan([source]), options, source=source)
        if not self._endpoint.has("copy"):
            raise NotSupportedForObject("the service copies nothing by itself")
        pinned = not source.etag or self._endpoint.has("copy_source_if_match")
        # Made of parts the source is looked at before what was made of it is published.
        by_parts = (not pinned and self._can_copy_parts()) or (options.if_absent and self._only_parts_are_conditional())
        if by_parts and source.size:
            try:
                return self.assemble(key, self._plan([source]), _with_md5(source, options), source=source)
            except NotSupportedForObject:
                if self._can_copy_parts():
                    raise
                # It was found out just now that the service copies none: then in one request.
        params = attributes(options, self._settings) | self._objects.conditions("copy", key, options)
        params.pop("Tagging", None)  # a copy has the tags of its source
        if (algorithm := self._settings.hashing_algorithm) in self._backend.limits.put_digests:
            params["ChecksumAlgorithm"] = algorithm.upper()  # else the copy has that of its source
        if not pinned:
            self._look(source)
        try:
            answer = self._call("copy_object", Key=key, MetadataDirective="REPLACE", **self._source(source), **params)
        except Refusal as error:
            if self._endpoint.learn_refused("copy", error):
                raise NotSupportedForObject("the service copies nothing by itself") from error
            raise self._copy_failed(error, [source], options) from error
        if not pinned:
            self._look(source, after=True)
        return self._objects.written(key, source.size, answer["CopyObjectResult"], options)

    def _only_parts_are_conditional(self) -> bool:
        """Return whether the service decides ``If-None-Match`` when parts are completed, and not when it copies.

        CopyObject learned it years after the other writes: a copy of one part is as atomic as they are.
        """
        endpoint = self._endpoint
        return (
            not endpoint.condition("copy", if_match=False)
            and self._can_copy_parts()
            and bool(endpoint.condition("complete", if_match=False))
        )

    def _can_copy_parts(self) -> bool:
        return self._endpoint.has("parts") and not self._endpoint.lacks("copy_parts")

    def _plan(self, sources: Sequence[ObjectInfo], *, tail: int = 0) -> list[Piece]:
        """Cut sources as :func:`plan` does, as this service wants it; `tail` is in bytes."""
        return plan(sources, tail=tail, equal=self._endpoint.lacks("unequal_parts"))

    def compose(self, sources: Sequence[ObjectInfo], key: str, options: WriteOptions) -> ObjectInfo:
        return self.assemble(key, self._plan(sources), options)

    def append(self, target: ObjectInfo, body: Buffer, options: WriteOptions) -> ObjectInfo:
        return self.assemble(target.key, self._plan([target], tail=len(body)), options, tail=body)

    def _look(self, source: ObjectInfo, *, after: bool = False) -> None:
        """Compare the version of a source, where the service does not.

        :raises ChangedFileError: it is another one
        """
        if source.bucket:
            raise NotSupportedForObject("the service does not look at the version of what it copies")
        if self._objects.head(source.key).etag != source.etag:
            more = ": the copy has perhaps the content of the version that is there now" if after else ""
            raise exc.ChangedFileError(f"{source.key!r} is another version now{more}")

    def _source(self, source: ObjectInfo) -> dict[str, Any]:
        params: dict[str, Any] = {"CopySource": {"Bucket": source.bucket or self._objects.bucket, "Key": source.key}}
        if source.etag and not self._endpoint.lacks("copy_source_if_match"):
            params["CopySourceIfMatch"] = f'"{source.etag}"'
        return params

    def _copy_failed(self, error: Refusal, sources: Sequence[ObjectInfo], options: WriteOptions) -> Exception:
        """Return which side a condition failed on: the answers for source and target are the same."""
        status, code = error.status, error.code
        if code == "NoSuchBucket" or status not in (404, 412):
            return error
        if any(source.bucket for source in sources):
            return NotSupportedForObject("a condition failed in one of two buckets: reading and writing tells in which")
        for source in sources:
            try:
                found = self._objects.head(source.key)
            except exc.MissingFileError as missing:
                return missing
            if source.etag and found.etag != source.etag:
                return errors.answer(error, exc.ChangedFileError, f"{source.key!r} is another version now")
        return self._objects.failed(error, options) or error

    def assemble(
        self,
        key: str,
        found: list[Piece],
        options: WriteOptions,
        *,
        source: ObjectInfo | None = None,
        tail: Buffer | None = None,
    ) -> ObjectInfo:
        """Make an object of pieces of others, and of bytes after them; nothing is left when that fails."""
        endpoint = self._endpoint
        if not self._can_copy_parts():
            raise NotSupportedForObject("the service takes no parts, or copies none")
        params = attributes(options, self._settings)
        algorithm = ""
        if source is not None:
            params.pop("Tagging", None)
            if source.noted and not source.bucket and (tags := self._tags.read(source.key)):
                params["Tagging"] = urlencode(tags)
            if self._endpoint.checksums.native:
                algorithm = next((name for name in sorted(NATIVE) if name in source.digests), "")
        upload = MultipartRef(key, self._parts.create(key, params, algorithm))
        whole = len(found) == 1 and found[0].source.size <= COPY_MAX

        def part(number: int, piece: Piece) -> dict[str, Any]:
            bounds = {} if whole else {"CopySourceRange": f"bytes={piece.start}-{piece.end}"}
            where = {"Key": key, "UploadId": upload.id, "PartNumber": number}
            try:
                answer = self._call("upload_part_copy", **where, **self._source(piece.source), **bounds)
            except exc.ConnectionError as error:
                if error.status != 200 or self._endpoint.aws:
                    raise
                # An empty part was made: rclone's server does not look at x-amz-copy-source here.
                endpoint.facts.learn("copy_parts", False)
                raise NotSupportedForObject("the service copies no parts") from error
            except Refusal as error:
                if endpoint.learn_refused("copy_parts", error):
                    raise NotSupportedForObject("the service copies no parts") from error
                raise
            return {"ETag": answer["CopyPartResult"]["ETag"], "PartNumber": number}

        sources = list({piece.source.key: piece.source for piece in found}.values())
        try:
            try:
                parts = send_pieces(self._backend, part, found, self._settings.max_concurrency)
            except exc.FilesError as error:
                if isinstance(error.__cause__, Refusal):
                    told = self._copy_failed(error.__cause__, sources, WriteOptions())
                    raise (error if told is error.__cause__ else told) from error.__cause__
                raise
            if not self._endpoint.aws:
                self._check_sizes(upload, found)
            size = sum(piece.end - piece.start + 1 for piece in found)
            if tail is not None:
                last = self._parts.put(upload, len(parts), tail)
                parts.append({"ETag": f'"{last.etag}"', "PartNumber": last.number + 1})
                size += last.size
            if endpoint.lacks("copy_source_if_match"):
                for each in sources:
                    if each.etag:
                        self._look(each)
            try:
                return self._parts.publish(upload, parts, size, options, algorithm)
            except Refusal as error:
                if self._parts.wants_equal(error):
                    raise NotSupportedForObject("the service wants parts of one size") from error
                raise
            except PartsDiscardedError as error:
                raise exc.ConnectionError(error.message, code=error.code, status=409, retryable=True) from error
        except BaseException as error:
            try:
                self._parts.abort(upload)
            except Exception as failure:
                error.add_note(f"and the upload could not be aborted: {failure} (cleanup_uploads finds it)")
            raise

    def _check_sizes(self, upload: MultipartRef, found: list[Piece]) -> None:
        """Refuse parts that are not the pieces asked for: a service may ignore ``x-amz-copy-source-range``."""
        sizes = {part.number: part.size for part in self._parts.parts(upload)}
        if any(sizes.get(number) != piece.end - piece.start + 1 for number, piece in enumerate(found)):
            self._endpoint.facts.learn("copy_parts", False)
            raise NotSupportedForObject("the service does not copy the ranges that it is asked for")
