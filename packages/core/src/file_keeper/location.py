"""What a location is; prefix on, prefix off.

A location is a relative POSIX path in Unicode and is kept verbatim, so that one object has one spelling.
A key is the storage's ``path`` plus the location: what the provider sees.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import exc

RESERVED = ".file-keeper"
"""The one segment that is ours on every backend, at any depth: staging, sidecars, parts and probes."""

MAX_KEY = 1024
"""Largest key in bytes of UTF-8: the smallest limit among the providers (S3, GCS)."""

# Control characters (Cc), lone surrogates, and the noncharacters of Unicode (U+FDD0..FDEF, the last two of each plane).
_REFUSED = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)
_DRIVE = re.compile("[A-Za-z]:")
_SPECIAL = frozenset((".", "..", RESERVED))


def problem(location: str, *, max_bytes: int = MAX_KEY) -> str:
    """Return what is wrong with a location; ``""`` if nothing is.

    :param max_bytes: bytes that a location may have, the storage's ``path`` taken off
    """
    if not location:
        return "the location is empty"
    if location[0] == "/":
        return "a location is relative: it must not begin with '/'"
    if _DRIVE.match(location):
        return "a location must not begin with a drive letter"
    if not location.isprintable() and (found := _REFUSED.search(location)):
        return f"the character U+{ord(found[0]):04X} at {found.start()} cannot be part of a location"
    if len(location) * 4 > max_bytes and len(location.encode()) > max_bytes:
        return f"the location has {len(location.encode())} bytes of UTF-8, at most {max_bytes} fit into a key"
    if "." in location:
        for segment in location.split("/"):
            if segment in _SPECIAL:
                return f"the segment {segment!r} cannot be part of a location"
    return ""


def check(location: str, *, max_bytes: int = MAX_KEY, writing: bool = False) -> None:
    """Raise :class:`LocationError` for what no backend may be given.

    :param writing: also refuse what may be found in a bucket, but is not to be created: empty segments
    :raises LocationError: always with the location
    """
    if not isinstance(location, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users are not type checked
        raise exc.LocationError(f"a location is a str, not {type(location).__name__}")
    reason = problem(location, max_bytes=max_bytes)
    if not reason and writing and ("//" in location or location[-1] == "/"):
        reason = "a file cannot be written to a location with an empty segment"
    if reason:
        raise exc.LocationError(reason, location=location)


def normalize_path(path: str, what: str = "path") -> str:
    """Bring the setting ``path`` (or a part of it) into its one form: ``./uploads/`` is ``uploads``.

    :raises InvalidStorageConfigurationError: for ``..``, a leading ``/``, or what no location may hold
    """
    segments = [s for s in path.split("/") if s not in ("", ".")]
    result = "/".join(segments)
    if path.startswith("/"):
        raise exc.InvalidStorageConfigurationError(f"{what} {path!r} must be relative")
    if result and (reason := problem(result)):
        raise exc.InvalidStorageConfigurationError(f"{what} {path!r}: {reason}")
    return result


def are_plain(locations: Sequence[str], *, max_bytes: int) -> bool:
    """Return whether nothing can be wrong with any of these, found out at a glance; ``False`` in doubt.

    One look at many names costs a fraction of a look at each.
    """
    if not locations:
        return True
    joined = "/" + "/".join(locations) + "/"
    # What is printable in Python's sense has none of the characters that are refused, and is known much faster.
    return (
        (joined.isprintable() or not _REFUSED.search(joined))
        and not ("/." in joined or "//" in joined or ":" in joined)
        and max(map(len, locations)) * 4 <= max_bytes
    )


def can_begin(prefix: str, *, max_bytes: int = MAX_KEY) -> bool:
    """Return whether any location at all begins with these characters."""
    # Its last segment may go on, so what makes a whole one special says nothing yet.
    return not problem(prefix + "x", max_bytes=max_bytes + 1)


def is_reserved(key: str) -> bool:
    """Return whether a key lies under the reserved segment."""
    return RESERVED in key and RESERVED in key.split("/")
