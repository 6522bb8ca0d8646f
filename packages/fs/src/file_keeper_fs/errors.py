"""One table: what the operating system says, and what it means here."""

from __future__ import annotations

import errno

from file_keeper import exc

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV)
_NAMES = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
_BUSY = (errno.EAGAIN, errno.EBUSY, errno.ETXTBSY, errno.EMFILE, errno.ENFILE, errno.EDEADLK, errno.ENOLCK)
_FAULTS = (errno.EIO, errno.ESTALE, errno.ENOMEM, errno.ENOTCONN, errno.ECONNRESET, errno.EHOSTDOWN, errno.ECOMM) if (
    hasattr(errno, "ECOMM")
) else (errno.EIO, errno.ESTALE, errno.ENOMEM, errno.ENOTCONN, errno.ECONNRESET)  # fmt: skip

NO_FILE = frozenset((*_MISSING, *_NAMES))
"""What opening a name says when there is no such file, or can be none."""

TABLE: dict[int, tuple[type[exc.FilesError], bool]] = {
    **dict.fromkeys(_MISSING, (exc.MissingFileError, False)),
    **dict.fromkeys(_NAMES, (exc.LocationError, False)),
    **dict.fromkeys(_BUSY, (exc.ThrottledError, True)),
    **dict.fromkeys(_FAULTS, (exc.ConnectionError, True)),
    errno.EEXIST: (exc.ExistingFileError, False),
    errno.ENOTEMPTY: (exc.LocationError, False),
    errno.EACCES: (exc.PermissionError, False),
    errno.EPERM: (exc.PermissionError, False),
    errno.EROFS: (exc.PermissionError, False),
    errno.ETIMEDOUT: (exc.TimeoutError, True),
    # No room: a repeat would only fill it again.
    errno.ENOSPC: (exc.StorageError, False),
    errno.EDQUOT: (exc.StorageError, False),
    errno.EFBIG: (exc.StorageError, False),
}
"""Error number -> our class, and whether the same call may succeed later. Anything else is a plain StorageError."""


def translate(error: Exception) -> exc.FilesError | None:
    """Turn an error of the operating system into one of ours; ``None`` for any other."""
    if isinstance(error, exc.FilesError) or not isinstance(error, OSError):
        return None
    number = error.errno or 0
    cls, retryable = TABLE.get(number, (exc.StorageError, False))
    message = (error.strerror or str(error) or type(error).__name__).lower()
    return cls(message, code=errno.errorcode.get(number, ""), retryable=retryable)
