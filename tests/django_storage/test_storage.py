"""What Django asks of any file storage, on each kind: names, content, times, listings, errors."""

from __future__ import annotations

import io
import pickle
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import django
import file_keeper as fk
import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import InMemoryUploadedFile, SimpleUploadedFile, TemporaryUploadedFile
from django.db.migrations.writer import MigrationWriter
from django.test.utils import override_settings
from file_keeper_django import FileKeeperStorage

# -- saving and names ---------------------------------------------------------------------------------------------


def test_a_file_is_saved_and_read(storage: FileKeeperStorage):
    assert not storage.exists("test.file")
    name = storage.save("test.file", ContentFile(b"custom contents"))
    assert name == "test.file"
    assert storage.exists("test.file")
    with storage.open("test.file") as file:
        assert file.name == "test.file"
        assert file.read() == b"custom contents"
    storage.delete("test.file")
    assert not storage.exists("test.file")


def test_a_file_is_saved_below_directories_that_are_not_there(storage: FileKeeperStorage):
    assert storage.save("path/to/test.file", ContentFile(b"x")) == "path/to/test.file"
    assert storage.open("path/to/test.file").read() == b"x"


def test_without_a_name_it_is_that_of_the_content(storage: FileKeeperStorage):
    assert storage.save(None, ContentFile(b"x", name="own.txt")) == "own.txt"


def test_a_name_that_is_taken_becomes_another_with_all_its_extensions(storage: FileKeeperStorage):
    storage.save("a/tar.tar.gz", ContentFile(b"1"))
    second = storage.save("a/tar.tar.gz", ContentFile(b"2"))
    assert re.fullmatch(r"a/tar_\w{7}\.tar\.gz" if django.VERSION >= (5,) else r"a/tar\.tar_\w{7}\.gz", second)
    assert storage.open("a/tar.tar.gz").read() == b"1"
    assert storage.open(second).read() == b"2"


def test_names_of_dotfiles_and_without_extension(storage: FileKeeperStorage):
    for name in (".hidden", "none", "e.g. many.dots.txt"):
        assert storage.save(name, ContentFile(b"1")) == name
        other = storage.save(name, ContentFile(b"2"))
        assert other != name
        assert storage.open(other).read() == b"2"


def test_a_name_fits_into_its_length(storage: FileKeeperStorage):
    name = "long" * 10 + ".txt"
    assert storage.save(name, ContentFile(b"1"), max_length=len(name)) == name
    second = storage.save(name, ContentFile(b"2"), max_length=len(name))
    assert len(second) == len(name)
    assert second.endswith(".txt")
    short = storage.save(name, ContentFile(b"3"), max_length=20)
    assert len(short) == 20
    with pytest.raises(SuspiciousFileOperation):
        storage.save("x.longextension", ContentFile(b""), max_length=5)


@pytest.mark.parametrize("name", ["", ".", "..", "a/.."])
def test_what_is_no_file_name_is_refused(storage: FileKeeperStorage, name: str):
    with pytest.raises(SuspiciousFileOperation):
        storage.save(name, ContentFile(b"x"))
    assert storage.listdir("") == ([], [])


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "x\0y", "a/.file-keeper/b", "\ud800"])
def test_a_name_that_leads_out_or_none_can_have_is_suspicious(storage: FileKeeperStorage, name: str):
    for call in (storage.open, storage.exists, storage.size, storage.get_modified_time, storage.delete, storage.url):
        with pytest.raises(SuspiciousFileOperation):
            call(name)
    with pytest.raises(SuspiciousFileOperation):
        storage.save(name, ContentFile(b"x"))
    with pytest.raises(SuspiciousFileOperation):
        storage.open(name, "wb")


def test_names_are_relative_and_in_one_form(storage: FileKeeperStorage):
    assert storage.save("a//b/./c.txt", ContentFile(b"x")) == "a/b/c.txt"
    assert storage.save("back\\slash.txt", ContentFile(b"x")) == "back/slash.txt"
    assert storage.open("a/x/../b/c.txt").read() == b"x"
    assert storage.exists(Path("a/b/c.txt"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["späß.txt", "漢字/日本.txt", "a b+c&d=e#f?g%20h.txt", "quote\"'s.txt", "👍.txt"])
def test_names_travel_unchanged(storage: FileKeeperStorage, name: str):
    assert storage.save(name, ContentFile(b"x")) == name
    assert storage.open(name).read() == b"x"
    folder, _, base = name.rpartition("/")
    assert base in storage.listdir(folder)[1]


def test_twenty_at_once_get_twenty_names_and_contents(storage: FileKeeperStorage):
    start = threading.Barrier(20)
    names: dict[int, str] = {}

    def save(number: int) -> None:
        start.wait()
        names[number] = storage.save("one/name.txt", ContentFile(f"content {number}".encode()))

    threads = [threading.Thread(target=save, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names.values())) == 20
    assert "one/name.txt" in names.values()
    for number, name in names.items():
        assert storage.open(name).read() == f"content {number}".encode()
    assert sorted(storage.listdir("one")[1]) == sorted(name.partition("/")[2] for name in names.values())


def test_a_name_that_is_taken_between_look_and_write_keeps_its_length(storage: FileKeeperStorage, monkeypatch: Any):
    """The look says that the name is free, as it was a moment ago: the write itself decides."""
    name = "n" * 16 + ".txt"
    storage.save(name, ContentFile(b"first"))
    looks: list[str] = []
    real = FileKeeperStorage.is_name_available

    def is_name_available(self: FileKeeperStorage, name: str, max_length: int | None = None) -> bool:
        looks.append(name)
        return len(looks) == 1 or real(self, name, max_length)

    monkeypatch.setattr(FileKeeperStorage, "is_name_available", is_name_available)
    second = storage.save(name, ContentFile(b"second"), max_length=20)
    assert len(second) <= 20
    assert (storage.open(name).read(), storage.open(second).read()) == (b"first", b"second")


def test_a_subclass_that_always_gives_one_name_fails_at_the_second_file(storage: FileKeeperStorage):
    class Stubborn(FileKeeperStorage):
        def get_available_name(self, name: str, max_length: int | None = None) -> str:
            return name

    stubborn = Stubborn(**storage.options)
    stubborn._storage = storage.storage
    assert stubborn.save("a.txt", ContentFile(b"1")) == "a.txt"
    with pytest.raises(FileExistsError):
        stubborn.save("a.txt", ContentFile(b"2"))
    assert storage.open("a.txt").read() == b"1"


def test_with_overwrite_existing_a_name_is_kept(use: Any, options: dict[str, Any]):
    storage = use({**options, "overwrite_existing": True})
    assert [storage.save("a.txt", ContentFile(text)) for text in (b"1", b"2")] == ["a.txt", "a.txt"]
    assert storage.open("a.txt").read() == b"2"
    assert len(storage.save("a" * 30 + ".txt", ContentFile(b""), max_length=20)) == 20


# -- content ------------------------------------------------------------------------------------------------------


class Chunks:
    """What has chunks and nothing else."""

    name = "chunks.bin"

    def __init__(self, *chunks: bytes | str):
        self._chunks = chunks

    def chunks(self, chunk_size: int | None = None) -> Any:
        yield from self._chunks


def _temporary(content: bytes) -> TemporaryUploadedFile:
    file = TemporaryUploadedFile("t.bin", "text/plain", len(content), None)
    file.write(content)
    return file


class Unseekable(io.RawIOBase):
    def __init__(self, content: bytes):
        self._inner = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._inner.readinto(buffer)


def _memory(content: bytes) -> InMemoryUploadedFile:
    return InMemoryUploadedFile(io.BytesIO(content), "f", "n.txt", "text/plain", len(content), None)


SHAPES: dict[str, Callable[[], Any]] = {
    "bytes": lambda: ContentFile("grüße!".encode()),
    "text": lambda: ContentFile("grüße!"),
    "raw": lambda: io.BytesIO("grüße!".encode()),
    "raw text": lambda: io.StringIO("grüße!"),
    "file": lambda: File(io.BytesIO("grüße!".encode()), "f.txt"),
    "simple": lambda: SimpleUploadedFile("s.txt", "grüße!".encode()),
    "memory": lambda: _memory("grüße!".encode()),
    "temporary": lambda: _temporary("grüße!".encode()),
    "chunks": lambda: Chunks("grü".encode(), "ße!".encode()),
    "text chunks": lambda: Chunks("grü", "ße!"),
    "unseekable": lambda: File(Unseekable("grüße!".encode()), "u.txt"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_content_is_stored_whole(storage: FileKeeperStorage, shape: str):
    content = SHAPES[shape]()
    name = storage.save("shape.txt", content)
    assert storage.open(name).read().decode() == "grüße!"
    if isinstance(content, File):
        content.close()


@pytest.mark.parametrize("shape", [s for s in SHAPES if s not in ("chunks", "text chunks", "unseekable")])
@pytest.mark.parametrize("read", [3, -1])
def test_what_a_validator_has_read_is_stored_whole(storage: FileKeeperStorage, shape: str, read: int):
    content = SHAPES[shape]()
    content.read(read)
    name = storage.save("shape.txt", content)
    assert storage.open(name).read().decode() == "grüße!"
    if isinstance(content, File):
        content.close()


def test_a_temporary_file_whose_path_was_moved_away(storage: FileKeeperStorage):
    file = _temporary(b"moved")
    Path(file.temporary_file_path()).unlink()
    assert storage.open(storage.save("m.txt", file)).read() == b"moved"
    file.close()


def test_a_file_that_another_storage_opened(storage: FileKeeperStorage):
    other = FileKeeperStorage(type="memory")
    other.save("source.txt", ContentFile(b"lazy"))
    with other.open("source.txt") as file:
        file.read(2)
        assert storage.open(storage.save("copy.txt", file)).read() == b"lazy"
    assert storage.open(storage.save("again.txt", file)).read() == b"lazy"  # closed, and opened again


def test_content_with_nothing_to_read_is_an_error_and_stores_nothing(storage: FileKeeperStorage):
    closed = File(io.BytesIO(b"x"), "gone.txt")
    closed.close()
    for content in (File(None, "none.txt"), closed):  # type: ignore[arg-type]
        with pytest.raises(fk.exc.ContentError):
            storage.save("none.txt", content)
    assert storage.listdir("") == ([], [])


def test_a_source_that_fails_leaves_nothing(storage: FileKeeperStorage):
    class Failing(Chunks):
        def chunks(self, chunk_size: int | None = None) -> Any:
            yield b"x" * 100_000
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        storage.save("partial.bin", Failing())
    assert storage.listdir("") == ([], [])
    assert storage.storage.cleanup_uploads(0) == 0


def test_types_are_told_from_the_content_and_not_by_the_client(storage: FileKeeperStorage):
    png = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
    for name, content, wanted in (
        ("a.txt", png, "image/png"),
        ("page.png", b"<html><script>alert(1)</script></html>", "text/html"),
        ("style.css", b"body { color: red }", "text/css"),
        ("empty.css", b"", "text/css"),
        ("empty", b"", "application/x-empty"),
    ):
        storage.save(name, SimpleUploadedFile(name, content, content_type="image/gif"))
        assert storage.storage.analyze(name).content_type == wanted


# -- open files ---------------------------------------------------------------------------------------------------


def test_open_files_read_seek_close_and_open_again(storage: FileKeeperStorage):
    storage.save("r.bin", ContentFile(bytes(range(256))))
    file = storage.open("r.bin")
    assert file.size == len(file) == 256
    assert file.read(4) == bytes(range(4))
    second = storage.open("r.bin")  # while the first is open
    assert second.read() == bytes(range(256))
    second.close()
    file.seek(250)
    assert file.read() == bytes(range(250, 256))
    assert b"".join(file.chunks(100)) == bytes(range(256))
    file.close()
    assert file.closed
    assert file.size == 256
    file.open()
    assert file.read(2) == b"\0\1"
    file.open()
    assert file.read(2) == b"\0\1"
    file.close()


def test_lines_and_text(storage: FileKeeperStorage):
    storage.save("lines.txt", ContentFile("eins\nzwei\r\ndrü"))
    with storage.open("lines.txt") as file:
        assert list(file) == [b"eins\n", b"zwei\r\n", "drü".encode()]
    with storage.open("lines.txt", "r") as file:
        assert file.size == 15
        assert file.read() == "eins\nzwei\ndrü"


def test_writing_through_open(storage: FileKeeperStorage):
    with storage.open("w.txt", "w") as file:
        file.write("hällo")
    with storage.open("w.bin", "wb") as file:
        assert file.size == 0
        file.write(b"12345")
        assert file.size == 5
    assert storage.open("w.txt").read() == "hällo".encode()
    with storage.open("w.bin", "wb") as file:
        file.write(b"new")
    assert storage.open("w.bin").read() == b"new"
    with pytest.raises(FileExistsError), storage.open("w.bin", "xb") as file:
        file.write(b"never")
    for mode in ("a", "ab", "r+b", "w+"):
        with pytest.raises(fk.exc.UnsupportedOperationError, match="mode"):
            storage.open("w.bin", mode)


def test_an_exception_while_writing_publishes_nothing(storage: FileKeeperStorage):
    for mode, data in (("wb", b"x"), ("w", "x")):
        with pytest.raises(ZeroDivisionError), storage.open("never", mode) as file:  # noqa: PT012
            file.write(data)
            raise ZeroDivisionError
    assert not storage.exists("never")


# -- looking ------------------------------------------------------------------------------------------------------


def test_what_is_not_there(storage: FileKeeperStorage):
    for call in (storage.open, storage.size, storage.get_modified_time, storage.get_created_time):
        with pytest.raises(FileNotFoundError):
            call("none/such.txt")
    with pytest.raises(FileNotFoundError):
        storage.listdir("none")
    assert not storage.exists("none")
    storage.delete("none/such.txt")
    with pytest.raises(ValueError, match="name must be given"):
        storage.delete("")
    with pytest.raises(NotImplementedError):
        storage.path("a")
    with pytest.raises(NotImplementedError):
        storage.get_accessed_time("a")


def test_listdir(storage: FileKeeperStorage):
    assert storage.listdir("") == ([], [])
    for name in ("a.txt", "b.txt", "dir/c.txt", "dir/sub/d.txt", "dir.txt"):
        storage.save(name, ContentFile(b"x"))
    assert storage.listdir("") == (["dir"], ["a.txt", "b.txt", "dir.txt"])
    assert storage.listdir("dir") == storage.listdir("dir/") == (["sub"], ["c.txt"])
    assert storage.listdir("dir/sub") == ([], ["d.txt"])


def test_directories_exist_while_they_hold_something(storage: FileKeeperStorage):
    storage.save("dir/sub/a.txt", ContentFile(b"x"))
    assert all(storage.exists(name) for name in ("", "dir", "dir/", "dir/sub", "dir/sub/a.txt"))
    assert not storage.exists("dir/su")
    assert not storage.exists("dir/sub/a.txt/")
    storage.delete("dir/sub/a.txt")
    assert not storage.exists("dir")


def test_size(storage: FileKeeperStorage):
    storage.save("s.bin", ContentFile(b"x" * 1234))
    assert storage.size("s.bin") == 1234


@pytest.mark.parametrize("zone", ["UTC", "Africa/Algiers", "America/New_York"])
def test_times_follow_use_tz(storage: FileKeeperStorage, zone: str):
    storage.save("t.txt", ContentFile(b"x"))
    with override_settings(USE_TZ=True, TIME_ZONE=zone):
        modified = storage.get_modified_time("t.txt")
        assert modified.tzinfo is not None
        assert abs(datetime.now(UTC) - modified) < timedelta(seconds=60)
        assert storage.get_created_time("t.txt") == modified
    with override_settings(USE_TZ=False, TIME_ZONE=zone):
        modified = storage.get_modified_time("t.txt")
        assert modified.tzinfo is None
        assert abs(datetime.now(ZoneInfo(zone)).replace(tzinfo=None) - modified) < timedelta(seconds=60)


# -- the class ----------------------------------------------------------------------------------------------------


def test_nothing_is_asked_of_the_network_when_it_is_made():
    # Nobody listens there: making it, its links and its equality work all the same.
    options = {"type": "s3", "bucket": "b", "endpoint": "http://127.0.0.1:9", "key": "k", "secret": "geheim"}
    storage = FileKeeperStorage(**options, region="eu-west-1", retry=None)
    assert storage.url("a.txt").startswith("http://127.0.0.1:9/b/a.txt?")
    assert "geheim" not in repr(storage) + str(storage)
    assert "geheim" not in repr(FileKeeperStorage(**options))


def test_it_is_deconstructed_for_migrations():
    storage = FileKeeperStorage(type="memory", bucket="m", path="a/b")
    path, args, kwargs = storage.deconstruct()
    assert (path, args) == ("file_keeper_django.FileKeeperStorage", ())
    assert kwargs == {"type": "memory", "bucket": "m", "path": "a/b"}
    source, imports = MigrationWriter.serialize(storage)
    namespace: dict[str, Any] = {}
    exec("\n".join(imports), namespace)
    assert eval(source, namespace) == storage


def test_it_is_equal_where_its_options_are():
    one, same = FileKeeperStorage(type="memory", bucket="x"), FileKeeperStorage(bucket="x", type="memory")
    assert one == same
    assert hash(one) == hash(same)
    assert one != FileKeeperStorage(type="memory", bucket="y")


def test_it_travels_to_another_process():
    storage = FileKeeperStorage(type="memory", bucket="pickled")
    storage.save("a.txt", ContentFile(b"x"))
    there = pickle.loads(pickle.dumps(storage))
    assert there == storage
    assert there.open("a.txt").read() == b"x"


def test_a_configured_storage_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = tmp_path / "storages.toml"
    config.write_text('[storages.django-media]\ntype = "fs"\npath = "files"\ninitialize = true\n')
    monkeypatch.setenv("FILE_KEEPER_CONFIG", str(config))
    monkeypatch.chdir(tmp_path)
    storage = FileKeeperStorage(storage="django-media", link_duration="5m")
    assert storage.storage is fk.get_storage("django-media")
    storage.save("a.txt", ContentFile(b"x"))
    assert (tmp_path / "files" / "a.txt").read_bytes() == b"x"
    with pytest.raises(fk.exc.InvalidStorageConfigurationError, match="'path' belongs into its configuration"):
        FileKeeperStorage(storage="django-media", path="x").save("a", ContentFile(b""))


def test_errors_say_which_storage_of_the_project(storage: FileKeeperStorage):
    with pytest.raises(fk.exc.MissingFileError, match="storage 'default': open 'none'"):
        storage.open("none")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"buket": "b"}, "storage 'django': unknown option 'buket', did you mean 'bucket'?"),
        ({"url": "open"}, "option 'url' is one of 'auto', 'signed', 'public', not 'open'"),
        ({"link_duration": "soon"}, "option 'link_duration' is a duration"),
        ({"link_duration": 0}, "option 'link_duration' is a duration"),
        ({"inline": "pdf"}, "option 'inline' is a list of media types or 'all', not 'pdf'"),
        ({"storage": 3}, "option 'storage' is the name of a configured storage, not 3"),
    ],
)
def test_a_wrong_option_is_named(wrong: dict[str, Any], told: str):
    with pytest.raises(fk.exc.InvalidStorageConfigurationError) as caught:
        FileKeeperStorage(**{"type": "memory", **wrong}).exists("a")
    assert told in str(caught.value)
