"""A cancelled task aborts its upload before the cancellation goes on, at whatever moment: nothing is left (A1)."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest
from core.aio_tools import PART, KiB, chunks, hooked, memory, reached, wait_for_threads
from core.doubles import SESSION, double
from file_keeper import exc, make_storage
from file_keeper.resilience import retry

pytestmark = pytest.mark.anyio

BODY = random.Random(0).randbytes(5 * PART + 1000)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()
        assert wait_for_threads(3.0) == []


class Moment:
    """Holds an upload at one verb until it is let go."""

    def __init__(self, verb: str, nth: int = 1):
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.working = 0
        self._verb = verb
        self._left = nth
        self._lock = threading.Lock()

    def hook(self, verb: str, key: str) -> None:
        if verb != self._verb:
            return
        with self._lock:
            self._left -= 1
            mine = self._left == 0
        if mine:
            self.reached.set()
            assert self.go_on.wait(20)

    async def letting_go(self, seconds: float = 0.05) -> None:
        await anyio.sleep(seconds)
        self.go_on.set()


async def waiting(body: bytes, before: threading.Event) -> AsyncIterator[bytes]:
    """Give a body, and then nothing more, for ever."""
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]
    before.set()
    await anyio.sleep_forever()


def endless(begun: threading.Event) -> Iterator[bytes]:
    while True:
        yield b"x" * KiB
        begun.set()
        time.sleep(0.001)


async def cancelled_at(event: threading.Event, call: Callable[[], Any], moment: Moment | None = None) -> None:
    """Cancel a call when an event has come; the task ends cancelled, and only when all is cleaned up."""
    ended = False

    async def work() -> None:
        nonlocal ended
        try:
            await call()
        except exc.PermissionError:
            pass  # the failure that was being cleaned up after is not lost
        finally:
            ended = True

    async with anyio.create_task_group() as outer:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await reached(event)
            if moment is not None:
                outer.start_soon(moment.letting_go)
            tasks.cancel_scope.cancel()
        assert ended
        assert tasks.cancel_scope.cancelled_caught or moment is not None


MOMENTS = {
    "looking": ("head", 1),
    "creating": ("multipart_create", 1),
    "in the first part": ("multipart_put", 1),
    "in the last part": ("multipart_put", 6),
    "completing": ("multipart_complete", 1),
    "aborting": ("multipart_abort", 1),
}


@pytest.mark.full
@pytest.mark.parametrize("source", ["asynchronous", "synchronous"])
@pytest.mark.parametrize("moment", MOMENTS)
async def test_a1_at_every_verb(moment: str, source: str) -> None:
    storage = memory()
    storage.upload("old", b"old")
    held = Moment(*MOMENTS[moment])
    hold = held.hook
    if moment == "aborting":

        def hold(verb: str, key: str) -> None:
            if verb == "multipart_put":
                raise exc.PermissionError("no")
            held.hook(verb, key)

    aio = hooked(storage, hold)
    await cancelled_at(
        held.reached, lambda: aio.upload("new", chunks(BODY) if source == "asynchronous" else BODY), held
    )
    assert list(storage.scan()) == ["old"]
    assert storage.cleanup_uploads(0) == 0


@pytest.mark.parametrize("moment", ["in the first part", "completing"])
async def test_a1_what_was_to_be_replaced_stands_or_is_replaced_as_a_whole(moment: str) -> None:
    storage = memory()
    storage.upload("a", b"old")
    held = Moment(*MOMENTS[moment])
    await cancelled_at(held.reached, lambda: hooked(storage, held.hook).upload("a", chunks(BODY), overwrite=True), held)
    assert storage.content("a") == (BODY if moment == "completing" else b"old")
    assert storage.cleanup_uploads(0) == 0


@pytest.mark.parametrize("source", ["asynchronous", "synchronous"])
async def test_a1_a_small_upload_in_its_only_request(source: str) -> None:
    storage = memory()
    held = Moment("put")
    await cancelled_at(
        held.reached,
        lambda: hooked(storage, held.hook).upload("a", chunks(b"x") if source == "asynchronous" else b"x"),
        held,
    )
    assert list(storage.scan()) == []


@pytest.mark.parametrize("size", [0, 100, PART + 1, 5 * PART])
async def test_a1_while_it_waits_for_its_source(size: int, fresh_settings: Any) -> None:
    for storage in (memory(), make_storage("fs", fresh_settings("fs", part_size=PART)), double(SESSION)[0]):
        begun = threading.Event()
        await cancelled_at(begun, lambda: storage.aio.upload("a", waiting(BODY[:size], begun)))  # noqa: B023
        assert list(storage.scan()) == []
        if "MULTIPART" in str(storage.capabilities):
            assert storage.cleanup_uploads(0) == 0


async def test_a1_a_session_is_given_up() -> None:
    storage, backend = double(SESSION)
    begun = threading.Event()
    await cancelled_at(begun, lambda: storage.aio.upload("a", waiting(BODY, begun)))
    assert backend.open == []


async def test_a1_a_synchronous_source_that_never_ends(fresh_settings: Any) -> None:
    for storage in (memory(), make_storage("fs", fresh_settings("fs", part_size=PART))):
        begun = threading.Event()
        await cancelled_at(begun, lambda: storage.aio.upload("a", endless(begun)))  # noqa: B023
        assert list(storage.scan()) == []
        assert storage.cleanup_uploads(0) == 0


@pytest.mark.full
async def test_a1_on_s3(fresh_settings: Any) -> None:
    with make_storage("s3", fresh_settings("s3")) as storage:
        for source in (endless, lambda begun: waiting(b"x" * (11 << 20), begun)):
            begun = threading.Event()
            await cancelled_at(begun, lambda: storage.aio.upload("a", source(begun)))  # noqa: B023
            assert list(storage.scan()) == []
            assert storage.cleanup_uploads(0) == 0


async def test_a1_in_a_pause_between_two_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(base=1000.0, longest=1000.0, timeout=10_000.0))
    monkeypatch.setattr(retry.random, "uniform", lambda low, high: high)
    storage = memory()
    failed = threading.Event()

    def hook(verb: str, key: str) -> None:
        if verb == "multipart_put":
            failed.set()
            raise exc.ThrottledError("slow down", retryable=True)

    for source in (lambda: chunks(BODY), lambda: BODY):
        started = time.monotonic()
        await cancelled_at(failed, lambda: hooked(storage, hook).upload("a", source()))  # noqa: B023
        assert time.monotonic() - started < 5
        failed.clear()
    assert storage.cleanup_uploads(0) == 0


async def test_a1_while_it_waits_for_a_thread() -> None:
    storage = memory(max_concurrency=1)
    held = Moment("put")
    aio = hooked(storage, held.hook)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(aio.upload, "first", b"x")
        await reached(held.reached)
        with anyio.move_on_after(0.05) as scope:
            await aio.upload("second", b"x")
        assert scope.cancelled_caught
        with anyio.move_on_after(0.05):
            await aio.upload("third", chunks(BODY))
        held.go_on.set()
    assert list(storage.scan()) == ["first"]


async def test_a1_a_writer() -> None:
    storage = memory()
    begun = threading.Event()

    async def write() -> None:
        async with storage.aio.open("a", "wb") as writer:
            await writer.write(BODY)
            begun.set()
            await anyio.sleep_forever()

    await cancelled_at(begun, write)
    assert list(storage.scan()) == []
    assert storage.cleanup_uploads(0) == 0


async def test_a1_by_a_timeout() -> None:
    storage = memory()
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.05):
            await storage.aio.upload("a", endless(threading.Event()))
    assert list(storage.scan()) == []
    assert storage.cleanup_uploads(0) == 0


async def test_a1_a_read_goes_on_at_once_and_its_thread_ends() -> None:
    storage = memory()
    storage.upload("a", BODY)
    for call in ("content", "stream", "scan", "open", "analyze"):
        held = Moment("list" if call == "scan" else "head" if call in ("analyze", "open") else "read")
        aio = hooked(storage, held.hook)

        async def ask() -> None:
            if call in ("content", "analyze"):  # noqa: B023
                await getattr(aio, call)("a")  # noqa: B023
            elif call == "open":  # noqa: B023
                async with aio.open("a") as file:  # noqa: B023
                    await file.seek(-1, 2)
                    await file.read()
            else:
                async for _ in getattr(aio, call)(*(() if call == "scan" else ("a",))):  # noqa: B023
                    pass

        await cancelled_at(held.reached, ask)
        held.go_on.set()


async def test_a1_a_listing_that_was_cancelled_does_not_end_as_if_it_were_whole() -> None:
    storage = memory()
    storage.upload("a", b"")
    held = Moment("list")
    listing = hooked(storage, held.hook).scan()
    with anyio.move_on_after(0.05):
        await anext(listing)
    held.go_on.set()
    with pytest.raises(exc.StorageError, match="cancelled"):
        await anext(listing)


async def test_a1_a_move_is_made_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in ("move", "copy", "delete"):
        storage = memory()
        storage.upload("a", b"x")
        held = Moment(verb)
        if verb != "move":
            from file_keeper.memory import MemoryBackend

            monkeypatch.setattr(MemoryBackend, "verbs", property(lambda self: frozenset({"copy"})), raising=False)
        aio = hooked(storage, held.hook)
        await cancelled_at(held.reached, lambda: aio.move("b", "a"), held)  # noqa: B023
        assert list(storage.scan()) in (["a"], ["b"])


# -- asyncio's own cancellation, which comes once and may come again ---------------------------------------------------


def run(main: Callable[[], Any]) -> None:
    asyncio.run(main())


@pytest.mark.full
@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("source", ["asynchronous", "synchronous"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a1_by_cancel_several_times(moment: str, source: str, times: int) -> None:
    storage = memory()
    held = Moment(*MOMENTS[moment])
    hold = held.hook
    if moment == "aborting":

        def hold(verb: str, key: str) -> None:
            if verb == "multipart_put":
                raise exc.PermissionError("no")
            held.hook(verb, key)

    aio = hooked(storage, hold)

    async def main() -> None:
        task = asyncio.ensure_future(aio.upload("a", chunks(BODY) if source == "asynchronous" else BODY))
        await reached(held.reached)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.01)
            assert not task.done()  # it waits for what is under way
        held.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert storage.cleanup_uploads(0) == 0

    run(main)
    assert list(storage.scan()) == []


def test_a1_by_cancel_while_the_abort_is_under_way() -> None:
    storage = memory()
    held = Moment("multipart_abort")
    begun = threading.Event()

    async def main() -> None:
        task = asyncio.ensure_future(hooked(storage, held.hook).upload("a", waiting(BODY, begun)))
        await reached(begun)
        task.cancel()
        await reached(held.reached)
        task.cancel()
        await asyncio.sleep(0.02)
        assert not task.done()
        held.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert storage.cleanup_uploads(0) == 0

    run(main)


def test_a1_by_a_timeout_of_asyncio() -> None:
    storage = memory()

    async def main() -> None:
        for source in (endless(threading.Event()), waiting(BODY, threading.Event())):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await storage.aio.upload("a", source)
        assert storage.cleanup_uploads(0) == 0
        assert list(storage.scan()) == []

    run(main)


def test_a1_the_end_of_the_loop() -> None:
    storage = memory()
    begun = threading.Event()

    async def main() -> None:
        task = asyncio.ensure_future(storage.aio.upload("a", endless(begun)))
        await reached(begun)
        del task

    run(main)
    assert list(storage.scan()) == []
    assert storage.cleanup_uploads(0) == 0


def test_a1_a_writer_that_is_forgotten_is_given_up_with_a_warning() -> None:
    storage = memory()

    async def main() -> None:
        opened = [await storage.aio.open("a", "wb")]
        await opened[0].write(BODY)
        with pytest.warns(ResourceWarning, match="unclosed writer"):
            opened.clear()

    run(main)
    assert wait_for_threads() == []
    assert list(storage.scan()) == []
    assert storage.cleanup_uploads(0) == 0
