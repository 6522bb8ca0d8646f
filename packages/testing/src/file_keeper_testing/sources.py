"""Contents and sources of every kind, the same in each run."""

from __future__ import annotations

import functools
import io
import os
import random
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

KiB = 1 << 10
MiB = 1 << 20


@functools.lru_cache(maxsize=16)
def payload(size: int, seed: int = 0) -> bytes:
    """Return `size` bytes that look random and differ by `seed`."""
    return random.Random(seed).randbytes(size)


def ragged(content: bytes, *, largest: int = 100_000) -> Iterator[bytes]:
    """Return a content in chunks of many sizes, some of them empty."""
    sizes = random.Random(len(content))
    position = 0
    yield b""
    while position < len(content):
        size = min(sizes.choice((0, 1, 7, 4096, 65536, largest)), len(content) - position)
        yield content[position : position + size]
        position += size
    yield b""


def endless(size: int, chunk: int = MiB) -> Iterator[bytes]:
    """Return `size` bytes in chunks, without ever holding more than one."""
    block = payload(chunk, 7)
    for _ in range(size // chunk):
        yield block
    if size % chunk:
        yield block[: size % chunk]


def failing(content: bytes, error: BaseException, chunk: int = 50_000) -> Iterator[bytes]:
    """Return a content, then raise."""
    for start in range(0, len(content), chunk):
        yield content[start : start + chunk]
    raise error


class ShortReads(io.RawIOBase):
    """A stream that gives at most a few bytes at a time and cannot seek."""

    def __init__(self, content: bytes, most: int = 10_007):
        super().__init__()
        self._inner = io.BytesIO(content)
        self._most = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        chunk = self._inner.read(min(len(view), self._most))
        view[: len(chunk)] = chunk
        return len(chunk)


class OnlyRead:
    """A source that has `read` and nothing else."""

    def __init__(self, content: bytes):
        self._inner = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        return self._inner.read(size)


@contextmanager
def pipe(content: bytes) -> Generator[io.BufferedReader]:
    """Return the reading end of a pipe that `content` comes through."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as target:
            try:
                target.write(content)
            except BrokenPipeError:
                pass

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    with os.fdopen(reading, "rb") as source:
        yield source
    thread.join(10)
