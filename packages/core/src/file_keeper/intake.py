"""Where the bytes of an upload come from: read once, hashed, counted, cut; handed over in reused buffers."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

from . import calls, exc, hashing
from .backend import Limits
from .backend.contract import MiB
from .ending import Transfer
from .resilience.allowed import Allowed
from .settings import humanize_filesize
from .types import Progress
from .upload import Upload


def part_sizes(limits: Limits, part_size: int, size: int | None) -> Iterator[int]:
    """Return the sizes of the parts of an upload, one after the other.

    A known size is cut into equal parts. Of an unknown size the part doubles after each tenth of the provider's number
    of parts, so that any size that the provider can hold fits, unless it wants equal parts.

    :param size: bytes of the whole, ``None`` when unknown
    :raises LargeUploadError: when `size` does not fit
    """
    base = min(max(part_size, limits.part_min), limits.part_max)
    if size is not None:
        if size > limits.object_max:
            raise exc.LargeUploadError(
                f"the content has {humanize_filesize(size)}, "
                f"the largest object here {humanize_filesize(limits.object_max)}"
            )
        least = -(-size // limits.parts_max)
        if least > limits.part_max:
            raise exc.LargeUploadError(f"{humanize_filesize(size)} do not fit into {limits.parts_max} parts")
        if least > base:
            base = min(limits.part_max, -(-least // MiB) * MiB)
        return itertools.repeat(base)
    step = limits.parts_max if limits.equal_parts else max(1, limits.parts_max // 10)
    return (min(limits.part_max, base << (number // step)) for number in range(limits.parts_max))


_MAPPED = 1 * MiB


def new_buffer(size: int) -> memoryview:
    """Return a buffer whose memory is the system's again as soon as it is let go.

    The allocators of many threads keep what was freed, each its own: with large buffers that is more than is in use.
    """
    if size < _MAPPED:
        return memoryview(bytearray(size))
    import mmap  # not before it is needed

    if hasattr(mmap, "MAP_PRIVATE"):  # a child of the process must not see what is written later
        return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    return memoryview(mmap.mmap(-1, size))


def monotonic(progress: Progress) -> Progress:
    """Return a progress callback that is told only of what is new, whatever begins again beneath it."""
    told = -1

    def tell(done: int, total: int | None) -> None:
        nonlocal told
        if done > told:
            told = done
            progress(done, total)

    return tell


class Tally:
    """Counts and hashes what passes, and compares it with what was declared.

    :param allowed: what it is held to
    """

    def __init__(self, algorithms: Iterable[str], allowed: Allowed | None = None):
        self.size = 0
        self.allowed = allowed
        self._hashers = {name: hashing.new(name) for name in algorithms}
        self._final: tuple[int, dict[str, str]] = (-1, {})

    def add(self, view: memoryview) -> None:
        """Account for bytes. :raises LargeUploadError: they are more than are allowed"""
        self.size += len(view)
        if self.allowed is not None:
            self.allowed.check_size(self.size)
        for hasher in self._hashers.values():
            hasher.update(view)

    @property
    def digests(self) -> dict[str, str]:
        """The hashes of what was read."""
        if self._final[0] != self.size:
            self._final = self.size, {name: hasher.hexdigest() for name, hasher in self._hashers.items()}
        return self._final[1]

    def verify(self, expected: Mapping[str, str]) -> None:
        """Compare with declared hashes. :raises UploadHashMismatchError: when one differs"""
        found = self.digests
        for name, value in expected.items():
            if name in found and found[name] != value:
                raise exc.UploadHashMismatchError(f"the {name} of the content is {found[name]}, declared was {value}")


class SourceReader(Tally):
    """Reads an upload once: hashes, counts, compares with what was declared, tells the progress.

    :param transfer: what the reading belongs to; it ends with that
    :param allowed: what the content is held to
    """

    def __init__(
        self,
        upload: Upload,
        algorithms: set[str],
        progress: Progress | None,
        transfer: Transfer | None = None,
        allowed: Allowed | None = None,
    ):
        super().__init__(algorithms, allowed)
        self.transfer = transfer
        self.ended = False
        self._upload = upload
        self._head = memoryview(b"")
        self._progress = progress

    def look(self, size: int) -> memoryview:
        """Read up to `size` bytes ahead; :meth:`fill` gives them again."""
        target = new_buffer(size)
        self._head = target[: self._take(target)]
        return self._head

    def fill(self, target: memoryview) -> int:
        """Fill `target`; fewer bytes only at the end of the content."""
        count = min(len(self._head), len(target))
        if count:
            target[:count] = self._head[:count]
            # Nothing is kept of a beginning that was handed over: an empty slice would hold all of it.
            rest = self._head[count:]
            self._head = rest if len(rest) > len(self._head) // 16 else memoryview(bytes(rest))
        if count < len(target):
            count += self._take(target[count:])
        return count

    def _take(self, target: memoryview) -> int:
        if self.ended:
            return 0
        if self.transfer is not None:
            self.transfer.check()
        count = self._upload.read_into(target)
        if self.transfer is not None:
            self.transfer.check()
        self.ended = count < len(target)
        if self.ended:
            calls.source_ended()
        self.add(target[:count])
        declared = self._upload.size
        if declared is not None and (self.size > declared or (self.ended and self.size < declared)):
            raise exc.UploadSizeMismatchError(
                f"{declared} bytes were declared, "
                + (f"the source gave {self.size}" if self.ended else "the source gives more")
                + "; a file that is written to meanwhile goes as a stream without a size, up to the end that is "
                "reached: Upload(file)"
            )
        return count

    def tell(self, done: int) -> None:
        """Report the bytes sent to the user's callback; it may raise, which cancels the upload."""
        if self._progress is not None:
            self._progress(done, self._upload.size)


class Pipe:
    """A :class:`~file_keeper.backend.Source` that one thread fills while another drains it, with reused buffers."""

    def __init__(self, size: int | None, chunk: int, count: int):
        self.size = size
        self.digests: dict[str, str] = {}
        self._chunk = chunk
        self._unmade = count
        self._free: deque[memoryview] = deque()
        self._full: deque[memoryview] = deque()
        self._changed = threading.Condition()
        self._ended = self._aborted = self._stopped = False

    def acquire(self) -> memoryview | None:
        """Return a buffer to fill; ``None`` when nobody drains any more."""
        with self._changed:
            while not (self._free or self._unmade or self._stopped):
                self._changed.wait()
            if self._stopped:
                return None
            if self._free:
                return self._free.popleft()
            self._unmade -= 1
        return memoryview(bytearray(self._chunk))

    def send(self, filled: memoryview) -> None:
        self._set(lambda: self._full.append(filled))

    def end(self, digests: dict[str, str]) -> None:
        """Record that all is sent and in order."""
        self.digests = digests
        self._set(lambda: setattr(self, "_ended", True))

    def abort(self) -> None:
        """Make the draining thread fail: nothing may be published."""
        self._set(lambda: setattr(self, "_aborted", True))

    def stop(self) -> None:
        """Record that nobody drains any more."""
        self._set(lambda: setattr(self, "_stopped", True))

    def _set(self, change: Callable[[], object]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[memoryview]:
        while True:
            with self._changed:
                while not (self._full or self._ended or self._aborted):
                    self._changed.wait()
                if self._aborted:
                    raise exc.ContentError("the upload was aborted")
                if not self._full:
                    return
                view = self._full.popleft()
            if view:
                yield view
            with self._changed:
                self._free.append(memoryview(view.obj))
                self._changed.notify_all()


class Direct:
    """A :class:`~file_keeper.backend.Source` that reads as it is drained, where no other thread can be started.

    :param finish: called when all is read, before the backend learns that; returns the hashes
    """

    def __init__(self, size: int | None, chunk: int, reader: SourceReader, finish: Callable[[], dict[str, str]]):
        self.size = size
        self.digests: dict[str, str] = {}
        self._buffer = memoryview(bytearray(chunk))
        self._reader = reader
        self._finish = finish
        self._failure: BaseException | None = None

    def __iter__(self) -> Iterator[memoryview]:
        ended = False
        while not ended:
            try:
                count = self._reader.fill(self._buffer)
                ended = count < len(self._buffer)
                if not ended:
                    self._reader.tell(self._reader.size)
            except BaseException as error:
                raise self._failed(error) from error
            if count:
                yield self._buffer[:count]
        try:
            self.digests = self._finish()
        except BaseException as error:
            raise self._failed(error) from error

    def _failed(self, error: BaseException) -> exc.ContentError:
        self._failure = error
        return exc.ContentError("the upload was aborted")

    @contextlib.contextmanager
    def its_own_error(self) -> Generator[None]:
        """Raise what reading failed with, whatever the backend makes of that."""
        try:
            yield
        except BaseException:
            if self._failure is not None:
                raise self._failure from None
            raise


def fill_piece(reader: SourceReader, buffer: memoryview) -> memoryview:
    """Return a buffer filled as far as the content goes."""
    return buffer[: reader.fill(buffer)]
