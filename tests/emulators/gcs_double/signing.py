"""Signed URLs, verified as they are made.

Reference: "V4 signing process with your own program", "Canonical requests", "Signatures", "Signed URLs".
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote

from .auth import ServiceAccount
from .errors import ApiError
from .messages import Request

ALGORITHM = "GOOG4-RSA-SHA256"
LONGEST = 7 * 24 * 3600  # "Signed URLs": at most seven days
SKEW = 15 * 60


def is_signed(request: Request) -> bool:
    return "X-Goog-Algorithm" in request.query or "X-Goog-Signature" in request.query


def refused(code: str, message: str, status: int = 403, details: str = "") -> ApiError:
    return ApiError(status, "forbidden", message, code=code, details=details)


def verify(request: Request, accounts: Mapping[str, ServiceAccount]) -> str:
    """The signer's e-mail, or the error that the XML API gives."""
    query = request.query
    names = ("X-Goog-Algorithm", "X-Goog-Credential", "X-Goog-Date", "X-Goog-Expires", "X-Goog-SignedHeaders")
    for name in (*names, "X-Goog-Signature"):
        if not query.get(name):
            raise refused("MalformedSecurityHeader", "Your request has a malformed header.", 400, f"{name} is missing")
    if query["X-Goog-Algorithm"] != ALGORITHM:
        raise refused("InvalidArgument", "Invalid argument.", 400, "Unsupported X-Goog-Algorithm")
    email, _, scope = query["X-Goog-Credential"].partition("/")
    account = accounts.get(email)
    if not re.fullmatch(r"\d{8}/[\w-]+/storage/goog4_request", scope) or not query["X-Goog-Date"].startswith(scope[:8]):
        raise refused("InvalidArgument", "Invalid argument.", 400, "Invalid X-Goog-Credential")
    _check_time(query["X-Goog-Date"], query["X-Goog-Expires"])
    canonical = canonical_request(request)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{ALGORITHM}\n{query['X-Goog-Date']}\n{scope}\n{digest}"
    try:
        signature = bytes.fromhex(query["X-Goog-Signature"])
    except ValueError:
        signature = b""
    if account is None or not account.verifies(signature, text.encode()):
        message = (
            "Access denied. The request signature we calculated does not match the signature you provided. "
            "Check your Google secret key and signing method."
        )
        raise refused("SignatureDoesNotMatch", message, details=canonical)
    return email


def _check_time(date: str, expires: str) -> None:
    try:
        made = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        seconds = int(expires)
    except ValueError:
        raise refused("InvalidArgument", "Invalid argument.", 400, "Invalid X-Goog-Date or X-Goog-Expires") from None
    if not 0 < seconds <= LONGEST:
        raise refused("InvalidArgument", "Invalid argument.", 400, f"X-Goog-Expires must be in 1 to {LONGEST}")
    if made > time.time() + SKEW:
        raise refused("RequestTimeTooSkewed", "The difference between the request time and the server's is too large.")
    if made + seconds < time.time():
        # A 400, not a 403 ("HTTP status and error codes for XML", ExpiredToken).
        end = datetime.fromtimestamp(made + seconds, UTC).isoformat()
        details = f"Request signature expired at: {end}"
        raise refused("ExpiredToken", "The provided token has expired.", 400, details)


def canonical_request(request: Request) -> str:
    signed = request.query["X-Goog-SignedHeaders"].split(";")
    if "host" not in signed:
        raise refused("MalformedSecurityHeader", "Your request has a malformed header.", 400, "host must be signed")
    for name in request.headers:
        # "Canonical requests", required headers: every x-goog-* header of the request.
        if name.startswith("x-goog-") and name not in signed and name != "x-goog-content-sha256":
            details = f"Header was included in the request, but not in signedheaders: {name}"
            raise refused("MalformedSecurityHeader", "Your request has a malformed header.", 400, details)
    lines = []
    for name in signed:
        if name not in request.headers:
            details = f"Header was included in signedheaders, but not in the request: {name}"
            raise refused("MalformedSecurityHeader", "Your request has a malformed header.", 400, details)
        lines.append(f"{name}:{' '.join(request.headers[name].split())}\n")
    pairs = parse_qsl(request.query_string, keep_blank_values=True)
    query = "&".join(
        f"{quote(name, safe='~')}={quote(value, safe='~')}"
        for name, value in sorted(pairs)
        if name != "X-Goog-Signature"
    )
    payload = request.headers.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD")
    path = quote(unquote(request.path), safe="/~")
    return "\n".join([request.method, path, query, "".join(lines), ";".join(signed), payload])
