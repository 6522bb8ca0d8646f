"""Another distribution that installs the same package is noticed; nothing else is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import file_keeper
import pytest
from file_keeper import installation

SAID = "two distributions put files into the package file_keeper"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages with a copy of the core, as pip leaves it."""
    shutil.copytree(
        Path(file_keeper.__file__).parent,
        tmp_path / "file_keeper",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    metadata(tmp_path, "file_keeper_core-0.1.0", "file_keeper/__init__.py,sha256=x,1\n")
    return tmp_path


def metadata(site: Path, name: str, record: str | None) -> None:
    folder = site / f"{name}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Name: {name.partition('-')[0]}\n")
    if record is not None:
        (folder / "RECORD").write_text(record)


def imported(site: Path, statement: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(site)!r}); {statement}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_an_installation_of_ours_is_imported(site: Path) -> None:
    metadata(site, "file_keeper_s3-0.1.0", "file_keeper_s3/__init__.py,,\n")
    done = imported(site, "import file_keeper; print(file_keeper.__file__)")
    assert done.stdout.strip() == str(site / "file_keeper" / "__init__.py"), done.stderr


@pytest.mark.parametrize("record", ["file_keeper/__init__.py,sha256=y,2\n", None], ids=["listed", "list lost"])
def test_files_of_another_distribution_are_one_error_with_the_remedy(site: Path, record: str | None) -> None:
    metadata(site, "file_keeper-9.9.0", record)
    done = imported(site, "import file_keeper")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: {SAID} in {site}: file-keeper-core and file-keeper (9.9.0)")
    assert "pip uninstall -y file-keeper file-keeper-core; pip install file-keeper-core" in last


def test_where_theirs_came_last_a_backend_of_ours_says_it(site: Path) -> None:
    metadata(site, "file_keeper-9.9.0", "file_keeper/__init__.py,,\n")
    (site / "file_keeper" / "__init__.py").write_text("# of another project\n")
    done = imported(site, "import file_keeper; import file_keeper_fs")
    assert SAID in done.stderr.strip().splitlines()[-1]


def test_a_distribution_that_has_no_file_in_the_package_is_none_of_our_business(site: Path) -> None:
    metadata(site, "file_keeper-9.9.0", "another_package/__init__.py,,\n")
    assert imported(site, "import file_keeper").returncode == 0


def test_in_an_archive_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    (tmp_path / "app.zip").write_bytes(b"PK")
    installation.check(str(tmp_path / "app.zip" / "file_keeper"))
