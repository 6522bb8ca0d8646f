"""One connection: a request goes out, the head of its answer comes in; see :mod:`.response` for the body of that."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Sequence

from .head import HEAD_MAX, Head, ProtocolError, parse

READ = 64 << 10
"""Bytes asked of a socket at a time while a head is read."""

JOINED = 32 << 10
"""Bodies of up to this size leave in one call with their head."""

SLICE = 256 << 10
"""Bytes given to a socket at a time: between two of them it is seen whether there is an answer already."""

CONTINUE_WAIT = 1.0
"""Seconds that a 100 (Continue) is waited for: RFC 9110, section 10.1.1, wants that to end."""

INTERIM_MAX = 20
"""Interim answers (1xx) to one request."""

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

    __slots__ = ("_tls", "complete", "ignores_expect", "rest", "sock", "takes_bodies", "timeout")

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
            if size and not self._tls and hasattr(self.sock, "sendmsg"):
                sent = self.sock.sendmsg((head, *body))
                if sent < len(head) + size:
                    self.sock.sendall(b"".join((head, *body))[sent:])
            else:
                self.sock.sendall(b"".join((head, *body)) if size else head)
            self.complete = True
            return None
        self.sock.sendall(head)
        if expect:
            if _poll(self.sock, _IN, min(CONTINUE_WAIT, self.timeout)):
                found = self._read_head(interim=True)
                if found.status != 100:
                    return found
            else:
                self.ignores_expect = True
        if self._tls:
            self.sock.settimeout(0)
        try:
            for view in body:
                if (found := self._send_large(view)) is not None:
                    return found
        finally:
            if self._tls:
                self._block()
        self.complete = True
        return None

    def _send_large(self, view: memoryview) -> Head | None:
        """Send a buffer without waiting in a call that cannot see an answer."""
        start, size = 0, len(view)
        wanted = _IN | _OUT
        while start < size:
            ready = _poll(self.sock, wanted, self.timeout)
            if not ready:
                raise TimeoutError("nothing could be sent")
            if ready & ~_OUT and (found := self._early()) is not None:
                return found
            try:
                start += (
                    self.sock.send(view[start : start + SLICE])
                    if self._tls
                    else self.sock.send(view[start : start + SLICE], _NO_WAIT)
                )
                wanted = _IN | _OUT
            except ssl.SSLWantReadError:
                wanted = _IN
            except (BlockingIOError, ssl.SSLWantWriteError):
                wanted = _IN | _OUT
        return None

    def _early(self) -> Head | None:
        """Read what comes while a body is sent; return the head of a final answer when it is complete."""
        try:
            data = self.sock.recv(READ) if self._tls else self.sock.recv(READ, _NO_WAIT)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        if not data:
            raise ConnectionResetError("the server closed the connection while the body was sent")
        self.rest += data
        return self._head_in_rest()

    def _head_in_rest(self) -> Head | None:
        """Take the first final head out of what was read, if it is there whole."""
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            found = parse(self.rest[: end + 2])
            self.rest = self.rest[end + 4 :]
            if found.status >= 200:
                return found
        if len(self.rest) > HEAD_MAX:
            raise ProtocolError(f"the head of the answer is longer than {HEAD_MAX} bytes")
        return None

    def _last_words(self) -> Head | None:
        """Return the answer that a server gave before it closed the connection in the middle of a request."""
        try:
            self.sock.settimeout(min(1.0, self.timeout))
            return self._read_head()
        except (OSError, LostError, ProtocolError):
            return None

    # -- answers ----------------------------------------------------------------------------------------------------

    def _read_head(self, *, interim: bool = False) -> Head:
        """Read the head of an answer; those of interim ones are passed over.

        :param interim: a 100 is what is waited for
        """
        data, self.rest = self.rest, b""
        limit, count = 0.0, 0
        while True:
            end = data.find(b"\r\n\r\n") if data else -1
            if end >= 0:
                found = parse(data[: end + 2])
                data = data[end + 4 :]
                count += 1
                if found.status >= 200 or (interim and found.status == 100):
                    self.rest = data
                    return found
                if found.status == 101 or count > INTERIM_MAX:
                    raise ProtocolError("the answer switches protocols, or is announced without an end")
                continue
            if len(data) > HEAD_MAX:
                raise ProtocolError(f"the head of the answer is longer than {HEAD_MAX} bytes")
            if len(data) >= 9 and not data.startswith(b"HTTP/1."):
                raise ProtocolError(f"the answer begins with {data[:40]!r}, which is not HTTP/1.1")
            # A byte a second is no silence: a head has the time of one, however it comes.
            now = time.monotonic() if data or count else 0.0
            limit = limit or (now and now + self.timeout)
            if now and now > limit:
                raise LostError("the head of the answer did not come in time", answered=True,
                                complete=self.complete, timeout=True)  # fmt: skip
            try:
                more = self.sock.recv(READ)
            except OSError as error:
                raise self._lost(error, answered=bool(data or count)) from error
            if not more:
                raise LostError("the server closed the connection without an answer", answered=bool(data or count),
                                complete=self.complete)  # fmt: skip
            data = data + more if data else more

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
