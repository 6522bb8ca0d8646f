"""Backends in memory that behave as one kind of provider or another."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from file_keeper import Storage, exc, hashing, make_storage
from file_keeper.backend import (
    Backend,
    Limits,
    MultipartRef,
    ObjectInfo,
    Page,
    Part,
    Settings,
    Source,
    Wrapper,
    WriteOptions,
)
from file_keeper.memory import MemoryBackend, MemorySettings
from file_keeper.types import Buffer

T = TypeVar("T")
KiB = 1 << 10
MiB = 1 << 20

PARTS = Limits(put_max=1 << 40, part_min=1)
"""As S3: keeps no hash of what came in parts, tells metadata at the beginning."""

LATE = dataclasses.replace(PARTS, late_metadata=True, multipart_digests=frozenset(("md5",)))
SESSION = dataclasses.replace(PARTS, session=True, put_digests=frozenset(("md5", "crc32c")))
STREAM = dataclasses.replace(PARTS, streaming_put=True, late_metadata=True, put_digests=hashing.NAMES)
NOTHING = dataclasses.replace(PARTS, parts_max=0)

KINDS = {"parts": PARTS, "late": LATE, "session": SESSION, "stream": STREAM}


class Double(MemoryBackend):
    """Memory with the limits of another provider, native sessions and notes."""

    def __init__(self, settings: MemorySettings, limits: Limits):
        super().__init__(settings)
        self.limits = limits
        self.sessions: dict[str, tuple[str, bytearray]] = {}
        self.tags: dict[str, Mapping[str, str]] = {}
        self.taken = 1 << 40  # bytes that a session takes of a piece at most

    @property
    def verbs(self) -> frozenset[str]:
        verbs = super().verbs
        if not self.limits.session:
            verbs -= {"resumable_start", "resumable_send", "resumable_offset", "resumable_cancel"}
        if not self.limits.parts_max:
            verbs = frozenset(verb for verb in verbs if not verb.startswith("multipart"))
        return verbs

    @property
    def open(self) -> list[str]:
        """What was begun and not ended."""
        return [*self._bucket.uploads, *self.sessions]

    @staticmethod
    def _native(options: WriteOptions, native: frozenset[str], **more: Any) -> WriteOptions:
        """Keep the hashes that this provider keeps."""
        kept = {name: value for name, value in options.digests.items() if name in native}
        return dataclasses.replace(options, **{**more, "digests": kept})

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        if not isinstance(body, bytes | bytearray | memoryview):
            data = bytearray()
            for chunk in body:
                data += chunk
            options = dataclasses.replace(options, digests={**options.digests, **body.digests})
            body = data
        return super().put(key, body, self._native(options, self.limits.put_digests))

    def multipart_create(self, key: str, options: WriteOptions) -> str:
        self.created = options
        return super().multipart_create(key, options)

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        more = {} if self.limits.late_metadata else {"metadata": self.created.metadata}
        return super().multipart_complete(upload, parts, self._native(options, self.limits.multipart_digests, **more))

    def resumable_start(self, key: str, options: WriteOptions) -> str:
        name = secrets.token_hex(8)
        self.sessions[name] = (key, bytearray())
        return name

    def _session(self, upload: MultipartRef) -> bytearray:
        if upload.id not in self.sessions:
            raise exc.MissingFileError("no such session")
        return self.sessions[upload.id][1]

    def resumable_send(
        self, upload: MultipartRef, offset: int, body: Buffer, total: int | None, options: WriteOptions
    ) -> int | ObjectInfo:
        data = self._session(upload)
        if offset != len(data):
            raise exc.ResumableUploadError("not where it ended")
        data += memoryview(body)[: self.taken]
        if total is None or len(data) < total:
            return len(data)
        info = self._store(upload.key, bytes(data), self._native(options, self.limits.put_digests))
        del self.sessions[upload.id]
        return info

    def resumable_offset(self, upload: MultipartRef, total: int | None) -> int | ObjectInfo:
        return len(self._session(upload))

    def resumable_cancel(self, upload: MultipartRef) -> bool:
        return self.sessions.pop(upload.id, None) is not None

    def store_digests(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        self.tags[info.key] = digests
        found = self._get(info.key)
        self._bucket.objects[info.key] = dataclasses.replace(found, info=dataclasses.replace(found.info, noted=True))

    def read_digests(self, info: ObjectInfo) -> Mapping[str, str]:
        return self.tags.get(info.key, {})


class Discarding(Backend[Settings]):
    """Takes everything in parts, sessions or streams, and keeps nothing but its size."""

    def __init__(self, limits: Limits):
        super().__init__(Settings())
        self.limits = limits
        self.size = 0
        self.lock = threading.Lock()

    def _got(self, count: int) -> None:
        with self.lock:
            self.size += count

    def head(self, key: str) -> ObjectInfo:
        raise exc.MissingFileError("nothing is here")

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Any:
        raise exc.MissingFileError("nothing is here")

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        return iter(())

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        if isinstance(body, bytes | bytearray | memoryview):
            self._got(len(body))
        else:
            for chunk in body:
                self._got(len(chunk))
        return ObjectInfo(key=key, size=self.size)

    def delete(self, key: str, *, etag: str = "") -> bool:
        return False

    def translate(self, error: Exception) -> exc.FilesError | None:
        return None

    def multipart_create(self, key: str, options: WriteOptions) -> str:
        return "id"

    def multipart_put(self, upload: MultipartRef, number: int, body: Buffer) -> Part:
        self._got(len(body))
        return Part(number=number, size=len(body))

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        return ObjectInfo(key=upload.key, size=self.size)

    def multipart_abort(self, upload: MultipartRef) -> bool:
        return True

    def resumable_start(self, key: str, options: WriteOptions) -> str:
        return "id"

    def resumable_send(
        self, upload: MultipartRef, offset: int, body: Buffer, total: int | None, options: WriteOptions
    ) -> int | ObjectInfo:
        self._got(len(body))
        return offset + len(body) if total is None else ObjectInfo(key=upload.key, size=total)

    def resumable_offset(self, upload: MultipartRef, total: int | None) -> int | ObjectInfo:
        return self.size

    def resumable_cancel(self, upload: MultipartRef) -> bool:
        return True


class Hooked(Wrapper):
    """Calls `hook(verb, key)` before each call and `done(verb, key)` after it; both may raise."""

    def __init__(
        self,
        inner: Backend[Any],
        hook: Callable[[str, str], object] = lambda verb, key: None,
        done: Callable[[str, str], object] = lambda verb, key: None,
    ):
        super().__init__(inner)
        self.hook = hook
        self.done = done

    def around(self, verb: str, key: str, call: Callable[[], T]) -> T:
        self.hook(verb, key)
        result = call()
        self.done(verb, key)
        return result


def settings_of(**options: Any) -> MemorySettings:
    found = make_storage("s", {"type": "memory", **options}).settings
    return cast("MemorySettings", found)


def double(limits: Limits, /, **options: Any) -> tuple[Storage, Double]:
    """Make a storage over a double with small parts."""
    defaults = {"part_size": 64 * KiB, "multipart_threshold": 64 * KiB, "overwrite_existing": True}
    settings = settings_of(**{**defaults, **options})
    backend = Double(settings, limits)
    return Storage("s", settings, backend), backend
