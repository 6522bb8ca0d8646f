"""One policy of repeating, with one meaning on every backend.

Only what is safe is repeated, and a repeat after a lost answer recognises its own write by the random token that the
core puts into the metadata of each create (contract 6.1.3).
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from .. import exc
from ..backend import Backend, MultipartRef, ObjectInfo, OpenUpload, Part, Prefix, Row, Source, Wrapper, WriteOptions
from ..types import Buffer

T = TypeVar("T")

TOKEN = "fk_token"
"""The reserved metadata key of the token."""

# A rename is not repeated: after a lost answer the source is gone either way. A stream is consumed by its first try.
_ONCE = frozenset(("move", "body", "item"))


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """How often and how long one request is repeated.

    :param attempts: at most, the first one counted
    :param timeout: seconds for one request with all its repeats
    :param base: seconds of the first pause at most; each next one doubles
    :param longest: seconds of any pause at most
    """

    attempts: int = 4
    timeout: float = 120.0
    base: float = 0.2
    longest: float = 20.0


DEFAULT = Policy()


def unanswered(error: exc.FilesError) -> bool:
    """Tell whether the provider may have done what was asked although this error came back."""
    return isinstance(error, exc.ConnectionError) and not isinstance(error, exc.ThrottledError)


class Retry(Wrapper):
    """Repeats what failed in passing, with exponential back-off and full jitter.

    :param sleep: waits the given seconds; a test may count instead
    :param clock: monotonic seconds
    """

    def __init__(
        self,
        inner: Backend[Any],
        policy: Policy | None = None,
        *,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__(inner)
        self.policy = policy or DEFAULT
        self._sleep = sleep
        self._clock = clock

    def _pause(self, error: exc.FilesError, attempt: int, started: float) -> None:
        """Wait before the next attempt, or raise `error` where there is none."""
        policy = self.policy
        if not error.retryable or attempt >= policy.attempts:
            raise error
        pause = max(error.retry_after, random.uniform(0, min(policy.longest, policy.base * 2 ** (attempt - 1))))
        if self._clock() - started + pause > policy.timeout:
            raise error
        self._sleep(pause)

    def around(self, verb: str, key: str, call: Callable[[], T]) -> T:
        if verb in _ONCE:
            return call()
        return self._repeat(call)

    def _repeat(self, call: Callable[[], T], recognise: Callable[[exc.FilesError], T | None] | None = None) -> T:
        """Call until it succeeds or must not be repeated.

        :param recognise: asked about a final error when an earlier attempt went unanswered: gives the result that
            this earlier attempt had, if it is what the error tells of
        """
        attempt, started, lost = 1, self._clock(), False
        while True:
            try:
                return call()
            except exc.FilesError as error:
                if lost and recognise is not None and not error.retryable:
                    found = recognise(error)
                    if found is not None:
                        return found
                self._pause(error, attempt, started)
                lost = lost or unanswered(error)
                attempt += 1

    def _own(self, key: str, options: WriteOptions) -> Callable[[exc.FilesError], ObjectInfo | None]:
        """Make the question whether the object at `key` is what this very call wrote."""

        def recognise(error: exc.FilesError) -> ObjectInfo | None:
            token = options.metadata.get(TOKEN)
            if not token or not isinstance(error, exc.LocationError | exc.MultipartUploadError):
                return None
            try:
                info = self.head(key)
            except exc.MissingFileError:
                return None
            return info if info.metadata.get(TOKEN) == token else None

        return recognise

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        if not isinstance(body, bytes | bytearray | memoryview):
            return self.inner.put(key, body, options)
        return self._repeat(lambda: self.inner.put(key, body, options), self._own(key, options))

    def _end(self, call: Callable[[], bool]) -> bool:
        """Repeat what ends something and tells whether it was there: what an unanswered attempt ended was."""
        lost = False

        def once() -> bool:
            nonlocal lost
            try:
                return call() or lost
            except exc.FilesError as error:
                lost = lost or unanswered(error)
                raise

        return self._repeat(once)

    def delete(self, key: str, *, etag: str = "") -> bool:
        return self._end(lambda: self.inner.delete(key, etag=etag))

    def delete_many(self, keys: Sequence[str]) -> Iterable[tuple[str, Exception]]:
        """Repeat the request where it fails, and those of its keys that failed in passing where it does not."""
        attempt, started = 1, self._clock()

        def once() -> dict[str, Exception]:
            return dict(self.inner.delete_many(keys))

        failures = self._repeat(once)
        while passing := {
            key: error for key, error in failures.items() if isinstance(error, exc.FilesError) and error.retryable
        }:
            try:
                self._pause(max(passing.values(), key=lambda error: error.retry_after), attempt, started)
                keys, attempt = list(passing), attempt + 1
                answered = self._repeat(once)
            except exc.FilesError:
                break  # what was told of them before stands
            failures = {key: error for key, error in failures.items() if key not in passing} | answered
        return failures.items()

    def multipart_abort(self, upload: MultipartRef) -> bool:
        return self._end(lambda: self.inner.multipart_abort(upload))

    def resumable_cancel(self, upload: MultipartRef) -> bool:
        return self._end(lambda: self.inner.resumable_cancel(upload))

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        own = self._own(upload.key, options)

        def recognise(error: exc.FilesError) -> ObjectInfo | None:
            info = own(error)
            if info is not None:
                # The attempt that published it never came to tidying up after itself.
                with suppress(exc.FilesError):
                    self.inner.multipart_abort(upload)
            return info

        return self._repeat(lambda: self.inner.multipart_complete(upload, parts, options), recognise)

    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        recognise = self._own(key, options) if options.metadata else self._copied(source.key, key)
        return self._repeat(lambda: self.inner.copy(source, key, options), recognise)

    def _copied(self, source: str, key: str) -> Callable[[exc.FilesError], ObjectInfo | None]:
        """Make the question whether the object at `key` is a copy of `source`, whose token the provider copies too."""

        def recognise(error: exc.FilesError) -> ObjectInfo | None:
            if not isinstance(error, exc.LocationError):
                return None
            try:
                there, here = self.head(key), self.head(source)
            except exc.MissingFileError:
                return None
            if (there.size, dict(there.digests)) != (here.size, dict(here.digests)):
                return None
            return there if there.metadata.get(TOKEN) == here.metadata.get(TOKEN) else None

        return recognise

    def annotate(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        def recognise(error: exc.FilesError) -> bool | None:
            # Where a record makes another version (Azure), the first attempt's own is what the second one meets.
            if not isinstance(error, exc.ChangedFileError):
                return None
            found = self.head(info.key)
            noted = {*found.digests.items(), found.metadata.get("fk_hash", "").partition(":")[::2]}
            return (found.size == info.size and noted.issuperset(digests.items())) or None

        self._repeat(lambda: self.inner.annotate(info, digests) or True, recognise)

    def compose(self, sources: Sequence[ObjectInfo], key: str, options: WriteOptions) -> ObjectInfo:
        return self._repeat(lambda: self.inner.compose(sources, key, options), self._own(key, options))

    def append(self, target: ObjectInfo, body: Buffer, options: WriteOptions) -> ObjectInfo:
        return self._repeat(lambda: self.inner.append(target, body, options), self._own(target.key, options))

    def resumable_send(
        self, upload: MultipartRef, offset: int, body: Buffer, total: int | None, options: WriteOptions
    ) -> int | ObjectInfo:
        attempt, started = 1, self._clock()
        while True:
            try:
                return self.inner.resumable_send(upload, offset, body, total, options)
            except exc.FilesError as error:
                self._pause(error, attempt, started)
                attempt += 1
            # The provider's own offset is the truth: what it has is not sent again.
            try:
                reached = self.resumable_offset(upload, total)
            except exc.MissingFileError as error:
                # It may have forgotten a session that it finished.
                if total is None or (found := self._own(upload.key, options)(error)) is None:
                    raise
                return found
            if not isinstance(reached, int) or reached != offset:
                return reached

    def _resumed(self, start: Callable[[str], Iterator[T]], after: str, key: Callable[[T], str]) -> Iterator[T]:
        """Go through a listing; after a failure again from behind the last item that was given."""
        attempt, started, seen = 1, self._clock(), after
        while True:
            try:
                for item in start(after):
                    yield item
                    after = key(item)
                return
            except exc.FilesError as error:
                if after != seen:  # the policy is for one page, and this one is another
                    attempt, started, seen = 1, self._clock(), after
                self._pause(error, attempt, started)
                attempt += 1

    def list(self, prefix: str, *, start_after: str = "", delimiter: str = "") -> Iterator[ObjectInfo | Prefix]:
        if self.limits.order == "none":
            # Nothing tells where an unordered listing stood. It is sorted by directories anyway: one is got again.
            yield from self._repeat(lambda: list(self.inner.list(prefix, start_after=start_after, delimiter=delimiter)))
            return
        yield from self._resumed(
            lambda after: self.inner.list(prefix, start_after=after, delimiter=delimiter),
            start_after,
            lambda item: item.key,
        )

    def names(self, prefix: str, *, start_after: str = "") -> Iterator[Sequence[str]]:
        if self.limits.order == "none":
            yield from self.inner.names(prefix, start_after=start_after)
            return
        yield from self._resumed(
            lambda after: filter(None, self.inner.names(prefix, start_after=after)), start_after, lambda page: page[-1]
        )

    def rows(self, prefix: str, *, start_after: str = "") -> Iterator[Sequence[Row]]:
        if self.limits.order == "none":
            yield from self.inner.rows(prefix, start_after=start_after)
            return
        yield from self._resumed(
            lambda after: filter(None, self.inner.rows(prefix, start_after=after)),
            start_after,
            lambda page: page[-1][0],
        )

    def multipart_parts(self, upload: MultipartRef) -> Iterator[Part]:
        yield from self._repeat(lambda: list(self.inner.multipart_parts(upload)))

    def multipart_list(self, prefix: str) -> Iterator[OpenUpload]:
        yield from self._repeat(lambda: list(self.inner.multipart_list(prefix)))
