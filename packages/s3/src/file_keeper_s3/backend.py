"""The verbs of S3, in the order of the contract. One request each, or the few that S3 needs."""

# boto3 and botocore ship no types: what they give is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from botocore.exceptions import ClientError
from file_keeper import exc, hashing
from file_keeper.backend import (
    Backend,
    Body,
    Limits,
    MultipartRef,
    NotModifiedInPlace,
    ObjectInfo,
    OpenUpload,
    Part,
    Prefix,
    SignAction,
    SignedRequest,
    SignOptions,
    Source,
    UploadLost,
    WriteOptions,
)
from file_keeper.types import Buffer

from . import copying, errors, listing
from .bodies import Received
from .clients import Clients
from .endpoint import NATIVE, PARAMS, Endpoint, Kind
from .records import (
    HASH_TAG,
    MD5_KEY,
    attributes,
    described,
    etag_of,
    from_tag,
    in_utc,
    sizes,
    storing,
    to_tag,
    written,
)
from .settings import EXPRESS, S3Settings, is_aws
from .signing import sign, url

log = logging.getLogger("file_keeper")

GiB = 1 << 30
DELETE_MAX = 1000
"""Most keys of one DeleteObjects."""


class S3Backend(Backend[S3Settings]):
    """One bucket of Amazon S3, or of a service that speaks its protocol."""

    settings_type = S3Settings

    def __init__(self, settings: S3Settings):
        super().__init__(settings)
        self.bucket = settings.bucket
        address = settings.endpoint_known
        native = settings.checksums == "always" or (is_aws(address) and settings.checksums == "auto")
        self.limits = Limits(
            put_max=5 * GiB,
            part_min=copying.PART_MIN,
            part_max=5 * GiB,
            parts_max=copying.PARTS_MAX,
            # Amazon S3 User Guide, "Multipart upload limits": 48.8 TiB, what that many parts hold.
            object_max=copying.PARTS_MAX * 5 * GiB,
            equal_parts=".r2.cloudflarestorage.com" in address,
            order="none" if self.bucket.endswith(EXPRESS) else "bytes",
            atomic_create=settings.conditional_writes != "no",
            put_digests=NATIVE if native else frozenset(),
            multipart_digests=NATIVE if native else frozenset(),
            md5_metadata=MD5_KEY,
        )
        self._clients = Clients(settings)
        self._endpoint: Endpoint | None = None
        self._lock = threading.Lock()

    # -- requests ---------------------------------------------------------------------------------------------------

    @property
    def client(self) -> Any:
        return self._clients.main

    @property
    def endpoint(self) -> Endpoint:
        """What is known of the service."""
        found = self._endpoint
        if found is None:
            with self._lock:
                found = self._endpoint
                if found is None:
                    found = Endpoint(self._clients.settings, self._clients.address, self._call)
                    if self.limits.put_digests and not found.native:
                        # An address of the AWS configuration files, which nobody had read before.
                        self.limits = replace(self.limits, put_digests=frozenset(), multipart_digests=frozenset())
                    self._endpoint = found
        return found

    def _call(self, operation: str, body: Buffer | None = None, /, **params: Any) -> Any:
        """Make one request. Every request of this backend is made here."""
        return self._clients.request(operation, body, Bucket=self.bucket, **params)

    def translate(self, error: Exception) -> exc.FilesError | None:
        return errors.translate(error, self.bucket)

    def _conditions(self, kind: Kind, key: str, options: WriteOptions) -> dict[str, str]:
        """Give the conditions of a write as parameters, or look now where the service does not decide them."""
        if not options.if_absent and not options.if_match:
            return {}
        form = self.endpoint.condition(kind, if_match=not options.if_absent)
        if form:
            return {"IfNoneMatch": "*"} if options.if_absent else {"IfMatch": form.format(options.if_match)}
        try:
            found = self.head(key).etag
        except exc.MissingFileError:
            found = ""
        if options.if_absent and found:
            raise exc.ExistingFileError("there is a file already and overwriting is off")
        if options.if_match and found != options.if_match:
            raise exc.ChangedFileError("the file is not the version that was to be replaced")
        return {}

    def _failed(self, error: ClientError, options: WriteOptions) -> exc.FilesError | None:
        """Give what an answer means in the light of the conditions that were sent; ``None`` for nothing special."""
        status, code = errors.status_of(error), errors.code_of(error)
        if status == 412 and options.if_absent:
            return errors.answer(error, exc.ExistingFileError, "there is a file already and overwriting is off")
        if options.if_match and (status == 412 or (status == 404 and code not in ("NoSuchBucket", "NoSuchUpload"))):
            return errors.answer(
                error, exc.ChangedFileError, "the file is not the version that was to be replaced, or is gone"
            )
        return None

    def _missing(self, error: ClientError) -> exc.FilesError:
        """Give what a 404 without a body means: once, it is asked whether there is a bucket."""
        facts = self.endpoint.facts
        if not facts.bucket_seen:
            try:
                self._call("head_bucket")
            except ClientError as second:
                if errors.status_of(second) == 404:
                    kind = exc.InvalidStorageConfigurationError
                    return errors.answer(second, kind, f"there is no bucket {self.bucket!r}")
                if errors.status_of(second) not in (400, 401, 403, 405, 501):
                    raise
            facts.bucket_seen = True
        return errors.answer(error, exc.MissingFileError, "there is no such file")

    def _told(self, error: ClientError, operation: str, **params: Any) -> None:
        """Ask why a HEAD was a 400: its answer has no body to tell of an expired token, the answer to a GET has."""
        if errors.status_of(error) != 400:
            return
        try:
            answer = self._call(operation, **params)
        except ClientError as second:
            if errors.status_of(second) in (400, 401, 403):
                raise second from error
        else:
            if "Body" in answer:
                answer["Body"].close()

    # -- required ---------------------------------------------------------------------------------------------------

    def head(self, key: str) -> ObjectInfo:
        try:
            answer = self.endpoint.send("head_object", Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if errors.status_of(error) == 404:
                raise self._missing(error) from error
            self._told(error, "get_object", Key=key, Range="bytes=0-0")
            raise
        return described(key, answer, self.bucket, int(answer["ContentLength"]))

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        params: dict[str, str] = {"IfMatch": f'"{etag}"'} if etag else {}
        if start or end is not None:
            params["Range"] = f"bytes={start}-" + ("" if end is None else str(max(start, end - 1)))
        try:
            answer = self._call("get_object", Key=key, **params)
        except ClientError as error:
            if errors.status_of(error) == 416 or errors.code_of(error) == "InvalidRange":
                return self._nothing(key, etag)
            if errors.status_of(error) == 412:
                raise errors.answer(error, exc.ChangedFileError, "the file is another version now") from error
            raise
        if (bounds := sizes(answer)) is None:
            # The answer came in chunks, through some proxy, and does not tell how much it is.
            found = self.head(key)
            if found.etag != etag_of(answer):
                answer["Body"].close()
                raise exc.ConnectionError("the file was changed when it was opened", retryable=True)
            bounds = found.size, found.size
        length, size = bounds
        info = described(key, answer, self.bucket, size)
        stream = Received(answer["Body"], length)
        if "Range" in params and "ContentRange" not in answer:
            # A service may answer a range that holds all with all; it may not do so with another one.
            if start:
                stream.close()
                raise exc.StorageError("the service gave the whole object when asked for a range of it")
        elif start >= size or (end is not None and end <= start):
            stream.close()
            return Body(info, 0, Nothing())
        return Body(info, length, stream)

    def _nothing(self, key: str, etag: str) -> Body:
        """Give the empty body of a range that begins past the end."""
        info = self.head(key)
        if etag and info.etag != etag:
            raise exc.ChangedFileError("the file is another version now")
        return Body(info, 0, Nothing())

    def list(self, prefix: str, *, start_after: str = "", delimiter: str = "") -> Iterator[ObjectInfo | Prefix]:
        ordered = self.limits.order == "bytes"
        return listing.listed(self._call, self.endpoint.facts, prefix, start_after, delimiter, ordered=ordered)

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        assert isinstance(body, bytes | bytearray | memoryview)
        params = attributes(options, self.settings) | self._conditions("put", key, options)
        try:
            answer = self.endpoint.send("put_object", body, options.digests, Key=key, **params)
        except ClientError as error:
            if ours := self._failed(error, options):
                raise ours from error
            raise
        return self._written(key, len(body), answer, options)

    def _written(self, key: str, size: int, answer: Mapping[str, Any], options: WriteOptions) -> ObjectInfo:
        # radosgw answers some writes without an etag.
        return written(key, size, answer, options) if etag_of(answer) else self.head(key)

    def delete(self, key: str, *, etag: str = "") -> bool:
        form = self.endpoint.condition("delete", if_match=True) if etag else ""
        if not form:
            # Deleting what is not there succeeds: only a look tells.
            try:
                found = self.head(key)
            except exc.MissingFileError:
                return False
            if etag and found.etag != etag:
                raise exc.ChangedFileError("the file is another version now and was not removed")
        try:
            self._call("delete_object", Key=key, **({"IfMatch": form.format(etag)} if form else {}))
        except ClientError as error:
            if form and errors.status_of(error) == 404 and errors.code_of(error) != "NoSuchBucket":
                return False
            if ours := self._failed(error, WriteOptions(if_match=etag)):
                raise ours from error
            raise
        return True

    # -- parts ------------------------------------------------------------------------------------------------------

    def multipart_create(self, key: str, options: WriteOptions) -> str:
        return self._create(key, attributes(options, self.settings))

    def _create(self, key: str, params: Mapping[str, Any], algorithm: str = "") -> str:
        if algorithm := algorithm or self.endpoint.part_algorithm:
            params = {**params, "ChecksumAlgorithm": algorithm.upper(), "ChecksumType": "FULL_OBJECT"}
        return self._call("create_multipart_upload", Key=key, **params)["UploadId"]

    def multipart_put(self, upload: MultipartRef, number: int, body: Buffer) -> Part:
        answer = self.endpoint.send("upload_part", body, Key=upload.key, UploadId=upload.id, PartNumber=number + 1)
        return Part(number=number, size=len(body), etag=etag_of(answer))

    def multipart_parts(self, upload: MultipartRef) -> Iterator[Part]:
        try:
            for found in listing.parts(self._call, upload):
                yield Part(
                    number=int(found["PartNumber"]) - 1,
                    size=int(found["Size"]),
                    etag=etag_of(found),
                    modified=in_utc(found.get("LastModified")),
                )
        except ClientError as error:
            if errors.status_of(error) == 404 and errors.code_of(error) != "NoSuchBucket":
                raise errors.answer(error, exc.MissingFileError, "there is no such upload") from error
            raise

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        if not parts:
            info = self.put(upload.key, b"", options)
            try:
                self.multipart_abort(upload)
            except Exception as error:
                ours = self.translate(error)
                if ours is None or ours.retryable:
                    raise
                # The file is published all the same.
                log.warning("the upload of %r could not be aborted (cleanup_uploads finds it): %s", upload.key, ours)
            return info
        named = [{"ETag": f'"{part.etag}"', "PartNumber": part.number + 1} for part in parts]
        return self._complete(upload, named, sum(part.size for part in parts), options)

    def _complete(
        self, upload: MultipartRef, parts: list[dict[str, Any]], size: int, options: WriteOptions, algorithm: str = ""
    ) -> ObjectInfo:
        params: dict[str, Any] = self._conditions("complete", upload.key, options)
        if algorithm := algorithm or self.endpoint.part_algorithm:
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
        except ClientError as error:
            if errors.code_of(error) == "ConditionalRequestConflict":
                raise errors.answer(error, UploadLost, "another writer of this key broke the upload") from error
            if ours := self._failed(error, options):
                raise ours from error
            raise
        return self._written(upload.key, size, answer, options)

    def multipart_abort(self, upload: MultipartRef) -> bool:
        try:
            self._call("abort_multipart_upload", Key=upload.key, UploadId=upload.id)
        except ClientError as error:
            if errors.status_of(error) == 404 and errors.code_of(error) != "NoSuchBucket":
                return False
            raise
        return True

    def multipart_list(self, prefix: str) -> Iterator[OpenUpload]:
        return listing.uploads(self._call, prefix)

    # -- the rest ---------------------------------------------------------------------------------------------------

    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        if source.size > copying.COPY_MAX:
            found = copying.plan([source])
            return self._assemble(key, found, options, source=source)
        params = attributes(options, self.settings) | self._conditions("copy", key, options)
        if (algorithm := self.settings.hashing_algorithm) in self.limits.put_digests:
            params["ChecksumAlgorithm"] = algorithm.upper()  # else the copy has that of its source
        try:
            answer = self._call("copy_object", Key=key, MetadataDirective="REPLACE", **self._source(source), **params)
        except ClientError as error:
            raise self._copy_failed(error, [source], options) from error
        return self._written(key, source.size, answer.get("CopyObjectResult", {}), options)

    def _source(self, source: ObjectInfo) -> dict[str, Any]:
        params: dict[str, Any] = {"CopySource": {"Bucket": self.bucket, "Key": source.key}}
        if source.etag:
            params["CopySourceIfMatch"] = f'"{source.etag}"'
        return params

    def _copy_failed(self, error: ClientError, sources: Sequence[ObjectInfo], options: WriteOptions) -> Exception:
        """Tell which side a condition failed on: the answers for source and target are the same."""
        status, code = errors.status_of(error), errors.code_of(error)
        if code == "NoSuchBucket" or status not in (404, 412):
            return error
        for source in sources:
            try:
                found = self.head(source.key)
            except exc.MissingFileError as missing:
                return missing
            if source.etag and found.etag != source.etag:
                return errors.answer(error, exc.ChangedFileError, f"{source.key!r} is another version now")
        return self._failed(error, options) or error

    def _assemble(
        self,
        key: str,
        found: list[copying.Piece],
        options: WriteOptions,
        *,
        source: ObjectInfo | None = None,
        tail: Buffer | None = None,
    ) -> ObjectInfo:
        """Make an object of pieces of others, and of bytes after them; nothing is left when that fails."""
        params = attributes(options, self.settings)
        algorithm = ""
        if source is not None:
            if source.noted and (tags := self._tags(source.key)):
                params["Tagging"] = urlencode(tags)
            if self.endpoint.native:
                algorithm = next((name for name in sorted(NATIVE) if name in source.digests), "")
        upload = MultipartRef(key, self._create(key, params, algorithm))
        whole = len(found) == 1 and found[0].source.size <= copying.COPY_MAX

        def part(number: int, piece: copying.Piece) -> dict[str, Any]:
            bounds = {} if whole else {"CopySourceRange": f"bytes={piece.start}-{piece.end}"}
            answer = self._call(
                "upload_part_copy",
                Key=key,
                UploadId=upload.id,
                PartNumber=number,
                **self._source(piece.source),
                **bounds,
            )
            return {"ETag": answer["CopyPartResult"]["ETag"], "PartNumber": number}

        sources = list({piece.source.key: piece.source for piece in found}.values())
        try:
            try:
                parts = copying.send_pieces(self, part, found, self.settings.max_concurrency)
            except exc.FilesError as error:
                if isinstance(error.__cause__, ClientError):
                    told = self._copy_failed(error.__cause__, sources, WriteOptions())
                    raise (error if told is error.__cause__ else told) from error.__cause__
                raise
            size = sum(piece.end - piece.start + 1 for piece in found)
            if tail is not None:
                last = self.multipart_put(upload, len(parts), tail)
                parts.append({"ETag": f'"{last.etag}"', "PartNumber": last.number + 1})
                size += last.size
            try:
                return self._complete(upload, parts, size, options, algorithm)
            except UploadLost as error:
                raise exc.ConnectionError(error.message, code=error.code, status=409, retryable=True) from error
        except BaseException as error:
            try:
                self.multipart_abort(upload)
            except Exception as failure:
                error.add_note(f"and the upload could not be aborted: {failure} (cleanup_uploads finds it)")
            raise

    def compose(self, sources: Sequence[ObjectInfo], key: str, options: WriteOptions) -> ObjectInfo:
        return self._assemble(key, copying.plan(sources), options)

    def append(self, target: ObjectInfo, body: Buffer, options: WriteOptions) -> ObjectInfo:
        if not len(body) or len(body) > self.limits.part_max:
            raise NotModifiedInPlace("S3 appends one part")
        return self._assemble(target.key, copying.plan([target], tail=1), options, tail=body)

    def annotate(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        # What was written just now (its answer tells no date) has no tags yet; else they are kept.
        tags = {} if info.modified is None else self._tags(info.key)
        tags[HASH_TAG] = to_tag(digests, info.etag)
        pairs = [{"Key": name, "Value": value} for name, value in tags.items()]
        self._call("put_object_tagging", Key=info.key, Tagging={"TagSet": pairs})

    def notes(self, info: ObjectInfo) -> Mapping[str, str]:
        return from_tag(self._tags(info.key).get(HASH_TAG, ""), info.etag)

    def _tags(self, key: str) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self._call("get_object_tagging", Key=key).get("TagSet", ())}

    def prepare(self) -> None:
        try:
            self._call("head_bucket")
            return
        except ClientError as error:
            if errors.status_of(error) != 404:
                self._told(error, "list_objects_v2", MaxKeys=1)
                raise
        region = self.client.meta.region_name
        # API Reference, "CreateBucket": outside of us-east-1 the region must be named, inside it must not be.
        where = region if region not in ("us-east-1", "aws-global", "auto", "", None) else ""
        try:
            self._create_bucket(where)
        except ClientError as error:
            if errors.code_of(error) in ("InvalidLocationConstraint", "IllegalLocationConstraintException") and where:
                self._create_bucket("")  # services of one region have none by that name
            else:
                raise

    def _create_bucket(self, region: str) -> None:
        try:
            where = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region else {}
            self._call("create_bucket", **where)
        except ClientError as error:
            if errors.code_of(error) == "BucketAlreadyOwnedByYou":
                return
            if errors.code_of(error) == "BucketAlreadyExists":
                raise errors.answer(
                    error, exc.InvalidStorageConfigurationError, f"the bucket {self.bucket!r} belongs to someone else"
                ) from error
            raise

    def check(self) -> None:
        try:
            self._call("head_bucket")
        except ClientError as error:
            if errors.status_of(error) == 404:
                kind = exc.InvalidStorageConfigurationError
                raise errors.answer(error, kind, f"there is no bucket {self.bucket!r}") from error
            self._told(error, "list_objects_v2", MaxKeys=1)
            raise

    def sign(self, action: SignAction, key: str, options: SignOptions) -> SignedRequest:
        if options.if_absent and self.endpoint.condition_known("put") == "":
            raise exc.UnsupportedOperationError("the service does not decide If-None-Match: a link cannot ask for it")
        return sign(self._clients, self.bucket, storing(self.settings), action, key, options)

    def url(self, key: str) -> str:
        return url(self._clients, self.bucket, key)

    def delete_many(self, keys: Sequence[str]) -> Iterable[tuple[str, Exception]]:
        for start in range(0, len(keys), DELETE_MAX):
            some = keys[start : start + DELETE_MAX]
            wanted = {"Objects": [{"Key": key} for key in some], "Quiet": True}
            answer = self._call("delete_objects", Delete=wanted)
            for found in answer.get("Errors", ()):
                status = _STATUS.get(found.get("Code", ""), 400)
                response: Any = {"Error": found, "ResponseMetadata": {"HTTPStatusCode": status}}
                error = ClientError(response, "DeleteObjects")
                if status != 404:
                    yield found.get("Key", ""), error

    # -- what it is -------------------------------------------------------------------------------------------------

    def forked(self) -> None:
        self._lock = threading.Lock()
        self._endpoint = None
        self._clients.forked()

    def close(self) -> None:
        self._clients.close()


class Nothing:
    """A body without bytes."""

    def read(self, size: int = -1, /) -> bytes:
        return b""

    def readinto(self, buffer: memoryview, /) -> int:
        return 0

    def close(self) -> None:
        pass


# DeleteObjects tells codes without a status.
_STATUS: dict[str, int] = {
    "AccessDenied": 403, "NoSuchKey": 404, "SlowDown": 503, "InternalError": 500, "ServiceUnavailable": 503,
}  # fmt: skip
