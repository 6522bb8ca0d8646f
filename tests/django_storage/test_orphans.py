"""`manage.py orphanfiles`, and django-cleanup on our class: the file and the row live and die together."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from django.apps import apps
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test.utils import override_settings
from file_keeper_django import FileKeeperStorage
from file_keeper_django.orphans import file_columns, find_orphans
from gallery.models import Document, Picture

pytestmark = pytest.mark.usefixtures("database")

PNG = Path(__file__).with_name("project") / "gallery" / "static" / "gallery" / "dot.png"


def orphans(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("orphanfiles", *arguments, stdout=out, stderr=out)
    return out.getvalue().splitlines()


def test_what_no_row_names_is_listed_and_removed(storage: FileKeeperStorage):
    kept = Document.objects.create(file=ContentFile(b"kept", name="kept.txt")).file.name
    gone = Document.objects.create(file=ContentFile(b"gone", name="gone.txt"))
    left = gone.file.name
    gone.delete()
    with transaction.atomic():
        Document.objects.create(file=ContentFile(b"rolled back", name="rolled.txt"))
        transaction.set_rollback(True)
    storage.storage.upload("pictures/known.png", PNG.read_bytes())
    picture = Picture.objects.create(image="pictures/known.png").image.name
    incoming = storage.storage.incoming.upload("in-progress", b"x")

    assert orphans() == ["0 files, 0 B, named by no row"], "they are young: a transaction may still be open"
    listed = orphans("--older-than", "0")
    assert [line.split("  ")[0] for line in listed[:-1]] == sorted([left, "documents/rolled.txt"])
    assert listed[-1] == "2 files, 15 B, named by no row"
    assert orphans("--older-than", "0", "--prefix", "documents/g") == [listed[0], "1 file, 4 B, named by no row"]
    assert storage.exists(left)

    assert orphans("--older-than", "0", "--remove") == ["2 files, 15 B, removed"]
    assert list(storage.storage.scan()) == sorted([kept, picture])
    assert storage.storage.incoming.content(incoming) == b"x"
    storage.storage.incoming.remove(incoming)


def test_what_was_replaced_meanwhile_is_not_removed(storage: FileKeeperStorage, monkeypatch: pytest.MonkeyPatch):
    storage.storage.upload("a.txt", b"old")
    found = list(find_orphans(storage.storage, file_columns()))
    storage.storage.upload("a.txt", b"newer", overwrite=True)
    monkeypatch.setattr("file_keeper_django.management.commands.orphanfiles.find_orphans", lambda *a, **k: iter(found))
    assert orphans("--older-than", "0", "--remove") == ["0 files, 0 B, removed"]
    assert storage.storage.content("a.txt") == b"newer"


@pytest.fixture
def second(tmp_path: Path) -> Any:
    """Another database of the project, with the table of pictures."""
    from django.db import connections

    connections.databases["eu"] = {**connections.databases["default"], "NAME": str(tmp_path / "eu.sqlite3")}
    with connections["eu"].schema_editor() as editor:
        editor.create_model(Picture)
    yield "eu"
    connections["eu"].close()
    del connections["eu"]
    del connections.databases["eu"]


def test_rows_of_every_database_keep_their_files(storage: FileKeeperStorage, second: str):
    storage.storage.upload("pictures/eu.png", b"x")
    storage.storage.upload("pictures/left.png", b"x")
    Picture.objects.using(second).bulk_create([Picture(image="pictures/eu.png")])
    assert orphans("--older-than", "0", "--remove") == ["1 file, 1 B, removed"]
    assert list(storage.storage.scan()) == ["pictures/eu.png"]


@pytest.mark.parametrize("kind", ["fs", "s3"])
def test_what_lies_within_is_another_storages(kind: str, fresh_settings: Any, tmp_path: Path):
    options = {"type": "fs", "path": str(tmp_path / "link")} if kind == "fs" else fresh_settings(kind)
    (tmp_path / "media").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "media")

    def beneath(name: str, backend: str = "FileKeeperStorage") -> dict[str, Any]:
        path = str(tmp_path / "media" / name) if kind == "fs" else "/".join(filter(None, (options.get("path"), name)))
        more = {**options, "path": path, "initialize": True}
        return {"BACKEND": f"file_keeper_django.{backend}", "OPTIONS": more}

    entries = {
        "default": {"BACKEND": "file_keeper_django.FileKeeperStorage", "OPTIONS": options},
        "same": beneath(""),
        "thumbs": beneath("thumbs"),
        "staticfiles": beneath("a/static", "FileKeeperStaticStorage"),
        "other": {"BACKEND": "django.core.files.storage.base.Storage"},
    }
    with override_settings(STORAGES=entries):
        for name in ("a.txt", "thumbs/t.txt", "thumbs/named.txt", "thumbsy.txt", "a/static/site.css"):
            storages["default"].save(name, ContentFile(b"x"))
        Document.objects.create(file="thumbs/named.txt")
        told = [
            "left out: a/static/, where STORAGES['staticfiles'] lies",
            "left out: thumbs/, where STORAGES['thumbs'] lies",
        ]
        unknown = "where STORAGES['other'] lies is not known: if within this storage, keep its files by --prefix"
        removed = [*told, unknown, "2 files, 2 B, removed"]
        assert orphans("--older-than", "0", "--remove") == removed
        assert sorted(storages["default"].storage.scan()) == ["a/static/site.css", "thumbs/named.txt", "thumbs/t.txt"]
        # A row may name a file of the inner storage as the outer one has it.
        assert orphans("thumbs", "--older-than", "0", "--remove") == [unknown, "1 file, 1 B, removed"]
        assert list(storages["thumbs"].storage.scan()) == ["named.txt"]
        with pytest.raises(CommandError, match="no row names static files"):
            orphans("staticfiles", "--older-than", "0", "--remove")
        assert storages["staticfiles"].exists("site.css")


def test_senseless_arguments(storage: FileKeeperStorage, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(CommandError, match="STORAGES has no 'other', only 'default'"):
        orphans("other")
    with pytest.raises(CommandError, match="soon"):
        orphans("--older-than", "soon")
    monkeypatch.setattr("file_keeper_django.management.commands.orphanfiles.file_columns", list)
    storage.storage.upload("a.txt", b"x")
    with pytest.raises(CommandError, match="no model has a FileField"):
        orphans("--older-than", "0", "--remove")
    assert storage.exists("a.txt")


def test_ten_thousand_files_in_flat_memory():
    storage = fk.make_storage("many", {"type": "memory"})
    for number in range(10_000):
        storage.upload(f"{number:05}", b"")
    Document.objects.bulk_create(Document(file=f"{number:05}") for number in range(0, 10_000, 2))
    tracemalloc.start()
    try:
        count = sum(1 for _ in find_orphans(storage, file_columns()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 5_000
    assert peak < 8 << 20


@pytest.fixture
def cleanup() -> Any:
    """django-cleanup, as it works in a project that has it in INSTALLED_APPS."""
    handlers = pytest.importorskip("django_cleanup.handlers")
    cache = pytest.importorskip("django_cleanup.cache")
    cache.prepare(False)
    handlers.connect()
    assert apps.is_installed("gallery")
    yield
    from django.db.models import signals

    for signal in (signals.post_init, signals.pre_save, signals.post_save, signals.post_delete):
        signal.receivers = [one for one in signal.receivers if "django_cleanup" not in str(one[0])]
        signal.sender_receivers_cache.clear()


def test_django_cleanup_removes_on_commit(storage: FileKeeperStorage, cleanup: Any):
    document = Document.objects.create(file=ContentFile(b"one", name="a.txt"))
    first = document.file.name
    document.file = ContentFile(b"two", name="b.txt")
    document.save()
    second = document.file.name
    assert (storage.exists(first), storage.exists(second)) == (False, True)
    with transaction.atomic():
        document.delete()
        transaction.set_rollback(True)
    assert storage.exists(second), "the row is there again"
    Document.objects.get().delete()
    assert not storage.exists(second)
