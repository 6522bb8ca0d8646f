"""The release script: what it refuses, and what it makes, in a small workspace of its own."""

from __future__ import annotations

import datetime
import importlib.util
import re
import subprocess
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


release = load("release")
LONG = "What it is, how it is installed, and the smallest example. " * 5


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A workspace of two distributions, committed."""
    for name, needs in (("core", ""), ("s3", '"file-keeper-core==0.1.0", "boto3>=1"')):
        folder = tmp_path / "packages" / name
        source = folder / "src" / ("file_keeper" if name == "core" else "file_keeper_s3")
        source.mkdir(parents=True)
        (source / "__init__.py").write_text('"""A package."""\n')
        (source / "py.typed").touch()
        (folder / "README.md").write_text(f"# file-keeper-{name}\n\n{LONG}\n")
        (folder / "LICENSE").write_text("Apache-2.0\n")
        (folder / "pyproject.toml").write_text(
            f'[project]\nname = "file-keeper-{name}"\nversion = "0.1.0"\nreadme = "README.md"\n'
            f'description = "x"\nlicense = "Apache-2.0"\nrequires-python = ">=3.11"\ndependencies = [{needs}]\n'
            + ('[project.optional-dependencies]\ns3 = ["file-keeper-s3==0.1.0"]\n' if name == "core" else "")
            + '[build-system]\nrequires = ["hatchling>=1.27"]\nbuild-backend = "hatchling.build"\n'
            + f'[tool.hatch.build.targets.wheel]\npackages = ["src/{source.name}"]\n'
            + '[tool.hatch.build.targets.sdist]\ninclude = ["src", "README.md", "LICENSE"]\n'
        )
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "w"\nversion = "0"\nrequires-python = ">=3.11"\n[tool.uv]\npackage = false\n'
        '[tool.uv.workspace]\nmembers = ["packages/*"]\n'
        "[tool.uv.sources]\nfile-keeper-core = { workspace = true }\nfile-keeper-s3 = { workspace = true }\n"
        '[tool.release]\nsite = "https://file-keeper.example"\ncode = "https://code.file-keeper.example"\n'
    )
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 0.2.0 (unreleased)\n\n### Added\n\n* A thing.\n\n## 0.1.0\n"
    )
    (tmp_path / ".gitignore").write_text("dist/\nuv.lock\n")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "config", "user.name", "t")
    git(tmp_path, "config", "user.email", "t@t.example")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "Begin")
    return tmp_path


def against(tree: Path, version: str = "0.2.0") -> list[str]:
    return list(release.objections(tree, version))


def replace(tree: Path, name: str, old: str, new: str) -> None:
    path = tree / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    git(tree, "commit", "-qam", "Change")


def test_nothing_stands_against_a_clean_tree(tree: Path) -> None:
    assert against(tree) == []


def test_a_dirty_tree_is_refused_with_its_files(tree: Path) -> None:
    (tree / "left.txt").write_text("over")
    (reason,) = against(tree)
    assert "the tree is dirty" in reason
    assert "left.txt" in reason


def test_a_tag_that_exists_is_refused(tree: Path) -> None:
    git(tree, "tag", "v0.2.0")
    assert against(tree) == ["the tag v0.2.0 exists: a version is released once, take the next one"]


@pytest.mark.parametrize("text", ["## 0.1.0\n\n* Old.\n", "## 0.2.0 - 2026-01-01\n\n* Released.\n"])
def test_a_missing_section_of_the_changelog_is_refused(tree: Path, text: str) -> None:
    (tree / "CHANGELOG.md").write_text(text)
    git(tree, "commit", "-qam", "Change")
    assert against(tree) == ["CHANGELOG.md has no section '## 0.2.0 (unreleased)': write what changes for users"]


def test_an_empty_section_is_refused(tree: Path) -> None:
    replace(tree, "CHANGELOG.md", "* A thing.\n", "")
    assert against(tree) == ["the section of 0.2.0 in CHANGELOG.md names no change"]


def test_versions_out_of_step_are_refused(tree: Path) -> None:
    replace(tree, "packages/core/pyproject.toml", 'version = "0.1.0"', 'version = "0.1.1"')
    assert "the versions are out of step: file-keeper-core 0.1.1, file-keeper-s3 0.1.0" in against(tree)


def test_a_sibling_that_is_not_pinned_is_refused(tree: Path) -> None:
    replace(tree, "packages/s3/pyproject.toml", "file-keeper-core==0.1.0", "file-keeper-core>=0.1")
    (reason,) = against(tree)
    assert reason.startswith("file-keeper-s3 asks for 'file-keeper-core>=0.1'")


@pytest.mark.parametrize("version", ["2", "0.2", "v0.2.0", "0.2.0-beta", ""])
def test_what_is_no_version_is_refused(tree: Path, version: str) -> None:
    assert "is no version" in against(tree, version)[0]


def test_an_older_version_is_refused(tree: Path) -> None:
    assert "0.0.9 is older than 0.1.0, the version of the tree" in against(tree, "0.0.9")
    assert not [reason for reason in against(tree, "0.2.0rc1") if "older" in reason]


def test_addresses_that_nobody_decided_are_refused_but_in_a_trial(tree: Path) -> None:
    with pytest.raises(release.Refused, match="nobody has decided where the project lives"):
        release.make(tree, "0.2.0")
    assert release.addresses(tree, "https://docs.real.test/", "https://code.real.test") == 1
    assert list(release.undecided(tree)) == []


def test_the_version_goes_into_all_manifests_pins_and_the_changelog(tree: Path) -> None:
    release.bump(tree, "0.2.0", datetime.date(2026, 12, 1))
    tables = {table["name"]: table for table in release.manifests(tree).values()}
    assert {table["version"] for table in tables.values()} == {"0.2.0"}
    assert tables["file-keeper-s3"]["dependencies"] == ["file-keeper-core==0.2.0", "boto3>=1"]
    assert tables["file-keeper-core"]["optional-dependencies"] == {"s3": ["file-keeper-s3==0.2.0"]}
    assert "## 0.2.0 - 2026-12-01\n" in (tree / "CHANGELOG.md").read_text()


@pytest.mark.full
def test_a_release_is_built_twice_equal_and_tagged(tree: Path) -> None:
    dist = release.make(tree, "0.2.0", trial=True, installs=False)
    assert sorted(path.name for path in dist.glob("file_keeper*")) == [
        "file_keeper_core-0.2.0-py3-none-any.whl",
        "file_keeper_core-0.2.0.tar.gz",
        "file_keeper_s3-0.2.0-py3-none-any.whl",
        "file_keeper_s3-0.2.0.tar.gz",
    ]
    assert git(tree, "tag", "--list").split() == ["v0.2.0"]
    assert git(tree, "status", "--porcelain") == ""
    with zipfile.ZipFile(dist / "file_keeper_s3-0.2.0-py3-none-any.whl") as wheel:
        metadata = wheel.read("file_keeper_s3-0.2.0.dist-info/METADATA").decode()
    assert "Requires-Dist: file-keeper-core==0.2.0" in metadata
    with pytest.raises(release.Refused, match=r"the tag v0\.2\.0 exists"):
        release.make(tree, "0.2.0", trial=True, installs=False)


@pytest.mark.full
def test_a_build_with_faults_is_taken_back(tree: Path) -> None:
    (tree / "packages/core/src/file_keeper/py.typed").unlink()
    git(tree, "commit", "-qam", "Forget")
    before = git(tree, "rev-parse", "HEAD")
    with pytest.raises(release.Refused, match=r"lacks file_keeper/py\.typed"):
        release.make(tree, "0.2.0", trial=True, installs=False)
    assert git(tree, "rev-parse", "HEAD") == before
    assert git(tree, "tag", "--list") == ""


@pytest.mark.full
def test_what_does_not_belong_into_a_build_is_found(tree: Path) -> None:
    files = release.build(tree, tree / "dist", "1700000000")
    assert list(release.faults(tree, files)) == []
    assert "sdists: missing" in next(iter(release.faults(tree, [path for path in files if path.suffix == ".whl"])))
    wheel = next(path for path in files if path.name.startswith("file_keeper_core") and path.suffix == ".whl")
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("file_keeper/secret.txt", "left over")
    assert [fault for fault in release.faults(tree, files) if "too many ['file_keeper/secret.txt']" in fault]


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_pins_what_it_runs_and_asks_for_little(path: Path) -> None:
    text = path.read_text("utf-8")
    workflow = yaml.safe_load(text)
    assert "write" not in str(workflow["permissions"])
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
            else:
                assert "${{" not in step["run"], "what comes from outside goes through the environment"
        if "write" in str(job.get("permissions")):
            assert not [step for step in job["steps"] if "run" in step], "a job that may publish runs no code of ours"
    for line in text.splitlines():
        assert "uses:" not in line or "# v" in line, f"{line} does not say which version that is"
