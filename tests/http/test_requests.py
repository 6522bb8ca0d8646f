"""Requests as they leave: bodies of any shape, asked for first or refused while they are sent, and no line too many."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable

import pytest
from faults.raw import CONTINUE, OK, Peer, RawServer, always, by_connection, head
from file_keeper import exc
from file_keeper.backend import was_unsent
from file_keeper.backend.http import Client, Response

Serve = Callable[..., RawServer]
MakeClient = Callable[..., Client]
Either = Callable[..., tuple[Client, RawServer]]

MiB = 1 << 20
LARGE = random.Random(1).randbytes(3 * MiB)


def put(client: Client, server: RawServer, *body: bytes | bytearray | memoryview, method: str = "PUT") -> Response:
    return client.request(method, server.origin, "/key", {"X-Own": "1"}, body)


# -- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        (),
        (b"",),
        (b"a",),
        (b"", b"ab", bytearray(b"c"), memoryview(b"defg")[1:3], b""),
        tuple(b"%c" % (i % 256) for i in range(3000)),
        (memoryview(LARGE[:4000]).cast("I"), b"end"),
        (LARGE[:32768],),
        (LARGE[:32769],),
        tuple(LARGE[i : i + 7000] for i in range(0, 70_000, 7000)),
        (LARGE[: MiB - 1], LARGE[:1]),
        tuple(LARGE[i : i + 1] for i in range(40_000)),
    ],
    ids=["none", "empty", "a byte", "kinds", "3,000", "of integers", "joined", "not joined", "ten", "1 MiB", "40,000"],
)
def test_bodies_of_several_buffers(either: Either, body: tuple[bytes, ...]):
    client, server = either(always(OK))
    for _ in range(2):
        assert put(client, server, *body).content(9) == b"ok"
    whole = b"".join(bytes(each) for each in body)
    for request in server.requests:
        assert request.body == whole
        assert [value for name, value in request.headers if name == "content-length"] == [str(len(whole))]
    assert server.connections == 1


def test_what_has_no_body_says_nothing_of_one(client: Client, serve: Serve):
    server = serve(always(OK))
    for method in ("GET", "HEAD", "DELETE"):
        put(client, server, method=method).close()
        assert server.requests[-1].get("content-length") == ""
    for method in ("PUT", "POST", "PATCH"):
        put(client, server, method=method).close()
        assert server.requests[-1].get("content-length") == "0"


@pytest.mark.parametrize("size", [MiB + 1, 64 * MiB])
def test_a_large_body_against_a_slow_reader(either: Either, size: int):
    body = memoryview((LARGE * 22)[:size])
    digests: list[str] = []

    def slow(peer: Peer) -> None:
        request = peer.head()
        peer.send(CONTINUE)
        time.sleep(0.2)  # its buffers fill, and the client's with them: what is sent is sent in part
        peer.body(request)
        digests.append(hashlib.md5(request.body).hexdigest())
        request.body = b""
        peer.send(OK)
        peer.wait_for_end()

    client, server = either(slow, receive=16384)
    assert put(client, server, body[:100], body[100:]).content(9) == b"ok"
    assert digests == [hashlib.md5(body).hexdigest()]


def test_a_server_that_takes_nothing_is_a_timeout(either: Either):
    def deaf(peer: Peer) -> None:
        peer.head()
        peer.send(CONTINUE)
        time.sleep(4)

    client, server = either(deaf, receive=4096, timeout=0.8)
    started = time.monotonic()
    with pytest.raises(exc.TimeoutError, match=str(server.port)) as caught:
        put(client, server, LARGE * 5)
    assert 0.6 < time.monotonic() - started < 3
    assert caught.value.retryable
    assert not was_unsent(caught.value)


@pytest.mark.parametrize(
    "talk",
    [(CONTINUE, 0.1), (b"X", 0.02), (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 9, 0.1)],
    ids=["100", "noise", "head"],
)
def test_a_server_that_talks_and_takes_nothing_ends_too(either: Either, talk: tuple[bytes, float]):
    def talker(peer: Peer) -> None:
        peer.head()
        peer.send(CONTINUE)
        peer.send(*[talk[0]] * 200, pause=talk[1])

    client, server = either(talker, receive=4096, timeout=0.8)
    started = time.monotonic()
    with pytest.raises(exc.ConnectionError, match=str(server.port)):
        put(client, server, LARGE * 5)
    assert time.monotonic() - started < 3.5


# -- Expect -----------------------------------------------------------------------------------------------------------


def expecting(server: RawServer) -> list[str]:
    return [request.get("expect") for request in server.requests]


def test_a_large_body_is_asked_for_first_on_each_new_connection(either: Either):
    early: list[bytes] = []

    def handle(peer: Peer) -> None:
        while True:
            request = peer.head()
            if request.get("expect"):
                peer.sock.settimeout(0.2)
                try:
                    early.append(peer.sock.recv(10))
                except TimeoutError:
                    peer.sock.settimeout(10)
                peer.send(b"HTTP/1.1 102 Processing\r\n\r\n", CONTINUE)
            peer.body(request)
            peer.send(OK)

    client, server = either(handle)
    for size in (MiB, MiB + 1, 3 * MiB):
        assert put(client, server, LARGE[:size]).content(9) == b"ok"
        assert server.requests[-1].body == LARGE[:size]
    assert early == [], "nothing of a body is sent before it is asked for"
    assert expecting(server) == ["", "100-continue", ""]
    client.close()
    assert put(client, server, LARGE).content(9) == b"ok"
    assert expecting(server)[-1] == "100-continue"


@pytest.mark.parametrize("reads", [False, True])
def test_417_is_sent_again_without_asking_and_remembered(either: Either, reads: bool):
    def handle(peer: Peer) -> None:
        while True:
            request = peer.head()
            if request.get("expect"):
                peer.send(head("417 Expectation Failed", [("Content-Length", "2")]) + b"no")
                if not reads:
                    return
            peer.body(request)
            peer.send(OK)

    client, server = either(handle)
    for _ in range(2):
        assert put(client, server, LARGE).content(9) == b"ok"
        client.close()
    assert expecting(server) == ["100-continue", "", ""]
    assert [request.body == LARGE for request in server.requests[-2:]] == [True, True]


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 1", b"HTTP/1.1 102 Processing\r\n\r\n"])
def test_a_server_that_does_not_know_expect_is_waited_for_a_second_and_remembered(either: Either, part: bytes):
    """TLS 1.3 sends tickets of its own behind the handshake: they are no answer that has begun."""

    def handle(peer: Peer) -> None:
        request = peer.head()
        peer.send(part)
        peer.body(request)
        peer.send(b"00 Continue\r\n\r\n" if part.endswith(b"1") else b"", OK)
        peer.wait_for_end()

    client, server = either(handle)
    started = time.monotonic()
    assert put(client, server, LARGE).content(9) == b"ok"
    assert 0.8 < time.monotonic() - started < 3
    assert server.requests[-1].body == LARGE
    client.close()
    started = time.monotonic()
    assert put(client, server, LARGE).content(9) == b"ok"
    assert time.monotonic() - started < 0.8
    assert expecting(server) == ["100-continue", ""]


@pytest.mark.parametrize("status", ["200 OK", "307 Temporary Redirect", "403 Forbidden", "412 Precondition Failed"])
def test_a_final_answer_instead_of_100_ends_it(either: Either, status: str):
    sent: list[bytes] = []

    def refuse(peer: Peer) -> None:
        peer.head()
        peer.send(head(status, [("Content-Length", "2")]) + b"no")
        sent.append(peer.sock.recv(10))

    client, server = either(by_connection(refuse, always(OK)))
    answer = put(client, server, LARGE)
    assert answer.status == int(status[:3])
    assert answer.content(9) == b"no"
    assert put(client, server, b"small").content(9) == b"ok"
    assert server.connections == 2, "the server may still wait for the body there"
    server.stop()
    assert sent == [b""], "nothing of the body was sent"


# -- answers before the body is sent ----------------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["closes", "resets", "holds", "reads"])
@pytest.mark.parametrize("status", [403, 412, 413])
@pytest.mark.parametrize("size", [40_000, MiB, 24 * MiB])
def test_an_answer_while_the_body_is_sent_is_the_one_that_is_seen(either: Either, then: str, status: int, size: int):
    def refuse(peer: Peer) -> None:
        request = peer.head()
        if request.get("expect"):
            peer.send(CONTINUE)
            peer.sock.recv(1000)
        peer.send(head(f"{status} No", [("Content-Length", "6")]), b"reason", pause=0.02)
        if then == "resets":
            time.sleep(0.2)
            peer.reset()
        elif then == "holds":
            time.sleep(1)
        elif then == "reads":
            peer.wait_for_end()

    client, server = either(by_connection(refuse, always(OK)), receive=4096 if size > MiB else 0)
    answer = put(client, server, (LARGE * 8)[:size])
    assert answer.status == status
    if then != "resets":
        assert answer.content(99) == b"reason"
    answer.close()
    if size > MiB:  # else all of it may have gone into the buffers of the kernel
        assert not answer.reusable
        assert put(client, server, b"small").content(9) == b"ok"
        assert server.connections == 2


def test_an_answer_before_the_end_on_a_kept_connection(either: Either):
    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        peer.head()
        peer.send(head("403 Forbidden", [("Content-Length", "0")]))

    client, server = either(by_connection(handle, always(OK)))
    assert put(client, server, b"first").content(9) == b"ok"
    assert put(client, server, LARGE[:MiB]).status == 403
    time.sleep(0.1)  # the end of the connection is seen before the next request
    assert put(client, server, b"third").content(9) == b"ok"
    assert len(server.requests) == 3, "a request that was answered is not sent again"


@pytest.mark.parametrize("garbage", [b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nX\r\n\r\n", bytes(70_000)])
def test_garbage_while_the_body_is_sent(either: Either, garbage: bytes):
    def handle(peer: Peer) -> None:
        peer.head()
        peer.send(CONTINUE, garbage, pause=0.05)
        time.sleep(0.5)

    client, server = either(handle, receive=4096, timeout=20.0)
    started = time.monotonic()
    with pytest.raises(exc.ConnectionError, match=str(server.port)) as caught:
        put(client, server, LARGE * 5)
    assert time.monotonic() - started < 5
    assert not was_unsent(caught.value)


def test_an_end_while_the_body_is_sent(either: Either):
    def handle(peer: Peer) -> None:
        peer.head()
        peer.send(CONTINUE)
        peer.sock.recv(1000)

    client, server = either(handle, receive=4096)
    with pytest.raises(exc.ConnectionError, match=str(server.port)) as caught:
        put(client, server, LARGE * 5)
    assert caught.value.retryable
    assert not was_unsent(caught.value)
    assert server.connections == 1


# -- lines ------------------------------------------------------------------------------------------------------------


def test_a_request_as_it_is_sent(client: Client, serve: Serve):
    server = serve(always(OK), host="::1")
    client.request("GET", server.origin, "/a%20b?x=%26&y", {"X-Amz-Date": "d", "x-empty": "", "X-Latin": "ä"}).close()
    (request,) = server.requests
    assert request.line == "GET /a%20b?x=%26&y HTTP/1.1"
    assert request.headers == [
        ("host", f"[::1]:{server.port}"), ("x-amz-date", "d"), ("x-empty", ""), ("x-latin", "ä"),
    ]  # fmt: skip


BAD = ["\r", "\n", "\r\n", "\r\nX-Evil: 1", "\0", "\n\n", "\r\n\r\nGET / HTTP/1.1\r\n"]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", ["start", "middle", "end"])
@pytest.mark.parametrize("where", ["name", "value", "target", "method"])
def test_no_line_can_be_put_into_a_request(client: Client, serve: Serve, bad: str, place: str, where: str):
    server = serve(always(OK))

    def spoilt(good: str) -> str:
        return {"start": bad + good, "middle": good[:2] + bad + good[2:], "end": good + bad}[place]

    method, target, name, value = "GET", "/key", "X-Name", "value"
    if where == "name":
        name = spoilt(name)
    elif where == "value":
        value = spoilt(value)
    elif where == "target":
        target = spoilt(target)
    else:
        method = spoilt(method)
    with pytest.raises(exc.StorageDataError) as caught:
        client.request(method, server.origin, target, {"X-First": "1", name: value})
    assert "Evil" not in str(caught.value)
    assert client.request("GET", server.origin, "/", {}).content(9) == b"ok"
    assert [request.line for request in server.requests] == ["GET / HTTP/1.1"]


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET /x HTTP/1.1", "/", {}),
        ("", "/", {}),
        ("GET", "/a b", {}),
        ("GET", "/a\tb", {}),
        ("GET", "/ä", {}),
        ("GET", "/\x0b", {}),
        ("GET", "/\x85", {}),
        ("GET", "/\u2028", {}),
        ("GET", "/", {"": "x"}),
        ("GET", "/", {"Content-Length ": "5"}),
        ("GET", "/", {" X": "5"}),
        ("GET", "/", {"X-A: b, X-B": "5"}),
        ("GET", "/", {"X-Ä": "5"}),
        ("GET", "/", {"X-A": "\u20ac"}),
        ("GET", "/", {"X-A": "\ud800"}),
        ("GET", "/", {"X-\u010a": "5"}),
        ("GET", "/", {"X-A": "a\u010ab"}),
    ],
)
def test_what_else_no_request_can_hold(client: Client, serve: Serve, method: str, target: str, headers: dict[str, str]):
    server = serve(always(OK))
    for _ in range(2):
        with pytest.raises(exc.StorageDataError):
            client.request(method, server.origin, target, headers)
    assert (server.connections, server.requests) == (0, [])


def test_a_name_that_was_refused_is_not_remembered_with_good_ones(client: Client, serve: Serve):
    server = serve(always(OK))
    for headers in ({"X-Good-One": "1", "X Bad": "2"}, {"X Bad": "2"}):
        with pytest.raises(exc.StorageDataError):
            client.request("GET", server.origin, "/", headers)
    assert client.request("GET", server.origin, "/", {"X-Good-One": "1"}).content(9) == b"ok"
