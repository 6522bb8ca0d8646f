"""Who may read what is written: no more than before, at any moment."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import file_keeper
import pytest
from file_keeper import Storage, exc
from file_keeper_fs import FsBackend
from file_keeper_fs.directory import Directory
from file_keeper_fs.portable import PortableDirectory

from fs.conftest import build
from fs.tools import PLAIN, leftovers

PNG = b"\x89PNG" + bytes(600_000)
MODES = (0o600, 0o640, 0o604, 0o400, 0o666, 0o750)


@pytest.fixture(autouse=True)
def mask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def storage(root: Path, kind: dict[str, Any]) -> Storage:
    return stored(root, kind)


def stored(root: Path, kind: dict[str, Any], **options: Any) -> Storage:
    wanted = {name: value for name, value in kind.items() if name != "portable"}
    made = file_keeper.make_storage(
        "s", {"type": "fs", "root": str(root), "overwrite_existing": True, "part_size": "256KiB", **wanted, **options}
    )
    return made.wrapped(lambda inner: build(root, **kind, **options)) if kind.get("portable") else made


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def in_parts(storage: Storage) -> None:
    data = storage.multipart_start("a", 6)
    data = storage.multipart_update(data, b"abc", 0)
    storage.multipart_complete(storage.multipart_update(data, b"def", 1))


def in_pieces(storage: Storage) -> None:
    data = storage.resumable_resume(storage.resumable_start("a", len(PNG)), PNG[: 2 << 18])
    storage.resumable_resume(data, PNG[2 << 18 :])


def declared(storage: Storage) -> None:
    data = storage.multipart_start("a", 3, hash="900150983cd24fb0d6963f7d28e17f72")
    storage.multipart_complete(storage.multipart_update(data, b"abc", 0))


def written(storage: Storage) -> None:
    with storage.open("a", "wb") as file:
        file.write(PNG)


REPLACING: dict[str, Callable[[Storage], object]] = {
    "upload": lambda storage: storage.upload("a", b"new"),
    "stream": lambda storage: storage.upload("a", iter([PNG])),
    "exactly": lambda storage: storage.upload("a", b"new", overwrite=storage.analyze("a")),
    "append": lambda storage: storage.append("a", b"more"),
    "verify": lambda storage: storage.verify("a", record=True),
    "parts": in_parts,
    "pieces": in_pieces,
    "writer": written,
}


@pytest.mark.parametrize("rights", MODES, ids=oct)
@pytest.mark.parametrize("verb", REPLACING)
def test_a_file_that_is_replaced_keeps_its_rights(verb: str, rights: int, storage: Storage, root: Path) -> None:
    storage.upload("a", b"old", metadata={"x": "y"})
    for path in (root / "a", *root.rglob(".file-keeper/*.json")):
        path.chmod(rights)
    for _ in range(2):
        REPLACING[verb](storage)
        assert oct(mode(root / "a")) == oct(rights)
    sidecars = list(root.rglob(".file-keeper/*.json"))
    assert {mode(path) & 0o666 for path in sidecars} <= {rights & 0o666}
    assert leftovers(root) == []


@pytest.mark.parametrize("rights", [0o600, 0o664, None])
def test_a_declared_hash_is_published_by_a_rename(
    rights: int | None, storage: Storage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if rights is not None:
        storage.upload("a", b"old")
        (root / "a").chmod(rights)
    before: list[int] = []
    real = FsBackend.move

    def look(self: FsBackend, source: str, *args: Any) -> Any:
        before.append(mode(root / source))
        return real(self, source, *args)

    monkeypatch.setattr(FsBackend, "move", look)
    declared(storage)
    assert [oct(seen) for seen in before] == [oct(0o600)]
    assert oct(mode(root / "a")) == oct(0o644 if rights is None else rights)
    assert leftovers(root) == []


@pytest.mark.parametrize("rights", MODES, ids=oct)
def test_a_copy_is_never_more_readable(rights: int, storage: Storage, root: Path) -> None:
    storage.upload("a", b"private", metadata={"x": "y"})
    storage.upload("open", b"open")
    storage.upload("target", b"target")
    (root / "a").chmod(rights)
    (root / "target").chmod(0o644)
    storage.copy("copy", "a")
    storage.copy("target", "a")
    storage.compose("both", "open", "a")
    storage.compose("one", "a")
    storage.move("moved", "a")
    assert oct(mode(root / "copy")) == oct(rights & 0o755)
    assert oct(mode(root / "target")) == oct(rights & 0o644)
    assert oct(mode(root / "both")) == oct(rights & 0o644)
    assert oct(mode(root / "one")) == oct(rights & 0o755)
    assert oct(mode(root / "moved")) == oct(rights)
    (root / "target").chmod(0o600)
    storage.copy("target", "open")
    assert oct(mode(root / "target")) == oct(0o600), "nor than what it replaces"
    assert leftovers(root) == []


def test_a_move_to_another_file_system(storage: Storage, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.upload("a", b"private", metadata={"x": "y"})
    (root / "a").chmod(0o664)

    def refuse(self: Any, name: str, target: Any, new: str) -> None:
        if name == "a":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(self, name, target, new)

    for cls in (Directory, PortableDirectory):
        for verb in ("rename", "rename_new"):
            real = getattr(cls, verb)
            monkeypatch.setattr(cls, verb, lambda *args, real=real: (refuse_if_a(*args), real(*args))[1])
    storage.move("b", "a")
    assert (oct(mode(root / "b")), storage.content("b"), storage.exists("a")) == (oct(0o664), b"private", False)


def refuse_if_a(_: Any, name: str, *rest: Any) -> None:
    if name == "a":
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def test_what_is_staged_is_never_wider(storage: Storage, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever anything is written, everything under the reserved name is looked at."""
    storage.upload("a", b"x" * 100, metadata={"x": "y"})
    storage.upload("open", b"open")
    for path in (root / "a", *root.rglob(".file-keeper/*.json")):
        path.chmod(0o600)
    seen: list[tuple[str, int]] = []

    def look() -> None:
        for path in root.rglob("*"):
            if ".file-keeper" in path.parts and path.is_file() and path.name != "meta.json" and path.stat().st_size:
                seen.append((path.name, mode(path)))

    def watched(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            look()
            return result

        return call

    for name in ("write", "copy_file_range", "utime", "fsync"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    for cls in (Directory, PortableDirectory):
        for verb in ("rename", "link", "grant"):
            monkeypatch.setattr(cls, verb, watched(getattr(cls, verb)))
    for verb in ("upload", "stream", "exactly", "append", "parts", "writer"):
        REPLACING[verb](storage)
    storage.copy("copy", "a")
    storage.compose("both", "open", "a")
    storage.copy("a", "open")
    private = [entry for entry in seen if "number-" not in entry[0] and "at-" not in entry[0]]
    assert len(private) > 10
    # The composed and the copied one hold what anyone may read until the private file is read.
    assert [oct(rights) for name, rights in private if rights & 0o077 and not name.startswith("tmp-")] == []
    assert not any(rights & 0o022 for _, rights in private)


def test_new_files_and_directories(root: Path, kind: dict[str, Any]) -> None:
    private = stored(root, kind, file_mode="0640", directory_mode=0o750)
    before = os.umask(0o077)
    try:
        private.upload("d/e/a", b"x", metadata={"x": "y"})
        in_parts(private)
        private.copy("d/b", "d/e/a")
        assert {oct(mode(path)) for path in root.rglob("*") if path.is_file()} == {oct(0o640)}
        assert {oct(mode(root / name)) for name in ("d", "d/e")} == {oct(0o750)}
    finally:
        os.umask(before)
    (root / "d/e/a").chmod(0o600)
    private.upload("d/e/a", b"y")
    assert oct(mode(root / "d/e/a")) == oct(0o600)


@pytest.mark.parametrize("name", ["file_mode", "directory_mode"])
@pytest.mark.parametrize("value", [640, 0o40, "640x", "rw-r-----", 6.5, True, -1, "0o99", "44", 0o100600, "0040"])
def test_rights_that_are_none(name: str, value: Any) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match=f"option '{name}' must be octal rights such as"):
        file_keeper.make_storage("s", {"type": "fs", "root": "/tmp", name: value})


def test_owner_and_group_stay(root: Path, plain: FsBackend) -> None:
    if os.getuid():
        pytest.skip("needs root")
    plain.put("a", b"x", PLAIN)
    os.chown(root / "a", 1234, 4321)
    (root / "a").chmod(0o640)
    plain.put("a", b"y", PLAIN)
    plain.append(plain.head("a"), b"z", PLAIN)
    made = (root / "a").stat()
    assert (made.st_uid, made.st_gid, oct(mode(root / "a"))) == (1234, 4321, oct(0o640))
    plain.copy(plain.head("a"), "b", PLAIN)
    made = (root / "b").stat()
    assert (made.st_gid, oct(mode(root / "b"))) == (4321, oct(0o640))


def test_a_group_that_cannot_be_kept_gets_nothing(root: Path, plain: FsBackend) -> None:
    """As somebody who is not in the group of the file: his own group must not come to read it."""
    if os.getuid():
        pytest.skip("needs root")
    plain.put("a", b"x", PLAIN)
    plain.put("b", b"x", PLAIN)
    for name, rights in (("a", 0o664), ("b", 0o640)):
        os.chown(root / name, 65534, 4321)
        (root / name).chmod(rights)
    os.chown(root, 65534, 65534)
    for path in (root, *root.parents):
        if "pytest" in str(path):
            path.chmod(0o755)
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.umask(0o002)
            mine = build(root)
            for name in ("a", "b"):
                mine.append(mine.head(name), b"y", PLAIN)
                mine.copy(mine.head(name), name + "-copy", PLAIN)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert {path.name: oct(mode(path)) for path in root.iterdir()} == {
        "a": oct(0o644), "a-copy": oct(0o644), "b": oct(0o600), "b-copy": oct(0o600),
    }  # fmt: skip
