"""Signed addresses: V4 signatures with the private key where it is known, else by the IAM Credentials API.

Reference: "V4 signing process"; "Method: serviceAccounts.signBlob".
"""

# The SDK has no stubs: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUntypedBaseClass=false

from __future__ import annotations

import base64
import math
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from file_keeper import exc
from file_keeper.backend import SignAction, SignedRequest, SignOptions
from google.auth.credentials import AnonymousCredentials, Signing
from google.auth.transport.requests import Request

from .transport import Transport

LONGEST = 7 * 24 * 3600
"""Seconds that a V4 signature may be valid."""

METHODS: dict[SignAction, str] = {"upload": "PUT", "part": "PUT", "download": "GET", "delete": "DELETE"}
IAM = "https://iamcredentials.{universe}"


class IamSigner(Signing):
    """Signs as the service account of credentials that hold a token and no key, with one request a signature."""

    def __init__(self, transport: Transport, email: str, endpoint: str):
        self._transport = transport
        self._email = email
        self._endpoint = endpoint.rstrip("/")

    @property
    def signer_email(self) -> str:
        return self._email

    @property
    def signer(self) -> Any:
        return self

    def sign_bytes(self, message: bytes) -> bytes:
        """Sign with RSA and SHA-256, at Google's."""
        account = quote(self._email, safe="@")
        answer = self._transport.exchange(
            "signBlob",
            "POST",
            f"{self._endpoint}/v1/projects/-/serviceAccounts/{account}:signBlob",
            headers={"Content-Type": "application/json"},
            body=b'{"payload": "%s"}' % base64.b64encode(message),
        )[1]
        return base64.b64decode(answer["signedBlob"])


def signer_of(transport: Transport, endpoint: str) -> Any:
    """Return credentials that can sign: those of the client if they have a key, else one that asks IAM.

    :raises UnsupportedOperationError: when there is no service account that could sign
    """
    credentials: Any = transport.credentials
    if issubclass(type(credentials), Signing) and getattr(credentials, "signer_email", None):
        return credentials
    email = getattr(credentials, "service_account_email", "") or ""
    if email == "default":
        # Of a machine of Google's: who it is, its metadata server tells with the first token.
        credentials.refresh(Request())
        email = credentials.service_account_email
    if "@" not in email or isinstance(credentials, AnonymousCredentials):
        raise exc.UnsupportedOperationError(
            "links are signed by a service account, and these credentials are of none: use its key file "
            "('credentials_file'), or credentials that impersonate one"
        )
    universe = getattr(transport.client, "universe_domain", "") or "googleapis.com"
    return IamSigner(transport, email, endpoint or IAM.format(universe=universe))


def sign(
    transport: Transport, action: SignAction, key: str, options: SignOptions, *, public: str, iam: str
) -> SignedRequest:
    """Sign a request on an object.

    :param public: address that the link begins with, ``""`` for the endpoint's own
    :param iam: address of the IAM Credentials API, ``""`` for Google's
    """
    seconds = max(1, math.ceil(options.duration))
    if seconds > LONGEST:
        raise exc.StorageDataError(f"a signed link is valid for at most 7 days here, asked for were {seconds} seconds")
    headers: dict[str, str] = {}
    if options.content_type and action in ("upload", "part"):
        headers["Content-Type"] = options.content_type
    if options.if_absent:
        headers["x-goog-if-generation-match"] = "0"
    if options.max_size is not None:
        # Reference: "HTTP headers and common query string parameters for XML", x-goog-content-length-range.
        headers["x-goog-content-length-range"] = f"0,{options.max_size}"
    address = (public or transport.base).rstrip("/")
    host = signed_host(transport.base, address)
    parts = urlsplit(address)
    url: str = (
        transport.client.bucket(transport.bucket)
        .blob(key)
        .generate_signed_url(
            version="v4",
            expiration=timedelta(seconds=seconds),
            # What is signed is the path at the service; a prefix of the public address is a proxy's.
            api_access_endpoint=f"{parts.scheme}://{host}",
            method=METHODS[action],
            headers={**headers, "Host": host},
            response_type=options.content_type or None if action == "download" else None,
            response_disposition=options.disposition or None if action == "download" else None,
            credentials=signer_of(transport, iam),
        )
    )
    return SignedRequest(address + url.removeprefix(f"{parts.scheme}://{host}"), METHODS[action], headers)


def signed_host(endpoint: str, public: str) -> str:
    """Return the host that a signature is bound to: the one that the service is addressed by.

    That is the public one, except where a foreign host stands for Google's own: its proxy must address Google by
    Google's name, as the bucket of a request to any other name is that name.
    """
    ours, theirs = urlsplit(endpoint).netloc, urlsplit(public).netloc
    return ours if ours.endswith(".googleapis.com") and not theirs.endswith(".googleapis.com") else theirs


def public_url(base: str, bucket: str, key: str) -> str:
    """Return the permanent address of a public object."""
    return f"{base.rstrip('/')}/{quote(bucket, safe='')}/{quote(key, safe='/~')}"
