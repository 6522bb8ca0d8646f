"""What is under way when the interpreter ends: nothing of it is published, nothing of it holds the end back.

Uploads in daemon threads, those of writers that were left open among them, would be cut off anywhere in their work
and leave what a kill leaves. So an exit handler, which runs while such threads still do, stops them and gives them a
moment to clean up. Threads that are not daemons have ended by then; what begins in exit handlers is not touched.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Generator
from concurrent.futures import Future, wait
from typing import Any, Protocol

from . import calls, exc

PATIENCE = 3.0
"""Seconds that the end of the interpreter waits for transfers to clean up."""


class Transfer:
    """An upload that is under way in the thread that made this."""

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        self.stopped = False

    def check(self) -> None:
        """Raise when this upload is to stop. :raises ContentError: saying so"""
        calls.check()
        if self.stopped:
            raise exc.ContentError("the interpreter ends: the upload was aborted")


class Abandonable(Protocol):
    """Something left open that can be told to publish nothing."""

    def abandon(self) -> Future[Any] | None:
        """Abort without waiting; return what ends with it, where that is done by a thread."""
        ...


# Changed and copied in one step each, so without a lock: a finalizer may run in any thread at any time.
_under_way: set[Transfer] = set()
_open: weakref.WeakSet[Abandonable] = weakref.WeakSet()


@contextlib.contextmanager
def transfer() -> Generator[Transfer]:
    """Register as under way; the transfer given is asked now and then whether to stop."""
    mine = Transfer()
    _under_way.add(mine)
    try:
        yield mine
    finally:
        _under_way.discard(mine)


def remember(writer: Abandonable) -> None:
    """Have `writer` abandoned at the end of the interpreter, if it is still there."""
    _open.add(writer)


def _at_exit() -> None:
    deadline = time.monotonic() + PATIENCE
    stopped = [one for one in list(_under_way) if one.thread.daemon and one.thread is not threading.current_thread()]
    for one in stopped:
        one.stopped = True
    ends = [end for writer in list(_open) if (end := writer.abandon()) is not None]
    wait(ends, max(0.0, deadline - time.monotonic()))
    for one in stopped:
        while one in _under_way and time.monotonic() < deadline:
            time.sleep(0.005)


def _forked() -> None:
    # The threads of the parent are not here, and what it left open is its own.
    _under_way.clear()
    _open.clear()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
