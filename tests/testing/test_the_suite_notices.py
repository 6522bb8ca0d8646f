"""The suite is no good if it passes on a backend that is wrong: each of these is wrong in one way, and is found out."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

from testing import broken

HERE = Path(__file__).parent


def outcomes(report: Path) -> Mapping[str, str]:
    """The outcome of each case by class and name, from one run of all."""
    module = HERE / "broken.py"
    cases = [f"{module}::{name}::{case}" for name, wanted in broken.CASES.items() for case in wanted]
    sound = {f"{module}::TestSound::{case}" for wanted in broken.CASES.values() for case in wanted}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", f"--junitxml={report}"]
    done = subprocess.run([*command, *cases, *sorted(sound)], capture_output=True, text=True, timeout=200, cwd=HERE)
    assert done.returncode == 1, done.stdout + done.stderr
    result: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kind = "failed" if case.find("failure") is not None else "error" if len(case) else "passed"
        result[f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"] = kind
    return result


# One test, so that one worker does it once.
def test_what_is_wrong_is_noticed(tmp_path: Path):
    found = outcomes(tmp_path / "report.xml")
    wanted = {f"{name}::{case}": "failed" for name, cases in broken.CASES.items() for case in cases}
    wanted |= {f"TestSound::{case}": "passed" for cases in broken.CASES.values() for case in cases}
    assert found == wanted
    assert len(broken.CASES) >= 25
