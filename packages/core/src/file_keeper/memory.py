"""Files in memory: the reference backend, for tests and for what need not last."""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

from . import exc, hashing
from .backend import (
    Backend,
    Body,
    Limits,
    LinkSigner,
    MultipartRef,
    ObjectInfo,
    OpenUpload,
    Page,
    Part,
    Settings,
    SignAction,
    SignedRequest,
    SignOptions,
    Source,
    WriteOptions,
    check_base_url,
    cut_pages,
)
from .settings import Reference, option
from .streams import BufferReader
from .types import Buffer


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class MemorySettings(Settings):
    """Options of a storage in memory.

    :param bucket: a name shared in the process, or a mutable mapping of the program; without it the storage is private
    :param base_url: address at which the link application of ``file-keeper-web`` answers: gives links
    :param public: whether that application shows the files to everybody, or through signed links only
    :param signing_key: key of signed links, or a list of them: the first one signs, all are accepted
    """

    bucket: Any = option("any", "")
    base_url: str = option("text")
    public: bool = option("bool", False)
    signing_key: tuple[str, ...] = option("keys", secret=True)

    def validate(self) -> None:
        if isinstance(self.base_url, str) and self.base_url:  # pyright: ignore[reportUnnecessaryIsInstance]
            check_base_url(self.base_url)
        if not isinstance(self.bucket, str | Reference | MutableMapping):
            raise exc.InvalidStorageConfigurationError(
                f"option 'bucket' must be text or a mutable mapping, not a {type(self.bucket).__name__}"
            )

    def live(self) -> str:
        # Private memory cannot travel either: what came out would be empty.
        return super().live() or ("" if self.bucket else "bucket")


@dataclasses.dataclass(frozen=True, slots=True)
class _Object:
    info: ObjectInfo
    data: bytes


@dataclasses.dataclass(slots=True)
class _Open:
    key: str
    started: datetime
    parts: dict[int, tuple[Part, bytes]] = dataclasses.field(default_factory=dict[int, "tuple[Part, bytes]"])


class _Bucket:
    """Objects, open uploads and the lock that makes each step one."""

    def __init__(self, objects: MutableMapping[str, Any] | None = None):
        self.objects: MutableMapping[str, Any] = {} if objects is None else objects
        self.uploads: dict[str, _Open] = {}
        self.lock = threading.RLock()


_shared: dict[str, _Bucket] = {}
_mapped: dict[int, tuple[Any, _Bucket]] = {}
_lock = threading.Lock()


def _forked() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

_versions = itertools.count(1)
_SLICE = 256 << 10


def _now() -> datetime:
    return datetime.now(UTC)


def _copied(body: Buffer) -> bytes:
    """Return bytes that nobody else can change.

    A copy is made in slices: in one piece it would keep every other thread waiting, an event loop too.
    """
    view = memoryview(body)
    if type(view.obj) is bytes and len(view.obj) == view.nbytes:
        return view.obj
    if view.nbytes <= _SLICE:
        return bytes(view)
    copy = io.BytesIO()
    for start in range(0, view.nbytes, _SLICE):
        copy.write(view[start : start + _SLICE])
    return copy.getvalue()


class MemoryBackend(Backend[MemorySettings]):
    """Keeps objects in a mapping: key to object. Bytes that a program puts into a mapping itself are files too."""

    settings_type = MemorySettings
    limits = Limits(
        put_max=1 << 62,
        object_max=1 << 62,
        part_max=1 << 62,
        put_digests=hashing.NAMES,
        multipart_digests=hashing.NAMES,
        late_metadata=True,
        read_describes=True,
        local=True,
        ranges=False,
        sign_bounds=frozenset(("size", "hash")),
    )
    page_size = 1000
    """Keys of one page of a listing."""

    def __init__(self, settings: MemorySettings):
        super().__init__(settings)
        bucket = settings.bucket
        if isinstance(bucket, Reference):
            bucket = bucket.read()
        with _lock:
            if not bucket and isinstance(bucket, str):
                self._bucket = _Bucket()
            elif isinstance(bucket, str):
                self._bucket = _shared.setdefault(bucket, _Bucket())
            else:
                # One mapping is one bucket, with one lock; it is kept alive so that its id stays its own.
                self._bucket = _mapped.setdefault(id(bucket), (bucket, _Bucket(bucket)))[1]

    def after_fork(self) -> None:
        self._bucket.lock = threading.RLock()

    def _get(self, key: str) -> _Object:
        found = self._bucket.objects.get(key)
        if found is None:
            raise exc.MissingFileError("there is no file")
        if isinstance(found, _Object):
            return found
        data = bytes(found)
        return _Object(ObjectInfo(key=key, size=len(data), etag=f"{id(found):x}-{len(data)}"), data)

    def head(self, key: str) -> ObjectInfo:
        return self._get(key).info

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        found = self._get(key)
        if etag and found.info.etag != etag:
            raise exc.ChangedFileError("the file is another version")
        view = memoryview(found.data)[start:end]
        return Body(found.info, len(view), BufferReader(view), start=min(start, len(found.data)))

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        keys = sorted(key for key in list(self._bucket.objects) if key > start_after and key.startswith(prefix))
        infos = self._there(keys)
        return cut_pages(infos, prefix, start_after=start_after, delimiter=delimiter, size=self.page_size)

    def _there(self, keys: Iterable[str]) -> Iterator[ObjectInfo]:
        for key in keys:
            with suppress(exc.MissingFileError):  # removed while we were listing
                yield self._get(key).info

    def _check(self, key: str, options: WriteOptions) -> None:
        """Decide the conditions; the lock is held."""
        there = self._bucket.objects.get(key) is not None
        if options.if_absent and there:
            raise exc.ExistingFileError("there is a file already and overwriting is off")
        if options.if_match and (not there or self._get(key).info.etag != options.if_match):
            raise exc.ChangedFileError("the file is another version")

    def _store(self, key: str, data: bytes, options: WriteOptions) -> ObjectInfo:
        info = ObjectInfo(
            key=key,
            size=len(data),
            content_type=options.content_type,
            etag=f"{next(_versions):x}-{secrets.token_hex(4)}",
            modified=_now(),
            metadata=dict(options.metadata),
            headers=dict(options.headers),
            digests=dict(options.digests),
        )
        with self._bucket.lock:
            self._check(key, options)
            self._bucket.objects[key] = _Object(info, data)
        return info

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        return self._store(key, _copied(cast("Buffer", body)), options)

    def delete(self, key: str, *, etag: str = "") -> bool:
        with self._bucket.lock:
            if self._bucket.objects.get(key) is None:
                return False
            if etag and self._get(key).info.etag != etag:
                raise exc.ChangedFileError("the file is another version")
            del self._bucket.objects[key]
            return True

    def translate(self, error: Exception) -> exc.FilesError | None:
        return None

    def _open(self, upload: MultipartRef) -> _Open:
        found = self._bucket.uploads.get(upload.id)
        if found is None or found.key != upload.key:
            raise exc.MissingFileError("there is no such upload: it was completed, removed or never begun")
        return found

    def multipart_create(self, key: str, options: WriteOptions) -> str:
        upload = secrets.token_hex(16)
        self._bucket.uploads[upload] = _Open(key, _now())
        return upload

    def multipart_put(self, upload: MultipartRef, number: int, body: Buffer) -> Part:
        data = _copied(body)
        part = Part(number=number, size=len(data), etag=f"{next(_versions):x}", modified=_now())
        with self._bucket.lock:
            self._open(upload).parts[number] = (part, data)
        return part

    def multipart_parts(self, upload: MultipartRef) -> Iterator[Part]:
        with self._bucket.lock:
            parts = sorted(self._open(upload).parts.items())
        return iter([part for _, (part, _) in parts])

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        with self._bucket.lock:
            there = self._open(upload).parts
            for part in parts:
                if part.number not in there or there[part.number][0].etag != part.etag:
                    raise exc.MultipartUploadError(f"part {part.number} is not the one that was sent")
            self._check(upload.key, options)
            info = self._store(upload.key, b"".join(there[part.number][1] for part in parts), options)
            del self._bucket.uploads[upload.id]
            return info

    def multipart_abort(self, upload: MultipartRef) -> bool:
        with self._bucket.lock:
            try:
                self._open(upload)
            except exc.MissingFileError:
                return False
            del self._bucket.uploads[upload.id]
            return True

    def multipart_list(self, prefix: str) -> Iterator[OpenUpload]:
        for upload, found in list(self._bucket.uploads.items()):
            if found.key.startswith(prefix):
                newest = max((part.modified for part, _ in found.parts.values() if part.modified), default=None)
                yield OpenUpload(MultipartRef(found.key, upload), found.started, newest)

    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        with self._bucket.lock:
            return self._store(key, self._pinned(source).data, options)

    def _pinned(self, source: ObjectInfo) -> _Object:
        found = self._get(source.key)
        if source.etag and found.info.etag != source.etag:
            raise exc.ChangedFileError("the file is another version", location=source.key)
        return found

    def move(self, source: str, key: str, options: WriteOptions) -> ObjectInfo:
        with self._bucket.lock:
            found = self._get(source)
            self._check(key, options)
            info = dataclasses.replace(found.info, key=key)
            self._bucket.objects[key] = _Object(info, found.data)
            del self._bucket.objects[source]
            return info

    def compose(self, sources: Sequence[ObjectInfo], key: str, options: WriteOptions) -> ObjectInfo:
        with self._bucket.lock:
            return self._store(key, b"".join(self._pinned(source).data for source in sources), options)

    def append(self, target: ObjectInfo, body: Buffer, options: WriteOptions) -> ObjectInfo:
        with self._bucket.lock:
            return self._store(target.key, self._pinned(target).data + bytes(body), options)

    def store_digests(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        with self._bucket.lock:
            found = self._pinned(info)
            told = dataclasses.replace(found.info, digests={**found.info.digests, **digests})
            self._bucket.objects[info.key] = _Object(told, found.data)

    def prepare(self) -> None:
        """Nothing is missing in memory."""

    def check(self) -> None:
        """Memory is there."""

    def _links(self) -> LinkSigner:
        signer = LinkSigner.of(self.settings)
        assert signer is not None, "the verbs sign and url need base_url"
        return signer

    def _location(self, key: str) -> str:
        return key[len(self.settings.path) + 1 :] if self.settings.path else key

    def sign(self, action: SignAction, key: str, options: SignOptions) -> SignedRequest:
        return self._links().sign(action, self._location(key), options)

    def url(self, key: str) -> str:
        return self._links().url(self._location(key))

    @property
    def verbs(self) -> frozenset[str]:
        lacking = (
            {"sign", "url"} if not self.settings.base_url else {"sign"} if not self.settings.signing_key else set[str]()
        )
        return super().verbs - lacking
