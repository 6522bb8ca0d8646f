"""Open files, asynchronously."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, AnyStr, Generic, Self, cast

from .. import ending
from ..data import FileData
from ..types import Buffer
from .contexts import Opening
from .feeders import Feeder
from .runtime import anyio
from .threads import Threads

_SLICE = 64 << 10


class AsyncReader(Opening, Generic[AnyStr]):
    """A file open for reading: seekable, fetches only what is read; every step is made in a thread.

    :param open: opens it
    """

    _file: Any = None

    def __init__(self, threads: Threads, open: Callable[[], Any]):
        self._threads = threads
        self._open: Callable[[], Any] | None = open
        self._lock: anyio.Lock | None = None

    async def _self(self) -> Self:
        opening, self._open = self._open, None
        if opening is not None:
            self._file = await self._threads.ask(opening, drop=_close)
        return self

    @property
    def closed(self) -> bool:
        """Whether it is closed, or not open yet."""
        return self._file is None

    async def _do(self, step: str, *args: Any) -> Any:
        if self._file is None:
            raise ValueError("I/O operation on a file that is closed or not open yet")
        if self._lock is None:
            self._lock = anyio.Lock()
        async with self._lock:
            file = self._file
            if file is None:
                raise ValueError("I/O operation on closed file")
            try:
                return await self._threads.ask(getattr(file, step), *args, left=file.close)
            except anyio.get_cancelled_exc_class():
                self._file = None
                raise

    async def read(self, size: int | None = -1, /) -> AnyStr:
        """Return up to `size` bytes or characters, fewer only at the end; all that is left for -1."""
        return await self._do("read", size)

    async def readline(self, size: int = -1, /) -> AnyStr:
        """Return a line with its end, or up to `size` of it."""
        return await self._do("readline", size)

    async def readlines(self, hint: int = -1, /) -> list[AnyStr]:
        """Return the lines that are left, or until `hint` bytes or characters are there."""
        return await self._do("readlines", hint)

    async def readinto(self, buffer: bytearray | memoryview, /) -> int:
        """Fill `buffer`; return the number of bytes, fewer than fit only at the end. Of binary files only."""
        return await self._do("readinto", buffer)

    async def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a position and return it."""
        return await self._do("seek", offset, whence)

    async def tell(self) -> int:
        """Return the position."""
        return await self._do("tell")

    def readable(self) -> bool:
        """Return ``True``."""
        return True

    def seekable(self) -> bool:
        """Return ``True``."""
        return True

    def writable(self) -> bool:
        """Return ``False``."""
        return False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyStr:
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close it. Again is fine."""
        file, self._file, self._open = self._file, None, None
        if file is not None:
            await self._threads.close(file.close)

    close = aclose

    def __del__(self) -> None:
        if self._file is not None:
            self._threads.clean(self._file.close)


def _close(file: Any) -> None:
    file.close()


class _Encoder(io.BufferedIOBase):
    """Keeps what the text layer writes, until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._data = bytearray()
        self._taken = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True  # the text layer begins with its byte order mark only where it could look for the beginning

    def tell(self) -> int:
        return self._taken + len(self._data)

    def write(self, data: Any, /) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytearray:
        taken, self._data = self._data, bytearray()
        self._taken += len(taken)
        return taken


class AsyncWriter(Opening, Generic[AnyStr]):
    """A file open for writing: :meth:`close` publishes.

    Left by an exception or a cancellation it publishes nothing.

    While it waits for more it holds no thread. It tells its position and does not seek. After ``close``, `file`
    is the data of the new file.
    """

    _feeder: Feeder | None = None
    file: FileData | None = None

    def __init__(self, begin: Callable[[], Feeder], name: str, mode: str, text: dict[str, Any] | None):
        self._begin: Callable[[], Feeder] | None = begin
        self.name = name
        self.mode = mode
        self._encoder = _Encoder() if text is not None else None
        self._text = io.TextIOWrapper(cast("Any", self._encoder), **text) if text is not None else None

    async def _self(self) -> Self:
        begin, self._begin = self._begin, None
        if begin is not None:
            self._feeder = begin()
            ending.remember(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
        else:
            await self._abort(error)

    @property
    def closed(self) -> bool:
        """Whether it is closed, or not open yet."""
        return self._feeder is None

    def _mine(self) -> Feeder:
        if self._feeder is None:
            raise ValueError("write to a file that is closed or not open yet")
        return self._feeder

    async def write(self, data: AnyStr | Buffer, /) -> int:
        """Take bytes or text; return when there is room for more.

        :raises FilesError: when the upload has failed; nothing is published then
        """
        feeder = self._mine()
        try:
            if self._text is None:
                view = memoryview(cast("Buffer", data)).cast("B")
                await feeder.write(view)
                return len(view)
            text = cast("str", data)
            if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"write() argument must be str, not {type(data).__name__}")
            for start in range(0, len(text), _SLICE):
                self._text.write(text[start : start + _SLICE])
                await self._drain(feeder)
            return len(text)
        except (TypeError, UnicodeError):
            raise
        except BaseException as error:
            await self._abort(error)
            raise

    async def _drain(self, feeder: Feeder) -> None:
        if self._text is not None and self._encoder is not None:
            self._text.flush()
            await feeder.write(self._encoder.take())

    async def writelines(self, lines: Any, /) -> None:
        """Write what an iterable gives, without adding line ends."""
        for line in lines:
            await self.write(line)

    async def tell(self) -> int:
        """Return the number of bytes written."""
        return self._mine().position

    async def flush(self) -> None:
        """Do nothing: bytes are shown by :meth:`close`, all at once."""

    def readable(self) -> bool:
        """Return ``False``."""
        return False

    def seekable(self) -> bool:
        """Return ``False``."""
        return False

    def writable(self) -> bool:
        """Return ``True``."""
        return True

    async def aclose(self) -> None:
        """Publish the file. Again is fine.

        :raises FilesError: when that fails; nothing is left then
        """
        feeder = self._feeder
        if feeder is None:
            return
        try:
            await self._drain(feeder)
            await feeder.drain()
            self.file = await feeder.finish()
        except BaseException as error:
            await self._abort(error)
            raise
        self._feeder = None

    close = aclose

    async def abort(self) -> None:
        """Close without publishing anything."""
        await self._abort(ValueError("aborted"))

    async def _abort(self, error: BaseException) -> None:
        feeder, self._feeder, self._begin = self._feeder, None, None
        if feeder is not None:
            await feeder.abort(error)

    def abandon(self) -> Future[Any] | None:
        """Abort without waiting; return what ends with it."""
        feeder, self._feeder, self._begin = self._feeder, None, None
        return feeder.abandon() if feeder is not None else None

    def __del__(self) -> None:
        if self._feeder is not None:
            warnings.warn(
                f"unclosed writer of {self.name!r}: nothing was published", ResourceWarning, stacklevel=2, source=self
            )
            self.abandon()
