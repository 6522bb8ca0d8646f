"""Names of downloads in programs that people use: one file, in its folder, and no second header."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from core.test_serving import NAMES
from file_keeper.backend import content_disposition
from web.servers import wsgi_server

pytestmark = pytest.mark.full

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
CURL = shutil.which("curl")
NAMED = {name: wanted for name, wanted in NAMES.items() if "\ud800" not in name} | {"é" * 300 + ".tar": "é.tar"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that sends `words` as an attachment of the name in the query."""

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        header = content_disposition("attachment", unquote(environ["QUERY_STRING"]))
        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Disposition", header)])
        return [b"words"]

    with wsgi_server(application) as address:
        yield address


@pytest.mark.skipif(not CHROMIUM, reason="there is no chromium on this machine")
def test_in_chromium(url: str):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context()
        page = context.new_page()
        for name, wanted in NAMED.items():
            with page.expect_download() as download:
                page.evaluate("address => { location.href = address }", f"{url}/?{quote(name)}")
            found = download.value.suggested_filename
            if wanted == "é.tar":
                assert found.endswith(wanted)
                assert len(found.encode()) <= 255
            else:  # what some system takes for more than a part of a name, Chromium makes an underscore of
                assert found == wanted.translate({ord(sign): "_" for sign in '":;%'}) or found == wanted.replace(
                    '"', "_"
                )
            assert Path(download.value.path()).read_bytes() == b"words"
        assert context.cookies() == []
        browser.close()


@pytest.mark.skipif(not CURL, reason="there is no curl on this machine")
@pytest.mark.parametrize("name", NAMED)
def test_with_curl(url: str, name: str, tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    jar = tmp_path / "jar"
    command = [CURL, "-sS", "-OJ", "-c", str(jar), f"{url}/?{quote(name)}"]
    subprocess.run([str(part) for part in command], cwd=folder, check=True, timeout=30)
    (made,) = folder.iterdir()
    assert made.read_bytes() == b"words"
    assert made.suffix == Path(NAMED[name]).suffix
    assert {path.name for path in tmp_path.iterdir()} <= {"folder", "jar"}
    assert "Set-Cookie" not in jar.read_text() if jar.exists() else True
