"""The program: its commands, in the order of its help."""

from __future__ import annotations

import importlib.metadata
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

from . import demo, errors, files, looking, storages
from .session import Config, Debug, Json, Quiet, Set, command, common

app = typer.Typer(
    name="file-keeper",
    help="Files on any storage: on disk, in memory, in every cloud; one command, one behaviour.\n\n"
    "A file is STORAGE:location, as in media:reports/a.pdf. STORAGE is configured in .file-keeper.toml, "
    "in FILE_KEEPER_STORAGE_NAME, or by --set; :location lies in the storage that --set makes.",
    epilog="Exit codes: 1 other, 2 usage, 3 missing, 4 existing, 5 permission, 6 connection, 7 configuration, "
    "8 integrity, 9 unsupported, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"file-keeper {importlib.metadata.version('file-keeper-cli')}")
        raise typer.Exit


@app.callback()
def program(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    set_: Set = None,
    config: Config = "",
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    # The common options may stand before the command as well as behind it.
    ctx.obj = common(ctx, set_, config, json, quiet, debug)


_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Files": (files.put, files.get, files.cat, files.cp, files.mv, files.rm),
    "Looking": (looking.ls, looking.stat, looking.verify, looking.url),
    "Storages": (storages.storages, storages.check, demo.demo),
}
for _panel, _functions in _PANELS.items():
    for _function in _functions:
        app.command(_function.__name__, rich_help_panel=_panel)(command(_function))


def _terminated(number: int, frame: Any) -> NoReturn:
    # As an exception it undoes what is half done, as Ctrl-C does.
    sys.exit(errors.TERMINATED)


def main() -> None:
    """Run the program."""
    signal.signal(signal.SIGTERM, _terminated)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, _terminated)
    app()
