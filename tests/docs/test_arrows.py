"""The arrows of docs/architecture.md, read off every import: no circles, and nothing points upwards."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "packages"
BACKENDS = ("fs", "s3", "gcs", "azure", "libcloud")
LOW = (
    "exc",
    "data",
    "hashing",
    "location",
    "units",
    "references",
    "options",
    "streams",
    "sources",
    "calls",
    "events",
    "outcomes",
    "types",
)
"""Modules that everything stands on."""


def modules(package: str) -> dict[str, Path]:
    source = PACKAGES / package / "src"
    found = {}
    for path in source.rglob("*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, *, typing: bool, local: bool) -> Iterator[str]:
    """The modules, or names in modules, that a module imports: with `local`, in its functions as well."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]

    def visit(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test) and not typing:
                continue
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not local:
                continue
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    above = package.split(".")[: len(package.split(".")) - child.level + 1]
                    base = ".".join([*above, *([child.module] if child.module else [])])
                yield from (f"{base}.{alias.name}" for alias in child.names)
            else:
                yield from visit(child)

    yield from visit(ast.parse(path.read_text("utf-8")))


def module_of(imported: str, known: dict[str, Path]) -> str:
    while imported and imported not in known:
        imported = imported.rpartition(".")[0]
    return imported


@pytest.mark.parametrize("package", sorted(path.name for path in PACKAGES.iterdir() if (path / "src").is_dir()))
def test_there_is_no_circle(package: str) -> None:
    known = modules(package)
    graph = {
        name: {module_of(one, known) for one in imports(name, path, typing=False, local=False)} - {"", name}
        for name, path in known.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' → '.join(error.args[1])}")


def test_the_core_knows_no_backend_and_no_integration() -> None:
    for name, path in modules("core").items():
        for one in imports(name, path, typing=True, local=True):
            assert not one.startswith("file_keeper_"), f"{name} imports {one}"


@pytest.mark.parametrize("package", [*BACKENDS, "web", "django", "cli"])
def test_a_distribution_imports_the_core_and_itself(package: str) -> None:
    allowed = {"cli": {"file_keeper_fs"}}.get(package, set()) | {f"file_keeper_{package}", "file_keeper"}
    for name, path in modules(package).items():
        for one in imports(name, path, typing=True, local=True):
            top = one.partition(".")[0]
            assert not top.startswith("file_keeper") or top in allowed, f"{name} imports {one}"


def test_what_all_stands_on_stands_on_little() -> None:
    known = modules("core")
    low = {f"file_keeper.{name}" for name in LOW} | {"file_keeper"}
    for name in LOW:
        path = known[f"file_keeper.{name}"]
        for one in imports(f"file_keeper.{name}", path, typing=False, local=False):
            found = module_of(one, known)
            assert not found or found in low, f"file_keeper.{name} imports {found}"


def test_the_page_names_every_module_of_the_core() -> None:
    page = (PACKAGES.parent / "docs" / "architecture.md").read_text("utf-8")
    for name, path in modules("core").items():
        parts = name.split(".")[1:]
        if not parts or path.name == "__init__.py":
            continue
        word = f"{parts[0]}/" if len(parts) > 1 else f"{parts[0]}.py"
        assert word in page, f"docs/architecture.md does not name {word}"
