"""The types of the public API: both type checkers find the planted mistakes of a program, and no other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("program.py")
WRONG = {number for number, line in enumerate(PROGRAM.read_text("utf-8").splitlines(), 1) if line.endswith("# wrong")}


def test_mypy(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", f"--cache-dir={tmp_path}", str(PROGRAM)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=170)
    lines = [line for line in found.stdout.splitlines() if ": error:" in line]
    assert {int(line.split(":")[1]) for line in lines} == WRONG, found.stdout + found.stderr


def test_pyright(tmp_path: Path) -> None:
    shutil.copy(PROGRAM, tmp_path)
    config = {"include": [PROGRAM.name], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config), "utf-8")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=170)
    report = json.loads(found.stdout)
    lines = {one["range"]["start"]["line"] + 1 for one in report["generalDiagnostics"] if one["severity"] == "error"}
    assert lines == WRONG, found.stdout + found.stderr
