"""What users install: the core alone, the core with each extra, and with all; from wheels, in clean environments."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from emulators.storages import KINDS, settings_of

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = ("fs", "s3", "gcs", "azure", "libcloud")
COMMON = ("bucket", "path", "type", "initialize")

LOOK = """
import importlib.metadata as m, json, sys
import file_keeper as fk
sdks = {"boto3", "google.cloud.storage", "azure.storage.blob", "libcloud"}
before = sorted(sdks & set(sys.modules))
told = {}
for kind in ("fs", "s3", "gcs", "azure", "libcloud"):
    try:
        fk.make_storage("x", {"type": kind})
    except fk.exc.FilesError as error:
        told[kind] = [type(error).__name__, str(error)]
    else:
        told[kind] = ["made", ""]
ours = [d for d in m.distributions() if d.name.startswith("file-keeper")]
print(json.dumps({
    "adapters": fk.list_adapters(),
    "sdks": before,
    "told": told,
    "origins": {d.name: json.loads(d.read_text("direct_url.json"))["url"] for d in ours},
    "versions": sorted({d.version for d in ours}),
}))
"""
"""Run in an environment: what is installed, where it comes from, and what each type says."""


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


distributions = _load(ROOT / "scripts" / "distributions.py")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel of every distribution, built now."""
    return distributions.build(tmp_path_factory.mktemp("dist") / "wheels", sdists=False)


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest) -> list[str]:
    """The options that make the swap program use the servers of the tests."""
    given: list[str] = []
    for kind in ("s3", "gcs", "azure"):
        for key, value in settings_of(kind, request).items():
            if key not in COMMON:
                given += ["--set", f"{kind}.{key}={value}"]
    return given


class Environment:
    """A clean virtual environment with what was asked for."""

    def __init__(self, folder: Path, wheels: dict[str, Path], *wanted: str):
        self.folder = folder
        self.wheels = wheels
        self.python: Path = distributions.environment(folder)
        self.install(*wanted)

    def install(self, *wanted: str) -> None:
        distributions.install(self.python, self.wheels, *wanted)

    def run(self, *arguments: str) -> str:
        # -I: nothing of this checkout is found, only what is installed.
        done = subprocess.run([self.python, "-I", *arguments], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def look(self) -> dict[str, Any]:
        found = json.loads(self.run("-c", LOOK))
        assert found["sdks"] == [], "importing file_keeper imports an SDK"
        assert all(url.startswith("file:") for url in found["origins"].values()), found["origins"]
        assert len(found["versions"]) == 1
        return found

    def swap(self, kinds: Sequence[str], servers: Sequence[str]) -> str:
        types = [word for kind in kinds for word in ("--type", kind)]
        return self.run(str(ROOT / "examples" / "swap_providers.py"), *types, *servers)


def test_each_extra_and_all(wheels: dict[str, Path], servers: list[str], tmp_path: Path) -> None:
    def attempt(extra: str) -> None:
        wanted = f"file-keeper-core[{extra}]" if extra else "file-keeper-core"
        here = Environment(tmp_path / (extra or "core"), wheels, wanted)
        backends = {"": (), "all": BACKENDS}.get(extra, (extra,))
        found = here.look()
        assert found["adapters"] == sorted(f"file_keeper:{kind}" for kind in ("memory", "null", "fallback", *backends))
        assert set(found["origins"]) == {"file-keeper-core", *(f"file-keeper-{kind}" for kind in backends)}
        kinds = [kind for kind in KINDS if kind == "memory" or kind in backends]
        told = here.swap(kinds, servers)
        assert told.startswith("== memory\n")
        assert told.count("identical to memory") == len(backends)
        for kind, (error, text) in found["told"].items():
            if kind in backends:
                assert error != "UnknownAdapterError"
            else:
                assert error == "UnknownAdapterError"
                assert f"pip install file-keeper-{kind} " in text
                assert f'"file-keeper-core[{kind}]"' in text

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(attempt, ("all", *BACKENDS, "")):
            pass


def test_the_command_that_an_error_names_is_right(wheels: dict[str, Path], tmp_path: Path) -> None:
    here = Environment(tmp_path / "env", wheels, "file-keeper-core")
    installed: list[str] = []
    for kind in BACKENDS:
        error, text = here.look()["told"][kind]
        assert error == "UnknownAdapterError"
        command = re.search(r"pip install (\S+)", text)
        assert command is not None
        here.install(command[1])
        installed.append(f"file_keeper:{kind}")
        found = here.look()
        assert set(installed) < set(found["adapters"])
        assert found["told"][kind][0] in ("made", "MissingStorageConfigurationError")


def test_a_name_that_is_not_ours_is_never_asked_of_a_registry(wheels: dict[str, Path]) -> None:
    with pytest.raises(SystemExit, match="is not one of ours"):
        distributions.install(Path("python"), wheels, "file-keeper-unknown")
    with pytest.raises(SystemExit, match="is not one of ours"):
        distributions.install(Path("python"), wheels, "file-keeper")


def test_versions_move_in_lock_step(capsys: pytest.CaptureFixture[str]) -> None:
    version = distributions.check_versions()
    for table in distributions.projects().values():
        assert table["version"] == version
