"""Uploads in several calls under races and kills: of many calls from one state one goes on, a refresh knows it all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from file_keeper import Capability, FileData, Storage, exc
from file_keeper.backend import Wrapper

from ..sources import payload
from .base import Base, Make, needs
from .multipart import PIECE, as_json

T = TypeVar("T")
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
SENDING = ("put", "multipart_put", "resumable_send", "multipart_complete")


class Dying(Wrapper):
    """Is interrupted at the call of some verb: before it, or when it was done and nobody knows yet.

    :param fatal: the how-manieth of the calls that send something
    """

    def __init__(self, inner: Any, fatal: int, *, done: bool):
        super().__init__(inner)
        self._left = fatal
        self._done = done

    def around(self, verb: str, key: str, call: Callable[[], T]) -> T:
        if verb not in SENDING:
            return call()
        self._left -= 1
        if self._left == 0 and not self._done:
            raise KeyboardInterrupt
        result = call()
        if self._left == 0:
            raise KeyboardInterrupt
        return result


class Sessions(Base):
    """``multipart_*`` and ``resumable_*`` under races and kills."""

    @needs(Capability.RESUMABLE)
    def test_sessions_of_calls_at_once_one_goes_on(self, storage: Storage, make: Make) -> None:
        data = storage.resumable_start("x", 2 * PIECE + 10)
        content = b""
        others = [storage, storage, make(), make()]
        for size in (PIECE, PIECE, 10):
            start = threading.Barrier(len(others))

            def go(number: int, size: int = size, state: FileData = data, start: Any = start) -> FileData | None:
                start.wait()
                try:
                    return others[number].resumable_resume(as_json(state), bytes([number + 1]) * size)
                except exc.ResumableUploadError:
                    return None

            with ThreadPoolExecutor(len(others)) as pool:
                results = list(pool.map(go, range(len(others))))
            ((winner, data),) = [(number, result) for number, result in enumerate(results) if result is not None]
            content += bytes([winner + 1]) * size
        assert storage.content("x") == content
        assert self.leftovers(storage) == []

    @needs(Capability.RESUMABLE)
    def test_sessions_of_processes_at_once_one_goes_on(self, storage: Storage) -> None:
        data = storage.resumable_start("x", 2 * PIECE)
        if not self.shared:
            return
        content = b""
        for _ in range(2):
            state = json.dumps(data.as_dict())
            pieces = [bytes([number]) * PIECE for number in range(3)]
            children = [self.child("resume_piece", storage, state, piece) for piece in pieces]
            try:
                for child in children:
                    assert child.hear() == "ready"
                for child in children:
                    child.go()
                results: dict[int, FileData] = {}
                for number, child in enumerate(children):
                    try:
                        results[number] = child.hear()
                    except exc.ResumableUploadError:
                        pass
            finally:
                for child in children:
                    child.close()
            ((winner, data),) = results.items()
            content += pieces[winner]
        assert storage.content("x") == content
        assert self.leftovers(storage) == []

    @needs(Capability.RESUMABLE)
    def test_sessions_an_old_state_is_refused(self, storage: Storage) -> None:
        pieces = [payload(PIECE, number) for number in range(2)] + [payload(10, 2)]
        states = [storage.resumable_start("x", sum(map(len, pieces)))]
        for number, piece in enumerate(pieces):
            states.append(storage.resumable_resume(as_json(states[-1]), piece))
            for old in states[: number + 1]:
                rest = sum(map(len, pieces)) - old.storage_data["uploaded"]
                for other in (bytes(min(PIECE, rest)), bytes(rest)):
                    with pytest.raises((exc.ResumableUploadError, exc.MissingFileError)):
                        storage.resumable_resume(as_json(old), other)
                if number < 2:
                    assert storage.resumable_refresh(as_json(old)) == states[-1]
        assert storage.content("x") == b"".join(pieces)
        assert self.leftovers(storage) == []

    @pytest.mark.parametrize("done", [False, True])
    @pytest.mark.parametrize("fatal", [1, 2, 3])
    @needs(Capability.RESUMABLE)
    def test_sessions_a_call_that_died_holds_back_nobody(self, fatal: int, done: bool, storage: Storage) -> None:
        content = payload(2 * PIECE + 10)
        data = storage.resumable_start("x", len(content))
        data = storage.resumable_resume(data, content[:PIECE])
        dying = storage.wrapped(lambda inner: Dying(inner, fatal, done=done))
        try:
            dying.resumable_resume(as_json(data), content[PIECE : 2 * PIECE])
        except KeyboardInterrupt:
            pass
        data = storage.resumable_refresh(as_json(data))
        assert data.storage_data["uploaded"] in (PIECE, 2 * PIECE)
        assert storage.resumable_refresh(as_json(data)) == data
        storage.resumable_resume(data, content[data.storage_data["uploaded"] :])
        assert storage.content("x") == content
        assert self.leftovers(storage) == []

    @needs(Capability.MULTIPART)
    def test_sessions_parts_are_not_changed_by_a_refresh(self, storage: Storage) -> None:
        self._nothing_changes("multipart", storage)

    @needs(Capability.RESUMABLE)
    def test_sessions_pieces_are_not_changed_by_a_refresh(self, storage: Storage) -> None:
        self._nothing_changes("resumable", storage)

    def _nothing_changes(self, kind: str, storage: Storage) -> None:
        start, refresh = getattr(storage, f"{kind}_start"), getattr(storage, f"{kind}_refresh")
        for extra in ({}, {"content_type": "image/png"}, {"hash": "0" * 8, "algorithm": "crc32c"}):
            data = start("x", PIECE + 10, **extra)
            if kind == "resumable":
                data = storage.resumable_resume(data, bytes(PIECE))
            else:
                assert refresh(as_json(data)) == data
                data = storage.multipart_update(data, bytes(10), 1)
            for _ in range(2):
                assert refresh(as_json(data)) == data
            getattr(storage, f"{kind}_remove")(data)
        assert self.leftovers(storage) == []

    @needs(Capability.MULTIPART)
    def test_sessions_parts_and_their_type_are_known_after_a_kill(self, storage: Storage, make: Make) -> None:
        self._type_is_known("multipart", storage, make())

    @needs(Capability.RESUMABLE)
    def test_sessions_pieces_and_their_type_are_known_after_a_kill(self, storage: Storage, make: Make) -> None:
        self._type_is_known("resumable", storage, make())

    def _type_is_known(self, kind: str, storage: Storage, other: Storage) -> None:
        """Compare a type with the content, whether the state that the update returned was saved or not."""
        size = -(-storage.settings.part_size // PIECE) * PIECE
        content = PNG + bytes(size - len(PNG) + 10)
        start, refresh = getattr(storage, f"{kind}_start"), getattr(other, f"{kind}_refresh")

        def send(data: FileData, number: int) -> FileData:
            piece = content[:size] if number == 0 else content[size:]
            if kind == "multipart":
                return storage.multipart_update(as_json(data), piece, number)
            return storage.resumable_resume(as_json(data), piece)

        def finish(data: FileData) -> FileData:
            return storage.multipart_complete(send(data, 1)) if kind == "multipart" else send(data, 1)

        for lost in (False, True):
            begun = start("x", len(content), content_type="text/plain")
            data = send(begun, 0)
            assert refresh(as_json(begun)) == data
            with pytest.raises(exc.UploadTypeMismatchError):
                finish(refresh(as_json(begun)) if lost else data)
            assert not storage.exists("x")
            getattr(storage, f"{kind}_remove")(data)
            begun = start("y", len(content), content_type="image/png")
            send(begun, 0)
            finish(refresh(as_json(begun)))
            assert storage.content("y") == content
            storage.remove("y")
        assert self.leftovers(storage) == []
