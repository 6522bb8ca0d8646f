"""Commands from one place in a storage to another: cp, mv."""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Annotated, cast

import file_keeper as fk
import typer
from file_keeper.bulk.batch import Item, run
from file_keeper.bulk.items import limits_of
from file_keeper.outcomes import Outcome
from file_keeper.syncing.plan import overlaps

from .completing import locations
from .config import Address
from .errors import UsageError
from .files import Glob, Overwrite, Recursive, batch, expand, expect_files, only_for_many, refuse_clashes, would
from .many import (
    BwLimit,
    Checksum,
    Concurrency,
    DryRun,
    Exclude,
    FilterFrom,
    Include,
    NoClobber,
    SizeOnly,
    carry,
    compare_of,
    filters_of,
    plan_of,
)
from .output import file_record, size_text
from .places import place_of
from .session import Session


def cp(
    session: Session,
    files: Annotated[
        list[str], typer.Argument(metavar="STORAGE:LOCATION", autocompletion=locations, help="The files.")
    ],
    target: Annotated[
        str,
        typer.Argument(metavar="STORAGE:LOCATION", autocompletion=locations, help="Where to; a folder ends with / ."),
    ],
    overwrite: Overwrite = None,
    recursive: Recursive = False,
    glob: Glob = "",
    dry_run: DryRun = False,
    checksum: Checksum = False,
    size_only: SizeOnly = False,
    no_clobber: NoClobber = False,
    include: Include = None,
    exclude: Exclude = None,
    filter_from: FilterFrom = "",
    bwlimit: BwLimit = "",
    concurrency: Concurrency = None,
) -> None:
    """Copy files in a storage (on its server) or to another one; type, metadata and hash go with them.

    With -r, what is there with the same content is passed over, and what differs is told.

    [dim]file-keeper cp -r media:2025 archive:2025 --exclude '*.tmp'[/dim]
    """
    if recursive and not glob:
        options = batch(
            session, session.storage(Address.parse(target)), overwrite, no_clobber, dry_run,
            compare_of(checksum, size_only), bwlimit, concurrency, filters_of(include, exclude, filter_from),
        )  # fmt: skip
        pairs = [(place_of(session, text), place_of(session, target)) for text in files]
        if not any(overlaps(here.storage, there.storage) for here, there in pairs):
            if len(files) > 1:
                refuse_clashes(expand(session, files, recursive=True))
            for text, (here, there) in zip(files, pairs, strict=True):
                expect_files(session, text)
                carry(session, here, there, plan_of(here, there, **options))
            return
    else:
        only_for_many(no_clobber, checksum, size_only, include, exclude, filter_from, bwlimit)
    _carry(session, files, target, overwrite, recursive, glob, dry_run, concurrency, move=False)


def mv(
    session: Session,
    files: Annotated[
        list[str], typer.Argument(metavar="STORAGE:LOCATION", autocompletion=locations, help="The files.")
    ],
    target: Annotated[
        str,
        typer.Argument(metavar="STORAGE:LOCATION", autocompletion=locations, help="Where to; a folder ends with / ."),
    ],
    overwrite: Overwrite = None,
    recursive: Recursive = False,
    glob: Glob = "",
    dry_run: DryRun = False,
    concurrency: Concurrency = None,
) -> None:
    """Move files in a storage or to another one: each is removed here when it is there.

    [dim]file-keeper mv -r media:2025 archive:2025[/dim]
    """
    _carry(session, files, target, overwrite, recursive, glob, dry_run, concurrency, move=True)


def _carry(
    session: Session,
    files: list[str],
    target: str,
    overwrite: bool | None,
    recursive: bool,
    glob: str,
    dry_run: bool,
    concurrency: int | None,
    *,
    move: bool,
) -> None:
    where = Address.parse(target)
    destination = session.storage(where)
    several = len(files) > 1 or recursive or bool(glob)
    if recursive and not where.is_folder():
        where = where.within("")  # a folder goes to a folder, as it does for rm -r
    if several and not where.is_folder():
        raise UsageError(f"several files go into a folder: write {where}/")
    meant = expand(session, files, recursive=recursive, glob=glob, settled=True)
    if len(files) > 1:
        meant = list(meant)
        refuse_clashes(meant)

    def items() -> Iterator[Item[fk.FileData]]:
        for address, name in meant:
            to = where.within(name) if where.is_folder() else where
            if dry_run:
                _would_go(session, address, to)
                continue
            told.append((address, to))
            work = functools.partial(_go, session.storage(address), address, destination, to, overwrite, move)
            yield Item(to.location, work, key=to.location)

    told: deque[tuple[Address, Address]] = deque()
    limit, options = limits_of(destination, "move_many" if move else "copy_many", concurrency)
    with session.batch("move" if move else "copy", one=not several) as progress:
        outcomes = cast("Generator[Outcome[fk.FileData]]", run(items(), limit, progress=progress, **options))
        with contextlib.closing(outcomes):
            for outcome in outcomes:
                address, to = told.popleft()
                with session.attempt():
                    made = outcome.unwrap()
                    record = {**file_record(destination.name, made), "source": str(address)}
                    session.output.done(record, f"{address} -> {to}  {size_text(made.size)}")


def _would_go(session: Session, address: Address, to: Address) -> None:
    with session.attempt():
        session.file(str(address))
        would(session, str(address), str(to))


def _go(
    storage: fk.Storage,
    address: Address,
    destination: fk.Storage,
    to: Address,
    overwrite: bool | None,
    move: bool,
    progress: Callable[[int, int | None], None],
) -> fk.FileData:
    """Copy or move one file, in a thread."""
    if storage is destination:
        return (storage.move if move else storage.copy)(to.location, address.location, overwrite=overwrite)
    between = storage.move_synthetic if move else storage.copy_synthetic
    return between(to.location, address.location, destination, overwrite=overwrite, progress=progress)
