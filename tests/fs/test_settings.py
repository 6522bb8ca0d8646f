"""Where the files lie, and what is told of wrong settings."""

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import file_keeper
import pytest
from file_keeper import Capability, exc
from file_keeper_fs.portable import windows_refuses

from .conftest import build
from .tools import PLAIN, leftovers


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "here"),
        ({"root": "r"}, "here/r"),
        ({"root": "r", "bucket": "b"}, "here/r/b"),
        ({"root": "r", "bucket": "b", "path": "./p/q/"}, "here/r/b/p/q"),
        ({"bucket": "b", "path": "p"}, "here/b/p"),
        ({"root": "../up"}, "here/../up"),
        ({"path": "{here}/abs"}, "here/abs"),
        ({"root": "{here}/abs", "path": "p"}, "here/abs/p"),
        ({"path": "~/files"}, "home/files"),
        ({"root": "~/files", "bucket": "b"}, "home/files/b"),
        ({"root": {"env": "FS_ROOT"}, "path": "p"}, "elsewhere/p"),
    ],
)
def test_where_the_files_lie(
    options: dict[str, Any], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "home", "elsewhere", "later"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FS_ROOT", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path / "here")
    filled = {
        key: value.format(here=tmp_path / "here") if isinstance(value, str) else value for key, value in options.items()
    }
    storage = file_keeper.make_storage("s", {"type": "fs", "initialize": True, **filled})
    # A change of the working directory moves nothing.
    monkeypatch.chdir(tmp_path / "later")
    storage.upload("d/x", b"content")
    assert (tmp_path / expected / "d/x").read_bytes() == b"content"
    assert storage.backend.client.samefile(tmp_path / expected)
    assert list(storage.scan()) == ["d/x"]


def test_nothing_is_done_before_the_first_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    storage = file_keeper.make_storage("s", {"type": "fs", "root": {"env": "NOT_SET"}})
    with pytest.raises(exc.MissingStorageConfigurationError, match="NOT_SET"):
        storage.exists("a")
    storage = file_keeper.make_storage("s", {"type": "fs", "root": str(tmp_path), "bucket": "b"})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(exc.InvalidStorageConfigurationError, match="initialize"):
        storage.exists("a")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "/abs", "bucket": "b"}, "leave 'bucket' out"),
        ({"path": "/abs", "root": "r"}, "leave 'root' out"),
        ({"path": "/abs/../etc"}, "'..'"),
        ({"path": "a/../b"}, "path"),
        ({"path": "../b"}, "path"),
        ({"bucket": ".."}, "bucket"),
        ({"bucket": "a/b"}, "belongs into 'path'"),
        ({"root": "a\0b"}, "NUL"),
        ({"path": "a/.file-keeper/b"}, "path"),
        ({"attributes": "xatr"}, "auto, xattr, sidecar, none"),
        ({"fsync": "maybe"}, "true or false"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"signing_key": ["k" * 32, ""]}, "signing_key"),
        ({"signing_key": {"k" * 32: 1}}, "signing_key"),
        ({"base_url": "https://x.test/?a=b"}, "no query"),
        ({"base_url": "https://x.test/#top"}, "no fragment"),
        ({"base_url": "https://x.test/a b"}, "no space"),
        ({"base_url": "https://x.test/a\nb"}, "line break"),
        ({"base_url": "https://user:pass@x.test/"}, "without user"),
        ({"base_url": "https:///media"}, "name a host"),
        ({"base_url": "//x.test/media"}, "base_url"),
        ({"base_url": "/a/../b"}, "'..'"),
        ({"rot": "x"}, "did you mean 'root'"),
        ({"region": "eu"}, "s3"),
    ],
)
def test_wrong_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError) as caught:
        file_keeper.make_storage("media", {"type": "fs", **options})
    assert message in str(caught.value)
    assert "'media'" in str(caught.value)
    assert "k" * 32 not in str(caught.value)


@pytest.mark.parametrize("name", ["loop", "loop/below", "n" * 300])
def test_a_directory_that_cannot_be_reached_is_no_empty_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    options = {"type": "fs", "path": str(tmp_path / name)}
    storage = file_keeper.make_storage("s", options)
    for call in (
        lambda: storage.exists("a"),
        lambda: storage.remove("a"),
        lambda: list(storage.scan()),
        lambda: list(storage.files(delimiter="/")),
        lambda: storage.upload("a", b"x"),
        storage.check,
        lambda: storage.cleanup_uploads(0),
        lambda: file_keeper.make_storage("s", {**options, "initialize": True}),
    ):
        with pytest.raises(exc.InvalidStorageConfigurationError, match="cannot be"):
            call()


def test_the_current_directory_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def removed() -> str:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "getcwd", removed)
    file_keeper.make_storage("s", {"type": "fs", "path": str(tmp_path)}).upload("a", b"x")
    storage = file_keeper.make_storage("s", {"type": "fs", "path": "relative"})
    with pytest.raises(exc.InvalidStorageConfigurationError, match="which was removed"):
        storage.exists("a")


def test_permanent_links(root: Path) -> None:
    storage = file_keeper.make_storage("s", {"type": "fs", "root": str(root), "base_url": "https://x.test/media/"})
    assert storage.supports(Capability.LINK_PERMANENT)
    assert storage.permanent_link("a/b ?#%+☺.txt") == "https://x.test/media/a/b%20%3F%23%25%2B%E2%98%BA.txt"
    assert not build(root).verbs & {"url", "sign"}
    assert not file_keeper.make_storage("s", {"type": "fs", "root": str(root)}).supports(Capability.LINK_PERMANENT)


def test_signed_links_need_a_key(root: Path) -> None:
    options = {"type": "fs", "root": str(root), "base_url": "https://x.test/media/"}
    assert not file_keeper.make_storage("s", options).supports(Capability.SIGNED)
    storage = file_keeper.make_storage("s", {**options, "signing_key": "a, key"})
    assert storage.settings.signing_key == ("a, key",)
    assert storage.supports(Capability.SIGNED | Capability.LINK_TEMPORARY)
    url = storage.signed("upload", "1h", "a b.txt", max_size="1MiB", content_type="text/plain", overwrite=False)
    assert url.startswith("https://x.test/media/a%20b.txt?fk-expires=")
    assert (url.method, url.headers) == ("PUT", {"Content-Type": "text/plain", "If-None-Match": "*"})
    assert "a, key" not in repr(storage.settings) + url
    with pytest.raises(exc.StorageDataError, match="only an upload"):
        storage.signed("download", 60, "a", max_size=1)
    with pytest.raises(exc.StorageDataError, match="max_size"):
        storage.signed("upload", 60, "a", max_size=-1)


def test_signing_keys_may_stand_in_a_file(root: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("new\nold\n")
    options = {"type": "fs", "root": str(root), "base_url": "/media", "signing_key": {"file": str(keys)}}
    storage = file_keeper.make_storage("s", options)
    assert storage.settings.resolve().signing_key == ("new", "old")
    assert storage.temporary_link("a", 60).startswith("/media/a?")


def test_a_storage_travels(root: Path) -> None:
    storage = file_keeper.make_storage("s", {"type": "fs", "root": str(root), "path": "p", "initialize": True})
    storage.upload("a", b"x")
    assert pickle.loads(pickle.dumps(storage)).content("a") == b"x"


def test_under_a_locale_that_is_not_utf8(root: Path) -> None:
    script = (
        "import sys, file_keeper as fk\n"
        "assert sys.getfilesystemencoding() != 'utf-8', 'skip'\n"
        "storage = fk.make_storage('s', {'type': 'fs', 'root': sys.argv[1]})\n"
        "storage.upload('\u263a/\xe9', b'x')\n"
        "assert list(storage.scan()) == ['\u263a/\xe9'] == [f.location for f in storage.files()]\n"
        "assert storage.content('\u263a/\xe9') == b'x'\n"
        "storage.move('\u263a/\xe8', '\u263a/\xe9')\n"
    )
    ascii_script = script.encode("ascii", "backslashreplace").decode()
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", ascii_script, str(root)], env=env, capture_output=True, text=True)
    if "skip" in done.stderr:
        pytest.skip("this Python speaks UTF-8 with the file system under any locale")
    assert done.returncode == 0, done.stderr
    assert (root / "☺" / "è").read_bytes() == b"x"


def test_written_through(root: Path, kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[int, bool]] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append((os.fstat(fd).st_ino, (root / "d" / "e" / "a").exists()))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    build(root, **kind).put("d/e/a", b"x", PLAIN)
    assert synced == []
    build(root, **kind).delete("d/e/a")
    backend = build(root, fsync=True, **kind)
    backend.put("d/e/a", b"x", PLAIN)
    inode = (root / "d/e/a").stat().st_ino
    # The file before it has its name, the directories that it needs, and the directory that has it, afterwards.
    assert (inode, False) in synced
    if not backend._kind.closes:
        assert {(root.stat().st_ino, False), ((root / "d").stat().st_ino, False)} <= set(synced)
        assert synced[-1] == ((root / "d/e").stat().st_ino, True)
    assert leftovers(root) == []


@pytest.mark.parametrize(
    "name",
    [
        "a:b",
        "a\\b",
        "con",
        "CON.txt",
        "nul",
        "com1",
        "COM¹.x",
        "lpt9",
        "a.",
        "a ",
        "a<b",
        'a"b',
        "a|b",
        "a?",
        "a*",
        "aux ",
    ],
)
def test_names_that_windows_refuses(name: str) -> None:
    assert windows_refuses(name)


@pytest.mark.parametrize("name", ["a", "console", "com", "com10", "a.con", ".con", "lptx", "ä ö", "nulls", "a.b c"])
def test_names_that_windows_takes(name: str) -> None:
    assert not windows_refuses(name)
