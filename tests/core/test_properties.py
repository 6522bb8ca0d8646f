"""Any order of operations against a model: what is stored is what the model says, on memory and on disk."""

from __future__ import annotations

import hashlib
import tempfile
from typing import Any

import pytest
from file_keeper import FileData, Storage, exc, make_storage
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

NAMES = st.sampled_from(["a", "b.txt", "d/a", "d/b", "d.x", "é", "Ω/🙂", "A"])
BODIES = st.binary(max_size=40) | st.integers(1, 9000).map(lambda size: bytes(range(256)) * (size // 256 + 1))
OVERWRITE = st.sampled_from([None, True, False])


class Contract(RuleBasedStateMachine):
    """A storage and a dictionary that are told the same."""

    kind = "memory"

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        own = {"path": self.folder.name} if self.kind == "fs" else {}
        sizes = {"part_size": 1024, "multipart_threshold": 1024, "retry": False}
        self.storage: Storage = make_storage("s", {"type": self.kind, **own, **sizes})
        self.model: dict[str, bytes] = {}

    def teardown(self) -> None:
        if hasattr(self, "storage"):
            self.storage.close()
            self.folder.cleanup()

    def taken(self, name: str, overwrite: bool | None) -> bool:
        return name in self.model and not overwrite

    @rule(name=NAMES, body=BODIES, overwrite=OVERWRITE, unknown=st.booleans())
    def upload(self, name: str, body: bytes, overwrite: bool | None, unknown: bool) -> None:
        source: Any = iter([body]) if unknown else body
        if self.taken(name, overwrite):
            with pytest.raises(exc.ExistingFileError):
                self.storage.upload(name, source, overwrite=overwrite)
            return
        made = self.storage.upload(name, source, overwrite=overwrite)
        self.model[name] = body
        assert (made.size, made.hash) == (len(body), hashlib.md5(body).hexdigest())

    @rule(name=NAMES, body=BODIES)
    def append(self, name: str, body: bytes) -> None:
        if name not in self.model:
            with pytest.raises(exc.MissingFileError):
                self.storage.append(name, body)
            return
        self.model[name] += body
        assert self.storage.append(name, body).size == len(self.model[name])

    @rule(target_name=NAMES, name=NAMES, overwrite=OVERWRITE, move=st.booleans())
    def copy_or_move(self, target_name: str, name: str, overwrite: bool | None, move: bool) -> None:
        work = self.storage.move if move else self.storage.copy
        wrong: type[exc.FilesError] | None = None
        if name not in self.model:
            wrong = exc.FilesError  # which of two reasons is told is open
        elif name != target_name and self.taken(target_name, overwrite):
            wrong = exc.ExistingFileError
        if wrong is not None:
            with pytest.raises(wrong):
                work(target_name, name, overwrite=overwrite)
            return
        work(target_name, name, overwrite=overwrite)
        self.model[target_name] = self.model[name]
        if move and name != target_name:
            del self.model[name]

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        assert self.storage.remove(name) is (self.model.pop(name, None) is not None)

    @rule(name=NAMES, files=st.lists(NAMES, max_size=3), overwrite=OVERWRITE)
    def compose(self, name: str, files: list[str], overwrite: bool | None) -> None:
        if self.taken(name, overwrite) or any(file not in self.model for file in files):
            with pytest.raises(exc.LocationError):
                self.storage.compose(name, *files, overwrite=overwrite)
            return
        content = b"".join(self.model[file] for file in files)
        assert self.storage.compose(name, *files, overwrite=overwrite).size == len(content)
        self.model[name] = content

    @rule(name=NAMES, start=st.integers(0, 10000), end=st.none() | st.integers(0, 10000))
    def range(self, name: str, start: int, end: int | None) -> None:
        if name in self.model:
            assert self.storage.range(name, start, end) == self.model[name][start:end]

    @rule(name=NAMES)
    def analyze(self, name: str) -> None:
        if name not in self.model:
            with pytest.raises(exc.MissingFileError):
                self.storage.analyze(name)
            return
        found = self.storage.analyze(name)
        assert (found.size, found.hash) == (len(self.model[name]), hashlib.md5(self.model[name]).hexdigest())
        assert FileData.from_dict(found.as_dict()) == found

    @invariant()
    def holds_what_the_model_does(self) -> None:
        if hasattr(self, "storage"):
            assert list(self.storage.scan()) == sorted(self.model, key=str.encode)
            assert {name: self.storage.content(name) for name in self.model} == self.model


class OnDisk(Contract):
    """The same on disk."""

    kind = "fs"


QUICK = settings(max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))
Contract.TestCase.settings = QUICK
OnDisk.TestCase.settings = QUICK
TestMemory = Contract.TestCase
TestDisk = OnDisk.TestCase
