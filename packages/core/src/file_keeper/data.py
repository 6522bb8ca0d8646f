"""FileData: what is known of a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar, cast

from . import exc

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, repr=False)
class FileData:
    """A file in a storage, or an upload on its way to become one.

    :param location: the location in its storage
    :param size: bytes
    :param content_type: media type, ``""`` where it is not known (in listings)
    :param hash: lower-case hex of the whole content under `algorithm`; ``""`` where none is known
    :param algorithm: a name of :mod:`hashlib`, ``crc32c`` or ``crc64nvme``
    :param storage_data: state of an upload in several calls; plain JSON
    :param modified: when the content was written, with its time zone
    :param etag: names this version of the file; given back as a condition (``overwrite=data``), never a hash
    :param metadata: the user's own, name to value
    :param headers: ``Cache-Control``, ``Content-Disposition``, ``Content-Encoding``, ``Content-Language``

    ``modified``, ``etag``, ``metadata`` and ``headers`` take no part in equality.
    """

    location: str
    _: dataclasses.KW_ONLY
    size: int = 0
    content_type: str = "application/octet-stream"
    hash: str = ""
    algorithm: str = ""
    storage_data: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any], hash=False)
    modified: datetime | None = dataclasses.field(default=None, compare=False)
    etag: str = dataclasses.field(default="", compare=False)
    metadata: dict[str, str] = dataclasses.field(default_factory=dict[str, str], compare=False)
    headers: dict[str, str] = dataclasses.field(default_factory=dict[str, str], compare=False)

    def __repr__(self) -> str:
        # The state of an upload may hold bearer secrets: its kind is shown, not its value.
        shown = [repr(self.location)]
        for field in dataclasses.fields(self)[1:]:
            value = getattr(self, field.name)
            if field.name == "storage_data" and value:
                shown.append(f"storage_data=<{' '.join(sorted(value))}>")
            elif value not in (None, "", {}) and field.name != "_":
                shown.append(f"{field.name}={value!r}")
        return f"FileData({', '.join(shown)})"

    @classmethod
    def from_string(cls, location: str) -> FileData:
        """Make the data of a file of which only the location is known."""
        return cls(location)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> FileData:
        """Make data out of what :meth:`as_dict` gave; unknown keys are ignored.

        :raises StorageDataError: without a location, or with values that make no sense
        """
        values = {name: record[name] for name in _NAMES if record.get(name) is not None}
        location = values.get("location")
        if not isinstance(location, str):
            raise exc.StorageDataError("a record of a file needs its 'location'")
        try:
            for name in ("storage_data", "metadata", "headers"):
                if name in values:
                    values[name] = dict(values[name])
            if isinstance(values.get("modified"), str):
                values["modified"] = datetime.fromisoformat(values["modified"])
        except (TypeError, ValueError) as error:
            raise exc.StorageDataError(f"not a record of a file: {error}", location=location) from error
        for name, kind in _TYPES.items():
            value = values.get(name)
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                raise exc.StorageDataError(f"not a record of a file: {name} is {value!r}", location=location)
        if values.get("size", 0) < 0:
            raise exc.StorageDataError(f"not a record of a file: size is {values['size']}", location=location)
        return cls(**values)

    @classmethod
    def from_object(cls, obj: Any) -> FileData:
        """Make data out of an object with attributes of the same names (a row of a database, say)."""
        return cls.from_dict({name: getattr(obj, name) for name in _NAMES if getattr(obj, name, None) is not None})

    def into_object(self, obj: T) -> T:
        """Set the attributes of `obj` that have the same names and give it back."""
        for name in _NAMES:
            if hasattr(obj, name):
                value = getattr(self, name)
                setattr(obj, name, dict(cast("dict[str, Any]", value)) if isinstance(value, dict) else value)
        return obj

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON that :meth:`from_dict` turns into an equal object."""
        record = dataclasses.asdict(self)
        record["modified"] = self.modified.isoformat() if self.modified else None
        return record


_NAMES = tuple(field.name for field in dataclasses.fields(FileData))
_TYPES = {"size": int, "content_type": str, "hash": str, "algorithm": str, "modified": datetime, "etag": str}

Location = str
"""A location: a relative POSIX path in Unicode, kept verbatim. See :mod:`file_keeper.location`."""


def listed(
    location: str,
    size: int,
    etag: str,
    modified: datetime | None,
    content_type: str = "",
    digest: tuple[str, str] = ("", ""),
    metadata: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> FileData:
    """Make the data of a file out of what a listing tells.

    The fields are set at once and not one by one, as a frozen dataclass does: for many files that costs as much as
    asking the system about them.
    """
    data = object.__new__(FileData)
    data.__dict__.update(
        location=location,
        size=size,
        content_type=content_type,
        hash=digest[0],
        algorithm=digest[1],
        storage_data={},
        modified=modified,
        etag=etag,
        metadata=dict(metadata) if metadata else {},
        headers=dict(headers) if headers else {},
    )
    return data
