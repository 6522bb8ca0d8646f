"""A backend that counts: which verbs were called, on what, how many at a time."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from file_keeper import Storage
from file_keeper.backend import VERBS, Backend, Body, Wrapper

T = TypeVar("T")


@dataclasses.dataclass(slots=True)
class Call:
    """A call of a verb (or a step: ``body``, ``item``): when it began and ended, by :func:`time.monotonic`."""

    verb: str
    key: str
    began: float
    ended: float = float("inf")
    error: BaseException | None = None


class Counting(Wrapper):
    """A backend around another one that keeps a log of the calls. It may be read at any time, from any thread."""

    def __init__(self, inner: Backend[Any]):
        super().__init__(inner)
        self._lock = threading.Lock()
        self.calls: list[Call] = []
        self.received = 0
        """Bytes of bodies that were read."""
        self.asked = 0
        """Bytes of the bodies that were opened, read or not."""

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        super().after_fork()

    def around(self, verb: str, key: str, call: Callable[[], T]) -> T:
        entry = Call(verb, key, time.monotonic())
        with self._lock:
            self.calls.append(entry)
        try:
            result = super().around(verb, key, call)
            with self._lock:
                if isinstance(result, Body):
                    self.asked += result.length or 0
                elif verb == "body":
                    self.received += result if isinstance(result, int) else len(cast("bytes", result))
            return result
        except BaseException as error:
            entry.error = error
            raise
        finally:
            entry.ended = time.monotonic()

    def reset(self) -> None:
        """Forget the calls."""
        with self._lock:
            self.calls = []
            self.received = self.asked = 0

    @property
    def counts(self) -> collections.Counter[str]:
        """Calls by verb; steps (``body``, ``item``) are not requests and not among them."""
        with self._lock:
            return collections.Counter(call.verb for call in self.calls if call.verb in VERBS)

    @property
    def requests(self) -> int:
        """Calls of all verbs."""
        return self.counts.total()

    def count(self, *verbs: str) -> int:
        """Count the calls of these verbs or steps."""
        with self._lock:
            return sum(call.verb in verbs for call in self.calls)

    def peak(self, *verbs: str) -> int:
        """Return the largest number of calls (of these verbs, of all without) that were under way at one time."""
        with self._lock:
            spans = [(c.began, c.ended) for c in self.calls if not verbs or c.verb in verbs]
        # An end sorts before a beginning at the same instant: those two did not overlap.
        steps = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
        level = highest = 0
        for _, step in steps:
            level += step
            highest = max(highest, level)
        return highest


def counted(storage: Storage) -> tuple[Storage, Counting]:
    """Return a storage like `storage` whose requests are counted, and the counter."""
    made: list[Counting] = []

    def wrap(backend: Backend[Any]) -> Counting:
        made.append(Counting(backend))
        return made[-1]

    return storage.wrapped(wrap), made[0]
