"""The state of an upload in several calls: plain JSON that went through other hands."""

from __future__ import annotations

import re
from typing import Any, cast

from .. import hashing
from ..data import FileData
from ..location import RESERVED

State = dict[str, Any]

FOLDER = f"{RESERVED}/sessions/"
"""Where the unpublished objects of uploads in several calls and their ledgers are, below the storage's ``path``."""
LEFT = (FOLDER, f"{RESERVED}/incoming/")
"""Where objects lie that nobody may come for."""


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
    parts: Any = state.get("parts", [])
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
