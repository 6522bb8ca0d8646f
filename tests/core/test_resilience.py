"""The settings of resilience: one policy, the deadline, the circuit breaker, other options, events."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from core.doubles import PARTS, Double, KiB, double, settings_of
from file_keeper import Storage, exc, make_storage
from file_keeper.backend import Body, ObjectInfo, WriteOptions
from file_keeper.backend.http import Client, Config, Origin
from file_keeper.resilience import retry
from file_keeper.resilience.circuit import Circuit
from file_keeper.resilience.policy import Breaker, Policy
from file_keeper.types import Buffer, Event

BODY = random.Random(4).randbytes(200 * KiB)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(attempts=2, base=0.0001, longest=0.0001))


class Failing(Double):
    """Fails so many times, with an error, before each request is done."""

    fails = 0
    error: Callable[[], Exception] = staticmethod(lambda: exc.ConnectionError("away", retryable=True, status=503))
    asked = 0
    delay = 0.0

    def _perhaps(self) -> None:
        self.asked += 1
        time.sleep(self.delay)
        if self.fails:
            self.fails -= 1
            raise self.error()

    def head(self, key: str) -> ObjectInfo:
        self._perhaps()
        return super().head(key)

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        self._perhaps()
        return super().read(key, start, end, etag=etag)

    def put(self, key: str, body: Any, options: WriteOptions) -> ObjectInfo:
        self._perhaps()
        return super().put(key, body, options)

    def multipart_put(self, upload: Any, number: int, body: Buffer) -> Any:
        self._perhaps()
        return super().multipart_put(upload, number, body)


def failing(**options: Any) -> tuple[Storage, Failing]:
    settings = settings_of(part_size=64 * KiB, multipart_threshold=64 * KiB, overwrite_existing=True, **options)
    backend = Failing(settings, PARTS)
    return Storage("s", settings, backend), backend


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (1, Policy(attempts=1)),
        (False, Policy(attempts=1)),
        (True, Policy()),
        ({"attempts": 7, "timeout": "2m", "base": "100ms", "longest": 5}, Policy(7, 120.0, 0.1, 5.0)),
        ({}, Policy()),
    ],
)
def test_what_retry_means(given: Any, meant: Policy) -> None:
    assert make_storage("s", {"type": "memory", "retry": given}).settings.retry == meant


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry": 0}, "at least 1"),
        ({"retry": -1}, "at least 1"),
        ({"retry": "often"}, "a number of attempts"),
        ({"retry": {"attempts": True}}, "a whole number"),
        ({"retry": {"attempts": 1.5}}, "a whole number"),
        ({"retry": {"tries": 3}}, "it knows attempts, timeout, base, longest"),
        ({"retry": {"timeout": -1}}, "duration"),
        ({"retry": {"timeout": float("inf")}}, "duration"),
        ({"retry": {"timeout": 0}}, "more than 0"),
        ({"retry": {"base": float("nan")}}, "duration"),
        ({"deadline": 0}, "more than 0"),
        ({"deadline": -5}, "duration"),
        ({"deadline": "soon"}, "duration"),
        ({"circuit_breaker": 5}, "true, false, or a mapping"),
        ({"circuit_breaker": {"failures": 0}}, "at least 1"),
        ({"circuit_breaker": {"reset": 0}}, "more than 0"),
        ({"circuit_breaker": {"reset": "never"}}, "duration"),
        ({"circuit_breaker": {"count": 1}}, "it knows failures, reset"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match=message) as caught:
        make_storage("media", {"type": "memory", **options})
    assert caught.value.storage == "media"
    with pytest.raises(exc.InvalidStorageConfigurationError, match=message):
        make_storage("media", {"type": "memory"}).with_options(**options)


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_no_more_attempts_than_configured(attempts: int) -> None:
    storage, backend = failing(retry={"attempts": attempts, "base": 0, "longest": 0})
    backend.fails = attempts - 1
    assert storage.upload("a", b"1").size == 1
    assert backend.asked == attempts
    for call in (lambda: storage.content("a"), lambda: storage.analyze("a")):
        backend.fails, backend.asked = 100, 0
        with pytest.raises(exc.ConnectionError):
            call()
        assert backend.asked == attempts
    backend.fails = 0


def test_with_options_shares_all_but_what_is_changed() -> None:
    storage, backend = failing(retry=1)
    other = storage.with_options(retry={"attempts": 3, "base": 0}, overwrite_existing=False, part_size="1MiB")
    assert (other.backend, other.settings.multipart_threshold) == (backend, 64 * KiB)  # it was given
    backend.fails = 2
    other.upload("a", b"1")
    with pytest.raises(exc.ExistingFileError):
        other.upload("a", b"2")
    assert storage.upload("a", b"3").size == 1
    other.close()
    assert other.content("a") == storage.content("a") == b"3"
    assert other.with_options(part_size="2MiB").settings.part_size == 2 << 20
    whole = make_storage("w", {"type": "memory"})
    assert whole.with_options(part_size="1MiB").settings.multipart_threshold == 1 << 20
    with pytest.raises(exc.InvalidStorageConfigurationError, match="cannot change 'bucket'"):
        storage.with_options(bucket="b")
    with pytest.raises(exc.InvalidStorageConfigurationError, match="cannot change 'nothing'"):
        storage.with_options(nothing=1)


# -- deadline ---------------------------------------------------------------------------------------------------------


def test_a_deadline_ends_the_repeats_and_leaves_nothing() -> None:
    storage, backend = failing(retry={"attempts": 1000, "base": 0.02, "longest": 0.02}, deadline=0.15)
    backend.fails = 10_000
    began = time.monotonic()
    with pytest.raises(exc.TimeoutError, match=r"deadline of 0\.15 seconds") as caught:
        storage.upload("a", b"1")
    assert time.monotonic() - began < 2
    cause = caught.value.__cause__
    assert isinstance(cause, exc.ConnectionError)
    assert cause.status == 503
    with pytest.raises(exc.TimeoutError, match="deadline"):
        storage.upload("a", BODY)
    backend.fails = 0
    assert (list(storage.scan()), backend.open) == ([], [])
    assert storage.upload("a", BODY).size == len(BODY)


def test_a_trickling_body_ends_with_the_deadline() -> None:
    class Trickle:
        def read(self, size: int = -1, /) -> bytes:
            time.sleep(0.02)
            return b"x"

    class Slow(Failing):
        def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
            return Body(self.head(key), len(BODY), Trickle(), start=0)

    settings = settings_of(deadline="100ms", multipart_threshold="1MiB")
    storage = Storage("s", settings, Slow(settings, PARTS))
    storage.upload("a", BODY)
    began = time.monotonic()
    with pytest.raises(exc.TimeoutError, match="deadline"):
        storage.content("a")
    assert time.monotonic() - began < 2


def test_a_listing_has_the_deadline_for_each_page() -> None:
    storage, _ = failing(deadline="200ms")
    for number in range(5):
        storage.upload(f"{number}", b"")
    found = []
    for name in storage.scan():
        time.sleep(0.1)
        found.append(name)
    assert len(found) == 5


def test_a_request_does_not_wait_beyond_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes the request, and says nothing
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        where = {"type": "s3", "bucket": "b", "endpoint": url, "key": "k", "secret": "s", "region": "r"}
        with make_storage("s", {**where, "deadline": 0.3, "retry": 1, "timeout": 30}) as storage:
            began = time.monotonic()
            with pytest.raises(exc.TimeoutError):
                storage.check()
            assert time.monotonic() - began < 5
            began = time.monotonic()
            with pytest.raises(exc.TimeoutError), storage.with_options(deadline=None, timeout=0.2) as impatient:
                impatient.check()
            assert time.monotonic() - began < 5
        client = Client(Config(timeout=0.2))
        with pytest.raises(exc.TimeoutError, match=r"0\.2 seconds"):
            client.request("GET", Origin.of(url), "/", {})
        client.close()


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_what_goes_out_again_on_a_kept_connection_counts(attempts: int) -> None:
    asked: list[bytes] = []

    def serve(server: socket.socket) -> None:
        first = True
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                while head := connection.recv(65536):
                    if not first:
                        asked.append(head.split(b" ", 1)[0])
                        break  # it is read, and the connection ends without an answer
                    first = False
                    connection.sendall(
                        b'HTTP/1.1 200 OK\r\nETag: "e"\r\nx-amz-request-id: 1\r\nContent-Length: 1\r\n\r\n'
                    )

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        options = {
            "type": "s3", "bucket": "b", "endpoint": f"http://127.0.0.1:{server.getsockname()[1]}", "key": "k",
            "secret": "s", "region": "r", "retry": {"attempts": attempts, "base": 0},
        }  # fmt: skip
        with make_storage("s", options) as storage:
            assert storage.analyze("a").size == 1
            with pytest.raises(exc.ConnectionError):
                storage.analyze("a")
        server.shutdown(socket.SHUT_RDWR)
    assert len(asked) == attempts


# -- circuit breaker --------------------------------------------------------------------------------------------------


def test_an_open_circuit_asks_nothing_and_says_how_long() -> None:
    storage, backend = failing(retry=1, circuit_breaker={"failures": 3, "reset": "50ms"})
    circuit = storage.circuit
    assert circuit is not None
    storage.upload("a", b"1")
    backend.fails = 3
    for _ in range(3):
        with pytest.raises(exc.ConnectionError):
            storage.exists("a")
    assert (circuit.state, circuit.failures) == ("open", 3)
    asked = backend.asked
    with pytest.raises(exc.CircuitOpenError, match=r"in 0\.\d seconds one call is let through") as caught:
        storage.content("a")
    assert (backend.asked, caught.value.storage, caught.value.operation) == (asked, "s", "content")
    time.sleep(0.06)
    assert circuit.state == "half-open"
    assert storage.content("a") == b"1"
    assert (circuit.state, circuit.failures) == ("closed", 0)
    assert storage.with_options(retry=2).circuit is circuit
    assert storage.with_options(circuit_breaker=False).circuit is None
    assert make_storage("m", {"type": "memory"}).circuit is None


def test_any_answer_closes_and_no_answer_decides_nothing() -> None:
    storage, backend = failing(retry=1, circuit_breaker={"failures": 2, "reset": 60})
    circuit = storage.circuit
    assert circuit is not None
    backend.fails = 1
    with pytest.raises(exc.ConnectionError):
        storage.exists("a")
    with pytest.raises(exc.LocationError):
        storage.content("../a")  # nobody was asked
    assert circuit.failures == 1
    with pytest.raises(exc.MissingFileError):
        storage.content("nothing")
    assert circuit.failures == 0
    backend.fails = 2
    for _ in range(2):
        with pytest.raises(exc.ConnectionError):
            list(storage.stream("a"))
    assert circuit.state == "open"
    circuit.reset()
    assert not storage.exists("a")


def test_one_call_probes_and_one_that_is_interrupted_frees_its_place() -> None:
    clock = [0.0]
    circuit = Circuit(Breaker(1, 10), lambda: clock[0])
    circuit.leave(exc.ConnectionError(), answered=False, probe=circuit.enter())
    assert circuit.state == "open"
    clock[0] = 11
    assert circuit.enter()
    with pytest.raises(exc.CircuitOpenError, match="one call tries it now"):
        circuit.enter()
    circuit.leave(KeyboardInterrupt(), answered=False, probe=True)
    assert circuit.enter()
    circuit.leave(exc.TimeoutError(), answered=False, probe=True)
    assert circuit.state == "open"
    clock[0] = 22
    circuit.leave(exc.MissingFileError(), answered=True, probe=circuit.enter())
    assert circuit.state == "closed"


# -- events -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def told() -> Iterator[tuple[Storage, Failing, list[Event]]]:
    storage, backend = failing(retry={"attempts": 3, "base": 0})
    events: list[Event] = []
    end = storage.subscribe(events.append)
    yield storage, backend, events
    end()
    count = len(events)
    storage.exists("nothing")
    assert len(events) == count


def kinds(events: list[Event]) -> list[tuple[str, str, int]]:
    return [(event.kind, event.operation, event.attempt) for event in events]


def test_an_upload_and_its_attempts(told: tuple[Storage, Failing, list[Event]]) -> None:
    storage, backend, events = told
    backend.fails = 1
    storage.upload("a", b"12345")
    assert kinds(events) == [
        ("start", "upload", 0), ("attempt", "upload", 1), ("attempt", "upload", 2), ("operation", "upload", 0),
    ]  # fmt: skip
    start, first, second, last = events
    assert len({event.id for event in events}) == 1
    assert (start.storage, start.type, start.location) == ("s", storage.settings.type, "a")
    assert isinstance(first.error, exc.ConnectionError)
    assert (first.status, second.status, second.error) == (503, 0, None)
    assert (first.sent, second.sent, last.sent) == (5, 5, 10)
    assert last.duration >= second.duration >= 0


def test_bytes_of_parts_and_of_reads(told: tuple[Storage, Failing, list[Event]]) -> None:
    storage, _, events = told
    storage.upload("a", iter([BODY]))
    assert events[-1].sent == len(BODY)
    assert storage.content("a") == BODY
    assert (events[-1].operation, events[-1].received) == ("content", len(BODY))
    with pytest.raises(exc.MissingFileError):
        storage.analyze("nothing")
    assert isinstance(events[-1].error, exc.MissingFileError)


def test_what_is_lazy_ends_at_its_end(told: tuple[Storage, Failing, list[Event]]) -> None:
    storage, _, events = told
    storage.upload("a", BODY)
    for read in (
        lambda: b"".join(storage.stream("a")),
        lambda: storage.stream("a").close(),
        lambda: storage.open("a").close(),
        lambda: list(storage.scan()),
        lambda: next(storage.files()),
    ):
        events.clear()
        found = read()
        assert [event.kind for event in events][:1] == ["start"]
        assert [event.kind for event in events][-1] == "operation"
        assert events[-1].error is None
        if isinstance(found, bytes):
            assert events[-1].received == len(BODY)
    events.clear()
    with storage.open("b", "wb") as file:
        file.write(BODY)
        assert [event.kind for event in events if event.kind == "operation"] == []
    assert (events[-1].kind, events[-1].operation, events[-1].sent) == ("operation", "open", len(BODY))
    events.clear()
    outcomes = list(storage.upload_many({"x": b"1", "y": b"2"}))
    assert all(outcome.error is None for outcome in outcomes)
    assert sorted(event.location for event in events if event.kind == "operation") == ["x", "y"]


def test_a_subscriber_that_fails_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    storage, _ = failing()

    def broken(event: Event) -> None:
        storage.exists("a")  # what it does itself is told to nobody
        raise RuntimeError("mine")

    def other(event: Event) -> None:
        seen.append(event)

    seen: list[Event] = []
    storage.subscribe(broken)
    storage.with_options(retry=1).subscribe(other)
    storage.upload("a", b"1")
    storage.content("a")
    assert caplog.text.count("a subscriber of storage 's' failed") == 1
    assert {event.operation for event in seen} >= {"upload", "content"}


def test_threads_have_ids_of_their_own(told: tuple[Storage, Failing, list[Event]]) -> None:
    storage, _, events = told
    threads = [threading.Thread(target=storage.upload, args=(f"{n}", b"1")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    by_id: dict[int, set[str]] = {}
    for event in events:
        by_id.setdefault(event.id, set()).add(event.location)
    assert len(by_id) == 8
    assert all(len(names) == 1 for names in by_id.values())


def test_the_asynchronous_face_is_watched_too() -> None:
    import asyncio

    storage = make_storage("s", {"type": "memory", "circuit_breaker": True})
    events: list[Event] = []

    async def work() -> None:
        storage.aio.subscribe(events.append)
        await storage.aio.upload("a", b"12")
        async with storage.aio.open("b", "wb") as file:
            await file.write(b"345")
        assert [entry async for entry in storage.aio.scan()] == ["a", "b"]
        assert await storage.aio.with_options(deadline=5).content("a") == b"12"
        assert storage.aio.circuit is storage.circuit

    asyncio.run(work())
    ended = [(event.operation, event.sent, event.received) for event in events if event.kind == "operation"]
    assert ended == [("upload", 2, 0), ("upload", 3, 0), ("scan", 0, 0), ("content", 0, 2)]


def test_the_double_itself_is_sound() -> None:
    storage, _ = double(PARTS)
    assert storage.upload("a", BODY).size == len(BODY)
