"""Commands that look: ls, stat, verify, url."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import file_keeper as fk
import typer

from .completing import locations
from .config import Address
from .files import Glob, Recursive, expand
from .output import file_record, hash_text, one_line, size_text, time_text
from .session import Session


def ls(
    session: Session,
    address: Annotated[
        str,
        typer.Argument(
            metavar="STORAGE:PREFIX", autocompletion=locations, help="The storage, and how the names begin."
        ),
    ] = ":",
    long: Annotated[bool, typer.Option("--long", "-l", help="Size and time too.")] = False,
    human: Annotated[bool, typer.Option("--human", "-h", help="Sizes for people, as they always are.")] = True,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="All levels, not one.")] = False,
    glob: Annotated[
        str, typer.Option(metavar="PATTERN", help="Only locations that match as a whole; * crosses /. Implies -r.")
    ] = "",
    start_after: Annotated[str, typer.Option(metavar="LOCATION", help="Only what comes after this one.")] = "",
) -> None:  # fmt: skip
    """List files in the byte order of their names.

    PREFIX is by characters: end it with / to look into a folder.

    [dim]file-keeper ls -lh media:reports/[/dim]
    """
    where = Address.parse(address)
    storage = session.storage(where)
    delimiter = "" if recursive or glob else "/"
    for entry in storage.files(prefix=where.location, glob=glob, start_after=start_after, delimiter=delimiter):
        if isinstance(entry, str):
            text = f"{'-':>11}  {'-':<19}  {entry}" if long else entry
            session.output.record({"storage": storage.name, "prefix": entry}, text)
        else:
            text = f"{size_text(entry.size):>11}  {time_text(entry.modified):<19}  {entry.location}"
            session.output.record(file_record(storage.name, entry), text if long else entry.location)


def stat(
    session: Session,
    files: Annotated[
        list[str], typer.Argument(metavar="STORAGE:LOCATION", autocompletion=locations, help="The files.")
    ],
) -> None:
    """Show all that is known of files.

    [dim]file-keeper stat media:reports/a.pdf[/dim]
    """
    for text in files:
        with session.attempt():
            address = session.file(text)
            file = session.storage(address).analyze(address.location)
            session.output.record(file_record(session.storage(address).name, file), _told(address, file))


def _told(address: Address, file: fk.FileData) -> str:
    lines = {
        "location": str(address),
        "size": f"{size_text(file.size)} ({file.size} bytes)",
        "type": file.content_type or "-",
        "hash": hash_text(file),
        "modified": time_text(file.modified),
        "etag": file.etag or "-",
        **file.headers,
        **{f"metadata {name}": value for name, value in file.metadata.items()},
    }
    width = max(map(len, lines))
    return "\n".join(f"{one_line(name):<{width}}  {one_line(value)}" for name, value in lines.items())


def verify(
    session: Session,
    files: Annotated[
        list[str], typer.Argument(metavar="STORAGE:LOCATION", autocompletion=locations, help="The files.")
    ],
    recursive: Recursive = False,
    glob: Glob = "",
    record: Annotated[bool, typer.Option("--record", help="Record the hash of files that have none.")] = False,
) -> None:
    """Read files again, from the first byte to the last, and compare them with their recorded hashes.

    [dim]file-keeper verify -r media:reports[/dim]
    """
    for address, _ in expand(session, files, recursive=recursive, glob=glob):
        with session.attempt():
            storage = session.storage(address)
            known = storage.analyze(address.location)
            with session.progress(f"verify {address.name}") as tell:
                file = storage.verify(known, record=record, progress=tell)
            verdict = "verified" if known.hash else "read; no hash was recorded"
            session.output.done(
                {**file_record(storage.name, file), "verified": bool(known.hash)},
                f"{address}  {size_text(file.size)}  {hash_text(file)}  {verdict}",
            )


class Action(Enum):
    """What a signed address allows."""

    DOWNLOAD = "download"
    UPLOAD = "upload"
    DELETE = "delete"


def url(
    session: Session,
    file: Annotated[
        str,
        typer.Argument(
            metavar="STORAGE:LOCATION",
            autocompletion=locations,
            help="The file.",
        ),
    ],
    expires: Annotated[str, typer.Option(metavar="DURATION", help="How long it works: 90s, 15m, 1h, 7d.")] = "15m",
    permanent: Annotated[bool, typer.Option("--permanent", help="The address that does not end.")] = False,
    action: Annotated[Action, typer.Option(help="What it allows.")] = Action.DOWNLOAD,
    content_type: Annotated[str, typer.Option("--type", metavar="MIME", help="The type to send, or answered.")] = "",
    no_overwrite: Annotated[
        bool, typer.Option("--no-overwrite", help="Of an upload: refuse where there is a file.")
    ] = False,
) -> None:
    """Return an address that works without credentials: for a time, or --permanent.

    Headers that must be sent with it are told on stderr, and by --json.

    [dim]file-keeper url media:reports/a.pdf --expires 1h[/dim]
    """
    address = session.file(file)
    storage = session.storage(address)
    facts = {"storage": storage.name, "location": address.location}
    if permanent:
        link = storage.permanent_link(address.location)
        session.output.record({**facts, "url": link, "method": "GET", "headers": {}, "expires": None}, link)
        return
    signed = storage.signed(
        action.value, expires, address.location, content_type=content_type, overwrite=False if no_overwrite else None
    )
    session.output.record(
        {
            **facts,
            "url": signed,
            "method": signed.method,
            "headers": signed.headers,
            "expires": signed.expires.isoformat(),
        },
        signed,
    )
    if action is not Action.DOWNLOAD or signed.headers:
        headers = "".join(f"  {name}: {value}" for name, value in signed.headers.items())
        session.output.note(f"{signed.method}{headers}  until {time_text(signed.expires)}")
