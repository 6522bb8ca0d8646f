"""A project that names the class in STORAGES and nothing else: fields, forms, the admin, over HTTP."""

from __future__ import annotations

import io
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import file_keeper as fk
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from file_keeper_django import FileKeeperStorage
from gallery.models import Document, Picture
from PIL import Image

pytestmark = pytest.mark.usefixtures("database")


def png(width: int = 8, height: int = 6) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(target, "PNG")
    return target.getvalue()


def form(field: str, name: str, content: bytes) -> tuple[bytes, dict[str, str]]:
    """The body of a form with a file, and its headers."""
    head = f'--b0\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: a/b\r\n\r\n'
    return head.encode() + content + b"\r\n--b0--\r\n", {"Content-Type": "multipart/form-data; boundary=b0"}


def test_the_default_storage_is_ours(storage: FileKeeperStorage):
    assert default_storage.save("a.txt", ContentFile(b"x")) == "a.txt"
    assert storage.open("a.txt").read() == b"x"


def test_a_file_field(storage: FileKeeperStorage):
    one = Document.objects.create(file=SimpleUploadedFile("report.txt", b"first"))
    two = Document.objects.create(file=SimpleUploadedFile("report.txt", b"second"))
    assert one.file.name == "documents/report.txt"
    assert two.file.name != one.file.name
    again = Document.objects.get(pk=two.pk)
    assert again.file.size == 6
    with again.file.open() as file:
        assert file.read() == b"second"
    with again.file.open("rb") as file:  # closed, and opened again
        assert file.read(3) == b"sec"
    again.file.delete()
    assert not storage.exists(two.file.name)
    assert storage.exists(one.file.name)


def test_a_file_field_writes_and_replaces(storage: FileKeeperStorage):
    document = Document(file="documents/new.txt")
    with document.file.open("wb") as file:
        file.write(b"written")
    document.save()
    assert storage.open("documents/new.txt").read() == b"written"
    document.file.save("other.txt", ContentFile(b"other"))
    assert Document.objects.get().file.read() == b"other"
    empty = Document()
    with pytest.raises(fk.exc.ContentError, match="has no file"):
        storage.save("x.txt", empty.file)


def test_an_image_field_measures_and_stores_whole(storage: FileKeeperStorage):
    picture = Picture.objects.create(image=SimpleUploadedFile("p.png", png(8, 6)))
    assert (picture.width, picture.height) == (8, 6)
    again = Picture.objects.get()
    with again.image.open() as file:
        Image.open(file).verify()
    with again.image.open() as file, storage.open(again.image.name) as second:  # as thumbnail makers do
        assert Image.open(file).size == Image.open(second).size == (8, 6)
    assert again.image.width == 8
    again.image.close()


def test_the_dimensions_of_a_big_picture_fetch_little(
    use: Any, fresh_settings: Callable[..., dict[str, Any]], fault_proxy: Any, moto_server: Any
):
    options = fresh_settings("s3")
    storage = use(options)
    storage.save("big.bmp", ContentFile(b"BM" + b"\0" * 52 + bytes(20_000_000)))
    proxy = fault_proxy(moto_server)
    storage = FileKeeperStorage(**{**options, "endpoint": proxy.url, "initialize": False})
    with storage.open("big.bmp") as file:
        file.seek(10_000_000)
        assert file.read(1024) == bytes(1024)
    (request,) = proxy.matching("GET")
    first, last = map(int, request.headers.get("Range").removeprefix("bytes=").split("-"))
    assert first == 10_000_000
    assert last - first < 256 << 10


def test_an_upload_over_http(storage: FileKeeperStorage, server: Any):
    for name, wanted in (("späß 漢字.txt", "documents/späß_漢字.txt"), ("../../x.txt", "documents/x.txt")):
        body, headers = form("file", name, b"content of it")
        with urllib.request.urlopen(
            urllib.request.Request(f"{server.url}/upload", body, headers), timeout=30
        ) as answer:
            assert answer.status == 200
        assert storage.open(wanted).read() == b"content of it"
    with urllib.request.urlopen(f"{server.url}/download/documents/x.txt", timeout=30) as answer:
        assert answer.read() == b"content of it"
        assert answer.headers["Content-Length"] == "13"


@pytest.mark.parametrize("name", ["none.txt", "a/none", "documents"])
def test_a_download_of_what_is_not_there_is_404(storage: FileKeeperStorage, server: Any, name: str):
    storage.save("documents/a.txt", ContentFile(b"x"))
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{server.url}/download/{name}", timeout=30)
    assert caught.value.code == 404
    caught.value.close()


@pytest.mark.parametrize("name", ["%2e%2e/x", "a/%2e%2e/%2e%2e/x", "%2Fetc/passwd", "x%00y", ".file-keeper/x"])
def test_a_download_of_what_is_no_name_is_400(storage: FileKeeperStorage, server: Any, name: str):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{server.url}/download/{name}", timeout=30)
    assert caught.value.code == 400
    caught.value.close()


def test_uploads_at_once_over_http(storage: FileKeeperStorage, server: Any):
    errors: list[Exception] = []

    def send(number: int) -> None:
        body, headers = form("file", "same.txt", f"content {number}".encode())
        for attempt in range(20):
            try:
                urllib.request.urlopen(
                    urllib.request.Request(f"{server.url}/upload", body, headers), timeout=60
                ).close()
            except urllib.error.HTTPError as error:  # sqlite is locked by another one
                error.close()
                if attempt == 19:
                    errors.append(error)
                time.sleep(0.05)
            else:
                return

    threads = [threading.Thread(target=send, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    contents = {document.file.name: document.file.read() for document in Document.objects.all()}
    assert len(contents) == 20
    assert set(contents.values()) == {f"content {number}".encode() for number in range(20)}


@pytest.fixture
def admin() -> Client:
    from django.contrib.auth.models import User

    User.objects.all().delete()
    client = Client()
    client.force_login(User.objects.create_superuser("root", "", "x"))
    return client


def test_the_admin_adds_shows_replaces_and_clears(use: Any, options: dict[str, Any], admin: Client):
    storage = use(options, MEDIA_URL="/media/")
    answer = admin.post("/admin/gallery/picture/add/", {"image": SimpleUploadedFile("p q.png", png())})
    assert answer.status_code == 302, answer.content
    picture = Picture.objects.get()
    assert storage.exists(picture.image.name)
    page = admin.get(f"/admin/gallery/picture/{picture.pk}/change/")
    assert picture.image.url.replace("&", "&amp;") in page.content.decode()
    admin.post(f"/admin/gallery/picture/{picture.pk}/change/", {"image-clear": "on"})
    assert not Picture.objects.get().image
    answer = admin.post("/admin/gallery/picture/add/", {"image": SimpleUploadedFile("p.png", b"no picture")})
    assert b"not an image" in answer.content
    assert Picture.objects.count() == 1


def test_a_storage_that_is_down_is_an_error_of_the_library(use: Any, admin: Client):
    options = {"type": "s3", "bucket": "b", "endpoint": "http://127.0.0.1:9", "key": "k", "secret": "geheim"}
    use({**options, "region": "us-east-1", "timeout": 2})
    with pytest.raises(ConnectionError, match="storage 'default'") as caught:
        Document.objects.create(file=SimpleUploadedFile("a.txt", b"x"))
    assert "geheim" not in str(caught.value)
    assert not Document.objects.exists()
