"""The verbs, in the order of the contract, on Google's JSON API.

Reference: https://cloud.google.com/storage/docs/json_api/v1/objects
"""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from file_keeper import exc, hashing
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
    WriteOptions,
)
from file_keeper.types import Buffer

from . import batch, errors, parts, records, signing
from .answers import BadRequest, Conflict, NotFound, PreconditionFailed, Refused, misshapen
from .credentials import find_project
from .listing import list_objects, pages
from .parts import Parts
from .reading import body_of_answer
from .senders import HttpSender, Sender
from .sessions import Sessions
from .settings import GcsSettings, address, transport_of
from .transport import Transport

GiB, TiB = 1 << 30, 1 << 40

CONNECTIONS = 64
"""Connections that are kept open at least, so that a program with many threads does not open one a request."""


_RIGHTS = ("credentials_file", "credentials", "endpoint", "client_options", "client", "anonymous", "user_project",
           "sse_customer_key", "requester_pays", "kms_key")  # fmt: skip
"""Options that two buckets have in common which one rewrite can reach."""


class GcsBackend(Backend[GcsSettings]):
    """Google Cloud Storage.

    Versions are generations: the etag of an object here is its generation, every condition is ``ifGenerationMatch``.
    """

    settings_type = GcsSettings
    limits = Limits(
        put_max=5 * TiB,
        part_min=1,
        part_max=5 * GiB,
        parts_max=10_000,
        object_max=5 * TiB,
        metadata_names="headers",  # uploads in parts go through the XML API
        order="bytes",
        session=True,
        put_digests=frozenset(("md5", "crc32c")),
        multipart_digests=frozenset(("crc32c",)),
        late_metadata=True,
        copy_attributes=True,
        sign_bounds=frozenset(("size",)),
    )

    def __init__(self, settings: GcsSettings):
        super().__init__(settings)
        self.after_fork()

    def neighbour(self, other: Backend[Any]) -> str:
        ours, theirs = self.settings, other.settings
        if not isinstance(theirs, GcsSettings):
            return ""
        return theirs.bucket if all(getattr(ours, name) == getattr(theirs, name) for name in _RIGHTS) else ""

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._made: Transport | None = None
        self._parts = Parts(lambda: self._transport, self.settings.path, self.settings.max_concurrency)
        self._sessions = Sessions(lambda: self._transport)

    @property
    def _transport(self) -> Transport:
        made = self._made
        if made is None:
            with self._lock:
                made = self._made or self._make()
                self._made = made
        return made

    def _make(self) -> Transport:
        settings = self.settings.resolve()
        connections = max(CONNECTIONS, settings.max_concurrency * 2)
        sender: Sender
        if transport_of(settings) == "http":
            sender = HttpSender(settings, connections, functools.partial(_client_of, settings))
        else:
            from .sdk import SdkSender  # slow to import

            sender = SdkSender(settings, connections)
        return Transport(sender, settings)

    @property
    def transport(self) -> str:
        """What sends the requests: ``http`` or ``sdk``."""
        return self._made.sender.name if self._made else transport_of(self.settings.resolve())

    @property
    def client(self) -> Any:
        """The ``google.cloud.storage.Client``; it is made for who asks for it where the transport is ``http``."""
        return self._transport.sender.client

    def close(self) -> None:
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.sender.close()

    @property
    def verbs(self) -> frozenset[str]:
        settings, verbs = self.settings, super().verbs
        if settings.anonymous:
            verbs -= {"sign"}
        if settings.sse_customer_key:
            verbs -= {"sign", "url"}  # a link would have to hold the key
        if settings.payer:
            verbs -= {"url"}  # nobody can be charged for it
        return verbs

    def translate(self, error: Exception) -> exc.FilesError | None:
        return errors.translate(error, self.settings.bucket)

    # -- required ---------------------------------------------------------------------------------------------------

    def head(self, key: str) -> ObjectInfo:
        return records.info(self._object("objects.get", "GET", key))

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        if end is not None and end <= start:
            return Body(self.head(key), 0, io.BytesIO(), start=start)
        params = {"alt": "media", **({"ifGenerationMatch": records.generation(etag)} if etag else {})}
        ranged = start > 0 or end is not None
        headers = {"Range": f"bytes={start}-{'' if end is None else end - 1}"} if ranged else None
        path = self._transport.path(key, "/download/storage/v1")
        reply = self._transport.request("objects.get (media)", "GET", path, params, headers=headers, stream=True)
        if reply.status == 416:
            reply.close()
            return Body(self.head(key), 0, io.BytesIO(), start=start)  # it begins past the end
        # Emulators answer without the generation; Google's service names it always.
        return body_of_answer(key, reply, generation="" if self._transport.is_google else etag)

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        params = {
            "prefix": prefix,
            # Inclusive; and a prefix is given again that holds what comes after.
            "startOffset": start_after if start_after > prefix else "",
            "delimiter": delimiter,
        }
        return list_objects(
            self._transport,
            {name: value for name, value in params.items() if value},
            keys_only=keys_only,
            algorithm=self.settings.hashing_algorithm,
        )

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        return self._insert(key, cast("Buffer", body), options)

    def _insert(self, key: str, body: Buffer, options: WriteOptions) -> ObjectInfo:
        digests = records.expected(options.digests)
        if not digests:
            # Another hash is the user's: the bytes are verified all the same.
            crc = hashing.new("crc32c")
            crc.update(body)
            digests = records.expected({"crc32c": crc.hexdigest()})
        resource = {"name": key, **self._resource(options), **digests}
        try:
            return records.info(self._transport.insert(resource, body, records.conditions(options)))
        except NotFound as error:
            raise errors.no_bucket(error, self.settings.bucket) from error
        except PreconditionFailed as error:
            raise errors.unmet(error, options) from error

    def delete(self, key: str, *, etag: str = "") -> bool:
        params = {"ifGenerationMatch": records.generation(etag)} if etag else None
        try:
            self._transport.request("objects.delete", "DELETE", self._transport.path(key), params)
        except NotFound as error:
            if isinstance(found := errors.answer(error, self.settings.bucket), exc.MissingFileError):
                return False
            raise found from error
        return True

    # -- parts ------------------------------------------------------------------------------------------------------

    def multipart_create(self, key: str, options: WriteOptions) -> str:
        try:
            return self._parts.create(key)
        except NotFound as error:
            raise errors.no_bucket(error, self.settings.bucket) from error

    def multipart_put(self, upload: MultipartRef, number: int, body: Buffer) -> Part:
        return self._parts.put(upload, number, body)

    def multipart_parts(self, upload: MultipartRef) -> Iterator[Part]:
        return self._parts.parts(upload)

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        if not parts:
            self._parts.must_be_open(upload)
            info = self._insert(upload.key, b"", options)
        else:
            try:
                made = self._parts.complete(upload, parts, self._resource(options), records.conditions(options))
            except NotFound as error:
                raise errors.missing(
                    error, self.settings.bucket, "there is no such upload, or not all its parts"
                ) from error
            except PreconditionFailed as error:
                raise self._target_or(
                    error, upload.key, options, exc.MultipartUploadError("a part was sent again meanwhile")
                ) from error
            info = records.info(made)
        self._parts.tidy(upload.id)
        return info

    def multipart_abort(self, upload: MultipartRef) -> bool:
        try:
            was_open, failure = self._parts.remove_scaffolding(upload.id)
        except exc.MissingFileError:
            return False
        if failure is not None:
            raise failure
        return was_open

    def multipart_list(self, prefix: str) -> Iterator[OpenUpload]:
        return self._parts.open_uploads(prefix)

    # -- native sessions --------------------------------------------------------------------------------------------

    def resumable_start(self, key: str, options: WriteOptions) -> str:
        return self._sessions.start(key, self._resource(options), options)

    def resumable_send(
        self, upload: MultipartRef, offset: int, body: Buffer, total: int | None, options: WriteOptions
    ) -> int | ObjectInfo:
        return self._sessions.send(upload, offset, body, total, options)

    def resumable_offset(self, upload: MultipartRef, total: int | None) -> int | ObjectInfo:
        return self._sessions.offset(upload)

    def resumable_cancel(self, upload: MultipartRef) -> bool:
        return self._sessions.cancel(upload)

    # -- the rest ---------------------------------------------------------------------------------------------------

    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        transport = self._transport
        path = f"{transport.path(source.key, bucket=source.bucket)}/rewriteTo{transport.path(key, '')}"
        params = records.conditions(options)
        if source.etag:
            params["ifSourceGenerationMatch"] = records.generation(source.etag)
        # Without a body the attributes are the source's, its token too; with one they are what it says, and only that.
        # Reference: "Objects: rewrite", request body.
        body = records.resource(options, {}) if options.metadata else None
        try:
            while not (answer := transport.json("objects.rewrite", "POST", path, params, body))["done"]:
                params["rewriteToken"] = answer.get("rewriteToken", "")
                if not params["rewriteToken"]:
                    raise misshapen("a copy that is not done", KeyError("rewriteToken"))
        except PreconditionFailed as error:
            changed = exc.ChangedFileError("the source is another version", **errors.facts_of(error))
            raise self._target_or(error, key, options, changed) from error
        except Refused as error:
            if error.status != 410:
                raise
            text = "the copy took longer than its token is good for, and has to begin again"
            raise exc.ConnectionError(text, retryable=True, **errors.facts_of(error)) from error
        return records.info(answer.get("resource") or {})

    def compose(self, sources: Sequence[ObjectInfo], key: str, options: WriteOptions) -> ObjectInfo:
        scratch = self._parts.new_id()
        wanted = [parts.Source(source.key, source.etag) for source in sources]
        try:
            return self._compose(wanted, key, options, scratch)
        finally:
            if len(wanted) > parts.SOURCES:
                self._parts.tidy(scratch)

    def append(self, target: ObjectInfo, body: Buffer, options: WriteOptions) -> ObjectInfo:
        scratch = self._parts.new_id()
        name = self._parts.name(scratch, "tail")
        with self._parts.undone(name):
            tail = self._parts.write(name, body)
        try:
            wanted = [parts.Source(target.key, target.etag), parts.Source(tail.key, tail.etag)]
            return self._compose(wanted, target.key, options, scratch)
        finally:
            self._parts.discard(name)

    def _compose(self, sources: Sequence[parts.Source], key: str, options: WriteOptions, scratch: str) -> ObjectInfo:
        resource = records.resource(options, {})
        try:
            return records.info(self._parts.compose(sources, key, resource, records.conditions(options), scratch))
        except PreconditionFailed as error:
            changed = exc.ChangedFileError("one of the objects is another version", **errors.facts_of(error))
            raise self._target_or(error, key, options, changed) from error
        except BadRequest as error:
            if "storage class" in error.message:
                raise NotSupportedForObject("the objects are of several storage classes") from error
            raise

    def _target_or(self, error: Refused, key: str, options: WriteOptions, otherwise: exc.FilesError) -> exc.FilesError:
        """Return the error for a condition that did not hold: the target's, or `otherwise`."""
        if not (options.if_absent or options.if_match):
            return otherwise
        try:
            found = self.head(key).etag
        except NotFound:
            found = ""
        held = not found if options.if_absent else found == options.if_match
        return otherwise if held else errors.unmet(error, options)

    def store_digests(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        params = {"ifGenerationMatch": records.generation(info.etag)} if info.etag else {}
        algorithm, value = next(iter(digests.items()))
        # Adds to the metadata that is there. Reference: "Objects: patch" (patch semantics).
        metadata = {"metadata": {"fk-hash": f"{algorithm}:{value}", "fk_hash": None}}  # the latter is of older ones
        self._object("objects.patch", "PATCH", info.key, {**params, "fields": "kind,name,generation,size"}, metadata)

    def prepare(self) -> None:
        try:
            self.check()
        except exc.InvalidStorageConfigurationError:
            transport = self._transport
            project = find_project(self.settings.resolve(), transport.credentials)
            resource = {"name": transport.bucket, **transport.storage_class}
            try:
                params = {"project": project, "fields": "kind"}
                transport.json("buckets.insert", "POST", "/storage/v1/b", params, resource)
            except Conflict:
                # Another one was faster; whether the bucket is ours to use, the service says.
                self.check()

    def check(self) -> None:
        # A listing, which every role for objects may do; `buckets.get` needs another one.
        path = f"{self.settings.path}/" if self.settings.path else ""
        next(pages(self._transport, {"prefix": path, "maxResults": "1", "fields": "kind"}, dict[str, Any]))

    def sign(self, action: SignAction, key: str, options: SignOptions) -> SignedRequest:
        settings = self.settings.resolve()
        if action == "part" and options.upload is not None:
            key = self._parts.part_name(options.upload, options.part)
        return signing.sign(
            self._transport, action, key, options, public=settings.public_endpoint, iam=settings.iam_endpoint
        )

    def url(self, key: str) -> str:
        settings = self.settings.resolve()
        return signing.public_url(settings.public_endpoint or address(settings), settings.bucket, key)

    def delete_many(self, keys: Sequence[str]) -> Iterable[tuple[str, Exception]]:
        for key, error in batch.delete(self._transport, keys):
            yield key, errors.answer(error, self.settings.bucket)

    # -- below ------------------------------------------------------------------------------------------------------

    def _resource(self, options: WriteOptions) -> dict[str, Any]:
        return records.resource(options, self._transport.storage_class)

    def _object(
        self, operation: str, method: str, key: str, params: Mapping[str, str] | None = None, body: Any = None
    ) -> dict[str, Any]:
        return self._transport.json(operation, method, self._transport.path(key), params, body)


def _client_of(settings: GcsSettings, credentials: Any) -> Any:
    from .sdk import make_client  # slow to import, and seldom asked for

    return make_client(settings, credentials)
