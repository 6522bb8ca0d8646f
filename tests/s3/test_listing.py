"""Listings on services of both versions, with the keys that are found in buckets."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from emulators.s3 import S3Server
from faults.answers import s3_error
from faults.proxy import FaultProxy
from faults.strict_s3 import StrictS3
from file_keeper import Storage, exc
from file_keeper.backend import MultipartRef, ObjectInfo, WriteOptions, entries_of
from file_keeper.settings import parse
from file_keeper_s3 import S3Backend
from file_keeper_s3 import listing as module
from file_keeper_s3.endpoint import Endpoint
from file_keeper_s3.facts import Facts
from file_keeper_s3.reply import Reply
from file_keeper_s3.settings import S3Settings
from s3.conftest import MiB

OnServer = Callable[..., Storage]
Make = Callable[..., S3Backend]
NAMES = ["a b", "a+b", "a%41", "a/b", "a/c/d", "a0", "dir/1", "dir/2", "dir-x", "z", "ä", "文", "😀"]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "PAGE", 3)
    return 3


@pytest.mark.parametrize("list_v2", ["yes", "refused", "ignored"])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_pages_of_both_versions_give_everything_once_and_in_order(
    list_v2: str, delimiter: str, small_pages: int, strict: Callable[..., StrictS3], make_backend: Make
) -> None:
    front = strict(list_v2=list_v2)
    backend = make_backend(front.server())
    for name in NAMES:
        backend.put(f"area/{name}", b"1", WriteOptions())
    expected = {"area/" + (name.partition("/")[0] + "/" if delimiter and "/" in name else name) for name in NAMES}
    every = sorted(expected, key=str.encode)
    assert [item.key for item in entries_of(backend.list("area/", delimiter=delimiter))] == every
    for number, after in enumerate(every, 1):
        found = [item.key for item in entries_of(backend.list("area/", start_after=after, delimiter=delimiter))]
        assert [key for key in found if key > after] == every[number:]
    # From within what is rolled up, and from a name that is not there.
    for after in ("area/a/b", "area/a/bb", "area/dir/9", "area/aa"):
        found = [item.key for item in entries_of(backend.list("area/", start_after=after, delimiter=delimiter))]
        assert [key for key in found if key > after] == [key for key in every if key > after]
    assert [item.key for item in entries_of(backend.list("area/dir", delimiter=delimiter))] == [
        key for key in every if key.startswith("area/dir")
    ]


@pytest.mark.parametrize("list_v2", ["refused", "ignored"])
def test_version_1_is_remembered(
    list_v2: str, small_pages: int, strict: Callable[..., StrictS3], make_backend: Make
) -> None:
    front = strict(list_v2=list_v2)
    backend = make_backend(front.server())
    for number in range(7):
        backend.put(f"area/{number}", b"1", WriteOptions())
    list(entries_of(backend.list("area/")))
    front.clear()
    assert len(list(entries_of(backend.list("area/")))) == 7
    assert [request.parameters.get("list-type") for request in front.requests] == [None] * 3


def test_a_page_at_a_time(small_pages: int, moto_server: S3Server, fault_proxy: Any, make_backend: Make) -> None:
    proxy = fault_proxy(moto_server)
    backend = make_backend(dataclasses.replace(moto_server, url=proxy.url))
    for number in range(10):
        backend.put(f"area/{number}", b"1", WriteOptions())
    proxy.clear()
    listing = iter(entries_of(backend.list("area/")))
    assert not proxy.requests
    first = next(listing)
    assert isinstance(first, ObjectInfo)
    assert (first.key, first.size, bool(first.etag), bool(first.modified)) == ("area/0", 1, True, True)
    assert len(proxy.requests) == 1
    assert len(list(listing)) == 9
    assert len(proxy.requests) == 4


def test_a_failing_page_is_repeated_from_where_it_was(
    small_pages: int, moto_server: S3Server, fault_proxy: Any, storage_on: OnServer
) -> None:
    proxy: FaultProxy = fault_proxy(moto_server)
    storage = storage_on(dataclasses.replace(moto_server, url=proxy.url))
    for number in range(8):
        storage.upload(str(number), b"1")
    proxy.clear()
    proxy.on("GET", nth=2).reset()
    proxy.on("GET", nth=4).answer(*s3_error(503, "SlowDown"))
    assert list(storage.scan()) == [str(number) for number in range(8)]


def test_keys_with_control_characters_are_read(strict: Callable[..., StrictS3], make_backend: Make) -> None:
    # They exist in buckets of others; XML 1.0 cannot hold them, so names are asked for percent-encoded.
    front = strict()
    backend = make_backend(front.server())
    names = ["area/a\x01b", "area/a\tb", "area/plus+ %2B"]
    for name in names:
        backend.put(name, b"1", WriteOptions())
    assert [item.key for item in entries_of(backend.list("area/"))] == sorted(names)
    client = front.server().client()
    with contextlib.closing(client):
        client.create_multipart_upload(Bucket=backend.bucket, Key="area/open +%2B ü")
    assert [upload.ref.key for upload in backend.multipart_list("area/")] == ["area/open +%2B ü"]


def test_a_directory_bucket_is_not_taken_for_ordered(make_backend: Make, moto_server: S3Server) -> None:
    backend = make_backend(moto_server, bucket="media--use1-az4--x-s3")
    assert backend.limits.order == "none"
    answer = {
        "Rows": [(key, "", '"e"', "1") for key in ("p/c", "p/a", "p/b")],
        "Names": ["p/z/"],
        "IsTruncated": "false",
    }
    asked: list[dict[str, Any]] = []

    def call(operation: str, **params: Any) -> Any:
        asked.append(params)
        return answer

    assert backend.endpoint
    backend._requests = call  # type: ignore[assignment]
    (page,) = backend.list("p/", start_after="p/a", delimiter="/")
    assert (page.keys, page.prefixes) == (["p/c", "p/a", "p/b"], ["p/z/"])
    assert "StartAfter" not in asked[0]


def test_a_thousand_and_one_are_removed(strict: Callable[..., StrictS3], make_backend: Make) -> None:
    front = strict()
    backend = make_backend(front.server())
    kept = backend.put("area/kept", b"1", WriteOptions())
    names = [f"area/<&'\" {number}" for number in range(1001)]
    for name in (names[0], names[-1]):
        backend.put(name, b"1", WriteOptions())
    assert list(backend.delete_many(names)) == []
    assert front.count("POST", query="delete") == 2
    assert [item.key for item in entries_of(backend.list(""))] == [kept.key]


def test_what_a_batch_could_not_delete_is_told(moto_server: S3Server, fault_proxy: Any, storage_on: OnServer) -> None:
    proxy = fault_proxy(moto_server)
    storage = storage_on(dataclasses.replace(moto_server, url=proxy.url))
    body = (
        "<DeleteResult><Error><Key>area/a</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
        "<Error><Key>area/b</Key><Code>NoSuchKey</Code></Error>"
        "<Error><Key>area/c</Key><Code>InternalError</Code></Error><Error><Code>SlowDown</Code></Error></DeleteResult>"
    )
    proxy.on("POST", query="delete", times=None).answer(200, body, {"Content-Type": "application/xml"})
    found = {error.location: type(error) for error in storage.remove_many(["a", "b", "c", "d"])}
    assert found == {"a": exc.PermissionError, "c": exc.ConnectionError, "": exc.ThrottledError}


def test_a_listing_that_does_not_say_where_it_goes_on_is_an_error() -> None:
    def call(operation: str, **params: Any) -> Reply:
        return Reply(200, {}, {"IsTruncated": "true", "Rows": [], "Names": []})

    for listing in (module.listed(call, _endpoint(), "area/", "", ""), module.upload_pages(call, "area/")):
        with pytest.raises(exc.ConnectionError, match="names no page to go on with"):
            list(listing)
    with pytest.raises(exc.ConnectionError, match="names no page to go on with"):
        list(module.parts(call, MultipartRef("x", "1")))


@pytest.mark.parametrize("version", [1, 2])
def test_a_listing_that_gives_the_same_page_again_is_an_error(version: int) -> None:
    asked: list[str] = []

    def call(operation: str, **params: Any) -> dict[str, Any]:
        asked.append(operation)
        page = {"Rows": [("area/a", "", '"e"', "1")], "Names": [], "IsTruncated": "true"}
        return page | ({"NextContinuationToken": "same"} if version == 2 else {"NextMarker": "area/a"})

    endpoint = _endpoint()
    endpoint.facts.known["list_v2"] = version == 2
    with pytest.raises(exc.ConnectionError, match="was read already"):
        list(module.listed(call, endpoint, "area/", "", ""))
    assert len(asked) <= 3


def test_cleanup_looks_at_the_newest_part(moto_server: S3Server, storage_on: OnServer) -> None:
    # moto says of each upload that it began in 2010; of each part when it came.
    storage = storage_on(moto_server, part_size="5MiB")
    old = storage.multipart_start("old", 10)
    young = storage.multipart_start("young", 6 * MiB)
    young = storage.multipart_update(young, bytes(5 * MiB), 0)
    other = storage_on(moto_server, bucket=storage.settings.bucket, path="area-2")
    others = other.multipart_start("x", 10)
    assert storage.cleanup_uploads(3600) == 1
    with pytest.raises(exc.MissingFileError):
        storage.multipart_refresh(old)
    assert storage.multipart_refresh(young).storage_data["uploaded"] == 5 * MiB
    assert other.multipart_refresh(others)
    assert storage.cleanup_uploads(0) == 1


def _endpoint() -> Endpoint:
    made = parse(S3Settings, "s", {"bucket": "b"}, "file_keeper:s3")
    return Endpoint(made, "http://s3.example", Facts(), lambda *_: None)
