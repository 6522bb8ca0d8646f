"""The client: connections that are kept, and the one place where a request is sent.

Made for object storage: HTTP/1.1 (RFC 9110, RFC 9112) with bodies of any size in memory, answers read into the caller's
memory, no redirects, no cookies, no content codings. It repeats nothing but a request on a connection that the server
had closed; what may be repeated beyond that is for the core to decide.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ... import calls, exc
from ...types import Buffer
from ..answers import mark_sends, mark_unsent
from . import tls
from .connection import Connection, LostError
from .head import Head, ProtocolError, body_length
from .proxies import Origin, Proxies, Proxy, proxy_for
from .response import ChunkedResponse, Response

EXPECT_FROM = 1 << 20
"""Bytes of a body above which it is asked first whether it is wanted (``Expect: 100-continue``).

Only until a connection has taken one: what asks for each body again waits for a round trip each time.
"""

IDLE_MAX = 60.0
"""Seconds that a connection is kept without use: most servers close it before."""

log = logging.getLogger("file_keeper")

_SAFE = ("GET", "HEAD")
_WITH_BODY = ("PUT", "POST", "PATCH")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_known_names: set[str] = set()  # of headers, so that each is looked at once
_KNOWN_MAX = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """What storages must have in common to share connections.

    :param timeout: seconds without a byte, also to connect
    :param verify: as :data:`.tls.Verify`
    :param certificate: of the client, a path, or one and the path of its key
    :param proxies: by scheme; ``None`` for those of the environment
    """

    timeout: float = 60.0
    verify: tls.Verify = True
    certificate: str | tuple[str, str] | None = None
    proxies: Proxies = None


class Route(NamedTuple):
    """Where a connection leads, and through which proxy."""

    origin: Origin
    proxy: Proxy | None

    @property
    def first(self) -> Origin:
        """What the socket is connected to."""
        return self.proxy.origin if self.proxy else self.origin

    @property
    def relayed(self) -> bool:
        """Whether a proxy reads the requests themselves."""
        return self.proxy is not None and not self.origin.secure


class Client:
    """Connections by origin: the one that was used last is used next, so that those too many get old.

    Threads share it. A process that was forked has one without connections.

    :param connections: how many that nobody uses are kept for each origin
    """

    def __init__(self, config: Config | None = None, *, connections: int = 10):
        self.config = config or Config()
        self.connections = connections
        self.users = 0
        self._idle: dict[Route, list[Connection]] = {}
        self._routes: dict[Origin, Route] = {}
        self._unexpecting: set[Origin] = set()
        self._unverified: set[Origin] = set()
        self._closed = False
        self._home = object()
        _clients.add(self)
        # Not __del__: in a cycle the sockets might be finalized first, and warn that nobody closed them.
        weakref.finalize(self, _close_all, self._idle)

    def request(
        self,
        method: str,
        origin: Origin,
        target: str,
        headers: Mapping[str, str],
        body: Sequence[Buffer] = (),
        *,
        again: bool | None = None,
    ) -> Response:
        """Send a request; return the answer, whose body is read or closed by the caller.

        :param target: path and query, as they are sent
        :param headers: without ``Host`` and what frames the body
        :param body: buffers, sent one behind the other as they lie in memory
        :param again: whether it may be sent once more when a kept connection breaks without an answer after all was
            sent; else that is done only for what reads, and for what was not sent whole
        :raises ConnectionError: there was no answer, or none of HTTP/1.1
        :raises TimeoutError: it did not come in time
        :raises StorageDataError: a header or the target cannot be sent
        """
        views = [memoryview(each).cast("B") for each in body if len(each)] if body else []
        size = sum(map(len, views))
        route = self._routes.get(origin) or self._route(origin)
        framed = size if views or method in _WITH_BODY else None
        plain = _head(method, route, target, headers, framed, expect=False)
        repeatable = method in _SAFE if again is None else again
        kept, sends = True, 1
        while True:
            connection = self._take(route) if kept else None
            kept = connection is not None
            connection = connection or self._connect(route)
            head, expect = plain, False
            if size > EXPECT_FROM and not connection.takes_bodies and origin not in self._unexpecting:
                head, expect = _head(method, route, target, headers, framed, expect=True), True
            try:
                connection.wait(calls.patience(self.config.timeout))
                found = connection.exchange(head, views, size, expect=expect)
            except LostError as error:
                connection.close()
                # What was not sent whole nobody can have done. The service has seen it begin all the same: it counts as
                # an attempt, and is none of those that the policy does not allow any more.
                harmless = (repeatable or not error.complete) and not calls.is_final()
                if kept and not error.answered and not error.timeout and harmless:
                    kept, sends = False, sends + 1
                    continue
                if tls.is_refusal(error.__cause__):
                    raise mark_unsent(tls.failed(origin, error.__cause__)) from error
                kind = exc.TimeoutError if error.timeout else exc.ConnectionError
                raise mark_sends(kind(f"{origin}: {error}", retryable=True), sends) from error
            except ProtocolError as error:
                connection.close()
                raise mark_sends(exc.ConnectionError(f"{origin}: {error}", retryable=True), sends) from error
            except BaseException:
                connection.close()
                raise
            if expect and (connection.ignores_expect or found.status == 417):
                self._unexpecting.add(origin)
                if found.status == 417:  # the expectation was refused, not the request: RFC 9110, section 15.5.18
                    connection.close()
                    continue
            if size > EXPECT_FROM and found.status < 300:
                connection.takes_bodies = True
            return self._answer(method, route, target, found, connection)

    def _answer(self, method: str, route: Route, target: str, found: Head, connection: Connection) -> Response:
        origin = route.origin
        if found.status == 407 and route.relayed:  # a server that says so itself is answered for by its backend
            connection.close()
            raise mark_unsent(_proxy_refused(route))
        try:
            length = body_length(found, method)
        except ProtocolError as error:
            connection.close()
            raise exc.ConnectionError(f"{origin}: {error}", retryable=True) from error
        where = f"{origin}{target.partition('?')[0]}"
        reusable = found.persistent and connection.complete
        release = _Release(self, route)
        if length is not None and length < 0:
            if not found.minor or "content-length" in found.headers:  # RFC 9112, sections 6.1 and 6.3
                reusable = False
            return ChunkedResponse(found, connection, release, where, reusable=reusable)
        return Response(found, connection, length, release, where, reusable=reusable)

    # -- connections ------------------------------------------------------------------------------------------------

    def _route(self, origin: Origin) -> Route:
        route = self._routes[origin] = Route(origin, proxy_for(origin, self.config.proxies))
        return route

    def _take(self, route: Route) -> Connection | None:
        idle = self._idle.get(route)
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread was faster
                return None
            if connection.used > time.monotonic() - IDLE_MAX and not connection.stale:
                return connection
            connection.close()
        return None

    def _give_back(self, route: Route, connection: Connection) -> None:
        if connection.home is not self._home:  # it is the parent's, and this the process that was forked
            connection.close()
            return
        now = connection.used = time.monotonic()
        idle = self._idle.setdefault(route, [])
        idle.append(connection)
        try:
            if len(idle) > self.connections or idle[0].used < now - IDLE_MAX:
                idle.pop(0).close()
        except IndexError:  # other threads took them
            pass
        if self._closed:
            self._close_idle()

    def _connect(self, route: Route) -> Connection:
        """Open a connection.

        :raises ConnectionError: it cannot be opened: nothing of the request was sent
        """
        first, timeout = route.first, calls.patience(self.config.timeout)
        try:
            sock = socket.create_connection((first.host, first.port), timeout)
        except TimeoutError as error:
            message = f"{first}: no connection within {timeout:g} seconds"
            raise mark_unsent(exc.TimeoutError(message, retryable=True)) from error
        except (OSError, ValueError, OverflowError) as error:
            what = "has no address" if isinstance(error, socket.gaierror | ValueError) else "cannot be reached"
            said = getattr(error, "strerror", None) or error
            raise mark_unsent(exc.ConnectionError(f"{first} {what} ({said})", retryable=True)) from error
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if route.origin.secure:
                if route.proxy is not None:
                    self._tunnel(sock, route, route.proxy)
                sock = self._secured(sock, route.origin)
            connection = Connection(sock, self.config.timeout)
            connection.home = self._home
            return connection
        except BaseException:
            sock.close()
            raise

    def _secured(self, sock: socket.socket, origin: Origin) -> socket.socket:
        if not self.config.verify and origin not in self._unverified:
            self._unverified.add(origin)
            log.warning("the certificates of %s are not verified: 'verify' is off", origin)
        context = tls.context_of(self.config.verify, self.config.certificate)
        timeout = calls.patience(self.config.timeout)
        sock.settimeout(timeout)
        try:
            # An end that TLS did not announce may be one that somebody else made: RFC 9112, section 9.8.
            return context.wrap_socket(sock, server_hostname=origin.host, suppress_ragged_eofs=False)
        except ssl.SSLError as error:
            raise mark_unsent(tls.failed(origin, error)) from error
        except ValueError as error:
            raise mark_unsent(exc.ConnectionError(f"{origin} has a name that TLS cannot prove ({error})")) from error
        except TimeoutError as error:
            message = f"{origin}: TLS was not agreed within {timeout:g} seconds"
            raise mark_unsent(exc.TimeoutError(message, retryable=True)) from error
        except OSError as error:
            message = f"{origin}: the connection broke while TLS was agreed ({error.strerror or error})"
            raise mark_unsent(exc.ConnectionError(message, retryable=True)) from error

    def _tunnel(self, sock: socket.socket, route: Route, proxy: Proxy) -> None:
        """Ask a proxy for a tunnel: RFC 9110, section 9.3.6."""
        host = f"[{route.origin.host}]" if ":" in route.origin.host else route.origin.host
        place = f"{host}:{route.origin.port}"
        known = f"Proxy-Authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
        connection = Connection(sock, calls.patience(self.config.timeout))
        try:
            head = _encoded(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{known}", 3 if known else 2)
            found = connection.exchange(head, (), 0)
        except (LostError, ProtocolError) as error:
            kind = exc.TimeoutError if isinstance(error, LostError) and error.timeout else exc.ConnectionError
            raise mark_unsent(kind(f"the proxy {proxy.origin}: {error}", retryable=True)) from error
        if found.status == 407:
            raise mark_unsent(_proxy_refused(route))
        if found.status // 100 != 2 or connection.rest:
            raise mark_unsent(
                exc.ConnectionError(
                    f"the proxy {proxy.origin} opens no way to {place} (status {found.status} {found.reason})".rstrip(),
                    status=found.status,
                    retryable=found.status >= 500,
                )
            )

    # -- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close what nobody uses; running requests end in order, and their connections with them."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        _close_all(self._idle)

    def after_fork(self) -> None:
        """Let go of the parent's connections: closing a descriptor here leaves them open there.

        Those in use have another home from now on, so none of them comes back into the pool.
        """
        self._close_idle()
        self._home = object()


def _close_all(connections: Mapping[Route, list[Connection]]) -> None:
    for idle in list(connections.values()):
        while idle:
            with contextlib.suppress(IndexError):
                idle.pop().close()


class _Release:
    """Takes the connection of one answer back."""

    __slots__ = ("_client", "_route")

    def __init__(self, client: Client, route: Route):
        self._client = client
        self._route = route

    def __call__(self, connection: Connection, reusable: bool) -> None:
        if reusable and not connection.rest:
            self._client._give_back(self._route, connection)  # pyright: ignore[reportPrivateUsage]
        else:
            connection.close()


def _head(
    method: str, route: Route, target: str, headers: Mapping[str, str], size: int | None, *, expect: bool
) -> bytes:
    """Put a head together (RFC 9112, sections 3 to 5; what of them is checked: RFC 9110, section 5.5).

    :raises StorageDataError: something in it would be read as another line, or as another part of its line
    """
    lines = [f"{method} {f'{route.origin}{target}' if route.relayed else target} HTTP/1.1\r\nHost: "
             f"{route.origin.authority}\r\n"]  # fmt: skip
    lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
    count = len(headers) + 2
    if size is not None:
        lines.append(f"Content-Length: {size}\r\n")
        count += 1
    if expect:
        lines.append("Expect: 100-continue\r\n")
        count += 1
    if route.relayed and route.proxy is not None and route.proxy.authorization:
        lines.append(f"Proxy-Authorization: {route.proxy.authorization}\r\n")
        count += 1
    if (
        not method.isalpha()
        or not (target.isascii() and target.isprintable())
        or " " in target
        or not (_known_names.issuperset(headers) or _are_names(headers))
    ):
        raise exc.StorageDataError(
            "the method, the target or the name of a header holds a character that a request of HTTP cannot hold there"
        )
    return _encoded("".join(lines), count)


def _are_names(headers: Iterable[str]) -> bool:
    """Return whether headers can be called so (RFC 9110, section 5.1), and remember that."""
    if not all(map(_NAME.fullmatch, headers)):
        return False
    if len(_known_names) < _KNOWN_MAX:
        _known_names.update(headers)
    return True


def _encoded(text: str, count: int) -> bytes:
    """Return a head of so many lines, its end included.

    :raises StorageDataError: it has others, or a character that none can have
    """
    if text.count("\n") != count or text.count("\r") != count or "\0" in text:
        raise exc.StorageDataError("a line break or a NUL stands where a request of HTTP can hold none")
    try:
        return f"{text}\r\n".encode("latin-1")
    except UnicodeEncodeError as error:
        raise exc.StorageDataError(f"a header of HTTP cannot hold {error.object[error.start : error.end]!r}") from error


def _proxy_refused(route: Route) -> exc.FilesError:
    place = route.proxy.origin if route.proxy else route.origin
    return exc.PermissionError(
        f"the proxy {place} asks for credentials: put them into its address, 'http://user:password@proxy.example:3128'",
        status=407,
    )


# -- shared by storages -----------------------------------------------------------------------------------------------

_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_shared: weakref.WeakValueDictionary[Config, Client] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def acquire(config: Config, connections: int) -> Client:
    """Return the client of all storages of this process with the same configuration; :func:`release` it."""
    with _lock:
        client = _shared.get(config)
        if client is None:
            client = _shared[config] = Client(config, connections=connections)
        client.users += 1
        client.connections = max(client.connections, connections)
        return client


def release(client: Client) -> None:
    """End one use of a client: the last one closes it."""
    with _lock:
        client.users -= 1
        if client.users > 0:
            return
        if _shared.get(client.config) is client:
            del _shared[client.config]
    client.close()


def _forked() -> None:
    global _lock
    _lock = threading.Lock()
    for client in list(_clients):
        client.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
