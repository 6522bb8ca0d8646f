"""What goes over the wire: requests, signatures, repeats, faults, and what Libcloud would hide."""

from __future__ import annotations

import gzip
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from emulators.s3 import S3Server
from faults.proxy import FaultProxy
from faults.strict_s3 import StrictS3
from file_keeper import Storage, exc
from libcloud.common.types import LibcloudError
from libcloud_drivers.places import Make, at
from urllib3.connection import HTTPConnection

MiB = 1 << 20
NAMES = ["plain", "with space", "a+b&c=d", "ü/日本.txt", "😀", "100%", "#?;:@", "(~'!*)", "%48%45", "[x]{y}"]


def http(url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(url, method=method, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def generated(size: int, fails: BaseException | None = None) -> Iterator[bytes]:
    for _ in range(size // MiB):
        yield b"x" * MiB
    if fails is not None:
        raise fails


# -- signatures, checked by a front that checks them ----------------------------------------------------------------


@pytest.fixture
def strict(s3: dict[str, Any], strict_s3: Callable[..., StrictS3], make: Make) -> tuple[Storage, StrictS3]:
    front = strict_s3()
    return make(**{**s3, "params": at(front.url)}), front


@pytest.mark.parametrize("name", NAMES)
def test_every_request_is_signed_right(name: str, strict: tuple[Storage, StrictS3]) -> None:
    storage, _ = strict
    made = storage.upload(name, b"content", metadata={"Größe": "zwölf"}, headers={"Cache-Control": "no-store"})
    assert storage.content(name) == b"content"
    assert storage.range(name, 1, 3) == b"on"
    assert storage.analyze(name) == made
    assert list(storage.scan()) == [name]
    assert storage.remove(name)


def test_large_and_empty_files_pass_the_strict_front(strict: tuple[Storage, StrictS3]) -> None:
    storage, _ = strict
    assert storage.upload("large", generated(11 * MiB)).size == 11 * MiB
    assert storage.size("large") == 11 * MiB
    assert storage.upload("empty", b"").size == storage.size("empty") == 0


@pytest.mark.parametrize("name", NAMES)
def test_signed_links_are_accepted_and_bound(name: str, strict: tuple[Storage, StrictS3]) -> None:
    storage, _ = strict
    link = storage.signed("upload", 60, name, content_type="text/x-y")
    assert http(link, link.method, b"by link", link.headers)[0] == 200
    download = storage.temporary_link(name, 60)
    assert http(download) == (200, b"by link")
    assert http(download.replace("X-Amz-Signature=", "X-Amz-Signature=0"))[0] == 403
    assert http(download, "DELETE")[0] == 403
    assert http(re.sub(r"X-Amz-Expires=\d+", "X-Amz-Expires=9999", download))[0] == 403
    assert "X-Amz-Expires=60&" in download
    delete = storage.signed("delete", 60, name)
    assert http(delete, delete.method)[0] == 204
    assert not storage.exists(name)


def test_what_a_link_cannot_be_bound_to_is_refused(strict: tuple[Storage, StrictS3]) -> None:
    storage, _ = strict
    for options in ({"disposition": "attachment"}, {"content_type": "text/plain"}):
        with pytest.raises(exc.UnsupportedOperationError):
            storage.signed("download", 60, "x", **options)
    with pytest.raises(exc.UnsupportedOperationError):
        storage.signed("upload", 60, "x", overwrite=False)


def test_content_changed_on_its_way_is_refused_by_the_service(strict: tuple[Storage, StrictS3]) -> None:
    storage, front = strict
    front.on("PUT", "/flipped", times=None).flip_request(offset=3)
    with pytest.raises(exc.UploadHashMismatchError):
        storage.upload("flipped", b"some content")
    assert not storage.exists("flipped")


# -- how many requests ----------------------------------------------------------------------------------------------


def test_requests(proxied: Storage, proxy: FaultProxy) -> None:
    def sent(call: Callable[[], Any]) -> list[str]:
        proxy.clear()
        call()
        return [request.method for request in proxy.requests]

    # The driver asks for the bucket before it looks at an object.
    assert sent(lambda: proxied.upload("x", b"content")) == ["HEAD", "HEAD", "PUT"]
    assert sent(lambda: proxied.upload("x", b"content", overwrite=True)) == ["PUT"]
    assert sent(lambda: proxied.analyze("x")) == ["HEAD", "HEAD"]
    assert sent(lambda: proxied.content("x")) == ["GET"]
    assert sent(lambda: proxied.range("x", 1, 3)) == ["GET"]
    assert sent(lambda: list(proxied.scan())) == ["GET"]
    assert sent(lambda: proxied.remove("x")) == ["HEAD", "HEAD", "DELETE"]
    assert sent(lambda: proxied.upload("y", generated(11 * MiB), overwrite=True)) == [
        "POST",
        "PUT",
        "PUT",
        "PUT",
        "POST",
    ]


def test_connections_are_kept(proxied: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    connect = HTTPConnection.connect
    monkeypatch.setattr(HTTPConnection, "connect", lambda self: (made.append(self), connect(self))[1])
    proxied.upload("x", b"content")
    for _ in range(5):
        assert proxied.content("x") == b"content"
    proxied.upload("large", generated(11 * MiB))
    assert len(made) == 1


# -- faults ---------------------------------------------------------------------------------------------------------


def test_libclouds_own_repeats_are_off(
    proxied: Storage, proxy: FaultProxy, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIBCLOUD_RETRY_FAILED_HTTP_REQUESTS", "1")
    proxy.on("GET", times=None).answer(503, "<Error><Code>SlowDown</Code></Error>", {"x-amz-request-id": "R1"})
    with pytest.raises(exc.ThrottledError) as caught:
        proxied.content("x")
    assert proxy.count("GET") == retry_attempts()
    error = caught.value
    assert (error.code, error.status, error.request_id, error.operation) == ("SlowDown", 503, "R1", "content")


def retry_attempts() -> int:
    from file_keeper.resilience.retry import DEFAULT

    return DEFAULT.attempts


def test_retry_after_is_told(s3: dict[str, Any], proxy: FaultProxy, make: Make) -> None:
    storage = make(**{**s3, "params": at(proxy.url)})
    proxy.on("GET", times=None).answer(429, "", {"Retry-After": "7"})
    with pytest.raises(LibcloudError) as caught:
        storage.backend.read("x")
    error = storage.backend.translate(caught.value)
    assert isinstance(error, exc.ThrottledError)
    assert (error.retry_after, error.retryable) == (7.0, True)


@pytest.mark.parametrize("status", [500, 502])
@pytest.mark.parametrize("method", ["HEAD", "GET", "PUT", "DELETE"])
def test_passing_faults_are_repeated(
    status: int, method: str, proxied: Storage, proxy: FaultProxy, quick: None
) -> None:
    proxied.upload("x", b"content")
    rule = proxy.on(method, "/x").answer(status, "<Error><Code>InternalError</Code></Error>")
    call: dict[str, Callable[[], Any]] = {
        "HEAD": lambda: proxied.exists("x"),
        "GET": lambda: proxied.content("x"),
        "PUT": lambda: proxied.upload("x", b"other", overwrite=True),
        "DELETE": lambda: proxied.remove("x"),
    }
    assert call[method]()
    assert rule.hits == 1


def test_an_own_write_after_a_lost_answer_is_no_conflict(proxied: Storage, proxy: FaultProxy, quick: None) -> None:
    rule = proxy.on("PUT", "/x").lose_answer()
    assert proxied.upload("x", b"content").size == 7
    assert rule.hits == 1
    with pytest.raises(exc.ExistingFileError):
        proxied.upload("x", b"content")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", exc.PermissionError),
        (403, "SignatureDoesNotMatch", exc.PermissionError),
        (403, "InvalidObjectState", exc.StorageError),
        (404, "NoSuchBucket", exc.InvalidStorageConfigurationError),
        (400, "AuthorizationHeaderMalformed", exc.InvalidStorageConfigurationError),
        (418, "Teapot", exc.StorageError),
        (301, "PermanentRedirect", exc.InvalidStorageConfigurationError),
    ],
)
def test_answers_become_our_errors(
    status: int, code: str, kind: type[exc.FilesError], proxied: Storage, proxy: FaultProxy
) -> None:
    proxy.on("GET", times=None).answer(status, f"<Error><Code>{code}</Code><Message>they say</Message></Error>")
    for call in (lambda: proxied.content("x"), lambda: proxied.range("x", 1, 2), lambda: list(proxied.scan())):
        with pytest.raises(exc.FilesError) as caught:
            call()
        assert type(caught.value) is kind
        assert caught.value.code == code
        assert caught.value.__cause__ is not None


@pytest.mark.parametrize("driver", ["s3", "azure"])
def test_wrong_credentials(
    driver: str, request: pytest.FixtureRequest, strict_s3: Callable[..., StrictS3], make: Make
) -> None:
    settings = request.getfixturevalue(driver)
    if driver == "s3":
        settings["params"] = at(strict_s3().url)
    wrong = "d3Jvbmctc2VjcmV0LXRoYXQtbm9ib2R5LXNlZXM="
    storage = make(**{**settings, "secret": wrong})
    calls: list[Callable[[], Any]] = [
        storage.check,
        lambda: storage.exists("x"),
        lambda: storage.content("x"),
        lambda: list(storage.scan()),
        lambda: storage.upload("x", b"x"),
        lambda: storage.upload("x", b"x", overwrite=True),
        lambda: storage.upload("x", generated(11 * MiB), overwrite=True),
        lambda: storage.remove("x"),
    ]
    for call in calls:
        with pytest.raises(exc.PermissionError) as caught:
            call()
        assert not caught.value.retryable
        assert wrong not in repr(caught.value) + str(caught.value) + str(caught.value.__cause__)


def test_nothing_waits_for_ever(s3: dict[str, Any], proxy: FaultProxy, make: Make, quick: None) -> None:
    storage = make(**{**s3, "params": at(proxy.url)}, timeout="0.3s")
    storage.upload("x", b"content")
    for method, call in (("GET", lambda: storage.content("x")), ("HEAD", lambda: storage.exists("x"))):
        proxy.clear()
        proxy.on(method, times=None).stall(60)
        with pytest.raises(exc.TimeoutError):
            call()
    proxy.clear()
    proxy.on("PUT", times=None).stall(60)
    assert storage.upload("x", b"other", overwrite=True).size == 5, "a look shows that it was done"
    proxy.on("HEAD", times=None).stall(60)
    with pytest.raises(exc.TimeoutError) as caught:
        storage.upload("x", b"other", overwrite=True)
    assert caught.value.uncertain


def test_a_removal_that_did_not_come_beyond_its_look_removed_nothing(
    proxied: Storage, proxy: FaultProxy, quick: None
) -> None:
    rule = proxy.on("HEAD", "/x").lose_answer()
    assert proxied.remove("x") is False
    assert rule.hits == 1


def test_a_lost_connection_is_resumed(proxied: Storage, proxy: FaultProxy, quick: None) -> None:
    content = os.urandom(3 * MiB)
    proxied.upload("x", content)
    rule = proxy.on("GET", "/x", times=2).cut(after=MiB)
    assert proxied.content("x") == content
    assert rule.hits == 2


def test_nobody_listens(s3: dict[str, Any], make: Make, quick: None) -> None:
    storage = make(**{**s3, "params": {"host": "127.0.0.1", "port": 9, "secure": False}})
    with pytest.raises(exc.ConnectionError, match="refused"):
        storage.content("x")
    storage = make(**{**s3, "params": {"host": "no.such.host.invalid", "secure": True}})
    with pytest.raises(exc.ConnectionError):
        storage.content("x")


def test_a_certificate_that_nobody_trusts(s3: dict[str, Any], moto_tls_server: S3Server, make: Make) -> None:
    storage = make(**{**s3, "params": at(moto_tls_server.url)})
    with pytest.raises(exc.ConnectionError, match="certificate verify failed") as caught:
        storage.content("x")
    assert not caught.value.retryable


# -- bodies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["s3", "azure"])
def test_bytes_come_back_as_stored(driver: str, request: pytest.FixtureRequest, make: Make) -> None:
    storage = make(**request.getfixturevalue(driver))
    packed = gzip.compress(b"some text " * 1000)
    storage.upload("x.gz", packed, headers={"Content-Encoding": "gzip"})
    assert storage.content("x.gz") == packed
    assert storage.range("x.gz", 5, 20) == packed[5:20]
    assert storage.analyze("x.gz").headers == {"Content-Encoding": "gzip"}


@pytest.mark.parametrize("driver", ["s3", "azure"])
def test_a_range_is_not_read_whole(driver: str, request: pytest.FixtureRequest, make: Make) -> None:
    storage = make(**request.getfixturevalue(driver))
    storage.upload("large", generated(16 * MiB))
    body = storage.backend.read(storage.full_path("large"), 1)
    try:
        assert body.length == 16 * MiB - 1
        assert not getattr(body.stream._response, "_content_consumed", False)
        assert body.read(10) == b"x" * 10
    finally:
        body.close()


# -- all or nothing -------------------------------------------------------------------------------------------------


def test_a_failing_source_leaves_no_open_upload(s3: dict[str, Any], moto_server: S3Server, make: Make) -> None:
    storage = make(**s3)
    for error in (ValueError("broken"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            storage.upload("x", generated(11 * MiB, error))
    assert not storage.exists("x")
    assert "Uploads" not in moto_server.client().list_multipart_uploads(Bucket=s3["bucket"])


def test_cleanup_aborts_what_a_killed_process_left(s3: dict[str, Any], moto_server: S3Server, make: Make) -> None:
    storage = make(**s3, path="mine")
    client = moto_server.client()
    client.create_multipart_upload(Bucket=s3["bucket"], Key="mine/x")
    client.create_multipart_upload(Bucket=s3["bucket"], Key="others/x")
    assert storage.cleanup_uploads("500d") == 1  # moto says of every upload that it began in 2010
    assert storage.cleanup_uploads(0) == 0
    left = client.list_multipart_uploads(Bucket=s3["bucket"])["Uploads"]
    assert [upload["Key"] for upload in left] == ["others/x"]


def test_writers_of_one_azure_blob_never_mix(azure: dict[str, Any], make: Make) -> None:
    """Each of several writers sends blocks to one name at a time: what is there is always one writer's whole."""
    storage = make(**azure, overwrite_existing=True)
    size = 9 * MiB
    barrier = threading.Barrier(4)

    def write(number: int) -> bool:
        def source() -> Iterator[bytes]:
            for n in range(size // MiB):
                if n in (0, 5):
                    barrier.wait()
                yield bytes([number]) * MiB

        try:
            storage.upload("x", source())
        except exc.ChangedFileError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(write, range(1, 5)))
    assert any(won)
    content = storage.content("x")
    assert content == content[:1] * size
    assert won[content[0] - 1]
