"""What an index shows of each distribution: links that work there, and metadata that is true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
RELEASE = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["release"]


def project(package: Path) -> dict[str, Any]:
    return tomllib.loads((package / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(params=PACKAGES, ids=lambda path: path.name)
def package(request: pytest.FixtureRequest) -> Path:
    return request.param


def page_of(address: str) -> Path:
    """The source of a page of the site."""
    path = address.removeprefix(RELEASE["site"]).partition("#")[0].strip("/")
    return ROOT / "docs" / (path.removesuffix(".html") + ".md" if path else "index.md")


def test_every_link_of_the_readme_works_where_the_index_shows_it(package: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", (package / "README.md").read_text("utf-8"))
    assert targets, "no link leads to the documentation"
    for target in targets:
        assert target.startswith("https://"), f"{target} is relative: an index shows the text alone"
        if target.startswith(RELEASE["site"]):
            assert page_of(target).exists(), f"{target} is no page of the site"


def test_the_readme_says_what_it_is_and_how_it_is_installed(package: Path) -> None:
    text = (package / "README.md").read_text("utf-8")
    name = project(package)["name"]
    assert text.startswith(f"# {name}\n")
    assert re.search(rf"pip install [^\n]*{re.escape(name)}", text)
    assert "```py" in text or "```sh" in text


def test_the_metadata_is_whole_and_true(package: Path) -> None:
    table = project(package)
    assert set(table["urls"]) == {"Documentation", "Changelog", "Source", "Issues"}
    for address in table["urls"].values():
        assert address.startswith((RELEASE["site"], RELEASE["code"]))
    for name in ("Documentation", "Changelog"):
        assert page_of(table["urls"][name]).exists()
    assert table["keywords"]
    assert len(table["description"]) < 100
    pythons = {c.rpartition(" :: ")[2] for c in table["classifiers"] if "Python :: 3." in c}
    assert pythons == {"3.11", "3.12", "3.13", "3.14"}
    assert not [c for c in table["classifiers"] if c.startswith("License")], "the licence is an expression"


def test_no_two_distributions_describe_themselves_alike() -> None:
    descriptions = [project(package)["description"] for package in PACKAGES]
    assert len(set(descriptions)) == len(PACKAGES)
