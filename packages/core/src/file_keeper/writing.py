"""Writing with ``open``: the transfer engine the other way round."""

from __future__ import annotations

import codecs
import io
import os
import sys
import threading
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from . import ending, exc
from .backend.contract import MiB
from .data import FileData
from .workers import start

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_CHUNK = 1 * MiB
_MEMORY = 8 * MiB
_PATIENCE = 2.0
"""Seconds that a collected writer is waited for: the collection may hold up the very threads that it waits for."""

Send = Callable[[Any], FileData]


class _Side:
    """Where the bytes of a writer go. It must not hold the writer itself, which could never be collected then."""

    file: FileData | None = None
    failure: BaseException | None = None

    def push(self, chunk: memoryview) -> None:
        """Take a chunk; nothing of it is held when this returns."""
        raise NotImplementedError

    def finish(self, error: BaseException | None = None) -> None:
        """End the content, with an `error` that keeps it from being published."""
        raise NotImplementedError

    def wait(self, seconds: float | None = None) -> None:
        """Return when all is published or cleaned up, after `seconds` at the latest."""


class _Channel(_Side, io.RawIOBase):
    """What the writer puts in on one side the engine reads on the other; holds one chunk, so the writer is braked."""

    def __init__(self) -> None:
        super().__init__()
        self._chunk = memoryview(b"")
        self._changed = threading.Condition()
        self._ended = False
        self._error: BaseException | None = None
        self._deaf = False
        self._thread: threading.Thread | None = None

    def start(self, send: Send) -> bool:
        """Have a thread send what comes; return whether one could be started."""

        def work() -> None:
            try:
                self.file = send(self)
            except BaseException as error:
                self.failure = error
            finally:
                self._deafen()

        self._thread = start(work, "file-keeper-writer")
        return self._thread is not None

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
            try:
                while self._chunk and not (self._deaf or self._error):
                    self._changed.wait()
            except BaseException:
                # How much of it was taken nobody knows: what follows could not be put together right.
                self.finish(exc.ContentError("a write was interrupted"))
                raise
            finally:
                self._chunk = memoryview(b"")  # not even an empty slice of the caller's buffer is held

    def finish(self, error: BaseException | None = None) -> None:
        with self._changed:
            self._ended, self._error = True, self._error or error
            self._changed.notify_all()

    def wait(self, seconds: float | None = None) -> None:
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def _deafen(self) -> None:
        with self._changed:
            self._deaf = True
            self._changed.notify_all()


class _Spool(_Side):
    """Keeps the bytes and sends them at the end, in the writer's own thread, where no other can be started."""

    def __init__(self, send: Send):
        import tempfile

        self._send = send
        self._bytes = tempfile.SpooledTemporaryFile(_MEMORY)  # noqa: SIM115 - finish() closes it

    def push(self, chunk: memoryview) -> None:
        self._bytes.write(chunk)

    def finish(self, error: BaseException | None = None) -> None:
        if self._bytes.closed:
            return  # it has ended already
        with self._bytes as file:
            if error is not None:
                self.failure = error
                return
            try:
                file.seek(0)
                self.file = self._send(file)
            except BaseException as failure:
                self.failure = failure


class Writer(io.BufferedIOBase):
    """A writable binary file: ``close`` publishes, leaving it by an exception publishes nothing.

    It tells its position and does not seek. After ``close``, :attr:`file` is the data of the new file. One that is
    still open when the interpreter ends publishes nothing. In a child of the process it belongs to the parent.

    :param send: stores a stream; run in a thread of its own
    """

    _side: _Side | None = None  # until there is one there is nothing to abort

    def __init__(self, send: Send, name: str, mode: str):
        super().__init__()
        self.name = name
        self.mode = mode
        self._buffer = bytearray()
        self._position = 0
        self._process = os.getpid()
        # An exception that is already being handled is not a reason to abort; one that comes later is.
        self._passing = sys.exc_info()[1]
        channel = _Channel()
        self._side = channel if channel.start(send) else _Spool(send)
        ending.remember(self)

    @property
    def file(self) -> FileData | None:
        """The data of the new file, once it is published."""
        return self._side.file if self._side is not None else None

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: ReadableBuffer, /) -> int:
        """Take bytes. :raises FilesError: when the upload has failed"""
        side = self._mine()
        view = memoryview(data).cast("B")
        self._check(side)
        if not self._buffer and len(view) >= _CHUNK:
            side.push(view)
        else:
            self._buffer += view
            if len(self._buffer) >= _CHUNK:
                self._drain(side)
        self._position += len(view)
        return len(view)

    def _mine(self) -> _Side:
        if self.closed or self._side is None:
            raise ValueError("write to a closed file")
        if self._process != os.getpid():
            raise exc.ContentError("the writer belongs to the process that opened it: this one is its child")
        return self._side

    def _drain(self, side: _Side) -> None:
        full, self._buffer = self._buffer, bytearray()
        side.push(memoryview(full))

    @staticmethod
    def _check(side: _Side) -> None:
        if side.failure is not None:
            raise side.failure

    def flush(self) -> None:
        """Do nothing: bytes are shown by ``close``, all at once."""

    def abort(self) -> None:
        """Close without publishing anything."""
        self._leave(None)

    def abandon(self) -> None:
        """Abort without waiting until all is cleaned up."""
        self._leave(0)

    def _leave(self, seconds: float | None) -> None:
        if self.closed:
            return
        try:
            if self._side is not None and self._process == os.getpid():
                self._side.finish(exc.ContentError("the writer was aborted"))
                self._side.wait(seconds)
        finally:
            super().close()

    def close(self) -> None:
        """Publish the file.

        :raises FilesError: when that fails; nothing is left then
        """
        if self.closed:
            return
        if self._side is None:  # it was never made whole
            super().close()
            return
        passing = sys.exc_info()[1]
        if passing is not None and passing is not self._passing:
            self.abort()
            return
        try:
            side = self._mine()
            try:
                if self._buffer:
                    self._drain(side)
                side.finish()
                side.wait()
            except BaseException:
                side.finish(exc.ContentError("the writer was aborted"))
                side.wait()
                raise
        finally:
            super().close()
        self._check(side)

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
        # When the interpreter ends its other threads stand still: none of their locks may be asked for.
        if self._side is None or self.closed or sys.is_finalizing() or self._process != os.getpid():
            return
        warnings.warn(
            f"unclosed writer of {self.name!r}: nothing was published", ResourceWarning, stacklevel=2, source=self
        )
        self._leave(_PATIENCE)


_BOMS = {"utf-16": codecs.BOM_UTF16, "utf-32": codecs.BOM_UTF32}


class TextWriter(io.TextIOWrapper):
    """Text over a :class:`Writer`; the same promises."""

    def __init__(self, writer: Writer, encoding: str | None, errors: str | None, newline: str | None):
        self._writer = writer
        try:
            super().__init__(writer, encoding=encoding or "utf-8", errors=errors, newline=newline)
        except BaseException:
            writer.abort()
            raise
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
        if (writer := self.__dict__.get("_writer")) is not None:
            writer.__del__()
