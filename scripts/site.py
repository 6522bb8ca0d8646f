"""Build the documentation site, strictly, and the texts for assistants beside it.

    python -m uv run --group site python scripts/site.py             into build/site
    python -m uv run --group site python scripts/site.py --serve     and show it on http://127.0.0.1:8000

What ends it with 1: a warning of Sphinx (a link or reference to nothing, a page in no menu), a link in the built pages
whose file or anchor is not there, a public name without a description or a place in the reference.
"""

from __future__ import annotations

import functools
import html.parser
import http.server
import importlib
import inspect
import re
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
OUT = ROOT / "build" / "site"

PUBLIC = (
    "file_keeper",
    "file_keeper.exc",
    "file_keeper.types",
    "file_keeper.backend",
    "file_keeper_testing",
)
"""Modules whose public names have a description and a place in the reference."""


def build(out: Path = OUT) -> None:
    """Build the pages; raise when there was a warning."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html", "-j", "2"]
    cache = out.parent / f"{out.name}-doctrees"
    subprocess.run([*command, "-d", str(cache), str(DOCS), str(out)], check=True)


class _Page(html.parser.HTMLParser):
    """The anchors of a page, and where its links and pictures lead."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors: set[str] = set()
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors.update(value for name in ("id", "name") if (value := found.get(name)))
        self.targets += [value for name in ("href", "src") if (value := found.get(name))]


def dead_links(out: Path = OUT) -> Iterator[str]:
    """Yield what leads nowhere within the built site."""
    pages = {path: _Page(path.read_text("utf-8")) for path in sorted(out.rglob("*.html"))}
    for path, page in pages.items():
        for target in page.targets:
            parts = urllib.parse.urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            there = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            if not there.exists():
                yield f"{path.relative_to(out)}: {target}: no such file"
                continue
            anchors = pages[there].anchors if there in pages else set()
            if there in pages and parts.fragment and urllib.parse.unquote(parts.fragment) not in anchors:
                yield f"{path.relative_to(out)}: {target}: no such anchor"


def public_names() -> Iterator[tuple[str, Any]]:
    """Yield every public name with its value."""
    for name in PUBLIC:
        module = importlib.import_module(name)
        names: list[str] = list(getattr(module, "__all__", ())) or [
            word
            for word, value in vars(module).items()
            if not word.startswith("_") and getattr(value, "__module__", "") == name
        ]
        for word in names:
            yield f"{name}.{word}", getattr(module, word)


def undocumented(out: Path = OUT) -> Iterator[str]:
    """Yield public names that say nothing of themselves or have no place in the reference."""
    from sphinx.util.inventory import InventoryFile

    with (out / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, uri: uri)
    known = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    for name, value in public_names():
        if isinstance(value, ModuleType):
            if not value.__doc__:
                yield f"{name} has no docstring"
            continue
        twins = (f"{module}.{name.rpartition('.')[2]}" for module in PUBLIC)  # the same thing, shown once
        if not known.intersection(twins):
            yield f"{name} is not in the reference"
        if not inspect.isclass(value):
            continue
        if not value.__doc__:
            yield f"{name} has no docstring"
        for word, member in inspect.getmembers(value):
            if word.startswith(("_", "test_")) or not inspect.isfunction(member):
                continue
            protocol = getattr(value, "_is_protocol", False)  # what its methods do is what it is called for
            if member.__module__.startswith("file_keeper") and not inspect.getdoc(member) and not protocol:
                yield f"{name}.{word} has no docstring"


def text_of(page: Path) -> str:
    """Return a page as an assistant reads it: without the directives that only make the site."""
    text = page.read_text("utf-8")
    text = re.sub(r"^```\{toctree\}.*?^```\n", "", text, flags=re.DOTALL | re.MULTILINE)
    included = re.search(r"^```\{include\} (\S+)\n```", text, re.MULTILINE)
    if included:
        text = text.replace(included[0], (page.parent / included[1]).read_text("utf-8"))
    return text.strip() + "\n"


def in_order() -> list[Path]:
    """Return the pages in the order of the menu."""
    found: list[Path] = []

    def visit(page: Path) -> None:
        if page in found:
            return
        found.append(page)
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            for line in block.splitlines():
                entry = re.search(r"<(.+)>$", line)
                name = (entry[1] if entry else line).strip()
                if name and not name.startswith(":"):
                    visit((page.parent / name).with_suffix(".md").resolve())

    visit(DOCS / "index.md")
    return found


def reference_text() -> str:
    """Return the public names with their signatures and descriptions, as plain text."""
    lines = ["# Reference of the public names\n"]
    for name, value in public_names():
        if isinstance(value, ModuleType):
            continue
        lines.append(f"## {name}\n")
        lines += _described(value)
        if inspect.isclass(value):
            for word, member in inspect.getmembers(value):
                if word.startswith(("_", "test_")) or not (inspect.isfunction(member) or isinstance(member, property)):
                    continue
                told = inspect.getdoc(member)
                if told and getattr(member, "__module__", "file_keeper").startswith("file_keeper"):
                    lines.append(f"### {name}.{word}\n")
                    lines += _described(member)
    return "\n".join(lines)


def _described(value: Any) -> list[str]:
    lines: list[str] = []
    if callable(value):
        try:
            lines.append(f"    {getattr(value, '__name__', '')}{inspect.signature(value)}\n")
        except (TypeError, ValueError):
            pass
    told = inspect.getdoc(value) if (callable(value) or isinstance(value, property)) else ""
    return [*lines, (told or "") + "\n"]


def write_texts(out: Path = OUT) -> None:
    """Write llms.txt (what there is, page by page) and llms-full.txt (all of it, and the reference)."""
    pages = in_order()
    index = [
        "# file-keeper",
        "",
        "> One storage contract for files on local disk, in memory, in Amazon S3 and compatible services, Google",
        "> Cloud Storage, Azure Blob Storage and Apache Libcloud. Python 3.11 and later; synchronous and",
        "> asynchronous; a command; Django, Flask, Starlette, FastAPI and fsspec. The distributions are named",
        "> file-keeper-core, file-keeper-s3 and so on; the import is file_keeper. All in one file: llms-full.txt",
        "",
        "## Pages",
        "",
    ]
    for page in pages:
        text = text_of(page)
        title = re.search(r"^# (.+)$", text, re.MULTILINE)
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
        first = next((part for part in re.split(r"\n\s*\n", prose) if re.match(r"[\w`*]", part)), "")
        told = " ".join(re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", first).split())
        link = f"_sources/{page.relative_to(DOCS).as_posix()}.txt"  # the page as it is written, not its HTML
        index.append(f"- [{title[1] if title else link}]({link}): {told[:200]}")
    (out / "llms.txt").write_text("\n".join(index) + "\n", "utf-8")
    full = "\n\n".join(text_of(page) for page in pages)
    (out / "llms-full.txt").write_text(full + "\n\n" + reference_text(), "utf-8")


def main() -> int:
    """Build, look at what was built, and show it where that is asked for."""
    try:
        build()
    except subprocess.CalledProcessError:
        print("the site has warnings, see above", file=sys.stderr)
        return 1
    write_texts()
    faults = [*dead_links(), *undocumented()]
    for fault in faults:
        print(fault, file=sys.stderr)
    pages = len(list(OUT.rglob("*.html")))
    print(f"{pages} pages in {OUT.relative_to(ROOT)}, {len(faults)} faults")
    if not faults and "--serve" in sys.argv[1:]:
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(OUT))
        print("http://127.0.0.1:8000 (Ctrl-C ends it)")
        http.server.ThreadingHTTPServer(("127.0.0.1", 8000), handler).serve_forever()
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
