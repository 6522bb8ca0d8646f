"""Many files at once: outcomes in order, bounded work, an account of every item, nothing left of what was left."""

from __future__ import annotations

import gc
import io
import itertools
import random
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from core.doubles import Hooked
from file_keeper import FileData, Storage, exc, make_storage
from file_keeper.bulk.batch import Batch, Item, Step
from file_keeper.resilience import retry
from file_keeper.types import BatchProgress, Event, Outcome

KiB, MiB = 1 << 10, 1 << 20


@pytest.fixture
def storage() -> Storage:
    return make_storage("m", {"type": "memory", "part_size": 64 * KiB})


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    deadline = time.monotonic() + 5
    while (left := names()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == []


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("file-keeper")]


class Meter:
    """Counts what is under way at one time."""

    def __init__(self, delay: float = 0.0, verbs: tuple[str, ...] = ("put",)):
        self.now = self.most = self.total = 0
        self._delay = delay
        self._verbs = verbs
        self._lock = threading.Lock()

    def begin(self, verb: str, key: str) -> None:
        if verb in self._verbs:
            with self._lock:
                self.now += 1
                self.total += 1
                self.most = max(self.most, self.now)
            time.sleep(self._delay)

    def end(self, verb: str, key: str) -> None:
        if verb in self._verbs:
            with self._lock:
                self.now -= 1

    def around(self, storage: Storage) -> Storage:
        return storage.wrapped(lambda inner: Hooked(inner, self.begin, self.end))


def pairs(count: int, start: int = 0) -> list[tuple[str, bytes]]:
    return [(f"{number:05}", b"%d" % number) for number in range(start, start + count)]


# -- each verb ------------------------------------------------------------------------------------------------------


def test_every_verb_on_every_storage(any_storage: Storage, tmp_path: Path) -> None:
    items = pairs(30)
    stored = [outcome.unwrap() for outcome in any_storage.upload_many(items)]
    assert [file.location for file in stored] == [name for name, _ in items]
    assert [outcome.unwrap() for outcome in any_storage.content_many(stored)] == [content for _, content in items]
    assert [outcome.unwrap().hash for outcome in any_storage.analyze_many(f.location for f in stored)] == [
        file.hash for file in stored
    ]
    copied = list(any_storage.copy_many([(f"copy/{file.location}", file) for file in stored]))
    assert [outcome.location for outcome in copied] == [f"copy/{name}" for name, _ in items]
    list(any_storage.download_many(any_storage.scan(prefix="copy/"), tmp_path / "there"))
    assert [(tmp_path / "there/copy" / name).read_bytes() for name, _ in items] == [content for _, content in items]


def test_a_mapping_is_taken_as_pairs(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "c.bin").write_bytes(b"path")
    sources = {"a": b"bytes", "b": io.BytesIO(b"file"), "c": tmp_path / "c.bin", "d": iter([b"i", b"t"])}
    assert [outcome.error for outcome in storage.upload_many(sources)] == [None] * 4
    assert [storage.content(name) for name in sources] == [b"bytes", b"file", b"path", b"it"]
    assert [outcome.unwrap().location for outcome in storage.copy_many({"e": "a", "f": "b"})] == ["e", "f"]


def test_an_outcome_gives_its_value_or_raises() -> None:
    assert Outcome("a", b"x").unwrap() == b"x"
    with pytest.raises(exc.MissingFileError):
        Outcome("a", None, exc.MissingFileError("gone")).unwrap()


def test_a_capability_that_is_missing_is_told_at_the_call() -> None:
    storage = make_storage("m", {"type": "memory", "disabled_capabilities": ["CREATE", "COPY"]})
    for call in (storage.upload_many, storage.copy_many):
        with pytest.raises(exc.UnsupportedOperationError):
            call([])


@pytest.mark.parametrize("senseless", [0, -1, True, 1.5])
def test_a_senseless_concurrency_is_refused(storage: Storage, senseless: Any) -> None:
    with pytest.raises(exc.StorageDataError, match="concurrency"):
        storage.upload_many([], concurrency=senseless)


def test_downloads_stay_in_their_folder(storage: Storage, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "file").write_bytes(b"")
    for name in ("link/a", "file/a", "good/a"):
        storage.upload(name, b"x")
    outcomes = list(storage.download_many(["link/a", "file/a", "good/a", "../a", "missing"], folder))
    assert [type(outcome.error) for outcome in outcomes] == [
        exc.LocationError,
        exc.LocationError,
        type(None),
        exc.LocationError,
        exc.MissingFileError,
    ]
    assert "link" in str(outcomes[0].error)
    assert list(outside.iterdir()) == []


# -- B1: at the speed of the line ------------------------------------------------------------------------------------


def test_b1_as_many_in_flight_as_asked_for_and_never_more(storage: Storage) -> None:
    meter = Meter(0.005)
    started = time.monotonic()
    outcomes = list(meter.around(storage).upload_many(((name, content) for name, content in pairs(200)), concurrency=8))
    assert [outcome.location for outcome in outcomes] == [name for name, _ in pairs(200)]
    assert meter.most == 8
    assert time.monotonic() - started < 200 * 0.005  # far from one after the other


def test_b1_a_large_file_does_not_block_the_small_ones(storage: Storage) -> None:
    small = threading.Semaphore(0)

    def hook(verb: str, key: str) -> None:
        if verb == "multipart_complete":
            assert all(small.acquire(timeout=30) for _ in range(300))

    def done(verb: str, key: str) -> None:
        if verb == "put":
            small.release()

    slow = storage.wrapped(lambda inner: Hooked(inner, hook, done))
    outcomes = slow.upload_many([("large", b"x" * MiB), *pairs(300)], concurrency=4)
    assert [outcome.error for outcome in outcomes] == [None] * 301


def test_b1_large_files_side_by_side_hold_few_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    import file_keeper.bulk.items as items

    storage = make_storage("m", {"type": "memory", "part_size": 64 * KiB, "max_concurrency": 1})
    meter = Meter(verbs=("multipart_create", "multipart_complete"))
    lock = threading.Lock()
    now = most = 0

    def hook(verb: str, key: str) -> None:
        nonlocal now, most
        if verb == "multipart_create":
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.01)
        elif verb == "multipart_complete":
            with lock:
                now -= 1

    monkeypatch.setattr(items, "_BUFFERS", 3 * 2 * 64 * KiB)
    seen = storage.wrapped(lambda inner: Hooked(inner, hook))
    large = [(f"large-{number}", b"x" * (200 * KiB)) for number in range(12)]
    assert [outcome.error for outcome in seen.upload_many(large, concurrency=8)] == [None] * 12
    assert most == 3
    assert meter.now == 0


def throttling(storage: Storage, error: exc.FilesError, at: int = 100) -> tuple[Storage, Meter, itertools.count[int]]:
    """Return a storage whose service asks to slow down once, what counts its requests, and the number of the next."""
    meter, number = Meter(0.002), itertools.count(1)

    def begin(verb: str, key: str) -> None:
        if verb == "put":
            if (mine := next(number)) == at:
                raise error
            if mine == 250:
                meter.most = 0
            meter.begin(verb, key)

    return storage.wrapped(lambda inner: Hooked(inner, begin, meter.end)), meter, number


@pytest.mark.parametrize(
    "error",
    [
        exc.ThrottledError("slow down", retryable=True, status=429),
        exc.ConnectionError("busy", retryable=True, status=503),
    ],
)
def test_b1_the_default_concurrency_halves_when_the_service_throttles_and_recovers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: exc.FilesError
) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(base=0.0001, longest=0.0001))
    seen, meter, _ = throttling(make_storage("m", {"type": "memory", "max_concurrency": 16}), error)
    events: list[Event] = []
    end = seen.subscribe(lambda event: events.append(event) if event.kind == "concurrency" else None)
    with caplog.at_level("INFO", "file_keeper"):
        assert [outcome.error for outcome in seen.upload_many(pairs(400))] == [None] * 400
    end()
    assert "8 items in flight" in caplog.text
    assert meter.most > 10  # it has recovered
    assert [event.concurrency for event in events] == [8, 9, 10, 11, 12, 13, 14, 15, 16]
    assert [event.error for event in events] == [error] + [None] * 8
    assert events[0].status == error.status
    assert {(event.storage, event.type, event.operation, event.location) for event in events} == {
        ("m", "file_keeper:memory", "upload_many", "")
    }
    assert len({event.id for event in events}) == 1


def test_b1_a_concurrency_that_was_asked_for_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(base=0.0001, longest=0.0001))
    storage = make_storage("m", {"type": "memory"})
    seen, _, _ = throttling(storage, exc.ThrottledError("slow down", retryable=True), at=20)
    kinds: set[str] = set()
    seen.subscribe(lambda event: kinds.add(event.kind))
    assert [outcome.error for outcome in seen.upload_many(pairs(100), concurrency=8)] == [None] * 100
    assert kinds == {"start", "attempt", "operation"}


def test_b1_whoever_is_told_may_end_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(base=0.0001, longest=0.0001))
    storage = make_storage("m", {"type": "memory", "max_concurrency": 16})
    seen, _, number = throttling(storage, exc.ThrottledError("slow down", retryable=True))
    told: list[int] = []
    seen.subscribe(lambda event: told.append(event.concurrency) if event.kind == "concurrency" else None)
    for _ in seen.upload_many(pairs(100_000)):
        if told:
            break
    assert told[0] == 8
    assert next(number) < 10_000


def test_two_items_of_one_location_follow_one_another(storage: Storage) -> None:
    items = [("same", b"%d" % number) for number in range(50)]
    outcomes = list(storage.upload_many(items, overwrite=True))
    assert [outcome.error for outcome in outcomes] == [None] * 50
    assert storage.content("same") == b"49"
    kept = list(storage.upload_many([("once", b"first"), ("once", b"second")], overwrite=False))
    assert [type(outcome.error) for outcome in kept] == [type(None), exc.ExistingFileError]
    assert storage.content("once") == b"first"


def test_an_outcome_may_be_given_before_its_thread_is_free() -> None:
    """The end of an item has two steps, and between them a batch of one is neither running nor over."""
    begun: list[Item[int]] = []
    batch: Batch[int] = Batch(lambda item: (begun.append(item), Future[None]())[1], 1)
    assert batch.step() is Step.DRAW
    batch.drawn(Item("a", lambda progress: 1))
    begun[0].outcome = Outcome("a", 1)
    assert batch.step() is Step.GIVE
    batch.take()
    assert batch.step() is Step.WAIT
    batch.ended(begun[0])
    assert batch.step() is Step.DRAW
    batch.drawn(None)
    assert batch.step() is Step.END


# -- B2: an account of every item -----------------------------------------------------------------------------------


class Interrupted(BaseException):
    pass


def test_b2_a_thousand_items_and_thirteen_failures(storage: Storage) -> None:
    def raising(error: BaseException) -> Iterator[bytes]:
        yield b"x"
        raise error

    storage.upload("00100", b"already there")
    items: dict[int, tuple[Any, Any]] = dict(enumerate(pairs(1000)))
    wrong: dict[int, tuple[Any, type[BaseException]]] = {
        3: (("a/../b", b"x"), exc.LocationError),
        100: (items[100], exc.ExistingFileError),
        200: (("00199", b"again"), exc.ExistingFileError),
        250: (("text", "text"), TypeError),
        300: (("source", raising(ZeroDivisionError("mine"))), ZeroDivisionError),
        400: (("base", raising(Interrupted())), Interrupted),
        500: ("no pair at all", TypeError),
        501: (None, TypeError),
        502: (("one",), TypeError),
        600: (("closed", closed()), exc.ContentError),
        700: (("/absolute", b""), exc.LocationError),
        800: (("unanswered", b"x"), exc.ConnectionError),
        999: (("", b""), exc.LocationError),
    }
    items |= {place: item for place, (item, _) in wrong.items()}

    def hook(verb: str, key: str) -> None:
        if key == "unanswered":
            raise exc.ConnectionError("cut")

    cut = storage.wrapped(lambda inner: Hooked(inner, done=hook))
    outcomes = list(cut.upload_many(items[number] for number in range(1000)))
    assert len(outcomes) == 1000
    found = {place: type(outcome.error) for place, outcome in enumerate(outcomes) if outcome.error is not None}
    assert found == {place: kind for place, (_, kind) in wrong.items()}
    for place, outcome in enumerate(outcomes):
        if outcome.error is None:
            assert outcome.location == f"{place:05}"
            assert outcome.unwrap().location == outcome.location
        elif isinstance(outcome.error, exc.FilesError):
            assert outcome.error.location == outcome.location or place == 600
    assert isinstance(outcomes[800].error, exc.ConnectionError)
    assert outcomes[800].error.uncertain
    assert sorted(storage.scan()) == sorted(
        {name for place, (name, _) in enumerate(pairs(1000)) if place not in wrong} | {"00100", "unanswered"}
    )


def closed() -> io.BytesIO:
    stream = io.BytesIO(b"x")
    stream.close()
    return stream


def test_b2_what_the_iterable_raises_comes_after_the_outcomes_before(storage: Storage) -> None:
    def items() -> Iterator[tuple[str, bytes]]:
        yield from pairs(20)
        raise ZeroDivisionError("mine")

    outcomes: list[Outcome[FileData]] = []
    with pytest.raises(ZeroDivisionError, match="mine"):
        outcomes.extend(storage.upload_many(items()))
    assert [outcome.location for outcome in outcomes] == [name for name, _ in pairs(20)]
    assert all(outcome.error is None for outcome in outcomes)


@pytest.mark.parametrize("way", ["break", "exception", "close", "progress"])
def test_b2_who_stops_early_leaves_nothing_in_flight(storage: Storage, way: str) -> None:
    begun = threading.Event()

    def endless() -> Iterator[bytes]:
        begun.set()
        while True:
            yield b"x" * KiB

    def progress(_: BatchProgress) -> None:
        if way == "progress" and begun.is_set():
            raise ZeroDivisionError

    def leave() -> None:
        outcomes = storage.upload_many(
            [*pairs(2), ("endless", endless()), *pairs(5, 2)], concurrency=4, progress=progress
        )
        for outcome in outcomes:
            assert outcome.error is None
            if outcome.location == "00001" and way != "progress":
                assert begun.wait(10)
                if way == "exception":
                    raise ZeroDivisionError
                if way == "close":
                    outcomes.close()  # type: ignore[attr-defined]
                break

    if way in ("exception", "progress"):
        with pytest.raises(ZeroDivisionError):
            leave()
    else:
        leave()
    gc.collect()
    assert begun.is_set()
    assert names() == []
    assert "endless" not in list(storage.scan())
    assert storage.cleanup_uploads(0) == 0


def test_b2_the_first_failure_is_the_last_outcome_with_stop(storage: Storage) -> None:
    storage.upload("00010", b"there")
    begun = threading.Event()

    def slow() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x"
            time.sleep(0.005)

    def endless() -> Iterator[bytes]:
        begun.set()
        while True:
            yield b"x" * KiB

    items = [*pairs(9), ("slow", slow()), ("00010", b""), ("endless", endless()), *pairs(500, 11)]
    outcomes = list(storage.upload_many(items, stop=True, overwrite=False))
    assert [outcome.location for outcome in outcomes] == [*[name for name, _ in pairs(9)], "slow", "00010"]
    assert [outcome.error is None for outcome in outcomes] == [True] * 10 + [False]
    assert not {"endless"} & set(storage.scan())
    assert storage.cleanup_uploads(0) == 0


def test_b2_an_upload_that_comes_through_although_it_was_left_is_taken_back(storage: Storage) -> None:
    sending, go_on = threading.Event(), threading.Event()

    def hook(verb: str, key: str) -> None:
        if verb == "put" and key == "late":
            sending.set()
            assert go_on.wait(10)

    outcomes = storage.wrapped(lambda inner: Hooked(inner, hook)).upload_many([("a", b"a"), ("late", b"x")])
    assert next(outcomes).location == "a"
    assert sending.wait(10)
    threading.Timer(0.1, go_on.set).start()
    outcomes.close()  # type: ignore[attr-defined]
    assert list(storage.scan()) == ["a"]


@pytest.mark.full
@pytest.mark.parametrize("verb", ["upload_many", "content_many", "analyze_many"])
def test_b2_an_endless_generator_in_flat_memory(verb: str) -> None:
    storage = make_storage(
        "null" if verb == "upload_many" else "m", {"type": "null" if verb == "upload_many" else "memory"}
    )
    drawn = itertools.count()
    reached = 0

    def items() -> Iterator[Any]:
        nonlocal reached
        while True:
            reached = next(drawn)
            yield (f"name/{reached}", b"content") if verb == "upload_many" else f"name/{reached}"

    outcomes = getattr(storage, verb)(items(), concurrency=1)  # with more some may wait for a slow one
    for _ in range(500):
        next(outcomes)
    tracemalloc.start()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(500, 5000):
        next(outcomes)
        assert reached - number < 10
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    outcomes.close()
    assert grown < 512 * KiB


def test_b2_few_contents_are_held(storage: Storage) -> None:
    for number in range(40):
        storage.upload(f"{number:02}", b"x" * 100 * KiB)
    tracemalloc.start()
    for outcome in storage.content_many((f"{number:02}" for number in range(40)), concurrency=3):
        time.sleep(0.002)
        assert len(outcome.unwrap()) == 100 * KiB
        del outcome
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 100 * KiB / 2


# -- B3: watched and stopped ----------------------------------------------------------------------------------------


def test_b3_progress_counts_items_and_bytes_and_never_goes_back(storage: Storage) -> None:
    storage.upload("00003", b"x")
    seen: list[BatchProgress] = []
    meter = Meter(0.02)
    items = [*pairs(60), ("large", b"x" * MiB), ("bad/", b"")]
    outcomes = list(meter.around(storage).upload_many(items, concurrency=2, progress=seen.append))
    last = seen[-1]
    assert (last.items, last.total, last.failed, last.skipped) == (62, 62, 1, 1)
    assert last.bytes == sum(len(content) for _, content in items)
    assert len(outcomes) == 62
    assert seen == sorted(seen, key=lambda progress: (progress.items, progress.bytes, progress.failed))
    assert len(seen) >= 2


def test_b3_progress_is_told_while_one_item_takes_long(storage: Storage) -> None:
    seen: list[BatchProgress] = []

    def slow() -> Iterator[bytes]:
        for _ in range(15):
            yield b"x" * 65 * KiB
            time.sleep(0.1)

    list(storage.upload_many([("slow", slow())], progress=seen.append))
    assert len(seen) >= 3
    assert [progress.items for progress in seen[:2]] == [0, 0]
    assert 0 < seen[-2].bytes <= seen[-1].bytes == 15 * 65 * KiB


def test_b3_an_interrupt_ends_the_batch_and_says_what_was_done(tmp_path: Path) -> None:
    program = """
        import sys, time
        import file_keeper as fk
        storage = fk.make_storage("s", {"type": "memory", "part_size": 65536})
        def endless():
            print("begun", flush=True)
            while True:
                yield b"x" * 1000
                time.sleep(0.001)
        told = []
        try:
            for outcome in storage.upload_many([("a", b"1"), ("b", endless())], progress=told.append):
                pass
        except KeyboardInterrupt:
            print(told[-1].items, list(storage.scan()), storage.cleanup_uploads(0), flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        assert process.stdout.readline() == "1 ['a'] 0\n"
        assert time.monotonic() - started < 2
        process.communicate(timeout=10)
        assert process.returncode == 0


# -- B4: sources that share one stream -------------------------------------------------------------------------------

MEMBERS = {f"m/{number:02}": random.Random(number).randbytes(number * 37_001 % 300_000) for number in range(24)}


def tar_of(mode: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in MEMBERS.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


class Unseekable(io.RawIOBase):
    def __init__(self, data: bytes):
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._inner.readinto(buffer)


def members_of_tar(archive: tarfile.TarFile) -> Iterator[tuple[str, Any]]:
    for member in archive:
        yield member.name, archive.extractfile(member)


def test_b4_members_of_a_streamed_tar(any_storage: Storage) -> None:
    with tarfile.open(fileobj=io.BufferedReader(Unseekable(tar_of("w:gz"))), mode="r|gz") as archive:
        outcomes = list(any_storage.upload_many(members_of_tar(archive), concurrency=8))
    assert [outcome.unwrap().location for outcome in outcomes] == list(MEMBERS)
    assert {name: any_storage.content(name) for name in any_storage.scan()} == MEMBERS


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_b4_members_of_a_tar_that_can_seek_share_its_position(storage: Storage, mode: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(tar_of(mode))) as archive:
        outcomes = list(storage.upload_many(members_of_tar(archive), concurrency=8))
    assert [outcome.error for outcome in outcomes] == [None] * len(MEMBERS)
    assert {name: storage.content(name) for name in storage.scan()} == MEMBERS


def test_b4_members_of_a_zip(storage: Storage) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
    with zipfile.ZipFile(packed) as archive:
        outcomes = list(storage.upload_many(((n, archive.open(n)) for n in archive.namelist()), concurrency=8))
    assert [outcome.error for outcome in outcomes] == [None] * len(MEMBERS)
    assert {name: storage.content(name) for name in storage.scan()} == MEMBERS


def test_b4_parts_that_are_valid_until_the_next_is_drawn(storage: Storage) -> None:
    """As the parts of a form that is read as it comes, or the chunks of one response."""
    buffer = bytearray(KiB)
    current = ""
    mixed: list[str] = []

    def part(name: str, content: bytes) -> Iterator[memoryview]:
        for start in range(0, len(content), KiB):
            if current != name:
                mixed.append(name)
            piece = content[start : start + KiB]
            buffer[: len(piece)] = piece
            yield memoryview(buffer)[: len(piece)]

    def form() -> Iterator[tuple[str, Iterator[memoryview]]]:
        nonlocal current
        for name, content in MEMBERS.items():
            current = name
            yield name, part(name, content)

    meter = Meter(0.01)
    assert [o.error for o in meter.around(storage).upload_many(form(), concurrency=8)] == [None] * len(MEMBERS)
    assert mixed == []
    assert {name: storage.content(name) for name in storage.scan()} == MEMBERS
    assert meter.most > 1  # what is read is sent side by side


def test_b4_a_member_that_breaks_ends_its_own_item(storage: Storage) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 100
        raise zipfile.BadZipFile("bad CRC")

    items = {"a": iter([b"a"]), "b": broken(), "c": iter([b"c"])}
    outcomes = list(storage.upload_many(items))
    assert [type(outcome.error) for outcome in outcomes] == [type(None), zipfile.BadZipFile, type(None)]
    assert list(storage.scan()) == ["a", "c"]


def test_b4_one_stream_given_twice_at_once_is_refused(storage: Storage) -> None:
    sending, go_on = threading.Event(), threading.Event()

    def hook(verb: str, key: str) -> None:
        if verb == "put" and key == "a":
            sending.set()
            assert go_on.wait(10)

    stream = io.BytesIO(b"content")

    def items() -> Iterator[tuple[str, Any]]:
        yield "a", stream
        assert sending.wait(10)
        yield "b", stream
        go_on.set()

    outcomes = list(storage.wrapped(lambda inner: Hooked(inner, hook)).upload_many(items()))
    assert outcomes[0].unwrap().size == 7
    assert isinstance(outcomes[1].error, exc.ContentError)
    assert list(storage.scan()) == ["a"]
