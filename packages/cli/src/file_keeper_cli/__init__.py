"""The ``file-keeper`` command: files on any storage, from the shell. See ``docs/guides/command.md``."""

import typing as _typing

from .app import app, main

if _typing.TYPE_CHECKING:
    from .demo import Report, run_demo

__all__ = ["Report", "app", "main", "run_demo"]


def __getattr__(name: str) -> _typing.Any:
    if name in ("Report", "run_demo"):  # no other command needs them
        from . import demo

        return getattr(demo, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
