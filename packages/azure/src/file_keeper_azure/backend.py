"""Azure Blob Storage: block blobs of one container, one request a verb.

Blob service REST reference: https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from file_keeper import exc, hashing
from file_keeper.backend import (
    Backend,
    Body,
    Items,
    Limits,
    MultipartRef,
    ObjectInfo,
    OpenUpload,
    Page,
    Pages,
    Part,
    SignAction,
    SignedRequest,
    SignOptions,
    Source,
    WriteOptions,
    follow_pages,
    http,
)
from file_keeper.resilience.retry import Retry
from file_keeper.types import Buffer

from . import answers, batch, blocks, errors, listing, signing
from .bodies import Nothing, body_of
from .copies import Copier
from .errors import RefusedError, is_missing
from .headers import attributes, check_writable, conditions, metadata_headers, pinned, quoted, written
from .rights import right_of
from .settings import AzureSettings, authorities, can_sign, checked, default_credential, name_of
from .standing import of_link, standing
from .transport import HttpSender, Wire, crc64

T = TypeVar("T")

MiB = 1 << 20

PAGE = 5_000
"""The most blobs that the service puts on one page."""

_RIGHTS = ("account_name", "account_key", "account_url", "connection_string", "credential")
"""Options that two containers have in common which one copy can reach."""

BATCH = 256
"""The most subrequests that the service takes in one batch."""

_LIMITS = Limits(
    put_max=5000 * MiB,
    part_min=1,
    part_max=4000 * MiB,
    parts_max=50_000,
    object_max=50_000 * 4000 * MiB,
    order="utf16",
    put_digests=frozenset(("md5",)),
    multipart_digests=frozenset(("md5",)),
    late_metadata=True,
    read_describes=True,
)


CONNECTIONS = 64
"""Connections that are kept at least: as many as there can be threads, usually."""


@dataclasses.dataclass(slots=True)
class _Client:
    """What is built when it is first needed, and belongs together.

    :param closing: what ends with it
    """

    wire: Wire
    signer: signing.Signer
    public: str
    credential: Any = None
    service: Any = None
    closing: list[Callable[[], object]] = dataclasses.field(default_factory=list[Callable[[], object]])


def _close_with(built: _Client, credential: Any) -> None:
    if hasattr(credential, "close"):
        built.closing.append(credential.close)


class AzureBackend(Backend[AzureSettings]):
    """Block blobs of one container."""

    settings_type = AzureSettings
    limits = _LIMITS

    copy_in_one = 256 * MiB
    """The largest blob that the service copies in one step (Copy Blob From URL)."""

    copy_piece = 100 * MiB
    """The piece of a larger copy: far less than the service takes, so that each is done well within the timeout."""

    def __init__(self, settings: AzureSettings):
        super().__init__(settings)
        self._lock = threading.Lock()
        self._built: _Client | None = None
        self._ended = blocks.Ended()
        self._verbs: frozenset[str] | None = None
        self._transport: Literal["http", "sdk"] | None = None

    def neighbour(self, other: Backend[Any]) -> str:
        ours, theirs = self.settings, other.settings
        if not isinstance(theirs, AzureSettings) or ours.client is not None or theirs.client is not None:
            return ""
        if ours.sas_token or theirs.sas_token or ours.anonymous or not isinstance(theirs.bucket, str):
            return ""  # a signature may be of one container
        return theirs.bucket if all(getattr(ours, name) == getattr(theirs, name) for name in _RIGHTS) else ""

    # -- client -----------------------------------------------------------------------------------------------------

    def _client(self) -> _Client:
        if (built := self._built) is not None:
            return built
        with self._lock:
            if self._built is None:
                self._built = self._build()
            return self._built

    def _build(self) -> _Client:
        resolved = self.settings.resolve()
        if resolved.client is None and self.transport == "http":
            built = self._build_http(resolved)
        else:
            built = self._build_sdk(resolved)
        public = resolved.public_endpoint.rstrip("/")
        built.public = f"{public}/{built.wire.name}" if public else ""
        return built

    def _build_http(self, resolved: AzureSettings) -> _Client:
        found = checked(resolved)
        made = default_credential(resolved) if found.default else None
        config = http.Config(
            timeout=resolved.timeout,
            verify=authorities(resolved),
            proxies=tuple(sorted(resolved.proxies.items())) or None,
        )
        client = http.acquire(config, max(CONNECTIONS, resolved.max_concurrency))
        right = right_of(found.name, found.key, found.sas, found.credential or made)
        sender = HttpSender(client, found.url, right, version=resolved.api_version, agent=resolved.user_agent)
        wire = Wire(sender, found.url, resolved.bucket, standing(resolved))
        built = _Client(wire, signing.Signer(wire, found.name), "", made)
        built.closing.append(lambda: http.release(client))
        _close_with(built, made)
        return built

    def _build_sdk(self, resolved: AzureSettings) -> _Client:
        from . import sdk  # slow to import

        given, made, name = resolved.client, None, ""
        if given is None:
            found = checked(resolved)
            made, name = default_credential(resolved) if found.default else None, found.name
            given = self._sdk_client(resolved, made)
        container: Any = given if hasattr(given, "container_name") else given.get_container_client(resolved.bucket)
        url = container.url.partition("?")[0].rpartition("/")[0]
        wire = Wire(sdk.SdkSender(container), url, container.container_name, standing(resolved))
        # The SDK reads the name out of Azure's own hosts only, not out of a domain of the user's.
        built = _Client(wire, signing.Signer(wire, container.account_name or name or name_of(url)), "", made)
        if resolved.client is None:
            built.service = given
            built.closing.append(given.close)
            _close_with(built, made)
        return built

    def _sdk_client(self, resolved: AzureSettings, made: Any) -> Any:
        from . import sdk

        found = checked(resolved)
        connections = max(CONNECTIONS, resolved.max_concurrency)
        return sdk.build(found, found.credential or made, resolved, connections=connections)

    @property
    def _wire(self) -> Wire:
        return self._client().wire

    @property
    def transport(self) -> Literal["http", "sdk"]:
        """What requests go through: ``http``, the core's client, or ``sdk``, the pipeline of the SDK's client."""
        if self._transport is None:
            self._transport = self.settings.sender
        return self._transport

    @property
    def client(self) -> Any:
        """The ``BlobServiceClient`` of these settings, or the client that was given."""
        if self.settings.client is not None:
            return self.settings.client
        built = self._client()
        with self._lock:
            if built.service is None:
                # Nothing here needs it with this transport: it is for who asks.
                built.service = self._sdk_client(self.settings.resolve(), built.credential)
                built.closing.append(built.service.close)
            return built.service

    @property
    def verbs(self) -> frozenset[str]:
        if self._verbs is None:
            verbs = super().verbs
            self._verbs = verbs if can_sign(self.settings) else verbs - {"sign"}
            if self.settings.sse_customer_key:
                # A link would have to hold the key, and the service copies nothing that it cannot read.
                self._verbs -= {"sign", "url", "copy", "compose", "append"}
        return self._verbs

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._built = None
        self._ended.after_fork()

    def close(self) -> None:
        with self._lock:
            built, self._built = self._built, None
        if built is not None:
            for close in built.closing:
                close()

    def translate(self, error: Exception) -> exc.FilesError | None:
        return errors.translate(error, self._container)

    @property
    def _container(self) -> str:
        return self.settings.bucket or self.settings.client.container_name

    # -- required ---------------------------------------------------------------------------------------------------

    def head(self, key: str) -> ObjectInfo:
        reply = self._wire.send(answers.GET_PROPERTIES, key)
        return listing.info_of(key, reply.headers, reply.raw.lines, size=int(reply.headers["content-length"]))

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        if end is not None and end <= start:
            return Body(self.head(key), 0, Nothing(), start=start)
        # x-ms-range and not Range: it is what the SDK's signature of the request covers.
        headers = {"Accept-Encoding": "identity"}
        if start or end is not None:
            headers["x-ms-range"] = f"bytes={start}-{'' if end is None else end - 1}"
        if etag:
            headers["If-Match"] = quoted(etag)
        try:
            reply = self._wire.send(answers.GET_BLOB, key, headers=headers, stream=True)
        except RefusedError as error:
            if error.status != 416:
                raise
            # Past the end, which of an empty blob is everywhere.
            return Body(self.head(key), 0, Nothing(), start=start)
        return body_of(key, reply.raw)

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        # The service begins with the name itself; one that does not know startFrom, at the beginning.
        query = {"include": "metadata", "startFrom": start_after, "delimiter": delimiter}
        return self._pages(
            prefix, query, lambda found: Page(found.keys, found.infos, found.prefixes), keys_only=keys_only
        )

    def _pages(
        self,
        prefix: str,
        query: Mapping[str, str],
        page_of: Callable[[listing.Answered], T],
        *,
        keys_only: bool = False,
    ) -> Pages[T]:
        fixed = {"maxresults": str(PAGE), "prefix": prefix, **query}
        apart = "uncommitted" in query.get("include", "")

        def fetch(token: str) -> tuple[T, str | None]:
            asked = {name: value for name, value in {**fixed, "marker": token}.items() if value}
            answer = self._wire.send(answers.LIST_BLOBS, query=asked)
            found = self._wire.read(
                answers.LIST_BLOBS,
                answer,
                lambda body: listing.parse_page(body, uncommitted=apart, keys_only=keys_only),
            )
            return page_of(found), found.marker or None

        return follow_pages(fetch)

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        check_writable(key)
        if not isinstance(body, bytes | bytearray | memoryview):
            raise exc.StorageDataError("a body is bytes")
        headers = {"x-ms-blob-type": "BlockBlob", **attributes(options), **conditions(options)}
        if md5 := options.digests.get("md5"):
            # Compared by the service before it takes the body, and kept as the blob's own.
            headers["Content-MD5"] = headers["x-ms-blob-content-md5"] = hashing.to_base64(md5)
        else:
            headers["x-ms-content-crc64"] = crc64(body)
        answer = self._wire.send(answers.PUT_BLOB, key, headers=headers, body=body)
        made = answer.headers.get("content-md5", "")
        digests = {"md5": md5} if md5 else listing.digests_of(made, "BlockBlob")
        return written(key, memoryview(body).nbytes, options, answer.headers, digests)

    def delete(self, key: str, *, etag: str = "") -> bool:
        # A blob that has snapshots can only go with them: whoever removes a file does not want it to stay.
        headers = {"x-ms-delete-snapshots": "include"}
        if etag:
            headers["If-Match"] = quoted(etag)
        try:
            self._wire.send(answers.DELETE_BLOB, key, headers=headers)
        except RefusedError as error:
            if is_missing(error):
                return False
            raise
        return True

    # -- parts ------------------------------------------------------------------------------------------------------

    def multipart_create(self, key: str, options: WriteOptions) -> str:
        """Begin an upload; no request is made, the service knows of it from its first part on."""
        check_writable(key)
        return blocks.new_id()

    def multipart_put(self, upload: MultipartRef, number: int, body: Buffer) -> Part:
        check_writable(upload.key)
        self._check_open(upload)
        name = blocks.block_id(upload.id, number)
        blocks.stage(self._wire, upload.key, name, body)
        return Part(number=number, size=memoryview(body).nbytes, etag=name)

    def multipart_parts(self, upload: MultipartRef) -> Iterator[Part]:
        """Return the parts that are there; see ``docs/decisions/azure.md`` for what cannot be told.

        :raises MissingFileError: the upload was completed or removed, has expired, or its parts were dropped when
            somebody else wrote to the location
        """
        self._check_open(upload)
        found = blocks.find(self._wire, upload.key)
        parts = list(blocks.parts_of(upload.id, found.uncommitted))
        blocks.raise_if_gone(upload.id, found, has_parts=bool(parts))
        for name, size in parts:
            number = int(name[len(upload.id) :])
            yield Part(number=number, size=size, etag=blocks.block_id(upload.id, number))

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        check_writable(upload.key)
        self._check_open(upload)
        names = [blocks.block_id(upload.id, part.number) for part in parts]
        info = blocks.commit(self._wire, upload.key, names, sum(part.size for part in parts), options)
        self._ended.add(upload.id)
        return info

    def multipart_abort(self, upload: MultipartRef) -> bool:
        """Drop an upload: nothing is sent, its blocks expire. What ended it in this process is remembered."""
        return bool(blocks.started_at(upload.id)) and self._ended.add(upload.id)

    def multipart_list(self, prefix: str) -> Iterator[OpenUpload]:
        """Return the uploads of this library to names that have no content yet; one request more for each name.

        Uploads that are to replace a blob cannot be found this way: the service does not tell of them.
        """
        query = {"include": "uncommittedblobs"}
        return Items(self._pages(prefix, query, lambda answer: list(self._open_uploads(answer.uncommitted))))

    def _open_uploads(self, keys: Sequence[str]) -> Iterator[OpenUpload]:
        for key in keys:
            for upload in blocks.uploads_of(blocks.find(self._wire, key).uncommitted):
                if upload not in self._ended:
                    yield OpenUpload(MultipartRef(key, upload), datetime.fromtimestamp(blocks.started_at(upload), UTC))

    def _check_open(self, upload: MultipartRef) -> None:
        if not blocks.started_at(upload.id) or upload.id in self._ended:
            raise exc.MissingFileError("there is no such upload: it was completed or removed")

    # -- copies -----------------------------------------------------------------------------------------------------

    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        """Copy in one step that is finished when it is answered, or by blocks where it is larger than that allows."""
        check_writable(key)
        same = options.headers == source.headers and options.content_type == source.content_type
        # Copy Blob From URL was seen to refuse sources without a byte (azure-sdk-for-js, issue 6577).
        if not 0 < source.size <= self.copy_in_one or not same or not self._wire.copies_at_once:
            return self._copier.assemble([source], key, options)
        return self._copier.whole(source, key, options)

    def compose(self, sources: Sequence[ObjectInfo], key: str, options: WriteOptions) -> ObjectInfo:
        check_writable(key)
        return self._copier.assemble(sources, key, options)

    def append(self, target: ObjectInfo, body: Buffer, options: WriteOptions) -> ObjectInfo:
        check_writable(target.key)
        pinned_to = dataclasses.replace(options, if_absent=False, if_match=target.etag)
        return self._copier.assemble([target], target.key, pinned_to, body)

    @property
    def _copier(self) -> Copier:
        built = self._client()
        settings = self.settings
        return Copier(
            built.wire,
            built.signer,
            Retry(self),
            self.copy_piece,
            self.limits.parts_max,
            settings.max_concurrency,
            settings.timeout,
        )

    # -- the rest ---------------------------------------------------------------------------------------------------

    def store_digests(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        """Record hashes: an MD5 as the blob's own, others as the core records them. The blob's etag changes."""
        etag = info.etag
        others = {name: value for name, value in digests.items() if name != "md5"}
        if others:
            # One can be recorded beside the blob's own.
            name = min(others)
            headers = {**metadata_headers({**info.metadata, "fk_hash": f"{name}:{others[name]}"}), **pinned(etag)}
            answer = self._wire.send(answers.SET_METADATA, info.key, headers=headers)
            etag = listing.etag_of(answer.headers["etag"])
        if md5 := digests.get("md5"):
            # The request sets all of these at once: what it does not name is taken away.
            options = WriteOptions(content_type=info.content_type, headers=info.headers)
            headers = {**attributes(options), "x-ms-blob-content-md5": hashing.to_base64(md5), **pinned(etag)}
            self._wire.send(answers.SET_PROPERTIES, info.key, headers=headers)

    def prepare(self) -> None:
        try:
            self._wire.send(answers.CREATE_CONTAINER)
        except RefusedError as error:
            code = error.code
            if code == "ContainerAlreadyExists":
                return
            found = self.translate(error)
            if code == "ContainerBeingDeleted" and found is not None:
                # It takes half a minute at least; the service does not say how long.
                found.retry_after = found.retry_after or 12.0
                raise found from error
            if error.status == 403 and self._is_there():
                return  # a signature of one container allows to use it, not to make it
            raise

    def _is_there(self) -> bool:
        try:
            self.check()
        except Exception:
            return False
        return True

    def check(self) -> None:
        """Ask for a blob that is not there: that answer needs a container, and the right to read in it."""
        try:
            self._wire.send(answers.GET_PROPERTIES, ".file-keeper/check")
        except RefusedError as error:
            if not is_missing(error):
                raise

    def sign(self, action: SignAction, key: str, options: SignOptions) -> SignedRequest:
        if action in ("upload", "part"):
            check_writable(key)
        built = self._client()
        signed = signing.sign(built.wire, built.signer, action, key, options, built.public)
        if action in ("upload", "part") and (added := of_link(self.settings.resolve())):
            if action == "part":
                added.pop("x-ms-access-tier", None)
            signed = dataclasses.replace(signed, headers={**signed.headers, **added})
        return signed

    def url(self, key: str) -> str:
        built = self._client()
        return built.wire.address(key, built.public)

    def delete_many(self, keys: Sequence[str]) -> Iterator[tuple[str, Exception]]:
        """Delete in batches of 256. https://learn.microsoft.com/rest/api/storageservices/blob-batch"""
        for start in range(0, len(keys), BATCH):
            chunk = keys[start : start + BATCH]
            try:
                failures = list(batch.delete(self._wire, chunk))
            except RefusedError as error:
                found = self.translate(error)
                if found is None or found.retryable:
                    raise  # all of it may be asked for again
                for key in chunk:
                    one = copy.copy(found)  # each is told of its own file
                    one.__cause__ = error
                    yield key, one
            else:
                yield from ((key, self.translate(error) or error) for key, error in failures)
