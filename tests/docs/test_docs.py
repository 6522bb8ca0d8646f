"""What the documentation shows runs, each block by itself in an empty directory; its links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import file_keeper as fk
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md") if (ROOT / name).exists()),
    *sorted(ROOT.glob("packages/*/README.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
DJANGO = """
import django
from django.conf import settings

settings.configure(SECRET_KEY="of the page", USE_TZ=True, **{k: v for k, v in globals().items() if k.isupper()})
django.setup()
"""
"""What manage.py does with the settings that the first block of the page shows."""


def _blocks(page: Path, language: str = "python") -> list[tuple[int, str]]:
    """Give the blocks of a page with the line that each begins at."""
    blocks: list[tuple[int, str]] = []
    text = page.read_text("utf-8")
    for found in re.finditer(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        blocks.append((text[: found.start(1)].count("\n"), found[1]))
    return blocks


FIRST = ("README.md", "start.md")

EXAMPLES = [(page, line, block) for page in PAGES for line, block in _blocks(page)]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize(
    ("page", "line", "block"),
    [
        # Each is a process of its own: the quick tier has those that a newcomer meets first.
        pytest.param(
            *example, marks=() if example[0].name in FIRST else pytest.mark.full, id=f"{_name(example[0])}:{example[1]}"
        )
        for example in EXAMPLES
    ],
)
def test_each_example_runs_by_itself(page: Path, line: int, block: str, tmp_path: Path):
    code = "\n" * line + block
    if page.name == "django.md":
        (_, configured), *_ = _blocks(page)
        script = f"exec({configured!r})\nexec({DJANGO!r})\nexec(compile({code!r}, {str(page)!r}, 'exec'))"
    else:
        script = f"exec(compile({code!r}, {str(page)!r}, 'exec'))"
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("page", "line", "text", "read"),
    [
        (page, line, text, read)
        for page in PAGES
        for language, read in (("toml", tomllib.loads), ("json", json.loads))
        for line, text in _blocks(page, language)
    ],
    ids=lambda value: _name(value) if isinstance(value, Path) else "",
)
def test_each_configuration_is_taken(page: Path, line: int, text: str, read):
    """Every `[storages.NAME]` that a page shows is a storage that can be made."""
    for name, settings in read(text).get("storages", {}).items():
        changed = {key: value for key, value in settings.items() if key != "initialize"}
        with fk.make_storage(name, changed) as storage:
            assert storage.name == name


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_within_the_project_lead_somewhere(page: Path):
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    missing = [
        t for t in targets if not t.startswith(("http:", "https:", "mailto:")) and not (page.parent / t).exists()
    ]
    assert missing == []


def test_troubleshooting_quotes_what_the_library_says():
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    sources = "\n".join(path.read_text("utf-8") for path in ROOT.glob("packages/*/src/**/*.py"))
    sources = re.sub(r'"\s*\n\s*f?"', "", sources)  # a message that is written on two lines
    rows = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| ") and " | " in line]
    quoted = [text for row in rows for text in re.findall(r"`([^`]+)`", row)]
    assert len(quoted) > 20
    assert [text for text in quoted if text not in sources] == []
