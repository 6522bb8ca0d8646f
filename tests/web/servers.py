"""Real servers on a free loopback port, and a client that hides nothing."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from werkzeug.serving import WSGIRequestHandler, make_server


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def header(self, name: str) -> str:
        return self.headers.get(name, "")


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # bodies in chunks, connections that are kept

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def wsgi_server(app: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def asgi_server(app: Any) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


SERVERS = {"wsgi": wsgi_server, "asgi": asgi_server}


def request(
    url: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None, **options: Any
) -> Answer:
    """Send one request as it is and read the whole answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        # A server that refuses a body may answer before it has read it.
        with contextlib.suppress(ConnectionError):
            connection.request(method, target, body, dict(headers or {}), **options)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def broken_off(url: str, method: str, headers: Mapping[str, str], sent: bytes) -> None:
    """Send a request with a part of its body, and go away."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", *(f"{k}: {v}" for k, v in headers.items())]
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + sent)
        time.sleep(0.2)


def eventually(check: Any, seconds: float = 5) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Relay:
    """A line to a server that is slow upwards and can be cut.

    :param rate: bytes a second
    """

    def __init__(self, url: str, rate: int):
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 80)
        self._rate = rate
        self._down = False
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._down:
                    client.close()
                    continue
                server = socket.create_connection(self._target)
                self._open |= {client, server}
                threading.Thread(target=self._carry, args=(client, server, self._rate), daemon=True).start()
                threading.Thread(target=self._carry, args=(server, client, 0), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, rate: int) -> None:
        with contextlib.suppress(OSError):
            while not self._down and (chunk := source.recv(65536)):
                target.sendall(chunk)
                if rate:
                    time.sleep(len(chunk) / rate)
        for end in (source, target):
            self._open.discard(end)
            with contextlib.suppress(OSError):
                if self._down:  # a close is then a reset, at once, whatever is still on its way
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """All connections break, and no new one comes up meanwhile."""
        self._down = True
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        try:
            yield
        finally:
            self._down = False

    def close(self) -> None:
        self._listener.close()
        with self.cut():
            pass
