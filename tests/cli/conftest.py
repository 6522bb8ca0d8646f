"""How the command is run: in this process, or as one of its own."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from file_keeper_cli import app
from typer.testing import CliRunner


@dataclass(frozen=True)
class Result:
    """What a run gave."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of this machine is seen, and the current directory is the test's."""
    for name in list(os.environ):
        if name.startswith("FILE_KEEPER"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "config"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    # What --config sets, for the library, is taken back.
    monkeypatch.setenv("FILE_KEEPER_CONFIG", "")


@pytest.fixture
def run() -> Run:
    """Run the command in this process; ``set_`` are settings of the storage ':'."""

    def invoke(*args: str | Path, stdin: bytes = b"", set_: tuple[str, ...] = ()) -> Result:
        options = [word for setting in set_ for word in ("--set", setting)]
        result = CliRunner().invoke(app, [*options, *map(str, args)], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout_bytes, result.stderr)

    return invoke


@pytest.fixture(params=["fs", "memory"])
def media(request: pytest.FixtureRequest, run: Run, tmp_path: Path) -> Run:
    """Run the command with a storage ':' that is there for the test; of memory the bucket is shared by its name."""
    if request.param == "fs":
        settings = ("type=fs", f"path={tmp_path / 'store'}", "initialize=true")
    else:
        settings = ("type=memory", f"bucket=test-{secrets.token_hex(8)}")

    def invoke(*args: str | Path, stdin: bytes = b"") -> Result:
        return run(*args, stdin=stdin, set_=settings)

    return invoke


def command(*args: str | Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start the command as a process."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, "-m", "file_keeper_cli", *map(str, args)], **pipes)
