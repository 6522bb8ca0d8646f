"""botocore: clients made when first needed, once a process, and the sender that uses them."""

# boto3 and botocore ship no types: what they give is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportPrivateUsage=false

from __future__ import annotations

import base64
import functools
import hashlib
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from file_keeper import exc
from file_keeper.backend import mark_unsent, refuse_redirect, require_secure, stranger
from file_keeper.types import Buffer

from .reply import Refusal, Reply
from .settings import EXPRESS, S3Settings, make_client, make_session, service_at
from .sigv4 import Credentials


class Clients:
    """botocore's clients, by what they are for.

    :param given: with references in it; they are read when a client is made
    """

    def __init__(self, given: S3Settings):
        self._given = given
        self._made: dict[str, Any] = {}
        self._session: Any = None
        self._settings: S3Settings | None = None
        self._lock = threading.Lock()

    @property
    def settings(self) -> S3Settings:
        """The settings with their references read."""
        if self._settings is None:
            resolved = self._given.resolve()
            if resolved is not self._given:
                resolved.validate()  # what the references gave
            self._settings = resolved
        return self._settings

    @property
    def main(self) -> Any:
        """The client that requests are made with."""
        return self._made.get("main") or self._make("main", self._make_main)

    @property
    def address(self) -> str:
        """Where the service is."""
        return str(self.main.meta.endpoint_url)

    @property
    def links(self) -> Any:
        """The client that signs addresses: of the public endpoint, if there is one.

        Never one that was given: botocore's default is a signature of version 2, which conditions are no part of.
        """
        if not self.settings.public_endpoint and self.settings.client is None:
            return self.main
        return self._made.get("links") or self._make("links", lambda: self._public(plain=False))

    @property
    def plain(self) -> Any:
        """The client that makes addresses without a signature."""
        return self._made.get("plain") or self._make("plain", lambda: self._public(plain=True))

    @property
    def region(self) -> str:
        """What requests are signed for."""
        return str(self.main.meta.region_name)

    def bucket_url(self, bucket: str, region: str = "") -> str:
        """Return the address of a bucket by botocore's rules: its own host, or a path of the service's.

        :param region: another one than that of the settings
        """
        client = self.main
        if region and region != self.region:
            client = make_client(self._own_session(), replace(self.settings, region=region))
        try:
            url: str = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
        finally:
            if client is not self.main:
                client.close()
        return url.partition("?")[0].removesuffix("/k")

    def credentials(self) -> Callable[[], Credentials | None]:
        """Return what gives the credentials that are valid now; botocore renews those that expire, in one thread."""
        found = self.main._get_credentials()
        if found is None:
            from botocore.exceptions import NoCredentialsError

            raise NoCredentialsError

        def current() -> Credentials:
            frozen = found.get_frozen_credentials()
            return Credentials(frozen.access_key, frozen.secret_key, frozen.token or "")

        return current

    def _make(self, name: str, make: Callable[[], Any]) -> Any:
        # botocore's loaders are shared by the clients of a session and not safe while one is made.
        with self._lock:
            client = self._made.get(name)
            if client is None:
                client = self._made[name] = make()
            return client

    def _make_main(self) -> Any:
        settings = self.settings
        if settings.client is not None:
            return settings.client
        client = make_client(self._own_session(), settings)
        url = str(client.meta.endpoint_url)
        ambient = not settings.key and not settings.anonymous
        try:
            require_secure(service_at(url), url, ambient=ambient, insecure=settings.insecure)
        except exc.FilesError:
            client.close()
            raise
        return _tuned(client, express=settings.bucket.endswith(EXPRESS))

    def _public(self, *, plain: bool) -> Any:
        public = self.settings.public_endpoint
        if public:
            # What a reverse proxy serves below a path reaches the service without it: it is not signed.
            parts = urlsplit(public)
            public = f"{parts.scheme}://{parts.netloc}"
        elif self.settings.client is not None:
            public = str(self.settings.client.meta.endpoint_url)
        return make_client(self._own_session(), self.settings, public, plain=plain)

    def _own_session(self) -> Any:
        if self._session is None:
            self._session = make_session(self.settings)
        return self._session

    def sign_payloads(self) -> None:
        """Make the client anew: one that signs each body."""
        config = self.settings.config
        s3 = {**config.get("s3", {}), "payload_signing_enabled": True}
        with self._lock:
            self._settings = replace(self.settings, config={**config, "s3": s3})
            self._made.pop("main", None)

    def after_fork(self) -> None:
        """Drop the parent's sockets and locks without touching them."""
        self._lock = threading.Lock()
        self._made, self._session, self._settings = {}, None, None

    def close(self) -> None:
        """Close what was made here; a client that was given is its giver's."""
        made, self._made = self._made, {}
        self._session = self._settings = None
        for client in made.values():
            if client is not self._given.client:
                client.close()


_BROKEN_OFF = (r"\b(no element found|unclosed )", r"\bb'<\?xml ")
"""What botocore says of the beginning of an answer of S3: it compares no lengths of what it parses."""


class SDKSender:
    """Sends requests by the client that was given, or one of botocore's, with all its hooks, plug-ins and signers."""

    kind = "sdk"

    def __init__(self, clients: Clients, bucket: str):
        self._clients = clients
        self._bucket = bucket

    def request(self, operation: str, body: Buffer | None, /, **params: Any) -> Reply:
        """Make a request of an operation; see :meth:`.http.HTTPSender.request`."""
        from botocore import exceptions as boto
        from botocore.parsers import ResponseParserError

        from .sdk_bodies import RequestBody

        if body is not None:
            params["Body"] = RequestBody(body)
        address = self._clients.address
        try:
            return _reply(operation, getattr(self._clients.main, operation)(Bucket=self._bucket, **params))
        except boto.ClientError as error:
            raise _refusal(error) from error
        except ResponseParserError as error:
            if all(re.search(sign, str(error)) for sign in _BROKEN_OFF):
                raise exc.ConnectionError(f"the answer to {operation} broke off", retryable=True) from error
            why = f"it is no XML of S3 ({str(error)[-80:]})"
            raise stranger(service_at(address), operation, 200, {}, why) from error
        except (
            boto.EndpointConnectionError,
            boto.ConnectTimeoutError,
            boto.ProxyConnectionError,
        ) as error:
            mark_unsent(error)
            raise
        except boto.HTTPClientError as error:
            if isinstance(error.kwargs.get("error"), TypeError):
                # urllib3 prepares to follow a 303 and stumbles over a header in bytes, which botocore gave it.
                raise refuse_redirect(service_at(address), address, "", "endpoint") from error
            raise
        except RecursionError as error:
            # botocore follows the redirects of a client that was given, without an end.
            raise exc.ConnectionError(
                f"{address} redirects in circles: set 'region' and 'endpoint' to those of the bucket"
            ) from error

    def sign_payloads(self) -> None:
        """Sign each body from now on."""
        if self._clients.settings.client is None:
            self._clients.sign_payloads()

    def after_fork(self) -> None:
        """Do nothing: the clients are made anew."""

    def close(self) -> None:
        """Do nothing: the clients close themselves."""


def _reply(operation: str, answer: dict[str, Any]) -> Reply:
    meta: Mapping[str, Any] = answer.pop("ResponseMetadata", {})
    headers: Mapping[str, str] = meta.get("HTTPHeaders", {})
    body = answer.pop("Body", None)
    if operation in ("list_objects_v2", "list_objects"):
        answer["Rows"] = [
            (found.get("Key", ""), found.get("LastModified"), found.get("ETag", ""), str(found.get("Size", "")))
            for found in answer.pop("Contents", ())
        ]
        answer["Names"] = [found.get("Prefix", "") for found in answer.pop("CommonPrefixes", ())]
    reply = Reply(int(meta.get("HTTPStatusCode") or 0), headers, answer)
    if body is not None:
        from .sdk_bodies import ResponseBody

        reply.body = ResponseBody(body, reply.length)
    return reply


def _refusal(error: Any) -> Refusal:
    told: Mapping[str, Any] = error.response.get("Error", {})
    meta: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
    status = int(meta.get("HTTPStatusCode", 0) or 0)
    headers: Mapping[str, str] = meta.get("HTTPHeaders", {})
    fields = {**told, "RequestId": meta.get("RequestId", "")}
    return Refusal(
        error.operation_name, status, str(told.get("Code", "")), str(told.get("Message", "")), headers, fields
    )


SIGNER = "file-keeper-s3v4"
"""The name of botocore's own signature of version 4 where its CRT has taken the place of it."""


def _tuned(client: Any, *, express: bool = False) -> Any:
    from botocore import handlers
    from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth

    # The signer of the CRT reads a body 4 KiB at a time, through Python: half as much again as hashing it.
    signers: dict[str, Any] = AUTH_TYPE_MAPS
    signers.setdefault(SIGNER, S3SigV4Auth)
    events = client.meta.events
    if client.meta.endpoint_url.startswith("http://"):
        for operation in ("PutObject", "UploadPart"):
            events.register(f"choose-signer.s3.{operation}", _signer)
    # Bodies are in memory: waiting for "100 Continue" costs each upload a round trip and saves it nothing.
    events.unregister("before-call.s3", handlers.add_expect_header)
    # Directory buckets take the CRC32 that botocore gives them, and no MD5.
    for operation in () if express else ("DeleteObjects", "PutObjectTagging"):
        events.register(f"before-sign.s3.{operation}", _with_md5)
    # botocore takes each success that it cannot read for a failure of S3, whoever gave it: here it is told apart.
    if (handler := getattr(handlers, "_handle_200_error", None)) is not None:
        events.unregister("before-parse.s3.*", handler)
    url = str(client.meta.endpoint_url)
    events.register("before-parse.s3", _error_within_200)
    events.register("before-parse.s3", functools.partial(_check_redirect, url))
    events.register("before-parse.s3", functools.partial(_refuse_page, service_at(url)))
    return client


_ERROR = re.compile(rb"\s*(?:<\?xml[^>]*\?>)?\s*<Error[\s>]")


def _error_within_200(response_dict: Any, **_: Any) -> None:
    """Make a failure of an error within an answer of 200; API Reference, CopyObject and CompleteMultipartUpload."""
    body = response_dict["body"]
    if response_dict["status_code"] == 200 and isinstance(body, bytes) and _ERROR.match(body):
        response_dict["status_code"] = 500


def _refuse_page(service: str, response_dict: Any, operation_model: Any, **_: Any) -> None:
    """Refuse a page for people, as long as its headers tell who sent it: the parser's error does not."""
    status, headers, body = response_dict["status_code"], response_dict["headers"], response_dict["body"]
    if status < 300 and isinstance(body, bytes) and body and "html" in headers.get("content-type", ""):
        raise stranger(service, operation_model.name, status, headers, "it is a page for people")


def _check_redirect(url: str, response_dict: Any, **_: Any) -> None:
    """Refuse a redirect, unless it only names the region of the bucket.

    botocore never goes where a redirect points to: it signs again for a region, once, at the same endpoint or at
    Amazon's own. Where no region is named it would ask for that, and follow the answer to that question, and so on.
    """
    headers = response_dict["headers"]
    if response_dict["status_code"] not in (301, 302, 303, 307, 308) or headers.get("x-amz-bucket-region"):
        return
    if b"<Region>" not in (response_dict["body"] or b""):
        raise refuse_redirect(service_at(url), url, str(headers.get("location") or ""), "endpoint")


def _signer(signature_version: Any, **_: Any) -> str | None:
    return SIGNER if signature_version == "s3v4" else None


def _with_md5(request: Any, **_: Any) -> None:
    """Add to a request the checksum that every service takes, old ones too, in place of botocore's CRC32."""
    headers = request.headers
    for name in [name for name in headers if name.lower().startswith(("x-amz-checksum-", "x-amz-sdk-checksum-"))]:
        del headers[name]
    del headers["Content-MD5"]
    digest = hashlib.md5(request.data or b"", usedforsecurity=False).digest()
    headers["Content-MD5"] = base64.b64encode(digest).decode("ascii")
