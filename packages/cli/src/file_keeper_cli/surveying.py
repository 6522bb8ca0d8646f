"""Commands that go through a whole folder: du, find."""

from __future__ import annotations

import fnmatch
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from file_keeper.settings import parse_filesize
from file_keeper.units import parse_duration

from .completing import locations
from .errors import UsageError
from .output import file_record, size_text, time_text
from .places import place_of
from .session import Session


def du(
    session: Session,
    address: Annotated[
        str, typer.Argument(metavar="STORAGE:FOLDER", autocompletion=locations, help="What is added up.")
    ] = ":",
    depth: Annotated[int, typer.Option("--depth", "-d", metavar="N", help="Levels of folders that are told.")] = 1,
    bytes_: Annotated[bool, typer.Option("--bytes", "-b", help="Sizes in bytes.")] = False,
) -> None:
    """Add up sizes and numbers of files, by folder.

    [dim]file-keeper du media: --depth 2[/dim]
    """
    place = place_of(session, address)
    sums: dict[str, tuple[int, int]] = {}
    total = (0, 0)
    for file in place.storage.files():
        folders = file.location.split("/")[:-1][: max(0, depth)]
        for level in range(1, len(folders) + 1):
            name = "/".join(folders[:level]) + "/"
            size, count = sums.get(name, (0, 0))
            sums[name] = (size + file.size, count + 1)
        total = (total[0] + file.size, total[1] + 1)

    def tell(name: str, size: int, count: int) -> None:
        shown = str(size) if bytes_ else size_text(size)
        record = {"storage": place.storage.name, "folder": name, "size": size, "files": count}
        session.output.record(record, f"{shown:>12}  {count:>9}  {place.shown}{name}")

    for name in sorted(sums):
        tell(name, *sums[name])
    tell("", *total)


def find(
    session: Session,
    address: Annotated[
        str, typer.Argument(metavar="STORAGE:FOLDER", autocompletion=locations, help="Where to look.")
    ] = ":",
    name: Annotated[str, typer.Option(metavar="PATTERN", help="The last segment matches.")] = "",
    glob: Annotated[str, typer.Option(metavar="PATTERN", help="The name below the folder matches; * crosses /.")] = "",
    larger: Annotated[str, typer.Option(metavar="SIZE", help="Larger than that, such as 10MiB.")] = "",
    smaller: Annotated[str, typer.Option(metavar="SIZE", help="Smaller than that.")] = "",
    newer: Annotated[str, typer.Option(metavar="AGE", help="Written within that time, such as 7d.")] = "",
    older: Annotated[str, typer.Option(metavar="AGE", help="Written before that time.")] = "",
    long: Annotated[bool, typer.Option("--long", "-l", help="Size and time too.")] = False,
) -> None:
    """Find files by name, size and age.

    [dim]file-keeper find media: --name '*.jpg' --larger 10MiB --older 30d[/dim]
    """
    place = place_of(session, address)
    try:
        least = parse_filesize(larger) if larger else -1
        most = parse_filesize(smaller) if smaller else 1 << 70
        now = datetime.now(UTC)
        after = now - timedelta(seconds=parse_duration(newer)) if newer else None
        before = now - timedelta(seconds=parse_duration(older)) if older else None
    except (ValueError, OverflowError) as error:
        raise UsageError(str(error)) from None
    for file in place.storage.files(glob=glob):
        if not least < file.size < most or (name and not fnmatch.fnmatchcase(file.location.rpartition("/")[2], name)):
            continue
        if after is not None and (file.modified is None or file.modified < after):
            continue
        if before is not None and (file.modified is None or file.modified > before):
            continue
        text = f"{size_text(file.size):>11}  {time_text(file.modified):<19}  " if long else ""
        session.output.record(file_record(place.storage.name, file), f"{text}{place.shown}{file.location}")
