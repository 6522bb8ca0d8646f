"""The verbs of S3, in the order of the contract. One request each, or the few that S3 needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from file_keeper import exc
from file_keeper.backend import (
    Backend,
    Body,
    Limits,
    MultipartRef,
    NotSupportedForObject,
    ObjectInfo,
    OpenUpload,
    Page,
    Part,
    SignAction,
    SignedRequest,
    SignOptions,
    Source,
    Workers,
    WriteOptions,
    entries_of,
)
from file_keeper.types import Buffer

from . import buckets, copying, errors, listing
from .checksums import NATIVE
from .copying import Copies
from .endpoint import Endpoint
from .multipart import Multipart
from .objects import Objects
from .probes import PROBE
from .records import MD5_KEY, storing
from .reply import Refusal
from .requests import Requests
from .sdk import Clients
from .settings import S3Settings, is_aws, is_r2, order_of
from .signing import sign, url
from .tags import Tags
from .transport import Transport

GiB = 1 << 30
_RIGHTS = (
    "key", "secret", "session_token", "profile", "endpoint", "config", "client", "anonymous", "proxies", "role_arn",
    "external_id", "web_identity_token_file", "expected_bucket_owner", "sse_customer_key", "requester_pays", "verify",
)  # fmt: skip
"""Options that two buckets have in common which one CopyObject can reach."""

DELETE_MAX = 1000
"""Most keys of one DeleteObjects."""


class Parts(NamedTuple):
    """What a backend is made of, once it has a client."""

    endpoint: Endpoint
    objects: Objects
    multipart: Multipart
    copies: Copies
    tags: Tags


class S3Backend(Backend[S3Settings]):
    """One bucket of Amazon S3, or of a service that speaks its protocol."""

    settings_type = S3Settings

    def __init__(self, settings: S3Settings):
        super().__init__(settings)
        self.bucket = settings.bucket
        address = settings.endpoint_known
        native = settings.checksums == "always" or (is_aws(address) and settings.checksums == "auto")
        self._limits = Limits(
            put_max=5 * GiB,
            part_min=copying.PART_MIN,
            part_max=5 * GiB,
            parts_max=copying.PARTS_MAX,
            # Amazon S3 User Guide, "Multipart upload limits": 48.8 TiB, what that many parts hold.
            object_max=copying.PARTS_MAX * 5 * GiB,
            equal_parts=settings.equal_parts == "yes" or (settings.equal_parts == "auto" and is_r2(address)),
            order=order_of(settings, address),
            metadata_names="headers",
            atomic_create=settings.conditional_writes != "no",
            put_digests=NATIVE if native else frozenset(),
            multipart_digests=NATIVE if native else frozenset(),
            md5_metadata=MD5_KEY,
            sign_bounds=frozenset(("size",)),
        )
        self._clients = Clients(settings)
        self._transport = Transport(self._clients, self.bucket)
        self._requests = Requests(self._transport, self.bucket)
        self._made: Parts | None = None
        self._lock = threading.Lock()

    # -- what it is made of -----------------------------------------------------------------------------------------

    @property
    def limits(self) -> Limits:  # pyright: ignore[reportIncompatibleVariableOverride] - a service is got to know
        made = self._made
        if made is not None and (missing := made.endpoint.missing) != self._limits.missing:
            equal = self._limits.equal_parts or "unequal_parts" in missing
            self._limits = replace(self._limits, missing=missing, equal_parts=equal)
        return self._limits

    @property
    def client(self) -> Any:
        return self._clients.main

    @property
    def transport(self) -> str:
        """Which sender is used: ``"http"``, our own, or ``"sdk"``, botocore's."""
        return self._transport.kind

    @property
    def verbs(self) -> frozenset[str]:
        settings, verbs = self.settings, super().verbs
        if settings.sse_customer_key:
            verbs -= {"sign", "url"}  # a link would have to hold the key
        if settings.requester_pays:
            verbs -= {"url"}  # nobody can be charged for it
        return verbs

    @property
    def endpoint(self) -> Endpoint:
        """What is known of the service."""
        return self._parts.endpoint

    @property
    def _parts(self) -> Parts:
        return self._made or self._make()

    def _make(self) -> Parts:
        with self._lock:
            if self._made is None:
                settings = self._clients.settings
                endpoint = Endpoint(settings, self._transport.address, self._requests.facts, self._requests)
                if self._limits.put_digests and not endpoint.checksums.native:
                    # An address of the AWS configuration files, which nobody had read before.
                    self._limits = replace(self._limits, put_digests=frozenset(), multipart_digests=frozenset())
                objects = Objects(settings, self._requests, endpoint)
                multipart, tags = Multipart(objects), Tags(objects)
                self._made = Parts(endpoint, objects, multipart, Copies(self, objects, multipart, tags), tags)
            return self._made

    def neighbour(self, other: Backend[Any]) -> str:
        ours, theirs = self.settings, other.settings
        if not isinstance(theirs, S3Settings) or "copy" not in self.verbs:
            return ""
        return theirs.bucket if all(getattr(ours, name) == getattr(theirs, name) for name in _RIGHTS) else ""

    def translate(self, error: Exception) -> exc.FilesError | None:
        return errors.translate(error, self.bucket)

    # -- required ---------------------------------------------------------------------------------------------------

    def head(self, key: str) -> ObjectInfo:
        return self._parts.objects.head(key)

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        return self._parts.objects.read(key, start, end, etag)

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        behind = start_after if self.limits.order in ("bytes", "assumed") else ""
        return listing.listed(self._requests, self.endpoint, prefix, behind, delimiter)

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        assert isinstance(body, bytes | bytearray | memoryview)
        return self._parts.objects.put(key, body, options)

    def delete(self, key: str, *, etag: str = "") -> bool:
        return self._parts.objects.delete(key, etag)

    # -- parts ------------------------------------------------------------------------------------------------------

    def multipart_create(self, key: str, options: WriteOptions) -> str:
        return self._parts.multipart.begin(key, options)

    def multipart_put(self, upload: MultipartRef, number: int, body: Buffer) -> Part:
        return self._parts.multipart.put(upload, number, body)

    def multipart_parts(self, upload: MultipartRef) -> Iterator[Part]:
        return self._parts.multipart.parts(upload)

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        return self._parts.multipart.complete(upload, parts, options)

    def multipart_abort(self, upload: MultipartRef) -> bool:
        return self._parts.multipart.abort(upload)

    def multipart_list(self, prefix: str) -> Iterator[OpenUpload]:
        return self._parts.multipart.open_uploads(prefix)

    # -- the rest ---------------------------------------------------------------------------------------------------

    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        return self._parts.copies.copy(source, key, options)

    def compose(self, sources: Sequence[ObjectInfo], key: str, options: WriteOptions) -> ObjectInfo:
        return self._parts.copies.compose(sources, key, options)

    def append(self, target: ObjectInfo, body: Buffer, options: WriteOptions) -> ObjectInfo:
        if not len(body) or len(body) > self.limits.part_max:
            raise NotSupportedForObject("S3 appends one part")
        return self._parts.copies.append(target, body, options)

    def store_digests(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        self._parts.tags.record(info, digests)

    def read_digests(self, info: ObjectInfo) -> Mapping[str, str]:
        return self._parts.tags.recorded(info)

    def prepare(self) -> None:
        buckets.prepare(self._parts.objects, self.client.meta.region_name)

    def check(self) -> None:
        buckets.check(self._parts.objects)

    def sign(self, action: SignAction, key: str, options: SignOptions) -> SignedRequest:
        if options.if_absent and self.endpoint.condition_known("put") == "":
            raise exc.UnsupportedOperationError("the service does not decide If-None-Match: a link cannot ask for it")
        # Of the settings with their references read.
        return sign(self._clients, self.bucket, storing(self._clients.settings), action, key, options)

    def url(self, key: str) -> str:
        return url(self._clients, self.bucket, key)

    def delete_many(self, keys: Sequence[str]) -> Iterable[tuple[str, Exception]]:
        for start in range(0, len(keys), DELETE_MAX):
            some = keys[start : start + DELETE_MAX]
            if self.endpoint.lacks("delete_objects"):
                yield from self._deleted_one_by_one(some)
                continue
            try:
                # Not "Quiet": only an answer that names a key shows that it is gone.
                answer = self._requests("delete_objects", Delete={"Objects": [{"Key": key} for key in some]})
            except Refusal as error:
                if not self.endpoint.learn_refused("delete_objects", error):
                    raise
                yield from self._deleted_one_by_one(some)
                continue
            told = {found.get("Key", "") for found in answer.get("Deleted", ())}
            failed = answer.get("Errors", ())
            for found in failed:
                status = _STATUS.get(found.get("Code", ""), 400)
                error = Refusal("DeleteObjects", status, found.get("Code", ""), found.get("Message", ""))
                told.add(found.get("Key", ""))
                if status != 404:
                    yield found.get("Key", ""), error
            if all(found.get("Key") for found in failed):  # else an error for the whole was told
                for key in some:
                    if key not in told:
                        yield key, exc.ConnectionError("the answer does not say whether the file was removed")

    def _deleted_one_by_one(self, keys: Sequence[str]) -> Iterator[tuple[str, Exception]]:
        def delete(key: str) -> tuple[str, Exception] | None:
            try:
                self._requests("delete_object", Key=key)
            except Exception as error:
                missing = isinstance(error, Refusal) and error.status == 404 and error.code != "NoSuchBucket"
                return None if missing else (key, error)
            return None

        with Workers(self.settings.max_concurrency, "file-keeper-s3") as pool:
            yield from filter(None, pool.map(delete, keys))

    def cleanup(self, prefix: str, older_than: float) -> int:
        """Remove the objects of probes that were killed, or whose answers were lost."""
        limit, count = time.time() - older_than, 0
        for entry in entries_of(self.list(prefix + PROBE)):
            if isinstance(entry, ObjectInfo) and entry.modified and entry.modified.timestamp() <= limit:
                count += self.delete(entry.key)
        return count

    # -- what it is -------------------------------------------------------------------------------------------------

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._made = None
        self._transport.after_fork()
        self._requests.after_fork()
        self._clients.after_fork()

    def close(self) -> None:
        self._transport.close()
        self._clients.close()


# DeleteObjects tells codes without a status.
_STATUS: dict[str, int] = {
    "AccessDenied": 403, "NoSuchKey": 404, "SlowDown": 503, "InternalError": 500, "ServiceUnavailable": 503,
}  # fmt: skip
