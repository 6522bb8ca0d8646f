"""Errors as Google words them: JSON, XML or plain text, by the surface that was asked.

Reference: "HTTP status and error codes for JSON" (the error container and its reasons), "HTTP status and error
codes for XML" (the `Error` element and its codes).
"""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

# Code of the XML API for a reason of the JSON API ("HTTP status and error codes for XML").
XML_CODES = {
    "notFound": "NoSuchKey",
    "bucketNotFound": "NoSuchBucket",
    "conditionNotMet": "PreconditionFailed",
    "forbidden": "AccessDenied",
    "accountDisabled": "UserProjectAccountProblem",
    "required": "AuthenticationRequired",
    "authError": "AuthenticationRequired",
    "invalid": "InvalidArgument",
    "requestedRangeNotSatisfiable": "InvalidRange",
    "backendError": "ServiceUnavailable",
    "internalError": "InternalError",
    "rateLimitExceeded": "SlowDown",
    "conflict": "BucketNotEmpty",
    "methodNotAllowed": "MethodNotAllowed",
}


class ApiError(Exception):
    """A refusal, before it is known how it must be written."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        location: tuple[str, str] | None = None,
        code: str = "",
        details: str = "",
        plain: bool = False,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.location = location
        self.code = code
        self.details = details
        self.plain = plain
        self.headers = headers

    def json(self) -> bytes:
        item = {"message": self.message, "domain": "global", "reason": self.json_reason}
        if self.location:
            item["locationType"], item["location"] = self.location
        error = {"code": self.status, "message": self.message, "errors": [item]}
        return json.dumps({"error": error}, ensure_ascii=False).encode()

    @property
    def json_reason(self) -> str:
        # The JSON API says `notFound` for both; only the message tells the bucket from the object.
        return "notFound" if self.reason == "bucketNotFound" else self.reason

    def xml(self) -> bytes:
        code = self.code or XML_CODES.get(self.reason, "InvalidArgument")
        details = f"<Details>{escape(self.details)}</Details>" if self.details else ""
        return (
            f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code>"
            f"<Message>{escape(self.message)}</Message>{details}</Error>"
        ).encode()

    def text(self) -> bytes:
        return self.message.encode()


def invalid(message: str) -> ApiError:
    return ApiError(400, "invalid", message)


def required(name: str) -> ApiError:
    return ApiError(400, "required", f"Required parameter: {name}", location=("parameter", name))


def no_such_bucket() -> ApiError:
    return ApiError(404, "bucketNotFound", "The specified bucket does not exist.")


def no_such_object(bucket: str, name: str) -> ApiError:
    return ApiError(404, "notFound", f"No such object: {bucket}/{name}")


def condition_not_met() -> ApiError:
    message = "At least one of the pre-conditions you specified did not hold."
    return ApiError(412, "conditionNotMet", message, location=("header", "If-Match"))


class NotModified(Exception):
    """304: a read whose NotMatch condition failed ("Request preconditions": no body)."""


class ClientGone(Exception):
    """The caller went away in the middle of its request; there is no one to answer."""
