"""Kill -9 at random moments in uploads, moves, composes and synchronisations.

Nothing is torn, nothing that nobody removed is lost, and `cleanup_uploads` finds what is left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Callable, Generator
from typing import Any

import file_keeper as fk

from .places import KINDS, PART, placed

FIXED = {"fixed/1": b"first" * 100, "fixed/2": b"second" * 2000}
MOVED = b"moved" * 3000
PLACES = ("moved/here", "moved/there")


@dataclasses.dataclass
class Report:
    """What the kills have shown.

    :param within: how many came within an operation
    :param left: after how many something was left that a listing does not show
    """

    kills: int = 0
    within: int = 0
    left: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list[str])


def payload(chance: random.Random, size: int) -> bytes:
    body = chance.randbytes(size)
    return hashlib.sha256(body).hexdigest().encode() + body


def is_whole(content: bytes) -> bool:
    return hashlib.sha256(content[64:]).hexdigest().encode() == content[:64]


def work(settings: dict[str, Any], seed: int, large: int, pipe: Any) -> None:
    """Do one operation after the other, until killed; tell of each that it begins or has ended."""
    chance = random.Random(seed)
    storage = fk.make_storage("media", settings)
    source = fk.make_storage("source", {"type": "memory"})

    def move() -> None:
        here = next(name for name in PLACES if storage.exists(name))
        there = PLACES[here == PLACES[0]]
        # A kill between the copy and the removal leaves both: they are the same.
        storage.move(there, here, overwrite=True)

    def synchronise() -> None:
        for number in range(3):
            source.upload(f"{number}", payload(chance, 500), overwrite=True)
        fk.sync(source, storage.below("synced"), delete=True)

    steps: list[Callable[[], Any]] = [
        lambda: storage.upload(f"small/{chance.randrange(3)}", payload(chance, 2000), overwrite=True),
        lambda: storage.upload("large", fk.make_upload(iter([payload(chance, large - 64)[:large]])), overwrite=True),
        move,
        lambda: storage.compose("composed", "fixed/1", "fixed/2", overwrite=True),
        synchronise,
        lambda: storage.remove(f"small/{chance.randrange(3)}"),
    ]
    while True:
        step = chance.choice(steps)
        pipe.send_bytes(b"begin")
        step()
        pipe.send_bytes(b"end")


@contextlib.contextmanager
def stored_on(kind: str, sender: str) -> Generator[tuple[dict[str, Any], Callable[[], list[str]]]]:
    """Give the settings of a place, and what tells of its leftovers."""
    if kind in KINDS:
        with placed(kind, sender) as place:
            settings = {**place.settings(), "path": f"area/{place.folder}"}
            yield settings, lambda: [one for one in place.leftovers() if not one.startswith("session ")]
        return
    with tempfile.TemporaryDirectory() as root:

        def leftovers() -> list[str]:
            return [
                os.path.join(folder, name)
                for folder, _, names in os.walk(root)
                for name in names
                if ".file-keeper" in folder and "tmp-" in name
            ]

        yield {"type": "fs", "root": root, "bucket": "media", "initialize": True}, leftovers


def kill_on(kind: str, sender: str, rounds: int, *, seed: int = 1) -> Report:
    """Kill so many times on one kind of storage."""
    report, chance = Report(), random.Random(seed)
    large = PART.get(kind, 1 << 20) + 70_001
    context = multiprocessing.get_context("spawn")
    with stored_on(kind, sender) as (settings, leftovers), fk.make_storage("look", settings) as storage:
        for name, content in {**FIXED, PLACES[0]: MOVED}.items():
            storage.upload(name, content)
        ready = [_start(context, settings, chance.random(), large) for _ in range(2)]
        for _ in range(rounds):
            child, pipe, go = ready.pop(0)
            go.set()
            last = pipe.recv_bytes() if pipe.poll(60) else b""
            # Another one gets ready meanwhile: to start takes longer than to be killed.
            ready.append(_start(context, settings, chance.random(), large))
            time.sleep(chance.uniform(0.0, 0.25))
            child.kill()
            child.join()
            with contextlib.suppress(EOFError, OSError):
                while pipe.poll():
                    last = pipe.recv_bytes()
            pipe.close()
            report.kills += 1
            report.within += last == b"begin"
            time.sleep(0.1)  # what was sent is done by now
            report.left += bool(leftovers())
            _look(storage, report)
        for child, _, _ in ready:
            child.kill()
            child.join()
        time.sleep(0.3)
        storage.cleanup_uploads(0)
        if left := leftovers():
            report.wrong.append(f"cleanup_uploads leaves {left[:5]}")
        _look(storage, report)
    return report


def _start(context: Any, settings: dict[str, Any], seed: float, large: int) -> tuple[Any, Any, Any]:
    receive, send = context.Pipe(duplex=False)
    go = context.Event()
    child = context.Process(target=_wait, args=(settings, seed, large, send, go), daemon=True)
    child.start()
    send.close()
    return child, receive, go


def _wait(settings: dict[str, Any], seed: float, large: int, pipe: Any, go: Any) -> None:
    go.wait(120)
    work(settings, int(seed * 1e9), large, pipe)


def _look(storage: fk.Storage, report: Report) -> None:
    there = {name: storage.content(name) for name in storage.scan()}
    for name, content in FIXED.items():
        if there.pop(name, None) != content:
            report.wrong.append(f"{name} is lost or changed")
    moved = [there.pop(name) for name in PLACES if name in there]
    if not moved or any(content != MOVED for content in moved):
        report.wrong.append(f"what was moved is there {len(moved)} times")
    if there.pop("composed", None) not in (None, b"".join(FIXED.values())):
        report.wrong.append("what was composed is torn")
    report.wrong += [f"{name} is torn: {len(content)}" for name, content in there.items() if not is_whole(content)]
