"""The part of the XML API that signed URLs use: GET, HEAD, PUT and DELETE of an object, and POST to open a session.

Reference: "XML API overview", "GET Object", "PUT Object", "DELETE Object", "HTTP headers and common query string
parameters" (x-goog-if-generation-match and its kin, x-goog-meta-, x-goog-hash).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from . import signing
from .auth import Authority
from .errors import ApiError
from .messages import Request, Response
from .objects import download, media_headers
from .sessions import Sessions
from .store import Preconditions, Store, StoredObject, check_metadata, check_name
from .uploads import check_hashes, draft, expected_hashes

HEADERS = {
    "content-type": "contentType",
    "content-encoding": "contentEncoding",
    "content-disposition": "contentDisposition",
    "content-language": "contentLanguage",
    "cache-control": "cacheControl",
    "x-goog-storage-class": "storageClass",
}
CONDITIONS = {
    "x-goog-if-generation-match": "ifGenerationMatch",
    "x-goog-if-metageneration-match": "ifMetagenerationMatch",
}


class XmlApi:
    def __init__(self, store: Store, sessions: Sessions, authority: Authority) -> None:
        self._store = store
        self._sessions = sessions
        self._authority = authority

    def handle(self, request: Request) -> Response:
        bucket, _, rest = request.path.removeprefix("/").partition("/")
        bucket, name = unquote(bucket), unquote(rest)
        if not name:
            raise ApiError(501, "invalid", "Buckets are asked for by the JSON API here.", code="NotImplemented")
        if "upload_id" in request.query:
            # The session's address is its own credential ("Resumable uploads", session URIs).
            return self._sessions.put(request, lambda made: Response(200, self._identity(made)))
        email = self._identify(request)
        self._store.bucket(bucket)
        if request.method in ("GET", "HEAD"):
            return self._get(request, bucket, name, email)
        if request.method == "PUT":
            return self._put(request, bucket, name, email)
        if request.method == "DELETE":
            self._authority.require("storage.objects.delete", bucket, f"{bucket}/{name}", email)
            if self._store.find(bucket, name) is None:
                raise self._missing(bucket, name)
            self._store.delete(bucket, name, request.number("generation"), self._conditions(request))
            return Response(204)
        if request.method == "POST" and request.headers.get("x-goog-resumable") == "start":
            fields = self._fields(request)
            guard = self._authority.creation_guard(bucket, email)
            return self._sessions.start_xml(bucket, check_name(name), fields, self._conditions(request), request, guard)
        raise ApiError(405, "methodNotAllowed", "The specified method is not allowed against this resource.")

    def _identify(self, request: Request) -> str:
        if signing.is_signed(request):
            return signing.verify(request, self._authority.accounts)
        try:
            return self._authority.identify(request)
        except ApiError as error:
            if "authorization" in request.headers:
                raise
            # The XML API tells an anonymous caller 403 where the JSON API tells it 401.
            raise ApiError(403, "forbidden", "Access denied.", details=error.message) from None

    def _missing(self, bucket: str, name: str) -> ApiError:
        found = self._authority.missing(bucket, name)
        if found.status == 404:
            return ApiError(404, "notFound", "The specified key does not exist.", details=found.message)
        return found

    def _get(self, request: Request, bucket: str, name: str, email: str) -> Response:
        self._authority.require("storage.objects.get", bucket, f"{bucket}/{name}", email)
        found = self._store.find(bucket, name, request.number("generation"))
        if found is None:
            raise self._missing(bucket, name)
        self._conditions(request).check(found, reading=True)
        answer = download(found, request, xml=True)
        # "Signed URLs", response-content-disposition and -type: what a browser is told instead.
        for parameter in ("response-content-disposition", "response-content-type"):
            if value := request.query.get(parameter):
                header = parameter.removeprefix("response-")
                kept = [(key, text) for key, text in answer.headers if key.lower() != header]
                answer.headers = [*kept, (header.title(), value)]
        return answer

    def _put(self, request: Request, bucket: str, name: str, email: str) -> Response:
        if "x-goog-copy-source" in request.headers:
            raise ApiError(501, "invalid", "Copying is not implemented here.", code="NotImplemented")
        expected = expected_hashes({}, request)
        fields = self._fields(request)
        guard = self._authority.creation_guard(bucket, email)
        conditions = self._conditions(request)
        writer = self._store.writer()
        for data in request.body:
            writer.write(data)
        _check_length(request, writer.size)
        check_hashes(writer, expected)
        made = self._store.commit(draft(bucket, check_name(name), writer, fields), conditions, guard)
        return Response(200, [*self._identity(made), ("Content-Type", "text/html; charset=UTF-8")])

    def _fields(self, request: Request) -> dict[str, Any]:
        fields: dict[str, Any] = {
            field: request.headers[name] for name, field in HEADERS.items() if request.headers.get(name)
        }
        prefix = "x-goog-meta-"
        metadata = {
            name.removeprefix(prefix): value for name, value in request.headers.items() if name.startswith(prefix)
        }
        if metadata:
            check_metadata(metadata)
            fields["metadata"] = metadata
        return fields

    def _conditions(self, request: Request) -> Preconditions:
        values = {name: request.headers[header] for header, name in CONDITIONS.items() if header in request.headers}
        return Preconditions.parse(values, headers=request.headers)

    def _identity(self, made: StoredObject) -> list[tuple[str, str]]:
        wanted = ("ETag", "X-Goog-Generation", "X-Goog-Metageneration", "X-Goog-Hash", "X-Goog-Stored-Content-Encoding")
        return [(name, value) for name, value in media_headers(made, xml=True) if name in wanted]


def _check_length(request: Request, size: int) -> None:
    """x-goog-content-length-range: "min,max", both inclusive; outside of it 400 and nothing is stored."""
    if not (wanted := request.headers.get("x-goog-content-length-range")):
        return
    least, _, most = wanted.partition(",")
    if not (least.strip().isdigit() and most.strip().isdigit()):
        raise ApiError(400, "invalid", "The header is malformed.", code="InvalidArgument", details=wanted)
    if size > int(most):
        raise ApiError(400, "invalid", "Your proposed upload exceeds the maximum size.", code="EntityTooLarge")
    if size < int(least):
        raise ApiError(400, "invalid", "Your proposed upload is smaller than the minimum size.", code="EntityTooSmall")
