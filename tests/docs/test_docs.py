"""What the documentation shows runs, page by page, each in an empty directory; its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md")), *sorted(ROOT.glob("docs/**/*.md"))]


def _blocks(page: Path) -> list[tuple[int, str]]:
    """Give the Python blocks of a page with the line that each begins at."""
    blocks: list[tuple[int, str]] = []
    text = page.read_text("utf-8")
    for found in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        blocks.append((text[: found.start(1)].count("\n"), found[1]))
    return blocks


@pytest.mark.parametrize(
    "page", [page for page in PAGES if _blocks(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if page.parent.name == "frameworks":
        # A framework is configured once a process.
        script = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_docs, pathlib; "
        script += f"test_docs.run(pathlib.Path({str(page)!r}))"
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return
    monkeypatch.chdir(tmp_path)
    run(page)


def run(page: Path) -> None:
    """Run the blocks of a page, one after the other, in the current directory."""
    namespace: dict[str, Any] = {"__name__": "example"}
    for line, block in _blocks(page):
        exec(compile("\n" * line + block, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(page: Path):
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    missing = [
        t for t in targets if not t.startswith(("http:", "https:", "mailto:")) and not (page.parent / t).exists()
    ]
    assert missing == []
