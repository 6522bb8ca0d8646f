"""Applications that serve and accept the links of local storages, so that development is as production.

::

    storage = fk.make_storage("media", {
        "type": "fs", "path": "uploads", "base_url": "/files", "signing_key": {"env": "FILES_KEY"},
    })
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/files": links.wsgi(storage)})    # Flask
    app.mount("/files", links.asgi(storage))                                             # FastAPI, Starlette
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import file_keeper as fk
from file_keeper.backend import ErrorBoundary, Link, LinkSigner

from . import wsgi as _wsgi
from .conditions import format_etag
from .http import Failure, Handler, Intake, Reply, Request
from .receiving import Receiver, Terms
from .serving import Presentation, give

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from .asgi import Application

_PART_MAX = 64 << 20


def wsgi(*storages: fk.Storage) -> WSGIApplication:
    """Make a WSGI application that answers the links of these storages; mount it at the path of their ``base_url``.

    :raises InvalidStorageConfigurationError: for a storage without ``base_url``, and for two that cannot be told apart
    """
    return _wsgi.application(_handler(storages))


def asgi(*storages: fk.Storage) -> Application:
    """Make an ASGI application of them, as :func:`wsgi` does."""
    from .asgi import application

    return application(_handler(storages))


def _handler(storages: tuple[fk.Storage, ...]) -> Handler:
    places = [_Place(storage) for storage in storages]
    public: dict[str, str] = {}
    for place in places:
        if [other.storage.name for other in places].count(place.storage.name) > 1:
            raise fk.exc.InvalidStorageConfigurationError(
                "two storages of one application have this name: a signature tells them apart by it",
                storage=place.storage.name,
            )
        if place.public and place.base in public:
            raise fk.exc.InvalidStorageConfigurationError(
                f"it is public at the same base_url as {public[place.base]!r}: an address without a signature does not "
                "say which of them is meant",
                storage=place.storage.name,
            )
        if place.public:
            public[place.base] = place.storage.name
    # The most special base first: /files/private before /files.
    places.sort(key=lambda place: -len(place.base))
    mounted = len({place.base for place in places}) == 1

    def handle(request: Request) -> Reply | Intake[Reply]:
        signed = any(name.startswith("fk-") for name, _ in request.query)
        for place in places:
            for location in place.locations(request, mounted=mounted):
                if not signed:
                    if place.public:
                        return _show(place.storage, location, request)
                elif link := place.verify(request, location):
                    return _serve(place.storage, link, request)
        raise Failure(404, "There is no such file.")

    return handle


class _Place:
    """A storage and where its links lead to."""

    def __init__(self, storage: fk.Storage):
        signer = LinkSigner.of(storage.settings)
        if signer is None:
            raise fk.exc.InvalidStorageConfigurationError(
                f"a storage of type {storage.settings.type} without the option 'base_url' has no links to serve",
                storage=storage.name,
            )
        self.storage = storage
        self.base = unquote(urlsplit(signer.base_url).path).rstrip("/")
        self.public = bool(getattr(storage.settings.resolve(), "public", False))

    def locations(self, request: Request, *, mounted: bool) -> list[str]:
        """Return what a request may mean here: below the base, or below a mount that a proxy has cut off before."""
        whole = request.root.rstrip("/") + request.path
        found = [whole[len(self.base) + 1 :]] if whole.startswith(self.base + "/") else []
        if mounted and not found:
            found.append(request.path.removeprefix("/"))
        return found

    def verify(self, request: Request, location: str) -> Link | None:
        signer = LinkSigner.of(self.storage.settings)  # each time: a key that was rotated counts at once
        return signer.verify(request.method, location, request.query) if signer else None


def _show(storage: fk.Storage, location: str, request: Request) -> Reply:
    """Answer without a signature: reading only."""
    if request.method not in ("GET", "HEAD"):
        raise Failure(405, "This address is for reading only.", {"Allow": "GET, HEAD"})
    return give(storage, location, request.method, request.headers, Presentation(public=True))


def _serve(storage: fk.Storage, link: Link, request: Request) -> Reply | Intake[Reply]:
    """Answer what a valid signature allows."""
    if link.action == "download":
        how = Presentation(content_type=link.content_type, disposition=link.disposition)
        return give(storage, link.location, request.method, request.headers, how)
    if link.action == "delete":
        storage.remove(link.location)
        return Reply(204)
    if link.action == "part":
        return _PartIntake(storage, link, request.length)
    return _UploadIntake(storage, link, request)


class _UploadIntake:
    """Takes an upload that a link allows."""

    def __init__(self, storage: fk.Storage, link: Link, request: Request):
        given = request.header("content-type").replace(" ", "").lower()
        if link.content_type and given != link.content_type.replace(" ", "").lower():
            raise Failure(422, f"The Content-Type must be {link.content_type}.")
        new = link.if_absent or request.header("if-none-match").strip() == "*"
        if new and storage.exists(link.location):
            raise Failure(412, "There is such a file already.")  # before all of it is sent; decided at the end
        algorithm, digest = next(iter(link.digests.items()), ("", ""))
        terms = Terms(
            max_size=link.max_size,
            declared=link.content_type,
            options={
                "overwrite": not new,
                "content_type": link.content_type,
                "hash": digest,
                "algorithm": algorithm,
            },
        )
        self._receiver = Receiver(storage, link.location, terms, request.length)

    def feed(self, chunk: bytes) -> None:
        try:
            self._receiver.feed(chunk)
        except fk.exc.UploadMismatchError as error:
            raise Failure(422, "The content is not what was signed.") from error

    def finish(self) -> Reply:
        try:
            file = self._receiver.finish()
        except fk.exc.ExistingFileError as error:
            raise Failure(412, "There is such a file already.") from error
        except fk.exc.UploadMismatchError as error:
            raise Failure(422, "The content is not what was signed.") from error
        return Reply(200, {"ETag": format_etag(file.etag), "Content-Length": "0"})

    def abort(self) -> None:
        self._receiver.abort()


class _PartIntake:
    """Takes a part of a multipart upload. A part is in memory as a whole, so it is bounded."""

    def __init__(self, storage: fk.Storage, link: Link, length: int | None):
        self._storage = storage
        self._link = link
        self._room = max(_PART_MAX, storage.settings.part_size)
        self._expected = length
        self._body = bytearray()
        self._check(length or 0)

    def _check(self, size: int) -> None:
        if size > self._room:
            raise Failure(413, "The part is larger than allowed.")

    def feed(self, chunk: bytes) -> None:
        self._check(len(self._body) + len(chunk))
        self._body += chunk

    def finish(self) -> Reply:
        upload = self._link.upload
        assert upload is not None
        # The key may lie under the reserved segment, where the hash of the whole is compared: it is no location.
        root = self._storage.full_path("x")[:-1]
        ref = type(upload)(root + upload.key, upload.id)
        part = ErrorBoundary(self._storage.backend).multipart_put(ref, self._link.part, self._body)
        return Reply(200, {"ETag": format_etag(part.etag), "Content-Length": "0"})

    def abort(self) -> None:
        self._body.clear()
