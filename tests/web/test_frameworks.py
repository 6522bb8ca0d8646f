"""`send_file` and `receive` in Flask and Starlette: the same behaviour, over HTTP, on disk, in memory and on S3."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import anyio
import anyio.from_thread
import file_keeper as fk
import flask
import pytest
from file_keeper.backend import WriteOptions
from file_keeper_testing import faulty
from file_keeper_web import asgi, direct
from file_keeper_web import flask as on_flask
from file_keeper_web import starlette as on_starlette
from file_keeper_web.receiving import Terms
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from web import django_app
from web.servers import asgi_server, broken_off, eventually, request, wsgi_server

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
GIF = b"GIF89a/*<script>alert(1)</script>*/" + bytes(50)

Given = dict[str, Any]


def flask_app(storage: fk.Storage, sending: Given, receiving: Given) -> Any:
    app = flask.Flask("tests", root_path=".")
    app.config["causes"] = causes = []

    @app.route("/files/<path:location>", methods=["GET", "POST"])
    def read(location: str) -> Any:
        return on_flask.send_file(storage, location, **sending)

    @app.post("/files")
    def create() -> Any:
        return on_flask.receive(storage, **{"location": lambda name: f"in/{name}", **receiving}).as_dict(), 201

    @app.errorhandler(fk.exc.FilesError)
    def escaped(error: Exception) -> Any:
        return f"escaped: {error!r}", 500

    @app.errorhandler(Exception)
    def failed(error: Any) -> Any:
        causes.append(error.__cause__)
        return error if hasattr(error, "get_response") else (repr(error), 500)

    return app


def starlette_app(storage: fk.Storage, sending: Given, receiving: Given) -> Any:
    async def read(request: Request) -> Any:
        return await on_starlette.send_file(request, storage, request.path_params["location"], **sending)

    async def create(request: Request) -> Any:
        options = {"location": lambda name: f"in/{name}", **receiving}
        return JSONResponse((await on_starlette.receive(request, storage, **options)).as_dict(), 201)

    routes = [Route("/files/{location:path}", read, methods=["GET", "POST"]), Route("/files", create, methods=["POST"])]
    return Starlette(routes=routes)


FRAMEWORKS = {"flask": (flask_app, wsgi_server), "starlette": (starlette_app, asgi_server)}
SENDERS = {
    **FRAMEWORKS,
    "django": (django_app.wsgi_app, wsgi_server),
    "django-asgi": (django_app.asgi_app, asgi_server),
}
Serve = Callable[..., str]


@pytest.fixture(params=["fs", *(pytest.param(name, marks=pytest.mark.full) for name in ("memory", "s3"))])
def storage(request: pytest.FixtureRequest, fresh_settings: Callable[..., Given]) -> fk.Storage:
    return fk.make_storage("media", fresh_settings(request.param))


@pytest.fixture(params=FRAMEWORKS)
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """`serve(storage, sending={}, receiving={})` gives the address of an application with two views."""
    yield from serving(request.param)


def serving(name: str) -> Iterator[Serve]:
    make, server = SENDERS[name]
    with ExitStack() as stack:

        def start(storage: fk.Storage, sending: Given | None = None, receiving: Given | None = None) -> str:
            return stack.enter_context(server(make(storage, sending or {}, receiving or {})))

        yield start


def form(*parts: tuple[str, str | None, bytes], boundary: str = "b0undary", end: bool = True) -> tuple[bytes, Given]:
    """A multipart/form-data body and its headers; a part with a file name is a file."""
    body = b""
    for field, filename, content in parts:
        name = "" if filename is None else f'; filename="{filename}"'
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"{name}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    body += f"--{boundary}--\r\n".encode() if end else b""
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def leftovers(storage: fk.Storage) -> list[str]:
    return [*storage.scan(), *(str(upload.ref) for upload in storage.backend.multipart_list(""))]


class TestSending:
    @pytest.fixture(params=SENDERS)
    def serve(self, request: pytest.FixtureRequest) -> Iterator[Serve]:
        yield from serving(request.param)

    def test_a_file(self, storage, serve):
        storage.upload("a/é.png", PNG)
        answer = request(serve(storage) + "/files/a/%C3%A9.png")
        assert (answer.status, answer.body) == (200, PNG)
        assert answer.header("Content-Type") == "image/png"
        assert answer.header("Content-Length") == str(len(PNG))
        assert answer.header("Accept-Ranges") == "bytes"
        assert answer.header("Cache-Control") == "private, no-cache"
        assert answer.header("Content-Disposition").startswith("inline; ")
        assert answer.headers.get_all("Content-Length") == [str(len(PNG))]

    @pytest.mark.parametrize(
        ("asked", "status", "start", "end"),
        [
            ("bytes=0-1", 206, 0, 2),
            ("bytes=5-", 206, 5, None),
            ("bytes=-5", 206, -5, None),
            ("bytes=0-0", 206, 0, 1),
            ("bytes=0-1,3-4", 200, 0, None),
            ("lines=1", 200, 0, None),
        ],
    )
    def test_ranges(self, storage, serve, asked, status, start, end):
        storage.upload("a.png", PNG)
        answer = request(serve(storage) + "/files/a.png", headers={"Range": asked})
        assert (answer.status, answer.body) == (status, PNG[start:end])
        assert answer.header("Content-Length") == str(len(answer.body))

    def test_conditions(self, storage, serve):
        storage.upload("a.png", PNG)
        url = serve(storage) + "/files/a.png"
        etag = request(url).header("ETag")
        answer = request(url, headers={"If-None-Match": etag})
        assert (answer.status, answer.body) == (304, b"")
        assert request(url, headers={"Range": "bytes=99999-"}).header("Content-Range") == f"bytes */{len(PNG)}"
        assert request(url, headers={"Range": "bytes=0-1", "If-Range": etag}).status == 206
        storage.upload("a.png", b"other", overwrite=True)
        answer = request(url, headers={"Range": "bytes=0-1", "If-Range": etag})
        assert (answer.status, answer.body) == (200, b"other")
        assert request(url, headers={"If-Match": etag}).status == 412

    def test_head(self, storage, serve):
        storage.upload("a.png", PNG)
        answer = request(serve(storage) + "/files/a.png", "HEAD")
        assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", str(len(PNG)))

    def test_the_answer_to_a_form(self, storage, serve):
        storage.upload("a.png", PNG)
        headers = {"Range": "bytes=0-1", "If-None-Match": "*"}
        answer = request(serve(storage) + "/files/a.png", "POST", b"", headers)
        assert (answer.status, answer.body, answer.header("Content-Length")) == (200, PNG, str(len(PNG)))

    @pytest.mark.parametrize("name", ["none", "../x", ".file-keeper/x", "a//../b", "%00"])
    def test_what_is_not_there(self, storage, serve, name):
        answer = request(f"{serve(storage)}/files/{name}")
        assert answer.status == 404
        assert b"media" not in answer.body

    def test_how_it_is_shown(self, storage, serve):
        storage.upload("a.png", PNG)
        storage.upload("a.html", b"<html><script>")
        options = {"download_name": 'r"é.png', "as_attachment": True, "cache_control": "private, max-age=60"}
        answer = request(serve(storage, options) + "/files/a.png")
        disposition = answer.header("Content-Disposition")
        assert disposition == "attachment; filename=\"r__.png\"; filename*=UTF-8''r%22%C3%A9.png"
        assert answer.header("Content-Type") == "image/png"
        assert answer.header("Cache-Control") == "private, max-age=60"
        answer = request(serve(storage) + "/files/a.html")
        assert answer.header("Content-Disposition") == 'attachment; filename="a.html"'
        assert answer.header("Content-Security-Policy") == "sandbox; default-src 'none'"

    def test_a_redirect_says_the_same(self, storage, serve):
        storage.upload("a.png", PNG)
        storage.upload("evil.png", b"<html><script>alert(1)</script>", content_type="image/png")
        address = serve(storage, {"redirect": "1m"})
        for name, kind, content in (("a.png", "inline", PNG), ("evil.png", "attachment", b"<html>")):
            answer = request(f"{address}/files/{name}")
            if not storage.supports(fk.Capability.SIGNED):
                assert answer.status == 200
                assert answer.header("Content-Disposition").startswith(kind)
                continue
            assert (answer.status, answer.header("Cache-Control")) == (302, "private, no-store")
            answer = request(answer.header("Location"))
            assert answer.body.startswith(content[:6])
            assert answer.header("Content-Disposition") == f'{kind}; filename="{name}"'
            assert answer.header("Content-Type") == ("image/png" if kind == "inline" else "application/octet-stream")

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (fk.exc.ConnectionError("secret place"), 503),
            (fk.exc.ThrottledError("secret place"), 503),
            (fk.exc.TimeoutError("secret place"), 504),
            (fk.exc.PermissionError("secret place"), 502),
            (fk.exc.StorageError("secret place"), 502),
        ],
    )
    @pytest.mark.parametrize("verb", ["head", "read"])
    def test_a_storage_that_is_down_is_never_a_missing_file(self, storage, serve, error, status, verb):
        storage.upload("a.png", PNG)
        broken, faults = faulty(storage)
        faults.on(verb, error=error, times=None)
        address = serve(broken)
        answer = request(address + "/files/a.png")
        assert answer.status == status
        assert (answer.header("Retry-After") != "") == (status == 503)
        assert b"secret" not in answer.body

    def test_a_file_that_breaks_off_is_not_whole(self, storage, serve):
        storage.upload("a.bin", os.urandom(1 << 20))
        broken, faults = faulty(storage)
        faults.on("read", cut=300_000)
        faults.on("read", nth=2, times=None, error=fk.exc.ConnectionError("gone"))
        address = serve(broken)
        with pytest.raises(Exception, match=r"IncompleteRead|closed|reset"):
            request(address + "/files/a.bin")


class TestReceiving:
    def test_a_form(self, storage, serve):
        body, headers = form(("title", None, b"words"), ("file", "é ☺.png", PNG), ("more", None, b"x" * 1000))
        answer = request(serve(storage) + "/files", "POST", body, headers)
        assert answer.status == 201
        file = json.loads(answer.body)
        assert (file["location"], file["size"], file["content_type"]) == ("in/é ☺.png", len(PNG), "image/png")
        assert storage.content("in/é ☺.png") == PNG

    def test_a_raw_body(self, storage, serve):
        address = serve(storage, receiving={"location": "raw.png"})
        assert request(address + "/files", "POST", PNG, {"Content-Type": "text/html"}).status == 201
        assert storage.analyze("raw.png").content_type == "image/png"

    def test_a_body_in_chunks(self, storage, serve):
        address = serve(storage, receiving={"location": "raw", "overwrite": True})
        chunks = iter([b"ab" * 40_000] * 100)
        assert request(address + "/files", "POST", chunks, encode_chunked=True).status == 201
        assert storage.content("raw") == b"ab" * 4_000_000
        body, headers = form(("file", "b", b"\r\n--b0undar" * 30_000))
        pieces = iter([body[at : at + 1000] for at in range(0, len(body), 1000)])
        assert request(address + "/files", "POST", pieces, headers, encode_chunked=True).status == 201
        assert storage.content("raw") == b"\r\n--b0undar" * 30_000

    @pytest.mark.parametrize(
        ("parts", "options", "status"),
        [
            ([("title", None, b"x")], {}, 400),
            ([], {}, 400),
            ([("file", "", b"")], {}, 400),
            ([("file", "", b"x")], {}, 400),
            ([("other", "a.png", PNG)], {}, 400),
            ([("file", "a.png", PNG), ("file", "b.png", PNG)], {}, 400),
            ([("file", "../../etc/passwd", PNG)], {}, 400),
            ([("file", "a.png", PNG)], {"max_size": len(PNG) - 1}, 413),
            ([("file", "a.png", b"x" * (3 << 20))], {"max_size": "1MiB"}, 413),
            ([("title", None, b"x" * (2 << 20)), ("file", "a.png", PNG)], {}, 413),
            ([(str(n), None, b"") for n in range(1001)], {}, 413),
            ([("file", "a.png", b"<html><script>")], {"types": ["image/*"]}, 415),
            ([("file", "a.png", b"<html>" + b"x" * 9000)], {"types": ["image/*"]}, 415),
            ([("file", "a.png", b"")], {"types": ["image/*"]}, 415),
            ([("file", "a.html", PNG)], {"content_type": "text/html"}, 415),
            ([("file", "a.png", PNG)], {"hash": "0" * 32}, 422),
        ],
    )
    def test_bad_forms_store_nothing(self, storage, serve, parts, options, status):
        address = serve(storage, receiving=options)
        answer = request(address + "/files", "POST", *form(*parts))
        assert answer.status == status
        assert leftovers(storage) == []

    @pytest.mark.parametrize(
        ("content_type", "body", "status"),
        [
            ("multipart/form-data", b"x", 400),
            ("multipart/form-data; boundary=" + "b" * 500, b"x", 400),
            ("multipart/form-data; boundary=b0undary", b"no form at all", 400),
            ("multipart/form-data; boundary=b0undary", form(("file", "a", PNG), end=False)[0], 400),
            ("multipart/form-data; boundary=b0undary", form(("file", "a", PNG))[0][:-10], 400),
            ("multipart/form-data; boundary=b0undary", b"", 400),
            ("application/x-www-form-urlencoded", b"file=x", 415),
        ],
    )
    def test_what_is_no_form(self, storage, serve, content_type, body, status):
        answer = request(serve(storage) + "/files", "POST", body, {"Content-Type": content_type})
        assert answer.status == status
        assert leftovers(storage) == []

    def test_a_limit_is_exact(self, storage, serve):
        address = serve(storage, receiving={"max_size": len(PNG), "types": ["image/png"]})
        assert request(address + "/files", "POST", *form(("file", "a.png", PNG))).status == 201

    def test_nothing_is_overwritten(self, storage, serve):
        storage.upload("in/a", b"before")
        address = serve(storage)
        assert request(address + "/files", "POST", *form(("file", "a", b"after"))).status == 409
        assert storage.content("in/a") == b"before"
        address = serve(storage, receiving={"overwrite": True})
        assert request(address + "/files", "POST", *form(("file", "a", b"after"))).status == 201

    @pytest.mark.parametrize("kind", ["form", "raw"])
    def test_a_client_that_goes_away_leaves_nothing(self, storage, serve, kind):
        address = serve(storage, receiving={"location": "a"})
        headers, start = {"Content-Length": "50000000"}, b""
        if kind == "form":
            start, more = form(("file", "a", b""), end=False)
            headers |= more
            start = start[:-2]
        broken_off(address + "/files", "POST", headers, start + os.urandom(12_000_000))
        time.sleep(0.5)
        eventually(lambda: leftovers(storage) == [])

    @pytest.mark.parametrize(
        ("error", "status"), [(fk.exc.ConnectionError("secret"), 503), (fk.exc.TimeoutError("secret"), 504)]
    )
    def test_a_storage_that_is_down(self, storage, serve, error, status):
        broken, faults = faulty(storage)
        for verb in ("put", "multipart_create", "multipart_put"):
            faults.on(verb, error=error, times=None)
        address = serve(broken)
        for size in (10, 20_000_000):
            answer = request(address + "/files", "POST", *form(("file", "a", b"x" * size)))
            assert answer.status == status
            assert b"secret" not in answer.body
        assert leftovers(storage) == []

    def test_two_at_once_one_wins(self, storage, serve):
        address = serve(storage)
        statuses: list[int] = []

        def post(number: int) -> None:
            statuses.append(request(address + "/files", "POST", *form(("file", "a", b"%d" % number * 9000))).status)

        threads = [threading.Thread(target=post, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [201, *[409] * 5]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("moment", ["feed", "finish"])
def test_a_request_that_is_cancelled_behind_its_last_chunk(backend, moment):
    """It is finished or aborted, never neither."""
    told: list[str] = []

    class Intake:
        def feed(self, chunk: bytes) -> None:
            self._reached("feed")

        def finish(self) -> str:
            self._reached("finish")
            return "done"

        def abort(self) -> None:
            self._reached("abort")

        def _reached(self, name: str) -> None:
            told.append(name)
            if name == moment:
                anyio.from_thread.run_sync(scopes[0].cancel)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"words"

    async def main() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await asgi.take(Intake(), chunks())

    scopes: list[anyio.CancelScope] = []
    anyio.run(main, backend=backend)
    assert told == ["feed", "abort" if moment == "feed" else "finish"]


class TestTakingOver:
    def test_what_passes_is_moved(self, storage):
        storage.upload("incoming/x", PNG)
        file = direct.take_over(storage, "incoming/x", "pictures/a.png", max_size=len(PNG), types=["image/*"])
        assert (file.location, storage.content(file)) == ("pictures/a.png", PNG)
        assert list(storage.scan()) == ["pictures/a.png"]

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"max_size": 10}, fk.exc.LargeUploadError),
            ({"types": ["video/*"]}, fk.exc.WrongUploadTypeError),
            ({"content_type": "text/plain"}, fk.exc.UploadTypeMismatchError),
            ({"hash": "0" * 32}, fk.exc.UploadHashMismatchError),
            ({"hash": "0" * 64, "algorithm": "sha256"}, fk.exc.UploadHashMismatchError),
        ],
    )
    def test_what_does_not_is_removed(self, storage, options, error):
        storage.upload("incoming/x", PNG)
        with pytest.raises(error):
            direct.take_over(storage, "incoming/x", "pictures/a.png", **options)
        assert list(storage.scan()) == []

    def test_what_never_came(self, storage):
        with pytest.raises(fk.exc.MissingFileError):
            direct.take_over(storage, f"incoming/{uuid.uuid4()}", "a")

    def test_what_is_published_is_what_was_checked(self, storage, monkeypatch):
        """The link is used again behind the look at the content."""
        storage.upload("incoming/x", PNG)
        check = Terms.check_head

        def checked(terms: Terms, head: bytes) -> None:
            check(terms, head)
            storage.upload("incoming/x", b"<html><script>alert(1)</script>", overwrite=True)

        monkeypatch.setattr(Terms, "check_head", checked)
        file = direct.take_over(storage, "incoming/x", "pictures/a.png", types=["image/*"])
        assert (storage.content(file), file.content_type) == (PNG, "image/png")
        assert list(storage.incoming.scan()) == []

    def test_what_cannot_be_published_is_put_back(self, storage):
        storage.upload("incoming/x", PNG)
        storage.upload("a.png", b"first")
        with pytest.raises(fk.exc.ExistingFileError):
            direct.take_over(storage, "incoming/x", "a.png", types=["image/*"], overwrite=False)
        assert (storage.content("incoming/x"), storage.content("a.png")) == (PNG, b"first")
        assert list(storage.incoming.scan()) == []

    @pytest.mark.parametrize("algorithm", ["md5", "sha256"])
    def test_a_recorded_hash_is_not_believed(self, algorithm):
        """A client can record any beside its content: as metadata, and on Azure as Content-MD5."""
        storage = fk.make_storage("media", {"type": "memory", "hashing_algorithm": algorithm})
        said = hashlib.new(algorithm, b"the good content").hexdigest()
        written = WriteOptions(content_type="image/png", digests={algorithm: said})
        for options in ({"hash": said, "algorithm": algorithm}, {}):
            storage.backend.put(storage.full_path("incoming/x"), memoryview(PNG), written)
            assert storage.hash("incoming/x") == said
            with pytest.raises(fk.exc.UploadHashMismatchError):
                direct.take_over(storage, "incoming/x", "a.png", types=["image/*"], **options)
        assert [*storage.scan(), *storage.incoming.scan()] == []

    @pytest.mark.parametrize(
        ("content", "stored", "terms", "result"),
        [
            (GIF, "text/html", {}, "image/gif"),
            (GIF, "text/html", {"types": ["image/*"]}, "image/gif"),
            (GIF, "image/svg+xml", {"types": ["image/*"]}, "image/gif"),
            (GIF, "application/javascript", {"types": ["image/*"]}, "image/gif"),
            (GIF, "application/octet-stream", {"types": ["image/*"]}, "image/gif"),
            (b"a,b", "text/html", {"types": ["text/plain"]}, "text/plain"),
            (b"a,b", "text/html", {"content_type": "text/csv"}, "text/csv"),
            (b"a,b", "text/csv", {"types": ["text/*"]}, "text/csv"),
            (b"a,b", "text/plain; charset=utf-8", {"types": ["text/plain"]}, "text/plain; charset=utf-8"),
            (b"PK\3\4" + bytes(50), "application/epub+zip", {}, "application/epub+zip"),
        ],
        ids=range(10),
    )
    def test_a_stored_type_that_is_not_that_of_the_content(self, storage, content, stored, terms, result):
        storage.upload("incoming/x", content, content_type=stored, metadata={"from": "é"})
        file = direct.take_over(storage, "incoming/x", "a", **terms)
        assert (file.content_type, storage.content_type("a"), storage.content("a")) == (result, result, content)
        assert (file.metadata, file.hash) == ({"from": "é"}, hashlib.md5(content).hexdigest())
        assert [*storage.scan(), *storage.incoming.scan()] == ["a"]


def test_a_form_that_was_read_before_is_told():
    storage = fk.make_storage("media", {"type": "memory"})
    app = flask.Flask("tests", root_path=".")
    with app.test_request_context("/", method="POST", data={"file": (io.BytesIO(PNG), "a.png")}):
        assert flask.request.files
        with pytest.raises(RuntimeError, match="read before"):
            on_flask.receive(storage, "a")


def test_the_cause_is_there_for_handlers():
    storage = fk.make_storage("media", {"type": "memory"})
    app = flask_app(storage, {}, {})
    assert app.test_client().get("/files/none").status_code == 404
    assert isinstance(app.config["causes"][0].__cause__ or app.config["causes"][0], fk.exc.MissingFileError)
    assert issubclass(HTTPException, Exception)
