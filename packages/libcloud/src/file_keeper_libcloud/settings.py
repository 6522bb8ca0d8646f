"""Options of a Libcloud storage, and how they name a driver."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from file_keeper import exc
from file_keeper.backend import Settings, option
from file_keeper.settings import Reference, near_miss
from libcloud.storage.base import StorageDriver
from libcloud.storage.providers import DRIVERS
from libcloud.storage.types import Provider

# What a user may write: the constant of `Provider` or its value, in any case.
PROVIDERS: dict[str, str] = {
    name.lower(): value
    for constant, value in vars(Provider).items()
    if not constant.startswith("_") and value in DRIVERS
    for name in (constant, value)
}
"""Names of providers in lower case, and Libcloud's own name of each."""

REFUSED: dict[str, str] = {
    Provider.DUMMY: "it stores nothing: for files in memory use the type 'memory'",
    Provider.BACKBLAZE_B2: "Libcloud's driver sees the first page of a bucket only, so files beyond it would seem "
    "missing: use the type 's3' with the S3 endpoint of Backblaze",
    Provider.NIMBUS: "Libcloud's driver lists containers and nothing else",
}
"""Drivers that would lose files, and what to do instead."""


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class LibcloudSettings(Settings):
    """The options of every storage, and those of Apache Libcloud.

    :param bucket: the container
    :param provider: names the driver: ``"S3"``, ``"AZURE_BLOBS"``, ``"MINIO"``, ``"LOCAL"`` and so on; required,
        unless there is a ``driver``
    :param key: what the driver takes first: the access key, the account, for LOCAL the base directory
    :param secret: what it takes next
    :param params: what else its constructor takes: ``host``, ``port``, ``secure``, ``region``, ``token``, ...
    :param public_prefix: address under which a web server shows the container: gives permanent links
    :param driver: a ready driver, which is copied for each call under way and not used itself
    """

    bucket: str = option("text", required=True, aliases=("container_name",))
    provider: str = option("text")
    key: str = option("text", secret=True)
    secret: str = option("text", secret=True)
    params: Mapping[str, Any] = option("mapping", secret=True)
    public_prefix: str = option("text")
    driver: Any = option("any", live=True)

    def validate(self) -> None:
        if self.driver is not None:
            if not isinstance(self.driver, StorageDriver):
                raise exc.InvalidStorageConfigurationError(
                    f"option 'driver' must be a storage driver of Libcloud, not {type(self.driver).__name__}"
                )
            for name in ("provider", "key", "secret", "params"):
                if name in self.given:
                    raise exc.InvalidStorageConfigurationError(f"option {name!r} is not used beside a ready 'driver'")
            return
        if not self.provider:
            raise exc.MissingStorageConfigurationError(
                "option 'provider' is required: the name of a storage provider of Libcloud, such as 'S3' or 'LOCAL'"
            )
        if not isinstance(self.provider, Reference):
            provider_of(self.provider)


def provider_of(name: str) -> str:
    """Return Libcloud's name of a provider.

    :raises InvalidStorageConfigurationError: naming the one that was meant, or saying why it cannot be used
    """
    found = PROVIDERS.get(name.lower())
    if found is None:
        known = sorted({value for value in PROVIDERS.values() if value not in REFUSED})
        hint = near_miss(name.lower(), PROVIDERS) or f", known are {', '.join(known)}"
        raise exc.InvalidStorageConfigurationError(f"Libcloud has no storage provider {name!r}{hint}")
    if found in REFUSED:
        raise exc.InvalidStorageConfigurationError(f"the provider {name!r} cannot be used: {REFUSED[found]}")
    return found
