"""Many deletions in one request, each answered by itself.

The SDK's own way makes threads for it, which fails at the end of the interpreter, and takes the answers in the order in
which they come instead of by their numbers.

https://learn.microsoft.com/rest/api/storageservices/blob-batch
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from file_keeper import exc

from .answers import BLOB_BATCH, DELETE_BLOB
from .errors import RefusedError, is_missing
from .transport import Wire


@dataclass(frozen=True, slots=True)
class SubAnswer:
    """The answer to one request of a batch; names of headers are in lower case."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


def delete(wire: Wire, keys: Sequence[str]) -> Iterator[tuple[str, Exception]]:
    """Delete blobs, with their snapshots; give those that could not be deleted, each with its error.

    :raises RefusedError: when the request as a whole is refused
    """
    boundary = f"batch_{uuid.uuid4()}"
    parts = [_serialized(boundary, number, wire, key) for number, key in enumerate(keys)]
    body = "".join((*parts, f"--{boundary}--\r\n")).encode()
    headers = {"Content-Type": f"multipart/mixed; boundary={boundary}"}
    reply = wire.send(BLOB_BATCH, headers=headers, body=body)
    kind = reply.headers.get("content-type", "")
    answers = wire.read(BLOB_BATCH, reply, lambda content: _parsed(content, kind, len(keys)))
    for key, answer in zip(keys, answers, strict=True):
        try:
            wire.judge(DELETE_BLOB, answer.status, answer.reason, answer.headers, answer.body)
        except RefusedError as error:
            if not is_missing(error):
                yield key, error
        except exc.ConnectionError as error:
            yield key, error


def _serialized(boundary: str, number: int, wire: Wire, key: str) -> str:
    """Return a request of the batch: each needs the right to be made by itself."""
    sent = {"x-ms-delete-snapshots": "include", "Content-Length": "0"}
    target = wire.sender.signed("DELETE", wire.path(key), {}, sent)
    headers = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    return (
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: {number}\r\n\r\nDELETE {target} HTTP/1.1\r\n{headers}\r\n"
    )


def _parsed(body: bytes, kind: str, count: int) -> list[SubAnswer]:
    """Return the answers in the order of the requests. :raises ValueError: when that cannot be told"""
    from email.parser import BytesParser  # slow to import

    head = f"Content-Type: {kind}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + body)
    if not message.is_multipart():
        raise ValueError("it is not in parts")
    found: dict[int, SubAnswer] = {}
    parts: list[Any] = message.get_payload()  # pyright: ignore[reportAssignmentType] - of one in parts it is a list
    for place, part in enumerate(parts):
        number = int(part.get("Content-ID", "").strip("<> ") or place)
        found[number] = _answer(part.get_payload(decode=True))
    if len(found) != count:
        raise ValueError(f"it tells of {len(found)} of {count} deletions")
    return [found[number] for number in range(count)]


def _answer(raw: bytes) -> SubAnswer:
    from email.parser import BytesParser

    first, _, rest = raw.lstrip().partition(b"\r\n")
    version, status, reason = (*first.decode("latin-1").split(" ", 2), "")[:3]
    if not version.startswith("HTTP/"):
        raise ValueError("a part of it is no answer")
    message = BytesParser().parsebytes(rest)
    headers = {name.lower(): str(value) for name, value in message.items()}
    return SubAnswer(int(status), reason, headers, str(message.get_payload()).encode())
