"""Bodies of answers that are not read as they come."""

from __future__ import annotations

from typing import Any


class Bounded:
    """A body that promises fewer bytes than its answer has.

    :param body: with ``read``, ``readinto`` and ``close``
    :param length: bytes that are read of it; ``None`` for all
    """

    __slots__ = ("_body", "_left")

    def __init__(self, body: Any, length: int | None):
        self._body = body
        self._left = _UNKNOWN if length is None else length

    def readinto(self, buffer: memoryview, /) -> int:
        count: int = self._body.readinto(buffer[: self._left]) if self._left else 0
        self._left -= count
        return count

    def read(self, size: int = -1, /) -> bytes:
        chunk: bytes = self._body.read(self._left if size < 0 else min(size, self._left)) if self._left else b""
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        self._body.close()


class Nothing:
    """A body without bytes."""

    def read(self, size: int = -1, /) -> bytes:
        return b""

    def readinto(self, buffer: memoryview, /) -> int:
        return 0

    def close(self) -> None:
        pass


_UNKNOWN = 1 << 62
