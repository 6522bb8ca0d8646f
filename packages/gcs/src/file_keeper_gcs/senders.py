"""What sends requests: this library's own client here, the SDK's session in :mod:`.sdk`."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from file_keeper import exc
from file_keeper.backend import http
from file_keeper.types import Buffer

from .answers import ERROR_MAX, Reply, Stream
from .credentials import Tokens, find_credentials, prepare
from .settings import GcsSettings, address, authorities

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

AGENT = "file-keeper"
ACCEPTED = {"Accept-Encoding": "gzip"}
"""Objects that are stored with gzip come as they are stored (transcoding: "Decompressive transcoding")."""


def agent_of(settings: GcsSettings, ours: str = AGENT) -> str:
    """Return what a request says of who sends it."""
    return f"{ours} {settings.user_agent}" if settings.user_agent else ours


class Sender(Protocol):
    """Sends requests with credentials, each once (and once more with a new token where that was refused)."""

    name: str
    """``http`` or ``sdk``."""
    base: str
    """Address of the service."""
    universe: str
    """The domain of the services."""

    @property
    def credentials(self) -> Any:
        """Who is asking: of google-auth, or ``None``."""
        ...

    @property
    def client(self) -> Any:
        """A ``google.cloud.storage.Client`` for the same place."""
        ...

    def send(
        self,
        method: str,
        origin: http.Origin,
        target: str,
        headers: Mapping[str, str],
        body: Sequence[Buffer] = (),
        *,
        secret: bool = False,
    ) -> Reply:
        """Send a request; return its answer, whatever it is. Its body is read, or it is closed, by the caller.

        :param secret: the address must not be told
        """
        ...

    def close(self) -> None:
        """Close what was opened for it."""
        ...


class HttpSender:
    """Sends through :mod:`file_keeper.backend.http`.

    :param settings: resolved
    :param make_client: makes the SDK's client, for who asks for one
    """

    name = "http"

    def __init__(self, settings: GcsSettings, connections: int, make_client: Callable[[Credentials | None], Any]):
        options = settings.client_options
        self.base = address(settings)
        self.universe = str(options.get("universe_domain") or "googleapis.com")
        credentials = prepare(find_credentials(settings), options)
        self._tokens = None if credentials is None else Tokens(credentials, settings)
        self._headers: Mapping[str, str] = {"User-Agent": agent_of(settings), **ACCEPTED}
        proxies = tuple(sorted(settings.proxies.items())) or None
        self._http = http.acquire(http.Config(settings.timeout, authorities(settings), proxies=proxies), connections)
        self._lock = threading.Lock()
        self._client: Any = None
        self._make_client = make_client

    @property
    def credentials(self) -> Any:
        return None if self._tokens is None else self._tokens.credentials

    @property
    def client(self) -> Any:
        with self._lock:
            self._client = self._client or self._make_client(self.credentials)
            return self._client

    def send(
        self,
        method: str,
        origin: http.Origin,
        target: str,
        headers: Mapping[str, str],
        body: Sequence[Buffer] = (),
        *,
        secret: bool = False,
    ) -> Reply:
        tokens = self._tokens
        if tokens is None:
            found = self._http.request(method, origin, target, {**self._headers, **headers}, body)
            if found.status == 401:
                found.close()
                raise exc.PermissionError(
                    "anonymous access is not allowed here: the service wants credentials", status=401
                )
        else:
            known = tokens.headers(method, lambda: f"{origin}{target}")
            found = self._http.request(method, origin, target, {**self._headers, **known, **headers}, body)
            if found.status == 401:
                found.content(ERROR_MAX)
                known = tokens.renew(known, method, f"{origin}{target}")
                found = self._http.request(method, origin, target, {**self._headers, **known, **headers}, body)
        return Reply(found.status, found.reason, found.headers, found.url, found)

    def close(self) -> None:
        http.release(self._http)
        if self._tokens is not None:
            self._tokens.close()
        if self._client is not None:
            self._client.close()


class Unpacked:
    """The bytes that are packed (gzip) in a stream: some answers are, on their way only.

    Reference: "Dynamic compression"; RFC 1952, section 2.2, for several members.
    """

    def __init__(self, stream: Stream):
        self._stream = stream
        self._decoder = zlib.decompressobj(31)
        self._packed = b""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most `size`; ``b""`` at the end.

        :raises ConnectionError: when they are not gzip, or end early
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(BLOCK), b""))
        while size:
            packed = self._packed or self._stream.read(BLOCK)
            if not packed:
                if not self._decoder.eof:
                    raise exc.ConnectionError("the packed content ends before its end", retryable=True)
                return b""
            if self._decoder.eof:
                self._decoder = zlib.decompressobj(31)
            try:
                found = self._decoder.decompress(packed, size)
            except zlib.error as error:
                raise exc.ConnectionError(f"the content is not packed as it says: {error}", retryable=True) from error
            self._packed = self._decoder.unconsumed_tail or self._decoder.unused_data
            if found:
                return found
        return b""

    def readinto(self, buffer: Any, /) -> int:
        """Put the next bytes into a buffer; return how many, 0 at the end."""
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        """Close the stream below."""
        self._stream.close()


BLOCK = 64 << 10
