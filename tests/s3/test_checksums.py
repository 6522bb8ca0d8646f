"""Each body carries one checksum that the service verifies; what an endpoint does not take is found out once."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable
from typing import Any

import pytest
from emulators.s3 import S3Server
from faults.proxy import FaultProxy
from faults.strict_s3 import StrictS3
from file_keeper import Storage, exc, hashing
from file_keeper.backend import MultipartRef, WriteOptions
from file_keeper_s3 import S3Backend
from s3.conftest import MiB, keys_of, open_uploads

BODY = hashlib.shake_128(b"s3").digest(MiB)
PARTS = BODY * 6
Start = Callable[..., StrictS3]
OnServer = Callable[..., Storage]


def digest(algorithm: str, data: bytes) -> str:
    hasher = hashing.new(algorithm)
    hasher.update(data)
    return hasher.hexdigest()


def sums(request: Any) -> dict[str, str]:
    """The checksum headers of a request."""
    found = request.headers.starting("x-amz-checksum-") | request.headers.starting("content-md5")
    return {name: value for name, value in found.items() if name != "x-amz-checksum-mode"}


@pytest.mark.parametrize(
    ("algorithm", "header"),
    [
        ("md5", "content-md5"),
        ("crc32c", "x-amz-checksum-crc32c"),
        ("crc64nvme", "x-amz-checksum-crc64nvme"),
        ("sha256", "x-amz-checksum-sha256"),
        ("sha1", "x-amz-checksum-sha1"),
    ],
)
def test_a_put_carries_the_hash_that_was_computed_anyway(
    algorithm: str, header: str, strict: Start, storage_on: OnServer
) -> None:
    front = strict()
    storage = storage_on(front.server(), hashing_algorithm=algorithm)
    made = storage.upload("a", BODY)
    (put,) = front.matching("PUT", "/area/a$")
    assert sums(put) == {header: hashing.to_base64(digest(algorithm, BODY))}
    assert made.hash == storage.analyze("a").hash == digest(algorithm, BODY)


def test_a_hash_that_s3_does_not_know_is_recorded_and_the_body_has_a_crc(strict: Start, storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server(), hashing_algorithm="sha512")
    storage.upload("a", BODY)
    (put,) = front.matching("PUT", "/area/a$")
    assert sums(put) == {"x-amz-checksum-crc32c": hashing.to_base64(digest("crc32c", BODY))}
    assert storage.hash("a") == hashlib.sha512(BODY).hexdigest()


def test_bodies_go_out_whole_without_a_trailer_or_a_wait(strict: Start, storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server(), part_size="5MiB")
    storage.upload("a", BODY)
    storage.upload("b", PARTS)
    requests = front.matching("PUT", "/area/[ab]")
    # A connection asks once whether it may send a large body, and waits for each no more.
    assert sum(request.headers.has("Expect") for request in requests) < len(requests)
    for request in requests:
        assert not request.headers.has("Transfer-Encoding")
        assert not request.headers.has("x-amz-trailer")
        assert int(request.headers.get("Content-Length")) == request.body_length


def test_parts_carry_a_crc(strict: Start, storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server(), part_size="5MiB")
    storage.upload("a", PARTS)
    parts = sorted(front.matching("PUT", "/area/a$", "partNumber"), key=lambda part: part.parameters["partNumber"])
    step = 5 * MiB
    expected = [digest("crc32c", PARTS[start : start + step]) for start in range(0, len(PARTS), step)]
    assert [sums(part) for part in parts] == [{"x-amz-checksum-crc32c": hashing.to_base64(one)} for one in expected]


@pytest.mark.parametrize("algorithm", ["crc32c", "crc64nvme"])
def test_always_counts_on_the_service_for_crcs(algorithm: str, strict: Start, storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server(), checksums="always", hashing_algorithm=algorithm, part_size="5MiB")
    storage.upload("small", BODY)
    storage.upload("large", iter([PARTS]))
    storage.copy("copied", "large")
    found = {name: storage.analyze(name) for name in ("small", "large", "copied")}
    assert found["small"].hash == digest(algorithm, BODY)
    assert found["large"].hash == found["copied"].hash == digest(algorithm, PARTS)
    # Nothing is recorded beside the object: no tag was put, no metadata.
    assert not front.count(query="tagging")
    assert not any("fk_hash" in str(request.headers) for request in front.requests)


def test_a_whole_crc_is_verified_at_completion(strict: Start, make_backend: Callable[..., S3Backend]) -> None:
    front = strict()
    backend = make_backend(front.server(), checksums="always")
    upload = MultipartRef("area/a", backend.multipart_create("area/a", WriteOptions()))
    part = backend.multipart_put(upload, 0, BODY)
    wrong = WriteOptions(digests={"crc32c": digest("crc32c", BODY[1:])})
    with pytest.raises(Exception, match="BadDigest") as caught:
        backend.multipart_complete(upload, [part], wrong)
    assert isinstance(backend.translate(caught.value), exc.UploadHashMismatchError)
    right = WriteOptions(digests={"crc32c": digest("crc32c", BODY)})
    assert backend.multipart_complete(upload, [part], right).size == len(BODY)
    assert backend.head("area/a").digests["crc32c"] == digest("crc32c", BODY)


@pytest.mark.parametrize("checksums", ["auto", "required", "always"])
@pytest.mark.parametrize("algorithm", ["md5", "crc32c"])
def test_a_bit_flipped_on_its_way_is_refused(
    checksums: str, algorithm: str, strict: Start, storage_on: OnServer, moto_server: S3Server
) -> None:
    front = strict()
    storage = storage_on(front.server(), checksums=checksums, hashing_algorithm=algorithm, part_size="5MiB")
    storage.upload("a", b"before")
    for body in (BODY, PARTS):
        front.on("PUT", "/area/a").flip_request(offset=1000)
        with pytest.raises(exc.UploadHashMismatchError):
            storage.upload("a", body, overwrite=True)
    assert storage.content("a") == b"before"
    assert not open_uploads(moto_server, storage.settings.bucket)


def test_a_bit_flipped_at_rest_is_found_by_verify(strict: Start, storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server())
    storage.upload("a", BODY)
    storage.verify("a")
    front.rot(storage.settings.bucket, "area/a", 12345)
    with pytest.raises(exc.UploadHashMismatchError):
        storage.verify("a")


def test_a_legacy_endpoint_works_with_only_its_address(
    strict: Start, storage_on: OnServer, caplog: pytest.LogCaptureFixture
) -> None:
    front = strict(mode="legacy")
    storage = storage_on(front.server(), part_size="5MiB", hashing_algorithm="crc32c", overwrite_existing=True)
    with caplog.at_level(logging.WARNING, "file_keeper"):
        storage.upload("put", BODY)
        storage.upload("parts", PARTS)
        storage.upload("again", BODY)
        storage.copy("copied", "parts")
    told = [record.getMessage() for record in caplog.records if "x-amz-checksum" in record.getMessage()]
    assert len(told) == 1
    assert front.url in told[0]
    for name, content in {"put": BODY, "parts": PARTS, "again": BODY, "copied": PARTS}.items():
        assert storage.content(name) == content
        assert storage.hash(name) == digest("crc32c", content)
    assert sorted(storage.scan()) == ["again", "copied", "parts", "put"]
    assert storage.remove_many(["put", "parts", "again", "copied", "none"]) == []
    (batch,) = front.matching("POST", query="delete")
    assert batch.headers.has("Content-MD5")
    assert not sums(batch).keys() - {"content-md5"}
    # One request was refused for it, and no more.
    assert len([r for r in front.requests if r.status == 400 and r.method == "PUT"]) == 1


def test_other_storages_on_a_legacy_endpoint_know(strict: Start, storage_on: OnServer) -> None:
    front = strict(mode="legacy")
    first = storage_on(front.server(), hashing_algorithm="crc32c")
    first.upload("a", BODY, overwrite=True)
    front.clear()
    second = storage_on(front.server(), hashing_algorithm="crc32c", bucket=first.settings.bucket, path="other")
    second.upload("a", BODY, overwrite=True)
    assert [request.status for request in front.requests] == [200]


def test_a_refusal_for_another_reason_teaches_nothing(
    proxied: tuple[FaultProxy, S3Server], storage_on: OnServer, caplog: pytest.LogCaptureFixture
) -> None:
    from faults.answers import s3_error

    proxy, server = proxied
    storage = storage_on(server, hashing_algorithm="crc32c", overwrite_existing=True)
    proxy.on("PUT", "/area/bad", times=None).answer(*s3_error(400, "InvalidArgument", "no"))
    with caplog.at_level(logging.WARNING, "file_keeper"), pytest.raises(exc.StorageError):
        storage.upload("bad", BODY)
    storage.upload("good", BODY)
    (put,) = proxy.matching("PUT", "/area/good")
    assert "x-amz-checksum-crc32c" in sums(put)
    assert not [record for record in caplog.records if "x-amz-checksum" in record.getMessage()]


def test_required_sends_content_md5_only(strict: Start, storage_on: OnServer) -> None:
    front = strict(mode="legacy")
    storage = storage_on(front.server(), checksums="required", part_size="5MiB", overwrite_existing=True)
    storage.upload("put", BODY)
    storage.upload("parts", PARTS)
    assert storage.analyze("put").hash == hashlib.md5(BODY).hexdigest()
    assert not [request for request in front.requests if request.status >= 400]
    (put,) = front.matching("PUT", "/area/put")
    assert sums(put) == {"content-md5": base64.b64encode(hashlib.md5(BODY).digest()).decode()}


def test_a_service_that_ignores_checksums_gets_md5s_over_tls(
    moto_tls_server: S3Server, fault_proxy: Callable[..., FaultProxy], certificates: Any, storage_on: OnServer
) -> None:
    # moto says nothing of a checksum that it was sent, as radosgw 16 does: over TLS nothing else covers the body.
    import dataclasses

    proxy = fault_proxy(moto_tls_server, certificates=certificates)
    server = dataclasses.replace(moto_tls_server, url=proxy.url, ca_file=certificates.ca_file)
    storage = storage_on(server, part_size="5MiB", max_concurrency=1)
    storage.upload("a", PARTS)
    first, *others = [sums(part) for part in proxy.matching("PUT", "/area/a$", "partNumber")]
    assert first.keys() == {"content-md5", "x-amz-checksum-crc32c"}
    assert [set(part) for part in others] == [{"content-md5"}] * len(others)
    assert all(r.headers.get("x-amz-content-sha256") == "UNSIGNED-PAYLOAD" for r in proxy.matching("PUT", "/area/"))
    assert storage.content("a") == PARTS


def test_parts_of_an_upload_without_a_checksum_may_have_to_have_none(
    proxied: tuple[FaultProxy, S3Server], storage_on: OnServer
) -> None:
    from faults.answers import s3_error

    proxy, server = proxied
    message = "Checksum Type mismatch occurred, expected checksum Type: null, actual checksum Type: crc32c"
    proxy.on(
        "PUT", query="partNumber", times=None, where=lambda request: request.headers.has("x-amz-checksum-crc32c")
    ).answer(*s3_error(400, "InvalidRequest", message))
    storage = storage_on(server, part_size="5MiB", max_concurrency=1, hashing_algorithm="crc32c")
    storage.upload("a", PARTS)
    assert [request.status for request in proxy.matching("PUT", "/area/a$", "partNumber")] == [400, 200, 200]
    storage.upload("b", BODY)
    (put,) = proxy.matching("PUT", "/area/b$")
    assert "x-amz-checksum-crc32c" in sums(put)
    assert storage.content("a") == PARTS


@pytest.mark.parametrize("etags", ["kms", "opaque"])
def test_an_etag_is_not_taken_for_a_hash(etags: str, strict: Start, storage_on: OnServer) -> None:
    front = strict(etags=etags)
    storage = storage_on(front.server(), part_size="5MiB")
    made = {name: storage.upload(name, body) for name, body in (("put", BODY), ("parts", PARTS))}
    for name, data in made.items():
        found = storage.analyze(name)
        assert found.hash == data.hash == hashlib.md5(storage.content(name)).hexdigest()
        assert found.etag != found.hash
    assert [data.hash for data in storage.files()] == ["", ""]


def test_what_others_put_has_the_hash_that_is_certain(
    strict: Start, storage_on: OnServer, moto_server: S3Server
) -> None:
    front = strict(etags="kms")
    storage = storage_on(front.server(), checksums="required")
    client = front.server().client(request_checksum_calculation="when_required")
    try:
        client.put_object(Bucket=storage.settings.bucket, Key="area/a", Body=BODY, ChecksumAlgorithm="SHA256")
    finally:
        client.close()
    assert storage.hash("a") == ""
    plain = storage_on(moto_server, bucket=storage.settings.bucket)
    assert plain.analyze("a").hash == hashlib.md5(BODY).hexdigest()


def test_the_recorded_md5_is_the_one_that_rclone_reads(strict: Start, storage_on: OnServer) -> None:
    # rclone, "S3: Integrity": X-Amz-Meta-Md5chksum holds the base64 of the MD5.
    front = strict()
    storage = storage_on(front.server(), part_size="5MiB")
    storage.upload("a", PARTS)
    client = front.server().client()
    try:
        metadata = client.head_object(Bucket=storage.settings.bucket, Key="area/a")["Metadata"]
    finally:
        client.close()
    assert metadata["md5chksum"] == base64.b64encode(hashlib.md5(PARTS).digest()).decode()


def test_a_stream_that_is_read_once_has_its_hash_in_a_tag(
    strict: Start, storage_on: OnServer, moto_server: S3Server
) -> None:
    front = strict()
    storage = storage_on(front.server(), part_size="5MiB")
    made = storage.upload("a", iter([PARTS[:MiB], PARTS[MiB:]]))
    assert [request.method for request in front.matching(path="/area/a$", query="tagging")] == ["PUT"]
    front.clear()
    assert storage.analyze("a").hash == made.hash == hashlib.md5(PARTS).hexdigest()
    assert [(r.method, r.query) for r in front.requests] == [("HEAD", ""), ("GET", "tagging")]
    assert keys_of(moto_server, storage.settings.bucket) == ["area/a"]


def test_tags_of_others_are_kept(strict: Start, storage_on: OnServer, make_backend: Callable[..., S3Backend]) -> None:
    front = strict()
    backend = make_backend(front.server())
    backend.put("area/a", BODY, WriteOptions())
    tags = {"TagSet": [{"Key": "team", "Value": "red"}]}
    backend.client.put_object_tagging(Bucket=backend.bucket, Key="area/a", Tagging=tags)
    backend.store_digests(backend.head("area/a"), {"sha1": "0" * 40})
    found = backend.client.get_object_tagging(Bucket=backend.bucket, Key="area/a")["TagSet"]
    info = backend.head("area/a")
    recorded = {"team": "red", "fk_hash": f"sha1:{'0' * 40} etag:{info.etag}"}
    assert {tag["Key"]: tag["Value"] for tag in found} == recorded
    assert backend.read_digests(info) == {"sha1": "0" * 40}


def test_a_tag_is_not_taken_for_that_of_another_object(
    moto_server: S3Server, storage_on: OnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = storage_on(moto_server, part_size="5MiB")
    backend: Any = storage.backend
    store_digests = backend.store_digests

    def late(info: Any, digests: dict[str, str]) -> None:
        """Tag when another tool has already put its own object there, in parts."""
        where = {"Bucket": backend.bucket, "Key": info.key}
        upload = {**where, "UploadId": backend.client.create_multipart_upload(**where)["UploadId"]}
        etag = backend.client.upload_part(PartNumber=1, Body=PARTS[::-1], **upload)["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
        backend.client.complete_multipart_upload(MultipartUpload=parts, **upload)
        store_digests(info, digests)

    monkeypatch.setattr(backend, "store_digests", late)
    storage.upload("a", iter([PARTS]))
    assert storage.analyze("a").hash == ""
    assert storage.content("a") == PARTS[::-1]


def test_refused_tagging_leaves_the_upload(
    strict: Start, storage_on: OnServer, caplog: pytest.LogCaptureFixture
) -> None:
    front = strict(tagging=False)
    storage = storage_on(front.server(), part_size="5MiB")
    with caplog.at_level(logging.WARNING, "file_keeper"):
        storage.upload("a", iter([PARTS]))
    assert len([r for r in caplog.records if "could not be recorded" in r.getMessage()]) == 1
    assert storage.content("a") == PARTS
    assert storage.analyze("a").algorithm != "md5"
