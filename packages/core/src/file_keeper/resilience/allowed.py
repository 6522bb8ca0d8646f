"""What a storage takes: how large a content may be, and of which types, as the setting ``limits`` says."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, cast

from .. import contenttype, exc
from ..units import humanize_filesize, parse_filesize

_PATTERN = re.compile(r"[\w!#$&^+.*-]+/[\w!#$&^+.*-]+", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class Allowed:
    """What may be stored.

    :param max_size: the most bytes of a file; ``None`` for any number
    :param types: patterns of media types; none for any
    :param before: bytes of the file that stand before the content that is judged
    """

    max_size: int | None = None
    types: tuple[str, ...] = ()
    before: int = 0

    def check_size(self, size: int | None) -> None:
        """Refuse what is too large. :raises LargeUploadError: always

        :param size: bytes, as far as they are known
        """
        if self.max_size is not None and size is not None and size + self.before > self.max_size:
            raise exc.LargeUploadError(
                f"the content has more than {humanize_filesize(self.max_size)}, "
                "which is the most that 'limits' of this storage allow"
            )

    def check_head(self, head: bytes | memoryview, *, complete: bool) -> None:
        """Refuse a content by its first bytes; its name and what was declared tell nothing.

        :param head: the first 2 KiB
        :param complete: these are all
        :raises WrongUploadTypeError: it is of no type that is allowed
        """
        if self.types:
            self.check_type(contenttype.detect(head, complete=complete))

    def check_type(self, detected: str) -> None:
        """Refuse a type. :raises WrongUploadTypeError: always"""
        found = contenttype.canonical(detected)
        if self.types and not any(fnmatchcase(found, pattern) for pattern in self.types):
            raise exc.WrongUploadTypeError(
                f"the content looks like {detected}, 'limits' of this storage allow {', '.join(self.types)}"
            )


def parse_limits(value: Any) -> Allowed | None:
    """Return what the option ``limits`` names; ``None`` for none.

    :param value: a mapping with ``max_size``, ``types`` or both; ``False`` for none
    :raises InvalidStorageConfigurationError: it makes no sense
    """
    if value is None or value is False or isinstance(value, Allowed):
        return value or None
    if not isinstance(value, Mapping):
        raise _wrong(f"it must be a mapping such as {{'max_size': '10MiB', 'types': ['image/*']}}, not {value!r}")
    given = {name: entry for name, entry in cast("Mapping[Any, Any]", value).items() if entry is not None}
    if unknown := [name for name in given if name not in ("max_size", "types")]:
        raise _wrong(f"it has no {unknown[0]!r}: it knows max_size, types")
    if not given:
        raise _wrong("it says nothing: give 'max_size', 'types' or both, or leave it out")
    return Allowed(_size(given.get("max_size")), _types(given["types"]) if "types" in given else ())


def _size(value: Any) -> int | None:
    if value is None:
        return None
    try:
        size = parse_filesize(value)
    except (ValueError, TypeError):
        size = 0
    if size < 1:
        raise _wrong(f"'max_size' must be a size of at least 1 byte such as 10485760 or '10MiB', not {value!r}")
    return size


def _types(value: Any) -> tuple[str, ...]:
    entries: list[Any] = list(cast("Iterable[Any]", value)) if isinstance(value, list | tuple | set | frozenset) else []
    if not entries:
        raise _wrong(f"'types' must be a list of media types such as ['image/*', 'text/plain'], not {value!r}")
    return tuple(_type(entry) for entry in entries)


def _type(entry: Any) -> str:
    if not isinstance(entry, str) or not _PATTERN.fullmatch(entry):
        raise _wrong(f"'types' has {entry!r}, which is no media type such as 'image/png' or 'image/*'")
    pattern = contenttype.canonical(entry)
    if contenttype.told_by_name(pattern):
        raise _wrong(
            f"'types' has {entry!r}, which only a name tells: such content looks like text/plain, so allow 'text/plain'"
        )
    return pattern


def _wrong(why: str) -> exc.InvalidStorageConfigurationError:
    return exc.InvalidStorageConfigurationError(f"option 'limits': {why}")
