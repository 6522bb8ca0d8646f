"""What the settings add to each request, whoever makes it: tier, tags, scope and keys of encryption.

Reference: Blob service REST API, request headers of each operation; "Provide an encryption key on a request".
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from file_keeper.backend import customer_key

from .settings import AzureSettings

_PUBLISHED = ("Put Blob", "Put Block List", "Copy Blob From URL")
_STORED = (*_PUBLISHED, "Put Block", "Put Block From URL", "Set Blob Metadata")
_OF_KEY = ("Put Blob", "Put Block List", "Put Block", "Set Blob Metadata", "Get Blob", "Get Blob Properties")


def standing(settings: AzureSettings) -> Mapping[str, Mapping[str, str]]:
    """Return the headers that the settings add, by the name of the operation.

    :param settings: resolved
    """
    found: dict[str, dict[str, str]] = {}

    def add(operations: tuple[str, ...], headers: Mapping[str, str]) -> None:
        for operation in operations:
            found.setdefault(operation, {}).update(headers)

    if settings.storage_class:
        add(_PUBLISHED, {"x-ms-access-tier": settings.storage_class})
    if settings.tags:
        add(_PUBLISHED, {"x-ms-tags": urlencode(settings.tags)})
    if settings.encryption_scope:
        add(_STORED, {"x-ms-encryption-scope": settings.encryption_scope})
    if settings.sse_customer_key:
        key = customer_key(settings.sse_customer_key)
        add(
            _OF_KEY,
            {
                "x-ms-encryption-key": key.key,
                "x-ms-encryption-key-sha256": key.sha256,
                "x-ms-encryption-algorithm": "AES256",
            },
        )
    return found


def of_link(settings: AzureSettings) -> dict[str, str]:
    """Return the headers of a signed upload."""
    headers = {"x-ms-access-tier": settings.storage_class, "x-ms-encryption-scope": settings.encryption_scope}
    return {name: value for name, value in headers.items() if value}
