"""FileData: what it takes, and that it comes back equal from JSON and from objects."""

from __future__ import annotations

import copy
import json
import pickle
import random
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from file_keeper import FileData, exc, make_storage

FULL = FileData(
    "a/ü 😀.txt",
    size=7,
    content_type="text/plain",
    hash="00ff",
    algorithm="md5",
    storage_data={"multipart": True, "parts": [{"part": 0, "size": 7}]},
    modified=datetime(2026, 1, 2, 3, 4, 5, 678901, timezone(timedelta(hours=5, minutes=30))),
    etag='"x"',
    metadata={"título": "é"},
    headers={"Cache-Control": "no-store"},
)


def test_defaults() -> None:
    data = FileData("a")
    assert (data.size, data.content_type, data.hash, data.algorithm) == (0, "application/octet-stream", "", "")
    assert (data.storage_data, data.modified, data.etag, data.metadata, data.headers) == ({}, None, "", {}, {})
    assert data == FileData.from_string("a")
    with pytest.raises(TypeError):
        FileData("a", 5)  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        data.size = 5  # type: ignore[misc]


@pytest.mark.parametrize("data", [FileData(""), FileData("a"), FULL])
def test_round_trips(data: FileData) -> None:
    record = json.loads(json.dumps(data.as_dict()))
    back = FileData.from_dict(record)
    assert back == data
    assert back.as_dict() == data.as_dict()
    assert back.modified == data.modified
    assert copy.deepcopy(data) == pickle.loads(pickle.dumps(data)) == data
    assert hash(back) == hash(data)


def test_what_takes_no_part_in_equality() -> None:
    for other in ({"modified": None}, {"etag": ""}, {"metadata": {}}, {"headers": {}}):
        assert replace(FULL, **other) == FULL  # type: ignore[arg-type]
    for other in (
        {"location": "b"},
        {"size": 8},
        {"content_type": ""},
        {"hash": ""},
        {"algorithm": ""},
        {"storage_data": {}},
    ):
        assert replace(FULL, **other) != FULL  # type: ignore[arg-type]


def test_a_copy_of_the_record_is_kept() -> None:
    record: dict[str, Any] = {"location": "a", "storage_data": {"x": 1}, "metadata": {"a": "b"}, "unknown": 5}
    data = FileData.from_dict(record)
    record["storage_data"]["x"] = 2
    record["metadata"]["a"] = "c"
    assert (data.storage_data, data.metadata) == ({"x": 1}, {"a": "b"})
    data.as_dict()["metadata"]["a"] = "d"
    assert data.metadata == {"a": "b"}
    assert FileData.from_dict({"location": "a", "size": None, "modified": None}) == FileData("a")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "a record of a file needs its 'location'"),
        ({"location": 5}, "a record of a file needs its 'location'"),
        ({"location": "a", "size": "7"}, "'a': not a record of a file: size is '7'"),
        ({"location": "a", "size": True}, "'a': not a record of a file: size is True"),
        ({"location": "a", "size": -1}, "'a': not a record of a file: size is -1"),
        ({"location": "a", "hash": 5}, "'a': not a record of a file: hash is 5"),
        ({"location": "a", "modified": "yesterday"}, "'a': not a record of a file: Invalid isoformat"),
        ({"location": "a", "modified": 5}, "'a': not a record of a file: modified is 5"),
        ({"location": "a", "metadata": 5}, "'a': not a record of a file: "),
        ({"location": "a", "storage_data": ["x"]}, "'a': not a record of a file: "),
    ],
)
def test_records_that_make_no_sense(record: dict[str, Any], message: str) -> None:
    with pytest.raises(exc.StorageDataError) as caught:
        FileData.from_dict(record)
    assert str(caught.value).startswith(message)


def test_objects() -> None:
    row = SimpleNamespace(location="a", size=3, hash="00", algorithm="md5", content_type=None, own="mine", metadata={})
    data = FileData.from_object(row)
    assert data == FileData("a", size=3, hash="00", algorithm="md5")
    assert FULL.into_object(row) is row
    assert (row.location, row.size, row.own, row.metadata) == (FULL.location, 7, "mine", FULL.metadata)
    assert not hasattr(row, "etag")
    row.metadata["a"] = "changed"
    assert "a" not in FULL.metadata
    with pytest.raises(exc.StorageDataError, match="needs its 'location'"):
        FileData.from_object(object())


def test_the_state_of_an_upload_is_not_shown() -> None:
    shown = repr(FileData("a", size=3, storage_data={"upload_id": "https://secret", "multipart": True}))
    assert shown == (
        "FileData('a', size=3, content_type='application/octet-stream', storage_data=<multipart upload_id>)"
    )


def test_a_caller_s_data_is_never_changed() -> None:
    storage = make_storage("s", {"type": "memory", "overwrite_existing": True})
    made = storage.upload("a", b"x", metadata={"k": "v"})
    before, plain = copy.deepcopy(made.as_dict()), FileData("a")
    for data in (made, plain):
        shown = copy.deepcopy(data.as_dict())
        storage.analyze(data), storage.content(data), storage.copy("b", data), storage.append(data, b"y")
        storage.verify(storage.analyze(data)), storage.compose("c", data, data), storage.upload("a", b"x")
        assert data.as_dict() == shown
    assert made.as_dict() == before


def test_random_data() -> None:
    chance = random.Random(1)
    for _ in range(200):
        text = "".join(chr(chance.choice((chance.randrange(32, 127), chance.randrange(160, 0xD7FF)))) for _ in range(9))
        data = FileData(
            text,
            size=chance.randrange(1 << 50),
            metadata={text[:3]: text[3:]},
            storage_data={text: [chance.random(), None, True]},
            modified=datetime.fromtimestamp(chance.randrange(4_000_000_000), UTC),
        )
        back = FileData.from_dict(json.loads(json.dumps(data.as_dict())))
        assert (back, back.metadata, back.modified) == (data, data.metadata, data.modified)
