"""Writers against writers, readers, removers and sweeps, in threads and in processes."""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from file_keeper import exc
from file_keeper.backend import WriteOptions, entries_of
from file_keeper_fs import FsBackend
from file_keeper_fs.portable import PortableDirectory

from .conftest import build
from .tools import NEW, PLAIN, content, keys, leftovers


def in_processes(count: int, work: Callable[[int], Any]) -> None:
    """Run `work` in so many forked processes and wait for them; each must end well."""
    children: list[int] = []
    for number in range(count):
        sys.stdout.flush()
        child = os.fork()
        if not child:
            code = 1
            try:
                work(number)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    codes: list[int] = []
    try:
        for child in children:
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    finally:
        for child in children[len(codes) :]:  # a test that timed out leaves nobody running
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    assert codes == [0] * count


def in_threads(count: int, work: Callable[[int], Any]) -> None:
    """Run `work` in so many threads at once; the first error is raised."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            barrier.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_of_many_who_create_one_wins(root: Path, kind: dict[str, Any]) -> None:
    # The directories above are created, and pruned again by the losers, at the same time.
    winners = root.parent / "winners"
    winners.mkdir()

    def work(process: int) -> None:
        backend = build(root, **kind)

        def create(thread: int) -> None:
            for round_ in range(5):
                name = f"{process}-{thread}"
                try:
                    backend.put(f"a/b{round_}/c", name.encode(), WriteOptions(if_absent=True, metadata={"who": name}))
                except exc.ExistingFileError:
                    continue
                (winners / f"{round_}.{name}").touch()

        in_threads(8, create)

    in_processes(4, work)
    found = sorted(path.name for path in winners.iterdir())
    assert [name.partition(".")[0] for name in found] == list("01234")
    backend = build(root, **kind)
    for name in found:
        round_, _, who = name.partition(".")
        assert content(backend, f"a/b{round_}/c") == who.encode()
        assert backend.head(f"a/b{round_}/c").metadata == {"who": who}
    assert leftovers(root) == []


def test_a_counter_under_condition_loses_nothing(root: Path, kind: dict[str, Any]) -> None:
    # Every success adds one; the size of the content never changes, so only the version tells them apart.
    build(root, **kind).put("counter", b"%06d" % 0, PLAIN)
    each, threads, processes = 20, 3, 3

    def work(_: int) -> None:
        backend = build(root, **kind)

        def count(_: int) -> None:
            done = 0
            while done < each:
                body = backend.read("counter")
                try:
                    number = int(body.read())
                finally:
                    body.close()
                try:
                    backend.put("counter", b"%06d" % (number + 1), WriteOptions(if_match=body.info.etag))
                except exc.ChangedFileError:
                    continue
                done += 1

        in_threads(threads, count)

    in_processes(processes, work)
    assert int(content(build(root, **kind), "counter")) == each * threads * processes
    assert leftovers(root) == []


def test_a_conditional_writer_never_covers_a_newer_write(root: Path, kind: dict[str, Any]) -> None:
    # One writes unconditionally, and then looks: only a writer who saw this content may have replaced it since.
    rounds = 150
    stop = root.parent / "stop"

    def work(number: int) -> None:
        backend = build(root, **kind)
        if number:
            while not stop.exists():
                seen = backend.read("x")
                try:
                    text = seen.read()
                finally:
                    seen.close()
                try:
                    backend.put("x", text.split(b"+")[0] + b"+%d" % number, WriteOptions(if_match=seen.info.etag))
                except exc.ChangedFileError:
                    pass
            return
        try:
            for round_ in range(rounds):
                backend.put("x", b"%d" % round_, PLAIN)
                for _ in range(3):
                    assert content(backend, "x").split(b"+")[0] == b"%d" % round_
        finally:
            stop.touch()

    build(root, **kind).put("x", b"start", PLAIN)
    in_processes(3, work)
    assert leftovers(root) == []


def test_create_against_delete(root: Path, kind: dict[str, Any]) -> None:
    # What is pruned by one is being created by another: no call fails for it, and nothing is lost.
    def work(process: int) -> None:
        backend = build(root, **kind)

        def run(thread: int) -> None:
            key = f"a/b/{process}-{thread}"
            for round_ in range(25):
                backend.put(key, b"x", NEW)
                if round_ % 3 == 1:
                    backend.move(key, f"c/d/{process}-{thread}", NEW)
                    backend.move(f"c/d/{process}-{thread}", key, NEW)
                if round_ % 5 == 1:
                    upload = backend.multipart_create(key, PLAIN)
                    from file_keeper.backend import MultipartRef

                    assert backend.multipart_abort(MultipartRef(key, upload))
                assert backend.delete(key) is True

        in_threads(3, run)

    in_processes(3, work)
    assert list(root.iterdir()) == []


def test_readers_see_one_version_whole(root: Path, kind: dict[str, Any]) -> None:
    # Content, type and hash always belong together, while two writers replace and a third removes.
    stop = root.parent / "stop"

    def work(number: int) -> None:
        backend = build(root, **kind)
        if number < 2:
            try:
                for round_ in range(120):
                    letter = "abcdef"[(round_ + number) % 6]
                    body = letter.encode() * (5000 if round_ % 2 else 5001)
                    backend.put("d/x", body, WriteOptions(content_type=f"text/{letter}", digests={"md5": letter * 32}))
                    if round_ % 10 == 5:  # never the last thing that is done: a reader that comes late sees something
                        backend.delete("d/x")
            finally:
                stop.touch()
            return
        seen = 0
        while not stop.exists() or not seen:
            try:
                body = backend.read("d/x")
            except exc.MissingFileError:
                continue
            try:
                data = body.read()
            finally:
                body.close()
            letter = chr(data[0])
            assert data == data[:1] * body.info.size
            assert body.info.content_type == f"text/{letter}"
            assert body.info.digests == {"md5": letter * 32}
            try:
                info = backend.head("d/x")
                list(entries_of(backend.list("d/")))
            except exc.MissingFileError:
                continue
            assert info.digests == {"md5": info.content_type[-1] * 32}
            seen += 1

    build(root, **kind).put("d/x", b"a" * 10, WriteOptions(content_type="text/a", digests={"md5": "a" * 32}))
    in_processes(4, work)
    assert [name for name in leftovers(root) if not name.endswith("d/")] == []


def test_moves_that_cross_do_not_wait_for_each_other(root: Path, kind: dict[str, Any]) -> None:
    def work(number: int) -> None:
        backend = build(root, **kind)
        mine, other = ("a", "b") if number % 2 else ("b", "a")
        for _ in range(60):
            backend.put(f"{mine}/{number}", b"x", PLAIN)
            moved = backend.move(f"{mine}/{number}", f"{other}/{number}", PLAIN)
            backend.move(f"{other}/{number}", f"{mine}/{number}", WriteOptions(if_absent=True))
            target = backend.put(f"{other}/{number}", b"y", PLAIN)
            backend.move(f"{mine}/{number}", f"{other}/{number}", WriteOptions(if_match=target.etag))
            assert backend.head(f"{other}/{number}").etag == moved.etag
            backend.delete(f"{other}/{number}")

    started = time.monotonic()
    in_processes(4, work)
    assert time.monotonic() - started < 30
    # Without descriptors of directories two that remove the last file at once may each find the other's in it.
    left = [path for path in root.rglob("*") if not path.is_dir()]
    assert (left if kind.get("portable") else list(root.iterdir())) == []


def test_a_sweep_takes_nothing_from_the_living(root: Path, kind: dict[str, Any]) -> None:
    # It is told to take what is zero seconds old, all the time, while others write.
    stop = root.parent / "stop"

    def work(number: int) -> None:
        backend = build(root, **kind)
        if not number:
            while not stop.exists():
                # It may take one that was created and not locked yet: its writer notices and makes another.
                backend.cleanup("", 0)
            return
        try:
            for round_ in range(100):
                key = f"d{round_ % 3}/{number}"
                info = backend.put(key, b"x" * round_, WriteOptions(content_type="text/x", digests={"md5": "a" * 32}))
                assert backend.head(key) == info
                if round_ % 7 == 3:
                    assert backend.delete(key)
        finally:
            (root.parent / f"ended-{number}").touch()
            if all((root.parent / f"ended-{other}").exists() for other in (1, 2)):
                stop.touch()

    in_processes(3, work)
    assert leftovers(root) == []
    backend = build(root, **kind)
    assert [backend.head(key).content_type for key in keys(backend)] == ["text/x"] * len(keys(backend))


def test_a_lock_that_a_stranger_holds_is_not_waited_for_for_ever(plain: FsBackend, root: Path) -> None:
    import fcntl

    backend = build(root, timeout=0.2)
    fd = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError) as caught:
            backend.put("a", b"x", PLAIN)
        error = backend.translate(caught.value)
        assert isinstance(error, exc.TimeoutError)
        assert error.retryable
        assert list(root.iterdir()) == []
    finally:
        os.close(fd)
    backend.put("a", b"x", PLAIN)


def test_what_is_made_in_a_directory_that_was_replaced_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    directory = PortableDirectory.at(str(tmp_path)).sub("a")
    original = os.open

    def replaced_before(path: str, *more: Any) -> int:
        (tmp_path / "a").rename(tmp_path / "old")
        (tmp_path / "a").mkdir()
        return original(path, *more)

    monkeypatch.setattr(os, "open", replaced_before)
    with pytest.raises(FileNotFoundError):
        directory.create("tmp-1")
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["a", "old"]
