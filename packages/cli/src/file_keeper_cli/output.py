"""What a command says: lines for people, one JSON document a line for programs, errors beside them on stderr."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import file_keeper as fk

from . import errors
from .standard import answering

if TYPE_CHECKING:
    from rich.console import Console


# Besides control characters: what breaks lines, and what makes those behind it run the other way.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return a text that moves no cursor: metadata and messages of a service are whatever somebody wrote there."""
    return _CONTROL.sub(_escaped, text)


def one_line(text: str) -> str:
    """Return a text that moves no cursor and stays on its line: it can look like nothing but what it is."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _escaped(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def as_json(record: Mapping[str, Any]) -> str:
    """Return a record as JSON of one line that is UTF-8: a local name that is not is spelled with its escapes."""
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def file_record(storage: str, file: fk.FileData) -> dict[str, Any]:
    """Return a file to programs: what :meth:`file_keeper.FileData.as_dict` gives, and the storage it lies in."""
    record = {"storage": storage, **file.as_dict()}
    del record["storage_data"]
    return record


def size_text(size: int) -> str:
    """Format a size for people."""
    return fk.humanize_filesize(size)


def many(number: int, noun: str) -> str:
    """Format a count: ``1 file``, ``2 files``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def hash_text(file: fk.FileData) -> str:
    """Format a hash with its algorithm; ``-`` where none is known."""
    return f"{file.algorithm}:{file.hash}" if file.hash else "-"


def time_text(moment: datetime | None) -> str:
    """Format a moment in the local time zone."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else "-"


class Output:
    """Where a command writes.

    :param as_json: one JSON document a line instead of text
    :param quiet: no text but what was asked for
    :param debug: errors with their traceback
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, debug: bool = False):
        self.as_json = as_json
        self.quiet = quiet
        self.debug = debug
        self._warned: set[str] = set()

    def line(self, text: str) -> None:
        """Write a line to stdout: an answer."""
        with answering():
            sys.stdout.write(text + "\n")

    def record(self, record: Mapping[str, Any], text: str) -> None:
        """Write an answer: the record as JSON, or the text."""
        self.line(as_json(record) if self.as_json else printable(text))

    def done(self, record: Mapping[str, Any], text: str) -> None:
        """Write what was done: the record as JSON, or the text unless quiet."""
        if self.as_json or not self.quiet:
            self.record(record, text)

    def note(self, text: str) -> None:
        """Write a remark to stderr, for people only."""
        if not (self.as_json or self.quiet):
            self._flush()
            sys.stderr.write(printable(text) + "\n")

    def warn(self, text: str) -> None:
        """Write what must not be missed to stderr."""
        self._flush()
        if text not in self._warned:  # a folder that is listed twice is told of once
            self._warned.add(text)
            sys.stderr.write(as_json({"warning": text}) + "\n" if self.as_json else f"file-keeper: {printable(text)}\n")

    def error(self, error: BaseException) -> None:
        """Write an error to stderr."""
        self._flush()
        if self.debug:
            sys.stderr.write("".join(traceback.format_exception(error)))
        if self.as_json:
            sys.stderr.write(as_json(errors.as_record(error)) + "\n")
        else:
            sys.stderr.write(f"file-keeper: {printable(errors.describe(error))}\n")
        sys.stderr.flush()

    @staticmethod
    def _flush() -> None:
        # What was answered before stands before; where it cannot be written, the end of the command tells.
        with contextlib.suppress(OSError):
            sys.stdout.flush()

    def console(self) -> Console:
        """Return a console for tables on stdout; in a pipe they are as wide as their content."""
        from rich.console import Console

        console = Console(highlight=False, markup=False, emoji=False)
        return console if console.is_terminal else Console(highlight=False, markup=False, emoji=False, width=400)

    def progress_shown(self) -> bool:
        """Return whether somebody looks at stderr."""
        return not (self.as_json or self.quiet) and sys.stderr.isatty()


def use_utf8() -> None:
    """Make stdout and stderr take every name: locations are Unicode, local names may not even be that."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="surrogateescape")
