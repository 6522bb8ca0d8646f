"""Upload: what is given to a storage; and the ways to make one."""

from __future__ import annotations

import errno
import functools
import io
import os
import stat
from collections.abc import Callable, Iterable
from typing import Any, cast

from . import contenttype, exc
from .sources import check_open, check_whole, refuse_async
from .streams import BufferReader, HashingReader, IterableBytesReader, PathReader, PeekingReader, fill, is_seekable
from .types import Readable


class Upload:
    """A stream of bytes with what is known of it.

    It remembers where its stream stood when it was made. The stream is read from there to its end and never closed,
    unless the library opened it itself.

    :param stream: anything with ``read``; it need not be able to seek
    :param filename: a name to tell the content type from, nothing else
    :param size: bytes from the current position to the end; ``None`` when unknown
    :param content_type: media type; ``""`` to tell it from the content, then from the name
    :raises TypeError: when `stream` has no ``read``, or is a stream of text, or an asynchronous one
    :raises ContentError: when `stream` is closed
    :raises UploadError: when the size is negative or the content type is none
    """

    def __init__(
        self,
        stream: Readable,
        filename: str = "",
        size: int | None = None,
        content_type: str = "",
        *,
        owned: bool = False,
    ):
        refuse_async(stream)
        if not hasattr(stream, "read") or isinstance(stream, io.TextIOBase):
            raise TypeError(f"an upload needs a binary stream with read(), not {type(stream).__name__}")
        if size is not None and size < 0:
            raise exc.ContentError(f"the size of an upload is not negative: {size}")
        check_open(stream)
        self.filename = filename or ""
        self.size = size
        self._content_type = check_content_type(content_type)
        self._owned: Any = stream if owned else None
        self._seekable = is_seekable(stream)
        if not self._seekable and not isinstance(stream, IterableBytesReader):
            stream = PeekingReader(stream)  # it counts, and can be looked into
        self._origin = cast("Any", stream).tell()
        self._begun = False
        self._read = 0
        self.stream: Any = stream

    @property
    def content_type(self) -> str:
        """The media type given, else told from the first bytes (where they can be looked at) and the name."""
        if not self._content_type:
            head = self.peek()
            if head is not None:
                self._content_type = contenttype.detect(head, self.filename, complete=len(head) < contenttype.SNIFF)
        return self._content_type

    @property
    def declared_type(self) -> str:
        """The media type as far as it is known without a look at the content."""
        return self._content_type

    def peek(self) -> bytes | None:
        """Return the first bytes without moving on; ``None`` where the stream allows no such look."""
        if self._seekable:
            here = self.stream.tell()
            self.stream.seek(self._origin)
            try:
                head = bytearray(contenttype.SNIFF)
                return bytes(head[: fill(self.stream, memoryview(head))])
            finally:
                self.stream.seek(here)
        if self.stream.tell() == self._origin:
            return self.stream.peek(contenttype.SNIFF)
        return None

    @property
    def seekable_stream(self) -> Any:
        """The stream if it can be read again, else ``None``."""
        return self.stream if self._seekable else None

    def hashing_reader(self, **kw: Any) -> HashingReader:
        """Return a reader of the stream that hashes; `kw` as for :class:`HashingReader`."""
        return HashingReader(self.stream, **kw)

    # What follows is for the transfer engine.

    def rewind(self) -> None:
        """Go to where the stream stood when the upload was made.

        :raises ContentError: when it was read from and cannot seek: a remainder is never stored; when it is closed
        """
        check_open(getattr(self.stream, "source", self.stream))
        self._read = 0
        if self._seekable:
            self.stream.seek(self._origin)
        elif self._begun or self.stream.tell() != self._origin:
            raise exc.ContentError(
                f"the source is already read up to byte {self.stream.tell()} and cannot be read again: "
                "make a new upload"
            )

    def read_into(self, target: memoryview) -> int:
        """Fill `target` from the stream; fewer bytes only at its end.

        :raises UploadSizeMismatchError: when the stream ends and says that it still owes something
        :raises ContentError: when it is closed
        """
        self._begun = True
        try:
            count = fill(self.stream, target)
        except ValueError:
            check_open(getattr(self.stream, "source", self.stream))
            raise
        if count < len(target):
            check_whole(self.stream, self._read + count)
        self._read += count
        return count

    def fingerprint(self) -> tuple[int, int] | None:
        """Return size and time of change (ns) of the file behind the stream, if there is one."""
        try:
            status = os.fstat(self.stream.fileno())
        except (AttributeError, OSError, ValueError):
            return None
        return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None

    def release(self) -> None:
        """Close what the library opened."""
        if self._owned is not None:
            self._owned.close()

    def __repr__(self) -> str:
        size = "unknown" if self.size is None else self.size
        return f"Upload({self.filename!r}, size={size}, content_type={self._content_type!r})"


def check_content_type(value: str) -> str:
    """Return a media type as it was given. :raises WrongUploadTypeError: when it is none"""
    if value and not contenttype.valid(value):
        raise exc.WrongUploadTypeError(f"{value!r} is not a content type")
    return value


def _remaining(stream: Any) -> int | None:
    """Return the bytes from a stream's position to its end; ``None`` when it cannot tell."""
    if not is_seekable(stream):
        return None
    if _may_lie(stream):
        return None
    here = stream.tell()
    try:
        end = stream.seek(0, io.SEEK_END)
        if end is None:
            end = stream.tell()
        size = max(0, end - here)
    except OSError:
        size = 0  # files of the kernel do not know their end
    finally:
        stream.seek(here)
    if not size and not isinstance(stream, io.BytesIO):
        # Files of the kernel say that they are empty and are not.
        size = None if stream.read(1) else 0
        stream.seek(here)
    return size


_PAGES = 1 << 20


def _may_lie(stream: Any) -> bool:
    """Return whether the size that the system tells may be none: files of the kernel (sysfs) claim a page each.

    They take no blocks. So do small files with nothing but a hole in them, which lose nothing by an unknown size.
    """
    try:
        return _claims(os.fstat(stream.fileno()))
    except (AttributeError, OSError, ValueError):
        return False


def _claims(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and 0 < status.st_size <= _PAGES and getattr(status, "st_blocks", 1) == 0


def _from_stream(stream: Any, filename: str = "", mime: str = "", *, size: int | None = None) -> Upload:
    if isinstance(stream, io.TextIOBase):
        raise TypeError("a text stream cannot be uploaded: open the file in binary mode, or give its .buffer")
    if size is None:
        size = _remaining(stream)
    if not filename:
        name = getattr(stream, "name", "")
        filename = os.path.basename(name) if isinstance(name, str) else ""
    return Upload(stream, filename, size, mime)


def _whole(stream: Any, filename: str, mime: str) -> Upload:
    """Make an upload of a framework's file, which stands for all of it, whoever has looked into it before.

    :raises ContentError: when something was read of it already and it cannot be rewound
    """
    check_open(stream)
    if is_seekable(stream):
        stream.seek(0)
    else:
        try:
            position = stream.tell()
        except (AttributeError, OSError, ValueError):
            position = 0
        if position:
            raise exc.ContentError(
                f"{filename or 'the file'!r} is already read up to byte {position} and cannot be rewound: "
                "a remainder is not stored"
            )
    return _from_stream(stream, filename, mime)


def _from_werkzeug(value: Any, mime: str) -> Upload:
    return _whole(value.stream, value.filename or "", mime)


def _from_django(value: Any, mime: str) -> Upload:
    # Django's File passes read and seek on to the file that it wraps, and knows its size.
    return _whole(value.file, os.path.basename(value.name or ""), mime)


def _from_starlette(value: Any, mime: str) -> Upload:
    return _whole(value.file, value.filename or "", mime)


# The uploads of web frameworks, by the full name of their class: known without importing the framework.
_FRAMEWORKS: dict[str, Callable[[Any, str], Upload]] = {
    "werkzeug.datastructures.file_storage.FileStorage": _from_werkzeug,
    "werkzeug.datastructures.FileStorage": _from_werkzeug,
    "django.core.files.base.File": _from_django,
    "starlette.datastructures.UploadFile": _from_starlette,
    "litestar.datastructures.upload_file.UploadFile": _from_starlette,
    "aiohttp.web_request.FileField": _from_starlette,
}


def is_framework_file(value: Any) -> bool:
    """Return whether a value is the upload of a web framework, which stands for the file in it."""
    return any(f"{cls.__module__}.{cls.__qualname__}" in _FRAMEWORKS for cls in type(value).__mro__)


@functools.singledispatch
def make_upload(value: Any, mime: str = "") -> Upload:
    """Make an :class:`Upload` out of whatever holds bytes.

    Taken are: an :class:`Upload` (given back), bytes-likes, binary files and anything with ``read``, a
    :class:`pathlib.Path` (opened when it is read, closed afterwards), any iterable of bytes-likes (size unknown), the
    files of werkzeug, Django and Starlette (whole, whatever was read of them before), and what was registered:
    ``make_upload.register(MyType, factory)`` with ``factory(value, mime="") -> Upload``.

    :param mime: the content type, when the content is not to tell it
    :raises TypeError: for text, for what holds no bytes, and for an asynchronous source
    :raises WrongUploadTypeError: when `mime` is not a content type
    """
    for cls in type(value).__mro__:
        factory = _FRAMEWORKS.get(f"{cls.__module__}.{cls.__qualname__}")
        if factory is not None:
            return factory(value, mime)
    refuse_async(value)
    if hasattr(value, "read"):
        return _from_stream(value, mime=mime)
    try:
        view = memoryview(value)
    except TypeError:
        if hasattr(value, "__iter__"):
            return Upload(IterableBytesReader(cast("Iterable[Any]", value)), content_type=mime)
        raise TypeError(f"cannot make an upload out of {type(value).__name__}: it has no bytes") from None
    return _from_bytes(view, mime)


@make_upload.register(Upload)
def _(value: Upload, mime: str = "") -> Upload:
    if mime:
        value._content_type = check_content_type(mime)  # pyright: ignore[reportPrivateUsage]
    return value


@make_upload.register(str)
def _(value: str, mime: str = "") -> Upload:
    raise TypeError("text cannot be uploaded: encode it, or give a pathlib.Path to upload a file")


@make_upload.register(dict)
def _(value: Any, mime: str = "") -> Upload:
    raise TypeError("a mapping cannot be uploaded: it has no bytes")


def _from_bytes(value: Any, mime: str = "") -> Upload:
    view = memoryview(value).cast("B")
    stream = io.BytesIO(value) if isinstance(value, bytes) else BufferReader(view)
    return Upload(stream, size=len(view), content_type=mime)


make_upload.register(bytes, _from_bytes)
make_upload.register(bytearray, _from_bytes)
make_upload.register(memoryview, _from_bytes)


@make_upload.register(os.PathLike)
def _(value: os.PathLike[str], mime: str = "") -> Upload:
    path = os.fspath(value)
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    size = status.st_size or None
    reader = PathReader(path)
    if _claims(status):
        size = None
    elif size is None:
        size = _remaining(reader)
        reader.close()
    return Upload(reader, os.path.basename(path), size, mime, owned=True)
