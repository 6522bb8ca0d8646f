"""Storing, getting, copying, moving, removing and looking at files, on disk and in memory."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

BYTES = bytes(range(256)) * 400


def test_a_file_comes_back_byte_for_byte(media, tmp_path):
    source = tmp_path / "data.bin"
    source.write_bytes(BYTES)
    stored = media("put", source, ":a/b/data.bin")
    assert stored.code == 0
    assert hashlib.md5(BYTES).hexdigest() in stored.text
    assert media("cat", ":a/b/data.bin").stdout == BYTES
    assert media("get", ":a/b/data.bin", "-").stdout == BYTES
    assert media("get", ":a/b/data.bin", "copy.bin").code == 0
    assert Path("copy.bin").read_bytes() == BYTES
    assert media("get", ":a/b/data.bin").code == 0
    assert Path("data.bin").read_bytes() == BYTES


def test_stdin_is_stored_and_its_type_told_from_the_location(media):
    assert media("put", "-", ":table.csv", stdin=b"a,b\n1,2\n").code == 0
    (file,) = media("stat", ":table.csv", "--json").records
    assert (file["size"], file["content_type"]) == (8, "text/csv")
    assert media("cat", ":table.csv", ":table.csv").stdout == b"a,b\n1,2\n" * 2


def test_empty_stdin_is_an_empty_file(media):
    assert media("put", "-", ":empty", stdin=b"").code == 0
    assert media("cat", ":empty").stdout == b""


def test_what_is_there_is_replaced_only_when_asked(media):
    media("put", "-", ":a", stdin=b"first")
    refused = media("put", "-", ":a", stdin=b"second")
    assert (refused.code, media("cat", ":a").stdout) == (4, b"first")
    assert "put" not in refused.stdout.decode()
    assert media("put", "--overwrite", "-", ":a", stdin=b"third").code == 0
    assert media("cat", ":a").stdout == b"third"


def test_type_metadata_and_headers_are_kept(media):
    options = ["--type", "text/x-log", "-m", "owner=Zoë", "--metadata", "empty=", "--header", "Cache-Control=no-store"]
    assert media("put", "-", ":log", *options, stdin=b"x").code == 0
    (file,) = media("stat", ":log", "--json").records
    assert file["content_type"] == "text/x-log"
    assert file["metadata"] == {"owner": "Zoë", "empty": ""}
    assert file["headers"] == {"Cache-Control": "no-store"}
    told = media("stat", ":log").text
    assert "metadata owner  Zoë" in told
    assert "text/x-log" in told


def test_a_wrong_hash_stores_nothing(media):
    wrong = media("put", "-", ":a", "--hash", "md5:" + "0" * 32, stdin=b"x")
    assert (wrong.code, wrong.text) == (8, "")
    assert media("ls", "-r", ":").text == ""
    right = hashlib.sha256(b"x").hexdigest()
    assert media("put", "-", ":a", "--hash", f"sha256:{right}", stdin=b"x").code == 0


def test_several_files_go_into_a_folder(media):
    for name in ("one.txt", "two.txt"):
        Path(name).write_text(name)
    assert media("put", "one.txt", "two.txt", ":folder").code == 2
    assert media("put", "one.txt", "two.txt", ":folder/").code == 0
    assert media("ls", "-r", ":").text.splitlines() == ["folder/one.txt", "folder/two.txt"]


def test_one_bad_file_does_not_stop_the_others(media):
    Path("one.txt").write_text("1")
    Path("two.txt").write_text("2")
    result = media("put", "one.txt", "nowhere.txt", "two.txt", ":")
    assert result.code == 3
    assert "nowhere.txt" in result.stderr
    assert media("ls", ":").text.splitlines() == ["one.txt", "two.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_link_that_leads_nowhere_keeps_no_other_file_back(media, tmp_path):
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_text("x")
    (tree / "a-link").symlink_to(tmp_path / "nowhere")
    result = media("put", "-r", tree, ":up/")
    assert result.code == 3
    assert "a-link" in result.stderr
    assert media("ls", "-r", ":").text.splitlines() == ["up/sub/file"]


def test_what_others_wrote_moves_no_cursor(media):
    assert media("put", "-", ":a", "-m", "note=\x1b]0;title\x07 \x9b31m", stdin=b"x").code == 0
    told = media("stat", ":a")
    assert "\\x1b]0;title\\x07 \\x9b31m" in told.text
    assert not set(told.text) & {"\x1b", "\x07", "\x9b"}
    (record,) = media("stat", "--json", ":a").records
    assert record["metadata"] == {"note": "\x1b]0;title\x07 \x9b31m"}


def test_a_folder_goes_up_and_comes_down_again(media, tmp_path):
    tree = {"a.txt": b"a", ".hidden": b"h", "x/y/z.bin": BYTES, "x/empty": b""}
    for name, content in tree.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert media("put", tmp_path / "tree", ":up/").code == 2
    assert media("put", "-r", tmp_path / "tree", ":up").code == 0
    assert media("ls", "-r", ":").text.splitlines() == sorted(f"up/{name}" for name in tree)
    assert media("get", "-r", ":up", "down").code == 0
    assert {str(p.relative_to("down")): p.read_bytes() for p in Path("down").rglob("*") if p.is_file()} == tree


def test_local_files_are_replaced_only_when_asked(media):
    media("put", "-", ":a", stdin=b"stored")
    Path("a").write_text("mine")
    refused = media("get", ":a")
    assert (refused.code, Path("a").read_text()) == (4, "mine")
    assert "--overwrite" in refused.stderr
    assert media("get", ":a", "--overwrite").code == 0
    assert Path("a").read_text() == "stored"
    assert [p.name for p in Path().iterdir()] == ["a"]


def test_get_into_a_folder_that_is_not_there(media):
    media("put", "-", ":a", stdin=b"stored")
    result = media("get", ":a", "nowhere/a")
    assert result.code == 3
    assert "nowhere: there is no such folder" in result.stderr
    assert media("get", ":a", "new/").code == 0
    assert Path("new/a").read_bytes() == b"stored"


def test_listing_levels_patterns_and_where_to_begin(media):
    for name in ("a.txt", "b/c.csv", "b/d/e.csv", "b-.txt"):
        media("put", "-", f":{name}", stdin=b"x" * 2048)
    assert media("ls").text.splitlines() == ["a.txt", "b-.txt", "b/"]
    assert media("ls", ":b/").text.splitlines() == ["b/c.csv", "b/d/"]
    assert media("ls", "-r").text.splitlines() == ["a.txt", "b-.txt", "b/c.csv", "b/d/e.csv"]
    assert media("ls", "--glob", "*.csv").text.splitlines() == ["b/c.csv", "b/d/e.csv"]
    assert media("ls", "-r", "--start-after", "b-.txt").text.splitlines() == ["b/c.csv", "b/d/e.csv"]
    assert [line.split()[:2] for line in media("ls", "-lr").text.splitlines()] == [["2", "KiB"]] * 4
    records = media("ls", "--json").records
    assert [record.get("location", record.get("prefix")) for record in records] == ["a.txt", "b-.txt", "b/"]
    assert records[0]["size"] == 2048
    assert records[0]["modified"]


@pytest.mark.parametrize("name", ["☺ [bold]x[/bold] :smile:.txt", "a b.txt", "#?%+&{0}*", "-dash"])
def test_names_are_told_verbatim(media, name):
    assert media("put", "-", "--", f":{name}", stdin=b"x").code == 0
    assert media("ls", "-r").text == name + "\n"
    assert media("ls", "-r", "--json").records[0]["location"] == name
    assert f":{name}\n" in media("stat", f":{name}").text


def test_copy_move_and_remove(media):
    media("put", "-", ":a", "-m", "k=v", "--type", "text/x-log", stdin=b"content")
    assert media("cp", ":a", ":b").code == 0
    assert media("cp", ":a", ":b").code == 4
    assert media("cp", ":a", ":folder/").code == 0
    assert media("mv", ":b", ":c").code == 0
    assert media("ls", "-r").text.splitlines() == ["a", "c", "folder/a"]
    (copied,) = media("stat", ":c", "--json").records
    assert (copied["metadata"], copied["content_type"]) == ({"k": "v"}, "text/x-log")
    assert media("mv", "-r", ":folder", ":moved/").code == 0
    assert media("rm", ":a", ":nothing", ":c").code == 3
    assert media("rm", "-f", ":nothing").code == 0
    assert media("ls", "-r").text.splitlines() == ["moved/a"]


def test_a_folder_may_be_copied_into_itself(media):
    media("put", "-", ":x/a", stdin=b"1")
    media("put", "-", ":x/b", stdin=b"2")
    assert media("cp", "-r", ":x", ":x/y/").code == 0
    assert media("ls", "-r").text.splitlines() == ["x/a", "x/b", "x/y/a", "x/y/b"]


def test_many_are_removed_only_when_that_is_meant(media):
    for name in ("x/a", "x/b.csv", "xy"):
        media("put", "-", f":{name}", stdin=b"1")
    refused = media("rm", "-r", ":x")
    assert refused.code == 2
    assert "2 files" in refused.stderr
    assert media("rm", "--yes", "--glob", "*.csv", ":").code == 0
    assert media("rm", "--yes", "-r", ":x").code == 0
    assert media("ls", "-r").text.splitlines() == ["xy"]
    assert media("rm", "--yes", "-r", ":x").code == 3


def test_verify_reads_everything_again(media):
    media("put", "-", ":x/a", stdin=BYTES)
    media("put", "-", ":x/b", stdin=b"2")
    result = media("verify", "-r", ":x", "--json")
    assert result.code == 0
    assert [(r["location"], r["verified"], r["hash"]) for r in result.records] == [
        ("x/a", True, hashlib.md5(BYTES).hexdigest()),
        ("x/b", True, hashlib.md5(b"2").hexdigest()),
    ]
    assert media("verify", ":x/nothing").code == 3


def test_verify_finds_what_was_damaged(run, tmp_path):
    """The bytes change and size and time stay, as on a failing disk."""
    import os

    settings = ("type=fs", f"path={tmp_path / 'store'}", "initialize=true")
    run("put", "-", ":a", stdin=b"content", set_=settings)
    file = tmp_path / "store" / "a"
    before = file.stat()
    with file.open("r+b") as stream:
        stream.write(b"C")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = run("verify", ":a", set_=settings)
    assert (result.code, result.text) == (8, "")
    got = run("get", ":a", set_=settings)
    assert got.code == 8
    assert not Path("a").exists()


def test_between_two_storages(run, tmp_path):
    two = ("one:type=fs", f"one:path={tmp_path / 'one'}", "one:initialize=true")
    two += ("two:type=fs", f"two:path={tmp_path / 'two'}", "two:initialize=true")
    run("put", "-", "one:a", "-m", "k=v", stdin=BYTES, set_=two)
    copied = run("cp", "one:a", "two:folder/", "--json", set_=two)
    assert copied.code == 0
    (record,) = copied.records
    assert (record["storage"], record["location"], record["source"]) == ("two", "folder/a", "one:a")
    assert run("cp", "one:a", "two:folder/a", set_=two).code == 4
    assert run("mv", "--overwrite", "one:a", "two:folder/a", set_=two).code == 0
    assert run("ls", "-r", "one:", set_=two).text == ""
    (moved,) = run("stat", "two:folder/a", "--json", set_=two).records
    assert (moved["size"], moved["metadata"]) == (len(BYTES), {"k": "v"})


def test_links(run, tmp_path):
    settings = ("type=fs", f"path={tmp_path}", "base_url=https://files.example/x/")
    result = run("url", "--permanent", ":a b.txt", set_=settings)
    assert (result.code, result.text) == (0, "https://files.example/x/a%20b.txt\n")
    assert run("url", ":a.txt", set_=settings).code == 9
    (record,) = run("url", "--permanent", ":a", "--json", set_=settings).records
    assert (record["url"], record["method"]) == ("https://files.example/x/a", "GET")


def test_quiet_says_nothing_of_what_went_well(media):
    assert media("-q", "put", "-", ":a", stdin=b"x").stdout == b""
    assert media("ls", "-q").text == "a\n"
