"""From a type to a backend, from a name to the storage of the process, and the files that settings stand in."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from file_keeper import exc, registry
from file_keeper.backend import Backend
from file_keeper.memory import MemoryBackend
from file_keeper.settings import KNOWN


@pytest.fixture(autouse=True)
def own_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test has its own named storages, and no configuration but its own."""
    monkeypatch.setattr(registry, "_named", {})
    monkeypatch.setattr(registry, "_given", {})
    monkeypatch.delenv("FILE_KEEPER_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)


def test_a_registry() -> None:
    loads: list[str] = []

    def load() -> str:
        loads.append("found")
        return "loaded"

    found: fk.Registry[str] = fk.Registry(lambda: {"lazy": load})
    assert found.register("b", "B") == "B"
    assert list(found) == ["b", "lazy"]
    assert ("lazy" in found, "nothing" in found, len(found), loads) == (True, False, 2, [])
    assert (found.get("lazy"), found.get("lazy"), loads) == ("loaded", "loaded", ["found"])
    assert found.get("nothing") is None
    found.unregister("b")
    found.unregister("b")
    assert list(found) == ["lazy"]


def test_types() -> None:
    assert {"file_keeper:memory", "file_keeper:null"} <= set(fk.list_adapters())
    assert fk.list_adapters() == sorted(fk.list_adapters())
    assert fk.adapters.get("file_keeper:memory") is MemoryBackend
    for kind in ("memory", "file_keeper:memory"):
        assert fk.make_storage("x", {"type": kind}).settings.type == "file_keeper:memory"


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_missing_distribution_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "adapters", fk.Registry[Any]())
    with pytest.raises(exc.UnknownAdapterError) as caught:
        fk.make_storage("media", {"type": name.partition(":")[2]})
    extra = KNOWN[name].extra
    assert str(caught.value) == (
        f"storage 'media': '{name}' is not installed: pip install {KNOWN[name].distribution}  "
        f'(or "file-keeper-core[{extra}]")'
    )


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("memmory", "unknown type 'memmory', did you mean 'memory'?"),
        ("file_keeper:S3", "unknown type 'file_keeper:S3', did you mean 'file_keeper:s3'?"),
        ("xyzzy", "unknown type 'xyzzy', known are "),
    ],
)
def test_an_unknown_type(kind: str, message: str) -> None:
    with pytest.raises(exc.UnknownAdapterError) as caught:
        fk.make_storage("media", {"type": kind})
    assert str(caught.value).startswith(f"storage 'media': {message}")


def test_a_backend_that_cannot_be_imported() -> None:
    def load() -> Any:
        raise ModuleNotFoundError("No module named 'sdk'")

    found = fk.Registry[Any](lambda: {"acme:x": load})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "adapters", found)
        with pytest.raises(
            exc.UnknownAdapterError, match="'acme:x' cannot be imported: No module named 'sdk'"
        ) as caught:
            fk.make_storage("media", {"type": "acme:x"})
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(("old", "new"), sorted(registry.RENAMED.items()))
def test_a_backend_of_an_earlier_contract_is_refused_where_it_is_registered(old: str, new: str) -> None:
    backend = type("Old", (MemoryBackend,), {old: lambda self, *args: None})
    for adapters in (fk.adapters, registry.Adapters(lambda: {"acme:old": lambda: backend})):
        with pytest.raises(exc.InvalidStorageConfigurationError, match=f"'{old}' is '{new}' now.*docs/adapters.md"):
            adapters.register("acme:old", backend) if adapters is fk.adapters else adapters.get("acme:old")
    assert "acme:old" not in fk.adapters


def test_a_backend_without_a_required_verb_is_refused_where_it_is_registered() -> None:
    backend = type("Short", (Backend,), {verb: getattr(MemoryBackend, verb) for verb in ("head", "read", "list")})
    with pytest.raises(exc.InvalidStorageConfigurationError, match="Short of 'acme:short' lacks the required delete"):
        fk.adapters.register("acme:short", backend)
    assert "acme:short" not in fk.adapters


def test_no_type() -> None:
    with pytest.raises(exc.MissingStorageConfigurationError, match="storage 'media': option 'type' is required"):
        fk.make_storage("media", {})
    with pytest.raises(exc.InvalidStorageConfigurationError, match="option 'type' must be text, not 5"):
        fk.make_storage("media", {"type": 5})


def test_initialize_prepares_and_nothing_else_does() -> None:
    made: list[str] = []

    class Backend(MemoryBackend):
        def prepare(self) -> None:
            made.append(self.settings.name)

    fk.adapters.register("acme:prepared", Backend)
    try:
        fk.make_storage("a", {"type": "acme:prepared"})
        assert made == []
        storage = fk.make_storage("b", {"type": "acme:prepared", "bucket": "b", "prepared": {"initialize": True}})
        assert made == ["b"]
        assert pickle.loads(pickle.dumps(storage)).name == "b"
        assert made == ["b"]
    finally:
        fk.adapters.unregister("acme:prepared")


# -- named storages ---------------------------------------------------------------------------------------------------


def test_one_name_is_one_storage() -> None:
    settings = {"type": "memory", "bucket": "x"}
    first = fk.get_storage("a", settings)
    assert fk.get_storage("a") is first
    assert fk.get_storage("a", dict(settings)) is first
    assert fk.get_storage("a", {**settings, "path": "p"}) is not first
    assert fk.get_storage("b", settings) is not first


def test_an_unknown_name() -> None:
    with pytest.raises(exc.UnknownStorageError) as caught:
        fk.get_storage("media")
    assert str(caught.value) == "storage 'media': unknown storage 'media': none is configured"
    fk.get_storage("medium", {"type": "null"})
    fk.get_storage("other", {"type": "null"})
    with pytest.raises(exc.UnknownStorageError) as caught:
        fk.get_storage("media")
    assert str(caught.value) == (
        "storage 'media': unknown storage 'media', did you mean 'medium'? known are medium, other"
    )


def toml(path: Path, bucket: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'[storages.media]\ntype = "memory"\nbucket = "{bucket}"\n[storages.media.s3]\nregion = "x"\n')
    return path


def test_where_the_configuration_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bucket() -> str:
        monkeypatch.setattr(registry, "_named", {})
        return fk.get_storage("media").settings.bucket

    deep = tmp_path / "project" / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    user = "Library/Application Support" if sys.platform == "darwin" else None
    folder = tmp_path / "home" / user / "file-keeper" if user else tmp_path / "config" / "file-keeper"
    toml(folder / "storages.toml", "user")
    assert bucket() == "user"
    far = tmp_path / "project" / ".file-keeper.json"
    far.write_text(json.dumps({"storages": {"media": {"type": "memory", "bucket": "far"}}}))
    assert bucket() == "far"
    toml(deep.parent / ".file-keeper.toml", "near")
    assert bucket() == "near"
    monkeypatch.setenv("FILE_KEEPER_CONFIG", str(toml(tmp_path / "named.toml", "named")))
    assert bucket() == "named"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.toml", "[storages", "is broken: "),
        ("x.json", "{", "is broken: "),
        ("x.json", "[]", "needs tables [storages.NAME]"),
        ("x.toml", "storages = 5", "needs tables [storages.NAME]"),
        ("x.toml", "[storages]\nmedia = 5", "needs tables [storages.NAME]"),
        ("x.toml", None, "cannot be read: "),
    ],
)
def test_a_broken_configuration(
    name: str, text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("FILE_KEEPER_CONFIG", str(path))
    with pytest.raises(exc.InvalidStorageConfigurationError) as caught:
        fk.get_storage("media")
    assert str(caught.value).startswith(f"the configuration {path} {message}")


def test_a_removed_directory_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(exc.UnknownStorageError):
        fk.get_storage("media")
    monkeypatch.chdir(tmp_path)


def test_64_threads_ask_for_one_name() -> None:
    barrier = threading.Barrier(64)
    got: list[fk.Storage] = []

    def ask() -> None:
        barrier.wait()
        got.append(fk.get_storage("shared", {"type": "memory"}))

    threads = [threading.Thread(target=ask) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 64
    assert len(set(map(id, got))) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_fork_while_another_thread_makes_a_storage() -> None:
    inside, go_on = threading.Event(), threading.Event()

    class Slow(MemoryBackend):
        def prepare(self) -> None:
            inside.set()
            go_on.wait(30)

    fk.adapters.register("acme:slow", Slow)
    thread = threading.Thread(target=fk.get_storage, args=("slow", {"type": "acme:slow", "initialize": True}))
    thread.start()
    try:
        assert inside.wait(30)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            # The lock is held by a thread that this process does not have.
            threading.Thread(target=lambda: (threading.Event().wait(20), os._exit(3)), daemon=True).start()
            try:
                fk.get_storage("quick", {"type": "memory"}).upload("x", b"x")
            except BaseException:
                os._exit(2)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        go_on.set()
        thread.join()
        fk.adapters.unregister("acme:slow")


# -- pickling ---------------------------------------------------------------------------------------------------------


def test_a_storage_travels() -> None:
    storage = fk.make_storage("media", {"type": "memory", "bucket": "travels", "path": "p", "part_size": "6MiB"})
    storage.upload("x", b"x")
    twin = pickle.loads(pickle.dumps(storage))
    assert twin.content("x") == b"x"
    assert (twin.name, twin.settings) == (storage.name, storage.settings)


@pytest.mark.parametrize("options", [{}, {"bucket": {}}])
def test_private_memory_does_not(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="storage 'media' cannot be pickled: its option 'bucket'"):
        pickle.dumps(fk.make_storage("media", {"type": "memory", **options}))


def test_a_wrapped_storage_does_not() -> None:
    from file_keeper.backend import Wrapper

    storage = fk.make_storage("media", {"type": "memory", "bucket": "b"}).wrapped(Wrapper)
    with pytest.raises(TypeError, match="its backend is wrapped"):
        pickle.dumps(storage)


# -- the names of the package -----------------------------------------------------------------------------------------

NAMES = {
    "make_storage", "get_storage", "list_adapters", "adapters", "make_upload", "Upload", "FileData", "Location",
    "Storage", "Settings", "Capability", "Registry", "HashingReader", "IterableBytesReader", "SignedAction",
    "SignedURL", "humanize_filesize", "parse_filesize", "exc", "types", "AsyncStorage",
    "SyncReport", "sync",
}  # fmt: skip


def test_what_is_exported() -> None:
    assert set(fk.__all__) == NAMES
    for name in NAMES:
        assert hasattr(fk, name)
    # Modules show as attributes of their package; nothing else that is not meant does.
    others = {name for name in vars(fk) if not name.startswith("_")} - NAMES
    assert {name for name in others if type(getattr(fk, name)).__name__ != "module"} == set()


def imported_by(code: str) -> set[str]:
    run = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    return set(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())


def test_the_import_is_light() -> None:
    heavy = """
        awscrt boto3 botocore google.cloud.storage azure.storage.blob libcloud mimetypes tempfile pathlib urllib secrets
        uuid importlib.metadata email zipfile json tomllib difflib asyncio ssl http.client file_keeper_fs file_keeper_s3
        file_keeper.memory
    """
    assert imported_by("import file_keeper") & set(heavy.split()) == set()


def test_memory_needs_no_other_distribution() -> None:
    used = imported_by(
        "import file_keeper\ns = file_keeper.make_storage('x', {'type': 'memory'})\n"
        "s.upload('a.txt', b'x'); s.content('a.txt'); list(s.scan())"
    )
    assert used & {"awscrt", "mimetypes", "asyncio", "file_keeper_fs", "boto3"} == set()
