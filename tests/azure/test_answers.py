"""Who may say that something was done: answers of portals, proxies and consoles are nobody's success."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from faults.hooked import Forward, HookedProxy
from faults.http1 import Body, Headers, Request, Response
from file_keeper import Storage, exc
from file_keeper.backend import MultipartRef, ObjectInfo, Part, SignOptions, WriteOptions
from file_keeper_azure import AzureBackend, blocks

from .azure_calls import as_ours

Make = Callable[..., AzureBackend]
OnStorage = Callable[..., Storage]

PORTAL = "<!DOCTYPE html><html><head><title>Welcome</title></head><body><p>Log in<br></body></html>"
XHTML = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><p>Log in</p></body></html>'
HTML = (("Content-Type", "text/html; charset=utf-8"), ("Server", "portal/1.0"))
ETAG = ("ETag", '"0x1"')
# What Azure's other services answer with too: its login pages, gateways and queues.
IDS = (("x-ms-request-id", "0"), ("x-ms-version", "2026-01-01"))
STRANGERS: dict[str, tuple[int, str, tuple[tuple[str, str], ...]]] = {
    "a portal": (200, PORTAL, HTML),
    "a portal in XML": (200, XHTML, (*HTML, ETAG)),
    "a console": (200, '{"status": "ok"}', (("Content-Type", "application/json"), ETAG)),
    "nothing": (200, "", ()),
    "no content": (204, "", ()),
    "accepted": (202, "", ()),
    "created": (201, "", (ETAG,)),
    "another service of Azure": (200, "", IDS),
    "a login page of Azure": (200, XHTML, (*HTML, *IDS)),
}
INFO = ObjectInfo(key="x", size=1, etag="0x1", content_type="application/octet-stream")
UPLOAD = MultipartRef("x", blocks.new_id())
PART = [Part(number=0, size=1, etag=blocks.block_id(UPLOAD.id, 0))]
OPTIONS = WriteOptions()
VERBS: dict[str, Callable[[AzureBackend], Any]] = {
    "head": lambda b: b.head("x"),
    "read": lambda b: b.read("x"),
    "range": lambda b: b.read("x", 1, 2),
    "list": lambda b: list(b.list("")),
    "list behind": lambda b: list(b.list("", start_after="a", delimiter="/")),
    "put": lambda b: b.put("x", b"1", OPTIONS),
    "create": lambda b: b.put("x", b"1", WriteOptions(if_absent=True)),
    "delete": lambda b: b.delete("x"),
    "delete a version": lambda b: b.delete("x", etag="0x1"),
    "multipart_put": lambda b: b.multipart_put(UPLOAD, 0, b"1"),
    "multipart_parts": lambda b: list(b.multipart_parts(UPLOAD)),
    "multipart_complete": lambda b: b.multipart_complete(UPLOAD, PART, OPTIONS),
    "multipart_complete of none": lambda b: b.multipart_complete(UPLOAD, [], OPTIONS),
    "multipart_list": lambda b: list(b.multipart_list("")),
    "copy": lambda b: b.copy(INFO, "y", WriteOptions(content_type=INFO.content_type)),
    "compose": lambda b: b.compose([INFO] * 2, "y", OPTIONS),
    "compose of nothing": lambda b: b.compose([dataclasses.replace(INFO, size=0)] * 2, "y", OPTIONS),
    "append": lambda b: b.append(INFO, b"1", OPTIONS),
    "store_digests md5": lambda b: b.store_digests(INFO, {"md5": "0" * 32}),
    "store_digests sha256": lambda b: b.store_digests(INFO, {"sha256": "0" * 64}),
    "prepare": lambda b: b.prepare(),
    "check": lambda b: b.check(),
    "delete_many": lambda b: list(b.delete_many(["x", "y"])),
}


@pytest.mark.full
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("stranger", STRANGERS)
def test_no_verb_takes_a_strangers_answer_for_a_success(
    stranger: str, verb: str, hooked: HookedProxy, behind: Make
) -> None:
    backend = behind()
    hooked.answer(*STRANGERS[stranger])
    with pytest.raises(exc.ConnectionError, match="did not answer") as caught, as_ours(backend):
        VERBS[verb](backend)
    assert type(caught.value) is exc.ConnectionError
    assert not caught.value.retryable
    assert "'account_url'" in str(caught.value)
    if stranger == "a portal":
        assert "portal/1.0" in str(caught.value)
        assert "text/html" in str(caught.value)


@pytest.mark.full
@pytest.mark.parametrize("stranger", STRANGERS)
def test_no_operation_takes_a_strangers_answer_for_a_success(
    stranger: str, hooked: HookedProxy, storage_behind: OnStorage
) -> None:
    storage = storage_behind()
    storage.upload("a", b"1")
    hooked.answer(*STRANGERS[stranger])
    calls: list[Callable[[], object]] = [
        lambda: storage.upload("a", b"2", overwrite=True),
        lambda: storage.upload("b", bytes(600 << 10)),
        lambda: storage.remove("a"),
        lambda: storage.exists("a"),
        lambda: storage.check(),
        lambda: list(storage.scan()),
        lambda: storage.copy("b", "a"),
        lambda: storage.content("a"),
        lambda: storage.move("b", "a"),
        lambda: storage.cleanup_uploads(0),
    ]
    for call in calls:
        with pytest.raises(exc.ConnectionError, match="did not answer"):
            call()
    assert [type(error) for error in storage.remove_many(["a", "b"])] == [exc.ConnectionError] * 2
    hooked.unhook()
    assert storage.content("a") == b"1"
    assert list(storage.scan()) == ["a"]


@pytest.mark.parametrize("status", [400, 404, 409, 412, 416])
@pytest.mark.parametrize("code", ["", "NoSuchKey"])
def test_a_strangers_refusal_tells_nothing_of_a_file(
    status: int, code: str, hooked: HookedProxy, storage_behind: OnStorage
) -> None:
    storage = storage_behind()
    storage.upload("a", b"1")
    body = f"<Error><Code>{code}</Code></Error>" if code else PORTAL
    hooked.answer(status, body, HTML)
    for call in (
        lambda: storage.exists("a"),
        lambda: storage.remove("a"),
        lambda: storage.content("a"),
        lambda: storage.range("a", 5, 6),
        lambda: storage.upload("a", b"2"),
        lambda: storage.copy("b", "a"),
        lambda: list(storage.scan()),
        storage.check,
    ):
        with pytest.raises(exc.ConnectionError, match="did not answer"):
            call()
    hooked.unhook()
    assert storage.content("a") == b"1"


def test_the_service_says_no_and_is_believed(hooked: HookedProxy, storage_behind: OnStorage) -> None:
    storage = storage_behind()
    assert not storage.exists("none")
    assert not storage.remove("none")
    assert list(storage.scan()) == []
    assert storage.remove_many(["none", "neither"]) == []
    storage.check()


@pytest.mark.parametrize("dropped", ["x-ms-request-id", "x-ms-version", "ETag"])
def test_an_answer_that_lacks_what_the_service_always_sends(
    dropped: str, hooked: HookedProxy, storage_behind: OnStorage
) -> None:
    storage = storage_behind()
    storage.upload("a", b"1")
    hooked.headers(lambda request, headers: headers.without(dropped))
    for call in (lambda: storage.upload("b", b"1"), lambda: storage.analyze("a"), lambda: storage.content("a")):
        with pytest.raises(exc.ConnectionError, match=f"lacks {dropped}"):
            call()


def test_a_head_without_a_length_is_no_empty_file(hooked: HookedProxy, storage_behind: OnStorage) -> None:
    storage = storage_behind()
    storage.upload("a", b"1")
    hooked.headers(lambda request, headers: headers.without("Content-Length"), method="HEAD")
    hooked.hook(lambda request, body, forward: dataclasses.replace(forward(request, body), length=None), method="HEAD")
    with pytest.raises(exc.ConnectionError, match="lacks Content-Length"):
        storage.size("a")


def test_a_delegation_key_of_a_stranger_signs_nothing(
    make_backend: Make, azurite_tls_server: Any, certificates: Any, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.storage.blob import BlobServiceClient

    from .test_signing import Token

    server = azurite_tls_server
    with (
        HookedProxy(server.url, upstream_ca_file=server.ca_file, certificates=certificates) as front,
        BlobServiceClient(front.url, credential=Token(), connection_verify=front.ca_file) as client,
    ):
        if transport == "sdk":
            backend = make_backend(client=client, bucket="media")
        else:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", front.ca_file)
            backend = make_backend(account_url=front.url, credential=Token(), bucket="media")
        assert backend.transport == transport
        for stranger in (*STRANGERS.values(), (302, "", (("Location", "https://login.invalid/"),))):
            front.answer(*stranger)
            with pytest.raises(exc.ConnectionError, match=r"did not answer Get User|redirects to"), as_ours(backend):
                backend.sign("download", "x", SignOptions(duration=60))
            front.unhook()
        assert backend.sign("download", "x", SignOptions(duration=60)).url


# -- batches -------------------------------------------------------------------------------------------------------


def _batch(*parts: tuple[str, str]) -> tuple[str, list[tuple[str, str]]]:
    """An answer to a batch: of each part its number and its answer."""
    text = "".join(
        f"--b\r\nContent-Type: application/http\r\n{f'Content-ID: {number}' if number else 'X: x'}\r\n\r\n{answer}\r\n"
        for number, answer in parts
    )
    return f"{text}--b--\r\n", [("Content-Type", "multipart/mixed; boundary=b"), *IDS]


REMOVED = "HTTP/1.1 202 Accepted\r\nx-ms-request-id: 1\r\nx-ms-version: 2\r\n\r\n"
LEASED = (
    "HTTP/1.1 412 The lease\r\nx-ms-error-code: LeaseIdMissing\r\nx-ms-request-id: 1\r\nx-ms-version: 2\r\n\r\n"
    "<Error><Code>LeaseIdMissing</Code></Error>"
)
GONE = "HTTP/1.1 404 Gone\r\nx-ms-error-code: BlobNotFound\r\nx-ms-request-id: 1\r\nx-ms-version: 2\r\n\r\n"


def test_the_answers_of_a_batch_are_told_by_their_numbers(hooked: HookedProxy, storage_behind: OnStorage) -> None:
    storage = storage_behind()
    hooked.answer(202, *_batch(("2", REMOVED), ("0", LEASED), ("1", GONE)), method="POST")
    errors = storage.remove_many(["a", "b", "c"])
    assert [(error.location, type(error)) for error in errors] == [("a", exc.PermissionError)]
    hooked.unhook()
    hooked.answer(202, *_batch(("", REMOVED), ("", LEASED), ("", GONE)), method="POST")
    assert [error.location for error in storage.remove_many(["a", "b", "c"])] == ["b"]


@pytest.mark.parametrize(
    "parts",
    [
        [("0", REMOVED)],
        [("0", REMOVED), ("0", REMOVED)],
        [("0", REMOVED), ("7", REMOVED)],
        [("0", REMOVED), ("1", "<html>")],
        [("0", REMOVED), ("1", "HTTP/1.1 200 OK\r\n\r\n")],
        [("0", REMOVED), ("1", "HTTP/1.1 404 Not Found\r\n\r\n")],
    ],
)
def test_what_a_batch_does_not_tell_of_is_not_removed(
    parts: list[tuple[str, str]], hooked: HookedProxy, storage_behind: OnStorage
) -> None:
    storage = storage_behind()
    hooked.answer(202, *_batch(*parts), method="POST")
    errors = storage.remove_many(["a", "b"])
    assert "b" in [error.location for error in errors]
    assert {type(error) for error in errors} == {exc.ConnectionError}


# -- what is read --------------------------------------------------------------------------------------------------


def test_what_an_answer_says_is_reported(hooked: HookedProxy, behind: Make) -> None:
    backend = behind()
    content = bytes(range(256)) * 40
    backend.put("x", content, OPTIONS)
    whole, rest = backend.read("x"), backend.read("x", 7)
    assert [(body.start, body.length, body.info.size) for body in (whole, rest)] == [
        (0, 10240, 10240),
        (7, 10233, 10240),
    ]
    past = backend.read("x", 20_000)
    assert (past.length, past.info.size, past.read()) == (0, 10240, b"")
    past.close()

    def plain(request: Request, headers: Headers) -> Headers:
        return headers.without("Content-Range", "Content-Length")

    hooked.headers(plain, method="GET")
    hooked.hook(lambda request, body, forward: dataclasses.replace(forward(request, body), length=None), method="GET")
    bare = backend.read("x", 7, 9)
    assert (bare.start, bare.length, bare.info.size, bare.read(9)) == (None, None, -1, content[7:9])


CONTENT = bytes(range(256)) * 400


def _ranges(first: int, last: int) -> Callable[[Request, Body, Forward], Response]:
    """Answer a range with another one, that is moved by so much at both ends."""

    def hook(request: Request, body: Body, forward: Forward) -> Response:
        start, _, end = request.headers.get("x-ms-range").removeprefix("bytes=").partition("-")
        moved = f"bytes={int(start) + first}-{min(int(end or len(CONTENT) - 1) + last, len(CONTENT) - 1)}"
        response = forward(request, body)
        response.read()
        left, _, right = moved.removeprefix("bytes=").partition("-")
        cut = CONTENT[int(left) : int(right) + 1]
        headers = Headers((*response.headers.without("Content-Length", "Content-Range", "Content-MD5"),
                           ("Content-Range", f"bytes {left}-{right}/{len(CONTENT)}")))  # fmt: skip
        return Response(206, headers, [cut], len(cut))

    return hook


def test_a_short_range_is_asked_on_and_a_long_one_cut(hooked: HookedProxy, storage_behind: OnStorage) -> None:
    storage = storage_behind()
    storage.upload("a", CONTENT)
    for last in (-500, 50):
        hooked.hook(_ranges(0, last), method="GET", times=1)
        assert storage.range("a", 10, 5000) == CONTENT[10:5000]
        hooked.unhook()


def test_a_shifted_range_is_refused(hooked: HookedProxy, storage_behind: OnStorage) -> None:
    storage = storage_behind()
    storage.upload("a", CONTENT)
    hooked.hook(_ranges(5, 0), method="GET")
    with pytest.raises(exc.ConnectionError, match="does not honour ranges"):
        storage.range("a", 10, 5000)


def test_a_whole_blob_where_a_range_was_asked_for(hooked: HookedProxy, storage_behind: OnStorage) -> None:
    """A cache that does not know `x-ms-range` answers with all of it, and says 200."""
    storage = storage_behind()
    storage.upload("a", CONTENT)

    def whole(request: Request, body: Body, forward: Forward) -> Response:
        response = forward(request, body)
        response.read()
        return Response(200, response.headers.without("Content-Length", "Content-Range"), [CONTENT], len(CONTENT))

    hooked.hook(whole, method="GET")
    with pytest.raises(exc.ConnectionError, match="does not honour ranges"):
        storage.range("a", 10, 5000)
    assert storage.range("a", 0, 5000) == CONTENT[:5000]


def test_an_etag_that_a_proxy_made_weak_is_the_same_version(hooked: HookedProxy, storage_behind: OnStorage) -> None:
    def weak(request: Request, headers: Headers) -> list[tuple[str, str]]:
        return [(name, f"W/{value}" if name.lower() == "etag" else value) for name, value in headers]

    storage = storage_behind()
    made = storage.upload("a", CONTENT)
    hooked.headers(weak)
    assert storage.analyze("a") == made
    assert storage.analyze("a").etag == made.etag
    with storage.open("a") as file:
        file.seek(50_000)
        assert file.read() == CONTENT[50_000:]
    assert storage.upload("a", b"2", overwrite=made).size == 1
    assert storage.content(storage.append("a", b"3")) == b"23"


@pytest.mark.parametrize("kept", ["hash", "nothing"])
def test_a_hash_that_another_tool_left_behind_is_not_believed(
    kept: str, storage_behind: OnStorage, account: dict[str, Any], azurite_server: Any
) -> None:
    """Metadata may outlive what it was of; a hash that is not of the content is told when the content is read."""
    storage = storage_behind(hashing_algorithm="sha256")
    made = storage.upload("a", b"first")
    with azurite_server.client() as client:
        blob = client.get_blob_client(account["bucket"], "area/a")
        metadata = blob.get_blob_properties().metadata if kept == "hash" else {}
        blob.upload_blob(b"other", overwrite=True, metadata=metadata)
    if kept == "hash":
        with pytest.raises(exc.CorruptedFileError):
            storage.content("a")
    else:
        assert storage.content("a") == b"other"
        assert storage.analyze("a").hash != made.hash


def test_a_hash_of_what_is_written_in_place_is_not_believed(
    storage_behind: OnStorage, account: dict[str, Any], azurite_server: Any
) -> None:
    """Append blobs of other tools keep the metadata that they were made with."""
    storage = storage_behind(hashing_algorithm="sha256")
    storage.upload("a", b"first")
    with azurite_server.client() as client:
        container = client.get_container_client(account["bucket"])
        metadata = container.get_blob_client("area/a").get_blob_properties().metadata
        blob = container.get_blob_client("area/b")
        blob.create_append_blob(metadata=metadata)
        blob.append_block(b"something else")
    assert storage.analyze("b").hash == ""
    assert {file.location: bool(file.hash) for file in storage.files()} == {"a": True, "b": False}
    assert storage.content("b") == b"something else"


# -- redirects -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["other", "itself", "http", "nowhere"])
def test_a_redirect_is_not_followed(
    status: int, target: str, hooked: HookedProxy, azurite_server: Any, fault_proxy: Any, storage_behind: OnStorage
) -> None:
    other = fault_proxy(azurite_server)
    where = {"other": other.url, "itself": hooked.url, "http": "http://elsewhere.invalid:80", "nowhere": ""}[target]
    storage = storage_behind()
    storage.upload("a", b"1")
    hooked.hook(
        lambda request, body, forward: Response.of(
            status, "", [("Location", f"{where}/area/a?sig=secret")] if where else []
        )
    )
    calls: list[Callable[[], object]] = [
        lambda: storage.content("a"),
        lambda: storage.exists("a"),
        lambda: storage.remove("a"),
        lambda: storage.upload("a", b"2", overwrite=True),
        lambda: storage.upload("a", bytes(600 << 10), overwrite=True),
        lambda: storage.copy("b", "a"),
        lambda: list(storage.scan()),
        lambda: storage.check(),
    ]
    for call in calls:
        hooked.clear()
        with pytest.raises(exc.ConnectionError, match="redirects to") as caught:
            call()
        assert "'account_url'" in str(caught.value)
        assert "secret" not in str(caught.value)
        # A write whose end is not known is looked at once; the blocks of a large one are in flight side by side.
        assert len(hooked.requests) <= 4
    errors = storage.remove_many(["a", "b"])
    assert [type(error) for error in errors] == [exc.ConnectionError] * 2
    assert not other.requests
    hooked.unhook()
    assert storage.content("a") == b"1"


def test_redirects_of_a_given_client_are_not_followed(
    hooked: HookedProxy, azurite_server: Any, fault_proxy: Any, storage_behind: OnStorage
) -> None:
    from azure.storage.blob import BlobServiceClient

    other = fault_proxy(azurite_server)
    key = {"account_name": azurite_server.account_name, "account_key": azurite_server.account_key}
    with BlobServiceClient(hooked.url, credential=key) as client:
        storage = storage_behind(client=client, transport=None, account_url=None, account_name=None, account_key=None)
        storage.upload("a", b"1")
        hooked.answer(307, "", [("Location", f"{other.url}/x")])
        with pytest.raises(exc.ConnectionError, match="redirects to"):
            storage.upload("a", b"secret", overwrite=True)
        assert storage.remove_many(["a", "b"])
    assert not other.requests
