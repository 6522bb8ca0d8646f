"""Listing: the tree in UTF-8 byte order, one directory at a time, from anywhere.

The names of a directory are sorted with a ``/`` at the end of those of directories: then a walk in depth gives whole
keys in order. Code points and UTF-8 sort alike, so plain strings are compared. Of each directory on the way only the
names are kept, and one descriptor is open at a time.
"""

from __future__ import annotations

import bisect
import contextlib
import logging
import os
import stat
from collections.abc import Generator, Iterable, Iterator
from datetime import UTC, datetime

from file_keeper.backend import Page, Row
from file_keeper.location import MAX_KEY, RESERVED

from .attributes import identity
from .directory import UTF8
from .errors import NO_FILE
from .tree import Tree

log = logging.getLogger("file_keeper")

_PAGE = 1000
_OWN = 128
"""Bytes by which keys of the core's own, under the reserved segment, may be longer."""


def modified(st: os.stat_result) -> datetime | None:
    """Return the time of change; ``None`` for one that no calendar has."""
    try:
        return datetime.fromtimestamp(st.st_mtime, UTC)
    except (ValueError, OverflowError, OSError):
        return None


@contextlib.contextmanager
def _entries(tree: Tree, folder: str) -> Generator[Iterable[os.DirEntry[str]]]:
    """Go through a directory; one that vanished, or is a link by now, has nothing in it."""
    with contextlib.ExitStack() as stack:
        try:
            directory = stack.enter_context(tree.walk(folder.split("/")[:-1]))
            entries: Iterable[os.DirEntry[str]] = stack.enter_context(directory.scan())
        except OSError as error:
            if error.errno not in NO_FILE:
                raise
            entries = ()
        yield entries


class Walk:
    """One walk through the tree; it counts the names that no key can spell."""

    def __init__(self, tree: Tree, prefix: str, start_after: str):
        self._tree = tree
        self._prefix = prefix
        self._after = start_after
        self._omitted = 0
        self._too_deep = 0

    def pages(self) -> Iterator[tuple[str, list[str]]]:
        """Return the files: the key of a directory (``""`` or ending in ``/``) and names in it, in order of whole keys.

        A directory comes in several pieces where its subdirectories lie in between.
        """
        try:
            folder = self._prefix[: self._prefix.rfind("/") + 1]
            if folder and not _can_be(folder):
                return
            yield from self._pages(folder, self.children(folder))
        finally:
            self.tell()

    def tell(self) -> None:
        """Tell what was left out."""
        if self._omitted:
            log.warning("%d files were not listed: their names are not UTF-8", self._omitted)
        if self._too_deep:
            log.warning(
                "%d directories were not listed: names below them are longer than a key of %d bytes can be",
                self._too_deep,
                MAX_KEY,
            )

    def _pages(self, top: str, names: list[str]) -> Iterator[tuple[str, list[str]]]:
        stack = [(top, names, 0)]
        while stack:
            folder, names, index = stack.pop()
            begin = index
            while index < len(names) and names[index][-1] != "/" and index - begin < _PAGE:
                index += 1
            if index > begin:
                stack.append((folder, names, index))
                yield folder, names[begin:index]
            elif index < len(names):
                stack.append((folder, names, index + 1))
                deeper = folder + names[index]
                if _can_hold(deeper):
                    stack.append((deeper, self.children(deeper), 0))
                else:
                    self._too_deep += 1

    def children(self, folder: str, *, deep: bool = True) -> list[str]:
        """Return the names in a directory that belong to the listing, sorted; those of directories end in ``/``.

        :param deep: a directory that holds what comes after ``start_after`` is given though it does not itself
        """
        names: list[str] = []
        with _entries(self._tree, folder) as entries:
            add = names.append
            for entry in entries:
                name: str = entry.name
                try:
                    if entry.is_file(follow_symlinks=False):
                        add(name)
                    elif entry.is_dir(follow_symlinks=False) and name != RESERVED:
                        add(name + "/")
                except FileNotFoundError:
                    continue
        if not UTF8:
            names = [os.fsencode(name).decode("utf-8", "surrogateescape") for name in names]
        names.sort()
        return self._cut(folder, self._spelled(names), deep)

    def _spelled(self, names: list[str]) -> list[str]:
        """Leave out and count what is not UTF-8."""
        try:
            "".join(names).encode()
        except UnicodeEncodeError:
            good = [name for name in names if _is_text(name)]
            self._omitted += len(names) - len(good)
            return good
        return names

    def _cut(self, folder: str, names: list[str], deep: bool) -> list[str]:
        """Leave out what is before ``start_after`` and what does not begin with the prefix."""
        after, prefix = self._after, self._prefix
        begin, end = 0, len(names)
        if after.startswith(folder):
            rest = after[len(folder) :]
            head, slash, _ = rest.partition("/")
            begin = bisect.bisect_left(names, head + "/") if slash and deep else bisect.bisect_right(names, rest)
        elif after > folder:
            return []
        if len(prefix) > len(folder):
            start = prefix[len(folder) :]
            begin = max(begin, bisect.bisect_left(names, start))
            end = bisect.bisect_left(names, True, begin, key=lambda name: not name.startswith(start))
        return names[begin:end]

    def level(self) -> Iterator[tuple[str, list[str]]]:
        """Return one directory only, names of directories among the others."""
        folder = self._prefix[: self._prefix.rfind("/") + 1]
        if not folder or _can_be(folder):
            yield folder, self.children(folder, deep=False)

    def holds_files(self, folder: str) -> bool:
        """Return whether there is any file below a directory; the first one ends the search."""
        folders = [folder]
        while folders:
            above = folders.pop()
            with _entries(self._tree, above) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False) and _is_text(entry.name):
                        return True
                    if entry.name != RESERVED and entry.is_dir(follow_symlinks=False) and _is_text(entry.name):
                        deeper = above + entry.name + "/"
                        if _can_hold(deeper):
                            folders.append(deeper)
                        else:
                            self._too_deep += 1
        return False


def pages(tree: Tree, prefix: str, start_after: str, delimiter: str, *, keys_only: bool) -> Iterator[Page]:
    """Return the files in order, a page at a time, with size, version and time unless keys alone are asked for.

    :param delimiter: ``/`` for one directory, or ``""``
    """
    walk = Walk(tree, prefix, start_after)
    for folder, names in walk.level() if delimiter else walk.pages():
        found, folders = names, []
        if delimiter:
            folders = [folder + name for name in names if name[-1] == "/" and walk.holds_files(folder + name)]
            found = [name for name in names if name[-1] != "/"]
        if keys_only:
            yield Page([folder + name for name in found] if folder else found, (), folders)
        elif rows := _rows(tree, folder, found):
            yield Page([row[0] for row in rows], rows, folders)
        elif folders:
            yield Page((), (), folders)
    if delimiter:
        walk.tell()


def _rows(tree: Tree, folder: str, names: list[str]) -> list[Row]:
    rows: list[Row] = []
    if not names:
        return rows
    try:
        directory = tree.walk(folder.split("/")[:-1])
    except OSError as error:
        if error.errno in NO_FILE:
            return rows
        raise
    with directory:
        tell, add, regular = directory.teller(), rows.append, stat.S_ISREG
        for name in names:
            try:
                st = tell(name)
            except FileNotFoundError:
                continue
            if regular(st.st_mode):
                add((folder + name, st.st_size, identity(st), modified(st)))
    return rows


def _is_text(name: str) -> bool:
    try:
        (name if UTF8 else os.fsencode(name).decode("utf-8", "surrogateescape")).encode()
    except UnicodeEncodeError:
        return False
    return True


def _can_hold(folder: str) -> bool:
    # Each level costs its depth to open: a tree of thousands would take minutes, and no location names what is there.
    return len(folder.encode("utf-8", "surrogateescape")) < MAX_KEY + _OWN


def _can_be(folder: str) -> bool:
    return not any(segment in ("", ".", "..") for segment in folder.split("/")[:-1]) and "\0" not in folder
