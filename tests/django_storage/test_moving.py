"""`manage.py movefiles`: copied, verified, removed; stopped and run again; from Django's own storage to a cloud."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from django.core.management import CommandError, call_command
from django.test.utils import override_settings
from file_keeper_django import FileKeeperStorage

BACKEND = "file_keeper_django.FileKeeperStorage"
CONTENT = {f"docs/{name}": name.encode() * 1000 for name in ("a.txt", "ä b.txt", "c/d.bin", "e.html")}


@pytest.fixture
def places(tmp_path: Path, options: dict[str, Any]) -> Iterator[tuple[FileSystemStorage, FileKeeperStorage]]:
    """Django's own storage with files, and one of ours without any."""
    old = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path / "old")}}
    entries = {
        "old": old,
        "new": {"BACKEND": BACKEND, "OPTIONS": options},
        "strange": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    }
    with override_settings(STORAGES=entries):
        for name, content in CONTENT.items():
            storages["old"].save(name, ContentFile(content))
        yield storages["old"], storages["new"]  # type: ignore[misc]


def move(*arguments: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("movefiles", *(arguments or ("old", "new")), stdout=out, stderr=out, **options)
    return out.getvalue().strip()


def content_of(storage: FileKeeperStorage) -> dict[str, bytes]:
    return {name: storage.storage.content(name) for name in storage.storage.scan()}


def test_files_are_copied_once_and_verified(places: Any):
    old, new = places
    assert move() == "4 copied"
    assert content_of(new) == CONTENT
    assert move() == "4 skipped"
    assert move(verify=True) == "4 skipped"
    assert all(old.exists(name) for name in CONTENT)
    assert new.storage.analyze("docs/a.txt").content_type == "text/plain"


def test_what_can_run_script_becomes_an_attachment_as_when_it_is_saved(places: Any):
    old, new = places
    old.save("docs/page.html", ContentFile(b"<html><script>alert(1)</script></html>"))
    move()
    assert new.storage.analyze("docs/page.html").headers == {"Content-Disposition": "attachment"}
    assert new.storage.analyze("docs/a.txt").headers == {}


def test_files_are_moved(places: Any):
    old, new = places
    assert move(prefix="docs/c") == "1 copied"
    assert move(remove=True, verbosity=2).splitlines()[-1] == "3 moved, 1 removed"
    assert content_of(new) == CONTENT
    assert not any(old.exists(name) for name in CONTENT)
    assert move() == "nothing to move"


def test_a_dry_run_changes_nothing(places: Any):
    _, new = places
    said = move(dry_run=True).splitlines()
    assert said[0] == "would copy docs/a.txt"
    assert said[-1] == "4 copied"
    assert content_of(new) == {}
    assert "would move docs/a.txt" in move(dry_run=True, remove=True)


def test_what_differs_is_told_and_kept_until_it_may_be_replaced(places: Any):
    old, new = places
    new.save("docs/a.txt", ContentFile(b"x" * len(CONTENT["docs/a.txt"])))
    with pytest.raises(CommandError, match="3 moved, 1 failed: run it again"):
        move(remove=True)
    assert old.exists("docs/a.txt")
    assert new.open("docs/a.txt").read(1) == b"x"
    assert move(overwrite=True, remove=True) == "1 moved"
    assert content_of(new) == CONTENT


def test_between_two_of_ours_all_is_kept(use: Callable[..., Any], options: dict[str, Any]):
    source = FileKeeperStorage(type="memory", bucket="moving", path=options["path"])
    source.storage.upload("m.txt", b"x", metadata={"k": "v"}, headers={"Cache-Control": "no-store"})
    entries = {
        "old": {"BACKEND": BACKEND, "OPTIONS": dict(source.options)},
        "new": {"BACKEND": BACKEND, "OPTIONS": {**options, "hashing_algorithm": "sha256"}},
    }
    with override_settings(STORAGES=entries):
        assert move() == "1 copied"
        assert move() == "1 skipped"
        made = storages["new"].storage.analyze("m.txt")
        assert (made.metadata, made.headers) == ({"k": "v"}, {"Cache-Control": "no-store"})


def test_a_damaged_copy_is_found(places: Any, monkeypatch: pytest.MonkeyPatch):
    def damaged(self: fk.Storage, *args: Any, **options: Any) -> Any:
        raise fk.exc.UploadHashMismatchError("the md5 of the content is another")

    old, _ = places
    monkeypatch.setattr(fk.Storage, "verify", damaged)
    with pytest.raises(CommandError, match="4 failed"):
        move(verify=True, remove=True)
    assert all(old.exists(name) for name in CONTENT)


def test_a_run_that_was_ended_goes_on(fresh_settings: Any, fault_proxy: Any, moto_server: Any, tmp_path: Path):
    options = fresh_settings("s3")
    fk.make_storage("new", options).close()
    proxy = fault_proxy(moto_server)
    proxy.on("PUT", r"file-2\d$", times=None).answer(403)
    options |= {"endpoint": proxy.url, "initialize": False}
    old = {"type": "fs", "path": str(tmp_path), "initialize": True}
    entries = {"old": {"BACKEND": BACKEND, "OPTIONS": old}, "new": {"BACKEND": BACKEND, "OPTIONS": options}}
    with override_settings(STORAGES=entries):
        for number in range(60):
            storages["old"].save(f"file-{number:02}", ContentFile(b"%d" % number))
        with pytest.raises(CommandError, match="50 moved, 10 failed"):
            move(remove=True)
        assert len(storages["old"].listdir("")[1]) == 10
        proxy.clear()
        before = len(proxy.requests)
        assert move() == "10 copied"
        assert len([request for request in proxy.requests[before:] if request.method == "PUT"]) == 10
        assert content_of(storages["new"]) == {f"file-{n:02}": b"%d" % n for n in range(60)}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("old", "nowhere"), "STORAGES has no 'nowhere'"), (("strange", "new"), "'strange'.* is a InMemoryStorage")],
)
def test_senseless_arguments(places: Any, arguments: tuple[str, str], told: str):
    with pytest.raises(CommandError, match=told):
        move(*arguments)
    with pytest.raises(CommandError, match="--concurrency"):
        move(concurrency=0)
