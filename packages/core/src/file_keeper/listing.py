"""Listings: lazy, complete, and in UTF-8 byte order whatever the provider's order is.

Each page is checked against the order that the provider is said to have. A page that contradicts it shows that the
service has another: then one directory after the other is listed and sorted, which is right on any service. Nothing is
ever dropped for its order (contract 6.3). Python compares strings by code points, which is the order of UTF-8.
"""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import lt
from typing import Any, TypeAlias

from . import exc
from .backend import Backend, ObjectInfo, Page, Prefix, Row, advancing, place_in
from .location import RESERVED, are_plain, can_begin, is_reserved, problem

log = logging.getLogger("file_keeper")

Entry: TypeAlias = ObjectInfo | Row | Prefix
Piece: TypeAlias = tuple[Sequence[str], Sequence[Entry]]
"""Keys in order, and what is known of each; the latter is empty where keys alone were asked for."""
Place: TypeAlias = Callable[[str], Any]

_FOLDER = "hdi_isfolder"
_DISPUTED = re.compile("[\ue000-\U0010ffff]")
_BEYOND = re.compile("[\U00010000-\U0010ffff]")
_PIECE = 1000
_LOOKS = 8


def _is_marker(key: str, entry: Entry) -> bool:
    """Return whether an object only stands for a directory, as tools and hierarchical namespaces make them."""
    if isinstance(entry, ObjectInfo):
        return not entry.size and (key.endswith("/") or _FOLDER in {name.lower() for name in entry.metadata})
    return key.endswith("/") and isinstance(entry, tuple) and not entry[1]


def _are_files(keys: Sequence[str], entries: Sequence[Entry]) -> bool:
    """Return whether no entry is a prefix, or stands for a directory; the keys are plain ones."""
    kinds = set(map(type, entries))
    if Prefix in kinds:
        return False
    empty = (
        [place for place, entry in enumerate(entries) if isinstance(entry, ObjectInfo) and not entry.size]
        if ObjectInfo in kinds
        else ()
    )
    return not any(_is_marker(keys[place], entries[place]) for place in empty)


def _merged(page: Page, place: Place = str) -> Piece:
    """Return keys and prefixes of a page together, in order where there are both."""
    if not page.prefixes:
        return page.keys, page.entries
    found = _pairs((page.keys, page.entries))
    found += [(prefix, Prefix(prefix)) for prefix in page.prefixes]
    return _sorted(found, place)


def _pairs(piece: Piece) -> list[tuple[str, Entry]]:
    keys, entries = piece
    return [*zip(keys, entries or [(key, -1, "", None) for key in keys], strict=True)]


def _sorted(pairs: list[tuple[str, Entry]], place: Place = str) -> Piece:
    pairs.sort(key=lambda pair: place(pair[0]))
    return [key for key, _ in pairs], [entry for _, entry in pairs]


def _kept(piece: Piece, keep: Callable[[str], bool]) -> Piece:
    keys, entries = piece
    places = [place for place, key in enumerate(keys) if keep(key)]
    return [keys[place] for place in places], [entries[place] for place in places] if entries else ()


class Listing:
    """The listings of one storage.

    :param root: the prefix of its keys: ``""``, or a string that ends in ``/``
    :param max_bytes: largest location in bytes
    """

    def __init__(self, backend: Backend[Any], root: str, max_bytes: int):
        self._backend = backend
        self._root = root
        self._max_bytes = max_bytes
        # What this service has shown: an order of its own, or that it begins behind a key in the order of bytes.
        self._is_foreign = False
        self._is_proved = False
        # Delimiters that it does not roll up keys at (rclone's server does so at "/", whatever it is asked for).
        self._ignored: set[str] = set()

    def scan(self, prefix: str, glob: str, start_after: str) -> Iterator[str]:
        """Return the locations alone."""
        for locations, _ in self.pieces(prefix, glob, start_after, "", keys_only=True):
            yield from locations

    def files(self, prefix: str, glob: str, start_after: str, delimiter: str) -> Iterator[tuple[str, Entry]]:
        """Return locations, and what the listing tells of each."""
        for locations, entries in self.pieces(prefix, glob, start_after, delimiter, keys_only=False):
            yield from zip(locations, entries, strict=True)

    # -- what a user may see ----------------------------------------------------------------------------------------

    def pieces(
        self, prefix: str, glob: str, start_after: str, delimiter: str, *, keys_only: bool
    ) -> Iterator[tuple[Sequence[str], Sequence[Entry]]]:
        if not can_begin(prefix, max_bytes=self._max_bytes):
            return
        matches = re.compile(fnmatch.translate(glob)).match if glob else None
        cut, omitted = len(self._root), 0
        after = self._root + start_after if start_after else ""
        try:
            for keys, entries in self._ordered(self._root + prefix, after, delimiter, keys_only):
                locations = [key[cut:] for key in keys] if cut else keys
                if not (are_plain(locations, max_bytes=self._max_bytes) and _are_files(locations, entries)):
                    places: list[int] = []
                    for place, location in enumerate(locations):
                        entry = entries[place] if entries else None
                        if isinstance(entry, Prefix):
                            shown = self._shows(location)
                        elif (entry is not None and _is_marker(location, entry)) or is_reserved(location):
                            shown = False
                        else:
                            shown = not problem(location, max_bytes=self._max_bytes)
                            omitted += not shown
                        if shown:
                            places.append(place)
                    locations = [locations[place] for place in places]
                    entries = [entries[place] for place in places] if entries else ()
                if matches is not None:
                    locations, entries = _kept((locations, entries), lambda location: bool(matches(location)))
                yield locations, entries
        finally:
            if omitted:
                log.warning("%d objects under %r were not listed: no location can name them", omitted, self._root)

    def _shows(self, prefix: str) -> bool:
        """Return whether something that is listed can begin with `prefix`."""
        if not can_begin(prefix, max_bytes=self._max_bytes):
            return False
        last = prefix[prefix.rfind("/") + 1 :]
        if last and RESERVED.startswith(last):
            # A delimiter of the user's own cuts through the reserved segment: is there anything else?
            return any(True for _ in self.scan(prefix, "", ""))
        return True

    # -- order ------------------------------------------------------------------------------------------------------

    def _ordered(self, prefix: str, after: str, delimiter: str, keys_only: bool) -> Iterator[Piece]:
        """List in UTF-8 byte order what begins with `prefix` and comes after `after`."""
        if delimiter in self._ignored:
            yield from _grouped(self._ordered(prefix, after, "", keys_only), prefix, delimiter, after)
            return
        order = self._backend.limits.order
        expected: list[str] | None = []
        if order == "assumed" and after and not (self._is_proved or self._is_foreign):
            expected = self._behind(prefix, after)
        if expected is None or self._is_foreign or order in ("tree", "none"):
            yield from self._by_directories(prefix, after, delimiter, keys_only)
            return
        # What comes after a name in one order may come before it in the other: begin where they still agree.
        found = _DISPUTED.search(after) if order == "utf16" else None
        begin = after[: found.start()] if found else after
        pages = self._backend.list(prefix, start_after=begin, delimiter=delimiter, keys_only=keys_only)
        if delimiter:
            expected = _rolled_up(expected, prefix, delimiter, begin)
            pages = _checked_rolls(pages, prefix, delimiter)
        pieces = self._checked(pages, prefix, begin, order, expected)
        if order == "utf16":
            pieces = _from_utf16(pieces)
        last = after
        try:
            for piece in pieces:
                last = piece[0][-1] if piece[0] else last
                yield piece if not found else _kept(piece, lambda key: key > after)
        except _ForeignOrderError:
            yield from self._by_directories(prefix, after, delimiter, keys_only)
        except _NotRolledUpError:
            self._ignored.add(delimiter)
            yield from self._ordered(prefix, max(last, after), delimiter, keys_only)

    def _checked(
        self, pages: Iterator[Page], prefix: str, after: str, order: str, expected: list[str]
    ) -> Iterator[Piece]:
        """Pass on what lies behind `after`, as long as it comes in the provider's order.

        :param expected: keys that must be among it, in reverse order
        :raises _ForeignOrderError: when the first page shows another order, and nothing was passed on yet
        :raises ConnectionError: when a later one does
        """
        place: Place = place_in(order)
        behind, last, last_prefix = place(after), "", ""

        def is_behind(key: str) -> bool:
            return place(key) > behind

        for page in pages:
            if page.prefixes and page.prefixes[0] == last_prefix:
                # Some name a prefix again where a page ended within it.
                page = Page(page.keys, page.entries, page.prefixes[1:])
            last_prefix = page.prefixes[-1] if page.prefixes else last_prefix
            keys, entries = piece = _merged(page, place)
            if not keys:
                continue
            places = keys if place is str else [place(key) for key in keys]
            ascending = all(map(lt, places, islice(places, 1, None)))
            if not ascending or (last and places[0] <= place(last)):
                self._is_foreign = True
                if last:
                    raise self._disorder(f"lists {self._named(keys[0])} behind {self._named(last)}")
                if after or next(pages, None) is not None:
                    raise _ForeignOrderError
                # There is no more: sorting it is enough.
                yield _kept(_sorted(_pairs(piece)), lambda key: key.startswith(prefix))
                return
            if expected and keys[-1] >= expected[-1]:
                self._meet(expected, keys, last)
            last = keys[-1]
            if after and places[0] <= behind:
                keys, entries = _kept((keys, entries), is_behind)
            if keys and not (keys[0].startswith(prefix) and keys[-1].startswith(prefix)):
                keys, entries = _kept((keys, entries), lambda key: key.startswith(prefix))
            yield keys, entries
        if expected:
            self._meet(expected, (), last)

    def _named(self, key: str) -> str:
        return repr(key[len(self._root) :])

    def _disorder(self, what: str) -> exc.FilesError:
        return exc.ConnectionError(
            f"the service {what}, which is not the order of its protocol: this listing ends, for a name might be left "
            "out. From now on this storage lists one directory after the other: list again, and set the order of the "
            "service where the storage has an option for it"
        )

    def _behind(self, prefix: str, after: str) -> list[str] | None:
        """Return keys that a listing from behind `after` must give; ``None`` where finding them would cost too much.

        Services that keep directories compare their names without the ``/``: for them ``data/x`` comes before
        ``data.txt``, and a listing from behind ``data.txt`` leaves it out and looks like any other.
        """
        folders: list[str] = []
        for at, char in enumerate(after):
            if char < "/" and at and after[at - 1] != "/":
                folder = after[:at] + "/"
                if folder.startswith(prefix) or prefix.startswith(folder):
                    folders.append(max(folder, prefix))
        if len(folders) > _LOOKS:
            return None
        return sorted(filter(None, map(self._first, dict.fromkeys(folders))), reverse=True)

    def _first(self, prefix: str) -> str:
        for page in self._backend.list(prefix, keys_only=True):
            for key in page.keys:
                if key.startswith(prefix):
                    return key
        return ""

    def _meet(self, expected: list[str], keys: Sequence[str], last: str) -> None:
        """Strike off the expected keys that a page has; the absence of one shows a foreign order."""
        there = set(keys)
        while expected and (not keys or expected[-1] <= keys[-1]):
            key = expected.pop()
            if key in there:
                self._is_proved = True
                continue
            self._is_foreign = True
            if not last:
                raise _ForeignOrderError
            raise self._disorder(f"leaves out {self._named(key)}")

    def _by_directories(self, prefix: str, after: str, delimiter: str, keys_only: bool) -> Iterator[Piece]:
        if delimiter in ("", "/"):
            return self._walk(prefix, after, deep=not delimiter, keys_only=keys_only)
        return _grouped(self._walk(prefix, after, deep=True, keys_only=keys_only), prefix, delimiter, after)

    def _walk(self, prefix: str, after: str, *, deep: bool, keys_only: bool) -> Iterator[Piece]:
        """List one directory at a time and sort each: right for providers of any order, and of none."""
        stack = [self._directory(prefix[: prefix.rfind("/") + 1], prefix, keys_only)]
        keys: list[str] = []
        entries: list[Entry] = []
        while stack:
            for key, entry in stack[-1]:
                if deep and isinstance(entry, Prefix):
                    if key > after or after.startswith(key):
                        if keys:  # a request follows: what was found does not wait for it
                            yield keys, entries
                            keys, entries = [], []
                        stack.append(self._directory(key, key, keys_only))
                        break
                elif key > after:
                    keys.append(key)
                    entries.append(entry)
                    if len(keys) >= _PIECE:
                        yield keys, entries
                        keys, entries = [], []
            else:
                stack.pop()
        if keys:
            yield keys, entries

    def _directory(self, folder: str, prefix: str, keys_only: bool) -> Iterator[tuple[str, Entry]]:
        found: dict[str, Entry] = {}
        for page in advancing(self._backend.list(folder, delimiter="/", keys_only=keys_only)):
            for key, entry in _pairs(_merged(page)):
                if not key.startswith(prefix):
                    continue
                if "/" in key[len(folder) : -1] or (isinstance(entry, Prefix) and key == folder):
                    raise exc.ConnectionError(
                        f"the service lists {self._named(key)} in the directory {self._named(folder)}: it does not "
                        "roll up keys at the delimiter that it was asked for"
                    )
                found[key] = entry
        return iter(sorted(found.items(), key=lambda pair: pair[0]))


class _ForeignOrderError(Exception):
    """The service lists in another order than its protocol says."""


class _NotRolledUpError(Exception):
    """The service does not roll up keys at the delimiter that it was asked for."""


def _checked_rolls(pages: Iterator[Page], prefix: str, delimiter: str) -> Iterator[Page]:
    """Pass on pages whose keys are rolled up at the delimiter. :raises _NotRolledUpError: at the first other one"""
    begin, size = len(prefix), len(delimiter)
    for page in pages:
        if any(key.find(delimiter, begin) >= 0 and key.startswith(prefix) for key in page.keys) or any(
            common.find(delimiter, begin) != len(common) - size for common in page.prefixes
        ):
            raise _NotRolledUpError
        yield page


def _from_utf16(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Turn UTF-16 code unit order into UTF-8 byte order.

    They differ only where a character beyond U+FFFF (in UTF-16 a surrogate, D800 to DFFF) meets one of U+E000 to
    U+FFFF at the same place. So what has such a character is held back until what comes before it is over; and
    among what is let through meanwhile the same may happen further in, hence a stack.
    """
    held: list[tuple[str, list[tuple[str, Entry]]]] = []
    for keys, entries in pieces:
        if not held and not _BEYOND.search("\n".join(keys)):
            yield keys, entries
            continue
        ready: list[tuple[str, Entry]] = []
        for key, entry in _pairs((keys, entries)):
            while held and not key.startswith(held[-1][0]):
                ready += sorted(held.pop()[1], key=lambda pair: pair[0])
            found = _BEYOND.search(key)
            if not found:
                ready.append((key, entry))
                continue
            common = key[: found.start()]
            if not held or held[-1][0] != common:
                held.append((common, []))
            held[-1][1].append((key, entry))
        if ready:
            yield [key for key, _ in ready], [entry for _, entry in ready]
    while held:
        yield _sorted(held.pop()[1])


def _rolled_up(expected: list[str], prefix: str, delimiter: str, after: str) -> list[str]:
    """Return what a listing with a delimiter shows of keys, in reverse order."""
    found: set[str] = set()
    for key in expected:
        at = key.find(delimiter, len(prefix))
        found.add(key if at < 0 else key[: at + len(delimiter)])
    return sorted((key for key in found if key > after), reverse=True)


def _grouped(pieces: Iterator[Piece], prefix: str, delimiter: str, after: str) -> Iterator[Piece]:
    """Roll up keys at a delimiter."""
    last = ""
    for keys, entries in pieces:
        found: list[tuple[str, Entry]] = []
        for key, entry in _pairs((keys, entries)):
            at = key.find(delimiter, len(prefix))
            if at < 0:
                found.append((key, entry))
                continue
            common = key[: at + len(delimiter)]
            if common != last and common > after:
                found.append((common, Prefix(common)))
            last = common
        if found:
            yield [key for key, _ in found], [entry for _, entry in found]
