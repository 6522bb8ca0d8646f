"""The link applications: what a signature allows, and nothing else."""

from __future__ import annotations

import hashlib
import http.client
import time
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import file_keeper as fk
import pytest
from emulators import nginx
from file_keeper_web import links
from web.conftest import KEY
from web.servers import broken_off, eventually, request

PNG = b"\x89PNG\r\n\x1a\n" + bytes(4000)


def leftovers(storage: fk.Storage) -> list[str]:
    backend = storage.backend
    return [*storage.scan(), *(str(upload.ref) for upload in backend.multipart_list(""))]


def changed(link: str, **changes: str | None) -> str:
    """A link with other parameters than those that were signed."""
    parts = urlsplit(link)
    query = dict(parse_qsl(parts.query)) | {f"fk-{name}": value for name, value in changes.items()}
    return f"{parts.path}?{urlencode({name: value for name, value in query.items() if value is not None})}"


NAMES = [
    "a b.txt",
    "100%25 #?&+.txt",
    "日本/ファイル ☺.txt",
    "e\u0301 é.txt",
    "a~b'(c)!*;:@=,.txt",
    '"quoted".txt',
    "back\\slash.txt",
    ".env",
    "A/a/A.TXT",
    "[x]{y}|^`.txt",
    "a?fk-expires=1",
]


class TestDownloads:
    def test_a_temporary_link_gives_the_file(self, storage, serve):
        file = storage.upload("a/b.png", PNG)
        link = storage.temporary_link(file, "1m")
        answer = request(serve(storage) + link)
        assert (answer.status, answer.body) == (200, PNG)
        assert answer.header("Content-Type") == "image/png"
        assert answer.header("Content-Length") == str(len(PNG))
        assert answer.header("Content-Disposition") == 'inline; filename="b.png"'
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert answer.header("Cache-Control") == "private, no-cache"
        assert answer.header("ETag").strip('"')
        assert answer.header("Last-Modified").endswith("GMT")

    def test_head(self, storage, serve):
        storage.upload("a.png", PNG)
        answer = request(serve(storage) + storage.temporary_link("a.png", 60), "HEAD")
        assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", str(len(PNG)))

    @pytest.mark.parametrize("name", NAMES)
    def test_every_name(self, storage, serve, name):
        storage.upload(name, b"content of " + name.encode())
        answer = request(serve(storage) + storage.temporary_link(name, 60))
        assert (answer.status, answer.body) == (200, b"content of " + name.encode())

    def test_a_missing_file(self, storage, serve):
        assert request(serve(storage) + storage.temporary_link("none", 60)).status == 404

    def test_a_disposition_and_type_are_signed(self, storage, serve):
        storage.upload("a.bin", PNG)
        link = storage.signed(
            "download", 60, "a.bin", disposition='attachment; filename="é.png"', content_type="image/png"
        )
        answer = request(serve(storage) + link)
        assert answer.header("Content-Disposition").endswith("filename*=UTF-8''%C3%A9.png")
        assert answer.header("Content-Type") == "image/png"

    @pytest.mark.parametrize(
        ("name", "content", "content_type"),
        [
            ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", ""),
            ("a.html", b"<html><script>alert(1)</script>", ""),
            ("a.xml", b"<?xml version='1.0'?><x/>", ""),
            ("a.pdf", b"%PDF-1.7 script", ""),
            ("a.js", b"alert(1)", ""),
            ("a.png", b"<html><script>alert(1)</script>", "image/png"),
            ("a.txt", b"<!doctype html><script>alert(1)</script>", "text/plain"),
            ("a.svgz", b"\x1f\x8b\x08\0\0\0\0\0\0\0", "image/svg+xml"),
            ("unknown", bytes(range(256)), ""),
        ],
    )
    @pytest.mark.parametrize("asked", ["", "inline"])
    def test_what_can_run_script_is_never_inline(self, storage, serve, name, content, content_type, asked):
        storage.upload(name, content, content_type=content_type)
        address = serve(storage)
        for headers in ({}, {"Range": "bytes=3-"}):
            answer = request(address + storage.signed("download", 60, name, disposition=asked), headers=headers)
            assert answer.status == (206 if headers else 200)
            assert answer.header("Content-Disposition").startswith("attachment")
            assert answer.header("X-Content-Type-Options") == "nosniff"
            assert answer.header("Content-Security-Policy") == "sandbox; default-src 'none'"
            if content_type in ("image/png", "text/plain"):
                assert answer.header("Content-Type") == "application/octet-stream"

    def test_a_type_that_is_asked_for_makes_nothing_run(self, storage, serve):
        storage.upload("a.txt", b"words")
        answer = request(serve(storage) + storage.signed("download", 60, "a.txt", content_type="text/html"))
        assert answer.header("Content-Disposition").startswith("attachment")

    def test_no_name_makes_a_header(self, storage, serve):
        storage.upload('x"; filename=evil.exe; a="', PNG)
        answer = request(serve(storage) + storage.temporary_link('x"; filename=evil.exe; a="', 60))
        assert answer.header("Content-Disposition").count("filename=") == 2
        assert '"; ' not in answer.header("Content-Disposition").replace('"; filename*=', "")

    def test_an_encoding_that_was_stored_is_told(self, storage, serve):
        storage.upload("a.txt", b"\x1f\x8b...", headers={"Content-Encoding": "gzip", "Content-Language": "de"})
        answer = request(serve(storage) + storage.temporary_link("a.txt", 60))
        assert (answer.header("Content-Encoding"), answer.header("Content-Language")) == ("gzip", "de")
        assert answer.body == b"\x1f\x8b..."


class TestRanges:
    CONTENT = bytes(range(200))

    @pytest.fixture
    def url(self, storage, serve):
        storage.upload("a.bin", self.CONTENT)
        storage.upload("empty", b"")
        return serve(storage) + storage.temporary_link("a.bin", 60)

    @pytest.mark.parametrize(
        ("asked", "start", "end"),
        [
            ("bytes=0-1", 0, 2),
            ("bytes=5-", 5, 200),
            ("bytes=-5", 195, 200),
            ("bytes=0-0", 0, 1),
            ("bytes=199-", 199, 200),
            ("bytes=0-999999999999999999", 0, 200),
            ("bytes=-500", 0, 200),
            ("BYTES=10-19", 10, 20),
        ],
    )
    def test_one_range(self, url, asked, start, end):
        answer = request(url, headers={"Range": asked})
        assert (answer.status, answer.body) == (206, self.CONTENT[start:end])
        assert answer.header("Content-Range") == f"bytes {start}-{end - 1}/200"
        assert answer.header("Content-Length") == str(end - start)

    @pytest.mark.parametrize(
        "asked",
        [
            "bytes=0-1,5-6",
            "bytes=" + ",".join(["0-"] * 1000),
            "bytes=5-2",
            "bytes=a-b",
            "bytes=",
            "bytes=-",
            "bytes=--5",
            "chars=0-1",
            "0-1",
            "bytes=0-" + "9" * 5000,
            "bytes=0-1;q=1",
        ],
    )
    def test_several_or_senseless_ranges_give_the_whole(self, url, asked):
        answer = request(url, headers={"Range": asked})
        assert (answer.status, answer.body) == (200, self.CONTENT)
        assert answer.header("Content-Length") == "200"

    @pytest.mark.parametrize("asked", ["bytes=200-", "bytes=1000-2000", "bytes=-0"])
    def test_past_the_end(self, url, asked):
        answer = request(url, headers={"Range": asked})
        assert (answer.status, answer.header("Content-Range")) == (416, "bytes */200")
        assert int(answer.header("Content-Length")) == len(answer.body)

    def test_an_empty_file(self, storage, serve):
        storage.upload("empty", b"")
        url = serve(storage) + storage.temporary_link("empty", 60)
        assert request(url, headers={"Range": "bytes=0-"}).header("Content-Range") == "bytes */0"
        for headers in ({}, {"Range": "bytes=-5"}):
            answer = request(url, headers=headers)
            assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0")

    def test_a_head_has_no_range(self, url):
        answer = request(url, "HEAD", headers={"Range": "bytes=0-1"})
        assert (answer.status, answer.header("Content-Length")) == (200, "200")

    def test_if_range(self, url):
        whole = request(url)
        etag, modified = whole.header("ETag"), whole.header("Last-Modified")
        asked = {"Range": "bytes=0-1"}
        assert request(url, headers={**asked, "If-Range": etag}).status == 206
        for other in ('"other"', f"W/{etag}", "senseless", "Sun, 06 Nov 1994 08:49:37 GMT", ""):
            assert request(url, headers={**asked, "If-Range": other}).status == 200
        time.sleep(1.1)
        assert request(url, headers={**asked, "If-Range": modified}).status == 206

    def test_a_replaced_file_is_never_mixed(self, storage, url):
        etag = request(url).header("ETag")
        storage.upload("a.bin", b"other content", overwrite=True)
        answer = request(url, headers={"Range": "bytes=0-1", "If-Range": etag})
        assert (answer.status, answer.body) == (200, b"other content")
        assert request(url, headers={"Range": "bytes=0-1", "If-Match": etag}).status == 412


class TestConditions:
    @pytest.fixture
    def url(self, storage, serve):
        storage.upload("a.txt", b"words")
        return serve(storage) + storage.temporary_link("a.txt", 60)

    def test_nothing_new(self, url):
        first = request(url)
        etag, modified = first.header("ETag"), first.header("Last-Modified")
        for headers in (
            {"If-None-Match": etag},
            {"If-None-Match": f'"x", W/{etag} , "y"'},
            {"If-None-Match": "*"},
            {"If-Modified-Since": modified},
            {"If-None-Match": etag, "If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"},
        ):
            for method in ("GET", "HEAD"):
                answer = request(url, method, headers=headers)
                assert (answer.status, answer.body, answer.header("ETag")) == (304, b"", etag)

    @pytest.mark.parametrize(
        "headers",
        [
            {"If-None-Match": '"other"'},
            {"If-None-Match": "senseless"},
            {"If-None-Match": '"other"', "If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
            {"If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"},
            {"If-Modified-Since": "yesterday"},
            {"If-Modified-Since": "Sun, 06 Nov 99999999 08:49:37 GMT"},
            {"If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 +9999999999"},
            {"If-Unmodified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
            {"If-Unmodified-Since": "-1"},
            {"If-Match": "*"},
        ],
    )
    def test_the_file_is_sent(self, url, headers):
        assert request(url, headers=headers).body == b"words"

    @pytest.mark.parametrize(
        "headers",
        [{"If-Match": '"other"'}, {"If-Unmodified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, {"If-Match": "senseless"}],
    )
    def test_another_version_was_meant(self, url, headers):
        assert request(url, headers=headers).status == 412


class TestSignatures:
    def test_nothing_else_is_allowed(self, storage, serve):
        storage.upload("a.txt", b"words")
        storage.upload("b.txt", b"other")
        address = serve(storage)
        link = storage.temporary_link("a.txt", 60)
        assert request(address + link).status == 200
        query = urlsplit(link).query
        for wrong in (
            link.replace("a.txt", "b.txt"),
            link.replace("a.txt", "a.tx"),
            changed(link, expires=str(int(time.time()) + 1000)),
            changed(link, signature="A" * 43),
            changed(link, signature="é"),
            changed(link, signature=None),
            changed(link, expires=None),
            changed(link, type="text/html"),
            changed(link, other="x"),
            f"{link}&fk-expires=99999999999",
            f"/files/a.txt?{query[:-1]}",
            "/files/a.txt",
            "/files/../files/a.txt?" + query,
            "/files/%2e%2e/a.txt?" + query,
            "/files//etc/passwd",
            "/files/%ff%fe",
            "/files/",
            "/files",
        ):
            assert request(address + quote(wrong, safe="/?=&%")).status == 404, wrong

    def test_another_method_is_refused(self, storage, serve):
        storage.upload("a.txt", b"words")
        address = serve(storage)
        download, upload = storage.temporary_link("a.txt", 60), storage.signed("upload", 60, "a.txt")
        for link, methods in (
            (download, ("PUT", "POST", "DELETE", "OPTIONS", "PATCH")),
            (upload, ("GET", "HEAD", "DELETE", "POST")),
        ):
            for method in methods:
                assert request(address + link, method, b"x" if method in ("PUT", "POST") else None).status == 404
        assert storage.content("a.txt") == b"words"

    def test_a_link_ends(self, storage, serve, monkeypatch):
        storage.upload("a.txt", b"words")
        link = storage.temporary_link("a.txt", 60)
        address = serve(storage)
        assert request(address + link).status == 200
        later = time.time() + 61
        monkeypatch.setattr("file_keeper.backend.links.time.time", lambda: later)
        assert request(address + link).status == 404

    def test_a_link_of_another_storage_is_refused(self, make, serve):
        one = make("one")
        two = fk.make_storage("two", one.settings.raw | {"type": one.settings.type})
        three = make("three", base_url="/files/three")
        one.upload("a.txt", b"words")
        three.upload("a.txt", b"three")
        address = serve(one, two, three)
        assert two.content("a.txt") == b"words"  # the same place under another name
        for storage, content in ((one, b"words"), (two, b"words"), (three, b"three")):
            assert request(address + storage.temporary_link("a.txt", 60)).body == content
        alone = serve(two)
        assert request(alone + one.temporary_link("a.txt", 60)).status == 404
        assert request(alone + two.temporary_link("a.txt", 60)).status == 200
        assert request(address + one.temporary_link("a.txt", 60).replace("/files/", "/files/three/")).status == 404

    def test_keys_are_rotated(self, make, serve):
        old = make()
        old.upload("a.txt", b"words")
        raw = old.settings.raw | {"type": old.settings.type}
        new = fk.make_storage("media", raw | {"signing_key": ["new key", KEY]})
        gone = fk.make_storage("media", raw | {"signing_key": "new key"})
        before, after = old.temporary_link("a.txt", 60), new.temporary_link("a.txt", 60)
        both, one = serve(new), serve(gone)
        assert [request(both + link).status for link in (before, after)] == [200, 200]
        assert [request(one + link).status for link in (before, after)] == [404, 200]

    def test_a_public_storage_is_read_without(self, make, serve):
        storage = make(public=True)
        storage.upload("a b.txt", b"words", headers={"Cache-Control": "public, max-age=60"})
        address = serve(storage)
        link = storage.permanent_link("a b.txt")
        answer = request(address + link)
        assert (answer.body, answer.header("Cache-Control")) == (b"words", "public, max-age=60")
        assert request(address + link, "HEAD").status == 200
        for method in ("PUT", "POST", "DELETE"):
            refused = request(address + link, method, b"x")
            assert (refused.status, refused.header("Allow")) == (405, "GET, HEAD")
        # Whatever bears a signature is judged by it alone.
        assert request(address + changed(storage.temporary_link("a b.txt", 60), signature="x")).status == 404

    @pytest.mark.parametrize(
        "name", ["../secret", "%2e%2e/secret", "a/../../secret", "/etc/passwd", ".file-keeper/x", "a\0b"]
    )
    def test_no_address_leads_out(self, make, serve, name):
        storage = make(public=True)
        answer = request(f"{serve(storage)}/files/{quote(name, safe='/%')}")
        assert answer.status == 404

    def test_behind_a_proxy_that_cuts_the_path(self, make, serve):
        storage = make(base_url="https://example.com/deep/er/files/")
        storage.upload("a/b.txt", b"words")
        link = urlsplit(storage.temporary_link("a/b.txt", 60))
        address = serve(storage)
        assert request(f"{address}/deep/er/files/a/b.txt?{link.query}").body == b"words"
        assert request(f"{address}/a/b.txt?{link.query}").body == b"words"

    def test_what_cannot_be_told_apart_is_refused(self, make):
        with pytest.raises(fk.exc.InvalidStorageConfigurationError, match="base_url"):
            links.wsgi(make(base_url=None))
        with pytest.raises(fk.exc.InvalidStorageConfigurationError, match="this name"):
            links.asgi(make(), make())
        with pytest.raises(fk.exc.InvalidStorageConfigurationError, match="public at the same"):
            links.wsgi(make("one", public=True), make("two", public=True))


@pytest.mark.full
@pytest.mark.skipif(not nginx.is_installed(), reason="nginx is not installed: apt-get install nginx-light")
def test_behind_nginx(storage, serve):
    for name in NAMES:
        storage.upload(name, b"content of " + name.encode())
    large = bytes(range(256)) * (3 << 12)
    front = nginx.started(serve(storage), "client_max_body_size 0")
    try:
        url = f"http://127.0.0.1:{front.address}"
        for name in NAMES:
            answer = request(url + storage.temporary_link(name, 60))
            assert (answer.status, answer.body) == (200, b"content of " + name.encode())
        link = storage.signed("upload", 60, "large.bin", max_size=len(large))
        assert request(url + link, link.method, large, link.headers).status in (200, 201, 204)
        answer = request(url + storage.temporary_link("large.bin", 60), headers={"Range": "bytes=1000000-1999999"})
        assert (answer.status, answer.body) == (206, large[1_000_000:2_000_000])
        link = storage.signed("upload", 60, "larger.bin", max_size=len(large) - 1)
        assert request(url + link, link.method, large, link.headers).status == 413
        assert not storage.exists("larger.bin")
    finally:
        front.stop()


class TestUploads:
    def test_a_signed_upload(self, storage, serve):
        link = storage.signed("upload", 60, "in/a.png", content_type="image/png", max_size=len(PNG))
        answer = request(serve(storage) + link, link.method, PNG, link.headers)
        assert answer.status == 200
        file = storage.analyze("in/a.png")
        assert (file.size, file.content_type) == (len(PNG), "image/png")
        assert file.hash == hashlib.md5(PNG).hexdigest()
        assert answer.header("ETag").strip('"') == file.etag

    def test_in_chunks_of_unknown_length(self, storage, serve):
        link = storage.signed("upload", 60, "a", max_size="1MiB")
        answer = request(serve(storage) + link, "PUT", iter([b"a" * 70_000] * 10), encode_chunked=True)
        assert answer.status == 200
        assert storage.size("a") == 700_000

    @pytest.mark.parametrize("chunked", [False, True])
    def test_one_byte_too_many(self, storage, serve, chunked):
        storage.upload("a", b"before")
        address = serve(storage)
        for size in (11, 3 << 20):
            body = iter([b"x"] * 11 if size == 11 else [b"x" * 65536] * 48) if chunked else b"x" * size
            link = storage.signed("upload", 60, "a", max_size=10)
            assert request(address + link, "PUT", body, encode_chunked=chunked).status == 413
        assert storage.content("a") == b"before"
        assert leftovers(storage) == ["a"]

    def test_another_type(self, storage, serve):
        address = serve(storage)
        link = storage.signed("upload", 60, "a", content_type="image/png")
        for body, headers in (
            (PNG, {}),
            (PNG, {"Content-Type": "text/html"}),
            (b"<html><script>alert(1)</script>", {"Content-Type": "image/png"}),
            (b"<html>" + b"x" * 5000, {"Content-Type": "image/png"}),
        ):
            assert request(address + link, "PUT", body, headers).status == 422
        assert leftovers(storage) == []

    def test_another_content(self, storage, serve):
        address = serve(storage)
        for algorithm in ("md5", "sha256", "crc32c"):
            good = fk.make_storage("x", {"type": "memory", "hashing_algorithm": algorithm}).upload("x", b"good")
            link = storage.signed("upload", 60, "a", hash=good.hash, algorithm=algorithm)
            assert request(address + link, "PUT", b"evil").status == 422
            assert leftovers(storage) == []
            assert request(address + link, "PUT", b"good").status == 200
            storage.remove("a")

    def test_overwriting(self, storage, serve):
        address = serve(storage)
        plain, new = storage.signed("upload", 60, "a"), storage.signed("upload", 60, "a", overwrite=False)
        assert request(address + new, "PUT", b"first", new.headers).status == 200
        assert request(address + new, "PUT", b"second", new.headers).status == 412
        assert request(address + new, "PUT", b"second").status == 412
        assert request(address + plain, "PUT", b"second", {"If-None-Match": "*"}).status == 412
        assert storage.content("a") == b"first"
        assert request(address + plain, "PUT", b"second").status == 200
        assert storage.content("a") == b"second"

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    def test_a_client_that_goes_away_leaves_nothing(self, storage, serve, framing):
        storage.upload("a", b"before")
        address = serve(storage)
        link = storage.signed("upload", 60, "a")
        if framing == "length":
            broken_off(address + link, "PUT", {"Content-Length": "10000000"}, b"x" * 3_000_000)
        else:
            chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
            broken_off(address + link, "PUT", {"Transfer-Encoding": "chunked"}, chunk * 2)
        broken_off(address + link, "PUT", {"Content-Length": "10"}, b"x")
        eventually(lambda: leftovers(storage) == ["a"])
        assert storage.content("a") == b"before"

    def test_a_length_that_is_none(self, storage, serve):
        link = storage.signed("upload", 60, "a")
        url = urlsplit(serve(storage) + link)
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=10)
        connection.putrequest("PUT", f"{url.path}?{url.query}")
        connection.putheader("Content-Length", "-5")
        connection.endheaders()
        assert connection.getresponse().status in (400, 411)
        connection.close()
        assert leftovers(storage) == []

    def test_an_empty_file(self, storage, serve):
        assert request(serve(storage) + storage.signed("upload", 60, "a"), "PUT", b"").status == 200
        assert storage.content("a") == b""

    def test_deleting(self, storage, serve):
        storage.upload("a", b"x")
        link = storage.signed("delete", 60, "a")
        address = serve(storage)
        assert request(address + link, "DELETE").status == 204
        assert not storage.exists("a")
        assert request(address + link, "DELETE").status == 204

    @pytest.mark.parametrize("declared", [False, True])
    def test_parts_sent_by_a_browser(self, storage, serve, declared):
        content = b"a" * 300_000 + b"b" * 100_000
        digest = {"hash": hashlib.sha256(content).hexdigest(), "algorithm": "sha256"} if declared else {}
        data = storage.multipart_start("big.txt", len(content), **digest)
        address = serve(storage)
        for number, body in ((1, content[300_000:]), (0, content[:300_000])):
            link = storage.multipart_signed(data, number, 60)
            answer = request(address + link, link.method, body, link.headers)
            assert (answer.status, bool(answer.header("ETag"))) == (200, True)
        assert request(address + changed(storage.multipart_signed(data, 0, 60), part="5"), "PUT", b"x").status == 404
        file = storage.multipart_complete(storage.multipart_refresh(data))
        assert storage.content(file) == content
        assert request(address + link, "PUT", b"late").status == 404
