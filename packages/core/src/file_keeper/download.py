"""Download: an object becomes a local file, atomically, in parallel ranges where that helps."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, wait
from typing import Any

from . import exc, hashing
from .backend import Backend, ObjectInfo
from .backend.contract import MiB
from .reading import ObjectStream, Verification, check_sums
from .settings import Settings
from .types import Progress
from .workers import Workers

_RANGE = 16 * MiB
_BUFFER = 1 * MiB


def download(
    backend: Backend[Any],
    key: str,
    target: str | os.PathLike[str],
    settings: Settings,
    progress: Progress | None,
    verification: Verification,
) -> ObjectInfo:
    """Write an object to a local path; what stands there is replaced when all is there and proved.

    :raises OSError: when the local file cannot be written
    :raises CorruptedFileError: when the content is not the one that was stored
    """
    path = os.fspath(target)
    folder, name = os.path.split(os.path.abspath(path))
    info = backend.head(key)
    descriptor, staged = tempfile.mkstemp(prefix=f".{_shortened(name)}.", suffix=".part", dir=folder)
    try:
        with os.fdopen(descriptor, "w+b", buffering=0) as file:
            expected = verification.choose(info)
            found = _fetch(backend, info, file.fileno(), settings, progress, expected)
            if left := expected.keys() - found.keys():
                found = {**found, **_sums_of(file, left)}
            check_sums(found, expected)
        os.chmod(staged, _mode_at(path))
        os.replace(staged, path)
    except BaseException:
        os.unlink(staged)
        raise
    return info


def _shortened(name: str) -> str:
    """Return the beginning of a name that leaves room, in the bytes that file systems count, for what is added."""
    while len(os.fsencode(name)) > 100:
        name = name[:-1]
    return name


def _sums_of(file: Any, algorithms: Iterable[str]) -> dict[str, str]:
    hashers = {name: hashing.new(name) for name in algorithms}
    buffer = memoryview(bytearray(_BUFFER))
    file.seek(0)
    while count := file.readinto(buffer):
        for hasher in hashers.values():
            hasher.update(buffer[:count])
    return {name: hasher.hexdigest() for name, hasher in hashers.items()}


def _mode_at(path: str) -> int:
    """Return the rights of the file at a path, which one that replaces it keeps; else those of a new one."""
    with contextlib.suppress(OSError):
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode):
            return status.st_mode & 0o777
    return 0o666 & ~_umask()


def _umask() -> int:
    # There is no way to read it without setting it; /proc has it on Linux, so that no other thread is disturbed.
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write_at(descriptor: int, view: memoryview, position: int, lock: threading.Lock) -> None:
    """Write at a place in a file that other threads write to as well."""
    while view:
        if hasattr(os, "pwrite"):
            written = os.pwrite(descriptor, view, position)
        else:  # Windows has one position for all
            with lock:
                os.lseek(descriptor, position, os.SEEK_SET)
                written = os.write(descriptor, view)
        position += written
        view = view[written:]


def _fetch(
    backend: Backend[Any],
    info: ObjectInfo,
    descriptor: int,
    settings: Settings,
    progress: Progress | None,
    algorithms: Iterable[str],
) -> dict[str, str]:
    """Fetch all bytes; return their hashes, without those that ranges side by side leave to a second look."""
    lock = threading.Lock()
    stop = threading.Event()
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            if progress is not None:
                progress(done, info.size)

    def piece(start: int, end: int, algorithms: Iterable[str]) -> dict[str, str]:
        buffer = memoryview(bytearray(min(_BUFFER, max(1, end - start))))
        position = start
        hashers = {name: hashing.new(name) for name in algorithms}
        with ObjectStream(backend, info.key, start, end, etag=info.etag, size=info.size) as reader:
            while not stop.is_set() and (count := reader.readinto(buffer)):
                for hasher in hashers.values():
                    hasher.update(buffer[:count])
                _write_at(descriptor, buffer[:count], position, lock)
                position += count
                tell(count)
        if position != end and not stop.is_set():
            raise exc.ConnectionError(f"bytes {position} to {end} of the content did not come", retryable=True)
        return {name: hasher.hexdigest() for name, hasher in hashers.items()}

    tell(0)
    if not backend.limits.ranges or info.size <= 2 * _RANGE or settings.max_concurrency == 1:
        return piece(0, info.size, algorithms) if info.size else {}
    # Only CRCs of ranges add up to that of the whole.
    each = [name for name in algorithms if name in hashing.CRCS]
    with Workers(settings.max_concurrency) as pool:
        ranges = [(start, min(info.size, start + _RANGE)) for start in range(0, info.size, _RANGE)]
        futures = [pool.submit(piece, *bounds, each) for bounds in ranges]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done():
                    future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    whole = {name: hashing.new(name).hexdigest() for name in each}
    for (start, end), future in zip(ranges, futures, strict=True):
        for name, value in future.result().items():
            whole[name] = hashing.combine(name, whole[name], value, end - start)
    return whole
