"""Cases 49 to 54: copy, move, remove; append and compose."""

from __future__ import annotations

import threading

import pytest
from file_keeper import Capability, FileData, Storage, exc, hashing

from ..faults import Rule, faulty, lost_answer, without
from ..sources import payload, ragged
from .base import Base, Make, needs, operations, store
from .create import HEADERS, METADATA, md5

WAYS = pytest.mark.parametrize("own", [False, True], ids=["native", "own way"])


def _way(storage: Storage, own: bool) -> Storage:
    """Return the storage, or one whose backend has none of the verbs that the core can do without."""
    return without(storage, "copy", "move", "append", "compose", "delete_many") if own else storage


def _final() -> exc.ConnectionError:
    error = lost_answer()
    error.retryable = False  # all repeats are used up
    return error


def _check_own_hash(seen: FileData, content: bytes) -> None:
    """Check the hash of what was put together: the provider's own of all the content, or none; never a wrong one."""
    if seen.hash:
        hasher = hashing.new(seen.algorithm)
        hasher.update(content)
        assert seen.hash == hasher.hexdigest()


class Copying(Base):
    """Files that are made of files."""

    @WAYS
    @pytest.mark.parametrize("verb", ["copy", "move"])
    @needs(Capability.COPY, Capability.MOVE)
    def test_case_49_copy_and_move(self, verb: str, own: bool, storage: Storage) -> None:
        storage = _way(storage, own)
        operate = getattr(storage, verb)
        with pytest.raises(exc.MissingFileError) as caught:
            operate("target", "missing")
        assert caught.value.location == "missing"
        made = storage.upload("source", b"source", content_type="text/x-special")
        result = operate("target", "source")
        assert result.location == "target"
        self.assert_same(storage.analyze("target"), result)
        assert (result.size, result.hash or md5(b"source")) == (6, md5(b"source"))
        assert storage.content("target") == b"source"
        assert storage.exists("source") is (verb == "copy")
        storage.upload("source", b"second", overwrite=True)
        with pytest.raises(exc.ExistingFileError) as caught:
            operate("target", "source")
        assert caught.value.location == "target"
        assert storage.content("target") == b"source"
        assert storage.content("source") == b"second"
        with pytest.raises(exc.MissingFileError):
            operate("target", "missing", overwrite=True)
        assert storage.content("target") == b"source"
        operate("target", storage.analyze("source"), overwrite=True)
        assert storage.content("target") == b"second"
        storage.upload("other", b"other")
        operate("d/e/nested", "other")
        assert storage.content("d/e/nested") == b"other"
        assert made.location == "source"

    @WAYS
    @pytest.mark.parametrize("verb", ["copy", "move"])
    @needs(Capability.COPY, Capability.MOVE)
    def test_case_49_replace_exactly_one_version(self, verb: str, own: bool, storage: Storage) -> None:
        storage = _way(storage, own)
        operate = getattr(storage, verb)
        storage.upload("target", b"first")
        stale = storage.analyze("target")
        storage.upload("target", b"second!", overwrite=True)
        storage.upload("source", b"source")
        with pytest.raises(exc.ChangedFileError):
            operate("target", "source", overwrite=stale)
        assert storage.content("target") == b"second!"
        assert storage.content("source") == b"source"
        operate("target", "source", overwrite=storage.analyze("target"))
        assert storage.content("target") == b"source"

    @WAYS
    @pytest.mark.parametrize("large", [False, True], ids=["small", "in parts"])
    @needs(Capability.COPY, Capability.MOVE, Capability.METADATA)
    def test_case_50_attributes_are_kept(self, large: bool, own: bool, storage: Storage, make: Make) -> None:
        storage = _way(storage, own)
        content = payload(storage.settings.part_size + 77 if large else 77)
        made = storage.upload("x", ragged(content), content_type="text/x-special", metadata=METADATA, headers=HEADERS)
        for result in (storage.copy("copy", "x"), storage.move("moved", storage.copy("second", "x"))):
            for seen in (result, make().analyze(result.location)):
                assert seen.content_type == made.content_type
                assert seen.metadata == METADATA
                assert seen.headers == HEADERS
                self.assert_hash(seen, md5(content))
            assert storage.content(result) == content
            assert storage.verify(result).size == len(content)

    @needs(Capability.COPY)
    def test_case_50_attributes_are_not_shared(self, storage: Storage) -> None:
        storage.upload("x", b"first")
        storage.copy("copy", "x")
        storage.upload("x", b"second", overwrite=True, content_type="text/x-new")
        assert storage.content("copy") == b"first"
        assert storage.analyze("copy").content_type != "text/x-new"
        self.assert_hash(storage.analyze("copy"), md5(b"first"))

    @WAYS
    @pytest.mark.parametrize("verb", ["move", "copy", "delete", "put", "read", "head"])
    @needs(Capability.MOVE)
    def test_case_51_a_failing_move_keeps_the_source(self, verb: str, own: bool, storage: Storage) -> None:
        storage = _way(storage, own)
        storage.upload("x", b"content")
        key = storage.full_path("x")
        broken, faults = faulty(storage, Rule(verb=verb, times=None, error=exc.PermissionError("no")))
        if verb == "delete":
            faults.rules[0].key = key.replace("[", "[[]")
        try:
            broken.move("target", "x")
        except exc.PermissionError:
            assert faults.rules[0].hits
            assert storage.content("x") == b"content"
            if verb != "delete" or not self.gap("conditions"):
                assert not storage.exists("target")
        else:
            assert not faults.rules[0].hits
            assert storage.content("target") == b"content"
            assert not storage.exists("x")

    @WAYS
    @needs(Capability.MOVE)
    def test_case_51_no_answer_ever_loses_no_content(self, own: bool, storage: Storage) -> None:
        storage.upload("x", b"content")
        flaky, _ = faulty(
            _way(storage, own),
            *(Rule(verb=v, lost=True, times=None, error=_final()) for v in ("move", "delete")),
        )
        try:
            flaky.move("target", "x")
        except exc.ConnectionError:
            pass
        there = [location for location in ("x", "target") if storage.exists(location)]
        assert there
        for location in there:
            assert storage.content(location) == b"content"

    @WAYS
    @needs(Capability.MOVE)
    def test_case_51_a_source_that_changes_stays(self, own: bool, storage: Storage) -> None:
        storage = _way(storage, own)
        if self.gap("conditions"):
            return
        storage.upload("x", b"first")
        changed, faults = faulty(
            storage, Rule(verb="delete", hook=lambda _verb, _key: storage.upload("x", b"second", overwrite=True))
        )
        try:
            changed.move("target", "x")
        except exc.ChangedFileError:
            assert storage.content("x") == b"second"
        assert not faults.rules[0].hits or storage.content("x") == b"second"

    @WAYS
    @needs(Capability.COPY)
    def test_case_52_large_copy(self, own: bool, storage: Storage) -> None:
        storage = _way(storage, own)
        content = payload(3 * storage.settings.part_size + 100)
        made = storage.upload("x", ragged(content))
        result = storage.copy("copy", made)
        self.assert_hash(result, md5(content))
        assert result.size == len(content)
        assert storage.content("copy") == content
        assert self.leftovers(storage) == []

    @needs(Capability.REMOVE)
    def test_case_53_remove(self, storage: Storage) -> None:
        storage.upload("x", b"x")
        storage.upload("d/x", b"x")
        assert storage.remove("x") is True
        assert storage.remove("x") is False
        assert storage.remove("d/x") is True
        assert storage.remove("never/there") is False
        assert list(storage.scan()) == []
        made = storage.upload("x", b"again")
        broken, _ = faulty(storage, Rule(verb="delete*", times=None, error=exc.PermissionError("no")))
        with pytest.raises(exc.PermissionError):
            broken.remove("x")
        self.assert_stands(storage, made, b"again")

    @WAYS
    @needs(Capability.REMOVE)
    def test_case_54_remove_many(self, own: bool, storage: Storage) -> None:
        storage = _way(storage, own)
        names = ["a&b", "<tag>", "a b", "ü/ü", "'\"", "☺", "%20", "+", "a" * 200]
        store(storage, [*names, "stays"])
        assert storage.remove_many([*names, "missing", storage.analyze("a b")]) == []
        assert list(storage.scan()) == ["stays"]
        assert storage.remove_many([]) == []
        assert storage.remove_many(iter(["missing"])) == []
        broken, _ = faulty(storage, Rule(verb="delete*", times=None, error=exc.PermissionError("no")))
        errors: list[exc.FilesError] = []
        try:
            errors = broken.remove_many(["stays", "other"])
        except exc.PermissionError as error:
            errors = [error]
        assert errors
        assert all(isinstance(error, exc.PermissionError) for error in errors)
        assert storage.exists("stays")

    @WAYS
    @needs(Capability.APPEND)
    def test_append(self, own: bool, storage: Storage) -> None:
        storage = _way(storage, own)
        with pytest.raises(exc.MissingFileError):
            storage.append("x", b"x")
        made = storage.upload("x", b"one ", content_type="text/x-special")
        for number, piece in enumerate((b"two ", iter([b"three", b" "]), b""), 1):
            result = storage.append("x", piece)
            assert result.location == "x"
            assert result.content_type == made.content_type
            assert result.size == len((b"one ", b"one two ", b"one two three ", b"one two three ")[number])
        assert storage.content("x") == b"one two three "
        seen = storage.analyze("x")
        assert (seen.size, seen.content_type) == (14, "text/x-special")
        _check_own_hash(seen, b"one two three ")
        large = payload(storage.settings.part_size + 10)
        storage.append("x", large)
        assert storage.content("x") == b"one two three " + large
        with pytest.raises(exc.FilesError):
            storage.append("x", ["text"])  # type: ignore[list-item]
        assert storage.size("x") == 14 + len(large)

    @WAYS
    @needs(Capability.APPEND, Capability.COMPOSE)
    def test_a_change_meanwhile_is_told(self, own: bool, storage: Storage) -> None:
        storage = _way(storage, own)
        for operation in ("append", "compose"):
            for verb in ("append", "compose", "put", "multipart_complete"):
                storage.upload("x", b"first ", overwrite=True)
                storage.upload("y", b"y", overwrite=True)
                rule = Rule(verb=verb, hook=lambda _verb, _key: storage.upload("x", b"second ", overwrite=True))
                changed, _ = faulty(storage, rule)
                try:
                    if operation == "append":
                        changed.append("x", b"more")
                    else:
                        changed.compose("x", "x", "y", overwrite=storage.analyze("x"))
                except exc.ChangedFileError:
                    assert rule.hits
                    assert storage.content("x") == b"second "
                else:
                    assert not rule.hits, (operation, verb)

    @WAYS
    @needs(Capability.APPEND)
    def test_append_nothing_is_lost_or_applied_twice(self, own: bool, storage: Storage) -> None:
        storage = _way(storage, own)
        storage.upload("x", b"")
        storage.append("x", b"")
        done: list[bytes] = []

        def append(number: int) -> None:
            for round_ in range(5):
                piece = f"<{number}.{round_}>".encode()
                try:
                    storage.append("x", piece)
                    done.append(piece)
                except exc.ChangedFileError:
                    pass

        threads = [threading.Thread(target=append, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        content = storage.content("x")
        assert done
        assert len(content) == sum(map(len, done))
        assert all(content.count(piece) == 1 for piece in done)

    @WAYS
    @needs(Capability.COMPOSE)
    def test_compose(self, own: bool, storage: Storage, make: Make) -> None:
        storage = _way(storage, own)
        pieces = [payload(n * 1000, n) for n in range(5)]
        for number, piece in enumerate(pieces):
            storage.upload(f"{number}", piece, content_type=f"text/x-{number}")
        whole = b"".join(pieces)
        made = storage.compose("all", *"01234")
        assert (made.location, made.size) == ("all", len(whole))
        assert storage.content("all") == whole
        seen = make().analyze("all")
        assert seen.size == len(whole)
        _check_own_hash(seen, whole)
        assert storage.content(storage.compose("one", "3")) == pieces[3]
        empty = storage.compose("empty")
        assert (empty.size, storage.content("empty")) == (0, b"")
        with pytest.raises(exc.ExistingFileError):
            storage.compose("all", "1", "2")
        with pytest.raises(exc.MissingFileError) as caught:
            storage.compose("other", "1", "missing", "2")
        assert caught.value.location == "missing"
        assert not storage.exists("other")
        storage.compose("all", "2", "2", overwrite=True)
        assert storage.content("all") == pieces[2] * 2
        assert [storage.content(f"{number}") for number in range(5)] == pieces
        assert self.leftovers(storage) == []

    @WAYS
    @needs(Capability.COMPOSE)
    def test_compose_of_many_and_large(self, own: bool, storage: Storage) -> None:
        storage = _way(storage, own)
        names = [f"{number:02}" for number in range(40)]
        store(storage, names)
        storage.compose("many", *names)
        assert storage.content("many") == "".join(names).encode()
        large = payload(storage.settings.part_size + 10)
        storage.upload("large", large)
        storage.compose("whole", "large", "01", "large")
        assert storage.content("whole") == large + b"01" + large

    @needs(Capability.STREAM, Capability.CREATE)
    def test_between_two_storages(self, storage: Storage, make: Make) -> None:
        other = make("other")
        content = payload(storage.settings.part_size + 33)
        made = storage.upload("x", content, content_type="text/x-special")
        copied = storage.copy_synthetic("there", made, other)
        assert (copied.location, copied.size) == ("there", len(content))
        assert copied.content_type == "text/x-special" or self.gap("content_type")
        assert other.content("there") == content
        with pytest.raises(exc.ExistingFileError):
            storage.copy_synthetic("there", made, other)
        assert storage.range_synthetic("x", 100, 200) == content[100:200]
        storage.compose_synthetic("twice", other, "x", "x")
        assert other.content("twice") == content * 2
        moved = storage.move_synthetic("moved", made, other)
        assert other.content(moved) == content
        assert not storage.exists("x")
        assert storage.supports_synthetic(Capability.COPY, other)
        with pytest.raises(exc.MissingFileError):
            storage.copy_synthetic("y", "missing", other)

    def test_case_69_what_is_not_there_raises(self, storage: Storage, make: Make, tmp_path: str) -> None:
        storage.upload("x", b"x")
        for name, (capability, operate) in operations(storage, "x", str(tmp_path)).items():
            if not storage.supports(capability):
                with pytest.raises(exc.UnsupportedOperationError) as caught:
                    operate()
                assert caught.value.storage == "conformance", name
        disabled = make(disabled_capabilities=[member.name for member in Capability if member.name])
        for name, (capability, operate) in operations(disabled, "x", str(tmp_path)).items():
            if capability:
                with pytest.raises(exc.UnsupportedOperationError):
                    operate()
                assert name
        assert not disabled.capabilities
        assert storage.content("x") == b"x"
