"""AsyncStorage: the operations of a storage, to be awaited."""

from __future__ import annotations

import os
import weakref
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, overload

from .. import exc
from ..backend import Backend, Capability, Limits
from ..bulk.batch import Item, count
from ..bulk.items import analyses, contents, copies, downloads, limits_of, location_of, pairs_of, uploads, withdrawing
from ..data import FileData
from ..events import Event
from ..resilience.circuit import Circuit
from ..settings import Settings
from ..storage import SignedAction, SignedURL, Storage
from ..storage.base import Duration
from ..types import FileOrLocation, OnBatchProgress, Progress, Uploadable, WriterOptions
from ..upload import Upload
from .batches import AsyncBatch, Draw, Fed
from .feeders import Feeder
from .files import AsyncReader, AsyncWriter
from .gathering import gathered, pieces_of
from .listings import AsyncListing
from .runtime import require
from .sources import is_async, name_of_source
from .streams import AsyncStream
from .threads import Threads

T = TypeVar("T")

Files = Iterable[FileOrLocation] | AsyncIterable[FileOrLocation]

_alive: weakref.WeakSet[AsyncStorage] = weakref.WeakSet()


class AsyncStorage:
    """The asynchronous face of a storage: every operation under its name, with its meaning, to be awaited.

    ``storage.aio`` is one. It works on asyncio and on trio, on any number of loops, one after another or at once.
    Beneath are threads: at most ``max_concurrency`` calls are in threads at one time, and as many threads send the
    parts of their uploads; later calls wait for their turn. They are the storage's own, never those of the loop.

    An upload that waits for its asynchronous source, a stream that waits for its reader, a listing, an open file, hold
    no thread. A task that is cancelled aborts its upload before the cancellation goes on, and nothing of it is left.
    """

    def __init__(self, storage: Storage):
        require()
        self.storage = storage
        self._threads = Threads(storage.settings.max_concurrency)
        _alive.add(self)

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What errors, logs and events call it."""
        return self.storage.name

    @property
    def settings(self) -> Settings:
        """The validated settings."""
        return self.storage.settings

    @property
    def backend(self) -> Backend[Any]:
        """The provider; its own calls block."""
        return self.storage.backend

    @property
    def limits(self) -> Limits:
        """What the provider holds to."""
        return self.storage.limits

    @property
    def capabilities(self) -> Capability:
        """What this storage can do."""
        return self.storage.capabilities

    @property
    def incoming(self) -> AsyncStorage:
        """A storage beside this one for files whose place is not decided yet."""
        found = self.storage.incoming.aio
        found._threads = self._threads
        return found

    def below(self, folder: str) -> AsyncStorage:
        """Return a storage of what lies below a folder of this one. :raises LocationError: when it is no folder"""
        found = self.storage.below(folder).aio
        found._threads = self._threads
        return found

    def supports(self, capability: Capability) -> bool:
        """Return whether this storage can do all of that."""
        return self.storage.supports(capability)

    def supports_synthetic(self, capability: Capability, destination: Storage | AsyncStorage) -> bool:
        """Return whether the ``..._synthetic`` way of `capability` works from here to `destination`."""
        return self.storage.supports_synthetic(capability, _sync(destination))

    def copies_to(self, destination: Storage | AsyncStorage) -> bool:
        """Return whether the provider copies from here to `destination`; see :meth:`Storage.copies_to`."""
        return self.storage.copies_to(_sync(destination))

    def with_options(self, **changes: Any) -> AsyncStorage:
        """Return the same storage with other options; see :meth:`Storage.with_options`."""
        return self.storage.with_options(**changes).aio

    def subscribe(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Have a callback told of what this storage does, in the threads that do it; return what ends that."""
        return self.storage.subscribe(callback)

    @property
    def circuit(self) -> Circuit | None:
        """The circuit breaker, ``None`` when there is none."""
        return self.storage.circuit

    def full_path(self, location: str) -> str:
        """Return the provider's key of a location. :raises LocationError: when it is none"""
        return self.storage.full_path(location)

    def __repr__(self) -> str:
        return f"<AsyncStorage {self.name!r} {self.settings!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.storage, "aio")

    async def prepare_location(self, name: str, upload: Upload | None = None) -> str:
        """Make a location out of an untrusted name, see :meth:`file_keeper.Storage.prepare_location`."""
        return await self._threads.ask(self.storage.prepare_location, name, upload)

    async def initialize(self) -> None:
        """Create what is missing: the bucket, the container, the directory. What is there is fine."""
        await self._threads.run(self.storage.initialize)

    async def check(self) -> None:
        """Prove credentials and bucket with one cheap request, see :meth:`file_keeper.Storage.check`."""
        await self._threads.ask(self.storage.check)

    async def close(self) -> None:
        """Let go of connections. A storage that is used again makes new ones."""
        await self._threads.run(self.storage.close)

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- writing ----------------------------------------------------------------------------------------------------

    async def upload(
        self,
        location: str,
        upload: Uploadable | AsyncIterable[Any],
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
        """Store a file: any source, asynchronous ones too (iterables of bytes, files whose ``read`` is awaited).

        Arguments and errors as :meth:`file_keeper.Storage.upload`; `progress` is called in a thread. Of a cancelled
        upload nothing is left; only where it was to replace a file, and its last request was under way already, the new
        content may stand there, whole.
        """
        options: dict[str, Any] = {
            "overwrite": overwrite,
            "hash": hash,
            "algorithm": algorithm,
            "content_type": content_type,
            "metadata": metadata,
            "headers": headers,
            "progress": progress,
        }
        undo = withdrawing(self.storage, overwrite)
        if not is_async(upload):
            return await self._threads.run(self.storage.upload, location, upload, undo=undo, **options)
        return await Feeder(self.storage, self._threads, location, name_of_source(upload), undo, options).feed(upload)

    async def append(self, file: FileOrLocation, upload: Uploadable | AsyncIterable[Any], /) -> FileData:
        """Add content to the end of a file, see :meth:`file_keeper.Storage.append`."""
        async with gathered(self._threads, upload, self.settings.part_size) as source:
            return await self._threads.run(self.storage.append, file, source)

    async def compose(
        self, location: str, /, *files: FileOrLocation, overwrite: bool | FileData | None = None
    ) -> FileData:
        """Make one file of several, see :meth:`file_keeper.Storage.compose`."""
        return await self._threads.run(self.storage.compose, location, *files, overwrite=overwrite)

    async def remove(self, file: FileOrLocation) -> bool:
        """Remove a file; return whether it was there."""
        return await self._threads.run(self.storage.remove, file)

    async def remove_many(self, files: Files) -> list[exc.FilesError]:
        """Remove files, see :meth:`file_keeper.Storage.remove_many`; `files` may be an asynchronous iterable."""
        if not isinstance(files, AsyncIterable):
            return await self._threads.run(self.storage.remove_many, files)
        failures: list[exc.FilesError] = []
        batch: list[FileOrLocation] = []
        async for file in files:
            batch.append(file)
            if len(batch) >= 1000:
                failures += await self._threads.run(self.storage.remove_many, batch)
                batch = []
        return failures + await self._threads.run(self.storage.remove_many, batch)

    async def copy(
        self, location: str, file: FileOrLocation, /, *, overwrite: bool | FileData | None = None
    ) -> FileData:
        """Copy a file to `location` on the server, see :meth:`file_keeper.Storage.copy`."""
        return await self._threads.run(self.storage.copy, location, file, overwrite=overwrite)

    async def move(
        self, location: str, file: FileOrLocation, /, *, overwrite: bool | FileData | None = None
    ) -> FileData:
        """Move a file to `location`, see :meth:`file_keeper.Storage.move`."""
        return await self._threads.run(self.storage.move, location, file, overwrite=overwrite)

    async def copy_synthetic(
        self,
        location: str,
        file: FileOrLocation,
        destination: Storage | AsyncStorage,
        *,
        overwrite: bool | FileData | None = None,
        progress: Progress | None = None,
    ) -> FileData:
        """Copy a file to another storage, see :meth:`file_keeper.Storage.copy_synthetic`."""
        return await self._threads.run(
            self.storage.copy_synthetic, location, file, _sync(destination), overwrite=overwrite, progress=progress
        )

    async def move_synthetic(
        self,
        location: str,
        file: FileOrLocation,
        destination: Storage | AsyncStorage,
        *,
        overwrite: bool | FileData | None = None,
        progress: Progress | None = None,
    ) -> FileData:
        """Move a file to another storage, see :meth:`file_keeper.Storage.move_synthetic`."""
        return await self._threads.run(
            self.storage.move_synthetic, location, file, _sync(destination), overwrite=overwrite, progress=progress
        )

    async def range_synthetic(self, file: FileOrLocation, start: int = 0, end: int | None = None) -> bytes:
        """Return a range by reading the file from its beginning, for backends without ranges."""
        return await self._threads.ask(self.storage.range_synthetic, file, start, end)

    async def compose_synthetic(
        self,
        location: str,
        destination: Storage | AsyncStorage,
        /,
        *files: FileOrLocation,
        overwrite: bool | FileData | None = None,
    ) -> FileData:
        """Make one file in another storage of several of this, see :meth:`file_keeper.Storage.compose_synthetic`."""
        return await self._threads.run(
            self.storage.compose_synthetic, location, _sync(destination), *files, overwrite=overwrite
        )

    # -- reading ----------------------------------------------------------------------------------------------------

    def stream(self, file: FileOrLocation, *, start: int = 0, end: int | None = None, etag: str = "") -> AsyncStream:
        """Open a file: ``async for chunk in aio.stream(file)``; or readable, ``async with aio.stream(file) as it``.

        The file is opened by the first use, or by ``await``. Arguments and errors as
        :meth:`file_keeper.Storage.stream`.
        """
        return AsyncStream(self._threads, lambda: self.storage.stream(file, start=start, end=end, etag=etag))

    async def content(self, file: FileOrLocation) -> bytes:
        """Return the whole content, see :meth:`file_keeper.Storage.content`."""
        return await self._threads.ask(self.storage.content, file)

    async def range(self, file: FileOrLocation, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes ``[start, end)``, see :meth:`file_keeper.Storage.range`."""
        return await self._threads.ask(self.storage.range, file, start, end)

    async def download(
        self, file: FileOrLocation, target: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> FileData:
        """Write a file to a local path atomically, see :meth:`file_keeper.Storage.download`."""
        return await self._threads.run(self.storage.download, file, target, progress=progress)

    async def verify(self, file: FileOrLocation, *, record: bool = False, progress: Progress | None = None) -> FileData:
        """Read the whole file and compare it with its hash, see :meth:`file_keeper.Storage.verify`."""
        return await self._threads.ask(self.storage.verify, file, record=record, progress=progress)

    async def analyze(self, file: FileOrLocation) -> FileData:
        """Return all that is known of a file. :raises MissingFileError: when there is none"""
        return await self._threads.ask(self.storage.analyze, file)

    async def exists(self, file: FileOrLocation) -> bool:
        """Return whether there is a file."""
        return await self._threads.ask(self.storage.exists, file)

    async def size(self, file: FileOrLocation) -> int:
        """Return the size of a file in bytes."""
        return await self._threads.ask(self.storage.size, file)

    async def hash(self, file: FileOrLocation) -> str:
        """Return the recorded hash of a file as hex, ``""`` when none is known."""
        return await self._threads.ask(self.storage.hash, file)

    async def content_type(self, file: FileOrLocation) -> str:
        """Return the media type of a file."""
        return await self._threads.ask(self.storage.content_type, file)

    # -- open files -------------------------------------------------------------------------------------------------

    @overload
    def open(self, file: FileOrLocation, mode: Literal["rb"] = "rb") -> AsyncReader[bytes]: ...
    @overload
    def open(
        self,
        file: FileOrLocation,
        mode: Literal["r", "rt"],
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> AsyncReader[str]: ...
    @overload
    def open(
        self, file: FileOrLocation, mode: Literal["wb", "xb"], **options: Unpack[WriterOptions]
    ) -> AsyncWriter[bytes]: ...
    @overload
    def open(
        self,
        file: FileOrLocation,
        mode: Literal["w", "x", "wt", "xt"],
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        **options: Unpack[WriterOptions],
    ) -> AsyncWriter[str]: ...
    @overload
    def open(self, file: FileOrLocation, mode: str, **options: Any) -> AsyncReader[Any] | AsyncWriter[Any]: ...
    def open(
        self,
        file: FileOrLocation,
        mode: str = "rb",
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        **options: Any,
    ) -> AsyncReader[Any] | AsyncWriter[Any]:
        """Open a file: ``async with aio.open(file, mode) as stream``.

        Modes and options are those of :meth:`file_keeper.Storage.open`. A reader is seekable and fetches only what is
        read. A writer publishes when it is closed; left by an exception or a cancellation it publishes nothing.

        :raises StorageDataError: for another mode, or options that it does not take
        """
        kind, binary = self.storage._kind_of(  # pyright: ignore[reportPrivateUsage]
            file, mode, encoding, errors, newline, options
        )
        text: dict[str, Any] = {"encoding": encoding, "errors": errors, "newline": newline}
        if kind == "r":
            return AsyncReader(self._threads, lambda: self.storage.open(file, mode, **text))
        if kind == "x":
            options["overwrite"] = False
        location = location_of(file)
        undo = withdrawing(self.storage, options.get("overwrite"))
        return AsyncWriter(
            lambda: Feeder(self.storage, self._threads, location, "", undo, options, "open"),
            location,
            mode,
            None if binary else text | {"encoding": encoding or "utf-8"},
        )

    # -- listing ----------------------------------------------------------------------------------------------------

    def scan(self, *, prefix: str = "", glob: str = "", start_after: str = "") -> AsyncListing[str]:
        """Iterate over the locations of all files, in order, see :meth:`file_keeper.Storage.scan`."""
        arguments = {"prefix": prefix, "glob": glob, "start_after": start_after}
        pieces = self.storage._scan_pieces(**arguments)  # pyright: ignore[reportPrivateUsage]
        return AsyncListing(self._threads, lambda: pieces)

    def filtered_scan(self, prefix: str = "", glob: str = "") -> AsyncListing[str]:
        """Iterate over the locations that begin with `prefix` and match `glob`; see :meth:`scan`."""
        return self.scan(prefix=prefix, glob=glob)

    @overload
    def files(
        self, *, prefix: str = "", glob: str = "", start_after: str = "", delimiter: Literal[""] = ""
    ) -> AsyncListing[FileData]: ...
    @overload
    def files(
        self, *, prefix: str = "", glob: str = "", start_after: str = "", delimiter: str
    ) -> AsyncListing[FileData | str]: ...
    def files(
        self, *, prefix: str = "", glob: str = "", start_after: str = "", delimiter: str = ""
    ) -> AsyncListing[Any]:
        """Iterate over the data of all files from the listing itself, see :meth:`file_keeper.Storage.files`."""
        arguments = {"prefix": prefix, "glob": glob, "start_after": start_after, "delimiter": delimiter}
        pieces = self.storage._file_pieces(**arguments)  # pyright: ignore[reportPrivateUsage]
        return AsyncListing(self._threads, lambda: pieces)

    # -- many -------------------------------------------------------------------------------------------------------

    def _batch(
        self,
        operation: str,
        given: Any,
        make: Callable[[Iterable[Any]], Any],
        concurrency: int | None,
        **options: Any,
    ) -> AsyncBatch[Any]:
        limit, more = limits_of(self.storage, operation, concurrency)
        return AsyncBatch(self._threads, Draw(self._threads, given, make), limit, {**options, **more})

    def upload_many(
        self,
        items: Mapping[str, Any] | Iterable[tuple[str, Any]] | AsyncIterable[tuple[str, Any]],
        /,
        *,
        concurrency: int | None = None,
        stop: bool = False,
        overwrite: bool | None = None,
        progress: OnBatchProgress | None = None,
    ) -> AsyncBatch[FileData]:
        """Store many files, see :meth:`file_keeper.Storage.upload_many`; iterate over the outcomes.

        The items and their sources may be asynchronous. An asynchronous source is read while an outcome is awaited.
        """
        self.storage.upload_many(())  # whether it can
        undo = withdrawing(self.storage, overwrite)

        def special(location: str, source: Any) -> Item[FileData] | None:
            if not is_async(source):
                return None

            def begin() -> Feeder:
                options = {"overwrite": overwrite}
                return Feeder(self.storage, self._threads, location, name_of_source(source), undo, options)

            return Fed(location, source, begin)

        def make(given: Iterable[Any]) -> Any:
            return uploads(self.storage, given, overwrite, special)

        return self._batch(
            "upload_many", pairs_of(items), make, concurrency, stop=stop, total=count(items), progress=progress
        )

    def content_many(
        self,
        files: Files,
        /,
        *,
        concurrency: int | None = None,
        stop: bool = False,
        progress: OnBatchProgress | None = None,
    ) -> AsyncBatch[bytes]:
        """Read many files as a whole, see :meth:`file_keeper.Storage.content_many`; iterate over the outcomes."""
        self.storage.content_many(())
        return self._batch(
            "content_many",
            files,
            lambda given: contents(self.storage, given),
            concurrency,
            content=True,
            stop=stop,
            total=count(files),
            progress=progress,
        )

    def analyze_many(
        self,
        files: Files,
        /,
        *,
        concurrency: int | None = None,
        stop: bool = False,
        progress: OnBatchProgress | None = None,
    ) -> AsyncBatch[FileData]:
        """Return the data of many files, see :meth:`file_keeper.Storage.analyze_many`; iterate over the outcomes."""
        self.storage.analyze_many(())
        return self._batch(
            "analyze_many",
            files,
            lambda given: analyses(self.storage, given),
            concurrency,
            stop=stop,
            total=count(files),
            progress=progress,
        )

    def download_many(
        self,
        files: Files,
        folder: str | os.PathLike[str],
        /,
        *,
        concurrency: int | None = None,
        stop: bool = False,
        progress: OnBatchProgress | None = None,
    ) -> AsyncBatch[FileData]:
        """Write many files below a folder, see :meth:`file_keeper.Storage.download_many`; iterate over the outcomes."""
        self.storage.download_many((), folder)
        return self._batch(
            "download_many",
            files,
            lambda given: downloads(self.storage, given, folder),
            concurrency,
            stop=stop,
            total=count(files),
            progress=progress,
        )

    def copy_many(
        self,
        pairs: Mapping[str, FileOrLocation]
        | Iterable[tuple[str, FileOrLocation]]
        | AsyncIterable[tuple[str, FileOrLocation]],
        /,
        *,
        concurrency: int | None = None,
        stop: bool = False,
        overwrite: bool | None = None,
        progress: OnBatchProgress | None = None,
    ) -> AsyncBatch[FileData]:
        """Copy many files on the server, see :meth:`file_keeper.Storage.copy_many`; iterate over the outcomes."""
        self.storage.copy_many(())
        return self._batch(
            "copy_many",
            pairs_of(pairs),
            lambda given: copies(self.storage, given, overwrite),
            concurrency,
            stop=stop,
            total=count(pairs),
            progress=progress,
        )

    # -- links ------------------------------------------------------------------------------------------------------

    async def signed(
        self,
        action: SignedAction,
        duration: Duration,
        location: FileOrLocation,
        *,
        content_type: str = "",
        disposition: str = "",
        overwrite: bool | None = None,
        max_size: int | str | None = None,
        hash: str = "",
        algorithm: str = "",
    ) -> SignedURL:
        """Sign a request that anybody may send without credentials, see :meth:`file_keeper.Storage.signed`."""
        return await self._threads.ask(
            self.storage.signed,
            action,
            duration,
            location,
            content_type=content_type,
            disposition=disposition,
            overwrite=overwrite,
            max_size=max_size,
            hash=hash,
            algorithm=algorithm,
        )

    async def multipart_signed(self, data: FileData, part: int, duration: Duration) -> SignedURL:
        """Sign the sending of one part of a multipart upload, see :meth:`file_keeper.Storage.multipart_signed`."""
        return await self._threads.ask(self.storage.multipart_signed, data, part, duration)

    async def temporary_link(self, file: FileOrLocation, duration: Duration) -> str:
        """Return an address to download a file from, for a time."""
        return await self._threads.ask(self.storage.temporary_link, file, duration)

    async def permanent_link(self, file: FileOrLocation) -> str:
        """Return the address of a file that does not end."""
        return await self._threads.ask(self.storage.permanent_link, file)

    async def one_time_link(self, file: FileOrLocation, duration: Duration) -> str:
        """Return an address that works once, see :meth:`file_keeper.Storage.one_time_link`."""
        return await self._threads.ask(self.storage.one_time_link, file, duration)

    # -- uploads in several calls -----------------------------------------------------------------------------------

    async def multipart_start(
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
        """Begin an upload in parts, see :meth:`file_keeper.Storage.multipart_start`."""
        return await self._threads.run(
            self.storage.multipart_start,
            location,
            size,
            content_type=content_type,
            metadata=metadata,
            headers=headers,
            hash=hash,
            algorithm=algorithm,
            overwrite=overwrite,
            undo=self.storage.multipart_remove,
        )

    async def multipart_update(self, data: FileData, upload: Uploadable | AsyncIterable[Any], part: int) -> FileData:
        """Send a part, see :meth:`file_keeper.Storage.multipart_update`; asynchronous sources are gathered first."""
        async with gathered(self._threads, upload, self.settings.part_size) as source:
            return await self._threads.run(self.storage.multipart_update, data, source, part)

    async def multipart_refresh(self, data: FileData) -> FileData:
        """Ask the provider what it has, see :meth:`file_keeper.Storage.multipart_refresh`."""
        return await self._threads.ask(self.storage.multipart_refresh, data)

    async def multipart_complete(self, data: FileData) -> FileData:
        """Publish the file, see :meth:`file_keeper.Storage.multipart_complete`."""
        return await self._threads.run(self.storage.multipart_complete, data)

    async def multipart_remove(self, data: FileData) -> bool:
        """Drop an upload and its parts; return whether it was open."""
        return await self._threads.run(self.storage.multipart_remove, data)

    async def resumable_start(
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
        """Begin an upload in pieces that follow one another, see :meth:`file_keeper.Storage.resumable_start`."""
        return await self._threads.run(
            self.storage.resumable_start,
            location,
            size,
            content_type=content_type,
            metadata=metadata,
            headers=headers,
            hash=hash,
            algorithm=algorithm,
            overwrite=overwrite,
            undo=self.storage.resumable_remove,
        )

    async def resumable_resume(self, data: FileData, upload: Uploadable | AsyncIterable[Any]) -> FileData:
        """Send the next piece, see :meth:`file_keeper.Storage.resumable_resume`.

        An asynchronous source is sent in pieces of ``part_size`` as it comes: if it breaks, those before are kept.
        """
        if not is_async(upload):
            return await self._threads.run(self.storage.resumable_resume, data, upload)
        async with aclosing(pieces_of(upload, self.settings.part_size)) as pieces:
            async for piece in pieces:
                data = await self._threads.run(self.storage.resumable_resume, data, piece)
        return data

    async def resumable_refresh(self, data: FileData) -> FileData:
        """Ask the provider how much it has, see :meth:`file_keeper.Storage.resumable_refresh`."""
        return await self._threads.ask(self.storage.resumable_refresh, data)

    async def resumable_remove(self, data: FileData) -> bool:
        """Drop an upload; return whether it was open."""
        return await self._threads.run(self.storage.resumable_remove, data)

    async def cleanup_uploads(self, older_than: Duration) -> int:
        """Drop what uploads that never ended have left, see :meth:`file_keeper.Storage.cleanup_uploads`."""
        return await self._threads.run(self.storage.cleanup_uploads, older_than)


def _sync(storage: Storage | AsyncStorage) -> Storage:
    return storage.storage if isinstance(storage, AsyncStorage) else storage


def _forked() -> None:
    for storage in list(_alive):
        storage._threads.after_fork()  # pyright: ignore[reportPrivateUsage]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
