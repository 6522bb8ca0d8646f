"""One loop over the pages of a provider, which ends even where the provider does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Self, TypeVar

from .. import exc
from .contract import ObjectInfo, Page, Prefix, Row

T = TypeVar("T")

PAGE = 1000
"""Keys of a page that no provider cuts."""


class Pages(Iterator[T], Generic[T]):
    """The pages of a listing, by the provider's continuation tokens; see :func:`follow_pages`.

    Unlike a generator it outlives an error: ``next`` asks for the page that failed again, with the same token. So a
    repeat never needs to name a key to go on behind, which only a provider with a known order could answer.
    """

    outlives_errors = True

    def __init__(self, fetch: Callable[[str], tuple[T, str | None]], token: str = ""):
        self._fetch = fetch
        self._token: str | None = token
        # Brent's algorithm finds a circle of any length in constant memory.
        self._landmark = token
        self._steps = 0
        self._power: int = 1

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._token is None:
            raise StopIteration
        page, following = self._fetch(self._token)
        if following is not None:
            self._check(self._token, following)
        self._token = following
        return page

    def _check(self, current: str, following: str) -> None:
        if not following or following in (current, self._landmark):
            why = "leads back to a page that was read already" if following else "names no page to go on with"
            raise exc.ConnectionError(
                f"the listing does not advance: its answer promises more and {why}; the service, or a proxy before it, "
                "does not page as its protocol says"
            )
        self._steps += 1
        if self._steps == self._power:
            self._landmark = following
            self._steps = 0
            self._power *= 2


class Items(Iterator[T], Generic[T]):
    """The items of pages one after the other; outlives an error as :class:`Pages` does."""

    def __init__(self, pages: Iterator[Iterable[T]]):
        self.outlives_errors = outlives_errors(pages)
        self._pages = pages
        self._page: Iterator[T] = iter(())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while True:
            for item in self._page:
                return item
            self._page = iter(next(self._pages))


def follow_pages(fetch: Callable[[str], tuple[T, str | None]], token: str = "") -> Pages[T]:
    """Return an iterator over the pages of a listing that follows the provider's continuation tokens.

    ``list`` returns it as it is (verbs that return single items wrap it into :class:`Items`), not out of a generator
    of its own: then a page that fails is asked for again, and no page before it.

    :param fetch: gets a token (`token` for the first page), and returns the page, ready for the core, and the token of
        the next one: ``None`` at the end, ``""`` where the answer promises more and does not say where
    :raises ConnectionError: from ``next``, when the listing does not advance: the token of this page again, one of an
        earlier page (a circle), or none although more is promised. No listing is cut short in silence
    """
    return Pages(fetch, token)


def advancing(pages: Iterable[Page]) -> Iterator[Page]:
    """Pass on the pages of a listing that is in no order, as long as they bring something new.

    :raises ConnectionError: when two pages one after the other hold nothing that was not there before; one may only
        name a prefix again in which the last page ended
    """
    found: set[str] = set()
    stale = 0
    for page in pages:
        before = len(found)
        found.update(page.keys, page.prefixes)
        stale = stale + 1 if (page.keys or page.prefixes) and len(found) == before else 0
        if stale > 1:
            raise exc.ConnectionError(
                "the listing does not advance: the service, or a proxy before it, gives the same page again and again"
            )
        yield page


def outlives_errors(iterator: Iterator[object]) -> bool:
    """Return whether ``next`` may be called again on `iterator` after it raised, to ask for the same page again."""
    return getattr(iterator, "outlives_errors", False)


def place_in(order: str) -> Callable[[str], Any]:
    """Return what keys are compared by in the order of a provider, as :class:`Limits` names it."""
    return _utf16 if order == "utf16" else str


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def cut_pages(
    infos: Iterable[ObjectInfo], prefix: str, *, start_after: str = "", delimiter: str = "", size: int = PAGE
) -> Iterator[Page]:
    """Return the pages of a listing for a provider without pages: objects in order, rolled up at the delimiter."""
    entries: list[ObjectInfo] = []
    prefixes: list[str] = []
    last = ""
    for info in infos:
        at = info.key.find(delimiter, len(prefix)) if delimiter else -1
        if at < 0:
            entries.append(info)
        else:
            common = info.key[: at + len(delimiter)]
            if common != last and common > start_after:
                prefixes.append(common)
            last = common
        if len(entries) + len(prefixes) >= size:
            yield Page.of(entries, prefixes)
            entries, prefixes = [], []
    if entries or prefixes:
        yield Page.of(entries, prefixes)


def info_of_row(row: Row) -> ObjectInfo:
    """Return the record of a row of a listing."""
    if len(row) == 4:
        key, size, etag, modified = row
        return ObjectInfo(key=key, size=size, etag=etag, modified=modified)
    key, size, etag, modified, content_type, (value, algorithm) = row
    digests = {algorithm: value} if value else {}
    return ObjectInfo(key=key, size=size, content_type=content_type, etag=etag, modified=modified, digests=digests)


def entries_of(pages: Iterable[Page]) -> Iterator[ObjectInfo | Prefix]:
    """Return the objects and the prefixes of a listing as records, each page merged in the order of UTF-8."""
    for page in pages:
        found: list[ObjectInfo | Prefix] = [
            entry if isinstance(entry, ObjectInfo) else info_of_row(entry) for entry in page.entries
        ]
        if page.prefixes:
            found += map(Prefix, page.prefixes)
            found.sort(key=lambda entry: entry.key)
        yield from found
