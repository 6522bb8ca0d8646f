"""Resumable uploads by the tus protocol 1.0 (https://tus.io/protocols/resumable-upload).

Core, and the extensions creation, termination, expiration and checksum, for every storage that takes uploads in parts.
The state lies in the storage itself, so any process on any machine may serve the next request.

::

    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/uploads": tus.wsgi(storage, storage.prepare_location)})
    app.mount("/uploads", tus.asgi(storage, storage.prepare_location))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import file_keeper as fk

from .. import wsgi as _wsgi
from ..receiving import LocationOf
from .protocol import Tus

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from ..asgi import Application

__all__ = ["asgi", "wsgi"]

Finished = Callable[[fk.FileData, Mapping[str, str]], object]


def wsgi(
    storage: fk.Storage,
    location: LocationOf,
    *,
    max_size: int | str | None = None,
    types: Sequence[str] = (),
    overwrite: bool | None = None,
    expires: float | str | timedelta = "1d",
    base_url: str = "",
    finished: Finished | None = None,
    max_part_size: int | str = "64MiB",
) -> WSGIApplication:
    """Make a WSGI application that takes resumable uploads.

    The address of an upload is random and long: who knows it may go on with it. Who may begin one is for the
    application around this one to decide.

    :param location: where to; a callable gets the client's name for the file (``filename`` of the metadata)
    :param max_size: the most bytes of a file (``10485760`` or ``"10MiB"``)
    :param types: patterns of media types (``"image/*"``), matched on the content
    :param overwrite: as for :meth:`file_keeper.Storage.upload`
    :param expires: how long an upload may rest before it is dropped
    :param base_url: where clients find this application, when that is not the path at which it is mounted
    :param finished: called with the file and the client's metadata when an upload has been published; again, when the
        process ended before it was noted that it was called
    :param max_part_size: the largest part that a request may hold in memory: a file that needs larger ones is
        refused with 413. The storage's own ``part_size`` is always allowed
    :raises UnsupportedOperationError: for a storage that takes no uploads in parts
    """
    return _wsgi.application(
        _tus(storage, location, max_size, types, overwrite, expires, base_url, finished, max_part_size).handle
    )


def asgi(
    storage: fk.Storage,
    location: LocationOf,
    *,
    max_size: int | str | None = None,
    types: Sequence[str] = (),
    overwrite: bool | None = None,
    expires: float | str | timedelta = "1d",
    base_url: str = "",
    finished: Finished | None = None,
    max_part_size: int | str = "64MiB",
) -> Application:
    """Make an ASGI application that takes resumable uploads, as :func:`wsgi` does; `finished` is called in a thread."""
    from ..asgi import application

    return application(
        _tus(storage, location, max_size, types, overwrite, expires, base_url, finished, max_part_size).handle
    )


def _tus(
    storage: fk.Storage,
    location: LocationOf,
    max_size: int | str | None,
    types: Sequence[str],
    overwrite: bool | None,
    expires: Any,
    base_url: str,
    finished: Finished | None,
    max_part_size: int | str,
) -> Tus:
    if not storage.supports(fk.Capability.MULTIPART):
        raise fk.exc.UnsupportedOperationError(
            f"{storage.settings.type} takes no uploads in parts, which resumable ones are made of", storage=storage.name
        )
    seconds = expires.total_seconds() if isinstance(expires, timedelta) else parse_seconds(expires)
    limit = None if max_size is None else fk.parse_filesize(max_size)
    most = fk.parse_filesize(max_part_size)
    return Tus(storage, location, limit, tuple(types), overwrite, seconds, base_url.rstrip("/"), finished, most)


def parse_seconds(value: float | str) -> float:
    """Return a duration in seconds. :raises ValueError: when it is none"""
    from file_keeper.settings import parse_duration

    return parse_duration(value)
