"""Hash, type, metadata and headers: kept with the file, believed only of the very same content."""

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import file_keeper
import pytest
from file_keeper import exc
from file_keeper.backend import ObjectInfo, WriteOptions, entries_of
from file_keeper_fs import FsBackend, attributes
from file_keeper_fs.directory import Directory

from .conftest import build
from .tools import NEW, PLAIN, content, keys, leftovers

FULL = WriteOptions(
    content_type="text/x-full",
    metadata={"author": "me", "n": "1"},
    headers={"Cache-Control": "no-store", "Content-Language": "en"},
    digests={"md5": "a" * 32, "crc32c": "0" * 8},
)


def told(info: ObjectInfo) -> tuple[Any, ...]:
    return info.content_type, dict(info.metadata), dict(info.headers), dict(info.digests)


EXPECTED = (FULL.content_type, FULL.metadata, FULL.headers, FULL.digests)
NOTHING = ("", {}, {}, {})


def test_they_stay_with_the_file(backend: FsBackend, root: Path, kind: dict[str, Any]) -> None:
    made = backend.put("a/b", b"content", FULL)
    other = build(root, **kind)
    assert other.head("a/b") == made
    body = other.read("a/b")
    body.close()
    assert body.info == made
    assert told(made) == EXPECTED

    moved = other.move("a/b", "c/d/e", NEW)
    assert (told(moved), moved.etag) == (EXPECTED, made.etag)
    assert other.head("c/d/e") == moved

    copied = other.copy(moved, "copy", WriteOptions(content_type="text/y"))
    assert other.head("copy") == copied
    assert (copied.content_type, copied.digests) == ("text/y", FULL.digests)
    assert leftovers(root) == []

    replaced = other.put("copy", b"new content", WriteOptions(content_type="text/z"))
    assert told(other.head("copy")) == ("text/z", {}, {}, {}) == told(replaced)
    assert other.delete("copy")
    assert other.delete("c/d/e")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("change", ["appended", "rewritten", "same size", "touched", "replaced"])
def test_a_change_by_other_tools_is_noticed(change: str, backend: FsBackend, root: Path) -> None:
    made = backend.put("a", b"content", FULL)
    path = root / "a"
    if change == "appended":
        with path.open("ab") as file:
            file.write(b"!")
    elif change == "rewritten":
        path.write_bytes(b"other")
    elif change == "same size":
        with path.open("r+b") as file:
            file.write(b"CONTENT")
    elif change == "touched":
        os.utime(path)
    else:
        path.unlink()
        path.write_bytes(b"content")
    info = backend.head("a")
    assert info.etag != made.etag
    assert told(info) == NOTHING
    with pytest.raises(exc.ChangedFileError):
        backend.read("a", etag=made.etag)
    with pytest.raises(exc.ChangedFileError):
        backend.put("a", b"x", WriteOptions(if_match=made.etag))
    with pytest.raises(exc.ChangedFileError):
        backend.delete("a", etag=made.etag)
    with pytest.raises(exc.ChangedFileError):
        backend.copy(made, "copy", PLAIN)
    with pytest.raises(exc.ChangedFileError):
        backend.append(made, b"x", PLAIN)
    with pytest.raises(exc.ChangedFileError):
        backend.store_digests(made, {"md5": "b" * 32})
    assert keys(backend) == ["a"]


@pytest.mark.parametrize("change", ["in place", "appended", "cut"])
def test_a_file_that_is_written_to_while_it_is_read(change: str, root: Path) -> None:
    storage = file_keeper.make_storage("s", {"type": "fs", "root": str(root)})
    storage.upload("a", b"x" * (3 << 20))
    with storage.stream("a") as stream:
        assert next(stream)
        with (root / "a").open("r+b") as file:
            if change == "cut":
                file.truncate(2 << 20)
            else:
                file.seek(0, os.SEEK_END if change == "appended" else os.SEEK_SET)
                file.write(b"y" * (2 << 20))
        with pytest.raises(exc.ChangedFileError):
            list(stream)


def test_a_file_that_is_replaced_while_it_is_read(backend: FsBackend) -> None:
    made = backend.put("a", b"old" * 1000, FULL)
    body = backend.read("a")
    try:
        if backend._kind.closes:
            return  # where there are no descriptors an open file cannot be replaced
        backend.put("a", b"new", PLAIN)
        backend.delete("a")
        assert body.read() == b"old" * 1000
        assert body.info == made
    finally:
        body.close()


def test_the_storage_hashes_a_changed_file_anew(root: Path) -> None:
    storage = file_keeper.make_storage("s", {"type": "fs", "root": str(root)})
    made = storage.upload("a.txt", b"content", metadata={"n": "1"})
    assert storage.analyze("a.txt") == made
    (root / "a.txt").write_bytes(b"CONTENT")
    seen = storage.analyze("a.txt")
    assert (seen.size, seen.content_type, seen.metadata) == (7, "text/plain", {})
    assert seen.hash == "a25ec8db7dc3ffd4ab2a6b8e4b5c2c1d" or seen.hash != made.hash


def test_a_large_file_is_not_read_to_be_analyzed(root: Path) -> None:
    storage = file_keeper.make_storage("s", {"type": "fs", "root": str(root), "overwrite_existing": True})
    storage.upload("large", iter([b"x" * (1 << 20)] * 20))
    counting = storage.wrapped(_CountReads)
    seen = counting.analyze("large")
    assert seen.hash
    assert seen.content_type
    assert counting.backend.reads == 0


class _CountReads(file_keeper.backend.Wrapper):
    reads = 0

    def read(self, *args: Any, **options: Any) -> Any:
        self.reads += 1
        return super().read(*args, **options)


def test_notes_of_a_file_made_by_other_tools(backend: FsBackend, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "foreign").write_bytes(b"x")
    info = backend.head("d/foreign")
    assert told(info) == NOTHING
    backend.store_digests(info, {"md5": "c" * 32})
    backend.store_digests(info, {"sha1": "d" * 40})
    again = backend.head("d/foreign")
    assert again.digests == {"md5": "c" * 32, "sha1": "d" * 40}
    assert again.etag == info.etag
    assert leftovers(root) == []
    assert backend.delete("d/foreign")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("link", [True, False])
def test_something_else_has_our_name(link: bool, backend: FsBackend, root: Path) -> None:
    (root / "theirs").write_bytes(b"content")
    if link:
        (root / ".file-keeper").symlink_to(root / "nowhere")
    else:
        (root / ".file-keeper").write_bytes(b"")
    assert "theirs" in keys(backend)
    assert content(backend, "theirs") == b"content"
    assert told(backend.head("theirs")) == NOTHING
    with pytest.raises(exc.StorageError, match="the name is ours"):
        backend.put("mine", b"x", PLAIN)
    if backend._kind is Directory:
        assert backend.delete("theirs")
    else:
        # There the lock is a file of ours.
        with pytest.raises(exc.StorageError, match="the name is ours"):
            backend.delete("theirs")


def test_what_does_not_fit_goes_into_a_sidecar(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "no room for extended attributes")

    monkeypatch.setattr(os, "setxattr", full)
    backend = build(root)
    made = backend.put("a", b"x", FULL)
    assert len(list(root.glob(".file-keeper/*.json"))) == 1
    # Whoever reads finds it, whatever his own setting is.
    for mode in ("auto", "xattr", "sidecar"):
        assert build(root, attributes=mode).head("a") == made
    monkeypatch.undo()
    # The next version goes where it fits, and the sidecar of the old one goes.
    newer = backend.put("a", b"y", FULL)
    assert backend.head("a") == newer
    assert list(root.iterdir()) == [root / "a"]


def test_only_extended_attributes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    backend = build(root, attributes="xattr")
    with pytest.raises(exc.StorageError, match="'auto' or 'sidecar'"):
        backend.put("d/a", b"x", FULL)
    assert list(root.iterdir()) == []


def test_a_large_record(root: Path) -> None:
    # More than ext4 takes as an attribute; other file systems may take it.
    large = WriteOptions(metadata={f"name{n}": "v" * 100 for n in range(200)})
    for mode in ("auto", "sidecar"):
        backend = build(root, attributes=mode)
        assert backend.head(backend.put(mode, b"x", large).key).metadata == large.metadata


def test_none_are_kept(root: Path) -> None:
    backend = build(root, attributes="none")
    made = backend.put("a", b"content", FULL)
    backend.store_digests(made, {"md5": "a" * 32})
    assert told(backend.head("a")) == NOTHING
    assert list(root.iterdir()) == [root / "a"]
    assert os.listxattr(root / "a") == []
    assert not backend.limits.metadata
    storage = file_keeper.make_storage("s", {"type": "fs", "root": str(root), "attributes": "none"})
    made_data = storage.upload("b.txt", b"hello")
    assert storage.analyze("b.txt") == made_data
    with pytest.raises(exc.UnsupportedOperationError):
        storage.upload("c.txt", b"hello", metadata={"a": "b"})


@pytest.mark.parametrize(
    "record", [b"", b"{", b"[]", b"null", b"\xff", b'{"size": 1}', b'{"size": 1, "mtime_ns": "x"}', b"[" * 100_000]
)
def test_a_record_of_somebody_else_is_not_believed(record: bytes, root: Path, plain: FsBackend) -> None:
    plain.put("a", b"x", FULL)
    st = (root / "a").stat()
    if len(record) < 1000:
        os.setxattr(root / "a", attributes.XATTR, record)
    else:
        os.removexattr(root / "a", attributes.XATTR)
    (root / ".file-keeper").mkdir()
    (root / ".file-keeper" / attributes.sidecar_name("a", st)).write_bytes(record)
    assert told(plain.head("a")) == NOTHING


def test_a_record_with_odd_values(root: Path, plain: FsBackend) -> None:
    plain.put("a", b"x", FULL)
    st = (root / "a").stat()
    record = {
        "size": 1,
        "mtime_ns": st.st_mtime_ns,
        "content_type": 7,
        "metadata": {"a": 1, "b": "c"},
        "headers": [],
        "digests": {"md5": None},
    }
    os.setxattr(root / "a", attributes.XATTR, json.dumps(record).encode())
    assert told(plain.head("a")) == ("", {"b": "c"}, {}, {})


def test_versions_in_one_tick_of_a_coarse_clock(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file system that keeps whole seconds: two versions of one size within one of them.
    real = Directory.touch

    def coarse(self: Directory, fd: int, name: str, ns: int) -> os.stat_result:
        return real(self, fd, name, ns // 10**9 * 10**9)

    monkeypatch.setattr(Directory, "touch", coarse)
    backend = build(root, attributes="sidecar")
    for number in range(4):
        made = backend.put("a", b"same", WriteOptions(content_type=f"text/{number}"))
        assert backend.head("a") == made
        assert made.content_type == f"text/{number}"
    assert leftovers(root) == []
    assert len(list(root.glob(".file-keeper/*"))) == 1


def test_a_sidecar_belongs_to_one_name(root: Path) -> None:
    backend = build(root, attributes="sidecar")
    backend.put("a", b"x", FULL)
    backend.put("b", b"y", WriteOptions(content_type="text/b"))
    os.rename(root / "a", root / "b")
    assert told(backend.head("b")) == NOTHING
    # What was of "a", and of the "b" that was, belongs to nothing now.
    assert backend.cleanup("", 3600) == 0
    time.sleep(0.01)
    assert backend.cleanup("", 0) == 2
    assert leftovers(root) == []


def test_hard_links(root: Path, backend: FsBackend) -> None:
    made = backend.put("a", b"content", FULL)
    os.link(root / "a", root / "b")
    assert backend.head("b").etag == made.etag
    # A move between two names of one file: one is left.
    moved = backend.move("a", "b", PLAIN)
    assert keys(backend) == ["b"]
    assert told(moved) == told(backend.head("b")) == EXPECTED
    os.link(root / "b", root / "c")
    # Writing replaces one name; the other keeps its content.
    backend.put("b", b"new", PLAIN)
    assert (content(backend, "b"), content(backend, "c")) == (b"new", b"content")
    assert leftovers(root) == []


@pytest.mark.parametrize("moment", [0, -1, -(2**40), 2**62 // 10**9])
def test_times_that_no_calendar_has(moment: int, root: Path, plain: FsBackend) -> None:
    (root / "a").write_text("x")
    try:
        os.utime(root / "a", (moment, moment))
    except OSError:
        pytest.skip("the file system does not take that time")
    info = plain.head("a")
    assert [entry.etag for entry in entries_of(plain.list(""))] == [info.etag]  # type: ignore[union-attr]
    assert plain.put("a", b"y", WriteOptions(if_match=info.etag))


def test_modes_follow_the_mask(root: Path, backend: FsBackend) -> None:
    before = os.umask(0o027)
    try:
        backend.put("d/a", b"x", FULL)
        backend.copy(backend.head("d/a"), "d/b", PLAIN)
    finally:
        os.umask(before)
    assert (root / "d").stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in (root / "d").glob("?")} == {0o640}
