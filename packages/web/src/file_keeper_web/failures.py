"""Which status an error is answered with: one table, for every framework."""

from __future__ import annotations

import logging
import math

import file_keeper as fk

from .http import Failure

log = logging.getLogger("file_keeper.web")

_TABLE: tuple[tuple[type[fk.exc.FilesError], int, str], ...] = (
    (fk.exc.MissingFileError, 404, "There is no such file."),
    (fk.exc.ExistingFileError, 409, "There is such a file already."),
    (fk.exc.ChangedFileError, 412, "The file was changed meanwhile."),
    (fk.exc.LocationError, 400, "The name cannot be that of a file."),
    (fk.exc.UploadTypeMismatchError, 415, "The content is not of the type that was declared."),
    (fk.exc.WrongUploadTypeError, 415, "A content of this type is not allowed."),
    (fk.exc.LargeUploadError, 413, "The content is larger than allowed."),
    (fk.exc.UploadMismatchError, 422, "The content is not what was declared."),
    (fk.exc.ResumableUploadError, 409, "The upload stands elsewhere."),
    (fk.exc.UploadError, 400, "The content cannot be taken."),
    (fk.exc.TimeoutError, 504, "The storage did not answer in time."),
    (fk.exc.CorruptedFileError, 502, "The storage cannot give this file."),
    (fk.exc.ConnectionError, 503, "The storage cannot be reached."),
    # Our own credentials or settings are wrong: nothing that the client could mend, and never "not there".
    (fk.exc.PermissionError, 502, "The storage refuses."),
    (fk.exc.FilesError, 502, "The storage failed."),
)


def failure_of(error: BaseException) -> Failure:
    """Return what an error is answered with; what is inside goes to the log, not into the answer."""
    if isinstance(error, Failure):
        return error
    for kind, status, text in _TABLE:
        if isinstance(error, kind):
            headers: dict[str, str] = {}
            if status >= 500:
                log.error("%s: %s", type(error).__name__, error)
            if status == 503:
                headers["Retry-After"] = str(max(1, math.ceil(min(getattr(error, "retry_after", 0), 3600))))
            return Failure(status, text, headers)
    raise error
