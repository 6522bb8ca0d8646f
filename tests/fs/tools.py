"""What several tests of the file system use."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from file_keeper.backend import ObjectInfo, Prefix, WriteOptions, entries_of
from file_keeper_fs import FsBackend
from file_keeper_fs.attributes import seal_name, sidecar_name

PLAIN = WriteOptions()
NEW = WriteOptions(if_absent=True)


def content(backend: FsBackend, key: str) -> bytes:
    body = backend.read(key)
    try:
        return body.read()
    finally:
        body.close()


def keys(backend: FsBackend, prefix: str = "", **options: str) -> list[str]:
    return [entry.key for entry in entries_of(backend.list(prefix, **options))]


def named(backend: FsBackend, prefix: str = "", **options: str) -> list[str]:
    return [key for page in backend.list(prefix, keys_only=True, **options) for key in page.keys]


def sizes(entries: Iterator[ObjectInfo | Prefix]) -> dict[str, int]:
    return {entry.key: entry.size for entry in entries if isinstance(entry, ObjectInfo)}


def leftovers(root: Path) -> list[str]:
    """Tell everything under the reserved name that is not the sidecar of a file, and every empty directory."""
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        path = Path(folder)
        if not folders and not files and path != root:
            found.append(f"{path.relative_to(root)}/")
        if path.name == ".file-keeper":
            there = [file for file in path.parent.iterdir() if file.is_file()]
            valid = {sidecar_name(file.name, file.stat()) for file in there} | {seal_name(file.name) for file in there}
            found += [str((path / name).relative_to(root)) for name in files if name not in valid]
        elif ".file-keeper" in path.parts:
            found += [str((path / name).relative_to(root)) for name in files]
    return found


@contextlib.contextmanager
def same_descriptors() -> Iterator[None]:
    """Check that no descriptor stays open."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before
