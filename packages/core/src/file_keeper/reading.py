"""Reading: streams that survive a lost connection, ranges, the lazy seekable file."""

from __future__ import annotations

import dataclasses
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from . import attributes, exc, hashing
from .backend import Backend, Body, ObjectInfo
from .backend.contract import MiB
from .resilience.watch import current

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from .resilience.watch import Operation

log = logging.getLogger("file_keeper")

T = TypeVar("T")

CHUNK = 1 * MiB
"""Bytes of a chunk of a stream."""

_FIRST_WINDOW = 256 << 10
_RESUMES = 5


Tell = Callable[[exc.FilesError], None]
"""Told of each error before it is raised, to add where it happened."""


def _quiet(_: exc.FilesError) -> None:
    pass


@dataclasses.dataclass(frozen=True, slots=True)
class Verification:
    """Which hashes of an answer are compared when a content has been read as a whole (the option ``verify_reads``).

    Besides the hash that the provider keeps it is the one recorded with the object: another tool that writes new bytes
    under old metadata gives them a CRC that fits, but leaves a record that does not.

    :param mode: ``"auto"``: CRCs always, other hashes up to `threshold`; ``"always"``; ``"never"``;
        ``"records"``: only what a record shows to be wrong, for who compares the rest anyway
    :param threshold: bytes up to which ``"auto"`` computes a hash that costs more than the transfer
    """

    mode: str = "auto"
    threshold: int = 8 * MiB

    def choose(self, info: ObjectInfo) -> dict[str, str]:
        """Return the hashes expected, by algorithm; empty where none is compared."""
        if self.mode == "never":
            return {}
        if info.sealed:
            return {name: value for name, value in info.sealed.items() if hashing.digest_size(name)}
        kept, recorded = info.digests, attributes.recorded(info.metadata)
        known = {**recorded, **kept}
        affordable = self.mode == "always" or (self.mode == "auto" and 0 <= info.size <= self.threshold)
        chosen: dict[str, str] = {}
        if crc := next((name for name in hashing.CRCS if name in known and self.mode != "records"), ""):
            chosen[crc] = known[crc]
        for name, value in recorded.items():
            # One that the provider's own hash contradicts is looked into whatever it costs: one of the two is wrong.
            if kept[name] != value if name in kept else affordable:
                chosen[name] = value
        if affordable and not chosen and (other := next((name for name in known if hashing.digest_size(name)), "")):
            chosen[other] = known[other]
        return chosen


NO_VERIFICATION = Verification("never")
RECORDS = Verification("records")


def check_sums(found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Compare the hashes of a content that was read with those its object is kept with.

    :raises CorruptedFileError: when one differs
    """
    for algorithm, value in expected.items():
        if found[algorithm] == value:
            continue
        raise exc.CorruptedFileError(
            f"the content read has the {algorithm} {found[algorithm]}, the object is kept with {value}: it was damaged "
            "in the store or on its way, or changed by another tool; read it again, or from a backup (verify_reads "
            "'never' reads it as it is; stored again, it gets a new hash)"
        )


class ObjectStream(io.RawIOBase):
    """The bytes ``[start, end)`` of an object: iterable in chunks, readable, a context manager.

    Every answer is checked here, once for all backends: it must be of the version asked for, begin at the byte asked
    for and promise what was asked for. A connection that is lost half-way is opened again at the byte reached, and an
    answer that is shorter is continued where it ended, both pinned to the same version.

    :param etag: the version that is meant; ``""`` pins the version of the first answer
    :param size: bytes of the whole object in that version, -1 when not known
    :param verify: compares the hash of a whole object when its last byte was read
    :raises MissingFileError: when it is made, not at the first byte
    """

    _body: Body | None = None  # there is nothing to close in one that was never made whole

    def __init__(
        self,
        backend: Backend[Any],
        key: str,
        start: int = 0,
        end: int | None = None,
        *,
        etag: str = "",
        size: int = -1,
        tell: Tell = _quiet,
        verify: Verification = NO_VERIFICATION,
    ):
        super().__init__()
        self._backend = backend
        self._key = key
        self._tell = tell
        self._pin = etag
        self._size = size
        self._position = start
        self._end = end
        self._promised: int | None = 0
        self._failures = 0
        try:
            self._body = body = self._accept(backend.read(key, start, end, etag=etag))
        except exc.FilesError as error:
            tell(error)
            raise
        self.info = body.info
        self._expected = verify.choose(body.info) if not start and end is None else {}
        self._hashers = {name: hashing.new(name) for name in self._expected}

    @property
    def left(self) -> int:
        """Bytes not read yet; at least 1 where nothing tells how many."""
        return 1 << 40 if self._end is None else max(0, self._end - self._position)

    def readable(self) -> bool:
        return True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if chunk := self.read(CHUNK):
            return chunk
        raise StopIteration

    # -- answers ----------------------------------------------------------------------------------------------------

    def _accept(self, body: Body) -> Body:
        """Check an answer; close and refuse one that is not what was asked for."""
        wrong = self._judge(body)
        if wrong is not None:
            with suppress(Exception):
                body.close()
            raise wrong
        self._pin = self._pin or body.info.etag
        self._promised = body.length
        if body.info.size >= 0:
            self._size = body.info.size
        if self._size >= 0:
            self._end = self._size if self._end is None else min(self._end, self._size)
        elif not body.length and body.length is not None:
            self._end = self._position  # of unknown size, and nothing is left
        return body

    def _judge(self, body: Body) -> exc.FilesError | None:
        etag, size = body.info.etag, body.info.size
        if self._pin and etag != self._pin:
            if etag:
                return exc.ChangedFileError(
                    "the answer is of another version than the one asked for: the file was replaced"
                )
            return exc.ConnectionError(
                "the answer does not name the version that it is of, so it cannot be told from another one: the "
                "service, or a proxy before it, drops the ETag"
            )
        if self._size >= 0 and 0 <= size != self._size:
            return exc.ChangedFileError(f"the file had {self._size} bytes and has {size} now: it was replaced")
        if body.length != 0 and body.start is not None and body.start != self._position:
            return exc.ConnectionError(
                f"bytes from {self._position} on were asked for and the answer begins at byte {body.start}: the "
                "service, or a proxy before it, does not honour ranges"
            )
        return None

    def _reopen(self, error: exc.FilesError) -> None:
        """Open the rest again after a failure, or raise it."""
        self._failures += 1
        self._drop()  # also when it is the end: nobody closes a stream that has failed
        if self._failures > _RESUMES or not error.retryable:
            self._tell(error)
            raise error
        log.info("reading %r goes on at byte %d after: %s", self._key, self._position, error)
        self._body = self._open()

    def _open(self) -> Body:
        # The pin keeps two versions from being mixed.
        try:
            return self._accept(self._backend.read(self._key, self._position, self._end, etag=self._pin))
        except exc.FilesError as error:
            self._tell(error)
            raise

    def _drop(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            with suppress(Exception):
                body.close()

    def _check(self) -> Body | None:
        if self.closed:
            raise ValueError("the stream is closed")
        if self._body is None and self.left:
            self._body = self._open()
        return self._body

    def _short(self) -> exc.FilesError:
        return exc.ConnectionError(f"the content ended {self.left} bytes short", retryable=True)

    def _room(self, wanted: int) -> int:
        """Return how many of `wanted` bytes may be taken of this answer."""
        most = min(wanted, self.left)
        return most if self._promised is None else min(most, self._promised)

    def _fetch(self, wanted: int, take: Callable[[Body, int], T]) -> T | None:
        """Take up to `wanted` bytes, through failures; ``None`` at the end."""
        while (body := self._check()) is not None and self.left and wanted:
            try:
                room = self._room(wanted)
                if room and (taken := take(body, room)):
                    return taken
                if self._size < 0 and self._promised is None:
                    self._end = self._position  # nothing promised a length: the end of the connection is the end
                    self._finish()
                    return None
                raise self._short()
            except exc.FilesError as error:
                self._reopen(error)
        return None

    # -- reading ----------------------------------------------------------------------------------------------------

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes, ``b""`` only at the end; all that is left for -1."""
        if size is None or size < 0:
            return self.readall()
        chunk = self._fetch(size, lambda body, room: body.read(room)[:room])
        if chunk is None:
            return b""
        self._moved(chunk)
        return chunk

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Put up to as many bytes into `buffer` as it holds; 0 only at the end."""
        target = memoryview(buffer).cast("B")
        count = self._fetch(len(target), lambda body, room: body.readinto(target[:room]))
        if count is None:
            return 0
        self._moved(target[:count])
        return count

    def _moved(self, chunk: bytes | memoryview) -> None:
        count = len(chunk)
        self._position += count
        self._failures = 0
        if self._promised is not None:
            self._promised -= count
        for hasher in self._hashers.values():
            hasher.update(chunk)
        if not self.left:
            self._finish()
        elif self._promised == 0:
            self._drop()  # an answer shorter than asked for was read to its end: what follows is asked for next

    def _finish(self) -> None:
        self._drop()
        hashers, self._hashers = self._hashers, {}
        if hashers:
            try:
                check_sums({name: hasher.hexdigest() for name, hasher in hashers.items()}, self._expected)
            except exc.FilesError as error:
                self._tell(error)
                raise

    def readall(self) -> bytes:
        """Return all that is left."""
        self._check()
        first = self.read(self.left if self._end is not None else CHUNK) if self.left else b""
        if not self.left or not first:
            return first
        # BytesIO gives its buffer away without a copy: the content is in memory once.
        whole = io.BytesIO()
        whole.write(first)
        del first
        while chunk := self.read(CHUNK):
            whole.write(chunk)
        return whole.getvalue()

    def close(self) -> None:
        """Stop; the connection is closed."""
        if not self.closed:
            self._drop()
        super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class WatchedStream(ObjectStream):
    """A stream that ends the operation that opened it when it is exhausted or closed."""

    _watched: Operation | None = None

    def __init__(self, backend: Backend[Any], key: str, start: int = 0, end: int | None = None, **options: Any):
        super().__init__(backend, key, start, end, **options)
        self._watched = current()
        if self._watched is not None:
            self._watched.lazy = True

    def _fetch(self, wanted: int, take: Callable[[Body, int], T]) -> T | None:
        if self._watched is None:
            return super()._fetch(wanted, take)
        try:
            with self._watched.working():
                return super()._fetch(wanted, take)
        except BaseException as error:
            self._watched.end(error)
            raise

    def _finish(self) -> None:
        error: BaseException | None = None
        try:
            super()._finish()
        except exc.FilesError as raised:
            error = raised
            raise
        finally:
            if self._watched is not None:
                self._watched.end(error)

    def close(self) -> None:
        super().close()
        if self._watched is not None:
            self._watched.end()


class SeekableFile(io.RawIOBase):
    """A file that fetches only what is read: a seek costs nothing until bytes are wanted elsewhere.

    The first read asks for a little; who goes on reading gets the rest in one request.
    """

    _reader: ObjectStream | None = None  # nothing to close before the first read, nor when there is no such file

    def __init__(self, backend: Backend[Any], key: str, *, name: str = "", tell: Tell = _quiet):
        super().__init__()
        self._tell = tell
        self._backend = backend
        self._key = key
        self.info = backend.head(key)
        self.name = name or key
        self.mode = "rb"
        self._position = 0
        self._at = 0
        self._last_end = -1

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if self.closed:
            raise ValueError("the file is closed")
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.info.size}.get(whence)
        if base is None:
            raise ValueError(f"whence {whence!r} is not 0, 1 or 2")
        if base + offset < 0:
            raise ValueError(f"a position is not negative: {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self.closed:
            raise ValueError("the file is closed")
        target = memoryview(buffer).cast("B")
        if not target or self._position >= self.info.size:
            return 0
        reader = self._reader
        if reader is None or self._at != self._position or not reader.left:
            reader = self._open(len(target))
        count = reader.readinto(target)
        self._position += count
        self._at = self._position
        return count

    def readall(self) -> bytes:
        """Return all that is left, in one request more at most."""
        if self.closed:
            raise ValueError("the file is closed")
        if self._position >= self.info.size:
            return b""
        reader = self._reader
        if reader is None or self._at != self._position or self._last_end < self.info.size:
            self._last_end = self._position  # as one who goes on reading
            reader = self._open(0)
        content = reader.readall()
        self._position += len(content)
        self._at = self._position
        return content

    def _open(self, wanted: int) -> ObjectStream:
        sequential = self._position == self._last_end
        self._drop()
        end = None if sequential else self._position + max(wanted, _FIRST_WINDOW)
        self._reader = reader = ObjectStream(
            self._backend, self._key, self._position, end, etag=self.info.etag, size=self.info.size, tell=self._tell
        )
        self._at = self._position
        self._last_end = self._position + reader.left
        return reader

    def _drop(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """Stop; the connection is closed."""
        if not self.closed:
            self._drop()
        super().close()


class WatchedFile(SeekableFile):
    """A file that ends the operation that opened it when it is closed."""

    _watched: Operation | None = None

    def __init__(self, backend: Backend[Any], key: str, *, name: str = "", tell: Tell = _quiet):
        super().__init__(backend, key, name=name, tell=tell)
        self._watched = current()
        if self._watched is not None:
            self._watched.lazy = True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._at_work(lambda: super(WatchedFile, self).readinto(buffer))

    def readall(self) -> bytes:
        return self._at_work(super().readall)

    def _at_work(self, work: Callable[[], T]) -> T:
        if self._watched is None:
            return work()
        try:
            with self._watched.working():
                return work()
        except exc.FilesError as error:
            self._watched.end(error)
            raise

    def close(self) -> None:
        super().close()
        if self._watched is not None:
            self._watched.end()
