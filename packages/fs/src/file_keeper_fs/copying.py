"""Copying bytes from one open file to another."""

from __future__ import annotations

import errno
import os

from file_keeper import exc

_COPY = 8 << 20
_NO_COPY = frozenset(
    (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM, errno.ETXTBSY)
)


def copy_range(source: int, target: int, size: int) -> None:
    """Copy the first `size` bytes of an open file to the end of another: shared or in the kernel where it can be.

    :raises ChangedFileError: when the source ends earlier
    """
    done = 0
    by_kernel = hasattr(os, "copy_file_range")
    buffer: memoryview | None = None
    while done < size:
        if by_kernel:
            try:
                count = os.copy_file_range(source, target, min(size - done, 1 << 30), offset_src=done)
            except OSError as error:
                if error.errno not in _NO_COPY:
                    raise
                count = 0
            # Some file systems say 0 of what they cannot copy this way.
            by_kernel = count > 0
            done += count
            continue
        if buffer is None:
            buffer = memoryview(bytearray(min(_COPY, size - done)))
        os.lseek(source, done, os.SEEK_SET)
        count = _read_into(source, buffer[: size - done])
        if not count:
            raise exc.ChangedFileError("the file became shorter while it was copied")
        view = buffer[:count]
        while len(view):
            view = view[os.write(target, view) :]
        done += count


def _read_into(source: int, buffer: memoryview) -> int:
    if hasattr(os, "readv"):
        return os.readv(source, [buffer])
    data = os.read(source, len(buffer))
    buffer[: len(data)] = data
    return len(data)
