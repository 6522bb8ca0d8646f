"""``demo``: the same files through several storages, and the proof that they come out the same."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Annotated, Any

import file_keeper as fk
import typer
from file_keeper import exc

from . import errors, local, progress
from .errors import UsageError
from .output import Output, file_record, many, size_text
from .session import Session

STREAM = "generated-stream.bin"
"""The location of the generated file."""

_LARGEST_DEFAULT = 8 << 20
_DEFAULT_FILES = 5
_CHUNK = 256 << 10


@dataclasses.dataclass(frozen=True)
class Report:
    """What happened in one storage.

    :param files: what the storage itself says of the files, in the order of its listing
    :param stored: seconds that storing took
    :param streamed: bytes a second of the generated stream
    :param problems: what was not as it should be, empty if all was
    """

    label: str
    type: str
    files: Sequence[fk.FileData]
    stored: float
    streamed: float
    problems: Sequence[str]


def generated(size: int) -> Iterator[bytes]:
    """Return `size` bytes that do not compress, the same ones every time, in pieces of no particular length."""
    source = random.Random("file-keeper")
    left = size
    while left:
        chunk = source.randbytes(min(left, _CHUNK + left % 1013))
        left -= len(chunk)
        yield chunk


def run_demo(
    settings_by_label: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, str],
    size: int,
    output: Output,
    *,
    keep: bool = False,
) -> list[Report]:
    """Store, read back, list and compare files in each of several storages.

    :param settings_by_label: settings of each storage, by what to call it; what it creates is removed again
    :param files: location to local path
    :param size: bytes of the generated stream
    :param output: where it is shown
    :param keep: leave the files there
    :return: a report for each storage; see :func:`differences`
    """
    reports: list[Report] = []
    for label, settings in settings_by_label.items():
        with fk.make_storage(label, settings) as storage:
            try:
                reports.append(_run(storage, files, size, output))
            finally:
                if not keep:
                    _remove(storage, [*files, STREAM], output)
    return reports


def _remove(storage: fk.Storage, locations: Sequence[str], output: Output) -> None:
    """Remove what was stored, and on disk the folder that was made for it."""
    from file_keeper_fs import FsSettings

    for failure in storage.remove_many(locations):
        # What no location can be was not stored either, and that has been told.
        if type(failure) is not exc.LocationError:
            output.error(failure)
    if isinstance(storage.settings, FsSettings):
        with suppress(OSError):
            os.rmdir(storage.settings.directory(os.getcwd()))


def _place(storage: fk.Storage) -> str:
    """Print where the files lie."""
    from file_keeper_fs import FsSettings

    settings = storage.settings
    if isinstance(settings, FsSettings):
        return settings.directory(os.getcwd())
    return "/".join(part for part in (settings.bucket, settings.path) if part and isinstance(part, str))


def _run(storage: fk.Storage, files: Mapping[str, str], size: int, output: Output) -> Report:
    say = _Steps(output)
    say.title(f"{storage.name}: {storage.settings.type}, {_place(storage)}")
    uploaded: dict[str, fk.FileData] = {}
    begun = time.perf_counter()
    for location, path in files.items():
        with say.bar(f"store {location}") as tell, open(path, "rb") as file:
            uploaded[location] = storage.upload(location, file, progress=tell)
    before_stream = time.perf_counter()
    with say.bar("stream of unknown size") as tell:
        uploaded[STREAM] = storage.upload(STREAM, generated(size), progress=tell)
    ended = time.perf_counter()
    speed = size / max(ended - before_stream, 1e-6)

    listed = list(storage.scan())
    found = [storage.analyze(location) for location in listed]
    say.table(found)
    stored_bytes = sum(file.size for file in uploaded.values())
    say.step(f"stored {many(len(uploaded), 'file')}, {size_text(stored_bytes)}, in {ended - begun:.2f} s")
    say.step(f"a stream of unknown size, {size_text(size)}, at {size_text(round(speed))}/s")

    problems: list[str] = []
    for file in uploaded.values():
        with say.bar(f"verify {file.location}") as tell:
            try:
                storage.verify(file, progress=tell)
            except exc.UploadHashMismatchError as error:
                problems.append(str(error))
    say.step("read back, every byte, and verified by their hashes", ok=not problems)

    right_order = listed == sorted(uploaded, key=lambda location: location.encode())
    say.step(f"listed {len(listed)} in byte order", ok=right_order)
    if not right_order:
        problems.append(f"{storage.name}: the listing gives {listed}")
    same = {file.location: file for file in found} == uploaded
    say.step("told later as they were when they were stored: size, type, hash", ok=same)
    if not same:
        problems.append(f"{storage.name}: analyze tells otherwise than upload")
    try:
        storage.upload(STREAM, b"another writer", overwrite=False)
    except exc.ExistingFileError as error:
        say.step(f"a second writer was refused ({type(error).__name__}), the first file stands")
    else:
        problems.append(f"{storage.name}: a second writer replaced the file")
        say.step("a second writer was refused", ok=False)
    return Report(storage.name, storage.settings.type, found, ended - begun, speed, problems)


def differences(reports: Sequence[Report]) -> list[str]:
    """Return what differs between storages: order, sizes, types, hashes; and what went wrong in one."""
    found = [problem for report in reports for problem in report.problems]
    for report in reports[1:]:
        first = reports[0]
        if [f.location for f in report.files] != [f.location for f in first.files]:
            found.append(f"{report.label} lists other locations, or in another order, than {first.label}")
        for mine, theirs in zip(report.files, first.files, strict=False):
            if mine != theirs:
                found.append(f"{mine.location}: {mine} in {report.label}, {theirs} in {first.label}")
    return found


class _Steps:
    """Shows the demo to people; says nothing where JSON is wanted."""

    def __init__(self, output: Output):
        self._output = output
        self._shown = not (output.as_json or output.quiet)
        self._console = output.console() if self._shown else None

    def bar(self, label: str) -> Any:
        return progress.bar(label, shown=self._output.progress_shown(), patience=0)

    def title(self, text: str) -> None:
        if self._console is not None:
            self._console.print(f"\n{text}", style="bold")

    def text(self, text: str) -> None:
        if self._console is not None:
            self._console.print(text, soft_wrap=True)

    def step(self, text: str, *, ok: bool = True) -> None:
        if self._console is not None:
            self._console.print(f"  {'✓' if ok else '✗'} {text}", style="green" if ok else "bold red", soft_wrap=True)

    def table(self, files: Sequence[fk.FileData]) -> None:
        if self._console is None:
            return
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("location", no_wrap=True)
        table.add_column("size", justify="right", no_wrap=True)
        table.add_column("type", no_wrap=True)
        # The one column that may shrink, where the terminal is narrow.
        table.add_column(files[0].algorithm if files else "hash", overflow="ellipsis")
        for file in files:
            table.add_row(file.location, size_text(file.size), file.content_type, file.hash or "-")
        self._console.print(table)


# -- the command ----------------------------------------------------------------------------------------------------


def choose_files(folder: str) -> list[str]:
    """Return a few files of a folder to show: those called README first, nothing hidden, nothing huge."""
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            # What no location can name (it is not UTF-8, it has a line feed) is not chosen for somebody else.
            if entry.name.isprintable()
            and entry.is_file()
            and not entry.name.startswith(".")
            and entry.stat().st_size <= _LARGEST_DEFAULT
        ]
    names.sort(key=lambda name: (not name.lower().startswith("readme"), name))
    return [os.path.join(folder, name) for name in names[:_DEFAULT_FILES]]


def name_files(paths: Sequence[str]) -> dict[str, str]:
    """Return a location for each path: where it lies from here, or its name if it lies elsewhere.

    :raises FileNotFoundError: when one is not there
    """
    here = os.getcwd()
    named: dict[str, str] = {}
    for given in paths:
        for path, name in local.below(given) if os.path.isdir(given) else [(given, os.path.basename(given))]:
            relative = os.path.relpath(os.path.abspath(path), here).replace(os.sep, "/")
            location = name if relative.startswith("../") else relative
            stem, dot, suffix = location.rpartition(".")
            number = 1
            while location in named or location == STREAM:
                number += 1
                location = f"{stem}-{number}{dot}{suffix}" if stem else f"{suffix}-{number}"
            os.stat(path)
            named[location] = path
    return named


def demo(
    session: Session,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Files and folders.", show_default="a few of the current folder"),
    ] = None,
    type: Annotated[
        list[str] | None,
        typer.Option("--type", "-t", metavar="TYPE", help="A type to try; may be repeated.", show_default="fs, memory"),
    ] = None,
    storage: Annotated[
        list[str] | None, typer.Option("--storage", metavar="NAME", help="A configured storage to try too.")
    ] = None,
    size: Annotated[str, typer.Option(metavar="SIZE", help="Of the generated stream.")] = "64MiB",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the files; those of fs in ./file-keeper-demo.")] = False,
) -> None:
    """Show what file-keeper does: real files and a large stream, stored, read back, listed and compared.

    The same happens for every type, with one dictionary of which only the key `type` changes. --set puts options
    into it, such as the bucket of a cloud. What the demo stores lies in a folder of its own and is removed at the end.

    [dim]file-keeper demo --type s3 --set bucket=media[/dim]
    """
    try:
        stream_size = fk.parse_filesize(size)
    except ValueError as error:
        raise UsageError(f"--size: {error}") from None
    chosen = name_files(files or choose_files("."))
    with ExitStack() as stack:
        unnamed = session.storages.configured().get("")
        settings = _shared_settings(unnamed.settings if unnamed else {}, stack, keep=keep)
        own_type = settings.pop("type", None)
        types = type or ([own_type] if own_type else [] if storage else ["fs", "memory"])
        by_label: dict[str, Mapping[str, Any]] = {kind: {"type": kind, **settings} for kind in types}
        for name in storage or ():
            session.storages.get(name)
            known = session.storages.configured()[name].settings
            by_label[name] = {**known, "path": _own_folder(str(known.get("path", "")))}
        _show(session, by_label, settings, types, chosen, stream_size, keep=keep)


def _own_folder(path: str) -> str:
    return os.path.join(path, f"file-keeper-demo-{secrets.token_hex(3)}")


def _shared_settings(given: Mapping[str, Any], stack: ExitStack, *, keep: bool) -> dict[str, Any]:
    """Return the dictionary of all types; the folder of fs is removed with `stack`, unless kept."""
    settings: dict[str, Any] = {"initialize": True, **given}
    path = str(given.get("path", ""))
    if "bucket" not in given and "path" not in given:
        settings["bucket"] = "file-keeper-demo"
    settings["path"] = _own_folder(path)
    if "root" not in given and "fs" not in given and not (os.path.isabs(path) or path.startswith("~")):
        root = os.path.abspath(".") if keep else tempfile.mkdtemp(prefix="file-keeper-")
        settings["fs"] = {"root": root}
        if not keep:
            stack.callback(shutil.rmtree, root, ignore_errors=True)
    return settings


def _show(
    session: Session,
    by_label: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any],
    types: Sequence[str],
    files: Mapping[str, str],
    size: int,
    *,
    keep: bool,
) -> None:
    output = session.output
    say = _Steps(output)
    say.title(f"{many(len(files), 'file')} and a generated stream of {size_text(size)}: {', '.join(by_label)}")
    if types:
        shown = {"type": "...", **{key: value for key, value in settings.items() if key in _TELLABLE}}
        say.text(f"One dictionary, of which only `type` changes:\n  {json.dumps(shown)}")
    reports = run_demo(by_label, files, size, output, keep=keep)
    found = differences(reports)
    if output.as_json:
        output.record(
            {
                "identical": not found,
                "differences": found,
                "storages": [
                    {
                        "storage": report.label,
                        "type": report.type,
                        "seconds": round(report.stored, 4),
                        "stream_bytes_per_second": round(report.streamed),
                        "files": [file_record(report.label, file) for file in report.files],
                    }
                    for report in reports
                ],
            },
            "",
        )
    else:
        _conclude(say, reports, found)
        if keep:
            say.text("The files stay where they are (--keep).")
        else:
            say.text("What was stored is removed again; with --keep it stays, to look at.")
    if found:
        session.code = errors.INTEGRITY


_TELLABLE = frozenset(("bucket", "path", "initialize", "fs", "overwrite_existing", "hashing_algorithm", "part_size"))


def _conclude(say: _Steps, reports: Sequence[Report], found: Sequence[str]) -> None:
    say.title("Compared")
    for problem in found:
        say.step(problem, ok=False)
    if found:
        return
    labels = ", ".join(report.label for report in reports)
    count = many(len(reports[0].files), "file")
    if len(reports) > 1:
        say.step(f"{labels}: identical in the locations, order, sizes, types and hashes of {count}")
    else:
        say.step(f"{labels}: {count}, all as they should be")
