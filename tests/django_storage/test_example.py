"""The example, run as it is written: list, upload, show, download, delete, as a browser without JavaScript does it."""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import django
import pytest

pytestmark = pytest.mark.skipif(
    django.VERSION < (5,), reason="settings.configure of Django 4.2 drops the OPTIONS of STORAGES"
)
EXAMPLE = Path(__file__).parents[2] / "examples" / "django" / "app.py"

PNG = Path(__file__).with_name("project") / "gallery" / "static" / "gallery" / "dot.png"


class Browser:
    def __init__(self, url: str):
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def get(self, path: str) -> Any:
        return self._opener.open(path if path.startswith("http") else self._url + path, timeout=30)

    def page(self) -> str:
        with self.get("/") as answer:
            return answer.read().decode()

    def post(self, path: str, *parts: tuple[str, str, bytes]) -> str:
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.page())
        assert found
        head = "--b0\r\nContent-Disposition: form-data; name="
        body = f'{head}"csrfmiddlewaretoken"\r\n\r\n{found[1]}\r\n'.encode()
        for field, name, data in parts:
            filename = f'; filename="{name}"' if name else ""
            body += f'{head}"{field}"{filename}\r\n\r\n'.encode() + data + b"\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=b0"}
        request = urllib.request.Request(self._url + path, body + b"--b0--\r\n", headers)
        with self._opener.open(request, timeout=60) as answer:
            return answer.read().decode()


@pytest.fixture(params=["fs", "s3"])
def browser(request: pytest.FixtureRequest, fresh_settings: Callable[..., Any], tmp_path: Path) -> Iterator[Browser]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    environment["FILES"] = json.dumps(fresh_settings(request.param))
    command = [sys.executable, str(EXAMPLE), "runserver", f"127.0.0.1:{port}", "--noreload", "--skip-checks"]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        yield Browser(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(10)


def test_the_page(browser: Browser):
    assert "0 files" in browser.page()
    names = ("q'x%20.txt", "ü 文.png", "page.html")
    shown = browser.post(
        "/upload",
        ("file", names[0], b"text"),
        ("file", names[1], PNG.read_bytes()),
        ("file", names[2], b"<script>alert(1)</script>"),
        ("file", "big.bin", b"x" * 5_000_000),
    )
    assert "4 files" in shown
    for name in names:
        assert name in unescape(shown)
    assert shown.count("<img") == 1
    links = {unescape(text): unescape(link) for link, text in re.findall(r'<a href="([^"]*)">([^<]*)</a>', shown)}
    with browser.get(links[names[0]]) as answer:
        assert answer.read() == b"text"
    with browser.get(links[names[1]]) as answer:
        assert answer.headers["Content-Type"] == "image/png"
        assert not answer.headers.get("Content-Disposition", "").startswith("attachment")
    with browser.get(links[names[2]]) as answer:
        assert answer.headers["Content-Disposition"].startswith("attachment")
    with browser.get(links["big.bin"]) as answer:
        assert len(answer.read()) == 5_000_000
    assert "3 files" in browser.post("/delete", ("name", "", names[0].encode()))
    with pytest.raises(urllib.error.HTTPError) as caught:
        browser.get(links[names[0]])
    assert caught.value.code in (403, 404)  # the service tells a stranger with an old link no more
    caught.value.close()


def test_senseless_requests(browser: Browser):
    assert "No file was chosen" in browser.post("/upload")
    for path, status in (("/media/none", 404), ("/media/%2e%2e/x", 400), ("/upload", 405)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            browser.get(path)
        assert caught.value.code == status
        caught.value.close()


def test_it_is_short():
    assert len(EXAMPLE.read_text("utf-8").splitlines()) <= 120
