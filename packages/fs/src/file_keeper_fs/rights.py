"""Who may read what is written: a new file as the process's mask says, any other never more than what it came from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

READ_WRITE = 0o666
"""What a new file asks for; the mask of the process takes away from it."""
OWN = 0o600
"""What only the owner may do."""
_ALL = 0o777
_GROUP = 0o070
_OTHERS = 0o007


def mode_while_written(sources: Iterable[os.stat_result | None], file_mode: int | None) -> int:
    """Return the most that a staged file may be open to, before it has its name.

    :param sources: what it replaces or comes from
    :param file_mode: the option of that name
    """
    mode = READ_WRITE if file_mode is None else file_mode
    for source in sources:
        if source is not None:
            mode &= source.st_mode
    return mode & READ_WRITE | OWN


def final(
    made: os.stat_result, old: os.stat_result | None, sources: Sequence[os.stat_result], file_mode: int | None
) -> tuple[int, int, int]:
    """Return mode, owner and group that a staged file is to be published with; -1 leaves the owner or group.

    :param made: the staged file, as the system made it under the mask of the process
    :param old: what it replaces: its rights stay
    :param sources: what it was copied from
    """
    if old is not None:
        mode, group = old.st_mode & _ALL, old.st_gid
    else:
        group = sources[0].st_gid if sources else made.st_gid
        # Whoever may read it by the mask of the process may execute it, if the source says so.
        mode = made.st_mode & _ALL | ((made.st_mode & 0o444) >> 2 if sources else 0)
        mode = mode if file_mode is None else file_mode
    for source in sources:
        mode &= source.st_mode
    owner = old.st_uid if old is not None and old.st_uid != made.st_uid else -1
    return mode, owner, group if group != made.st_gid else -1


def for_group(mode: int, group: int, sources: Iterable[os.stat_result | None]) -> int:
    """Take from the group of a file what its members had only as others of what it came from."""
    for source in sources:
        if source is not None and source.st_gid != group:
            mode &= ~_GROUP | (source.st_mode & _OTHERS) << 3
    return mode
