"""Copies, composition and appending: on the server, pinned, and nothing of the target changes before it is done."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest
from faults.answers import azure_error
from faults.proxy import FaultProxy
from file_keeper import exc
from file_keeper.backend import ObjectInfo, PartsDiscardedError, WriteOptions
from file_keeper.resilience import retry
from file_keeper_azure import AzureBackend

from .azure_calls import as_ours, read_all

CONTENT = os.urandom(3000)
ATTRIBUTES = WriteOptions(
    content_type="text/x-try",
    metadata={"fk_token": "0123", "colour": "blue"},
    headers={"Cache-Control": "no-cache", "Content-Encoding": "gzip"},
    digests={"md5": hashlib.md5(CONTENT).hexdigest()},
)


def small(backend: AzureBackend) -> AzureBackend:
    """Have it copy by blocks what is larger than 1,000 bytes."""
    backend.copy_in_one, backend.copy_piece = 1000, 700
    return backend


@pytest.fixture(params=["in one", "by blocks"])
def copying(request: pytest.FixtureRequest, backend: AzureBackend) -> AzureBackend:
    return backend if request.param == "in one" else small(backend)


def test_a_copy_is_equal(copying: AzureBackend) -> None:
    source = copying.put("a b/#?%.txt", CONTENT, ATTRIBUTES)
    options = dataclasses.replace(ATTRIBUTES, metadata={"fk_token": "4567", "colour": "blue"})
    made = copying.copy(source, "☺ b", options)
    assert made == copying.head("☺ b")
    assert dataclasses.replace(made, key=source.key, etag=source.etag, modified=source.modified) == dataclasses.replace(
        source, metadata=options.metadata
    )
    assert read_all(copying, "☺ b") == CONTENT


def test_conditions_of_a_copy(copying: AzureBackend) -> None:
    source = copying.put("x", CONTENT, ATTRIBUTES)
    there = copying.put("y", b"first", WriteOptions())
    with pytest.raises(exc.ExistingFileError), as_ours(copying):
        copying.copy(source, "y", dataclasses.replace(ATTRIBUTES, if_absent=True))
    with pytest.raises(exc.ChangedFileError), as_ours(copying):
        copying.copy(source, "y", dataclasses.replace(ATTRIBUTES, if_match=source.etag))
    with pytest.raises(exc.ChangedFileError), as_ours(copying):
        copying.copy(dataclasses.replace(source, etag=there.etag), "y", ATTRIBUTES)
    assert read_all(copying, "y") == b"first"
    copying.copy(source, "y", dataclasses.replace(ATTRIBUTES, if_match=there.etag))
    assert read_all(copying, "y") == CONTENT


def test_a_source_that_is_gone(backend: AzureBackend) -> None:
    with pytest.raises(exc.MissingFileError), as_ours(backend):
        backend.copy(
            ObjectInfo(key="nothing", size=1, etag="0x1", content_type="a/b"), "y", WriteOptions(content_type="a/b")
        )


def test_an_empty_source(copying: AzureBackend) -> None:
    source = copying.put("x", b"", WriteOptions(headers={"Cache-Control": "no-cache"}))
    copying.copy(source, "y", WriteOptions())
    assert copying.head("y").headers == {}, "other headers than the source's are set, by blocks"
    copying.compose([source, source], "z", WriteOptions())
    copying.append(source, b"1", WriteOptions())
    assert [read_all(copying, key) for key in "xyz"] == [b"1", b"", b""]


def test_compose(backend: AzureBackend) -> None:
    small(backend)
    first, empty = backend.put("a", CONTENT, ATTRIBUTES), backend.put("b", b"", WriteOptions())
    last = backend.put("c", b"tail", WriteOptions())
    made = backend.compose([first, empty, last, first], "a", dataclasses.replace(ATTRIBUTES, digests={}))
    assert made == backend.head("a")
    assert made.digests == {}
    assert read_all(backend, "a") == CONTENT + b"tail" + CONTENT
    with pytest.raises(exc.ChangedFileError), as_ours(backend):
        backend.compose([first, last], "d", WriteOptions())
    with pytest.raises(exc.MissingFileError), as_ours(backend):
        backend.head("d")


def test_append(backend: AzureBackend) -> None:
    first = backend.put("x", CONTENT, ATTRIBUTES)
    second = backend.append(first, memoryview(b"tail"), dataclasses.replace(ATTRIBUTES, digests={}))
    assert second == backend.head("x")
    assert read_all(backend, "x") == CONTENT + b"tail"
    with pytest.raises(exc.ChangedFileError), as_ours(backend):
        backend.append(first, b"twice", WriteOptions())
    assert read_all(backend, "x") == CONTENT + b"tail"


def test_a_commit_that_another_writer_broke_is_begun_again(proxied: AzureBackend, proxy: FaultProxy) -> None:
    source = small(proxied).put("x", CONTENT, ATTRIBUTES)
    proxy.on("PUT", query="comp=blocklist", times=2).answer(*azure_error(400, "InvalidBlockList"))
    proxied.copy(source, "y", ATTRIBUTES)
    assert read_all(proxied, "y") == CONTENT
    ids = {request.parameters["blockid"] for request in proxy.matching("PUT", "/y$", "comp=block&")}
    assert len(ids) == 3 * 5, "each attempt has an upload of its own"
    proxy.on("PUT", query="comp=blocklist", times=None).answer(*azure_error(400, "InvalidBlockList"))
    with pytest.raises(PartsDiscardedError), as_ours(proxied):
        proxied.copy(source, "y", ATTRIBUTES)


def test_a_piece_is_repeated_and_not_the_whole(
    proxied: AzureBackend, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(base=0.001))
    source = small(proxied).put("x", CONTENT, ATTRIBUTES)
    proxy.on("PUT", query="comp=block&", nth=5).answer(*azure_error(503, "ServerBusy"))
    proxy.on("PUT", query="comp=block&", nth=3).lose_answer()
    proxied.copy(source, "y", ATTRIBUTES)
    assert read_all(proxied, "y") == CONTENT
    assert proxy.count("PUT", query="comp=block&") == 5 + 2


def test_an_empty_source_is_not_given_to_the_service(proxied: AzureBackend, proxy: FaultProxy) -> None:
    source = proxied.put("x", b"", WriteOptions(metadata={"a": "1"}))
    proxied.copy(source, "y", WriteOptions(metadata={"a": "1"}))
    assert not [request for request in proxy.requests if request.headers.has("x-ms-copy-source")]
    assert proxied.head("y").metadata == {"a": "1"}


def test_a_failing_copy_leaves_the_target(
    proxied: AzureBackend, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(base=0.001))
    source = small(proxied).put("x", CONTENT, ATTRIBUTES)
    proxied.put("y", b"first", WriteOptions())
    proxy.on("PUT", "/y$", "comp=block&", nth=3, times=None).answer(*azure_error(500, "InternalError"))
    with pytest.raises(exc.ConnectionError) as caught, as_ours(proxied):
        proxied.copy(source, "y", ATTRIBUTES)
    assert not caught.value.retryable, "it was repeated already"
    assert read_all(proxied, "y") == b"first"


def test_sources_are_signed_and_pinned(proxied: AzureBackend, proxy: FaultProxy, account: dict[str, Any]) -> None:
    source = proxied.put("x", CONTENT, ATTRIBUTES)
    proxy.clear()
    proxied.copy(source, "y", ATTRIBUTES)
    (request,) = proxy.requests
    told = request.headers.get("x-ms-copy-source")
    assert told.startswith(f"{proxy.url}/{account['bucket']}/x?")
    assert "sp=r&" in told
    assert "sig=" in told
    assert request.headers.get("x-ms-source-if-match") == f'"{source.etag}"'
    assert request.headers.get("x-ms-requires-sync") == "true"


@pytest.mark.parametrize(
    ("status", "source_status", "kind", "retryable"),
    [
        (404, "404", exc.MissingFileError, False),
        (403, "403", exc.PermissionError, False),
        (401, "", exc.PermissionError, False),
        (500, "503", exc.ThrottledError, True),
        (409, "500", exc.ConnectionError, True),
        (412, "412", exc.ChangedFileError, False),
        (409, "412", exc.ChangedFileError, False),
        (409, "503", exc.ThrottledError, True),
    ],
)
def test_what_the_service_is_told_by_the_source(
    proxied: AzureBackend,
    proxy: FaultProxy,
    status: int,
    source_status: str,
    kind: type[exc.FilesError],
    retryable: bool,
) -> None:
    source = proxied.put("x", b"1", WriteOptions())
    answer, body, headers = azure_error(status, "CannotVerifyCopySource")
    proxy.on("PUT").answer(answer, body, {**headers, "x-ms-copy-source-status-code": source_status})
    with pytest.raises(kind, match="source") as caught, as_ours(proxied):
        proxied.copy(source, "y", WriteOptions(if_absent=True))
    assert caught.value.retryable == retryable


def test_a_large_copy_is_cut_into_what_a_blob_can_hold(backend: AzureBackend, make_backend: Callable[..., Any]) -> None:
    copier = backend._copier
    huge = ObjectInfo(key="x", size=backend.limits.object_max // 2)
    pieces = copier._pieces([huge, ObjectInfo(key="y", size=1)])
    assert len(pieces) <= 50_000 - 1
    assert pieces[0][1:] == (0, pieces[1][1])
    assert pieces[-2][2] == huge.size
    assert max(end - start for _, start, end in pieces) <= backend.limits.part_max
