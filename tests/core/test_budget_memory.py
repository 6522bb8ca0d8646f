"""The memory and the threads that all uploads of a storage share."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from core.doubles import KINDS, Hooked, KiB, double
from file_keeper import Storage, exc, make_storage
from file_keeper.calls import Call, CallCancelled
from file_keeper.resilience.budget import Budget

PART = 512 * KiB
PATIENCE = 30.0


def narrow(kind: str = "parts", parts: int = 2, **options: Any) -> Storage:
    """Make a storage with room for few parts."""
    sizes = {"part_size": PART, "multipart_threshold": PART, "max_buffer_memory": parts * PART}
    return double(KINDS[kind], **{**sizes, **options})[0]


def pieces(count: int) -> Iterator[bytes]:
    return (bytes(PART) for _ in range(count))


# -- the line ---------------------------------------------------------------------------------------------------------


def test_who_comes_later_waits_in_order() -> None:
    budget = Budget(10)
    first = budget.wait(6)
    large, small = budget.ask(7), budget.ask(1)
    assert not large.done()
    assert not small.done()  # there is room for it, but it came later
    assert not first.extend(7)  # nor does one that holds something get more meanwhile
    first.close()
    assert large.done()
    assert small.done()
    assert large.result().extend(8) is True
    assert large.result().extend(10) is False


def test_more_than_all_is_given_when_nobody_holds_any() -> None:
    budget = Budget(10)
    first = budget.wait(1)
    whole = budget.ask(50)
    assert not whole.done()
    first.close()
    assert whole.result().held == 50


def test_who_does_not_wait_any_more_holds_nobody_up() -> None:
    budget = Budget(10)
    first = budget.wait(10)
    call = Call()
    call.cancel()
    with pytest.raises(CallCancelled):
        call.run(budget.wait, 10)
    with pytest.raises(CallCancelled):
        budget.wait(10, call.check)
    last = budget.ask(10)
    first.close()
    assert last.done()
    budget.withdraw(last)
    assert budget.wait(10).held == 10


# -- uploads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["known", "unknown"])
@pytest.mark.parametrize("kind", KINDS)
def test_many_uploads_on_little_memory_all_arrive(kind: str, given: str) -> None:
    storage = narrow(kind)

    def send(number: int) -> int:
        body = bytes(5 * PART + number)
        return storage.upload(f"{number}", body if given == "known" else iter([body])).size

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(send, range(12))) == [5 * PART + number for number in range(12)]
    assert storage.shared.budget._held == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("file-keeper-part")]


def test_an_upload_alone_uses_all_that_its_concurrency_allows() -> None:
    storage = narrow(parts=64)
    at_once = threading.Barrier(4)
    met = storage.wrapped(
        lambda inner: Hooked(inner, lambda verb, key: at_once.wait(PATIENCE) if verb == "multipart_put" else None)
    )
    assert met.upload("a", bytes(8 * PART)).size == 8 * PART


def test_storages_made_of_one_share_it() -> None:
    storage = narrow()
    others = (storage.with_options(retry=False), storage.incoming, storage.below("x"), storage.wrapped(Hooked))
    assert all(other.shared is storage.shared for other in others)


def test_one_thread_fills_more_writers_than_there_is_room_for() -> None:
    storage = narrow()
    writers = [storage.open(f"{number}", "wb") for number in range(6)]
    for _ in range(4):
        for writer in writers:
            writer.write(bytes(PART))
    for writer in writers:
        writer.close()
    assert len(list(storage.scan())) == 6


def test_an_upload_within_the_source_of_another_does_not_wait_for_it() -> None:
    storage = narrow()

    def source() -> Iterator[bytes]:
        for number in range(4):
            storage.upload(f"inner-{number}", pieces(4))
            yield bytes(PART)

    assert storage.upload("outer", source()).size == 4 * PART
    assert len(list(storage.scan())) == 5


def test_waiting_ends_with_the_deadline() -> None:
    storage = narrow().with_options(deadline="300ms")
    held = storage.shared.budget.wait(2 * PART)
    with pytest.raises(exc.TimeoutError, match="deadline"):
        storage.upload("a", bytes(3 * PART))
    assert storage.upload("small", bytes(100)).size == 100  # what is small does not wait
    held.close()
    assert storage.with_options(deadline=None).upload("a", bytes(3 * PART)).size == 3 * PART


def test_what_fails_gives_all_back() -> None:
    storage = narrow()

    def broken() -> Iterator[bytes]:
        yield from pieces(3)
        raise exc.ContentError("broken")

    for _ in range(5):
        with pytest.raises(exc.ContentError):
            storage.upload("a", broken())
    assert storage.shared.budget._held == 0


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_asynchronous_uploads_and_others_share_it(kind: str) -> None:
    storage = narrow(kind, parts=3)

    async def source() -> AsyncIterator[bytes]:
        for body in pieces(5):
            await anyio.lowlevel.checkpoint()
            yield body

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(storage.aio.upload, f"fed-{number}", source())
                tasks.start_soon(storage.aio.upload, f"read-{number}", bytes(5 * PART))
        writers = [await storage.aio.open(f"written-{number}", "wb").__aenter__() for number in range(4)]
        for _ in range(4):
            for writer in writers:
                await writer.write(bytes(PART))
        for writer in writers:
            await writer.aclose()
    assert len(list(storage.scan())) == 20
    assert storage.shared.budget._held == 0


@pytest.mark.anyio
async def test_a_cancelled_upload_leaves_the_line() -> None:
    storage = narrow(parts=3)
    held = storage.shared.budget.wait(3 * PART)

    async def source() -> AsyncIterator[bytes]:
        for body in pieces(5):
            yield body

    with anyio.move_on_after(0.2) as scope:
        await storage.aio.upload("a", source())
    assert scope.cancelled_caught
    held.close()
    assert storage.shared.budget._held == 0
    assert (await storage.aio.upload("a", source())).size == 5 * PART


@pytest.mark.parametrize("value", ["1MiB", "none", -1])
def test_less_than_a_part_makes_no_sense(value: Any) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match="max_buffer_memory"):
        make_storage("s", {"type": "memory", "max_buffer_memory": value})


def test_a_part_larger_than_the_default_is_taken() -> None:
    assert make_storage("s", {"type": "memory", "part_size": "1GiB"}).settings.max_buffer_memory == 1 << 30


@pytest.mark.full
@pytest.mark.parametrize("kind", ["parts", "session"])
@pytest.mark.parametrize("given", ["known", "unknown"])
def test_64_uploads_at_once_stay_within_the_bound(kind: str, given: str) -> None:
    code = f"""
        import json, re, sys, threading, time
        sys.path[:0] = {[entry for entry in sys.path if entry]!r}
        from concurrent.futures import ThreadPoolExecutor
        from core.doubles import Discarding, KINDS
        from file_keeper import Storage, Upload

        class Slow(Discarding):
            def multipart_put(self, upload, number, body):
                time.sleep(0.02)
                return super().multipart_put(upload, number, body)

            def resumable_send(self, upload, offset, body, total, options):
                time.sleep(0.02)
                return super().resumable_send(upload, offset, body, total, options)

        class Zeros:
            left = 100 << 20

            def read(self, size=-1):
                count = min(self.left, 1 << 18 if size < 0 else size, 1 << 18)
                self.left -= count
                return BLOCK[:count] if count < len(BLOCK) else BLOCK

        BLOCK = bytes(1 << 18)

        def resident():
            return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10

        storage = Storage("s", Slow(KINDS[{kind!r}]).settings, Slow(KINDS[{kind!r}]))
        threads = 0

        def send(number):
            global threads
            size = 100 << 20 if {given == "known"} else None
            storage.upload(str(number), Upload(Zeros(), "x", size, ""))
            threads = max(threads, threading.active_count())

        with ThreadPoolExecutor(64) as pool:
            before = resident()
            list(pool.map(send, range(64)))
        print(json.dumps([resident() - before, threads, storage.backend.size]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stderr
    memory, threads, sent = json.loads(done.stdout)
    assert sent == 64 * (100 << 20)
    assert memory < (256 + 64) << 20
    assert threads <= 64 + 32 + 2
