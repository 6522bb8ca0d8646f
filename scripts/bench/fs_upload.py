"""Upload of 1 GiB to the file system, against shutil.copyfile and copy + md5 in one process.

SIZE (MiB, default 1024), RUNS (default 5) and TMPDIR are read from the environment. Peers that are installed take part.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import file_keeper as fk
from _measure import interleaved, table
from file_keeper import hashing

MIB = 1 << 20


def copy_hashed(source: Path, target: Path, algorithm: str) -> None:
    """Copy by hand, hashing each chunk that was read: what a careful script does."""
    hasher = hashing.new(algorithm) if algorithm in hashing.CRCS else hashlib.new(algorithm, usedforsecurity=False)
    buffer = memoryview(bytearray(MIB))
    with source.open("rb", buffering=0) as read, target.open("wb", buffering=0) as write:
        while count := read.readinto(buffer):
            hasher.update(buffer[:count])
            write.write(buffer[:count])
    hasher.digest()


def main() -> None:
    size = int(os.environ.get("SIZE", "1024"))
    runs = int(os.environ.get("RUNS", "5"))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = root / "source"
        block = os.urandom(MIB)
        with source.open("wb") as file:
            for _ in range(size):
                file.write(block)
        target = root / "target"
        storages = {
            algorithm: fk.make_storage(
                algorithm,
                {
                    "type": "fs",
                    "root": folder,
                    "path": algorithm,
                    "initialize": True,
                    "overwrite_existing": True,
                    "hashing_algorithm": algorithm,
                },
            )
            for algorithm in ("md5", "crc32c")
        }
        tasks: dict[str, Callable[[], object]] = {
            "copyfile": lambda: shutil.copyfile(source, target),
            "copy + md5": lambda: copy_hashed(source, target, "md5"),
            "copy + crc32c": lambda: copy_hashed(source, target, "crc32c"),
            "file-keeper md5": lambda: storages["md5"].upload("x", source),
            "file-keeper crc32c": lambda: storages["crc32c"].upload("x", source),
        }
        try:
            import obstore

            store = obstore.store.LocalStore(folder)
            tasks["obstore"] = lambda: obstore.put(store, "obstore", source)
        except ImportError:
            pass
        # Every target is there and in the cache before anything is measured.
        interleaved(tasks, 1)
        print(f"{size} MiB, median of {runs} interleaved runs")
        table(
            interleaved(tasks, runs),
            {
                "file-keeper md5": "copy + md5",
                "file-keeper crc32c": "copyfile",
                "copy + md5": "copyfile",
                "copy + crc32c": "copyfile",
                "obstore": "copyfile",
            },
        )
        for storage in storages.values():
            assert storage.verify("x").size == size * MIB
            storage.close()


if __name__ == "__main__":
    main()
