"""Two listings, each in the order of its names, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from .. import exc
from ..data import FileData
from ..storage import Storage
from .plan import Plan


class Pair(NamedTuple):
    """A name, and the file that each side has of it."""

    location: str
    file: FileData | None
    there: FileData | None


class Merge:
    """The names of both sides that pass the filters, in order; memory is that of two pages.

    :param after: begin behind this name
    :param upto: end with this name; ``None``: with the last one
    """

    def __init__(self, plan: Plan, after: str = "", upto: str | None = None):
        self.last = ""
        """The last name that the source has listed, whether it passes or not."""
        self.seen = False
        """Whether the source has a file that passes."""
        self._plan = plan
        self._after = after
        self._upto = upto

    def __iter__(self) -> Iterator[Pair]:
        passes = self._plan.passes()
        sources = self._listing(self._plan.source, passes, tells=True)
        targets = self._listing(self._plan.target, passes, tells=False)
        file, there = next(sources, None), next(targets, None)
        while file is not None or there is not None:
            if there is None or (file is not None and file.location < there.location):
                assert file is not None
                yield Pair(file.location, file, None)
                file = next(sources, None)
            elif file is None or there.location < file.location:
                yield Pair(there.location, None, there)
                there = next(targets, None)
            else:
                yield Pair(file.location, file, there)
                file, there = next(sources, None), next(targets, None)

    def _listing(self, storage: Storage, passes: Callable[[str], bool], *, tells: bool) -> Iterator[FileData]:
        previous, upto = self._after, self._upto
        for file in storage.files(prefix=self._plan.prefix, start_after=self._after):
            location = file.location
            if location <= previous:
                # Merged as if they were in order, names would seem to be missing.
                raise exc.ConnectionError(
                    f"the listing is not in order: {location!r} comes behind {previous!r}; nothing was deleted",
                    storage=storage.name,
                    operation="sync",
                )
            if upto is not None and location > upto:
                return
            previous = location
            if tells:
                self.last = location
            if passes(location):
                if tells:
                    self.seen = True
                yield file
