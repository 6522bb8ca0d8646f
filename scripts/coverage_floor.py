"""Measure how much of the core its tests reach, against a floor that only rises.

    python -m uv run --group coverage python scripts/coverage_floor.py            ends with 1 below the floor
    python -m uv run --group coverage python scripts/coverage_floor.py --raise    writes a higher floor

The floor is `coverage` of `[tool.release]` in pyproject.toml, in per cent of lines and branches together. What it
cannot tell is whether a test would notice a fault; mutations of a module are tried by hand.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("tests/core", "tests/contenttype", "tests/conformance/test_memory.py", "tests/conformance/test_fs.py")


def measured() -> float:
    """Run the tests of the core; return the per cent that they reach."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--cov=file_keeper",
            "--cov-branch",
            f"--cov-report=json:{report}",
        ]
        subprocess.run([*command, *TESTS], cwd=ROOT, check=True)
        return float(json.loads(report.read_text("utf-8"))["totals"]["percent_covered"])


def main() -> int:
    """Compare with the floor, or raise it."""
    manifest = ROOT / "pyproject.toml"
    floor = tomllib.loads(manifest.read_text("utf-8"))["tool"]["release"]["coverage"]
    found = int(measured() * 10) / 10
    print(f"{found} % of the core is reached, the floor is {floor} %")
    if found < floor:
        return 1
    if "--raise" in sys.argv[1:] and found > floor:
        text = re.sub(r"^coverage = [\d.]+$", f"coverage = {found}", manifest.read_text("utf-8"), flags=re.MULTILINE)
        manifest.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
