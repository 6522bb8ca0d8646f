"""Shared access signatures: for links, and for the sources of copies.

https://learn.microsoft.com/rest/api/storageservices/create-service-sas and .../create-user-delegation-sas
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from file_keeper import exc
from file_keeper.backend import SignAction, SignedRequest, SignOptions

from .answers import GET_DELEGATION_KEY
from .blocks import block_id
from .rights import Token, digest
from .transport import VERSION, Wire

KEY_LIFE = timedelta(days=7)
"""The longest that the service gives a user delegation key for, and so the longest such a link lives."""

_SKEW = timedelta(minutes=15)
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class DelegationKey:
    """A key that the service gives to a token, as its answer names it: the fields, and the key itself."""

    fields: Mapping[str, str]
    value: bytes


def shared_access(
    account: str,
    key: bytes | DelegationKey,
    resource: str,
    permission: str,
    expiry: datetime,
    *,
    content_type: str = "",
    disposition: str = "",
) -> str:
    """Return a signature for one blob.

    :param resource: the blob: its container, a slash, and its name
    :param content_type: that an answer is to have
    :param disposition: the ``Content-Disposition`` that an answer is to have
    """
    until = f"{expiry.astimezone(UTC):{_TIME}}"
    query = {"se": until, "sp": permission, "sv": VERSION, "sr": "b", "rscd": disposition, "rsct": content_type}
    named = ["", "", VERSION, "b", "", ""]  # address, protocol, version, kind, snapshot, scope of encryption
    lines = [permission, "", until, f"/blob/{account}/{resource}"]
    if isinstance(key, DelegationKey):
        names = ("skoid", "sktid", "skt", "ske", "sks", "skv")
        query |= key.fields
        lines += [*(key.fields[name] for name in names), "", "", "", key.fields.get("skdutid", ""), ""]
        lines += [*named, "", ""]  # headers and queries that are bound to
        secret = key.value
    else:
        lines += ["", *named]
        secret = key
    lines += ["", disposition, "", "", content_type]
    query["sig"] = digest(secret, "\n".join(lines).encode())
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items() if value)


class Signer:
    """Signs with the account's key, or with a delegation key that a token got.

    :param account: its name, ``""`` where its address does not tell it
    """

    def __init__(self, wire: Wire, account: str):
        self._account = account
        self._wire = wire
        self._lock = threading.Lock()
        self._key: DelegationKey | None = None
        self._key_until = datetime.min.replace(tzinfo=UTC)

    @property
    def has_key(self) -> bool:
        """Whether the account's key is known."""
        return bool(self._wire.sender.right.key)

    def signature(
        self,
        key: str,
        permission: str,
        duration: float,
        *,
        content_type: str = "",
        disposition: str = "",
        container: str = "",
    ) -> str:
        """Return the query that allows what `permission` says with a blob, for `duration` seconds from now.

        :param content_type: that an answer is to have
        :param disposition: the ``Content-Disposition`` that an answer is to have
        :param container: another one than that of this storage
        :raises UnsupportedOperationError: there is nothing to sign with, or it does not last so long
        """
        right = self._wire.sender.right
        now = datetime.now(UTC)
        expiry = now + timedelta(seconds=duration)
        secret: bytes | DelegationKey = right.key
        if not secret:
            if not isinstance(right, Token):
                raise exc.UnsupportedOperationError(
                    "there is nothing to sign with: a link needs the account's key or a token credential, not a "
                    "signature or anonymous access"
                )
            if expiry > now + KEY_LIFE - _SKEW:
                raise exc.UnsupportedOperationError(
                    "a link that is signed with a token credential lasts less than 7 days: Azure's delegation keys "
                    "live no longer; with the account's key it may last longer"
                )
            secret = self._delegation_key(now, expiry)
        if not self._account:
            raise exc.UnsupportedOperationError(
                "a link is signed with the name of the account, which its address does not tell: give 'account_name'"
            )
        return shared_access(
            self._account,
            secret,
            f"{container or self._wire.name}/{key}",
            permission,
            expiry,
            content_type=content_type,
            disposition=disposition,
        )

    def _delegation_key(self, now: datetime, expiry: datetime) -> DelegationKey:
        """Return a key that is valid until `expiry`; one request in some days."""
        with self._lock:
            if self._key is None or self._key_until < expiry:
                # The clock here may be ahead of the service's: a key that is not valid yet would be refused.
                start, until = now - _SKEW, now + KEY_LIFE - _SKEW
                body = f"<KeyInfo><Start>{start:{_TIME}}</Start><Expiry>{until:{_TIME}}</Expiry></KeyInfo>"
                headers = {"Content-Type": "application/xml"}
                reply = self._wire.send(GET_DELEGATION_KEY, headers=headers, body=body.encode())
                self._key = self._wire.read(GET_DELEGATION_KEY, reply, _parse_key)
                self._key_until = until
            return self._key

    def bearer(self) -> str:
        """Return a token for the source of a copy, ``""`` where the right is none of tokens."""
        return self._wire.sender.right.token()


_FIELDS = {
    "SignedOid": "skoid",
    "SignedTid": "sktid",
    "SignedStart": "skt",
    "SignedExpiry": "ske",
    "SignedService": "sks",
    "SignedVersion": "skv",
}


def _parse_key(body: bytes) -> DelegationKey:
    """Read the answer. :raises ValueError: it is another one"""
    from xml.etree import ElementTree as ET

    try:
        root = ET.fromstring(body)
    except ET.ParseError as error:
        raise ValueError(str(error)) from error
    fields = {short: root.findtext(name, "") for name, short in _FIELDS.items()}
    value = root.findtext("Value")
    if root.tag != "UserDelegationKey" or not value or not all(fields.values()):
        raise ValueError(f"it holds <{root.tag}>")
    if tenant := root.findtext("SignedDelegatedUserTid"):
        fields["skdutid"] = tenant
    return DelegationKey(fields, base64.b64decode(value))


_PERMISSIONS: Mapping[str, str] = {"upload": "cw", "download": "r", "delete": "d", "part": "cw"}


def sign(wire: Wire, signer: Signer, action: SignAction, key: str, options: SignOptions, base: str) -> SignedRequest:
    """Sign a request for somebody else; see :meth:`file_keeper.backend.Backend.sign`.

    :param base: the address of the container that the link is to show
    """
    permission, headers, query = _PERMISSIONS[action], dict[str, str](), ""
    answered: dict[str, str] = {}
    if action == "download":
        answered = {"content_type": options.content_type, "disposition": options.disposition}
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
    signature = signer.signature(key, permission, options.duration, **answered)
    method = {"download": "GET", "delete": "DELETE"}.get(action, "PUT")
    return SignedRequest(f"{wire.address(key, base)}?{query}{signature}", method, headers)
