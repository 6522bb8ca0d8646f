"""Storage: what users call. Each method checks, and hands over to the part that does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .links import Links, SignedAction, SignedURL
from .listing import Listed
from .many import Many
from .sessions import InParts

if TYPE_CHECKING:
    from ..aio import AsyncStorage

__all__ = ["SignedAction", "SignedURL", "Storage"]


class Storage(Many, Listed, Links, InParts):
    """Files in one place, behind one contract that is the same for every place.

    Made by :func:`file_keeper.make_storage`. It is safe to use from several threads and after a fork, a context
    manager, and picklable unless it was made with an object of the program (a client, a mapping).

    Every file is named by its location or by its :class:`file_keeper.FileData`. Every error is a
    :class:`file_keeper.exc.FilesError` that says storage, operation and location.

    :param name: what errors, logs and events call it
    :param settings: validated
    :param backend: the provider
    """

    @property
    def aio(self) -> AsyncStorage:
        """The same operations to be awaited, on asyncio and trio; needs ``file-keeper-core[async]``.

        :raises MissingExtrasError: when that is not installed
        """
        found: AsyncStorage | None = self.__dict__.get("_aio")
        if found is not None:
            return found
        from ..aio import AsyncStorage

        return self.__dict__.setdefault("_aio", AsyncStorage(self))
