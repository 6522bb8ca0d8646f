"""What the cases share: the storages they run on, what a backend need not do, and how that is said."""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, ClassVar, Protocol, TypeVar, cast

import pytest
from file_keeper import Capability, FileData, Storage, exc, make_storage
from file_keeper.backend import ObjectInfo, OpenUpload, entries_of
from file_keeper.location import is_reserved

from ..children import Child
from ..sources import KiB, MiB

F = TypeVar("F", bound=Callable[..., None])

GAPS = {
    "atomic_create": "without a condition of the provider, of several writers at once more than one may win; a file "
    "that stands there already is still refused",
    "atomic_complete": "the condition of an upload in parts is looked at before its end is written: of several that "
    "end at once more than one may win",
    "conditions": "a version cannot be named to the provider: a change between a look and a write may be overwritten, "
    "a change that was there before is still told",
    "all_or_nothing": "what was sent before a failure may stay; the caller still gets the error, and the next upload "
    "succeeds",
    "one_hash": "the hash may be unknown afterwards; it is never a wrong one",
    "content_type": "the content type may not come back",
    "damage": "the hash is not kept but computed from the content each time: damage cannot be told",
}
"""What the contract allows some backends not to keep, and what is asserted of them instead."""


class Make(Protocol):
    """Makes a storage of the kind that is tried; the same test's storages share a ``path`` of their own."""

    def __call__(self, path: str = "", **changes: Any) -> Storage: ...


def needs(*capabilities: Capability) -> Callable[[F], F]:
    """Mark a case by the capabilities that it tries.

    A storage that lacks one of them does not skip the case: it must raise :class:`UnsupportedOperationError` in it.
    """
    needed = functools.reduce(Capability.__or__, capabilities, Capability.NONE)

    def decorate(test: F) -> F:
        @functools.wraps(test)
        def run(self: Base, *args: Any, **kwargs: Any) -> None:
            storage: Storage = kwargs["storage"]
            if storage.supports(needed):
                return test(self, *args, **kwargs)
            with pytest.raises(exc.UnsupportedOperationError):
                test(self, *args, **kwargs)
            return None

        run.needed = needed  # type: ignore[attr-defined]
        return cast("F", run)

    return decorate


class Base:
    """What a subclass may say of its backend. Everything has a default but the fixture ``storage_settings``."""

    gaps: ClassVar[Mapping[str, str]] = {}
    """Names of :data:`GAPS` that this backend has, with the reason. The cases then assert the gap."""

    emulator_gaps: ClassVar[Mapping[str, str]] = {}
    """Beginnings of names of cases (``case_24``) that the server used here cannot show, with the reason: skipped."""

    server_gaps: ClassVar[Mapping[str, str]] = {}
    """Names of cases, with the identifier of their parameters (``case_24_x[1 KiB]``) or without, that fail on this
    server whatever a backend does, with the reason: run, and expected to fail. One that passes fails the run, so the
    list is never longer than the truth."""

    shared: ClassVar[bool] = True
    """Other processes reach what a storage stores (not so: memory)."""

    in_memory: ClassVar[bool] = False
    """The storage keeps its files in this process: the memory bound is measured with the bodies thrown away."""

    case_sensitive: ClassVar[bool] = True
    """``A`` and ``a`` are two files, and so are the normal forms of one name."""

    normal_forms: ClassVar[bool | None] = None
    """The normal forms of one name are two files; ``None``: as :attr:`case_sensitive` says."""

    refused_characters: ClassVar[str] = ""
    r"""Printable characters that this provider does not take in new names (Azure: ``\``)."""

    refused_endings: ClassVar[str] = ""
    """Characters that no segment of a new name may end in, on this provider (Azure: ``.``)."""

    absent: ClassVar[Mapping[str, Any] | None] = None
    """Settings that name a place which is not there and which ``initialize`` creates. Without: another ``bucket``,
    where the settings have one and others reach it."""

    imports: ClassVar[Sequence[str]] = ()
    """Modules (or paths of files) that a process of its own imports before it makes a storage: what registers the
    adapter, unless an entry point does."""

    least_part: ClassVar[int] = 256 * KiB
    """Size of parts in the cases, unless the provider wants larger ones."""

    many: ClassVar[int] = 2500
    """Files of the long listing."""

    page: ClassVar[int] = 1000
    """Files of a page of the provider's listings."""

    content_size: ClassVar[int] = 64 * MiB
    """Bytes of the large content that is read as a whole."""

    stream_size: ClassVar[int] = 1024 * MiB
    """Bytes that are uploaded from a generator to measure memory."""

    race_bytes: ClassVar[int] = 64 * MiB
    """Bytes that all contestants of one race may send together: fewer take part in a race of large files."""

    @pytest.fixture
    def make(self, storage_settings: Mapping[str, Any]) -> Iterator[Make]:
        """Return what makes storages of one test; they are closed after it."""
        unique = f"conformance-{uuid.uuid4().hex[:12]}"
        with ExitStack() as stack:

            def make(path: str = "", **changes: Any) -> Storage:
                base = str(storage_settings.get("path", ""))
                settings = {**storage_settings, "path": "/".join(filter(None, (base.rstrip("/"), unique, path)))}
                with make_storage("conformance", settings) as probe:
                    settings["part_size"] = max(self.least_part, probe.limits.part_min)
                return stack.enter_context(make_storage("conformance", {**settings, **changes}))

            yield make

    @pytest.fixture
    def storage(self, make: Make) -> Storage:
        """Return an empty storage."""
        return make()

    @pytest.fixture(autouse=True)
    def _declared(self, request: pytest.FixtureRequest) -> None:
        name: str = request.node.originalname.removeprefix("test_")
        for case, reason in self.emulator_gaps.items():
            if _covers(case, name):
                pytest.skip(f"emulator gap {case}: {reason}")
        exact = request.node.name.removeprefix("test_")
        for case, reason in self.server_gaps.items():
            if case == exact or _covers(case, name):
                request.applymarker(pytest.mark.xfail(reason=f"server gap {case}: {reason}", strict=True))

    @property
    def keeps_normal_forms(self) -> bool:
        """Whether the normal forms of one name are two files."""
        return self.case_sensitive if self.normal_forms is None else self.normal_forms

    def distinct(self, names: Sequence[str]) -> list[str]:
        """Return the names that can be files all at once, on this provider."""
        found = [name for name in names if self.case_sensitive or name != "a"]
        return [name for name in found if self.keeps_normal_forms or name != "e\u0301"]

    def takes(self, name: str) -> bool:
        """Return whether this provider takes a new file of that name."""
        ends = any(segment.endswith(tuple(self.refused_endings)) for segment in name.split("/"))
        return not ends and not set(name) & set(self.refused_characters)

    def gap(self, name: str) -> str:
        """Return the reason of a declared gap, ``""`` when the backend does not have it."""
        assert name in GAPS
        return self.gaps.get(name, "")

    def child(self, function: str, *args: Any) -> Child:
        """Start a process that runs a function of :mod:`file_keeper_testing.children`."""
        return Child(function, *args, imports=self.imports)

    def contestants(self, size: int, most: int = 32) -> list[int]:
        """Return numbers to those that take part in a race."""
        return list(range(min(most, max(4, self.race_bytes // max(1, size)))))

    def leftovers(self, storage: Storage) -> list[str]:
        """Return what uploads have left under this storage's path. A subclass adds what only it can see."""
        root = storage.full_path("x")[:-1]
        backend = storage.backend
        found: list[str] = []
        if "multipart_list" in backend.verbs:
            found += [describe_upload(upload) for upload in backend.multipart_list(root)]
        found += [
            f"object {entry.key!r}"
            for entry in entries_of(backend.list(root))
            if isinstance(entry, ObjectInfo) and is_reserved(entry.key)
        ]
        return found

    def assert_nothing(self, storage: Storage, location: str) -> None:
        """Check that a failed upload left nothing at all."""
        if self.gap("all_or_nothing"):
            storage.upload(location, b"healed", overwrite=True)
            assert storage.content(location) == b"healed"
            return
        assert not storage.exists(location)
        assert list(storage.scan()) == []
        assert self.leftovers(storage) == []

    def assert_stands(self, storage: Storage, made: FileData, content: bytes) -> None:
        """Check that a file is what it was, and that nothing else is there."""
        if self.gap("all_or_nothing"):
            return
        assert storage.content(made) == content
        self.assert_same(storage.analyze(made.location), made)
        assert list(storage.scan()) == [made.location]
        assert self.leftovers(storage) == []

    def assert_same(self, seen: FileData, made: FileData) -> None:
        """Check that ``analyze`` tells what ``upload`` told, as far as this backend keeps it."""
        assert seen.location == made.location
        assert seen.size == made.size
        if not self.gap("content_type"):
            assert seen.content_type == made.content_type
        self.assert_hash(seen, made.hash, made.algorithm)

    def assert_hash(self, seen: FileData, value: str, algorithm: str = "md5") -> None:
        """Check a hash: the right one, or where the gap is declared none."""
        if self.gap("one_hash") and not seen.hash:
            assert seen.algorithm == ""
            return
        assert (seen.hash, seen.algorithm) == (value, algorithm)


def describe_upload(upload: OpenUpload) -> str:
    """Return a description of an open upload without its id, which may be a secret."""
    return f"open upload of {upload.ref.key!r}"


def _covers(case: str, name: str) -> bool:
    return name == case or name.startswith(case + "_")


def cases(cls: type[Base]) -> dict[str, Any]:
    """Return the cases of a suite by name."""
    return {
        name.removeprefix("test_"): getattr(cls, name)
        for name in dir(cls)
        if name.startswith("test_") and callable(getattr(cls, name))
    }


def shown(cls: type[Base]) -> dict[str, Any]:
    """Return the cases that are not skipped."""
    return {name: case for name, case in cases(cls).items() if not any(_covers(gap, name) for gap in cls.emulator_gaps)}


def store(storage: Storage, names: Sequence[str]) -> None:
    """Upload a file for each name, several at a time; its content is its name."""

    def upload(name: str) -> FileData:
        return storage.upload(name, name.encode())

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(upload, names):
            pass


def in_order(names: Sequence[str]) -> list[str]:
    """Return names in UTF-8 byte order."""
    return sorted(names, key=str.encode)


def operations(storage: Storage, location: str, folder: str) -> dict[str, tuple[Capability, Callable[[], Any]]]:
    """Return every operation that takes a location, done on `location`, with the capability that it needs.

    :param folder: a local directory, for downloads
    """
    c = Capability

    def write() -> None:
        with storage.open(location, "wb") as file:
            file.write(b"x")

    def read() -> None:
        with storage.open(location) as file:
            file.read()

    def remove_many() -> None:
        for error in storage.remove_many([location]):
            raise error

    data = FileData(location)
    return {
        "upload": (c.CREATE, lambda: storage.upload(location, b"x")),
        "open wb": (c.CREATE, write),
        "open rb": (c.STREAM, read),
        "stream": (c.STREAM, lambda: storage.stream(location)),
        "content": (c.STREAM, lambda: storage.content(data)),
        "range": (c.RANGE, lambda: storage.range(location, 0, 1)),
        "empty range": (c.RANGE, lambda: storage.range(location, 0, 0)),
        "download": (c.STREAM, lambda: storage.download(location, os.path.join(folder, "target"))),
        "verify": (c.ANALYZE, lambda: storage.verify(data)),
        "analyze": (c.ANALYZE, lambda: storage.analyze(location)),
        "exists": (c.EXISTS, lambda: storage.exists(location)),
        "size": (c.ANALYZE, lambda: storage.size(location)),
        "hash": (c.ANALYZE, lambda: storage.hash(location)),
        "content_type": (c.ANALYZE, lambda: storage.content_type(location)),
        "remove": (c.REMOVE, lambda: storage.remove(location)),
        "remove_many": (c.REMOVE, remove_many),
        "copy to": (c.COPY, lambda: storage.copy(location, "there.txt")),
        "copy from": (c.COPY, lambda: storage.copy("target.txt", location)),
        "move to": (c.MOVE, lambda: storage.move(location, "there.txt")),
        "move from": (c.MOVE, lambda: storage.move("target.txt", location)),
        "append": (c.APPEND, lambda: storage.append(location, b"x")),
        "compose to": (c.COMPOSE, lambda: storage.compose(location, "there.txt")),
        "compose from": (c.COMPOSE, lambda: storage.compose("target.txt", "there.txt", location)),
        "multipart_start": (c.MULTIPART, lambda: storage.multipart_start(location, 1)),
        "resumable_start": (c.RESUMABLE, lambda: storage.resumable_start(location, 1)),
        "signed upload": (c.SIGNED, lambda: storage.signed("upload", 60, location)),
        "signed download": (c.SIGNED, lambda: storage.signed("download", 60, location)),
        "signed delete": (c.SIGNED, lambda: storage.signed("delete", 60, location)),
        "temporary_link": (c.LINK_TEMPORARY, lambda: storage.temporary_link(location, 60)),
        "permanent_link": (c.LINK_PERMANENT, lambda: storage.permanent_link(location)),
        "one_time_link": (c.LINK_ONE_TIME, lambda: storage.one_time_link(location, 60)),
        "full_path": (c.NONE, lambda: storage.full_path(location)),
    }


WRITING = (
    "upload",
    "open wb",
    "copy to",
    "move to",
    "compose to",
    "multipart_start",
    "resumable_start",
    "signed upload",
)
"""The operations that make a file: those that refuse a name that is not for writing."""
