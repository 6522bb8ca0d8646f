"""What a synchronisation has done: for each file, and altogether."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from .. import exc

Action = Literal["copy", "skip", "delete", "fail"]

ERRORS = 1000
"""Errors that a report keeps; all of them are counted."""


@dataclasses.dataclass(frozen=True, slots=True)
class SyncReport:
    """The numbers of a whole run; after a resume those of the runs before it too.

    :param copied: files that were sent, or copied by the provider
    :param skipped: files that were left as they are: equal, or not to be overwritten
    :param deleted: files that were removed from the target
    :param failed: files that could not be copied, compared or removed
    :param bytes: bytes of content of the files copied
    :param errors: the error of each file that failed; the first thousand
    :param compared: bytes of content that were read because nothing else told whether two files are equal
    :param undeleted: why nothing was deleted although it was asked for, in one line; else ``""``
    :param dry_run: nothing was done: the numbers are those of what would have been
    """

    copied: int = 0
    skipped: int = 0
    deleted: int = 0
    failed: int = 0
    bytes: int = 0
    errors: list[exc.FilesError] = dataclasses.field(default_factory=list[exc.FilesError])
    compared: int = 0
    undeleted: str = ""
    dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["errors"] = [
            {"error": type(error).__name__, "location": error.location, "message": str(error)} for error in self.errors
        ]
        return values


@dataclasses.dataclass(frozen=True, slots=True)
class SyncProgress:
    """How far a synchronisation is. No number ever goes down.

    :param bytes: bytes of content sent, those of files that are under way among them
    """

    copied: int
    skipped: int
    deleted: int
    failed: int
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What became of one file, or in a dry run would.

    :param action: ``copy``, ``skip``, ``delete``, ``fail``
    :param size: bytes of content
    :param replaces: whether the target had a file of that name
    :param by_provider: whether the provider copies, and no byte passes through here
    :param compared: bytes that were read to compare
    :param error: why it failed
    """

    action: Action
    location: str
    size: int = 0
    replaces: bool = False
    by_provider: bool = False
    compared: int = 0
    error: exc.FilesError | None = None


@dataclasses.dataclass(slots=True)
class Tally:
    """Adds up a report."""

    copied: int = 0
    skipped: int = 0
    deleted: int = 0
    failed: int = 0
    bytes: int = 0
    compared: int = 0
    errors: list[exc.FilesError] = dataclasses.field(default_factory=list[exc.FilesError])

    def add(self, change: Change) -> None:
        """Count one file."""
        self.compared += change.compared
        if change.action == "copy":
            self.copied += 1
            self.bytes += change.size
        elif change.action == "skip":
            self.skipped += 1
        elif change.action == "delete":
            self.deleted += 1
        else:
            self.failed += 1
            if change.error is not None and len(self.errors) < ERRORS:
                self.errors.append(change.error)

    def join(self, other: Tally) -> None:
        """Count what another one has counted."""
        for name in NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.errors.extend(other.errors[: ERRORS - len(self.errors)])

    def numbers(self) -> dict[str, int]:
        """Return the numbers, for a journal."""
        return {name: getattr(self, name) for name in NUMBERS}

    def report(self, undeleted: str, *, dry_run: bool) -> SyncReport:
        """Return the report."""
        return SyncReport(**self.numbers(), errors=list(self.errors), undeleted=undeleted, dry_run=dry_run)


NUMBERS = ("copied", "skipped", "deleted", "failed", "bytes", "compared")
