"""A place is a folder of a storage, or of this machine: both are storages to what goes between them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import file_keeper as fk

from .config import Address
from .errors import UsageError
from .session import Session


@dataclass(frozen=True)
class Place:
    """A folder whose files have locations relative to it.

    :param storage: of what lies in it
    :param shown: what it is called, ending so that a location follows
    :param path: on this machine, else ``""``
    """

    storage: fk.Storage
    shown: str
    path: str = ""


def is_local(text: str) -> bool:
    """Return whether a text names a path of this machine rather than ``STORAGE:location``."""
    head = text.partition(":")[0]
    return (
        ":" not in text or "/" in head or os.sep in head or head in (".", "..") or (os.name == "nt" and len(head) == 1)
    )


def place_of(session: Session, text: str, *, make: bool = False) -> Place:
    """Return the place that a text names.

    :param make: it is written to: a folder of this machine that is not there is made
    :raises UsageError: a path that is no folder
    """
    if not is_local(text):
        address = Address.parse(text)
        shown = str(address) if address.is_folder() else f"{address}/"
        return Place(session.storage(address).below(address.location), shown)
    path = os.path.abspath(os.path.expanduser(text))
    if not os.path.isdir(path):
        if os.path.lexists(path):
            raise UsageError(f"{text} is not a folder: `file-keeper put` and `get` are for single files")
        if not make:
            raise FileNotFoundError(2, "there is no such folder", text)
    storage = fk.make_storage("local", {"type": "fs", "path": path, "attributes": "none", "initialize": make})
    return Place(storage, os.path.join(text, ""), path)
