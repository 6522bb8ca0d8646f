"""Commands about many files: sync, du, find, cleanup; and check of two places."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated

import file_keeper as fk
import typer
from file_keeper import exc
from file_keeper.units import parse_duration

from . import errors
from .completing import named, places
from .config import Address
from .errors import UsageError
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
    differences,
    filters_of,
    plan_of,
)
from .output import many, time_text
from .places import place_of
from .session import Session


def sync(
    session: Session,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", autocompletion=places, help="STORAGE:FOLDER, or a local folder.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", autocompletion=places, help="STORAGE:FOLDER, or a local folder.")
    ],
    delete: Annotated[bool, typer.Option("--delete", help="Remove from TARGET what SOURCE does not have.")] = False,
    max_delete: Annotated[
        int | None, typer.Option(metavar="N", help="Delete nothing if it would be more than N files.")
    ] = None,
    dry_run: DryRun = False,
    checksum: Checksum = False,
    size_only: SizeOnly = False,
    no_clobber: NoClobber = False,
    update: Annotated[bool, typer.Option("--update", "-u", help="Replace only what is older than in SOURCE.")] = False,
    include: Include = None,
    exclude: Exclude = None,
    filter_from: FilterFrom = "",
    bwlimit: BwLimit = "",
    concurrency: Concurrency = None,
    journal: Annotated[
        str, typer.Option(metavar="FILE", help="Take up a run that was killed, with the numbers of one whole run.")
    ] = "",
) -> None:
    """Make TARGET hold what SOURCE holds: nothing is sent that is there, each file is replaced in one step.

    A slash at the end makes no difference: what lies below SOURCE comes to lie below TARGET.

    [dim]file-keeper sync site media:www --delete --dry-run[/dim]
    """
    if no_clobber and update:
        raise UsageError("--no-clobber and --update exclude one another")
    here, there = place_of(session, source), place_of(session, target, make=not dry_run)
    plan = plan_of(
        here,
        there,
        bwlimit=bwlimit,
        delete=delete,
        max_delete=max_delete,
        dry_run=dry_run,
        compare=compare_of(checksum, size_only),
        differing="keep" if no_clobber else "newer" if update else "replace",
        concurrency=concurrency,
        narrate=session.output.as_json,
        **filters_of(include, exclude, filter_from),
    )
    report = carry(session, here, there, plan, journal=journal)
    if report.undeleted:
        session.code = session.code or errors.UNDELETED


def compare(session: Session, source: str, target: str, checksum: bool, size_only: bool, one_way: bool) -> None:
    """Tell in which files two places differ; nothing is changed."""
    here, there = place_of(session, source), place_of(session, target)
    # In a dry run what would be deleted is what only the target has: told even where the source is empty.
    plan = plan_of(
        here, there, delete=not one_way, max_delete=1 << 62, dry_run=True, compare=compare_of(checksum, size_only)
    )
    found = 0
    for name, how in differences(plan):
        found += 1
        session.output.record({"location": name, "difference": how}, f"{how:<8}  {name}")
    if session.output.as_json:
        session.output.record({"totals": True, "differences": found}, "")
    session.output.note(f"{many(found, 'difference')} between {here.shown} and {there.shown}")
    if found:
        session.code = errors.DIFFERENT


def cleanup(
    session: Session,
    names: Annotated[list[str], typer.Argument(metavar="STORAGE", autocompletion=named, help="Their names.")],
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Only what got nothing for so long.")
    ] = "1d",
    dry_run: DryRun = False,
) -> None:
    """Drop what uploads that never ended have left: open uploads, and what lies under the reserved name.

    [dim]file-keeper cleanup media --older-than 7d --dry-run[/dim]
    """
    for name in names:
        address = Address.parse(name if ":" in name else f"{name}:")
        storage = session.storage(address).below(address.location)
        if not dry_run:
            dropped = storage.cleanup_uploads(older_than)
            session.output.done(
                {"storage": storage.name, "dropped": dropped}, f"{name}: {many(dropped, 'upload')} dropped"
            )
            continue
        try:
            limit = parse_duration(older_than)
        except ValueError as error:
            raise UsageError(str(error)) from None
        for upload in _open(storage):
            age = time.time() - upload[1].timestamp()
            record = {
                "storage": storage.name,
                "location": upload[0],
                "touched": upload[1].isoformat(),
                "age": round(age),
            }
            if age >= limit:
                session.output.record(record, f"{time_text(upload[1])}  {address}{upload[0]}")


def _open(storage: fk.Storage) -> list[tuple[str, datetime]]:
    """Return the open uploads of a storage, and when each got something last."""
    backend = storage.backend
    root = storage.full_path("x")[:-1]
    if "multipart_list" not in backend.verbs:
        return []
    try:
        found = list(backend.multipart_list(root))
    except exc.FilesError:
        raise
    except Exception as error:
        raise (backend.translate(error) or error) from error
    return [(upload.ref.key[len(root) :], upload.touched or upload.started) for upload in found]
