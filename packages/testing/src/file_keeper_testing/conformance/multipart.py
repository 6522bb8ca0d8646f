"""Cases 55 to 63: uploads in several calls, of parts in any order or of pieces one after the other."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from file_keeper import Capability, FileData, Storage, exc

from ..sources import KiB, OnlyRead, payload, ragged
from .base import Base, Make, needs
from .create import HEADERS, METADATA, md5

PIECE = 256 * KiB


def as_json(data: FileData) -> FileData:
    """Return the state as another process would get it."""
    return FileData.from_dict(json.loads(json.dumps(data.as_dict())))


class Multipart(Base):
    """``multipart_*`` and ``resumable_*``."""

    def _pieces(self, storage: Storage, count: int, tail: int = 100) -> list[bytes]:
        size = storage.settings.part_size
        return [payload(size, number) for number in range(count)] + [payload(tail, count)]

    @needs(Capability.MULTIPART)
    def test_case_55_hidden_until_complete(self, storage: Storage, make: Make) -> None:
        pieces = self._pieces(storage, 2)
        size = sum(map(len, pieces))
        data = storage.multipart_start("x", size, content_type="text/x-special")
        assert (data.location, data.size, data.storage_data["uploaded"]) == ("x", size, 0)
        assert data.storage_data["multipart"]
        assert data.storage_data["upload_id"]
        assert 0 < data.storage_data["part_size"] <= max(size, storage.settings.part_size)
        sent = 0
        for number, piece in enumerate(pieces):
            assert not storage.exists("x")
            assert list(storage.scan()) == []
            data = storage.multipart_update(data, ragged(piece), number)
            sent += len(piece)
            assert data.storage_data["uploaded"] == sent
            assert storage.multipart_refresh(data) == data
            assert make().multipart_refresh(as_json(data)) == data
        made = storage.multipart_complete(as_json(data))
        assert (made.location, made.size, made.content_type) == ("x", size, "text/x-special")
        assert made.storage_data == {}
        assert storage.content("x") == b"".join(pieces)
        seen = storage.analyze("x")
        assert (seen.size, seen.hash, seen.algorithm) == (made.size, made.hash, made.algorithm)
        # A lost answer to the last call can be told: the refresh gives the file.
        assert storage.multipart_refresh(data).size == size
        assert storage.multipart_refresh(data).storage_data == {}
        assert self.leftovers(storage) == []

    @needs(Capability.MULTIPART)
    def test_case_56_any_order_and_twice(self, storage: Storage) -> None:
        if storage.limits.equal_parts:
            pytest.skip("this provider wants equal parts: tried by its own tests")
        pieces = self._pieces(storage, 3)
        data = storage.multipart_start("x", sum(map(len, pieces)))
        for number in (3, 1, 0, 2):
            wrong = bytes(len(pieces[number]))
            data = storage.multipart_update(data, wrong, number)
            data = storage.multipart_update(data, OnlyRead(pieces[number]), number)
        parts = data.storage_data["parts"]
        assert [part["part"] for part in parts] == [0, 1, 2, 3]
        assert [part["size"] for part in parts] == [len(piece) for piece in pieces]
        made = storage.multipart_complete(data)
        assert made.size == sum(map(len, pieces))
        assert storage.content("x") == b"".join(pieces)

    @needs(Capability.MULTIPART)
    def test_case_57_two_uploads_to_one_location(self, storage: Storage) -> None:
        first = storage.multipart_start("x", 5, overwrite=True)
        second = storage.multipart_start("x", 6, overwrite=True)
        assert first.storage_data["upload_id"] != second.storage_data["upload_id"]
        first = storage.multipart_update(first, b"first", 0)
        second = storage.multipart_update(second, b"second", 0)
        storage.multipart_complete(first)
        assert storage.content("x") == b"first"
        try:
            storage.multipart_complete(second)
        except (exc.MultipartUploadError, exc.MissingFileError, exc.ChangedFileError):
            assert storage.content("x") == b"first"  # the provider dropped its parts, and says so
        else:
            assert storage.content("x") == b"second"

    @needs(Capability.MULTIPART)
    def test_case_58_remove(self, storage: Storage) -> None:
        committed = storage.upload("x", b"committed")
        storage.upload("xy", b"neighbour")
        neighbour = storage.multipart_update(storage.multipart_start("xyz", 5), b"other", 0)
        data = storage.multipart_update(storage.multipart_start("x", 5, overwrite=True), b"newer", 0)
        assert storage.multipart_remove(data) is True
        assert storage.multipart_remove(data) is False
        with pytest.raises(exc.FilesError):
            storage.multipart_update(data, b"again", 0)
        empty = storage.multipart_start("x", 5, overwrite=True)
        assert storage.multipart_remove(empty) is True
        assert storage.content(committed) == b"committed"
        storage.multipart_complete(neighbour)
        assert storage.multipart_remove(neighbour) is False
        assert storage.content("xyz") == b"other"
        assert list(storage.scan()) == ["x", "xy", "xyz"]
        assert self.leftovers(storage) == []

    @needs(Capability.MULTIPART)
    def test_case_59_no_part_at_all(self, storage: Storage) -> None:
        made = storage.multipart_complete(storage.multipart_start("x", 0))
        assert (made.size, storage.size("x"), storage.content("x")) == (0, 0, b"")

    @needs(Capability.RESUMABLE)
    def test_case_59_no_byte_at_all(self, storage: Storage) -> None:
        made = storage.resumable_resume(storage.resumable_start("x", 0), b"")
        assert (made.size, storage.size("x"), storage.content("x")) == (0, 0, b"")

    @needs(Capability.MULTIPART)
    def test_case_60_parts_go_on_in_a_new_process_after_a_kill(self, storage: Storage) -> None:
        self._killed("multipart", storage)

    @needs(Capability.RESUMABLE)
    def test_case_60_pieces_go_on_in_a_new_process_after_a_kill(self, storage: Storage) -> None:
        self._killed("resumable", storage)

    def _killed(self, kind: str, storage: Storage) -> None:
        part = -(-storage.settings.part_size // PIECE) * PIECE
        pieces = [payload(part, number) for number in range(3)] + [payload(100, 3)]
        if not self.shared:
            data: Any = storage.multipart_start("x", 1) if kind == "multipart" else storage.resumable_start("x", 1)
            state = json.dumps(data.as_dict())
            # Another process has another memory, and says so.
            with self.child("finish_parts", storage, kind, state, [b"x"]) as child, pytest.raises(exc.MissingFileError):
                child.hear()
            return
        with self.child("send_parts", storage, kind, "x", pieces, 2) as child:
            state = child.hear()
            child.kill()
        assert not storage.exists("x")
        with self.child("finish_parts", storage, kind, state, pieces) as child:
            there, made = child.hear()
        assert there == ([0, 1] if kind == "multipart" else [2 * part])
        assert made.size == sum(map(len, pieces))
        assert storage.content("x") == b"".join(pieces)
        assert self.leftovers(storage) == []

    @needs(Capability.MULTIPART)
    def test_case_60_more_than_a_thousand_parts(self, storage: Storage) -> None:
        if storage.limits.part_min > KiB:
            return  # a thousand of its smallest parts are too much for a test
        count = 1005
        data = storage.multipart_start("x", count * 10)

        def send(number: int) -> FileData:
            return storage.multipart_update(data, b"%010d" % number, number)

        with ThreadPoolExecutor(8) as pool:
            for _ in pool.map(send, range(count)):
                pass
        # None of these answers has all parts; the provider does.
        seen = storage.multipart_refresh(as_json(data))
        assert len(seen.storage_data["parts"]) == count
        storage.multipart_complete(seen)
        assert storage.content("x") == b"".join(b"%010d" % number for number in range(count))

    @pytest.mark.parametrize("algorithm", ["md5", "sha256", "crc32c"])
    @needs(Capability.MULTIPART)
    def test_case_61_declared_hash(self, algorithm: str, storage: Storage, make: Make) -> None:
        from file_keeper import hashing

        pieces = self._pieces(storage, 1)
        content = b"".join(pieces)
        other = make(hashing_algorithm=algorithm)

        def send(value: str, location: str) -> FileData:
            data = other.multipart_start(location, len(content), hash=value, algorithm=algorithm)
            for number, piece in enumerate(pieces):
                data = as_json(other.multipart_update(data, piece, number))
            assert not other.exists(location)
            return data

        def compute(value: bytes) -> str:
            hasher = hashing.new(algorithm)
            hasher.update(value)
            return hasher.hexdigest()

        made = other.multipart_complete(send(compute(content), "right"))
        assert (made.hash, made.algorithm) == (compute(content), algorithm)
        assert other.content("right") == content
        self.assert_hash(other.analyze("right"), made.hash, algorithm)
        bad = send(compute(b"other"), "wrong")
        with pytest.raises(exc.UploadHashMismatchError):
            other.multipart_complete(bad)
        assert not other.exists("wrong")
        other.multipart_remove(bad)
        assert list(other.scan()) == ["right"]
        assert self.leftovers(other) == []

    @needs(Capability.MULTIPART)
    def test_case_61_size_type_and_overwrite(self, storage: Storage) -> None:
        png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100)
        data = storage.multipart_update(storage.multipart_start("x", 1000), png, 0)
        with pytest.raises(exc.UploadSizeMismatchError):
            storage.multipart_complete(data)
        assert storage.multipart_remove(data)
        data = storage.multipart_start("x", len(png), content_type="application/pdf")
        data = storage.multipart_update(data, png, 0)
        with pytest.raises(exc.UploadTypeMismatchError):
            storage.multipart_complete(data)
        assert not storage.exists("x")
        storage.multipart_remove(data)
        data = storage.multipart_update(storage.multipart_start("x", 5), b"later", 0)
        first = storage.upload("x", b"first")
        with pytest.raises(exc.ExistingFileError):
            storage.multipart_complete(data)
        assert storage.content("x") == b"first"
        storage.multipart_remove(data)
        data = storage.multipart_start("x", 5, overwrite=storage.analyze("x"))
        data = storage.multipart_update(data, b"later", 0)
        storage.upload("x", b"second", overwrite=True)
        with pytest.raises((exc.ChangedFileError, exc.MultipartUploadError)):
            storage.multipart_complete(data)
        assert storage.content(first) == b"second"
        storage.multipart_remove(data)
        assert self.leftovers(storage) == []

    @needs(Capability.MULTIPART, Capability.METADATA)
    def test_case_61_result_equals_analyze(self, storage: Storage, make: Make) -> None:
        value = md5(b"content")
        extras: list[dict[str, Any]] = [{}, {"hash": value, "algorithm": "md5"}]
        for extra in extras:
            location = f"x{len(extra)}"
            data = storage.multipart_start(
                location, 7, content_type="text/x-special", metadata=METADATA, headers=HEADERS, **extra
            )
            made = storage.multipart_complete(storage.multipart_update(as_json(data), b"content", 0))
            for seen in (storage.analyze(location), make().analyze(location)):
                assert seen == made
                assert seen.metadata == made.metadata == METADATA
                assert seen.headers == made.headers == HEADERS

    @needs(Capability.MULTIPART)
    def test_case_62_what_makes_no_sense(self, storage: Storage) -> None:
        with pytest.raises(exc.MissingFileError):
            storage.multipart_refresh(FileData("x"))
        data = storage.multipart_start("x", 10)
        wrong = FileData.from_dict({**data.as_dict(), "storage_data": {**data.storage_data, "upload_id": "0" * 32}})
        with pytest.raises(exc.MissingFileError):
            storage.multipart_refresh(wrong)
        with pytest.raises((exc.MissingFileError, exc.MultipartUploadError)):
            storage.multipart_update(wrong, b"x", 0)
        with pytest.raises((exc.MissingFileError, exc.MultipartUploadError, exc.UploadSizeMismatchError)):
            storage.multipart_complete(wrong)
        for upload in (b"x" * 11, iter([b"x" * 6, b"x" * 6])):
            with pytest.raises(exc.UploadOutOfBoundError):
                storage.multipart_update(data, upload, 0)
        for number in (-1, storage.limits.parts_max, 10**9):
            with pytest.raises(exc.MultipartUploadError):
                storage.multipart_update(data, b"x", number)
        with pytest.raises(exc.UploadSizeMismatchError):
            storage.multipart_complete(data)
        with pytest.raises(exc.FilesError):
            storage.multipart_start("x", -1)
        removed = storage.multipart_remove(data)
        assert removed is True
        with pytest.raises(exc.MissingFileError):
            storage.multipart_refresh(data)
        assert not storage.exists("x")
        if storage.limits.part_min > 100:
            small = storage.multipart_start("x", 200)
            for number in range(2):
                small = storage.multipart_update(small, bytes(100), number)
            with pytest.raises(exc.MultipartUploadError):
                storage.multipart_complete(small)
            storage.multipart_remove(small)
            assert not storage.exists("x")

    @needs(Capability.MULTIPART)
    def test_case_63_the_callers_data_is_never_changed(self, storage: Storage) -> None:
        data = storage.multipart_start("x", 10)
        before = copy.deepcopy(data.as_dict())
        sent = storage.multipart_update(data, b"0123456789", 0)
        after = copy.deepcopy(sent.as_dict())
        storage.multipart_refresh(data)
        storage.multipart_complete(sent)
        assert data.as_dict() == before
        assert sent.as_dict() == after

    @needs(Capability.RESUMABLE)
    def test_case_63_nor_when_it_goes_on(self, storage: Storage) -> None:
        data = storage.resumable_start("y", 10)
        before = copy.deepcopy(data.as_dict())
        storage.resumable_refresh(data)
        storage.resumable_resume(data, b"0123456789")
        assert data.as_dict() == before

    @needs(Capability.RESUMABLE)
    def test_resumable(self, storage: Storage, make: Make) -> None:
        pieces = [payload(PIECE, 1), payload(2 * PIECE, 2), payload(PIECE + 77, 3)]
        content = b"".join(pieces)
        data = storage.resumable_start("x", len(content), content_type="text/x-special")
        assert data.storage_data["resumable"]
        sent = 0
        for piece in pieces[:-1]:
            data = make().resumable_resume(as_json(data), ragged(piece))
            sent += len(piece)
            assert data.storage_data["uploaded"] == sent
            assert not storage.exists("x")
            assert storage.resumable_refresh(data) == data
        made = storage.resumable_resume(data, pieces[-1])
        assert (made.size, made.content_type, made.storage_data) == (len(content), "text/x-special", {})
        assert storage.content("x") == content
        seen = storage.analyze("x")
        assert (seen.size, seen.hash) == (made.size, made.hash)
        assert storage.resumable_refresh(data).size == len(content)
        assert self.leftovers(storage) == []

    @needs(Capability.RESUMABLE)
    def test_resumable_what_makes_no_sense(self, storage: Storage) -> None:
        data = storage.resumable_start("x", 2 * PIECE + 10)
        for piece in (b"x", bytes(PIECE + 1), iter([bytes(PIECE - 1)])):
            with pytest.raises(exc.ResumableUploadError):
                storage.resumable_resume(data, piece)
        for piece in (bytes(2 * PIECE + 11), iter([bytes(2 * PIECE + 11)])):
            with pytest.raises(exc.UploadOutOfBoundError):
                storage.resumable_resume(data, piece)
        assert storage.resumable_refresh(data).storage_data["uploaded"] == 0
        data = storage.resumable_resume(data, bytes(PIECE))
        assert storage.resumable_remove(data) is True
        assert storage.resumable_remove(data) is False
        with pytest.raises(exc.FilesError):
            storage.resumable_refresh(data)
        with pytest.raises(exc.MissingFileError):
            storage.resumable_refresh(FileData("x"))
        assert list(storage.scan()) == []
        assert self.leftovers(storage) == []

    @needs(Capability.RESUMABLE)
    def test_resumable_conditions_and_hash(self, storage: Storage) -> None:
        content = payload(PIECE + 10)
        for algorithm in ("md5", "sha256"):
            right = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
            data = storage.resumable_start(algorithm, len(content), hash=right, algorithm=algorithm)
            made = storage.resumable_resume(storage.resumable_resume(data, content[:PIECE]), content[PIECE:])
            assert made.size == len(content)
            assert storage.content(algorithm) == content
            wrong = hashlib.new(algorithm, b"other", usedforsecurity=False).hexdigest()
            data = storage.resumable_start("wrong", len(content), hash=wrong, algorithm=algorithm)
            with pytest.raises(exc.UploadHashMismatchError):
                storage.resumable_resume(data, content)
            assert not storage.exists("wrong")
        data = storage.resumable_start("x", 5)
        storage.upload("x", b"first")
        with pytest.raises(exc.ExistingFileError):
            storage.resumable_resume(data, b"later")
        assert storage.content("x") == b"first"

    @needs(Capability.MULTIPART)
    def test_cleanup_uploads(self, storage: Storage, make: Make) -> None:
        kept = storage.multipart_start("kept", 10)
        other = make("other").multipart_start("x", 10)
        assert storage.cleanup_uploads(3600) == 0
        assert storage.multipart_refresh(kept) == kept
        if "multipart_list" not in storage.backend.verbs or not self.leftovers(storage):
            return  # what this provider keeps of open uploads nobody can see, and it ends by itself
        time.sleep(0.01)
        assert make("other").cleanup_uploads(0) == 1
        with pytest.raises(exc.MissingFileError):
            storage.wrapped(lambda backend: backend).multipart_refresh(
                FileData.from_dict({**other.as_dict(), "location": "other/x"})
            )
        assert storage.multipart_refresh(kept) == kept
        assert storage.cleanup_uploads(0) == 1
        assert self.leftovers(storage) == []
