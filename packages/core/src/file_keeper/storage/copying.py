"""Removing, copying, moving: within a storage and between two."""

from __future__ import annotations

import copy as copying
import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .. import attributes, calls, exc, synthetic
from ..backend import (
    Capability,
    NotSupportedForObject,
    ObjectInfo,
    WriteOptions,
)
from ..data import FileData
from ..reading import ObjectStream
from ..transfer import UploadRequest
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
        """Remove a file; return whether it was there. :raises PermissionError: when that is not allowed"""
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
        self,
        source: str,
        key: str,
        file: FileOrLocation,
        location: str,
        overwrite: bool | FileData | None,
        neighbour: ObjectInfo | None = None,
    ) -> tuple[ObjectInfo, FileData]:
        """Copy; return the source as it was seen, and the copy.

        :param neighbour: the source, where it lies in another bucket
        :raises NotSupportedForObject: the provider does not copy that from another bucket
        """
        if_absent, if_match = self._condition(overwrite)
        verbs = self._verbs.verbs
        if neighbour is None and "copy" in verbs and self._copies_all(if_absent, if_match):
            options = WriteOptions(if_absent=if_absent, if_match=if_match)
            with self._from(file):
                info = self._verbs.copy(ObjectInfo(key=source, size=0), key, options)
            return ObjectInfo(key=source, size=info.size), self._describe_made(info, location)
        if neighbour is None:
            with self._on(file):
                info = self._verbs.head(source)
        else:
            info = neighbour
        digests = self._digests(info)
        wanted = self.settings.hashing_algorithm
        plain = self._attributes_of(info)
        kept = attributes.hash_of(info.metadata, self.limits)
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
            try:
                with self._from(file):
                    made = self._verbs.copy(info, key, options)
            except NotSupportedForObject:
                if neighbour is not None:
                    raise
                # the provider cannot, with this one: read and written, as without the verb
            else:
                made = dataclasses.replace(
                    info,
                    key=key,
                    etag=made.etag,
                    modified=made.modified,
                    metadata=options.metadata,
                    digests={**digests, **made.digests},
                    noted=False,
                    bucket="",
                )
                return info, self._describe_made(made, location)
        plan = UploadRequest(
            key=key,
            content_type=info.content_type,  # "": told from the content, as analyze would
            metadata=attributes.without_ours(info.metadata, self.limits),
            headers=info.headers,
            if_absent=if_absent,
            if_match=if_match,
            # What was recorded is verified on the way, and known before the first byte: it is recorded again.
            expected={wanted: digests[wanted]} if wanted in digests else {},
            name=key,
        )
        with ObjectStream(self._verbs, source, etag=info.etag) as reader:
            made = self._send(location, Upload(reader, size=info.size), plan, attributes.decode(info.metadata))
        return info, made

    def _copies_all(self, if_absent: bool, if_match: str) -> bool:
        """Return whether the provider's own copy of the attributes will do.

        It copies the token of the source as well, by which two copies under one condition could not be told apart
        after a lost answer: each would take the other's for its own (contract 6.1.3).
        """
        return self.limits.copy_attributes and not (if_absent or if_match)

    @operation(Capability.MOVE)
    def move(self, location: str, file: FileOrLocation, /, *, overwrite: bool | FileData | None = None) -> FileData:
        """Move a file to `location`; a rename where the provider has one, else a copy and a conditional removal.

        If it fails the source stays, and the copy too where it cannot be shown that the source does: see the notes of
        the error. Onto itself it does nothing.

        :raises ChangedFileError: the source was changed meanwhile
        """
        key = self._key(location, writing=True)
        with self._on(file):
            source = self._key(file)
            if source == key:
                return self._describe(self._verbs.head(key), location)
        return self._moved(source, key, file, location, overwrite)

    def _moved(
        self, source: str, key: str, file: FileOrLocation, location: str, overwrite: bool | FileData | None
    ) -> FileData:
        """Move a key of the backend, which need not be one of this storage."""
        if_absent, if_match = self._condition(overwrite)
        if "move" in self._verbs.verbs:
            with self._from(file):
                info = self._verbs.move(source, key, WriteOptions(if_absent=if_absent, if_match=if_match))
            return self._describe_made(info, location)
        if self._copies_all(if_absent, if_match):
            # The removal needs the version that was copied, so the source is looked at after all.
            with self._on(file):
                seen = self._verbs.head(source)
            with self._from(file):
                info = self._verbs.copy(seen, key, WriteOptions(if_absent=if_absent, if_match=if_match))
            made = self._describe_made(info, location)
        else:
            seen, made = self._copied(source, key, file, location, overwrite)
        try:
            # Once there is a copy the move is ended, also where nobody waits for it any more.
            with self._on(file), calls.cleaning_up():
                self._verbs.delete(source, etag=seen.etag)
        except exc.FilesError as error:
            if not (if_absent and self._take_back(error, seen, key, made)):
                error.add_note(f"the copy at {location!r} stays")
            raise
        return made

    def _take_back(self, error: exc.FilesError, seen: ObjectInfo, key: str, made: FileData) -> bool:
        """Remove the copy of a move whose source was not removed; return whether that was done.

        The error alone does not show that the source stands: the answer to an earlier attempt may have been lost, and
        the copy be all that there is (contract 6.4). A copy without an etag may be another's by now.
        """
        if error.uncertain or not made.etag:
            return False
        try:
            now = self._verbs.head(seen.key)
            if (now.etag, attributes.token_of(now.metadata)) != (seen.etag, attributes.token_of(seen.metadata)):
                return False
            self._verbs.delete(key, etag=made.etag)
        except exc.FilesError as failure:
            error.add_note(f"the copy could not be taken back: {failure}")
            return False
        return True

    def copy_synthetic(
        self,
        location: str,
        file: FileOrLocation,
        destination: Storage,
        *,
        overwrite: bool | FileData | None = None,
        progress: Progress | None = None,
    ) -> FileData:
        """Copy a file of this storage to `location` in `destination`, in bounded memory.

        The provider copies where :meth:`copies_to` says so; else the content passes through this machine.

        :param progress: as for :meth:`upload`
        """
        if self.copies_to(destination):
            try:
                return self._copied_beyond(location, file, destination, overwrite, progress)
            except NotSupportedForObject:
                pass
        return synthetic.copy(self, location, file, destination, overwrite, progress)

    def copies_to(self, destination: Storage) -> bool:
        """Return whether the provider copies from here to `destination`: one service, and the same rights.

        No byte passes through this machine then. It makes no request, and is no promise for each file.
        """
        if "copy" not in destination.backend.verbs:
            return False
        return destination.backend is self.backend or bool(destination.backend.neighbour(self.backend))

    def _copied_beyond(
        self,
        location: str,
        file: FileOrLocation,
        destination: Storage,
        overwrite: bool | FileData | None,
        progress: Progress | None,
    ) -> FileData:
        """Have the provider copy into another storage."""
        with self._at("copy_synthetic", name_of(file)):
            source = self._key(file)
            info = None
            if destination.backend is not self.backend:
                found = self._verbs.head(source)
                info = dataclasses.replace(
                    found,
                    digests=self._digests(found),
                    noted=False,
                    bucket=destination.backend.neighbour(self.backend),
                )
        with destination._at("copy_synthetic", location):
            key = destination._key(location, writing=True)
            if info is None and key == source:
                raise exc.ChangedFileError("the source is the very file that was to be written: it stays")
            made = destination._copied(source, key, file, location, overwrite, info)[1]
        if progress is not None:
            progress(made.size, made.size)
        return made

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

        Between a storage and its :attr:`incoming` the provider does it, as in :meth:`move`.

        :param progress: as for :meth:`upload`
        """
        if destination.backend is self.backend:
            return self._moved_within(location, file, destination, overwrite, progress)
        return synthetic.move(self, location, file, destination, overwrite, progress)

    def _moved_within(
        self,
        location: str,
        file: FileOrLocation,
        destination: Storage,
        overwrite: bool | FileData | None,
        progress: Progress | None,
    ) -> FileData:
        """Move between two storages that stand on one backend."""
        with self._at("move_synthetic", name_of(file)):
            source = self._key(file)
        with destination._at("move_synthetic", location):
            key = destination._key(location, writing=True)
            if key == source:
                raise exc.ChangedFileError("the source is the very file that was to be written: it stays")
            made = destination._moved(source, key, file, location, overwrite)
        if progress is not None:
            progress(made.size, made.size)
        return made

    def range_synthetic(self, file: FileOrLocation, start: int = 0, end: int | None = None) -> bytes:
        """Return a range by reading the file from its beginning, for backends without ranges."""
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
