"""Cases 67 to 70: every error is one of ours, says where it happened, and holds no secret."""

from __future__ import annotations

import copy
import io
import logging
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from file_keeper import Capability, FileData, Storage, exc
from file_keeper.backend import OPTIONAL

from ..faults import ProviderError, Rule, faulty
from ..sources import payload
from .base import Base, needs

KINDS = [
    exc.PermissionError, exc.StorageError, exc.InvalidStorageConfigurationError, exc.ThrottledError,
    exc.ConnectionError, exc.TimeoutError, exc.UploadHashMismatchError, exc.ChangedFileError,
]  # fmt: skip


def _calls(storage: Storage, target: Path) -> dict[str, tuple[str, Callable[[], Any]]]:
    """Return the operations by name, each with the verbs (a pattern) at which it can meet a fault."""

    def started(kind: str) -> FileData:
        return getattr(storage, f"{kind}_start")("session", 10, overwrite=True)

    def scan() -> None:
        list(storage.scan())

    def remove_many() -> None:
        for error in storage.remove_many(["x", "y"]):
            raise error

    def write() -> None:
        with storage.open("new", "wb", overwrite=True) as file:
            file.write(b"x")

    def large() -> None:
        storage.upload("new", iter([payload(3 * storage.settings.part_size)]), overwrite=True)

    return {
        "upload": ("put", lambda: storage.upload("new", b"x", overwrite=True)),
        "upload in parts": ("[mrp]*", large),
        "open": ("put", write),
        "content": ("read", lambda: storage.content("x")),
        "stream": ("read", lambda: storage.stream("x").read()),
        "stream's body": ("body", lambda: storage.stream("x").read()),
        "range": ("read", lambda: storage.range("x", 0, 2)),
        "download": ("[hr]*", lambda: storage.download("x", target)),
        "verify": ("[hr]*", lambda: storage.verify("x")),
        "analyze": ("head", lambda: storage.analyze("x")),
        "exists": ("head", lambda: storage.exists("x")),
        "size": ("head", lambda: storage.size("x")),
        "hash": ("head", lambda: storage.hash("x")),
        "content_type": ("head", lambda: storage.content_type("x")),
        "scan": ("[nl]*", scan),
        "scan's step": ("item", scan),
        "files": ("list", lambda: list(storage.files())),
        "remove": ("delete", lambda: storage.remove("x")),
        "remove_many": ("delete*", remove_many),
        "copy": ("[chrp]*", lambda: storage.copy("new", "x", overwrite=True)),
        "move": ("[cmhrp]*", lambda: storage.move("new", "x", overwrite=True)),
        "append": ("*", lambda: storage.append("x", b"more")),
        "compose": ("*", lambda: storage.compose("new", "x", "y", overwrite=True)),
        "multipart_start": ("multipart_create", lambda: storage.multipart_start("new", 10)),
        "multipart_update": ("multipart_put", lambda: storage.multipart_update(started("multipart"), b"x", 0)),
        "multipart_refresh": ("multipart_parts", lambda: storage.multipart_refresh(started("multipart"))),
        "multipart_remove": ("multipart_abort", lambda: storage.multipart_remove(started("multipart"))),
        "resumable_start": ("[mr]*_[cs][rt]*", lambda: storage.resumable_start("new", 10)),
        "resumable_resume": ("[mr]*_[ps][ue]*", lambda: storage.resumable_resume(started("resumable"), b"0123456789")),
        "signed": ("sign", lambda: storage.signed("download", 60, "x")),
        "permanent_link": ("url", lambda: storage.permanent_link("x")),
        "check": ("*", storage.check),
        "cleanup_uploads": ("*", lambda: storage.cleanup_uploads(3600)),
    }


class Errors(Base):
    """What goes wrong, and how it is told."""

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
    def test_case_68_each_fault_at_each_verb(
        self, kind: type[exc.FilesError], storage: Storage, tmp_path: Path
    ) -> None:
        for location in ("x", "y"):
            storage.upload(location, b"content")
        broken, faults = faulty(storage)
        for name, (verb, call) in _calls(broken, tmp_path / "target").items():
            cause = ProviderError(kind("what the provider said", code="TheirCode", status=499, request_id="R1"))
            faults.rules[:] = [Rule(verb=verb, times=None, error=cause)]
            try:
                call()
            except exc.UnsupportedOperationError:
                continue
            except exc.FilesError as caught:
                error = caught
            else:
                # What this backend is asked for such an operation is another verb.
                assert not faults.rules[0].hits, name
                continue
            assert type(error) is kind, name
            assert error.__cause__ is cause, name
            assert error.storage == "conformance", name
            assert error.operation == name.split(" ")[0].split("'")[0], name
            expected = {"session"} if name[:9] in ("multipart", "resumable") else {"x", "y", "new"}
            if name in ("check", "cleanup_uploads", "scan", "scan's step", "files"):
                expected = {""}
            elif name in ("multipart_start", "resumable_start"):
                expected = {"new"}
            assert error.location in expected, name
            assert (error.code, error.status, error.request_id) == ("TheirCode", 499, "R1")
            for part in ("conformance", "TheirCode", "499", "R1", "what the provider said"):
                assert part in str(error), name
            faults.rules.clear()
        for location in ("x", "y"):
            assert storage.content(location) == b"content"
        assert [entry.name for entry in tmp_path.iterdir()] == []

    def test_case_68_what_no_table_knows(self, storage: Storage) -> None:
        storage.upload("x", b"content")
        cause = RuntimeError("the SDK has a bug")
        broken, _ = faulty(storage, Rule(verb="*", times=None, error=cause))
        for call in (lambda: broken.content("x"), lambda: broken.upload("y", b"y"), lambda: list(broken.scan())):
            with pytest.raises(exc.StorageError) as caught:
                call()
            assert caught.value.__cause__ is cause
            assert "the SDK has a bug" in str(caught.value)
        assert storage.content("x") == b"content"

    def test_case_68_an_interrupt_is_not_an_error(self, storage: Storage) -> None:
        storage.upload("x", b"content")
        broken, _ = faulty(storage, Rule(verb="*", times=None, error=KeyboardInterrupt))
        for call in (lambda: broken.content("x"), lambda: broken.upload("y", b"y"), lambda: list(broken.scan())):
            with pytest.raises(KeyboardInterrupt):
                call()

    @needs(Capability.EXISTS, Capability.REMOVE)
    def test_case_68_an_error_is_never_an_answer(self, storage: Storage) -> None:
        storage.upload("x", b"content")
        broken, _ = faulty(storage, Rule(verb="*", times=None, error=exc.PermissionError("no", status=403)))
        for call in (
            lambda: broken.exists("x"), lambda: broken.exists("missing"), lambda: broken.remove("missing"),
            lambda: next(broken.scan(), None), lambda: broken.analyze("missing"), lambda: broken.content("missing"),
        ):  # fmt: skip
            with pytest.raises(PermissionError):
                call()

    def test_case_68_errors_survive_pickling_and_copying(self, storage: Storage) -> None:
        with pytest.raises(exc.MissingFileError) as caught:
            storage.content("missing")
        for twin in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value), copy.deepcopy(caught.value)):
            assert type(twin) is exc.MissingFileError
            assert str(twin) == str(caught.value)
            assert twin.__dict__ == caught.value.__dict__
            assert isinstance(twin, FileNotFoundError)

    def test_case_69_every_capability_is_computed(self, storage: Storage) -> None:
        verbs = storage.backend.verbs
        assert verbs <= set(OPTIONAL)
        for member in Capability:
            assert storage.supports(member) is (member in storage.capabilities)
        assert storage.supports(Capability.MULTIPART) is ("multipart_complete" in verbs)
        assert storage.supports(Capability.SIGNED) is ("sign" in verbs)
        assert storage.supports(Capability.LINK_PERMANENT) is ("url" in verbs)
        assert issubclass(exc.UnsupportedOperationError, io.UnsupportedOperation)

    def test_case_70_no_secret_is_shown(
        self, storage: Storage, make: Any, caplog: pytest.LogCaptureFixture, storage_settings: dict[str, Any]
    ) -> None:
        caplog.set_level(logging.DEBUG)
        settings = storage.settings
        options = settings.options()
        secrets = [
            str(value)
            for name, known in options.items()
            if known.secret and (value := storage_settings.get(name)) and isinstance(value, str) and len(value) > 3
        ]
        texts = [repr(storage), str(storage), repr(settings), str(settings), repr(storage.backend)]
        errors: list[BaseException] = []
        broken, _ = faulty(storage, Rule(verb="*", times=None, error=exc.PermissionError("no")))
        for call in (
            lambda: storage.content("missing"), lambda: broken.content("x"), lambda: broken.upload("x", b"x"),
            lambda: make(buket="x"), lambda: make(timeout="secret"),
        ):  # fmt: skip
            with pytest.raises(exc.FilesError) as caught:
                call()
            errors.append(caught.value)
        if storage.supports(Capability.MULTIPART):
            data = storage.multipart_start("session", 10)
            for text in (repr(data), str(data)):
                assert data.storage_data["upload_id"] not in text
            texts.append(repr(data))
            storage.multipart_remove(data)
        for error in _chain(errors):
            texts += [str(error), repr(error)]
        texts += [record.getMessage() for record in caplog.records if record.name.startswith("file_keeper")]
        for secret in secrets:
            for text in texts:
                assert secret not in text
        assert "did you mean 'bucket'" in str(errors[3])


def _chain(errors: list[BaseException]) -> Iterator[BaseException]:
    for error in errors:
        current: BaseException | None = error
        while current is not None:
            yield current
            current = current.__cause__
