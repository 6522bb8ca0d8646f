"""What asynchronous context managers of this package have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from types import TracebackType
from typing import Any, Self


class Closing:
    """Closed when the ``async with`` is left, whatever the reason."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close it. Again is fine."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Opening(Closing):
    """Opened by awaiting it, or by ``async with``."""

    @abstractmethod
    async def _self(self) -> Self:
        """Open it, unless it is open."""

    def __await__(self) -> Generator[Any, Any, Self]:
        """Open the file and return this. :raises MissingFileError: when there is none to be read"""
        return self._self().__await__()

    async def __aenter__(self) -> Self:
        return await self._self()
