"""What a batch tells: an outcome for each item, and how far it is."""

from __future__ import annotations

import dataclasses
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome(Generic[T_co]):
    """What became of one item of a batch.

    :param location: of the file that the item is about, ``""`` where it names none
    :param value: what the single operation returns; ``None`` when it failed
    :param error: what the single operation raised; ``None`` when it did not
    """

    location: str
    value: T_co | None = None
    error: BaseException | None = None

    def unwrap(self) -> T_co:
        """Return the value. :raises BaseException: the error of the item, if it failed"""
        if self.error is not None:
            raise self.error
        return self.value  # pyright: ignore[reportReturnType] - without an error there is one


@dataclasses.dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is. No number ever goes down.

    :param items: items that are done, whatever became of them
    :param bytes: bytes of content done, those of skipped items among them
    :param failed: items that ended with an error
    :param skipped: items that were there already while overwriting was off; they have an error and did not fail
    :param total: items of the whole batch, ``None`` where the iterable does not tell
    """

    items: int
    bytes: int
    failed: int
    skipped: int
    total: int | None
