"""A real browser seeks in a large recording that an application sends: by ranges, not from its beginning."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterator
from typing import Any

import file_keeper as fk
import flask
import pytest
from file_keeper_web import flask as on_flask
from web.servers import wsgi_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
RATE = 44_100
SECONDS = 1_200
SIZE = RATE * 4 * SECONDS  # 212 MB
PAGE = '<!doctype html><audio controls preload="metadata" src="/files/long.wav"></audio>'

SEEK = """at => new Promise(done => {
  const audio = document.querySelector("audio");
  audio.onseeked = done;
  audio.currentTime = at;
}).then(() => null)"""


def recording() -> Iterator[bytes]:
    """Silence of twenty minutes, as WAV with two channels of 16 bits."""
    yield b"RIFF" + struct.pack("<I", 36 + SIZE) + b"WAVEfmt "
    yield struct.pack("<IHHIIHH", 16, 1, 2, RATE, RATE * 4, 4, 16) + b"data" + struct.pack("<I", SIZE)
    for _ in range(SECONDS):
        yield bytes(RATE * 4)


class Counted:
    """A WSGI application whose ranges and bytes are counted."""

    def __init__(self, app: Any):
        self._app = app
        self.asked: list[str] = []
        self.sent = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        if environ["PATH_INFO"].startswith("/files/"):
            self.asked.append(environ.get("HTTP_RANGE", ""))
        answer = self._app(environ, start_response)
        try:
            for chunk in answer:
                self.sent += len(chunk)
                yield chunk
        finally:
            answer.close()


@pytest.mark.full
@pytest.mark.skipif(not CHROMIUM, reason="there is no chromium on this machine")
@pytest.mark.parametrize("kind", ["fs", "s3"])
def test_a_browser_seeks_in_200_mb(kind: str, fresh_settings: Callable[..., dict[str, Any]]):
    from playwright.sync_api import sync_playwright

    storage = fk.make_storage("media", fresh_settings(kind))
    storage.upload("long.wav", fk.make_upload(recording()))
    assert storage.content_type("long.wav") == "audio/wave"
    app = flask.Flask("tests", root_path=".")
    app.add_url_rule("/", view_func=lambda: PAGE)
    app.add_url_rule("/files/<path:name>", "read", lambda name: on_flask.send_file(storage, name))
    counted = Counted(app)
    with wsgi_server(counted) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(30_000)
        page.goto(url)
        page.wait_for_function("document.querySelector('audio').readyState >= 1")
        assert round(page.evaluate("document.querySelector('audio').duration")) == SECONDS
        for moment in (1_100, 300):
            page.evaluate(SEEK, moment)
            assert round(page.evaluate("document.querySelector('audio').currentTime")) == moment
        browser.close()
    starts = [int(asked.removeprefix("bytes=").partition("-")[0]) for asked in counted.asked if asked]
    assert any(start > SIZE // 2 for start in starts), counted.asked
    assert counted.sent < SIZE // 4
