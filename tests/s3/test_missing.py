"""Services without a feature: it is worked around, found out once, and what was lost stands in the limits."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from emulators.s3 import S3Server
from faults.hooked import HookedProxy
from faults.hooked_s3 import HookedS3
from faults.http1 import Body, Headers, Request, Response
from file_keeper import Storage, exc, make_storage
from file_keeper_s3 import copying
from s3.conftest import MiB, keys_of, open_uploads

OnServer = Callable[..., Storage]
ID = [("x-amz-request-id", "1")]


def _error(status: int, code: str, said: str) -> Response:
    text = f"<Error><Code>{code}</Code><Message>{said}</Message></Error>" if code else ""
    return Response.of(status, text, [("Content-Type", "application/xml"), *ID])


def _refuse(
    front: HookedS3, status: int, code: str = "NotImplemented", said: str = "no", header: str = "", **where: Any
) -> list[str]:
    """Refuse requests, or those that have a header; the list grows with each."""
    hits: list[str] = []

    def hook(request: Request, body: Body, forward: Any) -> Response:
        if header and not request.headers.has(header):
            return forward(request, body)
        for _ in body:
            pass
        hits.append(f"{request.method} {request.path}")
        return _error(status, code, said)

    front.hook(hook, **where)
    return hits


def _check(storage: Storage, missing: str, caplog: pytest.LogCaptureFixture) -> None:
    assert storage.limits.missing == {missing}
    told = [r.getMessage() for r in caplog.records if f"'{missing}': false" in r.getMessage()]
    assert len(told) == 1, "what is lost is logged once"


@pytest.fixture(params=["http", "sdk"])
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (400, "NotImplemented"), (405, "")])
def test_no_delete_objects(
    status: int, code: str, hooked: HookedS3, storage_on: OnServer, caplog: pytest.LogCaptureFixture, transport: str
) -> None:
    storage = storage_on(hooked.server(), transport=transport)
    hits = _refuse(hooked, status, code, method="POST", query="delete")
    names = [f"f{n}" for n in range(5)]
    for _ in range(2):
        for name in names:
            storage.upload(name, b"1")
        assert storage.remove_many([*names, "missing"]) == []
        assert list(storage.scan()) == []
    assert len(hits) == 1
    _check(storage, "delete_objects", caplog)


def test_no_delete_objects_and_a_key_that_cannot_be_removed(hooked: HookedS3, storage_on: OnServer) -> None:
    storage = storage_on(hooked.server(), features={"delete_objects": False})
    for name in "abc":
        storage.upload(name, b"1")
    _refuse(hooked, 403, "AccessDenied", method="DELETE", path="b$")
    errors = storage.remove_many(["a", "b", "c"])
    assert [(type(error), error.location) for error in errors] == [(exc.PermissionError, "b")]
    assert list(storage.scan()) == ["b"]
    assert not hooked.count("POST", query="delete"), "the option spares the attempt"


def test_a_failure_of_delete_objects_teaches_nothing(hooked: HookedS3, storage_on: OnServer) -> None:
    storage = storage_on(hooked.server(), retry=1)
    hits = _refuse(hooked, 503, "SlowDown", method="POST", query="delete")
    assert [type(error) for error in storage.remove_many(["a", "b"])] == [exc.ThrottledError] * 2
    assert hits
    assert storage.limits.missing == set()


def test_no_copy_object(hooked: HookedS3, storage_on: OnServer, caplog: pytest.LogCaptureFixture) -> None:
    storage = storage_on(hooked.server(), overwrite_existing=True)
    hits = _refuse(hooked, 501, header="x-amz-copy-source")
    storage.upload("a", b"content", content_type="text/x", metadata={"k": "v"})
    for name in ("b", "c"):
        made = storage.copy(name, "a")
        assert storage.content(name) == b"content"
        assert (made.content_type, made.metadata, made.hash) == ("text/x", {"k": "v"}, storage.hash("a"))
    assert len(hits) == 1
    _check(storage, "copy", caplog)
    assert not [key for key in keys_of(hooked.server(), storage.settings.bucket) if ".file-keeper" in key]


def test_no_upload_part_copy(
    hooked: HookedS3, storage_on: OnServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "COPY_MAX", 5 * MiB)
    storage = storage_on(hooked.server(), part_size="5MiB", overwrite_existing=True)
    hits = _refuse(hooked, 501, header="x-amz-copy-source", query="partNumber")
    content = bytes(11 * MiB)
    storage.upload("a", content)
    storage.copy("b", "a")
    storage.compose("c", "a", "b")
    storage.append("a", b"more")
    assert storage.content("b") == content
    assert storage.size("c") == 22 * MiB
    assert storage.content("a") == content + b"more"
    assert len(hits) <= 4, "at most one for each piece of the first"
    _check(storage, "copy_parts", caplog)
    assert not open_uploads(hooked.server(), storage.settings.bucket)


@pytest.mark.parametrize("how", ["ignored", "refused"])
@pytest.mark.parametrize("parts", [True, False])
def test_no_copy_source_if_match(
    how: str, parts: bool, hooked: HookedS3, storage_on: OnServer, caplog: pytest.LogCaptureFixture
) -> None:
    more = {"features": {} if parts else {"parts": False}}
    storage = storage_on(hooked.server(), overwrite_existing=True, **more)
    if how == "ignored":
        hooked.ignore(headers=("x-amz-copy-source-if-match",))
    else:
        _refuse(hooked, 501, header="x-amz-copy-source-if-match")
    first = storage.upload("a", bytes(6 * MiB))
    storage.copy("b", first)
    assert storage.size("b") == 6 * MiB
    assert "copy_source_if_match" in storage.limits.missing

    def replace(request: Request, body: Body, forward: Any) -> Response:
        """Another writer replaces the source while it is copied."""
        response = forward(request, body)
        if request.headers.get("x-amz-copy-source").endswith("/area/a"):
            changed = storage_on(hooked.server(), bucket=storage.settings.bucket, overwrite_existing=True)
            changed.upload("a", b"other")
        return response

    hooked.hook(replace, method="PUT", path="/area/c$", times=1)
    with pytest.raises(exc.ChangedFileError, match="another version"):
        storage.copy("c", first)
    assert storage.exists("c") is not parts, "what is made of parts is not published"
    assert not open_uploads(hooked.server(), storage.settings.bucket)


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (412, "PreconditionFailed")])
def test_no_conditional_reads(
    status: int, code: str, hooked: HookedS3, storage_on: OnServer, caplog: pytest.LogCaptureFixture
) -> None:
    storage = storage_on(hooked.server())
    first = storage.upload("a", b"0123456789")
    hits = _refuse(hooked, status, code, header="If-Match", method="GET")
    for _ in range(2):
        assert b"".join(storage.stream(first, start=2, etag=first.etag)) == b"23456789"
    assert len(hits) == 1
    _check(storage, "read_if_match", caplog)
    storage.upload("a", b"abc", overwrite=True)
    with pytest.raises(exc.ChangedFileError):
        b"".join(storage.stream(first, etag=first.etag))


def test_a_changed_file_is_told_where_reads_are_conditional(hooked: HookedS3, storage_on: OnServer) -> None:
    storage = storage_on(hooked.server())
    first = storage.upload("a", b"0123456789")
    storage.upload("a", b"abc", overwrite=True)
    with pytest.raises(exc.ChangedFileError):
        b"".join(storage.stream(first, etag=first.etag))
    assert storage.limits.missing == set()


@pytest.mark.parametrize("where", ["GET", "GET|HEAD"])
def test_etags_that_name_no_version(
    where: str, hooked: HookedS3, storage_on: OnServer, caplog: pytest.LogCaptureFixture
) -> None:
    count = itertools.count()

    def change(request: Request, headers: Headers) -> Any:
        falsely = headers.has("ETag") and re.fullmatch(where, request.method)
        return [*headers.without("ETag"), ("ETag", f'"x{next(count)}"')] if falsely else headers

    storage = storage_on(hooked.server())
    hooked.ignore(headers=("If-Match",))
    hooked.headers(change)
    content = bytes(range(256)) * 100
    storage.upload("a", content, overwrite=True)
    with storage.open("a") as file:
        file.seek(100)
        assert file.read(10) == content[100:110]
        file.seek(20_000)
        assert file.read() == content[20_000:]
    assert storage.content("a") == content
    assert b"".join(storage.stream("a", start=7, etag=storage.analyze("a").etag)) == content[7:]
    assert storage.range("a", 5, 9) == content[5:9]
    _check(storage, "etags", caplog)


def test_a_weak_etag_is_compared_as_it_is(hooked: HookedS3, storage_on: OnServer) -> None:
    hooked.headers(
        lambda _, headers: [(n, f"W/{v}" if n.lower() == "etag" else v) for n, v in headers], method="GET|HEAD"
    )
    hooked.headers(lambda _, headers: [(n, f"W/{v}" if n.lower() == "etag" else v) for n, v in headers], method="GET")
    storage = storage_on(hooked.server())
    first = storage.upload("a", b"0123456789")
    assert b"".join(storage.stream(first, start=2, etag=first.etag)) == b"23456789"
    assert storage.limits.missing == set()


@pytest.mark.parametrize("length", [4, 6 * MiB])
def test_content_md5_is_refused(
    length: int, hooked: HookedS3, storage_on: OnServer, caplog: pytest.LogCaptureFixture, transport: str
) -> None:
    hits = _refuse(hooked, 400, "InvalidRequest", "Content-MD5 is not supported", "Content-MD5", method="PUT")
    storage = storage_on(hooked.server(), transport=transport, part_size="5MiB", overwrite_existing=True)
    for _ in range(2):
        made = storage.upload("a", bytes(length))
        assert storage.analyze("a").hash == made.hash
        assert storage.content("a") == bytes(length)
    assert len(hits) <= 1
    if hits:
        _check(storage, "content_md5", caplog)


def test_content_md5_is_demanded(hooked: HookedS3, storage_on: OnServer, transport: str) -> None:
    refused: list[str] = []

    def hook(request: Request, body: Body, forward: Any) -> Response:
        if request.headers.has("Content-MD5") or request.headers.has("x-amz-copy-source"):
            return forward(request, body)
        for _ in body:
            pass
        refused.append(request.path)
        said = "Missing required header for this request: Content-MD5"
        return _error(400, "InvalidRequest", said)

    storage = storage_on(hooked.server(), transport=transport, hashing_algorithm="sha256", overwrite_existing=True)
    hooked.hook(hook, method="PUT")
    for _ in range(2):
        storage.upload("a", b"content")
        assert storage.content("a") == b"content"
    assert len(refused) == 1


def test_a_directory_bucket_gets_no_md5(hooked: HookedS3) -> None:
    """API Reference, "PutObject": not for directory buckets, nor for their access points."""
    from file_keeper.settings import parse
    from file_keeper_s3.checksums import Checksums
    from file_keeper_s3.facts import Facts
    from file_keeper_s3.settings import S3Settings

    for bucket in ("media--use1-az4--x-s3", "point--use1-az4--xa-s3"):
        settings = parse(S3Settings, "s", {"bucket": bucket}, "file_keeper:s3")
        sums = Checksums(settings, "", Facts(), lambda *_: None, aws=True, known=settings.given_features.get)
        assert list(sums.checksum(b"x", {"md5": "0" * 32})) == ["ChecksumCRC32C"]
        with make_storage("s", {"type": "s3", "bucket": bucket, "key": "k", "secret": "s", "region": "us-east-1"}) as s:
            assert s.limits.order == "none"


@pytest.mark.parametrize("code", ["XAmzContentSHA256Mismatch", "SignatureDoesNotMatch", "InvalidArgument"])
def test_bodies_that_are_not_signed_are_refused(
    code: str,
    moto_server: S3Server,
    certificates: Any,
    storage_on: OnServer,
    caplog: pytest.LogCaptureFixture,
    transport: str,
) -> None:
    with HookedProxy(moto_server.url, certificates=certificates) as front:
        seen: list[str] = []

        def hook(request: Request, body: Body, forward: Any) -> Response:
            payload = request.headers.get("x-amz-content-sha256")
            seen.append(payload)
            if payload != "UNSIGNED-PAYLOAD":
                return forward(request, body)
            for _ in body:
                pass
            said = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256" if "Arg" in code else "no"
            return _error(400, code, said)

        front.hook(hook, method="PUT")
        server = dataclasses.replace(moto_server, url=front.url, ca_file=certificates.ca_file)
        storage = storage_on(server, transport=transport, overwrite_existing=True)
        for _ in range(3):
            storage.upload("a", b"content")
        assert storage.content("a") == b"content"
        assert seen.count("UNSIGNED-PAYLOAD") == 1
        _check(storage, "unsigned_payload", caplog)


def test_parts_of_one_size(hooked: HookedS3, storage_on: OnServer, caplog: pytest.LogCaptureFixture) -> None:
    """As R2 does: a completion of parts that differ is refused, in compositions as well."""
    refused: list[str] = []

    def hook(request: Request, body: Body, forward: Any) -> Response:
        sizes = [part["Size"] for part in _parts_of(hooked, request)]
        if len(set(sizes[:-1])) < 2 and sizes[-1] <= sizes[0]:
            return forward(request, body)
        for _ in body:
            pass
        refused.append(request.path)
        said = "All non-trailing parts must have the same length."
        return _error(400, "InvalidPart", said)

    hooked.hook(hook, method="POST", query="uploadId")
    storage = storage_on(hooked.server(), part_size="5MiB", overwrite_existing=True)
    storage.upload("a", bytes(7 * MiB))
    storage.upload("b", bytes(6 * MiB))
    storage.upload("c", bytes(8 * MiB))
    storage.compose("abc", "a", "b", "c")
    assert storage.size("abc") == 21 * MiB
    assert len(refused) == 1
    _check(storage, "unequal_parts", caplog)
    assert storage.limits.equal_parts
    storage.append("abc", b"tail")
    storage.compose("cba", "c", "b", "a")
    assert storage.size("abc") == 21 * MiB + 4
    assert storage.size("cba") == 21 * MiB
    assert len(refused) == 1, "it is known now"
    told = storage_on(hooked.server(), equal_parts="yes")
    assert told.limits.equal_parts


def _parts_of(front: HookedS3, request: Request) -> list[dict[str, Any]]:
    _, bucket, key = request.path.split("/", 2)
    client = front.server().client()
    try:
        return client.list_parts(Bucket=bucket, Key=key, UploadId=request.parameters["uploadId"])["Parts"]
    finally:
        client.close()


def test_pieces_of_one_size() -> None:
    from file_keeper.backend import NotSupportedForObject, ObjectInfo

    def sizes(*found: int, tail: int = 0) -> list[int]:
        sources = [ObjectInfo(key=str(n), size=size) for n, size in enumerate(found)]
        return [p.end - p.start + 1 for p in copying.plan(sources, tail=tail, equal=True)]

    assert sizes(600 * MiB) == [256 * MiB, 256 * MiB, 88 * MiB]
    assert sizes(6 * MiB, 6 * MiB, 5) == [6 * MiB, 6 * MiB, 5]
    assert sizes(600 * MiB, tail=10) == [600 * MiB]
    assert sizes(6 * MiB, 7 * MiB) == [6 * MiB, 6 * MiB, MiB]
    with pytest.raises(NotSupportedForObject):
        sizes(6 * MiB, 5 * MiB, 6 * MiB)
    with pytest.raises(NotSupportedForObject):
        sizes(6 * MiB, tail=7 * MiB)


def test_the_bucket_belongs_into_the_host_name(
    hooked: HookedS3, storage_on: OnServer, caplog: pytest.LogCaptureFixture
) -> None:
    """As Alibaba's OSS answers; asked through a proxy, so that no name is looked up."""
    bucket = hooked.server().new_bucket()
    hosts: list[str] = []

    def hook(request: Request, body: Body, forward: Any) -> Response:
        host = request.headers.get("Host")
        hosts.append(host)
        if not host.startswith(f"{bucket}."):
            for _ in body:
                pass
            return _error(403, "SecondLevelDomainForbidden", "use the third level domain")
        path = re.sub("^http://[^/]*", "", request.path)
        return forward(dataclasses.replace(request, path=f"/{bucket}{path}"), body)

    hooked.hook(hook)
    there = {"endpoint": "http://oss.example", "proxies": {"http": hooked.url}, "bucket": bucket}
    storage = storage_on(hooked.server(), **there)
    for _ in range(2):
        storage.upload("a", b"1", overwrite=True)
        assert storage.content("a") == b"1"
    assert [host.startswith(bucket) for host in hosts].count(False) == 1
    assert "'addressing': 'virtual'" in caplog.text
    named = storage_on(hooked.server(), addressing="path", **there)
    with pytest.raises(exc.InvalidStorageConfigurationError, match="set 'addressing' to 'virtual'"):
        named.content("a")


def test_what_the_option_says_is_not_tried(hooked: HookedS3, storage_on: OnServer) -> None:
    missing = {"copy": False, "tagging": False, "list_v2": False, "read_if_match": False}
    storage = storage_on(hooked.server(), features=missing, conditional_writes="yes")
    first = storage.upload("a", b"1")
    storage.copy("b", "a")
    assert list(storage.scan()) == ["a", "b"]
    assert b"".join(storage.stream(first, etag=first.etag)) == b"1"
    assert storage.limits.missing == set(missing)
    assert not hooked.count("PUT", "probe-")
    assert not hooked.count("GET", query="list-type=2")
    with pytest.raises(exc.InvalidStorageConfigurationError, match="did you mean 'tagging'"):
        storage_on(hooked.server(), features={"taging": False})
    with pytest.raises(exc.InvalidStorageConfigurationError, match="must be true or false"):
        storage_on(hooked.server(), features={"tagging": "no"})


def test_amazon_lacks_nothing() -> None:
    with make_storage("s", {"type": "s3", "bucket": "b", "region": "eu-west-1", "key": "k", "secret": "s"}) as storage:
        assert storage.backend.endpoint.missing == set()
        assert storage.backend.endpoint.has("copy_source_if_match")
        assert storage.limits.missing == set()


def test_the_log_says_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    from file_keeper_s3.facts import LOST, Facts

    facts = Facts("https://s3.example")
    with caplog.at_level(logging.WARNING, "file_keeper"):
        for feature in LOST:
            facts.learn(feature, False)
            facts.learn(feature, False)
    assert len(caplog.records) == len(LOST)
