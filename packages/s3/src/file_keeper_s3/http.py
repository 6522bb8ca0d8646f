"""The sender of our own: requests put together and signed here, sent by the core's HTTP client."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from file_keeper.backend import refuse_redirect, stranger
from file_keeper.backend.http import Client, Config, Origin, Response, acquire, release
from file_keeper.types import Buffer

from . import errors, xml
from .operations import Operation, Request, encoded, encoded_bucket, request_of
from .reply import Refusal, Reply
from .sdk import Clients
from .settings import S3Settings, is_aws, service_at
from .sigv4 import EMPTY, UNSIGNED, Credentials, Signer

LISTING_MAX = 64 << 20
ERROR_MAX = 1 << 20
"""Bytes of an answer that are read into memory, so that none fills it."""

_AGENT = "file-keeper-s3"
_STYLE = re.compile(errors.PATH_STYLE)
log = logging.getLogger("file_keeper")
_REDIRECTS = (301, 302, 303, 307, 308)
_ERROR = re.compile(rb"\s*(?:<\?xml[^>]*\?>)?\s*<Error[\s>]")
_LISTINGS = ("ListObjectsV2", "ListObjects")

CONNECTIONS = 64
"""Connections that are kept open at least: batches and programs with many threads do not open one a request."""


class Place:
    """Where the bucket is: an origin, the path of its objects, and the region that requests are signed for."""

    __slots__ = ("base", "origin", "region", "root")

    def __init__(self, url: str, region: str):
        parts = urlsplit(url)
        self.origin = Origin.of(url)
        self.base = parts.path.rstrip("/") + "/"
        self.root = self.base.rstrip("/") or "/"
        self.region = region


class HTTPSender:
    """Sends the requests of one bucket.

    :param clients: who knows credentials, endpoints and regions where the settings do not say them
    """

    kind = "http"

    def __init__(self, clients: Clients, bucket: str):
        self._clients = clients
        self._bucket = bucket
        agent = clients.settings.user_agent
        self._agent = f"{_AGENT} {agent}" if agent else _AGENT
        self._signs = False
        self._lock = threading.Lock()
        self._signer = Signer()
        self._client: Client | None = None
        self._place: Place | None = None
        self._find_credentials: Callable[[], Credentials | None] | None = None

    def request(self, name: str, body: Buffer | None, /, **params: Any) -> Reply:
        """Make a request of an operation.

        :raises Refusal: the service says no
        :raises ConnectionError: somebody else answers, or nobody
        """
        asked = request_of(name, body, params)
        place = self._place or self._make_place()
        reply = self._sent(asked, place)
        if isinstance(reply, Refusal):
            if (region := self._other_region(reply, asked, place)) and region != place.region:
                reply = self._sent(asked, self._moved(place, region))
            elif (other := self._other_style(reply, place)) is not None:
                # The key lies at another path, the signature covers another host.
                found = self._sent(asked, other)
                if not isinstance(found, Refusal) or not _STYLE.fullmatch(found.code):
                    self._place = other
                    log.warning(
                        "%s wants the bucket in the host name (%s): so it is asked from now on; 'addressing': "
                        "'virtual' spares the attempt", place.origin, reply.code,
                    )  # fmt: skip
                    reply = found
            if isinstance(reply, Refusal):
                raise reply
        return reply

    # -- one request ------------------------------------------------------------------------------------------------

    def _sent(self, asked: Request, place: Place) -> Reply | Refusal:
        operation = asked.operation
        path = place.base + encoded(asked.key) if asked.key else place.root
        headers = {**asked.headers, "Accept-Encoding": "identity", "User-Agent": self._agent}
        body: Buffer | None = asked.body
        find = self._find_credentials or self._make_credentials()
        if (credentials := find()) is not None:
            self._signer.sign(
                credentials,
                place.region,
                operation.method,
                place.origin.authority,
                path,
                asked.query,
                headers,
                self._payload(place, body),
            )
        again = operation.again and not (
            operation.method != "GET" and ("If-Match" in headers or "If-None-Match" in headers)
        )
        client = self._client or self._make_client()
        response = client.request(
            operation.method,
            place.origin,
            f"{path}?{asked.sent}" if asked.sent else path,
            headers,
            (body,) if body is not None else (),
            again=again,
        )
        return self._judged(operation, place, response)

    def _payload(self, place: Place, body: Buffer | None) -> str:
        if body is None or not len(body):
            return EMPTY
        if place.origin.secure and not self._signs_bodies:
            # As botocore is told to: TLS protects it on the way, and content has a checksum that is signed.
            return UNSIGNED
        return hashlib.sha256(body).hexdigest()

    @property
    def _signs_bodies(self) -> bool:
        return self._signs or bool(self._clients.settings.config.get("s3", {}).get("payload_signing_enabled"))

    def sign_payloads(self) -> None:
        """Sign each body from now on."""
        self._signs = True

    def _judged(self, operation: Operation, place: Place, response: Response) -> Reply | Refusal:
        status, headers = response.status, response.headers
        if status < 300:
            if operation.name == "GetObject":
                return Reply(status, headers, body=response)
            content = response.content(LISTING_MAX if operation.xml else ERROR_MAX) if response.length != 0 else b""
            if content and "html" in headers.get("content-type", ""):
                raise stranger(self._service(place), operation.name, status, headers, "it is a page for people")
            if not operation.xml:
                return Reply(status, headers)
            if _ERROR.match(content):
                # API Reference, CopyObject and CompleteMultipartUpload: a failure after the head was sent.
                return self._refusal(operation, place, 500, "", headers, content)
            return Reply(status, headers, self._parsed(operation, place, status, headers, content))
        return self._refusal(operation, place, status, response.reason, headers, response.content(ERROR_MAX))

    def _parsed(
        self, operation: Operation, place: Place, status: int, headers: Mapping[str, str], content: bytes
    ) -> Mapping[str, Any]:
        try:
            root, found = (xml.parse_listing if operation.name in _LISTINGS else xml.parse)(content)
        except ValueError as error:
            raise stranger(self._service(place), operation.name, status, headers, str(error)[:120]) from error
        if operation.xml in ("CopyObjectResult", "CopyPartResult") and root == operation.xml:
            return {root: found}
        return found

    def _refusal(
        self, operation: Operation, place: Place, status: int, reason: str, headers: Mapping[str, str], content: bytes
    ) -> Refusal:
        code, said = str(status), reason
        fields: Mapping[str, Any] = {}
        if content and (b"<Error" in content[:1000] or b"<Code>" in content[:1000]):
            try:
                _, fields = xml.parse(content)
            except ValueError:
                fields = {}
            code, said = str(fields.get("Code") or code), str(fields.get("Message") or "")
        if status in _REDIRECTS and not headers.get("x-amz-bucket-region") and not fields.get("Region"):
            # A redirect is never followed; one that names the region of the bucket is an answer.
            where = str(place.origin)
            raise refuse_redirect(self._service(place), where, headers.get("location", ""), "endpoint")
        return Refusal(operation.name, status, code, said, headers, fields)

    def _service(self, place: Place) -> str:
        return service_at(str(place.origin))

    # -- where and who ----------------------------------------------------------------------------------------------

    def _make_place(self) -> Place:
        with self._lock:
            if self._place is None:
                self._place = self._found_place(self._clients.settings)
            return self._place

    def _found_place(self, settings: S3Settings) -> Place:
        if settings.endpoint and settings.region:
            return Place(self._with_bucket(settings.endpoint, settings), settings.region)
        # The rules of endpoints, and what the configuration files and the environment say of them, are botocore's.
        return Place(self._clients.bucket_url(self._bucket), self._clients.region)

    def _with_bucket(self, endpoint: str, settings: S3Settings, style: str = "") -> str:
        addressing = style or settings.addressing
        if addressing == "auto":
            addressing = str(settings.config.get("s3", {}).get("addressing_style") or "path")
        parts = urlsplit(endpoint)
        if addressing == "virtual" and not _is_address(parts.hostname or ""):
            return parts._replace(netloc=f"{self._bucket}.{parts.netloc}").geturl()
        return f"{endpoint.rstrip('/')}/{encoded_bucket(self._bucket)}"

    def _other_style(self, refusal: Refusal, place: Place) -> Place | None:
        """Return the place with the bucket in its host name, where a service refuses it in the path."""
        settings = self._clients.settings
        if settings.addressing != "auto" or not settings.endpoint or not _STYLE.fullmatch(refusal.code):
            return None
        url = self._with_bucket(settings.endpoint, settings, "virtual")
        return None if Place(url, place.region).origin == place.origin else Place(url, place.region)

    def _other_region(self, refusal: Refusal, asked: Request, place: Place) -> str:
        """Return the region that a refusal says the bucket is in, ``""`` when it is about something else."""
        status, code = refusal.status, refusal.code
        if status not in (301, 307, 400) or code not in (
            "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException", "301", "307", "400",
        ):  # fmt: skip
            return ""
        if refusal.region or asked.operation.method != "HEAD" or not is_aws(str(place.origin)):
            return refusal.region
        # The answer to a HEAD has no body to say it in; that of the bucket has a header.
        found = self._sent(request_of("head_bucket", None, {}), place)
        return str(found.headers.get("x-amz-bucket-region") or "")

    def _moved(self, place: Place, region: str) -> Place:
        """Sign for another region from now on; on AWS, ask there too."""
        settings = self._clients.settings
        if is_aws(str(place.origin)) and not settings.endpoint:
            url = self._clients.bucket_url(self._bucket, region)
        else:
            url = f"{place.origin}{place.root}"
        self._place = moved = Place(url, region)
        return moved

    def _make_credentials(self) -> Callable[[], Credentials | None]:
        settings = self._clients.settings
        if settings.anonymous:
            found: Callable[[], Credentials | None] = lambda: None  # noqa: E731
        elif settings.key and not settings.role_arn:
            fixed = Credentials(settings.key, settings.secret, settings.session_token)
            found = lambda: fixed  # noqa: E731
        else:
            found = self._clients.credentials()
        self._find_credentials = found
        return found

    def _make_client(self) -> Client:
        with self._lock:
            if self._client is None:
                settings = self._clients.settings
                verify = settings.verify
                if verify is None or verify is True:
                    verify = os.environ.get("AWS_CA_BUNDLE") or True
                proxies = tuple(sorted(settings.proxies.items())) if settings.proxies else None
                config = Config(timeout=settings.timeout, verify=verify, proxies=proxies)
                self._client = acquire(config, max(CONNECTIONS, settings.max_concurrency + 2))
            return self._client

    # -- the end ----------------------------------------------------------------------------------------------------

    def after_fork(self) -> None:
        """Let the child find everything anew; the client lets go of its connections by itself."""
        self._lock = threading.Lock()
        self._place = self._find_credentials = None

    def close(self) -> None:
        """Return the connections: the last storage that shares them closes them."""
        with self._lock:
            client, self._client = self._client, None
            self._place = self._find_credentials = None
        if client is not None:
            release(client)


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
