"""Commands that move bytes: put, get, cat, cp, mv, rm."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import file_keeper as fk
import typer
from file_keeper import exc, hashing
from file_keeper.local import place_in

from . import local
from .completing import locations
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
    filters_of,
    plan_of,
)
from .output import file_record, hash_text, size_text
from .places import place_of
from .session import Session
from .standard import answering, is_closed

Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="All files below a folder.")]
Glob = Annotated[
    str,
    typer.Option("--glob", metavar="PATTERN", help="Of them, those whose whole location matches; * crosses /."),
]
Overwrite = Annotated[
    bool | None, typer.Option("--overwrite/--no-overwrite", help="Replace what is there; else as configured.")
]


def expand(
    session: Session, texts: Iterable[str], *, recursive: bool = False, glob: str = "", settled: bool = False
) -> Iterator[tuple[Address, str]]:
    """Return the files that are meant, each with its name relative to what was asked for.

    :param settled: take the whole listing before giving the first: what is done writes there too, or removes
    :raises MissingFileError: when a folder or a pattern has none
    """
    for text in texts:
        if not (recursive or glob):
            address = session.file(text)
            yield address, address.name
            continue
        folder = Address.parse(text).within("")
        prefix = folder.location
        locations = session.storage(folder).scan(prefix=prefix, glob=glob)
        empty = True
        for location in list(locations) if settled else locations:
            empty = False
            yield Address(folder.storage, location), location[len(prefix) :]
        if empty:
            what = f"matches {glob!r} in {folder}" if glob else f"lies in {folder}"
            raise exc.MissingFileError(f"no file {what}")


def _pairs(texts: list[str] | None, what: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{what} takes name=value, not {text!r}")
        pairs[name] = value
    return pairs


def _expected(text: str) -> dict[str, str]:
    algorithm, colon, value = text.rpartition(":")
    return {"hash": value, "algorithm": algorithm if colon else ""} if text else {}


def _sources(files: list[str], recursive: bool) -> Iterator[tuple[str, str]]:
    """Return what is to be put: path (``-``: stdin), and name in the target folder."""
    for path in files:
        if path != "-" and os.path.isdir(path):
            if not recursive:
                raise UsageError(f"{path} is a folder: --recursive puts what lies below it")
            yield from local.below(path)
        else:
            yield path, os.path.basename(path)


def put(
    session: Session,
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Local files; - is stdin.")],
    target: Annotated[
        str,
        typer.Argument(metavar="STORAGE:LOCATION", autocompletion=locations, help="Where to; a folder ends with / ."),
    ],
    overwrite: Overwrite = None,
    recursive: Recursive = False,
    content_type: Annotated[
        str, typer.Option("--type", metavar="MIME", help="The content type; else told from content and name.")
    ] = "",
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", "-m", metavar="NAME=VALUE", help="Kept with the file.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Cache-Control, Content-Disposition, -Encoding or -Language."),
    ] = None,
    hash: Annotated[
        str, typer.Option(metavar="[ALGORITHM:]HEX", help="What the content must have, else nothing is stored.")
    ] = "",
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
    """Store files: whole or not at all, of any size, stdin too.

    What is there is not replaced, unless --overwrite or the configuration say so. With -r, what is there with the same
    content is passed over, and what differs is told.

    [dim]file-keeper put -r site media:www -m source=build[/dim]
    """
    where = Address.parse(target)
    storage = session.storage(where)
    if "-" in files and is_closed("stdin"):
        raise UsageError("stdin is closed: there is nothing to read from it")
    folders = [path for path in files if path != "-" and os.path.isdir(path)] if recursive else []
    for folder in folders:
        if next(local.below(folder), None) is None:
            session.output.warn(f"{folder}: no files lie below it, so nothing is put")
    if len(files) > 1:
        refuse_clashes(_sources(files, recursive))
    if hash and (recursive or len(files) > 1):
        raise UsageError("--hash is for one file")
    options: dict[str, Any] = {
        "content_type": content_type,
        "metadata": _pairs(metadata, "--metadata"),
        "headers": _pairs(header, "--header"),
    }
    if folders:
        plan = batch(
            session, storage, overwrite, no_clobber, dry_run, compare_of(checksum, size_only), bwlimit, concurrency,
            filters_of(include, exclude, filter_from),
        )  # fmt: skip
        plan["attributes"] = {name: value for name, value in options.items() if value}
        for folder in folders:
            here, there = place_of(session, folder), place_of(session, target)
            carry(session, here, there, plan_of(here, there, **plan))
        files = [path for path in files if path not in folders]
        links = [link for folder in folders for link in local.links_below(folder)]
    else:
        only_for_many(no_clobber, checksum, size_only, include, exclude, filter_from, bwlimit)
        links = []
    options |= {"overwrite": overwrite, **_expected(hash)}
    into_folder = bool(folders) or where.is_folder() or len(files) > 1 or (files[0] != "-" and os.path.isdir(files[0]))
    if not where.is_folder() and len(files) > 1:
        raise UsageError(f"several files go into a folder: write {where}/")
    if into_folder and "-" in files:
        raise UsageError("stdin has no name: give the whole location")
    for path, name in [*_sources(files, recursive), *links] if links else _sources(files, recursive):
        with session.attempt():
            address = where.within(name) if into_folder else where
            if dry_run:
                would(session, path, str(address))
                continue
            with session.progress(address.name) as tell:
                if path == "-":
                    upload = fk.make_upload(sys.stdin.buffer)
                    upload.filename = address.name
                    stored = storage.upload(address.location, upload, progress=tell, **options)
                else:
                    stored = _put_file(storage, address.location, path, progress=tell, **options)
            _stored(session, address, stored)


def _put_file(storage: fk.Storage, location: str, path: str, **options: Any) -> fk.FileData:
    """Store a local file. One that grows while it is read, as logs do, is sent to the end that is reached."""
    with open(path, "rb") as file:
        begun = os.fstat(file.fileno()).st_size
        try:
            return storage.upload(location, file, **options)
        except exc.UploadSizeMismatchError:
            if os.fstat(file.fileno()).st_size <= begun:
                raise
            file.seek(0)
            return storage.upload(location, fk.Upload(file, os.path.basename(path)), **options)


def refuse_clashes(sources: Iterable[tuple[object, str]]) -> None:
    """Refuse sources that would land on one name: of two only the last one would be there in the end.

    :param sources: each with its name in the target folder
    :raises UsageError: naming the first two; nothing is written yet
    """
    seen: dict[str, object] = {}
    for source, name in sources:
        if name in seen:
            raise UsageError(f"{seen[name]} and {source} would both become {name!r}: put them one after the other")
        seen[name] = source


def only_for_many(*options: object) -> None:
    """Refuse options that say nothing of a single file. :raises UsageError: when one is given"""
    if any(options):
        raise UsageError(
            "--no-clobber, --checksum, --size-only, --include, --exclude, --filter-from and --bwlimit are for "
            "--recursive, without --glob"
        )


def would(session: Session, source: str, target: str) -> None:
    """Print what a dry run would do with one file."""
    session.output.record({"source": source, "target": target, "dry_run": True}, f"would copy {source} -> {target}")


def batch(
    session: Session,
    target: fk.Storage | None,
    overwrite: bool | None,
    no_clobber: bool,
    dry_run: bool,
    compare: str,
    bwlimit: str,
    concurrency: int | None,
    filters: dict[str, tuple[str, ...]],
) -> dict[str, Any]:
    """Return the options of a plan. :raises UsageError: when they contradict one another"""
    if no_clobber and overwrite:
        raise UsageError("--no-clobber and --overwrite exclude one another")
    if overwrite is None and target is not None:
        overwrite = target.settings.overwrite_existing
    return {
        "differing": "keep" if no_clobber else "replace" if overwrite else "refuse",
        "dry_run": dry_run,
        "compare": compare,
        "bwlimit": bwlimit,
        "concurrency": concurrency,
        "narrate": session.output.as_json,
        **filters,
    }


def _stored(session: Session, address: Address, file: fk.FileData) -> None:
    record = file_record(session.storage(address).name, file)
    text = f"{address}  {size_text(file.size)}  {file.content_type}  {hash_text(file)}"
    session.output.done(record, text)


def get(
    session: Session,
    source: Annotated[
        str,
        typer.Argument(
            metavar="STORAGE:LOCATION", autocompletion=locations, help="The file; with -r or --glob a folder."
        ),
    ],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A local path or folder; - is stdout.", show_default="here")
    ] = ".",
    recursive: Recursive = False,
    glob: Glob = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace local files.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Compare what was written with the recorded hash.")
    ] = True,
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
    """Get files: each appears at its local path when all of it is there.

    Nothing is written outside of the target folder, whatever the files are called. With -r, what is there with the same
    content is passed over, and what differs is told.

    [dim]file-keeper get -r media:reports reports[/dim]
    """
    several = recursive or bool(glob)
    if target == "-":
        if several:
            raise UsageError("several files go into a folder, or one after the other to `file-keeper cat`")
        _copy_out(session, session.file(source))
        return
    if recursive and not glob:
        expect_files(session, source)
        plan = batch(
            session, None, overwrite, no_clobber, dry_run, compare_of(checksum, size_only), bwlimit, concurrency,
            filters_of(include, exclude, filter_from),
        )  # fmt: skip
        here, there = place_of(session, source), place_of(session, target, make=not dry_run)
        replaced = functools.partial(_get_over, session, Address.parse(source), target)
        taken = replaced if overwrite and not dry_run else None
        carry(session, here, there, plan_of(here, there, **plan), taken=taken)
        return
    only_for_many(no_clobber, checksum, size_only, include, exclude, filter_from, bwlimit)
    into_folder = several or target.endswith(("/", os.sep)) or os.path.isdir(target)
    for address, name in expand(session, (source,), recursive=recursive, glob=glob):
        with session.attempt():
            path = place_in(target, name) if into_folder else target
            if dry_run:
                would(session, str(address), path)
                continue
            storage = session.storage(address)
            with local.arriving(path, overwrite=overwrite) as staged:
                with session.progress(address.name) as tell:
                    file = storage.download(address.location, staged, progress=tell)
                if verify and file.hash:
                    _compare(staged, file)
            record = {**file_record(storage.name, file), "path": path}
            session.output.done(record, f"{path}  {size_text(file.size)}  {hash_text(file)}")


def _get_over(session: Session, folder: Address, target: str, name: str) -> None:
    """Get one file in the place of what is no file, such as a link, but has its name."""
    address = folder.within(name)
    with local.arriving(place_in(target, name), overwrite=True) as staged:
        session.storage(address).download(address.location, staged)


def _compare(path: str, file: fk.FileData) -> None:
    hasher = hashing.new(file.algorithm)
    with open(path, "rb", buffering=0) as written:
        while chunk := written.read(1 << 20):
            hasher.update(chunk)
    if hasher.hexdigest() != file.hash:
        raise exc.UploadHashMismatchError(
            f"the {file.algorithm} of what was read is {hasher.hexdigest()}, recorded was {file.hash}: it is damaged",
            operation="get",
            location=file.location,
        )


def _copy_out(session: Session, address: Address) -> None:
    with session.storage(address).stream(address.location) as stream:
        for chunk in stream:
            with answering():
                sys.stdout.buffer.write(chunk)
    with answering():
        sys.stdout.buffer.flush()


def cat(
    session: Session,
    files: Annotated[
        list[str], typer.Argument(metavar="STORAGE:LOCATION", autocompletion=locations, help="The files.")
    ],
) -> None:
    """Write files to stdout, byte for byte, one after the other.

    [dim]file-keeper cat media:a.csv media:b.csv | sort[/dim]
    """
    for text in files:
        _copy_out(session, session.file(text))


def expect_files(session: Session, text: str) -> None:
    """Refuse a folder without files. :raises MissingFileError: when it has none"""
    next(expand(session, (text,), recursive=True))
