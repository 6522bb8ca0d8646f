"""One connection: a request goes out, the head of its answer comes in; see :mod:`.response` for the body of that."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Sequence

from . import tls
from .head import Head, ProtocolError, check_begun, parse

READ = 64 << 10
"""Bytes asked of a socket at a time while a head is read."""

JOINED = 32 << 10
"""Bodies of up to this size leave in one call with their head."""

SLICE = 256 << 10
"""Bytes given to a socket at a time: between two of them it is seen whether there is an answer already."""

CONTINUE_WAIT = 1.0
"""Seconds that a 100 (Continue) is waited for: RFC 9110, section 10.1.1, wants that to end."""

INTERIM_MAX = 20
"""Interim answers (1xx) to one request: RFC 9110, section 15.2, sets no bound."""

LAST_WORDS = 1.0
"""Seconds that an answer is looked for behind a connection that broke while a request was sent."""

_BUFFERS_MAX = 64  # given to one call: systems take 1,024 at most

_KERNEL_KEEPS_TIME = sys.platform in ("linux", "darwin")
_NO_WAIT = getattr(socket, "MSG_DONTWAIT", 0)
_IN, _OUT = 1, 4


class LostError(Exception):
    """The connection broke, or nothing came in time.

    :param answered: some of an answer had come
    :param complete: all of the request had been handed to the network
    :param timeout: nothing came in time
    """

    def __init__(self, text: str, *, answered: bool, complete: bool, timeout: bool = False):
        super().__init__(text)
        self.answered = answered
        self.complete = complete
        self.timeout = timeout


class Connection:
    """A connection to a server, or through a proxy to one.

    :param sock: connected, and with its TLS agreed where there is any
    :param timeout: seconds without a byte in either direction
    """

    __slots__ = (
        "_interims", "_tls", "complete", "home", "ignores_expect", "rest", "sock", "takes_bodies", "timeout", "used",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, timeout: float):
        self.sock = sock
        self.timeout = timeout
        self.rest = b""
        """Bytes that were read behind what was asked for."""
        self.takes_bodies = False
        """A large body was sent on it, and taken."""
        self.complete = True
        """The last request was sent whole: only then can another one follow."""
        self.ignores_expect = False
        """No 100 (Continue) came though it was asked for."""
        self.home: object = None
        """The pool that it may go back to."""
        self.used = 0.0
        """When it was last given back, in seconds of the monotonic clock."""
        self._interims = 0
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._block()

    def _block(self) -> None:
        """Let each call of the socket wait, for at most the timeout."""
        if _KERNEL_KEEPS_TIME and not self._tls:
            # Python's own timeout asks the kernel before every call: a tenth of what a small request costs.
            self.sock.settimeout(None)
            value = struct.pack("@ll", int(self.timeout), max(1, int(self.timeout % 1 * 1e6)))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
        else:
            self.sock.settimeout(self.timeout)

    def wait(self, seconds: float) -> None:
        """Wait for a byte this long from now on, in place of :attr:`timeout`."""
        if seconds != self.timeout:
            self.timeout = seconds
            self._block()

    @property
    def stale(self) -> bool:
        """Whether the server has closed it, or sent what nobody asked for."""
        return bool(self.rest) or bool(_poll(self.sock, _IN, 0))

    def close(self) -> None:
        """Close it at once."""
        self.sock.close()

    # -- requests ---------------------------------------------------------------------------------------------------

    def exchange(self, head: bytes, body: Sequence[memoryview], size: int, *, expect: bool = False) -> Head:
        """Send a request; return the head of its answer, which may come before all was sent: see :attr:`complete`.

        :param body: what follows the head, `size` bytes in all
        :param expect: the head asks for 100 (Continue)
        :raises LostError: when the connection breaks
        :raises ProtocolError: when something else than HTTP/1.1 comes
        """
        self.complete = self.ignores_expect = False
        self._interims = 0
        try:
            found = self._send(head, body, size, expect=expect)
        except OSError as error:
            # It may have been refused, in words, before the rest of it was.
            found = self._last_words()
            if found is None:
                raise self._lost(error) from error
        return found or self._read_head()

    def _send(self, head: bytes, body: Sequence[memoryview], size: int, *, expect: bool) -> Head | None:
        """Send a request; return the head of an answer that came meanwhile."""
        if size <= JOINED:
            if size and not self._tls and len(body) <= _BUFFERS_MAX and hasattr(self.sock, "sendmsg"):
                sent = self.sock.sendmsg((head, *body))
                if sent < len(head) + size:
                    self.sock.sendall(b"".join((head, *body))[sent:])
            else:
                self.sock.sendall(b"".join((head, *body)) if size else head)
            self.complete = True
            return None
        self.sock.sendall(head)
        if self._tls:
            self.sock.settimeout(0)
        try:
            if expect and (found := self._wait_to_continue()) is not None:
                return found
            for view in body:
                if (found := self._send_large(view)) is not None:
                    return found
        finally:
            if self._tls:
                self._block()
        self.complete = True
        return None

    def _wait_to_continue(self) -> Head | None:
        """Wait for 100 (Continue), not for long; return the final answer that came instead.

        What TLS sends of its own, as its tickets, is no answer: the socket is readable then, and there is nothing.
        """
        limit = time.monotonic() + min(CONTINUE_WAIT, self.timeout)
        while (left := limit - time.monotonic()) > 0 and _poll(self.sock, _IN, left):
            if (found := self._early(interim=True)) is not None:
                return None if found.status == 100 else found
        self.ignores_expect = True
        return None

    def _send_large(self, view: memoryview) -> Head | None:
        """Send a buffer without waiting in a call that cannot see an answer (RFC 9112, section 9.5)."""
        start, size = 0, len(view)
        wanted = _IN | _OUT
        limit = 0.0
        while start < size:
            ready = _poll(self.sock, wanted, self.timeout)
            if not ready:
                raise TimeoutError("nothing could be sent")
            if ready & ~_OUT:
                if (found := self._early()) is not None:
                    return found
                # A server that only talks takes nothing either.
                now = time.monotonic()
                limit = limit or now + self.timeout
                if now > limit:
                    raise TimeoutError("nothing could be sent")
            try:
                start += (
                    self.sock.send(view[start : start + SLICE])
                    if self._tls
                    else self.sock.send(view[start : start + SLICE], _NO_WAIT)
                )
                wanted, limit = _IN | _OUT, 0.0
            except ssl.SSLWantReadError:
                wanted = _IN
            except (BlockingIOError, ssl.SSLWantWriteError):
                wanted = _IN | _OUT
        return None

    def _early(self, *, interim: bool = False) -> Head | None:
        """Read what comes while a body is sent; return the head of a final answer when it is complete.

        :param interim: a 100 (Continue) is asked for too
        """
        try:
            data = self.sock.recv(READ) if self._tls else self.sock.recv(READ, _NO_WAIT)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        if not data:
            raise ConnectionResetError("the server closed the connection while the body was sent")
        self.rest += data
        return self._take_head(interim=interim)

    def _last_words(self) -> Head | None:
        """Return the answer that a server gave before it closed the connection in the middle of a request.

        :raises LostError: it says that TLS is not agreed after all
        """
        timeout, self.timeout = self.timeout, min(LAST_WORDS, self.timeout)
        try:
            self._block()
            return self._read_head()
        except LostError as error:
            if tls.is_refusal(error.__cause__):
                raise
            return None
        except (OSError, ProtocolError):
            return None
        finally:
            self.timeout = timeout
            with contextlib.suppress(OSError):
                self._block()

    # -- answers ----------------------------------------------------------------------------------------------------

    def _take_head(self, *, interim: bool = False) -> Head | None:
        """Take a head out of what was read, if it is there whole; interim ones are passed over (RFC 9110, 15.2).

        :param interim: a 100 (Continue) is not
        """
        rest = self.rest
        while (end := rest.find(b"\r\n\r\n")) >= 0:
            found = parse(rest[: end + 2])
            self.rest = rest = rest[end + 4 :]
            if found.status >= 200 or (interim and found.status == 100):
                return found
            self._interims += 1
            if found.status == 101 or self._interims > INTERIM_MAX:
                raise ProtocolError("the answer switches protocols, or is announced without an end")
        check_begun(rest)
        return None

    def _read_head(self) -> Head:
        """Read the head of an answer."""
        limit = 0.0
        while True:
            if self.rest and (found := self._take_head()) is not None:
                return found
            answered = bool(self.rest) or self._interims > 0
            if answered:
                # A byte a second is no silence: a head has the time of one, however it comes.
                now = time.monotonic()
                limit = limit or now + self.timeout
                if now >= limit or not _poll(self.sock, _IN, limit - now):
                    raise LostError(f"the head of the answer did not come within {self.timeout:g} seconds",
                                    answered=True, complete=self.complete, timeout=True)  # fmt: skip
            try:
                more = self.sock.recv(READ)
            except OSError as error:
                raise self._lost(error, answered=answered) from error
            if not more:
                raise LostError("the server closed the connection without an answer", answered=answered,
                                complete=self.complete)  # fmt: skip
            self.rest += more

    def receive_into(self, buffer: memoryview) -> int:
        """Put the next bytes of the answer into a buffer; 0 when the server has closed the connection.

        :raises LostError: when it breaks
        """
        if rest := self.rest:
            count = min(len(rest), len(buffer))
            buffer[:count] = rest[:count]
            self.rest = rest[count:]
            return count
        try:
            return self.sock.recv_into(buffer)
        except OSError as error:
            raise self._lost(error, answered=True) from error

    def receive(self, size: int) -> bytes:
        """Return the next bytes of the answer, at most `size`; ``b""`` when the server has closed the connection."""
        if rest := self.rest:
            self.rest = rest[size:]
            return rest[:size]
        try:
            return self.sock.recv(size)
        except OSError as error:
            raise self._lost(error, answered=True) from error

    def _lost(self, error: OSError, *, answered: bool = False) -> LostError:
        # A socket whose time the kernel keeps says EAGAIN when it has run out.
        if isinstance(error, TimeoutError | BlockingIOError):
            text, timeout = f"no byte came or could be sent for {self.timeout:g} seconds", True
        else:
            text, timeout = f"the connection broke ({error.strerror or error})", False
        return LostError(text, answered=answered, complete=self.complete, timeout=timeout)


if hasattr(select, "poll"):

    def _poll(sock: socket.socket, wanted: int, timeout: float) -> int:
        """Return what a socket is ready for, errors and ends among it; 0 after so many seconds."""
        if wanted & _IN and isinstance(sock, ssl.SSLSocket) and sock.pending():
            return _IN
        poll = select.poll()
        poll.register(sock, wanted)
        found = poll.poll(timeout * 1000)
        return found[0][1] if found else 0

    assert (select.POLLIN, select.POLLOUT) == (_IN, _OUT)
else:  # Windows

    def _poll(sock: socket.socket, wanted: int, timeout: float) -> int:
        """Return what a socket is ready for, errors and ends among it; 0 after so many seconds."""
        if wanted & _IN and isinstance(sock, ssl.SSLSocket) and sock.pending():
            return _IN
        readable, writable, broken = select.select(
            [sock] if wanted & _IN else [], [sock] if wanted & _OUT else [], [sock], timeout
        )
        return (_IN if readable or broken else 0) | (_OUT if writable else 0)
