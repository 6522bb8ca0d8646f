"""Starlette and FastAPI: ``send_file`` gives a file of any storage, ``receive`` takes one; both stream.

::

    @app.get("/files/{location:path}")
    async def read(request: Request, location: str):
        return await send_file(request, storage, location)

    @app.post("/files", status_code=201)
    async def create(request: Request):
        file = await receive(request, storage, storage.prepare_location, max_size="100MiB", types=["image/*"])
        return file.as_dict()
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import NoReturn

import file_keeper as fk
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .asgi import drain, gathered, in_thread, send_reply, take
from .failures import failure_of
from .forms import receiver_of
from .http import Failure, Reply
from .receiving import LocationOf, Terms
from .serving import Presentation, give


class StorageResponse(Response):
    """A file on its way: read as the client takes it, in threads, and let go when the client goes away."""

    def __init__(self, reply: Reply):
        self.status_code = reply.status
        self.body = reply.body if isinstance(reply.body, bytes) else b""
        self.background: BackgroundTask | None = None
        self._reply = reply
        self.init_headers(reply.headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = Reply(self.status_code, dict(self.headers), self._reply.body)
        await send_reply(reply, receive, send, method=scope["method"])
        if self.background is not None:
            await self.background()


async def send_file(
    request: Request,
    storage: fk.Storage,
    file: fk.types.FileOrLocation,
    *,
    download_name: str = "",
    as_attachment: bool = False,
    content_type: str = "",
    cache_control: str = "",
    redirect: float | str | timedelta | None = None,
) -> Response:
    """Answer a request with a file: ranges, conditions, HEAD, bounded memory.

    What can run script (HTML, SVG, XML, PDF, whatever is not known) is an attachment in any case.

    :param download_name: the name that it is saved under; ``""``: the last segment of its location
    :param as_attachment: save it in any case
    :param content_type: instead of the stored one
    :param cache_control: instead of ``private, no-cache``
    :param redirect: send the browser to a signed link that is valid so long, where the storage has such links
    :raises HTTPException: 404; 502, 503 or 504 when the storage fails; the cause is the :class:`FilesError`
    """
    how = Presentation(
        name=download_name, attachment=as_attachment, content_type=content_type, cache_control=cache_control
    )
    try:
        reply = await in_thread(give, storage, file, request.method, _headers(request), how, redirect)
    except (Failure, fk.exc.FilesError) as error:
        _fail(error)
    return StorageResponse(reply)


def _headers(request: Request) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _fail(error: Exception) -> NoReturn:
    failure = failure_of(error)
    raise HTTPException(failure.status, failure.text, failure.headers) from error


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise Failure(400, "The connection broke off.") from error


async def receive(
    request: Request,
    storage: fk.Storage,
    location: LocationOf,
    *,
    field: str = "file",
    max_size: int | str | None = None,
    types: Sequence[str] = (),
    overwrite: bool | fk.FileData | None = None,
    content_type: str = "",
    metadata: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    hash: str = "",
    algorithm: str = "",
) -> fk.FileData:
    """Store the file of a request: that of a form, or the body itself. All of it or nothing.

    It is passed on as it comes, without a temporary file; nothing may have read the request before (a parameter
    ``UploadFile``, ``request.form()``). Size, type and name are what they are found to be, not what the client says.

    :param location: where to; a callable gets the client's name for the file (``""`` without a form):
        ``storage.prepare_location``
    :param field: of the form
    :param max_size: the most bytes of the file (``10485760`` or ``"10MiB"``)
    :param types: patterns of media types (``"image/*"``), matched on the content
    :raises HTTPException: 400 without a file, with two, or when it breaks off; 409, 411, 413, 415, 422; 502, 503 or
        504 when the storage fails; the cause is the :class:`FilesError`
    """
    terms = Terms.of(
        max_size,
        types,
        content_type,
        overwrite=overwrite,
        metadata=metadata,
        headers=headers,
        hash=hash,
        algorithm=algorithm,
    )
    body = gathered(_body(request))
    given = request.headers.get("content-length", "")
    length = int(given) if given.isascii() and given.isdigit() else None
    try:
        if length is None and "transfer-encoding" not in request.headers:
            raise Failure(411, "The Content-Length is missing.")
        intake = receiver_of(
            storage,
            location,
            terms,
            content_type=request.headers.get("content-type", ""),
            length=length,
            field=field,
        )
    except (Failure, fk.exc.FilesError) as error:
        await drain(body)
        _fail(error)
    try:
        return await take(intake, body)
    except (Failure, fk.exc.FilesError) as error:
        _fail(error)
