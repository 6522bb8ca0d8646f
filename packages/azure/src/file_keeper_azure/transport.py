"""The one place where a request is made: addresses, bodies, checksums, answers.

Requests go through the pipeline of the SDK's client (credentials, proxies, policies, tracing, all that a given client
was made with), but are put together here: the SDK's own methods copy a body that is not ``bytes``, hash it a second
time, and repeat what the core repeats already.
"""

# The SDK types neither its pipelines nor the objects of its transports.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit
from xml.parsers.expat import ExpatError

from azure.core.credentials import AzureSasCredential
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest
from azure.storage.blob import ContainerClient
from file_keeper import hashing
from file_keeper.types import Buffer

from .answers import Judge, Request

T = TypeVar("T")

SLICE = 1 << 20
"""Bytes given to the socket at a time: a timeout then counts from the last slice that went out, not from the first."""

Headers = Mapping[str, str]


def crc64(body: Buffer) -> str:
    """Return the checksum of a body for ``x-ms-content-crc64``: CRC-64/NVME, little-endian, in base64.

    It is some fifteen times as fast as an MD5, and the service compares it before it takes the body.
    """
    hasher = hashing.new("crc64nvme")
    hasher.update(body)
    return base64.b64encode(hasher.digest()[::-1]).decode("ascii")


class _Slices:
    """A body that is sent without being copied; `len` makes it one of a known length."""

    def __init__(self, body: Buffer):
        self._view = memoryview(body).cast("B")

    def __len__(self) -> int:
        return len(self._view)

    def __iter__(self) -> Iterator[memoryview]:
        for start in range(0, len(self._view), SLICE):
            yield self._view[start : start + SLICE]


class Wire:
    """Sends requests about one container.

    :param container: the SDK's client of it
    """

    def __init__(self, container: ContainerClient):
        parts = urlsplit(container.url)
        self.container = container
        self.name = container.container_name
        self.base = f"{parts.scheme}://{parts.netloc}{parts.path}"
        self.signature = parts.query
        self.credential: Any = container.credential
        self._version = container.api_version
        pipeline: Any = container._pipeline
        self._run = pipeline.run
        # A given client may have a retry policy: the SDK's own takes its number from each request.
        policy: Any = getattr(container._config, "retry_policy", None)
        # The SDK would follow a redirect to any host, and send it the body.
        self.run_options: dict[str, Any] = {"permit_redirects": False}
        if hasattr(policy, "configure_retries"):
            self.run_options["retry_total"] = 0
        self._judge = Judge(self.base)
        self.copies_at_once = True
        """Whether the service was not seen to copy in the background what was to be done when it answers."""

    def address(self, key: str = "", base: str = "") -> str:
        """Return the plain address of a blob, or of the container."""
        return f"{base or self.base}/{quote(key, safe='~/')}" if key else base or self.base

    def given_signature(self) -> str:
        """Return the signature that all requests are made with, ``""`` when there is another right, or none."""
        if isinstance(self.credential, AzureSasCredential):
            return self.credential.signature.lstrip("?")
        return self.signature

    def url(self, request: Request, key: str = "", query: Mapping[str, str] | None = None) -> str:
        """Return the address of a request, with the signature that all are made with."""
        pairs = [f"{name}={quote(value, safe='')}" for name, value in {**request.query, **(query or {})}.items()]
        if self.signature:
            pairs.append(self.signature)
        return self.address(key) + ("?" + "&".join(pairs) if pairs else "")

    def send(
        self,
        request: Request,
        key: str = "",
        query: Mapping[str, str] | None = None,
        headers: Headers | None = None,
        body: Buffer | None = None,
        *,
        stream: bool = False,
    ) -> Any:
        """Send one request, once, and give its answer, read to the end unless `stream` is asked for.

        :param key: of the blob; ``""`` for the container
        :raises HttpResponseError: when the service refuses, with its code as ``error_code``
        :raises ConnectionError: when somebody else answers
        """
        sent = {"x-ms-version": self._version, **(headers or {})}
        content: Any = None
        if request.method in ("PUT", "POST"):
            content = _Slices(body) if body else None
            sent["Content-Length"] = str(len(content) if content else 0)
            # Unnamed, the transport or the service would choose one; it is never the blob's.
            sent.setdefault("Content-Type", "application/octet-stream")
        asked = HttpRequest(request.method, self.url(request, key, query), headers=sent, content=content)
        response = self._run(asked, stream=True, **self.run_options).http_response
        try:
            if not stream or response.status_code >= 300:
                response.read()
            self.judge(request, response)
        except BaseException:
            response.close()
            raise
        if not stream:
            response.close()
        return response

    def judge(self, request: Request, response: Any) -> None:
        """Let the service's success pass.

        :raises HttpResponseError: when the service refuses
        :raises ConnectionError: when it is not the service that answers
        """
        status, headers = int(response.status_code), response.headers
        if status < 300:
            self._judge.accept(request, status, headers)
            return
        error = failure(response)
        self._judge.accept_refusal(request, status, str(getattr(error, "error_code", "")), headers)
        raise error

    def read(self, request: Request, response: Any, parse: Callable[[bytes], T]) -> T:
        """Return what a parser finds in an answer.

        :raises ConnectionError: when that is not what the service answers
        """
        try:
            return parse(response.content if hasattr(response, "content") else response.body())
        except (ExpatError, ET.ParseError, ValueError, LookupError) as error:
            why = f"its body is none of this request ({error})"
            raise self._judge.stranger(request, int(response.status_code), response.headers, why) from error


def failure(response: Any) -> HttpResponseError:
    """Make the SDK's error of an answer, with the service's code and words."""
    code, message = response.headers.get("x-ms-error-code", ""), ""
    try:
        root = ET.fromstring(response.text())
    except (ET.ParseError, ValueError):
        pass
    else:
        code = code or root.findtext("Code", "")
        # The lines after the first tell the request and its time, which are told elsewhere.
        message = root.findtext("Message", "").partition("\n")[0]
    error = HttpResponseError(message or str(response.reason or "the service refused"), response=response)
    error.error_code = code  # pyright: ignore[reportAttributeAccessIssue] - as the SDK itself sets it
    return error
