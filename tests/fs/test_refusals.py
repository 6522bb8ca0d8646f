"""Whatever the system refuses, at whatever step: the error says it, what stood before stands, nothing else is left."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from file_keeper import exc
from file_keeper.backend import MultipartRef, WriteOptions
from file_keeper_fs import FsBackend
from file_keeper_fs.directory import Directory
from file_keeper_fs.portable import PortableDirectory

from fs.tools import NEW, PLAIN, content, keys, leftovers

REFUSALS = {
    errno.ENOSPC: (exc.StorageError, False),
    errno.EDQUOT: (exc.StorageError, False),
    errno.EIO: (exc.ConnectionError, True),
    errno.ESTALE: (exc.ConnectionError, True),
    errno.EROFS: (exc.PermissionError, False),
}


def complete(backend: FsBackend) -> None:
    ref = MultipartRef("a", backend.multipart_create("a", PLAIN))
    try:
        backend.multipart_complete(ref, [backend.multipart_put(ref, 0, b"new")], PLAIN)
    except BaseException:
        backend.multipart_abort(ref)
        raise


VERBS: dict[str, Callable[[FsBackend], object]] = {
    "put": lambda backend: backend.put("a", b"new", WriteOptions(metadata={"x": "y"})),
    "put new": lambda backend: backend.put("d/new", b"new", NEW),
    "copy": lambda backend: backend.copy(backend.head("b"), "a", PLAIN),
    "copy new": lambda backend: backend.copy(backend.head("b"), "d/new", NEW),
    "append": lambda backend: backend.append(backend.head("a"), b"new", PLAIN),
    "compose": lambda backend: backend.compose([backend.head("a"), backend.head("b")], "a", PLAIN),
    "move": lambda backend: backend.move("b", "a", PLAIN),
    "move new": lambda backend: backend.move("b", "d/new", NEW),
    "complete": complete,
    "delete": lambda backend: backend.delete("a"),
}


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize("verb", VERBS)
def test_at_every_step(verb: str, number: int, backend: FsBackend, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend.put("a", b"old", WriteOptions(content_type="text/x", metadata={"k": "v"}))
    backend.put("b", b"other", WriteOptions(content_type="text/y", metadata={"k": "v"}))
    before = backend.head("a"), backend.head("b")
    count, fatal = 0, 0

    def refusing(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == fatal:
                raise OSError(number, os.strerror(number))
            return real(*args, **kwargs)

        return call

    for cls in (Directory, PortableDirectory):
        for step in ("create", "rename", "rename_new", "link", "touch", "mkdir", "grant"):
            if step in vars(cls):
                monkeypatch.setattr(cls, step, refusing(getattr(cls, step)))
    monkeypatch.setattr(os, "write", refusing(os.write))
    monkeypatch.setattr(os, "copy_file_range", refusing(os.copy_file_range))
    steps = 0
    while True:
        count, fatal = 0, fatal + 1
        try:
            VERBS[verb](backend)
        except (OSError, exc.FilesError) as error:
            told = error if isinstance(error, exc.FilesError) else backend.translate(error)
        else:
            break
        steps += 1
        cls, retryable = REFUSALS[number]
        assert isinstance(told, cls)
        assert told.retryable is retryable
        assert (backend.head("a"), backend.head("b")) == before
        assert (content(backend, "a"), content(backend, "b")) == (b"old", b"other")
        assert keys(backend) == ["a", "b"]
        assert leftovers(root) == []
    assert steps >= (0 if verb == "delete" else 1), "and at last nothing is refused any more"


def test_refused_when_it_is_closed(plain: FsBackend, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As network file systems do: what was written is refused when a descriptor of the file is first closed."""
    plain.put("a", b"old", PLAIN)
    real, failed = os.close, 0

    def close(fd: int) -> None:
        nonlocal failed
        full = not failed and os.path.basename(os.readlink(f"/proc/self/fd/{fd}")).startswith("tmp-")
        real(fd)
        if full:
            failed += 1
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "close", close)
    with pytest.raises(OSError, match="quota"):
        plain.put("a", b"new", PLAIN)
    monkeypatch.undo()
    assert (failed, content(plain, "a"), keys(plain), leftovers(root)) == (1, b"old", ["a"], [])


@pytest.mark.parametrize("gone", [False, True])
def test_a_move_whose_second_half_is_refused(
    gone: bool, plain: FsBackend, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no exclusive rename: the new name was made, the old one cannot be removed."""
    plain.put("a", b"content", PLAIN)

    def no_flag(*args: Any) -> None:
        raise OSError(errno.EINVAL, "no such flag")

    def refuse(self: Directory, name: str) -> None:
        if name == "a":
            if gone:
                real(self, name)
                raise FileNotFoundError(errno.ENOENT, "gone")
            raise OSError(errno.EIO, "the device says no")
        real(self, name)

    real = Directory.unlink
    monkeypatch.setattr(Directory, "rename_new", no_flag)
    monkeypatch.setattr(Directory, "unlink", refuse)
    if gone:
        plain.move("a", "b", NEW)
    else:
        with pytest.raises(OSError, match="the device says no"):
            plain.move("a", "b", NEW)
    monkeypatch.undo()
    assert keys(plain) == (["b"] if gone else ["a"])
    assert leftovers(root) == []


def test_a_move_to_another_file_system_whose_source_stays(
    plain: FsBackend, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.put("a", b"content", PLAIN)

    def other_device(*args: Any, new: bool) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def refuse(*args: Any, **kwargs: Any) -> bool:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr("file_keeper_fs.backend._rename", other_device)
    monkeypatch.setattr(FsBackend, "delete", refuse)
    with pytest.raises(PermissionError) as caught:
        plain.move("a", "b", NEW)
    assert caught.value.__notes__ == ["the copy at 'b' stays, and what is at 'a' too"]
    assert (content(plain, "a"), content(plain, "b")) == (b"content", b"content")
    assert leftovers(root) == []


def test_a_body_says_where_it_begins(plain: FsBackend) -> None:
    plain.put("a", b"0123456789", PLAIN)
    for start in (0, 3, 10, 20):
        body = plain.read("a", start)
        assert (body.start, body.read()) == (start, b"0123456789"[start:])
        body.close()
