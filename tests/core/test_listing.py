"""Order, prefixes and what is hidden: the core's part of a listing, against a sort of all names."""

from __future__ import annotations

import logging
import random
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from file_keeper import FileData, Storage, exc, make_storage
from file_keeper.backend import Backend, Limits, ObjectInfo, Page, Settings, cut_pages, entries_of
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

    def __init__(self, settings: MemorySettings, order: str, claim: str = "", page: int = 40):
        super().__init__(settings)
        self.limits = Limits(order=claim or order, local=True)  # type: ignore[arg-type]
        self.order = order
        self.page = page
        self.asked: list[tuple[str, str, str]] = []

    def _position(self, key: str) -> Any:
        if self.order == "utf16":
            return key.encode("utf-16-be", "surrogatepass")
        if self.order == "tree":
            return [segment.encode() for segment in key.split("/")]
        return zlib.crc32(key.encode()) if self.order == "none" else key.encode("utf-8", "surrogatepass")

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        self.asked.append((prefix, start_after, delimiter))
        infos = [entry for entry in entries_of(super().list(prefix)) if isinstance(entry, ObjectInfo)]
        infos.sort(key=lambda info: self._position(info.key))
        behind = [i for i in infos if not start_after or self._position(i.key) > self._position(start_after)]
        return cut_pages(behind, prefix, delimiter=delimiter, size=self.page)


def storage_of(order: str, keys: list[str], path: str = "", kind: type[Ordered] = Ordered, **options: Any) -> Storage:
    settings = make_storage("s", {"type": "memory", "path": path}).settings
    assert isinstance(settings, MemorySettings)
    backend = kind(settings, order, **options)
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


# -- services that list in another order than they should -------------------------------------------------------------

FOREIGN = ["a/1", "a/2", "b", "data-1/x", "data.txt", "data/x", "data/y/z", "data0"]


@pytest.mark.parametrize("order", ["tree", "none", "utf16"])
@pytest.mark.parametrize("claim", ["bytes", "assumed", "utf16"])
@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_left_out_for_its_order(order: str, claim: str, seed: int) -> None:
    keys = names(seed, 120)
    chance = random.Random(seed)
    for page in (7, 1000):
        for after in ["", *chance.sample(keys, 5)]:
            storage = storage_of(order, keys, claim=claim, page=page)
            wanted = [key for key in keys if key.encode() > after.encode()]
            if after and claim not in ("assumed", order):
                continue  # it is a lie that is relied on; `assumed` is for those who do not know
            try:
                found = list(storage.scan(start_after=after))
            except exc.ConnectionError as error:
                assert "not the order of its protocol" in str(error)  # noqa: PT017
                found = list(storage.scan(start_after=after))
            if claim == "assumed" and order != "tree" and after:
                continue  # what a service of no known order does with a name to begin behind, nobody can tell
            assert found == wanted, (page, after)


def test_another_order_on_the_first_page_is_repaired() -> None:
    storage = storage_of("tree", FOREIGN, claim="bytes", page=6)
    assert list(storage.scan()) == FOREIGN
    assert storage.backend.asked[0] == ("", "", "")
    assert [asked[0] for asked in storage.backend.asked[1:]] == ["", "a/", "data-1/", "data/", "data/y/"]
    del storage.backend.asked[:]
    assert list(storage.scan(prefix="data")) == FOREIGN[3:]
    assert all(asked[2] == "/" for asked in storage.backend.asked), "it is remembered"


def test_another_order_on_a_single_page_is_sorted() -> None:
    storage = storage_of("tree", FOREIGN, claim="bytes", page=1000)
    assert list(storage.scan()) == FOREIGN
    assert len(storage.backend.asked) == 1


def test_another_order_that_shows_too_late_ends_the_listing_with_an_error() -> None:
    storage = storage_of("tree", FOREIGN, claim="bytes", page=3)
    listing = storage.scan()
    found = [next(listing), next(listing), next(listing)]
    with pytest.raises(exc.ConnectionError, match=r"storage 's': scan: the service lists 'data.*list again"):
        found += listing
    assert found == FOREIGN[: len(found)]
    assert list(storage.scan()) == FOREIGN
    assert shown(storage, delimiter="/") == ["a/", "b", "data-1/", "data.txt", "data/", "data0"]


@pytest.mark.parametrize("page", [1, 3, 1000])
def test_a_name_to_begin_behind_is_not_left_to_an_order_that_nobody_knows(page: int) -> None:
    for number, after in enumerate(FOREIGN):
        storage = storage_of("tree", FOREIGN, claim="assumed", page=page)
        try:
            assert list(storage.scan(start_after=after)) == FOREIGN[number + 1 :]
        except exc.ConnectionError:
            assert list(storage.scan(start_after=after)) == FOREIGN[number + 1 :]
        assert [file.location for file in storage.files(start_after=after)] == FOREIGN[number + 1 :]  # type: ignore[union-attr]


@pytest.mark.parametrize("delimiter", ["/", "-", "a"])
@pytest.mark.parametrize("prefix", ["", "data", "data/"])
@pytest.mark.parametrize("order", ["tree", "bytes"])
def test_a_directory_is_not_left_out_behind_a_name(order: str, prefix: str, delimiter: str) -> None:
    for after in (*FOREIGN, "data.", "data-"):
        wanted = grouped(FOREIGN, prefix, delimiter, after)
        storage = storage_of(order, FOREIGN, claim="assumed", page=1000)
        assert shown(storage, prefix=prefix, delimiter=delimiter, start_after=after) == wanted, after


def test_a_service_that_is_as_it_should_is_looked_at_once() -> None:
    storage = storage_of("bytes", FOREIGN, claim="assumed")
    assert list(storage.scan(start_after="data.txt")) == FOREIGN[5:]
    assert len(storage.backend.asked) == 2
    assert list(storage.scan(start_after="data.txt")) == FOREIGN[5:]
    assert len(storage.backend.asked) == 3
    assert list(storage.scan(start_after="." * 900)) == FOREIGN


class Deaf(Ordered):
    """Rolls up keys at one delimiter, or at none, whatever it is asked for."""

    heeds = "/"

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        return super().list(prefix, start_after=start_after, delimiter=self.heeds if delimiter else "")


@pytest.mark.parametrize("page", [2, 1000])
@pytest.mark.parametrize("heeds", ["/", ""])
@pytest.mark.parametrize("claim", ["bytes", "assumed"])
@pytest.mark.parametrize("order", ["bytes", "tree"])
def test_another_delimiter_than_asked_for_hides_nothing(order: str, claim: str, heeds: str, page: int) -> None:
    if order == "tree" and (page == 2 or not heeds):
        return  # it ends with an error, see below
    for delimiter in ("-", "a", "/", "ta"):
        for prefix in ("", "data"):
            for after in ("", "a/2", "data-", "data.txt"):
                if after and claim != "assumed" and order != claim:
                    continue
                storage = storage_of("bytes", FOREIGN, claim=claim, page=page, kind=Deaf)
                storage.backend.order, storage.backend.heeds = order, heeds
                wanted = grouped(FOREIGN, prefix, delimiter, after)
                asked = {"prefix": prefix, "delimiter": delimiter, "start_after": after}
                assert shown(storage, **asked) == wanted, (asked, "first")
                assert shown(storage, **asked) == wanted, (asked, "again")


def test_a_tree_without_delimiters_is_an_error() -> None:
    storage = storage_of("tree", FOREIGN, claim="bytes", page=3, kind=Deaf)
    storage.backend.heeds = ""
    for _ in range(2):
        with pytest.raises(exc.ConnectionError, match=r"order of its protocol|does not roll up"):
            shown(storage, delimiter="/")


def test_many_looks_are_not_worth_it() -> None:
    storage = storage_of("tree", FOREIGN, claim="assumed")
    assert list(storage.scan(start_after="a.b.c.d.e.f.g.h.i.j.k")) == FOREIGN[:2] + FOREIGN[2:]
    assert all(asked[2] == "/" for asked in storage.backend.asked)


class Stranger(Ordered):
    """Answers with what it was not asked for."""

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        return super().list("")


def test_a_service_that_heeds_no_prefix_and_no_start() -> None:
    settings = make_storage("s", {"type": "memory", "path": "p"}).settings
    assert isinstance(settings, MemorySettings)
    backend = Stranger(settings, "bytes")
    for key in ("o/x", "p/a", "p/b", "p/c/d", "q"):
        backend._bucket.objects[key] = b"x"
    storage = Storage("s", settings, backend)
    assert list(storage.scan()) == ["a", "b", "c/d"]
    assert list(storage.scan(prefix="b", start_after="a")) == ["b"]
    backend.limits = Limits(order="tree")
    with pytest.raises(exc.ConnectionError, match="does not roll up keys"):
        list(storage.scan())


def test_a_prefix_that_is_named_again_on_the_next_page_is_one() -> None:
    class Again(MemoryBackend):
        def list(
            self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
        ) -> Iterator[Page]:
            row = ("b", 1, "", None)
            return iter([Page((), (), ["a/"]), Page(["b"], [row], ["a/", "c/"]), Page((), (), ["c/"]), Page((), ())])

    settings = make_storage("s", {"type": "memory"}).settings
    assert isinstance(settings, MemorySettings)
    assert shown(Storage("s", settings, Again(settings)), delimiter="/") == ["a/", "b", "c/"]


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
    deep = "/".join("d" * 500)
    assert list(storage_of("tree", [deep, "e"]).scan()) == [deep, "e"]
    # Others may have made deeper ones than a location can name: they are walked and counted.
    assert list(storage_of("tree", ["/".join("d" * 5000), "e"]).scan()) == ["e"]


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

        def list(
            self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
        ) -> Iterator[Page]:
            yield Page.of([ObjectInfo(key="a", size=1)])
            raise KeyError("boom")

        def translate(self, error: Exception) -> exc.FilesError | None:
            return exc.PermissionError("no") if isinstance(error, KeyError) else None

    storage = Storage("s", make_storage("s", {"type": "null"}).settings, Broken(Settings()))
    found = storage.scan()
    assert next(found) == "a"
    with pytest.raises(exc.PermissionError, match="storage 's': scan: no") as caught:
        next(found)
    assert isinstance(caught.value.__cause__, KeyError)
