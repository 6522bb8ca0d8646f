"""Removing, copying, moving: within a storage and between two."""

from __future__ import annotations

import copy as copying
import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .. import attributes, exc, synthetic
from ..backend import (
    Capability,
    ObjectInfo,
    WriteOptions,
)
from ..data import FileData
from ..reading import Reader
from ..transfer import Plan
from ..types import FileOrLocation, Progress
from ..upload import Upload
from .base import name_of, operation
from .reading import Reading

if TYPE_CHECKING:
    from . import Storage


class Copying(Reading):
    """The part of a storage that removes, copies and moves."""

    @operation(Capability.REMOVE)
    def remove(self, file: FileOrLocation) -> bool:
        """Remove a file; tell whether it was there. :raises PermissionError: when that is not allowed"""
        return self._verbs.delete(self._key(file))

    @operation(Capability.REMOVE)
    def remove_many(self, files: Iterable[FileOrLocation]) -> list[exc.FilesError]:
        """Remove files, in batches where the provider has them; what is not there is no error.

        :return: the error of each file that could not be removed
        """
        failures: list[exc.FilesError] = []
        batch: dict[str, str] = {}

        def flush() -> None:
            for key, error in self._delete_many(list(batch)):
                failure = self._as_ours(error)
                failure.within(self.name, "remove_many", batch.get(key, key))
                failures.append(failure)
            batch.clear()

        for file in files:
            try:
                batch[self._key(file)] = name_of(file)
            except exc.FilesError as error:
                error.within(self.name, "remove_many", name_of(file))
                failures.append(error)
            if len(batch) >= 1000:
                flush()
        flush()
        return failures

    def _as_ours(self, error: Exception) -> exc.FilesError:
        if isinstance(error, exc.FilesError):
            return error
        failure = self._verbs.translate(error) or exc.StorageError(f"the backend failed: {error}")
        failure.__cause__ = error
        return failure

    def _delete_many(self, keys: list[str]) -> Iterator[tuple[str, Exception]]:
        if "delete_many" in self._verbs.verbs and len(keys) > 1:
            try:
                yield from self._verbs.delete_many(keys)
            except exc.FilesError as error:
                # The request for all of them failed, so none is known to be removed.
                for key in keys:
                    failure = copying.copy(error)
                    failure.__cause__ = error.__cause__
                    yield key, failure
            return
        for key in keys:
            try:
                self._verbs.delete(key)
            except exc.FilesError as error:
                yield key, error

    @operation(Capability.COPY)
    def copy(self, location: str, file: FileOrLocation, /, *, overwrite: bool | FileData | None = None) -> FileData:
        """Copy a file to `location`, on the server, any size; type, metadata, headers and hash are kept.

        Onto itself it does nothing.

        :raises ExistingFileError, ChangedFileError, MissingFileError: as in :meth:`upload`, the source missing
        """
        key = self._key(location, writing=True)
        with self._on(file):
            source = self._key(file)
            if source == key:
                return self._describe(self._verbs.head(key), location)
        return self._copied(source, key, file, location, overwrite)[1]

    def _copied(
        self, source: str, key: str, file: FileOrLocation, location: str, overwrite: bool | FileData | None
    ) -> tuple[ObjectInfo, FileData]:
        """Copy; give the source as it was seen, and the copy."""
        if_absent, if_match = self._condition(overwrite)
        verbs = self._verbs.verbs
        if "copy" in verbs and self.limits.copy_attributes:
            options = WriteOptions(if_absent=if_absent, if_match=if_match)
            with self._from(file):
                info = self._verbs.copy(ObjectInfo(key=source, size=0), key, options)
            return ObjectInfo(key=source, size=info.size), self._describe(info, location)
        with self._on(file):
            info = self._verbs.head(source)
        digests = self._digests(info)
        wanted = self.settings.hashing_algorithm
        plain = self._attributes_of(info)
        kept = {k: v for k, v in info.metadata.items() if k in (attributes.HASH, attributes.MD5)}
        if not kept:
            kept = attributes.record(digests, attributes.pick(digests, wanted)[1], self.limits.put_digests, self.limits)
        options = dataclasses.replace(
            plain,
            metadata={**plain.metadata, **kept},
            if_absent=if_absent,
            if_match=if_match,
            digests=digests,
            size=info.size,
        )
        if "copy" in verbs:
            with self._from(file):
                made = self._verbs.copy(info, key, options)
            made = dataclasses.replace(
                info,
                key=key,
                etag=made.etag,
                modified=made.modified,
                metadata=options.metadata,
                digests={**digests, **made.digests},
                noted=False,
            )
            return info, self._describe(made, location)
        plan = Plan(
            key=key,
            content_type=info.content_type,  # "": told from the content, as analyze would
            metadata=attributes.without_ours(info.metadata),
            headers=info.headers,
            if_absent=if_absent,
            if_match=if_match,
            # What was recorded is verified on the way, and known before the first byte: it is recorded again.
            expected={wanted: digests[wanted]} if wanted in digests else {},
            name=key,
        )
        with Reader(self._verbs, source, etag=info.etag) as reader:
            made = self._send(location, Upload(reader, size=info.size), plan, attributes.decode(info.metadata))
        return info, made

    @operation(Capability.MOVE)
    def move(self, location: str, file: FileOrLocation, /, *, overwrite: bool | FileData | None = None) -> FileData:
        """Move a file to `location`; a rename where the provider has one, else a copy and a conditional removal.

        If it fails the source stays. Onto itself it does nothing.

        :raises ChangedFileError: the source was changed meanwhile
        """
        key = self._key(location, writing=True)
        with self._on(file):
            source = self._key(file)
            if source == key:
                return self._describe(self._verbs.head(key), location)
        if_absent, if_match = self._condition(overwrite)
        if "move" in self._verbs.verbs:
            with self._from(file):
                info = self._verbs.move(source, key, WriteOptions(if_absent=if_absent, if_match=if_match))
            return self._describe(info, location)
        if self.limits.copy_attributes:
            # The removal needs the version that was copied, so the source is looked at after all.
            with self._on(file):
                seen = self._verbs.head(source)
            with self._from(file):
                info = self._verbs.copy(seen, key, WriteOptions(if_absent=if_absent, if_match=if_match))
            made = self._describe(info, location)
        else:
            seen, made = self._copied(source, key, file, location, overwrite)
        try:
            with self._on(file):
                self._verbs.delete(source, etag=seen.etag)
        except exc.FilesError as error:
            if if_absent and not isinstance(error, exc.ConnectionError):
                # The copy was ours alone: with the source still there it is taken back. After an answer that was
                # lost the source may be gone, and the copy all that there is.
                try:
                    self._verbs.delete(key, etag=made.etag)
                except exc.FilesError as failure:
                    error.add_note(f"and the copy at {location!r} could not be removed: {failure}")
            raise
        return made

    def copy_synthetic(
        self,
        location: str,
        file: FileOrLocation,
        destination: Storage,
        *,
        overwrite: bool | FileData | None = None,
        progress: Progress | None = None,
    ) -> FileData:
        """Copy a file of this storage to `location` in `destination`, through this machine, in bounded memory.

        :param progress: as for :meth:`upload`
        """
        return synthetic.copy(self, location, file, destination, overwrite, progress)

    def move_synthetic(
        self,
        location: str,
        file: FileOrLocation,
        destination: Storage,
        *,
        overwrite: bool | FileData | None = None,
        progress: Progress | None = None,
    ) -> FileData:
        """Move a file of this storage to `location` in `destination`; it is removed here when it is there.

        :param progress: as for :meth:`upload`
        """
        return synthetic.move(self, location, file, destination, overwrite, progress)

    def range_synthetic(self, file: FileOrLocation, start: int = 0, end: int | None = None) -> bytes:
        """Give a range by reading the file from its beginning, for backends without ranges."""
        return synthetic.range(self, file, start, end)

    def compose_synthetic(
        self,
        location: str,
        destination: Storage,
        /,
        *files: FileOrLocation,
        overwrite: bool | FileData | None = None,
    ) -> FileData:
        """Make one file at `location` in `destination` of several of this storage, in bounded memory."""
        return synthetic.compose_between(self, location, destination, files, overwrite)
