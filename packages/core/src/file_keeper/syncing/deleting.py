"""Removing what only the target has: last, and only with proof that the source was seen whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from .. import exc
from .limiting import Pace
from .pieces import Extras
from .plan import Plan
from .report import Change, Tally

_BATCH = 1000
_SAMPLE = 4
"""Names that the source is asked about once more, spread over all that are to be removed."""


def why_not(plan: Plan, tally: Tally, extras: Extras, *, seen: bool, last: str) -> str:
    """Return why nothing may be deleted, ``""`` when it may.

    :param seen: whether the source has a file that passes the filters
    :param last: the last name that the source has listed
    """
    if tally.failed:
        return f"nothing was deleted: {tally.failed} file(s) failed"
    if plan.max_delete is None and not seen:
        return "nothing was deleted: the source has no file; if that is right, max_delete says how many may go"
    if plan.max_delete is not None and extras.count > plan.max_delete:
        return f"nothing was deleted: {extras.count} files would be, and max_delete allows {plan.max_delete}"
    # A listing may end early and look like any other: nothing may lie behind its end, and what it lacked may not exist.
    behind = next(plan.source.scan(prefix=plan.prefix, start_after=last), None)
    if behind is not None:
        return f"nothing was deleted: the source has {behind!r} behind the end of its listing"
    for name in itertools.islice(extras, 0, None, max(1, extras.count // _SAMPLE)):
        if plan.source.exists(name):
            return f"nothing was deleted: the source has {name!r}, which its listing did not have"
    return ""


def deleted(plan: Plan, extras: Extras) -> Iterator[Change]:
    """Remove the files, in batches where the provider has them; return what became of each."""
    pace = Pace(plan.bandwidth, plan.request_rate)
    names = iter(extras)
    while batch := list(itertools.islice(names, _BATCH)):
        errors: dict[str, exc.FilesError] = {}
        if not plan.dry_run:
            pace.call()
            errors = {error.location: error for error in plan.target.remove_many(batch)}
        for name in batch:
            error = errors.get(name)
            yield Change("fail" if error else "delete", name, error=error)
