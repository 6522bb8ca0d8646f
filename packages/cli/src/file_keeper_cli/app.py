"""The program: its commands, in the order of its help."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer
import typer.main
from typer.core import TyperGroup

from . import errors, standard
from .session import Config, Debug, Json, Quiet, Set, command, common

_HINTS = {
    "copy": "cp", "move": "mv", "rename": "mv", "del": "rm", "delete": "rm", "dir": "ls", "list": "ls", "tree": "ls -r",
    "upload": "put", "download": "get", "mirror": "sync --delete", "rsync": "sync", "size": "du", "diff": "check",
    "info": "stat", "presign": "url", "link": "url", "config": "storages", "remotes": "storages",
}  # fmt: skip
"""What other programs call it, and what it is called here."""


_PANELS = {
    "Files": ("files.put", "files.get", "files.cat", "moving.cp", "moving.mv", "removing.rm"),
    "Many files": ("syncing.sync", "surveying.du", "surveying.find"),
    "Looking": ("looking.ls", "looking.stat", "looking.verify", "looking.url"),
    "Storages": ("storages.storages", "storages.check", "syncing.cleanup", "demo.demo"),
}
_PLACES = {path.partition(".")[2]: (panel, path) for panel, paths in _PANELS.items() for path in paths}


class _Commands(TyperGroup):
    """The commands, of which only those are made that are asked for, and which know what others call them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_PLACES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in _PLACES and cmd_name not in self.commands:
            self.commands[cmd_name] = _made(cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in _HINTS and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"there is no command {args[0]!r}: it is called `file-keeper {_HINTS[args[0]]}`")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="file-keeper",
    cls=_Commands,
    help="Files on any storage: on disk, in memory, in every cloud; one command, one behaviour.\n\n"
    "A file is STORAGE:location, as in media:reports/a.pdf. STORAGE is configured in .file-keeper.toml, "
    "in FILE_KEEPER_STORAGE_NAME, or by --set; :location lies in the storage that --set makes.",
    epilog="Exit codes: 1 other, 2 usage, 3 missing, 4 existing, 5 permission, 6 connection, 7 configuration, "
    "8 integrity, 9 unsupported, 10 different, 11 not deleted, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        typer.echo(f"file-keeper {importlib.metadata.version('file-keeper-cli')}")
        raise typer.Exit


@app.callback()
def program(  # noqa: D103 - its docstring would be the help of the program, which has one
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


def _made(name: str) -> Any:
    """Make a command of its function."""
    panel, path = _PLACES[name]
    function = getattr(importlib.import_module(f".{path.partition('.')[0]}", __package__), name)
    one = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    # People type `ls -lh`; of this command -h is not the help.
    names = ["--help"] if name == "ls" else ["-h", "--help"]
    one.command(name, rich_help_panel=panel, context_settings={"help_option_names": names})(command(function))
    return typer.main.get_command(one)


def _terminated(number: int, frame: Any) -> NoReturn:
    # As an exception it undoes what is half done, as Ctrl-C does.
    sys.exit(errors.TERMINATED)


def main() -> None:
    """Run the program."""
    signal.signal(signal.SIGTERM, _terminated)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, _terminated)
    standard.open_closed()
    if os.environ.get("_FILE_KEEPER_COMPLETE") == "complete_bash":
        from .completing import for_bash

        for_bash(_PLACES, app)
        return
    try:
        with standard.answering():
            app()
    except standard.OutputError as error:
        sys.stderr.write(f"file-keeper: {error}\n")
        sys.exit(errors.OTHER)
