"""The state of an upload in several calls: plain JSON that went through other hands."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable
from typing import Any, cast

from .. import hashing
from ..data import FileData
from ..location import RESERVED

State = dict[str, Any]

FOLDER = f"{RESERVED}/sessions/"
"""Where the unpublished objects of uploads in several calls and their ledgers are, below the storage's ``path``."""
LEFT = (FOLDER, f"{RESERVED}/incoming/")
"""Where objects lie that nobody may come for."""


def _number(part: State) -> int:
    return part["part"]


class Parts(list[State]):
    """The parts of a state that did not leave this process: sound, in their order, one of each number.

    A state of ten thousand parts is not looked through again with each part that is sent. What was copied or pickled is
    a plain list, and looked through like all that went through other hands. Neither the list nor an entry is changed.
    """

    size = 0
    """Bytes of all of them."""
    sound = False
    """Whether nobody else had them: a copy that :func:`dataclasses.asdict` makes says no."""

    @classmethod
    def of(cls, parts: Iterable[State]) -> Parts:
        """Return parts that are sound, in their order."""
        made = cls(sorted(parts, key=_number))
        made.size, made.sound = sum(part["size"] for part in made), True
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return self.__reduce__()

    def at(self, number: int) -> State | None:
        """Return the part of a number."""
        place = bisect.bisect_left(self, number, key=_number)
        return self[place] if place < len(self) and self[place]["part"] == number else None

    def replaced(self, part: State) -> Parts:
        """Return these with a part, in place of the one of its number."""
        place = bisect.bisect_left(self, part["part"], key=_number)
        old = self.at(part["part"])
        made = Parts(self)
        made.size, made.sound = self.size - (old["size"] if old else 0) + part["size"], True
        made[place : place + (old is not None)] = [part]
        return made


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def damage(data: FileData, state: State) -> str:
    """Return what is wrong with a state, which went through other hands; ``""`` if nothing is."""
    for name, least in (("uploaded", 0), ("part_size", 1)):
        if not _is_count(state.get(name)) or state[name] < least:
            return f"{name} is {state.get(name)!r}"
    beyond = _is_count(data.size) and state.get("resumable") and state["uploaded"] > data.size
    if not _is_count(data.size) or beyond:
        return f"{state['uploaded']} bytes of {data.size!r}"
    if not isinstance(state.get("token"), str) or not re.fullmatch("[0-9a-f]{16}", state["token"]):
        return "its token is none"
    if "scratch" in state and not re.fullmatch("[0-9a-f]{32}", str(state["scratch"])):
        return "its scratch name is none"
    if data.hash and not hashing.is_hex(data.hash, data.algorithm):
        return f"{data.hash!r} is no hash under {data.algorithm!r}"
    if not _is_count(state.get("attempt", 0)) or not isinstance(state.get("detected", ""), str):
        return f"attempt {state.get('attempt', 0)!r} found {state.get('detected', '')!r}"
    if state.get("sum") and not hashing.is_hex(str(state["sum"]), "crc32c"):
        return f"{state['sum']!r} is no sum"
    parts: Any = state.get("parts", [])
    if isinstance(parts, Parts) and parts.sound:
        return ""
    if not isinstance(parts, list):
        return "its parts are no list"
    seen: set[int] = set()
    for part in cast("list[Any]", parts):
        entry = cast("State", part) if isinstance(part, dict) else State()
        number = entry.get("part")
        sound = _is_count(number) and _is_count(entry.get("size")) and isinstance(entry.get("etag"), str)
        sound = sound and isinstance(entry.get("detected", ""), str)
        if not sound or number in seen:
            return f"{part!r} is not a part"
        if data.algorithm in entry and not hashing.is_hex(str(entry[data.algorithm]), data.algorithm):
            return f"{part!r} has no hash"
        seen.add(cast("int", number))
    return ""
