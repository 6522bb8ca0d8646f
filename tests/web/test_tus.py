"""Resumable uploads by the tus protocol: a real client, cuts, two senders at once, and what the protocol says."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import file_keeper as fk
import pytest
from emulators import npm
from file_keeper_testing import faulty
from file_keeper_web import tus
from tusclient.client import TusClient
from web.servers import SERVERS, Relay, eventually, request

CLIENT = Path(__file__).with_name("tus_js")
PNG = b"\x89PNG\r\n\x1a\n"
VERSION = {"Tus-Resumable": "1.0.0"}
PIECE = {**VERSION, "Content-Type": "application/offset+octet-stream"}
MiB = 1 << 20


@pytest.fixture(params=["fs", *(pytest.param(name, marks=pytest.mark.full) for name in ("memory", "s3", "gcs"))])
def storage(request: pytest.FixtureRequest, fresh_settings: Callable[..., dict[str, Any]]) -> fk.Storage:
    return fk.make_storage("media", fresh_settings(request.param, part_size="5MiB"))


@pytest.fixture
def local(fresh_settings: Callable[..., dict[str, Any]]) -> fk.Storage:
    return fk.make_storage("media", fresh_settings("fs"))


@pytest.fixture(params=["wsgi", "asgi"])
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """`serve(storage, location, **options)` gives the address of a server with the tus application."""
    with ExitStack() as stack:

        def start(storage: fk.Storage, location: Any = "big.bin", **options: Any) -> str:
            return stack.enter_context(
                SERVERS[request.param](getattr(tus, request.param)(storage, location, **options))
            )

        yield start


def begin(url: str, size: int, **headers: str) -> str:
    answer = request(url, "POST", b"", {**VERSION, "Upload-Length": str(size), **headers})
    assert answer.status == 201, answer
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{answer.header('Location')}"


def send(upload: str, offset: int, body: Any, **headers: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(upload, "PATCH", body, {**PIECE, "Upload-Offset": str(offset), **names})


def offset_of(upload: str) -> int:
    answer = request(upload, "HEAD", headers=VERSION)
    assert (answer.status, answer.header("Cache-Control")) == (200, "no-store")
    return int(answer.header("Upload-Offset"))


def leftovers(storage: fk.Storage) -> list[str]:
    """All that is there beside finished uploads' records."""
    tails = [name for name in storage.incoming.scan() if not name.endswith(".json")]
    return [*storage.scan(), *tails, *(str(upload.ref) for upload in storage.backend.multipart_list(""))]


class TestAClient:
    @pytest.mark.parametrize("chunk", [None, 7 * MiB, 1_000_000])
    def test_a_whole_file(self, storage, serve, chunk):
        content = os.urandom(12 * MiB + 5)
        url = serve(storage, lambda name: f"in/{name}")
        client = TusClient(url + "/")
        options = {} if chunk is None else {"chunk_size": chunk}
        uploader = client.uploader(
            file_stream=io.BytesIO(content), metadata={"filename": "é ☺.bin"}, upload_checksum=True, **options
        )
        uploader.upload()
        assert storage.content("in/é ☺.bin") == content
        assert storage.analyze("in/é ☺.bin").size == len(content)
        assert leftovers(storage) == ["in/é ☺.bin"]

    def test_it_goes_on_after_a_while(self, storage, serve):
        content = os.urandom(12 * MiB)
        client = TusClient(serve(storage) + "/")
        first = client.uploader(file_stream=io.BytesIO(content), chunk_size=6_000_000)
        first.upload_chunk()
        assert not storage.exists("big.bin")
        again = client.uploader(file_stream=io.BytesIO(content), chunk_size=6_000_000, url=first.url)
        assert again.offset == 6_000_000
        again.upload()
        assert storage.content("big.bin") == content

    def test_tus_js_client_over_a_line_that_is_cut(self, storage, serve, tmp_path):
        content = os.urandom(14 * MiB + 7)
        path = tmp_path / "film.bin"
        path.write_bytes(content)
        modules = os.path.join(npm.install(str(CLIENT)), "node_modules")
        with contextlib.closing(Relay(serve(storage, lambda name: f"in/{name}"), 12 * MiB)) as line:
            command = [npm.node(), str(CLIENT / "upload.cjs"), modules, line.url + "/", str(path), "0.5"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as client:
                assert client.stdout is not None
                try:
                    assert client.stdout.readline() == "far enough\n"
                    with line.cut():
                        assert client.stdout.readline() == "retry\n"
                    told, _ = client.communicate(timeout=60)
                finally:
                    client.kill()
        assert told.splitlines()[-1] == "done"
        assert client.returncode == 0
        assert storage.content("in/ü film.bin") == content
        assert leftovers(storage) == ["in/ü film.bin"]


class TestPieces:
    def test_small_pieces(self, storage, serve):
        content = os.urandom(9000)
        upload = begin(serve(storage), len(content))
        for offset in range(0, len(content), 1000):
            answer = send(upload, offset, content[offset : offset + 1000])
            assert (answer.status, answer.header("Upload-Offset")) == (204, str(offset + 1000))
            assert answer.header("Tus-Resumable") == "1.0.0"
            assert answer.header("Upload-Expires").endswith("GMT")
        assert storage.content("big.bin") == content
        assert leftovers(storage) == ["big.bin"]
        assert offset_of(upload) == len(content)

    def test_another_offset(self, storage, serve):
        upload = begin(serve(storage), 100)
        assert send(upload, 0, b"x" * 50).status == 204
        for offset in (0, 49, 51, 100):
            answer = send(upload, offset, b"y" * 10)
            assert (answer.status, answer.header("Upload-Offset")) == (409, "50")
        assert send(upload, 50, b"z" * 50).status == 204
        assert storage.content("big.bin") == b"x" * 50 + b"z" * 50
        # Finished twice, and too late.
        assert send(upload, 100, b"").status == 204
        assert send(upload, 50, b"z" * 50).status == 409
        assert send(upload, 100, b"z").status == 413

    @pytest.mark.parametrize("chunked", [False, True])
    def test_too_much(self, storage, serve, chunked):
        upload = begin(serve(storage), 10)
        body = iter([b"x" * 8, b"x" * 8]) if chunked else b"x" * 16
        names = {**PIECE, "Upload-Offset": "0"}
        assert request(upload, "PATCH", body, names, encode_chunked=chunked).status == 413
        assert not storage.exists("big.bin")
        assert send(upload, 0, b"x" * 10).status == 204

    @pytest.mark.parametrize("algorithm", ["sha1", "md5", "sha256"])
    def test_a_checksum(self, storage, serve, algorithm):
        content = os.urandom(11 * MiB)
        upload = begin(serve(storage), len(content))
        good = base64.b64encode(hashlib.new(algorithm, content).digest()).decode()
        bad = base64.b64encode(hashlib.new(algorithm, b"other").digest()).decode()
        assert send(upload, 0, content, Upload_Checksum=f"{algorithm} {bad}").status == 460
        assert offset_of(upload) == 0
        assert not storage.exists("big.bin")
        assert send(upload, 0, content, Upload_Checksum=f"{algorithm} {good}").status == 204
        assert storage.content("big.bin") == content

    @pytest.mark.parametrize("value", ["sha1 !!", "crc7 AAAA", "sha1", "x"])
    def test_a_checksum_that_is_none(self, local, serve, value):
        assert send(begin(serve(local), 5), 0, b"x", Upload_Checksum=value).status in (400, 460)

    def test_an_empty_file(self, storage, serve):
        upload = begin(serve(storage), 0)
        assert storage.content("big.bin") == b""
        assert offset_of(upload) == 0
        assert send(upload, 0, b"").status == 204

    def test_a_cut_keeps_what_came(self, storage, serve):
        content = os.urandom(12 * MiB)
        upload = begin(serve(storage), len(content))
        cut(upload, 0, content[: 8 * MiB], len(content))
        eventually(lambda: offset_of(upload) > 0)
        reached = offset_of(upload)
        assert 5 * MiB <= reached <= 8 * MiB
        # The next request may go on at once.
        eventually(lambda: send(upload, offset_of(upload), content[offset_of(upload) :]).status == 204)
        assert storage.content("big.bin") == content
        assert leftovers(storage) == ["big.bin"]

    def test_a_cut_with_a_checksum_keeps_nothing(self, local, serve):
        upload = begin(serve(local), 8 * MiB)
        digest = base64.b64encode(hashlib.sha1(b"").digest()).decode()
        cut(upload, 0, b"x" * 4 * MiB, 8 * MiB, f"Upload-Checksum: sha1 {digest}\r\n")
        time.sleep(0.3)
        assert offset_of(upload) == 0
        eventually(lambda: send(upload, 0, b"y" * 8 * MiB).status == 204)
        assert local.content("big.bin") == b"y" * 8 * MiB


def cut(upload: str, offset: int, sent: bytes, length: int, more: str = "") -> None:
    """Begin to send a piece and break off."""
    parts = urlsplit(upload)
    head = (
        f"PATCH {parts.path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n{more}"
        f"Content-Type: application/offset+octet-stream\r\nContent-Length: {length}\r\n\r\n"
    )
    with (
        socket.create_connection((parts.hostname or "", parts.port or 80)) as connection,
        contextlib.suppress(ConnectionError),  # the server may end first
    ):
        connection.sendall(head.encode() + sent)
        time.sleep(0.5)


class TestTwoAtOnce:
    def test_one_goes_on_and_the_others_are_told(self, storage, serve):
        """Two servers, several senders with different bytes at one offset: one is stored, whole."""
        addresses = [serve(storage), serve(storage)]
        upload = begin(addresses[0], 6 * MiB)
        there = [upload, addresses[1] + urlsplit(upload).path]
        bodies = [bytes([65 + number]) * 3 * MiB for number in range(6)]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda n: send(there[n % 2], 0, bodies[n]), range(6)))
        statuses = [answer.status for answer in answers]
        assert sorted(statuses) == [204, *[409] * 5]
        assert all(answer.header("Upload-Offset") in ("0", str(3 * MiB), "") for answer in answers)
        winner = bodies[statuses.index(204)]
        assert send(there[1], 3 * MiB, winner).status == 204
        assert storage.content("big.bin") == winner * 2
        assert leftovers(storage) == ["big.bin"]

    def test_a_part_that_comes_too_late_is_noticed(self, storage, serve):
        """A request that lost its claim long ago sends its part after all: no mixed content is published."""
        url = serve(storage)
        upload = begin(url, 12 * MiB)
        assert send(upload, 0, b"a" * 6 * MiB).status == 204
        record = json.loads(storage.incoming.content(f"tus/{upload[-32:]}.json"))
        data = fk.FileData.from_dict(record["data"])
        storage.multipart_update(data, b"b" * 5 * MiB, 0)
        assert send(upload, 6 * MiB, b"a" * 6 * MiB).status == 410
        assert leftovers(storage) == []
        assert request(upload, "HEAD", headers=VERSION).status == 404


class TestTheEnd:
    def test_termination(self, storage, serve):
        url = serve(storage)
        upload = begin(url, 12 * MiB)
        assert send(upload, 0, b"x" * 6_000_000).status == 204
        assert request(upload, "DELETE", headers=VERSION).status == 204
        assert leftovers(storage) == []
        assert list(storage.incoming.scan()) == []
        for method in ("HEAD", "PATCH", "DELETE"):
            assert request(upload, method, headers={**PIECE, "Upload-Offset": "0"}).status == 404

    def test_a_finished_upload_that_is_terminated_keeps_its_file(self, local, serve):
        upload = begin(serve(local), 3)
        send(upload, 0, b"abc")
        assert request(upload, "DELETE", headers=VERSION).status == 204
        assert local.content("big.bin") == b"abc"

    def test_expiration(self, storage, serve, monkeypatch):
        upload = begin(serve(storage, expires="1h"), 12 * MiB)
        assert send(upload, 0, b"x" * 6_000_000).status == 204
        later = time.time() + 3605
        monkeypatch.setattr("file_keeper_web.tus.protocol.time.time", lambda: later)
        assert request(upload, "HEAD", headers=VERSION).status == 410
        assert leftovers(storage) == []
        assert send(upload, 6_000_000, b"x").status == 404

    def test_what_nobody_comes_for_is_cleaned_up(self, local, serve):
        upload = begin(serve(local), 12 * MiB)
        assert send(upload, 0, b"x" * 1000).status == 204
        time.sleep(0.01)
        local.cleanup_uploads(0)
        assert leftovers(local) == []
        assert request(upload, "HEAD", headers=VERSION).status == 404

    def test_the_application_is_told(self, storage, serve):
        told: list[Any] = []
        url = serve(storage, finished=lambda file, metadata: told.append((file.location, file.size, metadata)))
        name = base64.b64encode("ü.txt".encode()).decode()
        upload = begin(url, 5, **{"Upload-Metadata": f"filename {name},flag"})
        assert told == []
        assert send(upload, 0, b"words").status == 204
        assert told == [("big.bin", 5, {"filename": "ü.txt", "flag": ""})]

    def test_an_application_that_fails_is_told_again(self, local, serve):
        told: list[str] = []

        def finished(file: fk.FileData, metadata: Any) -> None:
            told.append(file.location)
            if len(told) == 1:
                raise fk.exc.ConnectionError("the database is away")

        upload = begin(serve(local, finished=finished), 5)
        assert send(upload, 0, b"words").status == 503
        assert send(upload, offset_of(upload), b"words").status == 204
        assert told == ["big.bin", "big.bin"]

    def test_it_is_told_again_with_checksums_too(self, fresh_settings, serve):
        """Several parts: the first of them finds that the upload is gone."""
        storage = fk.make_storage("media", fresh_settings("fs", part_size="64KiB"))
        told: list[str] = []

        def finished(file: fk.FileData, metadata: Any) -> None:
            told.append(file.location)
            if len(told) == 1:
                raise fk.exc.ConnectionError("the database is away")

        content = os.urandom(200_000)
        checksum = "sha1 " + base64.b64encode(hashlib.sha1(content).digest()).decode()
        upload = begin(serve(storage, finished=finished), len(content))
        assert send(upload, 0, content, Upload_Checksum=checksum).status == 503
        answer = send(upload, offset_of(upload), content, Upload_Checksum=checksum)
        assert (answer.status, answer.header("Upload-Offset")) == (204, str(len(content)))
        assert (told, offset_of(upload)) == (["big.bin"] * 2, len(content))
        assert leftovers(storage) == ["big.bin"]

    def test_an_answer_that_was_lost(self, storage, serve):
        """The process ended between the publication and the note of it."""
        content = os.urandom(6 * MiB)
        upload = begin(serve(storage), len(content))
        assert send(upload, 0, content[: 5 * MiB]).status == 204
        location = f"tus/{upload[-32:]}.json"
        record = json.loads(storage.incoming.content(location))
        record["claim"] = {"until": time.time() - 1}
        assert send(upload, 5 * MiB, content[5 * MiB :]).status == 204
        storage.incoming.upload(location, json.dumps(record).encode(), overwrite=True)
        answer = send(upload, 5 * MiB, content[5 * MiB :])
        assert (answer.status, answer.header("Upload-Offset")) == (409, str(len(content)))
        assert offset_of(upload) == len(content)
        assert storage.content("big.bin") == content

    def test_a_file_that_came_first_stays(self, storage, serve):
        url = serve(storage)
        upload = begin(url, 5)
        storage.upload("big.bin", b"first")
        assert send(upload, 0, b"other").status == 409
        assert storage.content("big.bin") == b"first"
        assert leftovers(storage) == ["big.bin"]
        assert request(url, "POST", b"", {**VERSION, "Upload-Length": "5"}).status == 409
        upload = begin(serve(storage, overwrite=True), 5)
        assert send(upload, 0, b"other").status == 204
        assert storage.content("big.bin") == b"other"


class TestLimits:
    def test_the_size(self, local, serve):
        url = serve(local, max_size="1KiB")
        assert request(url, "POST", b"", {**VERSION, "Upload-Length": "1025"}).status == 413
        begin(url, 1024)
        assert request(url, "OPTIONS").header("Tus-Max-Size") == "1024"

    def test_a_length_that_needs_large_parts(self, local, serve):
        """The client states the length, and a part is held in memory."""
        headers = {**VERSION, "Upload-Length": str(10**18 - 1)}
        assert request(serve(local), "POST", b"", headers).status == 413
        assert leftovers(local) == []
        assert request(serve(local, max_part_size=10**18), "POST", b"", headers).status == 201

    @pytest.mark.parametrize("whole", [True, False])
    @pytest.mark.parametrize(
        ("name", "content", "kind"),
        [
            ("cat.html", b"GIF89a/*<script>alert(1)</script>*/", "image/gif"),
            ("cat", b"GIF89a/*<script>alert(1)</script>*/", "image/gif"),
            ("words.csv", b"a,b\n", "text/csv"),
        ],
    )
    def test_the_type_that_is_stored(self, storage, serve, whole, name, content, kind):
        told: list[str] = []
        content += b" " * (100 if whole else 6 * MiB)
        upload = begin(serve(storage, name, finished=lambda file, _: told.append(file.content_type)), len(content))
        assert send(upload, 0, content[:20]).status == 204
        assert send(upload, 20, content[20:]).status == 204
        assert (told, storage.content_type(name), storage.content(name)) == ([kind], kind, content)
        assert leftovers(storage) == [name]

    def test_the_type(self, storage, serve):
        url = serve(storage, types=["image/*"])
        upload = begin(url, 6 * MiB)
        assert send(upload, 0, b"<html>" + b"x" * (6 * MiB - 6)).status == 415
        assert leftovers(storage) == []
        upload = begin(url, 9000)
        assert send(upload, 0, PNG[:4]).status == 204
        assert send(upload, 4, PNG[4:] + bytes(8992)).status == 204
        assert storage.analyze("big.bin").size == 9000

    @pytest.mark.parametrize(
        ("method", "path", "headers", "status"),
        [
            ("POST", "", {"Upload-Length": "5", "Tus-Resumable": "0.2.2"}, 412),
            ("POST", "", {"Upload-Length": "5", "Tus-Resumable": ""}, 412),
            ("POST", "", {}, 400),
            ("POST", "", {"Upload-Defer-Length": "1"}, 400),
            ("POST", "", {"Upload-Length": "-1"}, 400),
            ("POST", "", {"Upload-Length": "9" * 30}, 400),
            ("POST", "", {"Upload-Length": "5", "Upload-Metadata": "filename !!!"}, 400),
            ("POST", "", {"Upload-Length": "5", "Upload-Metadata": "a AA==,a AA=="}, 400),
            ("POST", "", {"Upload-Length": "5", "Upload-Metadata": "a " + "A" * 9000}, 400),
            ("GET", "", {}, 405),
            ("PATCH", "", {}, 405),
            ("GET", "/" + "0" * 32, {}, 405),
            ("HEAD", "/" + "0" * 32, {}, 404),
            ("HEAD", "/..", {}, 404),
            ("HEAD", "/../x", {}, 404),
            ("PATCH", "/" + "0" * 32, {"Content-Type": "text/plain", "Upload-Offset": "0"}, 415),
            ("PATCH", "/" + "0" * 32, {**PIECE}, 400),
            ("PATCH", "/" + "0" * 32, {**PIECE, "Upload-Offset": "x"}, 400),
            ("PATCH", "/" + "0" * 32, {**PIECE, "Upload-Offset": "0"}, 404),
        ],
    )
    def test_bad_requests(self, local, serve, method, path, headers, status):
        answer = request(serve(local) + path, method, b"", {**VERSION, **headers})
        assert answer.status == status
        assert answer.header("Tus-Resumable") == "1.0.0"
        assert leftovers(local) == []

    def test_what_is_spoken(self, local, serve):
        answer = request(serve(local), "OPTIONS")
        assert answer.status == 204
        assert answer.header("Tus-Version") == "1.0.0"
        assert answer.header("Tus-Extension") == "creation,termination,expiration,checksum"
        assert "sha1" in answer.header("Tus-Checksum-Algorithm")

    def test_a_method_may_be_overridden(self, local, serve):
        upload = begin(serve(local), 5)
        headers = {**PIECE, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
        assert request(upload, "POST", b"words", headers).status == 204
        assert local.content("big.bin") == b"words"

    def test_a_location_that_leads_out(self, local, serve):
        url = serve(local, lambda name: name)
        for name in ("../x", "/etc/passwd", ".file-keeper/tus/x", ""):
            encoded = base64.b64encode(name.encode()).decode()
            headers = {**VERSION, "Upload-Length": "5", "Upload-Metadata": f"filename {encoded}"}
            assert request(url, "POST", b"", headers).status == 400

    def test_a_storage_without_parts_is_refused(self, fresh_settings):
        with pytest.raises(fk.exc.UnsupportedOperationError):
            tus.wsgi(fk.make_storage("media", fresh_settings("libcloud")), "a")

    @pytest.mark.parametrize("verb", ["multipart_put", "multipart_complete", "put"])
    def test_a_storage_that_is_down(self, storage, serve, verb):
        content = os.urandom(6 * MiB)
        broken, faults = faulty(storage)
        upload = begin(serve(storage), len(content))
        rule = faults.on(verb, error=fk.exc.ConnectionError("secret"), times=None)
        address = serve(broken) + urlsplit(upload).path
        answer = send(address, 0, content)
        assert answer.status == 503
        assert b"secret" not in answer.body
        rule.times = 0
        assert send(address, offset_of(address), content[offset_of(address) :]).status == 204
        assert storage.content("big.bin") == content


CHILD = """
import sys, time
sys.path[:0] = [{tests!r}]
import file_keeper as fk
from file_keeper_web import tus
from web.servers import wsgi_server

storage = fk.make_storage("media", {{"type": "fs", "path": {path!r}, "initialize": True, "part_size": "1MiB"}})
with wsgi_server(tus.wsgi(storage, "big.bin")) as url:
    print(url, flush=True)
    time.sleep(1000)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_server_that_is_killed(tmp_path: Path):
    path = str(tmp_path / "store")
    code = CHILD.format(tests=str(Path(__file__).parents[1]), path=path)
    content = os.urandom(40 * MiB)

    def start() -> tuple[subprocess.Popen[str], str]:
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        return child, child.stdout.readline().strip()

    child, url = start()
    try:
        upload = begin(url, len(content))
        thread = threading.Thread(target=cut, args=(upload, 0, content[: 20 * MiB], len(content)))
        thread.start()
        eventually(lambda: offset_of(upload) >= 5 * MiB)
        child.send_signal(signal.SIGKILL)
        child.wait()
        thread.join()
    finally:
        child.kill()
        child.communicate()
    child, url = start()
    try:
        there = url + urlsplit(upload).path
        reached = offset_of(there)
        assert reached >= 5 * MiB
        assert send(there, reached, content[reached:]).status == 204
        storage = fk.make_storage("media", {"type": "fs", "path": path})
        assert storage.content("big.bin") == content
    finally:
        child.kill()
        child.communicate()
