"""Listings: lazy, complete, in UTF-8 byte order whatever the provider's order is."""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Iterator
from typing import Any

from .backend import Backend, ObjectInfo, Prefix, Row
from .location import RESERVED, are_plain, can_begin, is_reserved, problem

log = logging.getLogger("file_keeper")

Entry = ObjectInfo | Prefix

_FOLDER = "hdi_isfolder"
_DISPUTED = re.compile("[\ue000-\U0010ffff]")
_BEYOND = re.compile("[\U00010000-\U0010ffff]")


def _is_marker(info: ObjectInfo) -> bool:
    """Tell whether an object only stands for a directory, as tools and hierarchical namespaces make them."""
    return not info.size and (info.key.endswith("/") or _FOLDER in {name.lower() for name in info.metadata})


def ordered(backend: Backend[Any], prefix: str, start_after: str, delimiter: str) -> Iterator[Entry]:
    """List in UTF-8 byte order."""
    order = backend.limits.order
    if order in ("tree", "none"):
        if delimiter not in ("", "/"):
            return _grouped(_by_directory(backend, prefix, start_after), prefix, delimiter, start_after)
        return _by_directory(backend, prefix, start_after, deep=not delimiter)
    if order == "utf16":
        # What comes after a name in one order may come before it in the other: begin where they still agree.
        found = _DISPUTED.search(start_after)
        begin = start_after[: found.start()] if found else start_after
        entries = _from_utf16(backend.list(prefix, start_after=begin, delimiter=delimiter))
        if not found:
            return entries
        after = start_after.encode("utf-8", "surrogatepass")
        return (entry for entry in entries if _bytes_of(entry) > after)
    return backend.list(prefix, start_after=start_after, delimiter=delimiter)


def _from_utf16(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Turn UTF-16 code unit order into UTF-8 byte order.

    They differ only where a character beyond U+FFFF (in UTF-16 a surrogate, D800 to DFFF) meets one of U+E000 to
    U+FFFF at the same place. So what has such a character is held back until what comes before it is over; and
    among what is let through meanwhile the same may happen further in, hence a stack.
    """
    held: list[tuple[str, list[Entry]]] = []
    for entry in entries:
        while held and not entry.key.startswith(held[-1][0]):
            yield from sorted(held.pop()[1], key=_bytes_of)
        found = _BEYOND.search(entry.key)
        if not found:
            yield entry
            continue
        common = entry.key[: found.start()]
        if not held or held[-1][0] != common:
            held.append((common, []))
        held[-1][1].append(entry)
    while held:
        yield from sorted(held.pop()[1], key=_bytes_of)


def _bytes_of(entry: Entry) -> bytes:
    return entry.key.encode("utf-8", "surrogatepass")


def _by_directory(backend: Backend[Any], prefix: str, start_after: str, *, deep: bool = True) -> Iterator[Entry]:
    """List one directory at a time and sort each: for providers whose order is of another kind, or none."""
    folder = prefix[: prefix.rfind("/") + 1]
    after = start_after.encode("utf-8", "surrogatepass")
    entries = [entry for entry in backend.list(folder, delimiter="/") if entry.key.startswith(prefix)]
    seen: set[str] = set()
    for entry in sorted(entries, key=_bytes_of):
        key = _bytes_of(entry)
        if isinstance(entry, ObjectInfo):
            if key > after:
                yield entry
        elif entry.key not in seen:
            seen.add(entry.key)
            if not deep:
                if key > after:
                    yield entry
            elif key > after or after.startswith(key):
                yield from _by_directory(backend, entry.key, start_after)


def _grouped(entries: Iterator[Entry], prefix: str, delimiter: str, start_after: str) -> Iterator[Entry]:
    last = ""
    for entry in entries:
        at = entry.key.find(delimiter, len(prefix))
        if at < 0:
            yield entry
            continue
        key = entry.key[: at + len(delimiter)]
        if key != last and key > start_after:
            yield Prefix(key)
        last = key


class Listing:
    """Walks the files of one storage.

    :param root: the prefix of its keys: ``""`` or something that ends in ``/``
    :param room: bytes that a location may have
    """

    def __init__(self, backend: Backend[Any], root: str, room: int):
        self._backend = backend
        self._root = root
        self._room = room

    def entries(self, prefix: str, glob: str, start_after: str, delimiter: str) -> Iterator[tuple[str, Entry]]:
        """Give location and entry of what a user may see, in order."""
        if not can_begin(prefix, room=self._room):
            return
        matches = _matcher(glob)
        cut, omitted = len(self._root), 0
        after = self._root + start_after if start_after else ""
        try:
            for entry in ordered(self._backend, self._root + prefix, after, delimiter):
                location = entry.key[cut:]
                if isinstance(entry, Prefix):
                    if self._shows(location) and (matches is None or matches(location)):
                        yield location, entry
                elif _is_marker(entry) or is_reserved(location):
                    continue
                elif problem(location, room=self._room):
                    omitted += 1
                elif matches is None or matches(location):
                    yield location, entry
        finally:
            self._warn(omitted)

    def names(self, prefix: str, glob: str, start_after: str) -> Iterator[str]:
        """Give the locations alone, by the cheapest way that the backend has."""
        if "names" not in self._backend.verbs:
            for location, _ in self.entries(prefix, glob, start_after, ""):
                yield location
            return
        if not can_begin(prefix, room=self._room):
            return
        matches = _matcher(glob)
        cut, omitted, room = len(self._root), 0, self._room
        after = self._root + start_after if start_after else ""
        try:
            for page in self._backend.names(self._root + prefix, start_after=after):
                locations = [key[cut:] for key in page] if cut else page
                if not are_plain(locations, room=room):
                    kept: list[str] = []
                    for location in locations:
                        if is_reserved(location):
                            continue
                        if problem(location, room=room):
                            omitted += 1
                        else:
                            kept.append(location)
                    locations = kept
                yield from locations if matches is None else filter(matches, locations)
        finally:
            self._warn(omitted)

    def rows(self, prefix: str, glob: str, start_after: str) -> Iterator[Row]:
        """Give locations with size, etag and time, by the verb ``rows``, which the backend must have."""
        if not can_begin(prefix, room=self._room):
            return
        matches = _matcher(glob)
        cut, omitted, room = len(self._root), 0, self._room
        after = self._root + start_after if start_after else ""
        try:
            for page in self._backend.rows(self._root + prefix, start_after=after):
                rows = [(row[0][cut:], *row[1:]) for row in page] if cut else page
                if not are_plain([row[0] for row in rows], room=room):
                    kept: list[Row] = []
                    for row in rows:
                        if is_reserved(row[0]):
                            continue
                        if problem(row[0], room=room):
                            omitted += 1
                        else:
                            kept.append(row)
                    rows = kept
                yield from rows if matches is None else (row for row in rows if matches(row[0]))
        finally:
            self._warn(omitted)

    def _shows(self, prefix: str) -> bool:
        """Tell whether something that is listed can begin with `prefix`."""
        if not can_begin(prefix, room=self._room):
            return False
        last = prefix[prefix.rfind("/") + 1 :]
        if last and RESERVED.startswith(last):
            # A delimiter of the user's own cuts through our segment: is there anything else?
            return any(True for _ in self.names(prefix, "", ""))
        return True

    def _warn(self, omitted: int) -> None:
        if omitted:
            log.warning("%d objects under %r were not listed: no location can name them", omitted, self._root)


def _matcher(glob: str) -> Any:
    return re.compile(fnmatch.translate(glob)).match if glob else None
