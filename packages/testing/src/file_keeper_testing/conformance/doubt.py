"""Answers that are lost, odd or another's: nothing is lost, nothing invented, and a doubt is told as one."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from file_keeper import Capability, Storage, exc
from file_keeper.backend import Body
from file_keeper.resilience import retry
from file_keeper.resilience.retry import Policy

from ..faults import Reordered, Rule, faulty, lost_answer, without
from ..sources import payload, ragged
from .base import Base, needs

FINAL: dict[str, Callable[[], exc.FilesError]] = {
    "refused": lambda: exc.PermissionError("no"),
    "not understood": lambda: exc.StorageError("the request makes no sense"),
    "a condition": lambda: exc.ChangedFileError("another version"),
    "lost": lost_answer,
}
"""What the attempts end in after the first one went unanswered."""

LAST = pytest.mark.parametrize("last", FINAL)
FOREIGN = ["a/1", "a/2", "b", "data-1/x", "data.txt", "data/x", "data/y/z", "data0", "data1"]

WRITES: dict[str, Callable[[Storage, bytes], Any]] = {
    "put": lambda storage, large: storage.upload("new", b"new"),
    "multipart_complete": lambda storage, large: storage.upload("new", ragged(large)),
    "resumable_send": lambda storage, large: storage.upload("new", ragged(large)),
    "copy": lambda storage, large: storage.copy("new", "x"),
    "compose": lambda storage, large: storage.compose("new", "x", "x"),
    "append": lambda storage, large: storage.append("new", b"t"),
}
"""The last request of each way to write, and an operation that makes it."""


def _other(body: Body, content: bytes, *, etag: str | None = None, start: int | None = None) -> Body:
    """Return an answer like `body` with other bytes, of another version, or from elsewhere."""
    body.close()
    info = body.info if etag is None else dataclasses.replace(body.info, etag=etag)
    return Body(info, len(content), io.BytesIO(content), start=body.start if start is None else start)


class Doubt(Base):
    """Cases of contract 6.1.3, 6.2, 6.3, 6.4 and 7 that need faults."""

    @pytest.fixture
    def in_haste(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Repeats come at once."""
        monkeypatch.setattr(retry, "DEFAULT", Policy(attempts=3, base=0.001))

    # -- writes -----------------------------------------------------------------------------------------------------

    @LAST
    @pytest.mark.parametrize("verb", WRITES)
    @needs(Capability.CREATE)
    def test_case_75_what_was_written_is_a_success(
        self, verb: str, last: str, storage: Storage, in_haste: None
    ) -> None:
        # The object stands, and whatever comes back afterwards is about it.
        large = payload(2 * storage.settings.part_size + 10)
        number = self._prepare(storage, verb, large)
        broken, _ = faulty(
            storage,
            Rule(verb=verb, nth=number, lost=True),
            Rule(verb=verb, nth=number + 1, times=None, error=FINAL[last]()),
        )
        made = WRITES[verb](broken, large)
        found = storage.analyze("new")
        assert (found.size, found.etag) == (made.size, made.etag or found.etag)
        assert storage.content("new") == self._expected(verb, large)
        assert self.leftovers(storage) == []

    @LAST
    @pytest.mark.parametrize("verb", WRITES)
    @needs(Capability.CREATE)
    def test_case_75_what_may_have_been_written_is_a_doubt(
        self, verb: str, last: str, storage: Storage, in_haste: None
    ) -> None:
        large = payload(2 * storage.settings.part_size + 10)
        number = self._prepare(storage, verb, large)
        former = storage.content("new") if storage.exists("new") else None
        broken, faults = faulty(
            storage,
            Rule(verb=verb, nth=number, error=lost_answer()),
            Rule(verb=verb, nth=number, times=None, error=FINAL[last]()),
        )
        error: exc.FilesError | None = None
        try:
            WRITES[verb](broken, large)
        except exc.FilesError as caught:
            error = caught
        assert (error is not None) == bool(faults.rules[0].hits)
        if error is not None:
            # A conflict with a version that stands is an answer: this very attempt did not come through.
            assert error.uncertain or (last == "a condition" and former is not None)
            assert (storage.content("new") if storage.exists("new") else None) == former

    def _prepare(self, storage: Storage, verb: str, large: bytes) -> int:
        """Make what the operation needs; return which of its calls of the verb is the last one."""
        capability = {"copy": Capability.COPY, "compose": Capability.COMPOSE, "append": Capability.APPEND}.get(verb)
        if not storage.supports(Capability.METADATA):
            pytest.skip("nothing tells one's own write from another's")
        if capability is not None and not storage.supports(capability):
            pytest.skip(f"the storage has no {verb}")
        storage.upload("x", b"content")
        if verb == "append":
            storage.upload("new", b"content")
        watched, faults = faulty(storage, Rule(verb=verb, times=0))
        WRITES[verb](watched, large)
        storage.remove("new")
        if verb == "append":
            storage.upload("new", b"content")
        return max(1, faults.rules[0].seen)

    def _expected(self, verb: str, large: bytes) -> bytes:
        own = {"put": b"new", "copy": b"content", "compose": b"content" * 2, "append": b"contentt"}
        return own.get(verb, large)

    # -- moves ------------------------------------------------------------------------------------------------------

    @LAST
    @pytest.mark.parametrize("done", [True, False], ids=["removed", "not removed"])
    @needs(Capability.MOVE, Capability.REMOVE)
    def test_case_51_a_removal_in_doubt(self, done: bool, last: str, storage: Storage, in_haste: None) -> None:
        storage = without(storage, "move")
        storage.upload("x", b"content")
        key = storage.full_path("x").replace("[", "[[]")
        first = Rule(verb="delete", key=key, lost=True) if done else Rule(verb="delete", key=key, error=lost_answer())
        broken, faults = faulty(
            storage, first, Rule(verb="delete", key=key, nth=2 if done else 1, times=None, error=FINAL[last]())
        )
        copies = faults.on("delete", key=storage.full_path("target").replace("[", "[[]"), times=None)
        if done:
            broken.move("target", "x")
            assert not storage.exists("x")
        else:
            with pytest.raises(type(FINAL[last]())) as caught:
                broken.move("target", "x")
            assert caught.value.uncertain
            assert any("stays" in note for note in caught.value.__notes__)
            assert storage.content("x") == b"content"
        assert storage.content("target") == b"content"
        assert not copies.hits

    # -- reads ------------------------------------------------------------------------------------------------------

    @needs(Capability.STREAM)
    def test_case_31_what_an_answer_says(self, storage: Storage) -> None:
        # The core trusts these facts to notice who does not honour ranges or conditions.
        content = payload(1000)
        storage.upload("x", content)
        backend, key = storage.backend, storage.full_path("x")
        etag = backend.head(key).etag
        for start, end in ((0, None), (0, 10), (10, 20), (990, 2000), (7, None)):
            if (start or end) and not storage.limits.ranges:
                continue
            with contextlib.closing(backend.read(key, start, end, etag=etag)) as body:
                assert body.start in (start, None)
                wanted = content[start:end]
                assert body.length in (len(wanted), None)
                assert body.info.size in (1000, -1)
                assert body.info.etag == etag
                assert body.read() == wanted

    @needs(Capability.STREAM, Capability.RANGE)
    def test_case_31_a_shorter_answer_is_asked_on(self, storage: Storage, tmp_path: Path) -> None:
        content = payload(100_000)
        storage.upload("x", content)
        odd, faults = faulty(storage)

        def cut(body: Body) -> Body:
            return _other(body, body.read(30_000))

        rule = faults.on("read", times=None, answer=cut)
        assert odd.content("x") == content
        assert b"".join(odd.stream("x")) == content
        assert odd.range("x", 5, 90_000) == content[5:90_000]
        with odd.open("x") as file:
            file.seek(1000)
            assert file.read() == content[1000:]
        odd.download("x", tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == content
        assert rule.hits >= 16

    @pytest.mark.parametrize("what", ["shifted", "from the beginning", "of another version"])
    @needs(Capability.STREAM, Capability.RANGE)
    def test_case_31_an_answer_of_something_else_is_refused(self, what: str, storage: Storage) -> None:
        content = payload(100_000)
        storage.upload("x", content)
        answers: dict[str, Callable[[Body], Body]] = {
            "shifted": lambda body: _other(body, content[6:], start=6),
            "from the beginning": lambda body: _other(body, content, start=0),
            "of another version": lambda body: _other(body, content[5:], etag="another"),
        }
        odd, faults = faulty(storage, Rule(verb="read", times=None, answer=answers[what]))
        with odd.open("x") as file:
            file.seek(5)
            with pytest.raises(exc.ChangedFileError if what == "of another version" else exc.ConnectionError) as caught:
                file.read()
        assert caught.value.location == "x"
        assert faults.rules[0].hits == 1

    # -- listings ---------------------------------------------------------------------------------------------------

    @needs(Capability.SCAN)
    def test_case_39_nothing_is_left_out_for_its_order(self, storage: Storage) -> None:
        for name in FOREIGN:
            storage.upload(name, b"")
        for page in (2, 1000):
            odd = storage.wrapped(lambda backend: Reordered(backend, page=page))  # noqa: B023
            try:
                found = list(odd.scan())
            except exc.ConnectionError:
                found = list(odd.scan())  # from now on its order is known
            assert found == FOREIGN
            assert list(odd.scan(prefix="data")) == FOREIGN[3:]

    @needs(Capability.SCAN)
    def test_case_47_a_page_that_comes_again_ends_the_listing(self, storage: Storage) -> None:
        for name in FOREIGN:
            storage.upload(name, b"")
        odd = storage.wrapped(lambda backend: Reordered(backend, repeat=True))
        with pytest.raises(exc.ConnectionError):
            list(odd.scan())
