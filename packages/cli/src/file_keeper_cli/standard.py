"""The standard streams: one that is closed is named, and what cannot be written is an error, never lost in silence."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import IO, Any

_CLOSED: set[str] = set()


class OutputError(Exception):
    """An answer could not be written to stdout."""


def open_closed() -> None:
    """Put something in the place of standard streams that are closed (``>&-``), which Python gives as ``None``.

    Else the next file that is opened gets the number of one. Stdin and stdout get what can neither be read nor written:
    who needs them is told. What goes to a closed stderr is meant to be seen by nobody.
    """
    for name, flags, mode in (("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w")):
        if getattr(sys, name) is None:
            _CLOSED.add(name)
            # Its descriptor stays open to the end of the process, as those of the others do.
            stream: IO[Any] = os.fdopen(os.open(os.devnull, flags), mode, encoding="utf-8", closefd=False)
            setattr(sys, name, stream)


def is_closed(name: str) -> bool:
    """Return whether a standard stream was closed when the program began."""
    return name in _CLOSED


@contextmanager
def answering() -> Generator[None]:
    """Write to stdout.

    :raises BrokenPipeError: nobody reads it any more
    :raises OutputError: it cannot be written to, saying why
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        give_up()
        closed = is_closed("stdout") or error.errno == errno.EBADF
        raise OutputError(
            "stdout is closed: there is nowhere to write to"
            if closed
            else f"stdout cannot be written to: {error.strerror}"
        ) from error


def settle() -> None:
    """Let nothing be left in stdout that would fail once more when the interpreter ends."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        give_up()


def give_up() -> None:
    """Let what is left in the buffer of stdout go nowhere, without a word."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
