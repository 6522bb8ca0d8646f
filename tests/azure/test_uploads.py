"""Uploads in parts: blocks, whose ids are all that the service knows of an upload."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from faults.answers import azure_error
from faults.proxy import FaultProxy
from file_keeper import exc
from file_keeper.backend import MultipartRef, Part, PartsDiscardedError, WriteOptions, entries_of
from file_keeper_azure import AzureBackend, blocks

from .azure_calls import as_ours, read_all

PARTS = [os.urandom(1000 + number) for number in range(3)]
WHOLE = b"".join(PARTS)
OPTIONS = WriteOptions(
    content_type="text/x-try",
    metadata={"fk_token": "0123"},
    headers={"Cache-Control": "no-cache"},
    digests={"md5": hashlib.md5(WHOLE).hexdigest(), "sha256": "00" * 32},
)


def begin(backend: AzureBackend, key: str = "x") -> MultipartRef:
    return MultipartRef(key, backend.multipart_create(key, WriteOptions()))


def send(backend: AzureBackend, upload: MultipartRef, *numbers: int) -> list[Part]:
    return [backend.multipart_put(upload, number, memoryview(PARTS[number])) for number in numbers]


def gone(backend: AzureBackend, upload: MultipartRef) -> bool:
    try:
        list(backend.multipart_parts(upload))
    except exc.MissingFileError:
        return True
    return False


def another(backend: AzureBackend, make_backend: Callable[..., AzureBackend]) -> AzureBackend:
    """The backend of another process: nothing is remembered."""
    return make_backend(**backend.settings.raw)


def test_parts_in_any_order_and_twice(backend: AzureBackend, make_backend: Callable[..., AzureBackend]) -> None:
    upload = begin(backend)
    send(backend, upload, 2, 0)
    backend.multipart_put(upload, 1, b"this one is sent again")
    send(backend, upload, 1)
    elsewhere = another(backend, make_backend)
    parts = list(elsewhere.multipart_parts(upload))
    assert parts == send(backend, upload, 0, 1, 2)
    assert [part.size for part in parts] == [1000, 1001, 1002]
    assert list(entries_of(backend.list(""))) == []
    with pytest.raises(exc.MissingFileError), as_ours(backend):
        backend.head("x")
    made = elsewhere.multipart_complete(upload, parts, OPTIONS)
    assert made == backend.head("x")
    assert made.digests == {"md5": hashlib.md5(WHOLE).hexdigest()}
    assert read_all(backend, "x") == WHOLE


def test_no_part_at_all(backend: AzureBackend) -> None:
    upload = begin(backend)
    assert list(backend.multipart_parts(upload)) == []
    made = backend.multipart_complete(upload, [], WriteOptions(if_absent=True))
    assert made.size == 0
    assert read_all(backend, "x") == b""


def test_conditions_are_decided_at_the_end(backend: AzureBackend) -> None:
    there = backend.put("x", b"first", WriteOptions())
    upload = begin(backend)
    parts = send(backend, upload, 0)
    with pytest.raises(exc.ExistingFileError), as_ours(backend):
        backend.multipart_complete(upload, parts, WriteOptions(if_absent=True))
    with pytest.raises(exc.ChangedFileError), as_ours(backend):
        backend.multipart_complete(upload, parts, WriteOptions(if_match="0x1"))
    assert read_all(backend, "x") == b"first"
    backend.multipart_complete(upload, parts, WriteOptions(if_match=there.etag))
    assert read_all(backend, "x") == PARTS[0]


def test_of_two_uploads_to_one_key_one_is_told(
    backend: AzureBackend, make_backend: Callable[..., AzureBackend]
) -> None:
    first, second = begin(backend), begin(backend)
    sent = {upload.id: send(backend, upload, 0, 1) for upload in (first, second)}
    assert [part.number for part in backend.multipart_parts(first)] == [0, 1], "they are not mixed up"
    backend.multipart_complete(second, sent[second.id], WriteOptions())
    with pytest.raises(PartsDiscardedError), as_ours(backend):
        backend.multipart_complete(first, sent[first.id], WriteOptions())
    with pytest.raises(exc.ExistingFileError), as_ours(backend):
        backend.multipart_complete(first, sent[first.id], WriteOptions(if_absent=True))
    assert read_all(backend, "x") == PARTS[0] + PARTS[1]
    assert gone(another(backend, make_backend), second), "it was completed"


def test_a_completed_upload_is_told_from_one_without_parts_yet(
    backend: AzureBackend, make_backend: Callable[..., AzureBackend]
) -> None:
    upload = begin(backend)
    backend.multipart_complete(upload, send(backend, upload, 0), WriteOptions())
    begun_over_it = begin(backend)
    elsewhere = another(backend, make_backend)
    assert gone(elsewhere, upload)
    assert not gone(elsewhere, begun_over_it)


def test_a_block_that_comes_after_the_end_opens_nothing_again(
    backend: AzureBackend, make_backend: Callable[..., AzureBackend]
) -> None:
    upload, elsewhere = begin(backend), another(backend, make_backend)
    backend.multipart_complete(upload, send(backend, upload, 0), WriteOptions())
    elsewhere.multipart_put(upload, 1, b"late")
    assert gone(elsewhere, upload)
    with pytest.raises(PartsDiscardedError), as_ours(elsewhere):
        elsewhere.multipart_complete(upload, [Part(number=0, size=1, etag="")], WriteOptions())


def test_an_upload_that_somebody_wrote_over_is_told(
    backend: AzureBackend, make_backend: Callable[..., AzureBackend]
) -> None:
    # The service tells whole seconds, so this one begins well before.
    upload = MultipartRef("x", f"fk{int((time.time() - 60) * 1000):012x}{'0' * 18}")
    send(backend, upload, 0)
    assert not gone(backend, upload)
    # By blocks, as Azurite keeps those of others when a blob is put in one go; the service drops them then too.
    other = begin(backend)
    backend.multipart_complete(other, send(backend, other, 1), WriteOptions())
    assert gone(another(backend, make_backend), upload)


def test_an_expired_upload_is_told(backend: AzureBackend) -> None:
    assert gone(backend, MultipartRef("x", f"fk{int((time.time() - 8 * 86400) * 1000):012x}{'0' * 18}"))


@pytest.mark.parametrize("id", ["", "nonsense", "fk" + "g" * 30, "0" * 32])
def test_what_is_not_an_id_is_no_upload(backend: AzureBackend, id: str) -> None:
    upload = MultipartRef("x", id)
    assert gone(backend, upload)
    assert not backend.multipart_abort(upload)
    with pytest.raises(exc.MissingFileError):
        backend.multipart_put(upload, 0, b"1")
    with pytest.raises(exc.MissingFileError):
        backend.multipart_complete(upload, [], WriteOptions())


def test_an_abort_sends_nothing(proxied: AzureBackend, proxy: FaultProxy) -> None:
    proxied.put("x", b"first", WriteOptions())
    upload, neighbour = begin(proxied), begin(proxied, "x2")
    send(proxied, upload, 0)
    send(proxied, neighbour, 0)
    proxy.clear()
    assert proxied.multipart_abort(upload)
    assert not proxied.multipart_abort(upload)
    assert proxy.count() == 0
    assert gone(proxied, upload)
    assert read_all(proxied, "x") == b"first"
    assert not gone(proxied, neighbour)


def test_open_uploads(
    backend: AzureBackend, make_backend: Callable[..., AzureBackend], account: dict[str, Any]
) -> None:
    upload, other = begin(backend, "p/x"), begin(backend, "q/x")
    for one in (upload, other):
        send(backend, one, 0)
    backend.put("p/empty", b"", WriteOptions())
    foreign = backend.client.get_blob_client(account["bucket"], "p/foreign")
    foreign.stage_block(base64.b64encode(b"x").decode(), b"1")
    elsewhere = another(backend, make_backend)
    (found,) = elsewhere.multipart_list("p/")
    assert found.ref == upload
    assert abs(found.started.timestamp() - time.time()) < 60
    elsewhere.multipart_abort(found.ref)
    assert list(elsewhere.multipart_list("p/")) == []
    assert [one.ref for one in elsewhere.multipart_list("")] == [other]


def test_a_block_that_is_changed_on_its_way_is_refused(proxied: AzureBackend, proxy: FaultProxy) -> None:
    upload = begin(proxied)
    proxy.on("PUT").flip_request(500)
    with pytest.raises(exc.UploadHashMismatchError, match="CRC-64"), as_ours(proxied):
        send(proxied, upload, 0)
    assert list(proxied.multipart_parts(upload)) == []


def test_an_upload_of_another_program_at_the_same_name_is_told(backend: AzureBackend, account: dict[str, Any]) -> None:
    backend.client.get_blob_client(account["bucket"], "x").stage_block(base64.b64encode(b"x").decode(), b"1")
    with pytest.raises(exc.MultipartUploadError, match="another program"), as_ours(backend):
        send(backend, begin(backend), 0)


def test_a_part_that_is_too_large_is_told(proxied: AzureBackend, proxy: FaultProxy) -> None:
    proxy.on("PUT").answer(*azure_error(413, "RequestBodyTooLarge"))
    with pytest.raises(exc.LargeUploadError), as_ours(proxied):
        send(proxied, begin(proxied), 0)


def test_requests(proxied: AzureBackend, proxy: FaultProxy) -> None:
    upload = begin(proxied)
    proxied.multipart_complete(upload, send(proxied, upload, 0, 1, 2), WriteOptions())
    assert proxy.count() == 4


def test_block_ids() -> None:
    ids = [blocks.block_id(blocks.new_id(), number) for number in (0, 49_999)]
    assert len({len(name) for name in ids}) == 1
    assert all(len(base64.b64decode(name)) <= 64 for name in ids)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_REMEMBERED", 3)
    ended = blocks.Ended()
    for number in range(10):
        assert ended.add(str(number))
    assert [number for number in range(10) if str(number) in ended] == [7, 8, 9]
