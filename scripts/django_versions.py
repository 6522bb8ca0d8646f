"""Run the tests of file-keeper-django on the other versions of Django that it promises.

    python -m uv run python scripts/django_versions.py

The development environment has the newest Django of its Python. Here are the oldest (4.2, in the same environment) and,
where a Python of 3.12 or later is found on this machine, the newest of all, in an environment of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = [os.environ.get("UV") or shutil.which("uv") or ""]
if not UV[0]:
    UV = [sys.executable, "-m", "uv"]
TESTS = ["pytest", "-q", "-p", "no:cacheprovider", "-k", "not large_file", "tests/django_storage"]


def pythons() -> Iterator[str]:
    """Give candidates, the newest first: those on the path, and those that pyenv has beside them."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    for minor in (14, 13, 12):
        if found := shutil.which(f"python3.{minor}"):
            yield found
        yield from map(str, sorted(pyenv.glob(f"3.{minor}.*/bin/python3.{minor}"), reverse=True))


def works(python: str) -> bool:
    """Return whether it is a Python at all, and no shim without one."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def run(what: str, *options: str, **environment: str) -> bool:
    """Run the tests; return whether they passed."""
    print(f"-- {what}", flush=True)
    command = [*UV, "run", "-q", *options, *TESTS]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False).returncode == 0


def main() -> int:
    """Run all that can be run; 1 when one of them failed."""
    passed = run("Django 4.2", "--with", "django==4.2.*")
    newer = next(filter(works, pythons()), None)
    if newer is None:
        print("-- the newest Django: skipped, no Python of 3.12 or later is here")
        return int(not passed)
    with tempfile.TemporaryDirectory() as folder:
        passed &= run(
            f"the newest Django, on {newer}", "--python", newer, UV_PROJECT_ENVIRONMENT=os.path.join(folder, "env")
        )
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
