"""Copies of any size, appending and composing, on the service."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from emulators.s3 import S3Server
from faults.answers import s3_error
from faults.strict_s3 import StrictS3
from file_keeper import Storage, exc
from file_keeper.backend import NotSupportedForObject, WriteOptions, entries_of
from file_keeper_s3 import S3Backend, copying
from s3.conftest import MiB, open_uploads

OnServer = Callable[..., Storage]
Make = Callable[..., S3Backend]
CONTENT = hashlib.shake_128(b"copy").digest(12 * MiB)
HEADERS = {"Cache-Control": "no-store", "Content-Language": "de"}


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is larger than 5 MiB is copied in parts of about that."""
    monkeypatch.setattr(copying, "COPY_MAX", 5 * MiB)


def ranges(front: StrictS3) -> list[str]:
    found = front.matching("PUT", query="partNumber")
    return sorted(request.headers.get("x-amz-copy-source-range") for request in found)


@pytest.mark.parametrize("algorithm", ["md5", "crc32c"])
@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("checksums", ["auto", "always"])
def test_a_large_copy_keeps_everything(
    algorithm: str, once: bool, checksums: str, in_parts: None, strict: Callable[..., StrictS3], storage_on: OnServer
) -> None:
    front = strict()
    storage = storage_on(front.server(), hashing_algorithm=algorithm, checksums=checksums)
    source: Any = iter([CONTENT]) if once else CONTENT
    made = storage.upload("a", source, content_type="text/x", metadata={"ü": "文"}, headers=HEADERS)
    front.clear()
    copied = storage.copy("b", "a")
    assert ranges(front) == ["bytes=0-6291455", "bytes=6291456-12582911"]
    found = storage.analyze("b")
    assert (found.hash, found.algorithm) == (made.hash, made.algorithm)
    assert (copied.hash, copied.content_type) == (made.hash, "text/x")
    assert (found.content_type, found.metadata, found.headers) == ("text/x", {"ü": "文"}, HEADERS)
    assert storage.content("b") == CONTENT


def test_a_large_copy_is_pinned_and_conditional(
    in_parts: None, strict: Callable[..., StrictS3], make_backend: Make
) -> None:
    front = strict()
    backend = make_backend(front.server())
    old = backend.put("area/a", CONTENT, WriteOptions())
    new = backend.put("area/a", CONTENT[::-1], WriteOptions())
    backend.put("area/there", b"1", WriteOptions())
    with pytest.raises(exc.ChangedFileError, match="another version"):
        backend.copy(old, "area/b", WriteOptions())
    with pytest.raises(exc.ExistingFileError):
        backend.copy(new, "area/there", WriteOptions(if_absent=True))
    with pytest.raises(exc.ChangedFileError):
        backend.copy(new, "area/there", WriteOptions(if_match="0" * 32))
    backend.delete("area/a")
    with pytest.raises(exc.MissingFileError):
        backend.copy(new, "area/b", WriteOptions())
    assert backend.read("area/there").read() == b"1"
    assert [item.key for item in entries_of(backend.list(""))] == ["area/there"]
    assert not open_uploads(front.server(), backend.bucket)


def test_a_small_copy_is_pinned_and_conditional(strict: Callable[..., StrictS3], make_backend: Make) -> None:
    front = strict()
    backend = make_backend(front.server())
    old = backend.put("area/a", b"1", WriteOptions())
    new = backend.put("area/a", b"2", WriteOptions())
    backend.put("area/there", b"3", WriteOptions())
    with pytest.raises(exc.ChangedFileError, match="another version"):
        backend.copy(old, "area/b", WriteOptions())
    with pytest.raises(exc.ExistingFileError):
        backend.copy(new, "area/there", WriteOptions(if_absent=True))
    backend.delete("area/a")
    with pytest.raises(exc.MissingFileError):
        backend.copy(new, "area/b", WriteOptions())
    assert backend.read("area/there").read() == b"3"


def test_a_part_of_a_copy_is_repeated_and_a_lasting_fault_leaves_nothing(
    in_parts: None, strict: Callable[..., StrictS3], storage_on: OnServer
) -> None:
    front = strict()
    storage = storage_on(front.server(), conditional_writes="yes")
    storage.upload("a", CONTENT)
    front.clear()
    front.on("PUT", query="partNumber=2").answer(*s3_error(503, "SlowDown"))
    storage.copy("b", "a")
    assert front.count("POST", query="uploads") == 1
    assert front.count("PUT", query="partNumber=2") == 2
    front.clear()
    front.on("PUT", query="partNumber=2", times=None).answer(*s3_error(503, "SlowDown"))
    with pytest.raises(exc.ThrottledError):
        storage.copy("c", "a")
    assert front.count("PUT", query="partNumber=2") == 4, "attempts do not multiply"
    assert not storage.exists("c")
    assert not open_uploads(front.server(), storage.settings.bucket)


def test_tags_travel_with_a_copy(in_parts: None, strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server())
    storage.upload("a", iter([CONTENT]))
    storage.upload("small", b"1")
    client, bucket = storage.backend.client, storage.settings.bucket
    tags = {"TagSet": [{"Key": "team", "Value": "rot + blau"}, {"Key": "fk_hash", "Value": "md5:" + "0" * 32}]}
    for name in ("a", "small"):
        client.put_object_tagging(Bucket=bucket, Key=f"area/{name}", Tagging=tags)
        storage.copy(f"{name}-2", name)
        found = client.get_object_tagging(Bucket=bucket, Key=f"area/{name}-2")["TagSet"]
        assert {"Key": "team", "Value": "rot + blau"} in found


@pytest.mark.parametrize("size", [1, 5 * MiB, 12 * MiB])
def test_append(size: int, strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server(), part_size="5MiB")
    storage.upload("a", CONTENT[:size], content_type="text/x", metadata={"k": "v"})
    front.clear()
    storage.append("a", b"more")
    on_the_service = any(r.headers.has("x-amz-copy-source") for r in front.matching("PUT", query="partNumber"))
    assert on_the_service == (size >= 5 * MiB)
    assert storage.content("a") == CONTENT[:size] + b"more"
    found = storage.analyze("a")
    assert (found.content_type, found.metadata, found.size) == ("text/x", {"k": "v"}, size + 4)


def test_append_to_another_version_is_refused(strict: Callable[..., StrictS3], make_backend: Make) -> None:
    front = strict()
    backend = make_backend(front.server())
    old = backend.put("area/a", CONTENT, WriteOptions())
    backend.put("area/a", CONTENT[1:], WriteOptions())
    with pytest.raises(exc.ChangedFileError):
        backend.append(old, b"more", WriteOptions(if_match=old.etag))
    assert backend.head("area/a").size == len(CONTENT) - 1
    assert not open_uploads(front.server(), backend.bucket)
    with pytest.raises(NotSupportedForObject):
        backend.append(backend.put("area/b", b"small", WriteOptions()), b"more", WriteOptions())


@pytest.mark.parametrize("sizes", [(5, 5), (12, 0, 1), (5, 0, 12), (1, 5), (0, 0)])
def test_compose(sizes: tuple[int, ...], strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server(), part_size="5MiB")
    for number, size in enumerate(sizes):
        storage.upload(str(number), CONTENT[: size * MiB])
    storage.compose("all", *map(str, range(len(sizes))))
    assert storage.content("all") == b"".join(CONTENT[: size * MiB] for size in sizes)
    assert not open_uploads(front.server(), storage.settings.bucket)


def test_what_is_too_large_or_small_for_parts() -> None:
    from file_keeper.backend import ObjectInfo

    def source(size: int) -> ObjectInfo:
        return ObjectInfo(key="a", size=size)

    for size in (5 << 40, copying.PARTS_MAX * copying.COPY_MAX):
        found = copying.plan([source(size)])
        assert len(found) <= copying.PARTS_MAX
        assert max(piece.end - piece.start + 1 for piece in found) <= 5 << 30
        assert min(piece.end - piece.start + 1 for piece in found) >= copying.PART_MIN
        assert found[0].start == 0
        assert found[-1].end == size - 1
        assert all(one.end + 1 == two.start for one, two in itertools.pairwise(found))
    with pytest.raises(NotSupportedForObject):
        copying.plan([source(1), source(1)])
    with pytest.raises(NotSupportedForObject):
        copying.plan([source(0)])


def test_onto_itself_and_between_copies(moto_server: S3Server, storage_on: OnServer) -> None:
    storage = storage_on(moto_server)
    made = storage.upload("a", b"1")
    assert storage.copy("a", "a").etag == made.etag
    storage.move("b", "a")
    assert list(storage.scan()) == ["b"]


def test_of_copies_to_one_place_one_wins_where_only_parts_are_conditional(
    moto_server: S3Server, storage_on: OnServer
) -> None:
    """moto decides If-None-Match of a completion, not of a copy: so did AWS for years."""
    storage = storage_on(moto_server)
    made = [storage.upload(f"source-{number}", str(number).encode() * 1000) for number in range(8)]
    barrier, won, lost = threading.Barrier(8), list[str](), list[str]()

    def copy(name: str) -> None:
        barrier.wait()
        try:
            storage.copy("target", name)
        except exc.ExistingFileError:
            lost.append(name)
        else:
            won.append(name)

    threads = [threading.Thread(target=copy, args=(file.location,)) for file in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    assert storage.content("target") == storage.content(won[0])
    found = storage.analyze("target")
    assert (found.hash, found.content_type) == (storage.hash(won[0]), storage.content_type(won[0]))
    assert storage.cleanup_uploads(0) == 0
