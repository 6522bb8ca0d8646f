"""Forms that a browser sends by POST, judged by their policy as the server does, for one known key.

Written from "Browser-Based Uploads Using POST", "POST Policy" and "Calculating a Signature" of the Amazon S3 API
Reference, not from any client.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import email
import email.policy
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

from .sigv4 import ALGORITHM, Refused, signing_key

LARGEST_POLICY = 20 * 1024
UNCOVERED = {"policy", "x-amz-signature", "awsaccesskeyid", "signature", "file"}


@dataclass(frozen=True)
class Form:
    """Fields by lower-case name, and the content; what comes after the file is ignored."""

    fields: dict[str, str]
    content: bytes


def read(content_type: str, body: bytes) -> Form:
    message = email.message_from_bytes(
        f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=email.policy.HTTP
    )
    if not message.is_multipart():
        raise Refused(412, "PreconditionFailed", "Bucket POST must be of the enclosure-type multipart/form-data")
    fields: dict[str, str] = {}
    for part in message.iter_parts():  # type: ignore[attr-defined]
        name = str(part.get_param("name", "", "content-disposition")).lower()
        content: bytes = part.get_payload(decode=True) or b""
        if name == "file":
            return Form(fields, content)
        fields[name] = content.decode()
    raise Refused(400, "InvalidArgument", "POST requires exactly one file upload per request.")


def check(form: Form, bucket: str, access_key: str, secret_key: str, now: float) -> None:
    """Raise `Refused` unless a policy signed by the key allows this form."""
    fields = {"bucket": bucket, **form.fields}
    policy, signature = fields.get("policy", ""), fields.get("x-amz-signature", "")
    if not policy or len(policy) > LARGEST_POLICY or fields.get("x-amz-algorithm") != ALGORITHM:
        raise Refused(403, "AccessDenied", "Access Denied")
    key, day, region, service, end = (fields.get("x-amz-credential", "") + "/////").split("/")[:5]
    if key != access_key or service != "s3" or end != "aws4_request":
        raise Refused(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
    made = hmac.new(signing_key(secret_key, day, region, service), policy.encode(), "sha256").hexdigest()
    if not hmac.compare_digest(made, signature):
        raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.")
    try:
        document: Any = json.loads(base64.b64decode(policy, validate=True))
        until = calendar.timegm(
            time.strptime(document["expiration"].partition(".")[0].rstrip("Z"), "%Y-%m-%dT%H:%M:%S")
        )
        conditions = list(document["conditions"])
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(400, "InvalidPolicyDocument", f"Invalid Policy: {error}") from None
    if now >= until:
        raise Refused(403, "AccessDenied", "Invalid according to Policy: Policy expired.")
    covered: set[str] = set()
    for condition in conditions:
        covered.add(_meet(condition, fields, len(form.content)))
    for name in form.fields:
        if name not in covered | UNCOVERED and not name.startswith("x-ignore-"):
            raise Refused(403, "AccessDenied", f"Invalid according to Policy: Extra input fields: {name}")


def _meet(condition: Any, fields: dict[str, str], size: int) -> str:
    if isinstance(condition, dict):
        ((name, wanted),) = condition.items()
        kind, name = "eq", f"${name}"
    else:
        kind, name, wanted = condition
    if kind == "content-length-range":
        if size > int(wanted):
            raise Refused(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        if size < int(name):
            raise Refused(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        return ""
    found = fields.get(name.removeprefix("$").lower(), "")
    if not (found == wanted if kind == "eq" else found.startswith(wanted)):
        raise Refused(403, "AccessDenied", f"Invalid according to Policy: Policy Condition failed: {condition!r}")
    return name.removeprefix("$").lower()
