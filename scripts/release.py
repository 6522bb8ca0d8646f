"""Make a release of all distributions, in lock-step. docs/releasing.md tells the whole way.

    python -m uv run python scripts/release.py check 0.2.0       tell what stands against it, and change nothing
    python -m uv run python scripts/release.py make 0.2.0        versions, pins, changelog, build, tries, commit, tag
    python -m uv run python scripts/release.py trial 0.2.0       all of that in a clone that is thrown away
    python -m uv run python scripts/release.py verify DIST       look at built wheels and sdists once more
    python -m uv run python scripts/release.py addresses SITE CODE   write where the project lives, everywhere

Nothing is published from here: the tag starts the workflow `publish`, which builds anew from it, looks at the result,
and hands the files to a job that may publish and runs nothing of ours. `trial --index URL` fills an index of your own.
"""

from __future__ import annotations

import argparse
import datetime
import email.parser
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")
UNDECIDED = ".example"
UV = [os.environ["UV"]] if os.environ.get("UV") else [sys.executable, "-m", "uv"]


class Refused(Exception):
    """The release is not made; the message says why and what to do."""


def run(*command: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Run a command, return what it prints, and end the program where it fails."""
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def manifests(root: Path) -> dict[Path, dict[str, Any]]:
    """Return the `[project]` table of each distribution, by its file."""
    return {
        path: tomllib.loads(path.read_text("utf-8"))["project"]
        for path in sorted(root.glob("packages/*/pyproject.toml"))
    }


def siblings(table: dict[str, Any]) -> Iterator[str]:
    """Yield what a distribution asks for of ours, its extras included."""
    extras = table.get("optional-dependencies", {}).values()
    for entry in [*table.get("dependencies", []), *(entry for group in extras for entry in group)]:
        if entry.startswith("file-keeper-"):
            yield entry


def objections(root: Path, version: str) -> Iterator[str]:
    """Yield each reason against a release, with its remedy; nothing is changed."""
    if not VERSION.fullmatch(version):
        yield f"{version!r} is no version: MAJOR.MINOR.PATCH, and a1, b1 or rc1 for one before it"
        return
    dirty = run("git", "status", "--porcelain", cwd=root)
    if dirty:
        yield f"the tree is dirty, commit or remove:\n{dirty}"
    if run("git", "tag", "--list", f"v{version}", cwd=root):
        yield f"the tag v{version} exists: a version is released once, take the next one"
    tables = manifests(root)
    versions = {table["name"]: table["version"] for table in tables.values()}
    if len(set(versions.values())) != 1:
        yield f"the versions are out of step: {', '.join(f'{name} {found}' for name, found in versions.items())}"
    elif _order(version) < _order(next(iter(versions.values()))):
        yield f"{version} is older than {next(iter(versions.values()))}, the version of the tree"
    for table in tables.values():
        for entry in siblings(table):
            if not entry.endswith(f"=={table['version']}"):
                yield f"{table['name']} asks for {entry!r}: ours are pinned to its own version, =={table['version']}"
    section = changes(root, version)
    if section is None:
        yield f"CHANGELOG.md has no section '## {version} (unreleased)': write what changes for users"
    elif not re.search(r"^\* ", section, re.MULTILINE):
        yield f"the section of {version} in CHANGELOG.md names no change"


def changes(root: Path, version: str) -> str | None:
    """Return what the changelog says of a version that is to be released."""
    text = (root / "CHANGELOG.md").read_text("utf-8")
    found = re.search(rf"^## {re.escape(version)} \(unreleased\)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return found[1] if found else None


def _order(version: str) -> tuple[tuple[int, ...], str, int]:
    numbers, stage, count = re.fullmatch(r"([\d.]+?)(?:(a|b|rc)(\d+))?", version).groups()  # type: ignore[union-attr]
    return tuple(map(int, numbers.split("."))), stage or "z", int(count or 0)


def undecided(root: Path) -> Iterator[str]:
    """Yield the addresses that nobody has decided."""
    table = tomllib.loads((root / "pyproject.toml").read_text("utf-8")).get("tool", {}).get("release", {})
    for name, value in table.items():
        if str(value).endswith(UNDECIDED):
            yield f"{name} is {value}: nobody has decided where the project lives, see `release.py addresses`"


def bump(root: Path, version: str, day: datetime.date) -> list[Path]:
    """Write the version into every distribution and its pins, and the day into the changelog; return the files."""
    changed: list[Path] = []
    for path, table in manifests(root).items():
        old = re.escape(table["version"])
        text = path.read_text("utf-8")
        text = re.sub(rf'^version = "{old}"$', f'version = "{version}"', text, count=1, flags=re.MULTILINE)
        text = re.sub(rf'("file-keeper-[a-z0-9\[\],-]+==){old}"', rf'\g<1>{version}"', text)
        path.write_text(text, "utf-8")
        changed.append(path)
    log = root / "CHANGELOG.md"
    text = log.read_text("utf-8").replace(f"## {version} (unreleased)", f"## {version} - {day.isoformat()}", 1)
    log.write_text(text, "utf-8")
    return [*changed, log]


def build(root: Path, out: Path, epoch: str) -> list[Path]:
    """Build a wheel and an sdist of each distribution; the same tree gives the same bytes."""
    shutil.rmtree(out, ignore_errors=True)
    env = {"SOURCE_DATE_EPOCH": epoch}
    run(*UV, "build", "-q", "--all-packages", "-o", str(out), cwd=root, env=env)
    return sorted([*out.glob("*.whl"), *out.glob("*.tar.gz")])


def digests(files: list[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def faults(root: Path, files: list[Path]) -> Iterator[str]:
    """Yield what is wrong with what was built: a file that lacks or is too many, a pin that is another."""
    tables = {table["name"]: (path.parent, table) for path, table in manifests(root).items()}
    wanted = {f"{name.replace('-', '_')}-{table['version']}" for name, (_, table) in tables.items()}
    for kind, suffix in (("wheel", "-py3-none-any.whl"), ("sdist", ".tar.gz")):
        built = {path.name.removesuffix(suffix) for path in files if path.name.endswith(suffix)}
        if built != wanted:
            yield f"{kind}s: missing {sorted(wanted - built)}, unknown {sorted(built - wanted)}"
    for path in files:
        if path.suffix == ".whl":
            yield from _wheel_faults(path, tables)
        else:
            yield from _sdist_faults(path)


def _wheel_faults(path: Path, tables: dict[str, tuple[Path, dict[str, Any]]]) -> Iterator[str]:
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        message = email.parser.Parser().parsestr(wheel.read(metadata).decode())
    folder, table = tables.get(str(message["Name"]), (None, {}))
    if folder is None:
        yield f"{path.name} is of no distribution of ours"
        return
    for entry in message.get_all("Requires-Dist") or []:
        if entry.startswith("file-keeper") and f"=={table['version']}" not in entry:
            yield f"{path.name} asks for {entry!r}, not for this version"
    source = next((folder / "src").iterdir())
    packed = {name for name in names if ".dist-info/" not in name}
    there = {
        file.relative_to(folder / "src").as_posix()
        for file in (folder / "src").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    if packed != there:
        yield f"{path.name} is not {source.name}: missing {sorted(there - packed)}, too many {sorted(packed - there)}"
    for needed in (f"{source.name}/py.typed", "LICENSE"):
        if not any(name.endswith(needed) for name in names):
            yield f"{path.name} lacks {needed}"
    if not message["Description-Content-Type"] or len(str(message.get_payload())) < 200:
        yield f"{path.name} has no description"


def _sdist_faults(path: Path) -> Iterator[str]:
    allowed = re.compile(r"[^/]+/(src/.+|README\.md|LICENSE|PKG-INFO|pyproject\.toml|\.gitignore)")
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            if not member.isfile() or not allowed.fullmatch(member.name):
                yield f"{path.name} holds {member.name}"


def trial_installs(root: Path, dist: Path) -> None:
    """Install each wheel alone and each extra of each, in clean environments, and import them."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("distributions", root / "scripts" / "distributions.py")
    if spec is None or spec.loader is None:
        raise Refused("scripts/distributions.py is missing")
    distributions = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(distributions)
    wheels = {re.split(r"-\d", path.name)[0].replace("_", "-"): path for path in dist.glob("*.whl")}
    for table in manifests(root).values():
        for extra in ("", *table.get("optional-dependencies", {})):
            wanted = f"{table['name']}[{extra}]" if extra else table["name"]
            with tempfile.TemporaryDirectory() as folder:
                python = distributions.environment(Path(folder) / "venv")
                distributions.install(python, wheels, wanted)
                module = next((path.name for path in (_folder(root, table["name"]) / "src").iterdir()), "")
                run(
                    str(python), "-I", "-c", f"import {module}, file_keeper as fk; fk.list_adapters()", cwd=Path(folder)
                )
            print(f"  {wanted}")


def _folder(root: Path, name: str) -> Path:
    return next(path.parent for path, table in manifests(root).items() if table["name"] == name)


def make(root: Path, version: str, *, trial: bool = False, installs: bool = True, index: str = "") -> Path:
    """Make the release in a tree, up to its tag; return the folder of what was built."""
    reasons = [*objections(root, version), *([] if trial else undecided(root))]
    if reasons:
        raise Refused("\n".join(f"- {reason}" for reason in reasons))
    print(f"versions and pins: {version}")
    changed = bump(root, version, datetime.datetime.now(datetime.UTC).date())
    if (root / "uv.lock").exists():
        run(*UV, "lock", "-q", cwd=root)
        changed.append(root / "uv.lock")
    run("git", "add", *map(str, changed), cwd=root)
    run("git", "commit", "-q", "--allow-empty", "-m", f"Release {version}", cwd=root)
    epoch = run("git", "log", "-1", "--format=%ct", cwd=root)
    try:
        files = build(root, root / "dist", epoch)
        with tempfile.TemporaryDirectory() as again:
            if digests(files) != digests(build(root, Path(again) / "dist", epoch)):
                raise Refused("two builds of one commit are not equal byte for byte")
        print(f"built {len(files)} files, twice and equal")
        found = list(faults(root, files))
        if found:
            raise Refused("\n".join(f"- {fault}" for fault in found))
        run(*UV, "tool", "run", "-q", "twine", "check", "--strict", *map(str, files), cwd=root)
        print("contents, pins and descriptions are right")
        if installs:
            print("installed alone, and with each extra:")
            trial_installs(root, root / "dist")
    except Refused:
        run("git", "reset", "-q", "--hard", "HEAD~1", cwd=root)  # the commit of the release, and nothing else
        raise
    if index:
        run(
            *UV,
            "publish",
            "-q",
            "--publish-url",
            index,
            "--username",
            "u",
            "--password",
            "p",
            *map(str, files),
            cwd=root,
        )
        print(f"published to {index}")
    (root / "dist" / "SHA256SUMS").write_text(
        "".join(f"{digest}  {name}\n" for name, digest in digests(files).items()), "utf-8"
    )
    run("git", "tag", "-a", f"v{version}", "-m", f"file-keeper {version}", cwd=root)
    return root / "dist"


def rehearse(version: str, *, installs: bool, index: str) -> None:
    """Make the release in a clone of this commit, and throw it away."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        run("git", "clone", "-q", "--no-hardlinks", str(ROOT), str(clone))
        for name in ("user.name", "user.email"):
            run("git", "config", name, "trial", cwd=clone)
        dist = make(clone, version, trial=True, installs=installs, index=index)
        print((dist / "SHA256SUMS").read_text("utf-8"), end="")
    print(f"{version} could be released; nothing was changed here")


def addresses(root: Path, site: str, code: str) -> int:
    """Write where the documentation and the code lie, wherever they are named; return the number of files."""
    table = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["release"]
    count = 0
    for path in [root / "pyproject.toml", *root.glob("packages/*/pyproject.toml"), *root.glob("packages/*/README.md")]:
        text = path.read_text("utf-8")
        new = text.replace(table["code"], code.rstrip("/")).replace(table["site"], site.rstrip("/"))
        if new != text:
            path.write_text(new, "utf-8")
            count += 1
    return count


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("check", "make", "trial", "verify", "addresses"))
    parser.add_argument("words", nargs="+", metavar="VERSION, DIST, or SITE CODE")
    parser.add_argument("--no-installs", action="store_true", help="spare the environments: some minutes")
    parser.add_argument("--index", default="", help="with trial: publish to this index, such as a local pypi-server")
    given = parser.parse_args()
    try:
        if given.what == "check":
            reasons = [*objections(ROOT, given.words[0]), *undecided(ROOT)]
            print("\n".join(reasons) or f"nothing stands against {given.words[0]}")
            return 1 if reasons else 0
        if given.what == "verify":
            files = sorted(path for path in Path(given.words[0]).iterdir() if path.suffix in (".whl", ".gz"))
            found = list(faults(ROOT, files))
            print("\n".join(found) or f"{len(files)} files are right")
            return 1 if found else 0
        if given.what == "addresses":
            print(f"{addresses(ROOT, *given.words)} files changed")
        elif given.what == "trial":
            rehearse(given.words[0], installs=not given.no_installs, index=given.index)
        else:
            make(ROOT, given.words[0], installs=not given.no_installs)
            print(f"now: git push origin HEAD v{given.words[0]}")
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
