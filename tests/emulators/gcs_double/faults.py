"""Faults on demand: which requests, and what goes wrong with them.

Codes and reasons to choose from: "HTTP status and error codes for JSON"; which of them a client should repeat, and
that 408, 429 and 5xx are so: "Retry strategy".
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from .errors import ApiError
from .messages import Request, Response


@dataclass(frozen=True)
class Status:
    """An error instead of the operation: nothing is done."""

    status: int
    reason: str = "backendError"
    message: str = "Backend Error"
    retry_after: int | str | None = None

    def error(self) -> ApiError:
        headers = (("Retry-After", str(self.retry_after)),) if self.retry_after is not None else ()
        return ApiError(self.status, self.reason, self.message, headers=headers)


@dataclass(frozen=True)
class Reset:
    """The connection is reset before the operation, after `after` bytes of the request's body were read."""

    after: int = 0


@dataclass(frozen=True)
class LoseAnswer:
    """The operation is done, then the connection is reset without an answer."""


@dataclass(frozen=True)
class AnswerStatus:
    """The operation is done, but the caller is told of an error: the cruel 503."""

    status: int = 503
    reason: str = "backendError"
    message: str = "Backend Error"

    def error(self) -> ApiError:
        return ApiError(self.status, self.reason, self.message)


@dataclass(frozen=True)
class Cut:
    """The answer promises its whole length; the connection is reset after `after` bytes of the body."""

    after: int


@dataclass(frozen=True)
class Short:
    """The answer promises its whole length; the connection is closed in good order after `after` bytes."""

    after: int


@dataclass(frozen=True)
class Truncate:
    """The answer is `after` bytes long and says so: only a checksum or the metadata can tell."""

    after: int


@dataclass(frozen=True)
class Flip:
    """One byte of the answer's body is wrong."""

    at: int = 0
    mask: int = 1


@dataclass(frozen=True)
class Delay:
    """Nothing is sent for so long: before the operation, or (`at` given) after so many bytes of the answer."""

    seconds: float
    at: int | None = None


@dataclass(frozen=True)
class Acknowledge:
    """A session keeps at most `size` bytes of this chunk and says so: a 308 with less than was sent.

    Reference: "Perform resumable uploads", Multiple chunk upload: the Range of the 308 is what counts.
    """

    size: int


Action = Status | Reset | LoseAnswer | AnswerStatus | Cut | Short | Truncate | Flip | Delay | Acknowledge


@dataclass
class Rule:
    """Regular expressions searched for in the method, the path and query as sent; empty matches all.

    Of the matching requests the rule acts on those from the `nth`, `times` in number (None: all of them).
    """

    action: Action
    method: str = ""
    path: str = ""
    query: str = ""
    nth: int = 1
    times: int | None = 1
    when: Callable[[Request], bool] | None = None
    seen: int = 0
    hits: int = 0

    def matches(self, request: Request) -> bool:
        return bool(
            re.search(self.method, request.method)
            and re.search(self.path, request.path)
            and re.search(self.query, request.query_string)
            and (self.when is None or self.when(request))
        )

    def take(self, request: Request) -> bool:
        if not self.matches(request):
            return False
        self.seen += 1
        acts = self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)
        self.hits += acts
        return acts


@dataclass
class Faults:
    rules: list[Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, rule: Rule) -> Rule:
        with self._lock:
            self.rules.append(rule)
        return rule

    def clear(self) -> None:
        with self._lock:
            self.rules.clear()

    def take(self, request: Request) -> list[Action]:
        with self._lock:
            return [rule.action for rule in self.rules if rule.take(request)]


T = TypeVar("T")


def first(actions: Iterable[Action], kind: type[T]) -> T | None:
    return next((action for action in actions if isinstance(action, kind)), None)


def bend(response: Response, actions: Iterable[Action], wait: Callable[[float], None]) -> None:
    """Applies the faults of the body that leave its framing alone."""
    if truncate := first(actions, Truncate):
        response.body = _limited(_source(response), truncate.after)
        if response.length is not None:
            response.length = min(response.length, truncate.after)
    if flip := first(actions, Flip):
        response.body = _flipped(_source(response), flip)
    for action in actions:
        if isinstance(action, Delay) and action.at is not None:
            response.body = _stalled(_source(response), action.at, action.seconds, wait)


def _source(response: Response) -> Iterable[bytes]:
    # Taken now: the body is about to be replaced by what is made from it.
    return [response.body] if isinstance(response.body, bytes) else response.body


def _limited(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[:limit]
        limit -= len(chunk)
        if limit <= 0:
            return


def _flipped(chunks: Iterable[bytes], flip: Flip) -> Iterator[bytes]:
    done = 0
    for chunk in chunks:
        at = flip.at - done
        done += len(chunk)
        if 0 <= at < len(chunk):
            chunk = chunk[:at] + bytes([chunk[at] ^ flip.mask]) + chunk[at + 1 :]
        yield chunk


def _stalled(chunks: Iterable[bytes], at: int, seconds: float, wait: Callable[[float], None]) -> Iterator[bytes]:
    done, waited = 0, False
    for chunk in chunks:
        if not waited and at < done + len(chunk):
            yield chunk[: at - done]
            wait(seconds)
            waited = True
            yield chunk[at - done :]
        else:
            yield chunk
        done += len(chunk)
