"""What a synchronisation is asked to do; checked, and plain enough to travel to another process."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .. import exc
from ..settings import parse_filesize
from ..storage import Storage

COMPARE = ("auto", "hash", "size", "always")

_PLACE = ("bucket", "root", "endpoint", "account_name", "account_url", "provider")
"""Options that say where the files of a storage lie; none of them is a secret."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """One synchronisation.

    :param differing: what happens to a file that is there with another content: ``replace``, ``keep`` (it is skipped
        and not even compared), ``newer`` (replaced where the source's is newer), ``refuse`` (it fails)
    :param bandwidth: bytes a second, 0: as many as there are
    :param request_rate: calls a second, 0: as many as there are
    :param narrate: tell of the files that are skipped as well
    :param attributes: what the copies get in place of what the source tells: arguments of :meth:`Storage.upload`
    """

    source: Storage
    target: Storage
    prefix: str = ""
    delete: bool = False
    max_delete: int | None = None
    differing: str = "replace"
    dry_run: bool = False
    compare: str = "auto"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    concurrency: int | None = None
    bandwidth: float = 0.0
    request_rate: float = 0.0
    narrate: bool = False
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])

    def check(self) -> None:
        """Refuse what makes no sense. :raises StorageDataError: saying what and why"""
        if self.compare not in COMPARE:
            raise exc.StorageDataError(f"compare is one of {', '.join(COMPARE)}, not {self.compare!r}")
        if self.max_delete is not None and self.max_delete < 0:
            raise exc.StorageDataError(f"max_delete is a number of files, not {self.max_delete}")
        if not (self.bandwidth >= 0 and self.request_rate >= 0):
            raise exc.StorageDataError("bandwidth and request_rate are not negative")
        if overlaps(self.source, self.target):
            raise exc.StorageDataError(
                "source and target are one place, or one lies within the other: give places that are apart, "
                "or exclude nothing and move the target elsewhere"
            )

    def passes(self) -> Callable[[str], bool]:
        """Return what tells whether the filters let a location through."""
        wanted, unwanted = _matcher(self.include), _matcher(self.exclude)

        def passes(location: str) -> bool:
            if unwanted is not None and unwanted(location):
                return False
            return wanted is None or bool(wanted(location))

        return passes

    def identity(self) -> dict[str, Any]:
        """Return what a journal must agree with: the two places, and whatever decides what is done to a file."""
        return {
            "source": place_of(self.source),
            "target": place_of(self.target),
            "prefix": self.prefix,
            "delete": self.delete,
            "differing": self.differing,
            "compare": self.compare,
            "include": list(self.include),
            "exclude": list(self.exclude),
        }


@functools.cache
def _matcher(patterns: tuple[str, ...]) -> Callable[[str], Any] | None:
    return re.compile("|".join(map(fnmatch.translate, patterns))).match if patterns else None


def patterns_of(given: Iterable[str] | str) -> tuple[str, ...]:
    """Return patterns; a single one may be given as text."""
    return (given,) if isinstance(given, str) else tuple(given)


def rate_of(given: Any, what: str) -> float:
    """Return a rate: a number, or a size such as ``"10MiB"``; ``None`` is no bound.

    :raises StorageDataError: for anything else
    """
    if given is None:
        return 0.0
    try:
        rate = float(parse_filesize(given)) if isinstance(given, str) else float(given)
    except (TypeError, ValueError):
        raise exc.StorageDataError(f"{what} is a number a second, or a size such as '10MiB', not {given!r}") from None
    if not rate > 0:
        raise exc.StorageDataError(f"{what} is above zero, not {given!r}")
    return rate


def place_of(storage: Storage) -> dict[str, str]:
    """Return where the files of a storage lie, as far as its settings tell; without a secret."""
    settings = storage.settings
    found = {"type": settings.type}
    options = {name: value for name in _PLACE if isinstance(value := getattr(settings, name, ""), str) and value}
    # What stands before each location in the keys of the storage.
    within = storage.full_path("x")[:-1]
    if not settings.absolute_path:
        return {**found, **options, "within": within}
    parts = (settings.path,) if os.path.isabs(os.path.expanduser(settings.path)) else (
        options.get("root", ""), options.get("bucket", ""), settings.path
    )  # fmt: skip
    folder = os.path.abspath(os.path.join(*map(os.path.expanduser, parts)) or ".")
    return {**found, "within": f"{folder}{os.sep}{within}"}


def overlaps(source: Storage, target: Storage) -> bool:
    """Return whether two storages are one place, or one lies within the other."""
    here, there = place_of(source), place_of(target)
    ours, theirs = here.pop("within"), there.pop("within")
    if source.backend is not target.backend and (here != there or (len(here) == 1 and not ours.startswith(os.sep))):
        # Other places; or nothing in the settings tells them apart, as private memory.
        return False
    return ours.startswith(theirs) or theirs.startswith(ours)
