"""An upload whose bytes come from asynchronous code: no thread is held while it waits for them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from .. import exc
from ..calls import Call
from ..data import FileData
from ..feeding import Piece
from ..resilience.budget import FREE
from ..storage import Storage
from ..types import Buffer
from .runtime import lowlevel
from .sources import Chunks
from .threads import Threads, settle, wait

_TURN = 128 << 10
"""Bytes (a chunk counts as a thousand more) after which the loop gets its turn, however quick the source is."""

_SMALL = 8 << 10
"""Bytes below which chunks are kept together rather than one by one."""


def _is_constant(view: memoryview) -> bool:
    return isinstance(view.obj, bytes)


class Feeder:
    """Gathers bytes and has them sent in threads, as they come.

    :param undo: takes the file back where it was published although the upload was cancelled
    """

    def __init__(
        self,
        storage: Storage,
        threads: Threads,
        location: str,
        filename: str,
        undo: Callable[[FileData], object] | None,
        options: Any,
        operation: str = "upload",
    ):
        self._threads = threads
        self._where = storage.name, operation, location
        self._call = Call()
        self._undo = undo
        self._feed, self._publish = storage._feed(location, filename, **options)  # pyright: ignore[reportPrivateUsage]
        self._gathered: list[Buffer] = []
        self._small = bytearray()
        self._missing = self._feed.wants
        self._flying: set[Future[None]] = set()
        self._turn = 0
        self._entered = False
        # A task may fill several writers: one that waited for another would wait for ever.
        self._waits = operation == "upload"
        self.position = 0

    def _about(self, error: BaseException) -> None:
        if isinstance(error, exc.FilesError):
            error.within(*self._where)

    async def write(self, chunk: Buffer) -> None:
        """Take bytes; return when there is room for more."""
        size = len(chunk)
        self._turn += size + 1000
        if self._turn > _TURN:
            self._turn = 0
            await lowlevel.checkpoint()
        self.position += size
        if self.position > FREE and not self._entered:
            await self._enter()
        if size < self._missing:
            self._gather(chunk)
            return
        view = memoryview(chunk)
        while len(view) >= self._missing:
            count = self._missing
            self._gather(view[:count])
            view = view[count:]
            await self._take()
        if len(view):
            self._gather(view)

    async def _enter(self) -> None:
        """Wait for the memory that it takes."""
        self._entered = True
        asked = self._feed.ask(wait=self._waits)
        try:
            await wait((asked,))
        except BaseException:
            self._feed.withdraw(asked)
            raise
        self._feed.enter(asked)

    def _gather(self, chunk: Buffer) -> None:
        """Keep a chunk until there are enough; a thread puts them together."""
        self._missing -= len(chunk)
        if len(chunk) < _SMALL:
            self._small += chunk
            if len(self._small) >= _TURN:
                self._settle()
            return
        self._settle()
        # What the source may change is copied at once. So is what makes joining hold the interpreter, unless it is all.
        whole = isinstance(chunk, memoryview) and not self._missing and not self._gathered and _is_constant(chunk)
        self._gathered.append(chunk if whole or isinstance(chunk, bytes) else bytes(chunk))

    def _settle(self) -> None:
        if self._small:
            self._gathered.append(bytes(self._small))
            self._small.clear()

    async def _take(self) -> None:
        self._settle()
        gathered, self._gathered = self._gathered, []
        pieces = await self._threads.run(self._feed.take, gathered, call=self._call)
        self._missing = self._feed.wants
        for piece in pieces:
            await self._room(self._feed.most)
            self._flying.add(self._send(piece))
        del pieces
        self._reap()

    def _send(self, piece: Piece) -> Future[None]:
        return self._threads.submit(self._call, self._feed.send, piece)

    def _reap(self) -> None:
        for future in [future for future in self._flying if future.done()]:
            self._flying.discard(future)
            future.result()

    async def _room(self, most: int) -> None:
        """Return when fewer than `most` pieces are under way. :raises FilesError: when one has failed"""
        self._reap()
        while len(self._flying) >= most:
            await wait(self._flying)
            self._reap()

    async def read(self, source: Any) -> None:
        """Take all that an asynchronous source gives; clean up if anything goes wrong."""
        chunks: Chunks | None = None
        try:
            chunks = Chunks(source)
            async for chunk in chunks:
                await self.write(chunk)
            await self.drain()
        except BaseException as error:
            try:
                await self.abort(error)
            finally:
                if chunks is not None:
                    await chunks.aclose()
            raise

    async def feed(self, source: Any) -> FileData:
        """Publish what an asynchronous source gives."""
        await self.read(source)
        try:
            return await self.finish()
        except BaseException as error:
            await self.abort(error)
            raise

    async def drain(self) -> None:
        """Hand over what is left: the content has ended."""
        await self._take()

    async def finish(self) -> FileData:
        """Publish the file, after :meth:`drain`."""
        await self._room(1)
        return await self._threads.run(self._publish, self._feed, call=self._call, undo=self._undo)

    def finish_later(self, done: Callable[[FileData | None, BaseException | None], object]) -> None:
        """Publish the file without being awaited, after :meth:`drain`; `done` is told what came of it, in a thread."""
        lock = threading.Lock()
        waiting = len(self._flying) + 1
        failures: list[BaseException] = []
        flying = list(self._flying)

        def end(future: Future[Any]) -> None:
            nonlocal waiting
            error = None if future.cancelled() else future.exception()
            with lock:
                if error is not None:
                    failures.append(error)
                waiting -= 1
                last = not waiting
            if last:
                self._threads.submit(Call(), conclude)

        def conclude() -> None:
            try:
                if failures:
                    raise failures[0]
                made = self._call.run(self._publish, self._feed)
                if self._call.cancelled and self._undo is not None:
                    self._undo(made)
            except BaseException as error:
                self._about(error)
                self._feed.abort(error)
                done(None, error)
            else:
                done(made, None)

        for future in flying:
            future.add_done_callback(end)
        begun: Future[None] = Future()
        begun.set_result(None)
        end(begun)

    def cancel(self) -> None:
        """Have what is under way end before its next request."""
        self._call.cancel()
        for future in self._flying:
            future.cancel()

    async def abort(self, error: BaseException) -> None:
        """Clean up, however often this task is cancelled meanwhile; a cancellation that came goes on then."""
        self._about(error)
        self.cancel()
        cancelled = await settle(self._flying)
        if self._feed.begun:
            cancelled = await settle((self._threads.clean(self._feed.abort, error),)) or cancelled
        self._feed.leave()
        if cancelled is not None:
            raise cancelled from error

    def abandon(self) -> Future[Any]:
        """Clean up without being awaited; return what ends with it."""
        self.cancel()
        flying = list(self._flying)

        def clean() -> None:
            for future in flying:
                # What a thread had begun when the interpreter ended never comes back.
                if not future.cancelled() and (future.done() or not sys.is_finalizing()):
                    future.exception()
            self._feed.abort(exc.ContentError("the upload was left"))

        return self._threads.clean(clean)
