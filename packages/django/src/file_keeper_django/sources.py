"""From Django's files to uploads: always the whole, wherever its position is, and text as UTF-8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import file_keeper as fk


def upload_of(content: Any, name: str) -> fk.Upload:
    """Make an upload of a file that Django saves.

    One that can seek is read from its beginning and can be read again; of any other the chunks are taken as they come.

    :param content: a :class:`django.core.files.File`, or anything with ``chunks``
    :param name: where it goes, for its content type
    :raises ContentError: when there is nothing to read
    """
    if getattr(content, "closed", False):
        content = _reopened(content)
    if _is_binary(content):
        return fk.Upload(content, name, _size_of(content))
    return fk.Upload(fk.IterableBytesReader(_encoded(content)), name)


def _reopened(content: Any) -> Any:
    try:
        content.open()
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise fk.exc.ContentError(f"the file {content.name!r} is closed and cannot be opened again: {error}") from error
    return content


def _is_binary(content: Any) -> bool:
    """Return whether content is a binary file that can go to its beginning; it is there then."""
    try:
        content.seek(0)
        return isinstance(content.read(0), bytes) and content.seekable()
    except (AttributeError, OSError, TypeError):
        return False


def _size_of(content: Any) -> int | None:
    end = content.seek(0, 2)
    size = content.tell() if end is None else end
    content.seek(0)
    return size or None


def _encoded(content: Any) -> Iterator[bytes]:
    try:
        for chunk in content.chunks():
            yield chunk.encode() if isinstance(chunk, str) else chunk
    except AttributeError as error:
        raise fk.exc.ContentError(f"{content!r} has nothing to read: {error}") from error
