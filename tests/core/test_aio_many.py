"""Many files at once, asynchronously: the same outcomes, from items and sources that may be asynchronous too."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from core.aio_tools import PART, KiB, chunks, hooked, memory, reached, wait_for_threads
from file_keeper import Storage, exc, make_storage
from file_keeper.types import BatchProgress

pytestmark = [pytest.mark.anyio, pytest.mark.full]

BODY = random.Random(0).randbytes(3 * PART + 1000)


@pytest.fixture
def storage() -> Storage:
    return memory()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    assert wait_for_threads() == []


def pairs(count: int) -> list[tuple[str, bytes]]:
    return [(f"{number:04}", b"%d" % number) for number in range(count)]


async def each(items: Any) -> AsyncIterator[Any]:
    for item in items:
        await anyio.sleep(0)
        yield item


async def test_every_verb_on_every_storage(any_storage: Storage, tmp_path: Path) -> None:
    aio = any_storage.aio
    items = pairs(30)
    stored = [outcome.unwrap() async for outcome in aio.upload_many(each(items))]
    assert [file.location for file in stored] == [name for name, _ in items]
    assert [o.unwrap() async for o in aio.content_many(stored)] == [content for _, content in items]
    assert [o.unwrap() async for o in aio.analyze_many(each(stored))] == stored
    copied = [o.location async for o in aio.copy_many((f"copy/{file.location}", file) for file in stored)]
    assert copied == [f"copy/{name}" for name, _ in items]
    async for outcome in aio.download_many(aio.scan(prefix="copy/"), tmp_path):
        outcome.unwrap()
    assert [(tmp_path / "copy" / name).read_bytes() for name, _ in items] == [content for _, content in items]
    assert await aio.remove_many(aio.scan(prefix="copy/")) == []
    assert [name async for name in aio.scan()] == [name for name, _ in items]


async def test_asynchronous_sources_are_read_in_order_and_sent_side_by_side(any_storage: Storage) -> None:
    reading: list[str] = []

    async def source(name: str, size: int) -> Any:
        reading.append(name)
        async for chunk in chunks(BODY[:size]):
            assert reading[-1] == name
            yield chunk

    sizes = {f"{number:02}": number * 9973 % len(BODY) for number in range(25)}
    items = ((name, source(name, size) if size % 2 else BODY[:size]) for name, size in sizes.items())
    outcomes = [outcome async for outcome in any_storage.aio.upload_many(items)]
    assert [(o.location, o.error) for o in outcomes] == [(name, None) for name in sizes]
    assert {name: any_storage.content(name) for name in any_storage.scan()} == {
        name: BODY[:size] for name, size in sizes.items()
    }


async def test_each_failure_is_its_own(storage: Storage) -> None:
    await storage.aio.upload("there", b"x")

    async def breaking() -> Any:
        yield b"x" * 2 * PART
        raise ZeroDivisionError("mine")

    items = [
        ("a", chunks(BODY)),
        ("there", chunks(BODY)),
        ("b", breaking()),
        ("bad/../name", chunks(b"x")),
        ("c", anyio.sleep(0)),
        ("d", "text"),
        3,
        ("e", chunks(b"e")),
        ("e", chunks(b"again")),
    ]
    outcomes = [outcome async for outcome in storage.aio.upload_many(items)]  # type: ignore[arg-type]
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        exc.ExistingFileError,
        ZeroDivisionError,
        exc.LocationError,
        TypeError,
        TypeError,
        TypeError,
        type(None),
        exc.ExistingFileError,
    ]
    error = outcomes[1].error
    assert isinstance(error, exc.ExistingFileError)
    assert (error.storage, error.location) == ("m", "there")
    assert list(storage.scan()) == ["a", "e", "there"]
    assert storage.content("e") == b"e"
    assert storage.cleanup_uploads(0) == 0


@pytest.mark.parametrize("kind", ["asynchronous", "synchronous"])
async def test_what_the_iterable_raises_comes_after_the_outcomes_before(storage: Storage, kind: str) -> None:
    def items() -> Iterator[Any]:
        yield from pairs(20)
        raise ZeroDivisionError("mine")

    outcomes = storage.aio.upload_many(each(items()) if kind == "asynchronous" else items())
    names: list[str] = []

    async def work() -> None:
        async for outcome in outcomes:
            names.append(outcome.location)

    with pytest.raises(ZeroDivisionError, match="mine"):
        await work()
    assert names == [name for name, _ in pairs(20)]
    assert [outcome async for outcome in outcomes] == []


async def test_the_first_failure_is_the_last_outcome_with_stop(storage: Storage) -> None:
    begun = threading.Event()

    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * KiB
            begun.set()
            time.sleep(0.001)

    items = [*pairs(3), ("bad/", b""), ("endless", endless()), *[(f"later-{n}", b"") for n in range(100)]]
    outcomes = [outcome async for outcome in storage.aio.upload_many(items, stop=True)]
    assert [outcome.location for outcome in outcomes] == ["0000", "0001", "0002", "bad/"]
    assert isinstance(outcomes[-1].error, exc.LocationError)
    assert "endless" not in list(storage.scan())
    assert storage.cleanup_uploads(0) == 0


@pytest.mark.parametrize("source", ["asynchronous", "synchronous"])
@pytest.mark.parametrize("way", ["break", "cancel", "close"])
async def test_who_stops_early_leaves_nothing(storage: Storage, way: str, source: str) -> None:
    begun = threading.Event()

    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * KiB
            begun.set()
            time.sleep(0.001)

    async def waiting() -> Any:
        yield BODY
        begun.set()
        await anyio.sleep(0.5 if way != "cancel" else 1000)

    items = [("a", b"x"), ("long", endless() if source == "synchronous" else waiting())]

    async def work() -> None:
        outcomes = storage.aio.upload_many(items)
        if way == "close":
            async with outcomes:
                assert (await anext(outcomes)).location == "a"
            assert storage.cleanup_uploads(0) == 0
            return
        async for outcome in outcomes:
            assert outcome.location == "a"
            if way == "break":
                break

    if way == "cancel":
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await reached(begun)
            tasks.cancel_scope.cancel()
        assert list(storage.scan()) == ["a"]
        assert storage.cleanup_uploads(0) == 0
    else:
        await work()
    gc.collect()
    with anyio.fail_after(5):
        while storage.cleanup_uploads(0):
            await anyio.sleep(0.01)
    # What was read to its end before may have been published before as well; then it is whole.
    if source == "synchronous" or "long" not in list(storage.scan()):
        assert list(storage.scan()) == ["a"]
    else:
        assert storage.content("long") == BODY


async def test_parts_that_are_still_sent_when_a_batch_is_cancelled_are_aborted(storage: Storage) -> None:
    held, go_on = threading.Event(), threading.Event()

    def hook(verb: str, key: str) -> None:
        if verb == "multipart_complete":
            held.set()
            assert go_on.wait(10)

    aio = hooked(storage, hook)

    async def work() -> None:
        async for _ in aio.upload_many([("a", chunks(BODY)), ("b", chunks(BODY))]):
            pass

    async with anyio.create_task_group() as outer, anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await reached(held)

        async def later() -> None:
            await anyio.sleep(0.05)
            go_on.set()

        outer.start_soon(later)
        tasks.cancel_scope.cancel()
    assert list(storage.scan()) == []
    assert storage.cleanup_uploads(0) == 0


async def test_progress_of_the_whole_batch(storage: Storage) -> None:
    storage.upload("0003", b"x")
    seen: list[BatchProgress] = []
    items = [*pairs(20), ("large", chunks(BODY)), ("bad/", b"")]
    outcomes = [outcome async for outcome in storage.aio.upload_many(items, progress=seen.append)]
    assert len(outcomes) == 22
    last = seen[-1]
    assert (last.items, last.total, last.failed, last.skipped) == (22, 22, 1, 1)
    assert last.bytes == sum(len(content) for _, content in pairs(20)) + len(BODY)


async def test_an_endless_generator_in_flat_memory(storage: Storage) -> None:
    null = make_storage("null", {"type": "null"})

    def items() -> Iterator[tuple[str, bytes]]:
        for number in itertools.count():
            yield f"name/{number}", b"content"

    outcomes = null.aio.upload_many(items(), concurrency=1)  # with more some may wait for a slow one
    for _ in range(300):
        await anext(outcomes)
    tracemalloc.start()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(2000):
        await anext(outcomes)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    await outcomes.aclose()
    assert grown < 256 * KiB


def test_a_batch_of_many_asynchronous_sources_needs_few_threads() -> None:
    storage = memory(max_concurrency=1)

    async def main() -> None:
        items = ((f"{number}", chunks(BODY, pause=0)) for number in range(20))
        with anyio.fail_after(60):
            assert all([o.error is None async for o in storage.aio.upload_many(items, concurrency=8)])

    asyncio.run(main())
    assert len(list(storage.scan())) == 20
