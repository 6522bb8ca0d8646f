"""The types that signatures speak of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict

from .events import Event
from .outcomes import BatchProgress, Outcome

if TYPE_CHECKING:
    from .data import FileData
    from .upload import Upload

__all__ = [
    "BatchProgress",
    "Buffer",
    "Event",
    "FileOrLocation",
    "HasFile",
    "HasStream",
    "OnBatchProgress",
    "Outcome",
    "Progress",
    "Readable",
    "Uploadable",
    "WriterOptions",
]

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Contiguous bytes in memory."""


class Readable(Protocol):
    """The least that a source of bytes has."""

    def read(self, size: int = -1, /) -> bytes: ...


class HasFile(Protocol):
    """An upload of Django or Starlette."""

    @property
    def file(self) -> Any: ...


class HasStream(Protocol):
    """An upload of werkzeug, as Flask gives it."""

    @property
    def stream(self) -> Any: ...


Uploadable: TypeAlias = "Upload | Buffer | Readable | Iterable[Buffer] | os.PathLike[str] | HasFile | HasStream"
"""What :func:`file_keeper.make_upload` takes. Not text: encode it."""

FileOrLocation: TypeAlias = "FileData | str"
"""A file is named by its data or by its location."""

Progress: TypeAlias = Callable[[int, "int | None"], Any]
"""Called with the bytes done and the total (``None`` while it is not known)."""

OnBatchProgress: TypeAlias = Callable[[BatchProgress], Any]
"""Called with how far a batch is."""


class WriterOptions(TypedDict, total=False):
    """The options of a writer: those of :meth:`Storage.upload`."""

    overwrite: bool | FileData | None
    hash: str
    algorithm: str
    content_type: str
    metadata: Mapping[str, str] | None
    headers: Mapping[str, str] | None
    progress: Progress | None
