"""Handlers as ASGI applications; on anyio, so asyncio and trio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar, checkpoint

from .failures import failure_of
from .http import Failure, Handler, Intake, Reply, Request, parse_length, parse_query, plain
from .wsgi import DRAINED

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

T = TypeVar("T")

_GATHERED = 256 << 10
_THREADS = 64
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("file_keeper_web_limiter")


async def in_thread(call: Callable[..., T], *args: Any) -> T:
    """Call something that may wait for a storage. The threads are not those that the framework lives on."""
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_THREADS)
        _limiter.set(limiter)
    return await anyio.to_thread.run_sync(call, *args, limiter=limiter)


def request_of(scope: Scope) -> Request:
    """Return what is asked. :raises Failure: when it cannot be read"""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    root = scope.get("root_path", "").rstrip("/")
    path: str = scope["path"]
    if root and (path == root or path.startswith(root + "/")):
        path = path[len(root) :]
    return Request(
        method=scope["method"].upper(),
        root=root,
        path=path,
        query=parse_query(scope.get("query_string", b"").decode("latin-1")),
        headers=headers,
        length=parse_length(headers.get("content-length", "")),
    )


async def chunks_of(receive: Receive) -> AsyncIterator[bytes]:
    """Read a body to its end. :raises Failure: when the client goes away before"""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Failure(400, "The connection broke off.")
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Put chunks together until they are worth a change of threads; what came before a failure is passed on."""
    buffer = bytearray()
    try:
        async for chunk in chunks:
            buffer += chunk
            if len(buffer) >= _GATHERED:
                yield bytes(buffer)
                buffer.clear()
    except Exception:
        if buffer:
            yield bytes(buffer)
        raise
    if buffer:
        yield bytes(buffer)


async def take(intake: Intake[T], chunks: AsyncIterator[bytes]) -> T:
    """Pass a body to its receiver and return the result. After a failure or cancellation nothing is left of it.

    What has begun to be finished is finished, whoever waits for it.
    """
    try:
        async for chunk in chunks:
            await in_thread(intake.feed, chunk)
        # A cancellation that came while the last chunk was taken shows here, and not between the two.
        await checkpoint()
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await in_thread(intake.abort)
            if isinstance(error, Exception):
                await drain(chunks)
        raise
    with anyio.CancelScope(shield=True):
        return await in_thread(intake.finish)
    raise AssertionError("unreachable: nobody cancels that scope")


async def drain(chunks: AsyncIterator[bytes]) -> None:
    """Read what is still being sent, up to a bound, so that the answer is seen."""
    total = 0
    with suppress(Exception), anyio.move_on_after(5):
        async for chunk in chunks:
            total += len(chunk)
            if total > DRAINED:
                return


async def send_reply(reply: Reply, receive: Receive, send: Send, *, method: str) -> None:
    """Send an answer; a client that goes away ends the reading."""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
    try:
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if isinstance(reply.body, bytes) or method == "HEAD":
            body = reply.body if isinstance(reply.body, bytes) and method != "HEAD" else b""
            await send({"type": "http.response.body", "body": body})
            return
        chunks = iter(reply.body)
        async with anyio.create_task_group() as group:
            group.start_soon(_cancel_when_gone, receive, group.cancel_scope)
            while (chunk := await in_thread(next, chunks, None)) is not None:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await in_thread(reply.close)


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def application(handler: Handler) -> Application:
    """Make an application of a handler."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
        else:
            try:
                reply = await _reply(handler, scope, receive)
            except Exception as error:
                failure = failure_of(error)
                reply = plain(failure.status, failure.text, failure.headers, method=scope["method"])
            await send_reply(reply, receive, send, method=scope["method"])

    return app


async def _live(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _reply(handler: Handler, scope: Scope, receive: Receive) -> Reply:
    request = request_of(scope)
    body = gathered(chunks_of(receive))
    try:
        outcome = await in_thread(handler, request)
    except Exception:
        if request.length or "transfer-encoding" in request.headers:
            await drain(body)
        raise
    return outcome if isinstance(outcome, Reply) else await take(outcome, body)
