"""Files of forms that lie in a storage already."""

from __future__ import annotations

from typing import Any

import file_keeper as fk
from django.core.files.uploadedfile import UploadedFile


class IncomingFile(UploadedFile):  # pyright: ignore[reportMissingTypeArgument]
    """A form's file that lies in a storage already, out of sight: saving it moves it, closing it removes it.

    Reading it reads from the storage, only what is asked for.

    :param storage: where it lies
    :param data: of :attr:`file_keeper.Storage.incoming`
    :param facts: as Django's own: what the client says is its type, the size, charset and parameters
    """

    def __init__(self, storage: fk.Storage, data: fk.FileData, name: str, *facts: Any):
        self._place = storage.incoming
        self._data = data
        self._reader: Any = None
        self._gone = False
        super().__init__(None, name, *facts)  # pyright: ignore[reportUnknownMemberType]

    @property
    def file(self) -> Any:
        """The open file; it is opened when something is first asked of it."""
        if self._reader is None and not self._gone:
            self._reader = self._place.open(self._data)
        return self._reader

    @file.setter
    def file(self, value: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._reader = value

    @property
    def closed(self) -> bool:
        """Whether it is gone."""
        return self._gone

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> IncomingFile:
        """Go back to the beginning."""
        if self._gone:
            raise ValueError("The file cannot be reopened.")
        self.file.seek(0)
        return self

    def move_to(self, storage: fk.Storage, location: str, *, overwrite: bool) -> bool:
        """Move it to its place in the storage that it came to; return ``False`` when that is another one.

        :raises ExistingFileError: when the place is taken; it can be moved elsewhere then
        """
        if self._gone or self._place is not storage.incoming:
            return False
        self._forget_reader()
        self._data = self._place.move_synthetic(location, self._data, storage, overwrite=overwrite)
        self._place = storage
        return True

    def _forget_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """Close it; what was not saved is removed."""
        if self._gone:
            return
        self._gone = True
        self._forget_reader()
        if self._place is self._place.incoming:
            self._place.remove(self._data)
