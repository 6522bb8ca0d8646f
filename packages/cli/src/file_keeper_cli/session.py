"""What every command has: its storages, its output, its progress, its errors; and the options that give them."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any, Concatenate, ParamSpec, get_type_hints

import file_keeper as fk
import typer
from file_keeper import exc
from file_keeper.outcomes import BatchProgress

from . import errors, progress
from .config import Address, Storages
from .errors import UsageError
from .output import Output, use_utf8
from .standard import answering, give_up, settle

P = ParamSpec("P")

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="[STORAGE:]KEY=VALUE",
        help="An option of a storage, over its configuration; without STORAGE: of the storage ':'. May be repeated.",
        rich_help_panel="Common options",
    ),
]
Config = Annotated[
    str,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration file, instead of the one that is found.",
        rich_help_panel="Common options",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON document a line, for programs.", rich_help_panel="Common options")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing of what went well.", rich_help_panel="Common options")
]
Debug = Annotated[bool, typer.Option("--debug", help="Errors with a traceback.", rich_help_panel="Common options")]


def common(
    ctx: typer.Context, set_: Set = None, config: Config = "", json: Json = False, quiet: Quiet = False,
    debug: Debug = False,
) -> dict[str, Any]:  # fmt: skip
    """Return the common options: those of this command with those given before it."""
    before: dict[str, Any] = ctx.obj or {}
    return {
        "sets": [*before.get("sets", ()), *(set_ or ())],
        "config": config or before.get("config", ""),
        "json": json or before.get("json", False),
        "quiet": quiet or before.get("quiet", False),
        "debug": debug or before.get("debug", False),
    }


class Session:
    """One run of a command.

    :param output: where it writes
    :param sets: the values of ``--set``
    """

    def __init__(self, output: Output, sets: list[str]):
        self.output = output
        self.storages = Storages(sets)
        self.code = 0

    def storage(self, address: Address) -> fk.Storage:
        """Return the storage of an address."""
        return self.storages.get(address.storage)

    def file(self, text: str) -> Address:
        """Return the address of one file. :raises UsageError: when it names none"""
        address = Address.parse(text)
        if not address.location:
            raise UsageError(f"{text!r} names no file: a location belongs behind the colon")
        return address

    def progress(self, label: str) -> AbstractContextManager[progress.Tell]:
        """Show a bar while something long is done; gives what tells it how far it is."""
        return progress.bar(label, shown=self.output.progress_shown())

    def tally(self, label: str) -> AbstractContextManager[progress.TellTally]:
        """Show how far many files are; gives what tells it."""
        return progress.tally(label, shown=self.output.progress_shown())

    @contextmanager
    def batch(self, label: str, *, one: bool) -> Generator[Callable[[BatchProgress], None]]:
        """Show how far several files are, or one; gives what is told of it."""
        if one:
            with self.progress(label) as tell:
                yield lambda batch: tell(batch.bytes, None)
        else:
            from file_keeper.syncing.report import SyncProgress

            with self.tally(label) as told:
                yield lambda batch: told(
                    SyncProgress(
                        batch.items - batch.failed - batch.skipped, batch.skipped, 0, batch.failed, batch.bytes
                    )
                )

    @contextmanager
    def attempt(self) -> Generator[None]:
        """Do something with one of several files: what fails for this one only is told, and the next may follow."""
        try:
            yield
        except (exc.FilesError, OSError) as error:
            if isinstance(error, BrokenPipeError) or not errors.about_one_file(error):
                raise
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Report an error; the first decides the exit code."""
        self.output.error(error)
        self.code = self.code or errors.exit_code(error)


def command(function: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
    """Make a command of a function of a session: the common options beside its own, every error told as it should be.

    :return: what typer makes a command of
    """

    @functools.wraps(function)
    def run(ctx: typer.Context, **given: Any) -> None:
        options = common(ctx, **{name: given.pop(name) for name in _COMMON})
        output = Output(as_json=options["json"], quiet=options["quiet"], debug=options["debug"])
        use_utf8()
        if options["config"]:
            os.environ["FILE_KEEPER_CONFIG"] = options["config"]
        code = _run(function, output, options["sets"], given)
        if code:
            raise typer.Exit(code)

    signature = inspect.signature(function)
    hints = get_type_hints(function, include_extras=True)
    _, *own = [p.replace(annotation=hints[p.name]) for p in signature.parameters.values()]
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [context, *own, *_COMMON.values()]
    run.__signature__ = signature.replace(parameters=parameters, return_annotation=None)  # pyright: ignore[reportAttributeAccessIssue, reportFunctionMemberAccess]
    run.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return run


class _Warnings(logging.Handler):
    """Tells what the library warns of, such as names that were not listed."""

    def __init__(self, output: Output):
        super().__init__(logging.WARNING)
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        self._output.warn(record.getMessage())


def _run(function: Callable[..., None], output: Output, sets: list[str], own: dict[str, Any]) -> int:
    """Run a command; return its exit code."""
    storages: Storages | None = None
    told = _Warnings(output)
    log = logging.getLogger("file_keeper")
    log.addHandler(told)
    try:
        session = Session(output, sets)
        storages = session.storages
        function(session, **own)
        with answering():
            sys.stdout.flush()
        return session.code
    except (typer.Exit, typer.Abort):
        raise
    except exc.FilesError as error:
        output.error(error)
        return errors.exit_code(error)
    except BrokenPipeError:
        give_up()
        return errors.BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:
        output.error(error)
        return errors.exit_code(error)
    finally:
        if storages is not None:
            storages.close()
        log.removeHandler(told)
        settle()


_HINTS = get_type_hints(common, include_extras=True)
_COMMON = {
    name: parameter.replace(annotation=_HINTS[name], kind=inspect.Parameter.KEYWORD_ONLY)
    for name, parameter in inspect.signature(common).parameters.items()
    if name != "ctx"
}
