"""Reading files, and telling of them."""

from __future__ import annotations

import dataclasses
import os

from .. import exc, hashing
from ..backend import (
    Capability,
)
from ..data import FileData
from ..reading import ObjectStream, WatchedStream
from ..resilience.watch import current
from ..types import FileOrLocation, Progress
from .base import Base, name_of, operation


class Reading(Base):
    """The part of a storage that reads."""

    @operation(Capability.STREAM)
    def stream(self, file: FileOrLocation, *, start: int = 0, end: int | None = None, etag: str = "") -> ObjectStream:
        """Open a file: an iterator of chunks that is also a readable stream and a context manager.

        A connection that is lost half-way is resumed where it broke, on the same version.

        :param start: with `end`: only the bytes ``[start, end)``; `start` is within the file
        :param etag: only if the file is still this version (:attr:`FileData.etag`)
        :raises MissingFileError: at the call
        :raises ChangedFileError: when the file is replaced while it is read; never are two versions mixed
        :raises CorruptedFileError: at the end, when the content is not the one that was stored (``verify_reads``)
        """
        if start < 0 or (end is not None and end < start):
            raise exc.StorageDataError(f"a stream goes from 0 or more to an end behind it, not from {start} to {end}")
        tell, verify = self._told("stream", file), self._verification
        kind = ObjectStream if current() is None else WatchedStream
        return kind(self._verbs, self._key(file), start, end, etag=etag, tell=tell, verify=verify)

    @operation(Capability.STREAM)
    def content(self, file: FileOrLocation) -> bytes:
        """Return the whole content.

        :raises MissingFileError: when there is no file
        :raises CorruptedFileError: when the content is not the one that was stored (``verify_reads``)
        """
        with ObjectStream(self._verbs, self._key(file), verify=self._verification) as reader:
            return reader.readall()

    @operation(Capability.RANGE)
    def range(self, file: FileOrLocation, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes ``[start, end)``, as a slice would: past the end is empty.

        An empty range makes no request and says nothing about whether the file is there.

        :raises StorageDataError: for a negative bound (it is a ``ValueError`` too)
        """
        key = self._key(file)
        if start < 0 or (end is not None and end < 0):
            raise exc.StorageDataError(f"the bounds of a range are not negative: {start}, {end}")
        if end is not None and end <= start:
            return b""
        with ObjectStream(self._verbs, key, start, end) as reader:
            return reader.readall()

    @operation(Capability.STREAM)
    def download(
        self, file: FileOrLocation, target: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> FileData:
        """Write a file to a local path, atomically: all of it or nothing, in parallel ranges where that helps.

        What stands at `target` is replaced.

        :param progress: called with the bytes done and the total
        :return: the data of the file that was read
        :raises CorruptedFileError: when the content is not the one that was stored (``verify_reads``)
        """
        from ..download import download

        key = self._key(file)
        info = download(self._verbs, key, target, self.settings, progress, self._verification)
        return self._describe(info, name_of(file))

    @operation(Capability.ANALYZE | Capability.STREAM)
    def verify(self, file: FileOrLocation, *, record: bool = False, progress: Progress | None = None) -> FileData:
        """Read the whole file and compare it with its recorded hash, and with that of `file` if it has one.

        :param record: where no hash is recorded, record the one found, if the backend can
        :param progress: called with the bytes read and the total; if it raises, reading ends
        :raises UploadHashMismatchError: when it is another
        """
        key = self._key(file)
        info = self._verbs.head(key)
        recorded = {**info.sealed, **self._digests(info)}
        expected = dict(recorded)
        if isinstance(file, FileData) and file.hash:
            expected[file.algorithm] = hashing.check(file.hash, file.algorithm)
        wanted = self.settings.hashing_algorithm
        hashers = {name: hashing.new(name) for name in {wanted, *expected}}
        done = 0
        with ObjectStream(self._verbs, key, etag=info.etag) as reader:
            if progress is not None:
                progress(0, info.size)
            for chunk in reader:
                for hasher in hashers.values():
                    hasher.update(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, info.size)
        found = {name: hasher.hexdigest() for name, hasher in hashers.items()}
        for known in (recorded, expected):
            for name, value in known.items():
                if found[name] != value:
                    raise exc.UploadHashMismatchError(
                        f"the {name} of the content is {found[name]}, recorded was {value}: it is damaged, or "
                        "another tool changed it; what is stored again gets a new hash"
                    )
        if record and wanted not in recorded and "store_digests" in self._verbs.verbs:
            self._verbs.store_digests(info, {wanted: found[wanted]})
            # On some providers (Azure) a record makes another version; what is told must be the one that stands there.
            info = self._verbs.head(key)
        info = dataclasses.replace(info, digests={**info.digests, wanted: found[wanted]})
        return self._describe(info, name_of(file))

    @operation(Capability.ANALYZE)
    def analyze(self, file: FileOrLocation) -> FileData:
        """Return all that is known of a file: what :meth:`upload` gave, from any process.

        :raises MissingFileError: when there is none
        """
        return self._describe(self._verbs.head(self._key(file)), name_of(file))

    @operation(Capability.EXISTS)
    def exists(self, file: FileOrLocation) -> bool:
        """Return whether there is a file. :raises PermissionError: when that may not be known: an error is no answer"""
        try:
            self._verbs.head(self._key(file))
        except exc.MissingFileError:
            return False
        return True

    @operation(Capability.ANALYZE)
    def size(self, file: FileOrLocation) -> int:
        """Return the size of a file in bytes."""
        return self._verbs.head(self._key(file)).size

    @operation(Capability.ANALYZE)
    def hash(self, file: FileOrLocation) -> str:
        """Return the recorded hash of a file as hex, ``""`` when none is known."""
        return self._describe(self._verbs.head(self._key(file)), name_of(file)).hash

    @operation(Capability.ANALYZE)
    def content_type(self, file: FileOrLocation) -> str:
        """Return the media type of a file."""
        info = self._verbs.head(self._key(file))
        return info.content_type or self._describe(info, name_of(file)).content_type
