"""Every fault at every verb: one of our errors, with its cause, never the SDK's."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import file_keeper as fk
import pytest
import requests
import urllib3
from emulators.gcs_double import AnswerStatus, Cut, Delay, Flip, GcsDouble, LoseAnswer, Reset, Short, Status
from emulators.tls import Certificates
from faults.proxy import FaultProxy
from file_keeper import exc
from file_keeper.backend import MultipartRef, ObjectInfo, WriteOptions
from file_keeper.resilience import retry
from file_keeper_gcs import GcsBackend
from file_keeper_gcs.answers import Refused

Make = Callable[..., GcsBackend]
Storages = Callable[..., fk.Storage]
KIB = 1024

ID = "0123456789abcdef" * 2
SESSION = "/upload/storage/v1/b/media/o?upload_id=1"
INFO = ObjectInfo(key="a", size=1, etag="1")

VERBS: dict[str, Callable[[GcsBackend], Any]] = {
    "head": lambda gcs: gcs.head("a"),
    "read": lambda gcs: gcs.read("a", etag="1"),
    "list": lambda gcs: list(gcs.list("")),
    "put": lambda gcs: gcs.put("a", b"x", WriteOptions()),
    "delete": lambda gcs: gcs.delete("a"),
    "multipart_create": lambda gcs: gcs.multipart_create("a", WriteOptions()),
    "multipart_put": lambda gcs: gcs.multipart_put(MultipartRef("a", ID), 0, b"x"),
    "multipart_parts": lambda gcs: list(gcs.multipart_parts(MultipartRef("a", ID))),
    "multipart_complete": lambda gcs: gcs.multipart_complete(MultipartRef("a", ID), [], WriteOptions()),
    "multipart_abort": lambda gcs: gcs.multipart_abort(MultipartRef("a", ID)),
    "multipart_list": lambda gcs: list(gcs.multipart_list("")),
    "resumable_start": lambda gcs: gcs.resumable_start("a", WriteOptions()),
    "resumable_send": lambda gcs: gcs.resumable_send(MultipartRef("a", SESSION), 0, b"x", 1, WriteOptions()),
    "resumable_offset": lambda gcs: gcs.resumable_offset(MultipartRef("a", SESSION), None),
    "copy": lambda gcs: gcs.copy(INFO, "b", WriteOptions()),
    "compose": lambda gcs: gcs.compose([INFO, INFO], "b", WriteOptions()),
    "append": lambda gcs: gcs.append(INFO, b"x", WriteOptions()),
    "store_digests": lambda gcs: gcs.store_digests(INFO, {"md5": "00"}),
    "prepare": lambda gcs: gcs.prepare(),
    "check": lambda gcs: gcs.check(),
    "delete_many": lambda gcs: list(gcs.delete_many(["a"])),
}

FAULTS: dict[str, tuple[Any, type[exc.FilesError], bool]] = {
    "403": (Status(403, "forbidden", "no access (or it may not exist)"), exc.PermissionError, False),
    "403 rate": (
        Status(403, "rateLimitExceeded", "The rate limit is exceeded", retry_after=7),
        exc.ThrottledError,
        True,
    ),
    "403 billing": (Status(403, "accountDisabled", "The billing account is disabled"), exc.PermissionError, False),
    "403 held": (Status(403, "retentionPolicyNotMet", "retained"), exc.PermissionError, False),
    "404 bucket": (Status(404, "notFound", "The specified bucket does not exist."), exc.StorageError, False),
    "408": (Status(408, "requestTimeout", "late"), exc.TimeoutError, True),
    "429": (Status(429, "rateLimitExceeded", "slow", retry_after=7), exc.ThrottledError, True),
    "500": (Status(500, "internalError", "oops"), exc.ConnectionError, True),
    "503": (Status(503, "backendError", "busy"), exc.ConnectionError, True),
    "400": (Status(400, "invalid", "what?"), exc.StorageError, False),
    "reset": (Reset(), exc.ConnectionError, True),
    "lost": (LoseAnswer(), exc.ConnectionError, True),
}


def ours(gcs: GcsBackend, call: Callable[[GcsBackend], Any]) -> exc.FilesError:
    """Do what the core does at its boundary."""
    try:
        call(gcs)
    except exc.FilesError as error:
        return error
    except Exception as error:
        found = gcs.translate(error)
        if found is None:
            raise AssertionError("leaves the library") from error
        found.__cause__ = error
        return found
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", VERBS)
def test_each_fault_at_each_verb(backend: Make, double: GcsDouble, verb: str, fault: str) -> None:
    action, expected, retryable = FAULTS[fault]
    double.fault(action, times=None)
    error = ours(backend(project_id="p"), VERBS[verb])
    assert isinstance(error, expected)
    assert error.retryable is retryable
    assert error.__cause__ is not None
    if isinstance(action, Status):
        assert isinstance(error.__cause__, Refused)
        assert error.status == action.status
        if action.retry_after:
            assert error.retry_after == 7
    if fault == "404 bucket" and verb not in ("resumable_send", "resumable_offset"):
        assert isinstance(error, exc.InvalidStorageConfigurationError)
        assert "'media' does not exist" in str(error)
    if fault == "403 billing":
        assert "billing account" in error.message


@pytest.mark.parametrize("verb", ["head", "put", "list"])
def test_retry_after_may_be_a_date(backend: Make, double: GcsDouble, verb: str) -> None:
    from datetime import UTC, datetime, timedelta
    from email.utils import format_datetime

    when = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    double.fault(Status(503, retry_after=when))
    assert 20 < ours(backend(), VERBS[verb]).retry_after <= 30
    double.fault(Status(503, retry_after="soon"))
    assert ours(backend(), VERBS[verb]).retry_after == 0


def test_a_stall_is_a_timeout(backend: Make, double: GcsDouble) -> None:
    double.put("media", "a", b"x" * 100_000)
    gcs = backend(timeout=0.3)
    for at in (None, 50_000):
        double.fault(Delay(2, at=at))
        error = ours(gcs, lambda gcs: gcs.read("a").read())
        assert (type(error), error.retryable) == (exc.TimeoutError, True)
        assert isinstance(error, TimeoutError)


def test_a_slow_line_is_no_stall(backend: Make, double: GcsDouble, fault_proxy: Callable[..., FaultProxy]) -> None:
    """The timeout is for a time without a byte, not for a whole body."""
    proxy = fault_proxy(double.url)
    proxy.on("POST", times=None).throttle(upload=16 << 20)
    gcs = backend(proxy.url, timeout=1)
    # Two seconds on the line; what the kernel holds when all is handed over is gone within one.
    assert gcs.put("a", bytes(32 << 20), WriteOptions()).size == 32 << 20


def test_nobody_listens(backend: Make) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gcs = backend(f"http://127.0.0.1:{unused.getsockname()[1]}")
        error = ours(gcs, VERBS["head"])
    assert (type(error), error.retryable) == (exc.ConnectionError, True)
    assert "refused" in error.message


def test_no_such_host(backend: Make) -> None:
    error = ours(backend("http://nowhere.invalid"), VERBS["head"])
    assert (type(error), error.retryable) == (exc.ConnectionError, True)


def test_a_certificate_that_nobody_knows(
    backend: Make, double: GcsDouble, fault_proxy: Callable[..., FaultProxy], certificates: Certificates
) -> None:
    proxy = fault_proxy(double.url, certificates=certificates)
    error = ours(backend(proxy.url), VERBS["head"])
    assert (type(error), error.retryable) == (exc.ConnectionError, False)
    assert "certificate" in error.message


def test_over_tls(
    backend: Make,
    double: GcsDouble,
    fault_proxy: Callable[..., FaultProxy],
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.ca_file)
    gcs = backend(fault_proxy(double.url, certificates=certificates).url)
    data = bytes(range(256)) * 5000
    gcs.put("a", data, WriteOptions())
    assert gcs.read("a").read() == data


def test_who_answers_is_not_google(backend: Make, fault_proxy: Callable[..., FaultProxy], double: GcsDouble) -> None:
    proxy = fault_proxy(double.url)
    proxy.on(times=None).answer(200, "<html>Please log in to our network</html>", {"Content-Type": "text/html"})
    error = ours(backend(proxy.url), VERBS["head"])
    assert type(error) is exc.ConnectionError
    assert "text/html" in error.message
    other = fault_proxy(double.url)
    other.on(times=None).answer(502, "<html><b>Bad</b> gateway</html>", {"Content-Type": "text/html"})
    error = ours(backend(other.url), VERBS["head"])
    assert (type(error), error.message, error.retryable) == (exc.ConnectionError, "Bad gateway", True)


def test_a_connection_that_ends_early(backend: Make, double: GcsDouble) -> None:
    double.put("media", "a", b"x" * 100_000)
    gcs = backend()
    for action in (Cut(50_000), Short(50_000)):
        double.fault(action, path="/download/")
        body = gcs.read("a")
        error = ours(gcs, lambda _, body=body: body.read())
        assert (type(error), error.retryable) == (exc.ConnectionError, True)
        body.close()


def test_a_cut_read_is_resumed_on_the_same_generation(storage: Storages, double: GcsDouble) -> None:
    media = storage()
    data = bytes(range(256)) * 8000
    media.upload("a", data)
    double.fault(Cut(500_000), path="/download/")
    double.fault(Cut(100_000), path="/download/", nth=2)
    assert media.content("a") == data
    first, second, third = double.requests("GET", "/download/")
    generation = double.object("media", "a").generation
    assert "range" not in first.headers
    for again in (second, third):
        assert f"ifGenerationMatch={generation}" in again.query
        assert again.headers["range"].startswith("bytes=")


def test_a_file_that_changes_while_it_is_read(storage: Storages, double: GcsDouble) -> None:
    media = storage()
    media.upload("a", bytes(2_000_000))

    def replaced(request: Any) -> bool:
        return "range" in request.headers and bool(double.put("media", "a", b"\1" * 2_000_000))

    double.fault(Cut(500_000), path="/download/")
    changed = double.fault(Delay(0), path="/download/", when=replaced)
    with media.stream("a") as stream, pytest.raises(exc.ChangedFileError):
        stream.read()
    assert changed.hits == 1


def test_damage_is_seen_by_verify(storage: Storages, double: GcsDouble) -> None:
    media = storage()
    media.upload("a", bytes(100_000))
    assert media.verify("a").size == 100_000
    double.fault(Flip(50_000), path="/download/")
    with pytest.raises(exc.UploadHashMismatchError):
        media.verify("a")
    double.corrupt("media", "a", at=99_999)
    with pytest.raises(exc.UploadHashMismatchError):
        media.verify("a")


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(attempts=3, base=0.001))


REPEATED: dict[str, tuple[Callable[[fk.Storage], Any], str, Any]] = {
    "upload": (lambda media: media.upload("new", b"x").size, "/upload/", 1),
    "copy": (lambda media: media.copy("new", "a").size, "rewriteTo", 3),
    "move": (lambda media: media.move("new", "a").size, "rewriteTo|/o/a$", 3),
    "remove": (lambda media: media.remove("a"), "/o/a$", True),
    "append": (lambda media: media.append("a", b"def").size, "compose", 6),
    "compose": (lambda media: media.compose("new", "a", "b").size, "compose", 4),
    "scan": (lambda media: list(media.scan()), "/o$", ["a", "b"]),
}


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("action", [LoseAnswer(), AnswerStatus(503), Status(503), Reset()], ids=repr)
@pytest.mark.parametrize("name", REPEATED)
def test_nothing_is_applied_twice(storage: Storages, double: GcsDouble, name: str, action: Any) -> None:
    """An answer that is lost, or an error for what was done: the repeat knows its own work."""
    call, path, expected = REPEATED[name]
    media = storage()
    media.upload("a", b"abc")
    media.upload("b", b"d")
    rule = double.fault(action, path=path, when=lambda request: ".file-keeper" not in request.path)
    assert call(media) == expected
    assert rule.hits == 1
    assert [name for name in double.names("media") if ".file-keeper" in name] == []


@pytest.mark.usefixtures("_quick")
def test_attempts_do_not_multiply(storage: Storages, double: GcsDouble) -> None:
    media = storage()
    double.fault(Status(503), times=None)
    # After a write that went unanswered one look tells whether it was done all the same.
    for call, looks in (
        (lambda: media.exists("a"), 0),
        (lambda: media.upload("a", b"x"), 1),
        (lambda: media.content("a"), 0),
    ):
        double.clear_log()
        with pytest.raises(exc.ConnectionError) as caught:
            call()
        assert double.count() == retry.DEFAULT.attempts + looks
        assert caught.value.uncertain == bool(looks)


def test_a_missing_file_hidden_by_missing_rights(storage: Storages, double: GcsDouble) -> None:
    """Without the right to list, Google answers 403 for what is not there: an error is never an answer."""
    media = storage()
    double.deny("storage.objects.list")
    for call in (lambda: media.exists("none"), lambda: media.analyze("none"), lambda: media.remove("none")):
        with pytest.raises(exc.PermissionError, match="may not exist") as caught:
            call()
        assert caught.value.status == 403
        assert isinstance(caught.value, PermissionError)


def test_a_disabled_billing_account(storage: Storages, double: GcsDouble) -> None:
    media = storage()
    double.disable_billing("media")
    with pytest.raises(exc.PermissionError, match="billing account") as caught:
        media.upload("a", b"x")
    assert caught.value.code == "accountDisabled"


def test_a_missing_bucket_is_named_by_every_operation(storage: Storages) -> None:
    media = storage(bucket="nowhere")
    for call in (
        lambda: media.content("a"), lambda: media.upload("a", b"x"), lambda: media.exists("a"),
        lambda: list(media.scan()), lambda: media.remove("a"), lambda: media.copy("b", "a"), lambda: media.check(),
        lambda: media.multipart_start("a", 1), lambda: media.resumable_start("a", 1),
        lambda: media.compose("c", "a", "b"), lambda: media.append("a", b"x"), lambda: media.move("b", "a"),
    ):  # fmt: skip
        with pytest.raises(exc.InvalidStorageConfigurationError, match="'nowhere' does not exist"):
            call()


def raised() -> Iterator[tuple[Exception, type[exc.FilesError] | None]]:
    yield requests.exceptions.ChunkedEncodingError("x"), exc.ConnectionError
    yield requests.exceptions.InvalidURL("x"), exc.InvalidStorageConfigurationError
    yield requests.exceptions.TooManyRedirects("x"), exc.StorageError
    yield urllib3.exceptions.ProtocolError("x", ConnectionResetError(104, "reset")), exc.ConnectionError
    yield ssl.SSLError(1, "bad record"), exc.ConnectionError
    yield ConnectionResetError(104, "reset"), exc.ConnectionError
    yield TimeoutError("slow"), exc.TimeoutError
    yield ValueError("a bug of ours"), None
    yield OSError(28, "the disk of the caller is full"), None


@pytest.mark.parametrize(
    ("error", "expected"), list(raised()), ids=lambda value: getattr(value, "__name__", repr(value))
)
def test_what_the_transport_raises(backend: Make, error: Exception, expected: type[exc.FilesError] | None) -> None:
    found = backend().translate(error)
    assert (type(found) if found else None) is expected


def test_an_incomplete_batch_answer_can_be_repeated(
    backend: Make, double: GcsDouble, fault_proxy: Callable[..., FaultProxy]
) -> None:
    double.put("media", "a")
    proxy = fault_proxy(double.url)
    proxy.on("POST").answer(200, "--x\r\n\r\n--x--", {"Content-Type": "multipart/mixed; boundary=x"})
    gcs = backend(proxy.url)
    ((key, error),) = gcs.delete_many(["a"])
    assert (key, type(error), error.retryable) == ("a", exc.ConnectionError, True)
    assert list(gcs.delete_many(["a"])) == []


def test_threads_share_a_backend_from_its_first_use(backend: Make, double: GcsDouble) -> None:
    double.put("media", "a", b"x")
    gcs = backend()
    barrier, clients = threading.Barrier(64), set[int]()

    def use() -> None:
        barrier.wait()
        assert gcs.head("a").size == 1
        clients.add(id(gcs.client))

    threads = [threading.Thread(target=use) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(clients) == 1
    assert double.count("GET") == 64


def test_of_many_deletions_those_that_failed_in_passing_are_repeated(
    double: GcsDouble, storage: Storages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(base=0.001))
    media = storage()
    for name in ("a", "b", "c"):
        double.put("media", name)
    double.fault(Status(503), method="DELETE", path="/o/b$", times=2)
    double.fault(Status(403, "forbidden", "no"), method="DELETE", path="/o/c$", times=None)
    double.clear_log()
    assert [type(error) for error in media.remove_many(["a", "b", "c"])] == [exc.PermissionError]
    assert double.names("media") == ["c"]
    assert double.count("POST", "/batch/") == 3
    double.put("media", "b")
    double.fault(Status(503), method="DELETE", path="/o/b$", times=None)
    double.clear_log()
    assert [(error.location, error.retryable) for error in media.remove_many(["b", "d"])] == [("b", True)]
    assert double.count("POST", "/batch/") == 4


def test_a_range_that_was_not_kept_is_no_content(
    storage: Storages, fault_proxy: Callable[..., FaultProxy], double: GcsDouble
) -> None:
    proxy = fault_proxy(double.url)
    media = storage(proxy.url)
    proxy.on("GET", times=2).answer(200, b"0123456789", {"X-Goog-Generation": "1"})
    with pytest.raises(exc.ConnectionError, match="does not honour ranges"):
        media.range("x", 5, 8)
    assert media.range("x", 0, 8) == b"01234567"
