"""What every part of a storage stands on."""

from __future__ import annotations

import copy as copying
import dataclasses
import functools
import logging
import os
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from .. import attributes, contenttype, exc, hashing, synthetic, transformers
from .. import location as locations
from ..attributes import TOKEN
from ..backend import (
    Backend,
    Capability,
    ErrorBoundary,
    Limits,
    ObjectInfo,
    WriteOptions,
    capabilities,
)
from ..data import FileData
from ..events import Event
from ..listing import Listing
from ..reading import ObjectStream, Verification
from ..resilience.budget import Shared
from ..resilience.circuit import Circuit
from ..resilience.retry import Retry
from ..resilience.watch import Watch, current
from ..sessions import Sessions
from ..settings import Settings, changed, parse_duration
from ..transfer import Engine, UploadRequest, UploadResult
from ..types import FileOrLocation, Progress
from ..upload import Upload, check_content_type

log = logging.getLogger("file_keeper")

P = ParamSpec("P")
T = TypeVar("T")
Self_ = TypeVar("Self_", bound="Base")

INCOMING = f"{locations.RESERVED}/incoming/"
"""Where files lie whose place is not decided yet, below the ``path`` of their storage."""

Duration = float | str | timedelta
"""Seconds, text such as ``"15m"``, or a :class:`datetime.timedelta`."""


def operation(
    needs: Capability, name: str = "", *, many: bool = False
) -> Callable[[Callable[Concatenate[Self_, P], T]], Callable[Concatenate[Self_, P], T]]:
    """Make a method an operation: its capability is checked first, its errors say where they happened.

    :param many: it is a batch: each of its items is an operation
    """

    def decorate(method: Callable[Concatenate[Self_, P], T]) -> Callable[Concatenate[Self_, P], T]:
        title = name or method.__name__

        @functools.wraps(method)
        def call(self: Self_, /, *args: P.args, **kwargs: P.kwargs) -> T:
            try:
                if needs not in self.capabilities:
                    raise self._cannot(needs)  # pyright: ignore[reportPrivateUsage]
                if not many and self._is_watched:  # pyright: ignore[reportPrivateUsage]
                    location = name_of(args[0] if args else kwargs.get("file", kwargs.get("data")))
                    return self.watch.call(title, location, lambda: method(self, *args, **kwargs))
                return method(self, *args, **kwargs)
            except exc.FilesError as error:
                about = args[0] if args else kwargs.get("file", kwargs.get("data"))
                error.within(self.name, title, name_of(about))
                raise

        return call

    return decorate


def name_of(file: Any) -> str:
    """Return the location of what names a file, ``""`` for anything else."""
    if isinstance(file, FileData):
        file = file.location
    return file if isinstance(file, str) else ""


def seconds_of(duration: Duration) -> float:
    """Return the seconds of a duration. :raises StorageDataError: it is none, or negative"""
    try:
        seconds = duration.total_seconds() if isinstance(duration, timedelta) else parse_duration(duration)
    except (ValueError, TypeError):
        raise exc.StorageDataError(f"{duration!r} is not a duration such as 900, '15m' or a timedelta") from None
    if seconds < 0:
        raise exc.StorageDataError(f"a duration is not negative: {duration!r}")
    return seconds


def validity(duration: Duration) -> float:
    """Return the seconds that a link is valid."""
    seconds = seconds_of(duration)
    if seconds < 1:
        raise exc.StorageDataError("a link must be valid for at least one second")
    return seconds


def watch_of(name: str, settings: Settings) -> Watch:
    """Return what watches the calls of a storage."""
    circuit = Circuit(settings.circuit_breaker) if settings.circuit_breaker else None
    return Watch(name, settings.type, circuit=circuit, deadline=settings.deadline)


def _incoming_of(storage: Base) -> Base:
    return storage.incoming


def _below(storage: Base, folder: str) -> Base:
    return storage.below(folder)


_alive: weakref.WeakSet[Base] = weakref.WeakSet()


def _forked() -> None:
    for storage in list(_alive):
        storage.backend.after_fork()
        storage.shared.after_fork()
        if storage.watch.circuit is not None:
            storage.watch.circuit.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Base:
    """What every part of a storage stands on: settings, backend, capabilities, keys, errors that say where."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        backend: Backend[Any],
        *,
        within: Base | None = None,
        folder: str = INCOMING,
        watch: Watch | None = None,
        shared: Shared | None = None,
    ):
        self.name = name
        self.settings = settings
        self.backend = backend
        self._parent = within
        self._folder = folder
        self._root = "" if settings.absolute_path else settings.path and settings.path + "/"
        if within is not None:
            self._root = within._root + folder
        self._max_bytes = locations.MAX_KEY - len(self._root.encode())
        self.watch = watch or (within.watch if within is not None else watch_of(name, settings))
        self._lent = False
        self._verbs: Backend[Any] = Retry(ErrorBoundary(backend), settings.retry)
        self.shared = shared or (within.shared if within is not None else Shared(settings.max_buffer_memory))
        self._engine = Engine(self._verbs, settings, self.shared)
        self._listing = Listing(self._verbs, self._root, self._max_bytes)
        self._sessions = Sessions(self._verbs, settings, self._root)
        self._verification = Verification(settings.verify_reads, settings.multipart_threshold)
        self._disabled = self._parse_disabled(settings)
        self._check_defaults(settings)
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

    def _check_defaults(self, settings: Settings) -> None:
        """Check what every upload gets, before the first one."""
        if settings.metadata or settings.headers:
            option = "metadata"
            try:
                attributes.encode(settings.metadata, self.limits, settings.hashing_algorithm)
                option = "headers"
                attributes.check_headers(settings.headers)
            except exc.ContentError as error:
                raise exc.InvalidStorageConfigurationError(f"option {option!r}: {error.message}") from None

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
        """Return whether this storage can do all of that."""
        return capability in self.capabilities

    def supports_synthetic(self, capability: Capability, destination: Base) -> bool:
        """Return whether the ``..._synthetic`` way of `capability` works from here to `destination`."""
        return synthetic.supports(self, capability, destination)

    def _cannot(self, needs: Capability) -> exc.UnsupportedOperationError:
        missing = " and ".join(member.name or "" for member in needs & ~self.capabilities)
        disabled = " (disabled in its settings)" if needs & self._disabled else ""
        return exc.UnsupportedOperationError(f"{self.settings.type} cannot do {missing}{disabled}")

    def full_path(self, location: str) -> str:
        """Return the provider's key of a location. :raises LocationError: when it is none"""
        return self._key(location)

    def wrapped(self, wrap: Callable[[Backend[Any]], Backend[Any]]) -> Self:
        """Return a storage over the same backend with something around it: faults, counting.

        :param wrap: gets the backend and gives one around it, see :class:`file_keeper.backend.Backend`
        """
        return type(self)(
            self.name, self.settings, wrap(self.backend), within=self._parent, folder=self._folder, watch=self.watch,
            shared=self.shared,
        )  # fmt: skip

    def with_options(self, **changes: Any) -> Self:
        """Return the same storage with other options, over the same connections.

        It costs microseconds. Closing it closes nothing of this one; whoever listens to one is told of both.

        :param changes: ``retry``, ``deadline``, ``circuit_breaker`` (which is shared unless it is named), ``timeout``
            (of the HTTP client of this library; that of an SDK stays), ``limits``, ``overwrite_existing``,
            ``max_concurrency``, ``part_size``, ``hashing_algorithm``, ``verify_reads``
        :raises InvalidStorageConfigurationError: for another option, or a value that makes no sense
        """
        with self._at("with_options"):
            settings = changed(self.settings, changes)
        circuit = self.watch.circuit
        if "circuit_breaker" in changes:
            circuit = Circuit(settings.circuit_breaker) if settings.circuit_breaker else None
        watch = Watch(
            self.name,
            settings.type,
            callbacks=self.watch.callbacks,
            circuit=circuit,
            deadline=settings.deadline,
            timeout=settings.timeout if "timeout" in changes else self.watch.timeout,
        )
        made = type(self)(
            self.name, settings, self.backend, within=self._parent, folder=self._folder, watch=watch,
            shared=self.shared,
        )  # fmt: skip
        made._lent = True
        return made

    def subscribe(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Have a callback told of what this storage does; return what ends that.

        It is called in the thread that works, with an :class:`file_keeper.types.Event` for each operation that begins,
        each attempt that ended and each operation that ended. A stream, an open file and a listing end when they are
        exhausted or closed; of a batch each item is an operation, and a change of their number in flight an event of
        its own; a call within a call tells of its attempts only.
        What the callback raises is logged once and breaks nothing.
        """
        return self.watch.subscribe(callback)

    @property
    def circuit(self) -> Circuit | None:
        """The circuit breaker: its ``state``, its ``failures``, ``reset()``; ``None`` when there is none."""
        return self.watch.circuit

    @functools.cached_property
    def incoming(self) -> Self:
        """A storage beside this one for files whose place is not decided yet: no listing of this one shows them.

        They lie under the reserved name. ``move_synthetic`` from there into this storage is done by the provider, as
        :meth:`move` is; ``cleanup_uploads`` removes those that nobody has moved.
        """
        if self._parent is not None and self._folder == INCOMING:
            return self
        return type(self)(self.name, self.settings, self.backend, within=self)

    def below(self, folder: str) -> Self:
        """Return a storage of what lies below a folder of this one, over the same connections.

        Its locations are relative to the folder; none of them leads out of it.

        :param folder: such as ``reports/2026``; ``""`` is this storage itself
        :raises LocationError: when it cannot be written to
        """
        folder = folder.removesuffix("/")
        if not folder:
            return self
        with self._at("below", folder):
            self._key(folder, writing=True)
        return type(self)(self.name, self.settings, self.backend, within=self, folder=folder + "/")

    def initialize(self) -> None:
        """Create what is missing: the bucket, the container, the directory. What is there is fine."""
        if "prepare" in self._verbs.verbs:
            self._during("initialize", "", self._verbs.prepare)

    def check(self) -> None:
        """Prove credentials and bucket with one cheap request.

        :raises PermissionError, ConnectionError, InvalidStorageConfigurationError: saying what is wrong
        """
        self._during("check", "", self._check)

    def _check(self) -> None:
        if "check" in self._verbs.verbs:
            self._verbs.check()
        else:
            next(iter(self._verbs.list(self._root)), None)

    def close(self) -> None:
        """Let go of connections. A storage that is used again makes new ones."""
        if not self._lent:
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
        from ..registry import restore

        if self._parent is not None:
            incoming = self._folder == INCOMING
            return (_incoming_of, (self._parent,)) if incoming else (_below, (self._parent, self._folder))
        if live := self.settings.live():
            raise TypeError(f"storage {self.name!r} cannot be pickled: its option {live!r} is of this process alone")
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
        locations.check(location, max_bytes=self._max_bytes, writing=writing)
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

    def _condition(self, overwrite: bool | FileData | None) -> tuple[bool, str]:
        """Return ``if_absent`` and ``if_match`` for what the caller said of overwriting."""
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
    ) -> tuple[UploadRequest, dict[str, str]]:
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
            UploadRequest(
                key=key,
                content_type=check_content_type(content_type),
                metadata=encoded,
                headers=sent_headers,
                if_absent=if_absent,
                if_match=if_match,
                expected=expected,
                name=key,
                progress=progress,
                allowed=self.settings.limits,
            ),
            meant,
        )

    @property
    def _is_watched(self) -> bool:
        """Whether a call that begins now is watched: not one within another."""
        return self.watch.active and current() is None

    def _during(self, operation: str, location: str, work: Callable[[], T]) -> T:
        """Do the work of an operation that is more than one method; see :func:`operation`."""
        with self._at(operation, location):
            if self._is_watched:
                return self.watch.call(operation, location, work)
            return work()

    def _send(self, location: str, upload: Upload, plan: UploadRequest, meant: Mapping[str, str]) -> FileData:
        return self._made(location, self._engine.send(upload, plan), plan, meant)

    def _made(self, location: str, sent: UploadResult, plan: UploadRequest, meant: Mapping[str, str]) -> FileData:
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

    def _told(self, operation: str, file: FileOrLocation) -> Callable[[exc.FilesError], None]:
        location = name_of(file)
        return lambda error: error.within(self.name, operation, location)

    def _digests(self, info: ObjectInfo) -> dict[str, str]:
        """Return the hashes recorded of an object; one more request where they stand beside it."""
        found = attributes.all_digests(info)
        if info.noted and self.settings.hashing_algorithm not in found:
            found = {**self._verbs.read_digests(info), **found}
        return found

    def _describe(self, info: ObjectInfo, location: str) -> FileData:
        """Return the data of an object; what nothing recorded is computed where the bytes are local."""
        wanted = self.settings.hashing_algorithm
        info = dataclasses.replace(info, digests=self._digests(info))
        if self.limits.local and (wanted not in info.digests or not info.content_type):
            # What is replaced or removed while it is read was still there, or made, as `info` tells: that is no error.
            with suppress(exc.ChangedFileError, exc.MissingFileError):
                info = self._examine(info)
        return attributes.describe(info, location, wanted)

    def _describe_made(self, info: ObjectInfo, location: str) -> FileData:
        """Return the data of an object just written. It is done: that its hash cannot be read undoes nothing."""
        try:
            return self._describe(info, location)
        except exc.FilesError as error:
            log.warning("%r is written, but its hash could not be read: %s", info.key, error)
            return attributes.describe(info, location, self.settings.hashing_algorithm)

    def _examine(self, info: ObjectInfo) -> ObjectInfo:
        hasher = hashing.new(self.settings.hashing_algorithm)
        head = b""
        with ObjectStream(self._verbs, info.key, etag=info.etag) as reader:
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

    def _walk(self, operation: str, items: Iterator[T]) -> Iterator[T]:
        try:
            yield from self.watch.follow(operation, "", items) if self._is_watched else items
        except exc.FilesError as error:
            error.within(self.name, operation)
            raise

    @contextmanager
    def _on(self, file: FileOrLocation) -> Generator[None]:
        """Errors in here are about `file`, not about the target of the operation."""
        try:
            yield
        except exc.FilesError as error:
            error.within(location=name_of(file))
            raise

    @contextmanager
    def _from(self, file: FileOrLocation) -> Generator[None]:
        """Take what is missing in here for the source `file`; anything else is about the target of the operation."""
        try:
            yield
        except exc.MissingFileError as error:
            error.within(location=name_of(file))
            raise

    def _attributes_of(self, info: ObjectInfo) -> WriteOptions:
        """Return the options that write an object with the attributes of another, its hash left out."""
        token = {attributes.named(TOKEN, self.limits): attributes.new_token()} if self.limits.metadata else {}
        return WriteOptions(
            content_type=info.content_type or "application/octet-stream",
            metadata={**attributes.without_ours(info.metadata, self.limits), **token},
            headers=info.headers,
        )
