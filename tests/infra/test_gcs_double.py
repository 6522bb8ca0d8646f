"""The double of Google Cloud Storage does what Google's reference says, seen by Google's client and by plain HTTP."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import io
import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import pytest
import requests
from emulators.gcs_double import (
    Acknowledge,
    AnswerStatus,
    Cut,
    Delay,
    Flip,
    GcsDouble,
    LoseAnswer,
    Reset,
    Short,
    Status,
    Truncate,
)
from google.api_core import exceptions as gerrors
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import InvalidOperation, RefreshError
from google.auth.transport import requests as transport
from google.cloud import storage
from google.oauth2 import service_account

pytest_plugins = ["emulators.gcs_double.fixtures"]

QUANTUM = 256 * 1024


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        return self.json["error"]["errors"][0]["reason"]


Ask = Callable[..., Answer]


@pytest.fixture
def client(gcs_double: GcsDouble) -> Iterator[storage.Client]:
    made = storage.Client("p", AnonymousCredentials(), client_options={"api_endpoint": gcs_double.url})
    yield made
    made.close()


@pytest.fixture
def bucket(client: storage.Client) -> storage.Bucket:
    return client.bucket("media")


@pytest.fixture
def ask(gcs_double: GcsDouble) -> Iterator[Ask]:
    """One request over a connection of its own; a dict as body is sent as JSON."""

    def ask(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        sent = dict(headers or {})
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        address = path.removeprefix(gcs_double.url)
        connection = http.client.HTTPConnection("127.0.0.1", gcs_double.port, timeout=20)
        try:
            connection.request(method, address, body, sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    return ask


def upload(ask: Ask, name: str, data: bytes, query: str = "", headers: dict[str, str] | None = None) -> Answer:
    path = f"/upload/storage/v1/b/media/o?uploadType=media&name={urllib.parse.quote(name, safe='')}{query}"
    return ask("POST", path, data, headers)


def start(ask: Ask, name: str = "s", resource: dict[str, Any] | None = None, query: str = "", **headers: str) -> str:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    path = f"/upload/storage/v1/b/media/o?uploadType=resumable&name={name}{query}"
    answer = ask("POST", path, resource or {}, sent)
    assert answer.status == 200, answer
    return answer.headers["Location"]


def chunk(ask: Ask, where: str, data: bytes, content_range: str, **headers: str) -> Answer:
    return ask("PUT", where, data, {"Content-Range": f"bytes {content_range}"} | headers)


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def crc(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


# -- buckets and errors ------------------------------------------------------------------------------------------------


def test_buckets_are_made_got_listed_and_deleted(client: storage.Client, gcs_double: GcsDouble) -> None:
    made = client.create_bucket("other", location="eu")
    assert made.location == "EU"
    assert client.get_bucket("other").name == "other"
    assert [each.name for each in client.list_buckets(prefix="o")] == ["other"]
    with pytest.raises(gerrors.Conflict):
        client.create_bucket("other")
    gcs_double.put("other", "x")
    with pytest.raises(gerrors.Conflict, match="not empty"):
        made.delete()
    gcs_double.remove("other", "x")
    made.delete()
    assert client.lookup_bucket("other") is None
    with pytest.raises(gerrors.BadRequest):
        client.create_bucket("Not_A_Name")


def test_a_missing_bucket_is_told_from_a_missing_object(ask: Ask) -> None:
    no_object = ask("GET", "/storage/v1/b/media/o/a")
    no_bucket = ask("GET", "/storage/v1/b/none/o/a")
    assert (no_object.status, no_object.json["error"]["message"]) == (404, "No such object: media/a")
    assert (no_bucket.status, no_bucket.json["error"]["message"]) == (404, "The specified bucket does not exist.")
    error = no_bucket.json["error"]
    assert error["code"] == 404
    assert error["errors"][0] == {"message": error["message"], "domain": "global", "reason": "notFound"}
    assert ask("GET", "/storage/v1/b/none").status == 404
    assert ask("GET", "/storage/v1/b/none/o").status == 404
    assert upload(ask, "a", b"").status == 200
    assert ask("GET", "/storage/v1/b/media/o/none?alt=media").body == b"No such object: media/none"
    assert ask("TRACE", "/storage/v1/b/media/o/a").status == 405
    assert ask("GET", "/storage/v1/nothing").status == 404


def test_permissions_denied_and_the_403_that_hides_a_404(
    bucket: storage.Bucket, gcs_double: GcsDouble, ask: Ask
) -> None:
    gcs_double.put("media", "there", b"1")
    gcs_double.deny("storage.objects.list", "media")
    answer = ask("GET", "/storage/v1/b/media/o/none")
    assert (answer.status, answer.reason) == (403, "forbidden")
    assert "storage.objects.get" in answer.json["error"]["message"]
    assert bucket.blob("there").download_as_bytes() == b"1"
    with pytest.raises(gerrors.Forbidden):
        list(bucket.list_blobs())
    gcs_double.deny("storage.objects.delete", "media")
    bucket.blob("new").upload_from_string(b"")
    with pytest.raises(gerrors.Forbidden):
        bucket.blob("there").upload_from_string(b"2")  # replacing needs delete as well
    assert gcs_double.content("media", "there") == b"1"
    assert bucket.test_iam_permissions(["storage.objects.get", "storage.objects.delete"]) == ["storage.objects.get"]


def test_billing_disabled(ask: Ask, gcs_double: GcsDouble) -> None:
    gcs_double.disable_billing("media")
    for answer in (ask("GET", "/storage/v1/b/media/o"), upload(ask, "a", b"")):
        assert (answer.status, answer.reason) == (403, "accountDisabled")


# -- objects -----------------------------------------------------------------------------------------------------------

NAMES = [
    "a/b",
    "a%2Fb",
    "#?&+ %",
    "☺☺☺",
    "e\u0301",
    "\u00e9",
    "a//b",
    " ",
    "[x]{y}*",
    "back\\slash",
    "'\"<>",
    "x" * 1024,
]


@pytest.mark.parametrize("name", NAMES)
def test_names_travel_unchanged(name: str, bucket: storage.Bucket, client: storage.Client, ask: Ask) -> None:
    bucket.blob(name).upload_from_string(name.encode(), content_type="text/plain; charset=utf-8")
    assert [each.name for each in client.list_blobs("media")] == [name]
    assert bucket.blob(name).download_as_bytes() == name.encode()
    assert bucket.get_blob(name).content_type == "text/plain; charset=utf-8"
    encoded = urllib.parse.quote(name, safe="")
    for path in ("/storage/v1/b/media/o/", "/download/storage/v1/b/media/o/"):
        assert ask("GET", f"{path}{encoded}?alt=media").body == name.encode()
    assert ask("GET", f"/media/{urllib.parse.quote(name)}").body == name.encode()
    bucket.blob(name).delete()
    assert not bucket.blob(name).exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a\nb", "x" * 1025])
def test_names_refused(name: str, ask: Ask) -> None:
    assert upload(ask, name, b"1").status == 400


@pytest.mark.parametrize("size", [0, 1, 3 * QUANTUM + 7])
@pytest.mark.parametrize("way", ["media", "multipart", "resumable", "chunks"])
def test_every_way_up_gives_the_same_object(
    way: str, size: int, bucket: storage.Bucket, ask: Ask, gcs_double: GcsDouble
) -> None:
    data = noise(size)
    blob = bucket.blob("x")
    blob.metadata = {"k": "ü"}
    if way == "media":
        assert upload(ask, "x", data, headers={"Content-Type": "image/png"}).status == 200
    elif way == "multipart":
        blob.upload_from_string(data, content_type="image/png")
    else:
        blob._CHUNK_SIZE_MULTIPLE = QUANTUM
        blob.chunk_size = QUANTUM if way == "chunks" else None
        where = blob.create_resumable_upload_session(
            content_type="image/png", size=size if way == "resumable" else None
        )
        if way == "resumable":
            assert ask("PUT", where, data).status == 200
        else:
            blob.upload_from_file(io.BytesIO(data), content_type="image/png")  # size unknown: several chunks
            assert ask("DELETE", where).status == 499
    made = bucket.get_blob("x")
    assert (made.size, made.content_type) == (size, "image/png")
    assert (made.md5_hash, made.crc32c) == (md5(data), crc(data))
    assert made.metadata == (None if way == "media" else {"k": "ü"})
    assert made.metageneration == 1
    assert gcs_double.content("media", "x") == data
    assert bucket.blob("x").download_as_bytes(checksum="crc32c") == data
    assert bucket.blob("x").download_as_bytes(checksum="md5") == data


def test_wrong_checksums_are_refused_and_change_nothing(
    ask: Ask, bucket: storage.Bucket, gcs_double: GcsDouble
) -> None:
    gcs_double.put("media", "x", b"former")
    for header in (f"crc32c={crc(b'b')}", f"md5={md5(b'b')}", f"crc32c={crc(b'a')},md5={md5(b'b')}", "md5=notbase64"):
        answer = upload(ask, "x", b"a", headers={"X-Goog-Hash": header})
        assert (answer.status, answer.reason) == (400, "invalid"), header
    for field, value in (("md5Hash", md5(b"b")), ("crc32c", crc(b"b"))):
        body = b"--B\r\nContent-Type: application/json\r\n\r\n" + json.dumps({"name": "x", field: value}).encode()
        body += b"\r\n--B\r\nContent-Type: text/plain\r\n\r\na\r\n--B--"
        path = "/upload/storage/v1/b/media/o?uploadType=multipart"
        answer = ask("POST", path, body, {"Content-Type": "multipart/related; boundary=B"})
        assert answer.status == 400
        assert "doesn't match calculated" in answer.json["error"]["message"]
        where = start(ask, "x", {field: value})
        assert ask("PUT", where, b"a").status == 400
    assert ask("PUT", start(ask, "x"), b"a", {"X-Goog-Hash": f"crc32c={crc(b'b')}"}).status == 400
    assert gcs_double.content("media", "x") == b"former"
    assert ask("PUT", start(ask, "x"), b"a", {"X-Goog-Hash": f"crc32c={crc(b'a')}"}).status == 200
    assert gcs_double.content("media", "x") == b"a"


def test_multipart_bodies_in_odd_shapes(ask: Ask, gcs_double: GcsDouble) -> None:
    path = "/upload/storage/v1/b/media/o?uploadType=multipart"
    head = b"--B\r\ncontent-type: application/json\r\n\r\n"
    for data in (b"", b"\r\n", b"\r\n--", b"x--B", b"\r\n--A" * 99, noise(700_000) + b"\r\n"):
        body = head + b'{"name":"x"}\r\n--B\r\ncontent-type: text/plain\r\n\r\n' + data + b"\r\n--B--\r\n"
        assert ask("POST", path, body, {"Content-Type": 'multipart/related; boundary="B"'}).status == 200
        assert gcs_double.content("media", "x") == data
    kind = {"Content-Type": "multipart/related; boundary=B"}
    one_part = head + b'{"name":"y"}\r\n--B--'
    unended = head + b'{"name":"y"}\r\n--B\r\ncontent-type: text/plain\r\n\r\ndata'
    disagree = head + b'{"name":"y","contentType":"a/b"}\r\n--B\r\ncontent-type: c/d\r\n\r\ndata\r\n--B--'
    bad_json = head + b'{"name"\r\n--B\r\ncontent-type: c/d\r\n\r\ndata\r\n--B--'
    for body in (one_part, unended, disagree, bad_json, b""):
        assert ask("POST", path, body, kind).status == 400
    assert ask("POST", path, b"", {"Content-Type": "text/plain"}).status == 400
    assert gcs_double.object("media", "y") is None


def test_metadata_patch_and_update(bucket: storage.Bucket, gcs_double: GcsDouble) -> None:
    gcs_double.put("media", "x", b"1", contentType="a/b", metadata={"a": "1", "b": "2"}, cacheControl="no-store")
    blob = bucket.get_blob("x")
    generation = blob.generation
    blob.metadata = {"a": None, "c": "3"}
    blob.content_language = "de"
    blob.patch()
    assert (blob.metadata, blob.content_language, blob.cache_control) == ({"b": "2", "c": "3"}, "de", "no-store")
    assert (blob.generation, blob.metageneration) == (generation, 2)
    blob.content_type = "c/d"
    blob.update()
    assert (blob.content_type, blob.metageneration) == ("c/d", 3)
    with pytest.raises(gerrors.PreconditionFailed):
        blob.patch(if_metageneration_match=2)
    blob.metadata = {"k": "v" * 8192}
    with pytest.raises(gerrors.BadRequest):
        blob.patch()
    with pytest.raises(gerrors.NotFound):
        bucket.blob("none").patch()


def test_ranges(ask: Ask, gcs_double: GcsDouble) -> None:
    data = noise(600_000)  # more than the pieces in which it is sent
    gcs_double.put("media", "x", data)
    for asked, start_, end in (("0-0", 0, 1), ("5-9", 5, 10), ("599999-", 599_999, 600_000), ("-7", 599_993, 600_000),
                               ("200000-400000", 200_000, 400_001), ("9-9999999", 9, 600_000)):  # fmt: skip
        for path in ("/storage/v1/b/media/o/x?alt=media", "/media/x"):
            answer = ask("GET", path, headers={"Range": f"bytes={asked}"})
            assert answer.status == 206
            assert answer.headers["Content-Range"] == f"bytes {start_}-{end - 1}/600000"
            assert answer.body == data[start_:end]
            assert crc(data) in answer.headers["X-Goog-Hash"]
    for asked in ("600000-", "-0"):
        answer = ask("GET", "/storage/v1/b/media/o/x?alt=media", headers={"Range": f"bytes={asked}"})
        assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */600000")
    for asked in ("9-5", "x", "1-2,4-5"):
        answer = ask("GET", "/storage/v1/b/media/o/x?alt=media", headers={"Range": f"bytes={asked}"})
        assert (answer.status, len(answer.body)) == (200, 600_000)
    gcs_double.put("media", "empty", b"")
    assert ask("GET", "/storage/v1/b/media/o/empty?alt=media", headers={"Range": "bytes=0-"}).status == 416


def test_headers_of_a_download(ask: Ask, gcs_double: GcsDouble) -> None:
    made = gcs_double.put("media", "x", b"data", contentDisposition="attachment", cacheControl="no-cache")
    answer = ask("GET", "/download/storage/v1/b/media/o/x?alt=media")
    assert answer.headers["X-Goog-Hash"] == f"crc32c={crc(b'data')},md5={md5(b'data')}"
    assert answer.headers["X-Goog-Generation"] == str(made.generation)
    assert answer.headers["X-Goog-Metageneration"] == "1"
    assert answer.headers["X-Goog-Stored-Content-Encoding"] == "identity"
    assert answer.headers["X-Goog-Stored-Content-Length"] == answer.headers["Content-Length"] == "4"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == "attachment"
    assert answer.headers["Cache-Control"] == "no-cache"
    head = ask("HEAD", "/media/x")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "4")
    assert head.headers["ETag"] == f'"{hashlib.md5(b"data").hexdigest()}"'


def test_gzip_is_unpacked_unless_the_caller_takes_it(ask: Ask, bucket: storage.Bucket, gcs_double: GcsDouble) -> None:
    data = b"text " * 200_000
    packed = gzip.compress(data)
    gcs_double.put("media", "x", packed, contentEncoding="gzip")
    plain = ask("GET", "/storage/v1/b/media/o/x?alt=media", headers={"Range": "bytes=0-9"})
    assert (plain.status, plain.body == data) == (200, True)
    assert plain.headers["Content-Encoding"] is None
    assert plain.headers["Content-Length"] is None
    assert plain.headers["X-Goog-Stored-Content-Encoding"] == "gzip"
    assert plain.headers["X-Goog-Stored-Content-Length"] == str(len(packed))
    taken = ask("GET", "/storage/v1/b/media/o/x?alt=media", headers={"Accept-Encoding": "gzip"})
    assert (taken.body == packed, taken.headers["Content-Encoding"]) == (True, "gzip")
    part = ask("GET", "/media/x", headers={"Accept-Encoding": "gzip", "Range": "bytes=3-5"})
    assert (part.status, part.body) == (206, packed[3:6])
    assert bucket.blob("x").download_as_bytes(raw_download=True) == packed
    assert bucket.blob("x").download_as_bytes() == data
    gcs_double.put("media", "kept", packed, contentEncoding="gzip", cacheControl="no-transform")
    assert ask("GET", "/media/kept").body == packed
    gcs_double.put("media", "lie", b"not packed", contentEncoding="gzip")
    assert ask("GET", "/media/lie").body == b"not packed"


# -- generations, preconditions, concurrency ---------------------------------------------------------------------------


# A refused download is asked for by plain HTTP: Google's client leaves the answer's connection open, unread.


def test_generations_grow_and_pin_reads(bucket: storage.Bucket, ask: Ask, gcs_double: GcsDouble) -> None:
    first = gcs_double.put("media", "x", b"1").generation
    second = gcs_double.put("media", "x", b"2").generation
    assert second > first
    assert bucket.blob("x", generation=second).download_as_bytes() == b"2"
    assert ask("GET", f"/storage/v1/b/media/o/x?alt=media&generation={first}").status == 404
    with pytest.raises(gerrors.NotFound):
        bucket.blob("x", generation=first).delete()
    bucket.blob("x", generation=second).delete()
    assert gcs_double.put("media", "x").generation > second


def test_noncurrent_versions(client: storage.Client, gcs_double: GcsDouble) -> None:
    gcs_double.create_bucket("old", versioning=True)
    bucket = client.bucket("old")
    first = gcs_double.put("old", "x", b"1").generation
    second = gcs_double.put("old", "x", b"2").generation
    assert bucket.blob("x", generation=first).download_as_bytes() == b"1"
    bucket.blob("x").delete()
    assert list(bucket.list_blobs()) == []
    assert [each.generation for each in bucket.list_blobs(versions=True)] == [first, second]
    bucket.blob("x", generation=first).delete()
    assert [each.generation for each in bucket.list_blobs(versions=True)] == [second]


CONDITIONS = [
    # condition, holds for an absent object, holds for one with generation and metageneration as asked
    ("ifGenerationMatch=0", True, False),
    ("ifGenerationMatch={g}", False, True),
    ("ifGenerationMatch=5", False, False),
    ("ifGenerationNotMatch=0", False, True),
    ("ifGenerationNotMatch={g}", True, False),
    ("ifGenerationNotMatch=5", True, True),
    ("ifMetagenerationMatch=1", False, True),
    ("ifMetagenerationMatch=2", False, False),
    ("ifMetagenerationNotMatch=1", True, False),
    ("ifMetagenerationNotMatch=2", True, True),
]


@pytest.mark.parametrize(("condition", "absent", "present"), CONDITIONS)
def test_conditions_of_writes(condition: str, absent: bool, present: bool, ask: Ask, gcs_double: GcsDouble) -> None:
    gcs_double.put("media", "source", b"new")
    compose = {"sourceObjects": [{"name": "source"}]}
    related = b'--B\r\n\r\n{"name":"x"}\r\n--B\r\n\r\nnew\r\n--B--'

    def put(condition: str, way: str) -> Answer:
        if way == "media":
            return upload(ask, "x", b"new", "&" + condition)
        if way == "multipart":
            path = f"/upload/storage/v1/b/media/o?uploadType=multipart&{condition}"
            return ask("POST", path, related, {"Content-Type": "multipart/related; boundary=B"})
        if way == "resumable":
            answer = ask("POST", f"/upload/storage/v1/b/media/o?uploadType=resumable&name=x&{condition}", {})
            return answer if answer.status != 200 else ask("PUT", answer.headers["Location"], b"new")
        if way == "compose":
            return ask("POST", f"/storage/v1/b/media/o/x/compose?{condition}", compose)
        return ask("POST", f"/storage/v1/b/media/o/source/{way}/b/media/o/x?{condition}", {})

    for way in ("media", "multipart", "resumable", "compose", "copyTo", "rewriteTo"):
        for exists, holds in ((False, absent), (True, present)):
            if gcs_double.object("media", "x"):
                gcs_double.remove("media", "x")
            g = gcs_double.put("media", "x", b"old").generation if exists else 5_000
            answer = put(condition.format(g=g), way)
            assert answer.status == (200 if holds else 412), (way, exists, answer.body)
            if not holds:
                assert answer.reason == "conditionNotMet"
            found = gcs_double.object("media", "x")
            assert (found.content.read() if found else None) == (b"new" if holds else b"old" if exists else None)


@pytest.mark.parametrize(("condition", "_", "present"), CONDITIONS)
def test_conditions_of_reads_patches_and_deletes(
    condition: str, _: bool, present: bool, ask: Ask, gcs_double: GcsDouble
) -> None:
    made = gcs_double.put("media", "x", b"1")
    query = condition.format(g=made.generation)
    refused = 304 if "Not" in condition else 412
    for suffix in ("?", "?alt=media&"):
        answer = ask("GET", f"/storage/v1/b/media/o/x{suffix}{query}")
        assert answer.status == (200 if present else refused)
        assert not (answer.status == 304 and answer.body)
    assert ask("PATCH", f"/storage/v1/b/media/o/x?{query}", {}).status == (200 if present else 412)
    made = gcs_double.put("media", "x", b"1")
    query = condition.format(g=made.generation)
    assert ask("DELETE", f"/storage/v1/b/media/o/x?{query}").status == (204 if present else 412)
    assert (gcs_double.object("media", "x") is None) == present


def test_etags_as_conditions(bucket: storage.Bucket, ask: Ask, gcs_double: GcsDouble) -> None:
    gcs_double.put("media", "x", b"1")
    etag = bucket.get_blob("x").etag
    assert bucket.blob("x").download_as_bytes(if_etag_match=etag) == b"1"
    gcs_double.put("media", "x", b"2")
    assert ask("GET", "/storage/v1/b/media/o/x?alt=media", headers={"If-Match": etag}).status == 412
    with pytest.raises(gerrors.PreconditionFailed):
        bucket.blob("x").reload(if_etag_match=etag)


@pytest.mark.parametrize("way", ["media", "resumable", "compose", "rewriteTo", "xml"])
def test_of_racing_writers_one_wins(way: str, ask: Ask, gcs_double: GcsDouble) -> None:
    writers = 64 if way == "media" else 16
    barrier = threading.Barrier(writers)
    for index in range(writers):
        gcs_double.put("media", f"source{index}", b"%d" % index)
    sessions = [start(ask, "x", query="&ifGenerationMatch=0") for _ in range(writers)] if way == "resumable" else []

    def write(index: int) -> int:
        barrier.wait()
        if way == "media":
            return upload(ask, "x", b"%d" % index, "&ifGenerationMatch=0").status
        if way == "resumable":  # all were allowed to begin: it is decided at the end
            return ask("PUT", sessions[index], b"%d" % index).status
        if way == "xml":
            return ask("PUT", "/media/x", b"%d" % index, {"x-goog-if-generation-match": "0"}).status
        if way == "compose":
            body = {"sourceObjects": [{"name": f"source{index}"}]}
            return ask("POST", "/storage/v1/b/media/o/x/compose?ifGenerationMatch=0", body).status
        return ask("POST", f"/storage/v1/b/media/o/source{index}/rewriteTo/b/media/o/x?ifGenerationMatch=0", {}).status

    with ThreadPoolExecutor(writers) as pool:
        statuses = list(pool.map(write, range(writers)))
    assert sorted(statuses) == [200] + [412] * (writers - 1)
    assert gcs_double.content("media", "x") == b"%d" % statuses.index(200)


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_a_session_chunk_by_chunk(ask: Ask, gcs_double: GcsDouble) -> None:
    data = noise(2 * QUANTUM + 5)
    where = start(ask, X_Upload_Content_Type="a/b", X_Upload_Content_Length=str(len(data)))
    status = chunk(ask, where, b"", "*/*")
    assert (status.status, status.headers["Range"]) == (308, None)
    one = chunk(ask, where, data[:QUANTUM], f"0-{QUANTUM - 1}/*")
    assert (one.status, one.headers["Range"], one.body) == (308, f"bytes=0-{QUANTUM - 1}", b"")
    assert chunk(ask, where, b"", f"*/{len(data)}").headers["Range"] == one.headers["Range"]
    assert gcs_double.object("media", "s") is None
    # what is persisted may be sent again and is ignored
    two = chunk(ask, where, bytes(QUANTUM) + data[QUANTUM : 2 * QUANTUM], f"0-{2 * QUANTUM - 1}/{len(data)}")
    assert two.headers["Range"] == f"bytes=0-{2 * QUANTUM - 1}"
    last = chunk(ask, where, data[2 * QUANTUM :], f"{2 * QUANTUM}-{len(data) - 1}/{len(data)}")
    assert (last.status, last.json["size"], last.json["contentType"]) == (200, str(len(data)), "a/b")
    assert gcs_double.content("media", "s") == data
    again = chunk(ask, where, b"", "*/*")
    assert (again.status, again.json["generation"]) == (200, last.json["generation"])
    assert gcs_double.sessions == []


def test_sessions_refuse_wrong_chunks(ask: Ask) -> None:
    where = start(ask)
    small = chunk(ask, where, b"x" * 500, "0-499/*")
    assert (small.status, small.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
    gap = chunk(ask, where, bytes(QUANTUM), f"{QUANTUM}-{2 * QUANTUM - 1}/*")
    assert gap.status == 503
    assert b"exceeds already uploaded size of 0" in gap.body
    odd = chunk(ask, where, bytes(QUANTUM + 9), f"0-{QUANTUM + 8}/*")
    assert (odd.status, odd.headers["Range"]) == (308, f"bytes=0-{QUANTUM - 1}")
    for wrong in ("5-2/*", "0-9/5", "x", f"0-{QUANTUM}/*"):
        assert chunk(ask, where, bytes(QUANTUM), wrong).status == 400, wrong
    other = start(ask, X_Upload_Content_Length="3")
    assert ask("PUT", other, b"four").status == 400
    assert ask("PUT", other, b"3 b").status == 200


def test_an_empty_object_and_one_of_unknown_length(ask: Ask, gcs_double: GcsDouble) -> None:
    assert chunk(ask, start(ask, "empty"), b"", "*/0").status == 200
    assert gcs_double.content("media", "empty") == b""
    data = noise(QUANTUM + 3)
    parts = (data[at : at + 70_000] for at in range(0, len(data), 70_000))
    connection = http.client.HTTPConnection("127.0.0.1", gcs_double.port, timeout=20)
    headers = {"Content-Range": "bytes 0-*/*", "Transfer-Encoding": "chunked"}
    path = start(ask, "streamed").removeprefix(gcs_double.url)
    connection.request("PUT", path, parts, headers, encode_chunked=True)
    response = connection.getresponse()
    assert (response.status, len(response.read()) > 0) == (200, True)
    connection.close()
    assert gcs_double.content("media", "streamed") == data


def test_sessions_end(ask: Ask, gcs_double: GcsDouble) -> None:
    where = start(ask)
    assert ask("DELETE", where).status == 499
    assert 400 <= chunk(ask, where, b"", "*/*").status < 500
    assert ask("PUT", where, b"x").status == 499
    for status in (404, 410):
        where = start(ask)
        assert len(gcs_double.sessions) == 1
        gcs_double.expire_sessions(status)
        assert ask("PUT", where, b"x").status == status
    assert ask("PUT", where.replace("upload_id=", "upload_id=no"), b"x").status == 404
    assert gcs_double.object("media", "s") is None
    assert gcs_double.sessions == []


def test_a_session_asks_its_condition_again_at_the_end(ask: Ask, gcs_double: GcsDouble) -> None:
    where = start(ask, query="&ifGenerationMatch=0")
    gcs_double.put("media", "s", b"other")
    for _ in range(2):
        assert ask("PUT", where, b"mine").status == 412
    assert gcs_double.content("media", "s") == b"other"
    path = "/upload/storage/v1/b/media/o?uploadType=resumable&name=s&ifGenerationMatch=0"
    assert ask("POST", path, {}).status == 412


def test_less_acknowledged_than_sent(bucket: storage.Bucket, ask: Ask, gcs_double: GcsDouble) -> None:
    data = noise(3 * QUANTUM)
    where = start(ask)
    rule = gcs_double.fault(Acknowledge(QUANTUM), method="PUT")
    answer = chunk(ask, where, data, f"0-{len(data) - 1}/{len(data)}")
    assert (answer.status, answer.headers["Range"], rule.hits) == (308, f"bytes=0-{QUANTUM - 1}", 1)
    assert chunk(ask, where, data[QUANTUM:], f"{QUANTUM}-{len(data) - 1}/{len(data)}").status == 200
    assert gcs_double.content("media", "s") == data
    where = start(ask)
    gcs_double.fault(Acknowledge(0), method="PUT")
    assert chunk(ask, where, data, f"0-{len(data) - 1}/{len(data)}").headers["Range"] is None


def test_a_caller_that_dies_leaves_whole_quanta(ask: Ask, gcs_double: GcsDouble) -> None:
    where = start(ask)
    size = 3 * QUANTUM
    connection = http.client.HTTPConnection("127.0.0.1", gcs_double.port, timeout=20)
    connection.putrequest("PUT", where.removeprefix(gcs_double.url))
    connection.putheader("Content-Length", str(size))
    connection.endheaders(bytes(QUANTUM + 999))
    connection.close()
    for _ in range(100):
        found = chunk(ask, where, b"", f"*/{size}").headers["Range"]
        if found:
            break
        time.sleep(0.02)
    assert found == f"bytes=0-{QUANTUM - 1}"


def test_no_308_for_clients_that_cannot_take_it(ask: Ask) -> None:
    answer = chunk(ask, start(ask), b"", "*/*", **{"X-GUploader-No-308": "yes"})
    assert (answer.status, answer.headers["X-HTTP-Status-Code-Override"]) == (200, "308")


# -- listing -----------------------------------------------------------------------------------------------------------


def names(client: storage.Client, **options: Any) -> tuple[list[str], list[str]]:
    pages = client.list_blobs("media", **options)
    items = [each.name for each in pages]
    return items, sorted(pages.prefixes)


def test_listing_is_in_byte_order_and_filtered(client: storage.Client, gcs_double: GcsDouble) -> None:
    every = ["A", "a", "a/", "a/b", "a/b/c", "a/c", "b", "t-/x", "t/y", "Ω", "\uffee", "😀"]
    for name in random.Random(1).sample(every, len(every)):
        gcs_double.put("media", name)
    assert names(client)[0] == sorted(every, key=str.encode) == gcs_double.names("media")
    assert names(client, prefix="a/")[0] == ["a/", "a/b", "a/b/c", "a/c"]
    assert names(client, start_offset="a/b", end_offset="b")[0] == ["a/b", "a/b/c", "a/c"]
    assert names(client, delimiter="/") == (["A", "a", "b", "Ω", "\uffee", "😀"], ["a/", "t-/", "t/"])
    assert names(client, delimiter="/", prefix="a/") == (["a/", "a/b", "a/c"], ["a/b/"])
    assert names(client, delimiter="/", include_trailing_delimiter=True, end_offset="b") == (["A", "a", "a/"], ["a/"])
    assert names(client, delimiter="/", start_offset="a/c", end_offset="t.")[0] == ["b"]
    assert names(client, match_glob="a/*")[0] == ["a/", "a/b", "a/c"]
    assert names(client, match_glob="a/**")[0] == ["a/", "a/b", "a/b/c", "a/c"]
    assert names(client, match_glob="{A,[a-b]}")[0] == ["A", "a", "b"]
    assert names(client, prefix="none") == ([], [])


@pytest.mark.parametrize(("options", "pages"), [({}, 3), ({"page_size": 999}, 3), ({"page_size": 5000}, 3)])
def test_pages(options: dict[str, Any], pages: int, client: storage.Client, gcs_double: GcsDouble) -> None:
    every = [f"n/{index:04}" for index in range(2500)]
    for name in every:
        gcs_double.put("media", name)
    gcs_double.clear_log()
    assert names(client, **options)[0] == every
    assert gcs_double.count("GET", "/o$") == pages
    assert names(client, start_offset="n/2499")[0] == ["n/2499"]


def test_pages_of_prefixes(client: storage.Client, gcs_double: GcsDouble, ask: Ask) -> None:
    for index in range(40):
        gcs_double.put("media", f"{index:02}/a")
        gcs_double.put("media", f"{index:02}/b")
        gcs_double.put("media", f"{index:02}x")
    items, prefixes = names(client, delimiter="/", page_size=7)
    assert (len(items), prefixes) == (40, [f"{index:02}/" for index in range(40)])
    page = ask("GET", "/storage/v1/b/media/o?delimiter=/&maxResults=7").json
    assert len(page["items"]) + len(page["prefixes"]) == 7
    assert ask("GET", "/storage/v1/b/media/o?pageToken=nonsense!").status == 400
    assert ask("GET", "/storage/v1/b/media/o?maxResults=x").status == 400


def test_what_is_inserted_and_deleted_between_pages(ask: Ask, gcs_double: GcsDouble) -> None:
    for name in "bdfh":
        gcs_double.put("media", name)
    page = ask("GET", "/storage/v1/b/media/o?maxResults=2").json
    for name in "ag":
        gcs_double.put("media", name)
    gcs_double.remove("media", "d")
    gcs_double.remove("media", "h")
    rest = ask("GET", f"/storage/v1/b/media/o?maxResults=9&pageToken={page['nextPageToken']}").json
    assert [each["name"] for each in rest["items"]] == ["f", "g"]
    assert "nextPageToken" not in rest


def test_partial_answers(ask: Ask, gcs_double: GcsDouble) -> None:
    gcs_double.put("media", "a/x", b"12", metadata={"k": "v"})
    gcs_double.put("media", "y", b"1")
    listed = ask("GET", "/storage/v1/b/media/o?delimiter=/&fields=items(name,size),prefixes").json
    assert listed == {"items": [{"name": "y", "size": "1"}], "prefixes": ["a/"]}
    assert ask("GET", "/storage/v1/b/media/o/a%2Fx?fields=name,metadata/k").json == {
        "name": "a/x",
        "metadata": {"k": "v"},
    }
    assert ask("GET", "/storage/v1/b/media/o?fields=items(name").status == 400


# -- compose, copy, rewrite --------------------------------------------------------------------------------------------


def test_compose(bucket: storage.Bucket, gcs_double: GcsDouble) -> None:
    parts = [noise(size) for size in (0, 1, 70_000, 300_000)]
    for index, data in enumerate(parts):
        gcs_double.put("media", f"{index}", data)
    made = bucket.blob("all")
    made.content_type, made.metadata = "a/b", {"k": "v"}
    made.compose([bucket.blob(f"{index}") for index in range(4)], if_generation_match=0)
    whole = b"".join(parts)
    assert (made.component_count, made.crc32c, made.md5_hash) == (4, crc(whole), None)
    assert (made.content_type, made.metadata) == ("a/b", {"k": "v"})
    assert made.download_as_bytes() == whole
    twice = bucket.blob("all")
    twice.compose([made, bucket.blob("1"), made])  # onto itself, composites count their components
    assert (twice.component_count, twice.crc32c) == (9, crc(whole + parts[1] + whole))
    assert twice.content_type is None
    bucket.blob("1").delete()
    assert twice.download_as_bytes() == whole + parts[1] + whole


def test_compose_refuses(ask: Ask, gcs_double: GcsDouble) -> None:
    made = gcs_double.put("media", "a", b"1")
    path = "/storage/v1/b/media/o/x/compose"

    def compose(*sources: dict[str, Any], query: str = "", **destination: Any) -> int:
        return ask("POST", path + query, {"sourceObjects": list(sources), "destination": destination}).status

    a = {"name": "a"}
    assert compose(*[a] * 33) == 400
    assert compose() == 400
    assert compose({"name": "none"}) == 404
    assert compose(a | {"generation": str(made.generation - 1)}) == 404
    assert compose(a | {"objectPreconditions": {"ifGenerationMatch": str(made.generation - 1)}}) == 412
    gcs_double.put("media", "cold", b"1", storageClass="COLDLINE")
    assert compose(a, {"name": "cold"}) == 400
    assert gcs_double.object("media", "x") is None
    assert compose(*[a] * 32) == 200
    assert (
        compose(a | {"generation": str(made.generation), "objectPreconditions": {"ifGenerationMatch": made.generation}})
        == 200
    )
    assert compose(a, query="?ifGenerationMatch=0") == 412
    assert compose(a, md5Hash=md5(b"other")) == 200  # an MD5 that is given is ignored
    assert gcs_double.object("media", "x").md5 == ""


def test_copy(bucket: storage.Bucket, gcs_double: GcsDouble) -> None:
    source = gcs_double.put("media", "a", b"1", contentType="a/b", metadata={"k": "v"})
    made = bucket.copy_blob(bucket.blob("a"), bucket, "b/ü", if_source_generation_match=source.generation)
    assert (made.md5_hash, made.content_type, made.metadata) == (md5(b"1"), "a/b", {"k": "v"})
    with pytest.raises(gerrors.PreconditionFailed):
        bucket.copy_blob(bucket.blob("a"), bucket, "c", if_source_generation_match=1)
    with pytest.raises(gerrors.NotFound):
        bucket.copy_blob(bucket.blob("none"), bucket, "c")


def test_rewrite_over_several_calls(client: storage.Client, bucket: storage.Bucket, gcs_double: GcsDouble) -> None:
    data = noise(1_000_000)
    gcs_double.put("media", "a", data, contentType="a/b", metadata={"k": "v"})
    gcs_double.rewrite_limit = 300_000
    target = bucket.blob("b")
    token, steps = None, []
    while True:
        token, done, total = target.rewrite(bucket.blob("a"), token=token)
        steps.append((done, total))
        if token is None:
            break
        assert gcs_double.object("media", "b") is None
    assert steps == [(300_000, 1_000_000), (600_000, 1_000_000), (900_000, 1_000_000), (1_000_000, 1_000_000)]
    assert gcs_double.content("media", "b") == data
    gcs_double.rewrite_limit = None
    changed = bucket.blob("c")
    changed.content_type = "c/d"
    assert changed.rewrite(bucket.blob("a"))[0] is None
    assert (changed.content_type, changed.metadata) == ("c/d", None)  # what is given, and only that
    gcs_double.create_bucket("far", location="ASIA")
    far = client.bucket("far").blob("a")
    gcs_double.put("media", "large", bytes(3 * 1024 * 1024))
    token, done, _ = far.rewrite(bucket.blob("large"), timeout=5)
    assert (token, done) == (None, 3 * 1024 * 1024)


def test_rewrite_tokens_and_limits(ask: Ask, gcs_double: GcsDouble) -> None:
    gcs_double.put("media", "a", bytes(3 * 1024 * 1024))
    gcs_double.create_bucket("far", location="ASIA")
    path = "/storage/v1/b/media/o/a/rewriteTo/b/far/o/x"
    assert ask("POST", path + "?maxBytesRewrittenPerCall=1000", {}).status == 400
    first = ask("POST", path + "?maxBytesRewrittenPerCall=1048576", {}).json
    assert (first["done"], first["totalBytesRewritten"]) == (False, "1048576")
    token = first["rewriteToken"]
    assert ask("POST", f"{path}y?rewriteToken={token}", {}).status == 400
    assert ask("POST", f"{path}?rewriteToken=none", {}).status == 400
    assert ask("POST", f"{path}?rewriteToken={token}&ifSourceGenerationMatch=1", {}).status == 412
    gcs_double.expire_rewrites()
    assert ask("POST", f"{path}?rewriteToken={token}", {}).status == 410
    token = ask("POST", path + "?maxBytesRewrittenPerCall=1048576", {}).json["rewriteToken"]
    gcs_double.put("media", "a", b"other")
    assert ask("POST", f"{path}?rewriteToken={token}", {}).status == 404
    near = ask("POST", "/storage/v1/b/media/o/a/rewriteTo/b/media/o/x?maxBytesRewrittenPerCall=1048576", {}).json
    assert near["done"]


# -- batch -------------------------------------------------------------------------------------------------------------


def test_batch(client: storage.Client, bucket: storage.Bucket, gcs_double: GcsDouble) -> None:
    strange = [name for name in NAMES if name]
    for name in strange:
        gcs_double.put("media", name)
    gcs_double.clear_log()
    with client.batch(raise_exception=False) as batch:
        for name in [*strange, "none"]:
            bucket.blob(name).delete()
        found = bucket.get_blob("none")
    assert [answer.status_code for answer in batch._responses] == [204] * len(strange) + [404, 404]
    assert found is not None
    assert gcs_double.names("media") == []
    assert (gcs_double.count("POST"), len(gcs_double.requests("DELETE"))) == (1, len(strange) + 1)
    gcs_double.put("media", "x")
    gcs_double.fault(Status(503), method="DELETE", path="/o/x$")
    with pytest.raises(gerrors.ServiceUnavailable), client.batch():
        bucket.blob("x").delete()


def test_a_batch_of_101(ask: Ask) -> None:
    call = b"--B\r\nContent-Type: application/http\r\n\r\nGET /storage/v1/b/media HTTP/1.1\r\n\r\n\r\n"
    for calls, status in ((100, 200), (101, 400)):
        headers = {"Content-Type": "multipart/mixed; boundary=B"}
        assert ask("POST", "/batch/storage/v1", call * calls + b"--B--", headers).status == status


def test_batches_that_are_none(ask: Ask) -> None:
    kind = {"Content-Type": "multipart/mixed; boundary=B"}
    assert ask("POST", "/batch/storage/v1", b"", {"Content-Type": "text/plain"}).status == 400
    assert ask("POST", "/batch/storage/v1", b"", kind).status == 400
    body = b"--B\r\nContent-Type: application/http\r\nContent-ID: <7>\r\n\r\n"
    body += b"GET /storage/v1/b/media/o/x?alt=media HTTP/1.1\r\n\r\n\r\n--B--"
    answer = ask("POST", "/batch/storage/v1", body, kind)
    assert answer.status == 200
    assert b"Content-ID: <response-7>" in answer.body


# -- credentials and signed URLs ---------------------------------------------------------------------------------------


@pytest.fixture
def signer(gcs_double: GcsDouble, tmp_path: Path) -> Iterator[storage.Client]:
    path = gcs_double.write_credentials(tmp_path / "credentials.json")
    options = {"api_endpoint": gcs_double.url}
    made = storage.Client.from_service_account_json(str(path), client_options=options)
    yield made
    made.close()


def test_tokens(signer: storage.Client, client: storage.Client, ask: Ask, gcs_double: GcsDouble) -> None:
    gcs_double.require_auth = True
    answer = ask("GET", "/storage/v1/b/media")
    assert (answer.status, answer.reason) == (401, "required")
    assert "Bearer" in answer.headers["WWW-Authenticate"]
    wrong = ask("GET", "/storage/v1/b/media", headers={"Authorization": "Bearer nonsense"})
    assert (wrong.status, wrong.reason) == (401, "authError")
    with pytest.raises(InvalidOperation):  # what Google's client makes of a 401 without credentials
        client.get_bucket("media")
    assert signer.get_bucket("media").name == "media"
    signer.bucket("media").blob("x").upload_from_string(b"1")
    with signer.batch():
        signer.bucket("media").blob("x").delete()
    assert gcs_double.count("POST", "/token$") == 1
    gcs_double.expire_tokens()
    assert signer.get_bucket("media").name == "media"  # the client asks for another token after a 401
    assert gcs_double.count("POST", "/token$") == 2


def test_token_requests_that_are_refused(ask: Ask, gcs_double: GcsDouble) -> None:
    assert ask("POST", "/token", b"grant_type=x").json["error"] == "unsupported_grant_type"
    info = gcs_double.credentials_info() | {"client_email": "stranger@example.com"}
    credentials = service_account.Credentials.from_service_account_info(info, scopes=["s"])
    with requests.Session() as session, pytest.raises(RefreshError, match="invalid_grant"):
        credentials.refresh(transport.Request(session))


def test_sign_blob(ask: Ask, gcs_double: GcsDouble) -> None:
    path = f"/v1/projects/-/serviceAccounts/{gcs_double.account.email}:signBlob"
    answer = ask("POST", path, {"payload": base64.b64encode(b"text").decode()})
    assert gcs_double.account.verifies(base64.b64decode(answer.json["signedBlob"]), b"text")
    assert ask("POST", path, {"payload": "?"}).status == 400
    assert ask("POST", path.replace("double@", "none@"), {"payload": ""}).status == 404
    gcs_double.deny("iam.serviceAccounts.signBlob")
    assert ask("POST", path, {"payload": ""}).status == 403
    gcs_double.require_auth = True
    assert ask("POST", path, {"payload": ""}).status == 401


def signed(signer: storage.Client, gcs_double: GcsDouble, name: str, method: str = "GET", **options: Any) -> str:
    options = {"expiration": timedelta(minutes=5)} | options
    blob = signer.bucket("media").blob(name)
    return blob.generate_signed_url(version="v4", method=method, api_access_endpoint=gcs_double.url, **options)


@pytest.mark.parametrize("name", NAMES)
def test_signed_urls(name: str, signer: storage.Client, ask: Ask, gcs_double: GcsDouble) -> None:
    gcs_double.require_auth = True
    assert ask("PUT", signed(signer, gcs_double, name, "PUT"), b"data").status == 200
    answer = ask("GET", signed(signer, gcs_double, name))
    assert (answer.status, answer.body) == (200, b"data")
    assert ask("DELETE", signed(signer, gcs_double, name, "DELETE")).status == 204
    gone = ask("GET", signed(signer, gcs_double, name))
    assert (gone.status, b"<Code>NoSuchKey</Code>" in gone.body) == (404, True)
    assert gcs_double.count("POST") == 0


def test_signed_urls_are_refused(signer: storage.Client, ask: Ask, gcs_double: GcsDouble) -> None:
    gcs_double.require_auth = True
    gcs_double.put("media", "x", b"data")
    gcs_double.put("media", "y", b"other")
    url = signed(signer, gcs_double, "x")
    assert ask("GET", url).status == 200

    def code(method: str, url: str, **headers: str) -> tuple[int, str]:
        answer = ask(
            method, url, b"" if method == "PUT" else None, {key.replace("_", "-"): v for key, v in headers.items()}
        )
        return answer.status, answer.body.decode().partition("<Code>")[2].partition("</Code>")[0]

    mismatch = (403, "SignatureDoesNotMatch")
    assert code("DELETE", url) == mismatch
    assert code("PUT", url) == mismatch
    assert code("GET", url.replace("/x?", "/y?")) == mismatch
    assert code("GET", url.replace("Expires=300", "Expires=301")) == mismatch
    assert code("GET", url + "&response-content-type=text/html") == mismatch
    assert code("GET", url[:-4] + "0000") == mismatch
    assert code("GET", url, Host="elsewhere.example") == mismatch
    assert code("GET", url.replace("double%40", "stranger%40")) == mismatch
    assert code("GET", url, x_goog_meta_a="1") == (400, "MalformedSecurityHeader")
    assert code("GET", "/media/x") == (403, "AccessDenied")
    assert code("GET", url.replace("X-Goog-Date", "X-Goog-Dat")) == (400, "MalformedSecurityHeader")
    short = signed(signer, gcs_double, "x", expiration=timedelta(seconds=1))
    time.sleep(2.1)
    assert code("GET", short) == (400, "ExpiredToken")
    assert gcs_double.names("media") == ["x", "y"]


def test_signed_headers_and_parameters(signer: storage.Client, ask: Ask, gcs_double: GcsDouble) -> None:
    gcs_double.require_auth = True
    condition = {"x-goog-if-generation-match": "0"}
    url = signed(signer, gcs_double, "x", "PUT", headers=condition, content_type="a/b")
    assert ask("PUT", url, b"1", {"Content-Type": "a/b"}).status == 400  # the condition is signed, and missing
    assert ask("PUT", url, b"1", condition | {"Content-Type": "c/d"}).status == 403
    assert ask("PUT", url, b"1", condition | {"Content-Type": "a/b"}).status == 200
    again = ask("PUT", url, b"2", condition | {"Content-Type": "a/b"})
    assert (again.status, b"PreconditionFailed" in again.body) == (412, True)
    found = gcs_double.object("media", "x")
    assert (found.content.read(), found.fields["contentType"]) == (b"1", "a/b")
    url = signed(signer, gcs_double, "x", response_disposition='attachment; filename="ü"', response_type="text/plain")
    answer = ask("GET", url)
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    start_url = signed(signer, gcs_double, "r", "RESUMABLE")
    opened = ask("POST", start_url, b"", {"x-goog-resumable": "start"})
    assert opened.status == 201
    assert ask("PUT", opened.headers["Location"], b"data").status == 200
    assert gcs_double.content("media", "r") == b"data"


def test_the_xml_api_without_signatures(ask: Ask, gcs_double: GcsDouble) -> None:
    headers = {"Content-Type": "a/b", "x-goog-meta-k": "v", "Content-MD5": md5(b"1")}
    assert ask("PUT", "/media/x", b"1", headers).status == 200
    answer = ask("GET", "/media/x")
    assert (answer.body, answer.headers["x-goog-meta-k"], answer.headers["Content-Type"]) == (b"1", "v", "a/b")
    bad = ask("PUT", "/media/x", b"2", {"x-goog-hash": f"crc32c={crc(b'1')}"})
    assert (bad.status, b"BadDigest" in bad.body) == (400, True)
    assert b"NoSuchBucket" in ask("GET", "/none/x").body
    assert ask("POST", "/media/x", b"").status == 405
    assert ask("GET", "/media").status == 501


# -- faults ------------------------------------------------------------------------------------------------------------


def test_errors_on_demand_at_the_nth_request(ask: Ask, gcs_double: GcsDouble) -> None:
    rule = gcs_double.fault(Status(429, "rateLimitExceeded", "Slow", retry_after=7), path="/o/x", nth=2, times=2)
    gcs_double.put("media", "x", b"1")
    answers = [ask("GET", "/storage/v1/b/media/o/x") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 429, 429, 200]
    assert (answers[1].reason, answers[1].headers["Retry-After"]) == ("rateLimitExceeded", "7")
    assert (rule.seen, rule.hits) == (4, 2)
    gcs_double.fault(Status(503), method="GET", query="alt=media", times=None)
    assert {ask("GET", "/storage/v1/b/media/o/x?alt=media").status for _ in range(3)} == {503}
    assert ask("GET", "/storage/v1/b/media/o/x").status == 200
    gcs_double.clear_faults()
    assert ask("GET", "/storage/v1/b/media/o/x?alt=media").status == 200


def test_resets_and_lost_answers(ask: Ask, gcs_double: GcsDouble) -> None:
    gcs_double.fault(Reset(), method="POST")
    with pytest.raises(ConnectionError):
        upload(ask, "x", b"1")
    gcs_double.fault(Reset(after=QUANTUM), method="POST")
    with pytest.raises(ConnectionError):
        upload(ask, "x", bytes(4 * QUANTUM))
    assert gcs_double.object("media", "x") is None
    gcs_double.fault(LoseAnswer(), method="POST")
    with pytest.raises(ConnectionError):
        upload(ask, "x", b"1", "&ifGenerationMatch=0")
    assert gcs_double.content("media", "x") == b"1"
    assert upload(ask, "x", b"1", "&ifGenerationMatch=0").status == 412
    assert [entry.status for entry in gcs_double.requests("POST")] == [0, 0, 0, 412]
    gcs_double.fault(AnswerStatus(503), method="POST")
    assert upload(ask, "y", b"2").status == 503
    assert gcs_double.content("media", "y") == b"2"


def test_bodies_cut_short_and_bent(ask: Ask, bucket: storage.Bucket, gcs_double: GcsDouble) -> None:
    data = noise(600_000)
    gcs_double.put("media", "x", data)
    path = "/storage/v1/b/media/o/x?alt=media"
    gcs_double.fault(Cut(300_000))
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        ask("GET", path)
    gcs_double.fault(Short(300_000))
    with pytest.raises(http.client.IncompleteRead) as short:
        ask("GET", path)
    assert short.value.partial == data[:300_000]
    gcs_double.fault(Truncate(300_000))
    answer = ask("GET", path)
    assert (answer.status, answer.body) == (200, data[:300_000])
    gcs_double.fault(Flip(400_000, 0x80))
    bent = ask("GET", path).body
    assert [at for at in range(len(data)) if data[at] != bent[at]] == [400_000]
    gcs_double.fault(Delay(0.3))
    gcs_double.fault(Delay(0.3, at=9))
    began = time.monotonic()
    assert ask("GET", path).body == data
    assert time.monotonic() - began >= 0.6
    gcs_double.corrupt("media", "x", at=3)
    assert gcs_double.content("media", "x")[3] == data[3] ^ 1
    assert ask("GET", path).headers["X-Goog-Hash"] == f"crc32c={crc(data)},md5={md5(data)}"
    with pytest.raises(Exception, match="Checksum mismatch"):
        bucket.blob("x").download_as_bytes()


def test_googles_client_gets_over_faults(bucket: storage.Bucket, gcs_double: GcsDouble) -> None:
    gcs_double.fault(Status(503), method="GET", path="/o/x$")
    gcs_double.put("media", "x", b"1")
    assert bucket.get_blob("x").size == 1
    data = noise(4 * QUANTUM)
    blob = bucket.blob("y", chunk_size=QUANTUM)
    gcs_double.fault(Status(503), method="PUT", nth=2)
    gcs_double.fault(LoseAnswer(), method="PUT", nth=4)
    blob.upload_from_file(io.BytesIO(data), if_generation_match=0)
    assert gcs_double.content("media", "y") == data


# -- the server itself -------------------------------------------------------------------------------------------------


def test_the_log_and_reset(ask: Ask, gcs_double: GcsDouble) -> None:
    upload(ask, "x", b"12345", headers={"X-Extra": "1"})
    ask("GET", "/storage/v1/b/media/o/x?alt=media")
    put, got = gcs_double.requests()
    assert (put.method, put.path, put.status, put.received) == ("POST", "/upload/storage/v1/b/media/o", 200, 5)
    assert put.headers["x-extra"] == "1"
    assert "name=x" in put.query
    assert (got.status, got.sent) == (200, 5)
    assert gcs_double.counters == {"POST": 1, "GET": 1}
    start(ask)
    gcs_double.deny("storage.objects.get")
    gcs_double.reset()
    assert (gcs_double.requests(), gcs_double.sessions, gcs_double.counters) == ([], [], {})
    assert ask("GET", "/storage/v1/b/media").status == 404


def test_one_connection_serves_many_requests_also_after_refusals(gcs_double: GcsDouble) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gcs_double.port, timeout=20)
    for _ in range(3):
        for method, path, body in (
            ("POST", "/upload/storage/v1/b/none/o?uploadType=media&name=x", bytes(300_000)),
            ("GET", "/storage/v1/b/media/o/none?alt=media", None),
            ("HEAD", "/media/none", None),
            ("PUT", "/media/x", b"1"),
            ("DELETE", "/media/x", None),
        ):
            connection.request(method, path, body)
            connection.getresponse().read()
    assert gcs_double.count() == 15
    connection.close()


def test_large_objects_stay_out_of_memory(gcs_double: GcsDouble) -> None:
    import resource

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    size, piece = 192 * 1024 * 1024, bytes(1024 * 1024)
    before = peak()
    path = "/upload/storage/v1/b/media/o?uploadType=media&name=big"
    connection = http.client.HTTPConnection("127.0.0.1", gcs_double.port, timeout=60)
    pieces = (piece for _ in range(size // len(piece)))
    connection.request("POST", path, pieces, {"Content-Length": str(size)})
    assert json.loads(connection.getresponse().read())["size"] == str(size)
    connection.request("GET", "/storage/v1/b/media/o/big?alt=media")
    response = connection.getresponse()
    total = 0
    while data := response.read(1024 * 1024):
        total += len(data)
    connection.close()
    assert total == size
    assert peak() - before < 48 * 1024 * 1024
    gcs_double.discard = True
    connection.request("POST", path, iter([piece] * 16), {"Content-Length": str(16 * len(piece))})
    assert json.loads(connection.getresponse().read())["md5Hash"] == md5(piece * 16)
    connection.close()


def test_it_stops_and_leaves_nothing() -> None:
    before = set(threading.enumerate())
    double = GcsDouble().start()
    double.create_bucket("media")
    double.fault(Delay(60), path="/slow")
    connection = http.client.HTTPConnection("127.0.0.1", double.port, timeout=20)
    connection.request("GET", "/storage/v1/b/media")
    assert connection.getresponse().read()
    stalled = http.client.HTTPConnection("127.0.0.1", double.port, timeout=20)
    stalled.request("GET", "/slow/x")
    time.sleep(0.1)
    port = double.port
    began = time.monotonic()
    double.stop()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert time.monotonic() - began < 5
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionError):
        http.client.HTTPConnection("127.0.0.1", port, timeout=2).request("GET", "/")
    connection.close()
    stalled.close()


def test_by_hand(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "emulators.gcs_double", "--bucket", "media", "--lifetime", "20"]
    command += ["--credentials", str(tmp_path / "c.json")]
    folder = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip().partition("=")[2]
            with urllib.request.urlopen(f"{url}/storage/v1/b/media", timeout=10) as response:
                assert json.load(response)["name"] == "media"
            assert process.stdout.readline().startswith("GOOGLE_APPLICATION_CREDENTIALS=")
            assert json.loads((tmp_path / "c.json").read_text())["token_uri"] == f"{url}/token"
        finally:
            process.terminate()
