"""Writing with open: close publishes, an exception does not, through whatever wrapper."""

from __future__ import annotations

import csv
import gc
import gzip
import io
import json
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator

import pytest
from core.doubles import LATE, Hooked, KiB, double
from file_keeper import FileData, Storage, exc, make_storage

BODY = bytes(range(256)) * 20_000  # 5 MiB


@pytest.fixture
def storage() -> Storage:
    return make_storage("s", {"type": "memory", "part_size": 300_000})


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("file-keeper")] == []


def test_what_is_written(storage: Storage) -> None:
    with storage.open("a", "wb", content_type="x/y", metadata={"k": "v"}) as file:
        assert (file.name, file.mode, file.writable(), file.readable(), file.seekable()) == (
            "a",
            "wb",
            True,
            False,
            False,
        )
        assert (file.write(b"ab"), file.write(bytearray(b"cd")), file.write(memoryview(b"ef")), file.tell()) == (
            2,
            2,
            2,
            6,
        )
        file.writelines([b"g", b"h"])
        file.flush()
        assert not storage.exists("a")
        assert file.file is None
    assert storage.content("a") == b"abcdefgh"
    assert file.closed
    assert isinstance(file.file, FileData)
    assert file.file == storage.analyze("a")
    assert (file.file.content_type, file.file.metadata) == ("x/y", {"k": "v"})
    file.close()
    file.abort()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"x")
    for call in (lambda: file.seek(0), file.read, file.truncate):
        with pytest.raises((ValueError, OSError)):
            call()


@pytest.mark.parametrize("size", [0, 1, 999, 100_000, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_pieces_of_any_size(size: int, storage: Storage) -> None:
    body = BODY[: 10_000 if size == 1 else None]
    with storage.open("a", "wb") as file:
        for start in range(0, len(body), size or len(body)):
            file.write(body[start : start + (size or len(body))])
            file.write(b"")
    assert storage.content("a") == body
    with storage.open("empty", "wb"):
        pass
    assert storage.content("empty") == b""


def test_a_buffer_may_change_once_it_is_written(storage: Storage) -> None:
    for size in (100, 2 << 20):
        buffer = bytearray(b"a" * size)
        with storage.open(f"{size}", "wb") as file:
            file.write(buffer)
            buffer[:] = b"b" * size
            file.write(buffer)
            del buffer[:]
        assert storage.content(f"{size}") == b"a" * size + b"b" * size


def test_modes(storage: Storage) -> None:
    with storage.open("a", "xb") as file:
        file.write(b"1")
    for mode in ("xb", "wb", "x", "w"):
        with pytest.raises(FileExistsError) as caught, storage.open("a", mode) as file:
            file.write(b"2" if "b" in mode else "2")
        assert str(caught.value).startswith("storage 's': open 'a': ")
    with storage.open("a", "wb", overwrite=True) as file:
        file.write(b"3")
    with pytest.raises(FileExistsError), storage.open(storage.analyze("a"), "xb", overwrite=True):
        pass
    assert storage.content("a") == b"3"
    for mode in ("", "a", "ab", "r+", "rwb", "wbb", "wbt", "b", "t", "wU"):
        with pytest.raises(ValueError, match="is not one of 'rb', 'r', 'wb', 'w', 'xb', 'x'"):
            storage.open("a", mode)
    with pytest.raises(ValueError, match="binary mode takes no encoding"):
        storage.open("a", "wb", encoding="utf-8")
    with pytest.raises(exc.StorageDataError, match="reading takes no overwrite"):
        storage.open("a", "rb", overwrite=True)
    with pytest.raises(exc.LocationError, match=r"storage 's': open '../a': the segment"):
        storage.open("../a", "wb")
    with pytest.raises(exc.ContentError):
        storage.open("a", "wb", metadata={"fk_x": "y"})


def test_text(storage: Storage) -> None:
    with storage.open("a.txt", "w", encoding="utf-16", newline="\r\n") as file:
        file.write("é\n😀")
    assert storage.content("a.txt").decode("utf-16") == "é\r\n😀"
    with storage.open("a.txt", "r", encoding="utf-16") as file:
        assert file.read() == "é\n😀"
    for encoding in ("utf-16", "utf-32", "utf-8-sig", "latin-1"):
        for text in ("", "é", "é" * 100_000):
            with storage.open("u.txt", "w", encoding=encoding, overwrite=True) as file:
                file.writelines([text, text])
            assert storage.content("u.txt") == (text * 2).encode(encoding) or not text
            with storage.open("u.txt", "r", encoding=encoding) as file:
                assert file.read() == text * 2
    with storage.open("b.txt", "xt") as file:
        file.write("é")
    assert storage.content("b.txt") == "é".encode()
    with pytest.raises(UnicodeEncodeError), storage.open("c.txt", "w", encoding="ascii") as file:
        file.write("é")
    assert not storage.exists("c.txt")


# -- wrappers ---------------------------------------------------------------------------------------------------------


def by_csv(storage: Storage, rows: Iterator[list[str]]) -> None:
    with storage.open("x", "w", newline="") as file:
        csv.writer(file).writerows(rows)


def by_gzip(storage: Storage, rows: Iterator[list[str]]) -> None:
    with storage.open("x", "wb") as file, gzip.open(file, "wt", newline="") as text:
        csv.writer(text).writerows(rows)


def by_zip(storage: Storage, rows: Iterator[list[str]]) -> None:
    with (
        storage.open("x", "wb") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed,
        packed.open("a", "w") as inner,
    ):
        for row in rows:
            inner.write(",".join(row).encode() + b"\r\n")


def by_wrapper_alone(storage: Storage, rows: Iterator[list[str]]) -> None:
    with io.TextIOWrapper(storage.open("x", "wb"), newline="") as text:
        csv.writer(text).writerows(rows)


def by_buffer_alone(storage: Storage, rows: Iterator[list[str]]) -> None:
    with io.BufferedWriter(storage.open("x", "wb"), 100) as file:
        for row in rows:
            file.write(",".join(row).encode() + b"\r\n")


def by_hand(storage: Storage, rows: Iterator[list[str]]) -> None:
    file = storage.open("x", "wb")
    try:
        for row in rows:
            file.write(",".join(row).encode() + b"\r\n")
    finally:
        file.close()


WAYS = [by_csv, by_gzip, by_zip, by_wrapper_alone, by_buffer_alone, by_hand]
ROWS = [["a", "b"], ["c", "d"]]


def rows(count: int, error: BaseException | None = None) -> Iterator[list[str]]:
    for _ in range(count):
        yield from ROWS
    if error is not None:
        raise error


@pytest.mark.parametrize("way", WAYS)
def test_through_wrappers(way: Callable[..., None], storage: Storage) -> None:
    way(storage, rows(1))
    content = storage.content("x")
    if way is by_gzip:
        content = gzip.decompress(content)
    if way is by_zip:
        content = zipfile.ZipFile(io.BytesIO(content)).read("a")
    assert content == b"a,b\r\nc,d\r\n"


@pytest.mark.full
@pytest.mark.parametrize("count", [0, 1, 40_000])
@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt(), GeneratorExit()])
@pytest.mark.parametrize("way", WAYS)
def test_an_exception_publishes_nothing(way: Callable[..., None], error: BaseException, count: int) -> None:
    if count > 1 and not isinstance(error, ZeroDivisionError):
        return
    storage, backend = double(LATE, part_size=300_000, multipart_threshold=300_000)
    storage.upload("x", b"before")
    with pytest.raises(type(error)) as caught:
        way(storage, rows(count, error))
    assert caught.value is error
    assert storage.content("x") == b"before"
    assert backend.open == []


def test_json_and_a_generator_that_is_left(storage: Storage) -> None:
    with storage.open("x", "w") as file:
        json.dump({"a": [1]}, file)
    assert json.loads(storage.content("x")) == {"a": [1]}

    def lines() -> Iterator[int]:
        with storage.open("y", "w") as file:
            for number in range(10):
                file.write("x")
                yield number

    begun = lines()
    next(begun)
    begun.close()
    assert not storage.exists("y")


def test_an_exception_that_was_there_before_is_no_reason(storage: Storage) -> None:
    try:
        raise KeyError("earlier")
    except KeyError:
        with storage.open("a", "wb") as file:
            file.write(b"log of it")
        file = storage.open("b", "w")
        file.write("by hand")
        file.close()
        file = storage.open("d", "wb")
        try:
            raise ValueError("later")
        except ValueError:
            file.close()
    assert storage.content("a") == b"log of it"
    assert storage.content("b") == b"by hand"
    assert not storage.exists("d")


# -- not closed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["wb", "w"])
@pytest.mark.parametrize("written", [0, 10, 3 << 20])
def test_collected_unclosed(mode: str, written: int, storage: Storage) -> None:
    file = storage.open("x", mode)
    file.write(b"x" * written if mode == "wb" else "x" * written)
    with pytest.warns(ResourceWarning, match="unclosed writer of 'x': nothing was published"):  # noqa: PT031
        del file
        gc.collect()
    assert not storage.exists("x")


def test_collected_after_it_was_closed_is_quiet(storage: Storage) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mode in ("wb", "w"):
            for end in ("close", "abort"):
                file = storage.open("x", mode, overwrite=True)
                getattr(file, end, getattr(file, "close", None))()
                del file
                gc.collect()


def test_a_wrapper_that_does_not_close_what_it_wraps(storage: Storage) -> None:
    with pytest.warns(ResourceWarning, match="unclosed writer"):  # noqa: PT031
        with gzip.open(storage.open("x", "wb"), "wb") as packed:
            packed.write(b"x")
        del packed
        gc.collect()
    assert not storage.exists("x")


# -- failing ----------------------------------------------------------------------------------------------------------


def failing(at: str) -> Storage:
    storage, _ = double(LATE, part_size=64 * KiB, multipart_threshold=64 * KiB)

    def hook(verb: str, key: str) -> None:
        if verb == at:
            raise exc.PermissionError("no")

    return storage.wrapped(lambda backend: Hooked(backend, hook))


@pytest.mark.parametrize("at", ["put", "multipart_create", "multipart_put", "multipart_complete"])
def test_a_failure_is_told_once_it_is_known(at: str) -> None:
    storage = failing(at)
    body = b"x" if at == "put" else BODY
    with pytest.raises(exc.PermissionError, match="'s': open 'x': no"), storage.open("x", "wb") as file:  # noqa: PT012
        for start in range(0, len(body), 1 << 20):
            file.write(body[start : start + (1 << 20)])
    assert file.closed
    assert not storage.exists("x")
    with pytest.raises(exc.PermissionError):  # noqa: SIM117 - when it is known is a matter of time
        with storage.open("x", "wb") as inner, gzip.open(inner, "wb", compresslevel=0) as packed:
            packed.write(body)
    assert not storage.exists("x")


def test_writing_stops_when_the_upload_failed() -> None:
    storage = failing("multipart_create")
    file = storage.open("x", "wb")
    with pytest.raises(exc.PermissionError):  # noqa: PT012 - when it is known is a matter of time
        for _ in range(1000):
            file.write(BODY)
    file.abort()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"x")


def test_a_writer_is_braked_by_the_upload() -> None:
    storage, _ = double(LATE, part_size=64 * KiB, multipart_threshold=64 * KiB, max_concurrency=1)
    gate = threading.Event()
    watched = storage.wrapped(
        lambda backend: Hooked(backend, lambda verb, key: verb == "multipart_put" and gate.wait(30))
    )
    written = threading.Event()

    def write() -> None:
        with watched.open("x", "wb") as file:
            file.write(BODY)
            written.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert not written.wait(0.2)
    gate.set()
    thread.join()
    assert storage.content("x") == BODY


def test_capabilities_are_checked_at_the_call() -> None:
    storage = make_storage("s", {"type": "memory", "disabled_capabilities": ["create", "stream"]})
    for mode in ("wb", "rb"):
        with pytest.raises(exc.UnsupportedOperationError, match="storage 's': open 'x': file_keeper:memory cannot do"):
            storage.open("x", mode)
