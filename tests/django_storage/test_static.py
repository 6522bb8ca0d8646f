"""collectstatic: what is sent and what is not, the manifest, dry runs, clearing, and a run that fails."""

from __future__ import annotations

import io
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from django.contrib.staticfiles.management.commands.collectstatic import Command as DjangosCommand
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import call_command
from django.template import Context, Template
from file_keeper_django import FileKeeperManifestStaticStorage, FileKeeperStaticStorage
from file_keeper_django.collecting import Collecting

PLAIN = "file_keeper_django.FileKeeperStorage"
STATIC = "file_keeper_django.FileKeeperStaticStorage"
MANIFEST = "file_keeper_django.FileKeeperManifestStaticStorage"
NAMES = {f"gallery/{name}" for name in ("site.css", "more.css", "dot.png", "empty.css")}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the project's static files, which a test may change."""
    shutil.copytree(Path(__file__).with_name("project") / "gallery" / "static", tmp_path / "static")
    return tmp_path / "static"


@pytest.fixture
def collect(use: Callable[..., Any], source: Path) -> Callable[..., str]:
    """`collect(options, backend, *arguments)` runs the command and gives what it printed."""

    def run(
        options: dict[str, Any], backend: str, *arguments: str, command: Any = "collectstatic", verbosity: int = 1
    ) -> str:
        use(
            {"type": "memory"},
            {"BACKEND": backend, "OPTIONS": options},
            STATICFILES_DIRS=[str(source)],
            STATICFILES_FINDERS=["django.contrib.staticfiles.finders.FileSystemFinder"],
        )
        out = io.StringIO()
        one = command if isinstance(command, str) else command()
        call_command(one, *arguments, interactive=False, verbosity=verbosity, stdout=out)
        return out.getvalue().strip()

    return run


def names() -> set[str]:
    return set(storages["staticfiles"].storage.scan())


@pytest.mark.parametrize("backend", [PLAIN, STATIC])
@pytest.mark.parametrize("djangos", [False, True])
def test_files_are_copied_once(
    collect: Callable[..., str], options: dict[str, Any], backend: str, djangos: bool, source: Path
):
    command = DjangosCommand if djangos else "collectstatic"
    assert collect(options, backend, command=command) == "4 static files copied."
    assert names() == NAMES
    storage = storages["staticfiles"].storage
    assert storage.content("gallery/dot.png") == (source / "gallery/dot.png").read_bytes()
    assert storage.content_type("gallery/empty.css") == "text/css"
    assert collect(options, backend, command=command) == "0 static files copied, 4 unmodified."
    later = time.time() + 60
    (source / "gallery/more.css").write_text("p { color: blue}")
    os.utime(source / "gallery/more.css", (later, later))
    assert collect(options, backend, command=command) == "1 static file copied, 3 unmodified."
    assert names() == NAMES
    assert storages["staticfiles"].storage.content("gallery/more.css") == b"p { color: blue}"


def test_equal_content_of_another_time_is_not_sent_and_a_byte_is_seen(
    collect: Callable[..., str], options: dict[str, Any], source: Path
):
    collect(options, STATIC)
    for path in source.rglob("*.*"):
        os.utime(path, (time.time() + 1000,) * 2)  # a fresh container
    assert collect(options, STATIC) == "0 static files copied, 4 unmodified."
    css = source / "gallery/more.css"
    css.write_bytes(css.read_bytes().replace(b"red", b"rod"))
    os.utime(css, (1, 1))  # of the same size, and older
    assert collect(options, STATIC) == "1 static file copied, 3 unmodified."
    assert b"rod" in storages["staticfiles"].storage.content("gallery/more.css")


@pytest.mark.parametrize("algorithm", ["sha256", "crc32c"])
def test_other_hashes(collect: Callable[..., str], options: dict[str, Any], algorithm: str):
    options = {**options, "hashing_algorithm": algorithm}
    assert collect(options, STATIC) == "4 static files copied."
    assert collect(options, STATIC) == "0 static files copied, 4 unmodified."


def test_a_dry_run_changes_nothing(collect: Callable[..., str], options: dict[str, Any]):
    for backend in (STATIC, MANIFEST):
        said = collect(options, backend, "--dry-run")
        assert said.count("Pretending to copy") == 4
        assert said.endswith("4 static files copied.")
        assert names() == set()
    collect(options, STATIC)
    assert collect(options, STATIC, "--dry-run", "--clear", verbosity=3).count("Pretending to delete") == 4
    assert names() == NAMES


def test_clear_removes_what_is_old(collect: Callable[..., str], options: dict[str, Any]):
    collect(options, STATIC)
    storages["staticfiles"].save("old/deep/er.js", ContentFile(b"old"))
    said = collect(options, STATIC, "--clear", verbosity=3)
    assert "Deleting 'old/deep/er.js'" in said
    assert said.endswith("4 static files copied.")
    assert names() == NAMES


@pytest.mark.parametrize("djangos", [False, True])
def test_the_manifest(collect: Callable[..., str], options: dict[str, Any], djangos: bool, source: Path):
    command = DjangosCommand if djangos else "collectstatic"
    assert collect(options, MANIFEST, command=command) == "4 static files copied, 4 post-processed."
    found = names()
    assert len(found) == 9
    storage = storages["staticfiles"]
    assert isinstance(storage, FileKeeperManifestStaticStorage)
    hashed = storage.stored_name("gallery/site.css")
    assert re.fullmatch(r"gallery/site\.[0-9a-f]{12}\.css", hashed)
    css = storage.storage.content(hashed).decode()
    assert re.search(r'@import url\("more\.[0-9a-f]{12}\.css"\)', css)
    assert re.search(r'url\("dot\.[0-9a-f]{12}\.png"\)', css)
    assert Template("{% load static %}{% static 'gallery/site.css' %}").render(Context()).endswith(hashed)
    again = collect(options, MANIFEST, command=command)
    assert again.startswith("0 static files copied, 4 unmodified")
    assert names() == found
    (source / "gallery/dot.png").write_bytes(b"other")
    os.utime(source / "gallery/dot.png", (time.time() + 60,) * 2)
    assert collect(options, MANIFEST, command=command).startswith("1 static file copied, 3 unmodified")
    assert storages["staticfiles"].stored_name("gallery/site.css") != hashed
    assert found < names()


def test_css_names_no_signed_links(collect: Callable[..., str], fresh_settings: Callable[..., dict[str, Any]]):
    options = fresh_settings("s3") | {"url": "signed"}
    collect(options, MANIFEST)
    storage = storages["staticfiles"]
    assert b"X-Amz" not in storage.storage.content(storage.stored_name("gallery/site.css"))
    assert "X-Amz" in storage.url("gallery/site.css")


def test_static_files_run_and_replace(options: dict[str, Any]):
    storage = FileKeeperStaticStorage(**options)
    for content in (b"alert(1)", b"alert(2)"):
        assert storage.save("app.js", ContentFile(content)) == "app.js"
    file = storage.storage.analyze("app.js")
    assert (file.content_type, file.headers) == ("text/javascript", {})
    assert storage.open("app.js").read() == b"alert(2)"


def many(source: Path, count: int) -> None:
    for number in range(count):
        path = source / f"many/{number % 7}/file-{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content {number}")


@pytest.mark.full
def test_requests_of_a_first_and_of_a_second_run(
    collect: Callable[..., str],
    fresh_settings: Callable[..., dict[str, Any]],
    source: Path,
    fault_proxy: Any,
    moto_server: Any,
):
    many(source, 600)
    options = fresh_settings("s3")
    collect(options, STATIC, "--dry-run")  # makes the bucket
    proxy = fault_proxy(moto_server)
    options |= {"endpoint": proxy.url, "initialize": False, "max_concurrency": 8}
    assert collect(options, MANIFEST) == "604 static files copied, 604 post-processed."
    files = len(names())
    assert files == 1209
    first = len([request for request in proxy.requests if "/probe-" not in request.path])
    assert first <= files + 20
    before = len(proxy.requests)
    again = collect(options, MANIFEST)
    assert again.startswith("0 static files copied, 604 unmodified")
    sent = [request for request in proxy.requests[before:] if "/probe-" not in request.path]
    assert [request for request in sent if request.method == "PUT"] == []
    assert len(sent) <= 3 + -(-files // 1000)
    changed = source / "many/0/file-7.txt"
    changed.write_text("content 8")
    before = len(proxy.requests)
    assert collect(options, MANIFEST).startswith("1 static file copied, 603 unmodified, ")
    # Itself, under its hashed name, and the manifest.
    assert len([request for request in proxy.requests[before:] if request.method == "PUT"]) == 3


@pytest.mark.full
def test_sixteen_are_on_their_way_to_a_service(fresh_settings: Callable[..., dict[str, Any]]):
    together = threading.Barrier(16, timeout=30)
    run = Collecting(
        fk.make_storage("static", fresh_settings("s3")), lambda location, content: together.wait() and None
    )
    for number in range(16):
        run.save(f"{number}.txt", ContentFile(b"%d" % number))
    run.end(failed=False)  # raises where one of them has waited in vain


def test_a_run_that_fails_says_so_and_publishes_no_manifest(
    collect: Callable[..., str],
    fresh_settings: Callable[..., dict[str, Any]],
    source: Path,
    fault_proxy: Any,
    moto_server: Any,
):
    many(source, 40)
    options = fresh_settings("s3")
    collect(options, STATIC, "--dry-run")
    proxy = fault_proxy(moto_server)
    proxy.on("PUT", r"file-33\.txt$", times=None).answer(403)
    options |= {"endpoint": proxy.url, "initialize": False}
    with pytest.raises(PermissionError, match=r"file-33\.txt"):
        collect(options, MANIFEST)
    assert "staticfiles.json" not in names()
    proxy.clear()
    assert collect(options, MANIFEST).endswith("44 post-processed.")
    assert "staticfiles.json" in names()


def test_without_our_storage_it_is_djangos_command(use: Callable[..., Any], tmp_path: Path):
    use(
        {"type": "memory"},
        {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
        STATIC_ROOT=str(tmp_path / "root"),
    )
    call_command("collectstatic", interactive=False, verbosity=0)
    assert (tmp_path / "root/gallery/site.css").exists()
