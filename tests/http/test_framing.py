"""Answers as servers send them and as they should not: RFC 9112, sections 2 to 9, byte by byte on a socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from faults.raw import CONTINUE, OK, Peer, RawServer, always, by_connection, head, once
from file_keeper import exc
from file_keeper.backend.http import Client, Response

Serve = Callable[..., RawServer]
MakeClient = Callable[..., Client]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LIMIT = 1 << 20


def get(client: Client, server: RawServer, method: str = "GET") -> Response:
    return client.request(method, server.origin, "/key", {})


def content(client: Client, server: RawServer) -> bytes:
    return get(client, server).content(LIMIT)


def torn(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    for at in range(1, len(data)):
        yield data[:at], data[at:]


# -- bodies -----------------------------------------------------------------------------------------------------------


def test_a_body_by_length_keeps_the_connection(client: Client, serve: Serve):
    server = serve(always(OK))
    assert [content(client, server) for _ in range(3)] == [b"ok"] * 3
    assert server.connections == 1


def test_no_body_keeps_the_connection(client: Client, serve: Serve):
    server = serve(always(head("200 OK", [("Content-Length", "0")])))
    for _ in range(3):
        answer = get(client, server)
        assert (answer.read(), answer.readinto(bytearray(4)), answer.length) == (b"", 0, 0)
    assert server.connections == 1


@pytest.mark.parametrize(
    "chunks",
    [
        b"2\r\nok\r\n0\r\n\r\n",
        b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b'2;name=value;other="a b"\r\nok\r\n0;last\r\n\r\n',
        b"2 \t;x\r\nok\r\n0\r\n\r\n",
        b"02\r\nok\r\n000\r\n\r\n",
        b"2\r\nok\r\n0\r\nTrailer: one\r\nx-amz-checksum-crc32: AAAA\r\n\r\n",
    ],
    ids=["one", "two", "extensions", "blanks", "zeros", "trailers"],
)
def test_chunks(client: Client, serve: Serve, chunks: bytes):
    server = serve(always(CHUNKED + chunks))
    for _ in range(2):
        answer = get(client, server)
        assert answer.length is None
        assert (answer.read(), answer.read()) == (b"ok", b"")
        answer = get(client, server)
        buffer = bytearray(10)
        count = 0
        while more := answer.readinto(memoryview(buffer)[count:]):
            count += more
        assert buffer[:count] == b"ok"
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        CHUNKED + b"A;x=y\r\n0123456789\r\n1\r\n!\r\n0\r\nT: v\r\n\r\n",
        CONTINUE + OK,
        head("200 OK", minor=0) + b"ok",
    ],
    ids=["length", "chunks", "interim", "end"],
)
def test_an_answer_torn_at_every_byte(make_client: MakeClient, serve: Serve, answer: bytes):
    wanted = b"0123456789!" if b"chunked" in answer else b"ok"
    pieces = list(torn(answer))
    server = serve(by_connection(*(once(*pair, pause=0.002) for pair in pieces)))
    for _ in pieces:
        client = make_client()
        assert content(client, server) == wanted
        client.close()
    assert server.connections == len(pieces)


def test_an_answer_of_single_bytes(client: Client, serve: Serve):
    answer = CHUNKED + b"3;x\r\nabc\r\n0\r\nT: v\r\n\r\n"
    server = serve(once(*(bytes([byte]) for byte in answer), pause=0.001))
    assert content(client, server) == b"abc"


def test_many_chunks_in_small_reads(client: Client, serve: Serve):
    body = bytes(range(256)) * 40
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[i : i + 37] for i in range(0, 10240, 37)))
    server = serve(always(CHUNKED + chunks + b"0\r\n\r\n"))
    answer = get(client, server)
    assert b"".join(iter(lambda: answer.read(11), b"")) == body
    assert get(client, server).read() == body
    assert server.connections == 1


def test_a_body_to_the_end_of_the_connection(client: Client, serve: Serve):
    server = serve(once(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 300_000))
    for _ in range(2):
        answer = get(client, server)
        assert answer.length is None
        assert len(answer.read()) == 300_000
    assert server.connections == 2


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", head("200 OK", [("Content-Length", "1000")])),
        ("HEAD", head("200 OK", [("Transfer-Encoding", "chunked")])),
        ("HEAD", head("200 OK")),
        ("DELETE", head("204 No Content")),
        ("DELETE", head("204 No Content", [("Content-Length", "5")])),
        ("GET", head("304 Not Modified", [("Content-Length", "1000")])),
        ("GET", head("304 Not Modified", [("Transfer-Encoding", "chunked")])),
    ],
)
def test_answers_that_have_no_body_whatever_they_say(client: Client, serve: Serve, method: str, answer: bytes):
    server = serve(always(answer))
    for _ in range(3):
        assert get(client, server, method).content(LIMIT) == b""
    assert server.connections == 1


def test_a_body_where_there_must_be_none_is_never_the_next_answer(client: Client, serve: Serve):
    """RFC 9112, 6.3: a 204 ends with its head. What follows belongs to nothing."""
    bad = head("204 No Content") + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"
    server = serve(by_connection(once(bad, hold=True), always(OK)))
    assert get(client, server, "DELETE").status == 204
    assert content(client, server) == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
def test_bytes_behind_the_body_cost_the_connection(client: Client, serve: Serve, late: bool):
    wrong = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"

    pieces = (OK, wrong) if late else (OK + wrong,)
    server = serve(by_connection(once(*pieces, pause=0.05, hold=True), always(OK)))
    assert content(client, server) == b"ok"
    time.sleep(0.1)
    assert content(client, server) == b"ok"
    assert server.connections == 2


def test_an_answer_before_the_request_on_a_kept_connection(client: Client, serve: Serve):
    """As a server does that says 408 before it closes what was idle: it answers no request."""
    idle = head("408 Request Timeout", [("Content-Length", "0"), ("Connection", "close")])
    server = serve(by_connection(once(OK, idle, pause=0.02), always(OK)))
    assert content(client, server) == b"ok"
    time.sleep(0.1)
    assert get(client, server).status == 200
    assert server.connections == 2


# -- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minor", "options", "kept"),
    [
        (1, [], True),
        (1, [("Connection", "keep-alive")], True),
        (1, [("Connection", "Close")], False),
        (1, [("Connection", "keep-alive"), ("Connection", "close")], False),
        (1, [("Connection", "upgrade, close")], False),
        (0, [], False),
        (0, [("Connection", "Keep-Alive")], True),
        (0, [("Connection", "keep-alive, close")], False),
    ],
)
def test_what_is_kept(client: Client, serve: Serve, minor: int, options: list[tuple[str, str]], kept: bool):
    server = serve(always(head("200 OK", [*options, ("Content-Length", "2")], minor=minor) + b"ok"))
    assert [content(client, server) for _ in range(2)] == [b"ok"] * 2
    assert server.connections == (1 if kept else 2)


@pytest.mark.parametrize(
    "options",
    [
        [("Transfer-Encoding", "chunked"), ("Content-Length", "2")],
        [("Content-Length", "100"), ("Transfer-Encoding", "Chunked")],
    ],
)
def test_chunks_win_over_a_length_and_end_the_connection(client: Client, serve: Serve, options: list[tuple[str, str]]):
    """RFC 9112, 6.3: both may be an attempt to smuggle, so nothing that follows is believed."""
    server = serve(always(head("200 OK", options) + b"2\r\nok\r\n0\r\n\r\n"))
    assert [content(client, server) for _ in range(2)] == [b"ok"] * 2
    assert server.connections == 2


def test_chunks_of_http_1_0_end_the_connection(client: Client, serve: Serve):
    """RFC 9112, 6.1: the framing of such an answer is faulty even where its chunks can be read."""
    options = [("Connection", "keep-alive"), ("Transfer-Encoding", "chunked")]
    server = serve(always(head("200 OK", options, minor=0) + b"2\r\nok\r\n0\r\n\r\n"))
    assert [content(client, server) for _ in range(2)] == [b"ok"] * 2
    assert server.connections == 2


# -- heads ------------------------------------------------------------------------------------------------------------


def test_what_a_head_says(client: Client, serve: Serve):
    lines = [
        ("ETag", '"a"'), ("X-Empty", ""), ("X-Blanks", " \t a  b \t"), ("X-Two", "1"), ("x-two", "2"),
        ("X-Umlaut", "ä"), ("Content-Length", "0"),
    ]  # fmt: skip
    server = serve(always(head("207 Multi-Status: really", lines)))
    answer = get(client, server)
    assert (answer.status, answer.reason) == (207, "Multi-Status: really")
    assert answer.headers == {
        "etag": '"a"', "x-empty": "", "x-blanks": "a  b", "x-two": "1, 2", "x-umlaut": "ä", "content-length": "0",
    }  # fmt: skip


@pytest.mark.parametrize("first", [b"HTTP/1.1 200\r\n", b"HTTP/1.1 200 \r\n", b"HTTP/1.0 200 OK\r\n"])
def test_first_lines_that_are_right(client: Client, serve: Serve, first: bytes):
    server = serve(once(first + b"Content-Length: 2\r\n\r\nok"))
    assert content(client, server) == b"ok"


@pytest.mark.parametrize("lengths", ["2, 2", "2,2, 2", "02"])
def test_a_length_said_twice_alike(client: Client, serve: Serve, lengths: str):
    server = serve(once(head("200 OK", [("Content-Length", lengths)]) + b"ok"))
    assert content(client, server) == b"ok"


def test_two_lines_of_one_length(client: Client, serve: Serve):
    server = serve(once(head("200 OK", [("Content-Length", "2"), ("content-length", "2")]) + b"ok"))
    assert content(client, server) == b"ok"


BAD_HEADS = {
    "conflicting lengths": head("200 OK", [("Content-Length", "2"), ("Content-Length", "3")]) + b"ok",
    "conflicting in one line": head("200 OK", [("Content-Length", "2, 3")]) + b"ok",
    "negative length": head("200 OK", [("Content-Length", "-2")]) + b"ok",
    "signed length": head("200 OK", [("Content-Length", "+2")]) + b"ok",
    "length with a fraction": head("200 OK", [("Content-Length", "2.0")]) + b"ok",
    "hexadecimal length": head("200 OK", [("Content-Length", "0x2")]) + b"ok",
    "empty length": head("200 OK", [("Content-Length", "")]) + b"ok",
    "enormous length": head("200 OK", [("Content-Length", "9" * 30)]) + b"ok",
    "length of other digits": "HTTP/1.1 200 OK\r\nContent-Length: ²\r\n\r\nok".encode("latin-1"),
    "another coding": head("200 OK", [("Transfer-Encoding", "gzip, chunked")]) + b"ok",
    "a coding twice": head("200 OK", [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")]),
    "identity": head("200 OK", [("Transfer-Encoding", "identity")]) + b"ok",
    "an empty coding": head("200 OK", [("Transfer-Encoding", "")]) + b"ok",
    "a folded line": b"HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "a fold of the first line": b"HTTP/1.1 200 OK\r\n x: y\r\nContent-Length: 2\r\n\r\nok",
    "a bare LF": b"HTTP/1.1 200 OK\r\nX-A: a\nContent-Length: 2\r\n\r\nok",
    "bare LFs only": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "a bare CR": b"HTTP/1.1 200 OK\r\nX-A: a\rContent-Length: 2\r\n\r\nok",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 2\r\n\r\nok",
    "NUL in a name": b"HTTP/1.1 200 OK\r\nX\0: a\r\nContent-Length: 2\r\n\r\nok",
    "NUL in the reason": b"HTTP/1.1 200 \0\r\nContent-Length: 2\r\n\r\nok",
    "a blank before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "no name": b"HTTP/1.1 200 OK\r\n: 2\r\nContent-Length: 2\r\n\r\nok",
    "no colon": b"HTTP/1.1 200 OK\r\nContent-Length\r\n\r\nok",
    "a name beyond ASCII": "HTTP/1.1 200 OK\r\nÄ: 2\r\nContent-Length: 2\r\n\r\nok".encode("latin-1"),
    "an empty line first": b"\r\n" + OK,
    "HTTP/2": b"HTTP/2 200\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/0.9": b"<html>hello</html>",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "zeros": bytes(1000),
    "noise": bytes(range(255, -1, -1)) * 10,
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status of zero": b"HTTP/1.1 000 OK\r\n\r\n",
    "a status of other digits": "HTTP/1.1 2²² OK\r\n\r\n".encode("latin-1"),
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    "only announcements": CONTINUE * 1000,
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"X-Header: value\r\n" * 20_000,
    "an endless line": b"HTTP/1.1 200 OK\r\nX-Header: " + b"v" * 300_000,
    "an endless reason": b"HTTP/1.1 200 " + b"v" * 300_000,
}


@pytest.mark.parametrize("hold", [False, True], ids=["ends", "holds"])
@pytest.mark.parametrize("name", BAD_HEADS)
def test_heads_that_are_wrong_are_an_error_at_once(make_client: MakeClient, serve: Serve, name: str, hold: bool):
    client = make_client(timeout=20.0)
    server = serve(by_connection(once(BAD_HEADS[name], hold=hold), always(OK)))
    started = time.monotonic()
    with pytest.raises(exc.ConnectionError, match=str(server.port)) as caught:
        content(client, server)
    assert time.monotonic() - started < 5
    assert not isinstance(caught.value, exc.TimeoutError)
    assert caught.value.retryable
    assert content(client, server) == b"ok", "the next request has a connection of its own"
    assert server.connections == 2


@pytest.mark.parametrize("answer", [b"", b"H", b"HTTP/1.1 200 OK\r\nContent-Le", CONTINUE])
def test_an_end_within_the_head(client: Client, serve: Serve, answer: bytes):
    server = serve(once(answer))
    with pytest.raises(exc.ConnectionError, match="closed the connection without an answer") as caught:
        content(client, server)
    assert caught.value.retryable
    assert server.connections == 1, "no connection was kept, so nothing is sent again"


@pytest.mark.parametrize("interim", [b"", CONTINUE, CONTINUE + b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"])
def test_announcements_are_passed_over(client: Client, serve: Serve, interim: bytes):
    server = serve(always(interim + OK))
    assert [content(client, server) for _ in range(2)] == [b"ok"] * 2
    assert server.connections == 1


# -- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "pause"),
    [
        ((), 0.0),
        ((b"HTTP/1.1 200 OK\r\nX: ",), 0.0),
        ((b"HTT",), 0.0),
        (tuple(b"%c" % byte for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"v" * 1000), 0.05),
        (tuple([CONTINUE] * 1000), 0.2),
    ],
    ids=["nothing", "half a head", "half a word", "byte by byte", "announcements"],
)
def test_a_head_that_does_not_come_ends_within_the_timeout(
    make_client: MakeClient, serve: Serve, pieces: tuple[bytes, ...], pause: float
):
    client = make_client(timeout=0.8)
    server = serve(once(*pieces, pause=pause, hold=True))
    started = time.monotonic()
    with pytest.raises(exc.TimeoutError) as caught:
        content(client, server)
    assert 0.6 < time.monotonic() - started < 2.0
    assert caught.value.retryable
    assert server.connections == 1


def test_silence_behind_half_a_head_is_no_second_timeout(make_client: MakeClient, serve: Serve):
    client = make_client(timeout=1.0)
    server = serve(once(b"", b"HTTP/1.1", b" 200", pause=0.45, hold=True))
    started = time.monotonic()
    with pytest.raises(exc.TimeoutError):
        content(client, server)
    assert time.monotonic() - started < 1.8


def test_a_slow_body_is_no_silence(make_client: MakeClient, serve: Serve):
    client = make_client(timeout=0.5)
    server = serve(once(head("200 OK", [("Content-Length", "10")]), *([b"x"] * 10), pause=0.1))
    assert content(client, server) == b"x" * 10


@pytest.mark.parametrize("chunked", [False, True])
def test_a_stall_within_the_body(make_client: MakeClient, serve: Serve, chunked: bool):
    client = make_client(timeout=0.5)
    start = CHUNKED + b"64\r\n" if chunked else head("200 OK", [("Content-Length", "100")])
    server = serve(by_connection(once(start + b"x" * 40, hold=True), always(OK)))
    answer = get(client, server)
    started = time.monotonic()
    with pytest.raises(exc.TimeoutError, match=r"/key.* 60 bytes" if not chunked else "/key") as caught:
        answer.read()
    assert 0.3 < time.monotonic() - started < 1.5
    assert caught.value.retryable
    assert content(client, server) == b"ok"


# -- bodies that are cut short ----------------------------------------------------------------------------------------


def fill(answer: Response) -> None:
    buffer = bytearray(LIMIT)
    while answer.readinto(buffer):
        pass


READS: dict[str, Callable[[Response], object]] = {
    "read": lambda answer: answer.read(),
    "pieces": lambda answer: list(iter(lambda: answer.read(1000), b"")),
    "readinto": fill,
    "content": lambda answer: answer.content(LIMIT),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
def test_a_body_cut_short_says_what_is_missing(client: Client, serve: Serve, read: str, reset: bool):
    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(head("200 OK", [("Content-Length", "100000")]) + b"x" * 40_000)
        if reset:
            time.sleep(0.05)
            peer.reset()

    server = serve(handle)
    answer = client.request("GET", server.origin, "/key?X-Amz-Signature=secret", {})
    with pytest.raises(exc.ConnectionError, match="60000 bytes before the end of the body") as caught:
        READS[read](answer)
    assert caught.value.retryable
    assert "secret" not in str(caught.value)
    assert f"{server.origin}/key" in str(caught.value)


@pytest.mark.parametrize(
    "chunks",
    [
        b"",
        b"2",
        b"2\r",
        b"2\r\no",
        b"2\r\nok",
        b"2\r\nok\r\n",
        b"2\r\nok\r\n0\r\n",
        b"2\r\nok\r\n0\r\nTrailer: x\r\n",
        b"\r\n",
        b"x\r\nok\r\n0\r\n\r\n",
        b"-2\r\nok\r\n0\r\n\r\n",
        b"+2\r\nok\r\n0\r\n\r\n",
        b"0x2\r\nok\r\n0\r\n\r\n",
        b"2_\r\nok\r\n0\r\n\r\n",
        b"2\r\nokay\r\n0\r\n\r\n",
        b"2\nok\n0\n\n",
        b"2\r\nok0\r\n\r\n",
        b"ffffffffffffffffffff\r\nok",
        b"2;" + b"x" * 100_000 + b"\r\nok\r\n0\r\n\r\n",
        b"2\r\nok\r\n0\r\n" + b"X-Trailer: value\r\n" * 10_000,
    ],
)
def test_chunks_that_are_wrong(client: Client, serve: Serve, chunks: bytes):
    server = serve(by_connection(once(CHUNKED + chunks), always(OK)))
    with pytest.raises(exc.ConnectionError, match="/key") as caught:
        get(client, server).read()
    assert not isinstance(caught.value, exc.TimeoutError)
    assert caught.value.retryable
    assert content(client, server) == b"ok"
    assert server.connections == 2


# -- reading ----------------------------------------------------------------------------------------------------------


def test_an_empty_buffer_is_no_end(client: Client, serve: Serve):
    for answer in (OK, CHUNKED + b"2\r\nok\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nok"):
        server = serve(once(answer))
        found = get(client, server)
        assert found.readinto(bytearray()) == 0
        assert found.read(0) == b""
        assert found.read() == b"ok"


def test_a_buffer_of_larger_items_is_filled_by_bytes(client: Client, serve: Serve):
    body = bytes(range(64))
    for answer in (head("200 OK", [("Content-Length", "64")]) + body, CHUNKED + b"40\r\n" + body + b"\r\n0\r\n\r\n"):
        server = serve(once(answer))
        found = get(client, server)
        buffer = bytearray(80)
        view = memoryview(buffer).cast("I")
        count = 0
        while more := found.readinto(view[count // 4 :]):
            count += more
        assert bytes(buffer[:count]) == body


def test_a_body_left_unread_costs_the_connection(client: Client, serve: Serve):
    body = b"x" * 100_000
    server = serve(always(head("200 OK", [("Content-Length", "100000")]) + body))
    assert get(client, server).content(1000) == b"x" * 1000
    assert get(client, server).content(LIMIT) == body
    assert server.connections == 2
    get(client, server).close()
    assert get(client, server).content(100_000) == body
    assert server.connections == 3


def test_an_answer_that_is_forgotten_gives_back_its_connection(client: Client, serve: Serve):
    server = serve(always(head("200 OK", [("Content-Length", "100000")]) + b"x" * 100_000))
    get(client, server)  # never read, never closed: ResourceWarning is an error here
    assert len(get(client, server).read()) == 100_000
    assert server.connections == 2


def test_a_large_body_by_every_way_of_reading(client: Client, serve: Serve):
    body = bytes(range(256)) * 12_000
    server = serve(always(head("200 OK", [("Content-Length", str(len(body)))]) + body))
    assert get(client, server).read() == body
    assert get(client, server).content(1 << 30) == body
    answer, pieces, buffer = get(client, server), bytearray(), bytearray(70_001)
    while count := answer.readinto(buffer):
        pieces += buffer[:count]
    assert pieces == body
    answer = get(client, server)
    assert b"".join(iter(lambda: answer.read(99_999), b"")) == body
    assert server.connections == 1
