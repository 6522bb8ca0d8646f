"""storage.aio and batches: lag of the loop, speed against threads by hand, memory of an endless batch."""

from __future__ import annotations

import asyncio
import gc
import itertools
import resource
import tempfile
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import file_keeper as fk
from file_keeper.backend import Backend, Wrapper

KiB, MiB = 1 << 10, 1 << 20
LATENCY = 0.02
CONCURRENCY = 16


class Slow(Wrapper):
    """A service that takes its time to answer."""

    def around(self, verb: str, key: str, call: Any) -> Any:
        if verb not in ("body", "item"):
            time.sleep(LATENCY)
        return super().around(verb, key, call)


def storage(**options: Any) -> fk.Storage:
    return fk.make_storage("bench", {"type": "memory", **options})


def slow(inner: Backend[Any]) -> Backend[Any]:
    return Slow(inner)


async def watched(work: Any) -> tuple[float, list[float], list[float]]:
    """Await `work`; return its seconds and the lags of the loop meanwhile, in milliseconds.

    Of the wall, and of the processor: what this process itself did in that time, whatever else the machine does.
    """
    lags: list[float] = []
    own: list[float] = []

    async def watch() -> None:
        while True:
            started, cpu = time.perf_counter(), time.process_time()
            await asyncio.sleep(0.005)
            lags.append((time.perf_counter() - started - 0.005) * 1000)
            own.append((time.process_time() - cpu) * 1000)

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0.02)
    started = time.perf_counter()
    await work
    seconds = time.perf_counter() - started
    watching.cancel()
    return seconds, sorted(lags), sorted(own)


def lag(title: str, work: Any) -> None:
    gc.collect()  # else what earlier work has left, gigabytes of it, is freed meanwhile
    seconds, lags, own = asyncio.run(watched(work))
    p99, worst = lags[int(len(lags) * 0.99)], lags[-1]
    middle, cpu = lags[len(lags) // 2], own[int(len(own) * 0.99)]
    print(
        f"{title:52} {seconds:7.2f} s   lag p50 {middle:5.1f} ms, p99 {p99:5.1f} ms, worst {worst:5.1f} ms; "
        f"own work p99 {cpu:5.1f} ms"
    )


async def chunks(size: int) -> Any:
    for _ in range(size // (64 * KiB)):
        yield b"x" * (64 * KiB)


async def by_hand(files: fk.Storage, body: bytes) -> None:
    slots = asyncio.Semaphore(4)

    async def one(name: str) -> None:
        async with slots:
            await asyncio.to_thread(files.upload, name, body)

    await asyncio.gather(*(one(f"{number}") for number in range(64)))


def loop() -> None:
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"overwrite_existing": True, "initialize": True}
        measure("memory", storage(**options))
        measure("fs", fk.make_storage("bench", {"type": "fs", "path": folder, **options}))


def measure(title: str, files: fk.Storage) -> None:
    print(f"\n{title}: 64 operations at one time, one loop, max_concurrency 4 (goal: lag <= 50 ms)")
    aio = files.aio
    body = b"x" * (4 * MiB)
    for number in range(64):
        files.upload(f"read/{number}", body)

    async def together(*calls: Any) -> None:
        await asyncio.gather(*calls)

    async def drained(name: str) -> None:
        async for _ in aio.stream(name):
            pass

    async def listed() -> None:
        async for _ in aio.scan():
            pass

    asyncio.run(together(aio.upload("warm", chunks(24 * MiB)), aio.upload("up", body)))  # what is imported once
    lag("nothing: what the machine does anyway", asyncio.sleep(2))
    lag("upload of 4 MiB of bytes, asyncio.to_thread by hand", by_hand(files, body))
    lag("upload of 4 MiB of bytes", together(*(aio.upload(f"{n}", body) for n in range(64))))
    lag("upload of 4 MiB, asynchronous source", together(*(aio.upload(f"{n}", chunks(4 * MiB)) for n in range(64))))
    lag(
        "upload of 24 MiB, asynchronous source, in parts",
        together(*(aio.upload(f"{n}", chunks(24 * MiB)) for n in range(64))),
    )
    lag("stream of 4 MiB", together(*(drained(f"read/{n}") for n in range(64))))
    lag("content of 4 MiB", together(*(aio.content(f"read/{n}") for n in range(64))))
    lag("scan", together(*(listed() for _ in range(64))))


def small() -> None:
    count, size = 5000, 4 * KiB
    body = b"x" * size
    best = count * LATENCY / CONCURRENCY
    print(f"\n{count} files of 4 KiB at {LATENCY * 1000:.0f} ms, {CONCURRENCY} in flight (goal: 80 % of {best:.2f} s)")

    def report(title: str, seconds: float) -> None:
        print(f"{title:52} {seconds:7.2f} s   {best / seconds:4.0%}")

    one = storage().wrapped(slow)
    started = time.perf_counter()
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        list(pool.map(lambda number: one.upload(f"{number}", body), range(count)))
    report("threads by hand", time.perf_counter() - started)

    two = storage().wrapped(slow)
    started = time.perf_counter()
    for outcome in two.upload_many(((f"{number}", body) for number in range(count)), concurrency=CONCURRENCY):
        outcome.unwrap()
    report("upload_many", time.perf_counter() - started)

    three = storage(max_concurrency=CONCURRENCY).wrapped(slow)

    async def main() -> None:
        items = ((f"{number}", body) for number in range(count))
        async for outcome in three.aio.upload_many(items, concurrency=CONCURRENCY):
            outcome.unwrap()

    started = time.perf_counter()
    asyncio.run(main())
    report("aio.upload_many", time.perf_counter() - started)


def memory() -> None:
    print("\nan endless generator: traced memory above that after 2,000 items")
    null = fk.make_storage("null", {"type": "null"})
    outcomes = null.upload_many(((f"name/{number}", b"x") for number in itertools.count()), concurrency=8)
    for number in range(1, 62_001):
        next(outcomes).unwrap()
        if number == 2_000:
            tracemalloc.start()
            base = tracemalloc.get_traced_memory()[0]
        elif number > 2_000 and number % 20_000 == 2_000:
            print(f"{number:10,} items {(tracemalloc.get_traced_memory()[0] - base) / KiB:10.0f} KiB")
    tracemalloc.stop()
    del outcomes
    print(f"peak of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KiB:.0f} MiB")


def main() -> None:
    loop()
    small()
    memory()


if __name__ == "__main__":
    main()
