"""Markers of files that were removed: they hide what an older storage still has (``file_keeper:fallback``).

They lie under the reserved name of the storage that is written to, so no listing shows them, and whatever fills that
storage from the older one (:func:`file_keeper.sync`, ``copy_on_read``) can respect them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .location import RESERVED

if TYPE_CHECKING:
    from .storage import Storage

_CUT = 200
"""Characters of a segment: file systems hold 255 bytes, and what is encoded is ASCII."""

_END = "%."
"""Behind every name: so the marker of ``a`` is never the folder of that of ``a/b``."""

FOLDER = f"{RESERVED}/removed/"


def encoded(location: str) -> str:
    """Return the name of the marker of a location."""
    plain = re.sub(rb"[^A-Za-z0-9_-]", lambda found: b"%%%02X" % found[0][0], location.encode()).decode() + _END
    return "/".join(plain[start : start + _CUT] for start in range(0, len(plain), _CUT))


def decoded(name: str) -> str:
    """Return the location of a marker."""
    plain = name.replace("/", "").removesuffix(_END).encode()
    return re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), plain).decode("utf-8", "replace")


class Markers:
    """The markers in one storage."""

    def __init__(self, storage: Storage):
        self._storage = type(storage)(
            storage.name, storage.settings, storage.backend, within=storage, folder=FOLDER
        )  # fmt: skip

    def add(self, location: str) -> None:
        """Mark a location as removed."""
        self._storage.upload(encoded(location), b"", overwrite=True)

    def has(self, location: str) -> bool:
        """Return whether a location was removed."""
        return self._storage.exists(encoded(location))

    def all(self) -> frozenset[str]:
        """Return all locations that were removed."""
        return frozenset(map(decoded, self._storage.scan()))
