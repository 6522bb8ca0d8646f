"""Servers on a bare socket that say exactly what a test writes, right or wrong: one thread for each connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from file_keeper.backend.http import Origin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class GoneError(Exception):
    """The client has closed the connection."""


@dataclass
class Request:
    """What came: names of headers in lower case, values of repeated ones in order."""

    line: str
    headers: list[tuple[str, str]] = field(default_factory=lambda: [])
    body: bytes = b""

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.headers if key == name), default)


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, seen: list[Request], number: int):
        self.sock = sock
        self.number = number
        self._seen = seen
        self._rest = b""

    def head(self) -> Request:
        """Read a head; its body is still to come."""
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            self._rest += self._more()
        lines = self._rest[:end].decode("latin-1").split("\r\n")
        self._rest = self._rest[end + 4 :]
        pairs = [line.partition(":")[::2] for line in lines[1:]]
        request = Request(lines[0], [(name.lower(), value.strip()) for name, value in pairs])
        self._seen.append(request)
        return request

    def body(self, request: Request) -> None:
        """Read the body that a head announces."""
        left = int(request.get("content-length", "0"))
        pieces: list[bytes] = []
        while left:
            data = self._rest or self._more(min(left, 1 << 20))
            pieces.append(data[:left])
            self._rest = data[left:]
            left -= len(pieces[-1])
        request.body = b"".join(pieces)

    def request(self) -> Request:
        """Read a request with its body."""
        request = self.head()
        self.body(request)
        return request

    def send(self, *pieces: bytes, pause: float = 0.0) -> None:
        for piece in pieces:
            self.sock.sendall(piece)
            time.sleep(pause)

    def wait_for_end(self) -> None:
        """Read until the client closes the connection."""
        with contextlib.suppress(GoneError):
            while True:
                self._more()

    def reset(self) -> None:
        """Close so that the client gets a reset instead of an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _more(self, size: int = 65536) -> bytes:
        try:
            data = self.sock.recv(size)
        except OSError:
            data = b""
        if not data:
            raise GoneError
        return data


Handler = Callable[[Peer], None]


class RawServer:
    """Listens on the loopback until its block ends.

    :param handler: called with each connection, which is closed when it returns
    :param tls: a context of the server's side
    :param receive: bytes of the receive buffers, so that a server that does not read holds its client up soon
    """

    def __init__(
        self, handler: Handler, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", receive: int = 0
    ):
        self.requests: list[Request] = []
        self.connections = 0
        self.failures: list[BaseException] = []
        self._handler = handler
        self._tls = tls
        self._listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, 0))
        self._listener.listen(128)
        self.port = int(self._listener.getsockname()[1])
        self.origin = Origin(tls is not None, host, self.port)
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="raw-server", daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return str(self.origin)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            # What waits for a confirmation is thrown away by a reset: an answer is on its way when send returns.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock, self.connections), name="raw-server", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            if self._tls is not None:
                self._open.remove(sock)
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            self._handler(Peer(sock, self.requests, number))
        except (GoneError, OSError):
            pass
        except BaseException as error:
            self.failures.append(error)
        finally:
            sock.close()

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        if error is None and self.failures:
            raise self.failures[0]

    def stop(self) -> None:
        """Refuse new connections and break those that are open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)


def always(answer: bytes) -> Handler:
    """Return a handler that gives the same answer to every request."""

    def handle(peer: Peer) -> None:
        while True:
            peer.request()
            peer.send(answer)

    return handle


def once(*pieces: bytes, pause: float = 0.0, hold: bool = False) -> Handler:
    """Return a handler that sends pieces to the first request, then ends or waits for the client to end."""

    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(*pieces, pause=pause)
        if hold:
            peer.wait_for_end()

    return handle


def by_connection(*handlers: Handler) -> Handler:
    """Return a handler that handles the first connection by the first of some, and so on; the last for all others."""

    def handle(peer: Peer) -> None:
        handlers[min(peer.number, len(handlers)) - 1](peer)

    return handle


@contextlib.contextmanager
def refused() -> Generator[Origin]:
    """Give an origin where nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port meanwhile
        yield Origin(False, "127.0.0.1", sock.getsockname()[1])


def head(status: str, headers: Sequence[tuple[str, str]] = (), *, minor: int = 1) -> bytes:
    """Return a head, its empty line included."""
    lines = [f"HTTP/1.{minor} {status}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
