"""The command that removes: rm."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from file_keeper import exc

from .completing import locations
from .config import Address
from .errors import UsageError
from .files import Glob, Recursive, expand
from .many import DryRun
from .output import many
from .session import Session

_SHOWN = 10
"""Files that are shown before somebody is asked whether they may go."""


def rm(
    session: Session,
    files: Annotated[
        list[str], typer.Argument(metavar="STORAGE:LOCATION", autocompletion=locations, help="The files.")
    ],
    recursive: Recursive = False,
    glob: Glob = "",
    force: Annotated[bool, typer.Option("--force", "-f", help="What is not there is fine.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before many are removed.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Remove files. With -r or --glob it shows what would go and asks first, unless --yes.

    [dim]file-keeper rm -r media:old --dry-run[/dim]
    """
    if dry_run:
        _preview(session, files, recursive, glob)
        return
    if not (recursive or glob):
        for text in files:
            with session.attempt():
                address = session.file(text)
                storage = session.storage(address)
                removed = storage.remove(address.location)
                if not (removed or force):
                    raise exc.MissingFileError(
                        "there is no file", storage=storage.name, operation="remove", location=address.location
                    )
                session.output.done(
                    {"storage": storage.name, "location": address.location, "removed": removed},
                    f"removed {address}" if removed else f"{address} was not there",
                )
        return
    for text in files:
        with session.attempt():
            try:
                found = [address for address, _ in expand(session, (text,), recursive=True, glob=glob)]
            except exc.MissingFileError:
                if force:
                    continue
                raise
            _remove_all(session, Address.parse(text), found, yes)


def _preview(session: Session, files: list[str], recursive: bool, glob: str) -> None:
    """Print what would be removed."""
    count = 0
    for address, _ in expand(session, files, recursive=recursive, glob=glob):
        count += 1
        record = {"storage": session.storage(address).name, "location": address.location, "removed": False}
        session.output.record({**record, "dry_run": True}, f"would remove {address}")
    session.output.note(f"{many(count, 'file')} would be removed")


def _remove_all(session: Session, folder: Address, found: list[Address], yes: bool) -> None:
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{many(len(found), 'file')} in {folder} would be removed: --yes says that this is meant")
        for address in found[:_SHOWN]:
            typer.echo(f"  {address}", err=True)
        if len(found) > _SHOWN:
            typer.echo(f"  and {len(found) - _SHOWN} more", err=True)
        typer.confirm(f"Remove {many(len(found), 'file')} in {folder}?", abort=True, err=True)
    storage = session.storage(folder)
    failures = storage.remove_many(address.location for address in found)
    for failure in failures:
        session.fail(failure)
    failed = {failure.location for failure in failures}
    for address in found:
        if address.location not in failed:
            session.output.done(
                {"storage": storage.name, "location": address.location, "removed": True}, f"removed {address}"
            )
