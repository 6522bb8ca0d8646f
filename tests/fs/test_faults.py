"""A full disk, no permission, a root that vanishes, names that cannot be: a typed error, the storage as it was."""

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import file_keeper
import pytest
from file_keeper import exc
from file_keeper.backend import Backend, MultipartRef, Wrapper, WriteOptions, entries_of
from file_keeper_fs import FsBackend
from file_keeper_fs import errors as table

from .conftest import build
from .tools import NEW, PLAIN, content, keys, leftovers, same_descriptors


def translated(backend: FsBackend, call: Callable[[], Any]) -> exc.FilesError:
    """Call and give the error as the core has it."""
    try:
        call()
    except exc.FilesError as error:
        return error
    except OSError as error:
        result = backend.translate(error)
        assert result is not None
        return result
    raise AssertionError("no error")


class Chunks:
    """A body that is not at hand as a whole; it may fail in the middle."""

    def __init__(self, chunk: bytes, count: int, error: BaseException | None = None):
        self.size = None
        self.digests: dict[str, str] = {}
        self._chunk, self._count, self._error = chunk, count, error

    def __iter__(self) -> Iterator[memoryview]:
        for _ in range(self._count):
            yield memoryview(self._chunk)
        if self._error:
            raise self._error


class TestNoRoom:
    @pytest.fixture
    def small(self, tmp_path: Path) -> Iterator[Path]:
        """A file system of 1 MiB."""
        path = tmp_path / "small"
        path.mkdir()
        if (
            os.getuid()
            or subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=200", "tmpfs", str(path)], capture_output=True
            ).returncode
        ):
            pytest.skip("needs root that may mount a tmpfs")
        yield path
        subprocess.run(["umount", str(path)], check=True)

    def fill(self, small: Path) -> None:
        with open(small / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    def test_while_writing(self, small: Path, kind: dict[str, Any]) -> None:
        backend = build(small, **kind)
        old = backend.put("d/a", b"old", PLAIN)
        before = shutil.disk_usage(small).used
        for key, options in (("d/a", PLAIN), ("new/b", NEW)):
            for body in (b"x" * (2 << 20), Chunks(b"x" * 65536, 40)):
                error = translated(backend, lambda b=body, k=key, o=options: backend.put(k, b, o))
                assert type(error) is exc.StorageError
                assert (error.code, error.retryable) == ("ENOSPC", False)
        upload = MultipartRef("m", backend.multipart_create("m", PLAIN))
        error = translated(backend, lambda: backend.multipart_put(upload, 0, b"x" * (2 << 20)))
        assert error.code == "ENOSPC"
        part = backend.multipart_put(upload, 0, b"x" * 600_000)
        error = translated(backend, lambda: backend.multipart_complete(upload, [part], PLAIN))
        assert error.code == "ENOSPC"
        assert list(backend.multipart_parts(upload)) == [part]
        assert backend.multipart_abort(upload)
        error = translated(backend, lambda: backend.append(old, b"x" * (2 << 20), PLAIN))
        assert error.code == "ENOSPC"
        assert backend.head("d/a") == old
        assert keys(backend) == ["d/a"]
        assert leftovers(small) == []
        assert shutil.disk_usage(small).used <= before

    def test_no_byte_at_all(self, small: Path, kind: dict[str, Any]) -> None:
        backend = build(small, **kind)
        old = backend.put("a", b"old", WriteOptions(content_type="text/x"))
        self.fill(small)
        assert translated(backend, lambda: backend.put("a", b"x" * 5000, PLAIN)).code == "ENOSPC"
        assert translated(backend, lambda: backend.put("b/c", b"x" * 5000, NEW)).code == "ENOSPC"
        assert backend.head("a") == old
        assert content(backend, "a") == b"old"
        # What frees room works.
        assert backend.delete("a")
        assert backend.delete("filler")
        assert leftovers(small) == []
        backend.put("a", b"x" * 5000, NEW)

    def test_no_inode(self, small: Path, kind: dict[str, Any]) -> None:
        backend = build(small, **kind)
        error = translated(backend, lambda: [backend.put(f"d{number}", b"x", PLAIN) for number in range(300)])
        assert (type(error), error.code) == (exc.StorageError, "ENOSPC")
        found = keys(backend)
        assert len(found) > 20
        assert leftovers(small) == []
        assert [backend.head(key).size for key in found] == [1] * len(found)

    def test_another_mount_below_the_root(self, small: Path, tmp_path: Path, kind: dict[str, Any]) -> None:
        # Staging lies beside the target, so on its mount; a move between the two is a copy and a removal.
        backend = build(tmp_path, **kind)
        options = WriteOptions(content_type="text/x", metadata={"a": "b"}, digests={"md5": "a" * 32})
        made = backend.put("here", b"content", options)
        moved = backend.move("here", "small/d/there", NEW)
        assert (moved.content_type, moved.metadata, moved.digests) == (made.content_type, made.metadata, made.digests)
        assert keys(backend) == ["small/d/there"]
        back = backend.move("small/d/there", "here", NEW)
        assert backend.head("here") == back
        copied = backend.copy(back, "small/copy", PLAIN)
        assert backend.append(copied, b"!", PLAIN).size == 8
        assert keys(backend) == ["here", "small/copy"]


def test_a_limit_on_the_size_of_files(root: Path) -> None:
    # Without root rights a limit of the process stands in for the full disk.
    child = os.fork()
    if not child:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            backend = build(root)
            backend.put("a", b"old", PLAIN)
            error = translated(backend, lambda: backend.put("a", b"x" * 200_000, PLAIN))
            assert type(error) is exc.StorageError
            assert error.code == "EFBIG"
            assert content(backend, "a") == b"old"
            assert leftovers(root) == []
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class TestNoPermission:
    @pytest.fixture
    def closed(self, tmp_path: Path) -> Path:
        """A directory of root's that others may read, not write."""
        if os.getuid():
            pytest.skip("needs root to become somebody else")
        for path in (tmp_path, *tmp_path.parents):
            if path.name.startswith(("pytest", "test", "popen")):
                path.chmod(0o755)
        path = tmp_path / "closed"
        path.mkdir()
        build(path).put("d/a", b"x", WriteOptions(content_type="text/x"))
        (path / "secret").mkdir(mode=0o700)
        (path / "secret" / "a").write_text("secret")
        return path

    def as_nobody(self, where: Path, work: Callable[[FsBackend], None], **options: Any) -> None:
        child = os.fork()
        if not child:
            code = 1
            try:
                os.setgid(65534)
                os.setuid(65534)
                work(build(where, **options))
                code = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def test_an_error_is_never_an_answer(self, closed: Path) -> None:
        def work(backend: FsBackend) -> None:
            assert content(backend, "d/a") == b"x"
            info = backend.head("d/a")
            assert info.content_type == "text/x"
            upload = MultipartRef("secret/a", "0" * 32)
            for call in (
                lambda: backend.put("d/a", b"y", PLAIN),
                lambda: backend.put("new", b"y", NEW),
                lambda: backend.put("new/new", b"y", NEW),
                lambda: backend.delete("d/a"),
                lambda: backend.move("d/a", "d/b", NEW),
                lambda: backend.copy(info, "d/b", NEW),
                lambda: backend.append(info, b"y", PLAIN),
                lambda: backend.store_digests(info, {"md5": "a" * 32}),
                lambda: backend.multipart_create("d/a", PLAIN),
                lambda: backend.head("secret/a"),
                lambda: backend.read("secret/a"),
                lambda: backend.delete("secret/a"),
                lambda: backend.multipart_put(upload, 0, b"x"),
                lambda: backend.multipart_abort(upload),
                lambda: list(entries_of(backend.list("secret/"))),
                lambda: list(backend.list("", keys_only=True)),
            ):
                assert isinstance(translated(backend, call), exc.PermissionError)
            # What cleans up says what it passes over, and goes on.
            assert (list(backend.multipart_list("")), backend.cleanup("", 0)) == ([], 0)
            assert content(backend, "d/a") == b"x"

        self.as_nobody(closed, work)
        assert keys(build(closed)) == ["d/a", "secret/a"]

    def test_a_root_that_may_not_be_opened(self, closed: Path) -> None:
        def work(backend: FsBackend) -> None:
            for call in (backend.check, lambda: backend.head("a"), lambda: backend.put("a", b"", PLAIN)):
                assert isinstance(translated(backend, call), exc.PermissionError)

        self.as_nobody(closed, work, path="secret")

    def test_a_directory_that_several_may_write(self, closed: Path) -> None:
        # What is ours beside the files is open to whom the directory is open to.
        shared = closed / "shared"
        shared.mkdir()
        shared.chmod(0o2777)
        mine = build(closed, attributes="sidecar")
        before = os.umask(0o022)
        try:
            mine.put("shared/mine", b"x", PLAIN)
        finally:
            os.umask(before)
        self.as_nobody(closed, lambda backend: backend.put("shared/theirs", b"x", NEW) and None, attributes="sidecar")
        assert keys(mine, "shared/") == ["shared/mine", "shared/theirs"]


class TestRoot:
    def test_missing(self, tmp_path: Path, kind: dict[str, Any]) -> None:
        backend = build(tmp_path, bucket="b", path="p/q", **kind)
        upload = MultipartRef("a", "0" * 32)
        calls: list[Callable[[], Any]] = [
            backend.check,
            lambda: backend.head("a"),
            lambda: backend.read("a"),
            lambda: backend.put("a", b"x", NEW),
            lambda: backend.delete("a"),
            lambda: list(entries_of(backend.list(""))),
            lambda: list(backend.list("", keys_only=True)),
            lambda: backend.multipart_create("a", PLAIN),
            lambda: backend.multipart_put(upload, 0, b"x"),
            lambda: list(backend.multipart_list("")),
            lambda: backend.cleanup("", 0),
            lambda: backend.move("a", "b", PLAIN),
        ]
        for call in calls:
            error = translated(backend, call)
            assert isinstance(error, exc.InvalidStorageConfigurationError)
            assert str(tmp_path / "b/p/q") in error.message
            assert "initialize" in error.message
        assert list(tmp_path.iterdir()) == []
        backend.prepare()
        backend.prepare()
        backend.check()
        assert backend.put("a", b"x", NEW)

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        for options in ({"path": "file"}, {"path": "file/below"}):
            backend = build(tmp_path, **options)
            for call in (backend.check, backend.prepare, lambda b=backend: b.head("a")):
                assert isinstance(translated(backend, call), exc.InvalidStorageConfigurationError)

    def test_vanishes_and_comes_back(self, root: Path, backend: FsBackend) -> None:
        backend.put("a/b", b"x", PLAIN)
        entries = entries_of(backend.list(""))
        os.rename(root, root.parent / "gone")
        for call in (lambda: backend.head("a/b"), lambda: backend.put("c", b"x", PLAIN), lambda: next(entries)):
            assert isinstance(translated(backend, call), exc.InvalidStorageConfigurationError)
        os.rename(root.parent / "gone", root)
        assert content(backend, "a/b") == b"x"

    def test_vanishes_while_something_is_written(self, root: Path, backend: FsBackend) -> None:
        class Vanishing(Chunks):
            def __iter__(self) -> Iterator[memoryview]:
                yield memoryview(b"x")
                shutil.rmtree(root)

        with same_descriptors():
            error = translated(backend, lambda: backend.put("a/b", Vanishing(b"", 0), NEW))
        assert isinstance(error, exc.InvalidStorageConfigurationError)

    def test_the_directory_of_a_file_is_removed_while_it_is_written(self, root: Path, backend: FsBackend) -> None:
        class Removing(Chunks):
            def __iter__(self) -> Iterator[memoryview]:
                yield memoryview(b"x")
                shutil.rmtree(root / "a")

        error = translated(backend, lambda: backend.put("a/b", Removing(b"", 0), PLAIN))
        assert type(error) is exc.StorageError
        assert list(root.iterdir()) == []

    @pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="Linux has files without a name")
    def test_what_has_no_name_yet_finds_its_directory_again(self, root: Path) -> None:
        # Who removes the last other file of a directory removes the directory: nothing staged keeps it.
        backend = build(root)

        class Pruning(Chunks):
            def __iter__(self) -> Iterator[memoryview]:
                yield memoryview(b"x")
                (root / "a").rmdir()

        backend.put("a/b", Pruning(b"", 0), NEW)
        assert content(backend, "a/b") == b"x"

    @pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="Linux has files without a name")
    def test_a_file_system_that_names_no_nameless_file(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real, refused = os.link, 0

        def link(source: Any, target: Any, **more: Any) -> None:
            nonlocal refused
            if isinstance(source, str) and source.startswith("/proc/"):
                refused += 1
                raise OSError(errno.EPERM, os.strerror(errno.EPERM))
            real(source, target, **more)

        monkeypatch.setattr(os, "link", link)
        backend = build(root)
        options = WriteOptions(content_type="text/x", metadata={"a": "b"}, if_absent=True)
        for name in ("a", "b"):
            made = backend.put(name, b"content", options)
            assert content(backend, name) == b"content"
            assert backend.head(name) == made
        assert refused == 1, "it is not tried again"
        with pytest.raises(exc.ExistingFileError):
            backend.put("a", b"other", options)
        assert leftovers(root) == []


class TestNames:
    LONG = ("n" * 256, "a/" + "n" * 256, "n" * 256 + "/a", "☺" * 86, "a/b/" + "é" * 128 + "/c")

    @pytest.mark.parametrize("key", LONG)
    def test_longer_than_a_name_can_be(self, key: str, backend: FsBackend, root: Path) -> None:
        info = backend.put("there", b"x", PLAIN)
        for call in (
            lambda: backend.put(key, b"x", PLAIN),
            lambda: backend.put(key, b"x", NEW),
            lambda: backend.copy(info, key, PLAIN),
            lambda: backend.move("there", key, NEW),
            lambda: backend.move("there", key, PLAIN),
        ):
            error = translated(backend, call)
            assert isinstance(error, exc.LocationError)
            assert not isinstance(error, exc.MissingFileError | exc.ExistingFileError)
        assert isinstance(translated(backend, lambda: backend.head(key)), exc.MissingFileError)
        assert backend.delete(key) is False
        assert keys(backend, key) == []
        assert keys(backend) == ["there"]
        assert leftovers(root) == []

    def test_as_long_as_a_name_can_be(self, backend: FsBackend, root: Path) -> None:
        names = ["n" * 255, "☺" * 85, "/".join(["x" * 255] * 4)]
        for name in names:
            made = backend.put(name, b"x", WriteOptions(if_absent=True, content_type="text/x"))
            assert backend.head(name) == made
            assert backend.head(backend.move(name, name[:-1] + "y", NEW).key).content_type == "text/x"
            assert backend.delete(name[:-1] + "y")
        assert list(root.iterdir()) == []

    def test_a_file_and_a_directory_at_once(self, backend: FsBackend, root: Path) -> None:
        backend.put("a", b"a", PLAIN)
        backend.put("d/x", b"x", PLAIN)
        for key in ("a/b", "a/b/c", "d"):
            for options in (PLAIN, NEW):
                for call in (
                    lambda k=key, o=options: backend.put(k, b"y", o),
                    lambda k=key, o=options: backend.copy(backend.head("a"), k, o),
                    lambda k=key, o=options: backend.move("a" if k == "d" else "d/x", k, o),
                ):
                    error = translated(backend, call)
                    assert isinstance(error, exc.LocationError)
                    assert not isinstance(error, exc.MissingFileError | exc.ExistingFileError)
            assert isinstance(translated(backend, lambda k=key: backend.head(k)), exc.MissingFileError)
            assert backend.delete(key) is False
        assert keys(backend) == ["a", "d/x"]
        assert leftovers(root) == []
        # When the one goes, the other can be.
        assert backend.delete("d/x")
        backend.put("d", b"now", NEW)
        assert backend.delete("a")
        backend.put("a/b/c", b"now", NEW)

    def test_lower_and_upper_case_of_ours(self, root: Path, backend: FsBackend) -> None:
        # This file system tells them apart, so it is a name like any other.
        backend.put(".FILE-KEEPER/x", b"x", WriteOptions(content_type="text/x"))
        backend.put("a~1/x", b"x", PLAIN)
        assert keys(backend) == [".FILE-KEEPER/x", "a~1/x"]
        # Where it does not, it would be our own directory: a link of one name to the other stands in for that.
        backend.multipart_create("d/x", PLAIN)
        os.rename(root / "d" / ".file-keeper", root / "d" / ".File-Keeper")
        real = type(backend._tree.root()).lstat

        def ignoring_case(self: Any, name: str) -> os.stat_result:
            return real(self, ".File-Keeper" if name == ".file-keeper" else name)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(backend._tree.root()), "lstat", ignoring_case)
            for call in (lambda: backend.put("d/.File-Keeper/x", b"", PLAIN), lambda: backend.head("d/.File-Keeper/x")):
                assert isinstance(translated(backend, call), exc.LocationError)


class TestSources:
    @pytest.mark.parametrize("error", [ValueError("mine"), OSError(errno.ENOENT, "mine"), KeyboardInterrupt()])
    def test_that_raise(self, error: BaseException, backend: FsBackend, root: Path) -> None:
        old = backend.put("old", b"old", PLAIN)
        with same_descriptors():
            for key, options in (("old", PLAIN), ("new/er", NEW)):
                with pytest.raises(type(error)) as caught:
                    backend.put(key, Chunks(b"x" * 1000, 3, error), options)
                assert caught.value is error
        assert backend.head("old") == old
        assert keys(backend) == ["old"]
        assert leftovers(root) == []


def test_the_table_of_errors() -> None:
    expected = {
        errno.ENOENT: exc.MissingFileError,
        errno.ENOTDIR: exc.MissingFileError,
        errno.EISDIR: exc.MissingFileError,
        errno.EEXIST: exc.ExistingFileError,
        errno.EACCES: exc.PermissionError,
        errno.EPERM: exc.PermissionError,
        errno.EROFS: exc.PermissionError,
        errno.EAGAIN: exc.ThrottledError,
        errno.EIO: exc.ConnectionError,
        errno.ESTALE: exc.ConnectionError,
        errno.ENOSPC: exc.StorageError,
        errno.EDQUOT: exc.StorageError,
        errno.ENAMETOOLONG: exc.LocationError,
        errno.ECHILD: exc.StorageError,
    }
    for number, cls in expected.items():
        error = table.translate(OSError(number, os.strerror(number)))
        assert type(error) is cls
        assert error.code == errno.errorcode[number]
        assert error.retryable is (cls in (exc.ThrottledError, exc.ConnectionError))
    assert table.translate(ValueError("x")) is None
    assert table.translate(exc.MissingFileError("x")) is None
    assert type(table.translate(OSError("no number"))) is exc.StorageError


class _Broken:
    """A stream of a device that fails, for ever or once."""

    def __init__(self, stream: Any, failures: list[int]):
        self.stream, self.failures = stream, failures

    def readinto(self, buffer: memoryview) -> int:
        if self.failures:
            raise OSError(self.failures.pop(), "the device says no")
        return self.stream.readinto(buffer)

    def read(self, size: int = -1) -> bytes:
        if self.failures:
            raise OSError(self.failures.pop(), "the device says no")
        return self.stream.read(size)

    def close(self) -> None:
        self.stream.close()


@pytest.mark.parametrize(
    ("failures", "expected"),
    [([errno.EIO], None), ([errno.EIO] * 50, exc.ConnectionError), ([errno.EACCES], exc.PermissionError)],
)
def test_a_device_that_fails_while_a_file_is_read(
    failures: list[int], expected: type[exc.FilesError] | None, root: Path
) -> None:
    storage = file_keeper.make_storage("s", {"type": "fs", "root": str(root)})
    storage.upload("a", b"x" * 100)
    left = list(failures)

    class Failing(Wrapper):
        def read(self, *args: Any, **options: Any) -> Any:
            body = super().read(*args, **options)
            body.stream = _Broken(body.stream, left)
            return body

    def failing(inner: Backend[Any]) -> Backend[Any]:
        return Failing(inner)

    if expected is None:
        assert storage.wrapped(failing).content("a") == b"x" * 100
        return
    with pytest.raises(expected) as caught:
        storage.wrapped(failing).content("a")
    assert (caught.value.code, caught.value.location) == (errno.errorcode[failures[0]], "a")
    assert isinstance(caught.value.__cause__, OSError)
