"""Several storages as one, and a site that moves from an old one to a new one while it runs."""

from __future__ import annotations

import pickle
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from file_keeper import exc
from file_keeper.markers import decoded, encoded
from file_keeper_testing import Faulty, Rule


class Trio:
    """An old storage, a new one, and the two as one."""

    def __init__(self, new: dict[str, Any], old: dict[str, Any], **options: Any):
        self.new, self.old = fk.make_storage("new", new), fk.make_storage("old", old)
        self.both = fk.make_storage("both", {"type": "fallback", "storages": [new, old], **options})


@pytest.fixture(params=["memory", "fs", "s3"])
def make(request: pytest.FixtureRequest, fresh_settings: Any, tmp_path: Path) -> Iterator[Any]:
    made: list[Trio] = []

    def build(**options: Any) -> Trio:
        old = {"type": "fs", "path": str(tmp_path / "old"), "initialize": True}
        if request.param == "memory":
            new = {"type": "memory", "bucket": f"new-{tmp_path}", "path": "p/q"}
            new["bucket"] = new["bucket"].replace("/", "-")
        elif request.param == "fs":
            new = {"type": "fs", "path": str(tmp_path / "new"), "initialize": True}
        else:
            new = fresh_settings("s3", path="p/q")
        made.append(Trio(new, old, **options))
        return made[-1]

    yield build
    for trio in made:
        trio.both.close()
        trio.new.close()


def test_reads_go_on_to_the_next_and_writes_to_the_first(make: Any) -> None:
    trio = make()
    trio.old.upload("a.txt", b"old a", metadata={"Owner": "Zoë"}, headers={"Cache-Control": "no-store"})
    trio.old.upload("d/b.txt", b"old b")
    trio.new.upload("d/b.txt", b"new b")
    both = trio.both
    assert (both.content("a.txt"), both.content("d/b.txt"), both.range("a.txt", 4)) == (b"old a", b"new b", b"a")
    file = both.analyze("a.txt")
    assert (file.metadata, file.headers) == ({"Owner": "Zoë"}, {"Cache-Control": "no-store"})
    assert file.hash == trio.old.analyze("a.txt").hash
    with both.open("a.txt") as opened:
        opened.seek(4)
        assert opened.read() == b"a"
    with pytest.raises(exc.MissingFileError):
        both.content("nowhere")
    assert not both.exists("nowhere")
    both.upload("c.txt", b"c")
    assert trio.new.content("c.txt") == b"c"
    assert list(both.scan()) == ["a.txt", "c.txt", "d/b.txt"]
    assert [str(one) if isinstance(one, str) else one.location for one in both.files(delimiter="/")] == [
        "a.txt", "c.txt", "d/",
    ]  # fmt: skip
    assert list(both.scan(prefix="d/")) == ["d/b.txt"]
    assert list(both.scan(start_after="a.txt")) == ["c.txt", "d/b.txt"]


def test_overwriting_looks_in_all(make: Any) -> None:
    trio = make()
    trio.old.upload("a", b"old")
    with pytest.raises(exc.ExistingFileError):
        trio.both.upload("a", b"new", overwrite=False)
    seen = trio.both.analyze("a")
    trio.both.upload("a", b"new", overwrite=seen)
    assert (trio.both.content("a"), trio.old.content("a")) == (b"new", b"old")
    with pytest.raises(exc.ChangedFileError):
        trio.both.upload("a", b"newer", overwrite=seen)


def test_copy_move_append_and_compose_write_to_the_first(make: Any) -> None:
    trio = make()
    trio.old.upload("a", b"A", metadata={"k": "v"})
    both = trio.both
    assert both.copy("b", "a").metadata == {"k": "v"}
    assert both.append("a", b"+").size == 2
    both.compose("c", "a", "b")
    assert both.move("d", "b").size == 1
    assert {name: trio.new.content(name) for name in trio.new.scan()} == {"a": b"A+", "c": b"A+A", "d": b"A"}
    trio.old.upload("m", b"moved")
    both.move("n", "m")
    assert (both.exists("m"), both.content("n"), trio.old.exists("m")) == (False, b"moved", True)


def test_a_removed_file_stays_hidden_until_it_is_written_again(make: Any) -> None:
    trio = make()
    for name in ("a", "a b/ü", "x" * 150 + "/" + "y" * 150):
        trio.old.upload(name, b"old")
        assert trio.both.remove(name)
        assert not trio.both.remove(name)
        assert not trio.both.exists(name)
        assert trio.old.exists(name)
    assert list(trio.both.scan()) == list(trio.new.scan()) == []
    trio.new.cleanup_uploads(0)
    # Neither a copy of what is old nor a synchronisation brings it back.
    assert fk.sync(trio.old, trio.new, overwrite=False).copied == 0
    assert list(trio.both.scan()) == []
    trio.both.upload("a", b"new", overwrite=False)
    assert trio.both.content("a") == b"new"
    assert trio.both.remove("a")
    assert not trio.both.exists("a")


def test_without_hiding_it_shows_again(make: Any) -> None:
    trio = make(hide=False)
    trio.old.upload("a", b"old")
    trio.new.upload("a", b"new")
    assert trio.both.remove("a")
    assert trio.both.content("a") == b"old"
    assert not trio.both.remove("a")


def test_copy_on_read_puts_it_into_the_first_once(make: Any) -> None:
    trio = make(copy_on_read=True)
    trio.old.upload("a", b"content", metadata={"k": "v"})
    assert not trio.new.exists("a")
    assert trio.both.range("a", 3, 5) == b"te"
    assert trio.new.analyze("a").metadata == {"k": "v"}
    trio.old.upload("a", b"another", overwrite=True)
    assert trio.both.content("a") == b"content"


def test_what_is_removed_while_it_is_copied_does_not_come_back(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trio = make(copy_on_read=True)
    trio.old.upload("a", b"content")
    real = fk.Storage.copy_synthetic

    def removing(self: fk.Storage, *args: Any, **options: Any) -> Any:
        trio.both.remove("a")
        return real(self, *args, **options)

    monkeypatch.setattr(fk.Storage, "copy_synthetic", removing)
    with pytest.raises(exc.MissingFileError):
        trio.both.content("a")
    assert not trio.both.exists("a")
    trio.old.upload("b", b"content")

    def removing_b(self: fk.Storage, *args: Any, **options: Any) -> Any:
        trio.both.remove("b")
        return real(self, *args, **options)

    monkeypatch.setattr(fk.Storage, "copy_synthetic", removing_b)
    fk.sync(trio.old, trio.new, overwrite=False)
    assert not trio.both.exists("b")


def test_only_not_there_goes_on_to_the_next() -> None:
    trio = Trio({"type": "memory", "bucket": "fb-new"}, {"type": "memory", "bucket": "fb-old"})
    trio.old.upload("a", b"old")
    inner: Any = trio.both.backend
    inner.inner = Faulty(inner.inner, Rule(verb="*", times=None, error=exc.PermissionError("no")))
    with pytest.raises(exc.PermissionError):
        trio.both.content("a")


@pytest.mark.parametrize(
    "settings",
    [{}, {"storages": []}, {"storages": [{"type": "memory"}]}, {"storages": "memory"}, {"storages": ["a", "b"]},
     {"storages": [{"type": "memory"}, {"type": "memory"}], "path": "x"},
     {"storages": [{"type": "memory"}, {"type": "nothing"}]}],
)  # fmt: skip
def test_senseless_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(exc.StorageError):
        fk.make_storage("both", {"type": "file_keeper:fallback", **settings})


def test_it_travels_and_shows_no_secret(tmp_path: Path) -> None:
    new = {"type": "fs", "path": str(tmp_path / "n"), "initialize": True}
    s3 = {"type": "s3", "bucket": "b", "key": "k", "secret": "hush", "region": "eu-west-1"}
    both = fk.make_storage("both", {"type": "fallback", "storages": [new, s3]})
    assert "hush" not in repr(both)
    assert "hush" not in repr(both.settings)
    assert isinstance(pickle.loads(pickle.dumps(both)), fk.Storage)


def test_names_of_markers_are_one_to_one_and_never_a_folder_of_another() -> None:
    names = ["a", "a/b", "a%2F", "ü/é", "x" * 199, "x" * 200, "x" * 201, "x" * 198 + "/a", "%.", "a.b"]
    marked = [encoded(name) for name in names]
    assert [decoded(name) for name in marked] == names
    assert len(set(marked)) == len(names)
    assert not any(one != other and other.startswith(one + "/") for one in marked for other in marked)


@pytest.mark.parametrize("copy_on_read", [False, True])
def test_a_site_moves_while_it_runs(tmp_path: Path, copy_on_read: bool) -> None:
    old = {"type": "fs", "path": str(tmp_path / "old"), "initialize": True}
    new = {"type": "fs", "path": str(tmp_path / "new"), "initialize": True}
    trio = Trio(new, old, copy_on_read=copy_on_read)
    kept = [f"kept/{number:03}" for number in range(60)]
    for name in kept:
        trio.old.upload(name, name.encode())
    for number in range(40):
        trio.old.upload(f"going/{number:03}", b"going")
        trio.old.upload(f"changing/{number:03}", b"0")
    wrong: list[str] = []
    ended = threading.Event()
    latest: dict[str, bytes] = {}

    def reader(seed: int) -> None:
        choose = random.Random(seed)
        while not ended.is_set():
            name = choose.choice(kept)
            try:
                if trio.both.content(name) != name.encode():
                    wrong.append(f"{name} is another")
            except exc.FilesError as error:
                wrong.append(f"{name}: {error}")

    def writer() -> None:
        for turn in range(1, 4):
            for number in range(40):
                name = f"changing/{number:03}"
                trio.both.upload(name, b"%d" % turn, overwrite=True)
                latest[name] = b"%d" % turn
                trio.both.upload(f"new/{turn}-{number}", b"n")
                if trio.both.content(name) != latest[name]:
                    wrong.append(f"{name} is older than what was written")

    def remover() -> None:
        for number in range(40):
            trio.both.remove(f"going/{number:03}")

    threads = [threading.Thread(target=reader, args=(seed,)) for seed in range(2)]
    work = [threading.Thread(target=writer), threading.Thread(target=remover)]
    for thread in (*threads, *work):
        thread.start()
    journal = tmp_path / "journal"
    nth = Rule(verb="read", nth=20, times=None, error=KeyboardInterrupt())
    broken = trio.old.wrapped(lambda inner: Faulty(inner, nth))
    with pytest.raises(KeyboardInterrupt):
        fk.sync(broken, trio.new, overwrite=False, journal=journal)
    fk.sync(trio.old, trio.new, overwrite=False, journal=journal)
    for thread in work:
        thread.join()
    report = fk.sync(trio.old, trio.new, overwrite=False)
    ended.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert report.failed == 0
    # The old one is dropped: nothing is missing, nothing that was removed came back, nothing is older than it was.
    assert [name for name in trio.new.scan() if name.startswith("going/")] == []
    assert all(trio.new.content(name) == name.encode() for name in kept)
    assert {name: trio.new.content(name) for name in latest} == latest
    assert len(list(trio.new.scan(prefix="new/"))) == 120
