"""Where a stored file may lie on local disk."""

from __future__ import annotations

import os
import re
import stat
import sys

from . import exc

_WINDOWS_REFUSED = re.compile(r'[\\:*?"<>|]|[ .]$')
_WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?$", re.IGNORECASE)


def place_in(folder: str | os.PathLike[str], location: str) -> str:
    """Return the path of a stored file in a local folder, and make the folders between.

    Anybody may have written to a storage, so the path never leaves `folder`: not by segments, not through a link that
    lies in it, not by what a platform reads into a name.

    :raises LocationError: when there is no safe place for it
    """
    segments = location.split("/")
    for segment in segments:
        if segment in ("", ".", "..") or "\0" in segment or (os.sep != "/" and os.sep in segment):
            raise exc.LocationError(f"the segment {segment!r} cannot be a local name", location=location)
        if sys.platform == "win32" and (_WINDOWS_REFUSED.search(segment) or _WINDOWS_DEVICES.match(segment)):
            raise exc.LocationError(f"Windows cannot hold the name {segment!r}", location=location)
    path = os.fspath(folder)
    try:
        os.makedirs(path, exist_ok=True)
        for segment in segments[:-1]:
            path = os.path.join(path, segment)
            try:
                os.mkdir(path)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(path).st_mode):
                    raise exc.LocationError(
                        f"{path} is no directory but a link or a file: nothing is written through it", location=location
                    ) from None
    except OSError as error:
        if isinstance(error, exc.FilesError):
            raise
        raise exc.LocationError(
            f"the directory {path!r} cannot be made: {error.strerror}", location=location
        ) from error
    return os.path.join(path, segments[-1])
