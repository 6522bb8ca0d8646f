"""Threads that never hold the interpreter back.

The executors of :mod:`concurrent.futures` join their threads when the main thread ends, and refuse work from then on:
a transfer that is left open makes the process hang for ever, and one that runs in another thread, or in an exit
handler, fails. The threads here are daemons; where none can be started any more the calling thread does the work.
"""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent import futures
from concurrent.futures import Future
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

__all__ = ["Workers", "hosted", "start"]

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")


_host: contextvars.ContextVar[Workers | None] = contextvars.ContextVar("file-keeper-host", default=None)


class _Task:
    __slots__ = ("call", "context", "future")

    def __init__(self, call: Callable[[], Any], future: Future[Any]):
        self.call = call
        self.future = future
        self.context = contextvars.copy_context()
        if _host.get() is not None:
            # What a task of the host hands on would wait for a thread of the host, perhaps for its own.
            self.context.run(_host.set, None)

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.context.run(self.call)
        except BaseException as error:
            self.future.set_exception(error)
            self = None
        else:
            self.future.set_result(result)


class _State:
    """What the threads share. They do not hold the pool itself, which could never be collected then."""

    def __init__(self, linger: float | None) -> None:
        self.changed = threading.Condition()
        self.tasks: deque[_Task] = deque()
        self.threads: list[threading.Thread] = []
        self.idle = 0
        self.ended = False
        self.linger = linger

    def work(self) -> None:
        while True:
            with self.changed:
                self.idle += 1
                waited = True
                while not (self.tasks or self.ended) and waited:
                    waited = self.changed.wait(self.linger)
                self.idle -= 1
                if not self.tasks:
                    if not self.ended:
                        self.threads.remove(threading.current_thread())
                    return
                task = self.tasks.popleft()
            task.run()
            del task  # nothing is kept of it while waiting for the next


class Workers:
    """A bounded number of daemon threads; used as a context manager it waits for them at its end.

    Calls run in the context variables of their ``submit``. Left by an exception, what has not begun is cancelled and
    what is under way is waited for.

    Made within :meth:`hosting` of others they have no threads of their own: their calls are made by the hosts.

    :param size: the most threads; they are started as they are needed
    :param name: what the threads are called
    :param linger: seconds after which a thread that has nothing to do ends; ``None``: it stays
    :param own: has threads of its own, also within others' :meth:`hosting`
    :param on: makes its calls by the threads of these, unless others are hosting
    """

    def __init__(
        self,
        size: int,
        name: str = "file-keeper",
        *,
        linger: float | None = None,
        own: bool = False,
        on: Workers | None = None,
    ):
        self._size = size
        self._name = name
        self._host = None if own else _host.get() or on
        self._lent: set[Future[Any]] = set()
        self._state = _State(linger)

    @contextlib.contextmanager
    def hosting(self) -> Generator[None]:
        """Have the calls of all workers that are made in this context made by these threads."""
        before = _host.set(self)
        try:
            yield
        finally:
            _host.reset(before)

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a call made by one of the threads; by this one, before returning, where none can be started."""
        state = self._state
        future: Future[T] = Future()
        task = _Task(lambda: call(*args, **kwargs), future)
        if state.ended:
            raise RuntimeError("these workers are let go of already")
        if self._host is None:
            self._put(task)
        else:
            self._lent.add(future)
            future.add_done_callback(self._lent.discard)
            self._host._put(task)
        return future

    def _put(self, task: _Task) -> None:
        if sys.is_finalizing():  # threads stand still for ever, perhaps with the lock
            task.run()
            return
        state = self._state
        with state.changed:
            if state.ended:
                raise RuntimeError("these workers are let go of already")
            state.tasks.append(task)
            if len(state.tasks) <= state.idle:
                state.changed.notify()
                return
        if not self._grow() and not state.threads:
            with state.changed:
                if task not in state.tasks:
                    return
                state.tasks.remove(task)
            task.run()

    def start(self) -> bool:
        """Start a thread if there is none; return whether there is one, so that a call may wait for its caller."""
        if sys.is_finalizing():
            return False
        if self._host is not None:
            return self._host.start()
        return bool(self._state.threads) or self._grow()

    def _grow(self) -> bool:
        state = self._state
        with state.changed:
            if len(state.threads) >= self._size:
                return False
            thread = threading.Thread(target=state.work, name=f"{self._name}-{len(state.threads)}", daemon=True)
            state.threads.append(thread)
        if not _started(thread):
            with state.changed:
                state.threads.remove(thread)
            return False
        return True

    def map(self, call: Callable[[U], T], items: Iterable[U]) -> list[T]:
        """Return the results in the order of the items; after a failure nothing more is begun, and it is raised."""
        submitted = [self.submit(call, item) for item in items]
        try:
            return [future.result() for future in submitted]
        finally:
            for future in submitted:
                future.cancel()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads go when all is done.

        :param wait: return when they are gone
        :param cancel_futures: drop what has not begun
        """
        state = self._state
        if sys.is_finalizing():  # nobody is left who could go
            state.ended = True
            return
        with state.changed:
            state.ended = True
            dropped = list(state.tasks) if cancel_futures else []
            if cancel_futures:
                state.tasks.clear()
            state.changed.notify_all()
        for task in dropped:
            task.future.cancel()
        lent = list(self._lent)
        if cancel_futures:
            for future in lent:
                future.cancel()
        if wait:
            futures.wait(lent)
            for thread in list(state.threads):
                thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown(cancel_futures=error is not None)

    def __del__(self) -> None:
        # When the interpreter ends its daemons stand still where they are, perhaps with the lock.
        if hasattr(self, "_state") and not sys.is_finalizing():
            self.shutdown(wait=False)


def hosted() -> bool:
    """Return whether this call is made by a thread of others' :meth:`Workers.hosting`, which none may hold up."""
    return _host.get() is not None


def start(call: Callable[[], object], name: str) -> threading.Thread | None:
    """Start a daemon thread; return ``None`` where none can be started: the interpreter ends, or there is no room."""
    thread = threading.Thread(target=call, name=name, daemon=True)
    return thread if _started(thread) else None


def _started(thread: threading.Thread) -> bool:
    if sys.is_finalizing():  # before 3.12 the start of a thread waits then for one that never runs
        return False
    try:
        thread.start()
    except (RuntimeError, MemoryError):
        return False
    return True
