"""How many items of a batch are in flight: fewer while the service throttles, and as many as before soon after."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

log = logging.getLogger("file_keeper")

OnInFlight = Callable[[int, BaseException | None], object]
"""Called with the items that may be in flight from now on, and with the error that made them fewer."""


class InFlight:
    """How many items may be in flight.

    :param most: at the beginning, and ever
    :param adapts: halve that when the service throttles, and recover
    :param told: called in the thread that works, with each change, in their order
    """

    def __init__(self, most: int, *, adapts: bool = False, told: OnInFlight | None = None):
        self.limit = most
        self._most = most
        self._adapts = adapts
        self._told = told
        self._eased = 0
        self._lock = threading.Lock()
        self._changes: deque[tuple[int, BaseException | None]] = deque()
        self._telling = threading.RLock()  # whoever is told may end the batch, which changes the pace again

    def slow_down(self, running: int, error: BaseException) -> None:
        """React to throttling by the service: half as many items, once for those that are `running`."""
        with self._lock:
            if not self._adapts or self._eased < 0 or self.limit == 1:
                return
            self.limit = max(1, self.limit // 2)
            self._eased = -running  # what is in flight was begun before
            self._changes.append((self.limit, error))
        log.info("the service asks to slow down: the batch goes on with %d items in flight", self.limit)
        self._tell()

    def item_ended(self) -> None:
        """Recover: one more when as many items have ended as may be in flight."""
        with self._lock:
            self._eased += 1
            if self.limit >= self._most or self._eased < self.limit:
                return
            self.limit, self._eased = self.limit + 1, 0
            self._changes.append((self.limit, None))
        self._tell()

    def _tell(self) -> None:
        with self._telling:
            while self._changes:
                change = self._changes.popleft()
                if self._told is not None:
                    self._told(*change)
