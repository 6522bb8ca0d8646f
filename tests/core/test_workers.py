"""Threads of our own: bounded, daemons, with the meaning of an executor; and what they do where none can be started."""

from __future__ import annotations

import contextvars
import gc
import io
import threading
import time
from concurrent.futures import CancelledError
from typing import Any

import pytest
from file_keeper import exc, make_storage
from file_keeper.backend import Workers


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Any:
    yield
    gc.collect()
    deadline = time.monotonic() + 5
    while (left := names()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == []


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("file-keeper")]


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine, or a moment, at which no thread can be started."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_results_and_exceptions_travel() -> None:
    with Workers(2) as pool:
        good, bad = pool.submit(divmod, 7, 2), pool.submit(divmod, 7, 0)
        assert good.result(5) == (3, 1)
        assert isinstance(bad.exception(5), ZeroDivisionError)
        assert pool.map(str, range(100)) == [str(number) for number in range(100)]
    with pytest.raises(RuntimeError, match="let go of"):
        pool.submit(print)


def test_no_more_threads_than_asked_for_and_no_more_than_needed() -> None:
    seen: set[str] = set()
    most = now = 0
    lock = threading.Lock()

    def work(_: int) -> None:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
            seen.add(threading.current_thread().name)
        assert threading.current_thread().daemon
        time.sleep(0.002)
        with lock:
            now -= 1

    with Workers(3) as pool:
        pool.map(work, range(50))
    assert (most, len(seen)) == (3, 3)
    with Workers(10) as pool:
        for _ in range(5):
            pool.submit(time.sleep, 0).result(5)
            time.sleep(0.02)
        assert len(names()) == 1


def test_what_has_not_begun_is_cancelled() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        go_on.wait(10)
        return "done"

    with pytest.raises(KeyboardInterrupt), Workers(1) as pool:  # noqa: PT012
        first, second = pool.submit(work), pool.submit(work)
        assert begun.wait(5)
        threading.Timer(0.05, go_on.set).start()
        raise KeyboardInterrupt
    assert first.result(0) == "done"
    with pytest.raises(CancelledError):
        second.result(0)


def test_a_failure_ends_a_map() -> None:
    called: list[int] = []

    def work(number: int) -> None:
        called.append(number)
        time.sleep(0.01)
        if number == 1:
            raise exc.ConnectionError("x")

    with pytest.raises(exc.ConnectionError), Workers(1) as pool:
        pool.map(work, range(100))
    assert len(called) < 10


def test_calls_run_in_the_context_of_their_caller() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    with Workers(2) as pool:
        variable.set("first")
        first = pool.submit(variable.get)
        variable.set("second")
        assert (first.result(5), pool.submit(variable.get).result(5)) == ("first", "second")


def test_workers_that_are_forgotten_leave_no_thread() -> None:
    pool = Workers(2)
    assert pool.submit(int, "5").result(5) == 5
    assert names()
    del pool  # no_thread_is_left looks


@pytest.mark.usefixtures("no_threads")
def test_without_threads_the_caller_works() -> None:
    with Workers(2) as pool:
        assert not pool.start()
        assert pool.submit(threading.current_thread).result(0) is threading.current_thread()
        assert isinstance(pool.submit(int, "x").exception(0), ValueError)
        assert pool.map(int, "123") == [1, 2, 3]


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize("kind", ["fs", "memory"])
def test_without_threads_a_storage_does_all_the_same(kind: str, tmp_path: Any) -> None:
    options = {"fs": {"path": str(tmp_path / "root"), "initialize": True, "multipart_threshold": 10}, "memory": {}}
    storage = make_storage("s", {"type": kind, "part_size": 100_000, **options[kind]})
    body = bytes(range(250)) * 4_000

    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

    told: list[int] = []
    storage.upload("a", Unseekable(body), progress=lambda done, _: told.append(done))
    assert storage.content("a") == body
    assert (told == sorted(told), told[-1]) == (True, len(body))
    with storage.open("b", "wb") as file:
        file.write(body)
    assert file.file == storage.analyze("b")
    with pytest.raises(ZeroDivisionError), storage.open("c", "wb") as file:  # noqa: PT012
        file.write(body)
        raise ZeroDivisionError
    with pytest.raises(exc.ExistingFileError), storage.open("a", "xb") as file:
        file.write(body)

    def failing() -> Any:
        yield body
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        storage.upload("c", failing())
    with pytest.raises(exc.UploadHashMismatchError):
        storage.upload("c", iter([body]), hash="0" * 32)
    assert list(storage.scan()) == ["a", "b"]


def test_a_write_that_is_interrupted_publishes_nothing() -> None:
    """How much of it was taken nobody knows, so what is written afterwards must not follow a gap."""
    storage = make_storage("s", {"type": "memory", "part_size": 100_000})
    file = storage.open("a", "wb")
    side: Any = file._side
    wait = side._changed.wait

    def interrupted(*args: Any) -> Any:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        return wait(*args)

    side._changed.wait = interrupted
    with pytest.raises(KeyboardInterrupt):
        file.write(b"x" * 2_000_000)
    side._changed.wait = wait
    with pytest.raises(exc.ContentError, match="a write was interrupted"):
        file.close()
    assert list(storage.scan()) == []
