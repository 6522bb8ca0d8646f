"""What the items of each kind of batch are, made of what the user gives."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .. import exc
from ..backend.contract import MiB
from ..data import FileData
from ..local import place_in
from ..outcomes import Outcome
from ..types import FileOrLocation, Uploadable
from ..upload import Upload, make_upload
from .batch import CONCURRENCY, Item
from .sources import forward_only, innermost, must_be_read_in_order

if TYPE_CHECKING:
    from ..storage.many import Many

T = TypeVar("T")

Uploads = Mapping[str, Uploadable] | Iterable[tuple[str, Uploadable]]
Copies = Mapping[str, FileOrLocation] | Iterable[tuple[str, FileOrLocation]]

_BUFFERS = 256 * MiB
"""Buffers of all large uploads of a batch together."""


def limits_of(storage: Many, operation: str, concurrency: int | None) -> tuple[int, dict[str, Any]]:
    """Return how many items may be in flight, and the options of a batch that follow from it.

    :raises StorageDataError: when the number asked for makes no sense
    """
    settings = storage.settings
    each = max(settings.part_size, storage.limits.part_min) * (settings.max_concurrency + 1)
    options: dict[str, Any] = {"large": max(1, _BUFFERS // each)}
    if concurrency is None:
        options |= {"adapts": True, "told": storage.watch.pacing(operation)}
        local = storage.limits.local
        return settings.max_concurrency if local else max(CONCURRENCY, settings.max_concurrency), options
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise exc.StorageDataError(f"concurrency is a number of items of at least 1, not {concurrency!r}")
    return concurrency, options


def location_of(file: Any) -> str:
    """Return what an outcome says of the file that it is about."""
    if isinstance(file, FileData):
        return file.location
    return file if isinstance(file, str) else ""


def failed(location: Any, error: BaseException) -> Item[Any]:
    """Make an item that has failed before it began."""
    item: Item[Any] = Item(location_of(location), lambda progress: None)
    item.end(Outcome(item.location, None, error))
    return item


def pairs_of(items: Any) -> Iterable[Any]:
    """Return the pairs of a mapping, or what is iterable as it is."""
    return cast("Mapping[Any, Any]", items).items() if isinstance(items, Mapping) else items


def unpacked(pair: Any, verb: str) -> tuple[Any, Any] | Item[Any]:
    """Return the two of a pair, or an item that has failed."""
    try:
        first, second = pair
    except (TypeError, ValueError):
        return failed("", TypeError(f"an item of {verb} is a pair, not {type(pair).__name__}"))
    return first, second


def uploads(
    storage: Many,
    items: Iterable[Any],
    overwrite: bool | None,
    special: Callable[[str, Any], Item[FileData] | None] = lambda location, source: None,
) -> Iterator[Item[FileData]]:
    """Make the items of ``upload_many``.

    :param special: makes the item of a location and a source of a kind of its own, ``None`` for any other
    """
    flying: list[tuple[object, Item[FileData]]] = []
    for pair in items:
        found = unpacked(pair, "upload_many")
        if isinstance(found, Item):
            yield found
            continue
        location, source = found
        flying = [one for one in flying if not (one[1].outcome or (one[1].in_order and one[1].read))]
        try:
            if (own := special(location, source)) is not None:
                yield own
                continue
            upload = make_upload(source)
            stream = innermost(upload)
            if any(other is stream for other, _ in flying):
                raise exc.ContentError(
                    "another item of this batch reads from the same source: give each item one of its own"
                )
        except Exception as error:
            yield failed(location, error)
            continue
        item = uploading(storage, location, upload, overwrite)
        flying.append((stream, item))
        yield item


def uploading(storage: Many, location: str, upload: Upload, overwrite: bool | None) -> Item[FileData]:
    """Make the item that uploads one file."""
    in_order = must_be_read_in_order(upload)
    source = forward_only(upload) if in_order else upload

    def work(progress: Callable[[int, int | None], None]) -> FileData:
        return storage.upload(location, source, overwrite=overwrite, progress=progress)

    return Item(
        location_of(location),
        work,
        size=upload.size or 0,
        in_order=in_order,
        undo=withdrawing(storage, overwrite),
        key=location,
        large=(upload.size or 0) > storage.settings.multipart_threshold,
    )


def withdrawing(storage: Many, overwrite: bool | FileData | None) -> Callable[[FileData], object] | None:
    """Return what takes a file back that an upload has made although it was cancelled; what it replaced is gone."""
    overwrites = storage.settings.overwrite_existing if overwrite is None else overwrite
    return None if overwrites else storage._withdraw  # pyright: ignore[reportPrivateUsage]


def _each(files: Iterable[FileOrLocation], work: Callable[[FileOrLocation], Item[T]]) -> Iterator[Item[T]]:
    for file in files:
        try:
            item = work(file)
        except exc.FilesError as error:
            item = failed(file, error)
        yield item


def contents(storage: Many, files: Iterable[FileOrLocation]) -> Iterator[Item[bytes]]:
    """Make the items of ``content_many``."""

    def item(file: FileOrLocation) -> Item[bytes]:
        def work(progress: Callable[[int, int | None], None]) -> bytes:
            content = storage.content(file)
            progress(len(content), len(content))
            return content

        return Item(location_of(file), work)

    return _each(files, item)


def analyses(storage: Many, files: Iterable[FileOrLocation]) -> Iterator[Item[FileData]]:
    """Make the items of ``analyze_many``."""
    return _each(files, lambda file: Item(location_of(file), lambda progress: storage.analyze(file)))


def downloads(
    storage: Many, files: Iterable[FileOrLocation], folder: str | os.PathLike[str]
) -> Iterator[Item[FileData]]:
    """Make the items of ``download_many``."""

    def item(file: FileOrLocation) -> Item[FileData]:
        location = location_of(file)

        def work(progress: Callable[[int, int | None], None]) -> FileData:
            try:
                path = place_in(folder, location)
            except exc.FilesError as error:
                error.within(storage.name, "download", location)
                raise
            return storage.download(file, path, progress=progress)

        large = isinstance(file, FileData) and file.size > storage.settings.multipart_threshold
        return Item(location, work, key=location, large=large)

    return _each(files, item)


def copies(storage: Many, items: Iterable[Any], overwrite: bool | None) -> Iterator[Item[FileData]]:
    """Make the items of ``copy_many``."""
    for pair in items:
        found = unpacked(pair, "copy_many")
        yield found if isinstance(found, Item) else _copying(storage, *found, overwrite)


def _copying(storage: Many, location: str, file: FileOrLocation, overwrite: bool | None) -> Item[FileData]:
    def work(progress: Callable[[int, int | None], None]) -> FileData:
        made = storage.copy(location, file, overwrite=overwrite)
        progress(made.size, made.size)
        return made

    return Item(location_of(location), work, key=location)
