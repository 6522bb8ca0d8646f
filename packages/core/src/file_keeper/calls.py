"""The call that a thread works for: whether it is still wanted, and what it tells while it is under way.

A batch and an asynchronous call run in threads that nobody can interrupt. So whoever waits for one gives it a
:class:`Call`, which travels with the context variables into every thread that works for it; what repeats, reads or
sends asks between two requests whether to go on.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Generator
from typing import ParamSpec, TypeVar

from . import exc

P = ParamSpec("P")
T = TypeVar("T")

_current: contextvars.ContextVar[Call | None] = contextvars.ContextVar("file-keeper-call", default=None)


class CallCancelled(BaseException):
    """The call is not wanted any more. Only whoever cancelled it sees this."""


class Call:
    """One call of a storage that can be cancelled from another thread."""

    timeout: float | None = None
    """Seconds without a byte, where they are others than those of the backend."""

    @property
    def remaining(self) -> float | None:
        """Seconds until its deadline; ``None`` where it has none."""
        return None

    def check(self) -> None:
        """Raise when it is to end. :raises CallCancelled: it is cancelled"""
        if self.cancelled:
            raise CallCancelled

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Have the call end with :class:`CallCancelled` before its next request, cleaned up."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled.is_set()

    def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the work of this call. :raises CallCancelled: when it is cancelled"""
        token = _current.set(self)
        try:
            check()
            return work(*args, **kwargs)
        finally:
            _current.reset(token)

    def pause(self, seconds: float) -> None:
        """Wait. :raises CallCancelled: when the call is cancelled meanwhile"""
        if self._cancelled.wait(seconds):
            raise CallCancelled

    def source_ended(self) -> None:
        """Record that the source of the upload is read to its end."""

    def throttled(self, error: BaseException) -> None:
        """Record that the service asked to slow down, by this error."""


class _Bounded(Call):
    """A call that has a deadline, within another one that can be cancelled."""

    def __init__(self, outer: Call | None, seconds: float | None, timeout: float | None):
        super().__init__()
        self._outer = outer
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds
        self.timeout = timeout if timeout is not None else outer.timeout if outer is not None else None

    @property
    def cancelled(self) -> bool:
        return self._outer is not None and self._outer.cancelled

    @property
    def remaining(self) -> float | None:
        outer = self._outer.remaining if self._outer is not None else None
        if self._end is None:
            return outer
        own = self._end - time.monotonic()
        return own if outer is None else min(own, outer)

    def check(self) -> None:
        """Raise when it is to end. :raises TimeoutError: its deadline is over"""
        if self._outer is not None:
            self._outer.check()
        if self._end is not None and time.monotonic() >= self._end:
            raise exc.TimeoutError(f"the deadline of {self._seconds:g} seconds for one call is over")

    def pause(self, seconds: float) -> None:
        left = self.remaining
        wait = seconds if left is None else max(0.0, min(seconds, left))
        if self._outer is not None:
            self._outer.pause(wait)
        else:
            time.sleep(wait)
        self.check()

    def source_ended(self) -> None:
        if self._outer is not None:
            self._outer.source_ended()

    def throttled(self, error: BaseException) -> None:
        if self._outer is not None:
            self._outer.throttled(error)


@contextlib.contextmanager
def bounded(seconds: float | None, timeout: float | None = None) -> Generator[None]:
    """Give what is done within a deadline.

    :param seconds: until it is over
    :param timeout: seconds without a byte, in place of the backend's
    """
    token = _current.set(_Bounded(_current.get(), seconds, timeout))
    try:
        yield
    finally:
        _current.reset(token)


def patience(timeout: float) -> float:
    """Return how many seconds a request may wait for a byte now.

    :param timeout: what the backend would wait
    :raises TimeoutError: the deadline of the call is over
    """
    call = _current.get()
    if call is None:
        return timeout
    wait, left = call.timeout or timeout, call.remaining
    if left is None:
        return wait
    call.check()
    return max(0.001, min(wait, left))


_final: contextvars.ContextVar[bool] = contextvars.ContextVar("file-keeper-final", default=False)


@contextlib.contextmanager
def final() -> Generator[None]:
    """Do the last attempt of a request: nothing below sends it once more by itself."""
    token = _final.set(True)
    try:
        yield
    finally:
        _final.reset(token)


def is_final() -> bool:
    """Return whether this is the last attempt that the policy allows; see :func:`final`."""
    return _final.get()


def check() -> None:
    """Raise when the call that this thread works for is to end.

    :raises CallCancelled: it is cancelled
    :raises TimeoutError: its deadline is over
    """
    call = _current.get()
    if call is not None:
        call.check()


def sleep(seconds: float) -> None:
    """Wait, no longer than the call is wanted. :raises CallCancelled: when it is cancelled"""
    call = _current.get()
    if call is None:
        time.sleep(seconds)
    else:
        call.pause(seconds)


def source_ended() -> None:
    """Record in the call that its source is read to its end."""
    call = _current.get()
    if call is not None:
        call.source_ended()


def throttled(error: BaseException) -> None:
    """Record in the call that the service asked to slow down, by this error."""
    call = _current.get()
    if call is not None:
        call.throttled(error)


@contextlib.contextmanager
def cleaning_up() -> Generator[None]:
    """Do in full what follows, whether the call is still wanted or not."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)
