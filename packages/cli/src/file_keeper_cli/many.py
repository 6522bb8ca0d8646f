"""Many files from one place to another: what put, get, cp -r and sync have in common."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import file_keeper as fk
import typer
from file_keeper import exc
from file_keeper.syncing import Change, Plan, Run
from file_keeper.syncing.plan import rate_of

from .errors import UsageError
from .output import many, size_text
from .places import Place
from .session import Session

DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would be done.")]
Include = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="PATTERN", help="Only names below the folder that match; * crosses /."),
]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="Leave such names alone, on both sides.")
]
FilterFrom = Annotated[
    str,
    typer.Option(
        "--filter-from", metavar="FILE", help="Patterns, one a line: '+ PATTERN' includes, '- PATTERN' excludes."
    ),
]
Checksum = Annotated[bool, typer.Option("--checksum", help="Compare by the hash of the content, and believe no ETag.")]
SizeOnly = Annotated[bool, typer.Option("--size-only", help="Compare by size alone.")]
NoClobber = Annotated[bool, typer.Option("--no-clobber", help="Leave what is there, whatever it is.")]
BwLimit = Annotated[str, typer.Option("--bwlimit", metavar="RATE", help="Bytes a second at most, such as 10MiB.")]
Concurrency = Annotated[int | None, typer.Option("--concurrency", metavar="N", help="Files under way at a time.")]


def compare_of(checksum: bool, size_only: bool) -> str:
    """Return how files are compared. :raises UsageError: when both are asked for"""
    if checksum and size_only:
        raise UsageError("--checksum and --size-only exclude one another")
    return "hash" if checksum else "size" if size_only else "auto"


def filters_of(include: list[str] | None, exclude: list[str] | None, filter_from: str) -> dict[str, tuple[str, ...]]:
    """Return the filters of a plan. :raises UsageError: a line of the file is neither"""
    wanted, unwanted = list(include or ()), list(exclude or ())
    if filter_from:
        with open(filter_from, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                text = line.strip()
                if not text or text.startswith("#"):
                    continue
                sign, _, pattern = text.partition(" ")
                if sign not in ("+", "-") or not pattern.strip():
                    raise UsageError(f"{filter_from}, line {number}: '+ PATTERN' or '- PATTERN', not {text!r}")
                (wanted if sign == "+" else unwanted).append(pattern.strip())
    return {"include": tuple(wanted), "exclude": tuple(unwanted)}


def plan_of(source: Place, target: Place, *, bwlimit: str = "", **options: Any) -> Plan:
    """Return a plan between two places."""
    bandwidth = rate_of(bwlimit or None, "--bwlimit")
    return Plan(source=source.storage, target=target.storage, bandwidth=bandwidth, **options)


def carry(
    session: Session,
    source: Place,
    target: Place,
    plan: Plan,
    *,
    journal: str = "",
    taken: Callable[[str], object] | None = None,
) -> fk.SyncReport:
    """Run a plan and tell of each file; failures decide the exit code.

    :param taken: does it for a file whose name something has that is no file of the target
    """
    run: Run | None = None
    try:
        with session.tally("copy") as tell:
            run = Run(plan, journal=journal or None, progress=tell)
            for change in run:
                if taken is not None and is_taken(change.error, target, change.location):
                    with session.attempt():
                        taken(change.location)
                    continue
                _tell(session, source, target, change, plan)
    except KeyboardInterrupt:
        if run is not None:
            session.output.note(f"{_summary(run.report())}; the same command goes on from here")
        raise
    report = run.report()
    if session.output.as_json:
        record = {**report.as_dict(), "totals": True}
        del record["errors"]  # each was told by itself
        session.output.record(record, "")
    else:
        session.output.note(_summary(report))
    if report.undeleted:
        session.output.warn(report.undeleted)
    return report


def _summary(report: fk.SyncReport) -> str:
    would = "would be " if report.dry_run else ""
    parts = [
        f"{many(report.copied, 'file')} {would}copied ({size_text(report.bytes)})",
        f"{report.skipped} there already",
    ]
    if report.deleted:
        parts.append(f"{report.deleted} {would}deleted")
    if report.failed:
        parts.append(f"{report.failed} failed")
    if report.compared:
        parts.append(f"{size_text(report.compared)} read to compare")
    return ", ".join(parts)


def _tell(session: Session, source: Place, target: Place, change: Change, plan: Plan) -> None:
    if change.action == "fail":
        assert change.error is not None
        session.fail(change.error)
        return
    name = change.location
    record: dict[str, Any] = {
        "action": change.action,
        "source": source.shown + name,
        "target": target.shown + name,
        "storage": target.storage.name,
        "location": name,
        "size": change.size,
        "replaces": change.replaces,
        "by_provider": change.by_provider,
        "dry_run": plan.dry_run,
    }
    if target.path:
        record["path"] = os.path.join(target.path, name)
    if change.action == "skip":
        if session.output.as_json:
            session.output.record(record, "")
        return
    would = "would " if plan.dry_run else ""
    if change.action == "delete":
        session.output.done(
            record, f"{would or ''}delete {target.shown}{name}" if would else f"deleted {target.shown}{name}"
        )
        return
    how = " by the provider" if change.by_provider else ""
    verb = f"{would}copy " if would else ""
    session.output.done(record, f"{verb}{source.shown}{name} -> {target.shown}{name}  {size_text(change.size)}{how}")


def differences(plan: Plan) -> Iterator[tuple[str, str]]:
    """Return the names in which two places differ, and how: ``missing``, ``differs``, ``extra``, ``failed: ...``."""
    for change in Run(plan):
        if change.action == "copy":
            yield change.location, "differs" if change.replaces else "missing"
        elif change.action == "delete":
            yield change.location, "extra"
        elif change.action == "fail":
            yield change.location, f"failed: {change.error}"


def is_taken(error: exc.FilesError | None, target: Place, name: str) -> bool:
    """Return whether a file failed because a link of this machine has its name."""
    return isinstance(error, exc.LocationError) and os.path.islink(os.path.join(target.path, name))
