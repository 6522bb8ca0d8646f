"""The sender that goes through the pipeline of the SDK's client.

Credentials, proxies, policies and transports, those of a client that was given too, stay the SDK's. Its own methods are
not used: they copy a body that is not ``bytes``, hash it a second time, and repeat what the core repeats already.
"""

# The SDK types neither its pipelines nor the objects of its transports.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AzureSasCredential
from azure.core.exceptions import AzureError
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest
from azure.storage.blob import BlobServiceClient, ContainerClient
from file_keeper import exc
from file_keeper.types import Buffer

from . import sdk_errors
from .rights import Right, SharedKey, Signature, Token, date
from .settings import Account, AzureSettings, authorities
from .transport import target_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SLICE = 1 << 20
"""Bytes given to the socket at a time: a timeout then counts from the last slice that went out, not from the first."""


class _Slices:
    """A body that is sent without being copied; `len` makes it one of a known length."""

    def __init__(self, body: Buffer):
        self._view = memoryview(body).cast("B")

    def __len__(self) -> int:
        return len(self._view)

    def __iter__(self) -> Iterator[memoryview]:
        for start in range(0, len(self._view), SLICE):
            yield self._view[start : start + SLICE]


class SdkSender:
    """Sends through the pipeline of a client.

    :param container: the SDK's client of the container
    """

    def __init__(self, container: ContainerClient):
        self._container = container
        self._origin, _, rest = container.url.partition("://")
        self._origin += f"://{rest.partition('/')[0]}"
        query = container.url.partition("?")[2]
        self.version: str = container.api_version
        self.right = _right_of(container.credential, query)
        self._signature = query
        self._policy: Any = container._credential_policy
        pipeline: Any = container._pipeline
        self._run = pipeline.run
        # A given client may have a retry policy: the SDK's own takes its number from each request.
        retry: Any = getattr(container._config, "retry_policy", None)
        # The SDK would follow a redirect to any host, and send it the body.
        self._options: dict[str, Any] = {"permit_redirects": False}
        if hasattr(retry, "configure_retries"):
            self._options["retry_total"] = 0

    def send(
        self, method: str, path: str, query: Mapping[str, str], headers: dict[str, str], body: Buffer | None
    ) -> SdkAnswer:
        content: Any = None
        if method in ("PUT", "POST"):
            content = _Slices(body) if body else None
            headers["Content-Length"] = str(len(content) if content else 0)
        url = self._origin + target_of(path, query, self._signature)
        asked = HttpRequest(method, url, headers=headers, content=content)
        with _as_ours(self._container):
            return SdkAnswer(self._run(asked, stream=True, **self._options).http_response, self._container)

    def signed(self, method: str, path: str, query: Mapping[str, str], headers: dict[str, str]) -> str:
        headers["x-ms-date"] = date()
        url = self._origin + target_of(path, query, self._signature)
        request = HttpRequest(method, url, headers=headers)
        if self._policy is not None:
            with _as_ours(self._container):
                self._policy.on_request(PipelineRequest(request, PipelineContext(None, enforce_https=False)))
        headers.update(request.headers)
        return request.url.removeprefix(self._origin)


def _right_of(credential: Any, query: str) -> Right:
    """Return what a client signs with; its requests are signed by its own policies."""
    if hasattr(credential, "account_key"):
        return SharedKey(credential.account_name, credential.account_key)
    if isinstance(credential, AzureSasCredential):
        return Signature(credential)
    if hasattr(credential, "get_token"):
        return Token(credential)
    return Signature(query) if query else Right()


@contextlib.contextmanager
def _as_ours(container: ContainerClient) -> Generator[None]:
    try:
        yield
    except AzureError as error:
        found = sdk_errors.translate(error, container.container_name)
        raise found or error from error


class SdkAnswer:
    """An answer of a pipeline, its body never decoded where it is content."""

    def __init__(self, response: Any, container: ContainerClient):
        self.status = int(response.status_code)
        self.reason = str(response.reason or "")
        self.lines: list[tuple[str, str]] = list(response.headers.items())
        self.headers = {name.lower(): value for name, value in self.lines}
        self._response = response
        self._container = container
        self._chunks: Iterator[bytes] | None = None
        self._rest = memoryview(b"")

    def _next(self) -> memoryview:
        chunks = self._chunks = self._chunks or self._response.iter_raw()
        with _as_ours(self._container):
            return memoryview(next(chunks, b""))

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        target = memoryview(buffer).cast("B")
        self._rest = self._rest or self._next()
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(SLICE), b""))
        self._rest = self._rest or self._next()
        chunk, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return chunk

    def content(self, limit: int) -> bytes:
        """Return the whole body, decoded, or the first bytes of a longer one, and end."""
        found = bytearray()
        try:
            with _as_ours(self._container):
                for chunk in self._response.iter_bytes():
                    found += chunk
                    if len(found) >= limit:
                        break
        finally:
            self.close()
        return bytes(found[:limit])

    def close(self) -> None:
        """Return the connection to the pool; one that still has bytes on it is closed."""
        self._rest = memoryview(b"")
        self._response.close()


def build(found: Account, credential: Any, settings: AzureSettings, *, connections: int) -> BlobServiceClient:
    """Build a client that repeats nothing (the core does) and logs no bodies.

    :param credential: of tokens, or the SDK's own of a signature
    :param settings: resolved
    :param connections: how many are kept
    :raises InvalidStorageConfigurationError: a token over plain HTTP, an address that the SDK cannot read
    """
    right: Any = credential or found.sas or None
    if found.key:
        right = {"account_name": found.name, "account_key": found.key}
    timeout = settings.timeout
    transport = RequestsTransport(
        connection_timeout=timeout, read_timeout=timeout, connection_verify=authorities(settings)
    )
    transport.open()
    # Else `requests` looks for a password in ~/.netrc at every request, and puts it in the place of our signature.
    transport.session.auth = _as_it_is
    for adapter in transport.session.adapters.values():
        # Connections over this number work too, but are not kept.
        adapter.init_poolmanager(10, connections)
    sdk_errors.quiet_logs()
    try:
        more: dict[str, Any] = {"api_version": settings.api_version} if settings.api_version else {}
        if settings.proxies:
            more["proxies"] = dict(settings.proxies)
        if settings.user_agent:
            more["user_agent"] = settings.user_agent
        return BlobServiceClient(found.url, credential=right, transport=transport, retry_total=0, **more)
    except ValueError as error:
        # Its words hold no secret.
        raise exc.InvalidStorageConfigurationError(f"the client cannot be built: {error}") from error


def _as_it_is(request: Any) -> Any:
    """Add nothing to a request: the SDK has signed it."""
    return request
