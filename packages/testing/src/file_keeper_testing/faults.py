"""A backend that fails on demand: a chosen fault, at a chosen verb, key and call."""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

from file_keeper import Storage, exc
from file_keeper.backend import (
    Backend,
    Body,
    Limits,
    MultipartRef,
    ObjectInfo,
    Page,
    Part,
    Source,
    Wrapper,
    WriteOptions,
    cut_pages,
    entries_of,
)
from file_keeper.types import Buffer

T = TypeVar("T")

SENDING = frozenset(("put", "multipart_put", "append", "resumable_send"))
"""The verbs that carry content to the provider."""


class ProviderError(Exception):
    """Stands for what an SDK would raise: a :class:`Faulty` translates it into `becomes`.

    :param becomes: the error of ours that the backend's table would give for it
    """

    def __init__(self, becomes: exc.FilesError):
        super().__init__(f"the provider says: {becomes.message}")
        self.becomes = becomes


def lost_answer() -> exc.ConnectionError:
    """Make the error of a connection that ended before the answer came."""
    return exc.ConnectionError("the connection was reset before the answer came", retryable=True)


@dataclasses.dataclass(eq=False, kw_only=True)
class Rule:
    """A fault and the calls that meet it. What is not given is not done; faults of one rule add up.

    :param verb: a verb of :class:`file_keeper.backend.Backend`, ``body`` (reading bytes of an object), ``item`` (a step
        of a listing), or a pattern of :mod:`fnmatch`
    :param key: a pattern that the whole key must match
    :param nth: the first of the matching calls that meets the fault, from 1
    :param times: how many calls meet it; ``None``: all from there on
    :param error: raised instead of the call: an exception, its class, or a function of verb and key that gives one
    :param lost: the call is done and its answer lost: `error`, else a retryable :class:`ConnectionError`, is raised
    :param delay: seconds to wait before the call
    :param hook: called with verb and key before the call
    :param after: called with verb and key after the call, before its answer is given
    :param cut: the body that ``read`` opens raises a retryable :class:`ConnectionError` after so many bytes
    :param short: that body ends after so many bytes as if there were no more
    :param flip: the lowest bit of the byte at this offset is flipped, in what is read or in what is sent
    :param answer: makes another answer of the body that ``read`` opens: another version, other bytes, other facts
    """

    verb: str
    key: str = "*"
    nth: int = 1
    times: int | None = 1
    error: BaseException | type[BaseException] | Callable[[str, str], BaseException] | None = None
    lost: bool = False
    delay: float = 0.0
    hook: Callable[[str, str], object] | None = None
    after: Callable[[str, str], object] | None = None
    cut: int | None = None
    short: int | None = None
    flip: int | None = None
    answer: Callable[[Body], Body] | None = None
    seen: int = dataclasses.field(default=0, init=False)
    """Calls that matched verb and key."""
    hits: int = dataclasses.field(default=0, init=False)
    """Calls that met the fault."""

    def meets(self, verb: str, key: str) -> bool:
        """Return whether this call meets the fault, and count it."""
        if not (fnmatch.fnmatchcase(verb, self.verb) and fnmatch.fnmatchcase(key, self.key)):
            return False
        self.seen += 1
        if self.seen < self.nth or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True

    def exception(self, verb: str, key: str) -> BaseException:
        """Return the exception of this rule for a call."""
        if isinstance(self.error, BaseException):
            return self.error
        if isinstance(self.error, type):
            return self.error(f"injected at {verb}")
        return self.error(verb, key) if self.error else lost_answer()


class Faulty(Wrapper):
    """A backend around another one that meets the faults of its rules.

    :param inner: the backend that does the work
    :param rules: the faults; more can be added to ``rules`` at any time
    """

    def __init__(self, inner: Backend[Any], *rules: Rule):
        super().__init__(inner)
        self.rules = list(rules)
        self._lock = threading.Lock()

    def on(self, verb: str, **fault: Any) -> Rule:
        """Add a rule, see :class:`Rule`, and give it."""
        rule = Rule(verb=verb, **fault)
        self.rules.append(rule)
        return rule

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        super().after_fork()

    def translate(self, error: Exception) -> exc.FilesError | None:
        return error.becomes if isinstance(error, ProviderError) else super().translate(error)

    def around(self, verb: str, key: str, call: Callable[[], T]) -> T:
        met = self._met(verb, key, sending=False)
        for rule in met:
            if rule.hook:
                rule.hook(verb, key)
            if rule.delay:
                time.sleep(rule.delay)
            if rule.error is not None and not rule.lost:
                raise rule.exception(verb, key)
        result = super().around(verb, key, call)
        for rule in met:
            if rule.after:
                rule.after(verb, key)
            if rule.lost:
                if isinstance(result, Body):
                    result.close()
                raise rule.exception(verb, key)
            if isinstance(result, Body):
                result.stream = SpoiledStream(result.stream, rule)
                if rule.answer:
                    result = cast("T", rule.answer(result))
        return result

    def _met(self, verb: str, key: str, *, sending: bool) -> list[Rule]:
        """Return the rules that this call meets; those that spoil what is sent are asked for apart."""
        with self._lock:
            candidates = (r for r in self.rules if (r.flip is not None and verb in SENDING) is sending)
            return [rule for rule in candidates if rule.meets(verb, key)]

    def _sent(self, verb: str, key: str, body: Any) -> Any:
        for rule in self._met(verb, key, sending=True):
            assert rule.flip is not None
            at_hand = isinstance(body, bytes | bytearray | memoryview)
            body = flipped(cast("Buffer", body), rule.flip) if at_hand else FlippedSource(body, rule.flip)
        return body

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        return super().put(key, self._sent("put", key, body), options)

    def multipart_put(self, upload: MultipartRef, number: int, body: Buffer) -> Part:
        return super().multipart_put(upload, number, self._sent("multipart_put", upload.key, body))

    def resumable_send(
        self, upload: MultipartRef, offset: int, body: Buffer, total: int | None, options: WriteOptions
    ) -> int | ObjectInfo:
        return super().resumable_send(upload, offset, self._sent("resumable_send", upload.key, body), total, options)

    def append(self, target: ObjectInfo, body: Buffer, options: WriteOptions) -> ObjectInfo:
        return super().append(target, self._sent("append", target.key, body), options)


class Lacking(Wrapper):
    """A backend without some of its optional verbs: what the core then does by itself can be tried on any backend."""

    def __init__(self, inner: Backend[Any], *lacking: str):
        super().__init__(inner)
        self._lacking = frozenset(lacking)

    @property
    def verbs(self) -> frozenset[str]:
        return self.inner.verbs - self._lacking


class Limited(Wrapper):
    """A backend of a provider that holds to other limits, or works another way: ``streaming_put=False`` makes parts.

    :param changes: fields of :class:`file_keeper.backend.Limits`
    """

    def __init__(self, inner: Backend[Any], **changes: Any):
        super().__init__(inner)
        self._changes = changes

    @property
    def limits(self) -> Limits:  # pyright: ignore[reportIncompatibleVariableOverride] - as in Wrapper
        return dataclasses.replace(self.inner.limits, **self._changes)


class Reordered(Wrapper):
    """A backend of a service that lists in the order of directories, as those do that keep them: "a/b" before "a.b".

    :param page: keys of a page
    :param repeat: the first page comes again and again, as from a service that ignores the token
    """

    def __init__(self, inner: Backend[Any], *, page: int = 3, repeat: bool = False):
        super().__init__(inner)
        self._page = page
        self._repeat = repeat

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        def place(key: str) -> list[bytes]:
            return [name.encode() for name in key.split("/")]

        infos = [entry for entry in entries_of(self.inner.list(prefix)) if isinstance(entry, ObjectInfo)]
        infos = [info for info in infos if info.key.startswith(prefix)]
        infos.sort(key=lambda info: place(info.key))
        behind = [info for info in infos if not start_after or place(info.key) > place(start_after)]
        pages = cut_pages(behind, prefix, start_after=start_after, delimiter=delimiter, size=self._page)
        return itertools.cycle(itertools.islice(pages, 1)) if self._repeat else pages


def limited(storage: Storage, **changes: Any) -> Storage:
    """Return a storage like `storage` whose backend has other limits."""
    return storage.wrapped(lambda backend: Limited(backend, **changes))


def without(storage: Storage, *verbs: str) -> Storage:
    """Return a storage like `storage` whose backend lacks these optional verbs."""
    return storage.wrapped(lambda backend: Lacking(backend, *verbs))


def faulty(storage: Storage, *rules: Rule) -> tuple[Storage, Faulty]:
    """Return a storage like `storage` that meets these faults, and the wrapper that makes them."""
    made: list[Faulty] = []

    def wrap(backend: Backend[Any]) -> Faulty:
        made.append(Faulty(backend, *rules))
        return made[-1]

    return storage.wrapped(wrap), made[0]


def flipped(body: Buffer, offset: int) -> bytes:
    """Return a copy of `body` with the lowest bit of one byte flipped; unchanged when it is shorter."""
    result = bytearray(body)
    if offset < len(result):
        result[offset] ^= 1
    return bytes(result)


class FlippedSource:
    """A source like another one, but for one bit."""

    def __init__(self, source: Source, offset: int):
        self._source = source
        self._offset = offset
        self.size = source.size

    @property
    def digests(self) -> Mapping[str, str]:
        return self._source.digests

    def __iter__(self) -> Iterator[memoryview]:
        position = 0
        for chunk in self._source:
            inside = position <= self._offset < position + len(chunk)
            yield memoryview(flipped(chunk, self._offset - position)) if inside else chunk
            position += len(chunk)


class SpoiledStream:
    """The stream of a body that is cut, ends short or has a bit flipped."""

    def __init__(self, stream: Any, rule: Rule):
        self._stream = stream
        self._rule = rule
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        rule = self._rule
        end = min((n for n in (rule.cut, rule.short) if n is not None), default=None)
        if end is not None:
            left = end - self._position
            if left <= 0 and rule.cut is not None and self._position >= rule.cut:
                raise exc.ConnectionError("the connection was lost while reading", retryable=True)
            size = left if size < 0 else min(size, left)
        data: bytes = self._stream.read(size) if size else b""
        if rule.flip is not None and self._position <= rule.flip < self._position + len(data):
            data = flipped(data, rule.flip - self._position)
        self._position += len(data)
        return data

    def close(self) -> None:
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()
