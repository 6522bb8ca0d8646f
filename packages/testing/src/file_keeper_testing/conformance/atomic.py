"""Cases 18 to 20 and 23 to 25: all or nothing, and one winner."""

from __future__ import annotations

import gc
import gzip
import hashlib
import io
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from file_keeper import Capability, Storage, Upload, exc, make_upload

from ..children import contestant, ignore, race
from ..faults import Rule, faulty
from ..sources import OnlyRead, failing, payload, ragged
from .base import Base, Make, needs


class SourceError(Exception):
    """What a source of these cases raises."""


class Atomic(Base):
    """Uploads that fail leave nothing; of those that compete one wins."""

    @pytest.mark.parametrize("former", [False, True], ids=["new", "existing"])
    @pytest.mark.parametrize("difference", [-1, 1], ids=["smaller", "larger"])
    @pytest.mark.parametrize("large", [False, True], ids=["small", "in parts"])
    @needs(Capability.CREATE)
    def test_case_18_declared_size(self, former: bool, difference: int, large: bool, storage: Storage) -> None:
        content = payload(2 * storage.settings.part_size + 100 if large else 1000)
        made = storage.upload("x", b"former") if former else None
        for source in (io.BytesIO(content), OnlyRead(content)):
            with pytest.raises(exc.UploadSizeMismatchError):
                storage.upload("x", Upload(source, "x", len(content) + difference), overwrite=True)
        if made:
            self.assert_stands(storage, made, b"former")
        else:
            self.assert_nothing(storage, "x")

    @pytest.mark.parametrize("former", [False, True], ids=["new", "existing"])
    @pytest.mark.parametrize("kind", [SourceError, KeyboardInterrupt, GeneratorExit, SystemExit])
    @pytest.mark.parametrize("parts", [0, 0.5, 1.5, 3.5])
    @needs(Capability.CREATE)
    def test_case_19_source_raises(
        self,
        former: bool,
        kind: type[BaseException],
        parts: float,
        storage: Storage,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        made = storage.upload("x", b"former") if former else None
        error = kind("from the source")
        with pytest.raises(kind) as caught:
            storage.upload("x", failing(payload(int(storage.settings.part_size * parts)), error), overwrite=True)
        assert caught.value is error
        if made:
            self.assert_stands(storage, made, b"former")
        else:
            self.assert_nothing(storage, "x")
        assert list(tmp_path.iterdir()) == []

    @needs(Capability.CREATE)
    def test_case_19_a_callback_cancels(self, storage: Storage) -> None:
        def progress(done: int, _total: int | None) -> None:
            if done > storage.settings.part_size:
                raise SourceError

        with pytest.raises(SourceError):
            storage.upload("x", ragged(payload(4 * storage.settings.part_size)), progress=progress)
        self.assert_nothing(storage, "x")

    @pytest.mark.parametrize("verb", ["put", "multipart_put", "multipart_complete", "resumable_send"])
    @needs(Capability.CREATE)
    def test_case_19_the_provider_fails(self, verb: str, storage: Storage) -> None:
        made = storage.upload("x", b"former")
        broken, faults = faulty(storage, Rule(verb=verb, times=None, error=exc.PermissionError("no more")))
        content = payload(100 if verb == "put" else 3 * storage.settings.part_size)
        try:
            broken.upload("x", ragged(content), overwrite=True)
        except exc.PermissionError:
            assert faults.rules[0].hits
            self.assert_stands(storage, made, b"former")
        else:
            # This backend has another way for such an upload.
            assert not faults.rules[0].hits
            assert storage.content("x") == content

    @pytest.mark.parametrize("wrapper", ["plain", "text", "gzip"])
    @needs(Capability.CREATE)
    def test_case_19_leaving_a_writer_by_an_exception(self, wrapper: str, storage: Storage) -> None:
        made = storage.upload("x", b"former")

        def write() -> None:
            if wrapper == "text":
                with storage.open("x", "w", overwrite=True) as text:
                    text.write("half of it")
                    raise SourceError
            with storage.open("x", "wb", overwrite=True) as file:
                if wrapper == "gzip":
                    with gzip.GzipFile(fileobj=file, mode="wb") as packed:
                        packed.write(payload(1000))
                        raise SourceError
                file.write(payload(2 * storage.settings.part_size))
                raise SourceError

        with pytest.raises(SourceError):
            write()
        self.assert_stands(storage, made, b"former")

    @needs(Capability.CREATE)
    def test_case_19_a_wrapper_that_closes_while_an_exception_passes(self, storage: Storage) -> None:
        def write() -> None:
            file = storage.open("x", "wb")
            try:
                file.write(b"half of it")
                raise SourceError
            finally:
                file.close()

        with pytest.raises(SourceError):
            write()
        self.assert_nothing(storage, "x")

    @needs(Capability.CREATE)
    def test_case_19_a_writer_that_is_forgotten(self, storage: Storage) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            file = storage.open("x", "wb")
            file.write(b"half of it")
            del file
            gc.collect()
        assert any(issubclass(warning.category, ResourceWarning) for warning in caught)
        self.assert_nothing(storage, "x")

    @pytest.mark.parametrize("large", [False, True], ids=["small", "in parts"])
    @needs(Capability.CREATE)
    def test_case_20_expected_hash(self, large: bool, storage: Storage) -> None:
        content = payload(2 * storage.settings.part_size + 100 if large else 1000)
        former = storage.upload("x", b"former")
        for algorithm in ("md5", "sha256"):
            wrong = hashlib.new(algorithm, b"other", usedforsecurity=False).hexdigest()
            for source in (content, ragged(content)):
                with pytest.raises(exc.UploadHashMismatchError):
                    storage.upload("x", source, hash=wrong, algorithm=algorithm, overwrite=True)
            self.assert_stands(storage, former, b"former")
        for algorithm in ("md5", "sha256"):
            right = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
            storage.upload("x", ragged(content), hash=right.upper(), algorithm=algorithm, overwrite=True)
            assert storage.content("x") == content
        with pytest.raises(exc.StorageDataError):
            storage.upload("x", b"x", hash="no hash", overwrite=True)

    @pytest.mark.parametrize("large", [False, True], ids=["small", "in parts"])
    @needs(Capability.CREATE)
    def test_case_20_an_upload_given_twice(self, large: bool, storage: Storage) -> None:
        content = payload(2 * storage.settings.part_size + 100 if large else 1000)
        seekable = io.BytesIO(b"skipped" + content)
        seekable.seek(7)
        again = make_upload(seekable)
        for location in ("first", "second"):
            storage.upload(location, again)
            assert storage.content(location) == content
        once = make_upload(ragged(content))
        storage.upload("third", once)
        with pytest.raises(exc.ContentError, match="already read"):
            storage.upload("fourth", once)
        assert not storage.exists("fourth")

    @needs(Capability.CREATE)
    def test_case_20_an_upload_given_again_after_a_failure(self, storage: Storage) -> None:
        content = payload(3 * storage.settings.part_size)
        refused = exc.PermissionError("no")
        broken, _ = faulty(storage, *(Rule(verb=v, times=None, error=refused) for v in ("*put", "resumable_send")))
        for source in (make_upload(io.BytesIO(content)), make_upload(ragged(content))):
            with pytest.raises(exc.PermissionError):
                broken.upload("x", source)
            try:
                storage.upload("x", source)
            except exc.ContentError:
                assert source.seekable_stream is None
                assert not storage.exists("x")
            else:
                assert storage.content("x") == content
                storage.remove("x")

    @pytest.mark.parametrize("large", [False, True], ids=["small", "in parts"])
    @needs(Capability.CREATE)
    def test_case_23_second_writer_gets_existing_file_error(self, large: bool, storage: Storage) -> None:
        content = payload(2 * storage.settings.part_size if large else 100)
        made = storage.upload("x", b"first")
        with pytest.raises(exc.ExistingFileError) as caught:
            storage.upload("x", content)
        assert isinstance(caught.value, FileExistsError)
        assert (caught.value.storage, caught.value.operation, caught.value.location) == ("conformance", "upload", "x")
        with pytest.raises(exc.ExistingFileError), storage.open("x", "xb", overwrite=True) as file:
            file.write(content)
        self.assert_stands(storage, made, b"first")
        storage.upload("x", content, overwrite=True)
        assert storage.content("x") == content

    @needs(Capability.CREATE)
    def test_case_23_the_setting(self, storage: Storage, make: Make) -> None:
        free = make(overwrite_existing=True)
        free.upload("x", b"first")
        free.upload("x", b"second")
        assert storage.content("x") == b"second"
        with pytest.raises(exc.ExistingFileError):
            free.upload("x", b"third", overwrite=False)

    @pytest.mark.parametrize("large", [False, True], ids=["small", "in parts"])
    @needs(Capability.CREATE, Capability.ANALYZE)
    def test_case_23_replace_exactly_one_version(self, large: bool, storage: Storage) -> None:
        content = payload(2 * storage.settings.part_size if large else 100)
        first = storage.upload("x", b"first")
        seen = storage.analyze("x")
        second = storage.upload("x", content, overwrite=seen)
        assert storage.content("x") == content
        for stale in (first, seen):
            if stale.etag:
                with pytest.raises(exc.ChangedFileError):
                    storage.upload("x", b"third", overwrite=stale)
        self.assert_stands(storage, storage.analyze("x"), content)
        assert storage.remove("x")
        with pytest.raises(exc.ChangedFileError):
            storage.upload("x", b"fourth", overwrite=storage.upload("y", b"y") if not second.etag else second)
        with pytest.raises(exc.StorageDataError):
            storage.upload("x", b"fifth", overwrite=type(first)("x"))

    def _sizes(self, storage: Storage) -> list[int]:
        return [0, 1024, storage.settings.part_size + 1000]

    def _won(self, storage: Storage, location: str, size: int, winners: list[int]) -> None:
        content = storage.content(location)
        assert len(content) == size
        in_parts = size > storage.settings.part_size
        if self.gap("atomic_create") or (in_parts and self.gap("atomic_complete")):
            assert winners
            assert not size or content in {contestant(size, number) for number in winners}
        else:
            assert len(winners) == 1
            assert content == contestant(size, winners[0])
        assert storage.analyze(location).size == size
        with pytest.raises(exc.ExistingFileError):
            storage.upload(location, b"too late")
        assert self.leftovers(storage) == []

    @pytest.mark.parametrize("what", [0, 1, 2], ids=["0 B", "1 KiB", "in parts"])
    @needs(Capability.CREATE)
    def test_case_24_threads_race(self, what: int, storage: Storage) -> None:
        size = self._sizes(storage)[what]
        contestants = self.contestants(size)
        barrier = threading.Barrier(len(contestants))
        winners = race(storage, "race", size, contestants, lambda: ignore(barrier.wait()))
        self._won(storage, "race", size, winners)

    @needs(Capability.CREATE)
    def test_case_24_processes_race(self, storage: Storage) -> None:
        if not self.shared:
            # What one process stores no other can reach: there is nothing to compete for.
            with pytest.raises(exc.MissingFileError):
                storage.content("race-0")
            return
        sizes = self._sizes(storage)
        each = len(self.contestants(sizes[-1])) // 4
        groups = [list(range(n * each, (n + 1) * each)) for n in range(4)]
        children = [self.child("racing", storage, sizes, group) for group in groups]
        try:
            for size in sizes:
                for child in children:
                    assert child.hear() == "ready"
                for child in children:
                    child.go()
                self._won(storage, f"race-{size}", size, [winner for child in children for winner in child.hear()])
        finally:
            for child in children:
                child.close()

    @needs(Capability.CREATE, Capability.STREAM)
    def test_case_25_readers_see_the_old_or_the_new(self, storage: Storage) -> None:
        def version(number: int) -> dict[str, Any]:
            extra: dict[str, Any] = {}
            if storage.supports(Capability.METADATA):
                extra["metadata"] = {"n": str(number)}
            return {"content_type": f"text/x-{number}", "overwrite": True, **extra}

        size = 200_000
        storage.upload("x", bytes([1]) * size, **version(1))
        done = threading.Event()
        seen: list[bytes] = []
        failures: list[BaseException] = []

        def read() -> None:
            try:
                while not done.is_set():
                    try:
                        content = storage.content("x")
                    except exc.ChangedFileError:
                        continue  # it noticed: that is no mixture
                    assert len(content) == size
                    assert content == content[:1] * size
                    seen.append(content[:1])
                    data = storage.analyze("x")
                    number = int(data.content_type.rpartition("-")[2]) if not self.gap("content_type") else 0
                    if "n" in data.metadata and number:
                        assert data.metadata["n"] == str(number)
                    if number and data.hash:
                        expected = hashlib.md5(bytes([number]) * size, usedforsecurity=False).hexdigest()
                        assert data.hash == expected
            except BaseException as error:
                failures.append(error)

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        for number in range(2, 22):
            storage.upload("x", bytes([number]) * size, **version(number))
        done.set()
        for reader in readers:
            reader.join()
        assert failures == []
        assert seen
