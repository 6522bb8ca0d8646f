"""Locks on open files and directories: the system drops them when the process dies."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Generator


class NoLocks(OSError):
    """The file system cannot lock this."""


if sys.platform == "win32":
    import msvcrt

    # A byte far behind any content: the lock of a byte keeps others from reading and writing it.
    _BYTE = 1 << 62

    def _acquire(fd: int, exclusive: bool) -> None:
        position = os.lseek(fd, 0, os.SEEK_CUR)
        os.lseek(fd, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
        finally:
            os.lseek(fd, position, os.SEEK_SET)

    def _release(fd: int) -> None:
        position = os.lseek(fd, 0, os.SEEK_CUR)
        os.lseek(fd, _BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
        os.lseek(fd, position, os.SEEK_SET)

else:
    import fcntl

    _NONE = frozenset((errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP))

    def _acquire(fd: int, exclusive: bool) -> None:
        try:
            fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NONE:
                raise NoLocks(error.errno, error.strerror) from error
            raise

    def _release(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


def lock(fd: int, exclusive: bool, timeout: float) -> None:
    """Lock an open file or directory, shared with others who share it, or alone.

    :param timeout: seconds to wait for it at most: a stranger may hold it for ever
    :raises NoLocks: where there are none
    :raises TimeoutError: when it was not given in time
    """
    pause, end = 0.0002, time.monotonic() + timeout
    while True:
        try:
            _acquire(fd, exclusive)
        except BlockingIOError:
            if time.monotonic() > end:
                raise TimeoutError(errno.ETIMEDOUT, "another program holds the lock of the directory") from None
            # What is done under the lock takes microseconds.
            time.sleep(pause)
            pause = min(pause * 2, 0.01)
        else:
            return


@contextlib.contextmanager
def held(fd: int, exclusive: bool, timeout: float) -> Generator[None]:
    """Hold the :func:`lock` of an open file or directory."""
    lock(fd, exclusive, timeout)
    try:
        yield
    finally:
        # Said explicitly: a child forked meanwhile shares the descriptor and would keep the lock.
        unlock(fd)


def unlock(fd: int) -> None:
    """Release a lock."""
    with contextlib.suppress(OSError):
        _release(fd)


def try_lock(fd: int) -> bool:
    """Lock an open file for oneself at once; ``False`` when another holds it. True where there are no locks."""
    try:
        _acquire(fd, True)
    except BlockingIOError:
        return False
    except NoLocks:
        pass
    return True
