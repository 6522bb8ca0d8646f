"""The part buffers of all uploads of a storage, held to one bound, and the threads that send them.

Only an upload that holds nothing waits, in the order of coming; one that holds something goes on with that, and gets
more only if it is there and nobody waits. So no two wait for each other. Two kinds never wait, and may overdraw:
writers that the caller feeds (one thread may fill many), and an upload from within the source of another.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet

from .. import calls
from ..workers import Workers

FREE = 256 << 10
"""Bytes of an upload that are not counted: small files do not wait behind large ones."""

_TICK = 0.1
"""Seconds after which somebody who waits asks whether the call is still wanted."""


class Share:
    """What one upload holds of the bound."""

    def __init__(self, budget: Budget, held: int = 0):
        self._budget = budget
        self.held = held

    def extend(self, total: int) -> bool:
        """Hold `total` bytes, if that is possible without waiting."""
        return self._budget._extend(self, total)  # pyright: ignore[reportPrivateUsage]

    def exchange(self, total: int, check: Callable[[], object] = calls.check) -> None:
        """Hold `total` bytes; what was held before is given back first, so nothing of it may be in use."""
        if not self.extend(total):
            self.close()
            self.held = self._budget.wait(total, check).held

    def close(self) -> None:
        """Give all back."""
        held, self.held = self.held, 0
        self._budget._give_back(held)  # pyright: ignore[reportPrivateUsage]


class Budget:
    """A bound of bytes that uploads share.

    :param size: bytes; one upload that needs more gets it when nobody else holds any
    """

    def __init__(self, size: int):
        self.size = size
        self._lock = threading.Lock()
        self._held = 0
        self._queue: deque[tuple[int, Future[Share]]] = deque()
        self._within = threading.local()

    def after_fork(self) -> None:
        """Start anew in a child of the process: what the threads of the parent hold is not here."""
        self.__init__(self.size)

    def ask(self, total: int, *, wait: bool = True) -> Future[Share]:
        """Get in line; the future is done when it is one's turn.

        :param wait: false: take it at once, even if the bound is overdrawn
        """
        future: Future[Share] = Future()
        with self._lock:
            if wait:
                self._queue.append((total, future))
            else:
                self._held += total
        if wait:
            self._serve()
        else:
            future.set_result(Share(self, total))
        return future

    def withdraw(self, future: Future[Share]) -> None:
        """Leave the line, or give back what was got."""
        with self._lock:
            self._queue = deque(entry for entry in self._queue if entry[1] is not future)
        if future.done():
            future.result().close()
        self._serve()

    def wait(self, total: int, check: Callable[[], object] = calls.check) -> Share:
        """Return when it is one's turn.

        :param check: asked now and then; may raise
        """
        future = self.ask(total)
        try:
            while True:
                with contextlib.suppress(NotYet):
                    return future.result(_TICK)
                check()
        except BaseException:
            self.withdraw(future)
            raise

    @contextlib.contextmanager
    def share(self, total: int, check: Callable[[], object], *, wait: bool = True) -> Generator[Share]:
        """Hold so many bytes within."""
        before: bool = getattr(self._within, "holds", False)
        made = self.wait(total, check) if wait and not before else self.ask(total, wait=False).result()
        self._within.holds = True
        try:
            yield made
        finally:
            self._within.holds = before
            made.close()

    def _serve(self) -> None:
        served: list[tuple[int, Future[Share]]] = []
        with self._lock:
            while self._queue and (not self._held or self._held + self._queue[0][0] <= self.size):
                served.append(self._queue.popleft())
                self._held += served[-1][0]
        for total, future in served:
            future.set_result(Share(self, total))

    def _extend(self, share: Share, total: int) -> bool:
        more = total - share.held
        if more <= 0:
            return True
        with self._lock:
            if self._queue or self._held + more > self.size:
                return False
            self._held += more
        share.held = total
        return True

    def _give_back(self, count: int) -> None:
        if count:
            with self._lock:
                self._held -= count
            self._serve()


class Shared:
    """What the uploads of a storage, and of those that were made of it, have in common.

    :param size: bytes of all their part buffers
    """

    def __init__(self, size: int):
        self.budget = Budget(size)
        self._lock = threading.Lock()
        self._pool: Workers | None = None
        self._users = 0

    def after_fork(self) -> None:
        """Start anew in a child of the process."""
        self.__init__(self.budget.size)

    @contextlib.contextmanager
    def workers(self, size: int, most: int) -> Generator[Workers]:
        """Give the threads of one upload: those of all. They end with the last upload that uses them.

        :param size: how many it uses at one time
        :param most: how many there are for all
        """
        with self._lock:
            if self._pool is None:
                self._pool = Workers(most, "file-keeper-part", own=True)
            pool = self._pool
            self._users += 1
        mine = Workers(size, on=pool)
        try:
            yield mine
        finally:
            try:
                mine.shutdown(cancel_futures=True)
            finally:
                with self._lock:
                    self._users -= 1
                    last = not self._users
                    if last:
                        self._pool = None
                if last:
                    pool.shutdown()
