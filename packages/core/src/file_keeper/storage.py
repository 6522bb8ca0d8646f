"""Storage: what users call. Each method checks, and hands over to the part that does it."""

from __future__ import annotations

import copy as copying
import dataclasses
import functools
import io
import os
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar

from . import attributes, contenttype, exc, hashing, synthetic, transformers
from . import location as locations
from .backend import (
    Backend,
    Capability,
    Guard,
    Limits,
    ObjectInfo,
    Prefix,
    SignAction,
    SignOptions,
    WriteOptions,
    capabilities,
)
from .data import FileData
from .listing import Listing
from .reading import Reader, SeekableFile
from .resilience.retry import TOKEN, Retry
from .sessions import Sessions
from .settings import Settings, parse_duration
from .transfer import Engine, Plan
from .types import FileOrLocation, Progress, Uploadable
from .upload import Upload, check_content_type, make_upload
from .writing import TextWriter, Writer

P = ParamSpec("P")
T = TypeVar("T")

SignedAction = Literal["upload", "download", "delete"]
"""What a signed address allows."""

Duration = float | str | timedelta
"""Seconds, text such as ``"15m"``, or a :class:`datetime.timedelta`."""


class SignedURL(str):
    """A signed address. It is a ``str``, and knows how it must be requested.

    :ivar method: the HTTP method
    :ivar headers: to be sent as they are
    :ivar expires: when it ends, with its time zone
    """

    method: str
    headers: dict[str, str]
    expires: datetime

    @classmethod
    def make(cls, url: str, method: str, headers: Mapping[str, str], seconds: float) -> SignedURL:
        self = cls(url)
        self.method = method
        self.headers = dict(headers)
        self.expires = datetime.now(UTC) + timedelta(seconds=seconds)
        return self


def _operation(
    needs: Capability, name: str = ""
) -> Callable[[Callable[Concatenate[Storage, P], T]], Callable[Concatenate[Storage, P], T]]:
    """Make a method an operation: its capability is checked first, its errors say where they happened."""

    def decorate(method: Callable[Concatenate[Storage, P], T]) -> Callable[Concatenate[Storage, P], T]:
        operation = name or method.__name__

        @functools.wraps(method)
        def call(self: Storage, /, *args: P.args, **kwargs: P.kwargs) -> T:
            try:
                if needs not in self.capabilities:
                    raise self._cannot(needs)  # pyright: ignore[reportPrivateUsage]
                return method(self, *args, **kwargs)
            except exc.FilesError as error:
                error.within(self.name, operation, _name_of(args[0]) if args else "")
                raise

        return call

    return decorate


def _name_of(file: Any) -> str:
    if isinstance(file, FileData):
        file = file.location
    return file if isinstance(file, str) else ""


def _seconds(duration: Duration) -> float:
    try:
        seconds = duration.total_seconds() if isinstance(duration, timedelta) else parse_duration(duration)
    except (ValueError, TypeError):
        raise exc.StorageDataError(f"{duration!r} is not a duration such as 900, '15m' or a timedelta") from None
    return seconds


def _validity(duration: Duration) -> float:
    """Give the seconds that a link is valid."""
    seconds = _seconds(duration)
    if seconds < 1:
        raise exc.StorageDataError("a link must be valid for at least one second")
    return seconds


_alive: weakref.WeakSet[Storage] = weakref.WeakSet()


def _forked() -> None:
    for storage in list(_alive):
        storage.backend.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Storage:
    """Files in one place, behind one contract that is the same for every place.

    Made by :func:`file_keeper.make_storage`. It is safe to use from several threads and after a fork, a context
    manager, and picklable unless it was made with an object of the program (a client, a mapping).

    Every file is named by its location or by its :class:`FileData`. Every error is a
    :class:`file_keeper.exc.FilesError` that says storage, operation and location.

    :param name: what errors, logs and events call it
    :param settings: validated
    :param backend: the provider
    """

    def __init__(self, name: str, settings: Settings, backend: Backend[Any]):
        self.name = name
        self.settings = settings
        self.backend = backend
        self._root = "" if settings.absolute_path else settings.path and settings.path + "/"
        self._room = locations.MAX_KEY - len(self._root.encode())
        self._verbs: Backend[Any] = Retry(Guard(backend))
        self._engine = Engine(self._verbs, settings)
        self._listing = Listing(self._verbs, self._root, self._room)
        self._sessions = Sessions(self._verbs, settings, self._root)
        self._disabled = self._parse_disabled(settings)
        _alive.add(self)

    @staticmethod
    def _parse_disabled(settings: Settings) -> Capability:
        result = Capability.NONE
        for entry in settings.disabled_capabilities:
            try:
                result |= Capability[entry.upper()]
            except KeyError:
                raise exc.InvalidStorageConfigurationError(
                    f"disabled_capabilities: unknown capability {entry!r}, "
                    f"known are {', '.join(member.name or '' for member in Capability)}"
                ) from None
        return result

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """What the provider holds to: sizes and number of parts, largest put, largest metadata."""
        return self.backend.limits

    @property
    def capabilities(self) -> Capability:
        """What this storage can do, computed from its backend, less what the settings disable."""
        return capabilities(self.backend) & ~self._disabled

    def supports(self, capability: Capability) -> bool:
        """Tell whether this storage can do all of that."""
        return capability in self.capabilities

    def supports_synthetic(self, capability: Capability, destination: Storage) -> bool:
        """Tell whether the ``..._synthetic`` way of `capability` works from here to `destination`."""
        return synthetic.supports(self, capability, destination)

    def _cannot(self, needs: Capability) -> exc.UnsupportedOperationError:
        missing = " and ".join(member.name or "" for member in needs & ~self.capabilities)
        disabled = " (disabled in its settings)" if needs & self._disabled else ""
        return exc.UnsupportedOperationError(f"{self.settings.type} cannot do {missing}{disabled}")

    def full_path(self, location: str) -> str:
        """Give the provider's key of a location. :raises LocationError: when it is none"""
        return self._key(location)

    def wrapped(self, wrap: Callable[[Backend[Any]], Backend[Any]]) -> Storage:
        """Give a storage over the same backend with something around it: faults, counting.

        :param wrap: gets the backend and gives one around it, see :class:`file_keeper.backend.Backend`
        """
        return Storage(self.name, self.settings, wrap(self.backend))

    def initialize(self) -> None:
        """Create what is missing: the bucket, the container, the directory. What is there is fine."""
        with self._at("initialize"):
            if "prepare" in self._verbs.verbs:
                self._verbs.prepare()

    def check(self) -> None:
        """Prove credentials and bucket with one cheap request.

        :raises PermissionError, ConnectionError, InvalidStorageConfigurationError: saying what is wrong
        """
        with self._at("check"):
            if "check" in self._verbs.verbs:
                self._verbs.check()
            else:
                next(iter(self._verbs.list(self._root)), None)

    def close(self) -> None:
        """Let go of connections. A storage that is used again makes new ones."""
        with self._at("close"):
            self._verbs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Storage {self.name!r} {self.settings!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        from .registry import restore

        if live := self.settings.live():
            raise TypeError(
                f"storage {self.name!r} cannot be pickled: its option {live!r} holds an object of this program"
            )
        if type(self.backend).settings_type is not type(self.settings):
            raise TypeError(f"storage {self.name!r} cannot be pickled: its backend is wrapped")
        return restore, (self.name, self.settings.type, copying.deepcopy(dict(self.settings.raw)))

    @contextmanager
    def _at(self, operation: str, location: str = "") -> Generator[None]:
        try:
            yield
        except exc.FilesError as error:
            error.within(self.name, operation, location)
            raise

    def _key(self, file: FileOrLocation, *, writing: bool = False) -> str:
        location = file.location if isinstance(file, FileData) else file
        locations.check(location, room=self._room, writing=writing)
        return self._root + location

    # -- locations --------------------------------------------------------------------------------------------------

    def prepare_location(self, name: str, upload: Upload | None = None) -> str:
        """Make a location out of an untrusted name with the ``location_transformers`` of the settings.

        :param upload: what will be stored there, for transformers that look at it
        :raises LocationTransformerError: when one is unknown or refuses the name
        :raises LocationError: when the result is no location
        """
        with self._at("prepare_location", name):
            location = transformers.apply(self.settings.location_transformers, name, upload)
            self._key(location, writing=True)
            return location

    # -- uploads ----------------------------------------------------------------------------------------------------

    def _condition(self, overwrite: bool | FileData | None) -> tuple[bool, str]:
        """Give ``if_absent`` and ``if_match`` for what the caller said of overwriting."""
        if isinstance(overwrite, FileData):
            if not overwrite.etag:
                raise exc.StorageDataError(
                    "overwrite= got data without an etag, which cannot name a version: use what analyze gives",
                    location=overwrite.location,
                )
            return False, overwrite.etag
        return not (self.settings.overwrite_existing if overwrite is None else overwrite), ""

    def _plan(
        self,
        key: str,
        *,
        overwrite: bool | FileData | None = None,
        hash: str = "",
        algorithm: str = "",
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> tuple[Plan, dict[str, str]]:
        """Check what an upload is asked to become; give it with the metadata as the user means it."""
        chosen = algorithm or self.settings.hashing_algorithm
        expected = {chosen: hashing.check(hash, chosen)} if hash else {}
        if_absent, if_match = self._condition(overwrite)
        meant = {**self.settings.metadata, **(metadata or {})}
        sent_headers = attributes.check_headers({**self.settings.headers, **(headers or {})})
        if (meant or sent_headers) and not self.limits.metadata:
            raise exc.UnsupportedOperationError(f"{self.settings.type} keeps no metadata and no headers here")
        encoded = attributes.encode(meant, self.limits, self.settings.hashing_algorithm)
        return (
            Plan(
                key=key,
                content_type=check_content_type(content_type),
                metadata=encoded,
                headers=sent_headers,
                if_absent=if_absent,
                if_match=if_match,
                expected=expected,
                name=key,
                progress=progress,
            ),
            meant,
        )

    @_operation(Capability.CREATE)
    def upload(
        self,
        location: str,
        upload: Uploadable,
        /,
        *,
        overwrite: bool | FileData | None = None,
        hash: str = "",
        algorithm: str = "",
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> FileData:
        """Store a file: any source, of any and of unknown size, in bounded memory; all of it or nothing.

        :param location: where
        :param upload: an :class:`Upload`, or whatever :func:`make_upload` takes
        :param overwrite: ``None``: as the settings say; a bool; or the :class:`FileData` of the very version that may
            be replaced. Of any number of concurrent writers that may not overwrite, exactly one wins
        :param hash: hex that the content must have, under `algorithm` (``""``: the storage's)
        :param content_type: media type; ``""``: that of the upload, told from content and name
        :param metadata: names to values, any Unicode but line breaks
        :param headers: ``Cache-Control``, ``Content-Disposition``, ``Content-Encoding``, ``Content-Language``
        :param progress: called with the bytes done and the total (or ``None``); if it raises, the upload is cancelled
        :raises ExistingFileError: there is a file and it may not be overwritten
        :raises ChangedFileError: the version to be replaced is not there any more
        :raises UploadMismatchError: size or hash are not those declared; nothing is stored
        :raises ContentError: the source cannot be read, or the metadata not be sent
        """
        key = self._key(location, writing=True)
        plan, meant = self._plan(
            key,
            overwrite=overwrite,
            hash=hash,
            algorithm=algorithm,
            content_type=content_type,
            metadata=metadata,
            headers=headers,
            progress=progress,
        )
        return self._send(location, make_upload(upload), plan, meant)

    def _send(self, location: str, upload: Upload, plan: Plan, meant: Mapping[str, str]) -> FileData:
        sent = self._engine.send(upload, plan)
        wanted = self.settings.hashing_algorithm
        return FileData(
            location,
            size=sent.info.size,
            content_type=sent.content_type,
            hash=sent.digests[wanted],
            algorithm=wanted,
            modified=sent.info.modified,
            etag=sent.info.etag,
            metadata=dict(meant),
            headers=dict(plan.headers),
        )

    @_operation(Capability.CREATE)
    def _writer(self, location: str, mode: str, **options: Any) -> Writer:
        key = self._key(location, writing=True)
        if "x" in mode:
            options["overwrite"] = False
        plan, meant = self._plan(key, **options)

        def send(stream: Any) -> FileData:
            with self._at("open", location):
                return self._send(location, Upload(stream, location), plan, meant)

        return Writer(send, location, mode)

    # -- reading ----------------------------------------------------------------------------------------------------

    def _told(self, operation: str, file: FileOrLocation) -> Callable[[exc.FilesError], None]:
        location = _name_of(file)
        return lambda error: error.within(self.name, operation, location)

    @_operation(Capability.STREAM)
    def stream(self, file: FileOrLocation) -> Reader:
        """Open a file: an iterator of chunks that is also a readable stream and a context manager.

        A connection that is lost half-way is resumed where it broke, on the same version.

        :raises MissingFileError: at the call
        :raises ChangedFileError: when the file is replaced while it is read; never are two versions mixed
        """
        return Reader(self._verbs, self._key(file), tell=self._told("stream", file))

    @_operation(Capability.STREAM)
    def content(self, file: FileOrLocation) -> bytes:
        """Give the whole content. :raises MissingFileError: when there is none"""
        with Reader(self._verbs, self._key(file)) as reader:
            return reader.readall()

    @_operation(Capability.RANGE)
    def range(self, file: FileOrLocation, start: int = 0, end: int | None = None) -> bytes:
        """Give the bytes ``[start, end)``, as a slice would: past the end is empty.

        An empty range makes no request and says nothing about whether the file is there.

        :raises StorageDataError: for a negative bound (it is a ``ValueError`` too)
        """
        key = self._key(file)
        if start < 0 or (end is not None and end < 0):
            raise exc.StorageDataError(f"the bounds of a range are not negative: {start}, {end}")
        if end is not None and end <= start:
            return b""
        with Reader(self._verbs, key, start, end) as reader:
            return reader.readall()

    def open(
        self,
        file: FileOrLocation,
        mode: str = "rb",
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        **options: Any,
    ) -> Any:
        """Open a file as Python's ``open`` does.

        ``"rb"`` gives a lazy, seekable reader that fetches only what is read; ``"r"`` the same as text. ``"wb"`` and
        ``"xb"`` (never overwriting) give a writer, ``"w"`` and ``"x"`` one of text; ``close`` publishes, leaving by an
        exception publishes nothing. A writer tells its position and does not seek.

        :param options: of a writer: those of :meth:`upload`
        :raises ValueError: for another mode
        """
        kind = mode.replace("b", "").replace("t", "") or mode
        binary = "b" in mode
        if kind not in ("r", "w", "x") or (binary and "t" in mode) or len(set(mode)) != len(mode):
            raise ValueError(f"mode {mode!r} is not one of 'rb', 'r', 'wb', 'w', 'xb', 'x'")
        if binary and (encoding or errors or newline):
            raise ValueError("a binary mode takes no encoding, errors or newline")
        if kind == "r":
            if options:
                raise TypeError(f"reading takes no {', '.join(options)}")
            raw = self._reader(file)
            buffered = io.BufferedReader(raw, 128 << 10)
            return buffered if binary else io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)
        writer = self._writer(_name_of(file) if isinstance(file, FileData) else file, mode, **options)
        return writer if binary else TextWriter(writer, encoding, errors, newline)

    @_operation(Capability.STREAM, "open")
    def _reader(self, file: FileOrLocation) -> SeekableFile:
        return SeekableFile(self._verbs, self._key(file), tell=self._told("open", file))

    @_operation(Capability.STREAM)
    def download(
        self, file: FileOrLocation, target: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> FileData:
        """Write a file to a local path, atomically: all of it or nothing, in parallel ranges where that helps.

        What stands at `target` is replaced.

        :param progress: called with the bytes done and the total
        :return: the data of the file that was read
        """
        from .download import download

        key = self._key(file)
        info = download(self._verbs, key, target, self.settings, progress)
        return self._describe(info, _name_of(file))

    @_operation(Capability.ANALYZE)
    def verify(self, file: FileOrLocation, *, record: bool = False) -> FileData:
        """Read the whole file and compare it with its recorded hash, and with that of `file` if it has one.

        :param record: where no hash is recorded, record the one found, if the backend can
        :raises UploadHashMismatchError: when it is another
        """
        key = self._key(file)
        info = self._verbs.head(key)
        recorded = self._digests(info)
        expected = dict(recorded)
        if isinstance(file, FileData) and file.hash:
            expected[file.algorithm] = hashing.check(file.hash, file.algorithm)
        wanted = self.settings.hashing_algorithm
        hashers = {name: hashing.new(name) for name in {wanted, *expected}}
        with Reader(self._verbs, key, etag=info.etag) as reader:
            for chunk in reader:
                for hasher in hashers.values():
                    hasher.update(chunk)
        found = {name: hasher.hexdigest() for name, hasher in hashers.items()}
        for known in (recorded, expected):
            for name, value in known.items():
                if found[name] != value:
                    raise exc.UploadHashMismatchError(
                        f"the {name} of the content is {found[name]}, recorded was {value}: it is damaged, or another"
                    )
        if record and wanted not in recorded and "annotate" in self._verbs.verbs:
            self._verbs.annotate(info, {wanted: found[wanted]})
        info = dataclasses.replace(info, digests={**info.digests, wanted: found[wanted]})
        return self._describe(info, _name_of(file))

    # -- what is known ----------------------------------------------------------------------------------------------

    def _digests(self, info: ObjectInfo) -> dict[str, str]:
        """Give the hashes recorded of an object; one more request where they stand beside it."""
        found = attributes.all_digests(info)
        if info.noted and self.settings.hashing_algorithm not in found:
            found = {**self._verbs.notes(info.key), **found}
        return found

    def _describe(self, info: ObjectInfo, location: str) -> FileData:
        """Give the data of an object; what nothing recorded is found out where the bytes are at hand."""
        wanted = self.settings.hashing_algorithm
        info = dataclasses.replace(info, digests=self._digests(info))
        if self.limits.local and (wanted not in info.digests or not info.content_type):
            info = self._examine(info)
        return attributes.describe(info, location, wanted)

    def _examine(self, info: ObjectInfo) -> ObjectInfo:
        hasher = hashing.new(self.settings.hashing_algorithm)
        head = b""
        with Reader(self._verbs, info.key, etag=info.etag) as reader:
            for chunk in reader:
                if len(head) < contenttype.SNIFF:
                    head += chunk[: contenttype.SNIFF - len(head)]
                hasher.update(chunk)
        return dataclasses.replace(
            info,
            content_type=info.content_type
            or contenttype.detect(head, info.key, complete=info.size <= contenttype.SNIFF),
            digests={**info.digests, self.settings.hashing_algorithm: hasher.hexdigest()},
        )

    @_operation(Capability.ANALYZE)
    def analyze(self, file: FileOrLocation) -> FileData:
        """Give all that is known of a file: what :meth:`upload` gave, from any process.

        :raises MissingFileError: when there is none
        """
        return self._describe(self._verbs.head(self._key(file)), _name_of(file))

    @_operation(Capability.EXISTS)
    def exists(self, file: FileOrLocation) -> bool:
        """Tell whether there is a file. :raises PermissionError: when that may not be known: an error is no answer"""
        try:
            self._verbs.head(self._key(file))
        except exc.MissingFileError:
            return False
        return True

    @_operation(Capability.ANALYZE)
    def size(self, file: FileOrLocation) -> int:
        """Give the size of a file in bytes."""
        return self._verbs.head(self._key(file)).size

    @_operation(Capability.ANALYZE)
    def hash(self, file: FileOrLocation) -> str:
        """Give the recorded hash of a file as hex, ``""`` when none is known."""
        return self._describe(self._verbs.head(self._key(file)), _name_of(file)).hash

    @_operation(Capability.ANALYZE)
    def content_type(self, file: FileOrLocation) -> str:
        """Give the media type of a file."""
        info = self._verbs.head(self._key(file))
        return info.content_type or self._describe(info, _name_of(file)).content_type

    # -- listing ----------------------------------------------------------------------------------------------------

    def _walk(self, operation: str, items: Iterator[T]) -> Iterator[T]:
        try:
            yield from items
        except exc.FilesError as error:
            error.within(self.name, operation)
            raise

    @_operation(Capability.SCAN)
    def scan(self, *, prefix: str = "", glob: str = "", start_after: str = "") -> Iterator[str]:
        """Give the locations of all files, lazily, in UTF-8 byte order.

        :param prefix: only those that begin with these characters; sent to the provider
        :param glob: only those that match as a whole, as by :func:`fnmatch.fnmatchcase` (``*`` crosses ``/``)
        :param start_after: only those after this name, which need not be there
        """
        return self._walk("scan", self._listing.names(prefix, glob, start_after))

    def filtered_scan(self, prefix: str = "", glob: str = "") -> Iterator[str]:
        """Give the locations that begin with `prefix` and match `glob`; see :meth:`scan`."""
        return self.scan(prefix=prefix, glob=glob)

    @_operation(Capability.SCAN)
    def files(
        self, *, prefix: str = "", glob: str = "", start_after: str = "", delimiter: str = ""
    ) -> Iterator[FileData | str]:
        """Give the data of all files from the listing itself, no request per file; order and arguments as :meth:`scan`.

        Size, etag and modified are there; hash and content type only where the provider's listing has them.

        :param delimiter: locations that hold it after the prefix are given once, as a ``str`` up to and with it
        """
        return self._walk("files", self._files(prefix, glob, start_after, delimiter))

    def _files(self, prefix: str, glob: str, start_after: str, delimiter: str) -> Iterator[FileData | str]:
        wanted = self.settings.hashing_algorithm
        for location, entry in self._listing.entries(prefix, glob, start_after, delimiter):
            if isinstance(entry, Prefix):
                yield location
            elif entry.metadata or entry.digests:
                yield attributes.describe(entry, location, wanted)
            else:
                yield FileData(
                    location,
                    size=entry.size,
                    content_type=entry.content_type,
                    modified=entry.modified,
                    etag=entry.etag,
                    headers=dict(entry.headers),
                )

    # -- removing, copying, moving ----------------------------------------------------------------------------------

    @_operation(Capability.REMOVE)
    def remove(self, file: FileOrLocation) -> bool:
        """Remove a file; tell whether it was there. :raises PermissionError: when that is not allowed"""
        return self._verbs.delete(self._key(file))

    @_operation(Capability.REMOVE)
    def remove_many(self, files: Iterable[FileOrLocation]) -> list[exc.FilesError]:
        """Remove files, in batches where the provider has them; what is not there is no error.

        :return: the error of each file that could not be removed
        """
        failures: list[exc.FilesError] = []
        batch: dict[str, str] = {}

        def flush() -> None:
            for key, error in self._delete_many(list(batch)):
                failure = self._as_ours(error)
                failure.within(self.name, "remove_many", batch[key])
                failures.append(failure)
            batch.clear()

        for file in files:
            try:
                batch[self._key(file)] = _name_of(file)
            except exc.FilesError as error:
                error.within(self.name, "remove_many", _name_of(file))
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
            yield from self._verbs.delete_many(keys)
            return
        for key in keys:
            try:
                self._verbs.delete(key)
            except exc.FilesError as error:
                yield key, error

    @contextmanager
    def _on(self, file: FileOrLocation) -> Generator[None]:
        """Errors in here are about `file`, not about the target of the operation."""
        try:
            yield
        except exc.FilesError as error:
            error.within(location=_name_of(file))
            raise

    def _attributes_of(self, info: ObjectInfo) -> WriteOptions:
        """Give the options that write an object with the attributes of another, its hash left out."""
        token = {TOKEN: attributes.new_token()} if self.limits.metadata else {}
        return WriteOptions(
            content_type=info.content_type or "application/octet-stream",
            metadata={**attributes.without_ours(info.metadata), **token},
            headers=info.headers,
        )

    @_operation(Capability.COPY)
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
            content_type=options.content_type,
            metadata=attributes.without_ours(info.metadata),
            headers=info.headers,
            if_absent=if_absent,
            if_match=if_match,
            name=key,
        )
        with Reader(self._verbs, source, etag=info.etag) as reader:
            made = self._send(location, Upload(reader, size=info.size), plan, attributes.decode(info.metadata))
        return info, made

    @_operation(Capability.MOVE)
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
            info = self._verbs.move(source, key, WriteOptions(if_absent=if_absent, if_match=if_match))
            return self._describe(info, location)
        if self.limits.copy_attributes:
            # The removal needs the version that was copied, so the source is looked at after all.
            with self._on(file):
                seen = self._verbs.head(source)
            info = self._verbs.copy(seen, key, WriteOptions(if_absent=if_absent, if_match=if_match))
            made = self._describe(info, location)
        else:
            seen, made = self._copied(source, key, file, location, overwrite)
        try:
            with self._on(file):
                self._verbs.delete(source, etag=seen.etag)
        except exc.FilesError as error:
            if if_absent:
                # The copy was ours alone: with the source still there it is taken back.
                try:
                    self._verbs.delete(key, etag=made.etag)
                except exc.FilesError as failure:
                    error.add_note(f"and the copy at {location!r} could not be removed: {failure}")
            raise
        return made

    # -- append and compose -----------------------------------------------------------------------------------------

    @_operation(Capability.APPEND)
    def append(self, file: FileOrLocation, upload: Uploadable, /) -> FileData:
        """Add content to the end of a file, as atomic as :meth:`upload` and conditional on the version read.

        :raises MissingFileError: when there is no file
        :raises ChangedFileError: when another writer was quicker; nothing is applied twice
        """
        return synthetic.append(self, self._key(file), _name_of(file), make_upload(upload))

    @_operation(Capability.COMPOSE)
    def compose(self, location: str, /, *files: FileOrLocation, overwrite: bool | FileData | None = None) -> FileData:
        """Make one file of several, in the order given; of none: an empty file. Type and metadata are the first's.

        :raises ChangedFileError: when one of them was changed meanwhile
        """
        key = self._key(location, writing=True)
        if not files:
            plan, meant = self._plan(key, overwrite=overwrite)
            return self._send(location, make_upload(b""), plan, meant)
        infos: list[ObjectInfo] = []
        for file in files:
            with self._on(file):
                infos.append(self._verbs.head(self._key(file)))
        return synthetic.compose(self, key, location, infos, self._condition(overwrite))

    # -- between two storages ---------------------------------------------------------------------------------------

    def copy_synthetic(
        self, location: str, file: FileOrLocation, destination: Storage, *, overwrite: bool | FileData | None = None
    ) -> FileData:
        """Copy a file of this storage to `location` in `destination`, through this machine, in bounded memory."""
        return synthetic.copy(self, location, file, destination, overwrite)

    def move_synthetic(
        self, location: str, file: FileOrLocation, destination: Storage, *, overwrite: bool | FileData | None = None
    ) -> FileData:
        """Move a file of this storage to `location` in `destination`; it is removed here when it is there."""
        return synthetic.move(self, location, file, destination, overwrite)

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

    # -- links ------------------------------------------------------------------------------------------------------

    @_operation(Capability.SIGNED, "signed")
    def _signed(self, file: FileOrLocation, action: SignAction, options: SignOptions) -> SignedURL:
        key = self._key(file, writing=action == "upload")
        request = self._verbs.sign(action, key, options)
        return SignedURL.make(request.url, request.method, request.headers, options.duration)

    def signed(
        self,
        action: SignedAction,
        duration: Duration,
        location: FileOrLocation,
        *,
        content_type: str = "",
        disposition: str = "",
        overwrite: bool | None = None,
    ) -> SignedURL:
        """Sign a request that anybody may send without credentials, for a time. No network I/O where a key is at hand.

        An upload through it overwrites, unless `overwrite` is ``False``: then the condition is among the headers, which
        must be sent as they are. The limits and hashes of this storage do not see such uploads.

        :param duration: seconds, ``"15m"`` or a timedelta
        :param content_type: of an upload: the one that must be sent; of a download: the one answered
        :param disposition: ``Content-Disposition`` of a download; names beyond ASCII are encoded
        """
        if action not in ("upload", "download", "delete"):
            raise exc.StorageDataError(
                f"{action!r} cannot be signed, only 'upload', 'download' and 'delete'",
                storage=self.name,
                operation="signed",
                location=_name_of(location),
            )
        with self._at("signed", _name_of(location)):
            options = SignOptions(
                duration=_validity(duration),
                content_type=check_content_type(content_type),
                disposition=attributes.disposition(disposition),
                if_absent=action == "upload" and overwrite is False,
            )
        return self._signed(location, action, options)

    @_operation(Capability.SIGNED | Capability.MULTIPART)
    def multipart_signed(self, data: FileData, part: int, duration: Duration) -> SignedURL:
        """Sign the sending of one part of a multipart upload, for a browser; then :meth:`multipart_refresh`."""
        key, ref = self._sessions.ref(data)
        options = SignOptions(duration=_validity(duration), upload=ref, part=part)
        request = self._verbs.sign("part", key, options)
        return SignedURL.make(request.url, request.method, request.headers, options.duration)

    @_operation(Capability.LINK_TEMPORARY)
    def temporary_link(self, file: FileOrLocation, duration: Duration) -> str:
        """Give an address to download a file from, for a time."""
        return str(self.signed("download", duration, file))

    @_operation(Capability.LINK_PERMANENT)
    def permanent_link(self, file: FileOrLocation) -> str:
        """Give the address of a file that does not end; whether it is readable is up to the bucket's rights."""
        return self._verbs.url(self._key(file))

    @_operation(Capability.LINK_ONE_TIME)
    def one_time_link(self, file: FileOrLocation, duration: Duration) -> str:
        """Give an address that works once. No provider has them yet: always :class:`UnsupportedOperationError`."""
        raise self._cannot(Capability.LINK_ONE_TIME)

    # -- uploads in several calls -----------------------------------------------------------------------------------

    def _started(self, location: str, size: int, **options: Any) -> Plan:
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise exc.StorageDataError(f"the size of an upload is a number of bytes, not {size!r}")
        if size > self.limits.object_max:
            raise exc.LargeUploadError(f"{size} bytes are more than the largest object here")
        return self._plan(self._key(location, writing=True), **options)[0]

    @_operation(Capability.MULTIPART)
    def multipart_start(
        self,
        location: str,
        size: int,
        /,
        *,
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        hash: str = "",
        algorithm: str = "",
        overwrite: bool | FileData | None = None,
    ) -> FileData:
        """Begin an upload in parts, which may be sent in any order and by any process.

        :param size: bytes of the whole
        :return: its state: plain JSON by ``as_dict``; ``storage_data["part_size"]`` is a size of parts that works
        """
        options: dict[str, Any] = {"content_type": content_type, "metadata": metadata, "headers": headers}
        plan = self._started(location, size, **options, hash=hash, algorithm=algorithm, overwrite=overwrite)
        return self._sessions.multipart_start(location, size, plan)

    @_operation(Capability.MULTIPART)
    def multipart_update(self, data: FileData, upload: Uploadable, part: int) -> FileData:
        """Send a part. :raises UploadOutOfBoundError: when there is more than was declared

        :param part: its number, from 0; a part may be sent again
        :return: the new state
        """
        return self._sessions.multipart_update(data, make_upload(upload), part)

    @_operation(Capability.MULTIPART)
    def multipart_refresh(self, data: FileData) -> FileData:
        """Ask the provider what it has; of an upload that was completed, give the finished file.

        :raises MissingFileError: when there is no such upload
        """
        return self._sessions.multipart_refresh(data)

    @_operation(Capability.MULTIPART)
    def multipart_complete(self, data: FileData) -> FileData:
        """Publish the file.

        :raises UploadSizeMismatchError: when parts are missing
        :raises UploadHashMismatchError, UploadTypeMismatchError: when it is not what was declared
        :raises ExistingFileError: as in :meth:`upload`
        """
        return self._sessions.multipart_complete(data)

    @_operation(Capability.MULTIPART)
    def multipart_remove(self, data: FileData) -> bool:
        """Drop an upload and its parts; tell whether it was open. A file at its location stays."""
        return self._sessions.multipart_remove(data)

    @_operation(Capability.RESUMABLE)
    def resumable_start(
        self,
        location: str,
        size: int,
        /,
        *,
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        hash: str = "",
        algorithm: str = "",
        overwrite: bool | FileData | None = None,
    ) -> FileData:
        """Begin an upload in pieces that follow one another; arguments and state as :meth:`multipart_start`."""
        options: dict[str, Any] = {"content_type": content_type, "metadata": metadata, "headers": headers}
        plan = self._started(location, size, **options, hash=hash, algorithm=algorithm, overwrite=overwrite)
        return self._sessions.resumable_start(location, size, plan)

    @_operation(Capability.RESUMABLE)
    def resumable_resume(self, data: FileData, upload: Uploadable) -> FileData:
        """Send the next piece: a multiple of 256 KiB, unless it is the last, which publishes the file.

        :raises ResumableUploadError: for another size, before anything is sent
        """
        return self._sessions.resumable_resume(data, make_upload(upload))

    @_operation(Capability.RESUMABLE)
    def resumable_refresh(self, data: FileData) -> FileData:
        """Ask the provider how much it has (``storage_data["uploaded"]``), or for the finished file."""
        return self._sessions.resumable_refresh(data)

    @_operation(Capability.RESUMABLE)
    def resumable_remove(self, data: FileData) -> bool:
        """Drop an upload; tell whether it was open."""
        return self._sessions.resumable_remove(data)

    def cleanup_uploads(self, older_than: Duration) -> int:
        """Drop what uploads that never ended have left under this storage's ``path``.

        :param older_than: seconds (or ``"1d"``, or a timedelta) since the newest part, else since the start
        :return: how many were dropped
        """
        with self._at("cleanup_uploads"):
            try:
                seconds = (
                    older_than.total_seconds() if isinstance(older_than, timedelta) else parse_duration(older_than)
                )
            except (ValueError, TypeError):
                raise exc.StorageDataError(
                    f"{older_than!r} is not a duration such as 3600, '1d' or a timedelta"
                ) from None
            return self._sessions.cleanup(seconds)
