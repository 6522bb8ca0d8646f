"""Who may say that something was done: answers of portals, proxies and consoles are nobody's success."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from emulators.s3 import S3Server
from faults.answers import s3_error
from faults.hooked_s3 import HookedS3
from faults.http1 import Body, Headers, Request, Response
from file_keeper import Storage, exc
from file_keeper.backend import MultipartRef, ObjectInfo, Part, WriteOptions
from file_keeper_s3 import S3Backend
from file_keeper_s3.reply import Refusal
from s3.conftest import MiB

OnServer = Callable[..., Storage]
Make = Callable[..., S3Backend]
PORTAL = "<!DOCTYPE html><html><head><title>Welcome</title></head><body><p>Log in<br></body></html>"
XHTML = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><p>Log in</p></body></html>'
HTML = (("Content-Type", "text/html; charset=utf-8"), ("Server", "portal/1.0"))
STRANGERS: dict[str, tuple[int, str, tuple[tuple[str, str], ...]]] = {
    "a portal": (200, PORTAL, HTML),
    "a portal in XML": (200, XHTML, HTML),
    "a console": (200, '{"status": "ok"}', (("Content-Type", "application/json"),)),
    "nothing": (200, "", ()),
    "no content": (204, "", ()),
    "another root": (200, "<Result/>", (("Content-Type", "application/xml"),)),
}
INFO = ObjectInfo(key="area/a", size=1, etag="0" * 32)
UPLOAD = MultipartRef("area/a", "u")
ONE = [Part(number=0, size=1, etag="0" * 32)]
VERBS: dict[str, Callable[[S3Backend], Any]] = {
    "head": lambda backend: backend.head("area/a"),
    "read": lambda backend: backend.read("area/a"),
    "range": lambda backend: backend.read("area/a", 1, 2),
    "list": lambda backend: list(backend.list("area/")),
    "list behind": lambda backend: list(backend.list("area/", start_after="area/a", delimiter="/")),
    "put": lambda backend: backend.put("area/a", b"1", WriteOptions()),
    "create, overwriting off": lambda backend: backend.put("area/a", b"1", WriteOptions(if_absent=True)),
    "delete": lambda backend: backend.delete("area/a"),
    "delete a version": lambda backend: backend.delete("area/a", etag="0" * 32),
    "copy": lambda backend: backend.copy(INFO, "area/b", WriteOptions()),
    "compose": lambda backend: backend.compose([ObjectInfo(key="area/a", size=6 * MiB)] * 2, "b", WriteOptions()),
    "append": lambda backend: backend.append(ObjectInfo(key="area/a", size=6 * MiB), b"1", WriteOptions()),
    "multipart_create": lambda backend: backend.multipart_create("area/a", WriteOptions()),
    "multipart_put": lambda backend: backend.multipart_put(UPLOAD, 0, b"1"),
    "multipart_parts": lambda backend: list(backend.multipart_parts(UPLOAD)),
    "multipart_complete": lambda backend: backend.multipart_complete(UPLOAD, ONE, WriteOptions()),
    "multipart_complete of none": lambda backend: backend.multipart_complete(UPLOAD, [], WriteOptions()),
    "multipart_abort": lambda backend: backend.multipart_abort(UPLOAD),
    "multipart_list": lambda backend: list(backend.multipart_list("area/")),
    "notes": lambda backend: backend.read_digests(INFO),
    "store_digests": lambda backend: backend.store_digests(INFO, {"md5": "0" * 32}),
    "prepare": lambda backend: backend.prepare(),
    "check": lambda backend: backend.check(),
    "cleanup": lambda backend: backend.cleanup("area/", 0),
}


@pytest.mark.full
@pytest.mark.parametrize("known", [False, True], ids=["first", "known"])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("stranger", STRANGERS)
def test_no_verb_takes_a_strangers_answer_for_a_success(
    stranger: str, verb: str, known: bool, hooked: HookedS3, make_backend: Make
) -> None:
    backend = make_backend(hooked.server(), conditional_writes="yes")
    if known:
        facts = backend.endpoint.facts
        facts.known.update(tagging=True, parts=True, copy=True)
        backend.check()
    hooked.answer(*STRANGERS[stranger])
    with pytest.raises(exc.ConnectionError, match="did not answer") as caught:
        VERBS[verb](backend)
    assert type(caught.value) is exc.ConnectionError
    assert "'endpoint'" in str(caught.value)
    if stranger == "a portal" and verb == "put":
        assert "portal/1.0" in str(caught.value)
        assert "text/html" in str(caught.value)


@pytest.mark.parametrize("status", [404, 412, 416])
@pytest.mark.parametrize("known", [False, True], ids=["first", "known"])
def test_a_strangers_refusal_tells_nothing_of_a_file(
    status: int, known: bool, hooked: HookedS3, storage_on: OnServer
) -> None:
    storage = storage_on(hooked.server(), conditional_writes="yes")
    if known:
        storage.upload("a", b"1")
    hooked.answer(status, PORTAL, HTML)
    for call in (
        lambda: storage.exists("a"),
        lambda: storage.remove("a"),
        lambda: storage.content("a"),
        lambda: storage.upload("a", b"2"),
        lambda: storage.range("a", 5, 6),
    ):
        # Of a 412 or 416 another error of the storage is right too, as long as nobody is told of a success.
        refusals = exc.ConnectionError if status == 404 else exc.StorageError
        with pytest.raises(refusals, match="did not answer" if status == 404 else ""):
            call()
    hooked.unhook()
    if known:
        assert storage.content("a") == b"1"


def test_a_service_without_ids_is_shown_to_speak_s3(hooked: HookedS3, storage_on: OnServer) -> None:
    def without(request: Request, body: Body, forward: Any) -> Response:
        response = forward(request, body)
        response.headers = Headers((k, v) for k, v in response.headers if "request" not in k.lower())
        return response

    hooked.hook(without)
    storage = storage_on(hooked.server())
    storage.check()
    storage.upload("a", b"1")
    assert not storage.exists("none")
    assert storage.remove("a")
    assert not storage.remove("a")
    assert len(list(hooked.matching("GET", query="max-keys=1"))) == 1


def test_the_server_says_no_and_is_believed(hooked: HookedS3, storage_on: OnServer) -> None:
    storage = storage_on(hooked.server())
    assert not storage.exists("none")
    assert not storage.remove("none")
    assert list(storage.scan()) == []


# -- what is read --------------------------------------------------------------------------------------------------

CONTENT = hashlib.shake_128(b"answers").digest(100_000)


def _ranged(change: Callable[[int, int], tuple[int, int, str]]) -> Any:
    """Answer ranges with other bytes: `change` gives first, last, and the form of Content-Range."""

    def hook(request: Request, body: Body, forward: Any) -> Response:
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range"))
        if request.method != "GET" or not found:
            return forward(request, body)
        first, last, form = change(int(found[1]), int(found[2] or len(CONTENT) - 1))
        data = CONTENT[first : last + 1]
        etag = f'"{hashlib.md5(CONTENT).hexdigest()}"'
        text = form.format(first=first, last=first + len(data) - 1, size=len(CONTENT))
        told = [("ETag", etag), ("x-amz-request-id", "1"), *([("Content-Range", text)] if text else [])]
        return Response.of(206, data, told)

    return hook


FORM = "bytes {first}-{last}/{size}"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("shorter", lambda first, last: (first, min(last, first + 999), FORM)),
        ("longer", lambda first, last: (first, last + 50, FORM)),
        ("of no known size", lambda first, last: (first, last, "bytes {first}-{last}/*")),
    ],
)
def test_an_odd_range_gives_the_right_bytes(name: str, change: Any, hooked: HookedS3, storage_on: OnServer) -> None:
    storage = storage_on(hooked.server())
    storage.upload("a", CONTENT)
    hooked.hook(_ranged(change))
    assert storage.range("a", 10, 5000) == CONTENT[10:5000]
    with storage.open("a") as file:
        file.seek(50_000)
        assert file.read() == CONTENT[50_000:]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("shifted", lambda first, last: (first + 5, last, FORM)),
        ("from the beginning", lambda first, last: (0, last - first, FORM)),
    ],
)
def test_a_shifted_range_is_refused(name: str, change: Any, hooked: HookedS3, storage_on: OnServer) -> None:
    storage = storage_on(hooked.server())
    storage.upload("a", CONTENT)
    hooked.hook(_ranged(change))
    with pytest.raises(exc.ConnectionError, match="does not honour ranges"):
        storage.range("a", 10, 5000)


def test_what_an_answer_says_is_reported(hooked: HookedS3, make_backend: Make) -> None:
    backend = make_backend(hooked.server())
    backend.put("area/a", CONTENT, WriteOptions())
    facts = [(body.start, body.length, body.info.size) for body in (backend.read("area/a"), backend.read("area/a", 7))]
    assert facts == [(0, 100_000, 100_000), (7, 99_993, 100_000)]
    past = backend.read("area/a", 200_000)
    assert (past.length, past.info.size, past.read()) == (0, 100_000, b"")
    hooked.hook(_ranged(lambda first, last: (first, last, "")))
    bare = backend.read("area/a", 7, 9)
    assert (bare.start, bare.length, bare.info.size) == (None, 2, -1)


def test_an_etag_that_a_proxy_made_weak_is_the_same_version(hooked: HookedS3, storage_on: OnServer) -> None:
    # nginx with gzip on: "W/" is put before the ETag.
    def weak(request: Request, body: Body, forward: Any) -> Response:
        response = forward(request, body)
        if response.headers.has("ETag"):
            etag = "W/" + response.headers.get("ETag")
            response.headers = Headers((*response.headers.without("ETag"), ("ETag", etag)))
        return response

    storage = storage_on(hooked.server())
    made = storage.upload("a", CONTENT)
    hooked.hook(weak, method="GET")
    assert storage.content(made) == CONTENT
    with storage.open("a") as file:
        assert file.read() == CONTENT


# -- what was stored -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, 6 * MiB])
def test_what_the_service_damages_is_told(size: int, hooked: HookedS3, storage_on: OnServer) -> None:
    content = bytes(size)
    storage = storage_on(hooked.server(), part_size="5MiB", overwrite_existing=True)
    storage.upload("ok", b"1")  # its ETags are MD5s
    storage.upload("parts", bytes(6 * MiB))
    # moto verifies no checksum; its ETag is that of what came.
    hooked.on("PUT", "/area/a$", times=None).flip_request(10)
    with pytest.raises(exc.CorruptedFileError, match="something else than was sent"):
        storage.upload("a", content)
    hooked._rules.clear()
    if size > MiB:  # nothing was published; one part that is damaged is sent again
        assert not storage.exists("a")
        hooked.on("PUT", "/area/a$").flip_request(10)
    storage.upload("a", content)
    assert storage.content("a") == content


@pytest.mark.parametrize("etags", ["opaque", "kms"])
def test_etags_that_are_no_md5_are_not_compared(etags: str, strict: Any, storage_on: OnServer) -> None:
    front = strict(etags=etags)
    storage = storage_on(front.server(), part_size="5MiB")
    for name, body in (("a", b"1"), ("b", b"2"), ("c", bytes(6 * MiB))):
        storage.upload(name, body)
        assert storage.content(name) == body
    client = front.server().client()
    with contextlib.closing(client):
        client.put_object(Bucket=storage.settings.bucket, Key="area/other", Body=b"other")
    assert storage.content("other") == b"other"


def test_the_errors_of_the_service_stay_its_own(hooked: HookedS3, make_backend: Make) -> None:
    backend = make_backend(hooked.server())
    hooked.on("HEAD", "/area/", times=None).answer(403)
    hooked.on("GET", times=None).answer(*s3_error(404, "NoSuchKey"))
    with pytest.raises(Refusal):
        backend.read("area/a")
    with pytest.raises(Refusal, match="403"):
        backend.head("area/a")


# -- redirects -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["other", "itself", "http", ""])
def test_a_redirect_is_not_followed(
    status: int, target: str, hooked: HookedS3, moto_server: S3Server, fault_proxy: Any, storage_on: OnServer
) -> None:
    other = fault_proxy(moto_server)
    where = {"other": other.url, "itself": hooked.url, "http": "http://elsewhere.invalid:80", "": ""}[target]
    storage = storage_on(hooked.server())
    storage.upload("a", b"1")
    hooked.clear()
    hooked.hook(
        lambda request, body, forward: Response.of(
            status, "", [("Location", f"{where}{request.path}?secret=1")] if where else []
        )
    )
    for call in (
        lambda: storage.content("a"),
        lambda: storage.exists("a"),
        lambda: storage.upload("a", b"2", overwrite=True),
        lambda: list(storage.scan()),
        storage.check,
    ):
        before = len(hooked.requests)
        with pytest.raises(exc.ConnectionError, match="redirects to") as caught:
            call()
        assert "'endpoint'" in str(caught.value)
        assert "secret" not in str(caught.value)
        assert len(hooked.requests) - before <= 2  # a write whose end is not known is looked at once
    assert not other.requests


def test_redirects_of_a_given_client_end(hooked: HookedS3, storage_on: OnServer) -> None:
    with contextlib.closing(hooked.server().client(retries={"total_max_attempts": 1, "mode": "standard"})) as client:
        bucket = hooked.server().new_bucket()
        storage = storage_on(hooked.server(), client=client, key="", secret="", endpoint="", region="", bucket=bucket)
        hooked.hook(lambda request, body, forward: Response.of(301, ""))
        with pytest.raises(exc.ConnectionError, match="redirects in circles"):
            storage.content("a")


# -- credentials ---------------------------------------------------------------------------------------------------


def test_credentials_of_the_environment_do_not_go_over_plain_http(
    hooked: HookedS3, make_backend: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-environment")
    far = "http://storage.invalid:9000"
    ambient = {"key": "", "secret": "", "bucket": "b"}
    with pytest.raises(exc.InvalidStorageConfigurationError, match="plain HTTP") as caught:
        make_backend(hooked.server(), endpoint=far, **ambient).head("a")
    assert "secret-of" not in str(caught.value)
    for allowed in ({**ambient, "insecure": True}, {"bucket": "b"}, {**ambient, "anonymous": True}):
        with pytest.raises(Exception, match="has no address"):
            make_backend(hooked.server(), endpoint=far, **allowed).head("a")
    near = make_backend(hooked.server(), key="", secret="")
    assert near.put("a", b"1", WriteOptions()).size == 1


PAGE = (
    ("Content-Type", "text/html"),
    ("Server", "nginx"),
    ("ETag", '"65a-1f"'),
    ("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT"),
)


@pytest.mark.parametrize("known", [False, True], ids=["first", "known"])
@pytest.mark.parametrize("kind", ["text/html", "text/plain"])
def test_a_web_servers_file_is_no_object(known: bool, kind: str, hooked: HookedS3, storage_on: OnServer) -> None:
    storage = storage_on(hooked.server(), overwrite_existing=True)
    if known:
        storage.upload("a", b"0123456789")
        assert not storage.remove("none")
    hooked.answer(200, PORTAL, [("Content-Type", kind), *PAGE[1:]])
    calls = (storage.exists, storage.analyze, storage.size, storage.content, lambda name: storage.open(name).read())
    for call in calls if known or kind == "text/html" else ():
        with pytest.raises(exc.ConnectionError):
            call("a")


@pytest.mark.parametrize("status", [400, 405, 501])
def test_a_proxys_page_decides_nothing_about_conditions(status: int, hooked: HookedS3, storage_on: OnServer) -> None:
    storage = storage_on(hooked.server())
    hooked.on("PUT", path="probe", where=lambda request: request.headers.has("If-None-Match"), times=1).answer(
        status, PORTAL, headers=dict(HTML)
    )
    with pytest.raises(exc.ConnectionError, match="'conditional_writes'"):
        storage.upload("a", b"1")
    assert storage.upload("a", b"1").size == 1
    assert storage.backend.endpoint.facts.conditions["put", False] == '"{}"'


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_look_that_fails_after_the_end_is_no_failure(status: int, hooked: HookedS3, storage_on: OnServer) -> None:
    storage = storage_on(hooked.server(), overwrite_existing=True)
    content = bytes(11 * MiB)
    storage.upload("first", b"1")
    hooked.hook(
        lambda request, body, forward: (
            Response.of(status, b"", [("x-amz-request-id", "1")])
            if request.method == "HEAD" and request.path.endswith("/big")
            else forward(request, body)
        )
    )
    assert storage.upload("big", iter([content])).size == len(content)
    assert storage.content("big") == content
