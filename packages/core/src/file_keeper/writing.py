"""Writing with ``open``: the transfer engine the other way round."""

from __future__ import annotations

import codecs
import io
import sys
import threading
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from . import exc
from .backend.contract import MiB
from .data import FileData

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_CHUNK = 1 * MiB


class _Channel(io.RawIOBase):
    """What the writer puts in on one side the engine reads on the other; holds one chunk, so the writer is braked."""

    def __init__(self) -> None:
        super().__init__()
        self._chunk = memoryview(b"")
        self._changed = threading.Condition()
        self._ended = False
        self._error: BaseException | None = None
        self._deaf = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        with self._changed:
            while not (self._chunk or self._ended or self._error):
                self._changed.wait()
            if self._error is not None:
                raise self._error
            target = memoryview(buffer)
            count = min(len(target), len(self._chunk))
            target[:count] = self._chunk[:count]
            self._chunk = self._chunk[count:]
            if not self._chunk:
                self._changed.notify_all()
            return count

    def push(self, chunk: memoryview) -> None:
        """Hand over a chunk; returns when it was taken, or when nobody reads any more."""
        with self._changed:
            self._chunk = chunk
            self._changed.notify_all()
            while self._chunk and not self._deaf:
                self._changed.wait()
            self._chunk = memoryview(b"")  # not even an empty slice of the caller's buffer is held

    def finish(self, error: BaseException | None = None) -> None:
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def deafen(self) -> None:
        with self._changed:
            self._deaf = True
            self._changed.notify_all()


class _Outcome:
    """What the thread of a writer leaves. It must not hold the writer itself, which could never be collected then."""

    file: FileData | None = None
    failure: BaseException | None = None


class Writer(io.BufferedIOBase):
    """A writable binary file: ``close`` publishes, leaving it by an exception publishes nothing.

    It tells its position and does not seek. After ``close``, :attr:`file` is the data of the new file.

    :param send: stores a stream; run in a thread of its own
    """

    def __init__(self, send: Callable[[Any], FileData], name: str, mode: str):
        super().__init__()
        self.name = name
        self.mode = mode
        self._buffer = bytearray()
        self._position = 0
        self._channel = channel = _Channel()
        self._outcome = outcome = _Outcome()
        # An exception that is already being handled is not a reason to abort; one that comes later is.
        self._passing = sys.exc_info()[1]

        def work() -> None:
            try:
                outcome.file = send(channel)
            except BaseException as error:
                outcome.failure = error
            finally:
                channel.deafen()

        self._thread = threading.Thread(target=work, name="file-keeper-writer", daemon=True)
        self._thread.start()

    @property
    def file(self) -> FileData | None:
        """The data of the new file, once it is published."""
        return self._outcome.file

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: ReadableBuffer, /) -> int:
        """Take bytes. :raises FilesError: when the upload has failed"""
        if self.closed:
            raise ValueError("write to a closed file")
        view = memoryview(data).cast("B")
        self._check()
        if not self._buffer and len(view) >= _CHUNK:
            self._channel.push(view)
        else:
            self._buffer += view
            if len(self._buffer) >= _CHUNK:
                self._drain()
        self._position += len(view)
        return len(view)

    def _drain(self) -> None:
        full, self._buffer = self._buffer, bytearray()
        self._channel.push(memoryview(full))

    def _check(self) -> None:
        if self._outcome.failure is not None:
            raise self._outcome.failure

    def flush(self) -> None:
        """Do nothing: bytes are shown by ``close``, all at once."""

    def abort(self) -> None:
        """Close without publishing anything."""
        if not self.closed:
            self._channel.finish(exc.ContentError("the writer was aborted"))
            self._thread.join()
            super().close()

    def close(self) -> None:
        """Publish the file.

        :raises FilesError: when that fails; nothing is left then
        """
        if self.closed:
            return
        passing = sys.exc_info()[1]
        if passing is not None and passing is not self._passing:
            self.abort()
            return
        try:
            if self._buffer:
                self._drain()
        finally:
            self._channel.finish()
            self._thread.join()
            super().close()
        self._check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        if not self.closed:
            warnings.warn(
                f"unclosed writer of {self.name!r}: nothing was published", ResourceWarning, stacklevel=2, source=self
            )
            self.abort()


_BOMS = {"utf-16": codecs.BOM_UTF16, "utf-32": codecs.BOM_UTF32}


class TextWriter(io.TextIOWrapper):
    """Text over a :class:`Writer`; the same promises."""

    def __init__(self, writer: Writer, encoding: str | None, errors: str | None, newline: str | None):
        super().__init__(writer, encoding=encoding or "utf-8", errors=errors, newline=newline)
        self._writer = writer
        if bom := _BOMS.get(codecs.lookup(self.encoding).name):
            # Python writes none into what cannot seek, and could then not read back its own file.
            own = cast("dict[str, Any]", self.__dict__)

            def first(text: str, /) -> int:
                if text:
                    del own["write"]
                    writer.write(bom)
                return TextWriter.write(self, text)

            own["write"] = first

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._writer.abort()
        self.close()

    def close(self) -> None:
        """Publish the file; after an abort do nothing."""
        if not self._writer.closed:
            super().close()

    def __del__(self) -> None:
        # The writer warns and aborts when it is collected itself; flushing would publish.
        if not self._writer.closed:
            self._writer.__del__()
