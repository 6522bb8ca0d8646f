"""Several calls in one request.

Reference: "Batch requests": /batch/storage/v1, multipart/mixed, at most 100 calls, no uploads or downloads, each
answer with the Content-ID `response-` of its call; the outer headers hold for every call but Content-*.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from .errors import invalid
from .messages import BodyReader, Request, Response

MAX_CALLS = 100
BOUNDARY = "batch_of_the_double"


def run(request: Request, call: Callable[[Request], Response]) -> Response:
    content_type = request.headers.get("content-type", "")
    found = re.match(r"multipart/mixed\s*;.*?boundary=(\"[^\"]+\"|[^;\s]+)", content_type, re.I | re.S)
    if not found:
        raise invalid("A batch must be multipart/mixed with a boundary")
    mark = b"--" + found[1].strip('"').encode()
    # Line breaks in what is sent may be bare; no call of a batch has a body where that would matter.
    body = b"\n" + request.body.document().replace(b"\r\n", b"\n")
    parts = body.split(b"\n" + mark)[1:]
    parts = [part for part in parts if not part.startswith(b"--")]
    if not parts:
        raise invalid("The batch request is empty")
    if len(parts) > MAX_CALLS:
        raise invalid(f"The batch request contains too many calls: {len(parts)}, the limit is {MAX_CALLS}")
    answers = [_one(request, part.lstrip(b" \t").removeprefix(b"\n"), call) for part in parts]
    text = b"".join(b"--" + BOUNDARY.encode() + b"\r\n" + answer + b"\r\n" for answer in answers)
    return Response.of(text + b"--" + BOUNDARY.encode() + b"--\r\n", f"multipart/mixed; boundary={BOUNDARY}")


def _one(outer: Request, part: bytes, call: Callable[[Request], Response]) -> bytes:
    head, _, http = part.partition(b"\n\n")
    own = _headers(head)
    first, _, rest = http.lstrip(b"\n").partition(b"\n")
    headers_text, _, data = rest.partition(b"\n\n") if not rest.startswith(b"\n") else (b"", b"", rest[1:])
    words = first.decode("utf-8", "replace").split()
    if len(words) < 2 or own.get("content-type", "").split(";")[0] != "application/http":
        raise invalid("Failed to parse batch request")
    url = urlsplit(words[1])
    inherited = {name: value for name, value in outer.headers.items() if not name.startswith(("content-", "transfer-"))}
    body = BodyReader(io.BytesIO(data), len(data))
    headers = inherited | _headers(headers_text)
    answer = call(Request(words[0].upper(), url.path, url.query, headers, body, outer.base, in_batch=True))
    content = b"".join(answer.chunks())
    identity = own.get("content-id", "")
    lines = ["Content-Type: application/http"]
    if identity:
        lines.append(f"Content-ID: <response-{identity.strip('<>')}>")
    lines += ["", f"HTTP/1.1 {answer.status} {_word(answer.status)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    lines += [f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content


def _word(status: int) -> str:
    return "OK" if status < 300 else "Error"


def _headers(text: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in text.decode("utf-8", "replace").split("\n") if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in lines}
