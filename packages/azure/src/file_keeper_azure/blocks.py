"""Blocks: the parts of uploads. The service knows the blocks of a name, and nothing of uploads.

So the id of each block begins with the upload that it belongs to. What follows from this for uploads in several calls
is told in ``docs/decisions/azure.md``.

https://learn.microsoft.com/rest/api/storageservices/put-block, .../put-block-list and .../get-block-list
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.parsers import expat

from file_keeper import exc, hashing
from file_keeper.backend import ObjectInfo, WriteOptions
from file_keeper.types import Buffer

from . import headers as wire_headers
from .answers import GET_BLOCK_LIST, PUT_BLOCK, PUT_BLOCK_LIST
from .errors import RefusedError, is_missing
from .listing import parse_date
from .transport import Wire, crc64

EXPIRY = 7 * 24 * 3600
"""Seconds after which the service drops blocks that were not committed."""

_ID = re.compile("fk0[0-9a-f]{29}")
_REMEMBERED = 10_000

Block = tuple[str, int]
"""A block: its id as the client chose it (not encoded), and its size in bytes."""


def new_id() -> str:
    """Make the id of an upload: our mark, the moment in milliseconds, and a random number; always 32 characters."""
    return f"fk{int(time.time() * 1000):012x}{secrets.token_hex(9)}"


def started_at(upload: str) -> float:
    """Return the moment that an upload was begun, in seconds since 1970; 0 for what is not an id of ours."""
    return int(upload[2:14], 16) / 1000 if _ID.fullmatch(upload) else 0.0


def block_id(upload: str, number: int) -> str:
    """Return the id of a part's block, as it is sent: all have one length, as the service demands of one name."""
    return base64.b64encode(f"{upload}{number:06d}".encode()).decode("ascii")


def parts_of(upload: str, blocks: Iterable[Block]) -> Iterator[Block]:
    """Return the blocks of one upload, in the order of their numbers."""
    yield from sorted(block for block in blocks if block[0].startswith(upload) and block[0][len(upload) :].isdigit())


def uploads_of(blocks: Iterable[Block]) -> list[str]:
    """Return the uploads of ours that blocks belong to, the oldest first."""
    return sorted({name[:-6] for name, _ in blocks if started_at(name[:-6])})


class Ended:
    """The uploads that this process has completed or dropped; the oldest of very many are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, upload: str) -> bool:
        return upload in self._ids

    def add(self, upload: str) -> bool:
        """Remember one; return whether it is new."""
        with self._lock:
            if upload in self._ids:
                return False
            self._ids[upload] = None
            if len(self._ids) > _REMEMBERED:
                self._ids.popitem(last=False)
            return True

    def after_fork(self) -> None:
        """Forget the locks of the parent, in the child after a fork."""
        self._lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Found:
    """The blocks of a name.

    :param modified: when its content was last written, ``None`` where it has none
    :param now: the service's clock, ``None`` where it did not tell
    """

    committed: list[Block]
    uncommitted: list[Block]
    modified: datetime | None = None
    now: datetime | None = None


def find(wire: Wire, key: str) -> Found:
    """Ask for the blocks of a name; none when there is no such name."""
    try:
        answer = wire.send(GET_BLOCK_LIST, key)
    except RefusedError as error:
        if is_missing(error):
            return Found([], [])
        raise
    return wire.read(GET_BLOCK_LIST, answer, lambda body: _parse(body, answer.headers))


def _parse(body: bytes, headers: Mapping[str, str]) -> Found:
    found: dict[str, list[Block]] = {"CommittedBlocks": [], "UncommittedBlocks": []}
    current, text, name, root = found["CommittedBlocks"], list[str](), "", list[str]()

    def start(tag: str, _: Any) -> None:
        nonlocal current
        if not root:
            root.append(tag)
        text.clear()
        current = found.get(tag, current)

    def end(tag: str) -> None:
        nonlocal name
        if tag == "Name":
            name = _decoded("".join(text))
        elif tag == "Size":
            current.append((name, int("".join(text))))

    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text.append
    parser.Parse(body, True)
    if root != ["BlockList"]:
        raise ValueError(f"it holds <{root[0]}>, not <BlockList>")
    committed, uncommitted = found.values()
    # A name with open blocks only may be told with a date, but never with a length.
    exists = committed or headers.get("x-ms-blob-content-length", "0") != "0"
    modified = parse_date(headers.get("last-modified", "")) if exists else None
    return Found(committed, uncommitted, modified, parse_date(headers.get("date", "")))


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return ""


def raise_if_gone(upload: str, found: Found, *, has_parts: bool) -> None:
    """Raise for an upload that was completed, and for one that has no block any more; to have had none yet is fine.

    :param has_parts: it has open blocks. Of a completed one they came too late: the service takes them all the same
    :raises MissingFileError: it was completed, it expired, or its blocks were dropped when somebody else wrote there
    """
    here = time.time()
    begun = started_at(upload)
    # By the service's clock, which it tells in whole seconds.
    ahead = found.now.timestamp() - here if found.now else 0.0
    since = begun + (ahead if abs(ahead) > 2 else 0.0)
    completed = any(name.startswith(upload) for name, _ in found.committed)
    overtaken = found.modified is not None and found.modified.timestamp() > since
    if completed or (not has_parts and (overtaken or here - begun > EXPIRY)):
        raise exc.MissingFileError(
            "there is no such upload: it was completed, it expired, or something else was written there since"
        )


def stage(wire: Wire, key: str, name: str, body: Buffer) -> None:
    """Send a block."""
    wire.send(PUT_BLOCK, key, {"blockid": name}, {"x-ms-content-crc64": crc64(body)}, body)


def commit(wire: Wire, key: str, names: Sequence[str], size: int, options: WriteOptions) -> ObjectInfo:
    """Publish blocks as a blob, in this order; of none: an empty blob.

    :raises RefusedError: ``InvalidBlockList`` when they are not all there
    """
    # "Uncommitted" and nothing else: a block that is committed already belongs to content that stands.
    body = f"<BlockList>{''.join(f'<Uncommitted>{name}</Uncommitted>' for name in names)}</BlockList>".encode()
    sent = {
        **wire_headers.attributes(options),
        **wire_headers.conditions(options),
        "x-ms-content-crc64": crc64(body),
    }
    digests: dict[str, str] = {}
    if md5 := options.digests.get("md5"):
        sent["x-ms-blob-content-md5"] = hashing.to_base64(md5)
        digests["md5"] = md5
    answer = wire.send(PUT_BLOCK_LIST, key, None, sent, body)
    return wire_headers.written(key, size, options, answer.headers, digests)
