"""The required verbs and the small optional ones, on Azurite."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest
from faults.answers import azure_error
from faults.proxy import FaultProxy
from file_keeper import exc
from file_keeper.backend import ObjectInfo, Prefix, WriteOptions, entries_of
from file_keeper_azure import AzureBackend

from .azure_calls import as_ours, read_all

CONTENT = os.urandom(3000)
MD5 = hashlib.md5(CONTENT).hexdigest()
OPTIONS = WriteOptions(
    content_type="text/x-try",
    metadata={"fk_token": "0123", "colour": "blue", "empty": ""},
    headers={
        "Cache-Control": "no-cache",
        "Content-Disposition": 'attachment; filename="x.txt"',
        "Content-Encoding": "gzip",
        "Content-Language": "de",
    },
    digests={"md5": MD5},
)


def test_what_is_put_is_told_alike_by_put_head_read_and_list(backend: AzureBackend) -> None:
    made = backend.put("a/b.txt", CONTENT, OPTIONS)
    assert made.digests == {"md5": MD5}
    assert made.size == 3000
    assert made.modified is not None
    assert made.etag
    assert '"' not in made.etag
    assert backend.head("a/b.txt") == made
    body = backend.read("a/b.txt")
    body.close()
    assert body.info == made
    part = backend.read("a/b.txt", 10, 20)
    part.close()
    assert part.info == made
    assert list(entries_of(backend.list(""))) == [made]


@pytest.mark.parametrize("body", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_every_buffer_is_a_body(backend: AzureBackend, body: Callable[[bytes], Any]) -> None:
    for size in (0, 1, 3000):
        made = backend.put("x", body(CONTENT[:size]), WriteOptions())
        # Without an MD5 of ours the service's own is told: it makes one of whatever is put in one go.
        assert made.digests == {"md5": hashlib.md5(CONTENT[:size]).hexdigest()}
        assert read_all(backend, "x") == CONTENT[:size]


@pytest.mark.parametrize(
    ("start", "end"), [(0, None), (0, 1), (10, 20), (2999, None), (2990, 9000), (3000, None), (9000, 9001), (0, 3000)]
)
def test_ranges(backend: AzureBackend, start: int, end: int | None) -> None:
    made = backend.put("x", CONTENT, WriteOptions())
    assert read_all(backend, "x", start, end) == CONTENT[start:end]
    body = backend.read("x", start, end, etag=made.etag)
    buffer = bytearray(7)
    count = body.readinto(memoryview(buffer))
    body.close()
    assert buffer[:count] == CONTENT[start:end][:7]
    assert body.info.size == 3000


def test_ranges_of_an_empty_blob(backend: AzureBackend) -> None:
    etag = backend.put("x", b"", WriteOptions()).etag
    assert [read_all(backend, "x", *bounds) for bounds in ((0, None), (0, 5), (3, 5))] == [b"", b"", b""]
    with pytest.raises(exc.ChangedFileError), as_ours(backend):
        backend.read("x", 3, 5, etag="0x1")
    assert read_all(backend, "x", 3, 5, etag=etag) == b""


def test_conditions(backend: AzureBackend) -> None:
    first = backend.put("x", b"1", WriteOptions(if_absent=True))
    with pytest.raises(exc.ExistingFileError), as_ours(backend):
        backend.put("x", b"2", WriteOptions(if_absent=True))
    second = backend.put("x", b"3", WriteOptions(if_match=first.etag))
    for key in ("x", "not there"):
        with pytest.raises(exc.ChangedFileError), as_ours(backend):
            backend.put(key, b"4", WriteOptions(if_match=first.etag))
    with pytest.raises(exc.ChangedFileError), as_ours(backend):
        backend.read("x", etag=first.etag)
    with pytest.raises(exc.ChangedFileError), as_ours(backend):
        backend.delete("x", etag=first.etag)
    assert read_all(backend, "x", etag=second.etag) == b"3"
    assert backend.delete("x", etag=second.etag)
    assert not backend.delete("x")


def test_a_blob_goes_with_its_snapshots(backend: AzureBackend, account: dict[str, Any]) -> None:
    backend.put("x", b"1", WriteOptions())
    backend.client.get_blob_client(account["bucket"], "x").create_snapshot()
    assert backend.delete("x")
    with pytest.raises(exc.MissingFileError), as_ours(backend):
        backend.head("x")


def test_a_changed_body_is_refused(backend: AzureBackend) -> None:
    wrong = WriteOptions(digests={"md5": hashlib.md5(b"other").hexdigest()})
    with pytest.raises(exc.UploadHashMismatchError, match="MD5"), as_ours(backend):
        backend.put("x", CONTENT, wrong)


@pytest.mark.parametrize("digests", [{"md5": MD5}, {}], ids=["md5", "crc64"])
def test_a_body_that_is_changed_on_its_way_is_refused(
    proxied: AzureBackend, proxy: FaultProxy, digests: dict[str, str]
) -> None:
    proxy.on("PUT").flip_request(1500)
    with pytest.raises(exc.UploadHashMismatchError), as_ours(proxied):
        proxied.put("x", CONTENT, WriteOptions(digests=digests))
    with pytest.raises(exc.MissingFileError), as_ours(proxied):
        proxied.head("x")


def test_every_write_carries_one_checksum(proxied: AzureBackend, proxy: FaultProxy) -> None:
    proxied.put("x", CONTENT, WriteOptions(digests={"md5": MD5, "sha256": "00" * 32}))
    proxied.put("x", CONTENT, WriteOptions(digests={"sha256": "00" * 32}))
    first, second = proxy.matching("PUT")
    assert (first.headers.has("Content-MD5"), first.headers.has("x-ms-content-crc64")) == (True, False)
    assert (second.headers.has("Content-MD5"), second.headers.has("x-ms-content-crc64")) == (False, True)


def test_odd_names(backend: AzureBackend) -> None:
    names = ["a b", "#?%+&[]{}.txt", "☺☺☺/x", "e\u0301", "\u00e9", "%48%45", ".hidden/.x", "'\"<>|*~", "A", "a"]
    for name in names:
        backend.put(name, name.encode(), WriteOptions())
    assert sorted(entry.key for entry in entries_of(backend.list(""))) == sorted(names)
    for name in names:
        assert read_all(backend, name) == name.encode()
    assert list(backend.delete_many(names)) == []
    assert list(entries_of(backend.list(""))) == []


@pytest.mark.parametrize("key", ["a\\b", "a./b", "a/b.", "..."])
def test_names_that_the_service_would_change_are_not_for_writing(
    proxied: AzureBackend, proxy: FaultProxy, key: str
) -> None:
    source = ObjectInfo(key="x", size=1, etag="e")
    options = WriteOptions()
    for write in (
        lambda: proxied.put(key, b"", options),
        lambda: proxied.multipart_create(key, options),
        lambda: proxied.copy(source, key, options),
        lambda: proxied.compose([source, source], key, options),
    ):
        with pytest.raises(exc.LocationError):
            write()
    assert proxy.count() == 0


def test_delete_many(backend: AzureBackend, make_backend: Callable[..., AzureBackend], account: dict[str, Any]) -> None:
    keys = [f"k/{number:03d} #?" for number in range(300)]
    for key in keys[::60]:
        backend.put(key, b"", WriteOptions())
    assert list(backend.delete_many([*keys, "not/there"])) == []
    assert list(entries_of(backend.list(""))) == []
    elsewhere = make_backend(**{**account, "bucket": "nowhere"})
    errors = dict(elsewhere.delete_many(["a", "b"]))
    assert {key: type(error) for key, error in errors.items()} == dict.fromkeys(
        ["a", "b"], exc.InvalidStorageConfigurationError
    )


def test_delete_many_takes_a_request_for_256(proxied: AzureBackend, proxy: FaultProxy) -> None:
    assert list(proxied.delete_many([f"{number}" for number in range(257)])) == []
    assert proxy.count() == 2
    proxy.on("POST").answer(*azure_error(503, "ServerBusy"))
    with pytest.raises(exc.ThrottledError), as_ours(proxied):
        list(proxied.delete_many(["a", "b"]))


def test_prepare_and_check(make_backend: Callable[..., AzureBackend], account: dict[str, Any]) -> None:
    backend = make_backend(**{**account, "bucket": account["bucket"] + "-new"})
    with pytest.raises(exc.InvalidStorageConfigurationError, match=r"-new'"), as_ours(backend):
        backend.check()
    backend.prepare()
    backend.prepare()
    backend.check()


def test_a_container_that_is_being_deleted_is_waited_for(proxied: AzureBackend, proxy: FaultProxy) -> None:
    proxy.on("PUT").answer(*azure_error(409, "ContainerBeingDeleted"))
    with pytest.raises(exc.InvalidStorageConfigurationError, match="being deleted") as caught, as_ours(proxied):
        proxied.prepare()
    assert caught.value.retryable
    assert caught.value.retry_after >= 10
    proxied.prepare()


def test_annotate(backend: AzureBackend) -> None:
    made = backend.put("x", CONTENT, OPTIONS)
    sha1 = hashlib.sha1(CONTENT).hexdigest()
    backend.store_digests(made, {"sha1": sha1})
    noted = backend.head("x")
    assert noted.metadata == {**OPTIONS.metadata, "fk_hash": f"sha1:{sha1}"}
    backend.store_digests(noted, {"md5": "0" * 32})
    after = backend.head("x")
    assert after.digests == {"md5": "0" * 32}
    assert (after.headers, after.content_type, after.metadata) == (OPTIONS.headers, "text/x-try", noted.metadata)
    for digests in ({"md5": MD5}, {"sha1": sha1}):
        with pytest.raises(exc.ChangedFileError), as_ours(backend):
            backend.store_digests(made, digests)


def test_metadata_of_other_tools_keeps_its_case(backend: AzureBackend, account: dict[str, Any]) -> None:
    blob = backend.client.get_blob_client(account["bucket"], "x")
    blob.upload_blob(b"1", metadata={"Hdi_IsFolder": "true"})
    assert backend.head("x").metadata == {"Hdi_IsFolder": "true"}
    (entry,) = entries_of(backend.list(""))
    assert isinstance(entry, ObjectInfo)
    assert entry.metadata == {"Hdi_IsFolder": "true"}


def test_what_is_not_a_block_blob_has_no_hash(backend: AzureBackend, account: dict[str, Any]) -> None:
    from azure.storage.blob import ContentSettings

    blob = backend.client.get_blob_client(account["bucket"], "x")
    blob.create_append_blob(ContentSettings(content_md5=bytearray(16)))
    blob.append_block(b"more than the MD5 knows of")
    assert backend.head("x").digests == {}
    assert [entry.digests for entry in entries_of(backend.list("")) if isinstance(entry, ObjectInfo)] == [{}]
    assert read_all(backend, "x") == b"more than the MD5 knows of"


def test_list(backend: AzureBackend) -> None:
    keys = ["a", "t-/x", "t/x", "t/y", "t0", "\uffee", "\U0001f600"]
    for key in keys:
        backend.put(key, b"1", WriteOptions())
    everything = [entry.key for entry in entries_of(backend.list(""))]
    assert everything == sorted(keys, key=lambda key: key.encode("utf-16-be")), "the order that the limits declare"
    assert [entry.key for entry in entries_of(backend.list("t"))] == ["t-/x", "t/x", "t/y", "t0"]
    for key in everything:
        rest = everything[everything.index(key) + 1 :]
        # The service begins with the name itself, which the core drops.
        assert [entry.key for entry in entries_of(backend.list("", start_after=key))] == [key, *rest]
    grouped = list(entries_of(backend.list("", delimiter="/")))
    assert [entry.key for entry in grouped] == ["a", "t-/", "t/", "t0", "\uffee", "\U0001f600"]
    assert [type(entry) for entry in grouped[1:3]] == [Prefix, Prefix]
    rolled_up = [entry.key for entry in entries_of(backend.list("t", delimiter="/", start_after="t/x"))]
    assert [key for key in rolled_up if key > "t/x"] == ["t0"]


def test_pages(proxied: AzureBackend, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("file_keeper_azure.backend.PAGE", 2)
    for key in "abcde":
        proxied.put(key, b"", WriteOptions())
    proxy.clear()
    listing = entries_of(proxied.list(""))
    assert proxy.count() == 0
    assert next(listing).key == "a"
    assert proxy.count() == 1
    assert [entry.key for entry in listing] == ["b", "c", "d", "e"]
    assert proxy.count() == 3
    assert [entry.key for entry in entries_of(proxied.list("", start_after="c"))] == ["c", "d", "e"]


def test_start_after_is_left_to_the_service(proxied: AzureBackend, proxy: FaultProxy) -> None:
    list(entries_of(proxied.list("p/", start_after="p/a b")))
    (request,) = proxy.requests
    assert request.parameters["startFrom"] == "p/a b"
    assert request.parameters["maxresults"] == "5000"
    assert request.parameters["include"] == "metadata"


def test_requests(proxied: AzureBackend, proxy: FaultProxy) -> None:
    """One request a verb: what the core's budget is built on."""
    info = proxied.put("x", b"1", WriteOptions())
    for call in (
        lambda: proxied.put("y", b"1", WriteOptions()),
        lambda: proxied.head("x"),
        lambda: read_all(proxied, "x"),
        lambda: list(entries_of(proxied.list(""))),
        lambda: proxied.copy(info, "z", WriteOptions(content_type=info.content_type)),
        lambda: proxied.delete("z"),
        lambda: list(proxied.delete_many(["a", "b"])),
        proxied.check,
    ):
        proxy.clear()
        call()
        assert proxy.count() == 1
    proxy.clear()
    proxied.url("x")
    proxied.multipart_create("x", WriteOptions())
    assert proxy.count() == 0
