"""Storage: what users call. Each method checks, and hands over to the part that does it."""

from __future__ import annotations

from .copying import Copying
from .links import Links, SignedAction, SignedURL
from .listing import Listed
from .sessions import InParts
from .writing import Writing

__all__ = ["SignedAction", "SignedURL", "Storage"]


class Storage(Writing, Listed, Copying, Links, InParts):
    """Files in one place, behind one contract that is the same for every place.

    Made by :func:`file_keeper.make_storage`. It is safe to use from several threads and after a fork, a context
    manager, and picklable unless it was made with an object of the program (a client, a mapping).

    Every file is named by its location or by its :class:`file_keeper.FileData`. Every error is a
    :class:`file_keeper.exc.FilesError` that says storage, operation and location.

    :param name: what errors, logs and events call it
    :param settings: validated
    :param backend: the provider
    """
