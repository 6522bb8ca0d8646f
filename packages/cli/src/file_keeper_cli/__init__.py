"""The ``file-keeper`` command: files on any storage, from the shell. See ``docs/guides/command.md``."""

from .app import app, main
from .demo import Report, run_demo

__all__ = ["Report", "app", "main", "run_demo"]
