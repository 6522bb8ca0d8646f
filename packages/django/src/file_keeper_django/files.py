"""Files that were opened in a storage."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any, Self

import file_keeper as fk
from django.core.files import File

if TYPE_CHECKING:
    from .storage import FileKeeperStorage


class FileKeeperFile(File):  # pyright: ignore[reportMissingTypeArgument]
    """A file of a storage: a reader that fetches only what is read, or a writer whose ``close`` publishes.

    :param name: as Django knows it
    :param storage: where it lies, to open it again
    :param stream: of :meth:`file_keeper.Storage.open`
    """

    def __init__(self, name: str, storage: FileKeeperStorage, stream: IO[Any], mode: str):
        super().__init__(stream, name)  # pyright: ignore[reportUnknownMemberType]
        self._storage = storage
        self._known = _size_of(stream)
        self.mode = mode

    @property
    def size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The size in bytes: of a file that is being read known without a request, of one that is written so far."""
        if self._known is not None:
            return self._known
        return self._storage.size(self._name()) if self.closed else self.tell()

    def _name(self) -> str:
        return self.name or ""

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Self:
        """Go back to the beginning; open it again when it is closed, or in another mode."""
        wanted = mode or self.mode
        if not self.closed and wanted == self.mode and self.readable():
            self.seek(0)
            return self
        if not self.closed:
            self.close()
        again = self._storage.open(self._name(), wanted)
        self.file, self._known, self.mode = again.file, _size_of(again.file), wanted
        return self


def _size_of(stream: Any) -> int | None:
    """Return the size of a file that is open for reading, which asks for no byte of it."""
    if not stream.readable():
        return None
    binary: Any = getattr(stream, "buffer", stream)  # what is beneath text
    size = binary.seek(0, io.SEEK_END)
    binary.seek(0)
    return size


def open_mode(mode: str) -> str:
    """Return a mode of Django's callers as one that storages know.

    :raises UnsupportedOperationError: for appending and updating, which object storage does not have
    """
    kind = "".join(sorted(set(mode) - set("bt")))
    if kind not in ("r", "w", "x"):
        raise fk.exc.UnsupportedOperationError(
            f"mode {mode!r}: files of a storage are opened for reading ('r', 'rb') or written anew ('w', 'wb', 'x', "
            "'xb'); use FileKeeperStorage.storage.append to add to one"
        )
    return mode
