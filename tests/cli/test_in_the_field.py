"""What people have: files that grow, names of others, closed streams, two files of one name, folders without files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import file_keeper as fk
import pytest
from file_keeper_cli.local import below
from file_keeper_cli.output import one_line, printable

from .conftest import Result, Run

STORE = ("-s", "type=fs", "-s", "path=store", "-s", "initialize=true")
linux = pytest.mark.skipif(sys.platform != "linux", reason="it is Linux's")


def shell(line: str, **environ: str) -> Result:
    """Run a line of a shell; `fk` in it is the command with a storage of its own."""
    command = " ".join([f"'{sys.executable}'", "-m", "file_keeper_cli", *STORE])
    done = subprocess.run(
        ["sh", "-c", f'fk() {{ {command} "$@"; }}; {line}'],
        capture_output=True,
        timeout=100,
        check=False,
        env={**os.environ, **environ},
    )
    return Result(done.returncode, done.stdout, done.stderr.decode())


# -- sizes that lie ---------------------------------------------------------------------------------------------------


@linux
@pytest.mark.parametrize("path", ["/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_files_of_the_kernel(path: str, media: Run) -> None:
    if not os.path.exists(path):
        pytest.skip("this kernel has none")
    result = media("put", path, ":x")
    assert result.code == 0, result.stderr
    assert media("cat", ":x").stdout[:5] == Path(path).read_bytes()[:5]
    assert media("put", "--overwrite", path, ":x").code == 0


def test_a_log_that_grows_while_it_is_read(media: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Path("app.log")
    log.write_bytes(b"line\n" * 1000)
    looked = fk.Upload.peek

    def grow(upload: fk.Upload) -> bytes | None:
        with log.open("ab") as file:
            file.write(b"more\n")
        return looked(upload)

    monkeypatch.setattr(fk.Upload, "peek", grow)
    sizes = fk.Upload.fingerprint

    def and_again(upload: fk.Upload) -> tuple[int, int] | None:
        grow(upload)
        return sizes(upload)

    monkeypatch.setattr(fk.Upload, "fingerprint", and_again)
    result = media("put", log, ":log")
    assert result.code == 0, result.stderr
    stored = media("cat", ":log").stdout
    assert stored.startswith(b"line\n" * 1000)
    assert log.read_bytes().startswith(stored)


# -- trees ------------------------------------------------------------------------------------------------------------


@linux
def test_a_tree_five_thousand_deep(tmp_path: Path) -> None:
    """What no location can name is told; what can be named is listed, copied and removed."""
    here = os.getcwd()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "d").mkdir()
    (tree / "d" / "near").write_bytes(b"x")
    os.chdir(tree)
    try:
        for _ in range(5000):
            os.makedirs("d", exist_ok=True)
            os.chdir("d")
        Path("far").write_bytes(b"x")
        os.chdir(here)
        assert [name for _, name in below(str(tree))] == ["d/near"]
        with fk.make_storage("s", {"type": "fs", "path": str(tree)}) as storage:
            assert list(storage.scan()) == ["d/near"]
            assert list(storage.files(delimiter="/")) == ["d/"]
            storage.copy("/".join(["c"] * 500), "d/near")
            assert storage.remove("/".join(["c"] * 500))
            assert storage.remove("d/near")
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", str(tree)], check=True, timeout=60)


def test_an_empty_folder_says_so(media: Run) -> None:
    Path("empty/below").mkdir(parents=True)
    result = media("put", "-r", "empty", ":e/")
    assert result.code == 0
    assert "empty: no files lie below it" in result.stderr
    told = media("--json", "put", "-r", "empty", ":e/")
    assert "no files" in json.loads(told.stderr)["warning"]


def test_what_is_not_there_is_fine_when_forced(media: Run) -> None:
    for words in ((":x",), ("-r", "--yes", ":x"), ("--glob", "*.x", ":"), (":a/b/c",)):
        assert media("rm", "-f", *words).code == 0


# -- one name ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("put", "a/x", "b/x", ":t/"),
        ("put", "-r", "a", "b", ":t/"),
        ("put", "-r", "--type", "text/plain", "a", "b", ":t/"),
        ("put", "-r", "a", "b/x", ":t/"),
        ("cp", ":a/x", ":b/x", ":t/"),
        ("cp", "-r", ":a/", ":b/", ":t/"),
        ("cp", "--glob", "*x", ":a/", ":b/", ":t/"),
        ("mv", ":a/x", ":b/x", ":t/"),
        ("mv", "-r", ":a/", ":b/", ":t/"),
    ],
)
def test_two_sources_of_one_name(words: tuple[str, ...], media: Run) -> None:
    """One of the two would be gone."""
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "x").write_text(folder)
        assert media("put", f"{folder}/x", f":{folder}/x").code == 0
    result = media(words[0], "--overwrite", *words[1:])
    assert result.code == 2
    assert "would both become 'x'" in result.stderr
    assert "a/x" in result.stderr
    assert "b/x" in result.stderr
    assert media("ls", "-r").text.splitlines() == ["a/x", "b/x"], "and nothing was done"


def test_an_existing_target_names_the_way(media: Run) -> None:
    Path("x").write_text("new")
    Path("f").mkdir()
    Path("f/x").write_text("new")
    media("put", "-", ":x", stdin=b"old")
    media("put", "-", ":y", stdin=b"old")
    for words in (("put", "x", ":x"), ("put", "-r", "f", ":"), ("cp", ":y", ":x"), ("mv", ":y", ":x"), ("get", ":x")):
        result = media(*words)
        assert result.code == 4, words
        assert "--overwrite" in result.stderr, words
        assert "--overwrite" in media("--json", *words).stderr, words
    assert media("cat", ":x").stdout == b"old"


# -- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("char", ["\u202e", "\u2066", "\u2028", "\x1b", "\x85"])
def test_nothing_runs_the_other_way(char: str, media: Run) -> None:
    assert char not in printable(f"a{char}b")
    assert media("put", "-", ":a", "-m", f"note=x{char}y", stdin=b"x").code == 0
    told = media("stat", ":a").text
    assert char not in told
    assert f"{ord(char):02x}y" in told


def test_a_line_stays_a_line() -> None:
    assert one_line("a\nmetadata b  forged\t") == "a\\nmetadata b  forged\\t"


@linux
def test_a_name_that_is_not_utf8_in_json() -> None:
    Path("in").mkdir()
    Path(os.fsdecode(b"in/bad\xff")).write_text("x")
    result = shell("fk --json put in/bad* :x/")
    assert result.code == 2
    assert json.loads(result.stderr)["location"] == "x/bad\udcff"
    result = shell("fk --json put -r in :x/")
    assert "not UTF-8" in json.loads(result.stderr.splitlines()[0])["warning"]


# -- closed streams ---------------------------------------------------------------------------------------------------


@linux
@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("fk ls : >&-", 1, "stdout is closed"),
        ("fk cat :a >&-", 1, "stdout is closed"),
        ("fk get :a - >&-", 1, "stdout is closed"),
        ("fk storages >&-", 1, "stdout is closed"),
        ("fk --help >&-", 1, "stdout is closed"),
        ("fk -q rm -f :b >&-", 0, ""),
        ("fk put - :new <&-", 2, "stdin is closed"),
        ("fk rm -r : <&-", 2, "--yes"),
        ("fk cat :missing 2>&-", 3, ""),
        ("fk ls : <&- >&- 2>&-", 1, ""),
        ("fk ls : > /dev/full", 1, "No space left"),
        ("fk cat :a > /dev/full", 1, "No space left"),
    ],
)
def test_closed_streams(line: str, code: int, told: str) -> None:
    Path("store").mkdir()
    Path("store/a").write_text("x")
    result = shell(line)
    assert (result.code, "Traceback" in result.stderr, "Exception" in result.stderr) == (code, False, False), result
    assert told in result.stderr
    assert len(result.stderr.splitlines()) <= 1
    assert not Path("store/new").exists()


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("home", ["", None])
def test_no_home(home: str | None, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    if home is None:
        path = "~nobody-of-this-name/files"
    else:
        path = "~/files"
        monkeypatch.setenv("HOME", home)
    result = run("ls", set_=("type=fs", f"path={path}", "initialize=true"))
    assert result.code == 7
    assert "no home directory" in result.stderr
    assert "set HOME" in result.stderr


@pytest.mark.parametrize("age", ["99999999999999d", "9999999d", "1" * 400])
def test_durations_that_no_clock_has(age: str, media: Run) -> None:
    media("put", "-", ":a", stdin=b"x")
    for words in (
        ("url", ":a", "--expires", age),
        ("find", "--older", age),
        ("find", "--newer", age),
        ("cleanup", ":", "--older-than", age),
        ("cleanup", ":", "--dry-run", "--older-than", age),
        ("ls", "--set", f"timeout={age}"),
    ):
        result = media(*words)
        assert result.code in (2, 7, 9), (words, result.stderr)
        assert "unexpected" not in result.stderr
        assert "C int" not in result.stderr


@pytest.mark.parametrize(
    ("kind", "meant"),
    [
        ("S3", "s3"),
        ("aws", "s3"),
        ("minio", "s3"),
        ("Cloudflare R2", ""),
        ("local", "fs"),
        ("disk", "fs"),
        ("FileSystem", "fs"),
        ("google-cloud-storage", "gcs"),
        ("azure_blob", "azure"),
        ("in-memory", "memory"),
    ],
)
def test_what_others_call_the_types(kind: str, meant: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run("ls", set_=(f"type={kind}",)).stderr
    assert (f"did you mean {meant!r}?" if meant else "known are") in told
    if meant in ("s3", "fs", "gcs", "azure"):
        monkeypatch.setattr(fk.adapters, "_found", {})
        monkeypatch.setattr(fk.adapters, "_items", {})
        told = run("ls", set_=(f"type={kind}",)).stderr
        assert f"pip install file-keeper-{meant}" in told
