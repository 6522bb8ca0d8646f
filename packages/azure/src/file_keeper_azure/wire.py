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
import io
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from azure.core.credentials import AzureSasCredential
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest
from azure.storage.blob import ContainerClient
from file_keeper import hashing
from file_keeper.types import Buffer

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SLICE = 1 << 20
"""Bytes given to the socket at a time: a timeout then counts from the last slice that went out, not from the first."""

Headers = Mapping[str, str]


def crc64(body: Buffer) -> str:
    """Give the checksum of a body for ``x-ms-content-crc64``: CRC-64/NVME, little-endian, in base64.

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


class BodyStream(io.RawIOBase):
    """The body of an answer as a stream, never decoded."""

    def __init__(self, response: Any):
        super().__init__()
        self._response = response
        self._chunks: Iterator[bytes] = response.iter_raw()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        target = memoryview(buffer).cast("B")
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return b"".join((bytes(self._rest), *self._chunks))
        if not self._rest:
            chunk = next(self._chunks, b"")
            if len(chunk) <= size:
                return chunk
            self._rest = memoryview(chunk)
        chunk, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return chunk

    def close(self) -> None:
        """Give the connection back; one that still has bytes on it is closed."""
        if not self.closed:
            self._rest = memoryview(b"")
            self._response.close()
            super().close()


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
        self.run_options: dict[str, Any] = {"retry_total": 0} if hasattr(policy, "configure_retries") else {}

    def address(self, key: str = "", base: str = "") -> str:
        """Give the plain address of a blob, or of the container."""
        return f"{base or self.base}/{quote(key, safe='~/')}" if key else base or self.base

    def given_signature(self) -> str:
        """Give the signature that all requests are made with, ``""`` when there is another right, or none."""
        if isinstance(self.credential, AzureSasCredential):
            return self.credential.signature.lstrip("?")
        return self.signature

    def send(
        self,
        method: str,
        key: str = "",
        query: Mapping[str, str] | None = None,
        headers: Headers | None = None,
        body: Buffer | None = None,
        *,
        stream: bool = False,
    ) -> Any:
        """Send one request, once, and give its answer, read to the end unless `stream` is asked for.

        :param key: of the blob; ``""`` for the container
        :raises HttpResponseError: for every status that is not of success, with the service's code as ``error_code``
        """
        pairs = [f"{name}={quote(value, safe='')}" for name, value in (query or {}).items()]
        if self.signature:
            pairs.append(self.signature)
        url = self.address(key) + ("?" + "&".join(pairs) if pairs else "")
        sent = {"x-ms-version": self._version, **(headers or {})}
        content: Any = None
        if method == "PUT":
            content = _Slices(body) if body else None
            sent["Content-Length"] = str(len(content) if content else 0)
            # Unnamed, the transport or the service would choose one; it is never the blob's.
            sent.setdefault("Content-Type", "application/octet-stream")
        request = HttpRequest(method, url, headers=sent, content=content)
        response = self._run(request, stream=True, **self.run_options).http_response
        if response.status_code >= 300:
            with response:
                response.read()
            raise failure(response)
        if not stream:
            with response:
                response.read()
        return response


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
