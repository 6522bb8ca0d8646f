"""Open files of a file system: reading by ranges, writing that is published at the end."""

# fsspec ships no types: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUntypedBaseClass=false

from __future__ import annotations

import io
import tempfile
import uuid
from types import TracebackType
from typing import Any, Self

import file_keeper as fk
from fsspec.spec import AbstractBufferedFile

_SPOOLED = 8 << 20


class ReadingFile(AbstractBufferedFile):
    """A file that is read by ranges, with fsspec's caches, all of the version that was seen when it was opened.

    :raises ChangedFileError: from a read, when the file was replaced meanwhile
    """

    def __init__(self, fs: Any, path: str, file: fk.FileData, **options: Any):
        self._storage: fk.Storage = fs.storage
        self._file = file
        super().__init__(fs, path, "rb", size=file.size, **options)
        self.details = {"name": path, "size": file.size, "type": "file", "etag": file.etag}

    def _fetch_range(self, start: int, end: int) -> bytes:
        with self._storage.stream(self._file, start=start, end=end, etag=self._file.etag) as stream:
            return stream.read()


class _Committed(io.RawIOBase):
    """A file that is published when it is closed, or by ``commit`` in a transaction; after an exception it never is."""

    def __init__(self, storage: fk.Storage, location: str, *, autocommit: bool):
        self._storage = storage
        self._location = location
        self.autocommit = autocommit
        self.blocksize = storage.settings.part_size
        self.mode = "wb"

    def writable(self) -> bool:
        return True

    def commit(self) -> None:
        """Publish what was written."""
        raise NotImplementedError

    def discard(self) -> None:
        """Drop what was written; what stood there stays."""
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def __enter__(self) -> Self:
        return self


class WritingFile(_Committed):
    """A new file, sent while it is written. In a transaction it lies out of sight until that ends."""

    _writer: Any = None  # where it could not be opened there is nothing to close

    def __init__(self, storage: fk.Storage, location: str, *, overwrite: bool, autocommit: bool):
        super().__init__(storage, location, autocommit=autocommit)
        self._overwrite = overwrite
        self._waiting: str | None = None
        if autocommit:
            self._writer = storage.open(location, "wb", overwrite=overwrite)
        else:
            self._waiting = uuid.uuid4().hex
            self._writer = storage.incoming.open(self._waiting, "wb", overwrite=True)

    def write(self, data: Any, /) -> int:
        return self._writer.write(data)

    def tell(self) -> int:
        return self._writer.tell()

    def close(self) -> None:
        if not self.closed:
            try:
                if self._writer is not None:
                    self._writer.close()
            finally:
                super().close()

    def commit(self) -> None:
        self.close()
        if self._waiting is not None:
            self._storage.incoming.move_synthetic(
                self._location, self._waiting, self._storage, overwrite=self._overwrite
            )
            self._waiting = None

    def discard(self) -> None:
        if not self.closed:
            self._writer.__exit__(GeneratorExit, GeneratorExit(), None)
            super().close()
        if self._waiting is not None:
            self._storage.incoming.remove(self._waiting)
            self._waiting = None


class AppendingFile(_Committed):
    """What is put behind a file, at the end and in one step; a file that is not there begins with it."""

    _spool: Any = None  # where it could not be opened there is nothing to put

    def __init__(self, storage: fk.Storage, location: str, *, autocommit: bool):
        super().__init__(storage, location, autocommit=autocommit)
        self.mode = "ab"
        try:
            self._seen: fk.FileData | None = storage.analyze(location)
        except fk.exc.MissingFileError:
            self._seen = None
        self._spool = tempfile.SpooledTemporaryFile(_SPOOLED)  # noqa: SIM115 - closed by commit and discard
        self._begin = self._seen.size if self._seen else 0

    def write(self, data: Any, /) -> int:
        return self._spool.write(data)

    def tell(self) -> int:
        return self._begin + self._spool.tell()

    def close(self) -> None:
        if self.closed:
            return
        if self._spool is not None and self.autocommit:
            self.commit()
        else:
            super().close()

    def commit(self) -> None:
        try:
            self._spool.seek(0)
            upload = fk.make_upload(self._spool)
            if self._seen is None:
                self._storage.upload(self._location, upload, overwrite=False)
            else:
                self._storage.append(self._seen, upload)
        finally:
            self._spool.close()
            super().close()

    def discard(self) -> None:
        self._spool.close()
        super().close()
