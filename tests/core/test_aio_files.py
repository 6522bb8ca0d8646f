"""Open files and sources that are really asynchronous (A4)."""

from __future__ import annotations

import gc
import io
import random
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiofiles
import anyio
import pytest
from aiohttp.web_request import FileField
from core.aio_tools import PART, chunks, memory, wait_for_threads
from file_keeper import Storage, exc
from multidict import CIMultiDict, CIMultiDictProxy
from starlette.datastructures import UploadFile

pytestmark = pytest.mark.anyio

BODY = random.Random(0).randbytes(300_000)
TEXT = "".join(random.Random(0).choices("abcdé\u20ac\U0001f600 \n\r", k=20_000))


@pytest.fixture
def storage() -> Storage:
    return memory()


@pytest.fixture(scope="module", autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    assert wait_for_threads() == []


# -- reading ----------------------------------------------------------------------------------------------------------


async def test_a4_equals_a_real_file_in_random_operations(any_storage: Storage) -> None:
    await any_storage.aio.upload("a", BODY)
    chance = random.Random(1)
    with tempfile.TemporaryFile() as real:
        real.write(BODY)
        real.seek(0)
        async with any_storage.aio.open("a") as file:
            for _ in range(300):
                step = chance.choice(["read", "read", "readline", "seek", "end", "current", "readinto", "tell"])
                size = chance.choice([0, 1, 100, 5_000, 200_000, -1])
                if step in ("read", "readline"):
                    assert await getattr(file, step)(size) == getattr(real, step)(size)
                elif step == "seek":
                    offset = chance.randrange(len(BODY) + 100)
                    assert await file.seek(offset) == real.seek(offset)
                elif step == "end":
                    offset = -chance.randrange(len(BODY))
                    assert await file.seek(offset, 2) == real.seek(offset, 2)
                elif step == "current":
                    offset = chance.randrange(1000)
                    assert await file.seek(offset, 1) == real.seek(offset, 1)
                elif step == "readinto":
                    here, there = bytearray(max(0, size)), bytearray(max(0, size))
                    assert await file.readinto(here) == real.readinto(there)
                    assert here == there
                assert await file.tell() == real.tell()


@pytest.mark.parametrize("newline", [None, "", "\n"])
async def test_a4_text_is_read_and_written_as_python_does(
    storage: Storage, tmp_path: Path, newline: str | None
) -> None:
    for encoding in ("utf-8", "utf-16", "latin-1"):
        text = TEXT if encoding != "latin-1" else TEXT.encode("latin-1", "ignore").decode("latin-1")
        with open(tmp_path / "real", "w", encoding=encoding, newline=newline) as real:
            real.write(text)
            real.write("end")
        async with storage.aio.open(f"a-{encoding}", "w", encoding=encoding, newline=newline) as file:
            assert await file.write(text) == len(text)
            await file.writelines(["e", "nd"])
        assert storage.content(f"a-{encoding}") == (tmp_path / "real").read_bytes()
        with open(tmp_path / "real", encoding=encoding, newline=newline) as real:
            async with storage.aio.open(f"a-{encoding}", "r", encoding=encoding, newline=newline) as file:
                assert [line async for line in file] == real.readlines()
                await file.seek(0)
                real.seek(0)
                assert await file.read(100) == real.read(100)
                assert await file.readlines(50) == real.readlines(50)


async def test_a4_a_file_is_used_by_one_task_at_a_time(storage: Storage) -> None:
    await storage.aio.upload("a", BODY)
    seen: list[bytes] = []
    async with storage.aio.open("a") as file:

        async def read() -> None:
            seen.append(await file.read(1000))

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(read)
    assert sorted(seen) == sorted(BODY[start : start + 1000] for start in range(0, 50_000, 1000))


async def test_a4_what_is_closed_or_missing_says_so(storage: Storage) -> None:
    await storage.aio.upload("a", b"x")
    with pytest.raises(exc.MissingFileError):
        await (await storage.aio.open("missing")).read()
    file = await storage.aio.open("a")
    assert (file.readable(), file.seekable(), file.writable(), file.closed) == (True, True, False, False)
    await file.close()
    await file.close()
    with pytest.raises(ValueError, match="closed"):
        await file.read()
    with pytest.raises(ValueError, match="mode"):
        storage.aio.open("a", "a")
    with pytest.raises(ValueError, match="reading takes no"):
        storage.aio.open("a", "rb", overwrite=True)


# -- writing ----------------------------------------------------------------------------------------------------------


async def test_a4_a_writer_publishes_when_it_is_closed(any_storage: Storage) -> None:
    body = BODY * 40
    async with any_storage.aio.open("a", "wb", content_type="a/b", metadata={"k": "v"}) as file:
        for start in range(0, len(body), 123_457):
            await file.write(body[start : start + 123_457])
        assert await file.tell() == len(body)
        assert not await any_storage.aio.exists("a")
    assert file.file == any_storage.analyze("a")
    assert (file.file.content_type, any_storage.analyze("a").metadata) == ("a/b", {"k": "v"})
    assert any_storage.content("a") == body
    with pytest.raises(exc.ExistingFileError) as caught:
        async with any_storage.aio.open("a", "xb") as file:
            await file.write(b"new")
    assert caught.value.operation == "open"

    async def break_off() -> None:
        async with any_storage.aio.open("b", "wb") as file:
            await file.write(body)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await break_off()
    async with any_storage.aio.open("c", "wb") as file:
        await file.write(b"x")
        await file.abort()
        with pytest.raises(ValueError, match="closed"):
            await file.write(b"x")
    assert list(any_storage.scan()) == ["a"]
    assert any_storage.cleanup_uploads(0) == 0


async def test_a4_a_writer_takes_its_kind_only(storage: Storage) -> None:
    with pytest.raises(TypeError):
        async with storage.aio.open("a", "wb") as file:
            await file.write("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        async with storage.aio.open("a", "w") as text:
            await text.write(b"bytes")
    with pytest.raises(UnicodeEncodeError):
        async with storage.aio.open("a", "w", encoding="ascii") as text:
            await text.write("ü")
    assert list(storage.scan()) == []


# -- sources ----------------------------------------------------------------------------------------------------------


async def test_a4_files_of_frameworks_and_of_aiofiles(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "f.css"
    path.write_bytes(BODY)
    spooled = UploadFile(io.BytesIO(BODY), filename="a.css", size=len(BODY))
    await spooled.read(10)  # a validator
    await storage.aio.upload("starlette", spooled)
    with open(path, "rb") as opened:
        field = FileField("f", "a.css", opened, "text/css", CIMultiDictProxy(CIMultiDict()))
        await storage.aio.upload("aiohttp", field)
    async with await anyio.open_file(path, "rb") as file:
        await storage.aio.upload("anyio", file)
        assert not file.wrapped.closed
    for name in ("starlette", "aiohttp", "anyio"):
        assert storage.content(name) == BODY, name


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a4_files_of_aiofiles(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "f.css"
    path.write_bytes(b"a{}")
    async with aiofiles.open(path, "rb") as file:
        made = await storage.aio.upload("aiofiles", file)
        assert await file.tell() == 3
    assert (made.size, made.content_type) == (3, "text/css")
    with pytest.raises(exc.ContentError, match="closed"):
        await storage.aio.upload("closed", file)


async def test_a4_given_to_a_synchronous_call_they_are_one_error(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with await anyio.open_file(tmp_path / "f", "rb") as file:
            for source in (file, chunks(b"x"), anyio.sleep(0)):
                with pytest.raises(TypeError, match=r"storage\.aio"):
                    storage.upload("a", source)
        gc.collect()
    assert list(storage.scan()) == []


async def test_a4_a_part_is_read_as_it_comes(storage: Storage) -> None:
    """What a source gives is sent before it has ended: memory holds some parts, not all."""
    sent: list[int] = []

    async def source() -> Any:
        for _ in range(30):
            yield b"x" * PART
            await anyio.sleep(0.001)
        assert len(sent) > 10

    await storage.aio.upload("a", source(), progress=lambda done, total: sent.append(done))
    assert storage.size("a") == 30 * PART
