"""Many files at once, asynchronously."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, Generic, Self, TypeVar

from ..bulk.batch import Batch, Item, Step
from ..calls import Call
from ..data import FileData
from ..outcomes import Outcome
from .contexts import Closing
from .feeders import Feeder
from .runtime import anyio
from .threads import Threads, settle, waker

T = TypeVar("T")

_TICK = 0.5
_END: Any = object()


class Fed(Item[FileData]):
    """An item whose bytes come from asynchronous code: they are read while an outcome is asked for."""

    def __init__(self, location: str, source: Any, begin: Callable[[], Feeder]):
        super().__init__(location, lambda progress: FileData(location), in_order=True, key=location)
        self.source = source
        self.begin = begin
        self.feeder: Feeder | None = None

    def cancel(self) -> None:
        super().cancel()
        if self.feeder is not None:
            self.feeder.cancel()

    def conclude(self, made: FileData | None, error: BaseException | None) -> None:
        """Record the outcome."""
        if self.cancelled:
            self.drop()
        else:
            self.end(Outcome(self.location, made, error))
        if self.future is not None:
            self.future.set_result(None)


class Draw(Generic[T]):
    """Draws the items of a batch: from an asynchronous iterable on the loop, from any other in a thread.

    :param make: makes items of what it is given
    """

    def __init__(self, threads: Threads, given: Any, make: Callable[[Iterable[Any]], Iterator[Item[T]]]):
        self._threads = threads
        self._given: AsyncIterator[Any] | None = given.__aiter__() if hasattr(given, "__aiter__") else None
        self._make = make
        self._one: list[Any] = []
        self._items = make(self._hand_over()) if self._given is not None else make(given)

    def _hand_over(self) -> Iterator[Any]:
        while True:
            yield self._one.pop()

    async def __call__(self) -> Item[T] | None:
        if self._given is not None:
            found: Any = await anext(self._given, _END)
            if found is _END:
                return None
            self._one.append(found)
        return await self._threads.ask(next, self._items, None)


class _Bell:
    """Wakes whoever waits for a batch, if anybody does."""

    rung: Callable[[], object] | None = None

    def ring(self) -> None:
        """Record, in any thread, that something has changed."""
        rung = self.rung
        if rung is not None:
            rung()


class AsyncBatch(Closing, Generic[T]):
    """The outcomes of a batch, an asynchronous iterator; see :meth:`file_keeper.Storage.upload_many`.

    Left early, or cancelled, it ends what is in flight; as an asynchronous context manager it waits for that.
    """

    def __init__(self, threads: Threads, draw: Draw[T], limit: int, options: dict[str, Any]):
        self._draw = draw
        self._over = False
        # What is in flight holds the batch. It must not hold this, which could never be left by being forgotten then.
        fed: list[Fed] = []
        self._fed = fed
        self._bell = bell = _Bell()

        def begin(item: Item[T]) -> Future[Any]:
            if not isinstance(item, Fed):
                return threads.submit(Call(), item)
            fed.append(item)
            future: Future[None] = Future()
            future.set_running_or_notify_cancel()
            return future

        self._batch: Batch[T] = Batch(begin, limit, wake=bell.ring, **options)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome[T]:
        if self._over:
            raise StopAsyncIteration
        batch = self._batch
        try:
            while (step := batch.step()) is not Step.END:
                if step is Step.GIVE:
                    return batch.take()
                if self._fed:
                    await self._feed(self._fed.pop(0))
                elif step is Step.DRAW:
                    await self._draw_one()
                else:
                    await self._wait()
                    batch.tell()
            await self._end()
        except BaseException:
            await self._end()
            raise
        if batch.failure is not None:
            raise batch.failure
        raise StopAsyncIteration

    async def _draw_one(self) -> None:
        started = time.monotonic()
        try:
            item = await self._draw()
        except Exception as error:
            self._batch.broke(error)
        else:
            self._batch.drawn(item, time.monotonic() - started)

    async def _wait(self) -> None:
        event, wake = anyio.Event(), waker()
        self._bell.rung = lambda: wake(event.set)
        try:
            if self._batch.step() is Step.WAIT and not self._fed:
                with anyio.move_on_after(_TICK):
                    await event.wait()
        finally:
            self._bell.rung = None

    async def _feed(self, item: Fed) -> None:
        """Read an item's source to its end; what is left of its sending goes on without this."""
        try:
            feeder = item.feeder = item.begin()
            await feeder.read(item.source)
            item.bytes = feeder.position
        except BaseException as error:
            if not isinstance(error, Exception):
                item.cancel()
            item.conclude(None, error)
            if not isinstance(error, Exception):
                raise
        else:
            item.source_ended()
            feeder.finish_later(item.conclude)

    async def _end(self) -> None:
        """End what is in flight, however often this task is cancelled meanwhile."""
        self._over = True
        flying = self._batch.cancel()
        for item in self._fed:
            item.conclude(None, None)
        cancelled = await settle(flying)
        self._batch.tell(now=True)
        if cancelled is not None:
            raise cancelled

    async def aclose(self) -> None:
        """End what is in flight, and wait for that."""
        if not self._over:
            await self._end()

    def __del__(self) -> None:
        if not getattr(self, "_over", True):
            self._batch.cancel()
