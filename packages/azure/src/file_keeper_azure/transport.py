"""The one place where a request is made: addresses, bodies, checksums, answers.

Two senders bring it there: :class:`HttpSender` through the core's client, :class:`.sdk.SdkSender` through the pipeline
of the SDK's client, for clients that are given and for proxies that only the SDK can use.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit
from xml.parsers.expat import ExpatError

from file_keeper import hashing
from file_keeper.backend.http import Client, Origin, Response
from file_keeper.types import Buffer

from .answers import Judge, Request
from .errors import ERROR_MAX, RefusedError, refused
from .rights import Right, date

T = TypeVar("T")

VERSION = "2026-10-06"
"""The version of the protocol."""

ANSWER_MAX = 256 << 20
"""Bytes that are read of an answer that is no content: the longest page of a listing is shorter."""

_AGENT = "file-keeper-azure"

Headers = Mapping[str, str]


def crc64(body: Buffer) -> str:
    """Return the checksum of a body for ``x-ms-content-crc64``: CRC-64/NVME, little-endian, in base64.

    It is some fifteen times as fast as an MD5, and the service compares it before it takes the body.
    """
    hasher = hashing.new("crc64nvme")
    hasher.update(body)
    return base64.b64encode(hasher.digest()[::-1]).decode("ascii")


class Raw(Protocol):
    """An answer whose body is under way: :class:`file_keeper.backend.http.Response` is one.

    ``headers`` have names in lower case, ``lines`` have them as they were spelled.
    """

    @property
    def status(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def lines(self) -> list[tuple[str, str]]: ...
    def read(self, size: int = -1, /) -> bytes: ...
    def readinto(self, buffer: Any, /) -> int: ...
    def content(self, limit: int) -> bytes: ...
    def close(self) -> None: ...


class Sender(Protocol):
    """Sends a request about one account, by one right, once."""

    right: Right
    """What links, and the sources of copies, are signed by."""
    version: str
    """That of the protocol."""

    def send(self, method: str, path: str, query: Headers, headers: dict[str, str], body: Buffer | None) -> Raw:
        """Send a request and return its answer, whatever that is.

        :param path: as it is sent
        :param query: not encoded
        """
        ...

    def signed(self, method: str, path: str, query: Headers, headers: dict[str, str]) -> str:
        """Add to the headers of a part of a batch what gives it the right, and return its path with its query."""
        ...


class HttpSender:
    """Sends through the core's client."""

    def __init__(self, client: Client, url: str, right: Right, *, version: str = "", agent: str = ""):
        self.client = client
        self.version = version or VERSION
        self._agent = f"{_AGENT} {agent}" if agent else _AGENT
        self.right = right
        self._origin = Origin.of(url)

    def send(self, method: str, path: str, query: Headers, headers: dict[str, str], body: Buffer | None) -> Response:
        buffers = () if body is None else (body,)
        size = 0 if body is None else memoryview(body).nbytes
        headers["User-Agent"] = self._agent
        target = self._signed(method, path, query, headers, size)
        response = self.client.request(method, self._origin, target, headers, buffers)
        if response.status == 401:
            challenge = response.headers.get("www-authenticate", "")
            if self.right.renew(headers.get("Authorization", "").removeprefix("Bearer "), challenge):
                response.content(ERROR_MAX)
                target = self._signed(method, path, query, headers, size)
                response = self.client.request(method, self._origin, target, headers, buffers)
        return response

    def _signed(self, method: str, path: str, query: Headers, headers: dict[str, str], size: int) -> str:
        headers["x-ms-date"] = date()
        self.right.sign(method, path, query, headers, size)
        return target_of(path, query, self.right.signature())

    def signed(self, method: str, path: str, query: Headers, headers: dict[str, str]) -> str:
        return self._signed(method, path, query, headers, 0)


def target_of(path: str, query: Headers, signature: str = "") -> str:
    """Return a path with its query, encoded."""
    if not query:
        return f"{path}?{signature}" if signature else path
    pairs = "&".join([f"{name}={quote(value, safe='')}" for name, value in query.items()])
    return f"{path}?{pairs}&{signature}" if signature else f"{path}?{pairs}"


class Reply:
    """What the service answered, a success.

    :param body: all of it; ``b""`` where it is under way in `raw`
    """

    __slots__ = ("body", "headers", "raw")

    def __init__(self, raw: Raw, body: bytes = b""):
        self.raw = raw
        self.headers = raw.headers
        self.body = body


class Wire:
    """Makes requests about one container, and judges their answers.

    :param url: of the account, without a signature
    :param standing: headers that are added, by the name of the operation
    """

    def __init__(
        self, sender: Sender, url: str, container: str, standing: Mapping[str, Mapping[str, str]] | None = None
    ):
        parts = urlsplit(url)
        self.sender = sender
        self._standing = standing or {}
        self.name = container
        self._account = parts.path.rstrip("/")
        self._path = f"{self._account}/{quote(container)}"
        self.base = f"{parts.scheme}://{parts.netloc}{self._path}"
        self._judge = Judge(self.base)
        self.copies_at_once = True
        """Whether the service was not seen to copy in the background what was to be done when it answers."""

    def address(self, key: str = "", base: str = "") -> str:
        """Return the plain address of a blob, or of the container."""
        return f"{base or self.base}/{_quoted(key)}" if key else base or self.base

    def path(self, key: str = "") -> str:
        """Return the path of a blob, or of the container."""
        return f"{self._path}/{_quoted(key)}" if key else self._path

    def send(
        self,
        request: Request,
        key: str = "",
        query: Mapping[str, str] | None = None,
        headers: Headers | None = None,
        body: Buffer | None = None,
        *,
        stream: bool = False,
    ) -> Reply:
        """Send one request, once, and return its answer, read to the end unless `stream` is asked for.

        :param key: of the blob; ``""`` for the container
        :raises RefusedError: when the service refuses
        :raises ConnectionError: when somebody else answers
        """
        path = self._account or "/" if request.of_account else self.path(key)
        sent = {"x-ms-version": self.sender.version, **headers} if headers else {"x-ms-version": self.sender.version}
        if self._standing and (added := self._standing.get(request.name)):
            sent.update(added)
        if request.method in ("PUT", "POST"):
            # Unnamed, the client or the service would choose one; it is never the blob's.
            sent.setdefault("Content-Type", "application/octet-stream")
        asked = {**request.query, **query} if query else request.query
        raw = self.sender.send(request.method, path, asked, sent, body)
        status = raw.status
        if status < 300:
            try:
                self._judge.accept(request, status, raw.headers)
                return Reply(raw) if stream else Reply(raw, raw.content(ANSWER_MAX))
            except BaseException:
                raw.close()
                raise
        words = raw.content(ERROR_MAX)
        create = sent.get("If-None-Match") == "*"
        raise self._refusal(request, status, raw.reason, raw.headers, words, create=create)

    def judge(self, request: Request, status: int, reason: str, headers: Headers, body: bytes) -> None:
        """Let the service's success in a part of a batch pass.

        :raises RefusedError: when the service refuses
        :raises ConnectionError: when it is not the service that answers
        """
        if status < 300:
            self._judge.accept(request, status, headers)
        else:
            raise self._refusal(request, status, reason, headers, body)

    def _refusal(
        self, request: Request, status: int, reason: str, headers: Headers, body: bytes, *, create: bool = False
    ) -> RefusedError:
        """Return the error for a refusal.

        :raises ConnectionError: it is a redirect, or not of the service
        """
        error = refused(status, reason, headers, body, create=create)
        self._judge.accept_refusal(request, status, error.code, headers)
        return error

    def read(self, request: Request, reply: Reply, parse: Callable[[bytes], T]) -> T:
        """Return what a parser finds in an answer.

        :raises ConnectionError: when that is not what the service answers
        """
        try:
            return parse(reply.body)
        except (ExpatError, ValueError, LookupError) as error:
            why = f"its body is none of this request ({error})"
            raise self._judge.stranger(request, reply.raw.status, reply.headers, why) from error


def _quoted(key: str) -> str:
    return quote(key, safe="~/")
