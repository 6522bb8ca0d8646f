"""What the calls of one upload must agree on, and what the provider does not keep of its parts.

Small objects below the reserved name, in a folder of each upload. An entry that decides something is created only if
it is not there yet: of any number of processes the provider lets one create it, and all others read what it says.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any, cast

from .. import attributes, exc
from ..attributes import TOKEN
from ..backend import Backend, WriteOptions
from ..reading import ObjectStream
from .state import FOLDER, State

log = logging.getLogger("file_keeper")

_BATCH = 1000


def folder_of(root: str, upload: str) -> str:
    """Return the prefix of the keys of an upload's ledger. The id of the upload may be a secret and is not in it.

    :param upload: the provider's id of the upload
    """
    return f"{root}{FOLDER}{hashlib.sha256(upload.encode()).hexdigest()[:32]}/"


class Ledger:
    """The entries of one upload."""

    def __init__(self, backend: Backend[Any], root: str, upload: str):
        self._backend = backend
        self._folder = folder_of(root, upload)

    def write(self, name: str, entry: State, *, once: bool = True) -> bool:
        """Write an entry; return whether that was done.

        :param once: only if there is none of that name
        """
        import json  # not before it is needed: it makes ``import file_keeper`` slower

        limits = self._backend.limits
        token = {attributes.named(TOKEN, limits): attributes.new_token()} if limits.metadata else {}
        options = WriteOptions(content_type="application/json", metadata=token, if_absent=once)
        try:
            self._backend.put(self._folder + name, json.dumps(entry, sort_keys=True).encode(), options)
        except exc.ExistingFileError:
            return False
        return True

    def read(self, name: str) -> State | None:
        """Return an entry, ``None`` when there is none."""
        import json

        try:
            with ObjectStream(self._backend, self._folder + name) as reader:
                found: Any = json.loads(b"".join(reader))
        except (exc.MissingFileError, ValueError):
            return None
        return cast("State", found) if isinstance(found, dict) else None

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of the entries that begin with `prefix`."""
        begin = self._folder + prefix
        pages = self._backend.list(begin, keys_only=True)
        return [key[len(self._folder) :] for page in pages for key in page.keys if key.startswith(begin)]

    def remove(self, name: str) -> None:
        """Remove an entry, there or not."""
        self._backend.delete(self._folder + name)

    def drop(self) -> None:
        """Remove all of it. The upload stands if that fails: ``cleanup_uploads`` finds what is left."""
        try:
            keys = [self._folder + name for name in self.names()]
            while keys:
                batch, keys = keys[:_BATCH], keys[_BATCH:]
                if len(batch) > 1 and "delete_many" in self._backend.verbs:
                    for key, error in self._backend.delete_many(batch):
                        log.warning("%r could not be removed (cleanup_uploads finds it): %s", key, error)
                else:
                    for key in batch:
                        self._backend.delete(key)
        except exc.FilesError as error:
            log.warning("%r could not be removed (cleanup_uploads finds it): %s", self._folder, error)
