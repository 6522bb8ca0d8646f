"""Where storages lie: which others are within one, or around it, so that what is theirs is not taken for its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import file_keeper as fk
from django.conf import STATICFILES_STORAGE_ALIAS
from django.core.files.storage import FileSystemStorage, InMemoryStorage, storages

from .moving import storage_beneath
from .static import FileKeeperStaticStorage


@dataclass(frozen=True)
class Place:
    """A prefix in a container.

    :param container: type and bucket; two services with one bucket name are one here, which errs to the safe side
    :param prefix: ``""``, or it ends in ``/``
    """

    container: tuple[str, ...]
    prefix: str


@dataclass
class Neighbours:
    """The other storages of a project, as they lie to one of them.

    :param within: the prefixes of this storage where another one lies, and which one
    :param around: what the names of this storage begin with in those that it lies in
    :param static: the entry of static files that lies at the same place, or around it
    :param unknown: the entries of which nothing is known, being of other classes
    """

    within: dict[str, str]
    around: set[str]
    static: str = ""
    unknown: Sequence[str] = ()


def places_of(storage: fk.Storage) -> Iterator[Place]:
    """Return where a storage keeps its files; a fallback has several places."""
    settings: Any = storage.settings.resolve()
    if settings.type == "file_keeper:fallback":
        for nested in settings.storages:
            yield from places_of(fk.make_storage(storage.name, {**nested, "initialize": False}))
        return
    if hasattr(settings, "directory"):
        directory = os.path.normcase(os.path.realpath(settings.directory(os.getcwd())))
        yield Place(("disk",), directory.replace(os.sep, "/").rstrip("/") + "/")
        return
    bucket = settings.bucket
    if settings.type == "file_keeper:memory" and not (bucket and isinstance(bucket, str)):
        bucket = f"private {id(bucket or storage.backend)}"
    yield Place((settings.type, str(bucket)), storage.full_path("x")[:-1])


def neighbours(alias: str, storage: fk.Storage, fields: Sequence[tuple[str, Any]] = ()) -> Neighbours:
    """Return what lies within a storage, and what it lies in.

    :param fields: names of file fields and their storages, which may be none of STORAGES
    """
    found = Neighbours({}, set())
    unknown: list[str] = []
    ours = list(places_of(storage))
    entries = [(f"STORAGES[{name!r}]", name, storages[name]) for name in cast("dict[str, Any]", storages.backends)]
    for label, name, other in [*entries, *((label, "", other) for label, other in fields)]:
        static = name == STATICFILES_STORAGE_ALIAS or isinstance(other, FileKeeperStaticStorage)
        try:
            beneath = _beneath(other, name or label)
        except TypeError:
            unknown.append(label)
            continue
        for theirs in places_of(beneath) if beneath is not None else ():
            for own in ours:
                if own.container != theirs.container:
                    continue
                if theirs.prefix != own.prefix and theirs.prefix.startswith(own.prefix):
                    found.within.setdefault(theirs.prefix[len(own.prefix) :], label)
                elif own.prefix.startswith(theirs.prefix):
                    found.around.add(own.prefix[len(theirs.prefix) :])
                    if static:
                        found.static = label
    found.unknown = list(dict.fromkeys(unknown))
    return found


def _beneath(storage: Any, alias: str) -> fk.Storage | None:
    """Return the storage beneath one of Django's; `None` when it lies nowhere. :raises TypeError: when unknown"""
    if isinstance(storage, InMemoryStorage):
        return None
    if isinstance(storage, FileSystemStorage) and not storage.base_location:
        return None  # static files without STATIC_ROOT
    return storage_beneath(storage, alias)
