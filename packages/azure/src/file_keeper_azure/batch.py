"""Many deletions in one request, each answered by itself.

The SDK's own way makes threads for it, which fails at the end of the interpreter, and takes the answers in the order in
which they come instead of by their numbers.

https://learn.microsoft.com/rest/api/storageservices/blob-batch
"""

# What the SDK's pipelines give is not typed by it.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false
from __future__ import annotations

import email.parser
import email.utils
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.rest import HttpRequest
from azure.core.utils import case_insensitive_dict
from file_keeper import exc

from .answers import BLOB_BATCH, DELETE_BLOB
from .errors import is_missing
from .transport import Wire


@dataclass(frozen=True, slots=True)
class SubAnswer:
    """The answer to one request of a batch, as the SDK's errors want answers."""

    status_code: int
    reason: str
    headers: Mapping[str, str]
    body: str
    request: Any = None
    content_type: str = field(default="application/xml")

    def text(self) -> str:
        return self.body


def delete(wire: Wire, keys: Sequence[str]) -> Iterator[tuple[str, Exception]]:
    """Delete blobs, with their snapshots; give those that could not be deleted, each with its error.

    :raises HttpResponseError: when the request as a whole is refused
    """
    boundary = f"batch_{uuid.uuid4()}"
    requests = [_signed(wire, key) for key in keys]
    parts = [_serialized(boundary, number, request) for number, request in enumerate(requests)]
    body = "".join((*parts, f"--{boundary}--\r\n")).encode()
    headers = {"Content-Type": f"multipart/mixed; boundary={boundary}"}
    response = wire.send(BLOB_BATCH, headers=headers, body=body)
    answers = wire.read(BLOB_BATCH, response, lambda content: _parsed(content, response.headers, requests))
    for key, answer in zip(keys, answers, strict=True):
        try:
            wire.judge(DELETE_BLOB, answer)
        except HttpResponseError as error:
            if not is_missing(error):
                yield key, error
        except exc.ConnectionError as error:
            yield key, error


def _signed(wire: Wire, key: str) -> HttpRequest:
    """Make a request of the batch: each needs the right to be made by itself."""
    url = wire.url(DELETE_BLOB, key)
    headers = {
        "x-ms-delete-snapshots": "include",
        "x-ms-date": email.utils.formatdate(usegmt=True),
        "Content-Length": "0",
    }
    request = HttpRequest("DELETE", url, headers=headers)
    policy: Any = wire.container._credential_policy
    if policy is not None:
        policy.on_request(PipelineRequest(request, PipelineContext(None, enforce_https=False)))
    return request


def _serialized(boundary: str, number: int, request: HttpRequest) -> str:
    path = "/" + request.url.partition("://")[2].partition("/")[2]
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return (
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: {number}\r\n\r\n{request.method} {path} HTTP/1.1\r\n{headers}\r\n"
    )


def _parsed(body: bytes, headers: Mapping[str, str], requests: Sequence[HttpRequest]) -> list[SubAnswer]:
    """Return the answers in the order of the requests. :raises ValueError: when that cannot be told"""
    head = f"Content-Type: {headers.get('Content-Type', '')}\r\n\r\n".encode()
    message = email.parser.BytesParser().parsebytes(head + body)
    if not message.is_multipart():
        raise ValueError("it is not in parts")
    found: dict[int, SubAnswer] = {}
    parts: list[Any] = message.get_payload()  # pyright: ignore[reportAssignmentType] - of one in parts it is a list
    for place, part in enumerate(parts):
        number = int(part.get("Content-ID", "").strip("<> ") or place)
        found[number] = _answer(part.get_payload(decode=True), requests[number])
    if len(found) != len(requests):
        raise ValueError(f"it tells of {len(found)} of {len(requests)} deletions")
    return [found[number] for number in range(len(requests))]


def _answer(raw: bytes, request: HttpRequest) -> SubAnswer:
    first, _, rest = raw.lstrip().partition(b"\r\n")
    version, status, reason = (*first.decode("latin-1").split(" ", 2), "")[:3]
    if not version.startswith("HTTP/"):
        raise ValueError("a part of it is no answer")
    message = email.parser.BytesParser().parsebytes(rest)
    headers = case_insensitive_dict(message.items())
    return SubAnswer(int(status), reason, headers, str(message.get_payload()), request)
