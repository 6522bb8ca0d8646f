"""Pages of listings in their usual form, read at once.

The usual form is a type of ``msgspec``, which makes numbers, times and hashes of the texts while it reads them: a page
costs a tenth of what ``json`` and records take. What has another form is left to :mod:`.listing`. A module of its own,
as it is slow to import. Reference: "Objects: list", response.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from file_keeper.backend import Page, Row

from .records import DEFAULT_TYPE

KIND = "storage#objects"
_ALGORITHMS = {32: "md5", 8: "crc32c", 0: ""}


class _Key(msgspec.Struct, gc=False):
    name: str
    size: str = ""


class _Keys(msgspec.Struct, gc=False):
    kind: str = ""
    nextPageToken: str = ""  # noqa: N815
    prefixes: list[str] = []
    items: list[_Key] = []


class _Object(msgspec.Struct, gc=False):
    name: str
    generation: str
    size: int
    contentType: str = ""  # noqa: N815
    timeCreated: Annotated[datetime, msgspec.Meta(tz=True)] | None = None  # noqa: N815
    md5Hash: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)] = b""  # noqa: N815
    crc32c: Annotated[bytes, msgspec.Meta(min_length=4, max_length=4)] = b""


class _Objects(msgspec.Struct, gc=False):
    kind: str = ""
    nextPageToken: str = ""  # noqa: N815
    prefixes: list[str] = []
    items: list[_Object] = []


_read_keys = msgspec.json.Decoder(_Keys).decode
_read_objects = msgspec.json.Decoder(_Objects, strict=False).decode


def keys_of(content: bytes) -> tuple[Page, str] | None:
    """Return the page of an answer with keys, and the next token; ``None`` for another form."""
    try:
        found = _read_keys(content)
    except (msgspec.MsgspecError, ValueError):
        return None
    if found.kind != KIND:
        return None
    # An empty object whose name ends in "/" stands for a directory, and is no file.
    keys = [item.name for item in found.items if item.size != "0" or not item.name.endswith("/")]
    return Page(keys, (), found.prefixes), found.nextPageToken


def objects_of(content: bytes, *, md5_first: bool) -> tuple[Page, str] | None:
    """Return the page of an answer with objects, and the next token; ``None`` for another form.

    :param md5_first: of two hashes the md5 is the one to tell
    """
    try:
        found = _read_objects(content)
        rows: list[Row] = [
            (
                item.name,
                item.size,
                item.generation,
                item.timeCreated,
                item.contentType or DEFAULT_TYPE,
                (
                    (digest := ((item.md5Hash or item.crc32c) if md5_first else (item.crc32c or item.md5Hash)).hex()),
                    _ALGORITHMS[len(digest)],
                ),
            )
            for item in found.items
        ]
    except (msgspec.MsgspecError, ValueError):
        return None
    if found.kind != KIND:
        return None
    return Page([row[0] for row in rows], rows, found.prefixes), found.nextPageToken
