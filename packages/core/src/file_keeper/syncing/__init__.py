"""Making one storage hold what another one holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any, Literal

from .. import exc
from ..storage import Storage
from .deleting import deleted, why_not
from .fleet import results
from .journal import Journal
from .pieces import Extras
from .plan import Plan, patterns_of, rate_of
from .report import Change, SyncProgress, SyncReport, Tally
from .run import OnProgress, Span

__all__ = ["Change", "Plan", "Run", "SyncProgress", "SyncReport", "sync"]

_DIFFERING = {True: "replace", False: "keep", "newer": "newer"}


def sync(
    source: Storage,
    target: Storage,
    *,
    prefix: str = "",
    delete: bool = False,
    max_delete: int | None = None,
    overwrite: bool | Literal["newer"] = True,
    dry_run: bool = False,
    compare: Literal["auto", "hash", "size", "always"] = "auto",
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    concurrency: int | None = None,
    executor: Executor | None = None,
    journal: str | os.PathLike[str] | None = None,
    progress: Callable[[SyncProgress], Any] | None = None,
    bandwidth: float | str | None = None,
    request_rate: float | None = None,
) -> SyncReport:
    """Make `target` hold what `source` holds: nothing is sent that is there, each file is replaced in one step.

    Two ordered listings are merged, so memory does not depend on the number of files. Type, metadata and headers go
    with the content, which is verified by its hash. What fails for one file is in the report, and the others follow.

    :param prefix: only names that begin with these characters
    :param delete: remove what the source does not have: last, and only if nothing failed, both listings were whole and
        the source is not empty. ``undeleted`` of the report says why nothing was deleted
    :param max_delete: when more than so many files would be deleted, delete none; said, an empty source is believed
    :param overwrite: replace what is there with another content: always, never (``False``: what is there is not even
        compared), or ``"newer"``: where the source's is the newer one
    :param dry_run: do nothing; the report tells what would be done
    :param compare: how files of one name are compared. ``"auto"``: by size, then by hash where that is known without
        reading, else by reading. ``"hash"``: the same without believing an ETag. ``"size"``: by size alone.
        ``"always"``: not at all, every file is sent
    :param include: patterns as ``glob`` of :meth:`Storage.scan`: only names that match one of them
    :param exclude: patterns of names that are left alone on both sides, and never deleted
    :param concurrency: files under way at a time; ``None``: as many as the services take
    :param executor: does the work by ranges of names, each with `concurrency` of its own: processes, Dask
    :param journal: path of a file by which a run that was killed is taken up. One of another job is refused
    :param progress: called with a :class:`~file_keeper.syncing.report.SyncProgress` about twice a second; if it raises,
        the run ends
    :param bandwidth: bytes of content a second at most, such as ``"10MiB"``
    :param request_rate: calls of a storage a second at most
    :return: the numbers; after a resume those of one whole run
    :raises StorageDataError: for arguments that make no sense, and a journal that is of another job or damaged
    :raises FilesError: what ends the whole run: a listing that fails, a service that fails file after file
    """
    if overwrite not in _DIFFERING:
        raise exc.StorageDataError(f"overwrite is True, False or 'newer', not {overwrite!r}")
    plan = Plan(
        source=source,
        target=target,
        prefix=prefix,
        delete=delete,
        max_delete=max_delete,
        differing=_DIFFERING[overwrite],
        dry_run=dry_run,
        compare=compare,
        include=patterns_of(include),
        exclude=patterns_of(exclude),
        concurrency=concurrency,
        bandwidth=rate_of(bandwidth, "bandwidth"),
        request_rate=rate_of(request_rate, "request_rate"),
    )
    run = Run(plan, executor=executor, journal=journal, progress=progress)
    for _ in run:
        pass
    return run.report()


class Run:
    """One synchronisation, told file by file: iterate over it once, then ask for the :meth:`report`.

    :raises StorageDataError: as :func:`sync`
    """

    def __init__(
        self,
        plan: Plan,
        *,
        executor: Executor | None = None,
        journal: str | os.PathLike[str] | None = None,
        progress: OnProgress | None = None,
    ):
        plan.check()
        self.plan = plan
        self.undeleted = ""
        self._executor = executor
        self._journal_path = None if plan.dry_run else journal
        self._progress = progress
        self._tally = Tally()

    def report(self) -> SyncReport:
        """Return the numbers so far."""
        return self._tally.report(self.undeleted, dry_run=self.plan.dry_run)

    def __iter__(self) -> Iterator[Change]:
        """Do it; return what becomes of each file, in the order of the names, then of those removed."""
        journal = Journal(self._journal_path, self.plan.identity()) if self._journal_path is not None else None
        try:
            yield from self._changes(journal)
            if journal is not None:
                journal.note(end=True, **self._tally.numbers())
        except exc.FilesError as error:
            error.within(operation="sync")
            raise
        finally:
            if journal is not None:
                journal.close()

    def _changes(self, journal: Journal | None) -> Iterator[Change]:
        if self._executor is None:
            span = Span(self.plan, journal=journal, progress=self._progress)
            self._tally = span.tally
            try:
                yield from span
                yield from self._deleted(span.extras, seen=span.merge.seen, last=span.merge.last)
            finally:
                span.extras.close()
        else:
            yield from self._on_executor(self._executor, journal)
        self._tell()

    def _on_executor(self, executor: Executor, journal: Journal | None) -> Iterator[Change]:
        past = journal.past if journal is not None else None
        extras, seen, last = Extras(), False, ""
        try:
            if journal is not None and past is not None:
                self._tally, seen, last = past.tally, past.seen, past.last
                extras.add(journal.extras())
                if past.failed:
                    again = Span(self.plan, after=past.reached, upto=past.reached, again=past.failed)
                    again.extras.close()
                    yield from again
                    self._tally.join(again.tally)
            for upto, result in results(self.plan, executor, past.reached if past is not None else ""):
                self._tally.join(result.tally)
                extras.add(result.extras)
                seen, last = seen or result.seen, max(last, result.last)
                if journal is not None:
                    for name in result.extras:
                        journal.note(extra=name)
                    for change in result.changes:
                        if change.action == "fail":
                            journal.note(fail=change.location)
                    reached = max(upto or "", last, *result.extras[-1:])
                    journal.note(reached=reached, last=last, seen=seen, **self._tally.numbers())
                yield from result.changes
                self._tell()
            yield from self._deleted(extras, seen=seen, last=last)
        finally:
            extras.close()

    def _deleted(self, extras: Extras, *, seen: bool, last: str) -> Iterator[Change]:
        if not (self.plan.delete and extras.count):
            return
        self.undeleted = why_not(self.plan, self._tally, extras, seen=seen, last=last)
        if self.undeleted:
            return
        for change in deleted(self.plan, extras):
            self._tally.add(change)
            yield change

    def _tell(self) -> None:
        if self._progress is not None:
            tally = self._tally
            self._progress(SyncProgress(tally.copied, tally.skipped, tally.deleted, tally.failed, tally.bytes))
