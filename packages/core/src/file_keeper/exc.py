"""Every error of the library, in one tree.

Each error is made of one message and keyword attributes that survive pickling and copying, so that
``FilesError("text")`` works. ``str(error)`` tells the message and whatever is known of where it happened::

    storage 'media': upload 'a/b.txt': no such bucket (NoSuchBucket, status 404, request 7F3A)

Where Python has the same notion, the class is also that one: ``except FileNotFoundError`` catches
:class:`MissingFileError`.
"""

from __future__ import annotations

import builtins
import io
from typing import Any

_FIELDS = ("storage", "operation", "location", "code", "status", "request_id", "retryable", "retry_after", "uncertain")


def _rebuild(cls: type[FilesError], message: str, state: dict[str, Any]) -> FilesError:
    error = cls(message)
    error.__dict__.update(state)
    return error


class FilesError(Exception):
    """Base of all errors of the library.

    :param message: what happened and what can be done about it
    :param storage: name of the storage
    :param operation: the operation of the storage that was called, e.g. ``"upload"``
    :param location: the location (or the key, where there is no location) that it was about
    :param code: the provider's own error code
    :param status: the HTTP status, 0 where there was none
    :param request_id: the provider's id of the request, for its support
    :param retryable: the same call may succeed later
    :param retry_after: seconds that the provider asked to wait, 0 if it did not
    :param uncertain: an attempt of this call went unanswered and nothing proved what became of it: the write may have
        happened
    """

    storage: str
    operation: str
    location: str
    code: str
    status: int
    request_id: str
    retryable: bool
    retry_after: float
    uncertain: bool

    def __init__(
        self,
        message: str = "",
        *,
        storage: str = "",
        operation: str = "",
        location: str = "",
        code: str = "",
        status: int = 0,
        request_id: str = "",
        retryable: bool = False,
        retry_after: float = 0.0,
        uncertain: bool = False,
    ):
        super().__init__(message)
        self.message = message
        self.storage = storage
        self.operation = operation
        self.location = location
        self.code = code
        self.status = status
        self.request_id = request_id
        self.retryable = retryable
        self.retry_after = retry_after
        self.uncertain = uncertain

    def within(self, storage: str = "", operation: str = "", location: str = "") -> None:
        """Fill in what is not known yet of where the error happened; what is known stays."""
        self.storage = self.storage or storage
        self.operation = self.operation or operation
        self.location = self.location or location

    def __str__(self) -> str:
        where: list[str] = []
        if self.storage:
            where.append(f"storage {self.storage!r}")
        if self.operation or self.location:
            where.append(" ".join(filter(None, (self.operation, self.location and repr(self.location)))))
        facts = [self.code] if self.code else []
        if self.status:
            facts.append(f"status {self.status}")
        if self.request_id:
            facts.append(f"request {self.request_id}")
        if self.retryable:
            facts.append("may succeed later")
        if self.uncertain:
            facts.append("an attempt went unanswered: the write may have happened")
        text = self.message or type(self).__name__
        return ": ".join([*where, text]) + (f" ({', '.join(facts)})" if facts else "")

    def __repr__(self) -> str:
        known = "".join(f", {name}={getattr(self, name)!r}" for name in _FIELDS if getattr(self, name))
        return f"{type(self).__name__}({self.message!r}{known})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.__dict__.copy())


class StorageError(FilesError):
    """Something about a storage, or said by one."""


class UnknownStorageError(StorageError):
    """No storage of that name is configured."""


class UnknownAdapterError(StorageError):
    """No backend of that ``type`` is installed."""


class UnsupportedOperationError(StorageError, io.UnsupportedOperation):
    """The storage cannot do this."""


class PermissionError(StorageError, builtins.PermissionError):
    """The provider does not allow it: credentials, rights, locks, retention."""


class ConnectionError(StorageError, builtins.ConnectionError):
    """The service or the network fails."""


class TimeoutError(ConnectionError, builtins.TimeoutError):
    """Time ran out."""


class ThrottledError(ConnectionError):
    """The service asks to slow down."""


class CircuitOpenError(ConnectionError):
    """The circuit breaker of the storage is open: the call was not sent."""


class InvalidStorageConfigurationError(StorageError):
    """The settings of a storage are wrong, or what they name (the bucket, the root) does not exist."""


class MissingStorageConfigurationError(InvalidStorageConfigurationError):
    """A required option is missing."""


class LocationError(StorageError):
    """The location cannot be used."""


class MissingFileError(LocationError, FileNotFoundError):
    """There is no file (or no upload) there."""


class ExistingFileError(LocationError, FileExistsError):
    """There is a file already and it is not to be overwritten."""


class ChangedFileError(LocationError):
    """The file is not the version that was meant: another writer changed it."""


class StorageDataError(StorageError, ValueError):
    """Data given to or kept by a storage makes no sense: a negative range, a broken record."""


class CorruptedFileError(StorageDataError):
    """The content read is not the content stored: its hash is another than the one kept with the object."""


class ExtrasError(FilesError):
    """Something about an optional dependency."""


class MissingExtrasError(ExtrasError, ImportError):
    """An optional dependency is not installed; the message names the command that installs it."""


class UploadError(FilesError):
    """Something about the data that is uploaded."""


class WrongUploadTypeError(UploadError):
    """The type of the content is not allowed, or not a content type."""


class LocationTransformerError(UploadError):
    """A location transformer is unknown or refuses the name."""


class ContentError(UploadError):
    """The source cannot be read: consumed already, not of bytes, metadata that cannot be sent."""


class LargeUploadError(UploadError):
    """The content is larger than allowed."""


class UploadOutOfBoundError(LargeUploadError):
    """More was sent than the upload was started for."""


class UploadMismatchError(UploadError):
    """The content is not what was declared."""


class UploadTypeMismatchError(UploadMismatchError):
    """The content type is not the one declared."""


class UploadHashMismatchError(UploadMismatchError):
    """The hash is not the one declared: the content was changed on its way, or the wrong content was given."""


class UploadSizeMismatchError(UploadMismatchError):
    """The size is not the one declared."""


class ResumableUploadError(UploadError):
    """A resumable upload cannot go on."""


class MultipartUploadError(UploadError):
    """A multipart upload cannot go on."""
