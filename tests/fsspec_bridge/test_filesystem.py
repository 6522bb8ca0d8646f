"""What a user of fsspec expects beyond its abstract tests, and what we promise beyond fsspec."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import file_keeper as fk
import fsspec
import pytest
from file_keeper_fsspec import FileKeeperFileSystem
from file_keeper_fsspec.ranges import merge
from file_keeper_testing import counted


@pytest.fixture(params=["memory", "fs", pytest.param("s3", marks=pytest.mark.full)])
def storage(request: pytest.FixtureRequest, fresh_settings: Callable[..., dict[str, Any]]) -> Iterator[fk.Storage]:
    with fk.make_storage("media", fresh_settings(request.param)) as made:
        yield made


@pytest.fixture
def fs(storage: fk.Storage) -> FileKeeperFileSystem:
    return FileKeeperFileSystem(storage)


def test_an_address_of_a_configured_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = tmp_path / "storages.toml"
    config.write_text(f'[storages.lake]\ntype = "fs"\npath = "{tmp_path / "lake"}"\ninitialize = true\n')
    monkeypatch.setenv("FILE_KEEPER_CONFIG", str(config))
    with fsspec.open("filekeeper://lake/a/b.txt", "wt") as file:
        file.write("grüße")
    assert (tmp_path / "lake" / "a" / "b.txt").read_text("utf-8") == "grüße"
    fs, path = fsspec.url_to_fs("filekeeper://lake/a/b.txt")
    assert (type(fs), path) == (FileKeeperFileSystem, "lake/a/b.txt")
    assert fs.cat(path).decode() == "grüße"
    with fsspec.open_files("filekeeper://lake/a/*.txt", "rt")[0] as file:
        assert file.read() == "grüße"


def test_looking(fs: FileKeeperFileSystem, storage: fk.Storage):
    for name in ("a.txt", "d/b.txt", "d/e/c.txt", "d/[x].txt"):
        fs.pipe_file(f"media/{name}", name.encode())
    assert sorted(fs.ls("media", detail=False)) == ["media/a.txt", "media/d"]
    assert [info["type"] for info in fs.ls("media/d", detail=True)] == ["file", "file", "directory"]
    assert fs.ls("media/a.txt", detail=False) == ["media/a.txt"]
    assert fs.find("media/d") == ["media/d/[x].txt", "media/d/b.txt", "media/d/e/c.txt"]
    assert fs.glob("media/d/*.txt") == ["media/d/[x].txt", "media/d/b.txt"]
    assert fs.glob("media/**/c.txt") == ["media/d/e/c.txt"]
    assert fs.du("media") == sum(map(len, ("a.txt", "d/b.txt", "d/e/c.txt", "d/[x].txt")))
    assert [(path, sorted(dirs), sorted(files)) for path, dirs, files in fs.walk("media/d")] == [
        ("media/d", ["e"], ["[x].txt", "b.txt"]),
        ("media/d/e", [], ["c.txt"]),
    ]
    info = fs.info("filekeeper://media/a.txt")
    assert (info["name"], info["size"], info["type"], info["content_type"]) == ("media/a.txt", 5, "file", "text/plain")
    assert (fs.isdir("media/d"), fs.isfile("media/d"), fs.exists("media/none")) == (True, False, False)
    assert fs.modified("media/a.txt") == storage.analyze("a.txt").modified
    for missing in ("media/none", "media/none/x", "other/a.txt", "media/../x"):
        with pytest.raises(FileNotFoundError):
            fs.info(missing)
        with pytest.raises(FileNotFoundError):
            fs.ls(missing)


def test_names_are_literal_where_there_is_such_a_file(fs: FileKeeperFileSystem, tmp_path: Path):
    for name in ("[x].txt", "x.txt"):
        fs.pipe_file(f"media/{name}", name.encode())
    fs.get_file("media/[x].txt", str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == b"[x].txt"
    assert fs.cat("media/[x].txt") == b"[x].txt"
    assert fs.cat(["media/[x].txt", "media/x.txt"]) == {f"media/{name}": name.encode() for name in ("[x].txt", "x.txt")}
    fs.rm("media/[x].txt")
    assert fs.ls("media", detail=False) == ["media/x.txt"]
    for recursive in (False, True):
        with pytest.raises(FileNotFoundError):
            fs.rm("media/[x].txt", recursive=recursive)
        with pytest.raises(FileNotFoundError):
            fs.rm("media/*", recursive=recursive)
    assert fs.ls("media", detail=False) == ["media/x.txt"], "a decoy goes with no pattern"


def test_a_version_changes_what_stands_for_it(fs: FileKeeperFileSystem):
    fs.pipe_file("media/a", b"one")
    before = fs.ukey("media/a"), fs.checksum("media/a")
    assert before == (fs.ukey("media/a"), fs.checksum("media/a"))
    fs.pipe_file("media/a", b"two")
    assert before[0] != fs.ukey("media/a")
    assert before[1] != fs.checksum("media/a")


def test_a_file_that_is_replaced_while_it_is_read_is_never_mixed(fs: FileKeeperFileSystem):
    fs.pipe_file("media/a", b"x" * 100_000)
    with fs.open("media/a", "rb", block_size=1000, cache_type="none") as file:
        assert file.read(10) == b"x" * 10
        fs.pipe_file("media/a", b"y" * 100_000)
        with pytest.raises(fk.exc.ChangedFileError):
            file.read(10)


def test_ranges_that_lie_close_together_are_one_request(storage: fk.Storage):
    storage.upload("a", bytes(range(256)) * 4000)
    storage.upload("b", b"0123456789")
    watched, counter = counted(storage)
    fs = FileKeeperFileSystem(watched)
    whole = storage.content("a")
    starts = [0, 500_000, 10, 100, 500_100, -4, 0, 3]
    ends = [10, 500_010, 20, 200, 500_200, None, 4, None]
    paths = ["media/a"] * 6 + ["media/b"] * 2
    before = counter.counts.get("read", 0)
    found = fs.cat_ranges(paths, starts, ends)
    assert found == [whole[start:end] for start, end in zip(starts[:6], ends[:6], strict=True)] + [b"0123", b"3456789"]
    assert counter.counts["read"] - before == 4
    errors = fs.cat_ranges(["media/none", "media/b"], 0, 2)
    assert isinstance(errors[0], FileNotFoundError)
    assert errors[1] == b"01"
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(["media/none", "media/b"], 0, 2, on_error="raise")
    with pytest.raises(ValueError, match="different lengths"):
        fs.cat_ranges(["media/b"], [0, 1], [1])


def test_spans_are_merged_within_a_gap():
    assert merge([("a", 0, 10), ("a", 12, 20), ("a", 40, None), ("b", 0, 1), ("a", 5, 8)], 5) == {
        ("a", 0, 20): [0, 4, 1],
        ("a", 40, None): [2],
        ("b", 0, 1): [3],
    }
    assert merge([("a", 0, None), ("a", 7, 9)], 0) == {("a", 0, None): [0, 1]}
    assert merge([], 0) == {}


def test_what_is_written_is_there_at_the_end_or_not_at_all(fs: FileKeeperFileSystem, storage: fk.Storage):
    with fs.open("media/a", "wb") as file:
        file.write(b"part")
        assert not storage.exists("a")
        assert file.tell() == 4
    assert storage.content("a") == b"part"
    with contextlib.suppress(ZeroDivisionError), fs.open("media/a", "wb") as file:
        file.write(b"other" * 1000)
        raise ZeroDivisionError
    assert storage.content("a") == b"part"
    with fs.open("media/a", "ab") as file:
        assert file.tell() == 4
        file.write(b" two")
    with fs.open("media/new", "ab") as file:
        file.write(b"begins")
    assert (storage.content("a"), storage.content("new")) == (b"part two", b"begins")
    with fs.open("media/t", "wt", encoding="utf-8") as file:
        file.write("ü")
    assert storage.content("t") == "ü".encode()


def test_of_many_who_create_one_wins(fs: FileKeeperFileSystem, storage: fk.Storage):
    won: list[int] = []
    start = threading.Barrier(4)

    def create(number: int) -> None:
        start.wait()
        try:
            fs.pipe_file("media/one", b"%d" % number, mode="create")
        except FileExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert storage.content("one") == b"%d" % won[0]


def test_a_transaction_publishes_all_or_nothing(fs: FileKeeperFileSystem, storage: fk.Storage):
    storage.upload("old", b"old")
    with fs.transaction:
        with fs.open("media/a", "wb") as file:
            file.write(b"1")
        with fs.open("media/old", "ab") as file:
            file.write(b" and new")
        assert list(storage.scan()) == ["old"]
        assert storage.content("old") == b"old"
    assert (storage.content("a"), storage.content("old")) == (b"1", b"old and new")
    with contextlib.suppress(ZeroDivisionError), fs.transaction:
        with fs.open("media/b", "wb") as file:
            file.write(b"2")
        raise ZeroDivisionError
    assert list(storage.scan()) == ["a", "old"]
    assert list(storage.incoming.scan()) == []


def test_removing(fs: FileKeeperFileSystem, storage: fk.Storage):
    for name in ("a", "d/b", "d/c/e"):
        storage.upload(name, b"x")
    with pytest.raises(FileNotFoundError):
        fs.rm_file("media/none")
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir("media/d")
    fs.rm("media/d", recursive=True)
    assert list(storage.scan()) == ["a"]
    fs.mv("media/a", "media/z")
    assert list(storage.scan()) == ["z"]


def test_progress_is_told(fs: FileKeeperFileSystem, tmp_path: Path):
    from fsspec.callbacks import Callback

    (tmp_path / "a").write_bytes(b"x" * 300_000)
    for move in (
        lambda told: fs.put_file(str(tmp_path / "a"), "media/a", callback=told),
        lambda told: fs.get_file("media/a", str(tmp_path / "b"), callback=told),
    ):
        told = Callback()
        move(told)
        assert (told.size, told.value) == (300_000, 300_000)
    assert (tmp_path / "b").read_bytes() == b"x" * 300_000


def test_it_is_pickled_and_used_in_a_loop(storage: fk.Storage):
    if storage.settings.type.endswith("memory"):
        pytest.skip("what one process stores in memory no pickle carries")
    fs = pickle.loads(pickle.dumps(FileKeeperFileSystem(storage)))
    fs.pipe_file("media/a", b"content")

    async def work() -> list[Any]:
        inside = FileKeeperFileSystem(storage, asynchronous=True)
        await inside._pipe_file("media/b", b"more")
        return [await inside._cat_file("media/a"), await inside._ls("media", detail=False)]

    assert asyncio.run(work()) == [b"content", ["media/a", "media/b"]]
    with pytest.raises(IsADirectoryError):
        fs.pipe_file("media", b"x")


def test_links(tmp_path: Path):
    where = {
        "type": "fs",
        "path": str(tmp_path / "x"),
        "initialize": True,
        "base_url": "/files",
        "signing_key": "k" * 32,
    }
    fs = fsspec.filesystem("filekeeper", storage=where, name="media")
    fs.pipe_file("media/a", b"x")
    assert fs.sign("media/a", 60).startswith("/files/a?")
