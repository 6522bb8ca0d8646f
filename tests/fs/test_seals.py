"""A hash that was recorded of a foreign file: a change by other tools is noticed by whoever reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import file_keeper as fk
import pytest
from file_keeper import exc


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"!")


def _same_size(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"CONTENT")


def _replace(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(b"another")
    new.replace(path)


CHANGES = {"appended": _append, "same size": _same_size, "replaced": _replace}


@pytest.fixture(params=["xattr", "sidecar"])
def storage(request: pytest.FixtureRequest, root: Path) -> fk.Storage:
    return fk.make_storage("s", {"type": "fs", "root": str(root), "attributes": request.param})


@pytest.fixture
def path(root: Path, storage: fk.Storage) -> Path:
    """A file of others, whose hash was recorded."""
    (root / "d").mkdir()
    (root / "d" / "a").write_bytes(b"content")
    assert storage.verify("d/a", record=True).hash
    return root / "d" / "a"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_noticed(change: Callable[[Path], None], path: Path, storage: fk.Storage, tmp_path: Path) -> None:
    target = tmp_path / "target"
    assert storage.content("d/a") == b"content"
    change(path)
    other = fk.make_storage("other", {"type": "memory"})
    ways: dict[str, Callable[[], object]] = {
        "content": lambda: storage.content("d/a"),
        "stream": lambda: list(storage.stream("d/a")),
        "download": lambda: storage.download("d/a", target),
        "to another storage": lambda: storage.copy_synthetic("b", "d/a", other),
    }
    for name, read in ways.items():
        with pytest.raises(exc.CorruptedFileError, match="changed by another tool"):
            read()
        assert not target.exists(), name
    assert list(other.scan()) == []
    with pytest.raises(exc.UploadHashMismatchError):
        storage.verify("d/a", record=True)
    assert storage.with_options(verify_reads="never").content("d/a") == path.read_bytes()


def test_a_touched_file_is_the_same(path: Path, storage: fk.Storage) -> None:
    os.utime(path, (1, 1))
    assert storage.content("d/a") == b"content"
    storage.verify("d/a", record=True)
    assert storage.content("d/a") == b"content"


@pytest.mark.parametrize("way", ["upload", "remove", "move away"])
def test_what_is_meant_is_believed(way: str, path: Path, root: Path, storage: fk.Storage) -> None:
    """What this storage writes, or takes away, ends what was recorded under the name."""
    _same_size(path)
    if way == "upload":
        storage.upload("d/a", b"mine", overwrite=True)
    elif way == "remove":
        storage.remove("d/a")
    else:
        storage.move("elsewhere", "d/a")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"and again by others")
    assert storage.content("d/a") == b"and again by others"


def test_the_seal_of_a_file_that_is_gone_is_swept(path: Path, root: Path, storage: fk.Storage) -> None:
    storage.cleanup_uploads(0)
    hold = root / "d" / ".file-keeper"
    assert [name for name in os.listdir(hold) if name.endswith(".sealed.json")], "a seal of a file stays"
    path.unlink()
    storage.cleanup_uploads(0)
    assert not hold.exists()


@pytest.mark.parametrize("seal", [b"", b"[]", b'{"digests": 3}', b'{"digests": {"none": "x"}}', b"[" * 100_000])
def test_a_broken_seal_is_none(seal: bytes, path: Path, root: Path, storage: fk.Storage) -> None:
    (found,) = (root / "d" / ".file-keeper").glob("*.sealed.json")
    found.write_bytes(seal)
    _same_size(path)
    assert storage.content("d/a") == b"CONTENT"


def test_without_attributes_nothing_is_recorded(root: Path) -> None:
    storage = fk.make_storage("s", {"type": "fs", "root": str(root), "attributes": "none"})
    (root / "a").write_bytes(b"content")
    storage.verify("a", record=True)
    assert os.listdir(root) == ["a"]
