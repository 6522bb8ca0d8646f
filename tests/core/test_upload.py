"""Everything that can be uploaded, and what becomes of the caller's stream."""

from __future__ import annotations

import array
import asyncio
import io
import mmap
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from file_keeper import FileData, HashingReader, IterableBytesReader, Storage, Upload, exc, make_storage, make_upload
from file_keeper.streams import BufferReader, PathReader, PeekingReader, fill, is_seekable

BODY = bytes(range(256)) * 3000  # 750 KiB


@pytest.fixture(params=["memory", "null"])
def storage(request: pytest.FixtureRequest) -> Storage:
    options = {"part_size": 100_000, "multipart_threshold": 50_000, "overwrite_existing": True}
    return make_storage("s", {"type": request.param, **options})


def stored(storage: Storage, value: Any, body: bytes = BODY) -> FileData:
    """Upload and prove that it is this content."""
    made = storage.upload("x", value)
    plain = make_storage("p", {"type": "memory"}).upload("x", body)
    assert (made.size, made.hash) == (len(body), plain.hash)
    if storage.settings.type == "file_keeper:memory":
        assert storage.content("x") == body
    return made


class Trickle:
    """The least that a source has: read, a little at a time."""

    def __init__(self, body: bytes, most: int = 3_001):
        self.inner = io.BytesIO(body)
        self.most = most

    def read(self, size: int = -1) -> bytes:
        return self.inner.read(self.most if size < 0 else min(size, self.most))


# -- sources ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda b: array.array("B", b)])
def test_buffers(kind: Any, storage: Storage) -> None:
    for body in (b"", b"x", BODY):
        value = kind(body)
        assert make_upload(value).size == len(body)
        stored(storage, value, body)


def test_other_buffers(storage: Storage) -> None:
    stored(storage, array.array("I", [1, 2, 3]), array.array("I", [1, 2, 3]).tobytes())
    stored(storage, memoryview(BODY)[5:700_000], BODY[5:700_000])
    with pytest.raises(TypeError):
        make_upload(memoryview(BODY)[::2])


def test_a_map_of_memory(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(BODY)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped.seek(7)
        stored(storage, mapped, BODY[7:])
        assert mapped.tell() == len(BODY)


@pytest.mark.parametrize("start", [0, 10, len(BODY)])
def test_streams_are_read_from_where_they_stand(start: int, storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(BODY)
    spooled = tempfile.SpooledTemporaryFile(1000)  # noqa: SIM115
    spooled.write(BODY)
    text = path.open(encoding="latin-1")
    streams: list[Any] = [io.BytesIO(BODY), path.open("rb"), path.open("rb", buffering=0), path.open("r+b"), spooled,
                          text.buffer, BufferReader(memoryview(BODY))]  # fmt: skip
    for stream in streams:
        stream.seek(start)
        upload = make_upload(stream)
        assert upload.size == len(BODY) - start
        assert upload.seekable_stream is stream
        stored(storage, upload, BODY[start:])
        assert stream.tell() == len(BODY)
        assert not stream.closed
        # Given again it starts where it started.
        stored(storage, upload, BODY[start:])
        stream.close()


@pytest.mark.parametrize("chunks", [[BODY], [b"", BODY[:1], b"", BODY[1:], b""], [], [b""], [bytearray(BODY)], (BODY,)])
def test_iterables(chunks: Any, storage: Storage) -> None:
    for value in (chunks, iter(chunks), (chunk for chunk in chunks)):
        upload = make_upload(value)
        assert (upload.size, upload.seekable_stream) == (None, None)
        stored(storage, upload, b"".join(chunks))


def test_a_buffer_that_is_filled_again(storage: Storage) -> None:
    def chunks() -> Iterator[memoryview]:
        buffer = bytearray(1000)
        for start in range(0, len(BODY), 1000):
            buffer[:] = BODY[start : start + 1000].ljust(1000)
            yield memoryview(buffer)

    body = BODY.ljust(-(-len(BODY) // 1000) * 1000)
    stored(storage, chunks(), body)
    reader = IterableBytesReader(chunks())
    assert reader.read(2_500) == body[:2_500]
    assert reader.read() == body[2_500:]


def test_the_least_of_streams(storage: Storage) -> None:
    source = Trickle(BODY)
    upload = make_upload(source)
    assert upload.size is None
    stored(storage, upload)
    assert source.inner.tell() == len(BODY)


def test_a_pipe(storage: Storage) -> None:
    here, there = os.pipe()
    sender = threading.Thread(target=lambda: (os.write(there, BODY[:40_000]), os.close(there)))
    sender.start()
    with os.fdopen(here, "rb") as stream:
        stored(storage, stream, BODY[:40_000])
        assert not stream.closed
    sender.join()


def test_files_of_the_kernel_that_say_they_are_empty() -> None:
    path = Path("/proc/version")
    if not path.exists():
        pytest.skip("no /proc here")
    storage = make_storage("s", {"type": "memory"})
    assert make_upload(path).size is None
    storage.upload("a", path)
    with path.open("rb") as file:
        storage.upload("b", file)
    assert storage.content("a") == storage.content("b") == path.read_bytes()


def test_paths(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(BODY)

    class Own:
        def __fspath__(self) -> str:
            return str(path)

    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    upload = make_upload(path)
    assert (upload.filename, upload.size) == ("a.csv", len(BODY))
    if before:
        assert len(os.listdir("/proc/self/fd")) == before, "a path is opened when it is read"
    stored(storage, upload)
    stored(storage, upload)
    stored(storage, Own())
    if before:
        assert len(os.listdir("/proc/self/fd")) == before, "what the library opened it closes"
    empty = tmp_path / "empty"
    empty.touch()
    assert make_upload(empty).size == 0
    stored(storage, empty, b"")
    with pytest.raises(IsADirectoryError):
        make_upload(tmp_path)
    with pytest.raises(FileNotFoundError):
        make_upload(tmp_path / "missing")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        storage.upload("x", upload)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no named pipes")
def test_a_named_pipe(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    sender = threading.Thread(target=path.write_bytes, args=(BODY[:100],))
    sender.start()
    stored(storage, path, BODY[:100])
    sender.join()


@pytest.mark.parametrize("value", ["text", io.StringIO("text"), None, 5, object(), {"a": b"b"}, Exception])
def test_what_holds_no_bytes(value: Any, storage: Storage) -> None:
    for call in (make_upload, lambda given: storage.upload("x", given)):
        with pytest.raises(TypeError):
            call(value)


def test_text_where_bytes_should_be(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text("text")
    with path.open() as text, pytest.raises(TypeError, match="binary mode"):
        make_upload(text)
    for source in (["text"], iter("text"), [5], [None], [[1]]):
        with pytest.raises(exc.ContentError, match=r"the source gives (str|int|NoneType|list), not bytes"):
            storage.upload("x", source)
    with tempfile.SpooledTemporaryFile(mode="w+") as spooled:
        spooled.write("text")
        spooled.seek(0)
        with pytest.raises(exc.ContentError):
            storage.upload("x", spooled)
    assert not storage.exists("x")


def test_sources_that_misbehave(storage: Storage) -> None:
    class NonBlocking(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> None:
            return None

    class Generous:
        def read(self, size: int = -1) -> bytes:
            return b"x" * (size + 1)

    class Liar(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            return len(buffer) + 1

    for source, message in (
        (NonBlocking(), "non-blocking"),
        (type("N", (), {"read": lambda self, size=-1: None})(), "non-blocking"),
        (Generous(), r"gave \d+ bytes when asked for \d+"),
        (Liar(), r"says that it put \d+ bytes into a buffer of \d+"),
    ):
        with pytest.raises(exc.ContentError, match=message):
            storage.upload("x", source)
    assert not storage.exists("x")


def test_readinto_that_is_not_there(storage: Storage) -> None:
    class Half(io.RawIOBase):
        inner = io.BytesIO(BODY)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            raise io.UnsupportedOperation

        def read(self, size: int = -1) -> bytes:  # type: ignore[override]
            return self.inner.read(size)

    stored(storage, Half())


# -- frameworks -------------------------------------------------------------------------------------------------------


def test_werkzeug(storage: Storage) -> None:
    from werkzeug.datastructures import FileStorage

    inner = io.BytesIO(BODY)
    inner.seek(5)
    value = FileStorage(inner, filename="dir/né.csv", content_type="image/png")
    upload = make_upload(value)
    assert (upload.filename, upload.size) == ("dir/né.csv", len(BODY))
    stored(storage, upload, BODY)
    assert not inner.closed
    assert inner.tell() == len(BODY)
    assert make_upload(FileStorage(io.BytesIO(b"a,b"), "x.csv")).content_type == "text/csv"

    class Own(FileStorage):
        pass

    stored(storage, Own(Trickle(BODY)), BODY)  # type: ignore[arg-type]


def test_django(storage: Storage, tmp_path: Path) -> None:
    from django.conf import settings

    if not settings.configured:
        settings.configure(FILE_UPLOAD_TEMP_DIR=str(tmp_path), DEFAULT_CHARSET="utf-8", FILE_UPLOAD_MAX_MEMORY_SIZE=100)
    from django.core.files.base import ContentFile, File
    from django.core.files.uploadedfile import InMemoryUploadedFile, SimpleUploadedFile, TemporaryUploadedFile

    path = tmp_path / "f"
    path.write_bytes(BODY)
    temporary = TemporaryUploadedFile("t.bin", "x/y", len(BODY), None)
    temporary.write(BODY)
    temporary.seek(0)
    with path.open("rb") as opened:
        for value in (
            ContentFile(BODY, "dir/c.bin"),
            File(opened),
            SimpleUploadedFile("s.bin", BODY),
            InMemoryUploadedFile(io.BytesIO(BODY), None, "i.bin", "x/y", len(BODY), None),
            temporary,
        ):
            # As a validator reads that looks at the content: to its end.
            value.read()
            upload = make_upload(value)
            assert upload.size == len(BODY)
            stored(storage, upload, BODY)
            assert not value.closed
            assert value.tell() == len(BODY)
    temporary.close()
    assert make_upload(ContentFile(b"a", "dir/c.md")).filename == "c.md"
    with pytest.raises(TypeError):
        make_upload(ContentFile("text"))


def test_starlette(storage: Storage) -> None:
    from starlette.datastructures import UploadFile

    inner = tempfile.SpooledTemporaryFile(100)  # noqa: SIM115
    inner.write(BODY)
    inner.seek(2)
    value = UploadFile(inner, filename="a.bin")  # type: ignore[arg-type]
    upload = make_upload(value)
    assert (upload.filename, upload.size) == ("a.bin", len(BODY))
    stored(storage, upload, BODY)
    assert not inner.closed
    asyncio.run(value.close())


def test_no_framework_is_imported() -> None:
    code = (
        "import file_keeper as fk, io, sys; fk.make_upload(io.BytesIO(b'x')); fk.make_upload([b'x'])\n"
        "assert not {'werkzeug', 'django', 'starlette'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_factory_of_ones_own(storage: Storage) -> None:
    class Own:
        pass

    make_upload.register(Own, lambda value, mime="": Upload(io.BytesIO(BODY), "own.txt", None, mime))
    assert make_upload(Own(), "text/x-own").content_type == "text/x-own"
    stored(storage, Own())


# -- what an upload knows ---------------------------------------------------------------------------------------------


def test_content_types(tmp_path: Path) -> None:
    storage = make_storage("s", {"type": "memory", "overwrite_existing": True})
    png = b"\x89PNG\r\n\x1a\n" + bytes(20)
    for upload, kind in (
        (make_upload(b""), "application/x-empty"),
        (make_upload([]), "application/x-empty"),
        (make_upload(png), "image/png"),
        (make_upload([png]), "image/png"),
        (make_upload(Trickle(png)), "image/png"),
        (Upload(Trickle(png)), "image/png"),
        (Upload(io.BytesIO(b"a,b\n"), "x.csv"), "text/csv"),
        (Upload(io.BytesIO(png), "x.csv"), "image/png"),
        (make_upload(png, "text/plain; charset=utf-8"), "text/plain; charset=utf-8"),
        (make_upload(make_upload(png), "text/plain"), "text/plain"),
        (make_upload(bytes(range(256)) * 20), "application/octet-stream"),
    ):
        assert upload.content_type == kind
        assert storage.upload("x", upload).content_type == kind
        assert storage.analyze("x").content_type == kind
    for wrong in ("text", "text/", "/x", "a/b/c", "text/plain\r\nX: y", "é/x", " text/plain"):
        for call in (
            lambda given: make_upload(b"", given),
            lambda given: Upload(io.BytesIO(), content_type=given),
            lambda given: storage.upload("x", b"", content_type=given),
        ):
            with pytest.raises(exc.WrongUploadTypeError, match="is not a content type"):
                call(wrong)


def test_a_look_takes_nothing() -> None:
    for value in (io.BytesIO(BODY), [BODY[:3], BODY[3:]], Trickle(BODY), iter([BODY])):
        upload = make_upload(value)
        assert upload.peek() == BODY[:2048]
        assert upload.peek() == BODY[:2048]
        stored(make_storage("s", {"type": "memory"}), upload)


def test_upload_refuses_what_makes_no_sense() -> None:
    with pytest.raises(TypeError, match="needs a binary stream with read"):
        Upload(object())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="StringIO"):
        Upload(io.StringIO())  # type: ignore[arg-type]
    with pytest.raises(exc.ContentError, match="not negative"):
        Upload(io.BytesIO(), size=-1)
    assert repr(Upload(io.BytesIO(), "a", 5, "x/y")) == "Upload('a', size=5, content_type='x/y')"
    assert repr(make_upload([])) == "Upload('', size=unknown, content_type='')"


@pytest.mark.parametrize("size", [0, 1, len(BODY) - 1, len(BODY) + 1, len(BODY) + 200_000])
@pytest.mark.parametrize("kind", [io.BytesIO, Trickle, lambda body: IterableBytesReader([body])])
def test_a_size_that_is_not_so(size: int, kind: Any, storage: Storage) -> None:
    with pytest.raises(exc.UploadSizeMismatchError, match=f"{size} bytes were declared"):
        storage.upload("x", Upload(kind(BODY), size=size))
    assert not storage.exists("x")


# -- given again ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [lambda: Trickle(BODY), lambda: iter([BODY]), lambda: [BODY]])
def test_what_was_read_is_not_stored_as_a_remainder(kind: Any, storage: Storage) -> None:
    upload = make_upload(kind())
    stored(storage, upload)
    with pytest.raises(exc.ContentError, match=f"already read up to byte {len(BODY)} "):
        storage.upload("x", upload)


@pytest.mark.parametrize("at", [0, 1, 60_000, 160_000])
def test_a_source_that_broke_is_not_taken_for_a_short_one(at: int, storage: Storage) -> None:
    def source() -> Iterator[bytes]:
        if at:
            yield BODY[:at]
        raise OSError("torn")

    storage.upload("x", b"before")
    upload = make_upload(source())
    reader = IterableBytesReader(source())
    for _ in range(2):
        with pytest.raises((OSError, exc.ContentError), match=f"torn|already read up to byte {at} "):
            storage.upload("x", upload)
        with pytest.raises((OSError, exc.ContentError), match=f"torn|broke off at byte {at} "):
            storage.upload("x", Upload(reader))
    if storage.supports(type(storage.capabilities).STREAM) and storage.exists("x"):
        assert storage.content("x") == b"before"


def test_a_look_at_a_broken_source() -> None:
    def source() -> Iterator[bytes]:
        raise OSError("torn")
        yield b""

    upload = make_upload(source())
    with pytest.raises(OSError, match="torn"):
        _ = upload.content_type
    with pytest.raises(exc.ContentError, match="broke off at byte 0"):
        make_storage("s", {"type": "memory"}).upload("x", upload)


@pytest.mark.parametrize(
    "drain",
    [
        lambda upload: upload.stream.read(5),
        lambda upload: upload.hashing_reader().exhaust(),
        lambda upload: next(upload.stream),
        lambda upload: upload.stream.readinto(bytearray(5)),
    ],
)
def test_reading_behind_its_back_is_noticed(drain: Any, storage: Storage) -> None:
    for value in ([BODY], Trickle(BODY)):
        upload = make_upload(value)
        drain(upload)
        with pytest.raises(exc.ContentError, match="already read up to byte"):
            storage.upload("x", upload)
    again = make_upload(io.BytesIO(BODY))
    again.hashing_reader(algorithm="sha256").exhaust()
    stored(storage, again)


def test_a_wrong_hash_then_the_right_one(storage: Storage) -> None:
    upload = make_upload(io.BytesIO(BODY))
    with pytest.raises(exc.UploadHashMismatchError):
        storage.upload("x", upload, hash="0" * 32)
    stored(storage, upload)


# -- readers ----------------------------------------------------------------------------------------------------------


def test_iterable_reader() -> None:
    closed: list[bool] = []

    def source() -> Iterator[bytes | bytearray | memoryview]:
        try:
            yield b"ab"
            yield b""
            yield bytearray(b"cde")
            yield memoryview(b"fghij")
        finally:
            closed.append(True)

    reader = IterableBytesReader(source())
    assert reader.readable()
    assert not reader.seekable()
    assert (reader.read(0), reader.read(1), reader.read(3), reader.tell()) == (b"", b"a", b"bcd", 4)
    target = bytearray(3)
    assert (reader.readinto(target), bytes(target)) == (3, b"efg")
    assert (next(reader), reader.read(5), list(reader)) == (b"hij", b"", [])
    assert closed == [True]
    assert list(IterableBytesReader(source())) == [b"ab", b"cde", b"fghij"]
    early = IterableBytesReader(source())
    early.read(1)
    early.close()
    early.close()
    assert closed == [True, True, True]
    assert IterableBytesReader([b"ab\ncd", b"\nef"]).readlines.__name__
    assert io.BufferedReader(IterableBytesReader([b"ab\ncd", b"\nef"])).readlines() == [b"ab\n", b"cd\n", b"ef"]


def test_a_chunk_is_passed_on_as_it_is() -> None:
    chunk = b"x" * 100
    assert next(IterableBytesReader([chunk])) is chunk
    assert IterableBytesReader([chunk]).read(100) is chunk


def test_hashing_reader() -> None:
    reader = HashingReader(io.BytesIO(BODY), chunk_size=1000, algorithm="sha256")
    assert (reader.read(10), reader.position) == (BODY[:10], 10)
    assert [len(chunk) for chunk in reader][-2:] == [1000, (len(BODY) - 10) % 1000]
    assert reader.position == len(BODY)
    whole = HashingReader(IterableBytesReader([BODY]), algorithm="sha256")
    assert whole.get_hash() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    whole.exhaust()
    assert whole.get_hash() == reader.get_hash()
    crc = HashingReader(io.BytesIO(b"123456789"), algorithm="crc32c")
    crc.exhaust()
    assert crc.get_hash() == "e3069283"
    nvme = HashingReader(io.BytesIO(b"123456789"), algorithm="crc64nvme")
    nvme.exhaust()
    assert nvme.get_hash() == "ae8b14860a799888"
    with pytest.raises(exc.StorageDataError, match="unknown hashing algorithm 'MD5'"):
        HashingReader(io.BytesIO(), algorithm="MD5")


def test_small_parts() -> None:
    class Old:
        def __init__(self) -> None:
            self.at = 0

        def read(self, size: int = -1) -> bytes:
            return b""

        def tell(self) -> int:
            return self.at

        def seek(self, at: int) -> None:
            raise OSError

    assert not is_seekable(Old())
    assert is_seekable(io.BytesIO())
    target = memoryview(bytearray(5))
    assert fill(io.BytesIO(b"abc"), target) == 3
    peeking = PeekingReader(Trickle(b"abcdef", 2))  # type: ignore[arg-type]
    assert (peeking.peek(3), peeking.read(4), peeking.tell(), peeking.read()) == (b"abc", b"abcd", 4, b"ef")
    view = BufferReader(memoryview(b"abcdef"))
    assert (view.read(2), view.seek(-2, 2), view.read(), view.read(), view.seek(99), view.read(1)) == (
        b"ab", 4, b"ef", b"", 99, b"")  # fmt: skip
    with pytest.raises(ValueError, match="not negative"):
        view.seek(-1)
    assert not PathReader("/dev/null").seekable()
