"""One run over the names of two storages: in this process, several files at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, cast

from .. import exc
from ..backend import Capability
from ..bulk.batch import Item, run
from ..bulk.items import failed, limits_of
from ..data import FileData
from ..markers import Markers
from ..outcomes import BatchProgress, Outcome
from ..upload import Upload
from .comparing import Verdict, judge, look
from .journal import Journal, Past
from .limiting import Pace
from .merging import Merge, Pair
from .pieces import Extras, Passed, each_of, over, together
from .plan import Plan
from .report import Change, SyncProgress

_PIECE = 1000
"""Names that are passed over in one piece."""

_GROUP = 8
_SMALL = 64 << 10
"""Files up to so many bytes are copied so many at a time by one thread, where both sides are of this machine: to hand
one over takes as long as to copy it."""

_NOTED = 500
"""Files after which the journal notes what is reached, if no second has passed before."""

_GIVE_UP = 8
"""Failures in a row of the service, not of a file, beyond those in flight that end a run."""

_ATTEMPTS = 3
"""Times that a file is looked at because somebody else writes to the target."""

OnProgress = Callable[[SyncProgress], Any]
OnBytes = Callable[[int, "int | None"], Any]


class Span:
    """Copies what lies between two names, and gathers what only the target has. Nothing is deleted here.

    :param after: begin behind this name
    :param upto: end with this name; ``None``: with the last one
    :param most: end after so many names; :attr:`reached` tells where
    :param again: files before the first name that are tried again
    """

    def __init__(
        self,
        plan: Plan,
        *,
        after: str = "",
        upto: str | None = None,
        most: int | None = None,
        again: Sequence[str] = (),
        journal: Journal | None = None,
        progress: OnProgress | None = None,
    ):
        self._past = past = journal.past if journal is not None else Past(reached=after)
        self.plan = plan
        self.tally = past.tally
        self.extras = Extras()
        self.merge = Merge(plan, past.reached, upto)
        self.merge.last, self.merge.seen = past.last, past.seen
        self.reached: str | None = None
        """Where it ended because there are too many names; ``None``: there are no more."""
        self._most = most
        self._again_first = again or past.failed
        self._journal = journal
        self._progress = progress
        self._before = past.tally.bytes
        self._pace = Pace(plan.bandwidth, plan.request_rate)
        self._failures = 0
        self._limit, self._options = limits_of(
            plan.source if plan.target.limits.local else plan.target, "sync", plan.concurrency
        )
        self._markers = Markers(plan.target)
        self._hidden = self._markers.all() if Capability.SCAN in plan.target.capabilities else frozenset[str]()
        self._groups = _GROUP if plan.source.limits.local and plan.target.limits.local else 1
        self._by_provider = not plan.attributes and plan.source.copies_to(plan.target)
        self._differs = Verdict.REFUSE if plan.differing == "refuse" else Verdict.COPY
        if journal is not None and plan.delete:
            self.extras.add(journal.extras())

    def __iter__(self) -> Iterator[Change]:
        """Do it; return what became of each file. :raises FilesError: what ends the run"""
        noted, count, reached = time.monotonic(), 0, self._past.reached
        outcomes = run(self._items(), self._limit, progress=self._tell if self._progress else None, **self._options)
        with contextlib.closing(cast("Generator[Outcome[Any]]", outcomes)):
            for outcome in each_of(outcomes):
                changes = list(self._accounted(outcome))
                yield from changes
                if outcome.location <= reached:
                    continue  # one that had failed before is tried again
                reached, count = outcome.location, count + 1
                if self._journal is not None and (count >= _NOTED or time.monotonic() - noted > 1):
                    self._note(reached)
                    noted, count = time.monotonic(), 0
        if self._journal is not None and reached:
            self._note(reached)

    def _note(self, reached: str) -> None:
        assert self._journal is not None
        # The source may have been listed further by now, but no further is told of.
        last = min(self.merge.last, reached)
        self._journal.note(reached=reached, last=last, seen=self.merge.seen, **self.tally.numbers())

    def _tell(self, batch: BatchProgress) -> None:
        assert self._progress is not None
        tally = self.tally
        sent = max(tally.bytes, self._before + batch.bytes)
        self._progress(SyncProgress(tally.copied, tally.skipped, tally.deleted, tally.failed, sent))

    def _accounted(self, outcome: Outcome[Any]) -> Iterator[Change]:
        if isinstance(outcome.value, Passed):
            passed = outcome.value
            self.tally.skipped += passed.skipped
            self.extras.add(passed.extras)
            if self._journal is not None:
                for name in passed.extras:
                    self._journal.note(extra=name)
            for change in passed.changes:
                if change.action == "copy":
                    self.tally.add(change)
                yield change
            return
        if outcome.error is None:
            change = cast("Change", outcome.value)
        else:
            change = Change("fail", outcome.location, error=as_ours(outcome.error, outcome.location))
        self.tally.add(change)
        yield change
        if change.error is None:
            self._failures = 0
            return
        if self._journal is not None:
            self._journal.note(fail=change.location)
        self._give_up(change.error)

    def _give_up(self, error: exc.FilesError) -> None:
        """Raise what fails file after file because the service does."""
        if isinstance(error, exc.LocationError | exc.UploadError | exc.StorageDataError):
            return
        self._failures += 1
        is_hopeless = isinstance(error, exc.InvalidStorageConfigurationError | exc.UnsupportedOperationError)
        if is_hopeless or self._failures >= self._limit + _GIVE_UP:
            error.add_note("file after file failed like this: the run ended, and nothing was deleted")
            raise error

    # -- what is to be done, in the order of the names ----------------------------------------------------------------

    def _items(self) -> Iterator[Item[Any]]:
        for location in self._again_first:
            yield Item(location, functools.partial(self._again, location), key=location)
        passed, previous, group = Passed(), "", list[Item[Any]]()
        for count, pair in enumerate(self.merge, 1):
            item = self._item(pair, passed)
            if item is None:
                if group:
                    yield together(group)
                    group = []
                if passed.count >= _PIECE:
                    yield over(passed, pair.location)
                    passed = Passed()
            else:
                if passed.count:
                    yield over(passed, previous)
                    passed = Passed()
                if item.outcome is None and item.size <= _SMALL:
                    group.append(item)
                    item = None
                if group and (item is not None or len(group) >= self._groups):
                    yield together(group)
                    group = []
                if item is not None:
                    yield item
            previous = pair.location
            if count == self._most:
                self.reached = previous
                break
        if group:
            yield together(group)
        if passed.count:
            yield over(passed, previous)

    def _item(self, pair: Pair, passed: Passed) -> Item[Any] | None:
        """Return what is to be done about a name; ``None`` when that is nothing, which is put into `passed`."""
        location, file, there = pair
        if file is None:
            passed.count += 1
            passed.extras.append(location)
            return None
        verdict = Verdict.COPY if there is None else judge(self.plan, file, there)
        if there is None and location in self._hidden:
            verdict = Verdict.SKIP  # it was removed, see file_keeper.markers
        done = self._past.begun.get(location)
        if there is not None and done is not None and self.plan.compare == "always":
            verdict = Verdict.SKIP  # an earlier run has sent it
        if verdict is Verdict.SKIP:
            passed.count += 1
            change = self._left(file, there)
            if change.action == "copy":
                passed.changes.append(change)
            else:
                passed.skipped += 1
                if self.plan.narrate:
                    passed.changes.append(change)
            return None
        if verdict is Verdict.REFUSE:
            return failed(location, self._refused(location))

        def work(progress: OnBytes) -> Change:
            return self._settle(file, there, verdict, progress)

        large = file.size > self.plan.target.settings.multipart_threshold
        return Item(location, work, size=file.size, key=location, large=large)

    def _left(self, file: FileData, there: FileData | None) -> Change:
        """Return what is told of a file that the target has: that it is skipped, or that an earlier run has sent it."""
        if file.location in self._past.begun:
            done = self._past.begun[file.location]
            return Change("copy", file.location, size=file.size if done is None else done)
        return Change("skip", file.location, size=file.size, replaces=there is not None)

    def _refused(self, location: str) -> exc.ExistingFileError:
        return exc.ExistingFileError(
            "another content is there, and it is not to be replaced",
            storage=self.plan.target.name,
            operation="sync",
            location=location,
        )

    # -- one file, in a thread ----------------------------------------------------------------------------------------

    def _again(self, location: str, progress: OnBytes) -> Change:
        """Try a file that failed in an earlier run."""
        self._pace.call()
        try:
            file = self.plan.source.analyze(location)
        except exc.MissingFileError:
            return Change("skip", location)
        there = self._there(location)
        verdict = Verdict.COPY if there is None else judge(self.plan, file, there)
        return self._settle(file, there, verdict, progress)

    def _there(self, location: str) -> FileData | None:
        """Return what the target has under exactly this name."""
        self._pace.call()
        found = next(self.plan.target.files(prefix=location), None)
        return found if found is not None and found.location == location else None

    def _settle(self, file: FileData, there: FileData | None, verdict: Verdict, progress: OnBytes) -> Change:
        compared = 0
        for attempt in range(1, _ATTEMPTS + 1):
            if verdict is Verdict.LOOK:
                assert there is not None
                equal, read = look(self.plan, file, there, self._pace)
                compared += read
                verdict = Verdict.SKIP if equal else self._differs
            if verdict is Verdict.SKIP:
                return dataclasses.replace(self._left(file, there), compared=compared)
            if verdict is Verdict.REFUSE:
                raise self._refused(file.location)
            try:
                return dataclasses.replace(self._copied(file, there, progress), compared=compared)
            except (exc.ExistingFileError, exc.ChangedFileError) as error:
                # Somebody wrote to the target meanwhile, or the source is another by now.
                now = self._there(file.location)
                was_there = there is not None and now is not None and (there.etag, there.size) == (now.etag, now.size)
                if was_there or (isinstance(error, exc.ChangedFileError) and there is None):
                    raise
                if attempt == _ATTEMPTS:
                    if now is None and isinstance(error, exc.ExistingFileError):
                        raise self._collision(file.location) from error
                    raise
                there, verdict = now, Verdict.COPY if now is None else judge(self.plan, file, now)
        raise AssertionError("the last attempt returns or raises")

    def _collision(self, location: str) -> exc.LocationError:
        return exc.LocationError(
            "the target has a file there under another name, which it does not tell apart from this one (upper and "
            "lower case, or two forms of Unicode), or something that is no file: rename one of the two, or exclude it",
            storage=self.plan.target.name,
            operation="sync",
            location=location,
        )

    def _copied(self, file: FileData, there: FileData | None, progress: OnBytes) -> Change:
        plan, location = self.plan, file.location
        change = Change(
            "copy", location, size=file.size, replaces=there is not None, by_provider=self._by_provider
        )  # fmt: skip
        if plan.dry_run:
            return change
        if self._journal is not None:
            self._journal.note(begin=location)
        # What was seen in the target is what is replaced, and nothing else.
        overwrite = False if there is None else there if there.etag else True
        self._pace.call()
        made = self._sent(location, overwrite, self._paced(progress))
        if there is None and plan.differing == "keep" and self._markers.has(location):
            # A cut-over: it was removed while it was copied, and does not come back.
            with contextlib.suppress(exc.ChangedFileError, exc.MissingFileError):
                plan.target._withdraw(made)  # pyright: ignore[reportPrivateUsage]
            return Change("skip", location, size=file.size)
        if self._journal is not None:
            self._journal.note(done=location, bytes=made.size)
        return dataclasses.replace(change, size=made.size)

    def _sent(self, location: str, overwrite: bool | FileData, progress: OnBytes) -> FileData:
        plan = self.plan
        if not plan.attributes:
            return plan.source.copy_synthetic(location, location, plan.target, overwrite=overwrite, progress=progress)
        with plan.source.stream(location) as stream:
            upload = Upload(stream, location, stream.info.size if stream.info.size >= 0 else None)
            return plan.target.upload(location, upload, overwrite=overwrite, progress=progress, **plan.attributes)

    def _paced(self, progress: OnBytes) -> OnBytes:
        before = 0

        def tell(done: int, total: int | None) -> None:
            nonlocal before
            progress(done, total)
            before, moved = max(done, before), max(0, done - before)
            self._pace.bytes(moved)

        return tell


def as_ours(error: BaseException, location: str) -> exc.FilesError:
    """Return an error of the library that tells of this one."""
    if isinstance(error, exc.FilesError):
        error.within(location=location)
        return error
    if not isinstance(error, Exception):
        raise error
    found = exc.StorageError(f"{type(error).__name__}: {error}", operation="sync", location=location)
    found.__cause__ = error
    return found
