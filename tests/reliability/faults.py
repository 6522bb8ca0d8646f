"""Every fault that a service or the way to it can have, as rules of the proxy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from faults.answers import azure_error, gcs_error, s3_error
from faults.rules import Rule
from file_keeper import exc

from .operations import Operation, large
from .places import ATTEMPTS

STALL = 2.2
"""Seconds, longer than the time-out of who waits."""

Answers = dict[str, Callable[..., tuple[int, str, dict[str, str]]]]
ERRORS: Answers = {"s3": s3_error, "gcs": gcs_error, "azure": azure_error}

CODES = {
    "s3": {429: "TooManyRequests", 500: "InternalError", 501: "NotImplemented", 503: "SlowDown"},
    "gcs": {429: "rateLimitExceeded", 500: "internalError", 501: "notImplemented", 503: "backendError"},
    "azure": {429: "TooManyRequests", 500: "InternalError", 501: "NotImplemented", 503: "ServerBusy"},
}

HTML = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Welcome to the airport</body></html>"


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault.

    :param arm: gives the rule its action; gets the kind of the place and where the middle of a body is
    :param errors: what an operation may end with
    :param passing: it passes by itself, so that an operation that meets it once succeeds
    :param hasty: it is about time: tried by a storage that waits a second only
    :param suits: which operations it is tried on
    :param repeats: an attempt that meets it is made again
    """

    name: str
    arm: Callable[[Rule, str, int], object]
    errors: tuple[type[exc.FilesError], ...] = (exc.ConnectionError,)
    passing: bool = True
    hasty: bool = False
    secure: bool = False
    suits: Callable[[Operation], bool] = lambda operation: True
    repeats: bool = True
    unheard: bool = False
    """The service has done what was asked, or does it later, and nobody is told."""
    spoils: bool = False
    """What a client remembers of such an answer: the place is not used again."""


def _answer(status: int, retry_after: Callable[[], str] | None = None) -> Callable[[Rule, str, int], object]:
    def arm(rule: Rule, kind: str, middle: int) -> object:
        code, body, headers = ERRORS[kind](status, CODES[kind][status])
        if retry_after:
            headers = {**headers, "Retry-After": retry_after()}
        return rule.answer(code, body, headers)

    return arm


def _date() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)


def _drip(rule: Rule, kind: str, middle: int) -> object:
    # Content takes longer than the time-out, in pieces that come within it.
    rate = len(large(kind)) / 3
    return rule.throttle(download=rate, upload=rate)


def _after_it_was_done(rule: Rule, kind: str, middle: int) -> object:
    return rule.lose_answer()


FAULTS: tuple[Fault, ...] = (
    Fault("429, Retry-After in seconds", _answer(429, lambda: "1"), (exc.ThrottledError,)),
    Fault("503, Retry-After as a date", _answer(503, _date)),
    Fault("503", _answer(503)),
    Fault("500", _answer(500)),
    Fault("501", _answer(501), (exc.StorageError,), passing=False, repeats=False, spoils=True),
    Fault("reset before it is done", lambda rule, kind, middle: rule.reset()),
    Fault("reset after it is done", _after_it_was_done, unheard=True),
    Fault("closed before it is done", lambda rule, kind, middle: rule.hang_up()),
    Fault("closed after it is done", lambda rule, kind, middle: rule.hang_up(done=True), unheard=True),
    Fault(
        "stall before it is done", lambda rule, kind, middle: rule.stall(STALL, at="request"), hasty=True, unheard=True
    ),
    Fault(
        "stall before the answer", lambda rule, kind, middle: rule.stall(STALL, at="answer"), hasty=True, unheard=True
    ),
    Fault(
        "stall in the body",
        lambda rule, kind, middle: rule.stall(STALL, at="body", after=middle),
        hasty=True,
        unheard=True,
    ),
    Fault("reset in the body", lambda rule, kind, middle: rule.cut(after=middle), unheard=True),
    Fault("closed in the body", lambda rule, kind, middle: rule.cut(after=middle, clean=True), unheard=True),
    Fault(
        "shorter body",
        lambda rule, kind, middle: rule.short_body(3),
        (exc.ConnectionError, exc.CorruptedFileError, exc.ChangedFileError),
        passing=False,
        suits=lambda operation: operation.reads,
    ),
    Fault(
        "longer body",
        lambda rule, kind, middle: rule.long_body(3),
        (exc.ConnectionError, exc.CorruptedFileError, exc.ChangedFileError),
        passing=False,
        suits=lambda operation: operation.reads,
    ),
    Fault(
        "a bit of what is read",
        lambda rule, kind, middle: rule.flip_response(offset=1234),
        (exc.CorruptedFileError, exc.ConnectionError),
        passing=False,
        suits=lambda operation: operation.whole,
    ),
    Fault(
        "a bit of what is sent",
        lambda rule, kind, middle: rule.flip_request(offset=1234),
        (exc.ConnectionError, exc.UploadHashMismatchError, exc.StorageDataError, exc.StorageError),
        passing=False,
        suits=lambda operation: operation.sends,
    ),
    Fault("slow drip", _drip, hasty=True),
    Fault("an empty 200", lambda rule, kind, middle: rule.answer(200), passing=False),
    Fault("HTML", lambda rule, kind, middle: rule.answer(200, HTML, {"Content-Type": "text/html"}), passing=False),
    Fault(
        "a redirect",
        lambda rule, kind, middle: rule.answer(302, "", {"Location": "http://portal.invalid/"}),
        (exc.StorageError,),
        passing=False,
        repeats=False,
    ),
)

NEVER = (
    exc.MissingFileError,
    exc.ExistingFileError,
    exc.ChangedFileError,
    exc.PermissionError,
    exc.CircuitOpenError,
)
"""Nobody else is there, and all is allowed: no fault is one of these, unless it says so."""

__all__ = ["ATTEMPTS", "FAULTS", "NEVER", "Fault"]
