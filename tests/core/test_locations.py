"""Locations: what is refused by every operation, what is kept verbatim, and how untrusted names become locations."""

# ruff: noqa: E501 - tables of names are read best on few lines

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from file_keeper import FileData, Storage, exc, location, make_storage, make_upload, transformers

BAD = {
    "": "the location is empty",
    "/": "relative",
    "/x": "relative",
    "//x": "relative",
    ".": "segment '.'",
    "..": "segment '..'",
    "a/..": "segment '..'",
    "a/../b": "segment '..'",
    "./a": "segment '.'",
    "a/.": "segment '.'",
    "../../x": "segment '..'",
    "C:": "drive letter",
    "c:\\x": "drive letter",
    "Z:/x": "drive letter",
    "a\0": "U+0000 at 1",
    "a\nb": "U+000A",
    "\r": "U+000D",
    "a\x1fb": "U+001F",
    "a\x7f": "U+007F",
    "a\x85": "U+0085",
    "a\x9f": "U+009F",
    "\ud800": "U+D800",
    "a\udfff": "U+DFFF",
    "a\ufdd0": "U+FDD0",
    "a\ufdef": "U+FDEF",
    "a\ufffe": "U+FFFE",
    "a\uffff": "U+FFFF",
    "a\U0001fffe": "U+1FFFE",
    "a\U0010ffff": "U+10FFFF",
    ".file-keeper": "segment '.file-keeper'",
    "a/.file-keeper": "segment '.file-keeper'",
    ".file-keeper/parts/x": "segment '.file-keeper'",
    "x" * 1025: "1025 bytes",
    "é" * 513: "1026 bytes",
    "😀" * 257: "1028 bytes",
}

UNWRITABLE = ["a//b", "a/", "a///", "a/b/"]

FINE = [
    "a", "a/b/c", ".env", "..a", "a..", ".a/..b", "...", "-", " ", " a ", "a b", "ab:c", "a/C:b",
    "#?%+&[]{}", "%48%45", "%Q", "*", "[name]", "{0}", "é", "e\u0301", "😀", "\u200b", "\u202e", "\ue000", "\ufffd", "a\\b",
    "a\\..\\b", "~", "$HOME", "NUL", "con.txt", "x" * 1024, "é" * 512, "/".join("abc" * 170), ".file-keeper2", "A", "\xa0",
    "\u2028", ".File-Keeper",
]  # fmt: skip

OPERATIONS: dict[str, Callable[[Storage, Any], Any]] = {
    "upload": lambda storage, name: storage.upload(name, b"x"),
    "open wb": lambda storage, name: storage.open(name, "wb"),
    "open w": lambda storage, name: storage.open(name, "w"),
    "copy to": lambda storage, name: storage.copy(name, "there"),
    "move to": lambda storage, name: storage.move(name, "there"),
    "compose": lambda storage, name: storage.compose(name),
    "compose to": lambda storage, name: storage.compose(name, "there", "there"),
    "multipart_start": lambda storage, name: storage.multipart_start(name, 5),
    "resumable_start": lambda storage, name: storage.resumable_start(name, 5),
    "copy_synthetic to": lambda storage, name: storage.copy_synthetic(name, "there", storage),
    "move_synthetic to": lambda storage, name: storage.move_synthetic(name, "there", storage),
    "compose_synthetic to": lambda storage, name: storage.compose_synthetic(name, storage, "there"),
    "prepare_location": lambda storage, name: storage.prepare_location(name),
}

READING: dict[str, Callable[[Storage, Any], Any]] = {
    "content": lambda storage, name: storage.content(name),
    "stream": lambda storage, name: storage.stream(name),
    "range": lambda storage, name: storage.range(name, 1, 1),
    "range_synthetic": lambda storage, name: storage.range_synthetic(name, 0, 1),
    "open rb": lambda storage, name: storage.open(name),
    "open r": lambda storage, name: storage.open(name, "r"),
    "download": lambda storage, name: storage.download(name, "/nonexistent/x"),
    "verify": lambda storage, name: storage.verify(name),
    "analyze": lambda storage, name: storage.analyze(name),
    "exists": lambda storage, name: storage.exists(name),
    "size": lambda storage, name: storage.size(name),
    "hash": lambda storage, name: storage.hash(name),
    "content_type": lambda storage, name: storage.content_type(name),
    "remove": lambda storage, name: storage.remove(name),
    "copy from": lambda storage, name: storage.copy("target", name),
    "move from": lambda storage, name: storage.move("target", name),
    "compose from": lambda storage, name: storage.compose("target", "there", name),
    "append": lambda storage, name: storage.append(name, b"x"),
    "copy_synthetic from": lambda storage, name: storage.copy_synthetic("target", name, storage),
    "move_synthetic from": lambda storage, name: storage.move_synthetic("target", name, storage),
    "compose_synthetic from": lambda storage, name: storage.compose_synthetic("target", storage, name),
    "full_path": lambda storage, name: storage.full_path(name),
}


@pytest.fixture
def storage() -> Storage:
    storage = make_storage("s", {"type": "memory", "path": ""})
    storage.upload("there", b"there")
    return storage


@pytest.mark.parametrize("name", OPERATIONS | READING)
def test_what_no_operation_takes(name: str, storage: Storage) -> None:
    call = (OPERATIONS | READING)[name]
    for bad, reason in BAD.items():
        for given in (bad, FileData(bad)) if name != "prepare_location" and name not in OPERATIONS else (bad,):
            with pytest.raises(exc.LocationError, match=re.escape(reason)) as caught:
                call(storage, given)
            if name != "full_path":
                assert caught.value.storage == "s"
            assert caught.value.location == bad or not bad
    for wrong in (5, None, b"a", ["a"]):
        with pytest.raises((exc.LocationError, TypeError, AttributeError)):
            call(storage, wrong)
    assert list(storage.scan()) == ["there"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_not_written(name: str, storage: Storage) -> None:
    for given in UNWRITABLE:
        with pytest.raises(exc.LocationError, match="empty segment"):
            OPERATIONS[name](storage, given)
    assert list(storage.scan()) == ["there"]


def test_what_is_not_written_may_be_found(storage: Storage) -> None:
    for name in UNWRITABLE:
        storage.backend._bucket.objects[name] = b"foreign"
        assert storage.content(name) == b"foreign"
        assert storage.exists(name)
        assert storage.remove(name)
    failures = storage.remove_many([*BAD, *UNWRITABLE, "there"])
    assert [failure.location for failure in failures] == list(BAD)
    assert not storage.exists("there")


@pytest.mark.parametrize("name", FINE)
def test_names_travel_unchanged(name: str, storage: Storage) -> None:
    assert location.problem(name) == ""
    made = storage.upload(name, name.encode())
    assert made.location == name
    assert storage.content(name) == name.encode()
    assert list(storage.scan(prefix=name)) == [name] + ["there"] * (name == "")
    assert [entry.location for entry in storage.files(prefix=name) if isinstance(entry, FileData)] == [name]
    assert storage.full_path(name) == name


def test_both_forms_and_both_cases_side_by_side(storage: Storage) -> None:
    names = ["é", "e\u0301", "a", "A"]
    for name in names:
        storage.upload(name, name.encode())
    assert {name: storage.content(name).decode() for name in names} == {name: name for name in names}


def test_a_path_is_by_segments() -> None:
    one = make_storage("one", {"type": "memory", "bucket": "by-segments", "path": "tenant/1"})
    ten = make_storage("ten", {"type": "memory", "bucket": "by-segments", "path": "tenant/10"})
    ten.upload("x", b"ten")
    assert not one.exists("x")
    assert not one.exists("0/x")
    assert list(one.scan()) == list(one.scan(prefix="0")) == []
    assert one.full_path("x") == "tenant/1/x"
    with pytest.raises(exc.LocationError):
        one.content("../10/x")
    # A key is at most 1,024 bytes, the path included.
    room = 1024 - len("tenant/1/")
    one.upload("x" * room, b"x")
    with pytest.raises(exc.LocationError, match=f"at most {room} fit into a key"):
        one.upload("x" * (room + 1), b"x")


def test_at_a_glance_and_one_by_one() -> None:
    """The quick look at many names never calls something plain that is not."""
    chance = random.Random(8)
    pieces = ["a", "/", ".", "..", ":", "C:", ".file-keeper", "\n", "é", "\ud800", "x" * 1000, ""]
    for _ in range(5000):
        names = ["".join(chance.choice(pieces) for _ in range(chance.randint(0, 5))) for _ in range(3)]
        if location.are_plain(names, max_bytes=1024):
            for name in names:
                assert not location.problem(name) or name == ""
                assert not location.is_reserved(name)


# -- transformers -----------------------------------------------------------------------------------------------------

STAMP = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{6}Z"
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.mark.parametrize(
    ("name", "given", "pattern"),
    [
        ("datetime_prefix", "a/b.txt", f"a/{STAMP}-b\\.txt"),
        ("datetime_with_extension", "a/b.txt", f"a/{STAMP}\\.txt"),
        ("datetime_with_extension", ".env", STAMP),
        ("datetime_with_extension", "a.d/b", f"a\\.d/{STAMP}"),
        ("uuid4", "a/b.txt", f"a/{UUID}"),
        ("uuid4_prefix", "a/b.txt", f"a/{UUID}-b\\.txt"),
        ("uuid4_prefix", "b.txt", f"{UUID}-b\\.txt"),
        ("uuid4_with_extension", "a/b.tar.gz", f"a/{UUID}\\.gz"),
        ("uuid5", "a/b.txt", f"a/{UUID}"),
    ],
)
def test_transformers(name: str, given: str, pattern: str) -> None:
    storage = make_storage("s", {"type": "memory", "location_transformers": [name]})
    first, second = storage.prepare_location(given), storage.prepare_location(given)
    assert re.fullmatch(pattern, first)
    assert (first == second) == (name == "uuid5")


def test_uuid5_is_of_the_whole_name() -> None:
    made = {transformers.uuid5(name, None).rpartition("/")[2] for name in ("a/b", "a/c", "b", "c/b")}
    assert len(made) == 4
    assert all(uuid.UUID(name).version == 5 for name in made)
    with pytest.raises(exc.LocationTransformerError, match="lone surrogates"):
        transformers.uuid5("\ud800", None)


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("a/b", "a/b"), ("../../etc/passwd", "etc/passwd"), ("/etc/passwd", "etc/passwd"), ("a/./b//c/", "a/b/c"),
        ("a/../b", "b"), ("..\\..\\x", "x"), ("C:\\x\\y.txt", "x/y.txt"), ("c:x", "x"), (".env", ".env"), ("..a", "..a"),
        ("%2e%2e/x", "%2e%2e/x"), ("a b/é😀", "a b/é😀"), ("...", "..."), ("\\\\server\\share", "server/share"),
    ],
)  # fmt: skip
def test_safe_relative_path(given: str, safe: str) -> None:
    assert transformers.safe_relative_path(given, None) == safe


@pytest.mark.parametrize(
    "given", ["", ".", "..", "/", "../..", "a/..", "\\", "C:", "C:\\", ".file-keeper/x", "a\0", "C:D:x", "x" * 2000]
)
def test_names_that_cannot_be_made_safe(given: str) -> None:
    with pytest.raises(exc.LocationTransformerError, match="cannot be made safe"):
        transformers.safe_relative_path(given, None)


def test_what_is_made_safe_is_a_location() -> None:
    chance = random.Random(9)
    pieces = ["..", ".", "/", "\\", "a", "C:", "é", "\0", " ", ".file-keeper", "~"]
    for _ in range(5000):
        given = "".join(chance.choice(pieces) for _ in range(chance.randint(0, 8)))
        try:
            safe = transformers.safe_relative_path(given, None)
        except exc.LocationTransformerError:
            continue
        location.check(safe, writing=True)
        assert transformers.safe_relative_path(safe, None) == safe


@pytest.mark.parametrize(
    ("name", "content", "mime", "fixed"),
    [
        ("a.png", b"x", "image/png", "a.png"), ("a.jpeg", b"x", "image/jpeg", "a.jpeg"), ("a.txt", b"x", "image/png", "a.png"),
        ("a", b"x", "text/csv", "a.csv"), (".env", b"x", "text/plain", ".env.txt"), ("d.x/a", b"x", "text/plain", "d.x/a.txt"),
        ("a.tar.gz", b"x", "application/gzip", "a.tar.gz"), ("a.odd", b"x", "application/x-own", "a.odd"),
        ("a.TXT", b"x", "text/plain; charset=utf-8", "a.TXT"), ("a.txt", b"\x89PNG\r\n\x1a\n" + bytes(9), "", "a.png"),
    ],
)  # fmt: skip
def test_fix_extension(name: str, content: bytes, mime: str, fixed: str) -> None:
    storage = make_storage("s", {"type": "memory", "location_transformers": ["fix_extension"]})
    assert storage.prepare_location(name, make_upload(content, mime)) == fixed
    with pytest.raises(exc.LocationTransformerError, match="fix_extension needs the upload"):
        storage.prepare_location(name)


def test_transformers_follow_one_another() -> None:
    storage = make_storage("s", {"type": "memory", "location_transformers": ["safe_relative_path", "own"]})
    with pytest.raises(exc.LocationTransformerError) as caught:
        storage.prepare_location("a")
    assert str(caught.value).startswith(
        "storage 's': prepare_location 'a': unknown location transformer 'own': known are datetime_prefix, "
    )
    transformers.transformers["own"] = lambda name, upload: name.upper()
    try:
        assert storage.prepare_location("../a") == "A"
        transformers.transformers["own"] = lambda name, upload: "../" + name
        with pytest.raises(exc.LocationError, match=r"segment '\.\.'"):
            storage.prepare_location("a")
    finally:
        del transformers.transformers["own"]
    for given in ("a//b", "../a", ""):
        with pytest.raises(exc.LocationError):
            make_storage("s", {"type": "memory"}).prepare_location(given)
