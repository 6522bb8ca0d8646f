"""A synchronisation on an executor: each of its workers lists and copies a range of names."""

from __future__ import annotations

import dataclasses
import os
import secrets
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future

from .plan import Plan
from .report import Change, Tally
from .run import Span

RANGE = 5000
"""Names of the source in a range."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a range; plain, as it travels.

    :param changes: the files that were not skipped
    :param extras: names that only the target has
    :param last: the last name that the source has listed
    :param seen: whether the source has a file that passes the filters
    :param reached: where it ended because there are more names than expected; else ``None``
    """

    tally: Tally
    changes: list[Change]
    extras: list[str]
    last: str
    seen: bool
    reached: str | None


def work(plan: Plan, after: str, upto: str | None, nonce: str) -> Result:
    """Do a range; runs in any process.

    :param nonce: makes this call another one than any before, for executors that remember results
    """
    span = Span(plan, after=after, upto=upto, most=4 * RANGE)
    changes = list(span)
    extras = list(span.extras)
    span.extras.close()
    return Result(span.tally, changes, extras, span.merge.last, span.merge.seen, span.reached)


def width_of(executor: Executor) -> int:
    """Return how many ranges are given to an executor at a time."""
    known = getattr(executor, "_max_workers", None)
    return 2 * (known if isinstance(known, int) and known > 0 else os.cpu_count() or 1)


def bounds(plan: Plan, after: str) -> Iterator[tuple[str, str | None]]:
    """Cut the names of the source into ranges: from behind the first up to the second. The last one is open."""
    last = after
    for count, name in enumerate(plan.source.scan(prefix=plan.prefix, start_after=after), 1):
        if count % RANGE == 0:
            yield last, name
            last = name
    yield last, None


def results(plan: Plan, executor: Executor, after: str) -> Iterator[tuple[str | None, Result]]:
    """Do all ranges; return the end and the result of each, in order.

    What this run may use is divided among the ranges that are under way.
    """
    width = width_of(executor)
    plan = dataclasses.replace(plan, bandwidth=plan.bandwidth / width, request_rate=plan.request_rate / width)
    flying: deque[tuple[str | None, Future[Result]]] = deque()
    ranges = bounds(plan, after)
    more = True

    def begin(begin: str, upto: str | None) -> tuple[str | None, Future[Result]]:
        return upto, executor.submit(work, plan, begin, upto, secrets.token_hex(8))

    try:
        while more or flying:
            while more and len(flying) < width:
                found = next(ranges, None)
                if found is None:
                    more = False
                else:
                    flying.append(begin(*found))
            if not flying:
                return
            upto, future = flying.popleft()
            result = future.result()
            if result.reached is not None:
                # The target has many names in between: the rest of this range comes before the next one.
                flying.appendleft(begin(result.reached, upto))
                upto = result.reached
            yield upto, result
    finally:
        for _, future in flying:
            future.cancel()
