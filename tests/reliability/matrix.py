"""One operation meets one fault: what came of it, and whether that is what the contract promises."""

from __future__ import annotations

import collections
import dataclasses
import re
import time
from collections.abc import Collection, Iterator
from typing import Any, Literal

from faults.http1 import Request
from file_keeper import exc

from .faults import ATTEMPTS, FAULTS, NEVER, Fault
from .operations import OPERATIONS, Operation, lay_out
from .places import Place

LIMIT = 30.0
"""Seconds that no trial needs: more is a hang."""

Outcome = Literal["survived", "refused", "wrong"]


@dataclasses.dataclass(frozen=True)
class Trial:
    """One operation, one fault, at the `nth` request of the operation, once or from there on for ever."""

    operation: Operation
    fault: Fault
    nth: int
    lasting: bool

    def __str__(self) -> str:
        which = "from request" if self.lasting else "at request"
        return f"{self.operation.name}: {self.fault.name}, {which} {self.nth}"


@dataclasses.dataclass
class Verdict:
    """What came of a trial.

    :param error: the name of the error that it was refused with
    :param why: what is wrong
    """

    trial: Trial
    outcome: Outcome
    error: str = ""
    uncertain: bool = False
    why: list[str] = dataclasses.field(default_factory=list[str])


def exactly(request: Request) -> str:
    """Give what a repeat of a request has in common with it, and requests for other things have not."""
    ranges = (request.headers.get(name) for name in ("Content-Range", "Range", "x-ms-range", "x-amz-copy-source-range"))
    return " ".join((f"{request.method} {request.path}?{request.query}", *filter(None, ranges)))


def alike(request: str) -> str:
    """Give what a request has in common with that of another trial, where ids are others."""
    text = re.sub(r"(?i)(uploadid|upload_id|blockid|X-Goog-[^=]*)=[^& ]*", r"\1=*", request)
    text = re.sub(r"/turn-\d+/|%2Fturn-\d+(?=%2F)", "/", text)
    return re.sub(r"[0-9a-zA-Z_-]{20,}(=|%3D)*", "*", text)


def middle(operation: Operation, kind: str) -> int:
    """Give how much of a body has come in the middle: of a file, or of what a service says of a request."""
    return max(map(len, operation.before(kind).values()), default=0) * 6 // 10 if operation.reads else 20


class Matrix:
    """The trials of one place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._usual: dict[str, collections.Counter[str]] = {}

    def requests(self, operation: Operation) -> collections.Counter[str]:
        """Give what an operation sends when nothing fails, each exactly."""
        if operation.name not in self._usual:
            for _ in range(2):  # the first one finds out what the service can do
                given = lay_out(self.place, operation)
                self.place.front.clear()
                value = operation.run(self.place.storage, given)
                sent = self._sent()
                assert operation.result(value, self.place.kind), operation.name
                assert self.place.contents() == operation.end_state(self.place.kind), operation.name
                self.place.empty()
            self._usual[operation.name] = sent
        return self._usual[operation.name]

    def _sent(self) -> collections.Counter[str]:
        # What finds out what a service can do is sent once, and is not counted.
        requests = self.place.front.requests
        return collections.Counter(exactly(one) for one in requests if "/.file-keeper/probe-" not in one.path)

    def trials(
        self, *, operations: Collection[str] = (), faults: Collection[str] = (), most: int = 6, lasting: bool = True
    ) -> Iterator[Trial]:
        """Give the trials: each fault once at each request, and for ever from the first and from the last one on.

        :param operations: the names of those to be tried; else all
        :param faults: the same
        :param most: requests of one operation at which a fault is tried
        """
        for operation in OPERATIONS:
            if self.place.kind not in operation.kinds or (operations and operation.name not in operations):
                continue
            count = sum(self.requests(operation).values())
            if not count:  # it asks nobody
                continue
            places = sorted({*range(1, min(count, most) + 1), count})
            for fault in FAULTS:
                if not fault.suits(operation) or (faults and fault.name not in faults):
                    continue
                for nth in places if not fault.spoils else ():
                    yield Trial(operation, fault, nth, lasting=False)
                for nth in ({count} if fault.hasty else {1, count}) if lasting else ():
                    yield Trial(operation, fault, nth, lasting=True)

    def run(self, trial: Trial) -> Verdict:
        """Try it."""
        place, operation, fault = self.place, trial.operation, trial.fault
        usual = self.requests(operation)
        if fault.spoils and place.kind == "s3":
            place.renew()
            self._usual.clear()
            self.requests(operation)
        given = lay_out(place, operation)
        place.front.clear()
        rule = place.front.on(nth=trial.nth, times=None if trial.lasting else 1)
        fault.arm(rule, place.kind, middle(operation, place.kind))
        storage = place.hasty if fault.hasty else place.storage
        verdict = Verdict(trial, "survived")
        value: Any = None
        error: BaseException | None = None
        began = time.monotonic()
        try:
            value = operation.run(storage, given)
        except BaseException as raised:  # whatever it is, it is judged
            if isinstance(raised, KeyboardInterrupt):
                raise
            error = raised
        took = time.monotonic() - began
        sent = self._sent()
        place.front.clear()
        if fault.hasty and fault.name.startswith("stall"):
            time.sleep(STALL_OVER)  # what is held back arrives late, after the operation has ended
        try:
            if took > LIMIT:
                verdict.why.append(f"it took {took:.0f} seconds")
            self._judge(verdict, value, error)
            self._count(verdict, usual, sent)
            self._state(verdict, error)
        finally:
            if fault.spoils and place.kind == "s3":
                place.renew()
            place.empty()
        if verdict.why:
            verdict.outcome = "wrong"
        return verdict

    def _judge(self, verdict: Verdict, value: Any, error: BaseException | None) -> None:
        trial, place = verdict.trial, self.place
        if error is None:
            if not trial.operation.result(value, place.kind):
                verdict.why.append(f"it gave {value!r:.200}")
            return
        verdict.outcome, verdict.error = "refused", type(error).__name__
        if not isinstance(error, exc.FilesError):
            verdict.why.append(f"{type(error).__name__}, which is not ours, left the library: {error!r:.300}")
            return
        verdict.uncertain = error.uncertain
        errors = (*trial.fault.errors, *trial.operation.errors)
        if (isinstance(error, NEVER) and type(error) not in errors) or not isinstance(error, errors):
            verdict.why.append(f"it ended with {error!r:.300}")
        if trial.fault.passing and not trial.lasting:
            verdict.why.append(f"it met the fault once and ended with {error!r:.300}")

    def _count(self, verdict: Verdict, usual: collections.Counter[str], sent: collections.Counter[str]) -> None:
        # What a service of S3 cannot do is asked for another way, once.
        repeats = verdict.trial.fault.repeats or (verdict.trial.fault.spoils and self.place.kind == "s3")
        attempts = ATTEMPTS if repeats else 1
        most: collections.Counter[str] = collections.Counter()
        for request, count in usual.items():
            most[alike(request)] = max(most[alike(request)], count)
        for request, count in sent.items():
            # Who looks what became of an unanswered attempt reads, and so does who takes up a broken body, or drops a
            # session of Google's, whose state is asked for with a PUT.
            looks = ATTEMPTS + 1 if request.startswith(("GET", "HEAD")) or request.endswith("bytes */*") else 0
            if count > max(most[alike(request)], 1) * attempts + looks:
                verdict.why.append(f"{count} requests, usually {most[alike(request)]}: {request}")

    def _state(self, verdict: Verdict, error: BaseException | None) -> None:
        trial, place = verdict.trial, self.place
        before, after = trial.operation.before(place.kind), trial.operation.end_state(place.kind)
        found = place.contents()
        if error is None:
            allowed = [after]
        elif getattr(error, "uncertain", False):
            allowed = [before, after, *trial.operation.between(place.kind)]
        else:
            allowed = [before, *trial.operation.between(place.kind)]
        if found not in allowed:
            told = {name: len(content) for name, content in found.items()}
            verdict.why.append(f"there is {told}, after {error!r:.200}")
        if trial.operation.leaves:
            return
        left = place.leftovers()
        # Who is cut off or refused cannot tidy up, nor who never learned that an upload was begun: cleanup_uploads
        # finds it. Sessions of Google's end by themselves.
        if left and (trial.lasting or trial.fault.unheard or not trial.fault.passing):
            place.clean()
            left = [one for one in place.leftovers() if not one.startswith("session ")]
        if left:
            verdict.why.append(f"left: {left}, after {error!r:.200}")


STALL_OVER = 0.8
