"""One table: the service's error to ours. No secret gets through. For what the SDK raises see :mod:`.sdk_errors`.

Codes: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes and
https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from file_keeper import exc
from file_keeper.backend import PartsDiscardedError, is_transient, meaning_of, redact, retry_after

Kind = type[exc.FilesError]

_LOCKED = "it is leased, or held by an immutability policy: the lease must end, or the policy allow it"
_ARCHIVED = (
    "the blob is in the archive tier and cannot be read: set its tier to hot, cool or cold first "
    "(Set Blob Tier) and wait until it is rehydrated, which takes hours"
)
CREDENTIALS = "the credentials are not accepted: wrong, expired, or for another account"
_BAD_PART = "the service does not take this part"

# The service's code -> our class and what to say; "" leaves the word to the service.
_CODES: dict[str, tuple[Kind, str]] = {
    "BlobNotFound": (exc.MissingFileError, "there is no such file"),
    # What an anonymous reader is told of a container that is private, or not there.
    "ResourceNotFound": (
        exc.InvalidStorageConfigurationError,
        "there is no container {container!r}, or nobody may read in it without credentials",
    ),
    "ContainerNotFound": (exc.InvalidStorageConfigurationError, "there is no container {container!r}"),
    "ContainerDisabled": (exc.PermissionError, "the container {container!r} is disabled by an administrator"),
    "ContainerBeingDeleted": (
        exc.InvalidStorageConfigurationError,
        "the container {container!r} is being deleted: its name is free again after some time, at least 30 seconds",
    ),
    "InvalidResourceName": (
        exc.InvalidStorageConfigurationError,
        "{container!r} cannot be the name of a container: 3 to 63 of a-z, 0-9 and single hyphens inside",
    ),
    "BlobAlreadyExists": (exc.ExistingFileError, "there is a file already and it is not to be overwritten"),
    "UnauthorizedBlobOverwrite": (exc.ExistingFileError, "there is a file already and it may not be overwritten"),
    "BlobArchived": (exc.StorageError, _ARCHIVED),
    "BlobBeingRehydrated": (exc.StorageError, "the blob is being rehydrated from the archive tier: try again in hours"),
    "PendingCopyOperation": (exc.StorageError, "another copy onto this blob is under way: wait for it or abort it"),
    "BlobImmutableDueToPolicy": (exc.PermissionError, _LOCKED),
    "LeaseIdMissing": (exc.PermissionError, _LOCKED),
    "LeaseIdMismatchWithBlobOperation": (exc.PermissionError, _LOCKED),
    "LeaseIdMismatchWithContainerOperation": (exc.PermissionError, _LOCKED),
    "LeaseLost": (exc.PermissionError, _LOCKED),
    "PublicAccessNotPermitted": (exc.PermissionError, "the account allows no anonymous access"),
    "SourceConditionNotMet": (exc.ChangedFileError, "the source is not the version that was meant"),
    "Md5Mismatch": (exc.UploadHashMismatchError, "the content was changed on its way: its MD5 is another"),
    "Crc64Mismatch": (exc.UploadHashMismatchError, "the content was changed on its way: its CRC-64 is another"),
    "InvalidMd5": (exc.UploadHashMismatchError, "the MD5 is not one"),
    "InvalidBlockList": (
        PartsDiscardedError,
        "the parts are not there any more: another writer of this location took over",
    ),
    "InvalidBlobOrBlock": (
        exc.MultipartUploadError,
        _BAD_PART + ": another program has an upload of its own open at this location, with block ids of another "
        "length; it ends when something is written there, or after a week",
    ),
    "InvalidBlockId": (exc.MultipartUploadError, _BAD_PART),
    "BlockTooLarge": (exc.MultipartUploadError, _BAD_PART + ": it is too large"),
    "BlockCountExceedsLimit": (exc.MultipartUploadError, "the upload has more than 100,000 open parts"),
    "BlockListTooLong": (exc.MultipartUploadError, "an object has at most 50,000 parts"),
    "RequestBodyTooLarge": (exc.LargeUploadError, "the body is larger than one request may be"),
    "InvalidUri": (exc.LocationError, "the service cannot use this location as a name"),
    "MetadataTooLarge": (exc.ContentError, "the metadata is larger than 8 KiB"),
    "InvalidMetadata": (exc.ContentError, "the service does not take this metadata"),
    "InvalidBlobType": (
        exc.StorageError,
        "the blob there is a page or append blob, which this operation does not work on: remove it first",
    ),
    "ServerBusy": (exc.ThrottledError, "the service asks to slow down"),
    "TooManyRequests": (exc.ThrottledError, "the service asks to slow down"),
    "OperationTimedOut": (exc.TimeoutError, "the service did not finish in time"),
}

# The status with which the source of a copy answered the service.
_SOURCE: dict[int, tuple[Kind, str]] = {
    401: (exc.PermissionError, "the service is not allowed to read the source of the copy"),
    403: (exc.PermissionError, "the service is not allowed to read the source of the copy"),
    404: (exc.MissingFileError, "the source is not there"),
    412: _CODES["SourceConditionNotMet"],
    429: (exc.ThrottledError, "the source of the copy asks to slow down"),
    503: (exc.ThrottledError, "the source of the copy asks to slow down"),
}

_RETRYABLE_CODES = frozenset(("ContainerBeingDeleted",))


ERROR_MAX = 1 << 20
"""Bytes of a refusal's body that are read."""


class RefusedError(Exception):
    """The service refused a request.

    :param code: the service's word for why, ``""`` where it told none
    :param message: its words, the first line of them
    :param headers: of its answer, names in lower case
    :param create: the request was to write only where there is nothing
    :param late: the service finds that the request was signed too long ago
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str],
        *,
        create: bool = False,
        late: bool = False,
    ):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
        self.create = create
        self.late = late


def refused(status: int, reason: str, headers: Mapping[str, str], body: bytes, *, create: bool = False) -> RefusedError:
    """Make the error of an answer.

    :param create: the request was to write only where there is nothing
    """
    code, message, late = headers.get("x-ms-error-code", ""), "", False
    if body:
        from xml.etree import ElementTree as ET  # where something is refused, and in words

        try:
            root = ET.fromstring(body)
        except (ET.ParseError, ValueError, LookupError):
            pass
        else:
            code = code or root.findtext("Code", "")
            # The lines after the first tell the request and its time, which are told elsewhere.
            message = root.findtext("Message", "").partition("\n")[0]
            late = b"Request date header too old" in body
    message = redact(message or reason or "the service refused").strip()
    return RefusedError(status, code, message, headers, create=create, late=late)


def is_missing(error: RefusedError) -> bool:
    """Return whether the blob, and not its container, is what is not there."""
    return error.status == 404 and error.code == "BlobNotFound"


def translate(error: Exception, container: str) -> exc.FilesError | None:
    """Turn the service's refusal, or an exception of the SDK, into one of ours; ``None`` when it is neither.

    :param container: its name, for the messages that are about it
    """
    if isinstance(error, RefusedError):
        return _translated(error, container)
    if "azure.core.exceptions" not in sys.modules:
        return None  # the SDK is not at work, and cannot have raised
    from . import sdk_errors

    return sdk_errors.translate(error, container)


def _translated(error: RefusedError, container: str) -> exc.FilesError:
    kind, text = _classify(error)
    message = text.format(container=container) or f"the service refused: {error.message}"
    if kind is exc.PermissionError and not text:
        message = f"not allowed: {error.message}"
    return kind(
        message,
        code=error.code,
        status=error.status,
        request_id=error.headers.get("x-ms-request-id", ""),
        retryable=error.code in _RETRYABLE_CODES or is_transient(_source_status(error) or error.status),
        retry_after=retry_after(error.headers),
    )


def _source_status(error: RefusedError) -> int:
    """Return the status with which the source of a copy answered the service, 0 when it was not about that."""
    if error.code != "CannotVerifyCopySource":
        return 0
    told = error.headers.get("x-ms-copy-source-status-code", "")
    return int(told) if told.isdigit() else error.status


def _classify(error: RefusedError) -> tuple[Kind, str]:
    status, code = error.status, error.code
    if found := _source_status(error):
        return _SOURCE.get(found, (exc.ConnectionError, "the service could not read the source of the copy"))
    if code in ("ConditionNotMet", "TargetConditionNotMet") or (status in (304, 412) and code not in _CODES):
        # The same answer to two questions: what was asked tells which it was.
        if error.create:
            return _CODES["BlobAlreadyExists"]
        return exc.ChangedFileError, "the file is not the version that was meant: another writer changed it"
    if code in _CODES:
        return _CODES[code]
    if status == 403 and error.late:
        return exc.PermissionError, "the request looks too old: the clock of this machine is wrong"
    if code in ("AuthenticationFailed", "InvalidAuthenticationInfo", "AuthorizationFailure"):
        return exc.PermissionError, CREDENTIALS + ", or this network is not allowed"
    if status == 404:
        return exc.StorageError, ""  # without a code it tells nothing of a file
    return meaning_of(status)[:2]
