"""The demo: what it shows, what it leaves, and that it would notice a difference."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import secrets
import select
import sys
import tempfile
from pathlib import Path

import file_keeper as fk
import pytest
from file_keeper.memory import MemoryBackend
from file_keeper_cli import run_demo
from file_keeper_cli.demo import STREAM, choose_files, differences, generated, name_files
from file_keeper_cli.output import Output

from .conftest import command


@pytest.fixture(autouse=True)
def some_files():
    Path("README.md").write_text("# Read me\n")
    Path("data.csv").write_text("a,b\n1,2\n")
    Path(".hidden").write_text("x")
    Path("sub").mkdir()
    Path("sub/deep.txt").write_text("deep\n")


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files, this test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_the_demo_says_that_fs_and_memory_are_identical(run, temporary):
    before = set(os.listdir("."))
    result = run("demo", "--size", "9MiB")
    assert result.code == 0
    assert result.stderr == ""
    text = result.text
    assert "\x1b" not in text
    assert text.count("README.md") == 2
    assert text.count("text/csv") == 2
    assert ".hidden" not in text
    assert len(re.findall(r"generated-stream.bin +9 MiB +application/octet-stream +[0-9a-f]{32}", text)) == 2
    assert text.count("✓ read back, every byte") == 2
    assert text.count("✓ a second writer was refused (ExistingFileError)") == 2
    assert "✓ fs, memory: identical in the locations, order, sizes, types and hashes of 3 files" in text
    assert "✗" not in text
    assert set(os.listdir(".")) == before
    assert list(temporary.iterdir()) == []


def test_the_demo_for_programs(run):
    (record,) = run("demo", "README.md", "sub", "--size", "100KiB", "--json").records
    assert record["identical"] is True
    assert [one["type"] for one in record["storages"]] == ["file_keeper:fs", "file_keeper:memory"]
    for one in record["storages"]:
        assert [(file["location"], file["size"]) for file in one["files"]] == [
            ("README.md", 10),
            (STREAM, 100 << 10),
            ("sub/deep.txt", 5),
        ]


def test_the_demo_keeps_the_files_when_asked(run):
    result = run("demo", "README.md", "--size", "1KiB", "--type", "fs", "--keep")
    assert result.code == 0
    (folder,) = Path("file-keeper-demo").iterdir()
    assert str(folder.resolve()) in result.text
    assert (folder / "README.md").read_text() == "# Read me\n"
    assert (folder / STREAM).read_bytes() == b"".join(generated(1024))


def test_the_demo_on_configured_storages(run, tmp_path):
    Path(".file-keeper.toml").write_text('[storages.media]\ntype = "fs"\npath = "store"\ninitialize = true\n')
    run("put", "README.md", "media:mine")
    assert run("demo", "README.md", "--size", "1KiB", "--storage", "media").code == 0
    assert run("ls", "-r", "media:").text == "mine\n"


def test_options_go_into_the_one_dictionary(run, tmp_path):
    options = ("-s", f"path={tmp_path / 'there'}", "-s", "part_size=64KiB", "-s", "hashing_algorithm=sha256")
    result = run("demo", "README.md", "--size", "1MiB", "-t", "fs", *options)
    assert result.code == 0
    assert re.search(r"README.md .* [0-9a-f]{64}", result.text)
    assert str(tmp_path / "there") in result.text
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_the_demo_chooses_no_file_that_no_location_can_name(run):
    for name in (os.fsdecode(b"caf\xe9"), "a\nb"):
        Path(name).write_text("x")
    assert run("demo", "--size", "1KiB", "-t", "memory").code == 0
    result = run("demo", "a\nb", "--size", "1KiB", "-t", "memory")
    assert result.code == 2
    assert result.stderr.count("cannot be part of a location") == 1


def test_a_demo_that_fails_leaves_nothing(run, temporary):
    assert run("demo", "README.md", "-t", "fs", "-t", "nosuch", "--size", "1KiB").code == 7
    assert run("demo", "nowhere.txt").code == 3
    assert list(temporary.iterdir()) == []


class Lying(MemoryBackend):
    """Tells another content type than the one that it was given."""

    def head(self, key):
        return dataclasses.replace(super().head(key), content_type="text/lie")


def test_the_demo_would_notice_a_difference(run):
    name = f"test:{secrets.token_hex(4)}"
    fk.adapters.register(name, Lying)
    try:
        result = run("demo", "README.md", "--size", "1KiB", "-t", "memory", "-t", name)
        assert result.code == 8
        assert "✗ told later as they were" in result.text
        assert "text/lie" in result.text
        (record,) = run("demo", "README.md", "--size", "1KiB", "-t", "memory", "-t", name, "--json").records
        assert record["identical"] is False
        assert record["differences"]
    finally:
        fk.adapters.unregister(name)


def test_run_demo_takes_any_settings():
    output = Output(quiet=True)
    settings = {label: {"type": "memory", "path": label} for label in ("one", "two")}
    reports = run_demo(settings, {"a": "README.md"}, 2048, output)
    assert [report.label for report in reports] == ["one", "two"]
    assert differences(reports) == []
    shorter = dataclasses.replace(reports[1], files=reports[1].files[:1])
    assert "lists other locations" in differences([reports[0], shorter])[0]


def test_the_generated_stream():
    for size in (0, 1, 1 << 20):
        content = b"".join(generated(size))
        assert len(content) == size
        assert content == b"".join(generated(size))
    assert len({len(chunk) for chunk in generated(2 << 20)}) > 2


def test_files_are_named_by_where_they_lie(tmp_path):
    (tmp_path / "data.csv").write_text("another")
    (tmp_path / "Makefile").write_text("m")
    Path("Makefile").write_text("m")
    Path(STREAM).write_text("x")
    paths = ["data.csv", str(tmp_path / "data.csv"), "./sub", "Makefile", str(tmp_path / "Makefile"), STREAM]
    assert list(name_files(paths)) == [
        "data.csv",
        "data-2.csv",
        "sub/deep.txt",
        "Makefile",
        "Makefile-2",
        "generated-stream-2.bin",
    ]
    assert os.path.basename(choose_files(".")[0]) == "README.md"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
def test_a_terminal_sees_a_bar():
    import pty

    leader, follower = pty.openpty()
    process = command(
        "demo", "README.md", "--size", "16MiB", stdout=follower, stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(follower)
    seen = io.BytesIO()
    while select.select([leader], [], [], 60)[0]:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen.write(chunk)
    os.close(leader)
    assert process.wait(60) == 0
    if process.stdin:
        process.stdin.close()
    text = seen.getvalue().decode()
    assert "stream of unknown size" in text
    assert re.search(r"\d MiB/s", text)
    assert re.search(r"[\d.]+ MiB of 16 MiB", text)
    assert "identical" in text
