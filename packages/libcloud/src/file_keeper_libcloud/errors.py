"""One table: Libcloud's errors, the provider's codes and the network's, to ours. No secret gets through."""

from __future__ import annotations

import errno
import ssl
from typing import Any, cast

import requests.exceptions
import urllib3.exceptions
from file_keeper import exc
from file_keeper.backend import PartsDiscardedError, is_transient, meaning_of, redact, retry_after
from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.types import InvalidCredsError, LibcloudError
from libcloud.storage.types import (
    ContainerAlreadyExistsError,
    ContainerDoesNotExistError,
    ContainerError,
    InvalidContainerNameError,
    ObjectDoesNotExistError,
    ObjectHashMismatchError,
)

from .pool import answer_of
from .transport import Answer

Kind = type[exc.FilesError]

_BUCKET = "there is no bucket {bucket!r}"
_FILE = "there is no such file"
_CREDENTIALS = "the credentials are not accepted: wrong, expired, or for another account"
_ARCHIVED = "the object is archived and cannot be read before it is restored"
_LOCKED = "it is leased, locked or held: that must end first"
_SLOW = "the service asks to slow down"
_DAMAGED = "the content was changed on its way: its checksum is another"
_REGION = "the bucket is in another region: give params its 'region' (or 'host')"

# The provider's code -> our class and what to say; "" leaves the word to the provider.
_CODES: dict[str, tuple[Kind, str]] = {
    "NoSuchBucket": (exc.InvalidStorageConfigurationError, _BUCKET),
    "ContainerNotFound": (exc.InvalidStorageConfigurationError, _BUCKET),
    "InvalidBucketName": (exc.InvalidStorageConfigurationError, "{bucket!r} cannot be the name of a bucket"),
    "InvalidResourceName": (exc.InvalidStorageConfigurationError, "{bucket!r} cannot be the name of a container"),
    "AuthorizationHeaderMalformed": (exc.InvalidStorageConfigurationError, _REGION),
    "PermanentRedirect": (exc.InvalidStorageConfigurationError, _REGION),
    "NoSuchKey": (exc.MissingFileError, _FILE),
    "BlobNotFound": (exc.MissingFileError, _FILE),
    "InvalidAccessKeyId": (exc.PermissionError, _CREDENTIALS),
    "SignatureDoesNotMatch": (exc.PermissionError, _CREDENTIALS),
    "AuthenticationFailed": (exc.PermissionError, _CREDENTIALS),
    "ExpiredToken": (exc.PermissionError, "the credentials have expired"),
    "RequestTimeTooSkewed": (exc.PermissionError, "the clock of this machine is wrong"),
    "InvalidObjectState": (exc.StorageError, _ARCHIVED),
    "BlobArchived": (exc.StorageError, _ARCHIVED),
    "LeaseIdMissing": (exc.PermissionError, _LOCKED),
    "BlobImmutableDueToPolicy": (exc.PermissionError, _LOCKED),
    "BadDigest": (exc.UploadHashMismatchError, _DAMAGED),
    "InvalidDigest": (exc.UploadHashMismatchError, _DAMAGED),
    "Md5Mismatch": (exc.UploadHashMismatchError, _DAMAGED),
    "EntityTooLarge": (exc.LargeUploadError, "the content is larger than the service takes"),
    "InvalidBlockList": (PartsDiscardedError, "another writer of this location took over"),
    "InvalidBlobOrBlock": (
        exc.UploadError,
        "another program has an upload of its own open at this location, with block ids of another length; it ends "
        "when something is written there, or after a week",
    ),
    "RequestTimeout": (exc.TimeoutError, "the request did not arrive in time"),
    "OperationTimedOut": (exc.TimeoutError, "the service did not finish in time"),
    "SlowDown": (exc.ThrottledError, _SLOW),
    "ServerBusy": (exc.ThrottledError, _SLOW),
    "TooManyRequests": (exc.ThrottledError, _SLOW),
}
_RETRYABLE = frozenset(("RequestTimeout", "OperationAborted", "ContainerBeingDeleted"))

# The LOCAL driver's, and those of temporary files.
_ERRNO: dict[int, tuple[Kind, str]] = {
    errno.ENOENT: (exc.MissingFileError, _FILE),
    errno.EACCES: (exc.PermissionError, "not allowed"),
    errno.EPERM: (exc.PermissionError, "not allowed"),
    errno.EROFS: (exc.PermissionError, "the file system is read-only"),
    errno.ENOTDIR: (exc.LocationError, "a part of this location is a file"),
    errno.EISDIR: (exc.LocationError, "there are files below this location"),
    errno.ENOTEMPTY: (exc.LocationError, "there are files below this location"),
    errno.ENAMETOOLONG: (exc.LocationError, "a segment of this location is too long for the file system"),
    errno.ENOSPC: (exc.StorageError, "no space is left"),
    errno.EDQUOT: (exc.StorageError, "the quota is used up"),
    errno.EIO: (exc.ConnectionError, "the file system fails"),
}


def translate(error: Exception, bucket: str, driver: str) -> exc.FilesError | None:
    """Return our error for one that a driver raised, ``None`` when it is none of these.

    :param driver: the name of the driver's class
    """
    if isinstance(error, NotImplementedError):
        return exc.UnsupportedOperationError(f"Libcloud's driver {driver} cannot do that: {error}")
    if isinstance(error, ContainerDoesNotExistError):
        return exc.InvalidStorageConfigurationError(_BUCKET.format(bucket=bucket))
    if isinstance(error, InvalidContainerNameError | ContainerAlreadyExistsError):
        return exc.InvalidStorageConfigurationError(f"the bucket {bucket!r} cannot be made: {error.value}")
    if (inner := hidden(error)) and (found := translate(inner, bucket, driver)):
        return found
    answer = answer_of(error)
    if isinstance(error, ObjectDoesNotExistError):
        return _answered(answer, bucket) if answer and answer.code in _CODES else exc.MissingFileError(_FILE)
    if isinstance(error, ObjectHashMismatchError):
        return exc.UploadHashMismatchError(_DAMAGED)
    if found := _network(error):
        return found
    if answer is not None and (answer.status >= 400 or answer.status == 301):
        return _answered(answer, bucket)
    if isinstance(error, InvalidCredsError):
        return exc.PermissionError(_CREDENTIALS)
    if isinstance(error, ContainerError):
        return exc.InvalidStorageConfigurationError(f"the bucket {bucket!r} cannot be used: {redact(str(error.value))}")
    if isinstance(error, LibcloudError):
        return exc.StorageError(f"Libcloud's driver {driver} failed: {redact(str(getattr(error, 'value', error)))}")
    if isinstance(error, BaseHTTPError):
        return exc.StorageError(
            f"Libcloud's driver {driver} failed: {redact(str(error))}", status=int(cast("Any", error).code)
        )
    if isinstance(error, OSError):
        kind, text = _ERRNO.get(error.errno or 0, (exc.StorageError, error.strerror or type(error).__name__))
        return kind(text, code=errno.errorcode.get(error.errno or 0, ""))
    return None


def hidden(error: Exception) -> Exception | None:
    """Return the failure of an upload in parts that the driver's vain attempt to abort it has hidden.

    After a lost answer to its completion there is nothing to be aborted, and no bucket is missing.
    """
    inner = error.__context__
    text = str(getattr(error, "value", ""))
    return inner if "multipart abort" in text and isinstance(inner, Exception) else None


def _answered(answer: Answer, bucket: str) -> exc.FilesError:
    """Return the error that an answer of the provider means."""
    status, code = answer.status, answer.code
    known = (exc.InvalidStorageConfigurationError, _REGION) if status == 301 else meaning_of(status)[:2]
    kind, text = _CODES.get(code, known)
    retryable = code in _RETRYABLE or is_transient(status) or issubclass(kind, exc.ThrottledError)
    return kind(
        text.format(bucket=bucket) if text else redact(answer.message) or "the service refuses the request",
        code=code,
        status=status,
        request_id=answer.request_id,
        retryable=retryable and issubclass(kind, exc.ConnectionError | exc.StorageError),
        retry_after=retry_after(answer.headers),
    )


def _reason(error: BaseException) -> BaseException:
    """Return what is at the bottom of an error of ``requests`` or ``urllib3``."""
    seen = 0
    while seen < 8:
        inner: Any = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None) or error.__cause__
        if not isinstance(inner, BaseException):
            break
        error, seen = inner, seen + 1
    return error


def _network(error: Exception) -> exc.FilesError | None:
    """Return the error for what the network does, or the TLS on it."""
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return exc.InvalidStorageConfigurationError(f"the address of the service is not one: {redact(str(error))}")
    if not isinstance(
        error,
        requests.exceptions.ConnectionError
        | requests.exceptions.Timeout
        | requests.exceptions.ChunkedEncodingError
        | urllib3.exceptions.HTTPError
        | ssl.SSLError
        | ConnectionError
        | TimeoutError,
    ) and not (isinstance(error, OSError) and type(error).__name__ == "gaierror"):
        return None
    cause = _reason(error)
    text = redact(f"{type(cause).__name__}: {cause}")
    certificate = isinstance(cause, ssl.SSLCertVerificationError)
    if certificate or isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError | ssl.SSLError):
        return exc.ConnectionError(f"TLS with the service fails: {text}", retryable=not certificate)
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError | TimeoutError) or isinstance(
        cause, TimeoutError | urllib3.exceptions.TimeoutError
    ):
        return exc.TimeoutError(f"the service does not answer in time: {text}", retryable=True)
    return exc.ConnectionError(f"the connection to the service fails: {text}", retryable=True)
