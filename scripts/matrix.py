"""Run the tests on other Pythons, with the lowest and the newest versions of what the distributions ask for.

    python scripts/matrix.py                                    every Python that is here or can be had, both ends
    python scripts/matrix.py --python 3.13 --versions lowest    one cell
    python scripts/matrix.py --tests "tests/core tests/s3"      other tests than the default ones

Lowest means: of each dependency that a distribution names itself, the lowest version that it allows, and botocore of
the very version of boto3 (with a newer one, a boto3 that is too old is not noticed); everything else as new as can be.
A Python that is not here and cannot be had is reported as missing, never as passed. Environments lie in .cache/matrix.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".cache" / "matrix"
PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.14t")
VERSIONS = ("lowest", "highest")
UV = [os.environ["UV"]] if os.environ.get("UV") else [sys.executable, "-m", "uv"]
TESTS = "tests/core tests/fs tests/s3 tests/conformance/test_memory.py tests/conformance/test_fs.py"
TESTS += " tests/conformance/test_s3.py tests/conformance/test_gcs.py tests/conformance/test_azure.py"
TOOLS = ("pytest", "pytest-timeout", "pytest-xdist")
"""What runs the tests; the servers' packages come with the tests' group."""


def own_requirements() -> list[str]:
    """Return what the distributions ask for that is not of ours, their extras included."""
    found: set[str] = set()
    for path in ROOT.glob("packages/*/pyproject.toml"):
        table = tomllib.loads(path.read_text("utf-8"))["project"]
        extras = table.get("optional-dependencies", {}).values()
        entries = [*table.get("dependencies", []), *(entry for group in extras for entry in group)]
        found.update(entry for entry in entries if not entry.startswith("file-keeper"))
    return sorted(found)


def lowest(requirements: list[str], python: str) -> list[str]:
    """Return a pin to the lowest version that resolves, for each requirement; and for botocore that of boto3."""
    command = [*UV, "pip", "compile", "-q", "--no-header", "--no-annotate", "--resolution", "lowest-direct"]
    done = subprocess.run(
        [*command, "--python-version", python.rstrip("t"), "-"],
        input="\n".join(requirements),
        capture_output=True,
        text=True,
        check=True,
    )
    names = {_name(entry) for entry in requirements}
    pins = [line for line in done.stdout.splitlines() if _name(line) in names]
    boto3 = next((line for line in pins if line.startswith("boto3==")), "")
    return [*pins, *([boto3.replace("boto3", "botocore", 1)] if boto3 else [])]


def _name(requirement: str) -> str:
    return re.split(r"[\[=<>~!;@ ]", requirement.strip(), maxsplit=1)[0].lower().replace("_", "-")


def environment(python: str, versions: str) -> Path | None:
    """Make the environment of a cell; return its Python, or nothing where that Python cannot be had."""
    folder = FOLDER / f"{python}-{versions}"
    made = subprocess.run(
        [*UV, "venv", "-q", "--clear", "--python", python, str(folder)], capture_output=True, text=True
    )
    if made.returncode:
        if "interpreter" in made.stderr or "ownload" in made.stderr:
            return None
        raise RuntimeError(f"no environment for {python}: {made.stderr}")
    found = next(path for path in (folder / "bin/python", folder / "Scripts/python.exe") if path.exists())
    group = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]["dev"]
    tests = [entry for entry in group if not entry.startswith(("pyright", "mypy", "ruff", "playwright"))]
    pins = lowest(own_requirements(), python) if versions == "lowest" else []
    pinned = {_name(pin) for pin in pins}
    wanted = [entry for entry in tests if _name(entry) not in pinned]
    packages = [word for path in sorted(ROOT.glob("packages/*")) for word in ("-e", str(path))]
    extras = [entry for entry in own_requirements() if _name(entry) not in pinned]
    install = [*UV, "pip", "install", "-q", "--python", str(found), *packages, *wanted, *pins, *extras]
    subprocess.run(install, check=True, cwd=ROOT)
    if pins:
        print("  " + " ".join(sorted(pins)), flush=True)
    return found


def cell(python: str, versions: str, tests: list[str]) -> str:
    """Run the tests in one environment; return how it ended."""
    try:
        found = environment(python, versions)
    except subprocess.CalledProcessError as error:
        return f"cannot be installed ({error.cmd[3]})"
    if found is None:
        return "missing: there is no such Python here"
    done = subprocess.run([str(found), "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], cwd=ROOT)
    return "passed" if done.returncode == 0 else f"failed ({done.returncode})"


def main() -> int:
    """Run the cells that were asked for, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", action="append", help=f"one of {', '.join(PYTHONS)}; may be repeated")
    parser.add_argument("--versions", choices=VERSIONS, action="append")
    parser.add_argument("--tests", default=TESTS)
    given = parser.parse_args()
    rows: list[str] = []
    wrong = 0
    for python in given.python or PYTHONS:
        for versions in given.versions or VERSIONS:
            print(f"== {python}, {versions}", flush=True)
            started = time.monotonic()
            ended = cell(python, versions, given.tests.split())
            rows.append(f"| {python} | {versions} | {ended} | {time.monotonic() - started:.0f} s |")
            # One that was asked for by name must be there; of the whole table, what is missing is only told.
            wrong += ended != "passed" and not (ended.startswith("missing") and not given.python)
    print("\n| Python | dependencies | | time |\n|---|---|---|---|\n" + "\n".join(rows))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
