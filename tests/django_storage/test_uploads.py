"""Files of forms that go straight into the storage: in bounded memory, without a temporary file, all or nothing."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, RequestFactory
from django.test.utils import override_settings
from file_keeper_django import FileKeeperStorage
from file_keeper_django.incoming import IncomingFile
from gallery.models import Document, Picture

pytestmark = pytest.mark.usefixtures("database", "streaming")
DJANGOS = "django.core.files.uploadhandler.MemoryFileUploadHandler"
BIG = b"0123456789abcdef" * 40_000


@pytest.fixture
def streaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The handler, for everything over 10,000 bytes; a temporary file would have no place to be."""
    handlers = ["file_keeper_django.StreamingUploadHandler"]
    nowhere = str(tmp_path / "nowhere")
    monkeypatch.setattr(tempfile, "tempdir", nowhere)
    with override_settings(
        FILE_UPLOAD_HANDLERS=handlers, FILE_UPLOAD_MAX_MEMORY_SIZE=10_000, FILE_UPLOAD_TEMP_DIR=nowhere
    ):
        yield


def leftovers(storage: FileKeeperStorage) -> list[str]:
    """What lies in the storage and no row names, open uploads included."""
    left = list(storage.storage.incoming.scan())
    rows = {*Document.objects.values_list("file", flat=True), *Picture.objects.values_list("image", flat=True)}
    left += [name for name in storage.storage.scan() if name not in rows]
    return left + ["open"] * storage.storage.cleanup_uploads(0)


def post(url: str, *parts: tuple[str, str, bytes]) -> Any:
    body = b"".join(
        f'--b0\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode() + data + b"\r\n"
        for field, name, data in parts
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b0"}
    return urllib.request.urlopen(urllib.request.Request(url, body + b"--b0--\r\n", headers), timeout=60)


def test_a_big_file_is_sent_and_moved(storage: FileKeeperStorage, server: Any):
    with post(f"{server.url}/upload", ("file", "big.bin", BIG)) as answer:
        made = json.load(answer)
    assert made == {"name": "documents/big.bin", "size": len(BIG), "kind": "IncomingFile"}
    assert storage.open("documents/big.bin").read() == BIG
    assert leftovers(storage) == []


def test_a_small_form_stays_in_memory(storage: FileKeeperStorage, server: Any):
    with post(f"{server.url}/upload", ("file", "small.txt", b"small")) as answer:
        assert json.load(answer)["kind"] == "InMemoryUploadedFile"
    assert storage.open("documents/small.txt").read() == b"small"


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 2049, 9_999, 262_144, 262_145])
def test_every_size(storage: FileKeeperStorage, size: int):
    data = BIG[:size]
    filler = SimpleUploadedFile("filler", BIG)
    answer = Client().post("/upload", {"filler": filler, "file": SimpleUploadedFile("s.bin", data)})
    # Django's form refuses a file that is empty.
    assert answer.status_code == (200 if size else 400)
    if size:
        assert storage.open("documents/s.bin").read() == data
    assert leftovers(storage) == []


def test_type_and_attachment_are_those_of_the_content(storage: FileKeeperStorage):
    page = b"<html><script>alert(1)</script></html>".ljust(20_000)
    assert Client().post("/upload", {"file": SimpleUploadedFile("p.png", page, "image/png")}).status_code == 200
    file = storage.storage.analyze("documents/p.png")
    assert file.content_type == "text/html"
    assert file.headers == {"Content-Disposition": "attachment"}


def test_files_of_one_name_at_once(storage: FileKeeperStorage):
    names: list[str] = []

    def send(number: int) -> None:
        request = RequestFactory().post("/", {"file": SimpleUploadedFile("n.bin", bytes([number]) * 20_000)})
        names.append(storage.save("n.bin", request.FILES["file"]))
        request.close()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 8
    assert {storage.open(name).read(1) for name in names} == {bytes([number]) for number in range(8)}
    assert list(storage.storage.incoming.scan()) == []


def test_a_form_that_is_refused_leaves_nothing(storage: FileKeeperStorage, server: Any):
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(f"{server.url}/checked", ("file", "a.bin", BIG), ("more", "b.bin", BIG))
    assert json.load(caught.value) == {"size": len(BIG), "head": "0123"}
    assert leftovers(storage) == []
    caught.value.close()


def test_a_client_that_goes_away_leaves_nothing(storage: FileKeeperStorage, server: Any):
    head = b'--b0\r\nContent-Disposition: form-data; name="file"; filename="cut.bin"\r\n\r\n'
    before = head.replace(b'"file"', b'"other"') + BIG + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(
            b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b0\r\n"
            b"Content-Length: 9000000\r\n\r\n" + before + head + BIG
        )
        time.sleep(0.3)
    server.stop()
    assert not Document.objects.exists()
    assert list(storage.storage.scan()) == []
    assert list(storage.storage.incoming.scan()) == []
    assert storage.storage.cleanup_uploads(0) == 0


def test_a_body_that_ends_too_soon_leaves_nothing(storage: FileKeeperStorage):
    body = b'--b0\r\nContent-Disposition: form-data; name="file"; filename="cut.bin"\r\n\r\n' + BIG
    answer = Client().generic("POST", "/upload", body, "multipart/form-data; boundary=b0")
    assert answer.status_code == 400
    assert leftovers(storage) == []


@pytest.mark.parametrize("body", [b"", b"--b0--\r\n", b"nonsense" * 3000, b"--b0\r\nContent-Disposition: x\r\n\r\n"])
def test_forms_without_a_file(storage: FileKeeperStorage, body: bytes):
    answer = Client().generic("POST", "/upload", body, "multipart/form-data; boundary=b0")
    assert answer.status_code == 400
    assert leftovers(storage) == []


def test_a_handler_that_gives_up_leaves_nothing(storage: FileKeeperStorage):
    from django.core.files.uploadhandler import SkipFile, StopUpload
    from file_keeper_django import StreamingUploadHandler

    for error in (SkipFile(), StopUpload(connection_reset=True), StopUpload(connection_reset=False)):

        class Counting(StreamingUploadHandler):
            def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
                super().receive_data_chunk(raw_data, start)
                if start:
                    raise error  # noqa: B023
                return None

        request = RequestFactory().post("/", {"file": SimpleUploadedFile("s.bin", BIG)})
        request.upload_handlers = [Counting(request)]
        assert not request.FILES
        request.close()
        assert leftovers(storage) == []


def test_beside_djangos_own_handlers(storage: FileKeeperStorage):
    own = "django.core.files.uploadhandler.MemoryFileUploadHandler"
    with override_settings(FILE_UPLOAD_HANDLERS=[own, "file_keeper_django.StreamingUploadHandler"]):
        for data, kind in ((b"small", "InMemoryUploadedFile"), (BIG, "IncomingFile")):
            request = RequestFactory().post("/", {"file": SimpleUploadedFile("s.bin", data)})
            file = request.FILES["file"]
            assert type(file).__name__ == kind
            assert file.read() == data
            request.close()
    assert leftovers(storage) == []


def test_it_reads_seeks_and_is_saved_whole_wherever_it_is(storage: FileKeeperStorage):
    request = RequestFactory().post("/", {"file": SimpleUploadedFile("s.bin", BIG)})
    file = request.FILES["file"]
    assert isinstance(file, IncomingFile)
    assert (file.size, file.name) == (len(BIG), "s.bin")
    assert file.read(16) == BIG[:16]
    file.seek(-16, 2)
    assert b"".join(file.chunks()) == BIG
    assert file.open().read(4) == BIG[:4]
    # In another storage it is read; in its own it is moved, and can be read there, and saved a second time.
    other = FileKeeperStorage(type="memory")
    assert other.open(other.save("o.bin", file)).read() == BIG
    assert storage.save("a.bin", file) == "a.bin"
    assert file.open().read() == BIG
    second = storage.save("a.bin", file)
    assert second != "a.bin"
    request.close()
    assert file.closed
    assert storage.open("a.bin").read() == storage.open(second).read() == BIG
    assert sorted(storage.listdir("")[1]) == sorted(["a.bin", second])
    with pytest.raises(ValueError, match="cannot be reopened"):
        file.open()


def test_an_image_field(storage: FileKeeperStorage):
    from PIL import Image

    target = io.BytesIO()
    Image.new("RGB", (300, 200)).save(target, "BMP")
    request = RequestFactory().post("/", {"image": SimpleUploadedFile("p.bmp", target.getvalue())})
    file = request.FILES["image"]
    assert isinstance(file, IncomingFile)
    Image.open(file).verify()
    picture = Picture.objects.create(image=file)
    request.close()
    assert (picture.width, picture.height) == (300, 200)
    with Picture.objects.get().image.open() as stored:
        assert stored.read() == target.getvalue()
    assert leftovers(storage) == []


def test_a_storage_that_is_down_is_an_error(use: Any):
    options = {"type": "s3", "bucket": "b", "endpoint": "http://127.0.0.1:9", "key": "k", "secret": "geheim"}
    use({**options, "region": "us-east-1", "timeout": 2})
    with pytest.raises(ConnectionError):
        Client().post("/upload", {"file": SimpleUploadedFile("a.bin", BIG)})
    answer = Client(raise_request_exception=False).post("/upload", {"file": SimpleUploadedFile("a.bin", BIG)})
    assert answer.status_code == 500
    assert b"geheim" not in answer.content


@pytest.mark.parametrize(
    ("name", "data"),
    [("big.txt", b"x" * 300_000), ("small.txt", b"x" * 9_000), ("p.txt", b"<html>"), ("p.png", b"<html>" * 20_000)],
)
@pytest.mark.parametrize("handler", ["file_keeper_django.StreamingUploadHandler", DJANGOS])
def test_what_the_limits_refuse_is_no_error_of_the_server(
    use: Any, options: dict[str, Any], name: str, data: bytes, handler: str
):
    limit = 8_000 if name == "small.txt" else 200_000
    storage = use({**options, "limits": {"max_size": limit, "types": ["image/*", "text/plain"]}})
    memory = 10_000 if handler != DJANGOS else 1_000_000
    with override_settings(FILE_UPLOAD_HANDLERS=[handler], FILE_UPLOAD_MAX_MEMORY_SIZE=memory):
        answer = Client().post("/upload", {"file": SimpleUploadedFile(name, data)})
    assert answer.status_code == 400
    kind = fk.exc.LargeUploadError if len(set(data)) == 1 else fk.exc.WrongUploadTypeError
    with pytest.raises(kind) as caught:
        storage.save(name, SimpleUploadedFile(name, data))
    assert isinstance(caught.value, SuspiciousOperation)
    assert leftovers(storage) == []


def test_another_storage_in_its_place_is_told(tmp_path: Path):
    with (
        override_settings(
            STORAGES={
                "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
            }
        ),
        pytest.raises(ImproperlyConfigured, match="FileSystemStorage"),
    ):
        Client().post("/upload", {"file": SimpleUploadedFile("a.bin", BIG)})


MEMORY = """
import os, sys
sys.path.insert(0, {project!r})
os.environ["DJANGO_SETTINGS_MODULE"] = "gallery.settings"
import django
django.setup()
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.test import RequestFactory
from django.test.utils import override_settings

SIZE = {size}

class Body:
    '''A form of half a gigabyte that nobody holds.'''

    def __init__(self):
        head = b'--b0\\r\\nContent-Disposition: form-data; name="file"; filename="big.bin"\\r\\n\\r\\n'
        self.parts = iter([head, *[b"x" * (1 << 20)] * (SIZE >> 20), b"\\r\\n--b0--\\r\\n"])
        self.length = len(head) + SIZE + 12
        self.rest = b""

    def read(self, size=1 << 16):
        while len(self.rest) < size:
            part = next(self.parts, b"")
            if not part:
                break
            self.rest += part
        out, self.rest = self.rest[:size], self.rest[size:]
        return out

    readline = read

def growth():
    # Not getrusage: that one starts with the size of the process that started this one.
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) << 10

with override_settings(
    STORAGES={{"default": {{"BACKEND": "file_keeper_django.FileKeeperStorage", "OPTIONS": {options!r}}}}},
    FILE_UPLOAD_HANDLERS=["file_keeper_django.StreamingUploadHandler"],
    FILE_UPLOAD_TEMP_DIR="/nowhere",
):
    storage = storages["default"]
    request = RequestFactory().post("/", {{"warm": "up"}})
    request.POST
    storage.save("warm.bin", ContentFile(b"x"))
    before = growth()
    body = Body()
    request = RequestFactory().generic("POST", "/", b"x", "multipart/form-data; boundary=b0")
    request.META["CONTENT_LENGTH"] = str(body.length)
    request._stream = body
    file = request.FILES["file"]
    assert file.size == SIZE, file.size
    name = storage.save("big.bin", file)
    request.close()
    assert storage.size(name) == SIZE
    with storage.open(name) as stored:
        stored.seek(SIZE - 1024)
        assert stored.read() == b"x" * 1024
    print((growth() - before) >> 20)
    storage.delete(name)
"""


@pytest.mark.full
@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the largest size of a process")
@pytest.mark.parametrize(("kind", "size"), [("fs", 500 << 20), ("s3", 150 << 20)])
def test_a_large_file_in_bounded_memory(kind: str, size: int, fresh_settings: Callable[..., dict[str, Any]]):
    options = fresh_settings(kind)
    script = MEMORY.format(project=str(Path(__file__).with_name("project")), options=options, size=size)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    print(f"{kind}: {done.stdout.strip()} MiB more")
    assert int(done.stdout) <= 64
