"""The command as a process of its own: pipes, signals, exit codes, what it imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from file_keeper_cli.local import arriving

from .conftest import command

MiB = 1 << 20
STORE = ("-s", "type=fs", "-s", "path=store", "-s", "initialize=true")


def files(folder: str) -> list[str]:
    """Everything below a folder that is a file, staging included."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def finish(process: subprocess.Popen[bytes], data: bytes = b"") -> tuple[int, bytes, str]:
    out, err = process.communicate(data, timeout=60)
    return process.returncode, out, err.decode()


def test_a_pipe_of_unknown_size_goes_in_and_comes_out():
    content = os.urandom(MiB) * 20 + b"tail"
    code, out, err = finish(command(*STORE, "put", "-", ":big"), content)
    assert (code, err) == (0, "")
    assert b"20 MiB" in out
    code, out, err = finish(command(*STORE, "cat", ":big"))
    assert (code, out == content, err) == (0, True, "")


def test_a_redirected_file_and_a_named_pipe(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    with (tmp_path / "file").open("rb") as stream:
        stream.seek(10)
        assert finish(command(*STORE, "put", "-", ":rest", stdin=stream))[0] == 0
    assert Path("store/rest").stat().st_size == 99_990
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = command(*STORE, "put", fifo, ":fifo")
    fifo.write_bytes(b"through a pipe")
    assert finish(process)[0] == 0
    assert Path("store/fifo").read_bytes() == b"through a pipe"


def test_who_stops_reading_is_no_error():
    content = os.urandom(MiB) * 4
    assert finish(command(*STORE, "put", "-", ":big"), content)[0] == 0
    for arguments in (("cat", ":big"), ("cat", ":big", ":big")):
        process = command(*STORE, *arguments)
        assert process.stdout is not None
        assert process.stdout.read(1000) == content[:1000]
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(60) == 141
        process.stderr.close()
        assert process.stdin is not None
        process.stdin.close()


def test_a_listing_that_nobody_reads_to_its_end():
    Path("store/" + "d" * 200).mkdir(parents=True)
    for number in range(1000):
        Path("store", "d" * 200, f"{number:04}").touch()
    process = command(*STORE, "ls", "-r", ":", stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 141


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_an_interrupted_upload_leaves_nothing(number, code):
    assert finish(command(*STORE, "put", "-", ":a"), b"first")[0] == 0

    def as_in_a_terminal() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = command(*STORE, "put", "--overwrite", "-", ":a", preexec_fn=as_in_a_terminal)
    assert process.stdin is not None
    # When this much is taken, the upload is in the middle.
    process.stdin.write(os.urandom(MiB) * 24)
    process.stdin.flush()
    process.send_signal(number)
    assert process.wait(60) == code
    assert process.stderr is not None
    told = process.stderr.read().decode()
    assert told == ("file-keeper: interrupted\n" if number == signal.SIGINT else "")
    for stream in (process.stdin, process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    assert Path("store/a").read_bytes() == b"first"
    assert [name for name in files("store") if ".file-keeper" not in name] == ["a"]
    assert not [name for name in files("store") if Path("store", name).stat().st_size > MiB]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError])
def test_an_interrupted_get_leaves_nothing(error, tmp_path):
    path = tmp_path / "file"
    path.write_text("before")

    def interrupted() -> None:
        with arriving(str(path), overwrite=True) as staged:
            Path(staged).write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "work"]


def test_a_file_that_comes_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "file"

    def late() -> None:
        with arriving(str(path), overwrite=False) as staged:
            Path(staged).write_text("ours")
            path.write_text("theirs")

    with pytest.raises(FileExistsError):
        late()
    assert path.read_text() == "theirs"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "work"]


def test_exit_codes_and_streams():
    code, out, err = finish(command(*STORE, "cat", ":nothing"))
    assert (code, out) == (3, b"")
    assert err.startswith("file-keeper: storage ':': stream 'nothing': there is no ")
    assert err.count("\n") == 1
    assert finish(command("cat"))[0] == 2
    code, out, _ = finish(command("--version"))
    assert (code, out.split()[0]) == (0, b"file-keeper")


def test_output_is_utf8_whatever_python_would_take():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    code, out, _ = finish(command(*STORE, "put", "-", ":☺", env=environment), b"x")
    assert code == 0
    assert ":☺  1 B" in out.decode()
    _, out, _ = finish(command(*STORE, "ls", "--json", env=environment))
    assert '"location": "☺"' in out.decode()


def test_a_local_name_that_is_not_unicode_is_told_and_refused():
    name = os.fsdecode(b"caf\xe9")
    Path(name).write_text("x")
    code, _, err = finish(command(*STORE, "put", name, ":"))
    assert code == 2
    assert "cannot be part of a location" in err
    assert finish(command(*STORE, "put", name, ":cafe"))[0] == 0


def test_the_command_starts_light():
    """No SDK and nothing of rich that a plain command does not need."""
    heavy = ("boto3", "botocore", "google.cloud", "azure", "libcloud", "rich.progress", "rich.table", "file_keeper_fs")
    code = f"import sys, file_keeper_cli; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"[]\n"
