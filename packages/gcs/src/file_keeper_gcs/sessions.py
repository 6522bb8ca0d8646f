"""Native sessions: one object, sent piece after piece to an address that is its own credential.

Reference: "Perform resumable uploads": https://cloud.google.com/storage/docs/performing-resumable-uploads
(308 with a Range is what the service has; 404, 410: the session is gone; 499: it is cancelled).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from file_keeper import exc, hashing
from file_keeper.backend import MultipartRef, ObjectInfo, WriteOptions
from file_keeper.types import Buffer

from . import errors, records
from .answers import NotFound, PreconditionFailed, Refused
from .transport import Transport

GONE = (404, 410, 499)
"""What a session answers that is not there, or not any more."""


class Sessions:
    """The sessions of one storage. Every request is marked secret: its address is told nowhere.

    :param transport: gives what requests go through
    """

    def __init__(self, transport: Callable[[], Transport]):
        self._transport = transport

    def start(self, key: str, resource: Mapping[str, Any], options: WriteOptions) -> str:
        """Begin a session; return its address."""
        headers = {"Content-Type": "application/json", "X-Upload-Content-Type": options.content_type}
        if options.size is not None:
            headers["X-Upload-Content-Length"] = str(options.size)
        transport = self._transport()
        whole = {"name": key, **resource, **records.expected(options.digests)}
        try:
            reply = transport.request(
                "objects.insert (session)",
                "POST",
                transport.path(start="/upload/storage/v1"),
                {"uploadType": "resumable", **records.conditions(options)},
                headers=headers,
                body=(json.dumps(whole).encode(),),
                secret=True,
            )
        except NotFound as error:
            raise errors.no_bucket(error, transport.bucket) from error
        except PreconditionFailed as error:
            raise errors.unmet(error, options) from error
        address = reply.headers.get("location", "")
        transport.session_path(address)
        return address

    def send(
        self, upload: MultipartRef, offset: int, body: Buffer, total: int | None, options: WriteOptions
    ) -> int | ObjectInfo:
        """Send a piece, the last one with the total; return what the service has now, or the object."""
        span = f"{offset}-{offset + len(body) - 1}" if len(body) else "*"
        headers = {"Content-Range": f"bytes {span}/{'*' if total is None else total}"}
        if total is not None:
            # Reference: "Data validation": X-Goog-Hash with the last request of a session is verified.
            known = (item for item in options.digests.items() if item[0] in records.DIGESTS)
            if hashes := ",".join(f"{name}={hashing.to_base64(value)}" for name, value in known):
                headers["X-Goog-Hash"] = hashes
        try:
            return self._request(upload, headers, body)
        except PreconditionFailed as error:
            raise errors.unmet(error, options) from error

    def offset(self, upload: MultipartRef) -> int | ObjectInfo:
        """Ask for the bytes that the service has, or the object.

        Never with the total: a session that has all its bytes would be published by the question.

        :raises MissingFileError: when there is no such session
        """
        return self._request(upload, {"Content-Range": "bytes */*"}, b"")

    def cancel(self, upload: MultipartRef) -> bool:
        """Cancel a session; return whether it was open."""
        try:
            # A finished session takes the cancellation as well, and was not open.
            if not isinstance(self.offset(upload), int):
                return False
        except exc.MissingFileError:
            return False
        except Refused as error:
            if error.status >= 500:
                raise
            # It was refused at its end (a condition, a hash) and tells that again; it is still there.
        transport = self._transport()
        path = transport.session_path(upload.id)
        reply = transport.request("objects.insert (cancel)", "DELETE", path, secret=True)
        return reply.status not in (404, 410)

    def _request(self, upload: MultipartRef, headers: Mapping[str, str], body: Buffer) -> int | ObjectInfo:
        transport = self._transport()
        try:
            reply, found = transport.exchange(
                "objects.insert (piece)",
                "PUT",
                transport.session_path(upload.id),
                headers=headers,
                body=(body,),
                secret=True,
            )
        except Refused as error:
            if error.status not in GONE:
                raise
            text = "there is no such upload: it is finished, cancelled or expired"
            raise exc.MissingFileError(text, **errors.facts_of(error)) from error
        if reply.status != 308:
            return records.info(found)
        reached = re.fullmatch(r"bytes=0-(\d+)", reply.headers.get("range", ""))
        return int(reached[1]) + 1 if reached else 0
