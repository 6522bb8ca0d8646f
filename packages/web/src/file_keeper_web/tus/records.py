"""What is kept of an upload between two requests: one small JSON object beside the files, replaced under a condition.

Of several writers that read the same state exactly one replaces it, whatever process or machine they are in: so only
one at a time may send a piece, and what counts is what it has noted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import secrets
import time
from typing import Any

import file_keeper as fk

_FOLDER = "tus"
LEASE = 30.0
"""Seconds without a byte after which another request may go on."""
_ME = secrets.token_hex(8)


def new_claim() -> dict[str, Any]:
    """Return the mark of who is sending a piece."""
    return {
        "id": secrets.token_hex(8),
        "until": time.time() + LEASE,
        "host": platform.node(),
        "pid": os.getpid(),
        "process": f"{_ME}-{os.getpid()}",
    }


def _lives(claim: dict[str, Any]) -> bool:
    """Return whether the sender of a piece may still be at work: a process of this machine that ended is not."""
    if claim["until"] <= time.time():
        return False
    if claim["host"] != platform.node():
        return True
    if claim["pid"] == os.getpid():
        return claim["process"] == f"{_ME}-{os.getpid()}"
    try:
        os.kill(claim["pid"], 0)
    except ProcessLookupError:
        return False
    except (OSError, SystemError):
        return True
    return True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The state of an upload.

    :param data: the state of the upload in parts, those parts left out
    :param metadata: ``Upload-Metadata`` as it came
    :param expires: seconds since 1970
    :param offset: bytes that are noted: in parts, and in the tail
    :param count: parts that are noted
    :param chain: a hash over their numbers, sizes and etags
    :param tail: the location of bytes that are too few for a part, ``""`` without
    :param claim: who is sending a piece
    """

    id: str
    data: fk.FileData
    metadata: str
    expires: float
    offset: int = 0
    count: int = 0
    chain: str = ""
    tail: str = ""
    done: bool = False
    claim: dict[str, Any] | None = None

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return self.data.size

    def claimed(self) -> bool:
        """Return whether somebody is sending a piece."""
        return self.claim is not None and _lives(self.claim)

    def grown(self, part: fk.FileData, number: int) -> Record:
        """Return the record with one more part, as the storage told of it."""
        entry = next(entry for entry in part.storage_data["parts"] if entry["part"] == number)
        state: dict[str, Any] = {**part.storage_data, "parts": [], "uploaded": 0}
        data = dataclasses.replace(part, storage_data=state)
        return dataclasses.replace(self, data=data, count=number + 1, chain=link(self.chain, entry))


def link(chain: str, part: dict[str, Any]) -> str:
    """Return the hash of a chain of parts with one more."""
    text = json.dumps([chain, part["part"], part["size"], part["etag"]])
    return hashlib.sha256(text.encode()).hexdigest()


class Records:
    """The records of one storage. They lie under its reserved name: no listing shows them."""

    def __init__(self, storage: fk.Storage):
        self._storage = storage.incoming

    @staticmethod
    def _location(id: str) -> str:
        return f"{_FOLDER}/{id}.json"

    def create(self, record: Record) -> None:
        """Keep a new record."""
        self._storage.upload(self._location(record.id), _encode(record), overwrite=False)

    def load(self, id: str) -> tuple[Record, fk.FileData]:
        """Return a record, and the version that it was read in. :raises MissingFileError: when there is none"""
        location = self._location(id)
        with self._storage.stream(location) as stream:
            content = stream.readall()
            version = fk.FileData(location, etag=stream.info.etag)
        values = json.loads(content)
        values["data"] = fk.FileData.from_dict(values["data"])
        return Record(**values), version

    def save(self, record: Record, version: fk.FileData) -> fk.FileData:
        """Replace the version of a record that was read. :raises ChangedFileError: when somebody else was quicker"""
        return self._storage.upload(version.location, _encode(record), overwrite=version)

    def remove(self, record: Record) -> None:
        """Drop a record and what lies beside it."""
        self._storage.remove(self._location(record.id))
        self.drop_tail(record.tail)

    def keep_tail(self, id: str, content: bytes) -> str:
        """Keep bytes that are too few for a part; return where."""
        location = f"{_FOLDER}/{id}.{secrets.token_hex(4)}"
        self._storage.upload(location, content, overwrite=False)
        return location

    def read_tail(self, location: str) -> bytes:
        """Return the bytes that were kept."""
        return self._storage.content(location) if location else b""

    def drop_tail(self, location: str) -> None:
        """Remove them."""
        if location:
            self._storage.remove(location)


def _encode(record: Record) -> bytes:
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    values["data"] = record.data.as_dict()
    return json.dumps(values).encode()
