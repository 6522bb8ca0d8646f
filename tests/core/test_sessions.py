"""Uploads in several calls: their state through JSON and other hands, and what is checked before anything shows."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import io
import json
import pickle
import random
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from core.doubles import LATE, PARTS, SESSION, Double, Hooked, KiB, double, settings_of
from file_keeper import FileData, HashingReader, Storage, exc, make_storage
from file_keeper.backend import Part, entries_of
from file_keeper.resilience import retry

STEP = 256 * KiB
BODY = random.Random(7).randbytes(3 * STEP + 100)
KINDS = {"late": LATE, "parts": PARTS, "session": SESSION}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(attempts=1))


def travelled(data: FileData) -> FileData:
    return FileData.from_dict(json.loads(json.dumps(data.as_dict())))


def crc(body: bytes, algorithm: str) -> str:
    reader = HashingReader(io.BytesIO(body), algorithm=algorithm)
    reader.exhaust()
    return reader.get_hash()


# -- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_parts_in_any_order_through_json(kind: str) -> None:
    storage, backend = double(KINDS[kind])
    data = storage.multipart_start("x", len(BODY), metadata={"ü": "é"}, headers={"Cache-Control": "no-store"})
    assert (data.size, data.storage_data["parts"], data.storage_data["uploaded"]) == (len(BODY), [], 0)
    assert data.storage_data["part_size"] >= 1
    cuts = [0, 100_000, 100_001, 400_000, len(BODY)]
    for part in (2, 0, 3, 1, 2):
        data = storage.multipart_update(travelled(data), BODY[cuts[part] : cuts[part + 1]], part)
        assert storage.multipart_refresh(travelled(data)) == data
    assert data.storage_data["uploaded"] == len(BODY)
    assert [entry["part"] for entry in data.storage_data["parts"]] == [0, 1, 2, 3]
    assert not storage.exists("x")
    made = storage.multipart_complete(travelled(data))
    assert storage.content("x") == BODY
    assert (made.size, made.metadata, made.headers) == (len(BODY), {"ü": "é"}, {"Cache-Control": "no-store"})
    assert made.storage_data == {}
    assert storage.analyze("x") == made
    assert storage.multipart_refresh(data) == made, "a refresh of what was completed gives the file"
    assert backend.open == []


@pytest.mark.parametrize("times", ["told", "the same", "none"])
def test_a_part_that_the_service_lists_several_times(times: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, backend = double(PARTS)
    sent: list[Part] = []
    put = backend.multipart_put

    def keep(upload: Any, number: int, body: Any) -> Part:
        moment = {"told": datetime(2026, 1, len(sent) + 1, tzinfo=UTC), "the same": datetime(2026, 1, 1, tzinfo=UTC)}
        sent.append(dataclasses.replace(put(upload, number, body), modified=moment.get(times)))
        return sent[-1]

    monkeypatch.setattr(backend, "multipart_put", keep)
    data = storage.multipart_start("x", len(BODY))
    old = storage.multipart_update(data, BODY[STEP:], 1)
    new = storage.multipart_update(old, bytes(len(BODY) - STEP), 1)
    new = storage.multipart_update(new, BODY[STEP:][::-1], 1)
    new = storage.multipart_update(new, BODY[:STEP], 0)
    for order in (sent[:], sent[::-1]):
        monkeypatch.setattr(backend, "multipart_parts", lambda upload, order=order: iter(order))
        assert storage.multipart_refresh(new) == new
        assert storage.multipart_refresh(new).storage_data["uploaded"] == len(BODY)
        if times == "told":
            assert storage.multipart_refresh(data).storage_data["parts"] == new.storage_data["parts"]
    storage.multipart_complete(new)
    assert storage.content("x") == BODY[:STEP] + BODY[STEP:][::-1]


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "crc32c", "crc64nvme"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_declared_hash(kind: str, algorithm: str) -> None:
    storage, backend = double(KINDS[kind])
    storage.upload("x", b"before")
    right = crc(BODY, algorithm)
    for declared in (right.upper(), "0" * len(right)):
        data = storage.multipart_start("x", len(BODY), hash=declared, algorithm=algorithm)
        data = storage.multipart_update(travelled(data), BODY[STEP:], 1)
        data = storage.multipart_update(travelled(data), BODY[:STEP], 0)
        if declared == right.upper():
            made = storage.multipart_complete(travelled(data))
            assert storage.content("x") == BODY
            assert storage.analyze("x") == made
            assert storage.multipart_refresh(data) == made
        else:
            with pytest.raises(exc.UploadHashMismatchError, match=f"the {algorithm} of the "):
                storage.multipart_complete(travelled(data))
            assert storage.content("x") == BODY
            storage.multipart_remove(data)
    assert backend.open == []
    assert list(entries_of(backend.list(""))) == [backend.head("x")], "nothing is left under the reserved name"


def test_a_declared_crc_reads_nothing() -> None:
    storage, _ = double(PARTS)
    seen: list[str] = []
    watched = storage.wrapped(lambda inner: Hooked(inner, lambda verb, key: seen.append(verb)))
    data = watched.multipart_start("x", len(BODY), hash=crc(BODY, "crc32c"), algorithm="crc32c")
    data = watched.multipart_update(data, BODY[:STEP], 0)
    data = watched.multipart_update(data, BODY[STEP:], 1)
    watched.multipart_complete(data)
    assert "read" not in seen
    assert "copy" not in seen


def broken(storage: Storage, verb: str, key: str) -> Storage:
    """Return the same storage, but that each call of `verb` ends like a kill before it, where the key has `key`."""

    def kill(called: str, at: str) -> None:
        if called == verb and key in at:
            raise KeyboardInterrupt

    return storage.wrapped(lambda inner: Hooked(inner, kill))


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_provider_does_not_keep_of_a_part_is_known_after_a_kill(kind: str) -> None:
    storage, backend = double(KINDS[kind])
    png = b"\x89PNG\r\n\x1a\n" + BODY[8:]
    begun = storage.multipart_start(
        "x", len(png), hash=crc(png, "crc32c"), algorithm="crc32c", content_type="image/png"
    )
    data = storage.multipart_update(begun, png[STEP:], 1)
    data = storage.multipart_update(data, png[:STEP], 0)
    assert storage.multipart_refresh(travelled(begun)) == data
    storage.multipart_complete(travelled(begun))
    assert storage.content("x") == png
    assert backend.open == []
    assert [entry.key for entry in entries_of(backend.list(""))] == ["x"]


def test_killed_before_it_was_written_down() -> None:
    storage, _ = double(PARTS)
    begun = storage.multipart_start("x", len(BODY), hash=crc(BODY, "crc32c"), algorithm="crc32c")
    with pytest.raises(KeyboardInterrupt):
        broken(storage, "put", "/sessions/").multipart_update(begun, BODY[:STEP], 0)
    data = storage.multipart_update(begun, BODY[STEP:], 1)
    data = storage.multipart_refresh(data)
    assert data.storage_data["uploaded"] == len(BODY)
    with pytest.raises(exc.MultipartUploadError, match="the crc32c of part 0 is not known here: send this part again"):
        storage.multipart_complete(data)
    storage.multipart_complete(storage.multipart_update(data, BODY[:STEP], 0))
    assert storage.content("x") == BODY
    begun = storage.multipart_start("y", len(BODY), content_type="text/plain")
    with pytest.raises(KeyboardInterrupt):
        broken(storage, "put", "/sessions/").multipart_update(begun, BODY, 0)
    with pytest.raises(exc.UploadError, match="what the content begins with is not known here"):
        storage.multipart_complete(begun)
    assert not storage.exists("y")


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_a_type_is_refused_with_and_without_a_kill(kind: str, first: int) -> None:
    """Whatever number the first part has, and whether its state was saved or not."""
    storage, backend = double(KINDS[kind])
    png = b"\x89PNG\r\n\x1a\n" + BODY[8:]
    for lost in (False, True):
        begun = storage.multipart_start("x", len(png), content_type="text/plain")
        data = storage.multipart_update(begun, png[STEP:], first + 1)
        data = storage.multipart_update(data, png[:STEP], first)
        if lost:
            data = begun
        for state in (data, storage.multipart_refresh(data)):
            with pytest.raises(exc.UploadTypeMismatchError, match="declared was text/plain, the content is image/png"):
                storage.multipart_complete(state)
        assert not storage.exists("x")
        storage.multipart_remove(data)
    assert [*entries_of(backend.list("")), *backend.open] == []


def test_no_part_and_too_much_and_too_early() -> None:
    storage, backend = double(LATE)
    made = storage.multipart_complete(storage.multipart_start("empty", 0))
    assert (made.size, storage.content("empty")) == (0, b"")
    data = storage.multipart_start("x", 10)
    with pytest.raises(exc.UploadSizeMismatchError, match="10 bytes were declared, the parts have 0"):
        storage.multipart_complete(data)
    for value in (bytes(11), iter([bytes(5), bytes(6)]), io.BytesIO(bytes(11))):
        with pytest.raises(exc.UploadOutOfBoundError):
            storage.multipart_update(data, value, 0)
    data = storage.multipart_update(data, bytes(6), 0)
    with pytest.raises(exc.UploadOutOfBoundError, match="5 bytes are given, 4 were still to come"):
        storage.multipart_update(data, bytes(5), 1)
    data = storage.multipart_update(data, bytes(8), 0)
    with pytest.raises(exc.UploadSizeMismatchError, match="10 bytes were declared, the parts have 8"):
        storage.multipart_complete(data)
    for number in (-1, 10_000, True, "0", 1.5):
        with pytest.raises(exc.MultipartUploadError, match=r"the number of a part|at most"):
            storage.multipart_update(data, b"x", number)  # type: ignore[arg-type]
    assert storage.multipart_remove(data) is True
    assert storage.multipart_remove(data) is False
    for call in (
        storage.multipart_complete,
        storage.multipart_refresh,
        lambda gone: storage.multipart_update(gone, b"", 0),
    ):
        with pytest.raises(exc.MissingFileError):
            call(data)
    assert backend.open == []


@pytest.mark.parametrize("size", [-1, True, 1.5, "10", None])
def test_sizes_that_are_none(size: Any) -> None:
    storage, backend = double(LATE)
    for start in (storage.multipart_start, storage.resumable_start):
        with pytest.raises(exc.StorageDataError, match="the size of an upload is a number of bytes"):
            start("x", size)
        with pytest.raises(exc.LargeUploadError):
            start("x", 1 << 60)
    assert backend.open == []


def test_types_and_conditions() -> None:
    storage, _ = double(LATE, overwrite_existing=False)
    png = b"\x89PNG\r\n\x1a\n" + bytes(50)
    data = storage.multipart_update(storage.multipart_start("x", 58, content_type="text/plain"), png, 0)
    with pytest.raises(exc.UploadTypeMismatchError, match="declared was text/plain, the content is image/png"):
        storage.multipart_complete(data)
    assert not storage.exists("x")
    data = storage.multipart_update(storage.multipart_start("x", 58, content_type="image/png"), png, 0)
    storage.upload("x", b"racing")
    with pytest.raises(exc.ExistingFileError, match="storage 's': multipart_complete 'x': "):
        storage.multipart_complete(data)
    assert storage.content("x") == b"racing"
    seen = storage.analyze("x")
    data = storage.multipart_update(storage.multipart_start("x", 3, overwrite=seen), b"new", 0)
    storage.upload("x", b"racing again", overwrite=True)
    with pytest.raises(exc.ChangedFileError):
        storage.multipart_complete(data)
    data = storage.multipart_update(storage.multipart_start("x", 3, overwrite=True), b"new", 0)
    storage.multipart_complete(data)
    assert storage.content("x") == b"new"


def test_equal_parts_where_they_are_wanted() -> None:
    storage, _ = double(dataclasses.replace(LATE, equal_parts=True, part_min=100), part_size=100)
    data = storage.multipart_start("x", 250)
    assert data.storage_data["part_size"] == 100
    with pytest.raises(exc.MultipartUploadError, match="part 0 has 99 bytes: here all parts but the last have 100"):
        storage.multipart_update(data, bytes(99), 0)
    data = storage.multipart_update(data, bytes(100), 0)
    data = storage.multipart_update(data, bytes(100), 1)
    storage.multipart_complete(storage.multipart_update(data, bytes(50), 2))


# -- state that went through other hands ------------------------------------------------------------------------------

DAMAGE: list[dict[str, Any]] = [
    {"uploaded": None}, {"uploaded": -1}, {"uploaded": "5"}, {"uploaded": True}, {"part_size": 0}, {"part_size": "8"},
    {"part_size": None}, {"token": None}, {"token": ""}, {"token": "../x"}, {"token": 5}, {"scratch": "../../x"},
    {"scratch": 5}, {"scratch": None}, {"attempt": -1}, {"detected": 5}, {"parts": None}, {"parts": {}}, {"parts": "x"},
    {"parts": [5]}, {"parts": [{}]}, {"parts": [{"part": 0, "size": 1}]},
    {"parts": [{"part": -1, "size": 1, "etag": ""}]},
    {"parts": [{"part": 0, "size": "1", "etag": ""}]}, {"parts": [{"part": 0, "size": 1, "etag": ""}] * 2},
    {"parts": [{"part": 0, "size": 1, "etag": "", "crc32c": 5}]},
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_state(kind: str, damage: dict[str, Any]) -> None:
    storage, backend = double(KINDS[kind])
    begun = storage.multipart_start("x", 100, hash="0" * 8, algorithm="crc32c")
    data = dataclasses.replace(begun, storage_data={**begun.storage_data, **damage})
    for call in (
        storage.multipart_refresh, storage.multipart_complete, storage.multipart_remove,
        lambda given: storage.multipart_update(given, b"x", 0),
    ):  # fmt: skip
        with pytest.raises(exc.StorageDataError, match=r"storage 's': multipart_\w+ 'x': the state of the upload is"):
            call(data)
    assert len(backend.open) == 1


@pytest.mark.parametrize(
    "state", [{}, {"multipart": True}, {"multipart": True, "upload_id": ""}, {"multipart": True, "upload_id": 5},
              {"multipart": False, "upload_id": "x"}, {"upload_id": "x"}, {"resumable": True, "upload_id": "x"}],
)  # fmt: skip
def test_no_state_at_all(state: dict[str, Any]) -> None:
    storage, _ = double(LATE)
    data = FileData("x", size=5, storage_data=state)
    for call in (storage.multipart_refresh, storage.multipart_complete, storage.multipart_remove):
        with pytest.raises(exc.MissingFileError, match="the data holds no multipart upload: begin with"):
            call(data)
    with pytest.raises(exc.MissingFileError):
        storage.multipart_refresh("x")  # type: ignore[arg-type]


def test_state_of_another_place() -> None:
    storage, _ = double(LATE, path="tenant/1")
    data = storage.multipart_update(storage.multipart_start("x", 1), b"x", 0)
    for location in ("../10/x", "/x", "", "a//b", ".file-keeper/x"):
        with pytest.raises(exc.LocationError):
            storage.multipart_complete(dataclasses.replace(data, location=location))
    with pytest.raises(exc.MissingFileError):
        storage.multipart_complete(dataclasses.replace(data, location="y"))
    storage.multipart_complete(data)
    # A finished file is ours only by its token.
    forged = dataclasses.replace(data, storage_data={**data.storage_data, "token": "0" * 16})
    with pytest.raises(exc.MissingFileError):
        storage.multipart_refresh(forged)
    with pytest.raises(exc.ContentError):
        storage.multipart_complete(dataclasses.replace(storage.multipart_start("z", 0), metadata={"fk_token": "x"}))


# -- pieces -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pieces", [[len(BODY)], [STEP, 2 * STEP, 100], [3 * STEP, 100], [STEP, 0, 2 * STEP, 0, 100]])
def test_pieces_through_json(kind: str, pieces: list[int]) -> None:
    storage, backend = double(KINDS[kind], part_size=STEP)
    data = storage.resumable_start("x", len(BODY), metadata={"a": "é"}, content_type="a/b")
    at = 0
    for piece in pieces:
        assert not storage.exists("x")
        source: Any = BODY[at : at + piece] if piece % 2 else iter([BODY[at : at + piece]])
        data, before = storage.resumable_resume(travelled(data), source), data
        at += piece
        if at < len(BODY):
            assert data.storage_data["uploaded"] == at
            assert storage.resumable_refresh(travelled(data)) == data
    assert storage.content("x") == BODY
    assert (data.size, data.metadata, data.content_type, data.storage_data) == (len(BODY), {"a": "é"}, "a/b", {})
    assert storage.analyze("x") == data
    assert backend.open == []
    if kind != "session":
        assert storage.resumable_refresh(before) == data


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_that_make_no_sense(kind: str) -> None:
    storage, backend = double(KINDS[kind], part_size=STEP)
    data = storage.resumable_start("x", len(BODY))
    seen: list[str] = []
    watched = storage.wrapped(lambda inner: Hooked(inner, lambda verb, key: seen.append(verb)))
    for piece in (BODY[:1], BODY[: STEP + 1], iter([BODY[:1]])):
        with pytest.raises(exc.ResumableUploadError, match="a multiple of 262144 bytes, this one has"):
            watched.resumable_resume(data, piece)
    for piece in (BODY + b"x", iter([BODY, b"x"])):
        with pytest.raises(exc.UploadOutOfBoundError):
            watched.resumable_resume(data, piece)
    assert seen == [], "told before anything is sent"
    for beyond in ({"uploaded": len(BODY) + 1}, {"uploaded": "5"}, {"attempt": None}):
        with pytest.raises(exc.StorageDataError):
            storage.resumable_resume(dataclasses.replace(data, storage_data={**data.storage_data, **beyond}), b"")
    assert storage.resumable_remove(data) is True
    assert storage.resumable_remove(data) is False
    for call in (storage.resumable_refresh, lambda gone: storage.resumable_resume(gone, BODY)):
        with pytest.raises((exc.MissingFileError, exc.ResumableUploadError)):
            call(data)
    assert backend.open == []
    assert not storage.exists("x")


@pytest.mark.parametrize("algorithm", ["md5", "crc32c"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_declared_hash_of_pieces(kind: str, algorithm: str) -> None:
    storage, backend = double(KINDS[kind], part_size=STEP)
    storage.upload("x", b"before")
    for body in (BODY[::-1], BODY):
        data = storage.resumable_start("x", len(BODY), hash=crc(BODY, algorithm), algorithm=algorithm)
        data = storage.resumable_resume(travelled(data), body[:STEP])
        if body is BODY:
            made = storage.resumable_resume(travelled(data), body[STEP:])
            assert storage.analyze("x") == made
        elif kind == "session":
            # The double of a session verifies nothing, real ones do.
            storage.resumable_remove(data)
        else:
            with pytest.raises(exc.UploadHashMismatchError):
                storage.resumable_resume(travelled(data), body[STEP:])
            assert storage.content("x") == b"before"
    assert storage.content("x") == BODY
    assert [entry.key for entry in entries_of(backend.list(""))] == ["x"]


def test_an_empty_upload_in_pieces() -> None:
    for limits in KINDS.values():
        storage, backend = double(limits)
        made = storage.resumable_resume(storage.resumable_start("x", 0), b"")
        assert (made.size, storage.content("x"), backend.open) == (0, b"", [])


PNG = b"\x89PNG\r\n\x1a\n" + BODY[8:]


@pytest.mark.parametrize("kind", KINDS)
def test_of_calls_from_one_state_one_goes_on(kind: str) -> None:
    """Also when the others come later, with other cuts, or when all is done and swept up."""
    storage, backend = double(KINDS[kind], part_size=STEP)
    begun = storage.resumable_start("x", len(BODY))
    first = storage.resumable_resume(begun, BODY[:STEP])
    other = BODY[::-1]
    for piece in (other[:STEP], other[: 2 * STEP], other):
        with pytest.raises(exc.ResumableUploadError, match="another call has gone on from byte 0"):
            storage.resumable_resume(travelled(begun), piece)
    second = storage.resumable_resume(first, BODY[STEP : 2 * STEP])
    for old, piece in ((begun, other[:STEP]), (first, other[:STEP]), (first, other[STEP:])):
        with pytest.raises(exc.ResumableUploadError):
            storage.resumable_resume(travelled(old), piece)
        assert storage.resumable_refresh(travelled(old)) == second
    made = storage.resumable_resume(second, BODY[2 * STEP :])
    for old, piece in ((begun, other[:STEP]), (begun, other), (first, other[STEP:]), (second, other[2 * STEP :])):
        with pytest.raises((exc.ResumableUploadError, exc.MissingFileError)):
            storage.resumable_resume(travelled(old), piece)
    assert (storage.content("x"), storage.analyze("x")) == (BODY, made)
    assert [entry.key for entry in entries_of(backend.list(""))] == ["x"], "those who came late leave nothing"


@pytest.mark.parametrize("kind", KINDS)
def test_a_race_from_one_state(kind: str) -> None:
    storage, backend = double(KINDS[kind], part_size=STEP)
    data = storage.resumable_start("x", len(BODY))
    content = b""
    for size in (STEP, 2 * STEP, 100):
        start = threading.Barrier(8)

        def go(number: int, size: int = size, state: FileData = data, start: Any = start) -> tuple[int, Any]:
            start.wait()
            try:
                return number, storage.resumable_resume(travelled(state), bytes([number]) * size)
            except exc.ResumableUploadError as error:
                return number, error

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(go, range(8)))
        ((winner, data),) = [result for result in results if isinstance(result[1], FileData)]
        content += bytes([winner]) * size
    assert storage.content("x") == content
    assert [entry.key for entry in entries_of(backend.list(""))] == ["x"]


@pytest.mark.parametrize("verb", ["put", "multipart_put", "resumable_send", "multipart_complete"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_dies_anywhere_holds_back_nobody(kind: str, verb: str) -> None:
    storage, backend = double(KINDS[kind], part_size=STEP)
    for fatal in range(1, 4):
        data = storage.resumable_start("x", len(PNG), content_type="image/png", overwrite=True)
        data = storage.resumable_resume(data, PNG[:STEP])
        seen = 0

        def kill(called: str, key: str, fatal: int = fatal) -> None:
            nonlocal seen
            seen += called == verb
            if called == verb and seen == fatal:
                raise KeyboardInterrupt

        with contextlib.suppress(KeyboardInterrupt):
            storage.wrapped(lambda inner, kill=kill: Hooked(inner, kill)).resumable_resume(data, PNG[STEP:])
        now = storage.resumable_refresh(travelled(data))
        if now.storage_data:
            assert storage.resumable_refresh(travelled(now)) == now
            now = storage.resumable_resume(travelled(now), PNG[now.storage_data["uploaded"] :])
        assert storage.content("x") == PNG
        assert storage.analyze("x").content_type == "image/png"
        assert [entry.key for entry in entries_of(backend.list(""))] == ["x"]
        assert backend.open == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_type_of_pieces_is_refused_with_and_without_a_kill(kind: str) -> None:
    storage, backend = double(KINDS[kind], part_size=STEP)
    for lost in (False, True):
        begun = storage.resumable_start("x", len(PNG), content_type="text/plain")
        assert storage.resumable_refresh(travelled(begun)) == begun
        sent = storage.resumable_resume(begun, PNG[:STEP])
        assert storage.resumable_refresh(travelled(begun)) == storage.resumable_refresh(sent) == sent
        data = storage.resumable_refresh(begun) if lost else sent
        with pytest.raises(exc.UploadTypeMismatchError, match="declared was text/plain, the content is image/png"):
            storage.resumable_resume(data, PNG[STEP:])
        assert not storage.exists("x")
        storage.resumable_remove(data)
    assert [*entries_of(backend.list("")), *backend.open] == []


@pytest.mark.parametrize("kind", KINDS)
def test_without_progress_nothing_changes(kind: str) -> None:
    storage, _ = double(KINDS[kind], part_size=STEP)
    sending = "resumable_send" if kind == "session" else "multipart_put"

    def fail(verb: str, key: str) -> None:
        if verb == sending:
            raise exc.PermissionError("no")

    failing = storage.wrapped(lambda inner: Hooked(inner, fail))
    data = storage.resumable_start("x", len(BODY), content_type="a/b")
    for _ in range(2):
        assert storage.resumable_refresh(travelled(data)) == data
        for _ in range(2):
            with pytest.raises(exc.PermissionError):
                failing.resumable_resume(data, BODY[data.storage_data["uploaded"] :])
            assert storage.resumable_refresh(travelled(data)) == data
        data = storage.resumable_resume(data, BODY[:STEP])


def test_cleanup_keeps_what_a_living_upload_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    storage, backend = double(LATE)
    data = storage.multipart_start("x", len(PNG), content_type="text/plain")
    storage.multipart_update(data, PNG[:STEP], 0)
    begun = time.time()
    monkeypatch.setattr(time, "time", lambda: begun + 3600)
    backend._bucket.uploads[data.storage_data["upload_id"]].started = datetime.fromtimestamp(begun + 3600, UTC)
    parts = backend._bucket.uploads[data.storage_data["upload_id"]].parts
    parts[0] = (dataclasses.replace(parts[0][0], modified=None), parts[0][1])
    assert storage.cleanup_uploads(60) == 0
    storage.multipart_update(storage.multipart_refresh(data), PNG[STEP:], 1)
    with pytest.raises(exc.UploadTypeMismatchError):
        storage.multipart_complete(data)
    assert storage.cleanup_uploads(0) == 1
    assert list(entries_of(backend.list(""))) == []


def test_a_piece_that_breaks_off() -> None:
    storage, _ = double(LATE, part_size=STEP)
    data = storage.resumable_start("x", len(BODY))

    class Torn(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            if self.tell() >= 2 * STEP:
                raise OSError("torn")
            return super().readinto(buffer)

    with pytest.raises(OSError, match="torn"):
        storage.resumable_resume(data, Torn(BODY))
    data = storage.resumable_refresh(data)
    at = data.storage_data["uploaded"]
    assert at in (0, STEP, 2 * STEP)
    storage.resumable_resume(data, BODY[at:])
    assert storage.content("x") == BODY


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_the_callers_data_stays() -> None:
    storage, _ = double(LATE)
    data = storage.multipart_start("x", 10)
    shown = copy.deepcopy(data.as_dict())
    after = storage.multipart_update(data, bytes(10), 0)
    kept = copy.deepcopy(after.as_dict())
    storage.multipart_refresh(after), storage.multipart_complete(after), storage.multipart_remove(after)
    assert (data.as_dict(), after.as_dict()) == (shown, kept)


def test_cleanup() -> None:
    storage, backend = double(LATE, path="mine")
    other = Storage("o", settings_of(path="mine2"), backend)
    begun = storage.multipart_start("x", 10)
    other.multipart_start("x", 10)
    assert storage.cleanup_uploads("1h") == 0
    assert storage.cleanup_uploads(0) == 1
    assert len(backend.open) == 1
    with pytest.raises(exc.MissingFileError):
        storage.multipart_refresh(begun)
    for wrong in (-1, "soon", None, True):
        with pytest.raises(exc.StorageDataError, match=r"storage 's': cleanup_uploads: .*duration"):
            storage.cleanup_uploads(wrong)  # type: ignore[arg-type]
    assert len(backend.open) == 1


def test_a_publication_that_was_interrupted() -> None:
    """Killed between the completion under the reserved name and the publication: another call goes on from there."""
    storage, backend = double(PARTS)
    data = storage.multipart_start("x", 3, hash=hashlib.md5(b"abc").hexdigest(), overwrite=False)
    data = storage.multipart_update(data, b"abc", 0)

    def hook(verb: str, key: str) -> None:
        if verb == "read":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.wrapped(lambda inner: Hooked(inner, hook)).multipart_complete(data)
    assert list(storage.scan()) == []
    storage.upload("x", b"racing")
    with pytest.raises(exc.ExistingFileError):
        storage.multipart_complete(travelled(data))
    storage.remove("x")
    made = storage.multipart_complete(travelled(data))
    assert (storage.content("x"), storage.analyze("x")) == (b"abc", made)
    data = storage.multipart_start("y", 3, hash="0" * 32)
    data = storage.multipart_update(data, b"abc", 0)
    with pytest.raises(KeyboardInterrupt):
        storage.wrapped(lambda inner: Hooked(inner, hook)).multipart_complete(data)
    assert storage.multipart_remove(data) is True
    assert [entry.key for entry in entries_of(backend.list(""))] == ["x"]
    storage.multipart_start("z", 3)
    assert isinstance(backend, Double)


def test_killed_right_after_the_publication() -> None:
    storage, backend = double(dataclasses.replace(PARTS))
    backend.__class__ = NoRename
    data = storage.multipart_start("x", 3, hash=hashlib.md5(b"abc").hexdigest(), overwrite=False)
    data = storage.multipart_update(data, b"abc", 0)

    def kill(verb: str, key: str) -> None:
        if verb == "delete":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.wrapped(lambda inner: Hooked(inner, kill)).multipart_complete(data)
    assert storage.content("x") == b"abc"
    made = storage.multipart_complete(travelled(data))
    assert made == storage.analyze("x"), "one's own write is no conflict"
    assert [entry.key for entry in entries_of(backend.list(""))] == ["x"]


def test_a_scratch_object_that_stays_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    storage, backend = double(PARTS, part_size=100)
    backend.__class__ = NoRename

    def refuse(verb: str, key: str) -> None:
        if verb == "delete":
            raise exc.PermissionError("no")

    refused = storage.wrapped(lambda inner: Hooked(inner, refuse))
    data = refused.multipart_start("x", 3, hash=hashlib.md5(b"abc").hexdigest())
    refused.multipart_complete(refused.multipart_update(data, b"abc", 0))
    storage.upload("y", b"abc")
    refused.append("y", bytes(1000))
    assert (storage.content("x"), storage.size("y")) == (b"abc", 1003)
    assert [record.getMessage().partition(" (")[2] for record in caplog.records] == [
        "cleanup_uploads finds it): no"
    ] * 2
    assert storage.cleanup_uploads(0) == 2
    assert [entry.key for entry in entries_of(backend.list(""))] == ["x", "y"]


class NoRename(Double):
    """Publishes by a copy, as clouds do."""

    @property
    def verbs(self) -> frozenset[str]:
        return super().verbs - {"move"}


def test_no_bearer_secret_is_shown() -> None:
    storage, _ = double(SESSION)
    data = storage.resumable_start("x", 10)
    secret = data.storage_data["upload_id"]
    assert secret not in repr(data)
    with pytest.raises(exc.FilesError) as caught:
        storage.resumable_resume(dataclasses.replace(data, storage_data={**data.storage_data, "uploaded": "x"}), b"x")
    assert secret not in str(caught.value) + repr(caught.value)
    assert re.search("resumable", repr(data))


def test_a_service_that_refuses_what_is_not_there_is_no_endless_loop() -> None:
    storage, backend = double(PARTS, part_size=256 * KiB)

    def refuse(verb: str, key: str) -> None:
        if verb == "put" and "/number-" in key:
            raise exc.ExistingFileError("no")

    refused = storage.wrapped(lambda inner: Hooked(inner, refuse))
    data = refused.resumable_start("x", 256 * KiB)
    with pytest.raises(exc.ConnectionError, match="conditions are not honoured"):
        refused.resumable_resume(data, bytes(256 * KiB))
    assert storage.resumable_remove(data)
    assert backend.open == []


def test_who_takes_a_number_while_another_call_finishes_is_told_so() -> None:
    storage, _ = double(PARTS, part_size=STEP)
    data = storage.resumable_start("x", STEP)

    def finished(verb: str, key: str) -> None:
        if verb == "put" and "/number-" in key:
            storage.resumable_resume(travelled(data), BODY[:STEP])
            raise exc.ExistingFileError("the other has this number")

    late = storage.wrapped(lambda inner: Hooked(inner, finished))
    with pytest.raises(exc.ResumableUploadError, match="another call has finished"):
        late.resumable_resume(data, bytes(STEP))
    assert storage.content("x") == BODY[:STEP]


def test_a_state_is_looked_through_only_when_others_had_it(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = make_storage("media", {"type": "memory"})
    state = storage.multipart_start("a", 300)
    for number in (2, 0, 1, 0):
        state = storage.multipart_update(state, b"x" * 100, number)
    assert [part["part"] for part in state.storage_data["parts"]] == [0, 1, 2]
    assert state.storage_data["uploaded"] == 300
    ways: list[Callable[[], FileData]] = [
        lambda: FileData.from_dict(state.as_dict()),
        lambda: travelled(state),
        lambda: pickle.loads(pickle.dumps(state)),
        lambda: copy.deepcopy(state),
    ]
    for way in ways:
        damaged = way()
        assert damaged == state
        damaged.storage_data["parts"][1]["size"] = -5
        with pytest.raises(exc.StorageDataError, match="is not a part"):
            storage.multipart_complete(damaged)
    looked: list[object] = []
    monkeypatch.setattr("file_keeper.sessions.state.cast", lambda _, value: (looked.append(value), value)[1])
    storage.multipart_update(state, b"y" * 100, 1)
    assert looked == []
    storage.multipart_update(travelled(state), b"y" * 100, 1)
    assert looked
    assert storage.multipart_complete(state).size == 300
