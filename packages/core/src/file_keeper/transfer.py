"""The transfer engine: a stream becomes an object, concurrently, in bounded memory, all or nothing.

The caller's thread reads, hashes and cuts; a bounded number of workers sends. Whatever goes wrong anywhere, reading
stops, what is in flight is waited for, the upload is aborted at the provider, and the error goes to the caller.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from . import calls, contenttype, ending, exc
from .backend import Backend, MultipartRef, ObjectInfo, Part, PartsDiscardedError, WriteOptions
from .backend.contract import RESUMABLE_MULTIPLE, MiB
from .drafts import Draft, Known, UploadRequest, UploadResult
from .intake import Direct, Pipe, SourceReader, fill_piece, monotonic, new_buffer, part_sizes
from .resilience.budget import FREE, Share, Shared
from .settings import Settings, humanize_filesize
from .upload import Upload
from .workers import Workers, hosted

__all__ = ["Engine", "UploadRequest", "UploadResult", "discard", "send_piece", "undo"]

log = logging.getLogger("file_keeper")

PIPE_CHUNK = 1 * MiB
"""Bytes of a buffer where the backend takes a stream: it stays in the processor's cache between hash and write."""


class Engine:
    """Sends uploads to a backend.

    :param backend: with its errors translated and its calls repeated
    :param shared: what all uploads of the storage share: memory, threads
    """

    def __init__(self, backend: Backend[Any], settings: Settings, shared: Shared):
        self.backend = backend
        self.shared = shared
        self._threads = max(settings.max_concurrency, settings.max_buffer_memory // settings.part_size)
        self.part_size = settings.part_size
        self.threshold = settings.multipart_threshold
        self.concurrency = settings.max_concurrency
        self.algorithm = settings.hashing_algorithm
        self.wants_parts = "max_concurrency" in settings.given

    def send(self, upload: Upload, plan: UploadRequest) -> UploadResult:
        """Store an upload; see :meth:`file_keeper.Storage.upload` for what is promised.

        :raises ExistingFileError, ChangedFileError: by the conditions of the plan
        :raises UploadMismatchError: when the content is not what was declared
        """
        if plan.progress is not None:
            plan = dataclasses.replace(plan, progress=monotonic(plan.progress))
        with ending.transfer() as transfer:
            seekable = upload.seekable_stream is not None
            try:
                try:
                    return self._send(upload, plan, transfer)
                except PartsDiscardedError as error:
                    doubt = error.uncertain  # an attempt to publish went unanswered
                    self.lost(plan, error, seekable=seekable, again=seekable)
                try:
                    return self._send(upload, plan, transfer)
                except exc.FilesError as error:
                    error.uncertain = error.uncertain or doubt
                    if isinstance(error, PartsDiscardedError):
                        self.lost(plan, error, seekable=seekable)
                    raise
            finally:
                upload.release()

    def lost(
        self, plan: UploadRequest, error: PartsDiscardedError, *, seekable: bool = False, again: bool = False
    ) -> None:
        """Decide what becomes of an upload whose parts the provider dropped for another writer's sake."""
        if plan.if_absent:
            self.precheck(plan)
        if again:
            return
        why = "" if seekable else ", and the source cannot be read again"
        failure: exc.FilesError
        if plan.if_absent:
            failure = exc.ConnectionError(
                f"another writer of this location broke the upload and is gone{why}: try it again", code=error.code
            )
        else:
            failure = exc.ChangedFileError(f"another writer of this location broke the upload{why}", code=error.code)
        failure.uncertain = error.uncertain
        raise failure from error

    def precheck(self, plan: UploadRequest) -> None:
        """Refuse a location that is taken. :raises ExistingFileError:"""
        try:
            self.backend.head(plan.key)
        except exc.MissingFileError:
            return
        raise exc.ExistingFileError("there is a file already and overwriting is off")

    def _send(self, upload: Upload, plan: UploadRequest, transfer: ending.Transfer) -> UploadResult:
        limits, allowed = self.backend.limits, plan.allowed
        upload.rewind()
        if allowed is not None:
            allowed.check_size(upload.size)
        threshold = min(self.threshold, limits.put_max)
        single = upload.size is None or upload.size <= threshold
        needs = self._needs(upload.size, threshold)
        if needs <= FREE:
            return self._sent(upload, plan, transfer, threshold, single, Share(self.shared.budget))
        # What holds memory in asynchronous code needs the thread that would wait here.
        with self.shared.budget.share(needs, transfer.check, wait=plan.waits and not hosted()) as share:
            return self._sent(upload, plan, transfer, threshold, single, share)

    def _needs(self, size: int | None, threshold: int) -> int:
        """Return the bytes of buffers without which an upload cannot go on."""
        if size is not None and size <= threshold:
            return size
        limits = self.backend.limits
        part = min(max(self.part_size, limits.part_min), limits.part_max)
        head = threshold if size is None else 0
        if limits.streaming_put:
            return head + min(part, PIPE_CHUNK) * (self.concurrency + 1)
        if self._in_session:
            return max(head + part, 3 * part)
        return head + part

    @property
    def _in_session(self) -> bool:
        """Whether what is large goes by a native session."""
        return self.backend.limits.session and not (self.wants_parts and "multipart_create" in self.backend.verbs)

    def _sent(
        self,
        upload: Upload,
        plan: UploadRequest,
        transfer: ending.Transfer,
        threshold: int,
        single: bool,
        share: Share,
    ) -> UploadResult:
        limits, allowed = self.backend.limits, plan.allowed
        reader = SourceReader(upload, {self.algorithm, *plan.expected}, plan.progress, transfer, allowed)
        if upload.size is None:
            head = reader.look(max(threshold + 1, contenttype.SNIFF))
        else:
            head = reader.look(upload.size + 1 if single else contenttype.SNIFF)
        if allowed is not None:
            allowed.check_head(head[: contenttype.SNIFF], complete=reader.ended and len(head) <= contenttype.SNIFF)
        content_type = plan.content_type or upload.declared_type
        if not content_type:
            name = upload.filename or plan.name
            content_type = contenttype.detect(head, name, complete=reader.ended)
        draft = Draft(limits, self.algorithm, plan, content_type, upload.size)
        reader.tell(0)
        if single and reader.ended and reader.size <= threshold:
            reader.verify(plan.expected)
            digests = reader.digests
            reader.tell(reader.size)
            info = self.backend.put(plan.key, head, draft.options(digests, limits.put_digests, size=reader.size))
            return UploadResult(info, content_type, digests)
        del head  # the reader alone holds it from here on, until it is sent
        if plan.if_absent:
            self.precheck(plan)
        if limits.streaming_put:
            return self._stream(upload, reader, draft)
        if self._in_session:
            return self._session(upload, reader, draft)
        if "multipart_create" not in self.backend.verbs:
            raise exc.LargeUploadError(
                f"the content is larger than the {humanize_filesize(threshold)} that fit into one request, "
                "and this storage takes no parts"
            )
        return self._parts(upload, reader, draft, share)

    def known_before(self, upload: Upload, reader: SourceReader, draft: Draft, native: frozenset[str]) -> Known:
        """Learn the hash before anything is sent, where it must be set at creation and the source allows it."""
        if self.backend.limits.late_metadata or self.algorithm in native:
            return Known(reader, {}, native=True)
        expected = draft.plan.expected
        if self.algorithm in expected:
            return Known(reader, {self.algorithm: expected[self.algorithm]})
        if upload.seekable_stream is None:
            return Known(reader, {})
        before = upload.fingerprint()
        upload.rewind()
        first = SourceReader(upload, {self.algorithm, *expected}, None, reader.transfer, draft.plan.allowed)
        scratch = memoryview(bytearray(min(self.part_size, MiB)))
        while first.fill(scratch) == len(scratch):
            pass
        first.verify(expected)
        upload.rewind()
        # What is known needs no second hash; size and time of change are compared again when all is sent.
        again = SourceReader(upload, set(), draft.plan.progress, reader.transfer)
        return Known(again, first.digests, size=first.size, fingerprint=before)

    # -- parts ------------------------------------------------------------------------------------------------------

    def _parts(self, upload: Upload, reader: SourceReader, draft: Draft, share: Share) -> UploadResult:
        backend, limits, plan = self.backend, self.backend.limits, draft.plan
        native = limits.multipart_digests
        sizes = part_sizes(limits, self.part_size, upload.size)
        known = self.known_before(upload, reader, draft, native)
        reader = known.reader
        ref = MultipartRef(plan.key, backend.multipart_create(plan.key, draft.options(known.digests, native)))
        try:
            with self.shared.workers(self.concurrency, self._threads) as pool:
                parts = self._send_parts(ref, reader, sizes, share, pool)
            digests = known.finish(upload, plan.expected, reader)
            reader.tell(reader.size)
            info = backend.multipart_complete(ref, parts, draft.options(digests, native, size=reader.size))
        except BaseException as error:
            undo(error, lambda: backend.multipart_abort(ref))
            raise
        if not known.recorded:
            self.store_digests(info, digests)
        return UploadResult(info, draft.content_type, digests)

    def _send_parts(
        self, ref: MultipartRef, reader: SourceReader, sizes: Iterator[int], share: Share, pool: Workers
    ) -> list[Part]:
        backend = self.backend
        parts: list[Part] = []
        flying: dict[Future[Part], memoryview] = {}
        free: list[memoryview] = []
        memory = max(self.part_size, backend.limits.part_min) * (self.concurrency + 1)
        done = 0

        def collect(finished: set[Future[Part]]) -> None:
            nonlocal done
            calls.check()
            for future in finished:
                free.append(flying.pop(future))
                part = future.result()
                parts.append(part)
                done += part.size
            if not reader.ended or flying:
                reader.tell(done)

        def buffer_of(size: int) -> memoryview:
            """Return a buffer within the share; where that is used up, one that comes back."""
            while True:
                if free and len(free[-1]) == size:
                    return free.pop()
                free.clear()
                if share.extend(sum(map(len, flying.values())) + size):
                    return new_buffer(size)
                if not flying:
                    share.exchange(size, calls.check if reader.transfer is None else reader.transfer.check)
                    return new_buffer(size)
                collect(wait(flying, return_when=FIRST_COMPLETED).done)

        for number, size in enumerate(sizes):
            # While these fly, the next one is read and hashed.
            while len(flying) > (most := max(1, memory // size - 1)):
                collect(wait(flying, return_when=FIRST_COMPLETED).done)
            buffer = buffer_of(size)
            count = reader.fill(buffer)
            while count and len(flying) >= most:
                collect(wait(flying, return_when=FIRST_COMPLETED).done)
            if count:
                body = buffer[:count]
                flying[pool.submit(backend.multipart_put, ref, number, body)] = buffer
            if count < size:
                break
            collect({future for future in flying if future.done()})
        else:
            if reader.look(1):
                raise exc.LargeUploadError(
                    f"the content of unknown size does not fit into the {len(parts) + len(flying)} parts that this "
                    "provider takes: declare its size, or choose a larger part_size"
                )
        while flying:
            collect(wait(flying, return_when=FIRST_COMPLETED).done)
        return sorted(parts, key=lambda part: part.number)

    # -- a native session -------------------------------------------------------------------------------------------

    def _session(self, upload: Upload, reader: SourceReader, draft: Draft) -> UploadResult:
        backend, plan = self.backend, draft.plan
        native = backend.limits.put_digests
        known = Known(reader, {}, native=self.algorithm in native or "store_digests" not in backend.verbs)
        options = draft.options(known.digests, native)
        ref = MultipartRef(plan.key, backend.resumable_start(plan.key, options))
        size = max(RESUMABLE_MULTIPLE, self.part_size // RESUMABLE_MULTIPLE * RESUMABLE_MULTIPLE)
        pool = Workers(1)
        try:
            # Made one by one: what was read ahead is gone when the second is.
            made: list[memoryview] = []
            buffers = (made[i % 3] if i >= 3 else made.append(new_buffer(size)) or made[i] for i in itertools.count())
            flying: Future[int | ObjectInfo] | None = None
            offset, piece = 0, fill_piece(reader, next(buffers))
            while not (reader.ended and len(piece) < size):
                following = fill_piece(reader, next(buffers))
                if not following:
                    break
                if flying is not None:
                    flying.result()
                    reader.tell(offset)
                flying = pool.submit(send_piece, backend, ref, offset, piece, None, options)
                offset += len(piece)
                piece = following
            if flying is not None:
                flying.result()
            digests = known.finish(upload, plan.expected, reader)
            reader.tell(reader.size)
            options = draft.options(digests, native, size=reader.size)
            info = send_piece(backend, ref, offset, piece, reader.size, options)
            if isinstance(info, int):
                raise exc.ResumableUploadError(f"the provider has {info} of {reader.size} bytes and wants no more")
        except BaseException as error:
            pool.shutdown(wait=True, cancel_futures=True)
            undo(error, lambda: backend.resumable_cancel(ref))
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        if not known.recorded:
            self.store_digests(info, digests)
        return UploadResult(info, draft.content_type, digests)

    # -- a stream ---------------------------------------------------------------------------------------------------

    def _stream(self, upload: Upload, reader: SourceReader, draft: Draft) -> UploadResult:
        backend, plan = self.backend, draft.plan
        native = backend.limits.put_digests
        known = self.known_before(upload, reader, draft, native)
        reader = known.reader
        options = draft.options(known.digests, native)
        chunk = min(self.part_size, PIPE_CHUNK)

        def finish() -> dict[str, str]:
            digests = known.finish(upload, plan.expected, reader)
            reader.tell(reader.size)
            return digests

        with Workers(1) as pool:
            if pool.start():
                pipe = Pipe(upload.size, chunk, self.concurrency + 1)
                info = self._pipe(plan.key, pipe, pool, reader, options, finish)
            else:
                pipe = Direct(upload.size, chunk, reader, finish)
                with pipe.its_own_error():
                    info = backend.put(plan.key, pipe, options)
        if not known.recorded:
            self.store_digests(info, pipe.digests)
        return UploadResult(info, draft.content_type, pipe.digests)

    def _pipe(
        self,
        key: str,
        pipe: Pipe,
        pool: Workers,
        reader: SourceReader,
        options: WriteOptions,
        finish: Callable[[], dict[str, str]],
    ) -> ObjectInfo:
        """Read in this thread what another one gives to the backend."""
        future = pool.submit(self.backend.put, key, pipe, options)
        future.add_done_callback(lambda _: pipe.stop())
        try:
            while (buffer := pipe.acquire()) is not None:
                count = reader.fill(buffer)
                pipe.send(buffer[:count])
                if count < len(buffer):
                    pipe.end(finish())
                    break
                reader.tell(reader.size)
        except BaseException:
            pipe.abort()
            wait((future,))
            raise
        return future.result()

    # -- afterwards -------------------------------------------------------------------------------------------------

    def store_digests(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        """Record a hash that was not known when the object was made; the upload stands if that is refused."""
        value = digests.get(self.algorithm)
        if not value or "store_digests" not in self.backend.verbs:
            return
        try:
            self.backend.store_digests(info, {self.algorithm: value})
        except exc.FilesError as error:
            log.warning("the hash of %r could not be recorded, analyze will not know it: %s", info.key, error)


def send_piece(
    backend: Backend[Any], ref: MultipartRef, offset: int, piece: memoryview, total: int | None, options: WriteOptions
) -> int | ObjectInfo:
    """Send a piece of a session; what the provider did not take of it is sent again.

    :return: the bytes that the provider has, or the object when this was the last piece
    """
    end = offset + len(piece)
    stuck = 0
    while True:
        result = backend.resumable_send(ref, offset, piece, total, options)
        if not isinstance(result, int) or (result == end and total is None):
            return result
        if not offset <= result <= end:
            raise exc.ResumableUploadError(f"the provider has {result} bytes, sent were {offset} to {end}")
        stuck = 0 if result > offset else stuck + 1
        if stuck > 3:
            raise exc.ConnectionError(f"the provider takes nothing beyond byte {result}")
        piece = piece[result - offset :]
        offset = result


def undo(error: BaseException, abort: Callable[[], object]) -> None:
    """Clean up at the provider after `error`; what that raises becomes a note on it."""
    try:
        with calls.cleaning_up():
            abort()
    except exc.FilesError as failure:
        error.add_note(f"and the upload could not be aborted: {failure} (cleanup_uploads finds it)")


def discard(backend: Backend[Any], key: str) -> None:
    """Remove an object under the reserved name that has served. What was done stays done if that fails."""
    try:
        with calls.cleaning_up():
            backend.delete(key)
    except exc.FilesError as error:
        log.warning("%r could not be removed (cleanup_uploads finds it): %s", key, error)
