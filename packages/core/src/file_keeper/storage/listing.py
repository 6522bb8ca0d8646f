"""Listing files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, overload

from .. import attributes, exc
from ..backend import (
    Capability,
    Prefix,
)
from ..data import FileData, listed
from ..listing import Entry
from .base import Base, operation


class Listed(Base):
    """The part of a storage that lists."""

    @operation(Capability.SCAN, many=True)
    def scan(self, *, prefix: str = "", glob: str = "", start_after: str = "") -> Iterator[str]:
        """Return the locations of all files, lazily, in UTF-8 byte order.

        :param prefix: only those that begin with these characters; sent to the provider
        :param glob: only those that match as a whole, as by :func:`fnmatch.fnmatchcase` (``*`` crosses ``/``)
        :param start_after: only those after this name, which need not be there
        """
        self._check_after(start_after)
        return self._walk("scan", self._listing.scan(prefix, glob, start_after))

    def _check_after(self, name: str) -> None:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise exc.LocationError("start_after has lone surrogates", location=name) from None

    def filtered_scan(self, prefix: str = "", glob: str = "") -> Iterator[str]:
        """Return the locations that begin with `prefix` and match `glob`; see :meth:`scan`."""
        return self.scan(prefix=prefix, glob=glob)

    @overload
    def files(
        self, *, prefix: str = "", glob: str = "", start_after: str = "", delimiter: Literal[""] = ""
    ) -> Iterator[FileData]: ...
    @overload
    def files(
        self, *, prefix: str = "", glob: str = "", start_after: str = "", delimiter: str
    ) -> Iterator[FileData | str]: ...
    @operation(Capability.SCAN, many=True)
    def files(
        self, *, prefix: str = "", glob: str = "", start_after: str = "", delimiter: str = ""
    ) -> Iterator[FileData | str]:
        """Return the data of all files from the listing, no request per file; order and arguments as :meth:`scan`.

        Size, etag and modified are there; hash and content type only where the provider's listing has them.

        :param delimiter: locations that hold it after the prefix are given once, as a ``str`` up to and with it
        """
        self._check_after(start_after)
        return self._walk("files", self._files(prefix, glob, start_after, delimiter))

    def _files(self, prefix: str, glob: str, start_after: str, delimiter: str) -> Iterator[FileData | str]:
        for location, entry in self._listing.files(prefix, glob, start_after, delimiter):
            yield self._shown(location, entry)

    def _shown(self, location: str, entry: Entry) -> FileData | str:
        if isinstance(entry, tuple):
            details: Any = entry[1:]
            return listed(location, *details)
        if isinstance(entry, Prefix):
            return location
        return attributes.describe(entry, location, self.settings.hashing_algorithm)

    # What follows is for storage.aio: the same in pieces, each of which needs a request at most.

    @operation(Capability.SCAN, "scan", many=True)
    def _scan_pieces(self, *, prefix: str, glob: str, start_after: str) -> Iterator[list[str]]:
        self._check_after(start_after)
        pieces = self._listing.pieces(prefix, glob, start_after, "", keys_only=True)
        return self._walk("scan", (list(locations) for locations, _ in pieces))

    @operation(Capability.SCAN, "files", many=True)
    def _file_pieces(
        self, *, prefix: str, glob: str, start_after: str, delimiter: str
    ) -> Iterator[list[FileData | str]]:
        self._check_after(start_after)
        pieces = self._listing.pieces(prefix, glob, start_after, delimiter, keys_only=False)
        return self._walk("files", (list(map(self._shown, *piece)) for piece in pieces))
