"""Django: ``send_file`` answers a view with a file of any storage, by ranges and in bounded memory.

::

    def media(request, location):
        return send_file(request, default_storage.storage, location)

What comes in is the matter of Django's own forms and upload handlers: see ``file-keeper-django``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

import file_keeper as fk
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from .failures import failure_of
from .http import Chunks, Failure, Reply
from .serving import Presentation, give


def send_file(
    request: HttpRequest,
    storage: fk.Storage,
    file: fk.types.FileOrLocation,
    *,
    download_name: str = "",
    as_attachment: bool = False,
    content_type: str = "",
    cache_control: str = "",
    redirect: float | str | timedelta | None = None,
) -> HttpResponseBase:
    """Return the response to a request for a file: ranges, conditions, HEAD, bounded memory, under WSGI and ASGI.

    What can run script (HTML, SVG, XML, PDF, whatever is not known) is an attachment in any case. When the storage
    fails, the response is a 502, 503 or 504; Django has no exceptions for these.

    :param storage: ``default_storage.storage``, or any other
    :param download_name: the name that it is saved under; ``""``: the last segment of its location
    :param as_attachment: save it in any case
    :param content_type: instead of the stored one
    :param cache_control: instead of ``private, no-cache``
    :param redirect: send the browser to a signed link that is valid so long, where the storage has such links
    :raises Http404: there is no such file, or none can have that name
    """
    how = Presentation(
        name=download_name, attachment=as_attachment, content_type=content_type, cache_control=cache_control
    )
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        reply = give(storage, file, request.method or "GET", headers, how, redirect)
    except (Failure, fk.exc.FilesError) as error:
        failure = failure_of(error)
        if failure.status == 404:
            raise Http404(failure.text) from error
        return HttpResponse(failure.text, "text/plain; charset=utf-8", failure.status, headers=dict(failure.headers))
    return _response(request, reply)


def _response(request: HttpRequest, reply: Reply) -> HttpResponseBase:
    headers = dict(reply.headers)
    if isinstance(reply.body, bytes):
        return HttpResponse(reply.body, status=reply.status, headers=headers)
    body: Iterable[bytes] | _InThreads = _InThreads(reply.body) if isinstance(request, ASGIRequest) else reply.body
    return StreamingHttpResponse(body, status=reply.status, headers=headers)


class _InThreads:
    """Chunks for an event loop, each got in a thread. Django would read a plain iterator whole before it sends it."""

    def __init__(self, chunks: Chunks):
        self._chunks = chunks
        # What Django calls at the end of the response, and when the client has gone.
        self.close: Any = chunks.close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        following = sync_to_async(next, thread_sensitive=False)
        while (chunk := await following(self._chunks, None)) is not None:
            yield chunk
