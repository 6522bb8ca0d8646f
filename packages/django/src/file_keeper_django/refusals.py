"""What the limits of a storage refuse, as exceptions that Django answers: with 400, not as an error of the server."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import file_keeper as fk
from django.core.exceptions import RequestDataTooBig, SuspiciousFileOperation


class LargeFileError(fk.exc.LargeUploadError, RequestDataTooBig):
    """The file is larger than the storage allows; Django answers 400."""


class WrongFileTypeError(fk.exc.WrongUploadTypeError, SuspiciousFileOperation):
    """The file is of a type that the storage does not allow; Django answers 400."""


@contextmanager
def refusals() -> Generator[None]:
    """Turn the refusal of a content into that error which is Django's, too."""
    try:
        yield
    except (fk.exc.LargeUploadError, fk.exc.WrongUploadTypeError) as error:
        kind = LargeFileError if isinstance(error, fk.exc.LargeUploadError) else WrongFileTypeError
        refused = kind(error.message)
        refused.within(error.storage, error.operation, error.location)
        raise refused from error
