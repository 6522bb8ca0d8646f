"""An HTTP/1.1 proxy in front of any server of the tests, which records what passes and breaks it on demand.

    with FaultProxy(server.url) as proxy:
        proxy.on("PUT", r"/key$", times=2).answer(503, s3_error("SlowDown"), {"Retry-After": "1"})
        proxy.on("GET", times=None).cut(after=3 * MIB)
        ... a client of proxy.url ...
        assert proxy.count("PUT") == 3

Bodies are streamed, so a 1 GiB upload costs one small buffer. Every request has an upstream connection of its own:
a stale one could not be told from an injected fault.
"""

from __future__ import annotations

import collections
import http.client
import re
import selectors
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, Self
from urllib.parse import urlsplit

from emulators.tls import Certificates

from .http1 import (
    CHUNK,
    Body,
    Headers,
    Request,
    Response,
    WireError,
    head_bytes,
    is_chunked,
    read_chunked,
    read_head,
    read_length,
    read_to_end,
)
from .rules import Dropped, HungUp, Pace, Rule, flipped, with_more, without_last

IDLE_TIMEOUT = 120.0
HOP_BY_HOP = ("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Upgrade", "Transfer-Encoding")


class FaultProxy:
    """Listens on a free loopback port and passes to `upstream`; `url` is where clients go.

    `upstream_ca_file` is the authority of an https upstream; `certificates` make this side https. `prefix` makes it
    a reverse proxy that serves the upstream below a path (anything else is a 404). `keep_host` passes the client's
    Host on, as signatures and servers that build links need it; without it the upstream's own is sent.
    """

    def __init__(
        self,
        upstream: str,
        *,
        upstream_ca_file: str = "",
        certificates: Certificates | None = None,
        prefix: str = "",
        keep_host: bool = True,
        max_connections: int = 256,
    ) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        self._upstream_host = parts.netloc
        # A path in the address (Azurite's account) is part of the client's address too, so it is neither added nor cut.
        self._path = parts.path
        self._upstream_tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._upstream_tls = ssl.create_default_context(cafile=upstream_ca_file or None)
        self._tls: ssl.SSLContext | None = None
        self.ca_file = ""
        if certificates:
            self.ca_file = certificates.ca_file
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificates.cert_file, certificates.key_file)
        self._prefix = prefix.rstrip("/")
        self._keep_host = keep_host
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._requests: collections.deque[Request] = collections.deque(maxlen=100_000)
        self._number = 0
        self._slots = threading.BoundedSemaphore(max_connections)
        self._sockets: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    # What a test uses

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}{self._prefix}{self._path}"

    @property
    def requests(self) -> list[Request]:
        """The requests so far, in the order in which their heads came."""
        with self._lock:
            return list(self._requests)

    def matching(self, method: str | None = None, path: str = "", query: str = "") -> list[Request]:
        """The requests of a method whose raw path and query the regular expressions find something in."""
        return [
            request
            for request in self.requests
            if (not method or request.method == method)
            and re.search(path, request.path)
            and re.search(query, request.query)
        ]

    def count(self, method: str | None = None, path: str = "", query: str = "") -> int:
        return len(self.matching(method, path, query))

    def on(
        self,
        method: str | None = None,
        path: str = "",
        query: str = "",
        *,
        where: Callable[[Request], bool] | None = None,
        nth: int = 1,
        times: int | None = 1,
    ) -> Rule:
        """A rule for the `nth` matching request and the following, `times` in all (`None`: for ever).

        `path` and `query` are regular expressions, searched in the raw (percent-encoded) text. The rule is armed by
        its first action. Several rules may meet one request: their effects add up, and the first answer counts.
        """
        return Rule(self._arm, method, path, query, where, nth, times)

    def clear(self) -> None:
        """Forget the rules and the requests."""
        with self._lock:
            self._rules.clear()
            self._requests.clear()

    def stop(self) -> None:
        """End every connection and wait, including stalled ones, and free the port; may be called twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        try:  # closing a listening socket does not wake the thread that waits on it: a connection does
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            pass
        self._accepting.join(5)
        self._listener.close()
        with self._lock:
            sockets, threads = list(self._sockets), list(self._threads)
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What a subclass may change

    def process(self, request: Request, body: Body) -> Response:
        """The server's answer to a request that no fault has answered."""
        return self.forward(request.method, request.path, request.query, request.headers, body)

    def forward(self, method: str, path: str, query: str, headers: Headers, body: Body) -> Response:
        """Send a request upstream and give its answer, whose body is still to be read."""
        connection = self._connect()
        try:
            file = connection.makefile("rb", CHUNK)
            try:
                self._send_request(connection, method, path, query, headers, body)
                return self._read_response(connection, file, method)
            except BaseException:
                file.close()
                raise
        except BaseException:
            self._forget(connection)
            raise

    # Connections

    def _arm(self, rule: Rule) -> None:
        with self._lock:
            if rule not in self._rules:
                self._rules.append(rule)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            if not self._slots.acquire(timeout=0.2):
                continue
            try:
                client, _ = self._listener.accept()
            except OSError:
                self._slots.release()
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            with self._lock:
                self._threads.add(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            client.settimeout(IDLE_TIMEOUT)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            with self._lock:
                self._sockets.add(client)
            if isinstance(client, ssl.SSLSocket):
                client.do_handshake()
            with client.makefile("rb", CHUNK) as file:
                while not self._stopping.is_set() and self._serve_one(client, file):
                    pass
        except Dropped:
            _reset(client)
        except (OSError, WireError, HungUp):
            pass  # the client went away, or the server failed on its own: either way the connection ends
        finally:
            self._forget(client)
            with self._lock:
                self._threads.discard(threading.current_thread())
            self._slots.release()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(self._upstream, timeout=IDLE_TIMEOUT)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._upstream_tls:
                connection = self._upstream_tls.wrap_socket(connection, server_hostname=self._upstream[0])
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._sockets.add(connection)
        if self._stopping.is_set():
            self._forget(connection)
            raise Dropped
        return connection

    def _forget(self, one: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(one)
        one.close()

    # One exchange

    def _serve_one(self, client: socket.socket, file: BinaryIO) -> bool:
        """Read one request and answer it; whether the connection can carry another."""
        head = read_head(file)
        if not head:
            return False
        first, headers = head
        method, target, version = first.split(" ", 2)
        request, rules = self._record(method, target, headers)
        body = _request_body(client, file, headers)
        body.wrap(lambda chunks: self._disturb_upload(chunks, request, rules))
        if any(rule.reset_after == 0 for rule in rules):
            raise Dropped
        if any(rule.hangs_up == "before" for rule in rules):
            collections.deque(body, maxlen=0)  # closing on unread data would be a reset
            raise HungUp
        for rule in rules:
            self._stall(rule, "request")
        response = self._answer(request, body, rules)
        try:
            if any(rule.loses_answer for rule in rules):
                collections.deque(response.chunks, maxlen=0)
                raise Dropped
            if any(rule.hangs_up for rule in rules):
                collections.deque(response.chunks, maxlen=0)
                raise HungUp
            for rule in rules:
                self._stall(rule, "answer")
            keep = version == "HTTP/1.1" and headers.get("Connection").lower() != "close" and body.exhausted
            request.status = response.status
            keep = self._send_response(client, request, response, rules, keep)
        finally:
            response.close()
        if not body.exhausted:
            _close_gently(client)
        return keep

    def _record(self, method: str, target: str, headers: Headers) -> tuple[Request, list[Rule]]:
        path, _, query = target.partition("?")
        inside = not self._prefix or path == self._prefix or path.startswith(self._prefix + "/")
        stripped = (path[len(self._prefix) :] or "/") if inside else path
        with self._lock:
            self._number += 1
            request = Request(self._number, method, target, stripped, query, headers, outside=not inside)
            self._requests.append(request)
            rules = [rule for rule in self._rules if rule.takes(request)]
        request.faults.extend(rule.name for rule in rules)
        return request, rules

    def _answer(self, request: Request, body: Body, rules: list[Rule]) -> Response:
        answers = [rule.response for rule in rules if rule.response]
        if answers:
            status, data, headers = answers[0]
            response = Response.of(status, data, headers.items())
        elif request.outside:
            response = Response.of(404, "outside of the prefix")
        else:
            return self.process(request, body)
        if not body.waiting:  # a client that waits for 100 Continue is told at once and sends no body
            collections.deque(body, maxlen=0)
        return response

    def _send_request(
        self, upstream: socket.socket, method: str, path: str, query: str, headers: Headers, body: Body
    ) -> None:
        # `Expect` is answered on this side; `Connection: close` because the connection is used once.
        sent = Headers((*headers.without("Expect", "Content-Length", *HOP_BY_HOP), ("Connection", "close")))
        if not self._keep_host:
            sent = Headers((("Host", self._upstream_host), *sent.without("Host")))
        if body.length is None:
            sent.append(("Transfer-Encoding", "chunked"))
        elif body.length or headers.has("Content-Length"):
            sent.append(("Content-Length", str(body.length)))
        target = f"{path}?{query}" if query else path
        upstream.sendall(head_bytes(f"{method} {target} HTTP/1.1", sent))
        with selectors.DefaultSelector() as selector:
            selector.register(upstream, selectors.EVENT_READ)
            # On TLS a readable socket may hold no more than a session ticket, so only failing to send tells.
            for data in body:
                try:
                    upstream.sendall(data if body.length is not None else b"%x\r\n%b\r\n" % (len(data), data))
                except OSError:
                    return  # it refused in the middle: its answer, if any, is what comes next
                if not self._upstream_tls and not body.exhausted and selector.select(0):
                    return
        if body.length is None:
            upstream.sendall(b"0\r\n" + b"".join(f"{k}: {v}\r\n".encode("latin-1") for k, v in body.trailers) + b"\r\n")

    def _read_response(self, upstream: socket.socket, file: BinaryIO, method: str) -> Response:
        status = 100
        while 100 <= status < 200:
            head = read_head(file)
            if not head:
                raise WireError("the server closed without an answer")
            first, headers = head
            _, code, *reason = first.split(" ", 2)
            status = int(code)
        length: int | None = None
        if method == "HEAD" or status in (204, 304):
            length, chunks = 0, iter(())
        elif is_chunked(headers):
            chunks = read_chunked(file, Headers())
        elif headers.has("Content-Length"):
            length = int(headers.get("Content-Length"))
            chunks = read_length(file, length)
        else:
            chunks = read_to_end(file)

        def close() -> None:
            file.close()
            self._forget(upstream)

        return Response(status, headers, chunks, length, reason[0] if reason else "", close)

    def _send_response(
        self, client: socket.socket, request: Request, response: Response, rules: list[Rule], keep: bool
    ) -> bool:
        headers = response.headers.without(*HOP_BY_HOP)
        shorter = sum(rule.shorter_by for rule in rules)
        longer = sum(rule.longer_by for rule in rules)
        length = response.length
        bodiless = request.method == "HEAD" or response.status in (204, 304)
        chunked = False
        if bodiless:  # its Content-Length, if any, speaks of the body that a GET would have
            if response.status not in (204, 304) and not headers.has("Content-Length") and response.length is not None:
                headers.append(("Content-Length", str(response.length)))
        elif length is None:
            chunked = keep
            headers = headers.without("Content-Length")
            if chunked:
                headers.append(("Transfer-Encoding", "chunked"))
        else:
            length = max(0, length - shorter) + longer
            headers = Headers((*headers.without("Content-Length"), ("Content-Length", str(length))))
        headers.append(("Connection", "keep-alive" if keep else "close"))
        reason = response.reason or http.client.responses.get(response.status, "Unknown")
        client.sendall(head_bytes(f"HTTP/1.1 {response.status} {reason}", headers))
        if bodiless:
            return keep
        chunks = without_last(iter(response.chunks), shorter) if shorter else iter(response.chunks)
        if longer:
            chunks = with_more(chunks, longer)
        for data in self._disturb_download(chunks, rules, client):
            client.sendall(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
        if chunked:
            client.sendall(b"0\r\n\r\n")
        return keep

    # The faults

    def _stall(self, rule: Rule, at: str, position: int = 0) -> None:
        for where, seconds, after in rule.stalls:
            if where == at and after == position and self._stopping.wait(seconds):
                raise Dropped

    def _disturb_upload(self, chunks: Iterator[bytes], request: Request, rules: list[Rule]) -> Iterator[bytes]:
        flips = [(offset, bit) for rule in rules for side, offset, bit in rule.flips if side == "request"]
        resets = [rule.reset_after for rule in rules if rule.reset_after is not None]
        pace = Pace([rule.upload_rate for rule in rules], self._stopping)
        for data in chunks:
            data = flipped(data, request.body_length, flips)
            if resets and request.body_length + len(data) >= min(resets):
                raise Dropped
            for piece in pace.pieces(data):
                request.body_length += len(piece)
                yield piece

    def _disturb_download(self, chunks: Iterator[bytes], rules: list[Rule], client: socket.socket) -> Iterator[bytes]:
        flips = [(offset, bit) for rule in rules for side, offset, bit in rule.flips if side == "response"]
        cuts = [(rule.cut_after, rule.cut_cleanly) for rule in rules if rule.cut_after is not None]
        stops = sorted({after for rule in rules for at, _, after in rule.stalls if at == "body"})
        pace = Pace([rule.download_rate for rule in rules], self._stopping)
        position = 0
        for data in chunks:
            data = flipped(data, position, flips)
            while data:
                ends = [
                    end for end in (*stops, *(after for after, _ in cuts)) if position <= end < position + len(data)
                ]
                piece = data[: min(ends) - position] if ends else data
                yield from pace.pieces(piece)
                position += len(piece)
                data = data[len(piece) :]
                if ends and position in stops:
                    stops.remove(position)
                    for rule in rules:
                        self._stall(rule, "body", position)
                for after, cleanly in cuts:
                    if ends and after == position:
                        if cleanly:
                            raise WireError("cut")
                        self._let_arrive(client)
                        raise Dropped

    def _let_arrive(self, client: socket.socket) -> None:
        """Wait until what was sent has reached the other side: a reset throws away what still waits here."""
        try:
            import fcntl
            import termios
        except ImportError:
            self._stopping.wait(0.1)
            return
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and not self._stopping.is_set():
            if not struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, b"\0" * 4))[0]:
                return
            time.sleep(0.001)


def _request_body(client: socket.socket, file: BinaryIO, headers: Headers) -> Body:
    trailers = Headers()
    before = None
    if headers.get("Expect").lower() == "100-continue":

        def before() -> None:
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    if is_chunked(headers):
        return Body(read_chunked(file, trailers), None, trailers, before)
    length = int(headers.get("Content-Length", "0"))
    return Body(read_length(file, length), length, trailers, before if length else None)


def _reset(one: socket.socket) -> None:
    """Make the coming close a reset (RST), as a crashed peer or a middlebox does."""
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass


def _close_gently(client: socket.socket) -> None:
    """Say that nothing more comes, and take what the client still sends: closing on unread data would be a reset."""
    try:
        client.shutdown(socket.SHUT_WR)
        client.settimeout(1)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline and client.recv(CHUNK):
            pass
    except OSError:
        pass
