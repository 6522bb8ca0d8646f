"""The journal of a synchronisation: JSON lines, by which a run that was killed is taken up.

The first line says which job it is. ``begin`` and ``done`` stand around each file that is copied; ``reached`` says that
everything up to a name is dealt with, with the numbers so far, so that memory does not depend on the number of files;
``extra`` names a file that only the target has; ``end`` closes a run. A line is written by one call of the system, so
that a kill tears at most the last one, and what was written stands also after ``kill -9``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from .. import exc
from .report import NUMBERS, Tally

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FORMAT = 1

_PLAIN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


_open: set[str] = set()
"""Journals that this process writes to: its lock does not keep it from itself."""


@dataclass
class Past:
    """What an earlier run has left to know.

    :param reached: everything up to this name is dealt with
    :param tally: the numbers up to there
    :param last: the last name that the source had listed by then
    :param seen: whether the source has a file
    :param begun: files behind `reached` that were begun: the bytes of those that were done, else ``None``
    :param failed: files up to `reached` that failed, and are tried again
    :param extras: number of names up to `reached` that only the target has
    """

    reached: str = ""
    tally: Tally = field(default_factory=Tally)
    last: str = ""
    seen: bool = False
    begun: dict[str, int | None] = field(default_factory=dict[str, "int | None"])
    failed: list[str] = field(default_factory=list[str])
    extras: int = 0


class Journal:
    """A journal that is written to.

    :param identity: of the job
    :raises StorageDataError: it is of another job, is damaged, or another run writes to it
    """

    def __init__(self, path: str | os.PathLike[str], identity: dict[str, Any]):
        self.path = os.fspath(path)
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _PLAIN, 0o600)
        except OSError as error:
            raise self._error(error.strerror or str(error)) from error
        try:
            if os.path.realpath(self.path) in _open:
                raise self._error("another run writes to it")
            if fcntl is not None:
                try:
                    # A lock of this process: children that it forks, which may outlive it, have no part in it.
                    fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    raise self._error("another run writes to it") from None
            self.past = self._take_up(identity)
        except BaseException:
            os.close(self._fd)
            raise
        _open.add(os.path.realpath(self.path))

    def _error(self, why: str) -> exc.StorageDataError:
        return exc.StorageDataError(f"the journal {self.path!r} cannot be used: {why}", operation="sync")

    def _take_up(self, identity: dict[str, Any]) -> Past:
        lines = self._lines()
        first = next(lines, None)
        if first is None:
            self._begin(identity)
            return Past()
        if first.get("file_keeper_sync") != FORMAT:
            raise self._error("it is no journal of this version: give another file")
        theirs = first.get("job")
        if theirs != identity:
            known = cast("dict[str, Any]", theirs) if isinstance(theirs, dict) else {}
            other = [name for name, value in identity.items() if known.get(name) != value]
            raise self._error(f"it is of another job ({', '.join(other)} differ): give another file, or remove it")
        past, ended = Past(), False
        failed: dict[str, None] = {}
        extras_behind = 0
        for line in lines:
            ended = "end" in line
            if "begin" in line:
                past.begun[line["begin"]] = None
            elif "done" in line:
                past.begun[line["done"]] = line["bytes"]
                failed.pop(line["done"], None)
            elif "fail" in line:
                failed[line["fail"]] = None
            elif "extra" in line:
                extras_behind += 1
            elif "resumed" in line:
                extras_behind = 0  # they are found again
            elif "reached" in line:
                past.reached, past.last, past.seen = line["reached"], line["last"], line["seen"]
                past.tally = Tally(**{name: line[name] for name in NUMBERS})
                past.begun = {name: size for name, size in past.begun.items() if name > past.reached}
                past.extras += extras_behind
                extras_behind = 0
        if ended:
            os.ftruncate(self._fd, 0)
            self._begin(identity)
            return Past()
        past.failed = [name for name in failed if name <= past.reached]
        # Failures behind `reached` are met again by the listing.
        past.tally.failed = 0
        self.note(resumed=True)
        return past

    def extras(self) -> Iterator[str]:
        """Return the names up to the last ``reached`` that only the target has, of the runs before this one."""
        left = self.past.extras
        if not left:
            return
        held: list[str] = []
        for line in self._lines():
            if "extra" in line:
                held.append(line["extra"])
            elif "reached" in line:
                yield from held
                left -= len(held)
                held = []
            elif "resumed" in line:
                held = []
            if left <= 0:
                return

    def _begin(self, identity: dict[str, Any]) -> None:
        self.note(file_keeper_sync=FORMAT, job=identity)

    def _lines(self) -> Iterator[dict[str, Any]]:
        """Return the lines; a torn last one is cut off."""
        place = 0
        os.lseek(self._fd, 0, os.SEEK_SET)
        # Not by its path: closing any other descriptor of the file would end the lock.
        with open(self._fd, "rb", closefd=False) as file:
            for raw in file:
                try:
                    line = json.loads(raw)
                except ValueError:
                    line = None
                if not raw.endswith(b"\n"):
                    os.ftruncate(self._fd, place)
                    return
                if not isinstance(line, dict):
                    raise self._error(f"it is damaged at byte {place}: remove it, and the run begins anew")
                yield cast("dict[str, Any]", line)
                place += len(raw)

    def note(self, **line: Any) -> None:
        """Write a line."""
        os.write(self._fd, json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """Let go of the file."""
        _open.discard(os.path.realpath(self.path))
        os.close(self._fd)
