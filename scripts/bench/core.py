"""The core: IterableBytesReader, the engine's own cost, the weight of the import, peak memory of a large stream.

python -m uv run python scripts/bench core
"""

from __future__ import annotations

import hashlib
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import file_keeper as fk

MIB = 1 << 20
SIZE = 1 << 30


def _cpu(function: Callable[[], object]) -> tuple[float, float]:
    before, started = time.process_time(), time.perf_counter()
    function()
    return time.process_time() - before, time.perf_counter() - started


def _median(function: Callable[[], object], runs: int = 3) -> tuple[float, float]:
    results = [_cpu(function) for _ in range(runs)]
    return statistics.median(r[0] for r in results), statistics.median(r[1] for r in results)


def _chunks(chunk: bytes, size: int = SIZE) -> Iterator[bytes]:
    for _ in range(size // len(chunk)):
        yield chunk


def readers() -> None:
    print("\nIterableBytesReader, 1 GiB of chunks, against a plain loop over the same chunks")
    print(f"{'chunk':>8} {'loop s':>8} {'iterate':>8} {'read(chunk)':>12} {'readinto 1 MiB':>15} {'memcpy 1 MiB':>13}")
    for size in (8192, 65536, MIB):
        chunk = os.urandom(size)
        target = memoryview(bytearray(MIB))

        def loop(chunk: bytes = chunk) -> None:
            for _ in _chunks(chunk):
                pass

        def iterate(chunk: bytes = chunk) -> None:
            for _ in fk.IterableBytesReader(_chunks(chunk)):
                pass

        def read(chunk: bytes = chunk) -> None:
            reader = fk.IterableBytesReader(_chunks(chunk))
            while reader.read(len(chunk)):
                pass

        def readinto(chunk: bytes = chunk, target: memoryview = target) -> None:
            reader = fk.IterableBytesReader(_chunks(chunk))
            while reader.readinto(target):
                pass

        def copy(chunk: bytes = chunk, target: memoryview = target) -> None:
            at = 0
            for piece in _chunks(chunk):
                target[at : at + len(piece)] = piece
                at = (at + len(piece)) % MIB

        cells = [_median(f)[0] for f in (loop, iterate, read, readinto, copy)]
        print(
            f"{size:>8} {cells[0]:>8.3f} {cells[1]:>8.3f} {cells[2]:>12.3f} {cells[3]:>15.3f} {cells[4]:>13.3f}"
            f"   iterate {SIZE / 1e9 / max(cells[1], 1e-9):.1f} GB/s"
        )


def engine() -> None:
    print("\nan upload of 1 GiB of unknown size to the null storage, against the hash alone (CPU s, wall s)")
    chunk = os.urandom(MIB)
    for algorithm in ("md5", "crc32c"):
        storage = fk.make_storage("null", {"type": "null", "hashing_algorithm": algorithm})

        def alone(algorithm: str = algorithm) -> None:
            if algorithm == "md5":
                hasher = hashlib.md5(usedforsecurity=False)
                for piece in _chunks(chunk):
                    hasher.update(piece)
            else:
                reader = fk.HashingReader(io.BytesIO(), algorithm=algorithm)
                for piece in _chunks(chunk):
                    reader._hasher.update(piece)

        def upload(storage: fk.Storage = storage) -> None:
            storage.upload("x", _chunks(chunk))

        base, ours = _median(alone), _median(upload)
        print(
            f"{algorithm:8} hash {base[0]:.2f} {base[1]:.2f}   upload {ours[0]:.2f} {ours[1]:.2f}"
            f"   ratio {ours[0] / base[0]:.2f} {ours[1] / base[1]:.2f}"
        )


def calls() -> None:
    print("\nour own cost of a call, µs of CPU (memory backend)")
    storage = fk.make_storage("memory", {"type": "memory", "overwrite_existing": True})
    content = os.urandom(4096)
    storage.upload("a/b", content)
    for name, function in (
        ("upload 4 KiB", lambda: storage.upload("a/b", content)),
        ("content 4 KiB", lambda: storage.content("a/b")),
        ("exists", lambda: storage.exists("a/b")),
        ("analyze", lambda: storage.analyze("a/b")),
    ):

        def many(function: Callable[[], object] = function) -> None:
            for _ in range(2000):
                function()

        print(f"{name:16} {_median(many)[0] / 2000 * 1e6:.0f}")


_IMPORT = "import time; t = time.process_time(); import {}; print((time.process_time() - t) * 1000)"
_MEMORY = """
import resource, file_keeper as fk
storage = fk.make_storage("null", {"type": "null"})
storage.upload("warm", (bytes(1 << 20) for _ in range(32)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
storage.upload("x", (bytes(1 << 20) for _ in range(1024)))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def process() -> None:
    def run(code: str) -> float:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return float(
            subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment).stdout
        )

    print("\nimport, CPU ms (median of 7, byte code cached)")
    for module in ("file_keeper", "boto3", "google.cloud.storage", "azure.storage.blob"):
        try:
            times = [run(_IMPORT.format(module)) for _ in range(8)][1:]
        except subprocess.CalledProcessError:
            continue
        print(f"{module:22} {statistics.median(times):.0f}")
    print(f"\nmemory: growth by an upload of 1 GiB from a generator, null storage: {run(_MEMORY):.1f} MiB")


def main() -> None:
    readers()
    engine()
    calls()
    process()


if __name__ == "__main__":
    main()
