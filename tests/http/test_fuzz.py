"""Answers nobody thought of: nothing but errors of ours comes out, and what was put in is what is read.

A short form by default, always the same. By hand: ``FUZZ_SECONDS=600 pytest tests/http/test_fuzz.py --timeout 0``.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import string
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from faults.raw import Peer, RawServer
from file_keeper import exc
from file_keeper.backend.http import Client, Config, Head, ProtocolError
from file_keeper.backend.http import connection as wire
from file_keeper.backend.http.head import body_length, parse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
SHORT = settings(
    max_examples=150, derandomize=True, database=None, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
LONG = settings(SHORT, max_examples=1000, derandomize=False)


def thoroughly(run: Callable[[], object]) -> None:
    """Run a test of Hypothesis once, or again and again by hand."""
    end, rounds = time.monotonic() + SECONDS, 0
    while True:
        run()
        rounds += 1
        if time.monotonic() >= end:
            break
    if SECONDS:
        print(f"{rounds} rounds")


profile = LONG if SECONDS else SHORT

TOKEN = st.text("!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters, min_size=1, max_size=20)
VALUE = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=30)
NOISE = st.binary(max_size=200)
WORDS = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1", b"HTTP/1.0", b"HTTP/", b" ", b"200", b"204", b"100", b"OK", b"\r\n", b"\n", b"\r", b"\0",
            b"\t", b":", b"Content-Length", b"Transfer-Encoding", b"chunked", b"Connection", b"close", b"5", b"0", b",",
            b";", b"x", b"\xff", b"ffffffffffffffff", b"-1", b"+1",
        ]
    ),
    max_size=40,
).map(b"".join)  # fmt: skip


@st.composite
def heads(draw: st.DrawFn) -> tuple[bytes, Head]:
    minor, status = draw(st.sampled_from((0, 1))), draw(st.integers(200, 999))
    reason = draw(VALUE)
    lines = draw(st.lists(st.tuples(TOKEN, VALUE), max_size=8))
    blanks = draw(st.sampled_from(("", " ", "\t ")))
    expected: dict[str, str] = {}
    for name, value in lines:
        key, value = name.lower(), value.strip(" \t")
        expected[key] = f"{expected[key]}, {value}" if key in expected else value
    text = f"HTTP/1.{minor} {status} {reason}\r\n" + "".join(f"{n}:{blanks}{v}{blanks}\r\n" for n, v in lines)
    return text.encode("latin-1"), Head(minor, status, reason, expected, [(n, v.strip(" \t")) for n, v in lines])


def test_a_valid_head_is_what_was_put_in():
    @profile
    @given(heads())
    def run(pair: tuple[bytes, Head]) -> None:
        assert parse(pair[0]) == pair[1]

    thoroughly(run)


def test_any_bytes_are_a_head_or_an_error():
    @profile
    @given(st.one_of(NOISE, WORDS, WORDS.map(lambda words: b"HTTP/1.1 200 OK\r\n" + words + b"\r\n")))
    def run(data: bytes) -> None:
        try:
            found = parse(data)
        except ProtocolError:
            return
        # What is taken is taken whole: put together again, it is what came, but for blanks and the case of names.
        assert data.count(b"\n") == data.count(b"\r\n")
        assert not any(char in f"{found.reason}{found.headers}" for char in "\r\n\0")
        with contextlib.suppress(ProtocolError):
            length = body_length(found, "GET")
            assert length is None or length >= -1

    thoroughly(run)


def test_any_value_is_a_length_or_an_error():
    values = st.one_of(VALUE, st.integers(-10, 10**20).map(str), st.lists(st.integers(0, 9), max_size=3).map(str))

    @profile
    @given(
        values, st.one_of(st.none(), VALUE, st.just("chunked")), st.integers(100, 999), st.sampled_from(("GET", "HEAD"))
    )
    def run(told: str, coding: str | None, status: int, method: str) -> None:
        headers = {"content-length": told} | ({} if coding is None else {"transfer-encoding": coding})
        try:
            found = body_length(Head(1, status, "", headers), method)
        except ProtocolError:
            return
        if method == "HEAD" or status in (204, 304):
            assert found == 0
        elif coding is not None:
            assert (coding.strip().lower(), found) == ("chunked", -1)
        else:
            numbers = {part.strip(" \t") for part in told.split(",")}
            assert len(numbers) == 1
            assert found == int(numbers.pop())

    thoroughly(run)


# -- whole answers over a socket --------------------------------------------------------------------------------------


class Script:
    """What the server sends next, in which pieces."""

    pieces: tuple[bytes, ...] = ()

    def handle(self, peer: Peer) -> None:
        peer.request()
        peer.send(*self.pieces)


@pytest.fixture
def line() -> Iterator[tuple[Script, RawServer, Client]]:
    script = Script()
    client = Client(Config(timeout=5.0, proxies=()))
    with RawServer(script.handle) as server:
        yield script, server, client
        client.close()


def cut(data: bytes, places: list[int]) -> tuple[bytes, ...]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return tuple(data[a:b] for a, b in itertools.pairwise(ends))


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Return an answer and its body."""
    body = draw(st.binary(max_size=3000))
    extra = "".join(f"X-{name}: {value}\r\n" for name, value in draw(st.lists(st.tuples(TOKEN, VALUE), max_size=3)))
    interim = draw(st.sampled_from((b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n")))
    start = interim + f"HTTP/1.1 200 OK\r\n{extra}".encode("latin-1")
    kind = draw(st.sampled_from(("length", "chunks", "end")))
    if kind == "length":
        return start + b"Content-Length: %d\r\n\r\n" % len(body) + body, body
    if kind == "end":
        return start + b"\r\n" + body, body
    parts = [part for part in cut(body, draw(st.lists(st.integers(0, 3000), max_size=5))) if part]
    extension = draw(st.sampled_from((b"", b";a", b' ; a="b;c"')))
    chunks = b"".join(b"%X%s\r\n%s\r\n" % (len(part), extension, part) for part in parts)
    trailers = draw(st.sampled_from((b"", b"X-T: v\r\n")))
    return start + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailers + b"\r\n", body


def read_all(client: Client, server: RawServer, size: int) -> bytes:
    answer = client.request("GET", server.origin, "/key", {})
    if size < 0:
        return answer.read()
    if size % 2:
        return b"".join(iter(lambda: answer.read(size), b""))
    found, buffer = bytearray(), bytearray(size + 1)
    while count := answer.readinto(buffer):
        found += buffer[:count]
    return bytes(found)


PLACES = st.lists(st.integers(0, 4000), max_size=8)
SIZES = st.one_of(st.just(-1), st.integers(1, 2000))
READS = st.sampled_from((1, 2, 7, 100, 65536))


def test_a_whole_answer_in_pieces(line: tuple[Script, RawServer, Client], monkeypatch: pytest.MonkeyPatch):
    script, server, client = line

    @profile
    @given(answers(), PLACES, SIZES, READS)
    def run(pair: tuple[bytes, bytes], places: list[int], size: int, at_a_time: int) -> None:
        script.pieces = cut(pair[0], places)
        monkeypatch.setattr(wire, "READ", at_a_time)
        client.close()
        assert read_all(client, server, size) == pair[1]

    thoroughly(run)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(("cut", "drop", "put", "twice")), st.integers(0, 4000), st.one_of(st.binary(max_size=5), WORDS)
    ),
    max_size=4,
)


def changed(data: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    for kind, place, what in changes:
        at = place % (len(data) + 1)
        if kind == "cut":
            data = data[:at]
        elif kind == "drop":
            data = data[:at] + data[at + 1 + len(what) :]
        elif kind == "put":
            data = data[:at] + what + data[at:]
        else:
            data = data[:at] + data[at : at + 20] + data[at:]
    return data


def test_a_spoilt_answer_is_an_error_of_ours_or_an_answer(
    line: tuple[Script, RawServer, Client], monkeypatch: pytest.MonkeyPatch
):
    script, server, client = line

    @profile
    @given(answers(), CHANGES, PLACES, SIZES, READS, st.booleans())
    def run(pair: tuple[bytes, bytes], changes: Any, places: list[int], size: int, at_a_time: int, noise: bool) -> None:
        data = changed(b"" if noise else pair[0], changes)
        script.pieces = cut(data, places)
        monkeypatch.setattr(wire, "READ", at_a_time)
        client.close()
        failed: exc.FilesError | None = None
        body = b""
        try:
            body = read_all(client, server, size)
        except exc.ConnectionError as error:
            failed = error
        assert len(body) <= len(data), "nothing is read that was not sent"
        assert failed is None or str(server.origin) in str(failed)
        assert not isinstance(failed, exc.TimeoutError), "the server has closed: there was nothing to wait for"

    thoroughly(run)
    assert server.failures == []
