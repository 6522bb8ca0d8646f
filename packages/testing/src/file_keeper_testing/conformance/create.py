"""Cases 15 to 17, 21, 22 and 26 to 28: whatever the source, the file is what it gave."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import tempfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from file_keeper import Capability, Storage, Upload, exc, make_upload

from ..counting import counted
from ..faults import Rule, faulty, limited, lost_answer
from ..sources import KiB, MiB, OnlyRead, ShortReads, payload, pipe, ragged
from .base import Base, Make, needs

SNIFF = 2048

METADATA = {
    "título": "Résumé 文件 😀",
    "x": " a ",
    "empty": "",
    "Camel-Case": 'Value; with=signs, and "quotes"',
    "plain_key1": "plain value",
    "looks_encoded": "=?utf-8?b?eA==?=",
    "percent": "100%25",
}

HEADERS = {
    "Cache-Control": "max-age=60, public",
    "Content-Disposition": 'attachment; filename="a b.txt"',
    "Content-Language": "de, en",
}


def md5(content: bytes) -> str:
    """Return the hash that an upload is to tell."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _note(told: list[tuple[int, int | None]], done: int, total: int | None) -> None:
    told.append((done, total))


class Create(Base):
    """Uploads that succeed."""

    def _check(self, storage: Storage, location: str, content: bytes, made: Any) -> None:
        assert made.location == location
        assert made.size == len(content)
        assert (made.hash, made.algorithm) == (md5(content), "md5")
        assert storage.content(location) == content
        self.assert_same(storage.analyze(location), made)

    @needs(Capability.CREATE)
    def test_case_15_empty(self, storage: Storage) -> None:
        for location, source in (("bytes", b""), ("stream", iter(())), ("file", io.BytesIO()), ("read", OnlyRead(b""))):
            made = storage.upload(location, source)
            self._check(storage, location, b"", made)
            assert made.content_type == "application/x-empty"
        with storage.open("writer", "wb"):
            pass
        assert storage.content("writer") == b""
        assert storage.size("writer") == 0

    @needs(Capability.MULTIPART)
    def test_case_15_empty_in_parts(self, storage: Storage) -> None:
        state = storage.multipart_start("parts", 0)
        made = storage.multipart_complete(state)
        assert made.size == 0
        assert storage.content("parts") == b""
        assert self.leftovers(storage) == []

    @pytest.mark.parametrize(
        "what",
        ["one", "sniff-1", "sniff", "sniff+1", "part-1", "part", "part+1", "two parts", "three parts and a tail"],
    )
    @pytest.mark.parametrize("known", [True, False], ids=["known size", "unknown size"])
    @needs(Capability.CREATE, Capability.STREAM)
    def test_case_16_sizes(self, what: str, known: bool, storage: Storage) -> None:
        part = storage.settings.part_size
        size = {
            "one": 1, "sniff-1": SNIFF - 1, "sniff": SNIFF, "sniff+1": SNIFF + 1, "part-1": part - 1, "part": part,
            "part+1": part + 1, "two parts": 2 * part, "three parts and a tail": 3 * part + 1001,
        }[what]  # fmt: skip
        content = payload(size)
        made = storage.upload("x", content if known else ragged(content))
        self._check(storage, "x", content, made)
        assert self.leftovers(storage) == []

    @needs(Capability.CREATE, Capability.STREAM)
    def test_case_16_threshold_of_its_own(self, storage: Storage, make: Make) -> None:
        part = storage.settings.part_size
        threshold = part + 4096
        high = make(multipart_threshold=threshold)
        for size in (threshold - 1, threshold, threshold + 1):
            content = payload(size)
            watched, counter = counted(high)
            made = watched.upload(f"{size}", ragged(content))
            self._check(high, f"{size}", content, made)
            if size <= threshold:
                assert counter.count("put") == 1

    @pytest.mark.parametrize("known", [True, False], ids=["known size", "unknown size"])
    @needs(Capability.CREATE)
    def test_case_16_more_than_fits_into_the_smallest_parts(self, known: bool, storage: Storage) -> None:
        if storage.limits.part_min > 256 * KiB or storage.limits.equal_parts:
            return  # too much for a test: growing parts are the core's, and tried on other backends
        few = limited(storage, streaming_put=False, session=False, parts_max=20)
        content = payload(30 * storage.settings.part_size + 10)
        tiny = limited(few, parts_max=2, part_max=storage.settings.part_size)
        with pytest.raises(exc.LargeUploadError):
            tiny.upload("y", content if known else iter([content]))
        if "multipart_create" not in storage.backend.verbs:
            return
        watched, counter = counted(few)
        made = watched.upload("x", content if known else ragged(content, largest=MiB))
        self._check(storage, "x", content, made)
        assert 2 <= counter.count("multipart_put") <= 20
        assert self.leftovers(storage) == []

    @pytest.mark.parametrize("large", [False, True], ids=["small", "in parts"])
    @pytest.mark.parametrize(
        "kind",
        ["bytes", "bytearray", "memoryview", "memoryview of words", "file", "raw file", "path", "BytesIO at an offset",
         "ragged generator", "short reads", "only read", "pipe", "spooled", "buffer of a text file", "Upload",
         "list of chunks"],
    )  # fmt: skip
    @needs(Capability.CREATE, Capability.STREAM)
    def test_case_17_sources(self, kind: str, large: bool, storage: Storage, tmp_path: Path) -> None:
        content = payload(storage.settings.part_size + 5000 if large else 5000)
        path = tmp_path / "source.bin"
        path.write_bytes(content)
        spooled = tempfile.SpooledTemporaryFile(100_000)  # noqa: SIM115 - entered below
        spooled.write(content)
        spooled.seek(0)
        at_offset = io.BytesIO(b"skipped" + content)
        at_offset.seek(7)
        with (
            pipe(content) as piped,
            path.open("rb") as file,
            path.open("rb", buffering=0) as raw,
            spooled,
            path.open(encoding="latin-1") as text,
        ):
            source: Any = {
                "bytes": content,
                "bytearray": bytearray(content),
                "memoryview": memoryview(content),
                "memoryview of words": memoryview(content[: len(content) // 4 * 4]).cast("I"),
                "file": file,
                "raw file": raw,
                "path": path,
                "BytesIO at an offset": at_offset,
                "ragged generator": ragged(content),
                "short reads": ShortReads(content),
                "only read": OnlyRead(content),
                "pipe": piped,
                "spooled": spooled,
                "buffer of a text file": text.buffer,
                "Upload": Upload(io.BytesIO(content), "name.bin", None, "application/x-mine"),
                "list of chunks": [content[:1000], b"", content[1000:]],
            }[kind]
            expected = content[: len(content) // 4 * 4] if kind == "memoryview of words" else content
            made = storage.upload("x", source)
            self._check(storage, "x", expected, made)
            stream = source.stream if isinstance(source, Upload) else source
            if hasattr(stream, "closed"):
                assert not stream.closed
            if hasattr(stream, "tell") and kind not in ("pipe", "short reads"):
                assert stream.tell() == len(content) + (7 if kind == "BytesIO at an offset" else 0)
            if kind == "Upload":
                assert made.content_type == "application/x-mine"

    def test_case_17_what_is_no_source(self, storage: Storage, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("text", "utf-8")
        with (tmp_path / "text").open(encoding="utf-8") as text:
            wrong: list[Any] = ["text", text, None, 5, {"a": b""}]  # a type checker refuses them too
            for source in wrong:
                with pytest.raises(TypeError):
                    storage.upload("x", source)
        pieces: list[Any] = [[b"ok", "text"], [5]]
        for chunks in pieces:
            with pytest.raises(exc.ContentError):
                storage.upload("x", chunks)
        self.assert_nothing(storage, "x")

    @needs(Capability.CREATE, Capability.STREAM)
    def test_case_17_the_callers_buffer_may_change_afterwards(self, storage: Storage) -> None:
        buffer = bytearray(b"before")
        storage.upload("x", buffer)
        buffer[:] = b"after!"
        assert storage.content("x") == b"before"

    @needs(Capability.CREATE, Capability.ANALYZE)
    def test_case_21_content_types(self, storage: Storage) -> None:
        png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100)
        for location, source, given, expected in (
            ("given.png", png, "text/x-mine", "text/x-mine"),
            ("with-parameter.txt", b"text", "text/plain; charset=utf-8", "text/plain; charset=utf-8"),
            ("by-content", png, "", "image/png"),
            ("spoofed.txt", png, "", "image/png"),
            ("by-name.css", b"body { color: red }", "", "text/css"),
            ("generated", iter([png]), "", "image/png"),
        ):
            made = storage.upload(location, source, content_type=given)
            assert made.content_type == expected
            self.assert_same(storage.analyze(location), made)
            if not self.gap("content_type"):
                assert storage.content_type(location) == expected
        assert storage.upload("mime", make_upload(png, "image/x-other")).content_type == "image/x-other"
        for wrong in ("no type", "text", "text/plain\r\nX-Evil: 1", "/", "téxt/plain"):
            with pytest.raises(exc.WrongUploadTypeError):
                storage.upload("wrong", b"x", content_type=wrong)
        assert not storage.exists("wrong")

    @pytest.mark.parametrize("kind", ["empty", "5 B", "9 KiB", "in parts", "unknown size in parts", "read once"])
    @needs(Capability.CREATE, Capability.ANALYZE)
    def test_case_22_analyze_equals_the_result(self, kind: str, storage: Storage, make: Make) -> None:
        size = {"empty": 0, "5 B": 5, "9 KiB": 9 * KiB}.get(kind, storage.settings.part_size + 12345)
        content = payload(size)
        source: Any = {"unknown size in parts": ragged(content), "read once": ShortReads(content)}.get(kind, content)
        made = storage.upload("x", source)
        for one in (storage, make()):  # a second storage knows nothing of the first
            seen = one.analyze("x")
            self.assert_same(seen, made)
            assert one.size("x") == size
            self.assert_hash(seen, md5(content))
            assert seen.modified is not None
            assert seen.modified.tzinfo is not None
            if made.etag:
                assert seen.etag == made.etag
        assert json.loads(json.dumps(made.as_dict())) == made.as_dict()

    @pytest.mark.parametrize("algorithm", ["sha256", "crc32c", "sha1", "crc64nvme"])
    @needs(Capability.CREATE, Capability.ANALYZE)
    def test_case_22_other_hashes(self, algorithm: str, storage: Storage, make: Make) -> None:
        other = make(hashing_algorithm=algorithm)
        for size in (10, other.settings.part_size + 10):
            content = payload(size)
            made = other.upload(f"{size}", content)
            assert made.algorithm == algorithm
            if algorithm.startswith("sha"):
                assert made.hash == hashlib.new(algorithm, content).hexdigest()
            self.assert_same(other.analyze(f"{size}"), made)
            self.assert_hash(other.copy(f"{size}-copy", made), made.hash, algorithm)
            self.assert_hash(other.analyze(f"{size}-copy"), made.hash, algorithm)

    @needs(Capability.METADATA)
    def test_case_26_metadata_and_headers(self, storage: Storage, make: Make) -> None:
        for location, content in (("small", b"x"), ("parts", payload(storage.settings.part_size + 1))):
            made = storage.upload(location, content, metadata=METADATA, headers=HEADERS)
            assert made.metadata == METADATA
            for one in (storage, make()):
                seen = one.analyze(location)
                assert seen.metadata == METADATA
                assert seen.headers == HEADERS
        with storage.open("written", "wb", metadata=METADATA) as file:
            file.write(b"x")
        assert storage.analyze("written").metadata == METADATA

    @needs(Capability.METADATA)
    def test_case_26_defaults_of_the_storage(self, storage: Storage, make: Make) -> None:
        other = make(metadata={"owner": "me", "x": "default"}, headers={"Cache-Control": "no-cache"})
        other.upload("x", b"x", metadata={"x": "own"})
        assert storage.analyze("x").metadata == {"owner": "me", "x": "own"}
        assert storage.analyze("x").headers == {"Cache-Control": "no-cache"}

    @needs(Capability.METADATA)
    def test_case_26_refused_before_sending(self, storage: Storage) -> None:
        watched, counter = counted(storage)
        refused: list[Any] = [
            {"x": "y" * 2100}, {"x": "ü" * 1000}, {"x": "a\r\nb"}, {"x\n": "a"}, {"": "a"}, {"fk_hash": "md5:0"},
            {"md5chksum": "x"}, {"x": "\ud800"}, {f"key{n}": "v" * 20 for n in range(100)}, {"x": 5},
        ]  # fmt: skip
        for metadata in refused:
            with pytest.raises(exc.ContentError):
                watched.upload("x", b"x", metadata=metadata)
        for headers in ({"X-Other": "a"}, {"Cache-Control": "a\r\nX-Evil: 1"}):
            with pytest.raises(exc.ContentError):
                watched.upload("x", b"x", headers=headers)
        assert counter.requests == 0

    @needs(Capability.CREATE, Capability.STREAM)
    def test_case_27_compressed_content_comes_back_as_stored(self, storage: Storage) -> None:
        packed = gzip.compress(b"a,b\n1,2\n" * 1000, mtime=0)
        made = storage.upload("x.csv.gz", packed)
        assert made.content_type == "application/gzip"
        assert storage.content("x.csv.gz") == packed
        assert "Content-Encoding" not in storage.analyze("x.csv.gz").headers
        storage.verify("x.csv.gz")

    @needs(Capability.METADATA)
    def test_case_27_content_encoding(self, storage: Storage, tmp_path: Path) -> None:
        packed = gzip.compress(b"text " * 1000, mtime=0)
        storage.upload("x.txt", packed, content_type="text/plain", headers={"Content-Encoding": "gzip"})
        assert storage.content("x.txt") == packed
        assert b"".join(storage.stream("x.txt")) == packed
        assert storage.range("x.txt", 2, 50) == packed[2:50]
        assert storage.analyze("x.txt").size == len(packed)
        assert storage.analyze("x.txt").headers["Content-Encoding"] == "gzip"
        storage.verify("x.txt")
        storage.download("x.txt", tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == packed

    @pytest.mark.slow
    @needs(Capability.CREATE)
    def test_case_28_memory_is_bounded(self, storage: Storage) -> None:
        part, concurrency = storage.settings.part_size, storage.settings.max_concurrency
        with self.child("growth_of_upload", storage, self.stream_size, self.in_memory) as child:
            growth, size = child.hear()
        assert size == self.stream_size
        assert growth <= part * (concurrency + 2) + 32 * MiB

    @needs(Capability.CREATE, Capability.STREAM)
    def test_progress_is_monotonic_and_ends_at_the_total(self, storage: Storage) -> None:
        size = 3 * storage.settings.part_size + 10
        for location, source, total in (("known", payload(size), size), ("unknown", ragged(payload(size)), None)):
            told: list[tuple[int, int | None]] = []
            storage.upload(location, source, progress=partial(_note, told))
            done = [entry[0] for entry in told]
            assert done == sorted(set(done))
            assert done[-1] == size
            assert {entry[1] for entry in told} == {total}

    @needs(Capability.CREATE, Capability.STREAM)
    def test_progress_never_counts_what_is_repeated(self, storage: Storage) -> None:
        size = 3 * storage.settings.part_size + 10
        told: list[tuple[int, int | None]] = []
        flaky, _ = faulty(storage, *(Rule(verb=v, times=2, error=lost_answer()) for v in ("put", "multipart_put")))
        try:
            flaky.upload("x", payload(size), progress=partial(_note, told))
        except exc.ConnectionError:
            assert storage.limits.streaming_put  # a stream is sent once
            return
        done = [entry[0] for entry in told]
        assert done == sorted(set(done))
        assert done[-1] == size

    @needs(Capability.CREATE, Capability.STREAM)
    def test_writers_are_files(self, storage: Storage) -> None:
        with storage.open("x.csv", "w", encoding="utf-8", newline="") as text:
            writer = csv.writer(text)
            writer.writerows([["a", "b"], ["1", "ü"]])
        assert storage.content("x.csv").decode() == "a,b\r\n1,ü\r\n"
        with storage.open("x.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
            archive.writestr("inner", "text " * 1000)
        with storage.open("x.zip") as file, zipfile.ZipFile(file) as archive:
            assert archive.read("inner") == b"text " * 1000
        content = payload(2 * storage.settings.part_size + 7)
        with storage.open("x.gz", "wb") as file, gzip.GzipFile(fileobj=file, mode="wb") as packed:
            packed.write(content)
        with storage.open("x.gz") as file, gzip.GzipFile(fileobj=file) as packed:
            assert packed.read() == content
        with storage.open("x.json", "w") as text:
            json.dump({"a": "ü"}, text)
        with storage.open("x.json", "r") as text:
            assert json.load(text) == {"a": "ü"}
        with pytest.raises(exc.ExistingFileError), storage.open("x.json", "x") as text:
            text.write("again")
        with storage.open("x.bin", "wb") as file:
            assert file.write(b"12345") == 5
            assert file.tell() == 5
            assert not file.seekable()
            assert not storage.exists("x.bin")
        assert storage.content("x.bin") == b"12345"
