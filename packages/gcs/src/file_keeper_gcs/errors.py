"""One table: what Google, its SDK and the network say, and which error of ours that is."""

# The SDK has no stubs: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from file_keeper import exc
from file_keeper.backend import WriteOptions, is_transient, meaning_of, retry_after

from .answers import ID, Refused
from .settings import REMEDY

if TYPE_CHECKING:
    from google.auth.exceptions import GoogleAuthError


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
    """Turn what a refusal, google-auth or the SDK's transport raised into one of ours; ``None`` for anything else."""
    if isinstance(error, Refused):
        return answer(error, bucket)
    # What nobody has loaded has raised nothing.
    if "google.auth.exceptions" in sys.modules:
        from google.auth.exceptions import GoogleAuthError

        if isinstance(error, GoogleAuthError):
            return _credentials(error)
    if "file_keeper_gcs.sdk" in sys.modules:
        from . import sdk

        return sdk.translate(error)
    return None


def answer(error: Refused, bucket: str) -> exc.FilesError:
    """Turn a refusal of the service into one of ours."""
    facts = facts_of(error)
    text = error.message
    row = next((row for row in ANSWERS if row.matches(facts["status"], facts["code"], text)), None)
    if row is None:
        kind, said, _ = meaning_of(facts["status"])
        row, text = Row(kind, retryable=is_transient(facts["status"])), text or said
    if row.error is exc.InvalidStorageConfigurationError and facts["status"] == 404:
        text = f"the bucket {bucket!r} does not exist"
    if row.hint:
        text = f"{text}: {row.hint}"
    asked = retry_after(error.headers)
    return row.error(text, **facts, retryable=row.retryable, retry_after=asked if row.retryable else 0.0)


def facts_of(error: Refused) -> dict[str, Any]:
    """Return what an error of ours says of the answer: ``code``, ``status``, ``request_id``."""
    found: Any = next(iter(error.errors), {})
    reason = found.get("reason", "") if isinstance(found, dict) else ""
    return {
        "code": str(reason or ""),
        "status": error.status,
        # The id that Google's support asks for. Of a resumable session it is its secret, which `refused` takes out.
        "request_id": error.headers.get(ID, ""),
    }


def missing(error: Refused, bucket: str, text: str) -> exc.FilesError:
    """Return the error for a 404: the bucket is missing if the answer says so, else what `text` names."""
    found = answer(error, bucket)
    return exc.MissingFileError(text, **facts_of(error)) if isinstance(found, exc.MissingFileError) else found


def no_bucket(error: Refused, bucket: str) -> exc.FilesError:
    """Return the error for a missing bucket, which is all that a 404 means to some requests."""
    return exc.InvalidStorageConfigurationError(f"the bucket {bucket!r} does not exist", **facts_of(error))


def unmet(error: Refused, options: WriteOptions) -> exc.FilesError:
    """Return the error for a condition on the target that did not hold (412)."""
    if options.if_absent:
        return exc.ExistingFileError("there is an object already", **facts_of(error))
    return exc.ChangedFileError("the object is another version than the one that was meant", **facts_of(error))


def _credentials(error: GoogleAuthError) -> exc.FilesError:
    """Turn a failure to get a token. What Google's libraries say in it may quote whole answers: only the first line."""
    text = str(error.args[0] if error.args else error).splitlines()[0][:300] if str(error) else type(error).__name__
    from google.auth import exceptions as auth

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
