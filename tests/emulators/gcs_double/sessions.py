"""Resumable uploads.

Reference: "Perform resumable uploads" (initiate, single and multiple chunks, status check, cancel), "Resumable
uploads" (session URIs: a week; integrity checks; what the status codes 404, 410, 5xx mean for a session).
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from .content import Writer
from .errors import ApiError, invalid
from .messages import Request, Response
from .store import Preconditions, Store, StoredObject, writable
from .uploads import Guard, agreed_type, check_hashes, draft, expected_hashes, object_name

QUANTUM = 256 * 1024
WEEK = 7 * 24 * 3600.0


@dataclass
class Session:
    id: str
    bucket: str
    name: str
    fields: dict[str, Any]
    conditions: Preconditions
    expected: dict[str, str]
    declared: int | None  # X-Upload-Content-Length
    writer: Writer
    guard: Guard
    started: float = field(default_factory=time.time)
    xml: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    finished: StoredObject | None = None
    failed: ApiError | None = None

    @property
    def persisted(self) -> int:
        return self.writer.size


@dataclass(frozen=True)
class ChunkRange:
    """A Content-Range: where the body begins, how long it is, and how long the object will be."""

    start: int | None  # None: a status check
    length: int | None  # None: not said (no Content-Range and a chunked body)
    total: int | None


class Sessions:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.open: dict[str, Session] = {}
        self.gone: dict[str, int] = {}

    def clear(self) -> None:
        with self._lock:
            self.open.clear()
            self.gone.clear()

    def expire(self, status: int = 410, upload_id: str | None = None) -> int:
        """Forgets sessions (all of them without an id): they answer with `status` from now on."""
        with self._lock:
            ids = list(self.open) if upload_id is None else [upload_id]
            for each in ids:
                self.open.pop(each, None)
                self.gone[each] = status
            return len(ids)

    def start(self, bucket: str, request: Request, guard: Guard) -> Response:
        """POST with uploadType=resumable: the metadata now, the data later."""
        resource = request.json()
        name = object_name(request, resource)
        fields = writable(resource)
        content_type = agreed_type(fields.get("contentType"), request.headers.get("x-upload-content-type"))
        if content_type:
            fields["contentType"] = content_type
        if request.query.get("contentEncoding"):
            fields["contentEncoding"] = request.query["contentEncoding"]
        session = self._open(bucket, name, fields, resource, Preconditions.parse(request.query), request, guard)
        where = f"{request.base}/upload/storage/v1/b/{quote(bucket, safe='')}/o"
        address = f"{where}?uploadType=resumable&name={quote(name, safe='')}&upload_id={session.id}"
        return Response(200, [("Location", address), ("X-GUploader-UploadID", session.id)])

    def start_xml(
        self, bucket: str, name: str, fields: dict[str, Any], conditions: Preconditions, request: Request, guard: Guard
    ) -> Response:
        """POST with x-goog-resumable: start. Reference: "POST Object" (XML API), "Perform resumable uploads"."""
        session = self._open(bucket, name, fields, {}, conditions, request, guard)
        session.xml = True
        address = f"{request.base}{request.path}?upload_id={session.id}"
        return Response(201, [("Location", address), ("X-GUploader-UploadID", session.id)])

    def _open(
        self,
        bucket: str,
        name: str,
        fields: dict[str, Any],
        resource: Mapping[str, Any],
        conditions: Preconditions,
        request: Request,
        guard: Guard,
    ) -> Session:
        found = self._store.find(bucket, name)
        conditions.check(found)
        guard(found)
        length = request.headers.get("x-upload-content-length", "")
        if length and not length.isdigit():
            raise invalid(f"Invalid X-Upload-Content-Length: {length}")
        session = Session(
            "AD-" + secrets.token_urlsafe(24),
            bucket,
            name,
            fields,
            conditions,
            expected_hashes(resource, request),
            int(length) if length else None,
            self._store.writer(),
            guard,
        )
        with self._lock:
            self.open[session.id] = session
        return session

    def _find(self, upload_id: str) -> Session:
        with self._lock:
            if upload_id in self.gone:
                status = self.gone[upload_id]
                raise ApiError(status, "gone" if status == 410 else "notFound", f"Session {status}", plain=True)
            session = self.open.get(upload_id)
        if session is None:
            raise ApiError(404, "notFound", "Not Found", plain=True)
        if time.time() - session.started > WEEK:
            self.expire(410, upload_id)
            return self._find(upload_id)
        return session

    def cancel(self, request: Request) -> Response:
        """DELETE of the session address: 499, and 4xx for whatever is sent to it afterwards (Cancel an upload)."""
        upload_id = request.query.get("upload_id", "")
        session = self._find(upload_id)
        with session.lock:
            if session.finished is None:
                self.expire(499, upload_id)
        return Response(499)

    def put(self, request: Request, done: Callable[[StoredObject], Response]) -> Response:
        """PUT to the session address: a chunk, the rest, or a status check."""
        session = self._find(request.query.get("upload_id", ""))
        with session.lock:
            if session.failed:
                raise session.failed
            if session.finished:
                # Status check: 200 or 201 once the upload is completed.
                request.body.drain()
                return done(session.finished)
            chunk = self._range(request, session)
            if chunk.start is None:
                request.body.drain()
                complete = chunk.total == session.persisted
            else:
                complete = self._receive(request, session, chunk)
            if complete:
                return done(self._finish(session, request))
            return incomplete(session, request)

    def _range(self, request: Request, session: Session) -> ChunkRange:
        text = request.headers.get("content-range")
        length = request.body.length
        if text is None:
            # Single-chunk upload: everything in one request, no Content-Range.
            chunk = ChunkRange(0, length, length)
        elif found := re.fullmatch(r"bytes \*/(\*|\d+)", text):
            chunk = ChunkRange(None, 0, None if found[1] == "*" else int(found[1]))
        elif found := re.fullmatch(r"bytes (\d+)-(\d+|\*)/(\*|\d+)", text):
            start, total = int(found[1]), None if found[3] == "*" else int(found[3])
            # `a-*/*`: a body of unknown length up to the end, sent in chunks of the transfer encoding.
            size = None if found[2] == "*" else int(found[2]) - start + 1
            if size is not None and (size <= 0 or (total is not None and start + size > total)):
                raise ApiError(400, "invalid", f"Invalid Content-Range: {text}", plain=True)
            if size is not None and length is not None and size != length:
                raise ApiError(400, "invalid", f"Content-Range {text} does not fit Content-Length {length}", plain=True)
            chunk = ChunkRange(start, length if size is None else size, total)
        else:
            raise ApiError(400, "invalid", f"Failed to parse Content-Range header: {text}", plain=True)
        if chunk.total is not None and session.declared is not None and chunk.total != session.declared:
            message = (
                f"The total of the Content-Range is {chunk.total}; X-Upload-Content-Length was {session.declared}."
            )
            raise ApiError(400, "invalid", message, plain=True)
        return chunk

    def _receive(self, request: Request, session: Session, chunk: ChunkRange) -> bool:
        """Takes the body in; whether the object is now complete."""
        assert chunk.start is not None
        if chunk.start > session.persisted:
            # Seen of the service, as a 503 in plain text; the caller must ask for the status and go on from there.
            raise ApiError(
                503,
                "backendError",
                "Invalid request.  According to the Content-Range header, the upload offset is "
                f"{chunk.start} byte(s), which exceeds already uploaded size of {session.persisted} byte(s).",
                plain=True,
            )
        # Of unknown length, with `a-*/*` or no Content-Range at all: the end of the body is the end of the object.
        final = chunk.total is None if chunk.length is None else chunk.total == chunk.start + chunk.length
        if chunk.length is not None and not final and chunk.length < QUANTUM:
            # Multiple chunk upload: chunks are multiples of 256 KiB unless the last one.
            raise ApiError(
                400,
                "invalid",
                f"Invalid request.  The number of bytes uploaded is required to be equal or greater than {QUANTUM}, "
                f"except for the final request (it's recommended to be the exact multiple of {QUANTUM}).  The received "
                f"request contained {chunk.length} bytes, which does not meet this requirement.",
                plain=True,
            )
        # Bytes at an offset that is persisted already are ignored (Resuming an upload).
        skip = session.persisted - chunk.start
        room = request.acknowledge
        held = bytearray()  # less than a quantum: kept only if the object ends with it
        # If the caller goes away in the middle, what came in whole quanta stays: the status check will say so.
        for data in request.body:
            if skip:
                drop = min(skip, len(data))
                skip, data = skip - drop, data[drop:]
            if room is not None:
                data = data[:room]
                room -= len(data)
            held += data
            whole = len(held) - (session.persisted + len(held)) % QUANTUM
            if whole > 0:
                session.writer.write(bytes(held[:whole]))
                del held[:whole]
        if request.acknowledge is not None or final:
            session.writer.write(bytes(held))
        return final and request.acknowledge is None

    def _finish(self, session: Session, request: Request) -> StoredObject:
        try:
            # X-Goog-Hash may come with the last request ("Data validation", resumable uploads).
            last = expected_hashes({}, request)
            check_hashes(session.writer, {kind: last[kind] or session.expected[kind] for kind in last})
            made = draft(session.bucket, session.name, session.writer, session.fields)
            session.finished = self._store.commit(made, session.conditions, session.guard)
        except ApiError as error:
            session.failed = error
            raise
        return session.finished


def incomplete(session: Session, request: Request) -> Response:
    """308 with what is persisted; no Range where that is nothing (Check the status)."""
    headers = [("X-GUploader-UploadID", session.id)]
    if session.persisted:
        headers.append(("Range", f"bytes=0-{session.persisted - 1}"))
    if request.headers.get("x-guploader-no-308", "").lower() == "yes":
        # For clients whose HTTP library takes every 308 for a redirect.
        return Response(200, [*headers, ("X-HTTP-Status-Code-Override", "308")])
    return Response(308, headers)
