"""Verifies Signature Version 4 as the server does, for one known key.

Written from "Authenticating Requests: Using the Authorization Header" and "... Using Query Parameters" of the Amazon
S3 API Reference, not from any client.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote

from .http1 import Request

MAX_SKEW = 15 * 60
MAX_EXPIRES = 7 * 24 * 3600
ALGORITHM = "AWS4-HMAC-SHA256"


class Refused(Exception):
    """An S3 error answer: status, code, message and further XML elements."""

    def __init__(self, status: int, code: str, message: str = "", extra: str = "", **headers: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message or code
        self.extra = extra
        self.headers: Mapping[str, str] = {name.replace("_", "-"): value for name, value in headers.items()}


def scope_region(request: Request) -> str:
    """The region that the request was signed for, "" when it is not signed in this way."""
    match = re.search(r"Credential=([^,\s]+)", request.headers.get("Authorization"))
    credential = match[1] if match else request.parameters.get("X-Amz-Credential", "")
    parts = credential.split("/")
    return parts[2] if len(parts) == 5 else ""


def signing_key(secret_key: str, day: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret_key.encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def is_presigned(request: Request) -> bool:
    return "X-Amz-Signature" in request.parameters or "Signature" in request.parameters


def verify(request: Request, access_key: str, secret_key: str, now: float) -> None:
    """Raise `Refused` unless the request is signed by the key; its body's hash is the caller's to compare."""
    if "X-Amz-Signature" in request.parameters:
        _verify_query(request, access_key, secret_key, now)
        return
    if "Signature" in request.parameters:
        raise _old_mechanism()
    authorization = request.headers.get("Authorization")
    if not authorization:
        raise Refused(403, "AccessDenied", "Access Denied")
    if not authorization.startswith(ALGORITHM):
        raise _old_mechanism()
    fields = dict(re.findall(r"(\w+)=([^,\s]+)", authorization))
    if not {"Credential", "SignedHeaders", "Signature"} <= fields.keys():
        raise Refused(400, "AuthorizationHeaderMalformed", "The authorization header is malformed.")
    payload = request.headers.get("x-amz-content-sha256")
    if not payload:
        raise Refused(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    date = request.headers.get("x-amz-date")
    if abs(_seconds(date) - now) > MAX_SKEW:
        raise Refused(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        )
    _check(request, access_key, secret_key, fields, date, payload)


def _verify_query(request: Request, access_key: str, secret_key: str, now: float) -> None:
    given = request.parameters
    if given.get("X-Amz-Algorithm") != ALGORITHM:
        raise Refused(400, "AuthorizationQueryParametersError", "X-Amz-Algorithm only supports AWS4-HMAC-SHA256")
    fields = {
        "Credential": given.get("X-Amz-Credential", ""),
        "SignedHeaders": given.get("X-Amz-SignedHeaders", ""),
        "Signature": given["X-Amz-Signature"],
    }
    date = given.get("X-Amz-Date", "")
    expires = given.get("X-Amz-Expires", "")
    if not expires.isdigit() or not 0 < int(expires) <= MAX_EXPIRES:
        raise Refused(400, "AuthorizationQueryParametersError", "X-Amz-Expires must be 1 to 604800 seconds")
    if _seconds(date) > now + MAX_SKEW:
        raise Refused(403, "AccessDenied", "Request is not valid yet")
    if now > _seconds(date) + int(expires):
        raise Refused(403, "AccessDenied", "Request has expired")
    payload = request.headers.get("x-amz-content-sha256") or "UNSIGNED-PAYLOAD"
    _check(request, access_key, secret_key, fields, date, payload)


def _check(
    request: Request, access_key: str, secret_key: str, fields: Mapping[str, str], date: str, payload: str
) -> None:
    key, *scope = fields["Credential"].split("/")
    if len(scope) != 4 or scope[2:] != ["s3", "aws4_request"] or scope[0] != date[:8]:
        raise Refused(400, "AuthorizationHeaderMalformed", "the credential's scope is wrong")
    if key != access_key:
        raise Refused(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
    signed = fields["SignedHeaders"].lower().split(";")
    needed = {"host"} | {name.lower() for name, _ in request.headers if name.lower().startswith("x-amz-")}
    # A link's payload header may stay unsigned: it speaks of the body only.
    if unsigned := needed - set(signed) - {"x-amz-content-sha256"}:
        raise Refused(
            403,
            "AccessDenied",
            "There were headers present in the request which were not signed",
            f"<HeadersNotSigned>{', '.join(sorted(unsigned))}</HeadersNotSigned>",
        )
    # The path is encoded once more from what it means (S3 does not normalise it), the query sorted by encoded name.
    query = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        # A literal plus is a plus here: this is not a form.
        for name, value in parse_qsl(request.query.replace("+", "%2B"), keep_blank_values=True)
        if name != "X-Amz-Signature"
    )
    canonical = "\n".join(
        [
            request.method,
            quote(unquote(request.path, errors="surrogateescape"), safe="/-_.~", errors="surrogateescape"),
            "&".join(f"{name}={value}" for name, value in query),
            *(f"{name}:{_values(request, name)}" for name in signed),
            "",
            ";".join(signed),
            payload,
        ]
    )
    to_sign = "\n".join([ALGORITHM, date, "/".join(scope), hashlib.sha256(canonical.encode("latin-1")).hexdigest()])
    made = hmac.digest(signing_key(secret_key, *scope[:3]), to_sign.encode(), "sha256").hex()
    if not hmac.compare_digest(made, fields["Signature"]):
        raise Refused(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        )


def _values(request: Request, name: str) -> str:
    return ",".join(" ".join(value.split()) for key, value in request.headers if key.lower() == name)


def _seconds(date: str) -> int:
    try:
        return calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise Refused(403, "AccessDenied", "a valid X-Amz-Date is required") from None


def _old_mechanism() -> Refused:
    return Refused(
        400,
        "InvalidRequest",
        "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
    )
