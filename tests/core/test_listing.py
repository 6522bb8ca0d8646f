"""Order, prefixes and what is hidden: the core's part of a listing, against a sort of all names."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest
from file_keeper import FileData, Storage, exc, make_storage
from file_keeper.backend import Backend, Limits, ObjectInfo, Prefix, Settings
from file_keeper.memory import MemoryBackend, MemorySettings

# Around each border where the orders part: below the surrogates, the surrogates' own place, beyond U+FFFF.
ALPHABET = "a.-/~é\ud7ff\ue000\ufffd\U00010000\U0001f600\U0010fffd".replace("/", "") + "/"


def names(seed: int, count: int, longest: int = 5) -> list[str]:
    chance = random.Random(seed)
    found: set[str] = set()
    while len(found) < count:
        name = "".join(chance.choice(ALPHABET) for _ in range(chance.randint(1, longest)))
        if "//" not in name and name.strip("/") == name and not {".", ".."} & set(name.split("/")):
            found.add(name)
    return sorted(found, key=str.encode)


class Ordered(MemoryBackend):
    """Memory that lists as some provider does."""

    order: str

    def __init__(self, settings: MemorySettings, order: str):
        super().__init__(settings)
        self.limits = Limits(order=order, local=True)  # type: ignore[arg-type]
        self.order = order
        self.asked: list[tuple[str, str, str]] = []

    def _position(self, key: str) -> Any:
        if self.order == "utf16":
            return key.encode("utf-16-be", "surrogatepass")
        if self.order == "tree":
            return [segment.encode() for segment in key.split("/")]
        return hash(key) if self.order == "none" else key.encode("utf-8", "surrogatepass")

    def list(self, prefix: str, *, start_after: str = "", delimiter: str = "") -> Iterator[ObjectInfo | Prefix]:
        self.asked.append((prefix, start_after, delimiter))
        entries = list(super().list(prefix, delimiter=delimiter))
        entries.sort(key=lambda entry: self._position(entry.key))
        for entry in entries:
            if not start_after or self._position(entry.key) > self._position(start_after):
                yield entry


def storage_of(order: str, keys: list[str], path: str = "") -> Storage:
    settings = make_storage("s", {"type": "memory", "path": path}).settings
    assert isinstance(settings, MemorySettings)
    backend = Ordered(settings, order)
    for key in keys:
        backend._bucket.objects[path + "/" * bool(path) + key] = b"x"
    return Storage("s", settings, backend)


def grouped(keys: list[str], prefix: str, delimiter: str, after: str) -> list[str]:
    """What a listing with a delimiter must give, by brute force."""
    result: list[str] = []
    for key in keys:
        if not key.startswith(prefix):
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = key if at < 0 else key[: at + len(delimiter)]
        if entry.encode() > after.encode() and entry not in result:
            result.append(entry)
    return result


def shown(storage: Storage, **arguments: str) -> list[str]:
    return [entry.location if isinstance(entry, FileData) else entry for entry in storage.files(**arguments)]


@pytest.mark.parametrize("path", ["", "\U0001f600/ï"])
@pytest.mark.parametrize("order", ["utf16", "tree", "none"])
@pytest.mark.parametrize("seed", range(6))
def test_every_order_becomes_that_of_utf8(order: str, seed: int, path: str) -> None:
    keys = names(seed, 150)
    storage = storage_of(order, keys, path)
    chance = random.Random(seed)
    assert list(storage.scan()) == keys
    for _ in range(12):
        after = chance.choice([chance.choice(keys), chance.choice(keys)[:-1] + chance.choice(ALPHABET)])
        prefix = chance.choice(["", chance.choice(ALPHABET[:-1]), chance.choice(keys)[:2], chance.choice(keys)])
        delimiter = chance.choice(["", "/", "/", "-", "é"])
        wanted = [key for key in keys if key.startswith(prefix) and key.encode() > after.encode()]
        assert list(storage.scan(prefix=prefix, start_after=after)) == wanted
        assert shown(storage, prefix=prefix, start_after=after, delimiter=delimiter) == grouped(
            keys, prefix, delimiter, after
        ), (prefix, after, delimiter)


def test_what_is_held_back_may_hold_back_itself() -> None:
    # Three deep: each of these comes before the former in UTF-8, and after it in UTF-16.
    keys = [
        "a\ue000\ue000\ue001",
        "a\ue000\ue000\U00010000",
        "a\ue000\ue001",
        "a\ue000\U00010000",
        "a\ue001",
        "a\U00010000",
    ]
    assert keys == sorted(keys, key=str.encode)
    assert list(storage_of("utf16", keys).scan()) == keys


def test_utf16_does_not_read_on_for_plain_names() -> None:
    storage = storage_of("utf16", [f"{number:04}" for number in range(50)])
    assert next(storage.scan(start_after="0010")) == "0011"
    assert storage.backend.asked == [("", "0010", "")]


def test_a_directory_at_a_time_is_lazy() -> None:
    storage = storage_of("tree", [f"{folder}/{number}" for folder in "abc" for number in range(5)])
    found = storage.scan()
    assert next(found) == "a/0"
    assert [asked[0] for asked in storage.backend.asked] == ["", "a/"]
    assert list(storage.scan(start_after="b/4")) == [f"c/{number}" for number in range(5)]
    assert "a/" not in [asked[0] for asked in storage.backend.asked[2:]]


def test_deep_trees() -> None:
    deep = "/".join("d" * 300)
    assert list(storage_of("tree", [deep, "e"]).scan()) == [deep, "e"]


@pytest.mark.parametrize("order", ["bytes", "utf16", "tree", "none"])
def test_what_no_location_can_name_is_left_out_and_counted(order: str, caplog: pytest.LogCaptureFixture) -> None:
    odd = ["/x", "./x", "a/../b", "a\nb", "C:x", "x" * 1025]
    hidden = [".file-keeper/parts/1", "a/.file-keeper/x"]
    storage = storage_of(order, ["a/b", "fine//odd", *odd, *hidden])
    with caplog.at_level(logging.WARNING, "file_keeper"):
        assert list(storage.scan()) == ["a/b", "fine//odd"]
    assert [record.getMessage() for record in caplog.records] == [
        "6 objects under '' were not listed: no location can name them"
    ]
    assert shown(storage, delimiter="/") == ["a/", "fine/"]


def test_directory_markers_are_not_listed() -> None:
    storage = storage_of("bytes", ["a/b", "a/"])
    storage.backend._bucket.objects["a/"] = b""
    storage.backend._bucket.objects["full/"] = b"not empty"
    assert list(storage.scan()) == ["a/b", "full/"]
    assert storage.content("full/") == b"not empty"


def test_a_delimiter_does_not_uncover_what_is_ours() -> None:
    storage = storage_of("bytes", [".file-keeper/x", "a"])
    assert shown(storage, delimiter="-") == ["a"]
    storage.backend._bucket.objects[".file-cabinet"] = b"x"
    assert shown(storage, delimiter="-") == [".file-", "a"]


@pytest.mark.parametrize("prefix", ["/", "../", "a/../", "./", ".file-keeper/", "a\0", "\ud800", "C:", "x" * 1025])
def test_a_prefix_that_no_location_has_asks_nobody(prefix: str) -> None:
    storage = storage_of("bytes", ["a", "../x", "/x"])
    assert list(storage.scan(prefix=prefix)) == []
    assert list(storage.files(prefix=prefix)) == []
    assert storage.backend.asked == []


@pytest.mark.parametrize("prefix", [".", "..", ".file-keeper", "a/C:", "a//", "x" * 1024])
def test_a_prefix_is_by_characters(prefix: str) -> None:
    key = (prefix + "x")[:1024]
    assert list(storage_of("bytes", [key, "b"]).scan(prefix=prefix)) == [key]


def test_start_after_must_be_text_that_can_be_sent() -> None:
    storage = storage_of("bytes", ["a"])
    with pytest.raises(exc.LocationError, match="start_after has lone surrogates"):
        storage.scan(start_after="\udc80")
    assert list(storage.scan(start_after="../\n")) == ["a"]


def test_the_capability_is_checked_at_the_call() -> None:
    storage = make_storage("s", {"type": "memory", "disabled_capabilities": ["scan"]})
    for call in (storage.scan, storage.files, storage.filtered_scan):
        with pytest.raises(exc.UnsupportedOperationError, match="disabled in its settings"):
            call()


def test_errors_on_the_way_say_where() -> None:
    class Broken(Backend[Settings]):
        head = read = put = delete = MemoryBackend.head  # type: ignore[assignment]

        def list(self, prefix: str, *, start_after: str = "", delimiter: str = "") -> Iterator[ObjectInfo | Prefix]:
            yield ObjectInfo(key="a", size=1)
            raise KeyError("boom")

        def translate(self, error: Exception) -> exc.FilesError | None:
            return exc.PermissionError("no") if isinstance(error, KeyError) else None

    storage = Storage("s", make_storage("s", {"type": "null"}).settings, Broken(Settings()))
    found = storage.scan()
    assert next(found) == "a"
    with pytest.raises(exc.PermissionError, match="storage 's': scan: no") as caught:
        next(found)
    assert isinstance(caught.value.__cause__, KeyError)
