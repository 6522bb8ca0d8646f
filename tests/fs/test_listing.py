"""Listing: whole keys in UTF-8 byte order, from anywhere, lazily, whatever lies in the tree."""

import itertools
import logging
import os
import shutil
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from file_keeper import exc
from file_keeper.backend import ObjectInfo, Prefix, WriteOptions, entries_of
from file_keeper_fs import FsBackend
from file_keeper_fs.directory import Directory
from file_keeper_fs.tree import Tree

from .conftest import build
from .tools import PLAIN, keys, leftovers, named, same_descriptors, sizes

NAMES = [
    "a", "a-", "a.b", "a0", "ab/c", "a b", "b/a", "b/b/c", "b/b-", "b/b0", "b-/x", "b.txt", "b0",
    "t/1", "t-/1", "t--", "t!", "☺/☺", "é", "e\u0301", "z\U0001f600", "z\uffee", "z\ue000/a", "~", ".hidden", ".dir/x",
    "A", "Z/z", "%48", "[x]/{0}", "*", "?", "d/e/f/g/h/i/j",
]  # fmt: skip


@pytest.fixture
def tree(backend: FsBackend) -> FsBackend:
    for name in NAMES:
        backend.put(name, name.encode(), PLAIN)
    return backend


def in_order(names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: name.encode())


def model(prefix: str, start_after: str, delimiter: str) -> list[str]:
    """Say what an object store gives: whole keys compared by bytes, common prefixes once."""
    after = start_after.encode()
    result: list[str] = []
    for key in in_order(NAMES):
        if not key.startswith(prefix):
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = key if at < 0 else key[: at + len(delimiter)]
        if entry.encode() > after and entry not in result:
            result.append(entry)
    return result


def test_order_and_resumption_anywhere(tree: FsBackend) -> None:
    whole = keys(tree)
    assert whole == named(tree) == in_order(NAMES)
    points = {
        *NAMES,
        "",
        "a/",
        "b/",
        "b/b",
        "b/b/",
        "b0/x",
        "t",
        "t/",
        "d/e/f",
        "d/e/f/",
        "zz",
        "\U0010fffd",
        "b/b/c/d",
    }
    for point in points:
        expected = [name for name in whole if name.encode() > point.encode()]
        assert keys(tree, start_after=point) == named(tree, start_after=point) == expected, point


@pytest.mark.parametrize("delimiter", ["", "/", "-", "b", "/b"])
def test_like_an_object_store(delimiter: str, tree: FsBackend) -> None:
    prefixes = [
        "",
        "a",
        "a-",
        "b",
        "b/",
        "b/b",
        "b/b/",
        "t",
        "t/",
        "d/e/",
        "☺",
        "z",
        "nothing",
        "a/",
        "a/b/c",
        "b//",
        "/",
    ]
    for prefix, after in itertools.product(prefixes, ["", "a", "b/", "b/b-", "b/b/c", "t", "~", "d/e/z", "b0"]):
        entries = list(entries_of(tree.list(prefix, start_after=after, delimiter=delimiter)))
        assert [entry.key for entry in entries] == model(prefix, after, delimiter), (prefix, after)
        for entry in entries:
            grouped = delimiter and delimiter in entry.key[len(prefix) :]
            assert isinstance(entry, Prefix if grouped else ObjectInfo)
        if not delimiter:
            assert named(tree, prefix, start_after=after) == model(prefix, after, "")


def test_size_version_and_time_come_with_it(tree: FsBackend) -> None:
    for entry in entries_of(tree.list("")):
        assert isinstance(entry, ObjectInfo)
        info = tree.head(entry.key)
        assert (entry.size, entry.etag, entry.modified) == (info.size, info.etag, info.modified)
        assert entry.size == len(entry.key.encode())


def test_what_is_ours_is_hidden(root: Path, backend: FsBackend) -> None:
    backend.multipart_create("only/upload", PLAIN)
    backend.put("a/b", b"x", WriteOptions(content_type="text/x"))
    (root / "empty" / "deep").mkdir(parents=True)
    assert keys(backend) == named(backend) == ["a/b"]
    # A directory with an open upload and nothing else, or with nothing at all, is nothing to see.
    assert keys(backend, delimiter="/") == ["a/"]
    assert keys(backend, "only/", delimiter="/") == []


def test_names_that_are_no_text(root: Path, plain: FsBackend, caplog: pytest.LogCaptureFixture) -> None:
    plain.put("d/good", b"x", PLAIN)
    for name in (b"bad\xff", b"\xc3\x28", b"\xed\xa0\x80"):
        (root / "d" / os.fsdecode(name)).write_text("x")
    os.makedirs(os.path.join(os.fsencode(root), b"dir\xfe", b"sub"))
    with caplog.at_level(logging.WARNING, "file_keeper"):
        assert keys(plain) == ["d/good"]
        assert [record.getMessage() for record in caplog.records] == [
            "4 files were not listed: their names are not UTF-8"
        ]
        caplog.clear()
        assert named(plain) == ["d/good"]
        assert len(caplog.records) == 1
        caplog.clear()
        assert keys(plain, delimiter="/") == ["d/"]


def test_lazily_and_without_leaks(backend: FsBackend) -> None:
    for number in range(50):
        backend.put(f"d{number:02}/x", b"x", PLAIN)
    with same_descriptors():
        entries = entries_of(backend.list(""))
        assert next(entries).key == "d00/x"
        # What changes ahead of the walk is seen, what changes behind it does not matter.
        backend.put("d01/a", b"x", PLAIN)
        backend.delete("d00/x")
        backend.delete("d02/x")
        assert [entry.key for entry in itertools.islice(entries, 3)] == ["d01/a", "d01/x", "d03/x"]
        del entries
        pages = backend.list("", keys_only=True)
        assert next(pages).keys == ["d01/a", "d01/x"]
        del pages


def test_a_directory_that_vanishes_meanwhile(root: Path, backend: FsBackend) -> None:
    for name in ("a/1", "a/2", "b/1", "c/1"):
        backend.put(name, b"x", PLAIN)
    pages = backend.list("")
    assert next(pages).keys == ["a/1", "a/2"]
    backend.delete("b/1")
    (root / "b").symlink_to("/etc")
    assert [entry.key for entry in entries_of(pages)] == ["c/1"]


def test_a_directory_that_vanishes_when_it_was_just_found(
    root: Path, backend: FsBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/1", "b/1", "c/1"):
        backend.put(name, b"x", PLAIN)
    walk = Tree.walk

    def vanishing(tree: Tree, segments: Sequence[str]) -> Directory:
        found = walk(tree, segments)
        if list(segments) == ["b"]:
            shutil.rmtree(root / "b")
        return found

    monkeypatch.setattr(Tree, "walk", vanishing)
    assert named(backend) == ["a/1", "c/1"]


def test_deeper_than_descriptors_go(root: Path, plain: FsBackend) -> None:
    deep = "/".join(["d"] * 300)
    plain.put(f"{deep}/x", b"x", PLAIN)
    plain.put(f"{deep[:-2]}/y", b"y", PLAIN)
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, limit[1]))
    try:
        assert len(keys(plain)) == 2
        assert len(named(plain)) == 2
        assert plain.delete(f"{deep}/x")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert plain.delete(f"{deep[:-2]}/y")
    assert list(root.iterdir()) == []


def test_many_files_take_the_memory_of_one_directory(root: Path, plain: FsBackend) -> None:
    for folder in range(10):
        (root / f"folder-{folder:03}").mkdir()
        for number in range(250):
            (root / f"folder-{folder:03}" / f"file-{number:05}").touch()

    def peak(pattern: str) -> int:
        tracemalloc.start()
        try:
            count = sum(len(page.keys) for page in plain.list(pattern))
            count += sum(len(page.keys) for page in plain.list(pattern, keys_only=True))
            assert count == (5_000 if not pattern else 500)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak("folder-000/")
    # While a page is made, the one before it may still be in use.
    assert peak("") < 2.2 * peak("folder-000/") + 20_000


def test_a_directory_that_may_not_be_read_is_an_error(root: Path, plain: FsBackend) -> None:
    if not hasattr(os, "fork") or os.getuid():
        pytest.skip("needs root to become somebody else")
    plain.put("a", b"x", PLAIN)
    plain.put("closed/x", b"x", PLAIN)
    (root / "closed").chmod(0o700)
    for path in (root, *root.parents):
        if path.stat().st_uid == 0 and "pytest" in str(path):
            path.chmod(0o755)
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setuid(65534)
            backend = build(root)
            seen: list[str] = []
            try:
                seen.extend(entry.key for entry in entries_of(backend.list("")))
            except OSError as error:
                code = 0 if isinstance(backend.translate(error), exc.PermissionError) and seen == ["a"] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sizes(entries_of(plain.list(""))) == {"a": 1, "closed/x": 1}
    assert leftovers(root) == []
