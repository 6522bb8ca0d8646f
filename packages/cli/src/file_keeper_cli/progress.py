"""Progress bars on stderr, for work that takes long while somebody looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import file_keeper as fk

if TYPE_CHECKING:
    from file_keeper.syncing import SyncProgress
    from rich.progress import Progress

Tell = Callable[[int, "int | None"], None]
"""Told the bytes done and the total, ``None`` while it is not known: what ``progress=`` of a storage takes."""

PATIENCE = 0.3
"""Seconds before a bar appears: what is quicker needs none."""


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    def narrow() -> Column:
        return Column(no_wrap=True, overflow="ellipsis")

    return Progress(
        TextColumn("{task.description}", markup=False, table_column=narrow()),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[amount]}", style="progress.download", markup=False, table_column=narrow()),
        TextColumn("{task.fields[speed]}", style="progress.data.speed", markup=False, table_column=narrow()),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True, highlight=False, emoji=False),
        transient=True,
    )


@contextmanager
def bar(label: str, *, shown: bool, patience: float = PATIENCE) -> Generator[Tell]:
    """Show a bar while the block runs; it is gone afterwards.

    :param label: what is being done
    :param shown: whether anybody looks; rich is not even imported otherwise
    """
    with changing_bar(lambda: label, shown=shown, patience=patience) as tell:
        yield tell


@contextmanager
def changing_bar(label: Callable[[], str], *, shown: bool, patience: float = PATIENCE) -> Generator[Tell]:
    """Show a bar, as :func:`bar`, whose label may change."""
    progress: Progress | None = None
    task = None
    begun = time.monotonic()

    def tell(done: int, total: int | None) -> None:
        nonlocal progress, task
        if not shown:
            return
        seconds = time.monotonic() - begun
        amount = fk.humanize_filesize(done) + (f" of {fk.humanize_filesize(total)}" if total is not None else "")
        speed = f"{fk.humanize_filesize(round(done / seconds))}/s" if seconds and done else ""
        if progress is None or task is None:
            if seconds < patience:
                return
            progress = _bars()
            task = progress.add_task(label(), total=total, amount=amount, speed=speed)
            progress.start()
        progress.update(task, description=label(), completed=done, total=total, amount=amount, speed=speed)

    try:
        yield tell
    finally:
        if progress is not None:
            progress.stop()


TellTally = Callable[["SyncProgress"], None]
"""Told how far many files are."""


@contextmanager
def tally(label: str, *, shown: bool) -> Generator[TellTally]:
    """Show how many files are done, how many bytes and how fast, while the block runs."""
    said = label
    with changing_bar(lambda: said, shown=shown) as tell:

        def told(progress: SyncProgress) -> None:
            nonlocal said
            files = progress.copied + progress.skipped + progress.deleted + progress.failed
            failed = f", {progress.failed} failed" if progress.failed else ""
            said = f"{label} {files} files{failed}"
            tell(progress.bytes, None)

        yield told
