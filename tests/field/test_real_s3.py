"""SeaweedFS and rclone's server: content, names, hashes and conditions, where they do otherwise than Amazon's S3."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from emulators.real_s3 import RealS3
from file_keeper import FileData, Storage, exc
from file_keeper_testing import Rule, faulty

OnServer = Callable[..., Storage]
MiB = 1 << 20
PARTS = hashlib.shake_128(b"field").digest(11 * MiB)
TREE = ["a/1", "data-1/x", "data.txt", "data/x", "data/y/z", "data0", "t/u", "t~"]


def _in_pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 700_001):
        yield content[start : start + 700_001]


def test_a_tag_never_takes_the_place_of_the_content(real_s3_server: RealS3, storage_on: OnServer) -> None:
    storage = storage_on(real_s3_server, part_size="5MiB")
    made = storage.upload("streamed", _in_pieces(PARTS))
    assert (made.size, made.hash) == (len(PARTS), hashlib.md5(PARTS).hexdigest())
    storage.upload("small", b"content")
    storage.verify("small", record=True)
    for name, content in (("streamed", PARTS), ("small", b"content")):
        assert storage.content(name) == content
        assert storage.size(name) == len(content)
    with contextlib.closing(real_s3_server.client()) as client:
        found = client.get_object(Bucket=real_s3_server.bucket, Key=storage.full_path("streamed"))
        assert found["Body"].read() == PARTS, "as another program reads it"


def test_the_hash_of_a_streamed_upload_is_there_later(real_s3_server: RealS3, storage_on: OnServer) -> None:
    storage = storage_on(real_s3_server, part_size="5MiB")
    made = storage.upload("streamed", _in_pieces(PARTS))
    seen = storage.analyze("streamed")
    assert seen.etag == made.etag, "the answer to the completion has another etag than the object"
    assert (seen.hash, seen.algorithm) == (made.hash, "md5")
    assert storage.verify(seen).size == len(PARTS)
    storage.upload("streamed", b"next", overwrite=seen)
    assert storage.content("streamed") == b"next"


def test_an_etag_that_is_none_of_the_content_is_no_hash(real_s3_server: RealS3, storage_on: OnServer) -> None:
    storage = storage_on(real_s3_server)
    with contextlib.closing(real_s3_server.client()) as client:
        place = {"Bucket": real_s3_server.bucket, "Key": storage.full_path("foreign")}
        upload = client.create_multipart_upload(**place)["UploadId"]
        sent = [
            client.upload_part(**place, UploadId=upload, PartNumber=number + 1, Body=body)["ETag"]
            for number, body in enumerate((PARTS[: 5 * MiB], PARTS[5 * MiB :]))
        ]
        named = [{"PartNumber": number + 1, "ETag": etag} for number, etag in enumerate(sent)]
        client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": named})
    assert storage.hash("foreign") in ("", hashlib.md5(PARTS).hexdigest())
    assert storage.content("foreign") == PARTS


def test_no_name_is_left_out(real_s3_server: RealS3, storage_on: OnServer) -> None:
    storage = storage_on(real_s3_server)
    for name in TREE:
        storage.upload(name, b"x")
    expected = sorted(TREE, key=str.encode)
    for _ in range(2):  # as who does not know the service, and as who does
        for after in ("", *expected, "data", "data.", "t"):
            rest = [name for name in expected if name.encode() > after.encode()]
            assert list(storage.scan(start_after=after)) == rest, after
            for prefix in ("data", "data/", "t"):
                found = list(storage.scan(prefix=prefix, start_after=after))
                assert found == [name for name in rest if name.startswith(prefix)], (prefix, after)
    for delimiter, rolled in (
        ("/", ["a/", "data-1/", "data.txt", "data/", "data0", "t/", "t~"]),
        ("-", ["a/1", "data-", "data.txt", "data/x", "data/y/z", "data0", "t/u", "t~"]),
    ):
        for after in ("", "data-1/x", "data.txt"):
            found = [
                f if isinstance(f, str) else f.location for f in storage.files(delimiter=delimiter, start_after=after)
            ]
            assert found == [name for name in rolled if name.encode() > after.encode()], (delimiter, after)


def test_what_the_probe_of_conditions_finds(
    seaweedfs_server: RealS3, rclone_server: RealS3, storage_on: OnServer, caplog: pytest.LogCaptureFixture
) -> None:
    weed, rclone = storage_on(seaweedfs_server), storage_on(rclone_server)
    for storage, decided in ((weed, True), (rclone, False)):
        storage.upload("x", b"first")
        assert bool(storage.backend.endpoint.condition_known("put")) is decided
        with pytest.raises(exc.ExistingFileError):
            storage.upload("x", b"second")
        with pytest.raises(exc.ChangedFileError):
            storage.upload("x", b"third", overwrite=FileData("x", etag="0" * 32))
        assert storage.content("x") == b"first"
        probes = [key for key in _keys(storage) if ".file-keeper" in key]
        assert probes == [], "the probe leaves nothing"


def test_one_of_many_writers_wins_where_the_probe_says_so(seaweedfs_server: RealS3, storage_on: OnServer) -> None:
    storage = storage_on(seaweedfs_server)
    storage.upload("before", b"x")
    barrier, won = threading.Barrier(12), []

    def write(number: int) -> None:
        barrier.wait()
        with contextlib.suppress(exc.ExistingFileError):
            won.append((number, storage.upload("x", str(number).encode())))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert storage.content("x") == str(won[0][0]).encode()


def test_metadata_names(real_s3_server: RealS3, storage_on: OnServer) -> None:
    storage = storage_on(real_s3_server)
    metadata = {"plain": "1", "with-hyphen": "2", "with_underscore": "3", "Title": "4", "título": "5", "empty": ""}
    storage.upload("x", b"x", metadata=metadata)
    assert storage.analyze("x").metadata == metadata
    with contextlib.closing(real_s3_server.client()) as client:
        place = {"Bucket": real_s3_server.bucket, "Key": storage.full_path("x")}
        names = client.head_object(**place)["Metadata"]
        assert {"plain", "with-hyphen"} <= {name.lower() for name in names}
        assert not [name for name in names if "_" in name]
        # What the first version wrote.
        old = {"under_score": "1", "fk_x612e62": "2", "fk_token": "0" * 16}
        client.put_object(**{**place, "Key": storage.full_path("old")}, Body=b"old", Metadata=old)
    assert storage.analyze("old").metadata == {"under_score": "1", "a.b": "2"}


def test_reading(real_s3_server: RealS3, storage_on: OnServer, tmp_path: Path) -> None:
    content = hashlib.shake_128(b"large").digest(64 * MiB)
    storage = storage_on(real_s3_server)
    made = storage.upload("large", content, content_type="application/x-large")
    told: list[int] = []
    storage.download("large", tmp_path / "large", progress=lambda done, total: told.append(done))
    assert (tmp_path / "large").read_bytes() == content
    assert told[-1] == len(content)
    for start, end in ((0, 10), (5 * MiB - 3, 5 * MiB + 3), (len(content) - 5, None), (len(content), None), (7, 7)):
        assert storage.range("large", start, end) == content[start:end], (start, end)
    with storage.open("large") as file:
        file.seek(-20, 2)
        assert file.read() == content[-20:]
        file.seek(33 * MiB)
        assert file.read(100) == content[33 * MiB : 33 * MiB + 100]
    flaky, faults = faulty(storage, Rule(verb="read", cut=9 * MiB))
    assert flaky.content("large") == content, "it goes on where it was cut"
    assert faults.rules[0].hits == 1
    assert made.content_type == storage.content_type("large")


def test_a_directory_is_no_file(real_s3_server: RealS3, storage_on: OnServer) -> None:
    storage = storage_on(real_s3_server)
    storage.upload("d/e/f", b"x")
    for name in ("d", "d/", "d/e", "d/e/"):
        assert not storage.exists(name)
        assert not storage.remove(name)
        assert storage.remove_many([name]) == []
        with pytest.raises(exc.MissingFileError):
            storage.content(name)
    assert storage.content("d/e/f") == b"x"
    storage.remove("d/e/f")
    assert list(storage.scan()) == []


def _keys(storage: Storage) -> list[str]:
    root = storage.full_path("x")[:-1]
    return [key for page in storage.backend.list(root) for key in page.keys]
