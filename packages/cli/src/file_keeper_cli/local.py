"""Local files: what is put, and where what is got may go."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

from file_keeper import exc

_WINDOWS_REFUSED = re.compile(r'[\\:*?"<>|]|[ .]$')
_WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?$", re.IGNORECASE)


def below(folder: str) -> Iterator[tuple[str, str]]:
    """Give the regular files below a folder: path, and name relative to it with ``/``. Linked folders are not entered.

    A link that leads nowhere is given too: who opens it is told so, and the other files are not kept from anybody.

    :raises OSError: when a folder cannot be read; nothing is left out in silence
    """

    def refuse(error: OSError) -> None:
        raise error

    for path, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        for name in sorted(names):
            file = os.path.join(path, name)
            if not os.path.exists(file) or stat.S_ISREG(os.stat(file).st_mode):
                yield file, os.path.relpath(file, folder).replace(os.sep, "/")


def place_in(folder: str, name: str) -> str:
    """Give the path of a stored file in a local folder, and make the folders between.

    Names come out of a storage that anybody may have written to, so the path never leaves `folder`: not by segments,
    not through a link that lies in it, not by what a platform reads into a name.

    :param name: with ``/`` between its segments
    :raises LocationError: when there is no safe place for it
    :raises OSError: when a folder cannot be made
    """
    segments = name.split("/")
    for segment in segments:
        if segment in ("", ".", "..") or "\0" in segment or (os.sep != "/" and os.sep in segment):
            raise exc.LocationError(f"the segment {segment!r} cannot be a local name", location=name)
        if sys.platform == "win32" and (_WINDOWS_REFUSED.search(segment) or _WINDOWS_DEVICES.match(segment)):
            raise exc.LocationError(f"Windows cannot hold the name {segment!r}", location=name)
    os.makedirs(folder, exist_ok=True)
    path = folder
    for segment in segments[:-1]:
        path = os.path.join(path, segment)
        try:
            os.mkdir(path)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise exc.LocationError(
                    f"{path} is no folder but a link or a file: nothing is written through it", location=name
                ) from None
    return os.path.join(path, segments[-1])


@contextmanager
def arriving(path: str, *, overwrite: bool) -> Generator[str]:
    """Give a path beside `path` to write to; when the block ends well what lies there becomes `path`, at once.

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
    """Give `staged` the name `path`, if that is free: the file system decides where it knows links."""
    try:
        os.link(staged, path)
    except FileExistsError:
        raise _existing(path) from None
    except OSError:
        if os.path.lexists(path):
            raise _existing(path) from None
        os.replace(staged, path)
