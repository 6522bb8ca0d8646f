"""Listing, asynchronously."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any, Generic, Self, TypeVar

from .. import exc
from .contexts import Closing
from .runtime import lowlevel
from .threads import Threads

T = TypeVar("T")

_TURN = 100


class AsyncListing(Closing, Generic[T]):
    """What a listing gives, an asynchronous iterator: each request is made when what came before is taken.

    It holds one page. Left early it makes no more requests.
    """

    _pieces: Iterator[list[T]] | None = None

    def __init__(self, threads: Threads, begin: Callable[[], Iterator[list[T]]]):
        self._threads = threads
        self._begin: Callable[[], Iterator[list[T]]] | None = begin
        self._ready: deque[T] = deque()
        self._given = 0
        self._left = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if not self._ready:
            await self._fill()
        elif self._given % _TURN == 0:
            await lowlevel.checkpoint()
        if not self._ready:
            raise StopAsyncIteration
        self._given += 1
        return self._ready.popleft()

    async def _fill(self) -> None:
        if self._left:
            raise exc.StorageError("the listing was cancelled: begin it again")
        begin, self._begin = self._begin, None
        if begin is not None:
            self._pieces = begin()
        pieces = self._pieces
        if pieces is None:
            return

        def next_piece() -> list[T] | None:
            for piece in pieces:
                if piece:
                    return piece
            return None

        self._left = True
        piece = await self._threads.ask(next_piece, left=lambda: _close(pieces))
        self._left = False
        if piece is None:
            self._pieces = None
        else:
            self._ready.extend(piece)

    async def aclose(self) -> None:
        """Make no more requests."""
        pieces, self._pieces, self._begin = self._pieces, None, None
        self._ready.clear()
        if pieces is not None and not self._left:
            await self._threads.close(_close, pieces)

    def __del__(self) -> None:
        if self._pieces is not None and not self._left:
            self._threads.clean(_close, self._pieces)


def _close(pieces: Iterator[Any]) -> None:
    if isinstance(pieces, Generator):
        pieces.close()
