"""Storages on Azure: what the core and the backend do together, where this provider is special."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from emulators.azure import AzuriteServer
from faults.answers import azure_error
from faults.proxy import FaultProxy
from file_keeper import Storage, exc, make_storage
from file_keeper.resilience import retry

KiB = 1 << 10
CONTENT = os.urandom(700 * KiB)

Make = Callable[..., Storage]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between repeats that take no time."""
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(base=0.001, longest=0.01))


@pytest.fixture
def make(azurite_server: AzuriteServer, proxy: FaultProxy) -> Iterator[Make]:
    """Storages in one container, behind the proxy."""
    bucket, made = azurite_server.new_bucket(), list[Storage]()

    def make(**changes: Any) -> Storage:
        settings = {
            "type": "azure",
            "bucket": bucket,
            "account_url": proxy.url,
            "account_name": azurite_server.account_name,
            "account_key": azurite_server.account_key,
            "part_size": 256 * KiB,
        }
        made.append(make_storage("media", {**settings, **changes}))
        return made[-1]

    yield make
    for storage in made:
        storage.close()


@pytest.fixture
def storage(make: Make) -> Storage:
    return make()


def chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


@pytest.mark.parametrize("alias", ["azure", "file_keeper:azure", "file_keeper:azure_blob"])
def test_types(make: Make, alias: str) -> None:
    assert make(type=alias).upload("x", b"1").size == 1


def test_a_lost_answer_to_a_put(storage: Storage, proxy: FaultProxy) -> None:
    proxy.on("PUT").lose_answer()
    made = storage.upload("x", b"mine")
    assert [(request.method, request.status) for request in proxy.requests] == [("PUT", 0), ("PUT", 409), ("HEAD", 200)]
    assert storage.analyze("x") == made
    proxy.on("PUT", nth=1).lose_answer()
    with pytest.raises(exc.ExistingFileError):
        storage.upload("x", b"another's", overwrite=False)
    assert storage.content("x") == b"mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_lost_answer_to_a_commit(storage: Storage, proxy: FaultProxy, overwrite: bool) -> None:
    if overwrite:
        storage.upload("x", b"before")
    proxy.on("PUT", query="comp=blocklist").lose_answer()
    made = storage.upload("x", chunks(CONTENT), overwrite=overwrite)
    assert proxy.count("PUT", query="comp=blocklist") == 2
    assert made.hash == hashlib.md5(CONTENT).hexdigest()
    assert storage.analyze("x") == made
    assert storage.content("x") == CONTENT


@pytest.mark.parametrize("how", ["copy", "compose", "append"])
def test_a_lost_answer_to_what_is_done_on_the_server(storage: Storage, proxy: FaultProxy, how: str) -> None:
    storage.upload("x", CONTENT)
    proxy.on("PUT", where=lambda request: request.headers.has("x-ms-requires-sync") or "blocklist" in request.query
             ).lose_answer()  # fmt: skip
    if how == "copy":
        made, expected = storage.copy("y", "x"), CONTENT
    elif how == "compose":
        made, expected = storage.compose("y", "x", "x"), CONTENT * 2
    else:
        made, expected = storage.append("x", b"once"), CONTENT + b"once"
    assert storage.content(made) == expected
    assert storage.analyze(made.location) == made


def test_a_block_is_repeated_and_nothing_else(storage: Storage, proxy: FaultProxy) -> None:
    proxy.on("PUT", query="comp=block&").answer(*azure_error(503, "ServerBusy"))
    proxy.on("PUT", query="comp=block&", nth=2).reset(after=1000)
    storage.upload("x", CONTENT)
    assert proxy.count("PUT", query="comp=block&") == 3 + 2
    assert proxy.count("PUT", query="comp=blocklist") == 1
    assert storage.content("x") == CONTENT


def test_attempts_do_not_multiply(storage: Storage, proxy: FaultProxy) -> None:
    proxy.on(times=None).answer(*azure_error(503, "ServerBusy"))
    with pytest.raises(exc.ThrottledError):
        storage.analyze("x")
    assert proxy.count() == 4


def test_attempts_do_not_multiply_with_those_of_a_given_client(
    make: Make, azurite_server: AzuriteServer, proxy: FaultProxy
) -> None:
    from azure.storage.blob import BlobServiceClient

    key = {"account_name": azurite_server.account_name, "account_key": azurite_server.account_key}
    with BlobServiceClient(proxy.url, credential=key) as client:
        storage = make(client=client, transport=None, account_url=None, account_name=None, account_key=None)
        proxy.on(times=None).answer(*azure_error(503, "ServerBusy"))
        for call in (lambda: storage.analyze("x"), lambda: storage.upload("x", b"1")):
            proxy.clear()
            proxy.on(times=None).answer(*azure_error(503, "ServerBusy"))
            with pytest.raises(exc.ThrottledError):
                call()
            assert proxy.count() == 4
        proxy.clear()
        proxy.on(times=None).answer(*azure_error(503, "ServerBusy"))
        assert [type(error) for error in storage.remove_many(["x", "y"])] == [exc.ThrottledError] * 2
        assert proxy.count() == 4


def test_a_read_that_is_cut_goes_on(storage: Storage, proxy: FaultProxy) -> None:
    storage.upload("x", CONTENT)
    proxy.clear()
    proxy.on("GET", times=2).cut(after=300_000)
    assert storage.content("x") == CONTENT
    gets = proxy.matching("GET")
    assert len(gets) == 3
    assert all(request.headers.get("If-Match") for request in gets[1:])


def test_a_reader_of_what_is_replaced_is_told(storage: Storage, proxy: FaultProxy) -> None:
    storage.upload("x", CONTENT)
    proxy.on("GET").cut(after=300_000)
    with storage.stream("x") as stream:
        storage.upload("x", CONTENT[::-1], overwrite=True)
        with pytest.raises(exc.ChangedFileError):
            stream.read()


def test_an_upload_that_fails_leaves_nothing_to_see(storage: Storage, proxy: FaultProxy) -> None:
    def broken() -> Iterator[bytes]:
        yield CONTENT
        raise ZeroDivisionError

    storage.upload("x", b"before")
    proxy.clear()
    with pytest.raises(ZeroDivisionError):
        storage.upload("x", broken(), overwrite=True)
    assert {request.query.partition("&")[0] for request in proxy.requests} == {"comp=block"}, "an abort sends nothing"
    assert storage.content("x") == b"before"
    assert list(storage.scan()) == ["x"]


def test_the_hash_of_another_kind_is_recorded(make: Make) -> None:
    storage = make(hashing_algorithm="sha256")
    for location, source in (("one", CONTENT[:1000]), ("parts", chunks(CONTENT))):
        made = storage.upload(location, source)
        assert made.algorithm == "sha256"
        assert make(hashing_algorithm="sha256").analyze(location) == made
        assert storage.copy(location + "2", location).hash == made.hash


def test_verify_records_a_hash(storage: Storage) -> None:
    storage.upload("x", b"first")
    composed = storage.compose("y", "x", "x")
    assert composed.hash == ""
    verified = storage.verify("y", record=True)
    assert verified.hash == hashlib.md5(b"firstfirst").hexdigest()
    assert storage.analyze("y") == verified
    assert storage.analyze("y").etag == verified.etag != composed.etag


def test_a_lost_answer_to_a_record(storage: Storage, proxy: FaultProxy) -> None:
    storage.upload("x", b"first")
    composed = storage.compose("y", "x", "x")
    proxy.on("PUT", query="comp=properties").lose_answer()
    assert storage.verify(composed, record=True).hash == hashlib.md5(b"firstfirst").hexdigest()
    assert proxy.count("PUT", query="comp=properties") == 2
    changed = storage.compose("z", "x", "x")
    proxy.on("PUT", query="comp=properties").answer(*azure_error(412, "ConditionNotMet"))
    with pytest.raises(exc.ChangedFileError):
        storage.verify(changed, record=True)


def test_a_password_of_another_program_is_not_sent(
    make: Make, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("default login somebody password something\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert make().upload("x", b"1").size == 1
    assert all(request.headers.get("Authorization").startswith("SharedKey ") for request in proxy.requests)


def test_case_61_after_a_completed_upload(storage: Storage) -> None:
    """What the suite's case cannot go on to on Azurite."""
    first = storage.upload("x", b"first")
    data = storage.multipart_update(storage.multipart_start("x", 5), b"later", 0)
    with pytest.raises(exc.ExistingFileError):
        storage.multipart_complete(data)
    assert storage.analyze("x") == first
    data = storage.multipart_update(storage.multipart_start("x", 5, overwrite=first), b"later", 0)
    assert storage.content(storage.multipart_complete(data)) == b"later"


def test_pieces_that_another_writer_dropped_are_told(storage: Storage) -> None:
    size = 256 * KiB + 5
    data = storage.resumable_start("x", size, overwrite=True)
    data = storage.resumable_resume(data, CONTENT[: 256 * KiB])
    other = storage.multipart_update(storage.multipart_start("x", 5, overwrite=True), b"other", 0)
    storage.multipart_complete(other)
    with pytest.raises(exc.MissingFileError):
        storage.resumable_refresh(data)
    with pytest.raises(exc.ResumableUploadError):
        storage.resumable_resume(data, b"12345")
    with pytest.raises(exc.MissingFileError):
        storage.resumable_refresh(data)
    assert storage.content("x") == b"other", "never is a remainder published"


def test_uploads_to_new_names_are_cleaned_up(make: Make) -> None:
    storage = make(path="mine")
    storage.multipart_update(storage.multipart_start("x", 5), b"later", 0)
    elsewhere = make(path="mine")
    assert elsewhere.cleanup_uploads(3600) == 0
    assert elsewhere.cleanup_uploads(0) == 1
    assert elsewhere.cleanup_uploads(0) == 0


def test_metadata_and_headers(storage: Storage) -> None:
    metadata = {"título": "Résumé 文件 😀", "x": " a ", "plain": "value", "empty": "", "Upper-Case": "y"}
    headers = {"Cache-Control": "max-age=3", "Content-Disposition": 'attachment; filename="ä.txt"'}
    for location, source in (("one", b"1"), ("parts", chunks(CONTENT))):
        made = storage.upload(location, source, metadata=metadata, headers=headers, content_type="text/plain")
        found = storage.analyze(location)
        assert found.metadata == made.metadata == metadata
        assert found.headers == made.headers
        assert storage.analyze(storage.copy(location + "2", location)).metadata == metadata


def test_requests(storage: Storage, proxy: FaultProxy) -> None:
    """The budget, with what the core adds."""

    def count(call: Callable[[], object]) -> int:
        proxy.clear()
        call()
        return proxy.count()

    assert count(lambda: storage.upload("x", b"1")) == 1
    assert count(lambda: storage.exists("x")) == 1
    assert count(lambda: storage.exists("nothing")) == 1
    assert count(lambda: storage.content("x")) == 1
    assert count(lambda: storage.copy("y", "x")) == 2
    assert count(lambda: storage.move("z", "y")) == 3
    assert count(lambda: storage.remove("z")) == 1
    assert count(lambda: storage.upload("parts", CONTENT, overwrite=True)) == 3 + 1
    assert count(lambda: storage.upload("new parts", chunks(CONTENT), overwrite=False)) == 3 + 1 + 1
    assert count(lambda: list(storage.scan())) == 1
    assert count(lambda: storage.signed("download", 60, "x")) == 0
    assert count(storage.check) == 1
