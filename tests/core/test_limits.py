"""The setting ``limits``: how large a content may be and of which types, whatever way it comes."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from core.doubles import KINDS, NOTHING, Double, Hooked, KiB, double
from file_keeper import Storage, exc, make_storage
from file_keeper.types import Uploadable

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
TEXT = b"words\n" * 100
MOST = 200 * KiB
LIMITS = {"max_size": MOST, "types": ["image/*", "text/plain"]}


def unseekable(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), 5000):
        yield body[at : at + 5000]


SOURCES: dict[str, Callable[[bytes], Uploadable]] = {"bytes": bytes, "file": io.BytesIO, "generator": unseekable}


def limited(kind: str = "parts", **options: Any) -> tuple[Storage, Double]:
    return double(KINDS[kind], **{"limits": LIMITS, **options})


def nothing_is_left(storage: Storage, backend: Double) -> bool:
    return not list(storage.scan()) and not backend.open and not backend._bucket.objects


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (5, "a mapping"),
        (True, "a mapping"),
        ("10MiB", "a mapping"),
        ({}, "says nothing"),
        ({"max_size": None}, "says nothing"),
        ({"max_size": 0}, "at least 1 byte"),
        ({"max_size": -1}, "at least 1 byte"),
        ({"max_size": True}, "at least 1 byte"),
        ({"max_size": "large"}, "at least 1 byte"),
        ({"max_size": float("inf")}, "at least 1 byte"),
        ({"size": 5}, "it knows max_size, types"),
        ({"types": []}, "a list of media types"),
        ({"types": "image/*"}, "a list of media types"),
        ({"types": ["image"]}, "no media type"),
        ({"types": ["image/png; q=1"]}, "no media type"),
        ({"types": [5]}, "no media type"),
        ({"types": ["text/csv"]}, "allow 'text/plain'"),
    ],
)
def test_what_makes_no_sense_is_refused(given: Any, message: str) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match=message) as caught:
        make_storage("media", {"type": "memory", "limits": given})
    assert caught.value.storage == "media"
    with pytest.raises(exc.InvalidStorageConfigurationError, match=message):
        make_storage("media", {"type": "memory"}).with_options(limits=given)


def test_with_options_changes_limits_for_itself_alone() -> None:
    storage = make_storage("s", {"type": "memory"})
    narrow = storage.with_options(limits={"max_size": 3})
    storage.upload("a", b"1234")
    with pytest.raises(exc.LargeUploadError):
        narrow.upload("b", b"1234")
    narrow.with_options(limits=False).upload("b", b"1234")


# -- uploads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_size(kind: str, source: str) -> None:
    storage, backend = limited(kind)
    body = (TEXT * (MOST // len(TEXT) + 1))[:MOST]
    assert storage.upload("a", SOURCES[source](body)).size == MOST
    assert storage.remove("a")
    backend._bucket.objects.clear()
    with pytest.raises(exc.LargeUploadError, match="more than 200 KiB"):
        storage.upload("a", SOURCES[source](body + b"x"))
    assert nothing_is_left(storage, backend)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("size", [100, 3000, 100 * KiB])
@pytest.mark.parametrize("kind", KINDS)
def test_a_type_is_that_of_the_content(kind: str, size: int, source: str) -> None:
    storage, backend = limited(kind)
    script = b"<html><script>1</script>" + b" " * size
    with pytest.raises(exc.WrongUploadTypeError, match="text/html"):
        storage.upload("innocent.txt", SOURCES[source](script), content_type="text/plain")
    assert nothing_is_left(storage, backend)
    table = b"a,b\n1,2\n" * (size // 8)
    assert storage.upload("a.csv", SOURCES[source](table)).content_type == "text/csv"
    assert storage.upload("lies.html", SOURCES[source](PNG + bytes(size))).content_type == "image/png"


def test_what_is_refused_by_a_known_size_or_a_beginning_asks_nothing() -> None:
    storage, backend = limited()
    asked: list[str] = []
    watched = storage.wrapped(lambda inner: Hooked(inner, lambda verb, key: asked.append(verb)))
    for body in (bytes(MOST + 1), b"%PDF-1.7\n" + bytes(100 * KiB), io.BytesIO(bytes(MOST + 1))):
        with pytest.raises(exc.UploadError):
            watched.upload("a", body)
    assert asked == []
    assert nothing_is_left(storage, backend)


def test_a_source_without_an_end_is_left_soon() -> None:
    storage, backend = limited()
    drawn = 0

    def endless() -> Iterator[bytes]:
        nonlocal drawn
        while True:
            drawn += 1
            yield b"x" * KiB

    with pytest.raises(exc.LargeUploadError):
        storage.upload("a", endless())
    assert drawn < MOST / KiB + 70
    assert nothing_is_left(storage, backend)


def test_a_writer() -> None:
    storage, backend = limited()
    with pytest.raises(exc.LargeUploadError), storage.open("a", "wb") as writer:
        writer.write(TEXT * 1000)
    with pytest.raises(exc.WrongUploadTypeError), storage.open("a", "wb") as writer:
        writer.write(b"%PDF-1.7\n")
    assert nothing_is_left(storage, backend)


@pytest.mark.anyio
@pytest.mark.parametrize("limits", [*KINDS.values(), NOTHING])
async def test_an_asynchronous_source(limits: Any) -> None:
    storage, backend = double(limits, limits=LIMITS)

    async def chunks(body: bytes, count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield body

    with pytest.raises(exc.LargeUploadError):
        await storage.aio.upload("a", chunks(TEXT, 1000))
    with pytest.raises(exc.WrongUploadTypeError):
        await storage.aio.upload("a", chunks(b"%PDF-1.7\n" + bytes(3000), 3))
    assert nothing_is_left(storage, backend)
    assert (await storage.aio.upload("a", chunks(TEXT, 3))).size == 3 * len(TEXT)


def test_an_empty_content_has_a_type_too() -> None:
    storage, _ = limited()
    with pytest.raises(exc.WrongUploadTypeError, match="x-empty"):
        storage.upload("a", b"")
    with pytest.raises(exc.WrongUploadTypeError, match="x-empty"):
        storage.multipart_start("a", 0)
    allowing = storage.with_options(limits={"types": ["application/x-empty"]})
    assert allowing.upload("a", b"").size == 0


def test_a_batch_goes_on_behind_what_is_refused() -> None:
    storage, _ = limited()
    outcomes = list(storage.upload_many([("a", TEXT), ("b", b"%PDF-1.7\n"), ("c", bytes(MOST + 1)), ("d", PNG)]))
    assert [type(outcome.error).__name__ for outcome in outcomes] == [
        "NoneType", "WrongUploadTypeError", "LargeUploadError", "NoneType",
    ]  # fmt: skip


# -- by the result ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("more", [10, 70 * KiB])
def test_append_is_judged_by_the_result(any_storage: Storage, source: str, more: int) -> None:
    storage = any_storage
    storage.upload("a", TEXT)
    narrow = storage.with_options(limits={"max_size": len(TEXT) + more - 1, "types": ["text/*"]}, part_size=64 * KiB)
    with pytest.raises(exc.LargeUploadError):
        narrow.append("a", SOURCES[source](b"x" * more))
    assert storage.content("a") == TEXT
    other = storage.with_options(limits={"max_size": len(TEXT) + more, "types": ["image/*"]})
    with pytest.raises(exc.WrongUploadTypeError, match="text/plain"):
        other.append("a", SOURCES[source](b"x" * more))
    assert storage.content("a") == TEXT
    allowed = storage.with_options(limits={"max_size": len(TEXT) + more, "types": ["text/plain"]})
    assert allowed.append("a", SOURCES[source](b"x" * more)).size == len(TEXT) + more
    assert list(storage.scan()) == ["a"]


def test_append_to_a_short_file_shows_its_type() -> None:
    storage, _ = limited()
    storage.upload("a", b"words ")
    with pytest.raises(exc.WrongUploadTypeError, match="octet-stream"):
        storage.append("a", bytes(100))
    assert storage.content("a") == b"words "


def test_compose_is_judged_by_the_result(any_storage: Storage) -> None:
    storage = any_storage
    storage.upload("a", TEXT)
    storage.upload("b", PNG)
    size = len(TEXT) + len(PNG)
    for limits, error in (
        ({"max_size": size - 1}, exc.LargeUploadError),
        ({"types": ["text/plain"]}, exc.WrongUploadTypeError),
    ):
        narrow = storage.with_options(limits=limits)
        with pytest.raises(error):
            narrow.compose("c", "b", "a")
        assert not storage.exists("c")
    allowed = storage.with_options(limits={"max_size": size, "types": ["image/*"]})
    assert allowed.compose("c", "b", "a").size == size


def test_copies_and_moves_are_not_judged(any_storage: Storage) -> None:
    any_storage.upload("a", TEXT)
    narrow = any_storage.with_options(limits={"max_size": 1, "types": ["image/*"]})
    narrow.copy("b", "a")
    narrow.move("c", "b")
    elsewhere = make_storage("elsewhere", {"type": "memory", "limits": {"max_size": 1}})
    with pytest.raises(exc.LargeUploadError):
        any_storage.copy_synthetic("d", "a", elsewhere)  # new there


# -- uploads in several calls -----------------------------------------------------------------------------------------


def test_a_session_is_refused_before_it_begins() -> None:
    storage, backend = limited()
    for start in (storage.multipart_start, storage.resumable_start):
        with pytest.raises(exc.LargeUploadError):
            start("a", MOST + 1)
    assert nothing_is_left(storage, backend)


def test_parts_of_another_type_are_refused_before_they_are_sent() -> None:
    storage, backend = limited()
    data = storage.multipart_start("a", 8 * KiB, content_type="text/plain")
    data = storage.multipart_update(data, bytes(4 * KiB), 1)
    sent: list[str] = []
    hooked = storage.wrapped(lambda inner: Hooked(inner, lambda verb, key: sent.append(verb)))
    with pytest.raises(exc.WrongUploadTypeError):
        hooked.multipart_update(data, b"%PDF" + bytes(4 * KiB - 4), 0)
    with pytest.raises(exc.MultipartUploadError, match="at least 2048"):
        hooked.multipart_update(data, b"words", 0)
    assert "multipart_put" not in sent
    data = storage.multipart_update(data, b"w" * 4 * KiB, 0)
    assert storage.multipart_complete(data).size == 8 * KiB
    assert not backend.open


def test_the_first_part_has_the_number_0_where_types_are_named() -> None:
    storage, _ = limited()
    data = storage.multipart_start("a", 4 * KiB)
    data = storage.multipart_update(data, bytes(4 * KiB), 1)
    with pytest.raises(exc.MultipartUploadError, match="part 0"):
        storage.multipart_complete(data)
    assert not storage.exists("a")


@pytest.mark.parametrize("kind", ["parts", "session"])
def test_pieces_of_another_type_are_refused(kind: str) -> None:
    storage, _ = limited(kind, limits={"max_size": "1MiB", "types": ["text/plain"]})
    for body in (bytes(256 * KiB), bytes(300 * KiB)):
        data = storage.resumable_start("a", 300 * KiB)
        with pytest.raises(exc.WrongUploadTypeError):
            storage.resumable_resume(data, body)
        assert storage.resumable_refresh(data).storage_data["uploaded"] == 0
    data = storage.resumable_start("a", 300 * KiB)
    data = storage.resumable_resume(data, b"w" * 256 * KiB)
    assert storage.resumable_resume(data, bytes(44 * KiB)).size == 300 * KiB


def test_a_session_begun_elsewhere_is_held_to_the_limits_here() -> None:
    storage, _ = limited()
    free = storage.with_options(limits=False)
    data = free.multipart_start("a", MOST + 1)
    with pytest.raises(exc.LargeUploadError):
        storage.multipart_update(data, TEXT, 0)
    data = free.multipart_update(data, bytes(MOST + 1), 0)
    with pytest.raises(exc.LargeUploadError):
        storage.multipart_complete(data)
    assert not storage.exists("a")
