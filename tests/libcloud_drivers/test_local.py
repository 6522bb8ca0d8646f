"""The LOCAL driver: what it would do by itself, and what it does here."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from file_keeper import Storage, exc
from libcloud_drivers.places import Make


@pytest.fixture
def storage(tmp_path: Path, make: Make) -> Storage:
    return make(provider="LOCAL", key=str(tmp_path / "base"), bucket="media", path="p", initialize=True)


def files(folder: Path) -> list[str]:
    return sorted(os.path.join(where, name) for where, _, names in os.walk(folder) for name in names)


def test_one_of_many_writers_wins(storage: Storage) -> None:
    barrier = threading.Barrier(16)

    def write(number: int) -> int | None:
        barrier.wait()
        try:
            storage.upload("x", bytes([number]) * 5000)
        except exc.ExistingFileError:
            return None
        return number

    with ThreadPoolExecutor(16) as pool:
        (winner,) = [number for number in pool.map(write, range(16)) if number is not None]
    assert storage.content("x") == bytes([winner]) * 5000


def test_nothing_is_left_behind(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    made = storage.upload("a/x", b"content")

    def broken() -> object:
        yield b"half" * 1_000_000
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        storage.upload("a/x", broken(), overwrite=True)
    assert storage.content(made) == b"content"
    storage.upload("b/y", iter([b"y" * 1_000_000] * 10))
    assert files(temporary) == []
    assert files(tmp_path / "base") == [str(tmp_path / "base/media/p" / name) for name in ("a/x", "b/y")]
    storage.remove("a/x")
    assert not (tmp_path / "base/media/p/a").exists()


def test_what_a_killed_writer_left_is_hidden_and_swept(storage: Storage, tmp_path: Path) -> None:
    staging = tmp_path / "base/media/p/.file-keeper/.lock"
    staging.mkdir(parents=True)
    (staging / "left").write_bytes(b"half")
    assert list(storage.scan()) == []
    assert storage.cleanup_uploads("1h") == 0
    assert storage.cleanup_uploads(0) == 1
    assert files(staging) == []


@pytest.mark.parametrize("name", [".lock/x", "a/.hash/b", "a/.lock"])
def test_names_that_the_driver_does_not_list_are_refused(name: str, storage: Storage) -> None:
    with pytest.raises(exc.LocationError, match="cannot use"):
        storage.upload(name, b"x")


def test_files_and_folders_of_one_name(storage: Storage) -> None:
    storage.upload("a/b", b"x")
    storage.upload("file", b"x")
    for name in ("a", "file/x", "file/x/y"):
        with pytest.raises(exc.LocationError):
            storage.upload(name, b"x", overwrite=True)
        assert not storage.exists(name)
    with pytest.raises(exc.LocationError):
        storage.upload("n" * 300, b"x")


def test_other_programs_files_are_files(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "base/media/p").mkdir(parents=True)
    (tmp_path / "base/media/p/theirs.json").write_bytes(b'{"a": 1}')
    found = storage.analyze("theirs.json")
    assert (found.size, found.content_type) == (8, "application/json")
    assert found.hash == hashlib.md5(b'{"a": 1}').hexdigest()
    assert list(storage.scan()) == ["theirs.json"]


def test_what_is_no_regular_file_is_missing(storage: Storage, tmp_path: Path) -> None:
    storage.upload("a/file", b"x")
    folder = tmp_path / "base/media/p/a"
    (folder / "link").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe")
    assert list(storage.scan()) == ["a/file"]
    for name in ("a/link", "a/pipe"):
        assert not storage.exists(name)
        # Nobody writes into the pipe: to open it as a file would wait for ever.
        with pytest.raises(exc.MissingFileError):
            storage.content(name)
    with pytest.raises(exc.ExistingFileError):
        storage.upload("a/pipe", b"y")


def test_a_folder_that_cannot_be_read_is_an_error(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.upload("a/file", b"x")
    storage.upload("b/file", b"x")
    scandir = os.scandir

    def refused(path: str) -> object:
        if path.endswith(os.path.join("p", "b")):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(exc.PermissionError):
        list(storage.scan())


def test_listing_goes_on_while_files_come_and_go(storage: Storage) -> None:
    for number in range(50):
        storage.upload(f"stays/{number:02}", b"x")
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            storage.upload("comes/and/goes", b"x", overwrite=True)
            storage.remove("comes/and/goes")

    worker = threading.Thread(target=churn)
    worker.start()
    try:
        for _ in range(20):
            assert len(list(storage.scan(prefix="stays/"))) == 50
    finally:
        done.set()
        worker.join()


def test_a_base_that_is_missing(tmp_path: Path, make: Make) -> None:
    storage = make(provider="LOCAL", key=str(tmp_path / "missing"), bucket="media")
    with pytest.raises(exc.FilesError, match="base path is not a directory"):
        storage.content("x")
    storage = make(provider="LOCAL", key=str(tmp_path), bucket="media")
    for call in (lambda: storage.content("x"), lambda: list(storage.scan()), lambda: storage.upload("x", b"x")):
        with pytest.raises(exc.InvalidStorageConfigurationError, match="no bucket 'media'"):
            call()
