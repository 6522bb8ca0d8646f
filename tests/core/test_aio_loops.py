"""One client for the process, on whatever loop (A2); threads that are bounded and tell (A3)."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
from blockbuster import blockbuster_ctx
from core.aio_tools import PART, Watchdog, chunks, hooked, memory, names, reached, wait_for_threads
from file_keeper import make_storage

BODY = b"0123456789" * 40_000


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    assert wait_for_threads() == []


# -- A2 ---------------------------------------------------------------------------------------------------------------


async def life(aio: Any, name: str) -> None:
    await aio.upload(name, chunks(BODY))
    assert await aio.content(name) == BODY
    assert name in [found async for found in aio.scan()]
    async with aio.open(name) as file:
        assert await file.read(5) == BODY[:5]
    async for outcome in aio.upload_many([(f"many-{name}/{number}", b"x") for number in range(10)]):
        outcome.unwrap()


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_a2_loops_side_by_side_and_one_after_another(kind: str, fresh_settings: Any) -> None:
    storage = memory() if kind == "memory" else make_storage("s3", fresh_settings("s3"))
    failures: list[BaseException] = []

    def loop(number: int) -> None:
        try:
            for turn in range(2):
                backend = "trio" if number == 1 else "asyncio"
                options = {"use_uvloop": True} if number == 2 and sys.platform != "win32" else {}
                anyio.run(life, storage.aio, f"{number}-{turn}", backend=backend, backend_options=options)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    asyncio.run(life(storage.aio, "after"))
    asyncio.run(life(storage.aio, "again"))
    assert len([name for name in storage.scan() if "/" not in name]) == 8
    storage.close()


def test_a2_a_stream_may_be_read_on_another_loop_than_it_was_opened_on() -> None:
    storage = memory()
    storage.upload("a", BODY)

    async def opened() -> Any:
        return await storage.aio.stream("a")

    stream = asyncio.run(opened())

    async def rest() -> bytes:
        return await stream.read()

    assert anyio.run(rest, backend="trio") == BODY


def test_a2_the_first_use_within_a_loop_does_not_block_it(fresh_settings: Any) -> None:
    """The client is made, and the service asked, in a thread; measured in a process that has imported nothing yet."""
    settings = fresh_settings("s3")
    make_storage("s3", settings).close()
    program = f"""
        import asyncio, time
        import anyio, anyio._backends._asyncio
        import file_keeper as fk
        storage = fk.make_storage("s3", {settings!r} | {{"initialize": False}})
        async def main():
            aio = storage.aio
            lags = []
            async def watch():
                while True:
                    started = time.perf_counter()
                    await asyncio.sleep(0.005)
                    lags.append(time.perf_counter() - started - 0.005)
            task = asyncio.ensure_future(watch())
            await asyncio.sleep(0.02)
            await aio.upload("a", b"x")
            task.cancel()
            print(sorted(lags)[len(lags) * 9 // 10])
        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.5


# -- A3 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a3_many_slow_uploads_leave_the_threads_of_the_loop_alone(backend: str) -> None:
    storage = memory(max_concurrency=3)
    most = 0
    lock = threading.Lock()
    now = 0

    def begin(verb: str, key: str) -> None:
        nonlocal now, most
        if not verb.startswith("multipart"):
            return
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.001)

    def end(verb: str, key: str) -> None:
        nonlocal now
        if not verb.startswith("multipart"):
            return
        with lock:
            now -= 1

    aio = hooked(storage, begin, end)
    threads: list[int] = []
    others: list[float] = []

    async def unrelated(stop: anyio.Event) -> None:
        while not stop.is_set():
            started = time.perf_counter()
            await anyio.to_thread.run_sync(lambda: None)
            others.append(time.perf_counter() - started)
            threads.append(len([name for name in names() if name.startswith("file-keeper-aio-")]))
            await anyio.sleep(0.01)

    async def main() -> None:
        watchdog, stop = Watchdog(), anyio.Event()
        async with anyio.create_task_group() as outer:
            outer.start_soon(watchdog)
            outer.start_soon(unrelated, stop)
            async with anyio.create_task_group() as uploads:
                for number in range(200):
                    uploads.start_soon(aio.upload, f"{number}", chunks(BODY[: 2 * PART], 20_000, pause=0.02))
            stop.set()
            outer.cancel_scope.cancel()
        assert len(watchdog.lags) > 5

    anyio.run(main, backend=backend)
    assert len(list(storage.scan())) == 200
    assert most <= 2 * 3
    assert max(threads) <= 2 * 3
    assert sorted(others)[len(others) // 2] < 1.0


def test_a3_uploads_that_wait_for_their_sources_hold_no_thread() -> None:
    """More of them than there are threads: each waits for another, and all end."""
    storage = memory(max_concurrency=2)

    async def main() -> None:
        gates = [anyio.Event() for _ in range(10)]

        async def source(number: int) -> Any:
            yield BODY[: 2 * PART]
            await gates[number].wait()
            yield BODY[: 2 * PART]

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for number in range(10):
                    tasks.start_soon(storage.aio.upload, f"{number}", source(number))
                await anyio.sleep(0.1)
                assert await storage.aio.content((await storage.aio.upload("free", b"x")).location) == b"x"
                for gate in reversed(gates):
                    gate.set()
                    await anyio.sleep(0)

    asyncio.run(main())
    assert len(list(storage.scan())) == 11


def test_a3_streams_that_wait_for_their_readers_hold_no_thread() -> None:
    storage = memory(max_concurrency=1)
    storage.upload("a", BODY * 10)

    async def main() -> None:
        streams = [await storage.aio.stream("a") for _ in range(5)]
        listings = [storage.aio.scan() for _ in range(5)]
        for listing in listings:
            await anext(listing)
        files = [await storage.aio.open("a") for _ in range(5)]
        assert await storage.aio.content("a") == BODY * 10
        for stream in streams:
            assert await stream.read() == BODY * 10
        for file in files:
            await file.close()

    asyncio.run(main())


def test_a3_waiting_is_fair() -> None:
    storage = memory(max_concurrency=1)
    gate = threading.Event()
    begun = threading.Event()
    order: list[str] = []

    def hook(verb: str, key: str) -> None:
        if verb == "put":
            begun.set()
            assert gate.wait(10)
            order.append(key)

    aio = hooked(storage, hook)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(aio.upload, f"{number:02}", b"x")
                await anyio.sleep(0.001)
            await reached(begun)
            gate.set()

    asyncio.run(main())
    assert order == [f"{number:02}" for number in range(20)]


def test_a3_nothing_blocks_the_loop(fresh_settings: Any, tmp_path: Any) -> None:
    storage = make_storage("fs", fresh_settings("fs"))
    (tmp_path / "f").write_bytes(BODY)

    async def main() -> None:
        await life(storage.aio, "warm")
        with blockbuster_ctx():
            await life(storage.aio, "a")
            await storage.aio.upload("b", tmp_path / "f")
            await storage.aio.upload("large", chunks(BODY * 30, 300_000))
            await storage.aio.append("b", chunks(BODY))
            async with storage.aio.open("c", "w") as file:
                await file.write("text")
            async for outcome in storage.aio.download_many(storage.aio.scan(), tmp_path / "down"):
                outcome.unwrap()
            await storage.aio.close()

    asyncio.run(main())
