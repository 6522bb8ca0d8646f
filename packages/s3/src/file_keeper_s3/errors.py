"""One table: what S3, botocore and the network say, and which error of ours that is."""

# botocore ships no types: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from botocore import exceptions as boto
from file_keeper import exc
from file_keeper.backend import is_transient, meaning_of, redact, retry_after


@dataclass(frozen=True)
class Row:
    """A code of the provider, a regular expression, and the error that it becomes."""

    error: type[exc.FilesError]
    code: str
    retryable: bool = False
    hint: str = ""


# The first row that matches decides. Codes: Amazon S3 API Reference, "Error responses".
ANSWERS = (
    Row(exc.MultipartUploadError, "EntityTooSmall|InvalidPart|InvalidPartOrder|InvalidPartNumber"),
    Row(exc.MissingFileError, "NoSuchUpload", hint="the multipart upload is unknown, completed or aborted"),
    Row(exc.MissingFileError, "NoSuchKey|NoSuchVersion"),
    Row(exc.InvalidStorageConfigurationError, "NoSuchBucket|InvalidBucketName", hint="{bucket}"),
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

# What is raised before there is an answer, the first that fits.
RAISED: tuple[tuple[tuple[type[Exception], ...], type[exc.FilesError], bool, str], ...] = (
    (
        (boto.NoCredentialsError, boto.PartialCredentialsError),
        exc.PermissionError,
        False,
        "no credentials were found: give 'key' and 'secret', a 'profile', set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or ask for anonymous access with 'anonymous'",
    ),
    (
        (boto.CredentialRetrievalError, boto.TokenRetrievalError, boto.UnauthorizedSSOTokenError, boto.SSOError),
        exc.PermissionError,
        False,
        "the credentials could not be had",
    ),
    ((boto.NoRegionError, boto.InvalidRegionError), exc.InvalidStorageConfigurationError, False, "give a 'region'"),
    ((boto.ReadTimeoutError, boto.ConnectTimeoutError), exc.TimeoutError, True, "time ran out"),
    (
        (boto.SSLError,),
        exc.ConnectionError,
        False,
        "TLS failed: 'verify' names a CA bundle where the certificate is not signed by a public authority",
    ),
    (
        (
            boto.EndpointConnectionError,
            boto.ConnectionClosedError,
            boto.ProxyConnectionError,
            boto.IncompleteReadError,
            boto.ResponseStreamingError,
            boto.HTTPClientError,
            boto.ConnectionError,
        ),
        exc.ConnectionError,
        True,
        "",
    ),
    ((boto.ChecksumError, boto.FlexibleChecksumError), exc.ConnectionError, True, "the answer was changed on its way"),
    ((boto.InvalidEndpointDiscoveryConfigurationError, boto.EndpointProviderError, boto.ParamValidationError),
     exc.InvalidStorageConfigurationError, False, ""),
    ((boto.BotoCoreError,), exc.StorageError, False, ""),
    ((builtins.TimeoutError, urllib3.exceptions.TimeoutError), exc.TimeoutError, True, "time ran out"),
    ((urllib3.exceptions.HTTPError, builtins.ConnectionError), exc.ConnectionError, True, ""),
)  # fmt: skip


def code_of(error: boto.ClientError) -> str:
    """Return the code of an answer; a HEAD has only its status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: boto.ClientError) -> int:
    """Return the HTTP status of an answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0)


def answer(error: boto.ClientError, kind: type[exc.FilesError], message: str) -> exc.FilesError:
    """Make one of our errors of an answer, with its code, status and request id."""
    meta: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
    headers: Mapping[str, str] = meta.get("HTTPHeaders", {})
    status, code = status_of(error), code_of(error)
    return kind(
        message,
        code="" if code == str(status) else code,
        status=status,
        request_id=str(meta.get("RequestId") or headers.get("x-amz-request-id", "")),
        retry_after=retry_after(headers),
    )


def translate(error: BaseException, bucket: str, endpoint: str = "") -> exc.FilesError | None:
    """Turn what botocore or its transport raised into one of ours; ``None`` for anything else."""
    if isinstance(error, boto.ClientError):
        return _answered(error, bucket)
    for classes, kind, retryable, message in RAISED:
        if isinstance(error, classes):
            # Some of botocore's messages hold whole addresses, whose queries are long and tell nothing.
            text = re.sub(r"\?[^\s\"']*", "", redact(str(error)))
            return kind(f"{message} ({text})" if message else text, retryable=retryable)
    return None


def _answered(error: boto.ClientError, bucket: str) -> exc.FilesError:
    status, code = status_of(error), code_of(error)
    said = str(error.response.get("Error", {}).get("Message", "")).strip()
    row = next((row for row in ANSWERS if re.fullmatch(row.code, code)), None)
    if row is None:
        kind, hint, _ = meaning_of(status)
        row = Row(kind, "", is_transient(status), "" if status == 404 else hint)
    hint = row.hint
    if hint == "{bucket}":
        hint = f"there is no bucket {bucket!r}" if code == "NoSuchBucket" else f"{bucket!r} is no name of a bucket"
    elif hint == "{region}":
        region = _region(error)
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


def _region(error: boto.ClientError) -> str:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(headers.get("x-amz-bucket-region") or error.response.get("Error", {}).get("Region") or "")
