"""Sizes and durations: what people write, in bytes and seconds."""

from __future__ import annotations

import re

_UNITS = {"": 1, "b": 1} | {
    f"{prefix}{suffix}": base**power
    for power, prefix in enumerate(("k", "m", "g", "t", "p"), 1)
    for suffix, base in (("ib", 1024), ("b", 1000), ("", 1024))
}
_TIMES = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 36_525 * 86_400.0
"""A hundred years: what waits for longer waits for ever, and clocks and calendars of a platform end before it."""
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")


def parse_filesize(value: int | str) -> int:
    """Return the number of bytes of ``8388608``, ``"8MiB"``, ``"8 MB"`` (10⁶ bytes each) or ``"8M"`` (2²⁰ each).

    :raises ValueError: for anything else
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if not found or found[2].lower() not in _UNITS:
        raise ValueError(f"{value!r} is not a size such as 8388608 or '8MiB'")
    unit = _UNITS[found[2].lower()]
    return round(float(found[1]) * unit) if "." in found[1] else int(found[1]) * unit


def humanize_filesize(size: int, base: int = 1024) -> str:
    """Return a number of bytes for people: ``1536`` is ``"1.5 KiB"``; with a `base` of 1000, ``"1.54 KB"``.

    :raises ValueError: for a negative size, or another base than 1000 and 1024
    """
    if size < 0:
        raise ValueError("a size is not negative")
    if base not in (1000, 1024):
        raise ValueError("the base is 1000 or 1024")
    suffix = "iB" if base == 1024 else "B"
    value, unit = float(size), 0
    while round(value, 2) >= base and unit < 5:
        value, unit = value / base, unit + 1
    number = f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{number} {'KMGTP'[unit - 1] + suffix if unit else 'B'}"


def parse_duration(value: float | str) -> float:
    """Return the seconds of ``30``, ``"30s"``, ``"5m"``, ``"1.5h"`` or ``"7d"``.

    :raises ValueError: for anything else
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        seconds = value
    else:
        found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
        if not found or found[2].lower() not in _TIMES:
            raise ValueError(f"{value!r} is not a duration such as 30 or '30s'")
        seconds = float(found[1]) * _TIMES[found[2].lower()]
    if seconds > _LONGEST:
        raise ValueError(f"{value!r} is longer than a hundred years, the longest duration that is taken")
    return float(seconds)
