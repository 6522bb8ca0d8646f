"""The circuit breaker of a storage: calls fail at once while the service does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

from .. import exc
from .policy import Breaker

State = Literal["closed", "open", "half-open"]


class Circuit:
    """Counts calls in a row that ended without an answer, and holds further ones back.

    Closed lets all calls through; open none, for the time of :attr:`.Breaker.reset`; half-open one, which decides.

    :param clock: seconds that never jump
    """

    def __init__(self, options: Breaker, clock: Callable[[], float] = time.monotonic):
        self.options = options
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        """``"closed"``, ``"open"`` or ``"half-open"``."""
        with self._lock:
            if self._opened is None:
                return "closed"
            return "half-open" if self._probing or self._left() <= 0 else "open"

    @property
    def failures(self) -> int:
        """Calls in a row that ended without an answer."""
        return self._failures

    def reset(self) -> None:
        """Let all calls through again."""
        with self._lock:
            self._failures, self._opened, self._probing = 0, None, False

    def _left(self) -> float:
        return 0.0 if self._opened is None else self._opened + self.options.reset - self._clock()

    def enter(self) -> bool:
        """Begin a call; return whether it is the one that decides.

        :raises CircuitOpenError: it is held back
        """
        with self._lock:
            if self._opened is None:
                return False
            left = self._left()
            if left <= 0 and not self._probing:
                self._probing = True
                return True
            when = f"in {max(left, 0):.1f} seconds one call is let through" if left > 0 else "one call tries it now"
            raise exc.CircuitOpenError(
                f"the circuit breaker is open: {self._failures} calls in a row ended without an answer; {when}",
                retry_after=max(left, 0.0),
            )

    def leave(self, error: BaseException | None, *, answered: bool, probe: bool) -> None:
        """End a call.

        :param answered: the service gave an answer to it, whatever it was
        :param probe: it was the one that decides
        """
        with self._lock:
            if probe:
                self._probing = False
            if isinstance(error, exc.ConnectionError) and not isinstance(error, exc.CircuitOpenError):
                self._failures += 1
                if probe or self._failures >= self.options.failures:
                    self._opened = self._clock()
            elif answered:
                self._failures, self._opened = 0, None

    def after_fork(self) -> None:
        """Have a lock that no thread of the parent holds."""
        self._lock, self._probing = threading.Lock(), False
