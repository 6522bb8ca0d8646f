"""The swap: one program and one dictionary on every type, of which only ``type`` changes, tell the very same."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import file_keeper as fk
import pytest
from emulators.storages import KINDS, settings_of
from file_keeper_cli import run_demo
from file_keeper_cli.demo import differences
from file_keeper_cli.output import Output

ROOT = Path(__file__).resolve().parents[2]
COMMON = ("bucket", "path", "type", "initialize")


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


swap = _load(ROOT / "examples" / "swap_providers.py")


@pytest.fixture(scope="module")
def one_dictionary(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The dictionary of all types, on the servers of the tests: each provider's options stand in a block of its own."""
    blocks: dict[str, Any] = {}
    for kind in KINDS[1:]:
        own = {key: value for key, value in settings_of(kind, request).items() if key not in COMMON}
        blocks[kind] = own
    return {"bucket": f"swap-{os.getpid()}", "path": "swap", "initialize": True, "part_size": "5MiB", **blocks}


@pytest.fixture(scope="module")
def expected(one_dictionary: dict[str, Any]) -> list[str]:
    """What the program tells in memory."""
    told = swap.run("memory", one_dictionary)
    assert len(told) > 30
    assert not any("no error" in line for line in told)
    return told


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_type_changes(kind: str, one_dictionary: dict[str, Any], expected: list[str]) -> None:
    before = repr(one_dictionary)
    assert swap.run(kind, one_dictionary) == expected
    assert repr(one_dictionary) == before


@pytest.mark.parametrize("provider", ["S3", "AZURE_BLOBS"])
def test_other_drivers_of_libcloud(
    provider: str, one_dictionary: dict[str, Any], expected: list[str], request: pytest.FixtureRequest
) -> None:
    s3, azure = request.getfixturevalue("moto_server"), request.getfixturevalue("azurite_server")
    url, key, secret = {
        "S3": (s3.url, s3.access_key, s3.secret_key),
        "AZURE_BLOBS": (azure.url, azure.account_name, azure.account_key),
    }[provider]
    address = urlsplit(url)
    params = {"host": address.hostname, "port": address.port, "secure": False}
    block = {"provider": provider, "key": key, "secret": secret, "params": params}
    assert swap.run("libcloud", {**one_dictionary, "path": "by-libcloud", "libcloud": block}) == expected


def test_the_program_tells_what_it_claims(expected: list[str]) -> None:
    text = "\n".join(expected)
    order = next(line for line in expected if line.startswith("all: "))[5:].split(" | ")
    assert order == sorted([*swap.NAMES, "large.bin"], key=str.encode)
    assert sum(line.endswith(", True") for line in expected) == len(swap.NAMES)
    for error in ("MissingFileError", "ExistingFileError", "ChangedFileError", "LocationError", "MismatchError"):
        assert error in text


def test_a_difference_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert swap.main(["--type", "memory", "--type", "memory"]) == 0
    assert "identical to memory" in capsys.readouterr().out
    told = iter((["one"], ["two"]))
    broken = swap.run
    try:
        swap.run = lambda kind, settings: next(told)
        assert swap.main(["--type", "memory", "--type", "fs"]) == 1
    finally:
        swap.run = broken
    assert "+two" in capsys.readouterr().out


def test_options_are_set_from_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert swap.main(["--type", "fs", "--set", "bucket=chosen", "--set", f"fs.root={tmp_path}"]) == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["chosen"]
    with pytest.raises(SystemExit):
        swap.main(["--set", "no equals sign"])
    assert "is not key=value" in capsys.readouterr().err


def test_the_demo_command_compares_the_clouds_too(one_dictionary: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"some notes\n" * 100)
    (tmp_path / "data.json").write_bytes(b'{"a": 1}')
    files = {name: str(tmp_path / name) for name in ("notes.txt", "data.json")}
    settings = {kind: {**one_dictionary, "type": kind, "path": "demo"} for kind in KINDS}
    reports = run_demo(settings, files, 6 << 20, Output(as_json=True, quiet=True))
    assert [report.label for report in reports] == list(KINDS)
    assert differences(reports) == []
    assert all(
        [file.location for file in report.files] == sorted([*files, "generated-stream.bin"]) for report in reports
    )
    with ExitStack() as stack:
        for kind in KINDS:
            assert list(stack.enter_context(fk.make_storage(kind, settings[kind])).scan()) == []


def test_the_demo_command_itself(one_dictionary: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"some notes")
    words = [word for kind in KINDS for word in ("--type", kind)]
    for key, value in one_dictionary.items():
        options = {f"{key}.{name}": v for name, v in value.items()} if isinstance(value, dict) else {key: value}
        words += [word for name, v in options.items() for word in ("--set", f"{name}={v}")]
    command = [sys.executable, "-m", "file_keeper_cli", "--json", "demo", "notes.txt", "--size", "6MiB", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["identical"] is True
    assert [storage["type"] for storage in record["storages"]] == [f"file_keeper:{kind}" for kind in KINDS]
