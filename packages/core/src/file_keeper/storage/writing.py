"""Writing files: whole, by a writer, at the end of one, out of several."""

from __future__ import annotations

import dataclasses
import io
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, Unpack, overload

from .. import calls, exc, synthetic
from ..backend import (
    Capability,
    ObjectInfo,
)
from ..data import FileData
from ..feeding import Feed
from ..reading import SeekableFile, WatchedFile
from ..resilience.watch import current
from ..types import FileOrLocation, Progress, Uploadable, WriterOptions
from ..upload import Upload, make_upload
from ..writing import TextWriter, Writer
from .base import name_of, operation
from .reading import Reading

log = logging.getLogger("file_keeper")


class Writing(Reading):
    """The part of a storage that writes."""

    @operation(Capability.CREATE)
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

    def _withdraw(self, file: FileData) -> None:
        """Remove the very version that an upload has made which is not wanted any more."""
        if not file.etag:
            return
        try:
            with calls.cleaning_up():
                self._verbs.delete(self._key(file), etag=file.etag)
        except exc.FilesError as error:
            log.warning("%r was stored although its upload was cancelled, and could not be removed: %s", file, error)

    # What follows is for storage.aio too: modes, and an upload that is handed its bytes.

    def _kind_of(
        self,
        file: FileOrLocation,
        mode: str,
        encoding: str | None,
        errors: str | None,
        newline: str | None,
        options: Mapping[str, Any],
    ) -> tuple[str, bool]:
        """Return ``"r"``, ``"w"`` or ``"x"``, and whether the mode is binary."""
        kind = mode.replace("b", "").replace("t", "") or mode
        binary = "b" in mode
        wrong = ""
        if kind not in ("r", "w", "x") or (binary and "t" in mode) or len(set(mode)) != len(mode):
            wrong = f"mode {mode!r} is not one of 'rb', 'r', 'wb', 'w', 'xb', 'x'"
            if "a" in mode:
                wrong += " (append adds to a file in one step)"
        elif binary and (encoding or errors or newline):
            wrong = "a binary mode takes no encoding, errors or newline"
        elif kind == "r" and options:
            wrong = f"reading takes no {', '.join(options)}"
        if wrong:
            raise exc.StorageDataError(wrong, storage=self.name, operation="open", location=name_of(file))
        return kind, binary

    @operation(Capability.CREATE, "upload")
    def _feed(self, location: str, filename: str, **options: Any) -> tuple[Feed, Callable[[Feed], FileData]]:
        """Begin an upload that is handed its bytes; return it, and what publishes it."""
        plan, meant = self._plan(self._key(location, writing=True), **options)

        def publish(feed: Feed) -> FileData:
            return self._made(location, feed.finish(), plan, meant)

        watched = current()
        return Feed(self._engine, plan, filename), publish if watched is None else watched.ending(publish)

    @operation(Capability.CREATE, "open")
    def _writer(self, location: str, mode: str, **options: Any) -> Writer:
        key = self._key(location, writing=True)
        if "x" in mode:
            options["overwrite"] = False
        plan, meant = self._plan(key, **options)
        # One thread may fill several: a writer that waited for another would wait for ever.
        plan = dataclasses.replace(plan, waits=False)

        def send(stream: Any) -> FileData:
            with self._at("open", location):
                return self._send(location, Upload(stream, location), plan, meant)

        watched = current()
        return Writer(send if watched is None else watched.ending(send), location, mode)

    @overload
    def open(self, file: FileOrLocation, mode: Literal["rb"] = "rb") -> io.BufferedReader: ...
    @overload
    def open(
        self,
        file: FileOrLocation,
        mode: Literal["r", "rt"],
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> io.TextIOWrapper: ...
    @overload
    def open(self, file: FileOrLocation, mode: Literal["wb", "xb"], **options: Unpack[WriterOptions]) -> Writer: ...
    @overload
    def open(
        self,
        file: FileOrLocation,
        mode: Literal["w", "wt", "x", "xt"],
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        **options: Unpack[WriterOptions],
    ) -> TextWriter: ...
    @overload
    def open(self, file: FileOrLocation, mode: str) -> Any: ...
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
        :raises StorageDataError: for another mode, or options that it does not take
        """
        kind, binary = self._kind_of(file, mode, encoding, errors, newline, options)
        if kind == "r":
            raw = self._reader(file)
            buffered = io.BufferedReader(raw, 128 << 10)
            return buffered if binary else io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)
        writer = self._writer(name_of(file) if isinstance(file, FileData) else file, mode, **options)
        return writer if binary else TextWriter(writer, encoding, errors, newline)

    @operation(Capability.STREAM, "open")
    def _reader(self, file: FileOrLocation) -> SeekableFile:
        kind = SeekableFile if current() is None else WatchedFile
        return kind(self._verbs, self._key(file), name=name_of(file), tell=self._told("open", file))

    @operation(Capability.APPEND)
    def append(self, file: FileOrLocation, upload: Uploadable, /) -> FileData:
        """Add content to the end of a file, as atomic as :meth:`upload` and conditional on the version read.

        :raises MissingFileError: when there is no file
        :raises ChangedFileError: when another writer was quicker; nothing is applied twice
        """
        return synthetic.append(self, self._key(file), name_of(file), make_upload(upload))

    @operation(Capability.COMPOSE)
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
