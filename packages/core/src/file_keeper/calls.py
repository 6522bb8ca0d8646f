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

P = ParamSpec("P")
T = TypeVar("T")

_current: contextvars.ContextVar[Call | None] = contextvars.ContextVar("file-keeper-call", default=None)


class CallCancelled(BaseException):
    """The call is not wanted any more. Only whoever cancelled it sees this."""


class Call:
    """One call of a storage that can be cancelled from another thread."""

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

    def throttled(self) -> None:
        """Record that the service asked to slow down."""


def check() -> None:
    """Raise when the call that this thread works for is cancelled. :raises CallCancelled:"""
    call = _current.get()
    if call is not None and call.cancelled:
        raise CallCancelled


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


def throttled() -> None:
    """Record in the call that the service asked to slow down."""
    call = _current.get()
    if call is not None:
        call.throttled()


@contextlib.contextmanager
def cleaning_up() -> Generator[None]:
    """Do in full what follows, whether the call is still wanted or not."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)
