"""A server in a child process that never outlives the process that started it."""

from __future__ import annotations

import atexit
import collections
import contextlib
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

START_TIMEOUT = 60.0
STOP_TIMEOUT = 5.0


class ServerProcess:
    """Start `command` and wait until `ready(line)` of its output gives an address.

    The child gets a pipe as its standard input and ends itself when that is closed, which the system does for us
    even if this process is killed. A session of its own keeps Ctrl-C away from it until the tests have torn down.
    """

    def __init__(
        self, command: Sequence[str], ready: Callable[[str], str | None], *, env: Mapping[str, str] | None = None
    ) -> None:
        self._owner = os.getpid()
        self._tail: collections.deque[str] = collections.deque(maxlen=50)
        self._address: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        # The output is read to its end, or a talkative child would block on a full pipe.
        self._reader = threading.Thread(target=self._read_output, args=(ready,), daemon=True)
        self._reader.start()
        atexit.register(self.stop)
        try:
            self.address = self._wait(START_TIMEOUT)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """End the child; a second call, or one from a forked copy of the owner, does nothing."""
        if os.getpid() != self._owner:
            return
        atexit.unregister(self.stop)
        process = self._process
        if process.stdin and not process.stdin.closed:
            try:
                process.stdin.close()
            except OSError:
                pass
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reader.join(STOP_TIMEOUT)

    def _read_output(self, ready: Callable[[str], str | None]) -> None:
        output = self._process.stdout
        assert output
        waiting = True
        with output:
            for line in output:
                self._tail.append(line)
                if waiting and (address := ready(line)):
                    waiting = False
                    self._address.put(address)
        self._address.put(None)

    def _wait(self, timeout: float) -> str:
        deadline = time.monotonic() + timeout
        try:
            address = self._address.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            address = None
        if not address:
            raise RuntimeError(f"the server did not start: {''.join(self._tail).strip() or 'it said nothing'}")
        return address


ABOVE = 10_000
"""Some servers also take the port so much higher (SeaweedFS for gRPC)."""


def free_ports(count: int) -> list[int]:
    """Return ports for servers that must be told theirs, below the range that the system gives to connections."""
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            port = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            found = 20_000 + port % 10_000
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", found)))
                stack.enter_context(socket.create_server(("127.0.0.1", found + ABOVE)))
                ports.append(found)
        return ports


@contextlib.contextmanager
def end_with_input(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """In a child: let a server run until standard input is closed, or the start in the body fails."""
    try:
        yield
        sys.stdin.read()
    finally:
        process.kill()
        process.wait()
