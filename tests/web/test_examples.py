"""The examples as a user runs them: by their forms, and in a real browser where there is one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import file_keeper as fk
import pytest
from web.servers import Relay, eventually, request
from web.test_frameworks import form

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
NAME = 'Ä "quoted" <b>&amp; ☺.png'
PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89"
    b"\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82"
)


@dataclass(frozen=True)
class Running:
    url: str
    storage: fk.Storage


@pytest.fixture(params=["flask", "fastapi", "django"])
def framework(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["fs", "s3"])
def running(
    request: pytest.FixtureRequest, framework: str, fresh_settings: Callable[..., dict[str, Any]], tmp_path: Path
) -> Iterator[Running]:
    """The example as a process of its own."""
    settings = fresh_settings(request.param)
    storage = fk.make_storage("example", settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {
        **os.environ,
        "PORT": str(port),
        "EXAMPLE_STORAGE": json.dumps(settings),
        "EXAMPLE_LIMIT": "40MiB",
    }
    command = [sys.executable, str(ROOT / "examples" / framework / "app.py")]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as child:
        url = f"http://127.0.0.1:{port}"
        try:

            def answers() -> bool:
                with contextlib.suppress(urllib.error.URLError, ConnectionError):
                    return urllib.request.urlopen(url + "/page.js", timeout=5).status == 200
                return False

            eventually(answers, 30)
            yield Running(url, storage)
        finally:
            child.kill()


def test_without_a_script(running: Running, framework: str):
    # As browsers write a quote. Django takes a name for HTML, and keeps a quote as it was written.
    name, sent = (
        ("Ä <b> & ☺.png", "Ä <b>&#32;&amp; ☺.png") if framework == "django" else (NAME, NAME.replace('"', "%22"))
    )
    assert request(running.url + "/files", "POST", *form(("file", sent, PNG))).status in (302, 303)
    assert running.storage.content(name) == PNG
    page = request(running.url + "/").body.decode()
    assert escape(name) in page
    assert "1 file" in page
    assert "image/png" in page
    address = f"{running.url}/files/{quote(name)}"
    assert request(address).body == PNG
    assert request(running.url + "/files", "POST", *form(("file", "big", b"x" * (42 << 20)))).status == 413
    assert request(running.url + "/files", "POST", *form(("file", "a", PNG))).status in (302, 303)
    for foreign in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert request(f"{running.url}/delete/a", "POST", b"", foreign).status == 403
    assert request(f"{running.url}/delete/nothing", "POST", b"", {"Origin": running.url}).status in (302, 303, 404)
    assert request(f"{running.url}/delete/a", "POST", b"").status in (302, 303)
    assert request(f"{running.url}/delete/..%2Fx", "POST", b"").status in (302, 303, 404)
    assert request(running.url + "/files", "POST", *form()).status == 400
    assert list(running.storage.scan()) == [name]


def test_the_examples_are_short():
    for framework in ("flask", "fastapi", "django"):
        lines = (ROOT / "examples" / framework / "app.py").read_text("utf-8").splitlines()
        assert len(lines) <= 120


@pytest.fixture
def page(running: Running, tmp_path: Path) -> Iterator[Any]:
    if not CHROMIUM:
        pytest.skip("there is no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 900, "height": 700})
        opened = context.new_page()
        opened.set_default_timeout(20_000)
        opened.goto(running.url)
        yield opened
        context.close()
        browser.close()


def choose(page: Any, path: Path) -> None:
    page.get_by_label("Choose a file").set_input_files(path)
    page.get_by_role("button", name="Upload", exact=True).click()


@pytest.mark.full
def test_in_a_browser(running: Running, page: Any, tmp_path: Path):
    picture = tmp_path / 'Ä "quoted" ☺.png'
    picture.write_bytes(PNG)
    choose(page, picture)
    link = page.get_by_role("link", name=picture.name)
    link.wait_for()
    assert running.storage.content(picture.name) == PNG
    assert page.locator("td img").evaluate("image => image.complete && image.naturalWidth") == 1

    evil = tmp_path / "evil.html"
    evil.write_text("<script>document.title = 'run'</script>")
    choose(page, evil)
    page.get_by_role("link", name="evil.html").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="evil.html").click()
    assert download.value.suggested_filename == "evil.html"

    page.get_by_role("button", name="Delete evil.html").click()
    page.get_by_role("link", name="evil.html").wait_for(state="detached")
    assert list(running.storage.scan()) == [picture.name]
    # By keyboard alone.
    page.get_by_label("Choose a file").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Upload"


@pytest.mark.full
def test_too_large_in_a_browser(running: Running, page: Any, tmp_path: Path):
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate(41 << 20)
    choose(page, big)
    page.get_by_text("The content is larger than allowed.").wait_for()
    assert list(running.storage.scan()) == []


@pytest.mark.full
def test_a_dropped_connection_a_pause_and_a_reload(running: Running, page: Any, tmp_path: Path):
    content = os.urandom(18 << 20)
    path, other = tmp_path / "film.bin", tmp_path / "other.bin"
    path.write_bytes(content)
    other.write_bytes(content)
    with contextlib.closing(Relay(running.url, 6 << 20)) as line:
        page.goto(line.url)
        choose(page, path)
        page.wait_for_function("document.querySelector('progress').value > 0.4")
        with line.cut():
            page.get_by_text("connection lost, trying again").wait_for(timeout=60_000)
        page.wait_for_function("document.querySelector('progress').value > 0.5")
        page.get_by_role("button", name="Pause").click()
        page.get_by_text("paused").wait_for()
        assert list(running.storage.scan()) == []
        page.reload()
        choose(page, path)
        page.wait_for_function("document.querySelector('progress').value > 0")
        assert page.get_by_role("progressbar").evaluate("bar => bar.value") > 0.2  # not from its beginning
        page.get_by_role("link", name="film.bin").wait_for(timeout=60_000)
        assert running.storage.content("film.bin") == content

        choose(page, other)
        page.wait_for_function("document.querySelector('progress').value > 0.1")
        page.get_by_role("button", name="Cancel").click()
        eventually(lambda: list(running.storage.backend.multipart_list("")) == [])
        assert list(running.storage.scan()) == ["film.bin"]


@pytest.mark.full
@pytest.mark.parametrize("framework", ["flask"])
@pytest.mark.parametrize("running", ["fs"], indirect=True)
def test_several_files_and_two_tabs(running: Running, page: Any, tmp_path: Path):
    sizes = {"small.txt": 5, "one.bin": 6 << 20, "two.bin": 6 << 20}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(os.urandom(size))
    made: list[str] = []
    page.context.on("request", lambda sent: made.append(sent.url) if sent.url.endswith("/uploads/") else None)
    with contextlib.closing(Relay(running.url, 2 << 20)) as line:
        page.goto(line.url)
        page.evaluate("window.stays = true")
        page.get_by_label("Choose a file").evaluate("field => field.multiple = true")
        page.get_by_label("Choose a file").set_input_files([tmp_path / name for name in sizes])
        page.get_by_role("button", name="Upload", exact=True).click()
        page.get_by_role("link", name="small.txt").wait_for()
        for name in ("one.bin", "two.bin"):
            page.get_by_role("link", name=name).wait_for(timeout=60_000)
            assert running.storage.content(name) == (tmp_path / name).read_bytes()
        assert page.evaluate("window.stays")
        page.locator(".upload").first.wait_for(state="detached")
        assert len(made) == 3

        # A long cut is no reason to begin anew, nor is a tab that chooses what another one sends.
        film = tmp_path / "film.bin"
        film.write_bytes(os.urandom(16 << 20))
        other = page.context.new_page()
        for tab in (page, other):
            tab.goto(line.url)
        page.evaluate("WAITS.fill(50)")
        choose(page, film)
        page.wait_for_function("document.querySelector('progress').value > 0.2")
        with line.cut():
            page.get_by_text("connection lost, trying again").wait_for()
            page.wait_for_timeout(1000)
            assert page.get_by_role("button", name="Try again").count() == 0
        page.wait_for_function("document.querySelector('progress').value > 0.4")
        choose(other, film)
        for tab in (page, other):
            tab.get_by_role("link", name="film.bin").wait_for(timeout=40_000)
        assert running.storage.content("film.bin") == film.read_bytes()
        assert len(made) == 4
