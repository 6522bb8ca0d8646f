"""One table: what Google, its SDK and the network say, and which error of ours that is."""

# The SDK has no stubs: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import builtins
import http.client
import re
import ssl
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from file_keeper import exc
from file_keeper.backend import WriteOptions, is_transient, meaning_of, redact, retry_after
from google.api_core.exceptions import GoogleAPICallError
from google.auth import exceptions as auth

from .settings import REMEDY


@dataclass(frozen=True)
class Row:
    """An answer, and the error that it becomes; what is empty matches anything."""

    error: type[exc.FilesError]
    status: int = 0
    reason: str = ""
    text: str = ""
    retryable: bool = False
    hint: str = ""

    def matches(self, status: int, reason: str, text: str) -> bool:
        return (
            (not self.status or status == self.status)
            and (not self.reason or re.fullmatch(self.reason, reason) is not None)
            and (not self.text or re.search(self.text, text) is not None)
        )


BILLING = "look at the billing account of the bucket's project"

# Downloads and sessions answer in plain text, without a reason: some rows look at the text as well.
# The first row that matches decides. Reference: "HTTP status and error codes for JSON"; what may be repeated:
# "Retry strategy" (408, 429, 5xx) and the contract (403 rateLimitExceeded).
ANSWERS = (
    Row(exc.InvalidStorageConfigurationError, 404, text="bucket does not exist"),
    Row(exc.MissingFileError, 404),
    Row(exc.MissingFileError, 410),
    Row(exc.ChangedFileError, 412),
    Row(exc.UploadHashMismatchError, 400, text=r"(?i)doesn't match calculated (md5|crc32c)"),
    Row(exc.InvalidStorageConfigurationError, 400, text="(?i)invalid bucket name"),
    Row(exc.PermissionError, 400, text="(?i)requester pays", hint="the bucket bills who asks, which is not supported"),
    Row(exc.ThrottledError, 403, reason="rateLimitExceeded|userRateLimitExceeded", retryable=True),
    Row(exc.ThrottledError, 403, text="(?i)rate limit", retryable=True),
    Row(exc.PermissionError, 403, reason="accountDisabled", hint=BILLING),
    Row(exc.PermissionError, 403, text="(?i)billing account", hint=BILLING),
    Row(exc.PermissionError, 403, reason="retentionPolicyNotMet|objectUnderActiveHold"),
)


def translate(error: BaseException, bucket: str) -> exc.FilesError | None:
    """Turn what the SDK or its transport raised into one of ours; ``None`` for anything else."""
    if isinstance(error, GoogleAPICallError):
        return answer(error, bucket)
    if isinstance(error, auth.GoogleAuthError):
        return _credentials(error)
    return _network(error)


def answer(error: GoogleAPICallError, bucket: str) -> exc.FilesError:
    """Turn a refusal of the service into one of ours."""
    facts = facts_of(error)
    text = str(error.message)
    row = next((row for row in ANSWERS if row.matches(facts["status"], facts["code"], text)), None)
    if row is None:
        kind, said, _ = meaning_of(facts["status"])
        row, text = Row(kind, retryable=is_transient(facts["status"])), text or said
    if row.error is exc.InvalidStorageConfigurationError and facts["status"] == 404:
        text = f"the bucket {bucket!r} does not exist"
    if row.hint:
        text = f"{text}: {row.hint}"
    asked = retry_after(getattr(error.response, "headers", None) or {})
    return row.error(text, **facts, retryable=row.retryable, retry_after=asked if row.retryable else 0.0)


def facts_of(error: GoogleAPICallError) -> dict[str, Any]:
    """Return what an error of ours says of the answer: ``code``, ``status``, ``request_id``."""
    found: Any = next(iter(error.errors), {})
    reason = found.get("reason", "") if isinstance(found, dict) else ""
    headers = getattr(error.response, "headers", None) or {}
    return {
        "code": str(reason or ""),
        "status": int(error.code or 0),
        # The id that Google's support asks for. Of a resumable session it is its secret: the transport takes it out.
        "request_id": str(headers.get("X-GUploader-UploadID", "")),
    }


def missing(error: GoogleAPICallError, bucket: str, text: str) -> exc.FilesError:
    """Return the error for a 404: the bucket is missing if the answer says so, else what `text` names."""
    found = answer(error, bucket)
    return exc.MissingFileError(text, **facts_of(error)) if isinstance(found, exc.MissingFileError) else found


def no_bucket(error: GoogleAPICallError, bucket: str) -> exc.FilesError:
    """Return the error for a missing bucket, which is all that a 404 means to some requests."""
    return exc.InvalidStorageConfigurationError(f"the bucket {bucket!r} does not exist", **facts_of(error))


def unmet(error: GoogleAPICallError, options: WriteOptions) -> exc.FilesError:
    """Return the error for a condition on the target that did not hold (412)."""
    if options.if_absent:
        return exc.ExistingFileError("there is an object already", **facts_of(error))
    return exc.ChangedFileError("the object is another version than the one that was meant", **facts_of(error))


def _credentials(error: auth.GoogleAuthError) -> exc.FilesError:
    """Turn a failure to get a token. What Google's libraries say in it may quote whole answers: only the first line."""
    text = str(error.args[0] if error.args else error).splitlines()[0][:300] if str(error) else type(error).__name__
    if isinstance(error, auth.InvalidOperation):
        return exc.PermissionError("anonymous access is not allowed here: the service wants credentials", status=401)
    if isinstance(error, auth.TransportError) and re.search(r"(?i)permission_denied|'code': 40[13]", text):
        return exc.PermissionError("the credentials may not sign: they need the role Service Account Token Creator")
    if isinstance(error, auth.TransportError | auth.TimeoutError) or error.retryable:
        return exc.ConnectionError(f"no token could be got for the credentials: {text}", retryable=True)
    if isinstance(error, auth.MalformedError):
        return exc.InvalidStorageConfigurationError("the credentials are not of a kind that Google knows")
    if isinstance(error, auth.DefaultCredentialsError):
        return exc.PermissionError(f"no credentials for Google Cloud were found: {REMEDY}")
    return exc.PermissionError(f"the credentials are refused: {text}")


def _network(error: BaseException) -> exc.FilesError | None:
    """Turn what happened below HTTP. Texts of the transport may hold addresses: only the innermost one is told."""
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return exc.InvalidStorageConfigurationError("the endpoint is not an address that can be connected to")
    text = _innermost(error)
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | builtins.TimeoutError):
        return exc.TimeoutError(f"the service did not answer in time: {text}", retryable=True)
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError | ssl.SSLError):
        certain = "certificate" in str(error).lower()
        return exc.ConnectionError(f"no secure connection to the service: {text}", retryable=not certain)
    if isinstance(
        error,
        requests.ConnectionError
        | requests.exceptions.ChunkedEncodingError
        | requests.exceptions.ContentDecodingError
        | urllib3.exceptions.HTTPError
        | http.client.HTTPException
        | builtins.ConnectionError,
    ):
        return exc.ConnectionError(f"the connection to the service failed: {text}", retryable=True)
    if isinstance(error, requests.RequestException):
        return exc.StorageError(f"the request could not be made: {text}")
    return None


def _innermost(error: BaseException) -> str:
    """Return the text of the error that another one was made of, the last in the chain that says something."""
    seen: list[BaseException] = [error]
    while len(seen) < 10:
        last: Any = seen[-1]
        inner = getattr(last, "reason", None) or next(
            (each for each in last.args if isinstance(each, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        seen.append(inner)
    text = str(seen[-1]).rpartition(">: ")[2] or type(seen[-1]).__name__
    return redact(text)[:300]
