"""Each fault at each verb gives the documented class; no secret gets through."""

from __future__ import annotations

import base64
import logging
import socket
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from emulators.azure import AzuriteServer
from faults.answers import azure_error
from faults.proxy import FaultProxy
from file_keeper import exc
from file_keeper.backend import Body, MultipartRef, ObjectInfo, WriteOptions
from file_keeper_azure import AzureBackend, blocks
from file_keeper_azure.errors import RefusedError

from .azure_calls import as_ours, read_all

Make = Callable[..., AzureBackend]
SOURCE = ObjectInfo(key="x", size=1, etag="0x1", content_type="application/octet-stream")
OPTIONS = WriteOptions()
VERBS: dict[str, Callable[[AzureBackend], object]] = {
    "head": lambda b: b.head("x"),
    "read": lambda b: b.read("x"),
    "list": lambda b: list(b.list("")),
    "put": lambda b: b.put("x", b"1", OPTIONS),
    "delete": lambda b: b.delete("x"),
    "multipart_put": lambda b: b.multipart_put(MultipartRef("x", blocks.new_id()), 0, b"1"),
    "multipart_parts": lambda b: list(b.multipart_parts(MultipartRef("x", blocks.new_id()))),
    "multipart_complete": lambda b: b.multipart_complete(MultipartRef("x", blocks.new_id()), [], OPTIONS),
    "multipart_list": lambda b: list(b.multipart_list("")),
    "copy": lambda b: b.copy(SOURCE, "y", OPTIONS),
    # Of nothing: pieces are repeated by themselves, see test_copies.
    "compose": lambda b: b.compose([replace(SOURCE, size=0)] * 2, "y", OPTIONS),
    "append": lambda b: b.append(SOURCE, b"1", OPTIONS),
    "store_digests": lambda b: b.store_digests(SOURCE, {"md5": "0" * 32}),
    "prepare": lambda b: b.prepare(),
    "check": lambda b: b.check(),
}

# status, code -> class, whether it may be repeated
ANSWERS: list[tuple[int, str, type[exc.FilesError], bool]] = [
    (401, "InvalidAuthenticationInfo", exc.PermissionError, False),
    (403, "AuthenticationFailed", exc.PermissionError, False),
    (403, "AuthorizationPermissionMismatch", exc.PermissionError, False),
    (404, "ContainerNotFound", exc.InvalidStorageConfigurationError, False),
    (404, "", exc.ConnectionError, False),  # not of the service, which always tells a code
    (409, "ContainerBeingDeleted", exc.InvalidStorageConfigurationError, True),
    (409, "BlobArchived", exc.StorageError, False),
    (409, "BlobImmutableDueToPolicy", exc.PermissionError, False),
    (412, "LeaseIdMissing", exc.PermissionError, False),
    (412, "ConditionNotMet", exc.ChangedFileError, False),
    (400, "InvalidResourceName", exc.InvalidStorageConfigurationError, False),
    (400, "NoCodeThatIsKnown", exc.StorageError, False),
    (408, "", exc.TimeoutError, True),
    (429, "TooManyRequests", exc.ThrottledError, True),
    (500, "InternalError", exc.ConnectionError, True),
    (500, "OperationTimedOut", exc.TimeoutError, True),
    (503, "ServerBusy", exc.ThrottledError, True),
    (502, "", exc.ConnectionError, True),
    (501, "NotImplemented", exc.StorageError, False),
]


@pytest.mark.parametrize("verb", VERBS)
def test_answers(verb: str, proxied: AzureBackend, proxy: FaultProxy) -> None:
    for status, code, kind, retryable in ANSWERS:
        rule = proxy.on(times=None).answer(*azure_error(status, code, retry_after=7 if retryable else None))
        with pytest.raises(exc.FilesError) as caught, as_ours(proxied):
            VERBS[verb](proxied)
        error = caught.value
        assert type(error) is kind, (code, error)
        assert (error.status, error.code, error.retryable) == (status, code, retryable)
        assert error.retry_after == (7 if retryable else 0)
        if status != 404 or code:
            assert error.request_id
            assert isinstance(error.__cause__, RefusedError)
        assert rule.hits
        proxy.clear()


@pytest.mark.parametrize("verb", VERBS)
def test_the_network(verb: str, proxied: AzureBackend, proxy: FaultProxy) -> None:
    for break_it in (lambda rule: rule.reset(), lambda rule: rule.lose_answer()):
        break_it(proxy.on(times=None))
        with pytest.raises(exc.ConnectionError) as caught, as_ours(proxied):
            VERBS[verb](proxied)
        assert caught.value.retryable
        proxy.clear()


@pytest.mark.parametrize("verb", ["head", "read", "put", "list"])
def test_a_stall(verb: str, make_backend: Make, account: dict[str, Any], proxy: FaultProxy) -> None:
    backend = make_backend(**{**account, "account_url": proxy.url, "timeout": 0.3})
    proxy.on(times=None).stall(60)
    with pytest.raises(exc.TimeoutError) as caught, as_ours(backend):
        VERBS[verb](backend)
    assert caught.value.retryable


def test_a_slow_body_is_not_a_stall(make_backend: Make, account: dict[str, Any], proxy: FaultProxy) -> None:
    """The timeout is for the time without a byte, not for the whole of a large body."""
    backend = make_backend(**{**account, "account_url": proxy.url, "timeout": 2.0})
    content = bytes(20 << 20)
    proxy.on("PUT").throttle(upload=5 << 20)
    backend.put("x", content, OPTIONS)
    assert backend.head("x").size == len(content)


def exhaust(body: Body) -> None:
    while body.read(65536):
        pass


def test_a_body_that_is_cut(proxied: AzureBackend, proxy: FaultProxy) -> None:
    proxied.put("x", bytes(1 << 20), OPTIONS)
    for clean in (False, True):
        proxy.on("GET").cut(after=300_000, clean=clean)
        body = proxied.read("x")
        with pytest.raises(exc.ConnectionError) as caught, as_ours(proxied):
            exhaust(body)
        body.close()
        assert caught.value.retryable


def test_a_body_that_stalls(make_backend: Make, account: dict[str, Any], proxy: FaultProxy) -> None:
    backend = make_backend(**{**account, "account_url": proxy.url, "timeout": 0.3})
    backend.put("x", bytes(1 << 20), OPTIONS)
    proxy.on("GET").stall(60, at="body", after=300_000)
    body = backend.read("x")
    with pytest.raises(exc.TimeoutError), as_ours(backend):
        exhaust(body)
    body.close()


def test_a_page_that_is_cut(proxied: AzureBackend, proxy: FaultProxy) -> None:
    for number in range(20):
        proxied.put(f"{number:02d}", b"", OPTIONS)
    proxy.on("GET").cut(after=2000)
    with pytest.raises(exc.ConnectionError) as caught, as_ours(proxied):
        list(proxied.list(""))
    assert caught.value.retryable


def test_nobody_there(make_backend: Make, account: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/x", "http://no-such-account.invalid"):
        backend = make_backend(**{**account, "account_url": url})
        with pytest.raises(exc.ConnectionError) as caught, as_ours(backend):
            backend.head("x")
        assert caught.value.retryable


def test_a_certificate_that_is_not_trusted(
    make_backend: Make, azurite_tls_server: AzuriteServer, transport: str
) -> None:
    server = azurite_tls_server
    key = {"account_name": server.account_name, "account_key": "QUJD"}
    backend = make_backend(bucket="b", account_url=server.url, transport=transport, **key)
    with pytest.raises(exc.ConnectionError, match="certificate") as caught, as_ours(backend):
        backend.head("x")
    assert not caught.value.retryable


def test_a_wrong_key_and_a_wrong_account(make_backend: Make, account: dict[str, Any]) -> None:
    wrong = base64.b64encode(b"a wrong key").decode()
    backend = make_backend(**{**account, "account_key": wrong})
    for verb in ("head", "put", "delete", "check"):
        with pytest.raises(exc.PermissionError, match="credentials") as caught, as_ours(backend):
            VERBS[verb](backend)
        assert wrong not in "".join(traceback.format_exception(caught.value))
    backend = make_backend(**{**account, "account_name": "another", "account_url": account["account_url"]})
    with pytest.raises(exc.PermissionError), as_ours(backend):
        backend.head("x")


def test_a_clock_that_is_wrong_is_named(proxied: AzureBackend, proxy: FaultProxy) -> None:
    body = (
        "<Error><Code>AuthenticationFailed</Code><Message>Server failed to authenticate.</Message>"
        "<AuthenticationErrorDetail>Request date header too old: ...</AuthenticationErrorDetail></Error>"
    )
    proxy.on().answer(403, body, {"Content-Type": "application/xml"})
    with pytest.raises(exc.PermissionError, match="clock"), as_ours(proxied):
        proxied.read("x")


def test_a_lease(backend: AzureBackend, account: dict[str, Any]) -> None:
    backend.put("x", b"1", OPTIONS)
    backend.client.get_blob_client(account["bucket"], "x").acquire_lease(-1)
    for verb in ("put", "delete"):
        with pytest.raises(exc.PermissionError, match="leased"), as_ours(backend):
            VERBS[verb](backend)
    errors_of = dict(backend.delete_many(["x", "y"]))
    assert {key: type(error) for key, error in errors_of.items()} == {"x": exc.PermissionError}


def test_an_archived_blob(backend: AzureBackend, account: dict[str, Any]) -> None:
    backend.put("x", b"1", OPTIONS)
    backend.client.get_blob_client(account["bucket"], "x").set_standard_blob_tier("Archive")
    with pytest.raises(exc.StorageError, match="archive tier") as caught, as_ours(backend):
        backend.read("x")
    assert caught.value.code == "BlobArchived"


SECRET = "abc%2Fdef%3D"


@pytest.mark.parametrize("fault", ["answer", "reset", "nobody"])
def test_no_signature_in_errors_and_logs(
    fault: str,
    make_backend: Make,
    account: dict[str, Any],
    proxy: FaultProxy,
    caplog: pytest.LogCaptureFixture,
    transport: str,
) -> None:
    url = "http://127.0.0.1:1/x" if fault == "nobody" else proxy.url
    backend = make_backend(
        bucket="b", account_url=url, transport=transport, sas_token=f"sv=2022-11-02&sp=r&sig={SECRET}"
    )
    if fault == "reset":
        proxy.on(times=None).reset()
    with caplog.at_level(logging.DEBUG):
        for verb in ("head", "put", "copy", "list"):
            with pytest.raises(exc.FilesError) as caught, as_ours(backend):
                VERBS[verb](backend)
            shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
            assert SECRET not in shown
            assert "abc/def=" not in shown
    assert SECRET not in caplog.text
    if transport == "sdk":
        assert caplog.records, "something is logged at all"


def test_no_key_in_logs(backend: AzureBackend, account: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        info = backend.put("x", b"1", OPTIONS)
        backend.copy(info, "y", OPTIONS)
        read_all(backend, "x")
    assert account["account_key"] not in caplog.text
    assert "sig=" not in caplog.text.replace("sig=***", "")


def test_the_errors_of_the_sdk_itself(backend: AzureBackend) -> None:
    assert backend.translate(ValueError("not the SDK's")) is None
    assert isinstance(backend.translate(ClientAuthenticationError("no token")), exc.PermissionError)
    assert isinstance(backend.translate(ServiceRequestError("gone")), exc.ConnectionError)
    found = backend.translate(ResourceNotFoundError("made without an answer"))
    assert type(found) is exc.StorageError
    with pytest.raises(exc.InvalidStorageConfigurationError), as_ours(backend):
        backend.client.get_container_client("nowhere").get_container_properties()
    with pytest.raises(exc.MissingFileError), as_ours(backend):
        backend.client.get_blob_client(backend.settings.bucket, "nothing").get_blob_properties()
