"""What the shell is offered behind the Tab key: storages, and what lies in them."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Annotated, Any

import typer

from .config import Address, Storages

_MOST = 100
"""Names that are offered; more nobody reads, and each page is a request."""


def locations(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the storages, and behind a colon the files and folders of one, that begin as typed."""
    return _offered(ctx, incomplete, local=False)


def places(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return what :func:`locations` does, and folders of this machine."""
    return _offered(ctx, incomplete, local=True)


def named(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the storages that begin as typed."""
    try:
        return [name for name in sorted(filter(None, _storages(ctx).configured())) if name.startswith(incomplete)]
    except Exception:  # a shell that waits for names has no use for an error
        return []


def _offered(ctx: typer.Context, incomplete: str, *, local: bool) -> list[str]:
    try:
        return list(islice(_found(ctx, incomplete, local=local), _MOST))
    except Exception:
        return []


def for_bash(commands: Iterable[str], program: Callable[[], object]) -> None:
    """Put together what bash has cut, and have the program complete it.

    Bash takes a colon and an equals sign for words of their own; what stands before them it does not want back.
    """
    words = os.environ.get("COMP_WORDS", "").split(" ")[: int(os.environ.get("COMP_CWORD", "0")) + 1]
    whole: list[str] = []
    before = ""
    for number, word in enumerate(words):
        last = whole[-1] if whole else "-"
        begins = last in commands or last.startswith("-") or (word == ":" and ":" in last)
        if number > 1 and ((word in (":", "=") and not begins) or last.endswith((":", "="))):
            before = last + word if word in (":", "=") else last
            whole[-1] += word
        else:
            before = word if word == ":" else ""
            whole.append(word)
    os.environ.update({"COMP_WORDS": " ".join(whole), "COMP_CWORD": str(len(whole) - 1)})
    offered = io.StringIO()
    try:
        with contextlib.redirect_stdout(offered):
            program()
    finally:
        sys.stdout.write("".join(line.removeprefix(before) for line in offered.getvalue().splitlines(keepends=True)))


def _found(ctx: typer.Context, typed: str, *, local: bool) -> Iterator[str]:
    storages = _storages(ctx)
    try:
        if ":" not in typed:
            yield from (f"{name}:" for name in sorted(storages.configured()) if name.startswith(typed))
            if local:
                yield from _folders(typed)
            return
        address = Address.parse(typed)
        for entry in storages.get(address.storage).files(prefix=address.location, delimiter="/"):
            yield f"{address.storage}:{entry if isinstance(entry, str) else entry.location}"
    finally:
        storages.close()


def _folders(typed: str) -> Iterator[str]:
    above, begin = os.path.split(typed)
    for entry in sorted(os.scandir(above or "."), key=lambda entry: entry.name):
        if entry.name.startswith(begin) and entry.is_dir():
            yield os.path.join(above, entry.name, "")


def _storages(ctx: typer.Context) -> Storages:
    sets: list[str] = []
    one: Any = ctx
    while one is not None:
        sets = [*(one.params.get("set_") or ()), *sets]
        if config := one.params.get("config"):
            os.environ["FILE_KEEPER_CONFIG"] = config
        one = one.parent
    return Storages(sets)


Files = Annotated[list[str], typer.Argument(metavar="STORAGE:LOCATION", autocompletion=locations, help="The files.")]
Target = Annotated[
    str,
    typer.Argument(metavar="STORAGE:LOCATION", autocompletion=locations, help="Where to; a folder ends with / ."),
]
