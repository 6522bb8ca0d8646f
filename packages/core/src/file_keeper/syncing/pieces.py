"""What is handed from thread to thread in one piece: names that need nothing, and small files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..bulk.batch import Item
from ..outcomes import Outcome
from .report import Change

OnBytes = Callable[[int, "int | None"], Any]


class Passed:
    """Names that needed nothing, and names that only the target has."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.skipped = 0
        self.extras: list[str] = []
        self.count = 0


class Group:
    """What became of several small files."""

    def __init__(self, outcomes: Sequence[Outcome[Any]]):
        self.outcomes = outcomes


class Extras:
    """Names that only the target has: in memory while they are few, else in a temporary file."""

    def __init__(self) -> None:
        import tempfile  # brings shutil and random along

        self.count = 0
        self._file = tempfile.SpooledTemporaryFile(1 << 20, "w+", encoding="utf-8", newline="\n")  # noqa: SIM115

    def add(self, names: Iterable[str]) -> None:
        """Add names."""
        for name in names:
            # No location has a control character, so a line is a name.
            self._file.write(name + "\n")
            self.count += 1

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        for line in self._file:
            yield line[:-1]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def together(group: Sequence[Item[Any]]) -> Item[Any]:
    """Make one item of several that follow one another."""
    if len(group) == 1:
        return group[0]

    def work(progress: OnBytes) -> Group:
        outcomes: list[Outcome[Any]] = []
        done = 0
        for item in group:
            outcome = item.within(lambda sent, total, before=done: progress(before + sent, None))
            outcomes.append(outcome)
            done += item.size
            if outcome.error is not None and not isinstance(outcome.error, Exception):
                break
        return Group(outcomes)

    return Item(group[-1].location, work, size=sum(item.size for item in group))


def each_of(outcomes: Iterable[Outcome[Any]]) -> Iterator[Outcome[Any]]:
    """Return the outcomes of single names, those of groups among them."""
    for outcome in outcomes:
        if isinstance(outcome.value, Group):
            yield from outcome.value.outcomes
        else:
            yield outcome


def over(passed: Passed, upto: str) -> Item[Any]:
    """Make an item of names that need nothing: it is done before it begins."""
    item: Item[Any] = Item(upto, lambda progress: None)
    item.end(Outcome(upto, passed))
    return item
