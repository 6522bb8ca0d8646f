"""The strict S3 refuses what real servers refuse, and lets boto3 do what it rightly does."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import http.client
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest
from awscrt import checksums
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from emulators.s3 import S3Server
from faults.strict_s3 import StrictS3

MIB = 1024 * 1024
BLOB = hashlib.shake_128(b"y").digest(MIB)
PART = BLOB * 5
Start = Callable[..., StrictS3]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def crc64nvme(data: bytes) -> str:
    return b64(checksums.crc64nvme(data).to_bytes(8, "big"))


def crc32(data: bytes) -> str:
    return b64(zlib.crc32(data).to_bytes(4, "big"))


@pytest.fixture
def bucket(moto_server: S3Server) -> str:
    return moto_server.new_bucket()


@pytest.fixture
def client_of() -> Iterator[Callable[..., Any]]:
    """A boto3 client that says what it is told, once: no retries, checksums only where they must be."""
    clients = []

    def make(front: StrictS3, *, changes: dict[str, str] | None = None, **config: Any) -> Any:
        settings = {
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            "retries": {"total_max_attempts": 1},
            **config,
        }
        clients.append(dataclasses.replace(front.server(), **(changes or {})).client(**settings))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def code(call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """The error's code of a call that must fail."""
    with pytest.raises(ClientError) as error:
        call(*args, **kwargs)
    return error.value.response["Error"]["Code"]


def with_header(client: Any, operation: str, **headers: str) -> None:
    """Send further headers, signed, with one operation."""

    def add(request: Any, **_: Any) -> None:
        for name, value in headers.items():
            name = name.replace("_", "-")
            del request.headers[name]  # else it would be a second line of it
            request.headers[name] = value

    client.meta.events.register(f"before-sign.s3.{operation}", add)


def upload_parts(client: Any, bucket: str, parts: list[bytes], key: str = "big", **create: Any) -> tuple[str, list]:
    upload = client.create_multipart_upload(Bucket=bucket, Key=key, **create)["UploadId"]
    done = []
    for number, data in enumerate(parts, 1):
        answer = client.upload_part(
            Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=data, ContentMD5=md5(data)
        )
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    return upload, done


def md5(data: bytes) -> str:
    return b64(hashlib.md5(data, usedforsecurity=False).digest())


# Modern


@pytest.mark.parametrize("secure", [False, True], ids=["headers", "trailers"])
def test_boto3_as_it_comes(secure: bool, strict_s3: Start, client_of, bucket: str) -> None:
    front = strict_s3(secure=secure)
    server = front.server()
    with closing(server.client()) as client:
        key = "a b/c+d%20=&?/☺~"
        client.put_object(Bucket=bucket, Key=key, Body=BLOB, Metadata={"x": "1"}, ContentEncoding="br")
        assert bool(front.matching("PUT")[0].headers.get("x-amz-trailer")) == secure
        answer = client.get_object(Bucket=bucket, Key=key)
        assert answer["Body"].read() == BLOB  # verified by botocore against the checksum
        assert answer["ChecksumCRC32"] == crc32(BLOB)
        assert (answer["ContentEncoding"], answer["ContentLength"]) == ("br", MIB)
        assert client.get_object(Bucket=bucket, Key=key, Range="bytes=1-5")["Body"].read() == BLOB[1:6]
        client.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
        client.put_object(Bucket=bucket, Key="empty", Body=b"")
        listed = client.list_objects_v2(Bucket=bucket)["Contents"]
        assert [one["Key"] for one in listed] == sorted([key, "copy", "empty"])
        client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": one["Key"]} for one in listed]})
        assert "Contents" not in client.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
@pytest.mark.parametrize("secure", [False, True], ids=["headers", "trailers"])
def test_transfers_in_parts(algorithm: str, secure: bool, strict_s3: Start, client_of, bucket: str, tmp_path) -> None:
    front = strict_s3(secure=secure)
    client = client_of(front, response_checksum_validation="when_supported")
    (tmp_path / "file").write_bytes(BLOB * 12)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=2)
    client.upload_file(str(tmp_path / "file"), bucket, "big", Config=config, ExtraArgs={"ChecksumAlgorithm": algorithm})
    assert front.count("PUT", query="partNumber=") == 3
    assert client.get_object(Bucket=bucket, Key="big")["Body"].read() == BLOB * 12
    head = client.head_object(Bucket=bucket, Key="big", ChecksumMode="ENABLED")
    assert head["ChecksumType"] == ("FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE")
    assert head[f"Checksum{algorithm}"].endswith("-3") == (algorithm != "CRC64NVME")
    if algorithm == "CRC64NVME":
        assert head["ChecksumCRC64NVME"] == crc64nvme(BLOB * 12)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_a_wrong_checksum_is_refused(algorithm: str, strict_s3: Start, client_of, bucket: str) -> None:
    client = client_of(strict_s3())
    width = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}[algorithm]
    wrong = {f"Checksum{algorithm}": b64(bytes(width))}
    assert code(client.put_object, Bucket=bucket, Key="k", Body=b"abc", **wrong) == "BadDigest"
    none = {f"Checksum{algorithm}": b64(bytes(3))}
    assert code(client.put_object, Bucket=bucket, Key="k", Body=b"abc", **none) == "InvalidRequest"
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("mode", ["modern", "legacy"])
def test_content_md5(mode: str, strict_s3: Start, client_of, bucket: str) -> None:
    client = client_of(strict_s3(mode))
    put = {"Bucket": bucket, "Key": "k", "Body": b"abc"}
    assert code(client.put_object, **put, ContentMD5=md5(b"other")) == "BadDigest"
    assert code(client.put_object, **put, ContentMD5="x") == "InvalidDigest"
    client.put_object(**put, ContentMD5=md5(b"abc"))


def test_a_trailer_is_verified(strict_s3: Start, client_of, bucket: str) -> None:
    front = strict_s3(secure=True)
    client = client_of(front, request_checksum_calculation="when_supported")
    # A bit of the content inside the coding, whose first line is the chunk's size in hexadecimal.
    front.on("PUT", r"/k$").flip_request(offset=100)
    assert code(client.put_object, Bucket=bucket, Key="k", Body=BLOB) == "BadDigest"
    client.put_object(Bucket=bucket, Key="k", Body=BLOB)
    with_header(client, "PutObject", x_amz_trailer="x-amz-checksum-sha256")
    assert code(client.put_object, Bucket=bucket, Key="k", Body=BLOB) == "MalformedTrailerError"


def test_a_body_changed_on_the_way(strict_s3: Start, client_of, bucket: str) -> None:
    front = strict_s3()
    client = client_of(front)
    front.on("PUT").flip_request(offset=1)
    refused = code(client.put_object, Bucket=bucket, Key="k", Body=b"abc", ChecksumAlgorithm="CRC32")
    assert refused in ("XAmzContentSHA256Mismatch", "BadDigest")


def test_a_checksum_is_required(strict_s3: Start, client_of, bucket: str) -> None:
    front = strict_s3()
    client = client_of(front)
    put = {"Bucket": bucket, "Key": "k", "Body": b"abc"}
    assert code(client.put_object, **put) == "InvalidRequest"
    client.put_object(**put, ChecksumAlgorithm="SHA256")
    with_header(client, "PutObject", x_amz_sdk_checksum_algorithm="CRC32")
    assert code(client.put_object, **put, ContentMD5=md5(b"abc")) == "InvalidRequest"
    relaxed = client_of(strict_s3(require_checksum=False))
    relaxed.put_object(**put)
    # Without a checksum of the client's there is one of the server's own.
    head = relaxed.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC64NVME"], head["ChecksumType"]) == (crc64nvme(b"abc"), "FULL_OBJECT")
    assert "ChecksumCRC64NVME" not in relaxed.head_object(Bucket=bucket, Key="k")


def test_checksums_of_copies(strict_s3: Start, client_of, bucket: str) -> None:
    client = client_of(strict_s3())
    client.put_object(Bucket=bucket, Key="k", Body=PART, ChecksumAlgorithm="CRC32")
    source = {"Bucket": bucket, "Key": "k"}
    copy = client.copy_object(Bucket=bucket, Key="c", CopySource=source, ChecksumAlgorithm="SHA256")
    expected = b64(hashlib.sha256(PART).digest())
    assert copy["CopyObjectResult"]["ChecksumSHA256"] == expected
    head = client.head_object(Bucket=bucket, Key="c", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == expected
    upload = client.create_multipart_upload(Bucket=bucket, Key="d")["UploadId"]
    target = {"Bucket": bucket, "Key": "d", "UploadId": upload}
    one = client.upload_part_copy(**target, PartNumber=1, CopySource=source)["CopyPartResult"]["ETag"]
    two = client.upload_part_copy(**target, PartNumber=2, CopySource=source, CopySourceRange="bytes=3-99")
    parts = [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two["CopyPartResult"]["ETag"]}]
    done = client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
    assert done["ChecksumCRC64NVME"] == crc64nvme(PART + PART[3:100])
    assert client.get_object(Bucket=bucket, Key="d")["Body"].read() == PART + PART[3:100]


def test_completing(strict_s3: Start, client_of, bucket: str) -> None:
    client = client_of(strict_s3())
    upload, parts = upload_parts(client, bucket, [PART, b"tail"])
    target = {"Bucket": bucket, "Key": "big", "UploadId": upload}

    def complete(parts: list, **more: Any) -> Any:
        return client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts}, **more)

    assert code(complete, parts[::-1]) == "InvalidPartOrder"
    assert code(complete, [parts[0], parts[0]]) == "InvalidPartOrder"
    assert code(complete, parts, ChecksumCRC64NVME=crc64nvme(b"x")) == "BadDigest"
    assert code(complete, parts, MpuObjectSize=7) == "InvalidRequest"
    assert code(complete, [{**parts[0], "ETag": '"0"'}]) == "InvalidPart"
    right = crc64nvme(PART + b"tail")
    answer = complete(parts, ChecksumCRC64NVME=right, ChecksumType="FULL_OBJECT", MpuObjectSize=5 * MIB + 4)
    assert answer["ChecksumCRC64NVME"] == right
    assert client.head_object(Bucket=bucket, Key="big", ChecksumMode="ENABLED")["ChecksumCRC64NVME"] == right


def test_the_algorithm_of_an_upload(strict_s3: Start, client_of, bucket: str) -> None:
    client = client_of(strict_s3())
    create = {"Bucket": bucket, "Key": "k"}
    wrong = {"ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"}
    assert code(client.create_multipart_upload, **create, **wrong) == "InvalidRequest"
    made = client.create_multipart_upload(**create, ChecksumAlgorithm="CRC32")
    assert (made["ChecksumAlgorithm"], made["ChecksumType"]) == ("CRC32", "COMPOSITE")
    part = {**create, "UploadId": made["UploadId"], "PartNumber": 1, "Body": b"abc"}
    assert code(client.upload_part, **part, ContentMD5=md5(b"abc")) == "InvalidRequest"
    answer = client.upload_part(**part, ChecksumCRC32=crc32(b"abc"))
    assert answer["ChecksumCRC32"] == crc32(b"abc")
    listed = {"PartNumber": 1, "ETag": answer["ETag"]}
    target = {**create, "UploadId": made["UploadId"]}
    parts = client.list_parts(**target)
    assert (parts["ChecksumAlgorithm"], parts["Parts"][0]["ChecksumCRC32"]) == ("CRC32", crc32(b"abc"))

    def complete(part: dict) -> Any:
        return client.complete_multipart_upload(**target, MultipartUpload={"Parts": [part]})

    assert code(complete, listed) == "InvalidRequest"
    assert code(complete, {**listed, "ChecksumCRC32": crc32(b"x")}) == "InvalidPart"
    done = complete({**listed, "ChecksumCRC32": crc32(b"abc")})
    assert done["ChecksumCRC32"] == crc32(zlib.crc32(b"abc").to_bytes(4, "big")) + "-1"


def test_equal_parts(strict_s3: Start, client_of, bucket: str) -> None:
    client = client_of(strict_s3(equal_parts=True))
    upload, parts = upload_parts(client, bucket, [PART, PART + b"x", b"tail"])
    target = {"Bucket": bucket, "Key": "big", "UploadId": upload}
    assert code(client.complete_multipart_upload, **target, MultipartUpload={"Parts": parts}) == "InvalidPart"
    upload, parts = upload_parts(client, bucket, [PART, PART, b"tail"])
    client.complete_multipart_upload(**{**target, "UploadId": upload}, MultipartUpload={"Parts": parts})


# Conditions


def writers(client: Any, bucket: str) -> dict[str, Callable[..., Any]]:
    """The three ways to create `k`, each with a condition of the caller's."""
    client.put_object(Bucket=bucket, Key="source", Body=b"abc", ContentMD5=md5(b"abc"))

    def put(**condition: str) -> Any:
        return client.put_object(Bucket=bucket, Key="k", Body=b"abc", ContentMD5=md5(b"abc"), **condition)

    def copy(**condition: str) -> Any:
        return client.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/source", **condition)

    def complete(**condition: str) -> Any:
        upload, parts = upload_parts(client, bucket, [b"abc"], key="k")
        return client.complete_multipart_upload(
            Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts}, **condition
        )

    return {"put": put, "copy": copy, "complete": complete}


@pytest.mark.parametrize("way", ["put", "copy", "complete"])
@pytest.mark.parametrize("etags", ["md5", "opaque"])
def test_conditions_are_honoured(way: str, etags: str, strict_s3: Start, client_of, bucket: str) -> None:
    client = client_of(strict_s3(etags=etags))
    write = writers(client, bucket)[way]
    assert code(write, IfMatch='"0"') == "NoSuchKey"
    write(IfNoneMatch="*")
    assert code(write, IfNoneMatch="*") == "PreconditionFailed"
    etag = client.head_object(Bucket=bucket, Key="k")["ETag"]
    assert code(write, IfMatch='"00000000000000000000000000000000"') == "PreconditionFailed"
    write(IfMatch=etag)
    write()
    delete = {"Bucket": bucket, "Key": "k"}
    assert code(client.delete_object, **delete, IfMatch='"0"') == "PreconditionFailed"
    client.delete_object(**delete, IfMatch=client.head_object(Bucket=bucket, Key="k")["ETag"])
    client.delete_object(**delete, IfMatch='"0"')


def test_one_of_many_writers_wins(strict_s3: Start, client_of, bucket: str) -> None:
    client = client_of(strict_s3(), max_pool_connections=16)
    ways = list(writers(client, bucket).values())
    outcomes: list[str] = []

    def write(way: Callable[..., Any]) -> None:
        try:
            way(IfNoneMatch="*")
            outcomes.append("won")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=write, args=(ways[number % 2],)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["PreconditionFailed"] * 15 + ["won"]


def test_conditions_that_are_not_there(strict_s3: Start, client_of, bucket: str) -> None:
    for way in ("put", "copy", "complete"):
        refusing = writers(client_of(strict_s3(conditional_writes="refused")), bucket)
        assert code(refusing[way], IfNoneMatch="*") == "NotImplemented"
        ignoring = writers(client_of(strict_s3(conditional_writes="ignored")), bucket)
        ignoring[way](IfNoneMatch="*")
        ignoring[way](IfNoneMatch="*")
    front = strict_s3(conditional_writes="ignored-on-complete")
    radosgw = writers(client_of(front), bucket)
    assert code(radosgw["put"], IfNoneMatch="*") == "PreconditionFailed"
    assert not radosgw["complete"](IfNoneMatch="*").get("ETag")


# Legacy


def test_legacy_refuses_boto3_as_it_comes(strict_s3: Start, client_of, bucket: str) -> None:
    for secure in (False, True):
        with closing(strict_s3("legacy", secure=secure).server().client()) as client:
            refused = code(client.put_object, Bucket=bucket, Key="k", Body=b"abc")
            assert refused == ("NotImplemented" if secure else "InvalidArgument")
            assert code(client.get_object, Bucket=bucket, Key="k") == "InvalidArgument"
    assert "Contents" not in client_of(strict_s3()).list_objects_v2(Bucket=bucket)


def test_legacy_takes_the_old_ways(strict_s3: Start, client_of, bucket: str) -> None:
    client = client_of(strict_s3("legacy"))
    for key in ("a/1", "a/2", "b"):
        client.put_object(Bucket=bucket, Key=key, Body=BLOB)
    assert client.get_object(Bucket=bucket, Key="b")["Body"].read() == BLOB
    upload, parts = upload_parts(client, bucket, [PART, b"tail"])
    client.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": parts})
    client.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/big")
    assert client.get_object(Bucket=bucket, Key="c")["Body"].read() == PART + b"tail"
    assert code(client.list_objects_v2, Bucket=bucket) == "NotImplemented"
    tagging = {"TagSet": [{"Key": "x", "Value": "y"}]}
    assert code(client.put_object_tagging, Bucket=bucket, Key="b", Tagging=tagging) == "NotImplemented"
    assert code(client.get_object_tagging, Bucket=bucket, Key="b") == "NotImplemented"
    assert code(client.put_object, Bucket=bucket, Key="b", Body=b"", IfNoneMatch="*") == "NotImplemented"


@pytest.mark.parametrize("mode", ["modern", "legacy"])
def test_listing_version_1(mode: str, strict_s3: Start, client_of, bucket: str) -> None:
    client = client_of(strict_s3(mode))
    keys = ["a b/1", "a b/2", "b&c", "d+/☺", "e", "é"]
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=b"", ContentMD5=md5(b""))

    def pages(**more: Any) -> Iterator[tuple[list[str], str | None]]:
        marker = ""
        while True:
            page = client.list_objects(Bucket=bucket, MaxKeys=2, Marker=marker, **more)
            found = [one["Key"] for one in page.get("Contents", [])]
            found += [one["Prefix"] for one in page.get("CommonPrefixes", [])]
            yield sorted(found), page.get("NextMarker")
            marker = page.get("NextMarker") or max(found)
            if not page["IsTruncated"]:
                return

    assert list(pages()) == [(keys[:2], None), (keys[2:4], None), (keys[4:], None)]
    assert list(pages(Delimiter="/")) == [(["a b/", "b&c"], "b&c"), (["d+/", "e"], "e"), (["é"], None)]
    assert next(pages(Delimiter="/", EncodingType="url"))[0] == ["a%20b/", "b%26c"]


def test_legacy_wants_content_md5_to_delete_many(strict_s3: Start, client_of, bucket: str) -> None:
    client = client_of(strict_s3("legacy"))
    for key in ("a", "b"):
        client.put_object(Bucket=bucket, Key=key, Body=b"abc")
    delete = {"Bucket": bucket, "Delete": {"Objects": [{"Key": "a"}, {"Key": "b"}]}}
    assert code(client.delete_objects, **delete) == "InvalidArgument"  # boto3 sends a CRC32, whatever it is told

    def old_way(request: Any, **_: Any) -> None:
        for name in list(request.headers):
            if "checksum" in name.lower():
                del request.headers[name]
        if send_md5:
            request.headers["Content-MD5"] = md5(request.body)

    client.meta.events.register("before-sign.s3.DeleteObjects", old_way)
    send_md5 = False
    assert code(client.delete_objects, **delete) == "MissingContentMD5"
    send_md5 = True
    client.delete_objects(**delete)
    assert "Contents" not in client.list_objects(Bucket=bucket)


def test_a_listing_that_does_not_know_version_2(strict_s3: Start, client_of, bucket: str) -> None:
    client = client_of(strict_s3(list_v2="ignored"))
    for key in "abc":
        client.put_object(Bucket=bucket, Key=key, Body=b"", ContentMD5=md5(b""))
    page = client.list_objects_v2(Bucket=bucket, MaxKeys=2, StartAfter="a")
    assert [one["Key"] for one in page["Contents"]] == ["a", "b"]
    assert page["IsTruncated"]
    assert "NextContinuationToken" not in page


def test_too_many_keys_to_delete(strict_s3: Start, client_of, bucket: str) -> None:
    client = client_of(strict_s3())
    keys = [{"Key": f"k{number}"} for number in range(1001)]
    assert code(client.delete_objects, Bucket=bucket, Delete={"Objects": keys}) == "MalformedXML"


# Signatures


def test_wrong_keys_and_clocks(strict_s3: Start, client_of, bucket: str) -> None:
    front = strict_s3()
    head = {"Bucket": bucket}
    wrong = {
        "SignatureDoesNotMatch": {"secret_key": "other"},
        "InvalidAccessKeyId": {"access_key": "other"},
    }
    for expected, changes in wrong.items():
        assert code(client_of(front, changes=changes).list_objects_v2, **head) == expected
    client_of(front, changes={"region": "eu-west-1"}).list_objects_v2(**head)  # botocore learns the right one
    assert [request.status for request in front.requests][-2:] == [400, 200]
    client = client_of(front)
    client.list_objects_v2(**head)
    front.clock = lambda: time.time() + 16 * 60
    assert code(client.list_objects_v2, **head) == "RequestTimeTooSkewed"


def test_unsigned_requests(strict_s3: Start, client_of, bucket: str) -> None:
    put = {"Bucket": bucket, "Key": "k", "Body": b"abc"}
    client_of(strict_s3()).put_object(**put, ContentMD5=md5(b"abc"))
    for front, status in ((strict_s3(), 403), (strict_s3(anonymous=True), 200)):
        assert fetch(front, "GET", f"{front.url}/{bucket}/k")[0] == status
        assert fetch(front, "PUT", f"{front.url}/{bucket}/k", b"x")[0] == 403


def fetch(front: StrictS3, method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(urlsplit(front.url).netloc, timeout=20)) as connection:
        connection.request(method, f"{parts.path}?{parts.query}", body, {"Host": parts.netloc, **headers})
        response = connection.getresponse()
        return response.status, response.read()


def test_links(strict_s3: Start, client_of, bucket: str) -> None:
    front = strict_s3()
    client = client_of(front, signature_version="s3v4")
    target = {"Bucket": bucket, "Key": "a b/☺+%"}

    def link(operation: str, **more: Any) -> str:
        return client.generate_presigned_url(operation, Params={**target, **more}, ExpiresIn=60)

    put = link("put_object", ContentType="text/plain")
    assert fetch(front, "PUT", put, b"abc", **{"Content-Type": "text/plain"})[0] == 200
    assert fetch(front, "PUT", put, b"abc", **{"Content-Type": "text/html"})[0] == 403
    get = link("get_object", ResponseContentDisposition='attachment; filename="a b.txt"')
    assert fetch(front, "GET", get) == (200, b"abc")
    assert fetch(front, "DELETE", get)[0] == 403
    assert fetch(front, "GET", get.replace("a%20b.txt", "c.txt"))[0] == 403
    assert fetch(front, "GET", get, Host="other.example")[0] == 403
    assert fetch(front, "GET", get, **{"x-amz-meta-x": "1"})[0] == 403
    front.clock = lambda: time.time() + 61
    status, body = fetch(front, "GET", get)
    assert (status, b"Request has expired" in body) == (403, True)
    front.clock = time.time
    assert fetch(front, "DELETE", link("delete_object"))[0] == 204
    assert fetch(front, "GET", get)[0] == 404
    old = client_of(front, signature_version="s3").generate_presigned_url("get_object", Params=target)
    assert fetch(front, "GET", old)[0] == 400


def test_links_for_parts(strict_s3: Start, client_of, bucket: str) -> None:
    front = strict_s3()
    client = client_of(front, signature_version="s3v4")
    target = {
        "Bucket": bucket,
        "Key": "k",
        "UploadId": client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"],
    }
    url = client.generate_presigned_url("upload_part", Params={**target, "PartNumber": 1})
    assert fetch(front, "PUT", url, b"abc")[0] == 200
    etag = client.list_parts(**target)["Parts"][0]["ETag"]
    done = client.complete_multipart_upload(**target, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert done["ChecksumCRC64NVME"] == crc64nvme(b"abc")


def test_a_link_for_a_public_address(strict_s3: Start, client_of, fault_proxy, bucket: str) -> None:
    """The signature holds for the public Host, which the reverse proxy keeps."""
    front = strict_s3()
    client_of(front).put_object(Bucket=bucket, Key="k", Body=b"abc", ContentMD5=md5(b"abc"))
    public = client_of(front, changes={"url": "http://files.example"}, signature_version="s3v4")
    url = public.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert fetch(fault_proxy(front.url), "GET", url) == (200, b"abc")
    assert fetch(fault_proxy(front.url, keep_host=False), "GET", url)[0] == 403


def test_redirect_to_another_region(strict_s3: Start, client_of, bucket: str) -> None:
    front = strict_s3(redirect=True, region="eu-west-1")
    client = client_of(front, changes={"region": "us-east-1"})
    client.put_object(Bucket=bucket, Key="k", Body=b"abc", ContentMD5=md5(b"abc"))  # botocore follows
    assert [request.status for request in front.requests][-2:] == [301, 200]


# What is stored


@pytest.mark.parametrize("etags", ["opaque", "kms"])
def test_etags_that_are_no_md5(etags: str, strict_s3: Start, client_of, bucket: str) -> None:
    client = client_of(strict_s3(etags=etags))
    put = client.put_object(Bucket=bucket, Key="k", Body=b"abc", ContentMD5=md5(b"abc"))
    etag = put["ETag"]
    assert re.fullmatch('"[0-9a-f]{32}"', etag)
    assert hashlib.md5(b"abc", usedforsecurity=False).hexdigest() not in etag
    head = client.head_object(Bucket=bucket, Key="k")
    assert head["ETag"] == etag == client.list_objects_v2(Bucket=bucket)["Contents"][0]["ETag"]
    assert head.get("ServerSideEncryption") == ("aws:kms" if etags == "kms" else None)
    assert client.get_object(Bucket=bucket, Key="k", IfMatch=etag)["Body"].read() == b"abc"
    assert code(client.get_object, Bucket=bucket, Key="k", IfMatch='"0"') == "PreconditionFailed"
    upload, parts = upload_parts(client, bucket, [PART, b"tail"])
    assert [one["ETag"] for one in client.list_parts(Bucket=bucket, Key="big", UploadId=upload)["Parts"]] == [
        part["ETag"] for part in parts
    ]
    target = {"Bucket": bucket, "Key": "big", "UploadId": upload}
    done = client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
    assert done["ETag"] == client.head_object(Bucket=bucket, Key="big")["ETag"]
    assert client.head_object(Bucket=bucket, Key="big", ChecksumMode="ENABLED")["ChecksumCRC64NVME"]


def test_an_object_that_rots(strict_s3: Start, client_of, bucket: str) -> None:
    front = strict_s3()
    client = client_of(front, response_checksum_validation="when_supported")
    client.put_object(Bucket=bucket, Key="a b", Body=BLOB, ChecksumAlgorithm="CRC32")
    front.rot(bucket, "a b", 70_000)
    body = client.get_object(Bucket=bucket, Key="a b")["Body"]
    with pytest.raises(Exception, match="checksum"):
        body.read()
    part = client.get_object(Bucket=bucket, Key="a b", Range="bytes=69999-70001")["Body"].read()
    assert part == bytes([BLOB[69_999], BLOB[70_000] ^ 1, BLOB[70_001]])
    assert client.head_object(Bucket=bucket, Key="a b", ChecksumMode="ENABLED")["ChecksumCRC32"] == crc32(BLOB)


def test_faults_in_the_strict_front(strict_s3: Start, client_of, bucket: str) -> None:
    front = strict_s3()
    client = client_of(front, retries={"total_max_attempts": 2})
    front.on("PUT").lose_answer()
    client.put_object(Bucket=bucket, Key="k", Body=b"abc", ContentMD5=md5(b"abc"))
    assert [request.status for request in front.matching("PUT")] == [0, 200]
