"""One program, one dictionary; only ``type`` changes.

    python examples/swap_providers.py                                    # what needs no server: memory, fs, libcloud
    python examples/swap_providers.py --emulators                        # every type, on the servers of the tests
    python examples/swap_providers.py --type s3 --set bucket=my-bucket   # a real account, with its own credentials

``--type`` may be repeated, and ``--set`` too; ``--set s3.region=eu-west-1`` sets an option of one provider. The program
works in a folder of its own and removes what it stores. It prints what it sees once, and whether each further type
shows the very same; if one does not it ends with 1 and shows the difference, and with 2 if a storage cannot be used.
"""

from __future__ import annotations

import argparse
import difflib
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import file_keeper as fk

MiB = 1 << 20
NO_SERVER = ("memory", "fs", "libcloud")
EVERY_TYPE = ("memory", "fs", "s3", "gcs", "azure", "libcloud")

NAMES = [
    "A.txt",
    "a.txt",
    "a/1.txt",
    "a/b/2.txt",
    "a-b.txt",
    "über/straße.txt",
    "日本語.txt",
    "\ufb01 before the next in UTF-8, after it in UTF-16.txt",
    "😀 supplementary plane.txt",
    "with space, #, ?, %, + and &.txt",
    ".hidden",
]


def program(storage: fk.Storage) -> Iterator[str]:
    """Do what programs do with files, and tell what is seen."""
    # Store, and look again.
    for number, name in enumerate(NAMES):
        made = storage.upload(name, f"file number {number}\n".encode())
        seen = storage.analyze(name)
        yield f"{seen.location}: {seen.size} B, {seen.content_type}, {seen.algorithm} {seen.hash}, {seen == made}"

    # A stream whose size nobody knows, larger than a part.
    made = storage.upload("large.bin", (bytes([n]) * MiB for n in range(7)))
    yield f"{made.location}: {made.size} B, {made.content_type}, {made.algorithm} {made.hash}"
    yield f"a range of it: {storage.range('large.bin', 3 * MiB - 2, 3 * MiB + 2)!r}"
    with storage.open("large.bin") as file:
        file.seek(-1, os.SEEK_END)
        yield f"its last byte: {file.read()!r}"

    # The order of a listing is that of UTF-8 everywhere.
    yield "all: " + " | ".join(storage.scan())
    yield "with a prefix: " + " | ".join(storage.scan(prefix="a"))
    yield "after a name: " + " | ".join(storage.scan(start_after="a/1.txt"))
    yield "one level: " + " | ".join(str(getattr(item, "location", item)) for item in storage.files(delimiter="/"))

    # Copy, move, remove.
    yield f"copied: {_same(storage.copy('copy.txt', 'a.txt'), storage.analyze('a.txt'))}"
    yield f"moved: {storage.move('moved.txt', 'copy.txt').location}, the source is there: {storage.exists('copy.txt')}"
    yield f"content: {storage.content('moved.txt')!r}"
    yield f"removed: {storage.remove('moved.txt')}, again: {storage.remove('moved.txt')}"

    # What goes wrong is told the same way.
    for what, call in _mistakes(storage).items():
        try:
            call()
        except fk.exc.FilesError as error:
            builtin = next(c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins")
            yield f"{what}: {type(error).__name__} ({builtin}) in {error.operation!r} of {error.location!r}"
        else:
            yield f"{what}: no error"
    yield f"what stood there still stands: {storage.content('a.txt')!r}"


def _same(one: fk.FileData, other: fk.FileData) -> bool:
    return (one.size, one.content_type, one.hash) == (other.size, other.content_type, other.hash)


def _mistakes(storage: fk.Storage) -> dict[str, Callable[[], Any]]:
    def interrupted() -> Iterator[bytes]:
        yield b"x" * MiB
        raise fk.exc.ContentError("the source broke")

    stale = storage.analyze("A.txt")
    storage.upload("A.txt", b"changed meanwhile", overwrite=True)
    return {
        "missing": lambda: storage.content("nothing here"),
        "a folder is no file": lambda: storage.content("a"),
        "there already": lambda: storage.upload("a.txt", b"another"),
        "there already, large": lambda: storage.upload("a.txt", (b"x" * MiB for _ in range(7))),
        "not the version that was seen": lambda: storage.upload("A.txt", b"third", overwrite=stale),
        "out of the storage": lambda: storage.upload("../outside", b""),
        "a reserved name": lambda: storage.upload(".file-keeper/x", b""),
        "another hash": lambda: storage.upload("a.txt", b"text", overwrite=True, hash="0" * 32),
        "another size": lambda: storage.upload(
            "a.txt", fk.Upload(fk.IterableBytesReader([b"12345"]), "a.txt", 4, ""), overwrite=True
        ),
        "an interrupted source": lambda: storage.upload("a.txt", interrupted(), overwrite=True),
        "a negative range": lambda: storage.range("a.txt", -1),
        "copying what is missing": lambda: storage.copy("there.txt", "nothing here"),
    }


def run(kind: str, settings: Mapping[str, Any]) -> list[str]:
    """Run the program on a storage of that type; give what it told. What it stored is removed."""
    with fk.make_storage("swap", {**settings, "type": kind}) as storage:
        try:
            return list(program(storage))
        finally:
            try:
                failures = storage.remove_many(list(storage.scan()))
            except fk.exc.FilesError as error:
                failures = [error]
            for failure in failures:
                print(f"not removed: {failure}", file=sys.stderr)


def dictionary(folder: str) -> dict[str, Any]:
    """Give the dictionary of every type. The blocks are each provider's own options; others ignore them."""
    return {
        "bucket": "file-keeper-swap",
        "path": f"swap-{secrets.token_hex(4)}",
        "initialize": True,
        "part_size": "5MiB",
        "fs": {"root": os.path.join(folder, "fs")},
        "libcloud": {"provider": "LOCAL", "key": os.path.join(folder, "libcloud")},
    }


def on_emulators(stack: ExitStack) -> dict[str, Any]:
    """Give the blocks of the providers for the servers that the tests use; they end with `stack`."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tests"))
    from emulators import azure, s3
    from emulators.gcs_double.double import GcsDouble

    moto, azurite = s3.start(), azure.start()
    stack.callback(moto.stop)
    stack.callback(azurite.stop)
    double = stack.enter_context(GcsDouble())
    return {
        "s3": {"endpoint": moto.url, "key": moto.access_key, "secret": moto.secret_key, "region": moto.region},
        "gcs": {"endpoint": double.url, "anonymous": True, "project_id": "test-project"},
        "azure": {"connection_string": azurite.connection_string},
    }


def merge(settings: dict[str, Any], given: str) -> None:
    """Put ``key=value`` or ``provider.key=value`` into a dictionary.

    :raises ValueError: when it is neither
    """
    name, equals, value = given.partition("=")
    if not equals or not name:
        raise ValueError(f"--set {given!r} is not key=value")
    block, dot, key = name.partition(".")
    if dot:
        inner = settings.setdefault(block, {})
        if not isinstance(inner, dict):
            raise ValueError(f"--set {given!r}: {block!r} has a value already and is no block")
        inner[key] = value
    else:
        settings[name] = value


def main(arguments: list[str] | None = None) -> int:
    """Run the program on each type and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--type", action="append", metavar="NAME", help="a type; may be repeated")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option; may be repeated")
    parser.add_argument("--emulators", action="store_true", help="start the servers of the tests (a checkout only)")
    chosen = parser.parse_args(arguments)
    with ExitStack() as stack:
        settings = dictionary(stack.enter_context(tempfile.TemporaryDirectory()))
        if chosen.emulators:
            settings |= on_emulators(stack)
        for given in chosen.set:
            try:
                merge(settings, given)
            except ValueError as error:
                parser.error(str(error))
        kinds = chosen.type or (EVERY_TYPE if chosen.emulators else NO_SERVER)
        first: list[str] = []
        same = True
        for kind in kinds:
            try:
                told = run(kind, settings)
            except fk.exc.FilesError as error:
                print(f"== {kind}: {error}", file=sys.stderr)
                return 2
            if not first:
                first = told
                print(f"== {kind}", *told, sep="\n")
            elif told == first:
                print(f"== {kind}: identical to {kinds[0]}")
            else:
                same = False
                print(f"== {kind} differs", *difflib.unified_diff(first, told, kinds[0], kind, lineterm=""), sep="\n")
        return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
