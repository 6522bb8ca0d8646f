"""Uppy in a real browser: resumable uploads, and straight to the storage by a link that the application signs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from emulators import npm
from file_keeper_web import direct, links, tus
from web.servers import Relay, eventually, wsgi_server
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Request, Response

pytestmark = pytest.mark.full

HERE = Path(__file__).with_name("uppy")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
PAGE = b'<!doctype html><title>Uppy</title><input type="file" multiple><script src="/page.js"></script>'
PNG = b"\x89PNG\r\n\x1a\n"
MiB = 1 << 20


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The page's script with Uppy in it."""
    folder = Path(npm.install(str(HERE)))
    target = tmp_path_factory.mktemp("uppy") / "page.js"
    # Modules are looked for beside the file that asks for them.
    shutil.copy(HERE / "page.js", folder / "page.js")
    bundler = str(folder / "node_modules" / "esbuild-wasm" / "bin" / "esbuild")
    command = [npm.node(), bundler, "page.js", "--bundle", "--format=iife", f"--outfile={target}"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    return target.read_bytes()


@pytest.fixture(params=["fs", "s3"])
def storage(request: pytest.FixtureRequest, fresh_settings: Callable[..., dict[str, Any]]) -> fk.Storage:
    more = {"base_url": "/files", "signing_key": "a key of the tests"} if request.param == "fs" else {}
    made = fk.make_storage("media", fresh_settings(request.param, part_size="5MiB", **more))
    made.upload("warm", b"up")  # makes the bucket
    made.remove("warm")
    return made


@pytest.fixture
def url(storage: fk.Storage, bundle: bytes) -> Iterator[str]:
    """A site with the page, the resumable uploads and an application that signs."""

    @Request.application
    def site(request: Request) -> Response:
        if request.path == "/sign":
            asked = json.loads(request.get_data())
            link = storage.signed(
                "upload",
                "15m",
                f"incoming/{asked['key']}",
                content_type=asked.get("contentType") or "application/octet-stream",
                max_size="10MiB",
            )
            return Response(json.dumps(link.as_dict()), mimetype="application/json")
        if request.path == "/page.js":
            return Response(bundle, mimetype="text/javascript")
        return Response(PAGE, mimetype="text/html")

    resumable = tus.wsgi(storage, lambda name: f"in/{name}", max_size="20MiB")
    mounted: dict[str, Any] = {"/uploads": resumable}
    if storage.settings.type == "file_keeper:fs":
        mounted["/files"] = links.wsgi(storage)
    with wsgi_server(DispatcherMiddleware(site, mounted)) as address:
        yield address


@pytest.fixture
def page() -> Iterator[Any]:
    if not CHROMIUM:
        pytest.skip("there is no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_context().new_page()
        opened.set_default_timeout(60_000)
        yield opened
        browser.close()


def choose(page: Any, *paths: Path) -> None:
    page.locator("input").set_input_files(list(paths))


def complete(page: Any) -> list[int]:
    return page.wait_for_function("told.complete").json_value()


def leftovers(storage: fk.Storage) -> list[str]:
    """All that is there beside finished uploads' records."""
    tails = [name for name in storage.incoming.scan() if not name.endswith(".json")]
    return [*storage.scan(), *tails, *(str(upload.ref) for upload in storage.backend.multipart_list(""))]


class TestResumable:
    def test_a_cut_a_pause_and_another_day(self, storage: fk.Storage, url: str, page: Any, tmp_path: Path):
        content = os.urandom(14 * MiB + 7)
        path = tmp_path / "ü film.bin"
        path.write_bytes(content)
        with contextlib.closing(Relay(url, 8 * MiB)) as line:
            page.goto(line.url)
            choose(page, path)
            page.evaluate("resumable(6 << 20)")
            page.wait_for_function("told.progress >= 20")
            with line.cut():
                page.wait_for_function("told.retries > 0")
            page.wait_for_function("told.progress >= 50")
            page.evaluate("uppy.pauseAll()")
            assert list(storage.scan()) == []
            page.evaluate("uppy.resumeAll()")
            page.wait_for_function("told.progress >= 60")
            page.reload()  # the upload breaks off, and is found again by the file's name, size and time
            sent: list[int] = []
            page.on("response", lambda answer: sent.append(answer.status) if answer.request.method == "POST" else None)
            choose(page, path)
            page.evaluate("resumable(6 << 20)")
            assert complete(page) == [1, 0]
            assert sent == []  # nothing was created: it went on
        assert storage.content("in/ü film.bin") == content
        assert leftovers(storage) == ["in/ü film.bin"]

    def test_several_at_one_time_and_one_is_cancelled(self, storage: fk.Storage, url: str, page: Any, tmp_path: Path):
        paths = [tmp_path / f"{number}.bin" for number in range(4)]
        for path in paths:
            path.write_bytes(os.urandom(7 * MiB))
        with contextlib.closing(Relay(url, 4 * MiB)) as line:
            page.goto(line.url)
            choose(page, *paths)
            page.evaluate("resumable(Infinity)")
            page.wait_for_function("told.progress >= 30")
            page.evaluate("uppy.removeFile(uppy.getFiles().find((file) => file.name === '2.bin').id)")
            assert complete(page) == [3, 0]
        eventually(lambda: leftovers(storage) == ["in/0.bin", "in/1.bin", "in/3.bin"], 20)
        assert storage.content("in/3.bin") == paths[3].read_bytes()

    def test_what_is_too_large_is_said_once(self, storage: fk.Storage, url: str, page: Any, tmp_path: Path):
        path = tmp_path / "large.bin"
        with path.open("wb") as file:
            file.truncate(21 * MiB)
        page.goto(url)
        choose(page, path)
        page.evaluate("resumable(6 << 20)")
        assert complete(page) == [0, 1]
        assert "413" in page.evaluate("told.errors.join()")
        assert page.evaluate("told.errors.length") == 1
        assert leftovers(storage) == []


class TestStraight:
    def test_by_a_signed_link(self, storage: fk.Storage, url: str, page: Any, tmp_path: Path):
        content = PNG + os.urandom(3 * MiB)
        path = tmp_path / "picture.png"
        path.write_bytes(content)
        page.goto(url)
        choose(page, path)
        page.evaluate("straight()")
        assert complete(page) == [1, 0]
        file = direct.take_over(storage, "incoming/picture.png", "pictures/1.png", max_size="10MiB", types=["image/*"])
        assert storage.content(file) == content
        assert (file.content_type, leftovers(storage)) == ("image/png", ["pictures/1.png"])

    @pytest.mark.parametrize("storage", ["fs"], indirect=True)  # moto does not look at what a form's policy says
    def test_more_than_was_signed_for(self, storage: fk.Storage, url: str, page: Any, tmp_path: Path):
        path = tmp_path / "large.png"
        path.write_bytes(PNG + bytes(11 * MiB))
        page.goto(url)
        choose(page, path)
        page.evaluate("straight()")
        assert complete(page) == [0, 1]
        assert leftovers(storage) == []
