"""From Django's names to locations."""

from __future__ import annotations

import posixpath
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import file_keeper as fk
from django.core.exceptions import SuspiciousFileOperation

_RELATIVE = frozenset((".", ".."))


def location_of(name: Any, *, writing: bool = False) -> str:
    """Return the location of a name: ``./a/../b`` is ``b``, as Django's own storage has it.

    :param writing: also take out empty segments, which may be found in a bucket, but are not created
    :raises SuspiciousFileOperation: when the name leads out of the storage
    """
    location = str(name)  # a path's text is its path
    if location and (writing or not _RELATIVE.isdisjoint(location.split("/"))):
        location = posixpath.normpath(location)
    if location.startswith("/") or not _RELATIVE.isdisjoint(location.split("/")):
        raise SuspiciousFileOperation(f"The name {name!r} is not within the storage.")
    return location


def folder_of(path: Any) -> str:
    """Return the prefix that the names in a directory begin with: ``""`` for the root, else it ends in ``/``."""
    text = str(path)
    location = "" if text in ("", ".", "/") else location_of(text).rstrip("/")
    return location and location + "/"


@contextmanager
def suspicious_names() -> Generator[None]:
    """Turn the refusal of a name into Django's exception for it, which is answered with status 400."""
    try:
        yield
    except fk.exc.LocationError as error:
        if type(error) is not fk.exc.LocationError:
            raise  # missing, existing, changed: the name is fine
        raise SuspiciousFileOperation(str(error)) from error
