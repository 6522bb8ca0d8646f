"""Which path is which method of the API, and how its refusals are written.

Reference: "Cloud Storage JSON API overview" (/storage/v1, /upload/storage/v1, /download/storage/v1, /batch; names
are percent-encoded, `/` included), "XML API overview" (everything else is /BUCKET/OBJECT).
"""

from __future__ import annotations

import re
import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from . import batch, copies, listing, objects, uploads
from .auth import Authority
from .copies import Rewrites, Target
from .errors import ApiError, NotModified, invalid, required
from .faults import Faults, Status, first
from .messages import Request, Response
from .sessions import Sessions
from .store import Preconditions, Store, StoredObject
from .wire import Entry
from .xml_api import XmlApi

API = r"(?:/storage/v1|/download/storage/v1)"
OURS = re.compile(r"/(?:(?:upload|download|batch)/)?storage/v1(?:/|$)|/v1/projects/|/token$")
LOG_LENGTH = 50_000

Handler = Callable[..., Response]


class Api:
    """The double's whole surface; one instance behind all its threads."""

    def __init__(self, spool_limit: int) -> None:
        self.store = Store(spool_limit)
        self.sessions = Sessions(self.store)
        self.rewrites = Rewrites(self.store)
        self.authority = Authority()
        self.faults = Faults()
        self.xml = XmlApi(self.store, self.sessions, self.authority)
        self.log: deque[Entry] = deque(maxlen=LOG_LENGTH)
        self.counters: Counter[str] = Counter()
        self._lock = threading.Lock()
        one, o = r"/b/([^/]+)", r"/o/([^/]+)"
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = [
            (methods, re.compile(pattern), handler)
            for methods, pattern, handler in (
                ("GET", rf"{API}/b", self.list_buckets),
                ("POST", rf"{API}/b", self.insert_bucket),
                ("GET", rf"{API}{one}", self.get_bucket),
                ("PATCH|PUT", rf"{API}{one}", self.patch_bucket),
                ("DELETE", rf"{API}{one}", self.delete_bucket),
                ("GET", rf"{API}{one}/iam/testPermissions", self.test_permissions),
                ("GET", rf"{API}{one}/o", self.list),
                ("POST|PUT", rf"(?:/upload)?/storage/v1{one}/o", self.insert),
                ("DELETE", rf"/upload/storage/v1{one}/o", self.cancel),
                ("GET|HEAD", rf"{API}{one}{o}", self.get),
                ("PATCH", rf"{API}{one}{o}", self.patch),
                ("PUT", rf"{API}{one}{o}", self.update),
                ("DELETE", rf"{API}{one}{o}", self.delete),
                ("POST", rf"{API}{one}{o}/compose", self.compose),
                ("POST", rf"{API}{one}{o}/copyTo{one}{o}", self.copy),
                ("POST", rf"{API}{one}{o}/rewriteTo{one}{o}", self.rewrite),
                ("POST", r"/batch/storage/v1/?", self.batch),
                ("POST", r"/v1/projects/-/serviceAccounts/([^/]+):signBlob", self.sign_blob),
                ("POST", r"/token", self.token),
            )
        ]

    # -- the way of a request -------------------------------------------------------------------------------------

    def note(self, request: Request) -> Entry:
        entry = Entry(request.method, request.path, request.query_string, request.headers, in_batch=request.in_batch)
        with self._lock:
            self.log.append(entry)
            self.counters[request.method] += 1
        return entry

    def handle(self, request: Request) -> Response:
        try:
            if not OURS.match(request.path):
                return self.xml.handle(request)
            return self._route(request)
        except NotModified:
            return Response(304)
        except ApiError as error:
            return self.refuse(request, error)

    def refuse(self, request: Request, error: ApiError) -> Response:
        """The error in the form of the surface that was asked."""
        if not OURS.match(request.path):
            return Response.of(error.xml(), "application/xml; charset=UTF-8", error.status, error.headers)
        if error.plain or (request.query.get("alt") == "media" and request.method in ("GET", "HEAD")):
            # Sessions and downloads answer in plain text, not JSON.
            return Response.of(error.text(), "text/plain; charset=utf-8", error.status, error.headers)
        return Response.of(error.json(), "application/json; charset=UTF-8", error.status, error.headers)

    def _route(self, request: Request) -> Response:
        known = False
        for methods, pattern, handler in self._routes:
            found = pattern.fullmatch(request.path)
            if not found:
                continue
            known = True
            if request.method in methods.split("|"):
                return handler(request, *(unquote(part) for part in found.groups()))
        if known:
            raise ApiError(405, "methodNotAllowed", "Method Not Allowed")
        raise ApiError(404, "notFound", "Not Found")

    def _may(self, request: Request, permission: str, bucket: str, name: str = "") -> str:
        email = self.authority.identify(request)
        self.authority.require(permission, bucket, f"{bucket}/{name}" if name else bucket, email)
        return email

    def _json(self, request: Request, value: Any) -> Response:
        if request.query.get("fields"):
            value = listing.select(value, request.query["fields"])
        return Response.json(value)

    def _resource(self, request: Request, found: StoredObject) -> Response:
        return self._json(request, found.resource(request.base))

    # -- buckets ("Buckets: insert, get, list, patch, delete, testIamPermissions") --------------------------------

    def list_buckets(self, request: Request) -> Response:
        self._may(request, "storage.buckets.list", "")
        project = request.query.get("project")
        if not project:
            raise required("project")
        prefix = request.query.get("prefix", "")
        with self.store.lock:
            found = [b for name, b in sorted(self.store.buckets.items()) if name.startswith(prefix)]
        items = [bucket.resource(request.base) for bucket in found if bucket.project == project]
        return self._json(request, {"kind": "storage#buckets"} | ({"items": items} if items else {}))

    def insert_bucket(self, request: Request) -> Response:
        self._may(request, "storage.buckets.create", "")
        if not request.query.get("project"):
            raise required("project")
        resource = request.json()
        name = resource.get("name")
        if not isinstance(name, str):
            raise required("name")
        return self._json(
            request, self.store.create_bucket(name, request.query["project"], resource).resource(request.base)
        )

    def get_bucket(self, request: Request, bucket: str) -> Response:
        self._may(request, "storage.buckets.get", bucket)
        return self._json(request, self.store.bucket(bucket).resource(request.base))

    def patch_bucket(self, request: Request, bucket: str) -> Response:
        self._may(request, "storage.buckets.update", bucket)
        resource = request.json()
        with self.store.lock:
            found = self.store.bucket(bucket)
            found.versioning = bool(resource.get("versioning", {"enabled": found.versioning}).get("enabled"))
            found.metageneration += 1
            return self._json(request, found.resource(request.base))

    def delete_bucket(self, request: Request, bucket: str) -> Response:
        self._may(request, "storage.buckets.delete", bucket)
        self.store.delete_bucket(bucket)
        return Response(204)

    def test_permissions(self, request: Request, bucket: str) -> Response:
        self.authority.identify(request)
        self.store.bucket(bucket)
        asked = re.findall(r"(?:^|&)permissions=([^&]*)", request.query_string)
        granted = [each for each in map(unquote, asked) if not self.authority.is_denied(each, bucket)]
        value = {"kind": "storage#testIamPermissionsResponse"} | ({"permissions": granted} if granted else {})
        return self._json(request, value)

    # -- objects ---------------------------------------------------------------------------------------------------

    def list(self, request: Request, bucket: str) -> Response:
        self._may(request, "storage.objects.list", bucket)
        with self.store.lock:
            return self._json(request, listing.list_objects(self.store.bucket(bucket), request))

    def insert(self, request: Request, bucket: str) -> Response:
        if "upload_id" in request.query:
            # The session's address is its own credential ("Resumable uploads", session URIs).
            return self.sessions.put(request, lambda made: self._resource(request, made))
        email = self._may(request, "storage.objects.create", bucket)
        self.store.bucket(bucket)
        guard = self.authority.creation_guard(bucket, email)
        kind = request.query.get("uploadType", "")
        if request.method != "POST" or not request.path.startswith("/upload/"):
            raise invalid("Upload requests must be a POST to an /upload/* URL, with an uploadType")
        if kind == "resumable":
            return self.sessions.start(bucket, request, guard)
        if kind == "multipart":
            return self._resource(request, uploads.insert_multipart(self.store, bucket, request, guard))
        if kind == "media":
            return self._resource(request, uploads.insert_media(self.store, bucket, request, guard))
        raise invalid(f"Invalid upload type {kind}")

    def cancel(self, request: Request, bucket: str) -> Response:
        return self.sessions.cancel(request)

    def get(self, request: Request, bucket: str, name: str) -> Response:
        email = self._may(request, "storage.objects.get", bucket, name)
        found = self._find(request, bucket, name, email)
        Preconditions.parse(request.query, headers=request.headers).check(found, reading=True)
        if request.query.get("alt") == "media":
            if request.in_batch:
                raise invalid("Media downloads are not supported in batch requests")
            return objects.download(found, request)
        return self._resource(request, found)

    def _find(self, request: Request, bucket: str, name: str, email: str) -> StoredObject:
        found = self.store.find(bucket, name, request.number("generation"))
        if found is None:
            raise self.authority.missing(bucket, name, email)
        return found

    def patch(self, request: Request, bucket: str, name: str) -> Response:
        return self._change(request, bucket, name, objects.patched)

    def update(self, request: Request, bucket: str, name: str) -> Response:
        return self._change(request, bucket, name, objects.updated)

    def _change(self, request: Request, bucket: str, name: str, change: Callable[..., dict[str, Any]]) -> Response:
        email = self._may(request, "storage.objects.update", bucket, name)
        body = request.json()
        conditions = Preconditions.parse(request.query, headers=request.headers)
        generation = request.number("generation")
        with self.store.lock:
            self._find(request, bucket, name, email)
            made = self.store.update(bucket, name, generation, conditions, lambda fields: change(fields, body))
        return self._resource(request, made)

    def delete(self, request: Request, bucket: str, name: str) -> Response:
        email = self._may(request, "storage.objects.delete", bucket, name)
        conditions = Preconditions.parse(request.query, headers=request.headers)
        with self.store.lock:
            self._find(request, bucket, name, email)
            self.store.delete(bucket, name, request.number("generation"), conditions)
        return Response(204)

    def compose(self, request: Request, bucket: str, name: str) -> Response:
        email = self._may(request, "storage.objects.get", bucket, name)
        guard = self.authority.creation_guard(bucket, email)
        return self._resource(request, copies.compose(self.store, bucket, name, request, guard))

    def copy(self, request: Request, bucket: str, name: str, to_bucket: str, to_name: str) -> Response:
        email = self._may(request, "storage.objects.get", bucket, name)
        guard = self.authority.creation_guard(to_bucket, email)
        made = self.rewrites.copy(Target(bucket, name), Target(to_bucket, to_name), request, guard)
        return self._resource(request, made)

    def rewrite(self, request: Request, bucket: str, name: str, to_bucket: str, to_name: str) -> Response:
        email = self._may(request, "storage.objects.get", bucket, name)
        guard = self.authority.creation_guard(to_bucket, email)
        answer = self.rewrites.rewrite(
            Target(bucket, name), Target(to_bucket, to_name), request, guard, lambda made: made.resource(request.base)
        )
        return self._json(request, answer)

    # -- around them -----------------------------------------------------------------------------------------------

    def batch(self, request: Request) -> Response:
        return batch.run(request, self._in_batch)

    def _in_batch(self, request: Request) -> Response:
        entry = self.note(request)
        status = first(self.faults.take(request), Status)
        if status:
            answer = self.refuse(request, status.error())
        elif not request.path.startswith("/storage/v1/"):
            answer = self.refuse(request, invalid("Only /storage/v1 may be called in a batch"))
        else:
            answer = self.handle(request)
        entry.status = answer.status
        return answer

    def sign_blob(self, request: Request, email: str) -> Response:
        self.authority.identify(request)
        return self.authority.sign_blob(email, request)

    def token(self, request: Request) -> Response:
        return self.authority.token(request)
