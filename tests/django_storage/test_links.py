"""Addresses of files: public, signed, local; none asks the network, and none lets an upload run as a script."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import file_keeper as fk
import pytest
from django.core.files.base import ContentFile
from django.test.utils import override_settings
from file_keeper_django import FileKeeperStorage

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
HTML = b"<html><script>alert(1)</script></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
Settings = Callable[..., dict[str, Any]]


@pytest.fixture
def s3(fresh_settings: Settings) -> Callable[..., FileKeeperStorage]:
    return lambda **more: FileKeeperStorage(**fresh_settings("s3"), **more)


def get(url: str) -> Any:
    return urllib.request.urlopen(url, timeout=30)


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_a_signed_link_works_and_ends(s3: Callable[..., FileKeeperStorage]):
    storage = s3(link_duration="10m")
    storage.save("a b/ü.png", ContentFile(PNG))
    url = storage.url("a b/ü.png")
    assert query(url)["X-Amz-Expires"] == "600"
    assert query(storage.url("x.png", expire=60))["X-Amz-Expires"] == "60"
    with get(url) as answer:
        assert answer.read() == PNG
        assert answer.headers["Content-Type"] == "image/png"
        assert "Content-Disposition" not in answer.headers


def test_public_links_when_asked_for(s3: Callable[..., FileKeeperStorage]):
    storage = s3(url="public")
    url = storage.url("css/a b.css")
    assert urlsplit(url).query == ""
    assert url.endswith("/css/a%20b.css")
    assert storage.url("css/") == url.removesuffix("a%20b.css")
    assert storage.url("") == url.removesuffix("css/a%20b.css")
    assert storage.url(None) == storage.url("")
    # What is asked for explicitly is signed: an upload is never public.
    assert "X-Amz-Signature" in storage.url("x", http_method="PUT")


@pytest.mark.parametrize("prefix", ["", "media/"])
def test_public_links_of_a_local_storage(tmp_path: Any, prefix: str):
    storage = FileKeeperStorage(type="fs", path=str(tmp_path), base_url=f"https://files.example/{prefix}")
    assert storage.url("a/ü b.txt") == f"https://files.example/{prefix}a/%C3%BC%20b.txt"


def test_without_links_of_its_own_it_is_media_url(tmp_path: Any):
    storage = FileKeeperStorage(type="fs", path=str(tmp_path))
    with override_settings(MEDIA_URL="/media/"):
        assert storage.url("a/ü b?.txt") == "/media/a/%C3%BC%20b%3F.txt"
        assert storage.url("//evil.example/x.txt".lstrip("/")) == "/media/evil.example/x.txt"
    with override_settings(MEDIA_URL=""), pytest.raises(ValueError, match="set its option 'base_url'"):
        storage.url("a.txt")
    signed = FileKeeperStorage(type="fs", path=str(tmp_path), url="signed")
    with override_settings(MEDIA_URL="/media/"), pytest.raises(ValueError, match="'signing_key'"):
        signed.url("a.txt")


def test_the_arguments_of_django_storages(s3: Callable[..., FileKeeperStorage]):
    storage = s3()
    storage.save("a.png", ContentFile(PNG))
    parameters = {"ResponseContentDisposition": 'attachment; filename="q.png"', "ResponseContentType": "image/webp"}
    with get(storage.url("a.png", parameters, 60, "GET")) as answer:
        assert answer.headers["Content-Disposition"] == 'attachment; filename="q.png"'
        assert answer.headers["Content-Type"] == "image/webp"
    put = storage.url("put.txt", http_method="PUT")
    request = urllib.request.Request(put, b"new", {"Content-Type": "text/plain"}, method="PUT")
    with urllib.request.urlopen(request, timeout=30):
        assert storage.open("put.txt").read() == b"new"
    request = urllib.request.Request(storage.url("put.txt", http_method="DELETE"), method="DELETE")
    with urllib.request.urlopen(request, timeout=30):
        assert not storage.exists("put.txt")
    with pytest.raises(ValueError, match="'Range' is not one of"):
        storage.url("a.png", {"Range": "bytes=0-1"})
    with pytest.raises(ValueError, match="http_method"):
        storage.url("a.png", http_method="POST")


# -- scripts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.html", HTML),
        ("picture.svg", SVG),
        ("picture.svgz", b"\x1f\x8b" + SVG),
        ("picture.png", HTML),
        ("picture.jpg", SVG),
        ("data.xml", b'<?xml version="1.0"?><x:script xmlns:x="http://www.w3.org/1999/xhtml">alert(1)</x:script>'),
        ("code.js", b"alert(1)"),
        ("paper.pdf", b"%PDF-1.7 << /JS (app.alert(1)) >>"),
        ("none", HTML),
        ("PAGE.HTML", HTML),
    ],
)
def test_what_can_run_script_is_an_attachment(s3: Callable[..., FileKeeperStorage], name: str, content: bytes):
    storage = s3()
    storage.save(name, ContentFile(content))
    with get(storage.url(name)) as answer:
        assert answer.headers["Content-Disposition"].startswith("attachment")
    # By a public link too: it is stored with the file.
    assert storage.storage.analyze(name).headers == {"Content-Disposition": "attachment"}


def test_what_others_stored_does_not_run_under_a_harmless_name(s3: Callable[..., FileKeeperStorage]):
    storage = s3()
    storage.storage.upload("picture.png", fk.make_upload(HTML), content_type="text/html")
    with get(storage.url("picture.png")) as answer:
        assert answer.headers["Content-Type"] == "image/png"


def test_more_types_may_open_when_it_is_said(s3: Callable[..., FileKeeperStorage]):
    storage = s3(inline=["application/pdf"])
    storage.save("paper.pdf", ContentFile(b"%PDF-1.7"))
    storage.save("page.html", ContentFile(HTML))
    with get(storage.url("paper.pdf")) as answer:
        assert "Content-Disposition" not in answer.headers
    with get(storage.url("page.html")) as answer:
        assert answer.headers["Content-Disposition"].startswith("attachment")
    everything = s3(inline="all")
    everything.save("page.html", ContentFile(HTML))
    with get(everything.url("page.html")) as answer:
        assert answer.headers["Content-Type"] == "text/html"
        assert "Content-Disposition" not in answer.headers


def test_a_disposition_of_the_dictionary_stands(s3: Callable[..., FileKeeperStorage]):
    storage = s3(headers={"Content-Disposition": "inline"})
    storage.save("page.html", ContentFile(HTML))
    assert storage.storage.analyze("page.html").headers == {"Content-Disposition": "inline"}
    with get(storage.url("page.html")) as answer:
        assert answer.headers["Content-Disposition"].startswith("attachment")


def test_a_local_storage_without_attributes_stores_all_the_same(tmp_path: Any):
    storage = FileKeeperStorage(type="fs", path=str(tmp_path), attributes="none")
    assert storage.save("page.html", ContentFile(HTML)) == "page.html"


def test_links_ask_for_nothing(s3: Callable[..., FileKeeperStorage], fault_proxy: Any, moto_server: Any):
    proxy = fault_proxy(moto_server)
    options = {**s3().options, "endpoint": proxy.url, "initialize": False}
    for kind in ("auto", "signed", "public"):
        storage = FileKeeperStorage(**options, url=kind)
        assert storage.url("never/seen.png")
    assert not proxy.requests
