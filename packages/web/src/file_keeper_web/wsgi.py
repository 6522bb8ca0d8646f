"""Handlers as WSGI applications (PEP 3333)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from .failures import failure_of
from .http import Failure, Handler, Intake, Reply, Request, parse_length, parse_query, plain

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

T = TypeVar("T")

_CHUNK = 256 << 10
DRAINED = 4 << 20
"""Bytes of a refused body that are still read: who is sending them does not see an answer before."""


def _decoded(value: str) -> str:
    return value.encode("latin-1").decode("utf-8")


def request_of(environ: WSGIEnvironment) -> Request:
    """Return what is asked. :raises Failure: when it cannot be read"""
    headers = {
        name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = str(environ[name])
    try:
        root, path = _decoded(environ.get("SCRIPT_NAME", "")), _decoded(environ.get("PATH_INFO", ""))
    except UnicodeError:
        raise Failure(404, "There is no such file.") from None
    return Request(
        method=str(environ["REQUEST_METHOD"]).upper(),
        root=root,
        path=path,
        query=parse_query(environ.get("QUERY_STRING", "")),
        headers=headers,
        length=parse_length(headers.get("content-length", "")),
    )


def chunks_of(stream: Any, length: int | None) -> Iterator[bytes]:
    """Read a body to its end.

    :raises Failure: when the connection breaks before
    """
    left = length
    while left is None or left:
        try:
            chunk = stream.read(_CHUNK if left is None else min(_CHUNK, left))
        except OSError as error:
            raise Failure(400, "The connection broke off.") from error
        if not chunk:
            if left:
                raise Failure(400, "The body broke off: it is shorter than declared.")
            return
        if left is not None:
            left -= len(chunk)
        yield chunk


def take(intake: Intake[T], chunks: Iterator[bytes]) -> T:
    """Pass a body to its receiver and return the result. After any failure nothing is left of it."""
    try:
        for chunk in chunks:
            intake.feed(chunk)
    except BaseException:
        intake.abort()
        drain(chunks)
        raise
    return intake.finish()


def drain(chunks: Iterator[bytes]) -> None:
    """Read what is still being sent, up to a bound, so that the answer is seen."""
    total = 0
    with suppress(Exception):
        for chunk in chunks:
            total += len(chunk)
            if total > DRAINED:
                return


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Checksum Mismatch"  # 460, of the tus protocol


def application(handler: Handler) -> WSGIApplication:
    """Make an application of a handler."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = str(environ["REQUEST_METHOD"]).upper()
        try:
            reply = _reply(handler, environ)
        except Exception as error:
            failure = failure_of(error)
            reply = plain(failure.status, failure.text, failure.headers, method=method)
        start_response(f"{reply.status} {_phrase(reply.status)}", list(reply.headers.items()))
        if method == "HEAD":
            reply.close()
            return []
        return [reply.body] if isinstance(reply.body, bytes) else reply.body

    return app


def _reply(handler: Handler, environ: WSGIEnvironment) -> Reply:
    request = request_of(environ)
    terminated = bool(environ.get("wsgi.input_terminated"))
    body = chunks_of(environ["wsgi.input"], request.length if request.length is not None or not terminated else None)
    sized = request.length is not None or terminated
    try:
        outcome = handler(request)
    except BaseException:
        if sized:
            drain(body)
        raise
    if isinstance(outcome, Reply):
        return outcome
    if not sized:
        outcome.abort()
        raise Failure(411, "The Content-Length is missing.")
    return take(outcome, body)
