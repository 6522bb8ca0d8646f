"""Cases 29 to 37: reading, also when the connection is lost."""

from __future__ import annotations

import csv
import gc
import gzip
import io
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from file_keeper import Capability, Storage, exc
from file_keeper.backend import Backend, Body, Wrapper

from ..counting import counted
from ..faults import Rule, faulty
from ..sources import MiB, payload
from .base import Base, needs, operations

T = TypeVar("T")

COPYING = ("copy from", "move from", "append")
READING = Capability.STREAM | Capability.RANGE | Capability.ANALYZE


class Closing(Wrapper):
    """Counts the bodies that are open."""

    def __init__(self, inner: Backend[Any]):
        super().__init__(inner)
        self.open = 0

    def around(self, verb: str, key: str, call: Callable[[], T]) -> T:
        result = super().around(verb, key, call)
        if isinstance(result, Body):
            self.open += 1
            result.stream = _Closing(self, result.stream)
        return result


class _Closing:
    def __init__(self, owner: Closing, stream: Any):
        self._owner = owner
        self._stream = stream
        self._closed = False

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(size)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._owner.open -= 1
        if hasattr(self._stream, "close"):
            self._stream.close()


def closing(storage: Storage) -> tuple[Storage, Closing]:
    """Return a storage like `storage`, and the count of its open bodies."""
    made: list[Closing] = []

    def wrap(backend: Backend[Any]) -> Closing:
        made.append(Closing(backend))
        return made[-1]

    return storage.wrapped(wrap), made[0]


class Read(Base):
    """What was written comes back, all of it, and of one version."""

    @needs(Capability.STREAM)
    def test_case_29_missing_at_the_call(self, storage: Storage, tmp_path: Path) -> None:
        for name, (capability, operate) in operations(storage, "missing", str(tmp_path)).items():
            if not capability & READING or name == "empty range":
                continue
            with pytest.raises(exc.MissingFileError) as caught:
                operate()
            assert isinstance(caught.value, FileNotFoundError)
            assert caught.value.location == "missing", name
            assert caught.value.storage == "conformance", name
        assert list(tmp_path.iterdir()) == []
        assert storage.range("missing", 5, 5) == b""

    @needs(Capability.STREAM, Capability.EXISTS, Capability.REMOVE)
    def test_case_30_a_directory_is_missing(self, storage: Storage, tmp_path: Path) -> None:
        storage.upload("d/e/f", b"x")
        for location in ("d", "d/e", "d/", "d/e/f/g"):
            assert not storage.exists(location)
            assert not storage.remove(location)
            assert storage.remove_many([location]) == []
            for name, (capability, operate) in operations(storage, location, str(tmp_path)).items():
                reading = (capability & READING and name != "empty range") or name in COPYING
                if reading and storage.supports(capability):
                    with pytest.raises(exc.MissingFileError):
                        operate()
        assert storage.content("d/e/f") == b"x"
        assert list(storage.scan()) == ["d/e/f"]

    @needs(Capability.CREATE)
    def test_case_30_a_file_where_a_directory_is(self, storage: Storage) -> None:
        storage.upload("d/f", b"below")
        for location in ("d", "d/f/g"):
            try:
                storage.upload(location, b"x", overwrite=True)
            except exc.LocationError:
                assert not storage.exists(location)  # a file system cannot hold both
            else:
                assert storage.content(location) == b"x"
        assert storage.content("d/f") == b"below"

    @needs(Capability.RANGE)
    def test_case_31_ranges(self, storage: Storage) -> None:
        content = payload(100_000)
        storage.upload("x", content)
        storage.upload("empty", b"")
        for start, end in (
            (0, None), (0, 10), (5, 6), (500, 90_000), (99_990, None), (99_990, 200_000), (99_999, 100_000),
            (100_000, None), (100_000, 100_001), (100_001, None), (200_000, 300_000), (50, 50), (60, 50), (0, 100_000),
        ):  # fmt: skip
            assert storage.range("x", start, end) == content[start:end], (start, end)
        assert storage.range("empty") == b""
        assert storage.range("empty", 0, 10) == b""
        for bounds in ((-1, None), (0, -1), (-5, -1)):
            with pytest.raises(exc.StorageDataError):
                storage.range("x", *bounds)

    @needs(Capability.STREAM)
    def test_case_32_chunks_are_not_lines(self, storage: Storage) -> None:
        content = b"\n" * 50_000
        storage.upload("x", content)
        chunks = list(storage.stream("x"))
        assert b"".join(chunks) == content
        assert len(chunks) < 1000
        with storage.stream("x") as stream:
            assert stream.read(10) == content[:10]
            rest = bytearray(100)
            assert stream.readinto(rest)
            assert stream.readable()
            assert stream.read()
            assert stream.read(5) == b""

    @needs(Capability.STREAM)
    def test_case_33_stopping_early_closes(self, storage: Storage) -> None:
        storage.upload("x", payload(3 * MiB))
        watched, bodies = closing(storage)
        with watched.stream("x") as stream:
            next(stream)
            assert bodies.open == 1
        assert bodies.open == 0
        assert stream.closed
        stream = watched.stream("x")
        next(stream)
        stream.close()
        for _ in watched.stream("x"):
            break
        file = watched.open("x")
        file.read(10)
        file.close()
        gc.collect()
        assert bodies.open == 0
        assert list(watched.stream("x"))
        watched.content("x")
        watched.range("x", 5, 10)
        assert bodies.open == 0

    @pytest.mark.parametrize("cut", [0, 1, 100_000, 1_500_000])
    @needs(Capability.STREAM)
    def test_case_34_resumed(self, cut: int, storage: Storage) -> None:
        content = payload(2 * MiB)
        storage.upload("x", content)
        broken, faults = faulty(storage, Rule(verb="read", cut=cut, times=3))
        assert b"".join(broken.stream("x")) == content
        assert faults.rules[0].hits == 3 if cut < 1 * MiB else faults.rules[0].hits
        faults.on("read", cut=cut, times=2)
        assert broken.content("x") == content
        faults.on("read", cut=cut // 2, times=1)
        assert broken.range("x", 1000, 2_000_000) == content[1000:2_000_000]
        faults.on("read", cut=cut, times=2)
        with broken.open("x") as file:
            assert file.read() == content

    @needs(Capability.STREAM)
    def test_case_34_replaced_meanwhile(self, storage: Storage) -> None:
        first, second = payload(2 * MiB, 1), payload(2 * MiB, 2)
        made = storage.upload("x", first)
        broken, _ = faulty(storage, Rule(verb="read", cut=100_000))
        stream = broken.stream("x")
        assert first.startswith(stream.read(1000))
        storage.upload("x", second, overwrite=True)
        with pytest.raises(exc.FilesError) as caught:
            stream.read()
        if made.etag and not self.gap("conditions"):
            assert isinstance(caught.value, exc.ChangedFileError)
        stream.close()
        with storage.open("x") as file:
            assert file.read(10) == second[:10]
            storage.upload("x", first, overwrite=True)
            file.seek(-10, io.SEEK_END)
            try:
                seen = file.read()
            except exc.ChangedFileError:
                pass
            else:
                assert seen == second[-10:] or (self.gap("conditions") and seen == first[-10:])

    @needs(Capability.STREAM)
    def test_case_34_gives_up(self, storage: Storage) -> None:
        storage.upload("x", payload(100_000))
        broken, faults = faulty(storage, Rule(verb="read", cut=0, times=None))
        with pytest.raises(exc.ConnectionError) as caught:
            list(broken.stream("x"))
        assert (caught.value.storage, caught.value.location) == ("conformance", "x")
        assert 2 <= faults.rules[0].hits <= 10

    @pytest.mark.parametrize("short", [0, 99_999])
    @needs(Capability.STREAM)
    def test_case_35_a_short_body_is_an_error(self, short: int, storage: Storage, tmp_path: Path) -> None:
        content = payload(100_000)
        storage.upload("x", content)
        broken, faults = faulty(storage)
        reading: list[Callable[[str], Any]] = [
            broken.content,
            lambda name: b"".join(broken.stream(name)),
            lambda name: broken.range(name, 0, 100_000),
            lambda name: broken.download(name, tmp_path / "target"),
        ]
        for read in reading:
            faults.rules.clear()
            faults.on("read", short=0, times=None)
            with pytest.raises(exc.ConnectionError):
                read("x")
            faults.rules.clear()
            faults.on("read", short=short, times=1)
            # Once short is made good by asking for the rest.
            assert read("x") is not None
        assert (tmp_path / "target").read_bytes() == content
        assert len(list(tmp_path.iterdir())) == 1

    @needs(Capability.STREAM)
    def test_case_35_a_flipped_bit_is_found(self, storage: Storage) -> None:
        storage.upload("x", payload(100_000))
        if self.gap("one_hash") and not storage.hash("x"):
            storage.verify("x")
            return
        assert storage.verify("x").size == 100_000
        broken, _ = faulty(storage, Rule(verb="read", flip=50_000, times=None))
        if self.gap("damage"):
            assert broken.verify("x").size == 100_000
            return
        with pytest.raises(exc.UploadHashMismatchError):
            broken.verify("x")

    @needs(Capability.CREATE, Capability.STREAM)
    def test_case_35_a_bit_flipped_while_sending_is_found(self, storage: Storage) -> None:
        broken, faults = faulty(storage, Rule(verb="put", flip=500, times=None))
        if self.gap("one_hash") or self.gap("damage"):
            return

        def upload_and_verify() -> None:
            # The provider refuses it, or where it keeps what it is given, reading it back does.
            broken.upload("x", payload(1000))
            storage.verify("x")

        with pytest.raises(exc.UploadHashMismatchError):
            upload_and_verify()
        assert faults.rules[0].hits

    @needs(Capability.STREAM)
    def test_case_36_open_is_a_file(self, storage: Storage) -> None:
        content = payload(300_000)
        storage.upload("x", content)
        with storage.open("x") as file:
            assert isinstance(file, io.BufferedReader)
            assert file.read(10) == content[:10]
            assert file.tell() == 10
            for position in range(290_000, -1, -30_000):
                file.seek(position)
                assert file.read(100) == content[position : position + 100]
            assert file.seek(-5, io.SEEK_END) == 299_995
            assert file.read() == content[-5:]
            assert file.read() == b""
            file.seek(1_000_000)
            assert file.read(1) == b""
            file.seek(7)
            target = bytearray(250_000)
            assert file.readinto(target) == 250_000
            assert target == content[7:250_007]
            file.seek(5)
            assert file.peek(1)[:1] == content[5:6]
            assert not file.writable()
        assert file.closed
        with pytest.raises(ValueError, match="closed"):
            file.read()

    @needs(Capability.STREAM)
    def test_case_36_under_other_readers(self, storage: Storage) -> None:
        rows = [[str(n), f"ü{n}"] for n in range(2000)]
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        storage.upload("x.csv", text.getvalue().encode())
        with storage.open("x.csv", "r", encoding="utf-8", newline="") as file:
            assert list(csv.reader(file)) == rows
        storage.upload("x.gz", gzip.compress(text.getvalue().encode()))
        with storage.open("x.gz") as file, gzip.open(file, "rt", encoding="utf-8", newline="") as unpacked:
            assert unpacked.read() == text.getvalue()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for n in range(20):
                archive.writestr(f"{n}", payload(10_000, n))
        storage.upload("x.zip", packed.getvalue())
        with storage.open("x.zip") as file, zipfile.ZipFile(file) as archive:
            assert archive.read("17") == payload(10_000, 17)
            assert archive.testzip() is None

    @pytest.mark.slow
    @needs(Capability.STREAM)
    def test_case_36_and_37_large_content(self, storage: Storage) -> None:
        size = self.content_size
        content = payload(size)
        storage.upload("large", content)
        watched, counter = counted(storage)
        with watched.open("large") as file:
            file.seek(size // 2)
            assert file.read(1024) == content[size // 2 : size // 2 + 1024]
        assert counter.received < 2 * MiB
        assert counter.asked < 4 * MiB
        assert storage.content("large") == content
        tracemalloc.start()
        try:
            assert len(storage.content("large")) == size
            assert tracemalloc.get_traced_memory()[1] < 1.3 * size
            gc.collect()
            tracemalloc.reset_peak()
            base = tracemalloc.get_traced_memory()[0]
            assert sum(len(chunk) for chunk in storage.stream("large")) == size
            assert tracemalloc.get_traced_memory()[1] - base < 16 * MiB
        finally:
            tracemalloc.stop()

    @pytest.mark.slow
    @needs(Capability.STREAM)
    def test_case_37_a_stream_of_any_size_in_bounded_memory(self, storage: Storage) -> None:
        with self.child("growth_of_stream", storage, 1024 * MiB) as child:
            growth, total = child.hear()
        assert total == 1024 * MiB
        assert growth < 32 * MiB

    @needs(Capability.STREAM)
    def test_reading_keeps_nothing(self, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        for number in range(3):
            storage.upload("x", b"%d" % number, overwrite=True)
            with storage.open("x") as file:
                assert storage.content("x") == file.read() == b"%d" % number
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("large", [False, True], ids=["small", "several ranges"])
    @needs(Capability.STREAM)
    def test_download(self, large: bool, storage: Storage, tmp_path: Path) -> None:
        content = payload(34 * MiB if large else 1000)
        made = storage.upload("x", content)
        target = tmp_path / "x"
        target.write_bytes(b"former")
        told: list[tuple[int, int | None]] = []
        seen = storage.download("x", target, progress=lambda done, total: told.append((done, total)))
        self.assert_same(seen, made)
        assert target.read_bytes() == content
        assert told[-1] == (len(content), len(content))
        assert [done for done, _ in told] == sorted(done for done, _ in told)
        # The whole may come in one request, or in several ranges.
        nth = 2 if large and storage.limits.ranges else 1
        broken, _ = faulty(storage, Rule(verb="read", error=exc.PermissionError("no"), nth=nth))
        with pytest.raises(exc.PermissionError):
            broken.download("x", target)
        assert target.read_bytes() == content
        assert [entry.name for entry in tmp_path.iterdir()] == ["x"]
