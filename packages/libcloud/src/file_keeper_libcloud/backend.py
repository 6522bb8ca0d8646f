"""The backend: what every driver of Libcloud can do, behind the contract of a storage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from file_keeper import exc
from file_keeper.backend import (
    OPTIONAL,
    Backend,
    Body,
    Limits,
    ObjectInfo,
    Page,
    SignAction,
    SignedRequest,
    SignOptions,
    Source,
    WriteOptions,
)
from file_keeper.types import Buffer

from . import errors
from .local import Local
from .pool import Pool, driver_class, make_driver
from .remote import Remote
from .settings import LibcloudSettings
from .traits import signs, traits_of

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# Libcloud's drivers are not typed.

_METHODS = {"upload": "PUT", "download": "GET", "delete": "DELETE"}


class LibcloudBackend(Backend[LibcloudSettings]):
    """Any storage driver of Apache Libcloud; what it can do follows from the driver, see :mod:`.traits`.

    No driver has conditional writes, so ``if_absent`` and ``if_match`` are a look before the write (LOCAL apart, where
    the file system decides ``if_absent``).
    """

    settings_type = LibcloudSettings

    def __init__(self, settings: LibcloudSettings):
        super().__init__(settings)
        self._class = driver_class(settings)
        self._traits = traits = traits_of(self._class)
        self._pool = Pool(settings, traits)
        self._place = Local(self._pool, settings.path) if traits.local else Remote(self._pool, traits)
        self._live: Any = settings.driver
        self.limits = Limits(
            object_max=traits.object_max,
            metadata=traits.metadata,
            metadata_names=traits.names,
            order=traits.order,
            atomic_create=False,
            streaming_put=True,
            put_digests=frozenset(("md5",)) if traits.kept else frozenset(),
            local=traits.local,
            ranges=not traits.local,
        )

    @property
    def verbs(self) -> frozenset[str]:
        missing: set[str] = set()
        if not signs(self._class):
            missing.add("sign")
        if not self.settings.public_prefix:
            missing.add("url")
        in_parts = self._traits.streams and hasattr(self._class, "ex_iterate_multipart_uploads")
        if not (self._traits.local or in_parts):
            missing.add("cleanup")
        return super().verbs.intersection(OPTIONAL) - missing

    # -- required ---------------------------------------------------------------------------------------------------

    def head(self, key: str) -> ObjectInfo:
        return self._place.head(self._named(key))

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        return self._place.read(self._named(key), start, end, etag)

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        return self._place.list(prefix, start_after, delimiter)

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        return self._place.put(self._named(key), body, options)

    def delete(self, key: str, *, etag: str = "") -> bool:
        return self._place.delete(self._named(key), etag)

    def translate(self, error: Exception) -> exc.FilesError | None:
        return errors.translate(error, str(self.settings.bucket), self._class.__name__)

    def _named(self, key: str) -> str:
        """Return a key as it is, unless the driver would change it."""
        if "//" in key:
            # Libcloud's connections fold slashes: the request would be about another file.
            raise exc.LocationError("Libcloud cannot name a file with an empty segment in its location")
        refused = self._traits.refused
        if refused is not None and (found := refused.search(key)):
            raise exc.LocationError(f"Libcloud's driver {self._class.__name__} cannot use {found[0]!r} in a location")
        return key

    # -- the rest ---------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        if self._traits.local and self._live is None:
            os.makedirs(self.settings.resolve().key, exist_ok=True)
        self._place.prepare()

    def cleanup(self, prefix: str, older_than: float) -> int:
        return self._place.cleanup(prefix, older_than)

    def sign(self, action: SignAction, key: str, options: SignOptions) -> SignedRequest:
        if action not in _METHODS:
            raise exc.UnsupportedOperationError("Libcloud's drivers have no uploads in parts to sign")
        if options.if_absent:
            raise exc.UnsupportedOperationError("Libcloud's drivers cannot sign a condition")
        if action == "download" and (options.content_type or options.disposition):
            raise exc.UnsupportedOperationError("Libcloud's drivers cannot sign how a download is answered")
        with self._pool.lend() as held:
            url = _link(held.driver, held.object(self._named(key)), options.duration, _METHODS[action])
        headers: dict[str, str] = {}
        if action == "upload":
            if options.content_type:
                headers["Content-Type"] = options.content_type
            if "AzureBlobs" in self._class.__name__:
                headers["x-ms-blob-type"] = "BlockBlob"
        return SignedRequest(url, _METHODS[action], headers)

    def url(self, key: str) -> str:
        prefix = self.settings.resolve().public_prefix
        return f"{prefix.removesuffix('/')}/{quote(self._named(key), safe='/~')}"

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def client(self) -> Any:
        """The driver; one of the caller's own, which no call of this storage uses."""
        if self._live is None:
            self._live = make_driver(self.settings.resolve())
        return self._live

    def after_fork(self) -> None:
        self._pool.forget()
        if self.settings.driver is None:
            self._live = None

    def close(self) -> None:
        self._pool.close()


def _plain_path(container: Any, name: str) -> str:
    return f"/{container.name}/{name}"


def _link(driver: Any, target: Any, duration: float, method: str) -> str:
    """Return a signed address. Both ways of signing in Libcloud need help to be accepted.

    A driver of S3 signs for ``connection.host`` alone but puts ``host:port`` into the address: where the port is not
    the usual one it is made to sign for both. Azure's signs the path as it is quoted, the service as it is meant.
    """
    # It counts in hours and cuts to whole seconds: half of one keeps it on the right side.
    options = {"ex_expiry": (duration + 0.5) / 3600, "ex_method": method}
    connection = driver.connection
    host, port = connection.host, int(connection.port)
    if getattr(connection, "signer", None) is None:
        path = connection.morph_action_hook(driver._get_object_path(target.container, target.name))
        driver._get_object_path = _plain_path
        try:
            query = driver.get_object_cdn_url(target, **options).rpartition("?")[2]
        finally:
            del driver._get_object_path
        return f"http{'s' if driver.secure else ''}://{host}:{port}{path}?{query}"
    if port in (80, 443):
        return driver.get_object_cdn_url(target, **options)
    connection.host = f"{host}:{port}"
    try:
        return driver.get_object_cdn_url(target, **options).replace(f"{host}:{port}:{port}", f"{host}:{port}", 1)
    finally:
        connection.host = host
