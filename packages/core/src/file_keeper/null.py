"""The backend that keeps nothing: uploads are read, hashed and forgotten."""

from __future__ import annotations

from collections.abc import Iterator

from . import exc
from .backend import Backend, Body, Limits, ObjectInfo, Page, Settings, Source, WriteOptions
from .types import Buffer


class NullBackend(Backend[Settings]):
    """Takes everything and has no files: for dry runs, and to measure what the library itself costs."""

    limits = Limits(streaming_put=True, late_metadata=True, put_max=1 << 62, object_max=1 << 62, ranges=False)

    def head(self, key: str) -> ObjectInfo:
        raise exc.MissingFileError("the null storage has no files")

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        raise exc.MissingFileError("the null storage has no files")

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        return iter(())

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        if options.if_match:
            raise exc.ChangedFileError("the null storage has no files")
        size = len(body) if isinstance(body, bytes | bytearray | memoryview) else sum(len(chunk) for chunk in body)
        return ObjectInfo(key=key, size=size, content_type=options.content_type)

    def delete(self, key: str, *, etag: str = "") -> bool:
        return False

    def translate(self, error: Exception) -> exc.FilesError | None:
        return None

    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        raise exc.MissingFileError("the null storage has no files")

    def prepare(self) -> None:
        pass

    def check(self) -> None:
        pass
