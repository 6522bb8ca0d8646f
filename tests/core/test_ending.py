"""The interpreter always ends, whatever is under way, and what begins at its end still works: on every Python here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATH = os.pathsep.join(str(ROOT / "packages" / name / "src") for name in ("core", "fs"))
SECONDS = 30
"""After which a process counts as one that never ends; one that does takes about a second."""


def pythons() -> dict[str, str]:
    """Return the interpreters that this machine has, by version; this one always."""
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}
    for minor in range(11, 16):
        version = f"3.{minor}"
        installed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        path = str(installed[-1]) if installed else shutil.which(f"python{version}")
        if path and version not in found:
            found[version] = path
    return found


PYTHONS = pythons()

BEFORE = """
import atexit, os, sys, threading, time
import file_keeper as fk
import file_keeper.download
from file_keeper.memory import MemoryBackend
from file_keeper_fs import FsBackend

file_keeper.download._RANGE = 1 << 18  # so that a download has several threads
fk.adapters.register("file_keeper:fs", FsBackend)
fk.adapters.register("file_keeper:memory", MemoryBackend)
root = sys.argv[1]
kind = sys.argv[2]
OPTIONS = {
    "fs": {"type": "fs", "path": root, "initialize": True},
    "parts": {"type": "memory", "part_size": 100_000},
}
storage = fk.make_storage("s", OPTIONS[kind])
SIZE = 20_000_000 if kind == "fs" else 2_000_000

def slowly():
    yield b"x" * SIZE
    started.set()
    time.sleep(60)
    yield b"x"

started = threading.Event()
"""


def run(code: str, tmp_path: Path, kind: str, version: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own that must end by itself, without any word of an error."""
    probe = subprocess.run([PYTHONS[version], "-c", "import sys"], capture_output=True, timeout=SECONDS, check=False)
    if probe.returncode:
        pytest.skip(f"Python {version} does not run here")
    program = tmp_path / "program.py"
    program.write_text(BEFORE + textwrap.dedent(code))
    done = subprocess.run(
        [PYTHONS[version], "-W", "ignore", str(program), str(tmp_path / "root"), kind],
        env={**os.environ, "PYTHONPATH": PATH},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done


def left(tmp_path: Path) -> list[str]:
    """Return the files under the root, temporary ones too."""
    return sorted(str(path.relative_to(tmp_path / "root")) for path in (tmp_path / "root").rglob("*") if path.is_file())


everywhere = pytest.mark.parametrize(
    "version",
    [
        pytest.param(version, marks=() if path == sys.executable else pytest.mark.full)
        for version, path in sorted(PYTHONS.items())
    ],
)
kinds = pytest.mark.parametrize("kind", ["fs", "parts"])


@everywhere
@kinds
@pytest.mark.parametrize("size", ["10", "SIZE"])
def test_a_writer_that_is_left_open(size: str, kind: str, version: str, tmp_path: Path) -> None:
    run(f"file = storage.open('a', 'wb'); file.write(b'x' * {size})", tmp_path, kind, version)
    assert left(tmp_path) == [] or kind == "parts"


@everywhere
def test_a_text_writer_that_is_left_open(version: str, tmp_path: Path) -> None:
    run("file = storage.open('a', 'w'); file.write('x' * SIZE)", tmp_path, "fs", version)
    assert left(tmp_path) == []


@everywhere
@kinds
def test_a_writer_in_a_daemon_thread(kind: str, version: str, tmp_path: Path) -> None:
    run(
        """
        def work():
            with storage.open("a", "wb") as file:
                file.write(b"x" * SIZE)
                started.set()
                time.sleep(60)

        threading.Thread(target=work, daemon=True).start()
        assert started.wait(20)
        """,
        tmp_path,
        kind,
        version,
    )
    assert left(tmp_path) == [] or kind == "parts"


@pytest.mark.full
@everywhere
@kinds
def test_an_upload_in_a_daemon_thread(kind: str, version: str, tmp_path: Path) -> None:
    run(
        """
        threading.Thread(target=lambda: storage.upload("a", slowly()), daemon=True).start()
        assert started.wait(20)
        """,
        tmp_path,
        kind,
        version,
    )
    assert "a" not in left(tmp_path)


@everywhere
def test_an_upload_in_a_daemon_thread_that_gets_bytes_cleans_up(version: str, tmp_path: Path) -> None:
    run(
        """
        def endless():
            while True:
                yield b"x" * 1_000_000
                started.set()
                time.sleep(0.01)

        def work():
            try:
                storage.upload("a", endless())
            except fk.exc.ContentError as error:
                print("interpreter ends" in str(error), flush=True)

        threading.Thread(target=work, daemon=True).start()
        assert started.wait(20)
        """,
        tmp_path,
        "fs",
        version,
    )
    assert left(tmp_path) == []


@everywhere
@kinds
@pytest.mark.parametrize("how", ["thread", "exit"])
def test_a_transfer_after_the_main_thread_has_ended(how: str, kind: str, version: str, tmp_path: Path) -> None:
    begin = {
        "thread": "threading.Thread(target=lambda: (threading.main_thread().join(), work())).start()",
        "exit": "atexit.register(work)",
    }[how]
    done = run(
        f"""
        def work():
            body = os.urandom(SIZE)
            storage.upload("a", body)
            storage.upload("b", iter([body, b"x"]))
            with storage.open("c", "wb") as file:
                file.write(body)
            with storage.open("d", "w") as file:
                file.write("text")
            try:
                storage.upload("e", failing(body))
            except ZeroDivisionError:
                print("its own error")
            storage.download("a", os.path.join(os.path.dirname(root), "local"))
            assert storage.content("a") == storage.content("c") == body == storage.content("b")[:-1]
            assert open(os.path.join(os.path.dirname(root), "local"), "rb").read() == body
            assert storage.content("d") == b"text"
            print(sorted(storage.scan()), flush=True)

        def failing(body):
            yield body
            raise ZeroDivisionError

        {begin}
        """,
        tmp_path,
        kind,
        version,
    )
    assert done.stdout == "its own error\n['a', 'b', 'c', 'd']\n"
    assert kind == "parts" or [name for name in left(tmp_path) if ".file-keeper/" not in name] == ["a", "b", "c", "d"]


@everywhere
def test_an_exit_handler_of_earlier_still_writes(version: str, tmp_path: Path) -> None:
    """Handlers run in reverse: one registered before the import runs when the library has put itself in order."""
    program = tmp_path / "earlier.py"
    program.write_text(
        "import atexit\natexit.register(lambda: work())\n"
        + BEFORE
        + textwrap.dedent("""
        def work():
            with storage.open("a", "wb") as file:
                file.write(b"x" * SIZE)
            storage.upload("b", b"x" * SIZE)
            print(sorted(storage.scan()), flush=True)
        """)
    )
    done = subprocess.run(
        [PYTHONS[version], str(program), str(tmp_path / "root"), "fs"],
        env={**os.environ, "PYTHONPATH": PATH},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.stderr, done.returncode, done.stdout) == ("", 0, "['a', 'b']\n")


@everywhere
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.parametrize("ending", ["sys.exit(0)", "os._exit(0)"])
def test_a_fork_beside_an_open_writer(ending: str, version: str, tmp_path: Path) -> None:
    done = run(
        f"""
        file = storage.open("a", "wb")
        file.write(b"x" * SIZE)
        pid = os.fork()
        if not pid:
            try:
                file.write(b"y")
            except fk.exc.ContentError:
                pass
            else:
                os._exit(3)
            storage.upload("b", iter([b"x" * SIZE, b"y"]))
            with storage.open("c", "wb") as own:
                own.write(b"x" * SIZE)
            {ending}
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        file.write(b"z")
        file.close()
        assert storage.content("a") == b"x" * SIZE + b"z"
        print(sorted(storage.scan()))
        """,
        tmp_path,
        "fs",
        version,
    )
    assert done.stdout == "['a', 'b', 'c']\n"


@everywhere
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_fork_in_the_middle_of_an_upload(version: str, tmp_path: Path) -> None:
    run(
        """
        def source():
            yield b"x" * SIZE
            started.set()
            go_on.wait(20)
            yield b"y"

        go_on = threading.Event()
        thread = threading.Thread(target=lambda: storage.upload("a", source()))
        thread.start()
        assert started.wait(20)
        pid = os.fork()
        if not pid:
            storage.upload("b", iter([b"x" * SIZE, b"y"]))
            sys.exit(0)
        begun = time.monotonic()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert time.monotonic() - begun < 10
        go_on.set()
        thread.join()
        assert sorted(storage.scan()) == ["a", "b"]
        """,
        tmp_path,
        "fs",
        version,
    )


@everywhere
@kinds
def test_an_upload_of_a_finalizer_when_no_thread_can_start(kind: str, version: str, tmp_path: Path) -> None:
    run(
        """
        class Last:
            def __del__(self):
                assert storage.upload("a", b"x" * SIZE).size == SIZE
                assert storage.size("a") == SIZE

        last = Last()
        """,
        tmp_path,
        kind,
        version,
    )


@everywhere
@kinds
def test_a_batch_that_was_left(kind: str, version: str, tmp_path: Path) -> None:
    run(
        """
        for number in range(20):
            storage.upload(f"{number}", b"x" * 1_000_000)
        os.makedirs(f"{root}-got")
        batch = iter(storage.download_many([f"{number}" for number in range(20)], f"{root}-got"))
        next(batch).unwrap()
        """,
        tmp_path,
        kind,
        version,
    )


@kinds
@pytest.mark.parametrize("size", ["10", "SIZE"])
def test_an_asynchronous_writer_that_is_left_open(size: str, kind: str, tmp_path: Path) -> None:
    pytest.importorskip("anyio")
    run(
        f"""
        import asyncio

        async def main():
            global file
            file = await storage.aio.open("a", "wb").__aenter__()
            await file.write(b"x" * {size})

        asyncio.run(main())
        """,
        tmp_path,
        kind,
        next(version for version, path in PYTHONS.items() if path == sys.executable),
    )
    assert left(tmp_path) == [] or kind == "parts"
