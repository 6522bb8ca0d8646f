"""The one place that every request to Google goes through.

The SDK's ``AuthorizedSession`` adds the credentials and renews them; everything else is said here: addresses, headers,
conditions, timeouts. Its own layer of ``Blob`` and ``Bucket`` hides requests behind properties and is not used.
"""

# The SDK has no stubs: what it gives is unknown to the type checker, here only; its session is reached as
# `client._http`, the name under which its own modules use it.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportPrivateUsage=false

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import requests
from file_keeper import exc
from file_keeper.backend import refuse_redirect
from file_keeper.types import Buffer
from google.api_core.exceptions import GoogleAPICallError, from_http_status
from requests.adapters import HTTPAdapter

from .answers import EXPECTED, SERVICE, Prover

SLICE = 256 << 10
"""Bytes that are given to a socket at a time: its timeout is for each, so that a slow line is not a dead one."""

JOINED = 32 << 10
"""Bodies up to this size are copied behind their head: one packet is cheaper than two."""

_SECRET = re.compile(r"upload_id=[^&\s'\")]+")


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


def redacted(text: str) -> str:
    """Return a text without the secret of a session's address."""
    return _SECRET.sub("upload_id=***", text)


class Slices:
    """A body of several buffers, sent as they lie in memory. It has a length and can be sent again."""

    def __init__(self, *buffers: Buffer):
        self._views = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
        self._size = sum(map(len, self._views))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[memoryview]:
        for view in self._views:
            for start in range(0, len(view), SLICE):
                yield view[start : start + SLICE]


def body_of(*buffers: Buffer) -> bytes | Slices:
    """Return a request body of several buffers, copied only when they are small."""
    whole = Slices(*buffers)
    return b"".join(buffers) if len(whole) <= JOINED else whole


class Transport:
    """Sends requests for one bucket through the session of one client.

    :param client: a ``google.cloud.storage.Client``
    :param timeout: seconds without a byte, also to connect
    :param connections: how many are kept open; ``None`` leaves the session as its owner made it
    :param storage_class: of what is made here, ``""`` for the bucket's default
    """

    def __init__(self, client: Any, bucket: str, timeout: float, connections: int | None, storage_class: str = ""):
        self.client = client
        self.bucket = bucket
        self.storage_class = {"storageClass": storage_class} if storage_class else {}
        self.session: requests.Session = client._http
        connection = client._connection
        self.base: str = connection.get_api_base_url_for_mtls().rstrip("/")
        host = urlsplit(self.base).hostname or ""
        self.is_google = f".{host}".endswith((".googleapis.com", f".{client.universe_domain}"))
        self._prover = Prover(known=self.is_google, ask=self._buckets)
        self._timeout = (timeout, timeout)
        self._headers = {
            "User-Agent": str(connection.user_agent).strip(),
            # Objects that are stored with gzip come as they are stored (transcoding: "Decompressive transcoding").
            "Accept-Encoding": "gzip",
            **(getattr(client, "_extra_headers", None) or {}),
        }
        if connections is not None:
            if not getattr(self.session, "is_mtls", False):
                adapter = HTTPAdapter(pool_connections=4, pool_maxsize=connections, max_retries=0)
                self.session.mount("https://", adapter)
                self.session.mount("http://", adapter)
            # Else `requests` looks through the environment for proxies and certificates, and into ~/.netrc for a
            # password, at every request: a fifth of what a small one costs.
            environment = self.session.merge_environment_settings(self.base, {}, None, None, None)
            self.session.proxies = environment["proxies"]
            self.session.verify = environment["verify"]
            self.session.trust_env = False
        for name in ("urllib3.connectionpool", "google.auth.transport.requests"):
            logging.getLogger(name).addFilter(_REDACT)

    @property
    def credentials(self) -> Any:
        """Who is asking."""
        return self.client._credentials

    def path(self, key: str | None = None, start: str = "/storage/v1", *, bucket: str = "") -> str:
        """Return the path of an object, or of the bucket's objects; `bucket` is another one than its own."""
        tail = "" if key is None else f"/{quote(key, safe='')}"
        return f"{start}/b/{quote(bucket or self.bucket, safe='')}/o{tail}"

    def request(self, operation: str, method: str, path: str, *args: Any, **options: Any) -> requests.Response:
        """Make a request as :meth:`exchange` does; return its answer."""
        return self.exchange(operation, method, path, *args, **options)[0]

    def exchange(
        self,
        operation: str,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Slices | None = None,
        stream: bool = False,
        secret: bool = False,
    ) -> tuple[requests.Response, dict[str, Any]]:
        """Make one request; return its answer and the resource that this is.

        :param operation: as :mod:`.answers` names it, with what its answer must be
        :param path: below the endpoint, or a whole address
        :param stream: leave the answer's body unread
        :param secret: the address must not be told, nor the answer's own id
        :raises GoogleAPICallError: for a refusal
        :raises ConnectionError: when someone else than Google answers, or sends elsewhere
        :raises requests.RequestException, google.auth.exceptions.GoogleAuthError: when there was none
        """
        response = self._send(method, path, params, headers, body, stream=stream, secret=secret)
        try:
            status = response.status_code
            if status // 100 == 3 and (
                status not in EXPECTED[operation].answer.statuses or "Location" in response.headers
            ):
                raise refuse_redirect(SERVICE, response.url, response.headers.get("Location", ""), "endpoint")
            if status >= 400 and status not in EXPECTED[operation].answer.statuses:
                self._prover.check_refusal(operation, response)
                raise _refusal(response, secret=secret)
            return response, self._prover.check(operation, response)
        except BaseException:
            response.close()
            raise

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Slices | None = None,
        *,
        stream: bool = False,
        secret: bool = False,
    ) -> requests.Response:
        url = path if "://" in path else self.base + path
        elsewhere = not url.startswith(self.base)
        if params:
            url += ("&" if "?" in url else "?") + urlencode(params, quote_via=quote, safe=",()")
        sent: requests.Response | Exception
        try:
            sent = self.session.request(
                method,
                url,
                data=cast("Any", body),
                headers={**self._headers, **(headers or {})},
                timeout=self._timeout,
                stream=stream,
                # A 308 of a session is no redirect, and nothing else of this API is one: see `refuse_redirect`.
                allow_redirects=False,
                proxies=_proxies(url) if elsewhere else None,
            )
        except requests.RequestException as error:
            if not secret:
                raise
            sent = type(error)(redacted(str(error)))
        if isinstance(sent, Exception):
            # Outside of the handler: the original, which quotes the address, is not even its context.
            raise sent
        return sent

    def _buckets(self) -> requests.Response:
        """Ask who is there; see :class:`.answers.Prover`."""
        return self._send("GET", "/storage/v1/b", {"project": "none", "maxResults": "1", "fields": "kind"})

    def json(
        self, operation: str, method: str, path: str, params: Mapping[str, str] | None = None, body: Any = None
    ) -> dict[str, Any]:
        """Make a request of the JSON API; return the resource that the answer is."""
        return self.exchange(
            operation,
            method,
            path,
            params,
            headers={"Content-Type": "application/json"} if body is not None else None,
            body=None if body is None else json.dumps(body).encode(),
        )[1]

    def insert(self, resource: Mapping[str, Any], data: Buffer, params: Mapping[str, str]) -> dict[str, Any]:
        """Write an object, its metadata and its data in one request.

        Reference: "Upload objects from memory", multipart upload (``uploadType=multipart``).
        """
        boundary = uuid.uuid4().hex
        kind = resource.get("contentType", "application/octet-stream")
        head = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(resource)}"
            f"\r\n--{boundary}\r\nContent-Type: {kind}\r\n\r\n"
        )
        return self.exchange(
            "objects.insert",
            "POST",
            self.path(start="/upload/storage/v1"),
            {"uploadType": "multipart", **params},
            headers={"Content-Type": f"multipart/related; boundary={boundary}"},
            body=body_of(head.encode(), data, f"\r\n--{boundary}--\r\n".encode()),
        )[1]

    def session_address(self, address: str) -> str:
        """Return the address of a session at this endpoint, wherever the text it is kept in says that it lies.

        The text comes from a user's record: the credentials must not follow it to another host.

        :raises MissingFileError: when it is no such address
        """
        try:
            parts = urlsplit(address)
        except ValueError:
            parts = urlsplit("")
        if not parts.path.startswith("/") or "upload_id=" not in parts.query:
            raise exc.MissingFileError("there is no such upload")
        own = urlsplit(self.base)
        path = parts.path if not own.path or parts.path.startswith(f"{own.path}/") else own.path + parts.path
        return f"{own.scheme}://{own.netloc}{path}?{parts.query}"


def _refusal(response: requests.Response, *, secret: bool) -> GoogleAPICallError:
    """Make the SDK's exception of an answer, without the address in its text."""
    message, errors = explained(response.content, response.headers.get("Content-Type", ""))
    if secret:
        response.request = requests.PreparedRequest()
        response.url = ""
        for name in ("X-GUploader-UploadID", "Location"):
            response.headers.pop(name, None)
        message = redacted(message)
    text = message or response.reason or f"status {response.status_code}"
    return from_http_status(response.status_code, text, errors=errors, response=response)


def explained(content: bytes, kind: str) -> tuple[str, list[Any]]:
    """Return the message and the list of reasons of an error document, which is JSON, plain text or XML."""
    try:
        found = json.loads(content)
        error = found["error"]
        if isinstance(error, dict):
            return str(error.get("message", "")), list(error.get("errors") or [])
        return f"{error} {found.get('error_description', '')}".strip(), []
    except (ValueError, KeyError, TypeError):
        text = content.decode("utf-8", "replace").strip()
    if "html" in kind or text.startswith("<"):
        text = re.sub(r"<[^>]*>", " ", text)
    return " ".join(text.split())[:500], []


def _proxies(url: str) -> Any:
    """Return the environment's proxies for an address beside the endpoint, instead of those for the endpoint."""
    return {"http": None, "https": None, "all": None, **requests.utils.get_environ_proxies(url, None)}
