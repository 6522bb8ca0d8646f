"""Each failure is one of ours, says where it happened, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from emulators.s3 import S3Server
from faults.answers import s3_error
from faults.proxy import FaultProxy
from faults.strict_s3 import StrictS3
from file_keeper import Storage, exc
from file_keeper.backend import MultipartRef, ObjectInfo, Part, WriteOptions
from file_keeper_s3 import S3Backend
from file_keeper_s3.reply import Refusal
from s3.conftest import MiB, open_uploads, probe

OnServer = Callable[..., Storage]
Make = Callable[..., S3Backend]
Proxied = tuple[FaultProxy, S3Server]

ANSWERS = [
    (400, "RequestTimeout", exc.TimeoutError, True),
    (400, "BadDigest", exc.UploadHashMismatchError, False),
    (400, "ExpiredToken", exc.PermissionError, False),
    (400, "EntityTooLarge", exc.LargeUploadError, False),
    (400, "KeyTooLongError", exc.LocationError, False),
    (400, "SomethingNew", exc.StorageError, False),
    (401, "Unauthorized", exc.PermissionError, False),
    (403, "AccessDenied", exc.PermissionError, False),
    (403, "InvalidAccessKeyId", exc.PermissionError, False),
    (403, "SignatureDoesNotMatch", exc.PermissionError, False),
    (403, "RequestTimeTooSkewed", exc.PermissionError, False),
    (403, "InvalidObjectState", exc.StorageError, False),
    (404, "NoSuchKey", exc.MissingFileError, False),
    (404, "NoSuchBucket", exc.InvalidStorageConfigurationError, False),
    (408, "RequestTimeout", exc.TimeoutError, True),
    (409, "OperationAborted", exc.ConnectionError, True),
    (429, "TooManyRequests", exc.ThrottledError, True),
    (500, "InternalError", exc.ConnectionError, True),
    (501, "NotImplemented", exc.StorageError, False),
    (502, "BadGateway", exc.ConnectionError, True),
    (503, "SlowDown", exc.ThrottledError, True),
    (503, "ServiceUnavailable", exc.ConnectionError, True),
]


def _raised(failures: Any) -> None:
    for _, error in failures:
        raise error


VERBS: dict[str, Callable[[S3Backend], Any]] = {
    "read": lambda backend: backend.read("area/a"),
    "put": lambda backend: backend.put("area/a", b"1", WriteOptions(digests={"md5": "0" * 32})),
    "list": lambda backend: list(backend.list("area/", start_after="area/a")),
    "multipart_create": lambda backend: backend.multipart_create("area/a", WriteOptions()),
    "multipart_complete": lambda backend: backend.multipart_complete(
        MultipartRef("area/a", "u"), [Part(number=0, size=1, etag="e")], WriteOptions()
    ),
    "notes": lambda backend: backend.read_digests(ObjectInfo(key="area/a", size=1)),
    "delete_many": lambda backend: _raised(backend.delete_many(["area/a"])),
}


def ours(backend: S3Backend, call: Callable[[], Any]) -> exc.FilesError:
    """What a failing call means."""
    try:
        call()
    except exc.FilesError as error:
        return error
    except Exception as error:
        found = backend.translate(error)
        if found is not None:
            return found
        raise
    raise AssertionError("it did not fail")


@pytest.mark.parametrize(("status", "code", "kind", "retryable"), ANSWERS, ids=lambda value: str(value))
def test_an_answer_means_the_same_for_every_verb(
    status: int, code: str, kind: type[exc.FilesError], retryable: bool, proxied: Proxied, make_backend: Make
) -> None:
    proxy, server = proxied
    backend = make_backend(server, bucket="bucket-of-errors")
    for name, call in VERBS.items():
        proxy.clear()
        proxy.on(times=None).answer(*s3_error(status, code, "what S3 says"))
        error = ours(backend, lambda call=call: call(backend))
        if code in ("NotImplemented",) and name == "list":
            kind = exc.StorageError
        assert type(error) is kind, name
        assert error.retryable == retryable, name
        assert error.status == status, name
        assert error.code == code, name
        assert error.request_id == "FAULT0000000001", name
    if code == "NoSuchBucket":
        assert "bucket-of-errors" in str(error)
    if code == "RequestTimeTooSkewed":
        assert "clock" in str(error)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("EntityTooSmall", exc.MultipartUploadError),
        ("InvalidPart", exc.MultipartUploadError),
        ("InvalidPartOrder", exc.MultipartUploadError),
        ("NoSuchUpload", exc.MissingFileError),
    ],
)
def test_answers_of_parts(code: str, kind: type[exc.FilesError], proxied: Proxied, make_backend: Make) -> None:
    proxy, server = proxied
    backend = make_backend(server)
    proxy.on(times=None).answer(*s3_error(404 if code == "NoSuchUpload" else 400, code))
    upload = MultipartRef("area/a", "u")
    assert type(ours(backend, lambda: VERBS["multipart_complete"](backend))) is kind
    assert type(ours(backend, lambda: backend.multipart_put(upload, 0, b"1"))) is kind
    assert type(ours(backend, lambda: list(backend.multipart_parts(upload)))) is kind
    if code == "NoSuchUpload":
        assert backend.multipart_abort(upload) is False


def test_an_error_within_an_answer_of_200_is_an_error(proxied: Proxied, make_backend: Make) -> None:
    # API, CompleteMultipartUpload and CopyObject: a 200 may hold an error.
    proxy, server = proxied
    backend = make_backend(server)
    source = backend.put("area/s", b"1", WriteOptions())
    _, body, headers = s3_error(200, "InternalError")
    proxy.on("POST", query="uploadId").answer(200, body, headers)
    proxy.on("PUT", "/area/t").answer(200, body, headers)
    for call in (VERBS["multipart_complete"], lambda backend: backend.copy(source, "area/t", WriteOptions())):
        error = ours(backend, lambda call=call: call(backend))
        assert type(error) is exc.ConnectionError
        assert error.retryable


@pytest.mark.parametrize(("value", "least", "most"), [("3", 3, 3), ("Mon, 23 Nov 2099 10:00:00 GMT", 1e6, 1e10)])
def test_retry_after_is_read(value: str, least: float, most: float, proxied: Proxied, make_backend: Make) -> None:
    proxy, server = proxied
    backend = make_backend(server)
    status, body, headers = s3_error(503, "SlowDown")
    proxy.on(times=None).answer(status, body, {**headers, "Retry-After": value})
    assert least <= ours(backend, lambda: backend.read_digests(ObjectInfo(key="area/a", size=1))).retry_after <= most


def test_a_removal_that_did_not_come_beyond_its_look_removed_nothing(proxied: Proxied, storage_on: OnServer) -> None:
    proxy, server = proxied
    storage = storage_on(server, timeout=5)
    storage.upload("b", b"1")
    proxy.on("HEAD").lose_answer()
    assert storage.remove("a") is False
    proxy.on("HEAD").lose_answer()
    assert storage.remove("b") is True
    storage.upload("b", b"1")
    proxy.on("HEAD", "/b$", times=None).reset()
    with pytest.raises(exc.ConnectionError) as caught:
        storage.remove("b")
    proxy.clear()
    assert not caught.value.uncertain
    assert storage.exists("b")


def test_a_storage_tells_where_it_happened(proxied: Proxied, storage_on: OnServer) -> None:
    proxy, server = proxied
    storage = storage_on(server)
    proxy.on(times=None).answer(*s3_error(403, "AccessDenied", "no"))
    for name, call in {
        "exists": lambda: storage.exists("a"),
        "remove": lambda: storage.remove("a"),
        "content": lambda: storage.content("a"),
        "upload": lambda: storage.upload("a", b"1", overwrite=True),
    }.items():
        with pytest.raises(PermissionError) as caught:
            call()
        error = caught.value
        assert isinstance(error, exc.PermissionError)
        assert isinstance(error.__cause__, Refusal)
        assert (error.storage, error.operation, error.location) == ("media", name, "a")


def test_a_bucket_that_is_not_there_is_named(proxied: Proxied, make_backend: Make) -> None:
    backend = make_backend(proxied[1], bucket="no-such-bucket")
    for call in (
        lambda: backend.head("area/a"),
        backend.check,
        lambda: backend.put("area/a", b"1", WriteOptions()),
        lambda: list(backend.list("area/")),
    ):
        error = ours(backend, call)
        assert type(error) is exc.InvalidStorageConfigurationError
        assert "no-such-bucket" in str(error)


def test_whether_there_is_a_bucket_is_asked_once(proxied: Proxied, make_backend: Make) -> None:
    proxy, server = proxied
    backend = make_backend(server)
    proxy.clear()
    for name in ("a", "b"):
        with pytest.raises(exc.MissingFileError):
            backend.head(name)
    assert [(request.method, request.path.count("/")) for request in proxy.requests] == [
        ("HEAD", 2),
        ("HEAD", 1),
        ("HEAD", 2),
    ]


def test_without_permission_to_ask_the_404_is_believed(proxied: Proxied, make_backend: Make) -> None:
    proxy, server = proxied
    backend = make_backend(server)
    proxy.on("HEAD", f"^/{backend.bucket}$", times=None).answer(403)
    with pytest.raises(exc.MissingFileError):
        backend.head("a")
    with pytest.raises(Exception, match="403") as caught:
        backend.check()
    assert isinstance(backend.translate(caught.value), exc.PermissionError)


def test_wrong_credentials(strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    front = strict()
    bucket = front.server().new_bucket()
    for changes in ({"secret": "wrong"}, {"key": "nobody"}):
        storage = storage_on(front.server(), bucket=bucket, **changes)
        with pytest.raises(exc.PermissionError):
            storage.exists("a")
        with pytest.raises(exc.PermissionError):
            storage.upload("a", b"1")
        with pytest.raises(exc.PermissionError):
            storage.check()


def test_a_head_that_says_nothing_is_asked_again(proxied: Proxied, storage_on: OnServer) -> None:
    proxy, server = proxied
    storage = storage_on(server)
    storage.upload("empty", b"")
    for verb in (lambda: storage.exists("a"), lambda: storage.analyze("a"), lambda: storage.remove("a"), storage.check):
        proxy.clear()
        proxy.on(times=None).answer(*s3_error(400, "ExpiredToken"))
        proxy.on("HEAD", times=None).answer(400)
        with pytest.raises(exc.PermissionError, match="expired"):
            verb()
    proxy.clear()
    proxy.on("HEAD", times=None).answer(400)
    with pytest.raises(exc.StorageError, match="Bad Request"):
        storage.analyze("empty")


def test_a_wrong_clock_is_named(strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server())
    front.clock = lambda: time.time() + 3600
    with pytest.raises(exc.PermissionError, match="clock"):
        storage.content("a")


@pytest.mark.parametrize("redirect", [False, True])
def test_a_bucket_of_another_region_is_followed(
    redirect: bool, strict: Callable[..., StrictS3], storage_on: OnServer
) -> None:
    front = strict(redirect=redirect, region="us-east-1")
    storage = storage_on(front.server(), region="eu-west-3", bucket=front.server().new_bucket(), part_size="5MiB")
    content = bytes(range(256)) * (6 * MiB // 256)
    storage.upload("a", content)
    assert storage.content("a") == content
    front.clear()
    assert storage.exists("a")
    assert len(front.requests) == 1


def test_a_region_that_cannot_be_followed_is_named(proxied: Proxied, storage_on: OnServer) -> None:
    proxy, server = proxied
    storage = storage_on(server)
    status, body, headers = s3_error(301, "PermanentRedirect")
    proxy.on(times=None).answer(status, body, {**headers, "x-amz-bucket-region": "us-east-1"})
    with pytest.raises(exc.InvalidStorageConfigurationError, match="us-east-1"):
        storage.content("a")


def test_no_credentials(moto_server: S3Server, storage_on: OnServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    storage = storage_on(moto_server, key="", secret="")
    for call in (lambda: storage.content("a"), lambda: storage.signed("download", 60, "a")):
        with pytest.raises(exc.PermissionError, match="no credentials"):
            call()


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:{port}", "http://does-not-exist.invalid:1"])
def test_an_endpoint_that_is_not_there(endpoint: str, moto_server: S3Server, make_backend: Make) -> None:
    server = dataclasses.replace(moto_server, url=endpoint.format(port=_closed_port()))
    backend = make_backend(server, bucket="b")
    error = ours(backend, lambda: backend.read("a"))
    assert type(error) is exc.ConnectionError
    assert error.retryable


def test_a_certificate_of_nobody(
    moto_tls_server: S3Server, make_backend: Make, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend(moto_tls_server, bucket="b", verify=None)
    error = ours(backend, lambda: backend.read("a"))
    assert type(error) is exc.ConnectionError
    assert "verify" in str(error)
    assert not error.retryable
    unchecked = make_backend(moto_tls_server, verify=False)
    with caplog.at_level("WARNING"):
        assert unchecked.put("area/a", b"1", WriteOptions()).size == 1
    assert "are not verified" in caplog.text


def test_time_runs_out(proxied: Proxied, make_backend: Make) -> None:
    proxy, server = proxied
    backend = make_backend(server, timeout=0.5)
    backend.put("area/a", b"1" * MiB, WriteOptions())
    proxy.on("GET").stall(30, at="answer")
    error = ours(backend, lambda: backend.read("area/a"))
    assert type(error) is exc.TimeoutError
    assert error.retryable
    proxy.on("GET").stall(30, at="body", after=1000)
    body = backend.read("area/a")
    error = ours(backend, lambda: list(iter(lambda: body.read(MiB), b"")))
    body.close()
    assert type(error) is exc.TimeoutError
    assert error.retryable


def test_a_slow_upload_is_no_timeout(proxied: Proxied, make_backend: Make) -> None:
    # `timeout` is for a time without a byte: what moves goes on. (The kernel's buffers take some MiB at once.)
    proxy, server = proxied
    backend = make_backend(server, timeout=1)
    proxy.on("PUT").throttle(upload=8 * MiB)
    began = time.monotonic()
    backend.put("area/a", bytes(20 * MiB), WriteOptions())
    assert time.monotonic() - began > 1.5


@pytest.mark.parametrize("size", [10, 6 * MiB])
def test_faults_while_sending_leave_nothing(size: int, proxied: Proxied, storage_on: OnServer) -> None:
    proxy, server = proxied
    storage = storage_on(server, part_size="5MiB")
    storage.upload("a", b"before")
    proxy.on("PUT", "/area/a$", times=None).reset(after=size // 2 if size < MiB else MiB)
    with pytest.raises(exc.ConnectionError):
        storage.upload("a", bytes(size), overwrite=True)
    proxy.clear()
    proxy._rules.clear()
    assert storage.content("a") == b"before"
    assert not open_uploads(server, storage.settings.bucket)


def test_an_empty_upload_stands_although_its_parts_cannot_be_dropped(proxied: Proxied, storage_on: OnServer) -> None:
    proxy, server = proxied
    storage = storage_on(server)
    data = storage.multipart_start("a", 0)
    proxy.on("DELETE", query="uploadId").answer(*s3_error(403, "AccessDenied"))
    assert storage.multipart_complete(data).size == 0
    assert storage.content("a") == b""


def test_a_part_is_repeated_by_itself(proxied: Proxied, storage_on: OnServer) -> None:
    proxy, server = proxied
    storage = storage_on(server, part_size="5MiB", conditional_writes="yes")
    content = bytes(range(256)) * (6 * MiB // 256)
    probe(storage)
    proxy.clear()
    proxy.on("PUT", query="partNumber=1(&|$)").reset(after=MiB)
    proxy.on("PUT", query="partNumber=2(&|$)").answer(*s3_error(503, "SlowDown", retry_after=0))
    storage.upload("a", content)
    assert proxy.count("PUT", query="partNumber=1(&|$)") == proxy.count("PUT", query="partNumber=2(&|$)") == 2
    assert proxy.count("POST", query="uploads") == 1
    assert storage.content("a") == content


def test_a_body_is_resumed_and_a_short_one_told(proxied: Proxied, storage_on: OnServer) -> None:
    proxy, server = proxied
    storage = storage_on(server)
    content = bytes(range(256)) * (2 * MiB // 256)
    storage.upload("a", content)
    proxy.clear()
    proxy.on("GET", times=2).cut(after=MiB // 2)
    assert b"".join(storage.stream("a")) == content
    _, *more = proxy.matching("GET")
    assert len(more) == 2
    for request in more:
        assert request.headers.has("Range")
        assert request.headers.get("If-Match")


def test_no_secret_is_told(proxied: Proxied, storage_on: OnServer, caplog: pytest.LogCaptureFixture) -> None:
    proxy, server = proxied
    secret = "fk-secret-" + "x" * 30
    storage = storage_on(server, secret=secret, session_token=secret + "-token", bucket=server.new_bucket())
    proxy.on(times=None).answer(*s3_error(403, "AccessDenied"))
    with caplog.at_level(logging.DEBUG, "file_keeper"), pytest.raises(exc.PermissionError) as caught:
        storage.content("a")
    told = "".join((repr(storage), repr(storage.settings), str(caught.value), repr(caught.value), caplog.text))
    assert "fk-secret" not in told
    down = storage_on(dataclasses.replace(server, url=f"http://127.0.0.1:{_closed_port()}"), bucket="b")
    link = down.signed("download", 60, "a")
    assert "Signature" in link
    error = down.backend.translate(_endpoint_error(str(link)))
    assert "X-Amz" not in str(error)


def _endpoint_error(url: str) -> Exception:
    from botocore.exceptions import EndpointConnectionError

    return EndpointConnectionError(endpoint_url=url, error="refused")


def test_what_is_not_sent_whole_counts_as_an_attempt(proxied: Proxied, storage_on: OnServer) -> None:
    # The first one meets a kept connection and is sent again by the client: that was one more than the policy allows.
    proxy, server = proxied
    with storage_on(server, transport="http", retry={"attempts": 3, "base": "1ms"}) as storage:
        storage.upload("kept", b"x")
        proxy.clear()
        proxy.on("PUT", times=None).reset()
        with pytest.raises(exc.ConnectionError):
            storage.upload("a", bytes(4 * MiB), overwrite=True)
        assert proxy.count("PUT") == 3
        proxy.clear()
        proxy.on("PUT", times=None).reset()
        with pytest.raises(exc.ConnectionError):
            storage.with_options(retry=False).upload("a", bytes(4 * MiB), overwrite=True)
        assert proxy.count("PUT") == 1


@pytest.mark.parametrize("transport", ["http", "sdk"])
def test_an_answer_that_broke_off_is_asked_for_again(transport: str, proxied: Proxied, storage_on: OnServer) -> None:
    # botocore parses what has come: it was taken for the page of a stranger, which is not asked again.
    proxy, server = proxied
    with storage_on(server, transport=transport, retry={"attempts": 2, "base": "1ms"}) as storage:
        probe(storage)
        for query, call in (
            ("uploads", lambda: storage.upload("a", bytes(9 * MiB))),
            ("list-type", lambda: list(storage.scan())),
        ):
            rule = proxy.on(query=query).cut(after=60, clean=True)
            assert call()
            assert rule.hits == 1


def test_an_upload_whose_removal_was_not_answered_was_open(proxied: Proxied, storage_on: OnServer) -> None:
    # The client asked once more by itself on another connection, was told that there is none, and so was the caller.
    proxy, server = proxied
    with storage_on(server, transport="http", retry={"attempts": 2, "base": "1ms"}) as storage:
        data = storage.multipart_start("a", 10)
        lost = proxy.on("DELETE").lose_answer()
        assert storage.multipart_remove(data)
        assert lost.hits == 1
        assert not storage.multipart_remove(data)
