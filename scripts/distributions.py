"""Build every distribution, check that their versions move in lock-step, and try each wheel alone.

    python -m uv run python scripts/distributions.py            all of it
    python -m uv run python scripts/distributions.py versions   only the versions
    python -m uv run python scripts/distributions.py build      versions, then wheels and sdists into dist/

"Alone" means: a new virtual environment, the wheel of the distribution and those of ours that it needs, by path (never
by name from a registry), everything else from the registry; then its package is imported and its backends are found.
tests/install uses the same functions for every extra.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
# Under `uv run` the variable UV names the command itself.
UV = [os.environ.get("UV") or shutil.which("uv") or ""]
if not UV[0]:
    UV = [sys.executable, "-m", "uv"]


def projects() -> dict[str, dict[str, object]]:
    """Give the ``[project]`` table of each distribution by name."""
    found: dict[str, dict[str, object]] = {}
    for path in sorted(ROOT.glob("packages/*/pyproject.toml")):
        table = tomllib.loads(path.read_text("utf-8"))["project"]
        found[table["name"]] = table
    return found


def check_versions() -> str:
    """Give the one version; end the program when there are several, or when one of ours is not pinned to it."""
    tables = projects()
    versions = {str(table["version"]) for table in tables.values()}
    if len(versions) != 1:
        sys.exit(f"versions differ: { {name: table['version'] for name, table in tables.items()} }")
    version = versions.pop()
    for name, table in tables.items():
        extras = table.get("optional-dependencies", {})
        wanted = [*table.get("dependencies", []), *(entry for group in extras.values() for entry in group)]  # type: ignore[union-attr]
        for entry in wanted:
            if entry.startswith("file-keeper-") and not entry.endswith(f"=={version}"):
                sys.exit(f"{name} needs {entry!r}: ours are pinned to {version}")
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    if f"## {version}" not in changelog:
        sys.exit(f"CHANGELOG.md has no section for {version}")
    print(f"{len(tables)} distributions, all {version}")
    return version


def build(dist: Path = DIST, *, sdists: bool = True) -> dict[str, Path]:
    """Build wheels, and sdists where wanted, into a folder; give the wheels by distribution."""
    shutil.rmtree(dist, ignore_errors=True)
    what = [] if sdists else ["--wheel"]
    subprocess.run([*UV, "build", "-q", "--all-packages", *what, "-o", str(dist)], cwd=ROOT, check=True)
    wheels = {re.split(r"-\d", path.name)[0].replace("_", "-"): path for path in dist.glob("*.whl")}
    for name in projects():
        if name not in wheels or (sdists and not list(dist.glob(f"{name.replace('-', '_')}-*.tar.gz"))):
            sys.exit(f"{name} was not built")
        names = zipfile.ZipFile(wheels[name]).namelist()
        for needed in ("py.typed", "LICENSE"):
            if not any(entry.endswith(needed) for entry in names):
                sys.exit(f"the wheel of {name} lacks {needed}")
    print(f"built {len(wheels)} wheels")
    return wheels


def environment(folder: Path) -> Path:
    """Make a new virtual environment; give its Python."""
    subprocess.run([*UV, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    return next(path for path in (folder / "bin/python", folder / "Scripts/python.exe") if path.exists())


def install(python: Path, wheels: dict[str, Path], *wanted: str) -> None:
    """Install requirements. Every name of ours means the wheel that was built: no registry is ever asked for one."""
    asked = {entry.partition("[")[0] for entry in wanted}  # an override would take their extras away
    with tempfile.TemporaryDirectory() as folder:
        overrides = Path(folder, "ours.txt")
        lines = [f"{name} @ {path.as_uri()}\n" for name, path in wheels.items() if name not in asked]
        overrides.write_text("".join(lines), "utf-8")
        command = [*UV, "pip", "install", "-q", "--python", str(python), "--overrides", str(overrides)]
        subprocess.run([*command, *(_by_path(entry, wheels) for entry in wanted)], check=True)


def _by_path(requirement: str, wheels: dict[str, Path]) -> str:
    """Give ``file-keeper-core[s3]`` as ``file-keeper-core[s3] @ file:///...whl``."""
    name = requirement.partition("[")[0].strip()
    if name not in wheels:
        sys.exit(f"{requirement!r} is not one of ours: {', '.join(wheels)}")
    return f"{requirement} @ {wheels[name].as_uri()}"


def try_alone(name: str, wheels: dict[str, Path]) -> None:
    """Install a wheel into a clean environment and import it."""
    package = next(path for path in zipfile.ZipFile(wheels[name]).namelist() if path.endswith("/__init__.py"))
    module = package.partition("/")[0]
    with tempfile.TemporaryDirectory() as folder:
        python = environment(Path(folder))
        install(python, wheels, name)
        code = f"import {module}, file_keeper as fk; print({name!r}, *fk.list_adapters())"
        code += "; [fk.adapters.get(kind) for kind in fk.list_adapters()]"
        subprocess.run([str(python), "-c", code], check=True, cwd=folder)


def main() -> None:
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    check_versions()
    if what == "versions":
        return
    wheels = build()
    if what == "all":
        for name in wheels:
            try_alone(name, wheels)


if __name__ == "__main__":
    main()
