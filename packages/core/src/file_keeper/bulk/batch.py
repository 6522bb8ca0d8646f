"""Many files at once: a bounded number of items in flight, an outcome for each, in the order of the items.

:class:`Batch` knows what may begin and what is to be given next; it neither waits nor draws, so that one serves the
synchronous batches here and the asynchronous ones of :mod:`file_keeper.aio`.
"""

from __future__ import annotations

import enum
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from .. import ending, exc
from ..calls import Call, CallCancelled
from ..outcomes import BatchProgress, Outcome
from ..types import OnBatchProgress
from ..workers import Workers
from .in_flight import InFlight, OnInFlight

T = TypeVar("T")

CONCURRENCY = 16
"""Items in flight where nobody says otherwise and each waits for a service; it shrinks while that throttles."""

_HELD = 4096
"""Outcomes that wait for an earlier one, where they hold no content: a large file does not block the small ones."""

_TICK = 0.5
"""Seconds between two reports of the progress."""

_QUICK = 0.005
"""Seconds that drawing an item may take for the next one to be drawn before an outcome that is there is given."""


class Item(Call, Generic[T]):
    """One item of a batch: what it is about, and the work to be done.

    :param location: of the file it is about
    :param work: does it; called with a function to be told the bytes done
    :param size: bytes, when they are known
    :param in_order: whether its source must be read before the next item is drawn
    :param undo: takes a result back that came although the item was cancelled
    :param key: items of one key are not in flight together
    :param large: whether it is sent in many pieces, whose buffers count
    """

    def __init__(
        self,
        location: str,
        work: Callable[[Callable[[int, int | None], None]], T],
        *,
        size: int = 0,
        in_order: bool = False,
        undo: Callable[[T], object] | None = None,
        key: object = None,
        large: bool = False,
    ):
        super().__init__()
        self.location = location
        self.size = size
        self.in_order = in_order
        self.key = key
        self.large = large
        self.bytes = 0
        self.outcome: Outcome[T] | None = None
        self.read = self.dropped = False
        self.batch: Batch[T] | None = None
        self.future: Future[Any] | None = None
        self._work: Callable[[Callable[[int, int | None], None]], T] | None = work
        self._undo = undo

    def __call__(self) -> None:
        """Do the work and keep the outcome."""
        work, self._work = self._work, None
        assert work is not None
        try:
            value = self.run(work, self._moved)
            if self.cancelled and self._undo is not None:
                self._undo(value)
                raise CallCancelled
            self.end(Outcome(self.location, value))
        except CallCancelled:
            self.drop()
        except BaseException as error:
            self.end(Outcome(self.location, None, error))

    def within(self, progress: Callable[[int, int | None], None]) -> Outcome[T]:
        """Do the work as a part of another item; return the outcome."""
        work, self._work = self._work, None
        assert work is not None
        try:
            return Outcome(self.location, work(progress))
        except CallCancelled:
            raise
        except BaseException as error:
            return Outcome(self.location, None, error)

    def drop(self) -> None:
        """Cancel: nobody gets this outcome."""
        self.dropped = True
        self.end(Outcome(self.location, None, exc.StorageError("the batch ended before this item did")))

    def end(self, outcome: Outcome[T]) -> None:
        """Keep the outcome; the work and its source are let go."""
        self._work = self._undo = None
        self.outcome = outcome
        if self.batch is not None:
            self.batch.ended(self)

    def _moved(self, done: int, total: int | None) -> None:
        self.bytes = done

    def source_ended(self) -> None:
        self.read = True
        if self.batch is not None:
            self.batch.wake()

    def throttled(self, error: BaseException) -> None:
        if self.batch is not None:
            self.batch.slow_down(error)


class Step(enum.Enum):
    """What a batch wants next of whoever runs it."""

    DRAW = "draw an item"
    GIVE = "give an outcome"
    WAIT = "wait until something has changed"
    END = "end"


class Batch(Generic[T]):
    """The items of a batch that were begun and not given yet.

    :param begin: has an item done in a thread
    :param limit: items in flight at most
    :param adapts: halve that when the service throttles, and recover
    :param told: told of each such change, see :class:`.in_flight.InFlight`
    :param large: large items in flight at most
    :param content: whether the outcomes hold contents: then those that wait count as in flight
    :param stop: end with the first failure
    :param total: number of items, when it is known
    :param wake: called in any thread when something has changed
    """

    def __init__(
        self,
        begin: Callable[[Item[T]], Future[Any]],
        limit: int,
        *,
        large: int = 4,
        adapts: bool = False,
        told: OnInFlight | None = None,
        content: bool = False,
        stop: bool = False,
        total: int | None = None,
        progress: OnBatchProgress | None = None,
        wake: Callable[[], object] | None = None,
    ):
        self.changed = threading.Condition()
        self.failure: BaseException | None = None
        """What the iterable of the items raised."""
        self._begin = begin
        self._items: deque[Item[T]] = deque()
        self._dropped: list[Item[T]] = []
        self._pending: Item[T] | None = None
        self._exhausted = self._stopped = False
        self._quick = True
        self._keys: set[object] = set()
        self._running = 0
        self._large = large
        self._in_flight = InFlight(limit, adapts=adapts, told=told)
        self._content = content
        self._stop = stop
        self._account = _Account(total, progress)
        self._wake = wake
        ending.remember(self)

    # -- told by the threads ----------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Have whoever waits look again."""
        with self.changed:
            self.changed.notify_all()
        if self._wake is not None:
            self._wake()

    def ended(self, item: Item[T]) -> None:
        """Record that an item has its outcome."""
        with self.changed:
            self._running -= 1
            self._large += item.large
            self._keys.discard(item.key)
        self._in_flight.item_ended()
        self.wake()

    def slow_down(self, error: BaseException) -> None:
        """React to throttling by the service: half as many items may be in flight, once for those that are."""
        self._in_flight.slow_down(self._running, error)

    # -- what is next -----------------------------------------------------------------------------------------------

    def step(self) -> Step:
        """Return what is to be done now."""
        self._look()
        pending = self._pending
        if pending is not None and self._is_free(pending):
            self._pending = None
            self._start(pending)
        ready = bool(self._items) and self._items[0].outcome is not None
        # An outcome that is there does not wait for an item that is long in coming.
        if self._pending is None and self._has_room() and (self._quick or not ready):
            return Step.DRAW
        if ready:
            return Step.GIVE
        # The last outcome may have been given before the thread has told that its place is free: that is no end.
        is_over = (self._exhausted or self._stopped) and not self._items and self._pending is None
        return Step.END if is_over else Step.WAIT

    def _look(self) -> None:
        """With `stop`: once an item has failed, begin nothing more and cancel those behind it."""
        if not self._stop or self._stopped:
            return
        items = list(self._items)
        for place, item in enumerate(items):
            if item.outcome is not None and item.outcome.error is not None:
                self._stopped = True
                self._pending = self.failure = None
                for later in items[place + 1 :]:
                    self._cancel(later)
                return

    def _has_room(self) -> bool:
        if self._exhausted or self._stopped or self._running >= self._in_flight.limit:
            return False
        if not self._items:
            return True
        last = self._items[-1]
        if last.in_order and not (last.read or last.outcome):
            return False
        return len(self._items) < self._in_flight.limit + (0 if self._content else _HELD)

    def _is_free(self, item: Item[T]) -> bool:
        return (self._large > 0 or not item.large) and item.key not in self._keys

    def _start(self, item: Item[T]) -> None:
        item.batch = self
        with self.changed:
            self._items.append(item)
            if item.outcome is not None:
                return
            self._running += 1
            self._large -= item.large
            if item.key is not None:
                self._keys.add(item.key)
        item.future = self._begin(item)

    def drawn(self, item: Item[T] | None, seconds: float = 0.0) -> None:
        """Take an item that was drawn, ``None`` at the end of them.

        It begins when nothing in flight is about the same, and too much of it is not large.

        :param seconds: how long that took
        """
        self._quick = seconds < _QUICK
        if item is None:
            self._exhausted = True
        elif self._is_free(item):
            self._start(item)
        else:
            self._pending = item

    def broke(self, error: BaseException) -> None:
        """Record that the iterable of the items has raised."""
        self.failure = error
        self._exhausted = True

    def take(self) -> Outcome[T]:
        """Return the outcome that is to be given, see :meth:`step`."""
        item = self._items.popleft()
        assert item.outcome is not None
        self._account.close(item)
        if item.outcome.error is not None and self._stop:
            self._dropped = list(self._items)
            self._items.clear()
        self.tell()
        return item.outcome

    def tell(self, *, now: bool = False) -> None:
        """Report the progress, if it is time or `now`."""
        self._account.tell(self._items, now=now)

    def wait(self, seconds: float) -> None:
        """Return when something has changed, after `seconds` at the latest."""
        with self.changed:
            if self.step() is Step.WAIT:
                self.changed.wait(seconds)

    # -- the end ----------------------------------------------------------------------------------------------------

    def cancel(self) -> list[Future[Any]]:
        """Cancel everything in flight; return what is not over yet."""
        if sys.is_finalizing():  # threads stand still for ever, perhaps with a lock; it was abandoned before
            return []
        items = [*self._items, *self._dropped]
        for item in items:
            self._cancel(item)
        return [item.future for item in items if item.future is not None and not item.future.done()]

    def abandon(self) -> Future[Any] | None:
        """Cancel, at the end of the interpreter; return what is done when nothing is in flight any more."""
        self._stopped = True
        left = self.cancel()
        over: Future[Any] = Future()
        waited = set(left)

        def one(future: Future[Any]) -> None:
            waited.discard(future)
            if not waited and not over.done():
                over.set_result(None)

        for future in left:
            future.add_done_callback(one)
        return over if left else None

    def _cancel(self, item: Item[T]) -> None:
        item.cancel()
        if item.outcome is None and item.future is not None and item.future.cancel():
            item.drop()


class _Account:
    """Adds up what a batch has done, and reports it."""

    def __init__(self, total: int | None, progress: OnBatchProgress | None):
        self._total = total
        self._progress = progress
        self._told = 0.0
        self._closed = (0, 0, 0, 0)
        self._last = (0, 0, 0, 0)

    def close(self, item: Item[Any]) -> None:
        """Account for an item that was given."""
        self._closed = _sum(self._closed, _of(item))

    def tell(self, items: Iterable[Item[Any]], *, now: bool) -> None:
        clock = time.monotonic()
        if self._progress is None or (not now and clock - self._told < _TICK):
            return
        self._told = clock
        found = self._closed
        for item in list(items):
            found = _sum(found, _of(item))
        done, size, failed, skipped = self._last = (
            max(found[0], self._last[0]),
            max(found[1], self._last[1]),
            max(found[2], self._last[2]),
            max(found[3], self._last[3]),
        )
        self._progress(BatchProgress(done, size, failed, skipped, self._total))


_Numbers = tuple[int, int, int, int]


def _of(item: Item[Any]) -> _Numbers:
    """Return items, bytes, failed, skipped."""
    if item.outcome is None or item.dropped:
        return 0, item.bytes, 0, 0
    if item.outcome.error is None:
        return 1, item.bytes, 0, 0
    if isinstance(item.outcome.error, exc.ExistingFileError):
        return 1, max(item.size, item.bytes), 0, 1
    return 1, item.bytes, 1, 0


def _sum(a: _Numbers, b: _Numbers) -> _Numbers:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


def count(items: object) -> int | None:
    """Return the number of items, when their iterable tells it."""
    return len(items) if isinstance(items, Sized) else None


def run(items: Iterator[Item[T]], limit: int, **options: Any) -> Iterator[Outcome[T]]:
    """Run a batch in threads; return the outcomes as they are asked for.

    :param items: drawn in the caller's thread, while it asks for an outcome
    :param options: those of :class:`Batch`
    """
    pool = Workers(limit, "file-keeper-batch")
    batch: Batch[T] = Batch(pool.submit, limit, **options)
    try:
        while (step := batch.step()) is not Step.END:
            if step is Step.DRAW:
                started = time.monotonic()
                try:
                    item = next(items, None)
                except Exception as error:
                    batch.broke(error)
                else:
                    batch.drawn(item, time.monotonic() - started)
            elif step is Step.GIVE:
                yield batch.take()
            else:
                batch.wait(_TICK)
                batch.tell()
        if batch.failure is not None:
            raise batch.failure
    finally:
        batch.cancel()
        pool.shutdown(wait=True, cancel_futures=True)
        batch.tell(now=True)
