"""What is kept beside the bytes: hashes, type, metadata and headers, in one record of JSON.

A record is bound to the content by size and time of change: one that does not fit was made for other bytes (another
tool changed the file) and is not believed. It is kept as an extended attribute of the file itself, so that one rename
publishes both, or as a sidecar under ``.file-keeper``, whose name holds the size and the time of the file that it
belongs to: it is written before the file is published and found by the file that was opened, never by the name alone.

A hash that somebody had recorded of a file that was there (``verify(record=True)``) is kept once more, as a seal, by
the name alone. When no record fits any more, as other tools changed or replaced the file, it tells what was expected.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, cast

from file_keeper import exc

XATTR = "user.file_keeper"
SIDECAR = ".json"
_SEAL = ".sealed.json"

_NONE = frozenset((errno.ENODATA, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ERANGE, errno.E2BIG))
_UNFIT = frozenset(
    (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOSPC, errno.E2BIG, errno.ERANGE, errno.EPERM, errno.EINVAL)
)
HAS_XATTR = hasattr(os, "setxattr")


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a file."""

    content_type: str = ""
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    sealed: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])


def identity(st: os.stat_result) -> str:
    """Return the name of the version of a file.

    Writing sets the time of change to the nanosecond, so a reused inode number makes no two versions equal.
    """
    return "%x-%x-%x" % (st.st_ino, st.st_size, st.st_mtime_ns)  # noqa: UP031 - listings: twice as fast


def encode(record: Record, st: os.stat_result) -> bytes:
    """Return the record of a file as JSON."""
    fields: dict[str, Any] = {"size": st.st_size, "mtime_ns": st.st_mtime_ns}
    for field in ("content_type", "digests", "metadata", "headers"):
        if value := getattr(record, field):
            fields[field] = value if isinstance(value, str) else dict(value)
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def decode(data: bytes, st: os.stat_result) -> Record | None:
    """Read a record; ``None`` when it is not one, or not of this content."""
    try:
        fields: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    known = cast("dict[str, Any]", fields)
    if known.get("size") != st.st_size or known.get("mtime_ns") != st.st_mtime_ns:
        return None
    content_type = known.get("content_type", "")
    return Record(
        content_type if isinstance(content_type, str) else "",
        *(_texts(known.get(field)) for field in ("metadata", "headers", "digests")),
    )


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {k: v for k, v in cast("dict[Any, Any]", value).items() if isinstance(k, str) and isinstance(v, str)}


def read_xattr(fd: int, st: os.stat_result) -> Record | None:
    """Read the record out of the extended attribute of an open file."""
    if not HAS_XATTR:
        return None
    try:
        return decode(os.getxattr(fd, XATTR), st)
    except OSError as error:
        if error.errno in _NONE:
            return None
        raise


def write_xattr(fd: int, data: bytes, mode: str) -> bool:
    """Keep a record as an extended attribute; return whether that was done.

    :param mode: the option ``attributes``
    :raises StorageError: where only extended attributes are wanted and the file system does not take them
    """
    if mode not in ("auto", "xattr"):
        return False
    try:
        if HAS_XATTR:
            os.setxattr(fd, XATTR, data)
            return True
        reason: OSError | None = None
    except OSError as error:
        if error.errno not in _UNFIT:
            raise
        reason = error
    if mode == "xattr":
        raise exc.StorageError(
            f"the file system does not keep {len(data)} bytes of extended attributes: set attributes to 'auto' or "
            "'sidecar'",
            code=errno.errorcode.get(reason.errno or 0, "") if reason else "",
        ) from reason
    return False


def sidecar_name(name: str, st: os.stat_result) -> str:
    """Return the name of the sidecar of a file's version."""
    return f"{sidecar_stem(name)}.{st.st_size}-{st.st_mtime_ns}{SIDECAR}"


def sidecar_stem(name: str) -> str:
    """Return what the sidecars of all versions of a file begin with."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def seal_name(name: str) -> str:
    """Return the name of the seal of a file."""
    return sidecar_stem(name) + _SEAL


def encode_seal(digests: Mapping[str, str]) -> bytes:
    """Return a seal as JSON."""
    return json.dumps({"digests": dict(digests)}).encode()


def decode_seal(data: bytes) -> dict[str, str]:
    """Read a seal; empty when it is none."""
    try:
        fields: Any = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return _texts(cast("dict[str, Any]", fields).get("digests")) if isinstance(fields, dict) else {}
