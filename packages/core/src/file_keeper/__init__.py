"""One storage contract for files on disk, in memory and in every cloud.

::

    import file_keeper as fk

    storage = fk.make_storage("media", {"type": "fs", "path": "uploads", "initialize": True})
    file = storage.upload("hello.txt", fk.make_upload(b"Hello"))
    assert storage.content(file) == b"Hello"

Change ``type`` (and where the bucket lies) and nothing else changes.
"""

import typing as _typing

from . import installation as _installation  # first of all: what follows may be another's

# isort: split
from . import exc, types
from .backend import Capability, Settings
from .data import FileData, Location
from .registry import Registry, adapters, get_storage, list_adapters, make_storage
from .settings import humanize_filesize, parse_filesize
from .storage import SignedAction, SignedURL, Storage
from .streams import HashingReader, IterableBytesReader
from .upload import Upload, make_upload

del _installation

if _typing.TYPE_CHECKING:
    from .aio import AsyncStorage
    from .syncing import SyncReport, sync

__all__ = [
    "AsyncStorage",
    "Capability",
    "FileData",
    "HashingReader",
    "IterableBytesReader",
    "Location",
    "Registry",
    "Settings",
    "SignedAction",
    "SignedURL",
    "Storage",
    "SyncReport",
    "Upload",
    "adapters",
    "exc",
    "get_storage",
    "humanize_filesize",
    "list_adapters",
    "make_storage",
    "make_upload",
    "parse_filesize",
    "sync",
    "types",
]


def __getattr__(name: str) -> _typing.Any:
    if name == "AsyncStorage":  # brings anyio along
        from .aio import AsyncStorage

        return AsyncStorage
    if name in ("SyncReport", "sync"):  # brings json along, and what a journal needs
        from . import syncing

        return getattr(syncing, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
