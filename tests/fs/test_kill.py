"""Kill -9 at any moment leaves the old content or the new, and what else is left is found."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import file_keeper
import pytest
from file_keeper.backend import MultipartRef, WriteOptions
from file_keeper_fs import FsBackend

from .conftest import build
from .tools import NEW, PLAIN, content, keys, leftovers


def text(number: int) -> bytes:
    return b"%d|" % number * (2000 + number % 977)


def described(number: int) -> WriteOptions:
    return WriteOptions(
        content_type=f"text/x-{number}",
        metadata={"number": str(number)},
        digests={"md5": hashlib.md5(text(number)).hexdigest()},
    )


def write_for_ever(backend: FsBackend) -> None:
    """Replace, create, move, copy, append and complete, until killed."""
    number = 0
    while True:
        number += 1
        backend.put("d/replaced", text(number), described(number))
        backend.put(f"d/n{number % 5}", text(number), described(number))
        made = backend.put("e/source", text(number), described(number))
        backend.move("e/source", "d/moved", PLAIN)
        backend.copy(made.__class__(key="d/moved", size=made.size), f"f/copy{number % 3}", described(number))
        upload = MultipartRef("d/parts", backend.multipart_create("d/parts", described(number)))
        body = memoryview(text(number))
        parts = [
            backend.multipart_put(upload, i, body[i * 1000 : (i + 1) * 1000]) for i in range(-(-len(body) // 1000))
        ]
        backend.multipart_complete(upload, parts, described(number))
        backend.delete(f"d/n{(number + 2) % 5}")
        backend.delete(f"f/copy{(number + 1) % 3}")


@pytest.mark.full
def test_at_random_moments(root: Path, kind: dict[str, Any]) -> None:
    backend = build(root, **kind)
    chance = random.Random(7)
    killed = seen = 0
    for _ in range(30):
        child = os.fork()
        if not child:
            try:
                write_for_ever(build(root, **kind))
            finally:
                os._exit(1)
        time.sleep(chance.uniform(0.002, 0.12))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        killed += bool(leftovers(root))
        for key in keys(backend):
            info = backend.head(key)
            body = content(backend, key)
            number = int(body.split(b"|", 1)[0])
            seen += 1
            assert body == text(number)
            # Content and attributes are of one version, whatever moment it was.
            expected = described(number)
            assert (info.content_type, info.metadata, info.digests) == (
                expected.content_type,
                expected.metadata,
                expected.digests,
            )
        # And the next writer is not kept from anything.
        backend.put("d/replaced", text(1), described(1))
    assert seen
    assert killed, "no kill came while something was staged: the test shows nothing"
    for upload in list(backend.multipart_list("")):
        assert upload.started.timestamp() <= time.time()
        assert backend.multipart_abort(upload.ref)
    for _ in range(2):
        if backend._kind.closes:
            for path in root.rglob(".file-keeper/tmp-*"):
                os.utime(path, (0, 0))
        backend.cleanup("", 0)
    # A directory made just before the kill is empty and means nothing: nobody can tell it from one of the operator's.
    assert [name for name in leftovers(root) if ".file-keeper" in name or not name.endswith("/")] == []


def test_cleanup_finds_it_all(root: Path) -> None:
    # Through the storage, as a user has it: one killed while it streams, one with parts, found by another process.
    script = textwrap.dedent(
        """
        import sys, file_keeper as fk
        storage = fk.make_storage("s", {"type": "fs", "root": sys.argv[1], "part_size": 1 << 20})
        data = storage.multipart_start("m/parts", 3 << 20)
        data = storage.multipart_update(data, b"x" * (1 << 20), 0)
        def endless():
            while True:
                yield b"x" * (1 << 20)
                print("more", flush=True)
        storage.upload("m/endless", fk.make_upload(endless()), overwrite=True)
        """
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE)
    assert child.stdout
    with child.stdout:
        for _ in range(5):
            assert child.stdout.readline() == b"more\n"
        storage = file_keeper.make_storage("s", {"type": "fs", "root": str(root)})
        # Alive: its staging file is locked, however old one says it may be; the parts are nobody's lock.
        assert storage.cleanup_uploads(3600) == 0
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert list(storage.scan()) == []
    assert len(leftovers(root)) == 3
    assert storage.cleanup_uploads(3600) == 0
    time.sleep(0.05)
    assert storage.cleanup_uploads(0) == 2
    assert list(root.iterdir()) == []


def test_the_living_keep_their_staging_file(root: Path, plain: FsBackend) -> None:
    class Slow:
        size = None
        digests: dict[str, str] = {}  # noqa: RUF012

        def __iter__(self) -> Any:
            yield memoryview(b"first")
            (staged,) = root.rglob("tmp-*")
            os.utime(staged, (0, 0))
            assert build(root).cleanup("", 0) == 0
            yield memoryview(b"second")

    plain.put("a", Slow(), PLAIN)
    assert content(plain, "a") == b"firstsecond"
    assert leftovers(root) == []


@pytest.mark.parametrize("name", ["new-" + "a" * 32, "old-" + "a" * 32])
def test_uploads_half_made_and_half_removed(name: str, root: Path, backend: FsBackend) -> None:
    folder = root / "d" / ".file-keeper" / name
    folder.mkdir(parents=True)
    (folder / "00000000").write_text("x")
    assert list(backend.multipart_list("")) == []
    assert backend.cleanup("", 3600) == 0
    assert folder.exists()
    assert backend.cleanup("", 0) == 1
    assert list(root.iterdir()) == []


def test_an_upload_goes_on_in_another_process(root: Path) -> None:
    backend = build(root)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        mine = build(root)
        upload = MultipartRef("deep/er/x", mine.multipart_create("deep/er/x", PLAIN))
        for number in range(1200):
            mine.multipart_put(upload, number, b"%04d" % number)
        os.write(write, upload.id.encode())
        signal.pause()
    upload = MultipartRef("deep/er/x", os.read(read, 100).decode())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(read)
    os.close(write)
    (found,) = backend.multipart_list("deep/")
    assert found.ref == upload
    assert list(backend.multipart_list("deeper")) == []
    parts = list(backend.multipart_parts(upload))
    assert [part.number for part in parts] == list(range(1200))
    assert keys(backend) == []
    backend.multipart_complete(upload, parts, NEW)
    assert content(backend, "deep/er/x") == b"".join(b"%04d" % number for number in range(1200))
    assert leftovers(root) == []
