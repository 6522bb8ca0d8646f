"""Processes of their own, for the cases that need some: what they do, and the pipe that they are spoken to through.

A storage travels to them pickled, as it would to a worker of the user's. Run as a module this file is such a process.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

from file_keeper import FileData, Storage, exc
from file_keeper.backend import Body, MultipartRef, ObjectInfo, Part, Source, Wrapper, WriteOptions
from file_keeper.types import Buffer

from .sources import endless, payload

Say = Callable[[Any], None]
Wait = Callable[[], None]


class Child:
    """A process that runs one of the functions of this module.

    :param function: its name
    :param args: pickled; a storage among them is made again on the other side
    :param imports: what the process imports first, see :func:`load`
    """

    def __init__(self, function: str, *args: Any, imports: Iterable[str] = ()):
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for message in ((list(sys.path), list(imports)), (function, args)):
            self._send(message)

    def _send(self, message: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(base64.b64encode(pickle.dumps(message)) + b"\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Return the next thing that it says. :raises RuntimeError: when it ended instead"""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process ended with {self._process.wait(60)} and said nothing")
        kind, value = pickle.loads(base64.b64decode(line))
        if kind == "error":
            raise value
        return value

    def go(self) -> None:
        """Let it go on from where it waits."""
        self._send("go")

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self._process.kill()
        self._process.wait(60)

    def close(self) -> None:
        """Wait for its end, or bring it about."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load(name: str) -> ModuleType:
    """Import what registers an adapter: a module by its name, or a file by its path (that ends in ``.py``)."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    stem = os.path.splitext(os.path.basename(name))[0]
    spec = importlib.util.spec_from_file_location(stem, name)
    assert spec
    assert spec.loader
    module = sys.modules[stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _main() -> None:
    # What is printed by anyone goes to stderr: the pipe is ours.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def receive() -> Any:
        line = sys.stdin.buffer.readline()
        if not line:
            os._exit(3)  # whoever started this is gone
        return pickle.loads(base64.b64decode(line))

    def say(kind: str, value: Any) -> None:
        answers.write(base64.b64encode(pickle.dumps((kind, value))) + b"\n")
        answers.flush()

    path, imports = receive()
    sys.path[:] = path
    for name in imports:
        load(name)
    function, args = receive()

    def said(value: Any) -> None:
        say("said", value)

    try:
        said(globals()[function](said, receive, *args))
    except Exception as error:
        say("error", error)


# -- what they do ---------------------------------------------------------------------------------------------------


def race(storage: Storage, location: str, size: int, contestants: list[int], start: Wait) -> list[int]:
    """Create one location from as many threads as there are contestants; give those that won.

    :param start: called by each thread when it is ready
    """
    winners: list[int] = []
    failures: list[BaseException] = []

    def create(number: int) -> None:
        content = contestant(size, number)
        start()
        try:
            storage.upload(location, content, overwrite=False)
            winners.append(number)
        except exc.ExistingFileError:
            pass
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=create, args=(number,)) for number in contestants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return winners


def contestant(size: int, number: int) -> bytes:
    """Return the content that one contestant of a race writes: they differ wherever there is a byte."""
    return bytes([number]) * size


def racing(say: Say, wait: Wait, storage: Storage, sizes: list[int], contestants: list[int]) -> None:
    """Take part in one race for each size."""
    for size in sizes:
        barrier = threading.Barrier(len(contestants) + 1)
        result: list[list[int]] = []

        def run(size: int = size, barrier: threading.Barrier = barrier, result: list[list[int]] = result) -> None:
            result.append(race(storage, f"race-{size}", size, contestants, lambda: ignore(barrier.wait())))

        thread = threading.Thread(target=run)
        thread.start()
        say("ready")
        wait()
        barrier.wait()
        thread.join()
        say(result[0])
    storage.close()


def ignore(_: object) -> None:
    """Do nothing."""


def send_parts(say: Say, wait: Wait, storage: Storage, kind: str, location: str, pieces: list[bytes], n: int) -> None:
    """Begin an upload in several calls, send `n` pieces of it and wait to be killed."""
    size = sum(map(len, pieces))
    data = storage.multipart_start(location, size) if kind == "multipart" else storage.resumable_start(location, size)
    for number in range(n):
        if kind == "multipart":
            data = storage.multipart_update(data, pieces[number], number)
        else:
            data = storage.resumable_resume(data, pieces[number])
    say(json.dumps(data.as_dict()))
    wait()


def finish_parts(
    _say: Say, _wait: Wait, storage: Storage, kind: str, state: str, pieces: list[bytes]
) -> tuple[list[int], FileData]:
    """Go on with an upload that another process began; return what was there already, and the file."""
    data = FileData.from_dict(json.loads(state))
    with storage:
        if kind == "multipart":
            data = storage.multipart_refresh(data)
            there = [part["part"] for part in data.storage_data["parts"]]
            for number in set(range(len(pieces))) - set(there):
                data = storage.multipart_update(data, pieces[number], number)
            return there, storage.multipart_complete(data)
        data = storage.resumable_refresh(data)
        uploaded: int = data.storage_data["uploaded"]
        rest = b"".join(pieces)[uploaded:]
        return [uploaded], storage.resumable_resume(data, rest)


def resume_piece(say: Say, wait: Wait, storage: Storage, state: str, piece: bytes) -> FileData:
    """Go on with an upload in pieces at the same moment as others do."""
    data = FileData.from_dict(json.loads(state))
    with storage:
        storage.exists("warm-up")
        say("ready")
        wait()
        return storage.resumable_resume(data, piece)


def mixed(say: Say, _wait: Wait, storage: Storage, prefix: str, rounds: int) -> int:
    """Do a bit of everything; return the number of operations."""
    with storage:
        return work(storage, prefix, rounds)


def work(storage: Storage, prefix: str, rounds: int) -> int:
    """Do a bit of everything, `rounds` times."""
    done = 0
    for number in range(rounds):
        location, content = f"{prefix}/{number}", payload(1000 + number, number)
        made = storage.upload(location, content)
        assert storage.content(made) == content
        assert storage.analyze(location).size == len(content)
        assert storage.range(location, 10, 20) == content[10:20]
        assert location in list(storage.scan(prefix=prefix + "/"))
        assert storage.remove(location)
        assert not storage.exists(location)
        done += 7
    return done


def describe(_say: Say, _wait: Wait, storage: Storage, location: str) -> tuple[FileData, bytes]:
    """Return what this process sees of a file."""
    with storage:
        return storage.analyze(location), storage.content(location)


class Discarding(Wrapper):
    """Throws bodies away: what is measured is the library, not a backend that keeps everything in memory."""

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        size = len(body) if isinstance(body, bytes | bytearray | memoryview) else sum(len(chunk) for chunk in body)
        return ObjectInfo(key=key, size=size, etag="discarded")

    def multipart_put(self, upload: MultipartRef, number: int, body: Buffer) -> Part:
        return Part(number=number, size=len(body), etag="discarded")

    def multipart_complete(self, upload: MultipartRef, parts: Any, options: WriteOptions) -> ObjectInfo:
        self.inner.multipart_abort(upload)
        return ObjectInfo(key=upload.key, size=sum(part.size for part in parts), etag="discarded")


class Generated(Wrapper):
    """Reads an object that is larger than anything that is stored."""

    size = 0

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        size = min(self.size, end if end is not None else self.size) - start
        return Body(ObjectInfo(key=key, size=self.size, etag="generated"), size, _Chunks(endless(size)))


class _Chunks:
    def __init__(self, chunks: Iterator[bytes]):
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        chunk = bytes(self._rest[:size] if size >= 0 else self._rest)
        self._rest = self._rest[len(chunk) :]
        return chunk


def _peak() -> int:
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def growth_of_upload(_say: Say, _wait: Wait, storage: Storage, size: int, discard: bool) -> tuple[int, int]:
    """Upload `size` bytes from a generator; return the growth of this process in bytes, and the size stored."""
    if discard:
        storage = storage.wrapped(Discarding)
    with storage:
        storage.upload("warm-up", b"The client and what it imports is there from now on.")
        before = _peak()
        made = storage.upload("large", endless(size))
        return _peak() - before, made.size


def growth_of_stream(_say: Say, _wait: Wait, storage: Storage, size: int) -> tuple[int, int]:
    """Stream an object of `size` bytes; return the growth of this process in bytes, and the bytes read."""

    class Large(Generated):
        pass

    Large.size = size
    with storage.wrapped(Large) as large:
        before = _peak()
        total = sum(len(chunk) for chunk in large.stream("large"))
        return _peak() - before, total


if __name__ == "__main__":
    _main()
