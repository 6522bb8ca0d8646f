"""Download: an object becomes a local file, atomically, in parallel ranges where that helps."""

from __future__ import annotations

import os
import tempfile
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

from .backend import Backend, ObjectInfo
from .backend.contract import MiB
from .reading import Reader
from .settings import Settings
from .types import Progress

_RANGE = 16 * MiB
_BUFFER = 1 * MiB


def download(
    backend: Backend[Any], key: str, target: str | os.PathLike[str], settings: Settings, progress: Progress | None
) -> ObjectInfo:
    """Write an object to a local path; what stands there is replaced when all is there.

    :raises OSError: when the local file cannot be written
    """
    path = os.fspath(target)
    folder, name = os.path.split(os.path.abspath(path))
    info = backend.head(key)
    descriptor, staged = tempfile.mkstemp(prefix=f".{name[:100]}.", suffix=".part", dir=folder)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            _fetch(backend, info, file.fileno(), settings, progress)
        os.chmod(staged, 0o666 & ~_umask())
        os.replace(staged, path)
    except BaseException:
        os.unlink(staged)
        raise
    return info


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
    backend: Backend[Any], info: ObjectInfo, descriptor: int, settings: Settings, progress: Progress | None
) -> None:
    lock = threading.Lock()
    stop = threading.Event()
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            if progress is not None:
                progress(done, info.size)

    def piece(start: int, end: int) -> None:
        buffer = memoryview(bytearray(min(_BUFFER, max(1, end - start))))
        position = start
        with Reader(backend, info.key, start, end, etag=info.etag) as reader:
            while not stop.is_set() and (count := reader.readinto(buffer)):
                _write_at(descriptor, buffer[:count], position, lock)
                position += count
                tell(count)

    if not backend.limits.ranges or info.size <= 2 * _RANGE or settings.max_concurrency == 1:
        tell(0)
        if info.size:
            piece(0, info.size)
        return
    tell(0)
    with ThreadPoolExecutor(settings.max_concurrency, thread_name_prefix="file-keeper") as pool:
        ranges = ((start, min(info.size, start + _RANGE)) for start in range(0, info.size, _RANGE))
        futures = {pool.submit(piece, *bounds) for bounds in ranges}
        try:
            finished = wait(futures, return_when=FIRST_EXCEPTION).done
            for future in finished:
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
