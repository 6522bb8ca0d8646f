"""Conditions and ranges of HTTP: RFC 9110, sections 8.8, 13 and 14."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Literal
from urllib.parse import quote

_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)')
_RANGE = re.compile(r"bytes\s*=\s*(?:(\d{1,18})\s*-\s*(\d{0,18})|-\s*(\d{1,18}))", re.IGNORECASE)


def format_etag(etag: str) -> str:
    """Return a version's name as a strong entity tag, ``""`` when there is none."""
    return f'"{quote(etag, safe="!#$&()*+,-./:;<=>?@[]^_`{|}~")}"' if etag else ""


def format_date(moment: datetime) -> str:
    """Return a time as HTTP writes it."""
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)


def parse_date(value: str) -> datetime | None:
    """Return a time, ``None`` for one that makes no sense, which is as if it were not there."""
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _names(value: str, etag: str, *, weakly: bool) -> bool:
    """Return whether a list of entity tags names this one."""
    if value.strip() == "*":
        return True
    position, target = 0, etag.strip('"')
    while found := _TAG.match(value, position):
        if found[2] == target and etag and (weakly or not found[1]):
            return True
        position = found.end()
    return False


def evaluate(method: str, headers: Mapping[str, str], etag: str, modified: datetime | None) -> Literal[200, 304, 412]:
    """Decide the conditions of a GET or HEAD in the order of RFC 9110, 13.2.2.

    :param headers: by lower-case name
    :param etag: as :func:`format_etag` gave it
    :return: 200 to go on
    """
    stamp = modified.replace(microsecond=0) if modified else None
    if (value := headers.get("if-match")) is not None:
        if not _names(value, etag, weakly=False):
            return 412
    elif stamp and (limit := parse_date(headers.get("if-unmodified-since", ""))) and stamp > limit:
        return 412
    if (value := headers.get("if-none-match")) is not None:
        return 304 if _names(value, etag, weakly=True) else 200
    if stamp and method in ("GET", "HEAD") and (since := parse_date(headers.get("if-modified-since", ""))):
        return 304 if stamp <= since else 200
    return 200


def wants_range(headers: Mapping[str, str], etag: str, modified: datetime | None) -> bool:
    """Return whether ``Range`` counts: without ``If-Range``, or when that names this very version."""
    value = headers.get("if-range")
    if value is None:
        return True
    if value.lstrip().startswith(('"', "W/")):
        return _names(value, etag, weakly=False) and value.strip() != "*"
    moment = parse_date(value)
    if moment is None or modified is None:
        return False
    # A date is a strong validator only if the file could not have been written twice in that second.
    return modified.replace(microsecond=0) == moment and datetime.now(UTC) - modified > timedelta(seconds=1)


def parse_range(value: str, size: int) -> tuple[int, int] | Literal["unsatisfiable"] | None:
    """Return the bytes ``[start, end)`` that a ``Range`` asks for.

    :return: ``None`` when the whole file is to be sent: there is no range, it is malformed, of another unit, or there
        are several, which would let one small request read a file many times over
    """
    found = _RANGE.fullmatch(value.strip())
    if found is None:
        return None
    if found[3] is not None:
        length = int(found[3])
        if not length:
            return "unsatisfiable"
        return (max(0, size - length), size) if size else None
    start = int(found[1])
    last = int(found[2]) if found[2] else max(start, size - 1)
    if last < start:
        return None
    return (start, min(last + 1, size)) if start < size else "unsatisfiable"
