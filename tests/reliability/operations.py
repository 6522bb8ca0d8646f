"""Every operation that goes to the wire, with what stands before it and what may stand after it."""

from __future__ import annotations

import dataclasses
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import file_keeper as fk
from file_keeper import FileData, exc

from .places import PART, Place

Files = dict[str, bytes]

SMALL = bytes(range(256)) * 12
OTHER = b"another content, " * 100
TAIL = b"tail" * 50


def large(kind: str) -> bytes:
    """Content of more than two parts, or of a little more than one where parts are large."""
    size = PART[kind] * (1 if kind == "s3" else 2) + 70_001
    return (SMALL + OTHER[1:])[: 1 << 12] * (size // (1 << 12)) + b"\n" * (size % (1 << 12))


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation as a trial needs it.

    :param run: does it; gets the storage that meets the fault and what `prepare` gave
    :param before: the files that stand there, by the kind of the place
    :param after: those that stand there when it succeeded
    :param between: other states in which an error may leave it, each whole
    :param result: judges what `run` gave; raises AssertionError
    :param prepare: begins something before the fault
    :param reads: the content of a file comes back
    :param whole: all of it, so that its hash shows a flipped bit
    :param sends: content is sent
    :param leaves: what `prepare` began may be left
    """

    name: str
    run: Callable[[fk.Storage, Any], Any]
    before: Callable[[str], Files] = lambda kind: {}
    after: Callable[[str], Files] | None = None
    between: Callable[[str], list[Files]] = lambda kind: []
    result: Callable[[Any, str], bool] = lambda value, kind: True
    prepare: Callable[[fk.Storage, str], Any] = lambda storage, kind: kind
    kinds: tuple[str, ...] = ("s3", "gcs", "azure")
    reads: bool = False
    whole: bool = False
    sends: bool = False
    leaves: bool = False
    errors: tuple[type[exc.FilesError], ...] = ()
    """What it tells damage with."""

    def end_state(self, kind: str) -> Files:
        """Give the files after success."""
        return self.before(kind) if self.after is None else self.after(kind)


def chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 50_000):
        yield content[start : start + 50_000]


def _streamed(content: bytes) -> Iterator[bytes]:
    yield from chunks(content)


def _download(storage: fk.Storage, kind: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "x")
        try:
            storage.download("old", target)
        except exc.FilesError:
            assert os.listdir(folder) == [], "a download that failed left something"
            raise
        assert os.listdir(folder) == ["x"]
        with open(target, "rb") as file:
            return file.read()


def _stream(storage: fk.Storage, kind: Any) -> bytes:
    with storage.stream("old") as stream:
        return b"".join(stream)


def _open(storage: fk.Storage, kind: Any) -> bytes:
    with storage.open("old") as file:
        file.seek(100)
        first = file.read(50)
        file.seek(0)
        return first + file.read()


def _write(storage: fk.Storage, content: bytes) -> None:
    with storage.open("new", "wb") as file:
        for chunk in chunks(content):
            file.write(chunk)


def _session(storage: fk.Storage, kind: str) -> FileData:
    return storage.multipart_start("new", len(large(kind)))


def _all_sent(storage: fk.Storage, kind: str) -> FileData:
    data, content = _session(storage, kind), large(kind)
    for number in range(-(-len(content) // PART[kind])):
        data = storage.multipart_update(data, content[number * PART[kind] : (number + 1) * PART[kind]], number)
    return data


def _begun(storage: fk.Storage, kind: str) -> FileData:
    data = storage.resumable_start("new", len(large(kind)))
    return storage.resumable_resume(data, large(kind)[: 256 << 10])


def _old(kind: str) -> Files:
    return {"old": SMALL}


def _old_large(kind: str) -> Files:
    return {"old": large(kind)}


def _new(kind: str) -> Files:
    return {"new": SMALL}


def _new_large(kind: str) -> Files:
    return {"new": large(kind)}


def _is(content: bytes) -> Callable[[Any, str], bool]:
    return lambda value, kind: value == content


def _many(kind: str) -> Files:
    return {f"d/{number}": b"%d" % number for number in range(4)}


def _removed_many(value: Any, kind: str) -> bool:
    return value == []


def _removed(storage: fk.Storage, kind: Any) -> list[exc.FilesError]:
    failures = storage.remove_many(_many(""))
    if failures:  # the errors of single files, of one fault: as one
        raise failures[0]
    return failures


RANGE = (1000, 2000)

OPERATIONS: tuple[Operation, ...] = (
    Operation("upload, small", lambda s, _: s.upload("new", SMALL), after=_new, sends=True),
    Operation(
        "upload, replacing",
        lambda s, _: s.upload("old", OTHER, overwrite=True),
        before=_old,
        after=lambda kind: {"old": OTHER},
        sends=True,
    ),
    Operation(
        "upload, streamed small",
        lambda s, _: s.upload("new", fk.make_upload(_streamed(SMALL))),
        after=_new,
        sends=True,
    ),
    Operation(
        "upload, in parts",
        lambda s, kind: s.upload("new", large(kind)),
        after=_new_large,
        sends=True,
    ),
    Operation(
        "upload, streamed in parts",
        lambda s, kind: s.upload("new", fk.make_upload(_streamed(large(kind)))),
        after=_new_large,
        sends=True,
    ),
    Operation(
        "upload, replacing in parts",
        lambda s, kind: s.upload("old", io.BytesIO(large(kind)), overwrite=True),
        before=_old,
        after=_old_large,
        sends=True,
    ),
    Operation("open for writing", lambda s, kind: _write(s, large(kind)), after=_new_large, sends=True),
    Operation("content", lambda s, _: s.content("old"), before=_old, result=_is(SMALL), reads=True, whole=True),
    Operation(
        "range",
        lambda s, _: s.range("old", *RANGE),
        before=_old,
        result=_is(SMALL[slice(*RANGE)]),
        reads=True,
    ),
    Operation("stream", _stream, before=_old_large, result=lambda v, kind: v == large(kind), reads=True, whole=True),
    Operation(
        "open for reading",
        _open,
        before=_old,
        result=_is(SMALL[100:150] + SMALL),
        reads=True,
    ),
    Operation(
        "download", _download, before=_old_large, result=lambda v, kind: v == large(kind), reads=True, whole=True
    ),
    Operation(
        "verify",
        lambda s, _: s.verify("old").size,
        before=_old,
        result=_is(len(SMALL)),
        reads=True,
        whole=True,
        errors=(exc.UploadHashMismatchError,),
    ),
    Operation("exists", lambda s, _: s.exists("old"), before=_old, result=lambda v, kind: v is True),
    Operation("exists, missing", lambda s, _: s.exists("new"), result=lambda v, kind: v is False),
    Operation(
        "analyze",
        lambda s, _: s.analyze("old"),
        before=_old,
        result=lambda v, kind: v.size == len(SMALL) and bool(v.hash),
    ),
    Operation("check", lambda s, _: s.check()),
    Operation(
        "scan",
        lambda s, _: list(s.scan()),
        before=_many,
        result=lambda v, kind: v == sorted(_many(kind)),
    ),
    Operation(
        "files",
        lambda s, _: [file.location for file in s.files(prefix="d/")],
        before=_many,
        result=lambda v, kind: v == sorted(_many(kind)),
    ),
    Operation(
        "remove", lambda s, _: s.remove("old"), before=_old, after=lambda k: {}, result=lambda v, kind: v is True
    ),
    Operation(
        "remove_many",
        _removed,
        before=_many,
        after=lambda kind: {},
        between=lambda kind: [
            {name: b for n, (name, b) in enumerate(_many(kind).items()) if left >> n & 1} for left in range(16)
        ],
        result=_removed_many,
    ),
    Operation(
        "copy",
        lambda s, _: s.copy("new", "old"),
        before=_old,
        after=lambda kind: {"old": SMALL, "new": SMALL},
    ),
    Operation(
        "move",
        lambda s, _: s.move("new", "old"),
        before=_old,
        after=_new,
        between=lambda kind: [{"old": SMALL, "new": SMALL}],
    ),
    Operation(
        "append",
        lambda s, _: s.append("old", TAIL),
        before=_old,
        after=lambda kind: {"old": SMALL + TAIL},
        sends=True,
    ),
    Operation(
        "append, to a large file",
        lambda s, _: s.append("old", TAIL),
        before=_old_large,
        after=lambda kind: {"old": large(kind) + TAIL},
        sends=True,
    ),
    Operation(
        "compose",
        lambda s, _: s.compose("new", "a", "b"),
        before=lambda kind: {"a": SMALL, "b": OTHER},
        after=lambda kind: {"a": SMALL, "b": OTHER, "new": SMALL + OTHER},
    ),
    Operation("multipart_start", _session, leaves=True),
    Operation(
        "multipart_update",
        lambda s, data: s.multipart_update(data, large(kind_of(s))[: PART[kind_of(s)]], 0),
        prepare=_session,
        result=lambda v, kind: v.storage_data["uploaded"] == PART[kind],
        leaves=True,
        sends=True,
    ),
    Operation(
        "multipart_refresh",
        lambda s, data: s.multipart_refresh(data),
        prepare=_all_sent,
        result=lambda v, kind: v.storage_data["uploaded"] == len(large(kind)),
        leaves=True,
    ),
    Operation(
        "multipart_complete",
        lambda s, data: s.multipart_complete(data),
        prepare=_all_sent,
        after=_new_large,
        leaves=True,
    ),
    Operation(
        "multipart_remove",
        lambda s, data: s.multipart_remove(data),
        prepare=_all_sent,
        result=lambda v, kind: v is True,
        leaves=True,
    ),
    Operation(
        "resumable_start",
        lambda s, kind: s.resumable_start("new", len(large(kind))),
        kinds=("gcs", "azure"),
        leaves=True,
    ),
    Operation(
        "resumable_resume",
        lambda s, data: s.resumable_resume(data, large(kind_of(s))[256 << 10 :]),
        prepare=_begun,
        after=_new_large,
        kinds=("gcs", "azure"),
        leaves=True,
        sends=True,
    ),
    Operation(
        "resumable_refresh",
        lambda s, data: s.resumable_refresh(data),
        prepare=_begun,
        result=lambda v, kind: v.storage_data["uploaded"] == 256 << 10,
        kinds=("gcs", "azure"),
        leaves=True,
    ),
    Operation(
        "resumable_remove",
        lambda s, data: s.resumable_remove(data),
        prepare=_begun,
        result=lambda v, kind: v is True,
        kinds=("gcs", "azure"),
        leaves=True,
    ),
    Operation(
        "cleanup_uploads",
        lambda s, _: s.cleanup_uploads(0),
        prepare=_all_sent,
        result=lambda v, kind: v == 1 or (kind == "azure" and v > 1),  # Azure's blocks end by themselves, in a week
        leaves=True,
    ),
)


def kind_of(storage: fk.Storage) -> str:
    """Give the kind of the place of a storage."""
    return storage.settings.type.rpartition(":")[2]


def lay_out(place: Place, operation: Operation) -> Any:
    """Make what stands there before."""
    for name, content in operation.before(place.kind).items():
        place.plain.upload(name, content)
    return operation.prepare(place.plain, place.kind)
