"""One table: the service's error, or the SDK's, to ours. No secret gets through.

Codes: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes and
https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
"""

from __future__ import annotations

import logging
from typing import Any, cast

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from file_keeper import exc
from file_keeper.backend import PartsDiscardedError, is_transient, meaning_of, redact, retry_after

Kind = type[exc.FilesError]

_LOCKED = "it is leased, or held by an immutability policy: the lease must end, or the policy allow it"
_ARCHIVED = (
    "the blob is in the archive tier and cannot be read: set its tier to hot, cool or cold first "
    "(Set Blob Tier) and wait until it is rehydrated, which takes hours"
)
_CREDENTIALS = "the credentials are not accepted: wrong, expired, or for another account"
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


class _Redacting(logging.Filter):
    """Keeps signatures out of the lines in which the HTTP library tells each address that it asks for."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(redact(arg) if isinstance(arg, str) else arg for arg in record.args)
        return True


_FILTER = _Redacting()


def quiet_logs() -> None:
    """See to it that no log at any level holds a signature; once is enough, more does no harm."""
    logging.getLogger("urllib3.connectionpool").addFilter(_FILTER)


def scrub(error: BaseException) -> list[BaseException]:
    """Take the secrets out of an exception and of all that it was made of, which a traceback would show.

    :return: the exception and what it was made of
    """
    todo: list[Any] = [error]
    chain: list[BaseException] = []
    while todo:
        one = todo.pop()
        if not isinstance(one, BaseException) or any(one is known for known in chain):
            continue
        chain.append(one)
        one.args = tuple(redact(arg) if isinstance(arg, str) else arg for arg in one.args)
        for name in ("message", "url"):
            if isinstance(text := getattr(one, name, None), str):
                setattr(one, name, redact(text))
        todo += [one.__cause__, one.__context__, getattr(one, "inner_exception", None), getattr(one, "reason", None)]
        todo += one.args
    return chain


def code_of(error: HttpResponseError) -> str:
    """Return the service's code of an error, ``""`` where it told none."""
    code: Any = getattr(error, "error_code", None)
    if not code and error.response is not None:
        code = cast("Any", error.response).headers.get("x-ms-error-code", "")
    return str(getattr(code, "value", code) or "")


def is_missing(error: HttpResponseError) -> bool:
    """Return whether the blob, and not its container, is what is not there."""
    return error.status_code == 404 and code_of(error) == "BlobNotFound"


def translate(error: Exception, container: str) -> exc.FilesError | None:
    """Turn an exception of the SDK into one of ours; ``None`` when it is not the SDK's.

    :param container: its name, for the messages that are about it
    """
    if not isinstance(error, AzureError):
        return None
    chain = scrub(error)
    if isinstance(error, HttpResponseError) and error.response is not None and not isinstance(error, DecodeError):
        found = _answered(error, error.response, container)
        if isinstance(found, exc.PermissionError) or not isinstance(error, ClientAuthenticationError):
            return found
    if isinstance(error, ClientAuthenticationError):
        # Also of the service that gives tokens, whatever its status is.
        return exc.PermissionError(f"{_CREDENTIALS}: {_words(error)}")
    # An answer that breaks off is an HttpResponseError without a response, made of what the transport raised.
    if len(chain) > 1 or isinstance(error, ServiceRequestError | ServiceResponseError | DecodeError):
        return _unanswered(error, chain)
    return exc.StorageError(_words(error))


def _words(error: AzureError) -> str:
    return redact(str(error)).partition("\n")[0].strip() or type(error).__name__


def _unanswered(error: AzureError, chain: list[BaseException]) -> exc.FilesError:
    """No answer, or not all of it: the network, the name of the host, a certificate, time."""
    names = {cls.__name__ for one in chain for cls in type(one).__mro__}
    if "SSLCertVerificationError" in names:
        return exc.ConnectionError(f"the certificate of the service is not trusted: {_words(error)}")
    if names & {"TimeoutError", "Timeout", "ServiceRequestTimeoutError", "ServiceResponseTimeoutError"}:
        return exc.TimeoutError(f"the service did not answer in time: {_words(error)}", retryable=True)
    return exc.ConnectionError(f"the service cannot be reached: {_words(error)}", retryable=True)


def _answered(error: HttpResponseError, response: Any, container: str) -> exc.FilesError:
    status = int(response.status_code)
    code = code_of(error)
    kind, text = _classify(status, code, response)
    message = text.format(container=container) or f"the service refused: {_words(error)}"
    if kind is exc.PermissionError and not text:
        message = f"not allowed: {_words(error)}"
    return kind(
        message,
        code=code,
        status=status,
        request_id=response.headers.get("x-ms-request-id", ""),
        retryable=code in _RETRYABLE_CODES or is_transient(_source_status(code, response) or status),
        retry_after=retry_after(response.headers),
    )


def _source_status(code: str, response: Any) -> int:
    """The status with which the source of a copy answered the service, 0 when it was not about that."""
    if code != "CannotVerifyCopySource":
        return 0
    told = response.headers.get("x-ms-copy-source-status-code", "")
    return int(told) if told.isdigit() else int(response.status_code)


def _classify(status: int, code: str, response: Any) -> tuple[Kind, str]:
    if found := _source_status(code, response):
        return _SOURCE.get(found, (exc.ConnectionError, "the service could not read the source of the copy"))
    if code in ("ConditionNotMet", "TargetConditionNotMet") or (status in (304, 412) and code not in _CODES):
        # The same answer to two questions: what was asked tells which it was.
        if _asked(response, "If-None-Match") == "*":
            return _CODES["BlobAlreadyExists"]
        return exc.ChangedFileError, "the file is not the version that was meant: another writer changed it"
    if code in _CODES:
        return _CODES[code]
    if status == 403 and "Request date header too old" in _detail(response):
        return exc.PermissionError, "the request looks too old: the clock of this machine is wrong"
    if code in ("AuthenticationFailed", "InvalidAuthenticationInfo", "AuthorizationFailure"):
        return exc.PermissionError, _CREDENTIALS + ", or this network is not allowed"
    if status == 404:
        return exc.StorageError, ""  # without a code it tells nothing of a file
    return meaning_of(status)[:2]


def _detail(response: Any) -> str:
    try:
        return str(response.text())
    except Exception:  # an answer that cannot be read any more has no detail
        return ""


def _asked(response: Any, name: str) -> str:
    headers = cast("Any", getattr(response.request, "headers", {}))
    return str(headers.get(name, headers.get(name.lower(), "")))
