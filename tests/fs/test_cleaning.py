"""Cleaning up: whatever lies under the reserved name, what is ours goes, and what follows is reached."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import file_keeper
import pytest
from file_keeper import exc
from file_keeper_fs import FsBackend
from file_keeper_fs.directory import Directory

from fs.conftest import build
from fs.tools import PLAIN

HEX = "0123456789abcdef" * 2
HOUR = 3600


def old(path: Path | str | bytes) -> None:
    os.utime(path, (time.time() - 2 * HOUR,) * 2, follow_symlinks=False)


def make_file(path: bytes) -> None:
    with open(path, "wb") as file:
        file.write(b"x")


def make_folder(path: bytes) -> None:
    os.mkdir(path)


def make_full_folder(path: bytes) -> None:
    os.makedirs(path + b"/a/b/\xff")
    os.symlink("/etc", path + b"/a/link")
    make_file(path + b"/a/b/\xff/\xfe")
    make_file(path + b"/x")


def make_link(path: bytes) -> None:
    os.symlink("/etc", path)


def make_pipe(path: bytes) -> None:
    os.mkfifo(path)


MAKERS = (make_file, make_folder, make_full_folder, make_link, make_pipe)
OURS = [b"tmp-0123", b"new-" + HEX.encode(), b"old-" + HEX.encode(), HEX.encode(), b"0123.json", b"lock"]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "kept").write_text("kept")
    return path


def follows(root: Path) -> Path:
    """Make something left behind in a directory that comes later, and earlier, than all others."""
    for name in ("\0x00"[1:], "~~~"):
        folder = root / name / ".file-keeper"
        folder.mkdir(parents=True)
        (folder / "tmp-ffff").write_text("left")
        old(folder / "tmp-ffff")
    return root


def found(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.mark.parametrize("odd", [b"", b"\xff"])
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", OURS)
def test_whatever_has_a_name_of_ours_goes(
    name: bytes, make: Callable[[bytes], None], odd: bytes, root: Path, backend: FsBackend
) -> None:
    if name == b"lock" and backend._kind.closes:
        pytest.skip("whoever needs a lock next takes it away")
    if odd and name in (HEX.encode(), b"lock"):
        pytest.skip("it is not ours then")
    follows(root)
    hold = os.fsencode(root / "d" / ".file-keeper")
    os.makedirs(hold)
    path = hold + b"/" + (odd + name if name.endswith(b".json") else name + odd)
    make(path)
    assert backend.cleanup("", HOUR) == 2, "it is young, and those that follow are not"
    assert os.path.lexists(path)
    old(path)
    assert list(backend.multipart_list("")) == []
    assert backend.cleanup("", HOUR) == 1
    assert found(root) == []


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", [b"read_digests", b"\xff\xfe", b"a\nb"])
def test_what_is_not_ours_is_passed_over(
    name: bytes, make: Callable[[bytes], None], root: Path, backend: FsBackend, caplog: pytest.LogCaptureFixture
) -> None:
    follows(root)
    hold = os.fsencode(root / "d" / ".file-keeper")
    os.makedirs(hold)
    make(hold + b"/" + name)
    old(hold + b"/" + name)
    with caplog.at_level(logging.WARNING, "file_keeper"):
        assert backend.cleanup("", 0) == 2
    assert os.listdir(hold) == [name]
    assert ["is passed over: it is not ours" in record.getMessage() for record in caplog.records] == [True]
    repr(caplog.text.encode())  # what is logged can be written down


@pytest.mark.parametrize("odd", [b"\xff", b"."])
def test_directories_of_any_name_are_looked_into(odd: bytes, root: Path, backend: FsBackend) -> None:
    folder = os.fsencode(root) + b"/a/" + odd + b"x/.file-keeper"
    os.makedirs(folder)
    make_file(folder + b"/tmp-1")
    old(folder + b"/tmp-1")
    upload = folder + b"/" + HEX.encode()
    os.mkdir(upload)
    Path(os.fsdecode(upload), "meta.json").write_text(json.dumps({"name": "x", "started": 0}))
    assert backend.cleanup("", HOUR) == 1
    ((ref,),) = [[entry.ref for entry in backend.multipart_list("")]]
    assert backend.multipart_abort(ref) is True
    assert not os.path.exists(folder)


@pytest.mark.parametrize("make", [make_file, make_link, make_pipe])
def test_something_else_has_the_reserved_name(make: Callable[[bytes], None], root: Path, backend: FsBackend) -> None:
    follows(root)
    (root / "d").mkdir()
    make(os.fsencode(root / "d" / ".file-keeper"))
    assert backend.cleanup("", 0) == 2
    assert list(backend.multipart_list("")) == []
    assert found(root) == ["d", "d/.file-keeper"]


META: list[Any] = [None, "", "{", "5", "[]", "{}", '{"name": 5, "started": 0}', '{"name": "x", "started": "soon"}',
                   '{"name": "x", "started": 1e300}', '{"name": "x"}', "[" * 100_000]  # fmt: skip


@pytest.mark.parametrize("meta", META, ids=lambda value: repr(value)[:20])
def test_an_upload_that_says_nothing_of_itself(meta: str | None, root: Path, backend: FsBackend) -> None:
    follows(root)
    folder = root / ".file-keeper" / HEX
    folder.mkdir(parents=True)
    if meta is not None:
        (folder / "meta.json").write_text(meta)
    (folder / "00000000").write_text("part")
    assert list(backend.multipart_list("")) == []
    assert backend.cleanup("", HOUR) == 2
    old(folder)
    assert backend.cleanup("", HOUR) == 1
    assert found(root) == []


def test_an_upload_with_other_things_in_it(root: Path, backend: FsBackend) -> None:
    upload = backend.multipart_create("x", PLAIN)
    make_full_folder(os.fsencode(root / ".file-keeper" / upload / "folder"))
    make_file(os.fsencode(root / ".file-keeper" / upload) + b"/\xff")
    ((ref,),) = [[entry.ref for entry in backend.multipart_list("")]]
    assert list(backend.multipart_parts(ref)) == []
    assert backend.multipart_abort(ref) is True
    assert found(root) == []


def test_parts_that_cannot_go_are_no_failure_of_what_is_published(
    root: Path, plain: FsBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = plain.multipart_create("x", PLAIN)
    (ref,) = [entry.ref for entry in plain.multipart_list("")]
    part = plain.multipart_put(ref, 0, b"content")

    def refuse(self: Any, name: str, *args: Any) -> None:
        if name.startswith(("old-", "0000")) or name == upload:
            raise PermissionError(13, "Permission denied")
        real(self, name, *args)

    real = plain._kind.unlink
    monkeypatch.setattr(plain._kind, "unlink", refuse)
    info = plain.multipart_complete(ref, [part], PLAIN)
    assert (info.size, (root / "x").read_bytes()) == (7, b"content")
    monkeypatch.undo()
    assert plain.cleanup("", 0) == 1
    assert found(root) == ["x"]


def test_deeper_than_descriptors_and_recursion_go(root: Path, plain: FsBackend) -> None:
    top = here = root / ".file-keeper" / "old-1"
    here.mkdir(parents=True)
    descriptor = os.open(here, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=descriptor)
        deeper = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(descriptor)
    old(top)
    assert plain.cleanup("", HOUR) == 1
    assert found(root) == []


def test_a_tree_deeper_than_any_name_is_left_where_that_ends(
    root: Path, plain: FsBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each directory is reached from the top, which for thousands of them would take minutes."""
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=descriptor)
        deeper = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(descriptor)
    looked = []
    real = Directory.folders
    monkeypatch.setattr(Directory, "folders", lambda self: looked.append(1) or real(self))
    plain.cleanup("", 0)
    assert len(looked) <= 2 * 512
    # pytest removes its folders by recursion, which does not go as deep.
    (root / "d").rename(root / ".file-keeper-old")
    (root / ".file-keeper").mkdir()
    (root / ".file-keeper-old").rename(root / ".file-keeper" / "old-1")
    plain.cleanup("", 0)
    assert found(root) == []


def test_the_scratch_directory_of_the_core(root: Path, kind: dict[str, Any]) -> None:
    options = {name: value for name, value in kind.items() if name != "portable"}
    storage = file_keeper.make_storage("s", {"type": "fs", "root": str(root), **options})
    follows(root)
    scratch = root / ".file-keeper" / "sessions"
    for folder in (scratch, scratch / HEX):
        folder.mkdir(parents=True)
        for number, make in enumerate(MAKERS):
            path = os.fsencode(folder / f"odd{number}") + b"\xff"
            make(path)
            old(path)
        make_link(os.fsencode(folder / "link"))
        old(folder / "link")
    (scratch / "empty").mkdir()
    data = storage.multipart_start("x", 10, content_type="text/plain")
    storage.multipart_update(data, b"text", 0)
    for path in (scratch, scratch / HEX, scratch / "empty"):
        old(path)
    assert storage.cleanup_uploads(HOUR) == 2 + 12
    assert storage.multipart_refresh(data).storage_data["uploaded"] == 4
    assert storage.multipart_remove(data)
    assert storage.cleanup_uploads(0) == 0
    assert found(root) == []


def test_a_directory_that_may_not_be_read(root: Path, plain: FsBackend, tmp_path: Path) -> None:
    """As somebody else than root: closed directories beside, in and under ours; those that follow are reached."""
    if not hasattr(os, "fork") or os.getuid():
        pytest.skip("needs root to become somebody else")
    follows(root)
    for name in ("a", "b/.file-keeper", f"c/.file-keeper/{HEX}", "d/.file-keeper/old-1", "e/.file-keeper/new-1/x"):
        (root / name).mkdir(parents=True)
        (root / name / "y").write_text("y")
        os.utime(root / name, (0, 0))
        os.utime((root / name).parent, (0, 0))
        (root / name).chmod(0)
    for path in (root, *root.rglob("*")):
        os.chown(path, 65534, 65534)
    for path in (root, *root.parents):
        if "pytest" in str(path):
            path.chmod(0o755)
    log = tmp_path / "log"
    log.touch()
    log.chmod(0o666)
    child = os.fork()
    if not child:
        code = 1
        try:
            logging.basicConfig(filename=log, force=True)
            os.setuid(65534)
            storage = file_keeper.make_storage("s", {"type": "fs", "root": str(root)})
            code = 0 if storage.cleanup_uploads(HOUR) >= 2 else 2
        except BaseException as error:
            log.write_text(repr(error))
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, log.read_text()
    assert not list(root.rglob("tmp-*"))
    assert log.read_text().count("is passed over: permission denied") >= 4
    for path in root.rglob("*"):
        if path.is_dir():
            path.chmod(0o700)
    plain.cleanup("", 0)
    assert [name for name in found(root) if "old-" in name or "new-" in name or HEX in name] == []


def test_one_upload_that_cannot_be_dropped_does_not_keep_the_others(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = file_keeper.make_storage("s", {"type": "fs", "root": str(root)})
    for name in ("a", "b", "c"):
        storage.multipart_start(name + "/x", 1)
    real = FsBackend.multipart_abort

    def refuse(self: FsBackend, upload: Any) -> bool:
        if upload.key.startswith("b"):
            raise PermissionError(13, "Permission denied")
        return real(self, upload)

    monkeypatch.setattr(FsBackend, "multipart_abort", refuse)
    follows(root)
    with pytest.raises(exc.PermissionError, match="cleanup_uploads"):
        storage.cleanup_uploads(0)
    assert sorted({name.split("/")[0] for name in found(root)}) == ["b"]
    assert isinstance(build(root), FsBackend)
