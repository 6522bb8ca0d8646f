"""Connections that are kept, found dead, shared, forked and interrupted."""

from __future__ import annotations

import _thread
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.raw import OK, Peer, RawServer, always, by_connection, head, once, refused
from file_keeper import calls, exc
from file_keeper.backend import was_unsent
from file_keeper.backend.http import Client, Config, Origin, acquire, release
from file_keeper.backend.http import client as module

Serve = Callable[..., RawServer]
MakeClient = Callable[..., Client]
Either = Callable[..., tuple[Client, RawServer]]

LONG = head("200 OK", [("Content-Length", "300000")]) + b"x" * 300_000


def ask(client: Client, server: RawServer | Origin, method: str = "GET", **options: Any) -> bytes:
    origin = server if isinstance(server, Origin) else server.origin
    return client.request(method, origin, "/key", {}, **options).content(1 << 20)


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


# -- the pool ---------------------------------------------------------------------------------------------------------


def open_to(server: RawServer) -> int:
    """Connections of this process to a server, seen from the side that asks."""
    found: set[str] = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{name}"))
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    own = [row for row in rows if f"socket:[{row[9]}]" in found]
    return sum(int(row[2].partition(":")[2], 16) == server.origin.port for row in own)


def test_the_connection_that_was_used_last_is_used_next(client: Client, serve: Serve):
    busy = serve(always(LONG))
    open_ones = [client.request("GET", busy.origin, "/", {}) for _ in range(3)]
    for answer in open_ones:
        answer.read()
    (idle,) = (idle for route, idle in client._idle.items() if route.origin == busy.origin)  # pyright: ignore[reportPrivateUsage]
    last = idle[-1]
    ask(client, busy)
    assert idle[-1] is last
    assert (len(idle), busy.connections) == (3, 3)


def test_no_more_connections_are_kept_than_wanted(make_client: MakeClient, serve: Serve):
    client, server = make_client(connections=2), serve(always(LONG))
    for answer in [client.request("GET", server.origin, "/", {}) for _ in range(6)]:
        answer.read()
    assert open_to(server) == 2
    assert server.connections == 6


def test_origins_do_not_share_connections(client: Client, serve: Serve):
    one, two = serve(always(OK)), serve(always(OK))
    for server in (one, two, one, two):
        assert ask(client, server) == b"ok"
    assert (one.connections, two.connections) == (1, 1)


def test_what_was_kept_too_long_is_not_used(client: Client, serve: Serve, monkeypatch: pytest.MonkeyPatch):
    server = serve(always(LONG))
    for answer in [client.request("GET", server.origin, "/", {}) for _ in range(3)]:
        answer.read()
    assert open_to(server) == 3
    monkeypatch.setattr(module, "IDLE_MAX", 0.1)
    time.sleep(0.2)
    assert len(ask(client, server)) == 300_000
    assert server.connections == 4
    assert open_to(server) == 1, "the old ones are closed, not forgotten"


def test_old_connections_go_while_one_is_in_use(client: Client, serve: Serve, monkeypatch: pytest.MonkeyPatch):
    server = serve(always(LONG))
    for answer in [client.request("GET", server.origin, "/", {}) for _ in range(4)]:
        answer.read()
    monkeypatch.setattr(module, "IDLE_MAX", 1.5)
    for _ in range(20):
        ask(client, server)
        time.sleep(0.1)
    assert server.connections == 4, "the one that is used stays"
    assert open_to(server) == 1


# -- dead connections -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_a_connection_that_was_closed_is_noticed_before_anything_is_sent(either: Either, method: str):
    client, server = either(by_connection(once(OK), once(OK), always(OK)))
    for _ in range(3):
        assert ask(client, server, method) == b"ok"
        time.sleep(0.1)
    assert (server.connections, len(server.requests)) == (3, 3)


def dies_at(request: int, *, reset: bool = False, reads: bool = True) -> Callable[[Peer], None]:
    """Close the connection in place of an answer."""

    def handle(peer: Peer) -> None:
        for _ in range(request - 1):
            peer.request()
            peer.send(OK)
        if reads:
            peer.request()
        else:
            peer.head()
        if reset:
            peer.reset()

    return handle


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
@pytest.mark.parametrize(
    ("method", "again", "repeated"),
    [
        ("GET", None, True),
        ("HEAD", None, True),
        ("GET", False, False),
        ("PUT", None, False),
        ("POST", None, False),
        ("DELETE", None, False),
        ("PATCH", None, False),
        ("PUT", True, True),
        ("DELETE", True, True),
        ("POST", True, True),
    ],
)
def test_what_is_sent_again_when_a_kept_connection_dies(
    either: Either, method: str, again: bool | None, repeated: bool, reset: bool
):
    client, server = either(by_connection(dies_at(2, reset=reset), always(OK)))
    assert ask(client, server) == b"ok"
    body = (b"body",) if method in ("PUT", "POST", "PATCH") else ()
    if repeated:
        assert client.request(method, server.origin, "/key", {}, body, again=again).status == 200
        assert [request.method for request in server.requests] == ["GET", method, method]
        assert [request.body for request in server.requests[1:]] == [b"".join(body)] * 2
    else:
        with pytest.raises(exc.ConnectionError) as caught:
            client.request(method, server.origin, "/key", {}, body, again=again)
        assert caught.value.retryable
        assert not was_unsent(caught.value), "it may have been done"
        assert [request.method for request in server.requests] == ["GET", method]


@pytest.mark.parametrize("again", [None, True])
def test_once_is_enough(client: Client, serve: Serve, again: bool | None):
    server = serve(by_connection(dies_at(2), dies_at(1), always(OK)))
    assert ask(client, server) == b"ok"
    with pytest.raises(exc.ConnectionError, match="without an answer"):
        ask(client, server, again=again)
    assert server.connections == 2


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_new_connection_that_dies_is_an_error(client: Client, serve: Serve, method: str):
    server = serve(by_connection(dies_at(1), always(OK)))
    with pytest.raises(exc.ConnectionError, match="without an answer"):
        ask(client, server, method, again=True)
    assert server.connections == 1


def test_what_was_not_sent_whole_is_sent_again(either: Either):
    """RFC 9110, 9.2.2: what the server has not got whole it cannot have done."""

    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        peer.head()
        time.sleep(0.3)  # the buffers are full by now
        peer.reset()

    client, server = either(by_connection(handle, always(OK)), receive=4096)
    body = (bytes(1 << 20),) * 1
    assert ask(client, server) == b"ok"
    client._unexpecting.add(server.origin)  # pyright: ignore[reportPrivateUsage]
    assert client.request("POST", server.origin, "/key", {}, body * 24).content(9) == b"ok"
    assert [len(request.body) for request in server.requests] == [0, 0, 24 << 20]


def test_half_an_answer_is_never_asked_for_again(client: Client, serve: Serve):
    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nX")

    server = serve(by_connection(handle, always(OK)))
    assert ask(client, server) == b"ok"
    with pytest.raises(exc.ConnectionError):
        ask(client, server, again=True)
    assert len(server.requests) == 2


def test_silence_on_a_kept_connection_is_not_asked_again(make_client: MakeClient, serve: Serve):
    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        peer.request()
        peer.wait_for_end()

    client, server = make_client(timeout=0.5), serve(by_connection(handle, always(OK)))
    assert ask(client, server) == b"ok"
    with pytest.raises(exc.TimeoutError):
        ask(client, server)
    assert len(server.requests) == 2
    assert ask(client, server) == b"ok"


# -- shared clients ---------------------------------------------------------------------------------------------------


def test_storages_with_one_configuration_share_connections(serve: Serve):
    server = serve(always(OK))
    config = Config(timeout=7.0, proxies=())
    one, two = acquire(config, 2), acquire(Config(timeout=7.0, proxies=()), 5)
    other = acquire(Config(timeout=8.0, proxies=()), 2)
    try:
        assert one is two
        assert one is not other
        assert one.connections == 5
        assert ask(one, server) == ask(two, server) == b"ok"
        assert server.connections == 1
        release(one)
        assert ask(two, server) == b"ok"
        assert server.connections == 1, "the other storage still uses it"
    finally:
        release(two)
        release(other)
    new = acquire(config, 2)
    try:
        assert new is not one
        assert ask(new, server) == b"ok"
        assert server.connections == 2
    finally:
        release(new)


def test_releasing_the_last_closes_every_connection(serve: Serve):
    server = serve(always(LONG))
    client = acquire(Config(timeout=9.0, proxies=()), 10)
    before = descriptors()
    for answer in [client.request("GET", server.origin, "/", {}) for _ in range(5)]:
        answer.read()
    assert descriptors() - before == 5 * 2
    release(client)
    time.sleep(0.1)
    assert descriptors() == before


def test_closing_lets_running_calls_end(either: Either):
    client, server = either(always(LONG))
    answer = client.request("GET", server.origin, "/", {})
    begun = answer.read(1000)
    client.close()
    assert len(begun + answer.read()) == 300_000
    idle = client._idle  # pyright: ignore[reportPrivateUsage]
    assert not any(idle.values()), "its connection is not kept"
    assert len(ask(client, server)) == 300_000
    assert not any(idle.values())


def test_closing_while_threads_call(client: Client, serve: Serve):
    server = serve(always(OK))
    stop = threading.Event()
    failures: list[BaseException] = []

    def call() -> None:
        while not stop.is_set():
            try:
                assert ask(client, server) == b"ok"
            except BaseException as error:
                failures.append(error)
                return

    before = descriptors()
    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        client.close()
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    client.close()
    time.sleep(0.2)
    assert failures == []
    assert descriptors() <= before


def test_32_threads_get_their_own_answers(either: Either):
    def echo(peer: Peer) -> None:
        while True:
            request = peer.request()
            text = request.target.encode() + request.body
            peer.send(head("200 OK", [("Content-Length", str(len(text)))]), text)

    client, server = either(echo)
    failures: list[object] = []

    def call(number: int) -> None:
        for turn in range(20):
            body = b"%d.%d" % (number, turn) * (turn * 50)
            try:
                answer = client.request("PUT", server.origin, f"/{number}/{turn}", {}, (body,)).content(1 << 20)
            except BaseException as error:
                failures.append(error)
                return
            if answer != f"/{number}/{turn}".encode() + body:
                failures.append((number, turn))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert server.connections <= 32 * 20 / 2, "connections are used again"


# -- descriptors ------------------------------------------------------------------------------------------------------


def test_failures_leak_no_descriptor(make_client: MakeClient, serve: Serve):
    client = make_client(timeout=0.3)
    servers = [
        serve(once(b"SSH-2.0\r\n")),
        serve(once(b"")),
        serve(once(hold=True)),
        serve(once(head("200 OK", [("Content-Length", "5")]) + b"abc")),
        serve(once(head("200 OK", [("Transfer-Encoding", "x")]))),
    ]

    def fail() -> None:
        for server in servers:
            with pytest.raises(exc.ConnectionError):
                client.request("PUT", server.origin, "/", {}, (b"x",)).read()
            with pytest.raises(exc.ConnectionError):
                client.request("GET", server.origin._replace(secure=True), "/", {})
            with pytest.raises(exc.StorageDataError):
                client.request("GET", server.origin, "/\n", {})
        with refused() as nowhere, pytest.raises(exc.ConnectionError):
            client.request("GET", nowhere, "/", {})

    fail()
    time.sleep(0.2)
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            fail()
        time.sleep(0.2)
        assert len(os.listdir("/proc/self/fd")) <= before, "without a garbage collector"
    finally:
        gc.enable()


def test_a_client_that_is_forgotten_closes_its_connections(serve: Serve):
    server = serve(always(OK))
    before = descriptors()
    client = Client(Config(proxies=()))
    ask(client, server)
    assert descriptors() == before + 2
    del client
    time.sleep(0.1)
    assert descriptors() == before


def test_a_call_whose_deadline_is_over_closes_what_it_took(client: Client, serve: Serve):
    server = serve(always(OK))
    assert ask(client, server) == b"ok"
    before = descriptors()
    with calls.bounded(0.0), pytest.raises(exc.TimeoutError):
        ask(client, server)
    time.sleep(0.1)
    assert descriptors() == before - 2
    assert len(server.requests) == 1


# -- interrupts -------------------------------------------------------------------------------------------------------


def interrupt(number: int, frame: object) -> None:
    _thread.interrupt_main()


def interrupt_after(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)


@pytest.fixture
def interrupts() -> Iterator[Callable[[float], None]]:
    old = signal.signal(signal.SIGALRM, interrupt)
    yield interrupt_after
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, old)


@pytest.mark.parametrize("where", ["head", "body", "chunk"])
def test_an_interrupted_call_leaves_no_connection_behind(
    client: Client, serve: Serve, interrupts: Callable[[float], object], where: str
):
    """The answer comes later; it must not be taken for that of the next request."""
    late = {
        "head": (b"", head("200 OK", [("Content-Length", "5")]) + b"wrong"),
        "body": (head("200 OK", [("Content-Length", "5")]) + b"wr", b"ong"),
        "chunk": (head("200 OK", [("Transfer-Encoding", "chunked")]) + b"1", b"0\r\nwrong wrong wro\r\n0\r\n\r\n"),
    }[where]
    server = serve(by_connection(once(*late, pause=0.6, hold=True), always(OK)))
    interrupts(0.3)
    with pytest.raises(KeyboardInterrupt):
        client.request("GET", server.origin, "/", {}).read()
    time.sleep(0.5)
    for _ in range(3):
        assert ask(client, server) == b"ok"
    assert server.connections == 2


# In a process of its own: an interrupt within a finaliser is reported by whoever watches those, pytest among them.
INTERRUPTED = """
import signal, sys
from file_keeper.backend.http import Client, Config, Origin

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
origin, client, hits = Origin.of(sys.argv[1]), Client(Config(timeout=10)), 0
for turn in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0001 + turn % 50 * 0.00002)
        for each in range(100):
            target = f"/{turn}/{each}"
            answer = client.request("GET", origin, target, {}).content(1 << 20)
            if answer != target.encode() * 100:
                sys.exit("the answer is of another request")
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        hits += 1
print(hits)
"""


def test_interrupts_at_any_time_never_mix_answers_up(serve: Serve):
    def echo(peer: Peer) -> None:
        while True:
            text = peer.request().target.encode() * 100
            peer.send(head("200 OK", [("Content-Length", str(len(text)))]), text)

    command = [sys.executable, "-c", INTERRUPTED, str(serve(echo).origin)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


# -- fork -------------------------------------------------------------------------------------------------------------


def in_child(work: Callable[[], object]) -> int:
    """Fork; return 0 when the work succeeded in the child."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            signal.alarm(20)
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def waited(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_connections_are_kept_and_in_use(either: Either):
    def echo(peer: Peer) -> None:
        while True:
            text = peer.request().target.encode() * 30_000
            peer.send(head("200 OK", [("Content-Length", str(len(text)))]), text)

    client, server = either(echo)
    assert client.request("GET", server.origin, "/kept", {}).content(1 << 20) == b"/kept" * 30_000
    in_use = client.request("GET", server.origin, "/used", {})
    begun = in_use.read(7)
    kept = client.request("GET", server.origin, "/kept", {})
    kept.read()

    def child() -> None:
        assert not any(client._idle.values())  # pyright: ignore[reportPrivateUsage]
        for turn in range(10):
            target = f"/child/{turn}"
            assert client.request("GET", server.origin, target, {}).content(1 << 20) == target.encode() * 30_000
        in_use.close()
        assert client.request("GET", server.origin, "/after", {}).content(1 << 20) == b"/after" * 30_000

    pid = in_child(child)
    for turn in range(10):
        target = f"/parent/{turn}"
        assert client.request("GET", server.origin, target, {}).content(1 << 20) == target.encode() * 30_000
    assert waited(pid) == 0
    assert begun + in_use.read() == b"/used" * 30_000
    assert client.request("GET", server.origin, "/end", {}).content(1 << 20) == b"/end" * 30_000
    assert server.connections <= 4


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_what_a_child_reads_to_its_end_is_not_kept_there(client: Client, serve: Serve):
    """The connection is the parent's too: two processes would send into it."""
    server = serve(always(LONG))
    answer = client.request("GET", server.origin, "/", {})

    def child() -> None:
        assert len(answer.read()) == 300_000
        assert not any(client._idle.values())  # pyright: ignore[reportPrivateUsage]

    assert waited(in_child(child)) == 0
    answer.close()
    assert len(ask(client, server)) == 300_000


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forks_while_threads_call(serve: Serve):
    server = serve(always(OK))
    client = acquire(Config(timeout=10.0, proxies=()), 10)
    stop = threading.Event()
    failures: list[BaseException] = []

    def call() -> None:
        while not stop.is_set():
            try:
                assert ask(client, server) == b"ok"
            except BaseException as error:
                failures.append(error)
                return

    def child() -> None:
        mine = acquire(Config(timeout=10.0, proxies=()), 10)
        assert mine is client
        for _ in range(5):
            assert ask(mine, server) == b"ok"
        release(mine)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        codes = [waited(in_child(child)) for _ in range(5)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        release(client)
    assert (codes, failures) == ([0] * 5, [])
