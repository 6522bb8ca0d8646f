"""The providers' own error answers, for `rule.answer(*s3_error(503, "SlowDown", retry_after=1))`."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

Answer = tuple[int, str, dict[str, str]]


def s3_error(status: int, code: str, message: str = "", *, retry_after: int | None = None, extra: str = "") -> Answer:
    """S3 API Reference, "Error responses": REST errors are XML; `extra` is put in as further elements."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message or code)}</Message>{extra}"
        "<RequestId>FAULT0000000001</RequestId><HostId>fault</HostId></Error>"
    )
    headers = {"Content-Type": "application/xml", "x-amz-request-id": "FAULT0000000001"}
    return status, body, _with_retry_after(headers, retry_after)


def gcs_error(status: int, reason: str, message: str = "", *, retry_after: int | None = None) -> Answer:
    """Cloud Storage JSON API, "HTTP status and error codes": an `error` object with `errors[].reason`."""
    text = message or reason
    error = {"domain": "global", "reason": reason, "message": text}
    body = json.dumps({"error": {"code": status, "message": text, "errors": [error]}})
    return status, body, _with_retry_after({"Content-Type": "application/json; charset=UTF-8"}, retry_after)


def azure_error(status: int, code: str, message: str = "", *, retry_after: int | None = None) -> Answer:
    """Blob Storage REST API, "Status and error codes": the code is in a header too, which is all that a HEAD has."""
    body = (
        '<?xml version="1.0" encoding="utf-8"?>'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message or code)}</Message></Error>"
    )
    headers = {
        "Content-Type": "application/xml",
        "x-ms-error-code": code,
        "x-ms-request-id": "00000000-0000-0000-0000-00000000fa17",
    }
    return status, body, _with_retry_after(headers, retry_after)


def _with_retry_after(headers: dict[str, str], seconds: int | None) -> dict[str, str]:
    return headers if seconds is None else {**headers, "Retry-After": str(seconds)}
