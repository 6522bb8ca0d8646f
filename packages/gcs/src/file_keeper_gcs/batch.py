"""Deletions, a hundred in a request.

Reference: "Batch requests": https://cloud.google.com/storage/docs/batch (at most 100 calls, no order promised: each
answer carries the ``Content-ID`` of its call).
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from .answers import Refused, Reply, explained, refused
from .transport import Transport

CALLS = 100
_STATUS = re.compile(rb"HTTP/\d\.\d (\d{3})([^\r\n]*)")
_ID = re.compile(rb"(?i)content-id:[^\r\n]*\+(\d+)>?\s")


def delete(transport: Transport, keys: Iterable[str]) -> Iterator[tuple[str, Refused]]:
    """Delete objects, there or not; return the key and the refusal of each that was not deleted."""
    iterator = iter(keys)
    while chunk := tuple(itertools.islice(iterator, CALLS)):
        for key, status, content in _send(transport, chunk):
            missing = status == 404 and "bucket does not exist" not in explained(content, "application/json")[0]
            if status not in (200, 204) and not missing:
                yield key, refused(status, content, {"content-type": "application/json"})


def _send(transport: Transport, keys: tuple[str, ...]) -> Iterator[tuple[str, int, bytes]]:
    name = os.urandom(16).hex()
    project = transport.standing.project
    query = f"?userProject={quote(project, safe='')}" if project else ""
    calls = (
        f"--{name}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: <{name}+{number}>\r\n\r\nDELETE {transport.path(key)}{query} HTTP/1.1\r\n\r\n\r\n"
        for number, key in enumerate(keys)
    )
    reply = transport.request(
        "batch",
        "POST",
        "/batch/storage/v1",
        headers={"Content-Type": f'multipart/mixed; boundary="{name}"'},
        body=(("".join(calls) + f"--{name}--\r\n").encode(),),
    )
    found = _answers(reply)
    for number, key in enumerate(keys):
        # An answer that is missing is told as a failure of the service: the deletion can be repeated.
        status, content = found.get(number, (502, b"the answer to the batch request is incomplete"))
        yield key, status, content


def _answers(reply: Reply) -> dict[int, tuple[int, bytes]]:
    """Return status and body of each answer by the number of its call."""
    kind = reply.headers.get("content-type", "")
    match = re.search(r"boundary=\"?([^\";,]+)", kind)
    if not match:
        return {}
    found: dict[int, tuple[int, bytes]] = {}
    for number, part in enumerate(reply.content.split(b"--" + match[1].encode())[1:]):
        status = _STATUS.search(part)
        if status:
            identity = _ID.search(part)
            body = re.split(rb"\r?\n\r?\n", part[status.end() :], maxsplit=1)
            found[int(identity[1]) if identity else number] = (int(status[1]), body[-1].strip())
    return found
