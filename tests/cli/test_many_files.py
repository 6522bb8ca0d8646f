"""Many files from one place to another: what is passed over, what is told, exit codes for scripts."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from .conftest import command


@pytest.fixture
def tree(tmp_path):
    for name, content in {"a.txt": b"a", "d/b.txt": b"bb", "d/c.jpg": b"ccc"}.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "tree"


def names(media):
    return media("ls", "-r", ":").text.splitlines()


def test_the_second_run_does_only_what_is_left(media, tree):
    first = media("put", "-r", tree, ":up")
    assert (first.code, "3 files copied" in first.stderr) == (0, True)
    again = media("put", "-r", tree, ":up")
    assert (again.code, again.text, "3 there already" in again.stderr) == (0, "", True)
    assert media("get", "-r", ":up", "down").code == 0
    assert "3 there already" in media("get", "-r", ":up", "down").stderr
    assert media("cp", "-r", ":up", ":copy").code == 0
    assert "3 there already" in media("cp", "-r", ":up", ":copy").stderr
    # What differs is told, the others follow, and nothing is replaced unless that is meant.
    (tree / "a.txt").write_bytes(b"z")
    (tree / "new").write_bytes(b"new")
    differs = media("put", "-r", tree, ":up")
    assert (differs.code, "up/a.txt" in differs.text, "1 failed" in differs.stderr) == (4, False, True)
    assert "a.txt" in differs.stderr
    assert media("cat", ":up/a.txt", ":up/new").stdout == b"anew"
    assert media("put", "-r", "--no-clobber", tree, ":up").code == 0
    assert media("put", "-r", "--size-only", tree, ":up").code == 0
    assert media("cat", ":up/a.txt").stdout == b"a"
    assert media("put", "-r", "--overwrite", tree, ":up").code == 0
    assert media("cat", ":up/a.txt").stdout == b"z"


def test_sync_makes_two_places_equal_and_check_proves_it(media, tree):
    media("put", "-", ":www/old", stdin=b"x")
    planned = media("sync", tree, ":www", "--delete", "--dry-run", "--json")
    assert names(media) == ["www/old"]
    done = media("sync", tree, ":www/", "--delete", "--json")
    assert done.code == 0
    plan = [(one["action"], one["location"]) for one in planned.records[:-1]]
    assert plan == [(one["action"], one["location"]) for one in done.records[:-1]]
    assert plan == [("copy", "a.txt"), ("copy", "d/b.txt"), ("copy", "d/c.jpg"), ("delete", "old")]
    assert {key: done.records[-1][key] for key in ("copied", "deleted", "bytes")} == {
        "copied": 3, "deleted": 1, "bytes": 6,
    }  # fmt: skip
    assert media("check", str(tree), ":www").code == 0
    media("rm", ":www/a.txt")
    media("put", "--overwrite", "-", ":www/d/b.txt", stdin=b"BB")
    media("put", "-", ":www/zz", stdin=b"")
    different = media("check", str(tree), ":www")
    assert different.code == 10
    assert [line.split() for line in different.text.splitlines()] == [
        ["missing", "a.txt"], ["differs", "d/b.txt"], ["extra", "zz"],
    ]  # fmt: skip
    assert len(media("check", "--one-way", str(tree), ":www").text.splitlines()) == 2
    assert media("sync", ":www", "back").code == 0
    assert Path("back/d/b.txt").read_bytes() == b"BB"


def test_what_is_not_deleted_has_an_exit_code_and_a_reason(media, tree):
    media("sync", tree, ":www")
    os.mkdir("empty")
    result = media("sync", "empty", ":www", "--delete")
    assert (result.code, "the source has no file" in result.stderr) == (11, True)
    assert media("sync", "empty", ":www", "--delete", "--max-delete", "2").code == 11
    assert len(names(media)) == 3
    assert media("sync", "empty", ":www", "--delete", "--max-delete", "3").code == 0
    assert names(media) == []


def test_filters(media, tree):
    Path("rules").write_text("# pictures\n- *.jpg\n\n+ d/*\n")
    assert media("sync", tree, ":f", "--filter-from", "rules").code == 0
    assert names(media) == ["f/d/b.txt"]
    assert media("put", "-r", tree, ":p", "--include", "*.jpg").code == 0
    assert media("ls", "-r", ":p").text.splitlines() == ["p/d/c.jpg"]
    Path("rules").write_text("*.jpg\n")
    assert media("sync", tree, ":f", "--filter-from", "rules").code == 2


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["sync", "nowhere", ":x"], 3), (["sync", "a-file", ":x"], 2), (["sync", ":a", ":a/b"], 2),
        (["sync", ".", ":x", "--bwlimit", "fast"], 2), (["put", "-r", ".", ":x", "--checksum", "--size-only"], 2),
        (["put", "-r", ".", ":x", "--overwrite", "--no-clobber"], 2), (["put", "a-file", ":x", "--checksum"], 2),
        (["cp", ":a", ":b", "--include", "*"], 2), (["ls", "s3://bucket/key"], 2), (["copy", ":a", ":b"], 2),
        (["get", "-r", ":nothing", "x"], 3), (["rm", "-r", "-f", ":nothing"], 0),
        (["rm", "-r", "--yes", ":nothing"], 3), (["find", ":", "--larger", "big"], 2), (["check", ":a", "nowhere/"], 3),
    ],
)  # fmt: skip
def test_exit_codes_of_what_makes_no_sense(media, args, code):
    Path("a-file").write_text("x")
    assert media(*args).code == code


def test_hints_for_what_others_call_it(run):
    assert "file-keeper sync --delete" in run("mirror", "a", "b").stderr
    assert "--set type=gcs --set bucket=photos" in run("ls", "gs://photos/2026").stderr


def test_dry_runs_change_nothing(media, tree):
    media("put", "-", ":x/a", stdin=b"1")
    before = names(media)
    for args in (
        ["put", "-r", tree, ":up"], ["put", tree / "a.txt", ":b"], ["cp", ":x/a", ":c"], ["cp", "-r", ":x", ":y"],
        ["mv", ":x/a", ":c"], ["mv", "-r", ":x", ":y"], ["rm", ":x/a"], ["rm", "-r", ":x"], ["get", ":x/a", "local"],
        ["get", "-r", ":x", "local"], ["sync", ":x", "local"], ["sync", tree, ":x", "--delete"],
    ):  # fmt: skip
        Path("local").mkdir(exist_ok=True)
        result = media(*args, "--dry-run")
        assert result.code == 0, (args, result.stderr)
        assert "would" in result.text, args
        assert names(media) == before
        assert list(Path("local").iterdir()) == []


def test_a_folder_moves_without_a_slash(media):
    media("put", "-", ":x/a", stdin=b"1")
    assert media("mv", "-r", ":x", ":y").code == 0
    assert names(media) == ["y/a"]


def test_du_and_find_and_ls_for_people(media, tree):
    media("sync", tree, ":t")
    told = media("du", ":t", "--json").records
    assert [(one["folder"], one["size"], one["files"]) for one in told] == [("d/", 5, 2), ("", 6, 3)]
    assert "5 B" in media("du", ":t").text
    assert media("find", ":t", "--name", "*.txt").text.split() == [":t/a.txt", ":t/d/b.txt"]
    assert media("find", ":t", "--larger", "1", "--smaller", "3").text.split() == [":t/d/b.txt"]
    assert media("find", ":t", "--older", "1h").text == ""
    assert len(media("find", ":t", "--newer", "1h", "-l").text.splitlines()) == 3
    assert media("ls", "-lh", ":t/").code == 0


def test_cleanup_tells_and_drops_open_uploads(run, tmp_path):
    import file_keeper as fk

    settings = {"type": "fs", "path": str(tmp_path / "store"), "initialize": True}
    storage = fk.make_storage("s", settings)
    storage.multipart_start("big.bin", 100)
    options = ("type=fs", f"path={tmp_path / 'store'}")
    (told,) = run("cleanup", ":", "--older-than", "0", "--dry-run", "--json", set_=options).records
    assert told["location"] == "big.bin"
    assert run("cleanup", ":", "--older-than", "1h", "--json", set_=options).records[0]["dropped"] == 0
    assert run("cleanup", ":", "--older-than", "0", "--json", set_=options).records[0]["dropped"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_interrupted_it_says_how_to_go_on_and_the_next_run_finishes(tmp_path):
    for number in range(60):
        (tmp_path / "s").mkdir(exist_ok=True)
        (tmp_path / "s" / f"{number:02}").write_bytes(bytes(20_000))
    args = ["sync", tmp_path / "s", tmp_path / "t", "--bwlimit", "200kB"]
    process = command(*args)
    deadline = time.monotonic() + 30
    while len(list((tmp_path / "t").glob("[0-9]*"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"the same command goes on" in stderr
    assert b"Traceback" not in stderr
    done = command(*args[:-2], "--json")
    out, _ = done.communicate(timeout=60)
    totals = json.loads(out.splitlines()[-1])
    assert (done.returncode, totals["copied"] + totals["skipped"], totals["skipped"] >= 5) == (0, 60, True)
    assert sum(path.stat().st_size for path in (tmp_path / "t").iterdir() if path.is_file()) == 60 * 20_000


def test_put_with_attributes_passes_over_what_is_there(media, tree):
    first = media("put", "-r", tree, ":up", "--metadata", "source=build", "--json")
    assert first.code == 0
    stat = media("stat", ":up/a.txt", "--json").records[0]
    assert stat["metadata"] == {"source": "build"}
    again = media("put", "-r", tree, ":up", "--metadata", "source=build", "--json")
    assert again.code == 0
    assert {record["action"] for record in again.records if "action" in record} == {"skip"}
    assert media("put", "-r", tree, ":up", "--hash", "0" * 32).code == 2


def test_many_are_moved_side_by_side(media):
    for number in range(30):
        media("put", "-", f":x/{number:02}", stdin=b"%d" % number)
    media("put", "-", ":y/07", stdin=b"other")
    result = media("mv", "-r", ":x", ":y", "--concurrency", "4", "--json")
    assert result.code == 4
    assert [record["location"] for record in result.records] == [f"y/{n:02}" for n in range(30) if n != 7]
    assert names(media) == ["x/07", *(f"y/{n:02}" for n in range(30))]
