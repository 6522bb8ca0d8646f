"""The transfer engine: all or nothing, in bounded memory, whatever fails."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import logging
import random
import subprocess
import sys
import textwrap
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from core.doubles import (
    KINDS,
    LATE,
    NOTHING,
    PARTS,
    SESSION,
    Discarding,
    Double,
    Hooked,
    KiB,
    MiB,
    double,
    settings_of,
)
from file_keeper import FileData, Storage, Upload, exc
from file_keeper.backend import Limits, ObjectInfo, PartsDiscardedError, WriteOptions
from file_keeper.backend.contract import GiB, TiB
from file_keeper.intake import part_sizes
from file_keeper.resilience import retry

P = 64 * KiB
BODY = random.Random(0).randbytes(5 * P + 1000)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(attempts=2, base=0.0001, longest=0.0001))


def chunks(body: bytes, size: int = 10_001) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


SOURCES = {
    "bytes": lambda body: body,
    "file": lambda body: io.BytesIO(body),
    "chunks": lambda body: chunks(body),
    "declared": lambda body: Upload(io.BufferedReader(Unseekable(body)), size=len(body)),
}


class Unseekable(io.RawIOBase):
    def __init__(self, body: bytes):
        self.inner = io.BytesIO(body)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self.inner.readinto(buffer)


# -- parts ------------------------------------------------------------------------------------------------------------


def test_an_unknown_size_reaches_the_largest_object() -> None:
    sizes = list(part_sizes(Limits(part_min=5 * MiB), 8 * MiB, None))
    assert sizes[0] == 8 * MiB
    assert len(sizes) == 10_000
    assert sum(sizes) >= 5 * TiB
    assert max(sizes) <= 5 * GiB
    assert sizes == sorted(sizes)
    assert [size for size, _ in itertools.groupby(sizes)] == [8 * MiB << power for power in range(10)]


def test_an_unknown_size_where_equal_parts_are_wanted() -> None:
    sizes = list(part_sizes(Limits(equal_parts=True, parts_max=100), 8 * MiB, None))
    assert sizes == [8 * MiB] * 100


@pytest.mark.parametrize("parts", [1, 3, 9, 15, 50, 50_000])
def test_schedules_of_few_and_many_parts(parts: int) -> None:
    sizes = list(part_sizes(Limits(parts_max=parts, part_max=4 * GiB), 8 * MiB, None))
    assert len(sizes) == parts
    assert max(sizes) <= 4 * GiB


@pytest.mark.parametrize("size", [0, 1, 8 * MiB, 8 * MiB + 1, 80 * GiB, 80 * GiB + 1, 5 * TiB - 1, 5 * TiB])
@pytest.mark.parametrize("part_size", [1, MiB, 8 * MiB, 6 * GiB])
def test_a_known_size_fits_into_equal_parts(size: int, part_size: int) -> None:
    limits = Limits(part_min=5 * MiB)
    schedule = part_sizes(limits, part_size, size)
    part = next(schedule)
    assert all(other == part for other in itertools.islice(schedule, 10))
    assert limits.part_min <= part <= limits.part_max
    assert part * limits.parts_max >= size
    if size <= part_size * limits.parts_max:
        assert part == min(max(part_size, limits.part_min), limits.part_max)


def test_a_known_size_that_does_not_fit() -> None:
    with pytest.raises(exc.LargeUploadError, match="the content has 6 TiB, the largest object here 5 TiB"):
        part_sizes(Limits(), 8 * MiB, 6 * TiB)
    with pytest.raises(exc.LargeUploadError, match="1 GiB do not fit into 10 parts"):
        part_sizes(Limits(parts_max=10, part_max=100 * MiB), 8 * MiB, GiB)


# -- round trips ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_size_by_every_way(kind: str, source: str) -> None:
    storage, backend = double(KINDS[kind])
    for size in (0, 1, P - 1, P, P + 1, 2 * P - 1, 2 * P, 2 * P + 1, 3 * P + P // 2, len(BODY)):
        body = BODY[:size]
        made = storage.upload("x", SOURCES[source](body), metadata={"k": "v"})
        assert storage.content("x") == body, size
        assert made.hash == hashlib.md5(body).hexdigest()
        found = storage.analyze("x")
        assert (found, found.metadata, found.etag) == (made, made.metadata, made.etag)
        assert backend.open == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ["sha256", "crc32c"])
def test_other_hashes(kind: str, algorithm: str) -> None:
    storage, _ = double(KINDS[kind], hashing_algorithm=algorithm)
    for source in SOURCES.values():
        for size in (10, len(BODY)):
            made = storage.upload("x", source(BODY[:size]))
            assert made.algorithm == algorithm
            assert storage.analyze("x") == made


@pytest.mark.parametrize("kind", KINDS)
def test_ragged_and_random_contents(kind: str) -> None:
    chance = random.Random(kind)
    for _ in range(15):
        storage, _ = double(
            KINDS[kind],
            part_size=chance.choice([256 * KiB, 70_000]),
            multipart_threshold=chance.choice([0, 1, 3000, P]),
        )
        body = chance.randbytes(chance.randrange(400_000))
        cut = [0, *sorted(chance.randrange(len(body) + 1) for _ in range(20)), len(body)]
        storage.upload("x", (body[a:b] for a, b in itertools.pairwise(cut)))
        assert storage.content("x") == body


def test_the_smallest_threshold_still_tells_the_type() -> None:
    storage, _ = double(PARTS, multipart_threshold=0)
    png = b"\x89PNG\r\n\x1a\n" + bytes(5000)
    for value in (png, chunks(png)):
        assert storage.upload("x", value).content_type == "image/png"
    assert storage.upload("x", []).content_type == "application/x-empty"


def test_more_parts_than_the_first_size_allows() -> None:
    storage, _ = double(dataclasses.replace(PARTS, parts_max=50))
    body = random.Random(1).randbytes(60 * P)
    storage.upload("x", chunks(body, 100_000))
    assert storage.content("x") == body


def test_equal_parts_end_with_an_error_that_says_so() -> None:
    storage, backend = double(dataclasses.replace(PARTS, parts_max=3, equal_parts=True))
    storage.upload("x", chunks(BODY[: 3 * P]))
    with pytest.raises(exc.LargeUploadError, match="does not fit into the 3 parts that this provider takes"):
        storage.upload("x", chunks(BODY[: 3 * P + 1]))
    assert storage.content("x") == BODY[: 3 * P]
    assert backend.open == []


def test_no_parts_at_all() -> None:
    storage, _ = double(NOTHING)
    storage.upload("x", BODY[:P])
    with pytest.raises(exc.LargeUploadError, match="larger than the 64 KiB that fit into one request, and"):
        storage.upload("y", BODY)
    assert list(storage.scan()) == ["x"]


def test_a_session_may_take_less_than_was_sent() -> None:
    storage, backend = double(SESSION, part_size=256 * KiB, multipart_threshold=1000)
    backend.taken = 99_999
    body = random.Random(2).randbytes(MiB + 5)
    for value in (body, chunks(body)):
        storage.upload("x", value)
        assert storage.content("x") == body
    backend.taken = 0
    with pytest.raises(exc.ConnectionError, match="the provider takes nothing beyond byte 0"):
        storage.upload("x", body)
    assert backend.open == []


def test_who_asks_for_concurrency_gets_parts() -> None:
    for given, verb in (({}, "resumable_start"), ({"max_concurrency": 2}, "multipart_create")):
        storage, _ = double(SESSION, **given)
        seen: list[str] = []
        storage.wrapped(lambda backend: Hooked(backend, lambda verb, key: seen.append(verb))).upload("x", BODY)  # noqa: B023
        assert verb in seen


# -- concurrency ------------------------------------------------------------------------------------------------------


def test_parts_are_sent_concurrently_and_not_more_than_asked() -> None:
    storage, _ = double(PARTS, max_concurrency=3, part_size=1000, multipart_threshold=1000)
    together = threading.Barrier(3)
    flying, most, lock = 0, 0, threading.Lock()
    numbers = itertools.count()

    def hook(verb: str, key: str) -> None:
        nonlocal flying, most
        if verb == "multipart_put":
            with lock:
                flying += 1
                most = max(most, flying)
            if next(numbers) < 3:
                together.wait(30)  # three at a time, or this never passes

    def done(verb: str, key: str) -> None:
        nonlocal flying
        if verb == "multipart_put":
            with lock:
                flying -= 1

    storage.wrapped(lambda backend: Hooked(backend, hook, done)).upload("x", chunks(BODY, 1000))
    assert storage.content("x") == BODY
    assert most == 3


def test_reading_goes_on_while_parts_are_sent() -> None:
    storage, _ = double(PARTS, max_concurrency=1)
    read_on = threading.Event()

    def source() -> Iterator[bytes]:
        yield BODY[: P + 1]
        read_on.set()
        yield BODY[P + 1 :]

    def hook(verb: str, key: str) -> None:
        if verb == "multipart_put":
            assert read_on.wait(30)

    storage.wrapped(lambda backend: Hooked(backend, hook)).upload("x", source())
    assert storage.content("x") == BODY


# -- all or nothing ---------------------------------------------------------------------------------------------------


def settled(backend: Double, storage: Storage, before: bytes | None) -> None:
    assert backend.open == []
    assert list(storage.scan()) == ([] if before is None else ["x"])
    if before is not None:
        assert storage.content("x") == before
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("file-keeper")] == []


@pytest.mark.parametrize("error", [exc.PermissionError("no"), KeyError("boom"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("source", ["file", "chunks"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_at_every_call(kind: str, source: str, error: BaseException) -> None:
    storage, _ = double(KINDS[kind], max_concurrency=2) if kind != "session" else double(KINDS[kind])
    calls = Counter[str]()
    storage.wrapped(lambda backend: Hooked(backend, lambda verb, key: calls.update([verb]))).upload(
        "x", SOURCES[source](BODY)
    )
    for before, verb in itertools.product((None, b"before"), calls):
        if verb in ("multipart_abort", "resumable_cancel", "store_digests"):
            continue
        for nth in {1, calls[verb] // 2 + 1, calls[verb]}:
            storage, backend = double(KINDS[kind])
            if before is not None:
                storage.upload("x", before)
            count, lock = itertools.count(1), threading.Lock()

            def hook(called: str, key: str) -> None:
                with lock:  # noqa: B023
                    if called == verb and next(count) == nth:  # noqa: B023
                        raise error

            with pytest.raises(BaseException) as caught:  # noqa: PT011
                storage.wrapped(lambda inner: Hooked(inner, hook)).upload("x", SOURCES[source](BODY))
            if isinstance(error, KeyError | MemoryError):
                assert isinstance(caught.value, exc.StorageError)
                assert caught.value.__cause__ is error
            else:
                assert caught.value is error
            settled(backend, storage, before)


@pytest.mark.parametrize("error", [OSError("torn"), KeyboardInterrupt(), GeneratorExit()])
@pytest.mark.parametrize("kind", KINDS)
def test_a_source_that_fails_at_any_byte(kind: str, error: BaseException) -> None:
    storage, backend = double(KINDS[kind])
    storage.upload("x", b"before")

    class Torn(io.RawIOBase):
        def __init__(self, at: int):
            self.left = at

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            count = min(len(buffer), self.left, 7_777)
            if not count:
                raise error
            self.left -= count
            return count

    for at in (0, 1, 2047, 2048, P - 1, P, P + 1, P + P // 2, 2 * P, 3 * P + 1, 5 * P):
        for size in (None, 6 * P):
            with pytest.raises(type(error)) as caught:
                storage.upload("x", Upload(Torn(at), size=size))
            assert caught.value is error
            settled(backend, storage, b"before")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("size", "given"),
    [(None, {"hash": "0" * 32}), (None, {"hash": "0" * 64, "algorithm": "sha256"}), (10, {}), (len(BODY) + 1, {})],
)
def test_what_is_not_as_declared(kind: str, size: int | None, given: dict[str, Any]) -> None:
    storage, backend = double(KINDS[kind])
    storage.upload("x", b"before")
    for stream in (io.BytesIO(BODY), Unseekable(BODY)):
        with pytest.raises(exc.UploadMismatchError):
            storage.upload("x", Upload(stream, size=size), **given)
        settled(backend, storage, b"before")


@pytest.mark.parametrize("kind", KINDS)
def test_an_abort_that_fails_is_a_note(kind: str) -> None:
    storage, _ = double(KINDS[kind])

    def hook(verb: str, key: str) -> None:
        if verb in ("multipart_put", "resumable_send", "put"):
            raise exc.PermissionError("no")
        if verb in ("multipart_abort", "resumable_cancel"):
            raise exc.PermissionError("not that either")

    with pytest.raises(exc.PermissionError, match="s': upload 'x': no") as caught:
        storage.wrapped(lambda backend: Hooked(backend, hook)).upload("x", BODY)
    notes = getattr(caught.value, "__notes__", [])
    assert bool(notes) == (kind != "stream")
    assert all("could not be aborted: not that either (cleanup_uploads finds it)" in note for note in notes)


@pytest.mark.parametrize("kind", KINDS)
def test_no_overwriting_is_asked_before_much_is_sent(kind: str) -> None:
    storage, backend = double(KINDS[kind], overwrite_existing=False)
    storage.upload("x", b"before")
    seen: list[str] = []
    watched = storage.wrapped(lambda inner: Hooked(inner, lambda verb, key: seen.append(verb)))
    with pytest.raises(exc.ExistingFileError):
        watched.upload("x", BODY)
    assert seen == ["head"]
    with pytest.raises(exc.ExistingFileError):
        watched.upload("x", b"small")
    assert seen == ["head", "put"]
    settled(backend, storage, b"before")


@pytest.mark.parametrize("kind", KINDS)
def test_conditions_are_decided_at_the_end(kind: str) -> None:
    storage, backend = double(KINDS[kind], overwrite_existing=False)

    def source(content: bytes | None) -> Iterator[bytes]:
        yield BODY[: 3 * P]
        if content is None:
            storage.remove("x")
        else:
            storage.upload("x", content, overwrite=True)
        yield BODY[3 * P :]

    with pytest.raises(exc.ExistingFileError):
        storage.upload("x", source(b"racing"))
    settled(backend, storage, b"racing")
    seen = storage.analyze("x")
    for racing in (b"racing again", None):
        with pytest.raises(exc.ChangedFileError):
            storage.upload("x", source(racing), overwrite=seen)
        settled(backend, storage, racing)
    with pytest.raises(exc.StorageDataError, match="without an etag"):
        storage.upload("x", BODY, overwrite=FileData("x"))


# -- what the provider dropped ----------------------------------------------------------------------------------------


class Losing(Double):
    """Drops the parts of the first uploads, as Azure does when another writer commits."""

    losses = 1
    other: bytes | None = None

    def multipart_complete(self, upload: Any, parts: Any, options: WriteOptions) -> ObjectInfo:
        if self.losses:
            self.losses -= 1
            self._bucket.uploads.pop(upload.id)
            if self.other is not None:
                super().put(upload.key, self.other, WriteOptions())
            raise PartsDiscardedError("the blocks are gone", code="InvalidBlockList")
        return super().multipart_complete(upload, parts, options)


def losing(*, losses: int = 1, other: bytes | None = None, **options: Any) -> Storage:
    settings = settings_of(part_size=P, multipart_threshold=P, **options)
    backend = Losing(settings, LATE)
    backend.losses, backend.other = losses, other
    return Storage("s", settings, backend)


@pytest.mark.parametrize("overwrite", [True, False])
def test_lost_parts_are_sent_again_where_the_source_allows(overwrite: bool) -> None:
    storage = losing()
    told: list[int] = []
    storage.upload("x", io.BytesIO(BODY), overwrite=overwrite, progress=lambda done, total: told.append(done))
    assert storage.content("x") == BODY
    assert told == sorted(set(told))
    assert told[-1] == len(BODY)


def test_lost_parts_with_another_there() -> None:
    storage = losing(other=b"other")
    with pytest.raises(exc.ExistingFileError):
        storage.upload("x", io.BytesIO(BODY))
    assert storage.content("x") == b"other"
    storage = losing(other=b"other")
    storage.upload("x", io.BytesIO(BODY), overwrite=True)
    assert storage.content("x") == BODY


@pytest.mark.parametrize("losses", [1, 2])
def test_lost_parts_of_what_cannot_be_sent_again(losses: int) -> None:
    body = chunks if losses == 1 else io.BytesIO
    with pytest.raises(exc.ConnectionError, match="another writer of this location broke the upload") as caught:
        losing(losses=losses).upload("x", body(BODY))
    assert isinstance(caught.value.__cause__, PartsDiscardedError)
    assert caught.value.code == "InvalidBlockList"
    with pytest.raises(exc.ChangedFileError, match="another writer of this location broke the upload"):
        losing(losses=losses).upload("x", body(BODY), overwrite=True)


# -- the hash and where it is kept ------------------------------------------------------------------------------------


def test_a_hash_is_known_first_where_it_must_be_set_first(tmp_path: Path) -> None:
    storage, backend = double(PARTS)
    path = tmp_path / "x"
    path.write_bytes(BODY)
    digest = hashlib.md5(BODY).hexdigest()
    for value in (BODY, io.BytesIO(BODY), path):
        storage.upload("x", value)
        assert backend.created.metadata["fk_hash"] == f"md5:{digest}"
        assert backend.created.digests == {"md5": digest}
    storage.upload("x", chunks(BODY), hash=digest.upper())
    assert backend.created.metadata["fk_hash"] == f"md5:{digest}"
    assert backend.tags == {}


def test_the_key_that_other_tools_read() -> None:
    storage, backend = double(dataclasses.replace(PARTS, md5_metadata="md5chksum"))
    storage.upload("x", BODY)
    assert "fk_hash" not in backend.created.metadata
    assert len(backend.created.metadata["md5chksum"]) == 24
    assert storage.analyze("x").hash == hashlib.md5(BODY).hexdigest()
    assert storage.analyze("x").metadata == {}


def test_a_hash_that_comes_too_late_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    storage, backend = double(PARTS)
    made = storage.upload("x", chunks(BODY))
    assert backend.tags == {"x": {"md5": made.hash}}
    assert storage.analyze("x") == made

    def hook(verb: str, key: str) -> None:
        if verb == "store_digests":
            raise exc.PermissionError("no tags")

    with caplog.at_level(logging.WARNING, "file_keeper"):
        made = storage.wrapped(lambda inner: Hooked(inner, hook)).upload("y", chunks(BODY))
    assert made.hash == hashlib.md5(BODY).hexdigest()
    assert storage.content("y") == BODY
    assert [record.getMessage() for record in caplog.records] == [
        "the hash of 'y' could not be recorded, analyze will not know it: no tags"
    ]
    found = storage.analyze("y")
    assert (found.hash, found.algorithm) == ("", "")


def test_a_file_that_changes_while_it_is_sent(tmp_path: Path) -> None:
    storage, backend = double(PARTS)
    path = tmp_path / "x"
    path.write_bytes(BODY)

    for other in (BODY[::-1], BODY + b"x"):

        def change(verb: str, key: str) -> None:
            if verb == "multipart_create":
                path.write_bytes(other)  # noqa: B023

        path.write_bytes(BODY)
        with pytest.raises(exc.UploadMismatchError), path.open("rb") as file:
            storage.wrapped(lambda inner: Hooked(inner, change)).upload("x", file)
        settled(backend, storage, None)


def test_one_token_a_create() -> None:
    storage, backend = double(LATE)
    seen: list[str] = []
    for _ in range(2):
        storage.upload("x", BODY)
        assert backend.created.metadata["fk_token"] == backend.head("x").metadata["fk_token"]
        seen.append(backend.created.metadata["fk_token"])
    assert seen[0] != seen[1]
    plain, none = double(dataclasses.replace(LATE, metadata=False))
    plain.upload("x", BODY)
    assert none.head("x").metadata == {}
    with pytest.raises(exc.UnsupportedOperationError, match="keeps no metadata"):
        plain.upload("x", BODY, metadata={"a": "b"})


# -- progress ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", KINDS)
def test_progress(kind: str, source: str) -> None:
    storage, backend = double(KINDS[kind])
    for size in (0, 1, P, len(BODY)):
        told: list[tuple[int, int | None]] = []
        threads: set[int] = set()

        def tell(done: int, total: int | None) -> None:
            told.append((done, total))  # noqa: B023
            threads.add(threading.get_ident())  # noqa: B023

        storage.upload("x", SOURCES[source](BODY[:size]), progress=tell)
        done = [count for count, _ in told]
        assert done == sorted(set(done))
        assert (done[0], done[-1]) == (0, size)
        assert {total for _, total in told} == {None if source == "chunks" else size}
        assert threads == {threading.get_ident()}
        for at in done:

            def cancel(done: int, total: int | None) -> None:
                if done >= at:  # noqa: B023
                    raise ZeroDivisionError

            storage.upload("x", b"before")
            with pytest.raises(ZeroDivisionError):
                storage.upload("x", SOURCES[source](BODY[:size]), progress=cancel)
            settled(backend, storage, b"before")


# -- memory -----------------------------------------------------------------------------------------------------------


def endless(size: int, chunk: int = MiB) -> Iterator[memoryview]:
    block = memoryview(bytes(chunk))
    for _ in range(size // chunk):
        yield block


def discarding(limits: Limits, **options: Any) -> Storage:
    return Storage("s", settings_of(hashing_algorithm="crc32c", **options), Discarding(limits))


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_bounded(kind: str, known: bool, concurrency: int) -> None:
    part, size = 2 * MiB, 96 * MiB
    given = {"max_concurrency": concurrency} if kind != "session" else {}
    storage = discarding(KINDS[kind], part_size=part, **given)
    storage.upload("warm", b"x")
    tracemalloc.start()
    try:
        made = storage.upload("x", Upload(io.BufferedReader(Pouring(size)), size=size) if known else endless(size))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made.size - size in (0, 1)
    assert peak <= part * (concurrency + 2) + 2 * part  # the bound allows 32 MiB


class Pouring(io.RawIOBase):
    def __init__(self, size: int):
        self.left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self.left)
        self.left -= count
        return count


def test_memory_where_parts_grow() -> None:
    storage = discarding(dataclasses.replace(PARTS, parts_max=20), part_size=MiB)
    tracemalloc.start()
    try:
        storage.upload("x", endless(250 * MiB))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 2 * 64 * MiB + 3 * MiB, "two of the largest parts are the bound there"


@pytest.mark.parametrize("kind", ["PARTS", "STREAM"])
def test_memory_of_a_process(kind: str) -> None:
    code = f"""
        import resource, sys
        from core.doubles import {kind}, MiB
        from core.test_transfer import discarding, endless
        storage = discarding({kind})
        storage.upload("warm", b"x")
        unit = 1024 if sys.platform != "darwin" else 1
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        assert storage.upload("x", endless(1024 * MiB)).size == 1024 * MiB + 1
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before
        assert grown <= 8 * MiB * 6 + 32 * MiB, grown
    """
    tests = str(Path(__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {tests!r})\n" + textwrap.dedent(code)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
