"""Cases 38 to 48: listing is lazy, complete and in UTF-8 byte order."""

from __future__ import annotations

import fnmatch
from itertools import islice

import pytest
from file_keeper import Capability, FileData, Storage, exc

from ..counting import counted
from ..sources import payload
from .base import Base, Make, in_order, needs, store

TRICKY = [
    "A", "Z", "a", "t-/b", "t-", "t/a", "t/", "t.txt", "t0", "t/z/deep", "ta", " ", "!", "~", "é", "e\u0301", "ÿ",
    "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uf8ff", "\uffef", "\U00010000", "\U0001f600", "\U0010fffd",
    "x\ue000y", "x\uffefz", "x\U0001f600y", "x\U0001f600/a", "x\U0001f600", "x\ue000/b", "x",
    "\U0001f600/\ue000", "\U0001f600/\U00010000", "\ue000/x",
]  # fmt: skip
"""Names that UTF-16, case folding, hierarchies and plain sorting of paths put into other orders."""

TREE = ["a/1", "a/2", "a/b/3", "a-b", "a.txt", "ab/4", "b", "c/d/e/5", "z/6"]


def tricky() -> list[str]:
    """Return the names that can be files all at once, also in a file system."""
    names = {name for name in TRICKY if not name.endswith("/")}
    return [name for name in names if not any(other.startswith(name + "/") for other in names)]


class Listing(Base):
    """``scan`` and ``files``."""

    @needs(Capability.SCAN)
    def test_case_38_none_and_one(self, storage: Storage) -> None:
        assert list(storage.scan()) == []
        assert list(storage.files()) == []
        assert list(storage.files(delimiter="/")) == []
        storage.upload("x", b"x")
        assert list(storage.scan()) == ["x"]
        assert list(storage.filtered_scan()) == ["x"]
        assert list(storage.filtered_scan("y")) == []

    @pytest.mark.slow
    @needs(Capability.SCAN, Capability.REMOVE)
    def test_case_38_many(self, storage: Storage) -> None:
        names = [f"{n:05}" for n in range(max(self.many, self.page + 1))]
        for begin, end in ((0, self.page), (self.page, self.page + 1), (self.page + 1, len(names))):
            store(storage, names[begin:end])
            assert list(storage.scan()) == names[:end]
        for after in (self.page - 2, self.page - 1, self.page, len(names) // 2, len(names) - 2, len(names) - 1):
            assert list(storage.scan(start_after=names[after])) == names[after + 1 :]
        assert [file.location for file in storage.files() if isinstance(file, FileData)] == names
        watched, counter = counted(storage)
        walk = watched.scan()
        assert next(walk) == names[0]
        steps = counter.count("item")
        if storage.limits.order not in ("none", "tree"):  # there a directory must be read before it can be sorted
            assert steps <= self.page + 2
        assert counter.counts.total() == 1
        assert list(islice(walk, 9)) == names[1:10]
        walk.close()  # type: ignore[attr-defined]
        assert counter.count("item") <= max(steps, 12)
        assert storage.remove_many([*names, "missing"]) == []
        assert list(storage.scan()) == []

    @needs(Capability.SCAN)
    def test_case_39_order(self, storage: Storage) -> None:
        names = self.distinct(tricky())
        store(storage, names)
        expected = in_order(names)
        assert list(storage.scan()) == expected
        assert [file.location for file in storage.files() if isinstance(file, FileData)] == expected
        for name in expected:
            assert list(storage.scan(start_after=name)) == expected[expected.index(name) + 1 :], name
        for prefix in ("x", "t", "\ue000", "\U0001f600", "t/", "x\U0001f600"):
            assert list(storage.scan(prefix=prefix)) == [name for name in expected if name.startswith(prefix)], prefix

    @needs(Capability.SCAN)
    def test_case_40_prefix_by_characters_and_path_by_segments(self, storage: Storage, make: Make) -> None:
        store(storage, TREE)
        for prefix in ("", "a", "a/", "a/b", "a-", "b", "c/d", "nothing", "a/b/3", "a/b/34"):
            assert list(storage.scan(prefix=prefix)) == in_order([n for n in TREE if n.startswith(prefix)]), prefix
        assert list(make("a").scan()) == ["1", "2", "b/3"]
        assert list(make("c").scan()) == ["d/e/5"]
        assert list(make("a/b").scan()) == ["3"]
        assert list(make("nothing").scan()) == []

    @needs(Capability.SCAN)
    def test_case_41_delimiter(self, storage: Storage) -> None:
        store(storage, TREE)

        def flat(**arguments: str) -> list[str]:
            return [entry if isinstance(entry, str) else entry.location for entry in storage.files(**arguments)]

        assert flat(delimiter="/") == ["a-b", "a.txt", "a/", "ab/", "b", "c/", "z/"]
        assert [type(entry) for entry in islice(storage.files(delimiter="/"), 3)] == [FileData, FileData, str]
        assert flat(delimiter="/", prefix="a/") == ["a/1", "a/2", "a/b/"]
        assert flat(delimiter="/", prefix="a") == ["a-b", "a.txt", "a/", "ab/"]
        assert flat(delimiter="/", prefix="c/d/") == ["c/d/e/"]
        assert flat(delimiter="/", start_after="a.txt") == ["a/", "ab/", "b", "c/", "z/"]
        assert flat(delimiter="/", start_after="b") == ["c/", "z/"]
        assert flat(delimiter="-") == in_order([*(name for name in TREE if name != "a-b"), "a-"])

    @needs(Capability.SCAN)
    def test_case_42_start_after(self, storage: Storage) -> None:
        store(storage, TREE)
        expected = in_order(TREE)
        for after in (*TREE, "", "a", "a/", "a/b", "a0", "a/b/", "c/d/e/4", "zz", "\U0001f600", "a.txt0", "-"):
            rest = [name for name in expected if name.encode() > after.encode()]
            assert list(storage.scan(start_after=after)) == rest, after
            assert [f.location for f in storage.files(start_after=after) if isinstance(f, FileData)] == rest
            limited = [name for name in rest if name.startswith("a/")]
            assert list(storage.scan(prefix="a/", start_after=after)) == limited, after
        assert list(islice(storage.scan(), 4)) + list(storage.scan(start_after=expected[3])) == expected

    @needs(Capability.SCAN)
    def test_case_43_changes_while_listing(self, storage: Storage) -> None:
        names = [f"{n:02}" for n in range(0, 40, 2)]
        store(storage, names)
        walk = storage.scan()
        given = list(islice(walk, 10))
        storage.upload("01", b"behind")
        storage.upload("37", b"ahead")
        storage.remove("00")
        storage.remove("38")
        given += walk
        assert set(names) - {"38"} <= set(given) <= {*names, "37"}
        assert given == in_order(given)
        # Removing what is listed while it is listed removes everything.
        for name in storage.scan():
            assert storage.remove(name)
        assert list(storage.scan()) == []

    @needs(Capability.SCAN, Capability.MULTIPART)
    def test_case_44_open_uploads_are_hidden(self, storage: Storage) -> None:
        storage.upload("before", b"x")
        size = storage.settings.part_size + 100
        data = storage.multipart_start("open", size)
        data = storage.multipart_update(data, payload(storage.settings.part_size), 0)
        declared = storage.multipart_start("declared", 10, hash="0" * 64, algorithm="sha256")
        assert list(storage.scan()) == ["before"]
        assert [entry for entry in storage.files(delimiter="/") if isinstance(entry, str)] == []
        assert not storage.exists("open")
        assert storage.multipart_remove(data)
        assert storage.multipart_remove(declared)
        assert self.leftovers(storage) == []

    @needs(Capability.SCAN)
    def test_case_44_what_is_ours_is_hidden(self, storage: Storage) -> None:
        storage.upload("x", b"x")
        root = storage.full_path("x")[:-1]
        from file_keeper.backend import WriteOptions

        try:
            storage.backend.put(f"{root}.file-keeper/left", b"ours", WriteOptions())
            storage.backend.put(f"{root}d/.file-keeper/left", b"ours", WriteOptions())
        except exc.LocationError:
            pass  # this backend guards the segment by itself
        assert list(storage.scan()) == ["x"]
        assert [f if isinstance(f, str) else f.location for f in storage.files(delimiter="/")][-1] == "x"

    @needs(Capability.SCAN, Capability.ANALYZE, Capability.REMOVE)
    def test_case_45_what_is_listed_can_be_used(self, storage: Storage) -> None:
        names = self.distinct(tricky())
        store(storage, names)
        for name in storage.scan():
            assert storage.content(name) == name.encode()
            assert storage.analyze(name).size == len(name.encode())
            assert storage.remove(name)
        assert list(storage.scan()) == []

    @needs(Capability.SCAN)
    def test_case_46_facts_come_from_the_listing(self, storage: Storage) -> None:
        made = {name: storage.upload(name, payload(size)) for name, size in (("a", 0), ("b", 10), ("c/d", 5000))}
        watched, counter = counted(storage)
        seen = list(watched.files())
        # A backend that lists a directory at a time asks once for each.
        assert set(counter.counts) <= {"list"}
        assert counter.counts["list"] <= 2
        assert [file.location for file in seen if isinstance(file, FileData)] == ["a", "b", "c/d"]
        for file in seen:
            assert isinstance(file, FileData)
            assert file.size == made[file.location].size
            assert file.modified is not None
            assert file.modified.tzinfo is not None
            assert file.etag == storage.analyze(file.location).etag
            assert file.hash in ("", made[file.location].hash)

    @needs(Capability.SCAN)
    def test_case_47_lazy(self, storage: Storage) -> None:
        store(storage, TREE)
        watched, counter = counted(storage)
        walk = watched.scan()
        files = watched.files()
        assert counter.requests == 0
        next(walk)
        next(files)
        assert counter.requests <= 4

    @needs(Capability.SCAN)
    def test_case_48_glob(self, storage: Storage) -> None:
        names = ["a.txt", "b.txt", "d/c.txt", "d/e/f.csv", "[x].txt", "A.TXT", ".hidden.txt"]
        names = [name for name in names if self.case_sensitive or name != "A.TXT"]
        store(storage, names)
        for glob in ("*.txt", "d/*", "*", "?.txt", "[[]x].txt", "[ab].txt", "d/?/*", "*.TXT", "nothing", "[!a]*"):
            expected = in_order([name for name in names if fnmatch.fnmatchcase(name, glob)])
            assert list(storage.scan(glob=glob)) == expected, glob
            assert list(storage.filtered_scan("d/", glob)) == [n for n in expected if n.startswith("d/")], glob
            assert [f.location for f in storage.files(glob=glob) if isinstance(f, FileData)] == expected, glob
