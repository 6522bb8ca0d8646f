"""Reading, asynchronously: a stream of chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from ..reading import CHUNK, ObjectStream
from .contexts import Opening
from .threads import Threads


class AsyncStream(Opening):
    """The content of a file: an asynchronous iterator of chunks, readable, an asynchronous context manager.

    It is opened by the first use, or by awaiting it. Between two reads it holds a connection and no thread. Left early
    it closes its connection at once. One task reads it at a time.
    """

    _reader: ObjectStream | None = None

    def __init__(self, threads: Threads, open: Callable[[], ObjectStream]):
        self._threads = threads
        self._open: Callable[[], ObjectStream] | None = open
        self._busy = False

    async def _opened(self) -> ObjectStream:
        opening, self._open = self._open, None
        if opening is not None:
            self._reader = await self._threads.ask(opening, drop=ObjectStream.close)
        if self._reader is None:
            raise ValueError("the stream is closed")
        return self._reader

    async def _self(self) -> Self:
        await self._opened()
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._open is None and self._reader is None:
            raise StopAsyncIteration
        if chunk := await self.read(CHUNK):
            return chunk
        await self.aclose()
        raise StopAsyncIteration

    async def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, ``b""`` only at the end; all that is left for -1.

        A read that is cancelled closes the stream: nobody knows how much of it was taken.
        """
        if self._busy:
            raise RuntimeError("the stream is being read by another task")
        self._busy = True
        try:
            reader = await self._opened()
            try:
                return await self._threads.ask(reader.read, size, left=reader.close)
            except BaseException:
                self._reader = None
                raise
        finally:
            self._busy = False

    async def aclose(self) -> None:
        """Close the connection."""
        reader, self._reader, self._open = self._reader, None, None
        if reader is not None:
            await self._threads.close(reader.close)

    def __del__(self) -> None:
        if self._reader is not None:
            self._threads.clean(self._reader.close)
