"""Reading: resumed on the same version, never short, never mixed; a lazy file that fetches what is read."""

from __future__ import annotations

import csv
import functools
import gzip
import io
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core.doubles import PARTS, Double, KiB, MiB, double, settings_of
from file_keeper import Storage, exc
from file_keeper.backend import Body, ObjectInfo
from file_keeper.resilience import retry

BODY = random.Random(3).randbytes(3 * MiB + 17)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(attempts=2, base=0.0001, longest=0.0001))


class Cutting:
    """A body's stream that fails after so many bytes, or ends."""

    def __init__(self, stream: Any, after: int, error: BaseException | None, most: int):
        self.stream, self.left, self.error, self.most = stream, after, error, most
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        size = min(size if size >= 0 else 1 << 60, self.left, self.most)
        if not size:
            if self.error is not None:
                raise self.error
            return b""
        chunk = self.stream.read(size)
        self.left -= len(chunk)
        return chunk

    def close(self) -> None:
        self.closed = True


class Weak(Double):
    """Its bodies break: each after `after` bytes, with `error` or by ending."""

    after = 1 << 60
    error: BaseException | None = None
    most = 1 << 60
    hook: Callable[[int], object] = staticmethod(lambda number: None)

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        self.calls = [*getattr(self, "calls", []), (start, end, etag)]
        self.hook(len(self.calls))
        body = super().read(key, start, end, etag=etag)
        self.bodies = [*getattr(self, "bodies", []), Cutting(body.stream, self.after, self.error, self.most)]
        return Body(body.info, body.length, self.bodies[-1])  # type: ignore[arg-type]


def weak(body: bytes = BODY, **what: Any) -> tuple[Storage, Weak]:
    backend = Weak(settings_of(overwrite_existing=True), PARTS)
    storage = Storage("s", backend.settings, backend)
    storage.upload("x", body)
    vars(backend).update(what)
    return storage, backend


LOST = exc.ConnectionError("reset", retryable=True)

WAYS: dict[str, Callable[[Storage], bytes]] = {
    "content": lambda storage: storage.content("x"),
    "stream": lambda storage: b"".join(storage.stream("x")),
    "read": lambda storage: storage.stream("x").read(),
    "pieces": lambda storage: b"".join(iter(functools.partial(storage.stream("x").read, 70_001), b"")),
    "readinto": lambda storage: io.BufferedReader(storage.stream("x"), 5000).read(),
    "open": lambda storage: storage.open("x").read(),
    "range": lambda storage: storage.range("x", 0, len(BODY)),
    "synthetic": lambda storage: storage.range_synthetic("x"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("after", [1 * MiB, 300_001])
def test_a_lost_connection_is_resumed(way: str, after: int) -> None:
    storage, backend = weak(after=after, error=LOST, most=65_537)
    assert WAYS[way](storage) == BODY
    etag = backend.head("x").etag
    reads = [call for call in backend.calls if call[2]]
    assert len(reads) >= len(BODY) // after
    assert {pin for _, _, pin in reads} == {etag}
    assert all(body.closed for body in backend.bodies[:-1])


@pytest.mark.parametrize("way", WAYS)
def test_bytes_of_two_versions_are_never_mixed(way: str) -> None:
    storage, backend = weak(after=1_000_000, error=LOST)
    backend.hook = lambda number: number == 2 and backend._store("x", BODY[::-1], _options(backend))
    with pytest.raises(exc.ChangedFileError) as caught:
        WAYS[way](storage)
    assert (caught.value.storage, caught.value.location) == ("s", "x")
    assert caught.value.operation


def _options(backend: Double) -> Any:
    from file_keeper.backend import WriteOptions

    return WriteOptions()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", [None, LOST, exc.PermissionError("no"), KeyError("sdk")])
def test_what_does_not_come_back_is_an_error(way: str, error: BaseException | None) -> None:
    storage, backend = weak(after=0, error=error)
    kinds = {type(None): exc.ConnectionError, KeyError: exc.StorageError}
    with pytest.raises(kinds.get(type(error), type(error))) as caught:  # type: ignore[arg-type]
        WAYS[way](storage)
    assert isinstance(caught.value, exc.FilesError)
    assert (caught.value.storage, caught.value.location) == ("s", "x")
    assert len(backend.calls) == (6 if error is None or error is LOST else 1)
    if error is None:
        assert "bytes short" in str(caught.value)


def test_a_short_body_is_resumed() -> None:
    storage, _ = weak(after=700_000)
    assert storage.content("x") == BODY
    assert storage.verify("x").size == len(BODY)


def test_progress_starts_the_count_anew() -> None:
    storage, backend = weak(after=100_000, error=LOST)
    assert storage.content("x") == BODY
    assert len(backend.calls) > 30


# -- ranges -----------------------------------------------------------------------------------------------------------


def test_ranges_are_slices() -> None:
    storage, backend = weak(b"0123456789")
    for start in (0, 1, 5, 9, 10, 11, 100):
        for end in (None, 0, 1, 5, 9, 10, 11, 100):
            backend.calls = []
            assert storage.range("x", start, end) == b"0123456789"[start:end]
            assert len(backend.calls) == (end is None or end > start)
            assert storage.range_synthetic("x", start, end) == b"0123456789"[start:end]
    backend.calls = []
    assert storage.range("missing", 5, 5) == b""
    assert backend.calls == []
    with pytest.raises(exc.MissingFileError):
        storage.range("missing", 5)
    for bounds in ((-1, 5), (0, -1), (-2, -1)):
        for call in (storage.range, storage.range_synthetic):
            with pytest.raises(ValueError, match="the bounds of a range are not negative"):
                call("x", *bounds)
    with pytest.raises(exc.LocationError):
        storage.range("../x", 5, 5)


# -- streams ----------------------------------------------------------------------------------------------------------


def test_a_stream_is_a_stream() -> None:
    storage, backend = weak()
    with storage.stream("x") as stream:
        assert stream.readable()
        assert not stream.seekable()
        assert (stream.read(0), stream.read(5)) == (b"", BODY[:5])
        target = bytearray(10)
        assert (stream.readinto(target), bytes(target)) == (10, BODY[5:15])
        assert len(next(stream)) == MiB
        assert stream.left == len(BODY) - MiB - 15
        assert stream.readall() == BODY[MiB + 15 :]
        assert (stream.read(), stream.read(5), list(stream), stream.readinto(target)) == (b"", b"", [], 0)
    assert stream.closed
    assert backend.bodies[-1].closed
    for call in (stream.read, stream.readall, lambda: next(stream), lambda: stream.readinto(target)):
        with pytest.raises(ValueError, match="closed"):
            call()
    stream.close()
    early = storage.stream("x")
    next(early)
    early.close()
    assert backend.bodies[-1].closed
    with pytest.raises(exc.MissingFileError, match="storage 's': stream 'missing': "):
        storage.stream("missing")


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_file_against_a_file() -> None:
    storage, _ = weak()
    chance = random.Random(4)
    with storage.open("x") as ours, io.BytesIO(BODY) as theirs:
        assert (ours.name, ours.mode) == ("x", "rb")
        for _ in range(300):
            what = chance.randrange(5)
            if what == 0:
                offset, whence = chance.randrange(len(BODY) + 10), 0
                assert ours.seek(offset, whence) == theirs.seek(offset, whence)
            elif what == 1:
                assert ours.seek(-chance.randrange(1000), 2) == theirs.seek(ours.tell(), 0)
            elif what == 2:
                size = chance.choice([0, 1, 1000, 200_000])
                assert ours.read(size) == theirs.read(size)
            elif what == 3:
                mine, other = bytearray(5000), bytearray(5000)
                assert (ours.readinto(mine), mine) == (theirs.readinto(other), other)
            else:
                assert ours.readline(500) == theirs.readline(500)
            assert ours.tell() == theirs.tell()
        for bad in ((-1, 0), (-len(BODY) - 1, 2)):
            with pytest.raises(ValueError, match=r"negative|Invalid|not"):
                ours.seek(*bad)
        with pytest.raises(ValueError, match="whence"):
            ours.raw.seek(0, 9)
    with pytest.raises(ValueError, match="closed"):
        ours.read()
    with pytest.raises(ValueError, match="closed"):
        ours.raw.read()
    with pytest.raises(exc.MissingFileError, match="storage 's': open 'missing': "):
        storage.open("missing")


def test_only_what_is_read_is_fetched() -> None:
    storage, backend = weak(bytes(64 * MiB))
    with storage.open("x") as file:
        assert getattr(backend, "calls", []) == []
        file.seek(10 * MiB)
        file.read(1000)
        assert [(start, end - start) for start, end, _ in backend.calls] == [(10 * MiB, 256 * KiB)]  # type: ignore[operator]
        file.seek(20 * MiB)
        file.seek(30 * MiB)
        assert len(backend.calls) == 1
        file.read(256 * KiB)
        file.read(1)
        assert [start for start, _, _ in backend.calls] == [10 * MiB, 30 * MiB, 30 * MiB + 256 * KiB]
        for _ in range(100):
            file.read(100_000)
        assert len(backend.calls) == 3, "who goes on reading gets the rest in one request"
        assert backend.calls[-1][1] is None
        file.seek(0)
        assert len(file.read()) == 64 * MiB
        assert len(backend.calls) <= 5


def test_the_rest_comes_in_one_request() -> None:
    storage, backend = weak()
    with storage.open("x") as file:
        assert file.read() == BODY
        assert file.read() == b""
    assert len(backend.calls) == 1
    backend.calls = []
    with storage.open("x") as file:
        assert file.read(10) + file.read() == BODY
    assert len(backend.calls) <= 2


def test_a_file_stays_one_version() -> None:
    storage, _ = weak()
    with storage.open("x") as file:
        first = file.read(1000)
        storage.upload("x", BODY[::-1])
        assert first == BODY[:1000]
        with pytest.raises(exc.ChangedFileError, match="storage 's': open 'x': "):
            file.seek(2 * MiB), file.read()


def test_under_other_readers() -> None:
    storage, _ = double(PARTS)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", b"in a zip")
    storage.upload("z", packed.getvalue())
    storage.upload("g", gzip.compress(b"in gzip"))
    storage.upload("c", "ä,b\r\nc,d\r\n".encode())
    with storage.open("z") as file, zipfile.ZipFile(file) as archive:
        assert archive.read("a") == b"in a zip"
    with storage.open("g") as file, gzip.open(file) as plain:
        assert plain.read() == b"in gzip"
    with storage.open("c", "r", newline="") as text:
        assert list(csv.reader(text)) == [["ä", "b"], ["c", "d"]]


# -- downloads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("size", [0, 1, 40 * MiB + 1])
def test_download(size: int, concurrency: int, tmp_path: Path) -> None:
    storage, backend = double(PARTS, max_concurrency=concurrency)
    body = (BODY * 14)[:size]
    storage.upload("x", body)
    target = tmp_path / "t"
    target.write_bytes(b"before")
    told: list[tuple[int, int | None]] = []
    made = storage.download("x", target, progress=lambda *step: told.append(step))
    assert target.read_bytes() == body
    assert made == storage.analyze("x")
    done = [count for count, _ in told]
    assert done == sorted(done)
    assert (done[0], told[-1]) == (0, (size, size))
    assert os.listdir(tmp_path) == ["t"]
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert backend is not None


def test_a_download_keeps_the_rights_of_what_it_replaces(tmp_path: Path) -> None:
    storage, _ = double(PARTS)
    storage.upload("a", b"secret")
    target = tmp_path / "a"
    target.write_bytes(b"old")
    target.chmod(0o600)
    storage.download("a", target)
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"secret", 0o600)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("size", [3 * MiB, 40 * MiB])
def test_a_download_that_fails_leaves_what_was_there(size: int, tmp_path: Path) -> None:
    storage, backend = weak((BODY * 14)[:size])
    target = tmp_path / "t"
    target.write_bytes(b"before")

    def cancel(done: int, total: int | None) -> None:
        if done > MiB:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        storage.download("x", target, progress=cancel)
    backend.after, backend.error = MiB // 2, exc.PermissionError("no")
    with pytest.raises(exc.PermissionError, match="storage 's': download 'x': no"):
        storage.download("x", target)
    backend.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        storage.download("x", target)
    for missing in ("missing", "../x"):
        with pytest.raises(exc.LocationError):
            storage.download(missing, target)
    assert target.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["t"]
    with pytest.raises(FileNotFoundError):
        storage.download("x", tmp_path / "no" / "t")


def test_verify(tmp_path: Path) -> None:
    storage, backend = double(PARTS)
    made = storage.upload("x", BODY)
    told: list[tuple[int, int | None]] = []
    assert storage.verify("x", progress=lambda *step: told.append(step)) == made
    assert told[-1] == (len(BODY), len(BODY))
    found = backend._get("x")
    backend._bucket.objects["x"] = type(found)(found.info, found.data[:-1] + b"!")
    with pytest.raises(exc.UploadHashMismatchError, match="storage 's': verify 'x': the md5 of the content is "):
        storage.verify("x")
    backend._bucket.objects["y"] = type(found)(ObjectInfo(key="y", size=3), b"abc")
    assert storage.analyze("y").hash == ""
    assert storage.verify("y").hash == "900150983cd24fb0d6963f7d28e17f72"
    assert storage.analyze("y").hash == ""
    storage.verify("y", record=True)
    assert storage.analyze("y").hash == "900150983cd24fb0d6963f7d28e17f72"
    with pytest.raises(exc.UploadHashMismatchError):
        storage.verify(made.from_dict({"location": "y", "hash": "0" * 40, "algorithm": "sha1"}))
    with pytest.raises(exc.StorageDataError):
        storage.verify(made.from_dict({"location": "y", "hash": "zz", "algorithm": "sha1"}))
