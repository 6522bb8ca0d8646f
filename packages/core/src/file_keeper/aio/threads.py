"""Calls in threads, awaited: bounded, fair, cancellable, on any number of loops at once.

The threads are a storage's own, never those of the loop. Nothing here belongs to a loop: a call remembers the one that
awaits it, and only for as long as it does.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar, cast

from ..calls import Call
from ..workers import Workers
from .runtime import anyio, lowlevel

P = ParamSpec("P")
T = TypeVar("T")

LINGER = 1.0
"""Seconds after which a thread without work ends."""


class Threads:
    """The threads of one storage's asynchronous calls, and as many for the parts that those send side by side.

    :param size: calls that may be in threads at one time
    """

    def __init__(self, size: int):
        self._size = size
        self._lock = threading.Lock()
        self._made: tuple[int, Workers, Workers] | None = None

    def _workers(self) -> tuple[Workers, Workers]:
        made = self._made
        if made is None or made[0] != os.getpid():  # the threads of a parent are not here
            with self._lock:
                made = self._made
                if made is None or made[0] != os.getpid():
                    made = self._made = (
                        os.getpid(),
                        Workers(self._size, "file-keeper-aio", linger=LINGER),
                        Workers(self._size, "file-keeper-aio-part", linger=LINGER),
                    )
        return made[1], made[2]

    def after_fork(self) -> None:
        """Start anew in a child of the process: what a thread of the parent holds is held for ever."""
        self._lock = threading.Lock()

    def submit(self, call: Call, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have work done by a thread, for `call`, in the context variables of this moment."""
        callers, parts = self._workers()

        def run() -> T:
            with parts.hosting():
                return call.run(work, *args, **kwargs)

        return callers.submit(run)

    def clean(self, work: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> Future[Any]:
        """Have something cleaned up. That does not wait behind calls that wait for a thread."""
        return self._workers()[1].submit(work, *args, **kwargs)

    async def run(
        self,
        work: Callable[..., T],
        /,
        *args: Any,
        call: Call | None = None,
        undo: Callable[[T], object] | None = None,
        **kwargs: Any,
    ) -> T:
        """Do something that writes, and await it.

        A cancellation ends the work, waits until it has cleaned up, and goes on only then.

        :param undo: takes the result back where the work came through although it was cancelled
        """
        await lowlevel.checkpoint_if_cancelled()
        call = call or Call()
        future = self.submit(call, work, *args, **kwargs)
        try:
            await wait((future,))
        except BaseException:
            call.cancel()
            if not future.cancel():
                await settle((future,))
                if undo is not None and future.exception() is None:
                    await settle((self.clean(undo, future.result()),))
            raise
        return future.result()

    async def close(self, work: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Have something closed, and await that; a cancellation goes on when it is."""
        future = self.clean(work, *args, **kwargs)
        cancelled = await settle((future,))
        if cancelled is not None:
            raise cancelled
        future.result()

    async def ask(
        self,
        work: Callable[..., T],
        /,
        *args: Any,
        drop: Callable[[T], object] | None = None,
        left: Callable[[], object] | None = None,
        **kwargs: Any,
    ) -> T:
        """Do something that only reads, and await it.

        A cancellation goes on at once; the thread ends as soon as its request does.

        :param drop: lets go of a result that nobody takes any more
        :param left: called in a thread when the work was left and has ended
        """
        await lowlevel.checkpoint_if_cancelled()
        call = Call()
        future = self.submit(call, work, *args, **kwargs)
        try:
            await wait((future,))
        except BaseException:
            call.cancel()

            def ended(future: Future[T]) -> None:
                if drop is not None and not future.cancelled() and future.exception() is None:
                    self.clean(drop, future.result())
                if left is not None:
                    self.clean(left)

            future.cancel()
            future.add_done_callback(ended)
            raise
        return future.result()


def waker() -> Callable[[Callable[[], object]], None]:
    """Return what has a function called in the running loop, from any thread; nothing where that loop has ended."""
    loop: object = lowlevel.current_token().native_token
    schedule = (
        loop.call_soon_threadsafe if isinstance(loop, asyncio.AbstractEventLoop) else cast("Any", loop).run_sync_soon
    )

    def wake(function: Callable[[], object]) -> None:
        try:
            schedule(function)
        except RuntimeError:
            pass  # the loop is closed: nobody waits there

    return wake


async def wait(futures: Collection[Future[Any]]) -> None:
    """Return when one of them is done."""
    event = anyio.Event()
    wake = waker()
    for future in futures:
        future.add_done_callback(lambda _: wake(event.set))
    await event.wait()


async def settle(futures: Collection[Future[Any]]) -> BaseException | None:
    """Return when all of them are done, however often this task is cancelled meanwhile.

    :return: the cancellation that came meanwhile, to be raised when all is cleaned up
    """
    cancelled: BaseException | None = None
    while left := [future for future in futures if not future.done()]:
        try:
            with anyio.CancelScope(shield=True):
                await wait(left)
        except anyio.get_cancelled_exc_class() as error:
            cancelled = error
    return cancelled
