"""Several storages as one: for moving a running site from an old storage to a new one.

Everything is written to the first; what it does not have is read from the others, in order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from . import attributes, calls, exc
from .backend import (
    Backend,
    Body,
    ErrorBoundary,
    Limits,
    MultipartRef,
    NotSupportedForObject,
    ObjectInfo,
    Page,
    Part,
    Settings,
    SignAction,
    SignedRequest,
    SignOptions,
    Source,
    Wrapper,
    WriteOptions,
    cut_pages,
)
from .data import FileData
from .markers import Markers
from .settings import option
from .types import Buffer

if TYPE_CHECKING:
    from .storage import Storage

log = logging.getLogger("file_keeper")

_LIVE = ("client", "driver", "credential")
_FROM_FIRST = (
    "hashing_algorithm", "metadata", "headers", "overwrite_existing", "part_size", "multipart_threshold",
    "max_concurrency", "verify_reads", "timeout",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class FallbackSettings(Settings):
    """Options of several storages as one.

    :param storages: the dictionaries of the storages, the one that is written to first
    :param copy_on_read: put what is read from an old one into the first, verified, without overwriting
    :param hide: a file that is removed does not show again although an old storage still has it
    """

    storages: Any = option("any", secret=True, required=True)
    copy_on_read: bool = option("bool", False)
    hide: bool = option("bool", True)

    def validate(self) -> None:
        given: Any = self.storages
        if not isinstance(given, list | tuple) or len(cast("Sequence[Any]", given)) < 2:
            raise exc.InvalidStorageConfigurationError("option 'storages' must be a list of at least two dictionaries")
        if not all(isinstance(one, Mapping) for one in cast("Sequence[Any]", given)):
            raise exc.InvalidStorageConfigurationError("option 'storages' must be a list of dictionaries")
        for name in ("path", "bucket"):
            if name in self.given:
                raise exc.InvalidStorageConfigurationError(f"option {name!r} belongs into each of the 'storages'")

    def live(self) -> str:
        nested = cast("Sequence[Mapping[str, Any]]", self.storages)
        return super().live() or ("storages" if any(one.get(name) for one in nested for name in _LIVE) else "")


class FallbackBackend(Wrapper):
    """The backend of the first storage, which looks into the others for what that does not have.

    Keys are those of the first one. The etag of what lies in another one says so, so that a condition on it and the
    rest of a stream go there.
    """

    settings_type = FallbackSettings
    transparent = False

    def __init__(self, settings: FallbackSettings):
        from .registry import make_storage

        names = [f"{settings.name}[{place}]" for place in range(len(settings.storages))]
        made = [make_storage(name, one) for name, one in zip(names, settings.storages, strict=True)]
        self._first, self._others = made[0], made[1:]
        super().__init__(ErrorBoundary(self._first.backend))
        inner = self._first.settings
        # The keys of both are the same, and what was not said here is as the first one has it.
        changes = {name: getattr(inner, name) for name in _FROM_FIRST if name not in settings.given}
        for name, value in {**changes, "path": "" if inner.absolute_path else inner.path}.items():
            object.__setattr__(settings, name, value)
        self.settings = settings
        self._root = self._first.full_path("x")[:-1]
        self._markers = Markers(self._first) if settings.hide else None
        self._hide, self._copies = settings.hide, settings.copy_on_read

    @property
    def limits(self) -> Limits:  # pyright: ignore[reportIncompatibleVariableOverride]
        return dataclasses.replace(self.inner.limits, order="bytes", copy_attributes=False, local=False)

    @property
    def verbs(self) -> frozenset[str]:
        # A rename and a batch of removals know nothing of the others.
        return self.inner.verbs - {"move", "delete_many"}

    # -- the others -------------------------------------------------------------------------------------------------

    def _location(self, key: str) -> str:
        return key[len(self._root) :]

    def _is_private(self, key: str) -> bool:
        return ".file-keeper" in key.split("/")

    def _info(self, place: int, file: FileData, key: str, *, listed: bool = False) -> ObjectInfo:
        """Return the record of a file of another storage in the form of the first one."""
        encoded: Mapping[str, str] = {}
        if not listed:
            encoded = attributes.encode(file.metadata, self.inner.limits, self.settings.hashing_algorithm)
        return ObjectInfo(
            key=key,
            size=file.size,
            content_type=file.content_type,
            etag=f"old{place}:{file.etag}",
            modified=file.modified,
            metadata=encoded,
            headers=file.headers,
            digests={file.algorithm: file.hash} if file.hash else {},
        )

    def _find(self, key: str) -> tuple[int, FileData] | None:
        """Return where another storage has a file that is not hidden."""
        if self._is_private(key):
            return None
        location = self._location(key)
        for place, other in enumerate(self._others):
            try:
                found = other.analyze(location)
            except exc.MissingFileError:
                continue
            if self._markers is not None and self._markers.has(location):
                return None
            return place, found
        return None

    def _place(self, etag: str) -> tuple[int, str] | None:
        """Return which of the others an etag is of, and its own."""
        head, colon, rest = etag.partition(":")
        number = head.removeprefix("old")
        return (int(number), rest) if colon and head.startswith("old") and number.isdecimal() else None

    def _check(self, key: str, options: WriteOptions) -> WriteOptions:
        """Decide a condition that concerns the others; return the one that is left for the first."""
        if options.if_absent and self._find(key) is not None:
            raise exc.ExistingFileError("there is a file already, in an older storage, and overwriting is off")
        there = self._place(options.if_match) if options.if_match else None
        if there is None:
            return options
        found = self._find(key)
        if found is None or (found[0], found[1].etag) != there:
            raise exc.ChangedFileError("the file is another version")
        # Whoever wrote to the first one meanwhile was quicker.
        return dataclasses.replace(options, if_match="", if_absent=True)

    def _as_changed(self, before: WriteOptions, error: exc.ExistingFileError) -> exc.FilesError:
        return exc.ChangedFileError("the file is another version") if before.if_match else error

    # -- reading ----------------------------------------------------------------------------------------------------

    def head(self, key: str) -> ObjectInfo:
        try:
            return self.inner.head(key)
        except exc.MissingFileError:
            if (found := self._find(key)) is None:
                raise
            return self._info(found[0], found[1], key)

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        if (pinned := self._place(etag)) is not None:
            return self._read(pinned[0], key, start, end, pinned[1])
        try:
            return self.inner.read(key, start, end, etag=etag)
        except exc.MissingFileError:
            # Only "not there" goes on to the next.
            if etag or (found := self._find(key)) is None:
                raise
        if self._copies and self._take_over(found[0], key):
            with contextlib.suppress(exc.MissingFileError):
                return self.inner.read(key, start, end)
        return self._read(found[0], key, start, end, found[1].etag)

    def _read(self, place: int, key: str, start: int, end: int | None, etag: str) -> Body:
        other, location = self._others[place], self._location(key)
        seen = other.analyze(location)
        if etag and seen.etag != etag:
            raise exc.ChangedFileError("the file is another version")
        begin = min(start, seen.size)
        stop = max(begin, seen.size if end is None else min(end, seen.size))
        stream = other.stream(location, start=begin, end=stop, etag=seen.etag)
        return Body(self._info(place, seen, key), stop - begin, cast("Any", stream), start=begin)

    def _take_over(self, place: int, key: str) -> bool:
        """Put a file of another storage into the first one; return whether the first one has it now."""
        location = self._location(key)
        try:
            made = self._others[place].copy_synthetic(location, location, self._first, overwrite=False)
        except exc.ExistingFileError:
            return True
        except exc.FilesError as error:
            log.warning("%r was read from an older storage and could not be copied: %s", location, error)
            return False
        log.info("%r was copied from an older storage as it was read", location)
        if self._markers is not None and self._markers.has(location):
            # Somebody removed it meanwhile: it does not come back.
            with calls.cleaning_up():
                self.inner.delete(key, etag=made.etag)
            raise exc.MissingFileError("the file was removed while it was read")
        return True

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        if self._is_private(prefix):
            yield from self.inner.list(prefix, start_after=start_after, delimiter=delimiter, keys_only=keys_only)
            return
        infos = self._merged(self._location(prefix), start_after[len(self._root) :])
        yield from cut_pages(infos, prefix, start_after=start_after, delimiter=delimiter, size=1000)

    def _merged(self, prefix: str, start_after: str) -> Iterator[ObjectInfo]:
        hidden = self._markers.all() if self._markers is not None else frozenset[str]()

        def listed(place: int, storage: Storage) -> Iterator[tuple[str, int, FileData]]:
            for file in storage.files(prefix=prefix, start_after=start_after):
                yield file.location, place, file

        every = [listed(place - 1, storage) for place, storage in enumerate((self._first, *self._others))]
        last = ""
        for location, place, file in heapq.merge(*every, key=lambda one: one[:2]):
            if location == last or (place >= 0 and location in hidden):
                continue
            last, key = location, self._root + location
            info = self._info(place, file, key, listed=True)
            yield dataclasses.replace(info, etag=file.etag) if place < 0 else info

    # -- writing ----------------------------------------------------------------------------------------------------

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        if self._is_private(key):
            return self.inner.put(key, body, options)
        checked = self._check(key, options)
        try:
            return self.inner.put(key, body, checked)
        except exc.ExistingFileError as error:
            raise self._as_changed(options, error) from error

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        if self._is_private(upload.key):
            return self.inner.multipart_complete(upload, parts, options)
        checked = self._check(upload.key, options)
        try:
            return self.inner.multipart_complete(upload, parts, checked)
        except exc.ExistingFileError as error:
            raise self._as_changed(options, error) from error

    def resumable_start(self, key: str, options: WriteOptions) -> str:
        return self.inner.resumable_start(key, options if self._is_private(key) else self._check(key, options))

    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        if self._place(source.etag) is not None:
            raise NotSupportedForObject("the source lies in an older storage")  # read from there, and written
        if self._is_private(key):
            return self.inner.copy(source, key, options)
        return self.inner.copy(source, key, self._check(key, options))

    def compose(self, sources: Sequence[ObjectInfo], key: str, options: WriteOptions) -> ObjectInfo:
        if any(self._place(source.etag) is not None for source in sources):
            raise NotSupportedForObject("a source lies in an older storage")
        return self.inner.compose(sources, key, self._check(key, options))

    def append(self, target: ObjectInfo, body: Buffer, options: WriteOptions) -> ObjectInfo:
        if self._place(target.etag) is not None:
            raise NotSupportedForObject("the file lies in an older storage")
        return self.inner.append(target, body, options)

    def store_digests(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        if self._place(info.etag) is None:
            self.inner.store_digests(info, digests)

    def delete(self, key: str, *, etag: str = "") -> bool:
        if self._is_private(key):
            return self.inner.delete(key, etag=etag)
        found = self._find(key)
        there = self._place(etag)
        if there is not None and (found is None or (found[0], found[1].etag) != there):
            raise exc.ChangedFileError("the file is another version")
        # The marker comes first: whoever copies it from there now looks again when he is done.
        if found is not None and self._markers is not None:
            self._markers.add(self._location(key))
        if there is not None:
            return self._hide
        return self.inner.delete(key, etag=etag) or (found is not None and self._hide)

    # -- the rest ---------------------------------------------------------------------------------------------------

    def neighbour(self, other: Backend[Any]) -> str:
        return ""  # a copy by the provider would not look into the others

    def sign(self, action: SignAction, key: str, options: SignOptions) -> SignedRequest:
        if action == "download":
            place = self._home(key)
            if place is not None:
                signed = self._others[place].signed(
                    "download",
                    options.duration,
                    self._location(key),
                    content_type=options.content_type,
                    disposition=options.disposition,
                )
                return SignedRequest(str(signed), signed.method, signed.headers)
        return self.inner.sign(action, key, options)

    def url(self, key: str) -> str:
        place = self._home(key)
        return self.inner.url(key) if place is None else self._others[place].permanent_link(self._location(key))

    def _home(self, key: str) -> int | None:
        there = self._place(self.head(key).etag)
        return None if there is None else there[0]

    def check(self) -> None:
        for storage in (self._first, *self._others):
            storage.check()

    def close(self) -> None:
        for storage in (self._first, *self._others):
            storage.close()
