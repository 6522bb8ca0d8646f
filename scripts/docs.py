"""Write docs/backends.md, docs/reference/errors.md and docs/reference/command.md from the code itself.

    python -m uv run python scripts/docs.py           write them
    python -m uv run python scripts/docs.py --check   end with 1 when a file is not what this would write

Nothing is declared here: capabilities and limits are those of storages made with the least settings (and with the
options that add to them), options are the fields of the settings classes, and what an option means is the ``:param``
of it in its class. An option without one ends the program. Errors are the classes of `file_keeper.exc` with the first
line of their docstrings and the exit status that the command gives them; the command's page is its own help.
"""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import io
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import file_keeper as fk
import typer.main
from file_keeper.backend import Limits, Settings
from file_keeper.settings import ALIASES, Option
from file_keeper_cli.app import app
from file_keeper_cli.errors import exit_code

ROOT = Path(__file__).resolve().parents[1]

# What a storage needs at least, by the head of its column; then the options that add capabilities.
LEAST: dict[str, dict[str, Any]] = {
    "memory": {"type": "memory"},
    "null": {"type": "null"},
    "fs": {"type": "fs"},
    "s3": {"type": "s3", "bucket": "b"},
    "gcs": {"type": "gcs", "bucket": "b"},
    "azure": {"type": "azure", "bucket": "b", "account_name": "a"},
    "libcloud LOCAL": {"type": "libcloud", "provider": "LOCAL", "bucket": "b"},
    "libcloud S3": {"type": "libcloud", "provider": "S3", "bucket": "b"},
    "libcloud Azure": {"type": "libcloud", "provider": "AZURE_BLOBS", "bucket": "b"},
}
ADDING: dict[str, dict[str, Any]] = {
    "memory": {"base_url": "https://files.example", "signing_key": "a key"},
    "fs": {"base_url": "https://files.example", "signing_key": "a key"},
    "libcloud": {"public_prefix": "https://files.example"},
}

INTRODUCTION = """\
# Backends

What each type can do and the options that it takes. This page is written by `scripts/docs.py` from the classes
themselves, and CI checks that it is current; [fs](backends/fs.md), [S3](backends/s3.md), [GCS](backends/gcs.md),
[Azure](backends/azure.md) and [Libcloud](backends/libcloud.md) say how and why, provider by provider,
and [requests](budget.md) what operations cost.

"""

CAPABILITIES = """\

A capability follows from what the backend implements; `Storage.supports` tells it, and a method without it raises
`UnsupportedOperationError`. Libcloud's drivers differ: the three that the tests run on are shown.

"""

LIMITS: dict[str, str] = {
    "put_max": "largest body of one request",
    "part_min": "smallest part but the last",
    "part_max": "largest part",
    "parts_max": "most parts",
    "object_max": "largest file",
    "metadata_max": "metadata",
    "order": "order of the provider's listing (repaired where it is not `bytes`)",
    "atomic_create": "not overwriting is decided by the provider",
    "hash": "hashes that the provider keeps itself",
}


def storages(folder: str) -> dict[str, fk.Storage]:
    """Make a storage for each column; that does no network I/O."""
    made: dict[str, fk.Storage] = {}
    for head, settings in LEAST.items():
        extra = {"fs": {"root": folder}, "libcloud": {"key": folder, "secret": "c2VjcmV0"}}.get(settings["type"], {})
        made[head] = fk.make_storage(head, {**settings, **extra})
    return made


def table(head: list[str], rows: list[list[str]]) -> str:
    """Give a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines) + "\n"


def capability_table(made: dict[str, fk.Storage]) -> str:
    """Give what each can do: with the least settings, or with an option."""
    rows: list[list[str]] = []
    for capability in fk.Capability:
        if not capability.value:
            continue
        row = [f"`{capability.name}`"]
        for storage in made.values():
            row.append(_mark(storage, capability))
        rows.append(row)
    return table(["", *made], rows)


def _mark(storage: fk.Storage, capability: fk.Capability) -> str:
    if storage.supports(capability):
        return "✓"
    raw = storage.settings.raw
    adding = ADDING.get(storage.settings.type.partition(":")[2], {})
    for count in range(1, len(adding) + 1):
        options = dict(list(adding.items())[:count])
        with fk.make_storage("with", {**raw, "type": storage.settings.type, **options}) as more:
            if more.supports(capability):
                return f"with {' and '.join(f'`{option}`' for option in options)}"
    return "–"


def limit_table(made: dict[str, fk.Storage]) -> str:
    """Give what each provider holds to."""
    rows: list[list[str]] = []
    for field, label in LIMITS.items():
        rows.append([label, *(_limit(storage.limits, field, storage) for storage in made.values())])
    return table(["", *made], rows)


def _limit(limits: Limits, field: str, storage: fk.Storage) -> str:
    if field == "hash":
        one = _names(limits.put_digests) or ("computed when asked" if limits.local else "–")
        parts = _names(limits.multipart_digests)
        return f"{one}; in parts {parts or '–'}" if storage.supports(fk.Capability.MULTIPART) and parts != one else one
    if field.startswith("part") and not storage.supports(fk.Capability.MULTIPART):
        return "–"
    if field == "metadata_max" and not limits.metadata:
        return "not kept"
    value = getattr(limits, field)
    if isinstance(value, bool):
        return "✓" if value else "– (a look before the write)"
    if field in ("order",):
        return f"`{value}`"
    if field == "parts_max":
        return f"{value:,}"
    return "any" if value >= 1 << 60 else fk.humanize_filesize(value)


def _names(digests: frozenset[str]) -> str:
    return "all" if len(digests) > 4 else ", ".join(sorted(digests))


def descriptions(cls: type[Settings]) -> dict[str, str]:
    """Give the ``:param`` of each option of a settings class."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        text = inspect.cleandoc(base.__doc__ or "") if issubclass(base, Settings) else ""
        for name, told in re.findall(r"^:param (\w+): (.*?)(?=^:|\Z)", text, re.MULTILINE | re.DOTALL):
            found[name] = " ".join(told.split()).replace("``", "`")
    return found


def option_table(cls: type[Settings], options: dict[str, Option]) -> str:
    """Give the options with their kinds, defaults and meanings."""
    told = descriptions(cls)
    defaults = {field.name: field for field in dataclasses.fields(cls)}
    rows: list[list[str]] = []
    for name, known in options.items():
        if known.later:
            continue
        if not told.get(name):
            sys.exit(
                f"{cls.__module__}.{cls.__name__} does not say what its option {name!r} means (:param {name}: ...)"
            )
        names = f"`{name}`" + "".join(f", `{alias}`" for alias in known.aliases)
        kind = " or ".join(f"`{choice}`" for choice in known.choices) or known.kind
        notes = [word for word, true in (("required", known.required), ("secret", known.secret)) if true]
        notes += ["an object of the program"] if known.live else []
        rows.append(
            [names, kind, _default(name, defaults[name]), told[name] + (f" ({', '.join(notes)})" if notes else "")]
        )
    return table(["option", "kind", "default", "meaning"], rows)


def _default(name: str, field: dataclasses.Field[Any]) -> str:
    if name == "multipart_threshold":
        return "`part_size`"
    value = field.default
    if value is dataclasses.MISSING or value in ("", (), None):
        return ""
    if field.metadata["option"].kind == "size":
        return fk.humanize_filesize(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def page() -> str:
    """Give the whole page."""
    with tempfile.TemporaryDirectory() as folder:
        made = storages(folder)
        parts = [
            INTRODUCTION,
            "## What each can do\n\n",
            capability_table(made),
            CAPABILITIES,
            "## What each holds to\n\n",
            limit_table(made),
            "\nMetadata is held to 2 KB everywhere, so that the swap holds.\n\n",
            "## Options of every type\n\n",
            option_table(
                Settings, {k: v for k, v in Settings.options().items() if k not in ("name", "type", "bucket")}
            ),
        ]
        seen: set[type[Settings]] = {Settings}
        for storage in made.values():
            cls = type(storage.settings)
            if cls in seen:
                continue
            seen.add(cls)
            short = storage.settings.type.partition(":")[2]
            also = sorted(alias for alias, full in ALIASES.items() if full == storage.settings.type)
            parts.append(f"\n## `file_keeper:{short}`\n\nAlso accepted: {', '.join(f'`{name}`' for name in also)}.\n\n")
            parts.append(option_table(cls, cls.own()))
        for storage in made.values():
            storage.close()
    return "".join(parts)


ERRORS = """\
# Errors

Written by `scripts/docs.py` from `file_keeper.exc`, indented as the classes inherit. Every one is a `FilesError`; the
third column names the class of Python that it is too, the last the exit status of the command. What to do about
them stands in [Errors, repeats, circuit breakers](../guides/errors.md).

"""


def error_page() -> str:
    """Return the table of the errors, and the directive that brings their descriptions."""
    rows: list[list[str]] = []

    def visit(cls: type[fk.exc.FilesError], depth: int) -> None:
        foreign = [
            base.__name__
            for base in cls.__mro__
            if (getattr(builtins, base.__name__, None) is base or base is io.UnsupportedOperation)
            and base not in (Exception, BaseException, object)
            and not any(base is not other and issubclass(other, base) for other in _foreign(cls))
        ]
        name = f"{'&emsp;' * depth}`{cls.__name__}`"
        rows.append([name, _first_line(cls), ", ".join(f"`{one}`" for one in foreign), str(exit_code(cls("")))])
        for sub in sorted(cls.__subclasses__(), key=lambda one: one.__name__):
            if sub.__module__ == fk.exc.__name__:
                visit(sub, depth + 1)

    visit(fk.exc.FilesError, 0)
    text = ERRORS + table(["error", "when", "also", "exit"], rows)
    return text + "\n```{eval-rst}\n.. automodule:: file_keeper.exc\n   :members:\n   :show-inheritance:\n```\n"


def _foreign(cls: type) -> list[type]:
    return [base for base in cls.__mro__ if base.__module__ in ("builtins", "io") and base is not cls]


def _first_line(cls: type) -> str:
    if not cls.__doc__ or cls.__doc__ == getattr(cls.__base__, "__doc__", ""):
        sys.exit(f"{cls.__name__} does not say when it is raised")
    return inspect.cleandoc(cls.__doc__).partition("\n\n")[0].replace("\n", " ").replace("``", "`")


COMMAND = """\
# file-keeper

The help of the command, written by `scripts/docs.py`. How it is used stands in [The command](../guides/command.md).

"""


def command_page() -> str:
    """Return the help of each command."""
    program: Any = typer.main.get_command(app)  # typer brings a click of its own, with no types to name
    context = program.context_class(program, info_name="file-keeper")
    parts = [COMMAND, f"{_paragraphs(program.help)}\n{_paragraphs(program.epilog)}\n## Common options\n\n"]
    parts.append("Before the command or behind it:\n\n" + _options(program))
    common = {name for option in program.params for name in option.opts}
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        if command.hidden:
            continue
        inner = command.context_class(command, info_name=name, parent=context)
        usage = " ".join(["file-keeper", name, *command.collect_usage_pieces(inner)])
        parts.append(f"\n## {name}\n\n```text\n{usage}\n```\n\n{_paragraphs(command.help)}\n")
        parts.append(_options(command, common))
    return "".join(parts)


def _paragraphs(text: str | None) -> str:
    plain = re.sub(r"[\b\f]", "", inspect.cleandoc(text or ""))
    return "\n\n".join(" ".join(part.split()) for part in plain.split("\n\n")) + "\n"


def _options(command: Any, known: frozenset[str] | set[str] = frozenset()) -> str:
    rows: list[list[str]] = []
    for option in command.params:
        if getattr(option, "hidden", False) or set(option.opts) & known or "--help" in option.opts:
            continue
        told = " ".join((getattr(option, "help", "") or "").split())
        if option.param_type_name == "argument":
            rows.append([f"`{_metavar(option)}`", told])
            continue
        names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
        value = "" if getattr(option, "is_flag", False) else f" `{_metavar(option)}`"
        rows.append([names + value, told])
    return table(["", "meaning"], rows) if rows else ""


def _metavar(option: Any) -> str:
    return option.metavar or option.name.upper()


PAGES = {
    ROOT / "docs" / "backends.md": page,
    ROOT / "docs" / "reference" / "errors.md": error_page,
    ROOT / "docs" / "reference" / "command.md": command_page,
}


def main() -> int:
    """Write the pages, or tell whether they are current."""
    stale = 0
    for target, make in PAGES.items():
        text = make()
        if "--check" not in sys.argv[1:]:
            target.write_text(text, "utf-8")
        elif not target.exists() or target.read_text("utf-8") != text:
            print(f"{target.relative_to(ROOT)} is not current: run python scripts/docs.py", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
