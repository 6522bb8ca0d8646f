"""An upload that is handed its bytes: nothing here waits for a source, so nothing holds a thread meanwhile.

The engine in :mod:`file_keeper.transfer` reads a source in the caller's thread. Where the bytes come from asynchronous
code, that thread would stand still as long as the code waits. So here the caller gathers the bytes and has each step
made by some thread: :meth:`Feed.take`, :meth:`Feed.send` for what that returns, :meth:`Feed.finish` or
:meth:`Feed.abort`. What is promised is the same.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from . import calls, contenttype, exc
from .backend import MultipartRef, ObjectInfo, Part, PartsDiscardedError
from .backend.contract import RESUMABLE_MULTIPLE
from .drafts import Draft, UploadRequest, UploadResult
from .intake import Tally, monotonic, part_sizes
from .resilience.budget import Share
from .transfer import Engine, send_piece, undo
from .types import Buffer
from .upload import Upload

if TYPE_CHECKING:
    from tempfile import SpooledTemporaryFile

_SPOOL = 8 << 20


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Bytes to be sent."""

    number: int
    body: memoryview


class Feed:
    """An upload of unknown size whose bytes are handed in.

    All of it is called by one caller, one step after the other; only :meth:`send` may be under way several times, as
    often as :attr:`most`.

    :param filename: tells the content type where the content does not
    """

    def __init__(self, engine: Engine, plan: UploadRequest, filename: str = ""):
        if plan.progress is not None:
            plan = dataclasses.replace(plan, progress=monotonic(plan.progress))
        self._engine = engine
        self._plan = plan
        self._filename = filename or plan.name
        self._limits = engine.backend.limits
        self._threshold = min(engine.threshold, self._limits.put_max)
        self._tally = Tally({engine.algorithm, *plan.expected}, plan.allowed)
        self._way: _Way | None = None
        self._rest = memoryview(b"")
        self._share: Share | None = None
        self.ended = False
        self.wants = max(self._threshold + 1, contenttype.SNIFF)
        """Bytes that :meth:`take` is to be given next, fewer only at the end of the content."""

    @property
    def begun(self) -> bool:
        """Whether there may be something to clean up."""
        return self._way is not None

    @property
    def most(self) -> int:
        """Pieces that may be under way at one time."""
        way, share = self._way, self._share
        if way is None or share is None or way.most == 1:
            return 1 if way is None else way.most
        size = way.size()
        fit = share.held // size - 2  # one is gathered, and one put together, meanwhile
        while fit < way.most and share.extend((fit + 3) * size):
            fit += 1
        return max(1, min(fit, way.most))

    def ask(self, *, wait: bool = True) -> Future[Share]:
        """Get in line for the memory without which it cannot go on; see :meth:`enter`.

        :param wait: false: take it at once
        """
        part = max(self._engine.part_size, self._limits.part_min, self._threshold)
        return self._engine.shared.budget.ask(3 * part, wait=wait)

    def enter(self, asked: Future[Share]) -> None:
        """Begin to hold memory, until the end."""
        self._share = asked.result()

    def withdraw(self, asked: Future[Share]) -> None:
        """Leave the line."""
        self._engine.shared.budget.withdraw(asked)

    def leave(self) -> None:
        """Hold no memory any more."""
        if self._share is not None:
            self._share.close()

    def take(self, gathered: list[Buffer]) -> Sequence[Piece]:
        """Put together and hash what was gathered; return the pieces to be sent.

        :param gathered: immutable; all in all :attr:`wants` bytes, fewer when the content has ended
        """
        calls.check()
        left = len(self._rest)
        if len(gathered) == 1 and not left:
            view = memoryview(gathered[0])
        else:
            view = memoryview(b"".join([self._rest, *gathered] if left else gathered))
        gathered.clear()
        self.ended = len(view) - left < self.wants
        self._tally.add(view[left:])
        if self._way is None:
            head = view
            if self._plan.allowed is not None:
                whole = self.ended and len(head) <= contenttype.SNIFF
                self._plan.allowed.check_head(head[: contenttype.SNIFF], complete=whole)
            content_type = self._plan.content_type or contenttype.detect(head, self._filename, complete=self.ended)
            draft = Draft(self._limits, self._engine.algorithm, self._plan, content_type, None)
            if self._plan.progress is not None:
                self._plan.progress(0, None)
            if self.ended and self._tally.size <= self._threshold:
                self._way = _Whole(self._engine, self._tally, draft, view)
                return ()
            if self._plan.if_absent:
                self._engine.precheck(self._plan)
            self._way = self._choose(draft)
        return self._cut(view)

    def _choose(self, draft: Draft) -> _Way:
        engine, verbs = self._engine, self._engine.backend.verbs
        in_parts = "multipart_create" in verbs
        if self._limits.session and not (engine.wants_parts and in_parts):
            return _Session(engine, self._tally, draft)
        if in_parts:
            return _Parts(engine, self._tally, draft)
        return _Spooled(engine, self._tally, draft)

    def _cut(self, view: memoryview) -> Sequence[Piece]:
        """Cut what is there into pieces; what is left begins the next buffer."""
        way = self._way
        assert way is not None
        pieces: list[Piece] = []
        size = way.size()
        while len(view) >= size or (self.ended and len(view)):
            pieces += way.piece(view[:size])
            view = view[size:]
            way.number += 1
            size = way.size()
        # A copy: a view of what little is left would hold all of it.
        self._rest = memoryview(bytes(view))
        self.wants = size - len(view)
        return pieces

    def send(self, piece: Piece) -> None:
        """Send a piece; :meth:`take` returned it."""
        assert self._way is not None
        try:
            self._way.send(piece)
        except PartsDiscardedError as error:
            self._engine.lost(self._plan, error)

    def finish(self) -> UploadResult:
        """Publish the file, once the content has ended and all pieces are sent."""
        assert self._way is not None
        try:
            return self._way.finish()
        except PartsDiscardedError as error:
            self._engine.lost(self._plan, error)
            raise
        finally:
            self.leave()

    def abort(self, error: BaseException) -> None:
        """Clean up; what that raises becomes a note on `error`."""
        way, self._way = self._way, None
        self.leave()
        if way is not None:
            undo(error, way.abort)


class _Way:
    """How the pieces of an upload reach the backend."""

    most = 1

    def __init__(self, engine: Engine, tally: Tally, draft: Draft):
        self.engine = engine
        self.backend = engine.backend
        self.tally = tally
        self.draft = draft
        self.number = 0
        self.done = 0
        self._lock = threading.Lock()

    def size(self) -> int:
        """Return the size of the next piece."""
        raise NotImplementedError

    def piece(self, body: memoryview) -> Sequence[Piece]:
        """Return what is to be sent now that `body` is there."""
        return [Piece(self.number, body)]

    def send(self, piece: Piece) -> None:
        """Send a piece."""
        raise NotImplementedError

    def sent(self, piece: Piece) -> None:
        """Account for a piece, and tell the progress."""
        with self._lock:
            self.done += len(piece.body)
            self.tell(self.done)

    def tell(self, done: int) -> None:
        if self.draft.plan.progress is not None:
            self.draft.plan.progress(done, None)

    def finish(self) -> UploadResult:
        """Publish the file."""
        raise NotImplementedError

    def abort(self) -> object:
        """Leave nothing behind."""


class _Whole(_Way):
    """One request, made at the end."""

    def __init__(self, engine: Engine, tally: Tally, draft: Draft, body: memoryview):
        super().__init__(engine, tally, draft)
        self._body = body

    def finish(self) -> UploadResult:
        tally, native = self.tally, self.backend.limits.put_digests
        tally.verify(self.draft.plan.expected)
        self.tell(tally.size)
        options = self.draft.options(tally.digests, native, size=tally.size)
        info = self.backend.put(self.draft.plan.key, self._body, options)
        return UploadResult(info, self.draft.content_type, tally.digests)


class _Parts(_Way):
    """Parts, several at a time."""

    def __init__(self, engine: Engine, tally: Tally, draft: Draft):
        super().__init__(engine, tally, draft)
        limits, algorithm = self.backend.limits, engine.algorithm
        native, expected = limits.multipart_digests, draft.plan.expected
        late = limits.late_metadata or algorithm in native
        self._known = {algorithm: expected[algorithm]} if not late and algorithm in expected else {}
        self._recorded = late or bool(self._known)
        self._native = native
        self._sizes = part_sizes(limits, engine.part_size, None)
        self._next: int | None = None
        self._last = -1
        self._memory = max(engine.part_size, limits.part_min) * (engine.concurrency + 1)
        self._parts: list[Part] = []
        options = draft.options(self._known, native)
        self._ref = MultipartRef(draft.plan.key, self.backend.multipart_create(draft.plan.key, options))

    def size(self) -> int:
        if self._last != self.number:
            self._last = self.number
            self._next = next(self._sizes, None)
            if self._next is not None:
                self.most = max(1, self._memory // self._next - 1)
        # One byte more than fits is enough to tell so.
        return self._next if self._next is not None else 1

    def piece(self, body: memoryview) -> Sequence[Piece]:
        if self._next is None:
            raise exc.LargeUploadError(
                f"the content of unknown size does not fit into the {self.number} parts that this provider takes: "
                "choose a larger part_size"
            )
        return super().piece(body)

    def send(self, piece: Piece) -> None:
        part = self.backend.multipart_put(self._ref, piece.number, piece.body)
        with self._lock:
            self._parts.append(part)
        self.sent(piece)

    def finish(self) -> UploadResult:
        tally, draft = self.tally, self.draft
        tally.verify(draft.plan.expected)
        digests = {**self._known, **tally.digests}
        self.tell(tally.size)
        parts = sorted(self._parts, key=lambda part: part.number)
        options = draft.options(digests, self._native, size=tally.size)
        info = self.backend.multipart_complete(self._ref, parts, options)
        if not self._recorded:
            self.engine.store_digests(info, digests)
        return UploadResult(info, draft.content_type, digests)

    def abort(self) -> object:
        return self.backend.multipart_abort(self._ref)


class _Session(_Way):
    """A native session: pieces that follow one another, the last one known as such."""

    def __init__(self, engine: Engine, tally: Tally, draft: Draft):
        super().__init__(engine, tally, draft)
        native = self.backend.limits.put_digests
        self._recorded = engine.algorithm in native or "store_digests" not in self.backend.verbs
        self._native = native
        self._options = draft.options({}, native)
        self._size = max(RESUMABLE_MULTIPLE, engine.part_size // RESUMABLE_MULTIPLE * RESUMABLE_MULTIPLE)
        self._offset = 0
        self._held: Piece | None = None
        self._ref = MultipartRef(draft.plan.key, self.backend.resumable_start(draft.plan.key, self._options))

    def size(self) -> int:
        return self._size

    def piece(self, body: memoryview) -> Sequence[Piece]:
        before, self._held = self._held, Piece(self.number, body)
        return [before] if before is not None else ()

    def send(self, piece: Piece) -> None:
        send_piece(self.backend, self._ref, self._offset, piece.body, None, self._options)
        self._offset += len(piece.body)
        self.sent(piece)

    def finish(self) -> UploadResult:
        tally, draft = self.tally, self.draft
        tally.verify(draft.plan.expected)
        digests = tally.digests
        self.tell(tally.size)
        body = self._held.body if self._held is not None else memoryview(b"")
        options = draft.options(digests, self._native, size=tally.size)
        info = send_piece(self.backend, self._ref, self._offset, body, tally.size, options)
        if not isinstance(info, ObjectInfo):
            raise exc.ResumableUploadError(f"the provider has {info} of {tally.size} bytes and wants no more")
        if not self._recorded:
            self.engine.store_digests(info, digests)
        return UploadResult(info, draft.content_type, digests)

    def abort(self) -> object:
        return self.backend.resumable_cancel(self._ref)


class _Spooled(_Way):
    """A temporary file, sent at the end: for what takes neither parts nor sessions."""

    def __init__(self, engine: Engine, tally: Tally, draft: Draft):
        import tempfile

        super().__init__(engine, tally, draft)
        self._file: SpooledTemporaryFile[bytes] = tempfile.SpooledTemporaryFile(_SPOOL)  # noqa: SIM115 - closed below

    def size(self) -> int:
        return 1 << 20

    def send(self, piece: Piece) -> None:
        self._file.write(piece.body)

    def finish(self) -> UploadResult:
        plan = dataclasses.replace(self.draft.plan, content_type=self.draft.content_type, waits=False)
        with self._file as file:
            file.seek(0)
            return self.engine.send(Upload(file, size=self.tally.size), plan)

    def abort(self) -> object:
        return self._file.close()
