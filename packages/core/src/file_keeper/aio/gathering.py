"""Asynchronous sources for the calls that take one piece: a part, what is appended."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from ..backend.contract import RESUMABLE_MULTIPLE
from .sources import Chunks, is_async
from .threads import Threads


@asynccontextmanager
async def gathered(threads: Threads, source: Any, memory: int) -> AsyncGenerator[Any]:
    """Provide what a synchronous call can read: the source itself, or what an asynchronous one gives.

    :param memory: bytes that are kept in memory; what is more lies in a temporary file meanwhile
    """
    if not is_async(source):
        yield source
        return
    import tempfile

    with tempfile.SpooledTemporaryFile(memory) as file:
        async with aclosing(pieces_of(source, 1 << 20)) as pieces:
            async for piece in pieces:
                await threads.run(file.write, piece)
        await threads.run(file.seek, 0)
        yield file


async def pieces_of(source: Any, size: int) -> AsyncGenerator[bytearray]:
    """Cut what a source gives into pieces of `size` (rounded to what sessions take); the last one may be smaller."""
    size = max(RESUMABLE_MULTIPLE, size // RESUMABLE_MULTIPLE * RESUMABLE_MULTIPLE)
    piece = bytearray()
    async with aclosing(Chunks(source)) as chunks:
        async for chunk in chunks:
            view = memoryview(chunk)
            while len(piece) + len(view) > size:  # the last piece is only known as such when nothing comes behind it
                count = size - len(piece)
                piece += view[:count]
                view = view[count:]
                full, piece = piece, bytearray()
                yield full
            piece += view
    yield piece
