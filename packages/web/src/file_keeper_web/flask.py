"""Flask: ``send_file`` gives a file of any storage, ``receive`` takes one; both stream.

::

    @app.get("/files/<path:location>")
    def read(location):
        return send_file(storage, location)

    @app.post("/files")
    def create():
        file = receive(storage, storage.prepare_location, max_size="100MiB", types=["image/*"])
        return file.as_dict(), 201
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NoReturn, cast

import file_keeper as fk
import flask
from werkzeug.exceptions import HTTPException, default_exceptions

from .failures import failure_of
from .forms import receiver_of
from .http import Failure, Reply
from .receiving import LocationOf, Terms
from .serving import Presentation, give
from .wsgi import chunks_of, drain, take


def send_file(
    storage: fk.Storage,
    file: fk.types.FileOrLocation,
    *,
    download_name: str = "",
    as_attachment: bool = False,
    content_type: str = "",
    cache_control: str = "",
    redirect: float | str | timedelta | None = None,
) -> flask.Response:
    """Answer the current request with a file: ranges, conditions, HEAD, bounded memory.

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
    headers = {name.lower(): value for name, value in flask.request.headers.items()}
    try:
        reply = give(storage, file, flask.request.method, headers, how, redirect)
    except (Failure, fk.exc.FilesError) as error:
        _fail(error)
    return _response(reply)


def _response(reply: Reply) -> flask.Response:
    # A list keeps the length that we tell (of a HEAD too); chunks are kept as they are, so that the server asks for one
    # when it can send it, and closes them.
    whole = isinstance(reply.body, bytes)
    body: Any = [reply.body] if whole else reply.body
    return flask.Response(body, reply.status, dict(reply.headers), direct_passthrough=not whole)


def _fail(error: Exception) -> NoReturn:
    failure = failure_of(error)
    kind = default_exceptions[failure.status]
    options: dict[str, Any] = {}
    if "Retry-After" in failure.headers:
        options["retry_after"] = int(failure.headers["Retry-After"])
    raise kind(failure.text, **options) from error


def receive(
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
    """Store the file of the current request: that of a form, or the body itself. All of it or nothing.

    It is passed on as it comes, without a temporary file; nothing may have read the request before (``request.form``,
    ``request.files``). Size, type and name are what they are found to be, not what the client says.

    :param location: where to; a callable gets the client's name for the file (``""`` without a form):
        ``storage.prepare_location``
    :param field: of the form
    :param max_size: the most bytes of the file (``10485760`` or ``"10MiB"``)
    :param types: patterns of media types (``"image/*"``), matched on the content
    :raises HTTPException: 400 without a file, with two, or when it breaks off; 409, 411, 413, 415, 422; 502, 503 or
        504 when the storage fails; the cause is the :class:`FilesError`
    """
    request = flask.request
    if {"form", "files"} & set(request.__dict__) or getattr(request, "_cached_data", None) is not None:
        raise RuntimeError("the request was read before receive(): leave request.form, files and data alone")
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
    body: Iterator[bytes] = iter(())
    try:
        if request.content_length is None and not request.environ.get("wsgi.input_terminated"):
            raise Failure(411, "The Content-Length is missing.")
        body = chunks_of(cast("Any", request.stream), None)
        intake = receiver_of(
            storage,
            location,
            terms,
            content_type=request.headers.get("Content-Type", ""),
            length=request.content_length,
            field=field,
        )
    except (Failure, fk.exc.FilesError) as error:
        drain(body)
        _fail(error)
    try:
        return take(intake, body)
    except HTTPException:
        raise
    except (Failure, fk.exc.FilesError) as error:
        _fail(error)
