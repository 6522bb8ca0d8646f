"""``storage.aio``: every operation, awaited, with the same meaning, on asyncio and trio."""

from __future__ import annotations

import contextvars
import gc
import inspect
import io
import os
import pickle
import random
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import file_keeper as fk
import pytest
from core.aio_tools import PART, KiB, MiB, chunks, hooked, memory, names, reached, wait_for_threads
from file_keeper import AsyncStorage, FileData, Storage, Upload, exc, make_storage
from file_keeper.backend import Body, Wrapper
from file_keeper_testing.counting import counted

pytestmark = pytest.mark.anyio

BODY = random.Random(0).randbytes(5 * PART + 1000)


@pytest.fixture
def storage() -> Storage:
    return memory()


@pytest.fixture(scope="module", autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    assert wait_for_threads() == []


# -- the same operations ----------------------------------------------------------------------------------------------

SYNCHRONOUS = {
    "name",
    "settings",
    "backend",
    "limits",
    "capabilities",
    "supports",
    "supports_synthetic",
    "full_path",
    "incoming",
    "copies_to",
    "with_options",
    "subscribe",
    "circuit",
}
OWN = {"aclose", "storage"}
NOT_THERE = {"aio", "wrapped"}


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


async def test_every_operation_is_there_with_the_same_parameters() -> None:
    assert public(AsyncStorage) - OWN | {"storage"} >= public(Storage) - NOT_THERE
    for name in public(Storage) - NOT_THERE - SYNCHRONOUS:
        here, there = (inspect.signature(getattr(cls, name)) for cls in (AsyncStorage, Storage))
        assert [(p.name, p.kind, p.default) for p in here.parameters.values()] == [
            (p.name, p.kind, p.default) for p in there.parameters.values()
        ], name


async def test_it_is_one_object_of_the_storage(storage: Storage) -> None:
    assert storage.aio is storage.aio
    assert isinstance(storage.aio, fk.AsyncStorage)
    assert (storage.aio.name, storage.aio.settings) == (storage.name, storage.settings)
    assert storage.aio.capabilities == storage.capabilities
    assert storage.aio.supports(fk.Capability.COPY)
    shared = make_storage("shared", {"type": "memory", "bucket": "pickled"})
    shared.upload("a", b"x", overwrite=True)
    assert await pickle.loads(pickle.dumps(shared.aio)).content("a") == b"x"


async def test_a_life_of_files_on_every_storage(any_storage: Storage, tmp_path: Path) -> None:
    aio = any_storage.aio
    made = await aio.upload("dir/a.txt", b"hello")
    assert await aio.analyze(made) == made == any_storage.analyze("dir/a.txt")
    assert await aio.content(made) == b"hello"
    assert await aio.range(made, 1, 3) == b"el"
    assert (await aio.exists(made), await aio.size(made), await aio.hash(made)) == (True, 5, made.hash)
    assert await aio.content_type(made) == "text/plain"
    assert (await aio.verify(made)).hash == made.hash
    assert (await aio.copy("b.txt", made)).size == 5
    assert (await aio.move("c.txt", "b.txt")).location == "c.txt"
    assert (await aio.append("c.txt", b" world")).size == 11
    assert (await aio.compose("d.txt", made, "c.txt")).size == 16
    await aio.download("d.txt", tmp_path / "d.txt")
    assert (tmp_path / "d.txt").read_bytes() == b"hellohello world"
    assert [name async for name in aio.scan()] == ["c.txt", "d.txt", "dir/a.txt"]
    assert [name async for name in aio.filtered_scan(glob="*d.*")] == ["d.txt"]
    assert [str(getattr(f, "location", f)) async for f in aio.files(delimiter="/")] == ["c.txt", "d.txt", "dir/"]
    assert await aio.remove("c.txt") is True
    assert await aio.remove("c.txt") is False
    assert await aio.remove_many(["d.txt", "missing"]) == []
    with pytest.raises(exc.MissingFileError) as caught:
        await aio.content("d.txt")
    assert (caught.value.operation, caught.value.location) == ("content", "d.txt")
    await aio.check()


async def test_uploads_in_several_calls(any_storage: Storage) -> None:
    aio = any_storage.aio
    state = await aio.multipart_start("parts", 6 * MiB)
    state = await aio.multipart_update(state, chunks(b"a" * 5 * MiB, 100_000), 0)
    state = await aio.multipart_update(state, b"b" * MiB, 1)
    assert (await aio.multipart_complete(state)).size == 6 * MiB
    assert await aio.range("parts", 5 * MiB - 1, 5 * MiB + 1) == b"ab"
    assert await aio.multipart_remove(await aio.multipart_start("gone", 5)) is True
    assert await aio.cleanup_uploads(0) == 0
    if not any_storage.supports(fk.Capability.RESUMABLE):
        return
    session = await aio.resumable_start("session", 512 * KiB + 3)
    session = await aio.resumable_resume(session, chunks(b"c" * 512 * KiB, 100_000))
    assert (await aio.resumable_refresh(session)).storage_data["uploaded"] == 512 * KiB
    assert (await aio.resumable_resume(session, chunks(b"end"))).size == 512 * KiB + 3
    assert await aio.resumable_remove(await aio.resumable_start("gone", 5)) is True
    assert await aio.cleanup_uploads(0) == 0


async def test_append_takes_an_asynchronous_source(storage: Storage) -> None:
    await storage.aio.upload("a", b"first,")
    await storage.aio.append("a", chunks(BODY))
    assert storage.content("a") == b"first," + BODY


async def test_between_two_storages(storage: Storage) -> None:
    other = memory()
    await storage.aio.upload("a", b"x")
    assert (await storage.aio.copy_synthetic("b", "a", other.aio)).location == "b"
    assert (await storage.aio.move_synthetic("c", "a", other)).location == "c"
    assert (await other.aio.compose_synthetic("d", storage.aio, "b", "c")).size == 2
    assert sorted(other.scan()) == ["b", "c"]
    assert storage.content("d") == b"xx"
    assert storage.aio.supports_synthetic(fk.Capability.COPY, other.aio)


async def test_links(any_storage: Storage) -> None:
    await any_storage.aio.upload("a", b"x")
    for call in ("signed", "temporary_link"):
        arguments: tuple[Any, ...] = ("download", 60, "a") if call == "signed" else ("a", 60)
        if any_storage.supports(fk.Capability.LINK_TEMPORARY):
            assert str(await getattr(any_storage.aio, call)(*arguments)).startswith("http")
        else:
            with pytest.raises(exc.UnsupportedOperationError):
                await getattr(any_storage.aio, call)(*arguments)


async def test_it_closes(storage: Storage) -> None:
    async with storage.aio as aio:
        await aio.upload("a", b"x")
    assert await storage.aio.prepare_location("a.txt") == "a.txt"


# -- asynchronous sources ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART, 5 * PART + 1000])
@pytest.mark.parametrize("chunk", [999, PART, 10 * PART])
async def test_any_size_in_any_chunks(storage: Storage, size: int, chunk: int) -> None:
    made = await storage.aio.upload("a", chunks(BODY[:size], chunk))
    assert storage.content("a") == BODY[:size]
    assert made == storage.upload("b", BODY[:size]).__class__(**{**storage.analyze("a").__dict__})
    assert made.hash == storage.analyze("b").hash
    assert storage.cleanup_uploads(0) == 0


async def test_a_large_body_on_every_storage(any_storage: Storage) -> None:
    body = random.Random(1).randbytes(20 * MiB + 17)
    progress: list[int] = []
    made = await any_storage.aio.upload(
        "large.bin", chunks(body, 700_001), metadata={"a": "ü"}, progress=lambda done, total: progress.append(done)
    )
    assert made == await any_storage.aio.analyze("large.bin")
    assert made.hash == any_storage.upload("same.bin", body).hash
    assert (await any_storage.aio.analyze("large.bin")).metadata == {"a": "ü"}
    assert any_storage.content("large.bin") == body
    assert progress == sorted(progress)
    assert progress[-1] == len(body)


async def test_the_type_comes_from_the_content_then_from_the_name(storage: Storage) -> None:
    assert (await storage.aio.upload("a", chunks(b"%PDF-1.7 ...."))).content_type == "application/pdf"
    assert (await storage.aio.upload("a.css", chunks(b"a{}"))).content_type == "text/css"
    assert (await storage.aio.upload("b", chunks(b"x"), content_type="a/b")).content_type == "a/b"
    assert (await storage.aio.upload("c", chunks(b""))).content_type == "application/x-empty"


@pytest.mark.parametrize("size", [100, 3 * PART])
async def test_promises_of_an_upload_hold(storage: Storage, size: int) -> None:
    await storage.aio.upload("a", b"old")
    with pytest.raises(exc.ExistingFileError):
        await storage.aio.upload("a", chunks(BODY[:size]))
    with pytest.raises(exc.UploadHashMismatchError):
        await storage.aio.upload("b", chunks(BODY[:size]), hash="0" * 32)

    async def breaking() -> Any:
        yield BODY[:size]
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        await storage.aio.upload("a", breaking(), overwrite=True)
    with pytest.raises(ZeroDivisionError, match="progress"):
        await storage.aio.upload("b", chunks(BODY[:size]), progress=_raise)
    old = await storage.aio.analyze("a")
    await storage.aio.upload("a", b"changed", overwrite=old)
    with pytest.raises(exc.ChangedFileError):
        await storage.aio.upload("a", chunks(BODY[:size]), overwrite=old)
    assert storage.content("a") == b"changed"
    assert list(storage.scan()) == ["a"]
    assert storage.cleanup_uploads(0) == 0


def _raise(done: int, total: int | None) -> None:
    raise ZeroDivisionError("progress")


@pytest.mark.parametrize("fails", ["multipart_create", "multipart_put", "multipart_complete"])
async def test_a_failure_leaves_nothing(storage: Storage, fails: str) -> None:
    def hook(verb: str, key: str) -> None:
        if verb == fails:
            raise exc.PermissionError("no")

    with pytest.raises(exc.PermissionError) as caught:
        await hooked(storage, hook).upload("a", chunks(BODY))
    assert (caught.value.storage, caught.value.operation, caught.value.location) == ("m", "upload", "a")
    assert list(storage.scan()) == []
    assert storage.cleanup_uploads(0) == 0


async def test_a_source_that_gives_no_bytes(storage: Storage) -> None:
    async def texts() -> Any:
        yield "text"

    with pytest.raises(exc.ContentError, match="str"):
        await storage.aio.upload("a", texts())
    with pytest.raises(TypeError, match="awaited"):
        await storage.aio.upload("a", anyio.sleep(0))


async def test_never_is_a_remainder_stored(storage: Storage) -> None:
    source = chunks(BODY)
    with pytest.raises(exc.LocationError):
        await storage.aio.upload("/a", source)
    with pytest.raises(ZeroDivisionError):
        await storage.aio.upload("a", source, progress=_raise)
    with pytest.raises(exc.ContentError, match="already read"):
        await storage.aio.upload("a", source)
    assert list(storage.scan()) == []


async def test_synchronous_sources_are_read_in_threads(storage: Storage, tmp_path: Path) -> None:
    here = threading.get_ident()
    seen: set[int] = set()

    def generator() -> Iterator[bytes]:
        seen.add(threading.get_ident())
        yield b"x"

    (tmp_path / "f").write_bytes(b"path")
    sources = [b"bytes", bytearray(b"b"), io.BytesIO(b"file"), tmp_path / "f", Upload(io.BytesIO(b"u")), generator()]
    for number, source in enumerate(sources):
        await storage.aio.upload(str(number), source)
    assert [storage.content(str(number)) for number in range(6)] == [b"bytes", b"b", b"file", b"path", b"u", b"x"]
    assert here not in seen


async def test_memory_is_bounded(any_storage: Storage) -> None:
    import tracemalloc

    if any_storage.settings.type.endswith("memory"):
        pytest.skip("it keeps the content in memory")

    async def source() -> Any:
        for _ in range(100):
            yield b"x" * MiB

    tracemalloc.start()
    await any_storage.aio.upload("large", source())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (4 + 2) * 8 * MiB + 32 * MiB


async def test_contextvars_travel(storage: Storage) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("v", default="")
    seen: dict[str, str] = {}
    aio = hooked(storage, lambda verb, key: seen.__setitem__(verb, variable.get()))
    variable.set("mine")
    await aio.upload("a", chunks(BODY))
    await aio.upload("b", BODY)
    [name async for name in aio.scan()]
    await aio.content("a")
    assert {"multipart_create", "multipart_put", "multipart_complete", "list", "read"} <= set(seen)
    assert set(seen.values()) == {"mine"}


# -- listings and streams ---------------------------------------------------------------------------------------------


async def test_a_listing_asks_for_a_page_when_it_is_wanted(storage: Storage) -> None:
    for number in range(2500):
        storage.upload(f"{number:04}", b"")
    seen, counter = counted(storage)
    listing = seen.aio.scan()
    assert [await anext(listing) for _ in range(1000)] == [f"{number:04}" for number in range(1000)]
    assert counter.count("item") <= 1
    assert [name async for name in listing] == [f"{number:04}" for number in range(1000, 2500)]
    async for name in seen.aio.files(start_after="1200"):
        assert isinstance(name, FileData)
        assert name.location == "1201"
        break
    async with seen.aio.scan() as listing:
        await anext(listing)
    assert [name async for name in listing] == []


async def test_a_stream_is_lazy_closes_early_and_tells_what_is_missing(storage: Storage) -> None:
    storage.upload("a", BODY * 20)
    left_open: list[Any] = []

    class Closing:
        def __init__(self, body: Body):
            self.body, self.read, self.close_it = body, body.stream.read, body.stream.close

        def close(self) -> None:
            left_open.remove(self.body)
            self.close_it()

    class Watching(Wrapper):
        def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
            body = super().read(key, start, end, etag=etag)
            left_open.append(body)
            body.stream = Closing(body)
            return body

    aio = storage.wrapped(Watching).aio
    async for chunk in aio.stream("a"):
        assert BODY.startswith(chunk[:1000])
        break
    gc.collect()
    with anyio.fail_after(5):
        while left_open:
            await anyio.sleep(0.005)
    async with aio.stream("a") as stream:
        assert await stream.read(10) == BODY[:10]
        assert b"".join([chunk async for chunk in stream]) == (BODY * 20)[10:]
    stream = await aio.stream("a")
    assert await stream.read() == BODY * 20
    await stream.aclose()
    with pytest.raises(ValueError, match="closed"):
        await stream.read()
    with pytest.raises(exc.MissingFileError):
        await aio.stream("missing")
    with pytest.raises(exc.MissingFileError):
        [chunk async for chunk in aio.stream("missing")]
    gc.collect()
    await anyio.sleep(0.1)
    assert left_open == []


# -- without it -------------------------------------------------------------------------------------------------------


def test_without_anyio_the_remedy_is_named() -> None:
    program = """
        import sys
        sys.modules["anyio"] = None
        import file_keeper as fk
        storage = fk.make_storage("m", {"type": "memory"})
        try:
            storage.aio
        except fk.exc.MissingExtrasError as error:
            assert 'pip install "file-keeper-core[async]"' in str(error)
        else:
            raise SystemExit(1)
        from file_keeper import *
        assert not isinstance(storage, AsyncStorage)
        storage.upload("a", b"x")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


def test_a_child_has_threads_of_its_own(storage: Storage) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    program = """
        import os, asyncio
        import file_keeper as fk
        storage = fk.make_storage("m", {"type": "memory"})
        asyncio.run(storage.aio.upload("a", b"x"))
        pid = os.fork()
        content = asyncio.run(storage.aio.content("a"))
        if pid == 0:
            os._exit(0 if content == b"x" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], check=True, timeout=60)


async def test_threads_end_when_there_is_nothing_to_do(storage: Storage) -> None:
    gate = threading.Event()
    aio = hooked(storage, lambda verb, key: gate.set())
    await aio.upload("a", b"x")
    await reached(gate)
    assert names()
    assert await anyio.to_thread.run_sync(wait_for_threads) == []
