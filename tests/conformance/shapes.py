"""Memory in the shape of other providers: what the core does for each is tried without a server."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import file_keeper as fk
from file_keeper import exc, hashing
from file_keeper.backend import (
    Backend,
    Limits,
    MultipartRef,
    ObjectInfo,
    Page,
    Part,
    Source,
    WriteOptions,
    cut_pages,
    entries_of,
)
from file_keeper.location import is_reserved
from file_keeper.memory import MemoryBackend
from file_keeper.types import Buffer

KiB = 1 << 10


def compute(algorithm: str, data: bytes) -> str:
    hasher = hashing.new(algorithm)
    hasher.update(data)
    return hasher.hexdigest()


class Shaped(MemoryBackend):
    """Keeps only the hashes that such a provider keeps by itself."""

    native: frozenset[str] = frozenset()

    def _store(self, key: str, data: bytes, options: WriteOptions) -> ObjectInfo:
        digests = {name: compute(name, data) for name in self.native}
        for name, value in options.digests.items():
            if digests.get(name, value) != value:
                raise exc.UploadHashMismatchError("the provider refuses the checksum")
        return super()._store(key, data, dataclasses.replace(options, digests=digests))

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        if any(part.size < self.limits.part_min for part in parts[:-1]):
            raise exc.MultipartUploadError("a part that is not the last is too small")
        return super().multipart_complete(upload, parts, options)

    @property
    def verbs(self) -> frozenset[str]:
        return frozenset(super().verbs) - {"store_digests", "move", "append"}


class LikeS3(Shaped):
    """MD5 of what is put at once, CRCs of parts, anything else in metadata at the start or in tags afterwards."""

    limits = Limits(
        part_min=64 * KiB,
        put_digests=frozenset(("md5",)),
        multipart_digests=frozenset(hashing.CRCS),
        md5_metadata="md5chksum",
    )

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        self.native = frozenset(("md5",))
        return super().put(key, body, options)

    def _store(self, key: str, data: bytes, options: WriteOptions) -> ObjectInfo:
        noted = options.metadata.get("md5chksum")
        # What is only declared may be wrong as long as nobody sees it.
        if (
            noted
            and not is_reserved(key)
            and base64.b64decode(noted) != hashlib.md5(data, usedforsecurity=False).digest()
        ):
            raise AssertionError("a wrong hash was recorded")
        return super()._store(key, data, options)

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        with self._bucket.lock:
            info = super().multipart_complete(upload, parts, options)
            crcs = {name: value for name, value in options.digests.items() if name in hashing.CRCS}
            return self._kept(dataclasses.replace(info, digests=crcs))

    def _kept(self, info: ObjectInfo) -> ObjectInfo:
        self._bucket.objects[info.key] = dataclasses.replace(self._bucket.objects[info.key], info=info)
        return info

    def store_digests(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        with self._bucket.lock:
            found = self._pinned(info)
            self._kept(dataclasses.replace(found.info, noted=True))
            _tags[info.key, found.info.etag] = dict(digests)

    def read_digests(self, info: ObjectInfo) -> Mapping[str, str]:
        return _tags.get((info.key, info.etag), {})

    @property
    def verbs(self) -> frozenset[str]:
        return super().verbs | {"store_digests", "read_digests"}


_tags: dict[tuple[str, str], Mapping[str, str]] = {}


class LikeAzure(Shaped):
    """Orders by UTF-16, and records a hash when the parts are committed."""

    limits = Limits(
        put_digests=frozenset(("md5",)), multipart_digests=frozenset(("md5",)), late_metadata=True, order="utf16"
    )

    def _store(self, key: str, data: bytes, options: WriteOptions) -> ObjectInfo:
        self.native = frozenset(("md5",)) & frozenset(options.digests)
        return super()._store(key, data, options)

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        def order(info: ObjectInfo) -> bytes:
            return info.key.encode("utf-16-be", "surrogatepass")

        infos = [entry for entry in entries_of(super().list(prefix)) if isinstance(entry, ObjectInfo)]
        return cut_pages(sorted(infos, key=order), prefix, delimiter=delimiter)


@dataclasses.dataclass
class _Session:
    key: str
    options: WriteOptions
    data: bytearray = dataclasses.field(default_factory=bytearray)
    info: ObjectInfo | None = None


_sessions: dict[str, _Session] = {}


class LikeGcs(Shaped):
    """Native sessions, copies that keep their attributes."""

    native = frozenset(("md5", "crc32c"))
    limits = Limits(
        part_min=256 * KiB,
        session=True,
        put_digests=native,
        multipart_digests=frozenset(("crc32c",)),
        copy_attributes=True,
    )

    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        with self._bucket.lock:
            found = self._pinned(source)
            if not options.metadata:  # the attributes are the source's, its token too
                info = found.info
                options = dataclasses.replace(
                    options, content_type=info.content_type, metadata=info.metadata, headers=info.headers
                )
            return self._store(key, found.data, dataclasses.replace(options, digests={}))

    def store_digests(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        with self._bucket.lock:
            found = self._pinned(info)
            ((name, value),) = digests.items()
            noted = {**found.info.metadata, "fk_hash": f"{name}:{value}"}
            told = dataclasses.replace(found.info, metadata=noted)
            self._bucket.objects[info.key] = dataclasses.replace(found, info=told)

    def resumable_start(self, key: str, options: WriteOptions) -> str:
        session = secrets.token_hex(16)
        _sessions[session] = _Session(key, options)
        return session

    def _session(self, upload: MultipartRef) -> _Session:
        found = _sessions.get(upload.id)
        if found is None or found.key != upload.key:
            raise exc.MissingFileError("there is no such session")
        return found

    def resumable_send(
        self, upload: MultipartRef, offset: int, body: Buffer, total: int | None, options: WriteOptions
    ) -> int | ObjectInfo:
        session = self._session(upload)
        if session.info is not None:
            return session.info
        assert offset == len(session.data)
        session.data += body
        if total is None:
            assert not len(body) % (256 * KiB)
            return len(session.data)
        assert total == len(session.data)
        try:
            session.info = self._store(session.key, bytes(session.data), session.options)
        except exc.FilesError:
            del _sessions[upload.id]
            raise
        return session.info

    def resumable_offset(self, upload: MultipartRef, total: int | None) -> int | ObjectInfo:
        session = self._session(upload)
        return session.info or len(session.data)

    def resumable_cancel(self, upload: MultipartRef) -> bool:
        found = _sessions.get(upload.id)
        return found is not None and found.info is None and _sessions.pop(upload.id) is not None

    @property
    def verbs(self) -> frozenset[str]:
        return super().verbs | {"store_digests"}


class Poor(Shaped):
    """Five verbs, no order, no metadata, no condition in one step."""

    limits = Limits(streaming_put=True, put_max=1 << 62, metadata=False, atomic_create=False, order="none")

    def put(self, key: str, body: Any, options: WriteOptions) -> ObjectInfo:
        content = bytes(body) if isinstance(body, bytes | bytearray | memoryview) else b"".join(map(bytes, body))
        self._check(key, options)
        return super().put(key, content, dataclasses.replace(options, if_absent=False))

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        infos = [entry for entry in entries_of(super().list(prefix)) if isinstance(entry, ObjectInfo)]
        random.Random(len(infos)).shuffle(infos)
        return cut_pages(infos, prefix, delimiter=delimiter, size=7)

    @property
    def verbs(self) -> frozenset[str]:
        return frozenset(("prepare", "check"))


SHAPES: dict[str, type[Backend[Any]]] = {"s3": LikeS3, "azure": LikeAzure, "gcs": LikeGcs, "poor": Poor}
for name, shape in SHAPES.items():
    fk.adapters.register(f"shape:{name}", shape)
