"""The other sender: the session of Google's own client, for what ours does not cover, and what it raises."""

# The SDK has no stubs: what it gives is unknown to the type checker, here only; its session is reached as
# `client._http`, the name under which its own modules use it.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportPrivateUsage=false

from __future__ import annotations

import builtins
import http.client
import logging
import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import requests
import urllib3
from file_keeper import exc
from file_keeper.backend import redact
from file_keeper.backend.http import Origin
from file_keeper.types import Buffer
from requests.adapters import HTTPAdapter

from .answers import Reply, redacted
from .credentials import find_credentials
from .senders import ACCEPTED, AGENT, agent_of
from .settings import GcsSettings, address, authorities

SLICE = 256 << 10
"""Bytes that are given to a socket at a time: its timeout is for each, so that a slow line is not a dead one."""

REFUSED = 401

JOINED = 32 << 10
"""Bodies up to this size are copied behind their head: one packet is cheaper than two."""


class _Redact(logging.Filter):
    """Takes the addresses of sessions, which are as good as a password, out of what the libraries below log."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(redacted(each) if isinstance(each, str) else each for each in record.args)
        request = getattr(record, "httpRequest", None)
        if isinstance(request, dict) and "upload_id=" in str(request.get("url", "")):
            record.httpRequest = {**request, "url": redacted(str(request["url"]))}
        return True


_REDACT = _Redact()


class Slices:
    """A body of several buffers, sent as they lie in memory. It has a length and can be sent again."""

    def __init__(self, buffers: Sequence[Buffer]):
        self._views = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
        self._size = sum(map(len, self._views))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[memoryview]:
        for view in self._views:
            for start in range(0, len(view), SLICE):
                yield view[start : start + SLICE]


class _Stream:
    """The body of an answer, as it comes through the session's connection."""

    def __init__(self, response: requests.Response):
        self._response = response

    def read(self, size: int = -1, /) -> bytes:
        return self._response.raw.read(None if size < 0 else size, decode_content=False)

    def readinto(self, buffer: Any, /) -> int:
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def content(self, limit: int) -> bytes:
        if self._response.status_code == REFUSED:
            return self._response.content[:limit]
        try:
            chunks: list[bytes] = []
            while limit > 0 and (chunk := self.read(limit)):
                chunks.append(chunk)
                limit -= len(chunk)
            return b"".join(chunks)
        finally:
            self.close()

    def close(self) -> None:
        """Return the connection to the pool; one that has bytes left is closed."""
        self._response.close()


def _read_refused(response: requests.Response, **_more: Any) -> None:
    """Read an answer that the session throws away, to ask with another token: its connection is left open else."""
    if response.status_code == REFUSED:
        _ = response.content


class SdkSender:
    """Sends through the ``AuthorizedSession`` of a ``google.cloud.storage.Client``.

    :param settings: resolved
    :param connections: how many are kept open, where the client is our own
    """

    name = "sdk"

    def __init__(self, settings: GcsSettings, connections: int):
        self._is_own = settings.client is None
        self.client: Any = make_client(settings, find_credentials(settings)) if self._is_own else settings.client
        connection = self.client._connection
        self.base: str = connection.get_api_base_url_for_mtls().rstrip("/")
        self.universe = str(getattr(self.client, "universe_domain", "") or "googleapis.com")
        self._session: requests.Session = self.client._http
        self._given_proxies = False
        self._timeout = (settings.timeout, settings.timeout)
        self._headers = {
            "User-Agent": agent_of(settings, str(connection.user_agent).strip()),
            **ACCEPTED,
            **(getattr(self.client, "_extra_headers", None) or {}),
        }
        if self._is_own:
            self._set_up(connections, authorities(settings), settings.proxies)
        for name in ("urllib3.connectionpool", "google.auth.transport.requests"):
            logging.getLogger(name).addFilter(_REDACT)

    def _set_up(self, connections: int, verify: bool | str, proxies: Mapping[str, str]) -> None:
        session = self._session
        if not getattr(session, "is_mtls", False):
            adapter = HTTPAdapter(pool_connections=4, pool_maxsize=connections, max_retries=0)
            session.mount("https://", adapter)
            session.mount("http://", adapter)
        # Else `requests` looks through the environment for proxies and certificates, and into ~/.netrc for a
        # password, at every request: a fifth of what a small one costs.
        session.proxies = (
            dict(proxies) or session.merge_environment_settings(self.base, {}, None, None, None)["proxies"]
        )
        self._given_proxies = bool(proxies)
        session.verify = verify
        session.trust_env = False

    @property
    def credentials(self) -> Any:
        """Who is asking."""
        return self.client._credentials

    def send(
        self,
        method: str,
        origin: Origin,
        target: str,
        headers: Mapping[str, str],
        body: Sequence[Buffer] = (),
        *,
        secret: bool = False,
    ) -> Reply:
        """Send a request; see :class:`.senders.Sender`.

        :raises requests.RequestException, google.auth.exceptions.GoogleAuthError: when there was no answer
        """
        url = f"{origin}{target}"
        whole = Slices(body)
        sent: requests.Response | Exception
        try:
            sent = self._session.request(
                method,
                url,
                data=cast("Any", b"".join(body) if len(whole) <= JOINED else whole),
                headers={**self._headers, **headers},
                timeout=self._timeout,
                stream=True,
                hooks={"response": _read_refused},
                # A 308 of a session is no redirect, and nothing else of this API is one: see `refuse_redirect`.
                allow_redirects=False,
                proxies=None if self._given_proxies or self._is_own_place(origin) else _proxies(url),
            )
        except requests.RequestException as error:
            if not secret:
                raise
            sent = type(error)(redacted(str(error)))
        if isinstance(sent, Exception):
            # Outside of the handler: the original, which quotes the address, is not even its context.
            raise sent
        found = {name.lower(): value for name, value in sent.headers.items()}
        return Reply(sent.status_code, sent.reason or "", found, f"{origin}{target.partition('?')[0]}", _Stream(sent))

    def _is_own_place(self, origin: Origin) -> bool:
        return urlsplit(self.base).hostname == origin.host

    def close(self) -> None:
        """Close the client, if it is our own."""
        if self._is_own:
            self.client.close()


def _proxies(url: str) -> Any:
    """Return the environment's proxies for an address beside the endpoint, instead of those for the endpoint."""
    return {"http": None, "https": None, "all": None, **requests.utils.get_environ_proxies(url, None)}


def make_client(settings: GcsSettings, credentials: Any) -> Any:
    """Make the SDK's client; it does no network I/O before its first request.

    :param settings: resolved
    :param credentials: as :func:`.credentials.find_credentials` found them
    :raises InvalidStorageConfigurationError: for options that the client does not know
    """
    from google.api_core.client_info import ClientInfo
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    options = dict(settings.client_options)
    own = credentials is None and not settings.anonymous and (options.get("credentials_file") or options.get("api_key"))
    if settings.endpoint or options.get("api_endpoint") or os.environ.get("STORAGE_EMULATOR_HOST"):
        options["api_endpoint"] = address(settings)
    try:
        return storage.Client(
            project=settings.project_id or None,
            credentials=None if own else credentials or AnonymousCredentials(),
            client_options=options,
            client_info=ClientInfo(user_agent=AGENT),
        )
    except ValueError as error:
        raise exc.InvalidStorageConfigurationError(f"the client cannot be made: {error}") from error


# -- what it raises ---------------------------------------------------------------------------------------------------


def translate(error: BaseException) -> exc.FilesError | None:
    """Turn what happened below HTTP. Texts of the transport may hold addresses: only the innermost one is told."""
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return exc.InvalidStorageConfigurationError("the endpoint is not an address that can be connected to")
    text = _innermost(error)
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | builtins.TimeoutError):
        return exc.TimeoutError(f"the service did not answer in time: {text}", retryable=True)
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError | ssl.SSLError):
        certain = "certificate" in str(error).lower()
        return exc.ConnectionError(f"no secure connection to the service: {text}", retryable=not certain)
    if isinstance(
        error,
        requests.ConnectionError
        | requests.exceptions.ChunkedEncodingError
        | requests.exceptions.ContentDecodingError
        | urllib3.exceptions.HTTPError
        | http.client.HTTPException
        | builtins.ConnectionError,
    ):
        return exc.ConnectionError(f"the connection to the service failed: {text}", retryable=True)
    if isinstance(error, requests.RequestException):
        return exc.StorageError(f"the request could not be made: {text}")
    return None


def _innermost(error: BaseException) -> str:
    """Return the text of the error that another one was made of, the last in the chain that says something."""
    seen: list[BaseException] = [error]
    while len(seen) < 10:
        last: Any = seen[-1]
        inner = getattr(last, "reason", None) or next(
            (each for each in last.args if isinstance(each, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        seen.append(inner)
    text = str(seen[-1]).rpartition(">: ")[2] or type(seen[-1]).__name__
    return redact(text)[:300]
