"""Listing 100,000 local files, against os.walk and os.scandir with stat.

FILES (default 100000), FOLDERS (default 100), RUNS (default 7) and TMPDIR are read from the environment.
"""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import file_keeper as fk
from _measure import interleaved, table
from file_keeper.backend import entries_of


def walk(root: str) -> Iterable[str]:
    for _, _, files in os.walk(root):
        yield from files


def scandir_stat(root: str) -> Iterable[os.stat_result]:
    stack = [root]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                else:
                    yield entry.stat(follow_symlinks=False)


def main() -> None:
    files = int(os.environ.get("FILES", "100000"))
    folders = int(os.environ.get("FOLDERS", "100"))
    runs = int(os.environ.get("RUNS", "7"))
    with tempfile.TemporaryDirectory() as root:
        for folder in range(folders):
            path = Path(root, f"folder-{folder:04}")
            path.mkdir()
            for number in range(files // folders):
                (path / f"file-{number:06}.txt").touch()
        storage = fk.make_storage("s", {"type": "fs", "root": root})

        def counted(make: Callable[[], Iterable[object]]) -> Callable[[], object]:
            def run() -> None:
                count = sum(1 for _ in make())
                assert count == files // folders * folders, count

            return run

        tasks = {
            "os.walk": counted(lambda: walk(root)),
            "scandir + stat": counted(lambda: scandir_stat(root)),
            "file-keeper scan": counted(storage.scan),
            "file-keeper files": counted(storage.files),
            "backend keys": counted(
                lambda: (key for page in storage.backend.list("", keys_only=True) for key in page.keys)
            ),
            "backend list": counted(lambda: entries_of(storage.backend.list(""))),
        }
        interleaved(tasks, 1)
        print(f"{files} files in {folders} directories, median of {runs} interleaved runs")
        table(
            interleaved(tasks, runs),
            {
                "file-keeper scan": "os.walk",
                "backend keys": "os.walk",
                "file-keeper files": "scandir + stat",
                "backend list": "scandir + stat",
            },
        )
        tracemalloc.start()
        for _ in storage.files():
            pass
        print(f"peak of memory while listing: {tracemalloc.get_traced_memory()[1] / 1024:.0f} KiB")
        tracemalloc.stop()


if __name__ == "__main__":
    main()
