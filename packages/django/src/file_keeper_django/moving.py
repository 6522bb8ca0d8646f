"""From one storage to another: each file copied, verified by its hash, and only then removed.

Two listings in the same order are walked side by side, so it takes one request for 1,000 files to see what is there
already; that alone makes it resumable, and memory is constant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import file_keeper as fk
from django.core.files.storage import FileSystemStorage
from django.utils.functional import LazyObject, empty

from .storage import FileKeeperStorage

HeadersFor = Callable[[str], Mapping[str, str] | None]


def storage_beneath(storage: Any, alias: str) -> fk.Storage:
    """Return the storage of file-keeper beneath one of Django's; of FileSystemStorage its directory is one.

    :raises TypeError: for any other storage
    """
    if isinstance(storage, LazyObject):
        if storage._wrapped is empty:
            storage._setup()
        storage = storage._wrapped
    if isinstance(storage, FileKeeperStorage):
        return storage.storage
    if isinstance(storage, FileSystemStorage):
        return fk.make_storage(alias, {"type": "fs", "path": storage.location, "attributes": "none"})
    raise TypeError(
        f"STORAGES[{alias!r}] is a {type(storage).__name__}, neither of file-keeper nor a FileSystemStorage"
    )


def headers_of(storage: Any) -> HeadersFor | None:
    """Return what makes attachments of uploads that could run scripts, as saving them in a storage does."""
    return storage.headers_for if isinstance(storage, FileKeeperStorage) else None


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    :param done: ``copied``, ``moved``, ``removed`` (it was there already), ``skipped``, ``would copy`` ...
    """

    name: str
    done: str = ""
    error: Exception | None = None


class Moving:
    """A run from `source` to `target`.

    :param overwrite: replace what differs
    :param remove: remove a file from `source` when it is verified in `target`
    :param verify: read every copy, also those that were there
    :param dry_run: change nothing
    :param headers_for: headers that a file gets in `target` by its type, beside those that it has
    """

    def __init__(
        self,
        source: fk.Storage,
        target: fk.Storage,
        *,
        overwrite: bool = False,
        remove: bool = False,
        verify: bool = False,
        dry_run: bool = False,
        headers_for: HeadersFor | None = None,
    ):
        self.source, self.target = source, target
        self._overwrite, self._remove, self._verify, self._dry_run = overwrite, remove, verify, dry_run
        self._headers_for = headers_for
        self.counts: dict[str, int] = dict.fromkeys(("copied", "moved", "skipped", "removed", "failed"), 0)

    def run(self, prefix: str = "", start_after: str = "", concurrency: int = 4) -> Iterator[Outcome]:
        """Move what begins with `prefix`, several files at a time; the outcomes come in the order of the names.

        A file that fails does not end the run, a listing that fails does.
        """
        with ThreadPoolExecutor(concurrency, "file-keeper-move") as pool:
            under_way: deque[Future[Outcome]] = deque()
            try:
                for file, there in self._pairs(prefix, start_after):
                    if len(under_way) >= 4 * concurrency:
                        yield self._counted(under_way.popleft().result())
                    under_way.append(pool.submit(self._one, file, there))
                while under_way:
                    yield self._counted(under_way.popleft().result())
            finally:
                for future in under_way:
                    future.cancel()

    def _counted(self, outcome: Outcome) -> Outcome:
        what = "failed" if outcome.error else outcome.done.removeprefix("would ")
        self.counts[{"copy": "copied", "move": "moved", "remove": "removed"}.get(what, what)] += 1
        return outcome

    def _pairs(self, prefix: str, start_after: str) -> Iterator[tuple[fk.FileData, fk.FileData | None]]:
        """Return each file of the source with that of its name in the target."""
        others = self.target.files(prefix=prefix, start_after=start_after)
        other = next(others, None)
        for file in self.source.files(prefix=prefix, start_after=start_after):
            while other is not None and other.location < file.location:
                other = next(others, None)
            yield file, other if other is not None and other.location == file.location else None

    def _one(self, file: fk.FileData, there: fk.FileData | None) -> Outcome:
        name = file.location
        try:
            if there is not None and self._is_same(file, there):
                if not self._remove:
                    return Outcome(name, "skipped")
                if not self._dry_run:
                    self._remove_source(file)
                return Outcome(name, "would remove" if self._dry_run else "removed")
            if there is not None and not self._overwrite:
                raise fk.exc.ExistingFileError(
                    "another content is there: --overwrite replaces it", storage=self.target.name, location=name
                )
            if self._dry_run:
                return Outcome(name, "would move" if self._remove else "would copy")
            self._copy(file, there)
            if self._remove:
                self._remove_source(file)
        except Exception as error:
            return Outcome(name, error=error)
        return Outcome(name, "moved" if self._remove else "copied")

    def _copy(self, file: fk.FileData, there: fk.FileData | None) -> None:
        """Copy a file with type, metadata and headers. What was seen in the target is what is replaced."""
        name = file.location
        seen = self.source.analyze(name)
        with self.source.stream(name) as stream:
            upload = fk.Upload(stream, name, seen.size)
            kind = seen.content_type or upload.content_type
            added = (self._headers_for(kind) if self._headers_for else None) or {}
            keeps = self.target.limits.metadata
            made = self.target.upload(
                name,
                upload,
                overwrite=there or False,
                hash=seen.hash,
                algorithm=seen.algorithm,
                content_type=kind,
                metadata=seen.metadata if keeps else None,
                headers={**added, **seen.headers} if keeps else None,
            )
        if made.size != file.size:
            raise fk.exc.ChangedFileError("the source was changed meanwhile", location=file.location)
        if self._verify:
            self.target.verify(made)

    def _is_same(self, file: fk.FileData, there: fk.FileData) -> bool:
        """Return whether the content is the same: by the hashes that are recorded, else by reading both."""
        if file.size != there.size:
            return False
        if self._verify:
            there = self.target.verify(there.location)
        elif not there.hash:
            there = self.target.analyze(there.location)
        if not file.hash or file.algorithm != there.algorithm:
            file = self.source.analyze(file.location)
        algorithm = there.algorithm or self.target.settings.hashing_algorithm
        ours = file.hash if file.hash and file.algorithm == algorithm else _hash(self.source, file.location, algorithm)
        return ours == (there.hash or _hash(self.target, there.location, algorithm))

    def _remove_source(self, file: fk.FileData) -> None:
        """Remove a file from the source, unless it is another by now."""
        now = self.source.analyze(file.location)
        if (now.size, now.etag) != (file.size, file.etag):
            raise fk.exc.ChangedFileError("the source was changed meanwhile: it stays", location=file.location)
        self.source.remove(file.location)


def _hash(storage: fk.Storage, location: str, algorithm: str) -> str:
    with storage.stream(location) as stream:
        reader = fk.HashingReader(stream, algorithm=algorithm)
        reader.exhaust()
        return reader.get_hash()
