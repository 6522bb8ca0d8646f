"""The types that signatures speak of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from .data import FileData
    from .upload import Upload

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Contiguous bytes in memory."""


class Readable(Protocol):
    """The least that a source of bytes has."""

    def read(self, size: int = -1, /) -> bytes: ...


Uploadable: TypeAlias = "Upload | Buffer | Readable | Iterable[Buffer] | os.PathLike[str] | Any"
"""What :func:`file_keeper.make_upload` takes; ``Any``: uploads of web frameworks, known without importing them."""

FileOrLocation: TypeAlias = "FileData | str"
"""A file is named by its data or by its location."""

Progress: TypeAlias = Callable[[int, "int | None"], Any]
"""Called with the bytes done and the total (``None`` while it is not known)."""
