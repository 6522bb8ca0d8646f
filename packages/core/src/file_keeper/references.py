"""Values that stand elsewhere, in the environment or in a file, and how a small file is read safely."""

from __future__ import annotations

import dataclasses
import os
import stat
from typing import Literal

from . import exc

LARGEST = 64 << 10
"""Bytes that a referenced value may have."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """A value that stands elsewhere: in the environment or in a file. It is read when it is needed.

    Only the reference is ever shown, in errors too: what it leads to is usually a secret.
    """

    kind: Literal["env", "file"]
    name: str

    def read(self) -> str:
        """Return the value; a file's without the line break at its end.

        :raises MissingStorageConfigurationError: when the variable or the file is not there
        :raises InvalidStorageConfigurationError: when the file is no regular file, or the value over 64 KiB
        """
        if self.kind == "env":
            try:
                value = os.environ[self.name]
            except (KeyError, ValueError):
                raise exc.MissingStorageConfigurationError(f"the environment variable {self.name} is not set") from None
            self._bound(len(value))
            return value
        try:
            descriptor, _ = open_regular(self.name)
            with os.fdopen(descriptor, "rb") as file:
                data = file.read(LARGEST + 1)
        except NotRegular:
            raise exc.InvalidStorageConfigurationError(f"the file {self.name} is not a regular file") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it has no such name"
            raise exc.MissingStorageConfigurationError(f"the file {self.name!s} cannot be read: {reason}") from None
        self._bound(len(data))
        try:
            return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeError:
            # The error of the codec holds the content.
            raise exc.MissingStorageConfigurationError(
                f"the file {self.name} cannot be read: it is not UTF-8"
            ) from None

    def _bound(self, size: int) -> None:
        if size > LARGEST:
            raise exc.InvalidStorageConfigurationError(
                f"the value of {self!r} has more than {LARGEST >> 10} KiB: that is no option's value"
            )

    def __repr__(self) -> str:
        return repr({self.kind: self.name})


class NotRegular(Exception):
    """A path leads to a directory, a pipe or a device."""


def open_regular(path: str) -> tuple[int, os.stat_result]:
    """Open a regular file for reading without waiting for anybody; return its descriptor and its facts.

    A named pipe, which would block until somebody writes, is opened without waiting and refused.

    :raises NotRegular: when it is something else
    :raises OSError: when it cannot be opened
    """
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotRegular(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status
