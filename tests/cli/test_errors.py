"""Each kind of error has its exit code and one line for people, or one document for programs."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import file_keeper as fk
import pytest
from file_keeper import exc
from file_keeper.local import place_in
from file_keeper.memory import MemoryBackend
from file_keeper_cli import errors
from file_keeper_cli.local import below


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (exc.StorageError("x"), 1),
        (exc.ContentError("x"), 1),
        (exc.LargeUploadError("x"), 1),
        (ValueError("x"), 1),
        (errors.UsageError("x"), 2),
        (exc.LocationError("x"), 2),
        (exc.StorageDataError("x"), 2),
        (exc.MissingFileError("x"), 3),
        (FileNotFoundError(2, "x"), 3),
        (exc.ExistingFileError("x"), 4),
        (exc.PermissionError("x"), 5),
        (PermissionError(13, "x"), 5),
        (exc.ConnectionError("x"), 6),
        (exc.TimeoutError("x"), 6),
        (exc.ThrottledError("x"), 6),
        (exc.CircuitOpenError("x"), 6),
        (exc.InvalidStorageConfigurationError("x"), 7),
        (exc.MissingStorageConfigurationError("x"), 7),
        (exc.UnknownStorageError("x"), 7),
        (exc.UnknownAdapterError("x"), 7),
        (exc.UploadHashMismatchError("x"), 8),
        (exc.UploadSizeMismatchError("x"), 8),
        (exc.ChangedFileError("x"), 8),
        (exc.UnsupportedOperationError("x"), 9),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(error, code):
    assert errors.exit_code(error) == code
    assert json.loads(json.dumps(errors.as_record(error)))["exit_code"] == code


class Refusing(MemoryBackend):
    """Refuses by the name of the key."""

    def head(self, key):
        if key == "denied":
            raise exc.PermissionError("not yours", code="AccessDenied", status=403, request_id="7F3A")
        if key == "broken":
            raise RuntimeError("an error of the program")
        raise exc.ConnectionError("nobody answers")


@pytest.fixture
def refusing():
    name = f"test:{secrets.token_hex(4)}"
    fk.adapters.register(name, Refusing)
    yield (f"type={name}",)
    fk.adapters.unregister(name)


def test_an_error_is_one_line_that_says_where(run, refusing):
    result = run("stat", ":denied", set_=refusing)
    assert result.code == 5
    assert result.stderr == (
        "file-keeper: storage ':': analyze 'denied': not yours (AccessDenied, status 403, request 7F3A)\n"
    )
    assert run("stat", ":x", set_=refusing).code == 6


def test_errors_for_programs(run, refusing):
    result = run("--json", "stat", ":denied", set_=refusing)
    assert result.text == ""
    assert json.loads(result.stderr) == {
        "error": "PermissionError",
        "exit_code": 5,
        "message": "not yours",
        "storage": ":",
        "operation": "analyze",
        "location": "denied",
        "code": "AccessDenied",
        "status": 403,
        "request_id": "7F3A",
        "retryable": False,
    }


def test_a_traceback_only_when_asked(run, refusing):
    quiet = run("stat", ":broken", set_=refusing)
    assert quiet.code == 1
    assert quiet.stderr.startswith("file-keeper: ")
    assert quiet.stderr.count("\n") == 1
    loud = run("--debug", "stat", ":broken", set_=refusing)
    assert loud.code == 1
    assert "Traceback" in loud.stderr
    assert "RuntimeError: an error of the program" in loud.stderr


def test_a_service_that_fails_is_asked_once_and_not_for_each_file(run, refusing):
    result = run("stat", ":denied", ":x", ":y", set_=refusing)
    assert result.code == 5
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["stat", ":../x"], 2),
        (["cat", ":"], 2),
        (["cat", "plain"], 2),
        (["put", "-", ":folder/"], 2),
        (["put", "x.txt", ":a", "-m", "novalue"], 2),
        (["url", ":a", "--expires", "never"], 2),
        (["url", ":a"], 9),
        (["get", "-r", ":", "-"], 2),
        (["demo", "--size", "many"], 2),
        (["nosuch"], 2),
        (["put"], 2),
        (["ls", "--nosuch"], 2),
        (["cat", ":missing"], 3),
        (["get", "-r", ":missing", "x"], 3),
    ],
)
def test_what_makes_no_sense_or_is_not_there(run, arguments, code):
    Path("x.txt").write_text("x")
    result = run(*arguments, set_=("type=memory",))
    assert result.code == code, result.stderr
    assert result.text == ""
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("type=gsc",), "did you mean 'gcs'?"),
        (("type=memory", "buket=x"), "unknown option 'buket', did you mean 'bucket'?"),
        (("path=x",), "option 'type' is required"),
        (("type=memory", "part_size=large"), "part_size"),
    ],
)
def test_wrong_settings(run, settings, told):
    result = run("ls", set_=settings)
    assert result.code == 7
    assert told in result.stderr


def test_a_broken_configuration(run):
    Path(".file-keeper.toml").write_text("[storages")
    result = run("ls", "media:")
    assert result.code == 7
    assert ".file-keeper.toml is broken" in result.stderr


# -- where what is got may go ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/", "./a", "a/\0b"])
def test_a_hostile_name_never_leaves_the_folder(name, tmp_path):
    with pytest.raises(exc.LocationError):
        place_in(str(tmp_path / "out"), name)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "work") in ([], ["out"])


@pytest.mark.parametrize("name", ["a\\..\\..\\x", "C:x", "nul", "con.txt", "a/lpt1", "ends.", "ends ", "a?b"])
def test_names_that_windows_reads_otherwise(name, tmp_path, monkeypatch):
    monkeypatch.setattr("file_keeper.local.sys.platform", "win32")
    with pytest.raises(exc.LocationError):
        place_in(str(tmp_path / "out"), name)


def test_nothing_is_written_through_a_link(media, tmp_path):
    """A link that lies in the target folder does not lead what is got out of it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    media("put", "-", ":tree/link/passwd", stdin=b"hostile")
    media("put", "-", ":tree/fine", stdin=b"fine")
    media("put", "-", ":tree/name", stdin=b"new")
    Path("out").mkdir()
    Path("out/link").symlink_to(outside)
    Path("out/name").symlink_to(outside / "target")
    result = media("get", "-r", "--overwrite", ":tree", "out")
    assert result.code == 2
    assert "link" in result.stderr
    assert list(outside.iterdir()) == []
    assert Path("out/fine").read_bytes() == b"fine"
    assert not Path("out/name").is_symlink()


def test_linked_folders_are_not_entered_when_a_folder_is_put(tmp_path):
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_text("x")
    (tree / "loop").symlink_to(tree)
    (tree / "linked-file").symlink_to(tree / "sub" / "file")
    assert [name for _, name in below(str(tree))] == ["linked-file", "sub/file"]
