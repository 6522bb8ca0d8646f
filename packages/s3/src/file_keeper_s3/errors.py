"""One table: what S3 says, and which error of ours that is."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from file_keeper import exc
from file_keeper.backend import is_transient, meaning_of, retry_after

from .reply import Refusal


@dataclass(frozen=True)
class Row:
    """A code of the provider, a regular expression, and the error that it becomes."""

    error: type[exc.FilesError]
    code: str
    retryable: bool = False
    hint: str = ""


PATH_STYLE = "SecondLevelDomainForbidden|PathStyleDomainForbidden|PathStyleNotSupported|VirtualHostDomainRequired"
"""How services refuse a bucket in the path: Alibaba's OSS, Tencent's COS, and others."""

# The first row that matches decides. Codes: Amazon S3 API Reference, "Error responses".
ANSWERS = (
    Row(exc.MultipartUploadError, "EntityTooSmall|InvalidPart|InvalidPartOrder|InvalidPartNumber"),
    Row(exc.MissingFileError, "NoSuchUpload", hint="the multipart upload is unknown, completed or aborted"),
    Row(exc.MissingFileError, "NoSuchKey|NoSuchVersion"),
    Row(exc.InvalidStorageConfigurationError, "NoSuchBucket|InvalidBucketName", hint="{bucket}"),
    Row(
        exc.InvalidStorageConfigurationError,
        PATH_STYLE,
        hint="the service wants the bucket in the host name: set 'addressing' to 'virtual'",
    ),
    Row(exc.UploadHashMismatchError, "BadDigest|InvalidDigest|XAmzContentSHA256Mismatch|XAmzContentChecksumMismatch"),
    Row(exc.ChangedFileError, "PreconditionFailed|412"),
    Row(exc.StorageError, "InvalidObjectState", hint="the object is archived: restore it, then read it"),
    Row(exc.PermissionError, "RequestTimeTooSkewed", hint="the clock of this machine is wrong"),
    Row(exc.PermissionError, "ExpiredToken|TokenRefreshRequired", hint="the credentials have expired"),
    Row(
        exc.PermissionError,
        "SignatureDoesNotMatch|InvalidAccessKeyId|AuthFailure|InvalidToken|InvalidSecurity|UnauthorizedAccess"
        "|InvalidClientTokenId|NotSignedUp",
        hint="the credentials are wrong",
    ),
    Row(exc.PermissionError, "AccessDenied|AllAccessDisabled|AccountProblem|MethodNotAllowed|ObjectLocked"),
    Row(exc.ThrottledError, "SlowDown|SlowDownRead|SlowDownWrite|Throttling|ThrottlingException|TooManyRequests"
        "|RequestLimitExceeded|BandwidthLimitExceeded|Busy|TooManyRequestsException", retryable=True),
    Row(exc.TimeoutError, "RequestTimeout|RequestTimeoutException|408", retryable=True),
    Row(exc.ConnectionError, "ConditionalRequestConflict|OperationAborted", retryable=True),
    Row(exc.ConnectionError, "InternalError|ServiceUnavailable|ServerIsOverloaded", retryable=True),
    Row(exc.ConnectionError, "IncompleteBody", retryable=True),
    Row(
        exc.InvalidStorageConfigurationError,
        "PermanentRedirect|TemporaryRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraintException|301|307",
        hint="{region}",
    ),
    Row(exc.LargeUploadError, "EntityTooLarge|MaxMessageLengthExceeded"),
    Row(exc.ContentError, "MetadataTooLarge|InvalidTag"),
    Row(exc.LocationError, "KeyTooLongError|KeyTooLong|InvalidURI"),
    Row(exc.StorageError, "InvalidRange|416"),
    Row(exc.StorageError, "NotImplemented", hint="the service cannot do this"),
)  # fmt: skip


def answer(error: Refusal, kind: type[exc.FilesError], message: str) -> exc.FilesError:
    """Make one of our errors of an answer, with its code, status and request id."""
    return kind(
        message,
        code="" if error.code == str(error.status) else error.code,
        status=error.status,
        request_id=str(error.headers.get("x-amz-request-id") or error.fields.get("RequestId") or ""),
        retry_after=retry_after(error.headers),
    )


def translate(error: BaseException, bucket: str) -> exc.FilesError | None:
    """Turn a refusal, or what botocore raised, into one of ours; ``None`` for anything else."""
    if isinstance(error, Refusal):
        return _answered(error, bucket)
    if "botocore" in sys.modules:
        from .sdk_errors import raised

        return raised(error)
    return None


def _answered(error: Refusal, bucket: str) -> exc.FilesError:
    status, code, said = error.status, error.code, error.said.strip()
    row = next((row for row in ANSWERS if re.fullmatch(row.code, code)), None)
    if row is None:
        kind, hint, _ = meaning_of(status)
        row = Row(kind, "", is_transient(status), "" if status == 404 else hint)
    hint = row.hint
    if hint == "{bucket}":
        hint = f"there is no bucket {bucket!r}" if code == "NoSuchBucket" else f"{bucket!r} is no name of a bucket"
    elif hint == "{region}":
        region = error.region
        hint = f"the bucket {bucket!r} is in another region" + (
            f", {region!r}: set 'region' to it" if region else ": set 'region' to its own"
        )
    if said in (code, "Not Found", "Forbidden", "Unknown", "None") or not said:
        said = "" if hint else _PLAIN.get(status, "the service refused the request")
    result = answer(error, row.error, ": ".join(filter(None, (hint, said))))
    result.retryable = row.retryable
    return result


_PLAIN = {
    401: "the service does not know these credentials",
    403: "the service does not allow it",
    404: "there is nothing there",
    412: "the condition of the request does not hold",
}
