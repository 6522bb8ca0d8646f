"""What a storage adds to its parts: capabilities, conditions, copies between storages, and errors that say where."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import io
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from core.doubles import LATE, NOTHING, PARTS, SESSION, STREAM, Discarding, Double, Hooked, KiB, double, settings_of
from file_keeper import Capability, FileData, HashingReader, SignedURL, Storage, Upload, exc, make_storage
from file_keeper.backend import (
    OPTIONAL,
    REQUIRED,
    VERBS,
    Backend,
    Body,
    ErrorBoundary,
    ObjectInfo,
    SignAction,
    SignedRequest,
    SignOptions,
    Wrapper,
    capabilities,
    entries_of,
)
from file_keeper.resilience import retry
from file_keeper.resilience.retry import Retry

BODY = random.Random(6).randbytes(300_000)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(attempts=1))


@pytest.fixture(params=["memory", "late", "parts", "session", "stream", "nothing"])
def storage(request: pytest.FixtureRequest) -> Storage:
    if request.param == "memory":
        return make_storage("s", {"type": "memory", "overwrite_existing": True, "part_size": 64 * KiB})
    limits = {"late": LATE, "parts": PARTS, "session": SESSION, "stream": STREAM, "nothing": NOTHING}
    return double(
        limits[request.param],
        **({} if request.param != "nothing" else {"part_size": "1MiB", "multipart_threshold": "1MiB"}),
    )[0]


# -- capabilities -----------------------------------------------------------------------------------------------------


def test_capabilities_follow_from_verbs() -> None:
    always = Capability.NONE
    for name in ("ANALYZE", "CREATE", "EXISTS", "RANGE", "REMOVE", "SCAN", "STREAM", "COPY", "MOVE"):
        always |= Capability[name]
    own = Capability.METADATA | Capability.APPEND | Capability.COMPOSE
    several = Capability.MULTIPART | Capability.RESUMABLE

    def of(backend: Backend[Any]) -> Capability:
        return capabilities(backend)

    assert of(Discarding(PARTS)) == always | own | Capability.RESUMABLE
    assert of(make_storage("x", {"type": "memory"}).backend) == always | own | several
    assert of(make_storage("x", {"type": "null"}).backend) == always | own
    assert of(Double(settings_of(), NOTHING)) == always | own
    assert of(Double(settings_of(), dataclasses.replace(NOTHING, metadata=False, atomic_create=False))) == always
    assert (
        of(Double(settings_of(), dataclasses.replace(PARTS, part_min=5 << 20))) == always | own | Capability.MULTIPART
    )
    linked = make_storage("x", {"type": "memory"}).wrapped(Linked)
    assert linked.capabilities == always | own | several | (
        Capability.SIGNED | Capability.LINK_TEMPORARY | Capability.LINK_PERMANENT
    )
    assert not linked.supports(Capability.LINK_ONE_TIME)


def test_capabilities_that_are_taken_out() -> None:
    storage = make_storage("s", {"type": "memory", "disabled_capabilities": ["copy", "Move"]})
    assert not storage.supports(Capability.COPY)
    assert not storage.supports(Capability.COPY | Capability.CREATE)
    assert storage.supports(Capability.CREATE | Capability.STREAM)
    with pytest.raises(exc.UnsupportedOperationError) as caught:
        storage.copy("b", "a")
    assert str(caught.value) == "storage 's': copy 'b': file_keeper:memory cannot do COPY (disabled in its settings)"
    assert isinstance(caught.value, io.UnsupportedOperation)


CALLS: dict[str, tuple[Capability, Callable[[Storage], Any]]] = {
    "upload": (Capability.CREATE, lambda s: s.upload("x", b"")),
    "open w": (Capability.CREATE, lambda s: s.open("x", "wb")),
    "open r": (Capability.STREAM, lambda s: s.open("x")),
    "stream": (Capability.STREAM, lambda s: s.stream("x")),
    "content": (Capability.STREAM, lambda s: s.content("x")),
    "download": (Capability.STREAM, lambda s: s.download("x", "y")),
    "range": (Capability.RANGE, lambda s: s.range("x", 1, 1)),
    "verify": (Capability.ANALYZE | Capability.STREAM, lambda s: s.verify("x")),
    "analyze": (Capability.ANALYZE, lambda s: s.analyze("x")),
    "size": (Capability.ANALYZE, lambda s: s.size("x")),
    "hash": (Capability.ANALYZE, lambda s: s.hash("x")),
    "content_type": (Capability.ANALYZE, lambda s: s.content_type("x")),
    "exists": (Capability.EXISTS, lambda s: s.exists("x")),
    "remove": (Capability.REMOVE, lambda s: s.remove("x")),
    "remove_many": (Capability.REMOVE, lambda s: s.remove_many(["x"])),
    "scan": (Capability.SCAN, lambda s: s.scan()),
    "files": (Capability.SCAN, lambda s: s.files()),
    "copy": (Capability.COPY, lambda s: s.copy("x", "y")),
    "move": (Capability.MOVE, lambda s: s.move("x", "y")),
    "append": (Capability.APPEND, lambda s: s.append("x", b"")),
    "compose": (Capability.COMPOSE, lambda s: s.compose("x")),
    "multipart_start": (Capability.MULTIPART, lambda s: s.multipart_start("x", 1)),
    "multipart_update": (Capability.MULTIPART, lambda s: s.multipart_update(FileData("x"), b"", 0)),
    "multipart_refresh": (Capability.MULTIPART, lambda s: s.multipart_refresh(FileData("x"))),
    "multipart_complete": (Capability.MULTIPART, lambda s: s.multipart_complete(FileData("x"))),
    "multipart_remove": (Capability.MULTIPART, lambda s: s.multipart_remove(FileData("x"))),
    "resumable_start": (Capability.RESUMABLE, lambda s: s.resumable_start("x", 1)),
    "resumable_resume": (Capability.RESUMABLE, lambda s: s.resumable_resume(FileData("x"), b"")),
    "resumable_refresh": (Capability.RESUMABLE, lambda s: s.resumable_refresh(FileData("x"))),
    "resumable_remove": (Capability.RESUMABLE, lambda s: s.resumable_remove(FileData("x"))),
    "signed": (Capability.SIGNED, lambda s: s.signed("download", 60, "x")),
    "multipart_signed": (Capability.SIGNED | Capability.MULTIPART, lambda s: s.multipart_signed(FileData("x"), 0, 60)),
    "temporary_link": (Capability.LINK_TEMPORARY, lambda s: s.temporary_link("x", 60)),
    "permanent_link": (Capability.LINK_PERMANENT, lambda s: s.permanent_link("x")),
    "one_time_link": (Capability.LINK_ONE_TIME, lambda s: s.one_time_link("x", 60)),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_method_checks_its_capability_first(name: str) -> None:
    needs, call = CALLS[name]
    names = [member.name for member in needs]
    storage = make_storage("s", {"type": "memory", "disabled_capabilities": names})
    with pytest.raises(exc.UnsupportedOperationError) as caught:
        call(storage)
    assert caught.value.storage == "s"
    assert caught.value.operation == name.split()[0]
    assert caught.value.location in ("x", "")
    for member in names:
        assert member is not None
        assert member in str(caught.value)


def test_wrappers_have_every_verb() -> None:
    for wrapper in (Wrapper, ErrorBoundary, Retry):
        for verb in VERBS:
            assert getattr(wrapper, verb) is not getattr(Backend, verb), (wrapper, verb)
    assert set(VERBS) == {*REQUIRED, *OPTIONAL}
    public = {name for name in vars(Backend) if not name.startswith("_")}
    assert public - set(VERBS) == {
        "settings_type", "limits", "translate", "verbs", "client", "neighbour", "after_fork", "close",
    }  # fmt: skip


# -- links ------------------------------------------------------------------------------------------------------------


class Linked(Wrapper):
    """Signs as if it had a key."""

    @property
    def verbs(self) -> frozenset[str]:
        return super().verbs | {"sign", "url"}

    def sign(self, action: SignAction, key: str, options: SignOptions) -> SignedRequest:
        self.options = options
        return SignedRequest(
            f"https://x/{key}?{action}", {"upload": "PUT", "part": "PUT"}.get(action, "GET"), {"h": "v"}
        )

    def url(self, key: str) -> str:
        return f"https://x/{key}"


def test_links() -> None:
    storage = make_storage("s", {"type": "memory", "path": "p"}).wrapped(Linked)
    for duration, seconds in ((60, 60), ("15m", 900), (timedelta(hours=1), 3600), (1.5, 1.5)):
        link = storage.signed("upload", duration, "a", content_type="a/b", overwrite=False)  # type: ignore[arg-type]
        assert isinstance(link, SignedURL)
        assert (link, link.method, link.headers) == ("https://x/p/a?upload", "PUT", {"h": "v"})
        options = storage.backend.options
        assert (options.duration, options.content_type, options.if_absent) == (seconds, "a/b", True)
    link = storage.signed("download", 60, FileData("a"), disposition='attachment; filename="é"')
    assert storage.backend.options.disposition == "attachment; filename=\"_\"; filename*=UTF-8''%C3%A9"
    assert (link.expires.tzinfo is not None, storage.backend.options.if_absent) == (True, False)
    assert type(storage.temporary_link("a", 60)) is str
    assert storage.permanent_link("a") == "https://x/p/a"
    data = storage.multipart_start("m", 5)
    assert storage.multipart_signed(data, 0, 60).method == "PUT"
    assert storage.backend.options.upload.key == "p/m"
    for call, error in (
        (lambda: storage.signed("get", 60, "a"), exc.StorageDataError),  # type: ignore[arg-type]
        (lambda: storage.signed("upload", 0.5, "a"), exc.StorageDataError),
        (lambda: storage.signed("upload", "soon", "a"), exc.StorageDataError),
        (lambda: storage.signed("upload", -5, "a"), exc.StorageDataError),
        (lambda: storage.signed("upload", 60, "a//b"), exc.LocationError),
        (lambda: storage.signed("download", 60, "../a"), exc.LocationError),
        (lambda: storage.signed("upload", 60, "a", content_type="x"), exc.WrongUploadTypeError),
        (lambda: storage.signed("download", 60, "a", disposition="a\nb"), exc.ContentError),
        (lambda: storage.multipart_signed(data, -1, 60), exc.MultipartUploadError),
        (lambda: storage.multipart_signed(FileData("m"), 0, 60), exc.MissingFileError),
        (lambda: storage.one_time_link("a", 60), exc.UnsupportedOperationError),
        (lambda: storage.permanent_link("/a"), exc.LocationError),
    ):
        with pytest.raises(error) as caught:
            call()
        assert caught.value.storage == "s"
        assert caught.value.operation


# -- copies and moves -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 10, len(BODY)])
def test_copy_and_move(size: int, storage: Storage) -> None:
    made = storage.upload("a", BODY[:size], metadata={"k": "é"}, headers={"Cache-Control": "no-store"})
    for call in (storage.copy, storage.move):
        for target in ("b", "deep/c", "b"):
            copied = call(target, "a")
            assert storage.content(target) == BODY[:size]
            assert storage.analyze(target) == copied
            assert (copied.hash, copied.algorithm, copied.content_type) == (
                made.hash,
                made.algorithm,
                made.content_type,
            )
            assert (copied.metadata, copied.headers) == ({"k": "é"}, {"Cache-Control": "no-store"})
            if call == storage.move:
                assert not storage.exists("a")
                storage.move("a", target)
        itself = call("a", storage.analyze("a"), overwrite=False)
        assert (itself, storage.content("a")) == (storage.analyze("a"), BODY[:size])


def test_conditions_of_copies(storage: Storage) -> None:
    storage.upload("a", b"a")
    storage.upload("b", b"b")
    seen = storage.analyze("b")
    for call in (storage.copy, storage.move):
        with pytest.raises(exc.ExistingFileError) as caught:
            call("b", "a", overwrite=False)
        assert (caught.value.operation, caught.value.location) == (call.__name__, "b")
        storage.upload("b", b"b")
        with pytest.raises(exc.ChangedFileError):
            call("b", "a", overwrite=seen)
        for missing in ("nothing", FileData("nothing")):
            with pytest.raises(exc.MissingFileError) as caught:
                call("c", missing)
            assert (caught.value.operation, caught.value.location) == (call.__name__, "nothing")
        with pytest.raises(exc.MissingFileError):
            call("nothing", "nothing")
        assert (storage.content("a"), storage.content("b")) == (b"a", b"b")
    assert list(storage.scan()) == ["a", "b"]


class NoRename(Double):
    @property
    def verbs(self) -> frozenset[str]:
        return super().verbs - {"move"}


class NoServer(Double):
    @property
    def verbs(self) -> frozenset[str]:
        return super().verbs - {"move", "copy", "compose", "append"}


def unaided(cls: type[Double]) -> tuple[Storage, Double]:
    backend = cls(settings_of(overwrite_existing=True, part_size=64 * KiB), PARTS)
    return Storage("s", backend.settings, backend), backend


@pytest.mark.parametrize("cls", [NoRename, NoServer])
def test_what_the_core_does_where_the_provider_does_not(cls: type[Double]) -> None:
    storage, backend = unaided(cls)
    test_copy_and_move(len(BODY), storage)
    test_conditions_of_copies(storage)
    storage.remove_many(list(storage.scan()))
    test_append(len(BODY), storage)
    test_compose(storage)
    assert backend.open == []


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("cls", [NoRename, NoServer])
def test_a_move_that_fails_keeps_the_source(cls: type[Double], overwrite: bool) -> None:
    storage, _ = unaided(cls)
    storage.upload("a", BODY)

    def change(verb: str, key: str) -> None:
        if verb == "delete" and key == "a":
            storage.upload("a", b"changed")

    with pytest.raises(exc.ChangedFileError) as caught:
        storage.wrapped(lambda inner: Hooked(inner, change)).move("b", "a", overwrite=overwrite)
    assert caught.value.location == "a"
    assert storage.content("a") == b"changed"
    assert storage.content("b") == BODY  # the only copy of that version
    assert "the copy at 'b' stays" in caught.value.__notes__
    for verb in ("head", "copy", "read", "put", "multipart_put", "multipart_complete", "delete"):
        storage, backend = unaided(cls)
        storage.upload("a", BODY)

        def refuse(called: str, key: str) -> None:
            if called == verb:  # noqa: B023
                raise exc.PermissionError("no")

        try:
            storage.wrapped(lambda inner: Hooked(inner, refuse)).move("b", "a", overwrite=overwrite)
        except exc.PermissionError:
            assert storage.content("a") == BODY
        else:
            assert storage.content("b") == BODY
        assert backend.open == []


# -- append and compose -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 10, 64 * KiB, 64 * KiB + 1, len(BODY)])
def test_append(size: int, storage: Storage) -> None:
    small = bytes(10)
    tails: list[Callable[[], Any]] = [
        lambda: BODY[:size], lambda: iter([BODY[:size]]), lambda: io.BytesIO(BODY[:size]),
        lambda: Upload(io.BufferedReader(io.BytesIO(BODY[:size])), size=size),  # type: ignore[arg-type]
    ]  # fmt: skip
    for before in (small, BODY):
        for tail in tails:
            if storage.limits.parts_max == 0 and len(before) + size > 1 << 20:
                continue
            storage.upload("x", before, metadata={"k": "v"}, content_type="a/b")
            made = storage.append("x", tail())
            assert storage.content("x") == before + BODY[:size]
            found = storage.analyze("x")
            assert (found, found.metadata, found.content_type) == (made, {"k": "v"}, "a/b")
            assert found.hash in ("", hashlib.md5(before + BODY[:size]).hexdigest())
    assert [name for name in _keys(storage) if ".file-keeper" in name] == []


def _keys(storage: Storage) -> list[str]:
    return [entry.key for entry in entries_of(storage.backend.list(""))]


def test_append_that_cannot_be(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(exc.MissingFileError, match="storage 's': append 'x': "):
        storage.append("x", b"x")
    storage.upload("x", b"before")
    for size in (2, 4):
        with pytest.raises(exc.UploadSizeMismatchError):
            storage.append("x", Upload(io.BytesIO(b"abc"), size=size))

    def torn() -> Iterator[bytes]:
        yield BODY[: 100 * KiB]
        raise OSError("torn")

    with pytest.raises(OSError, match="torn"):
        storage.append("x", torn())
    assert storage.content("x") == b"before"

    def race(verb: str, key: str) -> None:
        if verb in ("append", "compose", "put", "multipart_complete", "resumable_start") and key == "x":
            calm.upload("x", b"other")

    calm, path = storage, tmp_path / "tail"
    for size in (3, 100 * KiB):
        path.write_bytes(BODY[:size])
        storage.upload("x", b"before")
        before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
        with pytest.raises(exc.ChangedFileError):
            storage.wrapped(lambda inner: Hooked(inner, race)).append("x", path)
        assert storage.content("x") == b"other"
        if before:
            assert len(os.listdir("/proc/self/fd")) == before
    assert [name for name in _keys(storage) if ".file-keeper" in name] == []


def test_compose(storage: Storage) -> None:
    storage.upload("a", b"aa", metadata={"k": "v"}, content_type="a/b")
    storage.upload("b", BODY)
    storage.upload("e", b"")
    for files, content in (
        ((), b""), (("a",), b"aa"), (("a", "b"), b"aa" + BODY), (("e", "e"), b""), (("e", "a", "a"), b"aaaa"),
        ((storage.analyze("b"), "a"), BODY + b"aa"),
    ):  # fmt: skip
        made = storage.compose("x", *files)
        assert storage.content("x") == content
        assert storage.analyze("x") == made
        assert made.hash in ("", hashlib.md5(content).hexdigest())
    assert storage.compose("x", "a", "b").metadata == {"k": "v"}
    storage.compose("a", "a", "a", "e")
    assert storage.content("a") == b"aaaa"
    with pytest.raises(exc.MissingFileError) as caught:
        storage.compose("y", "a", "nothing")
    assert (caught.value.operation, caught.value.location) == ("compose", "nothing")
    with pytest.raises(exc.ExistingFileError):
        storage.compose("x", "a", "b", overwrite=False)
    storage.remove_many(["a", "b", "e", "x"])


def test_a_combined_hash() -> None:
    storage, _ = double(PARTS, hashing_algorithm="crc32c")
    storage.upload("a", BODY)
    storage.upload("b", b"b")

    def crc(body: bytes) -> str:
        reader = HashingReader(io.BytesIO(body), algorithm="crc32c")
        reader.exhaust()
        return reader.get_hash()

    assert storage.compose("x", "a", "b", "a").hash == crc(BODY + b"b" + BODY) == storage.analyze("x").hash
    assert storage.append("x", b"tail").hash == crc(BODY + b"b" + BODY + b"tail") == storage.analyze("x").hash


# -- removing ---------------------------------------------------------------------------------------------------------


def test_remove_many() -> None:
    storage, _ = double(PARTS)
    names = [f"{number}" for number in range(2500)]
    for name in names[:20]:
        storage.upload(name, b"x")
    assert storage.remove(names[0]) is True
    assert storage.remove(names[0]) is False
    assert storage.remove_many(iter([*names, FileData(names[1]), names[2]])) == []
    assert list(storage.scan()) == []

    class Batches(Wrapper):
        batches: ClassVar[list[int]] = []

        @property
        def verbs(self) -> frozenset[str]:
            return super().verbs | {"delete_many"}

        def delete_many(self, keys: Any) -> Any:
            self.batches.append(len(keys))
            if len(self.batches) == 2:
                raise exc.ConnectionError("down")
            if len(self.batches) == 3:
                return [(keys[0], exc.PermissionError("held")), (keys[1], KeyError("sdk"))]
            return []

    failures = storage.wrapped(Batches).remove_many(["../x", *names])
    assert Batches.batches == [1000, 1000, 500]
    assert [failure.location for failure in failures] == ["../x", *names[1000:2000], "2000", "2001"]
    kinds = [exc.LocationError] + [exc.ConnectionError] * 1000 + [exc.PermissionError, exc.StorageError]
    assert [type(failure) for failure in failures] == kinds
    assert {(failure.storage, failure.operation) for failure in failures} == {("s", "remove_many")}
    assert isinstance(failures[-1].__cause__, KeyError)
    assert storage.remove_many([]) == []


# -- between two storages ---------------------------------------------------------------------------------------------


def test_between_two_storages(storage: Storage) -> None:
    other = make_storage("other", {"type": "memory", "hashing_algorithm": "sha256"})
    made = storage.upload("a", BODY, metadata={"k": "é"}, headers={"Cache-Control": "no-store"})
    for call in (storage.copy_synthetic, storage.move_synthetic):
        told: list[tuple[int, int | None]] = []
        copied = call("b", "a", other, overwrite=True, progress=lambda *step: told.append(step))  # noqa: B023
        assert other.content("b") == BODY
        assert (copied.metadata, copied.headers, copied.content_type) == (
            made.metadata,
            made.headers,
            made.content_type,
        )
        assert copied.hash == hashlib.sha256(BODY).hexdigest()
        assert told[-1] == (len(BODY), len(BODY))
    assert not storage.exists("a")
    storage.upload("a", BODY)
    assert storage.range_synthetic("a", 5, 9) == BODY[5:9]
    storage.upload("c", b"c")
    assert storage.compose_synthetic("d", other, "c", "a", "c").size == len(BODY) + 2
    assert other.content("d") == b"c" + BODY + b"c"
    assert storage.compose_synthetic("e", other).size == 0
    for wrong in (lambda: storage.copy_synthetic("b", "a", other), lambda: storage.move_synthetic("b", "a", other)):
        with pytest.raises(exc.ExistingFileError) as caught:
            wrong()
        assert caught.value.storage == "other"
    for call in (storage.copy_synthetic, storage.move_synthetic):
        with pytest.raises(exc.MissingFileError) as caught:
            call("z", "nothing", other)
        assert (caught.value.storage, caught.value.location) == ("s", "nothing")
    assert storage.content("a") == BODY


def test_a_move_onto_itself_by_another_name() -> None:
    one = make_storage("one", {"type": "memory", "bucket": "same-by-two", "path": "p", "overwrite_existing": True})
    two = make_storage("two", {"type": "memory", "bucket": "same-by-two", "overwrite_existing": True})
    one.upload("x", b"x")
    with pytest.raises(exc.ChangedFileError, match="is the very file that was written: it stays"):
        one.move_synthetic("p/x", "x", two)
    assert one.content("x") == b"x"


class Tokenless(Double):
    """Keeps no token and an etag that follows from the content, as rclone's server does."""

    def head(self, key: str) -> ObjectInfo:
        info = super().head(key)
        return dataclasses.replace(info, etag="of-the-content", metadata={})

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        body = super().read(key, start, end)
        return Body(self.head(key), body.length, body.stream, start=body.start)


def test_a_move_onto_itself_where_no_token_is_kept() -> None:
    def storage(name: str, **options: Any) -> Storage:
        settings = settings_of(bucket="tokenless-by-two", overwrite_existing=True, **options)
        return Storage(name, settings, Tokenless(settings, PARTS))

    one, two = storage("one", path="p"), storage("two")
    one.upload("x", b"x")
    with pytest.raises(exc.ChangedFileError, match="is the very file that was written: it stays"):
        one.move_synthetic("p/x", "x", two)
    assert one.content("x") == b"x"


def test_a_damaged_file_is_not_copied_on() -> None:
    storage, backend = double(PARTS)
    storage.upload("a", BODY)
    found = backend._get("a")
    backend._bucket.objects["a"] = type(found)(found.info, BODY[:-1] + b"!")
    other = make_storage("other", {"type": "memory"})
    with pytest.raises(exc.UploadHashMismatchError):
        storage.copy_synthetic("a", "a", other)
    assert not other.exists("a")


def test_what_works_synthetically() -> None:
    memory, null = make_storage("m", {"type": "memory"}), make_storage("n", {"type": "null"})
    mute = make_storage("q", {"type": "memory", "disabled_capabilities": ["create", "stream"]})
    for capability in (Capability.COPY, Capability.MOVE, Capability.COMPOSE, Capability.COPY | Capability.MOVE):
        assert memory.supports_synthetic(capability, null)
        assert not memory.supports_synthetic(capability, mute)
        assert not mute.supports_synthetic(capability, memory)
    assert memory.supports_synthetic(Capability.RANGE, mute)
    for capability in (Capability.SIGNED, Capability.NONE, Capability.COPY | Capability.SIGNED):
        assert not memory.supports_synthetic(capability, null)


# -- null -------------------------------------------------------------------------------------------------------------


def test_null_takes_and_hashes_and_has_nothing() -> None:
    storage = make_storage("n", {"type": "null"})
    for value in (BODY, iter([BODY]), io.BytesIO(BODY)):
        made = storage.upload("x", value, metadata={"a": "b"}, hash=hashlib.md5(BODY).hexdigest())
        assert (made.size, made.hash, made.metadata) == (len(BODY), hashlib.md5(BODY).hexdigest(), {"a": "b"})
    with storage.open("x", "wb") as file:
        file.write(BODY)
    assert file.file.size == len(BODY)
    with pytest.raises(exc.UploadHashMismatchError):
        storage.upload("x", BODY, hash="0" * 32)
    assert (storage.exists("x"), list(storage.scan()), storage.remove("x")) == (False, [], False)
    for call in (storage.content, storage.stream, storage.analyze, storage.open, storage.verify):
        with pytest.raises(exc.MissingFileError, match="storage 'n': "):
            call("x")
    for call in (lambda: storage.copy("y", "x"), lambda: storage.move("y", "x"), lambda: storage.append("x", b"")):
        with pytest.raises(exc.MissingFileError):
            call()
    storage.check()
    storage.initialize()
    storage.close()
    assert storage.cleanup_uploads(0) == 0


# -- whole ------------------------------------------------------------------------------------------------------------


def test_a_context_manager_that_can_be_used_again() -> None:
    with make_storage("s", {"type": "memory"}) as storage:
        storage.upload("x", b"x")
    assert storage.content("x") == b"x"
    assert repr(storage) == "<Storage 's' MemorySettings(name='s', type='file_keeper:memory')>"


def test_errors_of_the_sdk_never_leave() -> None:
    class Sdk(Exception):
        pass

    class Translating(Wrapper):
        def translate(self, error: Exception) -> exc.FilesError | None:
            return exc.PermissionError("no", code="AccessDenied", status=403) if isinstance(error, Sdk) else None

        def head(self, key: str) -> Any:
            raise Sdk("denied") if key == "sdk" else KeyError("bug")

    storage = make_storage("s", {"type": "memory"}).wrapped(Translating)
    for call in (storage.exists, storage.analyze, storage.size, lambda name: storage.copy("x", name)):
        with pytest.raises(exc.PermissionError) as caught:
            call("sdk")
        assert str(caught.value).endswith("'sdk': no (AccessDenied, status 403)")
        assert isinstance(caught.value.__cause__, Sdk)
        with pytest.raises(exc.StorageError, match="the backend failed: KeyError: 'bug'"):
            call("bug")


def test_keywords_say_where_too() -> None:
    storage = make_storage("s", {"type": "memory"})
    with pytest.raises(exc.MissingFileError, match="storage 's': content 'x': "):
        storage.content(file="x")
    with pytest.raises(exc.MissingFileError, match="storage 's': multipart_refresh 'x': "):
        storage.multipart_refresh(data=FileData("x"))


def test_exactly_one_of_many_creates() -> None:
    storage = make_storage("s", {"type": "memory", "part_size": 1000})
    for size in (0, 100, 5000):
        barrier = threading.Barrier(16)

        def create(number: int) -> int | None:
            barrier.wait()  # noqa: B023
            try:
                storage.upload(f"{size}", bytes([number]) * size)  # noqa: B023
            except exc.ExistingFileError:
                return None
            return number

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            won = [number for number in pool.map(create, range(16)) if number is not None]
        assert len(won) == 1
        assert storage.content(f"{size}") == bytes(won) * size
    assert storage.backend._bucket.uploads == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_fork_while_a_lock_is_held() -> None:
    storage = make_storage("s", {"type": "memory", "bucket": "forked"})
    with storage.backend._bucket.lock:
        holder = threading.Thread(target=lambda: None)
        holder.start()
        holder.join()
        ready, leave = threading.Event(), threading.Event()
    lock = storage.backend._bucket.lock
    thread = threading.Thread(target=lambda: (lock.acquire(), ready.set(), leave.wait(30), lock.release()))
    thread.start()
    assert ready.wait(30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        threading.Thread(target=lambda: (threading.Event().wait(20), os._exit(3)), daemon=True).start()
        try:
            storage.upload("x", b"x")
            make_storage("t", {"type": "memory", "bucket": "forked"}).content("x")
        except BaseException:
            os._exit(2)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    leave.set()
    thread.join()
