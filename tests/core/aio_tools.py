"""What the tests of asynchronous storages share."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
from core.doubles import Hooked
from file_keeper import AsyncStorage, Storage, make_storage

KiB, MiB = 1 << 10, 1 << 20
PART = 64 * KiB


def names() -> list[str]:
    """Return the threads of ours."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("file-keeper")]


def wait_for_threads(seconds: float = 4.0) -> list[str]:
    """Return the threads of ours that do not end; idle ones linger for a second."""
    deadline = time.monotonic() + seconds
    while (left := names()) and time.monotonic() < deadline:
        time.sleep(0.01)
    frames = sys._current_frames()
    return [
        f"{thread.name}: {''.join(traceback.format_stack(frames.get(thread.ident or 0)))}"
        for thread in threading.enumerate()
        if thread.name in left
    ]


def memory(**options: Any) -> Storage:
    """Make a storage in memory with small parts."""
    return make_storage("m", {"type": "memory", "part_size": PART, **options})


def hooked(storage: Storage, hook: Callable[[str, str], object], done: Any = lambda verb, key: None) -> AsyncStorage:
    """Return the asynchronous twin of a storage that calls `hook` before each verb."""
    return storage.wrapped(lambda inner: Hooked(inner, hook, done)).aio


async def chunks(body: bytes, size: int = 10_001, pause: float | None = None) -> AsyncIterator[bytes]:
    """Give a body in chunks."""
    for start in range(0, len(body), size):
        if pause is not None:
            await anyio.sleep(pause)
        yield body[start : start + size]


async def reached(event: threading.Event, seconds: float = 10.0) -> None:
    """Return when an event of a thread has come."""
    with anyio.fail_after(seconds):
        while not event.is_set():
            await anyio.sleep(0.002)


class Watchdog:
    """Measures how long the loop takes to come back to a task that sleeps."""

    def __init__(self) -> None:
        self.lags: list[float] = []

    async def __call__(self) -> None:
        while True:
            started = time.perf_counter()
            await anyio.sleep(0.005)
            self.lags.append(time.perf_counter() - started - 0.005)

    def quantile(self, part: float) -> float:
        """Return the lag that only a part of the measures exceeds."""
        return sorted(self.lags)[min(len(self.lags) - 1, int(len(self.lags) * part))]
