"""Local files: what is put, and where what is got may go."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

from file_keeper.location import MAX_KEY

log = logging.getLogger("file_keeper")


def below(folder: str) -> Iterator[tuple[str, str]]:
    """Return the regular files below a folder: path, and name relative to it with ``/``; no linked folders.

    A link that leads nowhere is given too: who opens it is told so, and the other files are not kept from anybody.

    :raises OSError: when a folder cannot be read; nothing is left out in silence
    """
    # By hand: os.walk calls itself for each level before Python 3.12, and a tree may be deeper than that can go.
    left = [""]
    while left:
        above = left.pop()
        with os.scandir(os.path.join(folder, above)) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        deeper: list[str] = []
        for entry in entries:
            name = f"{above}/{entry.name}" if above else entry.name
            if entry.is_dir(follow_symlinks=False):
                if len(os.fsencode(name)) < MAX_KEY:
                    deeper.append(name)
                else:
                    log.warning("what lies below %s is not put: no location is so long", entry.path)
            elif not entry.is_dir() and (not os.path.exists(entry.path) or stat.S_ISREG(entry.stat().st_mode)):
                yield entry.path, name
        left.extend(reversed(deeper))


def links_below(folder: str) -> Iterator[tuple[str, str]]:
    """Return what :func:`below` gives and a listing of the folder as a storage does not: the linked files."""
    return ((path, name) for path, name in below(folder) if os.path.islink(path))


@contextmanager
def arriving(path: str, *, overwrite: bool) -> Generator[str]:
    """Return a path beside `path` to write to; when the block ends well what lies there becomes `path`, at once.

    :raises FileExistsError: when there is a file already; it stays as it is
    :raises OSError: when there is no such folder
    """
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", folder)
    if not overwrite and os.path.lexists(path):
        raise _existing(path)
    staged = os.path.join(folder, f".{secrets.token_hex(6)}.part")
    try:
        yield staged
        if overwrite:
            os.replace(staged, path)
        else:
            _publish_new(staged, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(staged)


def _existing(path: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, "is there already, --overwrite replaces it", path)


def _publish_new(staged: str, path: str) -> None:
    """Rename `staged` to `path` if that is free: the file system decides where it supports links."""
    try:
        os.link(staged, path)
    except FileExistsError:
        raise _existing(path) from None
    except OSError:
        if os.path.lexists(path):
            raise _existing(path) from None
        os.replace(staged, path)
