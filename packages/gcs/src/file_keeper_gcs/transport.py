"""The one place where every request to Google is said: addresses, headers, conditions, and what its answer must be.

What sends them stands in :mod:`.senders`. The SDK's own layer of ``Blob`` and ``Bucket`` hides requests behind
properties and is not used.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from file_keeper import exc
from file_keeper.backend import refuse_redirect
from file_keeper.backend.http import Origin
from file_keeper.types import Buffer

from .answers import EXPECTED, SERVICE, Prover, Reply, refused
from .credentials import way
from .senders import Sender
from .settings import GcsSettings
from .standing import Standing

T = TypeVar("T")

_PLAIN = re.compile(r"[!-~]+").fullmatch


class Transport:
    """Makes the requests for one bucket.

    :param sender: what sends them
    :param settings: resolved
    """

    def __init__(self, sender: Sender, settings: GcsSettings):
        self.sender = sender
        self.timeout = settings.timeout
        self.bucket = bucket = settings.bucket
        self.storage_class = {"storageClass": settings.storage_class} if settings.storage_class else {}
        self.standing = Standing(settings)
        self.way = way(settings)
        """With what certificates are verified, and through which proxies."""
        self.base = sender.base
        self.origin = Origin.of(self.base)
        self._prefix = urlsplit(self.base).path
        self.is_google = f".{self.origin.host}".endswith((".googleapis.com", f".{sender.universe}"))
        self._prover = Prover(known=self.is_google, ask=self._buckets)
        self._bucket = quote(bucket, safe="")

    @property
    def credentials(self) -> Any:
        """Who is asking; ``None`` for nobody."""
        return self.sender.credentials

    def path(self, key: str | None = None, start: str = "/storage/v1", *, bucket: str = "") -> str:
        """Return the path of an object, or of the bucket's objects; `bucket` is another one than its own."""
        tail = "" if key is None else f"/{quote(key, safe='')}"
        return f"{start}/b/{quote(bucket, safe='') if bucket else self._bucket}/o{tail}"

    def request(self, operation: str, method: str, path: str, *args: Any, **options: Any) -> Reply:
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
        body: Sequence[Buffer] = (),
        stream: bool = False,
        secret: bool = False,
    ) -> tuple[Reply, dict[str, Any]]:
        """Make one request; return its answer and the resource that this is.

        :param operation: as :mod:`.answers` names it, with what its answer must be
        :param path: below the endpoint, or a whole address
        :param stream: leave the answer's body unread
        :param secret: the address must not be told, nor the answer's own id
        :raises Refused: for a refusal
        :raises ConnectionError: when someone else than Google answers, or sends elsewhere; or there was no answer
        """
        added = self.standing.of(operation)
        if added.params:
            params = {**(params or {}), **added.params}
        if added.headers:
            headers = {**(headers or {}), **added.headers}
        reply = self._send(method, path, params, headers, body, secret=secret)
        try:
            self._check(operation, reply, secret=secret)
            found = self._prover.check(operation, reply)
            if not stream:
                _ = reply.content  # gives the connection back
            return reply, found
        except BaseException:
            reply.close()
            raise

    def _check(self, operation: str, reply: Reply, *, secret: bool = False) -> None:
        status = reply.status
        if status // 100 == 3 and (status not in EXPECTED[operation].answer.statuses or "location" in reply.headers):
            raise refuse_redirect(SERVICE, reply.url, reply.headers.get("location", ""), "endpoint")
        if status >= 400 and status not in EXPECTED[operation].answer.statuses:
            self._prover.check_refusal(operation, reply)
            raise refused(status, reply.content, reply.headers, reason=reply.reason, secret=secret)

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Sequence[Buffer] = (),
        *,
        secret: bool = False,
    ) -> Reply:
        if "://" in path:
            origin, target = Origin.of(path), "/" + path.split("/", 3)[3]
        else:
            origin, target = self.origin, self._prefix + path
        if params:
            query = "&".join([f"{name}={quote(value, safe=',()')}" for name, value in params.items()])
            target = f"{target}?{query}"
        return self.sender.send(method, origin, target, headers or {}, body, secret=secret)

    def _buckets(self) -> Reply:
        """Ask who is there; see :class:`.answers.Prover`."""
        return self._send("GET", "/storage/v1/b", {"project": "none", "maxResults": "1", "fields": "kind"})

    def json(
        self, operation: str, method: str, path: str, params: Mapping[str, str] | None = None, body: Any = None
    ) -> dict[str, Any]:
        """Make a request of the JSON API; return the resource that the answer is."""
        if body is None:
            return self.exchange(operation, method, path, params)[1]
        headers = {"Content-Type": "application/json"}
        return self.exchange(operation, method, path, params, headers=headers, body=(json.dumps(body).encode(),))[1]

    def listed(
        self,
        params: Mapping[str, str],
        decode: Callable[[bytes], T | None] | None,
        read: Callable[[Mapping[str, Any]], T],
    ) -> T:
        """Ask for a page of a listing; return what is made of it.

        :param decode: makes it of the usual form of an answer, and proves that it is that; ``None`` for another one
        :param read: makes it of the resource
        """
        added = self.standing.of("objects.list")
        reply = self._send("GET", self.path(), {**params, **added.params}, added.headers)
        try:
            self._check("objects.list", reply)
            if decode and reply.status == 200 and (found := decode(reply.content)) is not None:
                return found
            return read(self._prover.check("objects.list", reply))
        except BaseException:
            reply.close()
            raise

    def insert(self, resource: Mapping[str, Any], data: Buffer, params: Mapping[str, str]) -> dict[str, Any]:
        """Write an object, its metadata and its data in one request.

        Reference: "Upload objects from memory", multipart upload (``uploadType=multipart``).
        """
        boundary = os.urandom(16).hex()
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
            body=(head.encode(), data, f"\r\n--{boundary}--\r\n".encode()),
        )[1]

    def session_path(self, address: str) -> str:
        """Return the path of a session at this endpoint, wherever the text it is kept in says that it lies.

        The text comes from a user's record: the credentials must not follow it to another host, nor to something else
        than a session.

        :raises MissingFileError: when it is no such address
        """
        try:
            parts = urlsplit(address)
        except ValueError:
            parts = urlsplit("")
        path = parts.path.removeprefix(self._prefix) if parts.path.startswith(f"{self._prefix}/") else parts.path
        found = f"{path}?{parts.query}"
        if not (path.startswith("/upload/") and "upload_id=" in parts.query and _PLAIN(found)):
            raise exc.MissingFileError("there is no such upload")
        return found
