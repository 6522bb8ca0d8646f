"""Taking a file: checked as it comes, stored when all of it is there, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Self

import file_keeper as fk
from file_keeper.backend import agrees

_SNIFF = 2048

LocationOf = str | Callable[[str], str]
"""A location, or what makes one out of the client's name for the file (which may be anything)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is taken.

    :param max_size: the most bytes of the file
    :param types: patterns of media types (``image/*``), matched on what the content looks like
    :param declared: the type that the content must agree with
    :param options: of :meth:`file_keeper.Storage.upload`
    """

    max_size: int | None = None
    types: Sequence[str] = ()
    declared: str = ""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, max_size: int | str | None, types: Sequence[str], content_type: str, **options: Any) -> Self:
        """Return the terms that an application gives: sizes as text too, and the options of an upload."""
        size = None if max_size is None else fk.parse_filesize(max_size)
        return cls(size, types, content_type, {"content_type": content_type, **options})

    def check_size(self, size: int | None) -> None:
        """Refuse what is too large. :raises LargeUploadError: always"""
        if size is not None and self.max_size is not None and size > self.max_size:
            raise fk.exc.LargeUploadError(f"more than {fk.humanize_filesize(self.max_size)} are not taken")

    def check_head(self, head: bytes) -> None:
        """Refuse a content by its first 2 KiB. :raises WrongUploadTypeError, UploadTypeMismatchError: always"""
        detected = fk.make_upload(head).content_type
        if self.types and not any(fnmatchcase(detected, pattern) for pattern in self.types):
            raise fk.exc.WrongUploadTypeError(f"{detected} is not among {', '.join(self.types)}")
        if self.declared and not agrees(self.declared, detected):
            raise fk.exc.UploadTypeMismatchError(f"declared was {self.declared}, the content is {detected}")


class Receiver:
    """Puts the bytes of one file into a storage. Nothing is there before ``finish``, and nothing after ``abort``.

    :param expected: the bytes that must come, when that is known
    """

    def __init__(self, storage: fk.Storage, location: str, terms: Terms, expected: int | None = None):
        terms.check_size(expected)
        self._storage = storage
        self._location = location
        self._terms = terms
        self._expected = expected
        self._head: bytes | None = b""
        self._writer: Any = None
        self.size = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. :raises FilesError: when they are too many, or of another type"""
        self.size += len(chunk)
        self._terms.check_size(self.size)
        if self._head is None:
            self._writer.write(chunk)
            return
        self._head += chunk
        if len(self._head) >= _SNIFF:
            self._begin()

    def _begin(self) -> None:
        head, self._head = self._head or b"", None
        self._terms.check_head(head)
        self._writer = self._storage.open(self._location, "wb", **self._terms.options)
        self._writer.write(head)

    def finish(self) -> fk.FileData:
        """Publish the file. :raises FilesError: when it cannot be; nothing is left then"""
        try:
            if self._expected is not None and self.size != self._expected:
                raise fk.exc.UploadSizeMismatchError(f"{self._expected} bytes were declared, {self.size} came")
            if self._head is not None:
                self._begin()
        except BaseException:
            self.abort()
            raise
        self._writer.close()
        return self._writer.file

    def abort(self) -> None:
        """Leave nothing."""
        if self._writer is not None:
            self._writer.abort()
