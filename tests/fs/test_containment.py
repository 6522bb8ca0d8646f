"""Nothing outside the storage's directory is ever read, listed, written, moved or removed."""

import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from file_keeper import exc
from file_keeper.backend import MultipartRef, ObjectInfo, entries_of
from file_keeper_fs import FsBackend

from .conftest import build
from .tools import NEW, PLAIN, content, keys, leftovers, named, same_descriptors

READS: dict[str, Callable[[FsBackend, str], Any]] = {
    "head": lambda b, key: b.head(key),
    "read": lambda b, key: b.read(key),
    "copy from": lambda b, key: b.copy(ObjectInfo(key=key, size=1), "target", PLAIN),
    "compose from": lambda b, key: b.compose([ObjectInfo(key=key, size=1)] * 2, "target", PLAIN),
    "move from": lambda b, key: b.move(key, "target", PLAIN),
    "append": lambda b, key: b.append(ObjectInfo(key=key, size=1), b"x", PLAIN),
    "store_digests": lambda b, key: b.store_digests(ObjectInfo(key=key, size=1), {"md5": "0" * 32}),
    "multipart_put": lambda b, key: b.multipart_put(MultipartRef(key, "0" * 32), 0, b"x"),
    "multipart_parts": lambda b, key: list(b.multipart_parts(MultipartRef(key, "0" * 32))),
    "multipart_complete": lambda b, key: b.multipart_complete(MultipartRef(key, "0" * 32), [], PLAIN),
}
WRITES: dict[str, Callable[[FsBackend, str], Any]] = {
    "put": lambda b, key: b.put(key, b"x", PLAIN),
    "create": lambda b, key: b.put(key, b"x", NEW),
    "copy to": lambda b, key: b.copy(b.head("there"), key, PLAIN),
    "compose to": lambda b, key: b.compose([b.head("there")] * 2, key, NEW),
    "move to": lambda b, key: b.move("there", key, PLAIN),
    "move to new": lambda b, key: b.move("there", key, NEW),
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the root, with a secret; nothing in it may ever change."""
    path = tmp_path / "outside"
    (path / "sub").mkdir(parents=True)
    (path / "secret").write_text("secret")
    return path


def assert_untouched(outside: Path) -> None:
    assert sorted(str(path.relative_to(outside)) for path in outside.rglob("*")) == ["secret", "sub"]
    assert (outside / "secret").read_text() == "secret"


@pytest.fixture
def links(root: Path, outside: Path, backend: FsBackend) -> FsBackend:
    """A backend whose directory is full of ways out."""
    backend.put("there", b"there", PLAIN)
    (root / "file").symlink_to(outside / "secret")
    (root / "folder").symlink_to(outside, target_is_directory=True)
    (root / "dangling").symlink_to(outside / "nothing")
    (root / "inside").symlink_to(root / "there")
    (root / "deep").mkdir()
    (root / "deep" / "up").symlink_to("../../outside")
    return backend


WAYS_OUT = ("file", "folder/secret", "dangling", "inside", "deep/up/secret", "folder/sub/new", "folder")


class TestLinks:
    @pytest.mark.parametrize("key", WAYS_OUT)
    @pytest.mark.parametrize("verb", READS)
    def test_are_no_files_to_readers(self, verb: str, key: str, links: FsBackend, outside: Path) -> None:
        with same_descriptors(), pytest.raises(exc.MissingFileError):
            READS[verb](links, key)
        assert_untouched(outside)
        assert content(links, "there") == b"there"

    @pytest.mark.parametrize("key", WAYS_OUT)
    @pytest.mark.parametrize("verb", WRITES)
    def test_are_no_place_to_writers(self, verb: str, key: str, links: FsBackend, root: Path, outside: Path) -> None:
        with same_descriptors(), pytest.raises(exc.LocationError) as caught:
            WRITES[verb](links, key)
        assert not isinstance(caught.value, exc.ExistingFileError | exc.MissingFileError)
        assert_untouched(outside)
        assert content(links, "there") == b"there"
        assert (root / "file").is_symlink()
        assert leftovers(root) == []

    @pytest.mark.parametrize("key", WAYS_OUT)
    def test_are_not_removed(self, key: str, links: FsBackend, root: Path, outside: Path) -> None:
        assert links.delete(key) is False
        assert_untouched(outside)
        assert (root / "file").is_symlink()
        assert (root / "folder").is_symlink()

    def test_are_not_listed(self, links: FsBackend, outside: Path) -> None:
        for prefix in ("", "folder/", "deep/up/", "fi"):
            expected = [] if prefix else ["there"]
            assert keys(links, prefix) == named(links, prefix) == expected
            assert keys(links, prefix, delimiter="/") == expected

    @pytest.mark.parametrize("key", ["folder/new", "deep/up/new"])
    def test_no_upload_begins_behind_one(self, key: str, links: FsBackend, outside: Path) -> None:
        with pytest.raises(exc.LocationError):
            links.multipart_create(key, PLAIN)
        assert_untouched(outside)

    def test_the_root_itself_may_be_one(self, tmp_path: Path, root: Path) -> None:
        (tmp_path / "link").symlink_to(root)
        backend = build(tmp_path / "link", bucket="b", initialize=True)
        backend.prepare()
        backend.put("a/b", b"x", PLAIN)
        assert (root / "b/a/b").read_bytes() == b"x"

    def test_a_link_in_place_of_ours_is_not_followed(self, root: Path, outside: Path, backend: FsBackend) -> None:
        (root / ".file-keeper").symlink_to(outside)
        with pytest.raises(exc.FilesError):
            backend.put("a", b"x", PLAIN)
        with pytest.raises(exc.FilesError):
            backend.multipart_create("a", PLAIN)
        backend.cleanup("", 0)
        assert_untouched(outside)


@pytest.mark.parametrize("options", [{"attributes": "xattr"}, {"attributes": "sidecar"}], ids=("xattr", "sidecar"))
def test_swapped_in_between(options: dict[str, Any], root: Path, outside: Path) -> None:
    # A racing thread makes the directory a link and back, as fast as it can, while every verb is tried.
    backend = build(root, **options)
    backend.put("dir/secret", b"ours", PLAIN)
    stop = threading.Event()
    swaps = 0

    def swap() -> None:
        nonlocal swaps
        (root / "link").symlink_to(outside)
        while not stop.is_set():
            try:
                os.rename(root / "dir", root / "aside")
                os.rename(root / "link", root / "dir")
                swaps += 1
                os.rename(root / "dir", root / "link")
                os.rename(root / "aside", root / "dir")
            except OSError:
                # A writer made "dir" anew meanwhile: put all in its place again.
                with contextlib.suppress(OSError):
                    if (root / "dir").is_symlink():
                        (root / "dir").unlink()
                    elif (root / "aside").exists():
                        shutil.rmtree(root / "dir", ignore_errors=True)
                    if not (root / "link").is_symlink():
                        (root / "link").symlink_to(outside)
                    if (root / "aside").exists():
                        os.rename(root / "aside", root / "dir")

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[str] = set()
    actions: list[Callable[[], Any]] = [
        lambda: content(backend, "dir/secret") == b"ours" or pytest.fail("read a file from outside"),
        lambda: backend.put("dir/secret", b"ours", PLAIN),
        lambda: backend.put("dir/new", b"x", PLAIN),
        lambda: backend.put("dir/created", b"x", NEW),
        lambda: backend.delete("dir/new"),
        lambda: backend.delete("dir/created"),
        lambda: backend.copy(backend.head("dir/secret"), "dir/copy", PLAIN),
        lambda: backend.move("dir/copy", "dir/sub/moved", PLAIN),
        lambda: [entry.key for entry in entries_of(backend.list(""))],
        lambda: backend.cleanup("", 3600),
        lambda: backend.multipart_create("dir/parts", PLAIN),
    ]
    try:
        started = time.monotonic()
        while (passed := time.monotonic() - started) < 1 or (passed < 20 and (swaps < 60 or "0 done" not in seen)):
            for number, action in enumerate(actions):
                try:
                    action()
                    seen.add(f"{number} done")
                except exc.FilesError as error:
                    seen.add(type(error).__name__)
    finally:
        stop.set()
        thread.join()
    assert swaps >= 60, "too few swaps on this machine to show anything"
    assert "0 done" in seen
    assert "MissingFileError" in seen
    assert_untouched(outside)


class TestOtherKinds:
    @pytest.fixture
    def odd(self, root: Path, backend: FsBackend) -> FsBackend:
        backend.put("there", b"there", PLAIN)
        os.mkfifo(root / "pipe")
        (root / "directory" / "sub").mkdir(parents=True)
        (root / "directory" / "sub" / "file").write_text("x")
        with socket.socket(socket.AF_UNIX) as server:
            here = os.getcwd()
            os.chdir(root)
            server.bind("socket")
            os.chdir(here)
        return backend

    @pytest.mark.parametrize("key", ["pipe", "socket", "directory", "directory/sub", "pipe/x", "there/x"])
    @pytest.mark.timeout(20)
    def test_are_no_files(self, key: str, odd: FsBackend) -> None:
        with same_descriptors():
            for verb in READS.values():
                with pytest.raises(exc.MissingFileError):
                    verb(odd, key)
            for verb in WRITES.values():
                with pytest.raises(exc.LocationError) as caught:
                    verb(odd, key)
                assert not isinstance(caught.value, exc.ExistingFileError)
            assert odd.delete(key) is False
        assert keys(odd) == named(odd) == ["directory/sub/file", "there"]

    def test_a_directory_with_nothing_in_it_is_no_obstacle(self, root: Path, backend: FsBackend) -> None:
        (root / "a").mkdir()
        backend.put("a", b"1", NEW)
        (root / "b").mkdir()
        backend.put("b", b"2", PLAIN)
        (root / "c").mkdir()
        backend.move("a", "c", NEW)
        assert keys(backend) == ["b", "c"]


HOSTILE = ("..", ".", "../x", "a/../../x", "a/..", "/etc/passwd", "a//b", "a/", "//", "", "a\0b", "a/./b")


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys(key: str, backend: FsBackend, root: Path, outside: Path) -> None:
    # The core refuses them long before; the backend trusts nobody.
    backend.put("there", b"there", PLAIN)
    (root.parent / "x").write_text("outside")
    for verb in READS.values():
        with pytest.raises(exc.MissingFileError):
            verb(backend, key)
    for verb in WRITES.values():
        with pytest.raises(exc.LocationError):
            verb(backend, key)
    assert backend.delete(key) is False
    if key not in ("",):
        assert keys(backend, key + "/") == named(backend, key + "/") == []
    assert (root.parent / "x").read_text() == "outside"
    assert keys(backend) == ["there"]
    assert leftovers(root) == []


@pytest.mark.parametrize(
    "upload", ["..", "../" * 3 + "outside", "", "0" * 31, "0" * 32 + "/..", "G" * 32, "tmp-" + "0" * 28]
)
def test_hostile_upload_ids(upload: str, backend: FsBackend, outside: Path) -> None:
    backend.multipart_create("a", PLAIN)
    reference = MultipartRef("a", upload)
    for verb in (
        lambda: backend.multipart_put(reference, 0, b"x"),
        lambda: list(backend.multipart_parts(reference)),
        lambda: backend.multipart_complete(reference, [], PLAIN),
    ):
        with pytest.raises(exc.MissingFileError):
            verb()
    assert backend.multipart_abort(reference) is False
    assert_untouched(outside)
