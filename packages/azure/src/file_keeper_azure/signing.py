"""Shared access signatures: for links, and for the sources of copies.

https://learn.microsoft.com/rest/api/storageservices/create-service-sas and .../create-user-delegation-sas
"""

# The SDK types its credentials as what they may be, not as what they are.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import threading
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import quote

from azure.storage.blob import BlobServiceClient, UserDelegationKey, generate_blob_sas
from file_keeper import exc
from file_keeper.backend import SignAction, SignedRequest, SignOptions

from .answers import GET_DELEGATION_KEY
from .blocks import block_id
from .transport import Wire

KEY_LIFE = timedelta(days=7)
"""The longest that the service gives a user delegation key for, and so the longest such a link lives."""

_SKEW = timedelta(minutes=15)

SCOPE = "https://storage.azure.com/.default"
"""What a token for the blob service is asked for."""


class TokenSource(Protocol):
    """A token credential of the SDK, as far as it is needed."""

    def get_token(self, *scopes: str, **kwargs: Any) -> Any: ...


class Signer:
    """Signs with the account's key, or with a delegation key that a token credential got.

    :param service: the SDK's client of the account
    :param account: its name, ``""`` where its address does not tell it
    """

    def __init__(self, service: BlobServiceClient, wire: Wire, account: str):
        self._service = service
        self._account = account
        self._wire = wire
        self._lock = threading.Lock()
        self._key: UserDelegationKey | None = None
        self._key_until = datetime.min.replace(tzinfo=UTC)

    @property
    def has_key(self) -> bool:
        """Whether the account's key is at hand."""
        return hasattr(self._wire.credential, "account_key")

    def signature(
        self,
        key: str,
        permission: str,
        duration: float,
        headers: Mapping[str, str | None] | None = None,
        *,
        container: str = "",
    ) -> str:
        """Return the query that allows what `permission` says with a blob, for `duration` seconds from now.

        :param headers: ``content_type`` and ``content_disposition`` that an answer is to have
        :param container: another one than that of this storage
        :raises UnsupportedOperationError: there is nothing to sign with, or it does not last so long
        """
        credential = self._wire.credential
        secret: dict[str, Any] = {}
        now = datetime.now(UTC)
        expiry = now + timedelta(seconds=duration)
        if self.has_key:
            secret["account_key"] = credential.account_key
        elif hasattr(credential, "get_token"):
            if expiry > now + KEY_LIFE - _SKEW:
                raise exc.UnsupportedOperationError(
                    "a link that is signed with a token credential lasts less than 7 days: Azure's delegation keys "
                    "live no longer; with the account's key it may last longer"
                )
            secret["user_delegation_key"] = self._delegation_key(now, expiry)
        else:
            raise exc.UnsupportedOperationError(
                "there is nothing to sign with: a link needs the account's key or a token credential, not a "
                "signature or anonymous access"
            )
        if not self._account:
            raise exc.UnsupportedOperationError(
                "a link is signed with the name of the account, which its address does not tell: give 'account_name'"
            )
        named: dict[str, Any] = {"permission": permission, "expiry": expiry, **secret, **(headers or {})}
        return generate_blob_sas(self._account, container or self._wire.name, key, **named)

    def _delegation_key(self, now: datetime, expiry: datetime) -> UserDelegationKey:
        """Return a key that is valid until `expiry`; one request in some days."""
        with self._lock:
            if self._key is None or self._key_until < expiry:
                until = now + KEY_LIFE
                # The clock here may be ahead of the service's: a key that is not valid yet would be refused.
                self._key = self._service.get_user_delegation_key(
                    now - _SKEW, until - _SKEW, raw_response_hook=self._judge, **self._wire.run_options
                )
                self._key_until = until - _SKEW
            return self._key

    def _judge(self, answered: Any) -> None:
        """Look at the answer before the SDK makes a key out of whatever it is."""
        response = answered.http_response
        if response.status_code != 401:  # the SDK gets another token, and asks again
            self._wire.judge(GET_DELEGATION_KEY, response)
            self._wire.read(GET_DELEGATION_KEY, response, _check_key)

    def bearer(self) -> str:
        """Return a token for the source of a copy, ``""`` where the credential is none of tokens."""
        credential: TokenSource | None = self._wire.credential
        return credential.get_token(SCOPE).token if hasattr(credential, "get_token") and credential else ""


def _check_key(body: bytes) -> None:
    root = ET.fromstring(body)
    if root.tag != "UserDelegationKey" or not root.findtext("Value"):
        raise ValueError(f"it holds <{root.tag}>")


_PERMISSIONS: Mapping[str, str] = {"upload": "cw", "download": "r", "delete": "d", "part": "cw"}


def sign(wire: Wire, signer: Signer, action: SignAction, key: str, options: SignOptions, base: str) -> SignedRequest:
    """Sign a request for somebody else; see :meth:`file_keeper.backend.Backend.sign`.

    :param base: the address of the container that the link is to show
    """
    permission, headers, query = _PERMISSIONS[action], dict[str, str](), ""
    answered: dict[str, str | None] = {}
    if action == "download":
        answered = {
            "content_type": options.content_type or None,
            "content_disposition": options.disposition or None,
        }
    elif action == "upload":
        headers["x-ms-blob-type"] = "BlockBlob"
        if options.content_type:
            headers["Content-Type"] = options.content_type
        if options.if_absent:
            # Without the right to write over, the service itself refuses; the header makes the answer plain.
            permission, headers["If-None-Match"] = "c", "*"
    elif action == "part":
        if options.upload is None:
            raise exc.StorageDataError("a part is signed for an upload: none is given")
        query = f"comp=block&blockid={quote(block_id(options.upload.id, options.part), safe='')}&"
    signature = signer.signature(key, permission, options.duration, answered)
    method = {"download": "GET", "delete": "DELETE"}.get(action, "PUT")
    return SignedRequest(f"{wire.address(key, base)}?{query}{signature}", method, headers)
