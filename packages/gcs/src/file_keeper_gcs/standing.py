"""What the settings add to each request, whoever makes it: who is charged, keys of encryption, a predefined ACL.

Reference: "Use Requester Pays" (userProject), "Use customer-supplied encryption keys" (x-goog-encryption-*), and the
parameters of each operation of the JSON API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from file_keeper.backend import SignAction, customer_key

from .settings import GcsSettings

_CUSTOMER = frozenset(
    ("objects.get", "objects.get (media)", "objects.insert", "objects.insert (session)", "objects.insert (piece)",
     "objects.compose", "objects.rewrite")
)  # fmt: skip
"""Operations that a customer's key belongs to."""

_OWN_ADDRESS = ("objects.insert (piece)", "objects.insert (cancel)", "signBlob", "batch", "buckets.insert")
"""Operations whose address takes no parameter of ours."""


class Added(NamedTuple):
    """What is added to a request."""

    params: Mapping[str, str]
    headers: Mapping[str, str]


NOTHING = Added({}, {})


class Standing:
    """What the settings add to each request.

    :param settings: resolved
    """

    def __init__(self, settings: GcsSettings):
        self.project = settings.payer
        self._acl = settings.acl
        self._kms = settings.kms_key
        self._key: dict[str, str] = {}
        if settings.sse_customer_key:
            found = customer_key(settings.sse_customer_key)
            self._key = {"algorithm": "AES256", "key": found.key, "key-sha256": found.sha256}
        self._made: dict[str, Added] = {}
        self._any = bool(self.project or self._acl or self._kms or self._key)

    def of(self, operation: str) -> Added:
        """Return what is added to an operation."""
        if not self._any:
            return NOTHING
        found = self._made.get(operation)
        if found is None:
            found = self._made[operation] = Added(self._params(operation), self._headers(operation))
        return found

    def _params(self, operation: str) -> dict[str, str]:
        found: dict[str, str] = {}
        if self.project and operation not in _OWN_ADDRESS:
            found["userProject"] = self.project
        if operation in ("objects.insert", "objects.insert (session)"):
            found |= {"kmsKeyName": self._kms, "predefinedAcl": _camel(self._acl)}
        elif operation == "objects.compose":
            found |= {"kmsKeyName": self._kms, "destinationPredefinedAcl": _camel(self._acl)}
        elif operation == "objects.rewrite":
            found |= {"destinationKmsKeyName": self._kms, "destinationPredefinedAcl": _camel(self._acl)}
        return {name: value for name, value in found.items() if value}

    def _headers(self, operation: str) -> dict[str, str]:
        found: dict[str, str] = {}
        if self.project and operation != "signBlob":
            found["X-Goog-User-Project"] = self.project
        if operation in _CUSTOMER:
            found |= {f"X-Goog-Encryption-{name}": value for name, value in self._key.items()}
        if operation == "objects.rewrite":
            found |= {f"X-Goog-Copy-Source-Encryption-{name}": value for name, value in self._key.items()}
        return found

    def of_link(self, action: SignAction) -> Added:
        """Return what is added to a signed request, which goes to the XML API."""
        headers = {"x-goog-acl": self._acl, "x-goog-encryption-kms-key-name": self._kms}
        kept = {name: value for name, value in headers.items() if value and action in ("upload", "part")}
        return Added({"userProject": self.project} if self.project else {}, kept)


def _camel(name: str) -> str:
    """Return the JSON API's name of a predefined ACL: ``bucket-owner-read`` is ``bucketOwnerRead``."""
    first, *rest = name.split("-")
    return first + "".join(word.capitalize() for word in rest)
