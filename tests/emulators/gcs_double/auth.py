"""Who is asking, and whether they may: service accounts, tokens, permissions, SignBlob.

Reference: "Using OAuth 2.0 for Server to Server Applications" (the JWT exchange, its errors), "Cloud Storage
authentication", "IAM permissions for JSON methods", "Method: serviceAccounts.signBlob".
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .errors import ApiError, no_such_object
from .messages import Request, Response
from .store import StoredObject

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME = 3600


@cache
def _shared_key() -> rsa.RSAPrivateKey:
    # Made at run time, once a process: no key is ever in the repository.
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class ServiceAccount:
    email: str = "double@project-of-tests.iam.gserviceaccount.com"
    project: str = "project-of-tests"
    key: rsa.RSAPrivateKey = field(default_factory=_shared_key)
    key_id: str = field(default_factory=lambda: secrets.token_hex(20))

    def info(self, token_uri: str) -> dict[str, str]:
        """The content of a credentials file ("Create and delete service account keys", the key file)."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": self.key_id,
            "private_key": pem.decode(),
            "client_email": self.email,
            "client_id": "1",
            "auth_uri": token_uri,
            "token_uri": token_uri,
        }

    def write(self, path: Path, token_uri: str) -> Path:
        path.write_text(json.dumps(self.info(token_uri)), encoding="utf-8")
        return path

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def verifies(self, signature: bytes, data: bytes) -> bool:
        try:
            self.key.public_key().verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


class Authority:
    """Accounts, the tokens given to them, and what is denied."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.account = ServiceAccount()
        self.accounts: dict[str, ServiceAccount] = {self.account.email: self.account}
        self.required = False
        self.tokens: dict[str, tuple[str, float]] = {}
        self.denied: set[tuple[str, str]] = set()

    def clear(self) -> None:
        with self._lock:
            self.tokens.clear()
            self.denied.clear()
            self.required = False
            self.accounts = {self.account.email: self.account}

    def add_account(self, email: str) -> ServiceAccount:
        account = self.accounts[email] = ServiceAccount(email)
        return account

    def deny(self, permission: str, bucket: str = "") -> None:
        with self._lock:
            self.denied.add((permission, bucket))

    def allow(self, permission: str, bucket: str = "") -> None:
        with self._lock:
            self.denied.discard((permission, bucket))

    def is_denied(self, permission: str, bucket: str) -> bool:
        return (permission, "") in self.denied or (permission, bucket) in self.denied

    def identify(self, request: Request) -> str:
        """The caller's e-mail, "" for an anonymous one; 401 where a credential is needed or wrong."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if not self.required:
            return ""
        if kind.lower() != "bearer" or not token:
            # "HTTP status and error codes for JSON", 401 required.
            message = "Anonymous caller does not have storage access. Login Required"
            raise ApiError(
                401,
                "required",
                message,
                location=("header", "Authorization"),
                headers=(("WWW-Authenticate", 'Bearer realm="https://accounts.google.com/"'),),
            )
        email, expires = self.tokens.get(token) or self._self_signed(token)
        if expires < time.time():
            challenge = 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
            raise ApiError(
                401,
                "authError",
                "Invalid Credentials",
                location=("header", "Authorization"),
                headers=(("WWW-Authenticate", challenge),),
            )
        return email

    def _self_signed(self, token: str) -> tuple[str, float]:
        """A JWT signed by the account itself is a token too ("Service account authorization without OAuth")."""
        claims = self._claims(token)
        return (claims["iss"], float(claims.get("exp", 0))) if claims else ("", 0.0)

    def require(self, permission: str, bucket: str, what: str = "", email: str = "") -> None:
        if self.is_denied(permission, bucket):
            raise forbidden(permission, what or bucket, email)

    def missing(self, bucket: str, name: str, email: str = "") -> ApiError:
        """404, or the 403 that hides it: without storage.objects.list no one learns what does not exist.

        Reference: "Troubleshooting", 403 and 404; "IAM permissions for JSON methods", note on objects.get.
        """
        if self.is_denied("storage.objects.list", bucket):
            return forbidden("storage.objects.get", f"{bucket}/{name}", email)
        return no_such_object(bucket, name)

    def creation_guard(self, bucket: str, email: str = "") -> Any:
        """Overwriting needs storage.objects.delete besides create ("Objects: insert", required permissions)."""

        def guard(live: StoredObject | None) -> None:
            self.require("storage.objects.create", bucket, email=email)
            if live is not None:
                self.require("storage.objects.delete", bucket, f"{bucket}/{live.name}", email)

        return guard

    def _claims(self, token: str) -> dict[str, Any] | None:
        try:
            head, body, signature = token.split(".")
            header, claims = json.loads(_unpad(head)), json.loads(_unpad(body))
            account = self.accounts[claims["iss"]]
            right = header["alg"] == "RS256" and account.verifies(_unpad(signature), f"{head}.{body}".encode())
        except (ValueError, KeyError, TypeError):
            return None
        return claims if right else None

    def token(self, request: Request) -> Response:
        """POST /token: a signed assertion for an access token."""
        form = {key: values[0] for key, values in parse_qs(request.body.document().decode()).items()}
        if form.get("grant_type") != GRANT:
            return _oauth_error("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', '')}")
        claims = self._claims(form.get("assertion", ""))
        if claims is None:
            return _oauth_error("invalid_grant", "Invalid JWT Signature.")
        now = time.time()
        if not (float(claims.get("iat", 0)) <= now + 60 and now < float(claims.get("exp", 0)) <= now + 2 * LIFETIME):
            message = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
            return _oauth_error("invalid_grant", message)
        token = "ya29." + secrets.token_urlsafe(24)
        with self._lock:
            self.tokens[token] = (claims["iss"], now + LIFETIME)
        return Response.json({"access_token": token, "expires_in": LIFETIME - 1, "token_type": "Bearer"})

    def expire_tokens(self) -> None:
        with self._lock:
            self.tokens = {token: (email, 0.0) for token, (email, _) in self.tokens.items()}

    def sign_blob(self, email: str, request: Request) -> Response:
        """POST /v1/projects/-/serviceAccounts/EMAIL:signBlob of the IAM credentials API."""
        account = self.accounts.get(email)
        if account is None:
            raise ApiError(404, "notFound", f"Not found; Gaia id not found for email {email}")
        if self.is_denied("iam.serviceAccounts.signBlob", ""):
            message = "Permission 'iam.serviceAccounts.signBlob' denied on resource (or it may not exist)."
            raise ApiError(403, "forbidden", message)
        try:
            payload = base64.b64decode(request.json()["payload"], validate=True)
        except (KeyError, TypeError, ValueError):
            raise ApiError(400, "invalid", "Request contains an invalid argument.") from None
        signed = base64.b64encode(account.sign(payload)).decode()
        return Response.json({"keyId": account.key_id, "signedBlob": signed})


def forbidden(permission: str, what: str, email: str = "") -> ApiError:
    who = email or "Anonymous caller"
    message = (
        f"{who} does not have {permission} access to the Google Cloud Storage object. "
        f"Permission '{permission}' denied on resource (or it may not exist)."
    )
    return ApiError(403, "forbidden", message, details=what)


def _unpad(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _oauth_error(error: str, description: str) -> Response:
    return Response.json({"error": error, "error_description": description}, 400)
