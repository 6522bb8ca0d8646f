"""Listing files."""

from __future__ import annotations

from collections.abc import Iterator

from .. import attributes, exc
from ..backend import (
    Capability,
    Prefix,
)
from ..data import FileData, listed
from .base import Base, operation


class Listed(Base):
    """The part of a storage that lists."""

    @operation(Capability.SCAN)
    def scan(self, *, prefix: str = "", glob: str = "", start_after: str = "") -> Iterator[str]:
        """Give the locations of all files, lazily, in UTF-8 byte order.

        :param prefix: only those that begin with these characters; sent to the provider
        :param glob: only those that match as a whole, as by :func:`fnmatch.fnmatchcase` (``*`` crosses ``/``)
        :param start_after: only those after this name, which need not be there
        """
        self._check_after(start_after)
        return self._walk("scan", self._listing.names(prefix, glob, start_after))

    def _check_after(self, name: str) -> None:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise exc.LocationError("start_after has lone surrogates", location=name) from None

    def filtered_scan(self, prefix: str = "", glob: str = "") -> Iterator[str]:
        """Give the locations that begin with `prefix` and match `glob`; see :meth:`scan`."""
        return self.scan(prefix=prefix, glob=glob)

    @operation(Capability.SCAN)
    def files(
        self, *, prefix: str = "", glob: str = "", start_after: str = "", delimiter: str = ""
    ) -> Iterator[FileData | str]:
        """Give the data of all files from the listing itself, no request per file; order and arguments as :meth:`scan`.

        Size, etag and modified are there; hash and content type only where the provider's listing has them.

        :param delimiter: locations that hold it after the prefix are given once, as a ``str`` up to and with it
        """
        self._check_after(start_after)
        return self._walk("files", self._files(prefix, glob, start_after, delimiter))

    def _files(self, prefix: str, glob: str, start_after: str, delimiter: str) -> Iterator[FileData | str]:
        if not delimiter and "rows" in self._verbs.verbs:
            for row in self._listing.rows(prefix, glob, start_after):
                yield listed(*row)
            return
        wanted = self.settings.hashing_algorithm
        for location, entry in self._listing.entries(prefix, glob, start_after, delimiter):
            if isinstance(entry, Prefix):
                yield location
            elif entry.metadata or entry.digests:
                yield attributes.describe(entry, location, wanted)
            else:
                yield FileData(
                    location,
                    size=entry.size,
                    content_type=entry.content_type,
                    modified=entry.modified,
                    etag=entry.etag,
                    headers=dict(entry.headers),
                )
