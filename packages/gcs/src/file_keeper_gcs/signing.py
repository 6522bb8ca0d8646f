"""Signed addresses: V4 signatures with the private key where it is known, else by the IAM Credentials API.

Reference: "V4 signing process"; "Canonical requests"; "Method: serviceAccounts.signBlob".
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import quote, urlsplit

from file_keeper import exc
from file_keeper.backend import SignAction, SignedRequest, SignOptions

from .credentials import AuthRequest
from .transport import Transport

LONGEST = 7 * 24 * 3600
"""Seconds that a V4 signature may be valid."""

METHODS: dict[SignAction, str] = {"upload": "PUT", "part": "PUT", "download": "GET", "delete": "DELETE"}
IAM = "https://iamcredentials.{universe}"


class Signer(Protocol):
    """Signs as a service account."""

    @property
    def signer_email(self) -> str:
        """The account."""
        ...

    def sign_bytes(self, message: bytes) -> bytes:
        """Sign with RSA and SHA-256."""
        ...


class IamSigner:
    """Signs as the service account of credentials that hold a token and no key, with one request a signature."""

    def __init__(self, transport: Transport, email: str, endpoint: str):
        self._transport = transport
        self.signer_email = email
        self._endpoint = endpoint.rstrip("/")

    def sign_bytes(self, message: bytes) -> bytes:
        """Sign with RSA and SHA-256, at Google's."""
        account = quote(self.signer_email, safe="@")
        answer = self._transport.exchange(
            "signBlob",
            "POST",
            f"{self._endpoint}/v1/projects/-/serviceAccounts/{account}:signBlob",
            headers={"Content-Type": "application/json"},
            body=(b'{"payload": "%s"}' % base64.b64encode(message),),
        )[1]
        return base64.b64decode(answer["signedBlob"])


def signer_of(transport: Transport, endpoint: str) -> Signer:
    """Return credentials that can sign: those of the storage if they have a key, else one that asks IAM.

    :raises UnsupportedOperationError: when there is no service account that could sign
    """
    credentials = transport.credentials
    if hasattr(credentials, "sign_bytes") and getattr(credentials, "signer_email", None):
        return credentials
    email = getattr(credentials, "service_account_email", "") or ""
    if email == "default":
        # Of a machine of Google's: who it is, its metadata server tells with the first token.
        with contextlib.closing(AuthRequest(transport.timeout, *transport.way)) as request:
            credentials.refresh(request)
        email = credentials.service_account_email
    if "@" not in email:
        raise exc.UnsupportedOperationError(
            "links are signed by a service account, and these credentials are of none: use its key file "
            "('credentials_file'), or credentials that impersonate one"
        )
    return IamSigner(transport, email, endpoint or IAM.format(universe=transport.sender.universe))


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
    added = transport.standing.of_link(action)
    headers |= added.headers
    address = (public or transport.base).rstrip("/")
    host = signed_host(transport.base, address)
    query = dict(added.params)
    if action == "download":
        if options.content_type:
            query["response-content-type"] = options.content_type
        if options.disposition:
            query["response-content-disposition"] = options.disposition
    # What is signed is the path at the service; a prefix of the public address is a proxy's.
    path = f"/{quote(transport.bucket, safe='')}/{quote(key, safe='/~')}"
    signed = query_of(
        signer_of(transport, iam), METHODS[action], path, query, {**headers, "Host": host}, seconds, datetime.now(UTC)
    )
    return SignedRequest(f"{address}{path}?{signed}", METHODS[action], headers)


def query_of(
    signer: Signer,
    method: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    seconds: int,
    now: datetime,
) -> str:
    """Return the query of a signed address.

    :param path: encoded as it is sent
    :param query: of the request itself
    :param headers: that the request must have, ``Host`` among them
    :param seconds: that it is valid from `now`, which is in UTC
    """
    lines = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    names = ";".join(sorted(lines))
    scope = f"{now:%Y%m%d}/auto/storage/goog4_request"
    whole = {
        **query,
        "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
        "X-Goog-Credential": f"{signer.signer_email}/{scope}",
        "X-Goog-Date": f"{now:%Y%m%dT%H%M%SZ}",
        "X-Goog-Expires": str(seconds),
        "X-Goog-SignedHeaders": names,
    }
    sent = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(whole.items()))
    told = "".join(f"{name}:{lines[name]}\n" for name in sorted(lines))
    canonical = f"{method}\n{path}\n{sent}\n{told}\n{names}\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    message = f"GOOG4-RSA-SHA256\n{now:%Y%m%dT%H%M%SZ}\n{scope}\n{digest}"
    return f"{sent}&X-Goog-Signature={signer.sign_bytes(message.encode()).hex()}"


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
