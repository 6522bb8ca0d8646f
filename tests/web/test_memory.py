"""Large files: flat memory, a first byte at once, no temporary file, few bytes from the storage."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import file_keeper as fk
import pytest
from file_keeper_testing import counted
from web.servers import asgi_server, request, wsgi_server
from web.test_frameworks import flask_app, starlette_app

SIZE = 500 << 20
CHILD = """
import json, sys, threading
sys.path[:0] = [{tests!r}]
import file_keeper as fk
from web.servers import asgi_server, wsgi_server
from web.test_frameworks import flask_app, starlette_app

kind = sys.argv[1]
storage = fk.make_storage("media", {{"type": "fs", "path": {path!r}, "initialize": True}})
make, server = (flask_app, wsgi_server) if kind == "flask" else (starlette_app, asgi_server)
with server(make(storage, {{}}, {{"location": "big", "overwrite": True}})) as url:
    print(url, flush=True)
    for line in sys.stdin:
        status = open("/proc/self/status").read()
        print(next(row.split()[1] for row in status.splitlines() if row.startswith("VmHWM")), flush=True)
"""


@pytest.mark.full
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the peak of the memory from /proc")
@pytest.mark.parametrize("kind", ["flask", "starlette"])
def test_500_mb_through_an_application(kind: str, tmp_path: Path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    code = CHILD.format(tests=str(Path(__file__).parents[1]), path=str(tmp_path / "store"))
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(
        [sys.executable, "-c", code, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        url = child.stdout.readline().strip()

        def peak() -> int:
            child.stdin.write("peak\n")
            child.stdin.flush()
            return int(child.stdout.readline()) * 1024

        assert request(url + "/files", "POST", b"warm", {"Content-Type": "text/plain"}).status == 201
        assert request(url + "/files/big").body == b"warm"
        before, there = peak(), set(temporary.iterdir())
        block = os.urandom(1 << 20)
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n'
        tail = b"\r\n--b--\r\n"
        length = str(len(head) + SIZE + len(tail))
        headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": length}
        answer = request(url + "/files", "POST", iter([head, *[block] * (SIZE >> 20), tail]), headers)
        assert answer.status == 201
        assert json.loads(answer.body)["size"] == SIZE
        assert set(temporary.iterdir()) == there

        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        started = time.monotonic()
        connection.request("GET", "/files/big")
        response = connection.getresponse()
        assert response.read(1) == block[:1]
        assert time.monotonic() - started < 1
        total = 1
        while chunk := response.read(1 << 20):
            total += len(chunk)
        connection.close()
        assert total == SIZE
        grown = peak() - before
        print(f"{kind}: {grown / 2**20:.1f} MiB")
        assert grown <= 64 << 20
        child.stdin.close()


@pytest.mark.parametrize("kind", ["fs", "s3", "gcs"])
@pytest.mark.parametrize("framework", ["flask", "starlette"])
def test_a_range_moves_little(kind: str, framework: str, fresh_settings, tmp_path: Path):
    storage = fk.make_storage("media", fresh_settings(kind))
    storage.upload("big", iter([b"\0" * (1 << 20)] * 20), content_type="video/mp4")
    etag = ""
    watched, counting = counted(storage)
    make, server = {"flask": (flask_app, wsgi_server), "starlette": (starlette_app, asgi_server)}[framework]
    with server(make(watched, {}, {})) as url:
        for asked, size in (("bytes=10000000-10000099", 100), ("bytes=-5", 5), ("bytes=0-0", 1)):
            counting.reset()
            answer = request(url + "/files/big", headers={"Range": asked})
            assert (answer.status, len(answer.body)) == (206, size)
            assert counting.asked <= size + (64 << 10)
            etag = answer.header("ETag")
        counting.reset()
        assert request(url + "/files/big", headers={"If-None-Match": etag}).status == 304
        assert counting.count("read") == 0
        assert request(url + "/files/big", "HEAD").header("Content-Length") == str(20 << 20)
        assert counting.count("read") == 0  # what was found out of this version is remembered
