"""One policy of repeating, with one meaning on every backend.

Only what is safe is repeated, and a repeat after a lost answer recognises its own write by the random token that the
core puts into the metadata of each create (contract 6.1.3).
"""

from __future__ import annotations

import functools
import random
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

from .. import attributes, calls, exc
from ..backend import (
    Backend,
    MultipartRef,
    ObjectInfo,
    OpenUpload,
    Page,
    Part,
    Source,
    Wrapper,
    WriteOptions,
    advancing,
    outlives_errors,
    place_in,
    sends_of,
    was_look,
    was_unsent,
)
from ..types import Buffer
from .policy import Policy as Policy
from .watch import current

T = TypeVar("T")

DEFAULT = Policy()
"""What is done where the settings say nothing."""


def unanswered(error: exc.FilesError) -> bool:
    """Return whether the provider may have done what was asked although this error came back."""
    if not isinstance(error, exc.ConnectionError) or isinstance(error, exc.ThrottledError | exc.CircuitOpenError):
        return False
    return not _never_sent(error)


def _never_sent(error: BaseException) -> bool:
    """Return whether no change was asked for, as the connection was never made or it was a look: there is no doubt."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, ConnectionRefusedError | socket.gaierror) or was_look(cause) or was_unsent(cause):
            return True
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return False


class Retry(Wrapper):
    """Repeats transient failures, with exponential back-off and full jitter.

    :param sleep: waits the given seconds; a test may count instead
    :param clock: monotonic seconds
    """

    def __init__(
        self,
        inner: Backend[Any],
        policy: Policy | None = None,
        *,
        sleep: Callable[[float], object] = calls.sleep,
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__(inner)
        given: Policy | None = inner.settings.retry
        self.policy = policy or given or DEFAULT
        self._sleep = sleep
        self._clock = clock

    def _pause(self, error: exc.FilesError, attempt: int, started: float) -> None:
        """Wait before the next attempt, or raise `error` where there is none."""
        policy = self.policy
        if isinstance(error, exc.ThrottledError) or error.status == 503:
            calls.throttled(error)
        if not error.retryable or attempt >= policy.attempts:
            raise error
        pause = max(error.retry_after, random.uniform(0, min(policy.longest, policy.base * 2 ** (attempt - 1))))
        if self._clock() - started + pause > policy.timeout:
            raise error
        try:
            self._sleep(pause)
            calls.check()  # whether the call is still wanted, and has time left
        except exc.TimeoutError as late:
            raise late from error

    def around(self, verb: str, key: str, call: Callable[[], T]) -> T:
        if verb == "body":
            return self._received(call)
        if verb == "item":
            return call()
        if verb == "move":  # a rename is not repeated: after a lost answer the source is gone either way
            return self._watched(call)()
        return self._repeat(call)

    def _received(self, call: Callable[[], T]) -> T:
        calls.check()
        result = call()
        if (operation := current()) is not None:
            operation.received += result if isinstance(result, int) else len(cast("bytes", result))
        return result

    def _watched(self, call: Callable[[], T], sent: int = 0) -> Callable[[], T]:
        """Return a call that tells of each time it is made, where somebody listens."""
        operation = current()
        return call if operation is None else operation.attempts(call, sent)

    def _repeat(
        self, call: Callable[[], T], settle: Callable[[exc.FilesError], T] | None = None, *, sent: int = 0
    ) -> T:
        """Call until it succeeds or must not be repeated.

        :param sent: bytes of the body of its request
        :param settle: asked about the final error when an attempt went unanswered: it looks what became of that
            attempt, and returns its result or raises the error that the caller gets
        """
        attempt, started, lost = 1, self._clock(), False
        call = self._watched(call, sent)
        calls.check()
        while True:
            try:
                if attempt < self.policy.attempts:
                    return call()
                with calls.final():
                    return call()
            except exc.FilesError as error:
                attempt += sends_of(error) - 1
                lost = lost or unanswered(error)
                try:
                    self._pause(error, attempt, started)
                except exc.FilesError as final:
                    if lost and settle is not None:
                        return settle(final)
                    raise
                attempt += 1

    def _own(self, key: str, options: WriteOptions) -> Callable[[exc.FilesError], ObjectInfo]:
        """Return the look whether the object at `key` is what this very call wrote, by the token in its metadata."""
        token = attributes.token_of(options.metadata)

        def is_own(info: ObjectInfo) -> bool:
            return bool(token) and attributes.token_of(info.metadata) == token

        return self._look(key, is_own, tells=bool(token))

    def _look(
        self, key: str, is_own: Callable[[ObjectInfo], bool], *, tells: bool = True
    ) -> Callable[[exc.FilesError], ObjectInfo]:
        """Return the look that settles what became of an unanswered attempt.

        :param tells: one's own can be told from another's, which it cannot where no metadata is kept
        """

        def settle(error: exc.FilesError) -> ObjectInfo:
            try:
                # The service may be gone for good, which the attempts have shown already: then one look is enough.
                look = self.inner.head if isinstance(error, exc.ConnectionError) else self.head
                info = look(key)
            except exc.MissingFileError:
                info = None
            except exc.FilesError as failure:
                error.add_note(f"what became of the unanswered attempt could not be found out: {failure}")
                info = None
            if info is not None and is_own(info):
                return info
            # A conflict with what another wrote is an answer, where that can be told. In anything else the attempt
            # may still come through.
            refused = tells and info is not None and isinstance(error, exc.ExistingFileError | exc.ChangedFileError)
            error.uncertain = not refused
            raise error

        return settle

    def _end(self, call: Callable[[], bool], is_gone: Callable[[], bool] | None = None) -> bool:
        """Repeat what ends something and tells whether it was there: what an unanswered attempt ended was.

        :param is_gone: looks whether it is there, when the last answer does not tell
        """
        lost = False

        def once() -> bool:
            nonlocal lost
            try:
                return call() or lost
            except exc.FilesError as error:
                lost = lost or unanswered(error)
                raise

        def settle(error: exc.FilesError) -> bool:
            try:
                if is_gone is not None and is_gone():
                    return True
            except exc.FilesError as failure:
                error.add_note(f"what became of the unanswered attempt could not be found out: {failure}")
            error.uncertain = True
            raise error

        return self._repeat(once, settle)

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        settle = self._own(key, options)
        if isinstance(body, bytes | bytearray | memoryview):
            return self._repeat(lambda: self.inner.put(key, body, options), settle, sent=len(body))
        try:  # a stream is consumed by its first try
            return self._watched(lambda: self.inner.put(key, body, options))()
        except exc.FilesError as error:
            if unanswered(error):
                return settle(error)
            raise

    def multipart_put(self, upload: MultipartRef, number: int, body: Buffer) -> Part:
        return self._repeat(lambda: self.inner.multipart_put(upload, number, body), sent=len(body))

    def delete(self, key: str, *, etag: str = "") -> bool:
        def is_gone() -> bool:
            try:
                self.inner.head(key)
            except exc.MissingFileError:
                return True
            return False

        return self._end(lambda: self.inner.delete(key, etag=etag), is_gone)

    def delete_many(self, keys: Sequence[str]) -> Iterable[tuple[str, Exception]]:
        """Repeat the request where it fails, and those of its keys whose failure was transient where it does not."""
        attempt, started, lost = 1, self._clock(), False

        def once() -> dict[str, Exception]:
            nonlocal lost
            try:
                return dict(self.inner.delete_many(keys))
            except exc.FilesError as error:
                lost = lost or unanswered(error)
                raise

        def settle(error: exc.FilesError) -> dict[str, Exception]:
            error.uncertain = True
            raise error

        failures = self._repeat(once, settle)
        while transient := {
            key: error for key, error in failures.items() if isinstance(error, exc.FilesError) and error.retryable
        }:
            try:
                self._pause(max(transient.values(), key=lambda error: error.retry_after), attempt, started)
                keys, attempt = list(transient), attempt + 1
                answered = self._repeat(once)
            except exc.FilesError:
                break  # what was told of them before stands
            failures = {key: error for key, error in failures.items() if key not in transient} | answered
        for error in failures.values():
            if lost and isinstance(error, exc.FilesError):
                error.uncertain = True  # the attempt that went unanswered may have removed it
        return failures.items()

    def multipart_abort(self, upload: MultipartRef) -> bool:
        return self._end(lambda: self.inner.multipart_abort(upload))

    def resumable_cancel(self, upload: MultipartRef) -> bool:
        return self._end(lambda: self.inner.resumable_cancel(upload))

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        own = self._own(upload.key, options)

        def settle(error: exc.FilesError) -> ObjectInfo:
            info = own(error)
            # The attempt that published it never came to tidying up after itself.
            with suppress(exc.FilesError):
                self.inner.multipart_abort(upload)
            return info

        return self._repeat(lambda: self.inner.multipart_complete(upload, parts, options), settle)

    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        settle = self._own(key, options) if options.metadata else self._copied(source.key, key)
        return self._repeat(lambda: self.inner.copy(source, key, options), settle)

    def _copied(self, source: str, key: str) -> Callable[[exc.FilesError], ObjectInfo]:
        """Return the look whether the object at `key` is a copy of `source`, whose token the provider copies too."""

        def is_own(there: ObjectInfo) -> bool:
            here = self.head(source)
            if (there.size, dict(there.digests)) != (here.size, dict(here.digests)):
                return False
            return attributes.token_of(there.metadata) == attributes.token_of(here.metadata)

        return self._look(key, is_own)

    def store_digests(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        def is_recorded(found: ObjectInfo) -> bool:
            # Where a record makes another version (Azure), the first attempt's own is what the second one meets.
            return found.size == info.size and set(attributes.all_digests(found).items()).issuperset(digests.items())

        self._repeat(lambda: self.inner.store_digests(info, digests) or info, self._look(info.key, is_recorded))

    def compose(self, sources: Sequence[ObjectInfo], key: str, options: WriteOptions) -> ObjectInfo:
        return self._repeat(lambda: self.inner.compose(sources, key, options), self._own(key, options))

    def append(self, target: ObjectInfo, body: Buffer, options: WriteOptions) -> ObjectInfo:
        return self._repeat(
            lambda: self.inner.append(target, body, options), self._own(target.key, options), sent=len(body)
        )

    def resumable_send(
        self, upload: MultipartRef, offset: int, body: Buffer, total: int | None, options: WriteOptions
    ) -> int | ObjectInfo:
        attempt, started, lost = 1, self._clock(), False
        settle = self._own(upload.key, options)
        send = self._watched(lambda: self.inner.resumable_send(upload, offset, body, total, options), len(body))
        look = self._watched(lambda: self.inner.resumable_offset(upload, total))
        calls.check()
        while True:
            sending = False
            try:
                if attempt > 1:
                    # The provider's own offset is the truth: what it has is not sent again. Asking for it is part of
                    # the attempt, so that neither request is sent more often than the policy allows.
                    with calls.final():
                        reached = look()
                    if not isinstance(reached, int) or reached != offset:
                        return reached
                sending = True
                return send()
            except exc.FilesError as error:
                lost = lost or (sending and unanswered(error))
                try:
                    self._pause(error, attempt, started)
                except exc.FilesError:
                    # It may have forgotten a session that it finished, or tell nothing of it any more.
                    if lost and total is not None:
                        return settle(error)
                    raise
                attempt += 1

    def _resumed(self, start: Callable[[str], Iterator[Page]], iterator: Iterator[Page], after: str) -> Iterator[Page]:
        """Go through a listing; a page that fails is asked for again.

        An iterator that outlives its errors (:class:`file_keeper.backend.Pages`) asks for that page by its token. Any
        other is begun again behind the last key that was given, which only a provider with a known order can do.
        """
        attempt, started, seen = 1, self._clock(), after
        place = place_in(self.limits.order)
        while True:
            try:
                following = functools.partial(next, iterator, None)
                while (page := self._watched(following)()) is not None:
                    yield page
                    after = max((*page.keys[-1:], *page.prefixes[-1:]), key=place, default=after)
                return
            except exc.FilesError as error:
                if after != seen:  # the policy is for one page, and this one is another
                    attempt, started, seen = 1, self._clock(), after
                self._pause(error, attempt, started)
                attempt += 1
                if not outlives_errors(iterator):
                    iterator = start(after)

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        def start(after: str) -> Iterator[Page]:
            return self.inner.list(prefix, start_after=after, delimiter=delimiter, keys_only=keys_only)

        first = start(start_after)
        if self.limits.order == "none" and not outlives_errors(first):
            # Nothing tells where an unordered listing stood. It is sorted by directories anyway: one is got again.
            yield from self._repeat(lambda: list(advancing(start(start_after))))
        else:
            yield from self._resumed(start, first, start_after)

    def multipart_parts(self, upload: MultipartRef) -> Iterator[Part]:
        yield from self._repeat(lambda: list(self.inner.multipart_parts(upload)))

    def multipart_list(self, prefix: str) -> Iterator[OpenUpload]:
        yield from self._repeat(lambda: list(self.inner.multipart_list(prefix)))
