"""What people and programs are told of an error: one line, and an exit code by its kind."""

from __future__ import annotations

from typing import Any

from file_keeper import exc

from .standard import OutputError, is_closed


class UsageError(Exception):
    """The command line makes no sense; the message says what would."""


OTHER, USAGE, MISSING, EXISTING, PERMISSION, CONNECTION, CONFIGURATION, INTEGRITY, UNSUPPORTED = range(1, 10)
DIFFERENT = 10
"""``check`` of two places has found differences."""
UNDELETED = 11
"""``sync`` has deleted nothing although it was asked to."""
INTERRUPTED = 130
"""Ctrl-C: 128 + SIGINT, as shells say it."""
TERMINATED = 143
"""128 + SIGTERM."""
BROKEN_PIPE = 141
"""Nobody reads our output any more: 128 + SIGPIPE."""

# The first class that fits decides, so the special ones stand before what they extend. Python's own classes are there
# for the local files; ours extend some of them.
_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (UsageError, USAGE),
    (exc.ChangedFileError, INTEGRITY),
    (exc.CorruptedFileError, INTEGRITY),
    (exc.UploadMismatchError, INTEGRITY),
    (FileNotFoundError, MISSING),
    (FileExistsError, EXISTING),
    (exc.LocationError, USAGE),
    (exc.StorageDataError, USAGE),
    (PermissionError, PERMISSION),
    (exc.ConnectionError, CONNECTION),
    (exc.InvalidStorageConfigurationError, CONFIGURATION),
    (exc.UnknownStorageError, CONFIGURATION),
    (exc.UnknownAdapterError, CONFIGURATION),
    (exc.MissingExtrasError, CONFIGURATION),
    (exc.UnsupportedOperationError, UNSUPPORTED),
    (KeyboardInterrupt, INTERRUPTED),
)


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), OTHER)


def about_one_file(error: BaseException) -> bool:
    """Return whether an error concerns one file only, so that it makes sense to go on with the next."""
    if isinstance(error, exc.FilesError):
        return isinstance(error, exc.LocationError | exc.UploadError)
    return isinstance(error, OSError)


def describe(error: BaseException) -> str:
    """Format an error for people, in one line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, exc.ExistingFileError):
        return f"{error}: --overwrite replaces it"
    if isinstance(error, exc.FilesError | UsageError | OutputError):
        return str(error)
    if isinstance(error, OSError) and error.filename is None and is_closed("stdout"):
        return "stdout is closed: there is nowhere to write to"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return f"unexpected {type(error).__name__}: {error} (--debug shows where)"


def as_record(error: BaseException) -> dict[str, Any]:
    """Format an error for programs."""
    record: dict[str, Any] = {"error": type(error).__name__, "exit_code": exit_code(error), "message": describe(error)}
    if isinstance(error, exc.FilesError):
        record["message"] = error.message or describe(error)
        if isinstance(error, exc.ExistingFileError):
            record["message"] += ": --overwrite replaces it"
        for name in ("storage", "operation", "location", "code", "status", "request_id", "retryable"):
            record[name] = getattr(error, name)
    return record
