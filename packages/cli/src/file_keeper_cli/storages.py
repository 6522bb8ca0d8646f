"""Commands about the storages themselves: storages, check."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Annotated, Any, cast

import file_keeper as fk
import typer
from file_keeper import exc, registry
from file_keeper.settings import Option

from .completing import places
from .config import Configured
from .errors import UsageError
from .many import Checksum, SizeOnly
from .session import Session
from .syncing import compare

_SECRET = "***"
_PASSWORD = re.compile(r"(//[^/@\s:]*):[^/@\s]*@")
"""A password in an address."""
_QUERY = re.compile(r"(://[^?\s]*\?)\S+")
"""What stands behind the path of an address, which may be a signature."""


def masked(settings: Mapping[str, Any], options: Mapping[str, Option]) -> dict[str, Any]:
    """Return settings that may be shown.

    References show where a secret stands, so they may. Blocks may hold anything: of them only the names.

    :param options: of the type, by name; a value of what is not among them is not shown
    """
    shown: dict[str, Any] = {}
    known = {alias: option for name, option in options.items() for alias in (name, *option.aliases)}
    for name, value in settings.items():
        option = known.get(name)
        if isinstance(value, Mapping):
            inner = cast("Mapping[str, Any]", value)
            is_reference = len(inner) == 1 and next(iter(inner)) in ("env", "file")
            shown[name] = dict(inner) if is_reference else dict.fromkeys(inner, _SECRET)
        elif option is None or option.secret:
            shown[name] = _SECRET
        else:
            shown[name] = _without_secrets(value) if isinstance(value, str) else value
    return shown


def _without_secrets(text: str) -> str:
    return _QUERY.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


def _about(name: str, configured: Configured) -> dict[str, Any]:
    """Return what may be told of a storage; ``problem`` says why it cannot be used."""
    kind = configured.settings.get("type", "")
    options = fk.Settings.options()
    problem = ""
    try:
        adapter = registry.find_adapter(kind)
        options = adapter.settings_type.options()
        with fk.make_storage(name or ":", {**configured.settings, "initialize": False}):
            pass
    except exc.FilesError as error:
        problem = error.message
    return {
        "storage": name,
        "type": kind,
        "settings": masked({k: v for k, v in configured.settings.items() if k != "type"}, options),
        "sources": configured.sources,
        "problem": problem,
    }


def storages(session: Session) -> None:
    """List the storages that are configured, secrets masked, and the types that are installed.

    [dim]file-keeper storages --json[/dim]
    """
    told = [_about(name, found) for name, found in sorted(session.storages.configured().items())]
    types = fk.list_adapters()
    if session.output.as_json:
        session.output.record({"storages": told, "types": types}, "")
        return
    from rich import box
    from rich.table import Table

    console = session.output.console()
    if told:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title in ("storage", "type", "settings", "from"):
            table.add_column(title, overflow="fold")
        for one in told:
            settings = "\n".join(f"{key} = {value}" for key, value in one["settings"].items())
            problem = f"! {one['problem']}" if one["problem"] else ""
            rows = "\n".join(filter(None, (settings, problem)))
            table.add_row(f"{one['storage']}:", str(one["type"]), rows, "\n".join(one["sources"]))
        console.print(table)
    else:
        console.print(
            "No storage is configured. A file .file-keeper.toml with a table [storages.media] makes one,\n"
            'FILE_KEEPER_STORAGE_MEDIA="type=fs path=uploads" too, and so does --set type=fs --set path=uploads.\n'
        )
    console.print(f"installed types: {', '.join(types)}")


def check(
    session: Session,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STORAGE... | SOURCE TARGET",
            autocompletion=places,
            help="Names of storages, or two folders.",
            show_default="all",
        ),
    ] = None,
    checksum: Checksum = False,
    size_only: SizeOnly = False,
    one_way: Annotated[bool, typer.Option("--one-way", help="What only TARGET has is no difference.")] = False,
) -> None:
    """Prove credentials and bucket of storages with one cheap request each; or tell how two folders differ.

    [dim]file-keeper check media backup[/dim] proves two storages,
    [dim]file-keeper check media: backup:[/dim] compares what they hold; it exits with 10 when they differ.
    """
    if names and len(names) == 2 and all(":" in name or "/" in name or name == "." for name in names):
        compare(session, names[0], names[1], checksum, size_only, one_way)
        return
    for name in names or sorted(session.storages.configured()):
        try:
            begun = time.perf_counter()
            storage = session.storages.get(name.removesuffix(":"))
            storage.check()
        except exc.FilesError as error:
            session.fail(error)
            continue
        seconds = time.perf_counter() - begun
        record = {"storage": storage.name, "type": storage.settings.type, "ok": True, "seconds": round(seconds, 4)}
        session.output.done(record, f"{name}: ok  {storage.settings.type}  {seconds * 1000:.0f} ms")
    if not (names or session.storages.configured()):
        raise UsageError("no storage is configured, and none is named")
