"""How fast a synchronisation may go."""

from __future__ import annotations

import threading
import time

from .. import calls


class _Bucket:
    """Lets so much through in a second, counted from the first; what was not used is not saved up."""

    def __init__(self, rate: float):
        self._rate = rate
        self._free = 0.0
        self._lock = threading.Lock()

    def take(self, amount: float) -> None:
        with self._lock:
            now = time.monotonic()
            wait = max(0.0, self._free - now)
            self._free = now + wait + amount / self._rate
        if wait > 0:
            calls.sleep(wait)


class Pace:
    """The bounds of one run: bytes and calls a second; 0 is no bound."""

    def __init__(self, bandwidth: float, request_rate: float):
        self._bytes = _Bucket(bandwidth) if bandwidth else None
        self._calls = _Bucket(request_rate) if request_rate else None

    def bytes(self, count: int) -> None:
        """Account for bytes that were moved, and wait until more may be."""
        if self._bytes is not None and count:
            self._bytes.take(count)

    def call(self) -> None:
        """Wait until another call may be made."""
        if self._calls is not None:
            self._calls.take(1)
