"""HTTP/1.1 on loopback: threads, connections, framing, and the faults that happen below the API."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Protocol

from . import faults
from .errors import ApiError, ClientGone
from .faults import Action, Faults, first
from .messages import BodyReader, Request, Response

REASONS = {308: "Resume Incomplete", 499: "Client Closed Request"}
IDLE = 60.0  # seconds without a byte before a connection is given up
MAX_CONNECTIONS = 1024


@dataclass
class Entry:
    """One line of the log. `status` is 0 where no answer was given."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    status: int = 0
    received: int = 0
    sent: int = 0
    seconds: float = 0.0
    in_batch: bool = False


class App(Protocol):
    faults: Faults

    def handle(self, request: Request) -> Response: ...

    def refuse(self, request: Request, error: ApiError) -> Response: ...

    def note(self, request: Request) -> Entry: ...


class WireServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], app: App) -> None:
        self.app = app
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, Handler)

    def verify_request(self, request: object, client_address: object) -> bool:
        with self._open_lock:
            return len(self._open) < MAX_CONNECTIONS

    def track(self, connection: socket.socket, *, gone: bool = False) -> None:
        with self._open_lock:
            (self._open.discard if gone else self._open.add)(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        # A caller that breaks off is every test's right; anything else is a bug of the double and is shown.
        import sys

        if not isinstance(sys.exc_info()[1], OSError | ClientGone):
            super().handle_error(request, client_address)

    def end(self) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._open_lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE
    rbufsize = 256 * 1024
    disable_nagle_algorithm = True
    server: WireServer

    def setup(self) -> None:
        super().setup()
        self.server.track(self.connection)

    def finish(self) -> None:
        self.server.track(self.connection, gone=True)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[[], None]:
        # Any method reaches the API, which answers those that it does not know.
        if name.startswith("do_"):
            return self.serve
        raise AttributeError(name)

    def serve(self) -> None:
        request = self._request()
        app = self.server.app
        entry = app.note(request)
        began = time.monotonic()
        try:
            actions = app.faults.take(request)
            response = self._answer(app, request, actions)
            entry.received = request.body.received
            if response is None:
                self._reset()
                return
            request.body.drain()
            entry.received = request.body.received
            entry.status = response.status
            self._send(response, actions, entry)
        except (ClientGone, ConnectionError, TimeoutError):
            entry.received = request.body.received
            self.close_connection = True
        finally:
            entry.seconds = time.monotonic() - began

    def _request(self) -> Request:
        path, _, query = self.path.partition("?")
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]},{value}" if key in headers else value
        chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        length = int(headers["content-length"]) if headers.get("content-length", "").isdigit() else None
        host = headers.get("host") or f"127.0.0.1:{self.server.server_address[1]}"
        body = BodyReader(self.rfile, length, chunked=chunked)
        return Request(self.command, path, query, headers, body, f"http://{host}")

    def _answer(self, app: App, request: Request, actions: list[Action]) -> Response | None:
        """The response, or None where the connection must be reset."""
        for action in actions:
            if isinstance(action, faults.Delay) and action.at is None:
                self.server.stopping.wait(action.seconds)
        if reset := first(actions, faults.Reset):
            while request.body.received < reset.after and request.body.read(reset.after - request.body.received):
                pass
            return None
        if status := first(actions, faults.Status):
            return app.refuse(request, status.error())
        if acknowledge := first(actions, faults.Acknowledge):
            request.acknowledge = acknowledge.size
        response = app.handle(request)
        if first(actions, faults.LoseAnswer):
            return None
        if after := first(actions, faults.AnswerStatus):
            return app.refuse(request, after.error())
        faults.bend(response, actions, self._wait)
        return response

    def _wait(self, seconds: float) -> None:
        self.server.stopping.wait(seconds)

    def _send(self, response: Response, actions: list[Action], entry: Entry) -> None:
        cut = first(actions, faults.Cut) or first(actions, faults.Short)
        empty = self.command == "HEAD" or response.status in (204, 304)
        chunked = response.length is None and not empty
        headers = [("Date", formatdate(usegmt=True)), ("Server", "UploadServer"), *response.headers]
        if not response.header("X-GUploader-UploadID"):
            # "Response headers": each answer has one, for Google's support.
            headers.append(("X-GUploader-UploadID", secrets.token_urlsafe(24)))
        if chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        elif response.status != 204 and response.length is not None:
            headers.append(("Content-Length", str(response.length)))
        reason = REASONS.get(response.status) or self.responses.get(response.status, ("",))[0]
        lines = [f"HTTP/1.1 {response.status} {reason}", *(f"{name}: {value}" for name, value in headers), "", ""]
        # Latin-1 with UTF-8 inside is what servers send where metadata is not ASCII.
        pending = "\r\n".join(lines).encode("utf-8")
        if not empty:
            for chunk in response.chunks():
                if cut and entry.sent + len(chunk) > cut.after:
                    kept = chunk[: cut.after - entry.sent]
                    entry.sent = cut.after
                    self.wfile.write(pending + kept)
                    if isinstance(cut, faults.Cut):
                        self._reset()
                    self.close_connection = True
                    return
                # Counted before it is written: who has read the answer finds it in the log.
                entry.sent += len(chunk)
                # The head goes out with the first bytes: one packet for a small answer.
                framed = b"%x\r\n%s\r\n" % (len(chunk), chunk) if chunked else chunk
                self.wfile.write(pending + framed if chunk else pending)
                pending = b""
        if pending or chunked:
            self.wfile.write(pending + (b"0\r\n\r\n" if chunked else b""))

    def _reset(self) -> None:
        """Ends the connection with a RST: what a broken network or a dying server looks like."""
        self.close_connection = True
        self.server.track(self.connection, gone=True)
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        descriptor = self.connection.detach()
        if descriptor >= 0:
            if os.name == "nt":
                socket.close(descriptor)
            else:
                os.close(descriptor)
