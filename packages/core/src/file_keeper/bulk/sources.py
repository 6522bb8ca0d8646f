"""Which sources of a batch must be read before the next item is drawn.

Members of a tar or zip archive, parts of a form and chunks of one response are valid only until the next one is drawn,
or share one position with it. Read side by side they would be stored as mixtures.
"""

from __future__ import annotations

import io
from typing import Any

from ..streams import BufferReader, PathReader
from ..types import Readable
from ..upload import Upload

_WITHIN = ("raw", "buffer", "stream", "file", "_file", "fileobj", "_fileobj", "source", "_stream")
"""Where what wraps a stream keeps it."""

_ALONE = (io.FileIO, io.BytesIO, BufferReader, PathReader)
"""What has a position of its own."""


def must_be_read_in_order(upload: Upload) -> bool:
    """Return whether the source cannot seek, or stands on a stream that others may stand on as well."""
    if upload.seekable_stream is None:
        return True
    stream: Any = upload.stream
    for _ in range(8):
        if isinstance(stream, _ALONE):
            return False
        within = next((found for name in _WITHIN if hasattr(found := getattr(stream, name, None), "read")), None)
        if within is None:
            return False
        if not _is_transparent(stream):
            return True
        stream = within
    return True


def _is_transparent(stream: Any) -> bool:
    """Return whether a wrapper is known to be the only one around what it wraps."""
    return isinstance(stream, io.BufferedReader | io.BufferedRandom) or type(stream).__module__ == "tempfile"


def innermost(upload: Upload) -> object:
    """Return what the bytes come from, to tell whether two sources are one."""
    stream: Any = upload.stream
    for _ in range(8):
        within = next((found for name in _WITHIN if hasattr(found := getattr(stream, name, None), "read")), None)
        if within is None:
            break
        stream = within
    return stream


class Forward:
    """A view of a stream that is read once, from where it stands: nothing goes back in it."""

    def __init__(self, stream: Readable):
        self.source = stream

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes."""
        return self.source.read(size)


def forward_only(upload: Upload) -> Upload:
    """Return the same upload, read once from beginning to end."""
    if upload.seekable_stream is None:
        return upload
    return Upload(Forward(upload.stream), upload.filename, upload.size, upload.declared_type)
