"""Mixed operations by many threads and processes under random faults, with a model of what must be there.

Each worker has files of its own, of which it knows what they may hold: one content, or several after an error that told
a doubt. Files that all write are known only to be whole. Nothing else is left in the end, and no process has grown.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import logging
import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import file_keeper as fk
from file_keeper import exc
from file_keeper.backend import Wrapper

from .places import PART, Place

T = TypeVar("T")

Model = dict[str, set[bytes | None]]

THREADS = 16
FILES = 4
"""Files of each worker."""


def payload(chance: random.Random, size: int) -> bytes:
    """Give content that tells by itself whether it is whole."""
    body = chance.randbytes(size)
    return hashlib.sha256(body).hexdigest().encode() + body


def is_whole(content: bytes) -> bool:
    """Return whether content is one that `payload` gave."""
    return hashlib.sha256(content[64:]).hexdigest().encode() == content[:64]


class Chance(Wrapper):
    """A backend without a network that fails as one with a network does: before a call, or after it was done."""

    def __init__(self, inner: Any, share: float) -> None:
        super().__init__(inner)
        self._share = share

    def around(self, verb: str, key: str, call: Callable[[], T]) -> T:
        dice = random.random() if verb not in ("body", "item", "move") else 1.0
        if dice < self._share:
            raise exc.ConnectionError("reset", retryable=True)
        result = super().around(verb, key, call)
        if dice < 2 * self._share:
            if hasattr(result, "close"):
                result.close()  # pyright: ignore
            raise exc.ConnectionError("the answer is lost", retryable=True)
        return result


@dataclasses.dataclass
class Report:
    """What one process has seen."""

    calls: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter[str])
    errors: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter[str])
    doubts: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list[str])
    figures: list[tuple[float, int, int]] = dataclasses.field(default_factory=list[tuple[float, int, int]])
    """MiB, descriptors and threads: after the first part, and at the end."""

    def add(self, other: Report) -> None:
        """Count another process in."""
        self.calls += other.calls
        self.errors += other.errors
        self.doubts += other.doubts
        self.wrong += other.wrong
        self.figures += other.figures


def figures() -> tuple[float, int, int]:
    """Give MiB of memory, descriptors and threads of this process."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20), len(os.listdir("/proc/self/fd")), threading.active_count()


class Worker:
    """One thread with files of its own.

    :param model: what each file may hold; ``None`` is not there
    """

    def __init__(self, storage: fk.Storage, name: str, large: int, report: Report, lock: threading.Lock) -> None:
        self.storage, self.name, self.large, self.report, self._lock = storage, name, large, report, lock
        self.chance = random.Random(name)
        self.names = [f"{name}/{number}" for number in range(FILES)]
        self.model: dict[str, set[bytes | None]] = {name: {None} for name in self.names}
        known = {
            "create": fk.Capability.CREATE, "replace": fk.Capability.CREATE, "stream": fk.Capability.STREAM,
            "content": fk.Capability.STREAM, "range": fk.Capability.RANGE, "exists": fk.Capability.EXISTS,
            "scan": fk.Capability.SCAN, "remove": fk.Capability.REMOVE, "copy": fk.Capability.COPY,
            "move": fk.Capability.MOVE, "append": fk.Capability.APPEND, "compose": fk.Capability.COMPOSE,
            "shared": fk.Capability.CREATE, "parts": fk.Capability.CREATE,
        }  # fmt: skip
        self.choices = [name for name, needs in known.items() if storage.supports(needs)]

    def wrong(self, what: str) -> None:
        with self._lock:
            self.report.wrong.append(f"{self.name}: {what}")

    def step(self) -> None:
        """Do one operation, and compare."""
        choice = self.chance.choice(self.choices)
        if choice == "parts" and self.chance.random() < 0.7:
            return
        with self._lock:
            self.report.calls[choice] += 1
        try:
            getattr(self, "_" + choice)()
        except exc.FilesError as error:
            with self._lock:
                self.report.errors[type(error).__name__] += 1
                self.report.doubts += error.uncertain
            if not isinstance(error, exc.ConnectionError) and not error.uncertain:
                self.wrong(f"{choice} ended with {error!r:.400}")
        except Exception as error:
            self.wrong(f"{choice} raised {error!r:.400}")

    def _write(
        self,
        changes: dict[str, bytes | None],
        call: Callable[[], Any],
        *,
        between: dict[str, bytes | None] | None = None,
    ) -> None:
        """Do what changes files of our own.

        :param between: what an error may leave although it tells no doubt
        """
        try:
            call()
        except exc.FilesError as error:
            for told in (changes if error.uncertain else {}, between or {}):
                for name, content in told.items():
                    self.model[name] = {*self.model[name], content}
            raise
        for name, content in changes.items():
            self.model[name] = {content}

    def _a_file(self) -> tuple[str, bytes] | None:
        """Give one whose content is known."""
        known = [(name, next(iter(held))) for name, held in self.model.items() if len(held) == 1]
        there = [(name, content) for name, content in known if content is not None]
        return self.chance.choice(there) if there else None

    def _new_one(self) -> str | None:
        free = [name for name, held in self.model.items() if held == {None}]
        return self.chance.choice(free) if free else None

    def _size(self) -> int:
        return self.chance.choice((0, 1, 1000, 4000))

    def _create(self) -> None:
        name, content = self.chance.choice(self.names), payload(self.chance, self._size())
        if self.model[name] == {None}:
            self._write({name: content}, lambda: self.storage.upload(name, content, overwrite=False))
        elif None not in self.model[name]:
            try:
                self.storage.upload(name, content, overwrite=False)
            except exc.ExistingFileError:
                return
            self.wrong(f"a file that was there was overwritten, or it was lost: {name}")

    def _replace(self) -> None:
        name, content = self.chance.choice(self.names), payload(self.chance, self._size())
        self._write({name: content}, lambda: self.storage.upload(name, content, overwrite=True))

    def _parts(self) -> None:
        name, content = self.chance.choice(self.names), payload(self.chance, self.large)
        source = (content[start : start + 100_000] for start in range(0, len(content), 100_000))
        self._write({name: content}, lambda: self.storage.upload(name, fk.make_upload(source), overwrite=True))

    def _shared(self) -> None:
        name = f"shared/{self.chance.randrange(3)}"
        if self.chance.random() < 0.5:
            self.storage.upload(name, payload(self.chance, self._size()), overwrite=True)
        else:
            try:
                if not is_whole(self.storage.content(name)):
                    self.wrong(f"torn: {name}")
            except (exc.MissingFileError, exc.ChangedFileError):
                pass

    def _compare(self, name: str, found: bytes | None) -> None:
        if found not in self.model[name]:
            told = [None if one is None else len(one) for one in self.model[name]]
            self.wrong(f"{name} has {None if found is None else len(found)} bytes, {told} may be there")
        self.model[name] = {found}

    def _read(self, name: str, read: Callable[[], bytes]) -> None:
        try:
            found = read()
        except exc.MissingFileError:
            found = None
        self._compare(name, found)

    def _content(self) -> None:
        name = self.chance.choice(self.names)
        self._read(name, lambda: self.storage.content(name))

    def _stream(self) -> None:
        name = self.chance.choice(self.names)

        def read() -> bytes:
            with self.storage.stream(name) as stream:
                return b"".join(stream)

        self._read(name, read)

    def _range(self) -> None:
        if file := self._a_file():
            name, content = file
            if self.storage.range(name, 10, 50) != content[10:50]:
                self.wrong(f"another range of {name}")

    def _exists(self) -> None:
        name = self.chance.choice(self.names)
        found = self.storage.exists(name)
        if (self.model[name] == {None} and found) or (None not in self.model[name] and not found):
            self.wrong(f"exists gives {found} for {name}")

    def _scan(self) -> None:
        found = set(self.storage.scan(prefix=self.name + "/"))
        must = {name for name, held in self.model.items() if None not in held}
        never = {name for name, held in self.model.items() if held == {None}}
        if must - found or found & never:
            self.wrong(f"scan lacks {must - found} and gives {found & never}")

    def _remove(self) -> None:
        name = self.chance.choice(self.names)
        self._write({name: None}, lambda: self.storage.remove(name))

    def _copy(self) -> None:
        file, target = self._a_file(), self.chance.choice(self.names)
        if file and file[0] != target:
            self._write({target: file[1]}, lambda: self.storage.copy(target, file[0], overwrite=True))

    def _move(self) -> None:
        file, target = self._a_file(), self._new_one()
        if file and target:
            name, content = file
            # The copy stays where its removal failed.
            self._write(
                {target: content, name: None},
                lambda: self.storage.move(target, name, overwrite=False),
                between={target: content},
            )

    def _append(self) -> None:
        if file := self._a_file():
            name, content = file
            self._write({name: content + b"+"}, lambda: self.storage.append(name, b"+"))

    def _compose(self) -> None:
        file, target = self._a_file(), self._new_one()
        if file and target:
            self._write({target: file[1] * 2}, lambda: self.storage.compose(target, file[0], file[0]))


def storage_for(settings: dict[str, Any], share: float) -> fk.Storage:
    """Make a storage; one without a network fails by itself."""
    storage = fk.make_storage("media", settings)
    return storage.wrapped(lambda backend: Chance(backend, share)) if share else storage


def work(settings: dict[str, Any], name: str, seconds: float, share: float, large: int) -> tuple[Report, Model]:
    """Be one process of a soak; give what was seen and what may be there."""
    logging.disable(logging.WARNING)
    report, lock = Report(), threading.Lock()
    end = time.monotonic() + seconds
    with storage_for(settings, share) as storage:
        workers = [Worker(storage, f"{name}{number:02}", large, report, lock) for number in range(THREADS)]

        def run(worker: Worker) -> None:
            while time.monotonic() < end:
                worker.step()

        threads = [threading.Thread(target=run, args=(worker,)) for worker in workers]
        for thread in threads:
            thread.start()
        time.sleep(seconds / 3)
        report.figures.append(figures())
        time.sleep(max(0.0, seconds * 0.6))
        report.figures.append(figures())
        for thread in threads:
            thread.join(120)
            if thread.is_alive():
                report.wrong.append("a thread hangs")
    return report, {name: held for worker in workers for name, held in worker.model.items()}


def _child(queue: Any, *arguments: Any) -> None:
    queue.put(work(*arguments))


def soak(
    settings: dict[str, Any], seconds: float, *, processes: int = 2, share: float = 0.0, large: int
) -> tuple[Report, Model]:
    """Run it; give what was seen, and what may be there in the end.

    :param settings: of the storage that meets the faults
    :param share: how many calls fail, where the faults do not come from a proxy
    """
    if processes == 1:
        found = [work(settings, "p0-", seconds, share, large)]
    else:
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        children = [
            context.Process(target=_child, args=(queue, settings, f"p{n}-", seconds, share, large), daemon=True)
            for n in range(processes)
        ]
        for child in children:
            child.start()
        found = [queue.get(timeout=seconds + 180) for _ in children]
        for child in children:
            child.join(30)
    total, model = Report(), Model()
    for report, models in found:
        total.add(report)
        model |= models
    return total, model


def compare(storage: fk.Storage, report: Report, model: Model) -> None:
    """Look, without faults, whether all is there that must be, and nothing else."""
    there = set(storage.scan())
    for name, held in model.items():
        found = storage.content(name) if name in there else None
        if found not in held:
            kind = "lost" if found is None else "resurrected" if held == {None} else "torn or another's"
            report.wrong.append(f"{kind}: {name}")
    for name in there - model.keys():
        if not name.startswith("shared/") or not is_whole(storage.content(name)):
            report.wrong.append(f"nobody wrote {name}, or not so")


def grown(report: Report, seconds: float) -> list[str]:
    """Tell where a process has grown from the first figures to the last."""
    told: list[str] = []
    for first, last in zip(report.figures[::2], report.figures[1::2], strict=True):
        # In a short run all buffers were not yet in use when the first figures were taken.
        if seconds >= 60 and last[0] > first[0] * 1.3 + 40:
            told.append(f"memory from {first[0]:.0f} to {last[0]:.0f} MiB")
        # Threads and connections come with the parts of uploads in flight.
        if last[1] > first[1] + 3 * THREADS:
            told.append(f"descriptors from {first[1]} to {last[1]}")
        if last[2] > first[2] + 5 * THREADS:
            told.append(f"threads from {first[2]} to {last[2]}")
    return told


def disturb(place: Place, share: float, *, seed: int = 1) -> None:
    """Have faults come at random.

    None of them holds a request back: one that arrives when its caller has given it up and written something else
    replaces that, which no client can prevent where it overwrites without a condition.
    """
    dice = random.Random(seed)
    lock = threading.Lock()

    def sometimes(_: Any) -> bool:
        with lock:
            return dice.random() < share

    from .faults import FAULTS

    chosen = (
        "503", "500", "reset before it is done", "reset after it is done", "closed before it is done",
        "closed after it is done", "reset in the body", "closed in the body",
    )  # fmt: skip
    for fault in FAULTS:
        if fault.name in chosen:
            fault.arm(place.front.on(where=sometimes, times=None), place.kind, 20)


SOAKED = {"attempts": 2, "base": "1ms", "longest": "50ms", "timeout": "60s"}


def soak_place(place: Place, seconds: float, *, share: float = 0.004) -> Report:
    """Soak a place through its proxy."""
    warm = place.make()  # what the service can do is found out before it begins to fail
    warm.upload("warm", b"x" * (PART[place.kind] + 100_000))
    warm.remove("warm")
    disturb(place, share)
    settings = place.settings(retry=SOAKED, timeout=60, max_concurrency=1, path=f"area/{place.folder}")
    report, model = soak(settings, seconds, large=PART[place.kind] + 70_000)
    place.front.clear()
    time.sleep(1.5)  # what is held back arrives
    compare(place.plain, report, model)
    place.clean()
    if left := [one for one in place.leftovers() if not one.startswith("session")]:
        report.wrong.append(f"cleanup_uploads leaves {left[:5]}")
    report.wrong += grown(report, seconds)
    return report


def soak_local(settings: dict[str, Any], seconds: float, *, processes: int, share: float = 0.1) -> Report:
    """Soak a storage without a network."""
    report, model = soak(settings, seconds, processes=processes, share=share, large=600_000)
    storage = fk.make_storage("media", settings)
    compare(storage, report, model)
    report.wrong += grown(report, seconds)
    return report
