"""A move whose removal fails: whatever answers are lost, one file holds the content and nobody is misled."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from core.doubles import PARTS, Double, Hooked, settings_of
from file_keeper import Storage, exc
from file_keeper.backend import ObjectInfo
from file_keeper.resilience import retry


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(attempts=3, base=0.0001, longest=0.0001))


class Cloud(Double):
    """A provider without a rename."""

    @property
    def verbs(self) -> frozenset[str]:
        return super().verbs - {"move"}


class Removals:
    """What happens to each DELETE of the source: is it done, and what is the answer."""

    def __init__(self, *script: tuple[bool, exc.FilesError | None]):
        self.script: Iterator[tuple[bool, exc.FilesError | None]] = iter(script)
        self.storage: Storage
        self.targets: list[str] = []

    def __call__(self, inner: Any) -> Any:
        def before(verb: str, key: str) -> None:
            if verb != "delete":
                return
            self.targets.append(key)
            if key != "a":
                return
            done, error = next(self.script, (True, None))
            if done:
                self.storage.backend.delete(key)
            if error is not None:
                raise error

        return Hooked(inner, before)


def made(*script: tuple[bool, exc.FilesError | None]) -> tuple[Storage, Storage, Removals]:
    """Return a storage with the file a, the same one with removals that go as the script says, and these."""
    backend = Cloud(settings_of(), PARTS)
    storage = Storage("s", backend.settings, backend)
    storage.upload("a", b"content")
    removals = Removals(*script)
    removals.storage = storage
    return storage, storage.wrapped(removals), removals


def lost() -> exc.FilesError:
    return exc.ConnectionError("reset", retryable=True)


LAST: dict[str, Callable[[], exc.FilesError]] = {
    "400": lambda: exc.StorageError("bad request"),
    "403": lambda: exc.PermissionError("no"),
    "412": lambda: exc.ChangedFileError("precondition failed"),
    "500": lost,
}


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_source_that_is_gone_was_moved(last: str, overwrite: bool) -> None:
    storage, faulty, removals = made((True, lost()), (False, LAST[last]()), (False, LAST[last]()))
    found = faulty.move("b", "a", overwrite=overwrite)
    assert storage.content(found) == b"content"
    assert list(storage.scan()) == ["b"]
    assert "b" not in removals.targets


@pytest.mark.parametrize("last", LAST)
def test_in_doubt_both_stay(last: str) -> None:
    # The first attempt may still come through: the source stands now, and may be gone in a moment.
    storage, faulty, removals = made((False, lost()), (False, LAST[last]()), (False, LAST[last]()))
    with pytest.raises(exc.FilesError, match=r".") as caught:
        faulty.move("b", "a", overwrite=False)
    assert caught.value.uncertain
    assert "the copy at 'b' stays" in caught.value.__notes__
    assert list(storage.scan()) == ["a", "b"]
    assert "b" not in removals.targets


def test_a_refusal_takes_the_copy_back() -> None:
    storage, faulty, _ = made((False, exc.PermissionError("no")))
    with pytest.raises(exc.PermissionError) as caught:
        faulty.move("b", "a", overwrite=False)
    assert not caught.value.uncertain
    assert list(storage.scan()) == ["a"]
    storage, faulty, _ = made((False, exc.PermissionError("no")))
    with pytest.raises(exc.PermissionError) as caught:
        faulty.move("b", "a", overwrite=True)  # what it replaced is gone: there is nothing to go back to
    assert "the copy at 'b' stays" in caught.value.__notes__
    assert list(storage.scan()) == ["a", "b"]


def test_a_refusal_of_what_is_gone_leaves_the_copy() -> None:
    storage, faulty, _ = made((True, exc.PermissionError("no")))
    with pytest.raises(exc.PermissionError) as caught:
        faulty.move("b", "a", overwrite=False)
    assert "the copy at 'b' stays" in caught.value.__notes__
    assert storage.content("b") == b"content"


def test_a_copy_that_names_no_version_is_not_taken_back() -> None:
    # Removing it without a condition might remove what another has written there since.
    class Unnamed(Cloud):
        def copy(self, source: ObjectInfo, key: str, options: Any) -> ObjectInfo:
            return dataclasses.replace(super().copy(source, key, options), etag="")

    backend = Unnamed(settings_of(), PARTS)
    storage = Storage("s", backend.settings, backend)
    storage.upload("a", b"content")
    removals = Removals((False, exc.PermissionError("no")))
    removals.storage = storage
    with pytest.raises(exc.PermissionError):
        storage.wrapped(removals).move("b", "a", overwrite=False)
    assert "b" not in removals.targets
    assert list(storage.scan()) == ["a", "b"]


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("done", [False, True])
def test_between_two_storages_the_copy_stays(last: str, done: bool) -> None:
    storage, faulty, _ = made((done, lost()), (False, LAST[last]()), (False, LAST[last]()))
    backend = Cloud(settings_of(), PARTS)
    other = Storage("other", backend.settings, backend)
    if done:
        faulty.move_synthetic("b", "a", other)
        assert not storage.exists("a")
    else:
        with pytest.raises(exc.FilesError, match=r".") as caught:
            faulty.move_synthetic("b", "a", other)
        assert caught.value.uncertain
        assert "the copy at 'b' in storage 'other' stays" in caught.value.__notes__
        assert storage.content("a") == b"content"
    assert other.content("b") == b"content"


def test_removals_in_batches_say_when_they_are_in_doubt() -> None:
    storage, _, _ = made()

    def before(verb: str, key: str) -> None:
        if verb == "delete_many":
            raise lost()

    class Batches(Cloud):
        def delete_many(self, keys: Any) -> Any:
            return [(key, error) for key in keys for error in ()]

    backend = Batches(settings_of(), PARTS)
    storage = Storage("s", backend.settings, backend)
    failures = storage.wrapped(lambda inner: Hooked(inner, before)).remove_many(["a", "b"])
    assert [(failure.location, failure.uncertain) for failure in failures] == [("a", True), ("b", True)]
