"""What a storage tells of its calls, and what holds them back: events, the circuit breaker, the deadline.

A storage where nobody listens and none of this is set pays one look at an attribute for each call.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import logging
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

from .. import calls, exc
from ..events import Event
from .circuit import Circuit

log = logging.getLogger("file_keeper")

T = TypeVar("T")

_ids = itertools.count(1)
_END: Any = object()


Callback = Callable[[Event], object]

_current: contextvars.ContextVar[Operation | None] = contextvars.ContextVar("file-keeper-operation", default=None)


def current() -> Operation | None:
    """Return the operation that this thread works for, if it is watched."""
    return _current.get()


class Watch:
    """What watches the calls of one storage, and of those that were made of it.

    :param callbacks: shared by all of them
    """

    def __init__(
        self,
        name: str,
        kind: str,
        *,
        callbacks: list[Callback] | None = None,
        circuit: Circuit | None = None,
        deadline: float | None = None,
        timeout: float | None = None,
    ):
        self.name = name
        self.kind = kind
        self.callbacks: list[Callback] = callbacks if callbacks is not None else []
        self.circuit = circuit
        self.deadline = deadline
        self.timeout = timeout
        self._bounds = deadline is not None or timeout is not None
        self._always = circuit is not None or self._bounds
        self._broken: set[int] = set()

    @property
    def active(self) -> bool:
        """Whether calls are watched at all."""
        return self._always or bool(self.callbacks)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Have a callback told of each event; return what ends that."""
        self.callbacks.append(callback)

        def end() -> None:
            with contextlib.suppress(ValueError):
                self.callbacks.remove(callback)

        return end

    def tell(self, event: Event) -> None:
        """Call whoever listens. One that fails is logged once, and breaks nothing."""
        token = _current.set(_MUTE)
        try:
            for callback in tuple(self.callbacks):
                try:
                    callback(event)
                except Exception:
                    if id(callback) not in self._broken:
                        self._broken.add(id(callback))
                        log.exception("a subscriber of storage %r failed: it is logged this once", self.name)
        finally:
            _current.reset(token)

    def pacing(self, operation: str) -> Callable[[int, BaseException | None], None]:
        """Return what tells that a batch goes on with another number of items in flight, and the error behind it."""
        number = next(_ids)

        def tell(concurrency: int, error: BaseException | None) -> None:
            if self.callbacks:
                self.tell(
                    Event(
                        kind="concurrency",
                        id=number,
                        storage=self.name,
                        type=self.kind,
                        operation=operation,
                        location="",
                        status=getattr(error, "status", 0),
                        error=error,
                        concurrency=concurrency,
                    )
                )

        return tell

    def bounded(self) -> contextlib.AbstractContextManager[None]:
        """Hold what is done within to the deadline and the timeout of the storage."""
        return calls.bounded(self.deadline, self.timeout) if self._bounds else contextlib.nullcontext()

    def call(self, operation: str, location: str, work: Callable[[], T]) -> T:
        """Do the work of an operation, watched.

        :raises CircuitOpenError: the circuit breaker is open
        """
        made = Operation(self, operation, location)
        error: BaseException | None = None
        try:
            with made.working(), self.bounded():
                result = work()
        except BaseException as raised:
            error = raised
            raise
        finally:
            if error is not None or not made.lazy:
                made.end(error)
        return result

    def follow(self, operation: str, location: str, items: Iterator[T]) -> Iterator[T]:
        """Pass on what an operation finds little by little; the deadline is for each step."""
        made = Operation(self, operation, location)
        error: BaseException | None = None
        try:
            while True:
                with made.working(), self.bounded():
                    item = next(items, _END)
                if item is _END:
                    return
                yield item
        except GeneratorExit:
            raise
        except BaseException as raised:
            error = raised
            raise
        finally:
            made.end(error)


class Operation:
    """One call of a storage that is watched."""

    def __init__(self, watch: Watch, operation: str, location: str):
        self._watch = watch
        self._fields: dict[str, Any] = {
            "id": next(_ids),
            "storage": watch.name,
            "type": watch.kind,
            "operation": operation,
            "location": location,
        }
        self._began = time.perf_counter()
        self._ended = False
        self._answered = False
        self._probe = False
        self.sent = 0
        self.received = 0
        self.lazy = False
        """It goes on when the call has returned; whoever goes on ends it."""
        if watch.circuit is not None:
            self._probe = watch.circuit.enter()
        if watch.callbacks:
            watch.tell(Event(kind="start", **self._fields))

    @contextlib.contextmanager
    def working(self) -> Generator[None]:
        """Do what is done within for this operation."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def attempts(self, call: Callable[[], T], sent: int = 0) -> Callable[[], T]:
        """Return a call that tells of each time it is made.

        :param sent: bytes of the body of its request
        """
        number = 0

        def attempt() -> T:
            nonlocal number
            number += 1
            began, received = time.perf_counter(), self.received
            error: BaseException | None = None
            try:
                return call()
            except BaseException as raised:
                error = raised
                raise
            finally:
                self.sent += sent
                self._answered = self._answered or not isinstance(error, exc.ConnectionError)
                if self._watch.callbacks:
                    self._watch.tell(
                        Event(
                            kind="attempt",
                            **self._fields,
                            attempt=number,
                            duration=time.perf_counter() - began,
                            sent=sent,
                            received=self.received - received,
                            status=getattr(error, "status", 0),
                            error=error,
                        )
                    )

        return attempt

    def ending(self, work: Callable[[Any], T]) -> Callable[[Any], T]:
        """Return the work that ends this operation, which goes on until then."""
        self.lazy = True

        def last(given: Any) -> T:
            try:
                with self.working():
                    result = work(given)
            except BaseException as error:
                self.end(error)
                raise
            self.end()
            return result

        return last

    def end(self, error: BaseException | None = None) -> None:
        """End it; only the first call counts."""
        if self._ended:
            return
        self._ended = True
        watch = self._watch
        if watch.circuit is not None:
            watch.circuit.leave(error, answered=self._answered, probe=self._probe)
        if watch.callbacks:
            watch.tell(
                Event(
                    kind="operation",
                    **self._fields,
                    duration=time.perf_counter() - self._began,
                    sent=self.sent,
                    received=self.received,
                    status=getattr(error, "status", 0),
                    error=error,
                )
            )


class _Mute(Operation):
    """What a subscriber does itself: it is told to nobody, which would never end."""

    def __init__(self) -> None:
        self.received = 0
        self.lazy = False

    def attempts(self, call: Callable[[], T], sent: int = 0) -> Callable[[], T]:
        return call

    def ending(self, work: Callable[[Any], T]) -> Callable[[Any], T]:
        return work

    def end(self, error: BaseException | None = None) -> None:
        pass


_MUTE = _Mute()
