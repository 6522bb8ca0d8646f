"""nginx before a service: with its defaults, with its limit of 1 MiB for a body, and before a service that is down."""

from __future__ import annotations

import dataclasses
import hashlib
import socket
from collections.abc import Callable, Iterator

import pytest
from emulators.real_s3 import RealS3
from file_keeper import Capability, Storage, exc
from file_keeper.resilience import retry

OnServer = Callable[..., Storage]
MiB = 1 << 20
QUICK = retry.Policy(attempts=2, base=0.001)
PARTS = hashlib.shake_128(b"nginx").digest(11 * MiB)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats come at once."""
    monkeypatch.setattr(retry, "DEFAULT", QUICK)


def test_every_verb_works_behind_it(nginx_server: RealS3, storage_on: OnServer) -> None:
    storage = storage_on(nginx_server, part_size="5MiB", public_endpoint=nginx_server.url)
    metadata = {"with_underscore": "1", "with-hyphen": "2", "título": "3"}
    made = storage.upload("a", PARTS, metadata=metadata)
    assert storage.analyze("a").metadata == metadata
    assert storage.content("a") == PARTS
    assert storage.range("a", 5, 9) == PARTS[5:9]
    storage.upload("a", iter([PARTS, b"more"]), overwrite=made)
    storage.copy("b/c", "a")
    storage.append("a", b"!")
    storage.compose("d", "a", "b/c")
    storage.move("e", "d")
    assert storage.content("e") == PARTS + b"more!" + PARTS + b"more"
    with pytest.raises(exc.ExistingFileError):
        storage.upload("a", b"x")
    assert list(storage.scan()) == ["a", "b/c", "e"]
    assert storage.remove("a")
    assert storage.remove_many(["b/c", "e", "missing"]) == []
    assert not storage.exists("a")
    assert list(storage.scan()) == []
    assert storage.supports(Capability.SIGNED)


@pytest.fixture(scope="module")
def limited(seaweedfs_server: RealS3, nginx_before: Callable[..., RealS3]) -> RealS3:
    """As nginx comes: `client_max_body_size` is 1m."""
    return nginx_before(seaweedfs_server)


def test_a_body_that_is_too_large_for_it(limited: RealS3, storage_on: OnServer) -> None:
    storage = storage_on(limited, part_size="5MiB", overwrite_existing=True, bucket=limited.bucket)
    small = storage.upload("x", b"before")
    for content in (bytes(MiB + 1), PARTS, iter([PARTS])):
        with pytest.raises(exc.LargeUploadError) as caught:
            storage.upload("x", content)
        assert (caught.value.status, caught.value.location, caught.value.retryable) == (413, "x", False)
        assert "client_max_body_size" in str(caught.value), "what to change"
        assert "<html" not in str(caught.value)
        assert not caught.value.uncertain
    assert storage.content("x") == b"before"
    assert storage.analyze("x").etag == small.etag
    assert list(storage.backend.multipart_list(storage.full_path("x"))) == []
    storage.upload("x", bytes(MiB))
    assert storage.size("x") == MiB


def _nothing(server: RealS3) -> Iterator[RealS3]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    yield dataclasses.replace(server, url=f"http://127.0.0.1:{port}", process=None)


def _silence(server: RealS3) -> Iterator[RealS3]:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield dataclasses.replace(server, url=f"http://127.0.0.1:{silent.getsockname()[1]}", process=None)


@pytest.fixture(params=[(_nothing, 502), (_silence, 504)], ids=["down", "silent"], scope="module")
def dead(
    request: pytest.FixtureRequest, seaweedfs_server: RealS3, nginx_before: Callable[..., RealS3]
) -> Iterator[tuple[RealS3, int]]:
    """nginx before nothing, and before one who takes connections and says nothing."""
    make, status = request.param
    for upstream in make(seaweedfs_server):
        yield nginx_before(upstream, "proxy_read_timeout 200ms"), status


def test_a_service_that_is_down(dead: tuple[RealS3, int], seaweedfs_server: RealS3, storage_on: OnServer) -> None:
    front, status = dead
    storage = storage_on(front, bucket=seaweedfs_server.bucket)
    calls: dict[str, Callable[[], object]] = {
        "upload": lambda: storage.upload("x", b"x", overwrite=True),
        "in parts": lambda: storage.multipart_start("x", 10, overwrite=True),
        "content": lambda: storage.content("x"),
        "exists": lambda: storage.exists("x"),
        "analyze": lambda: storage.analyze("x"),
        "remove": lambda: storage.remove("x"),
        "remove_many": lambda: _raised(storage.remove_many(["x"])),
        "scan": lambda: list(storage.scan()),
        "copy": lambda: storage.copy("y", "x", overwrite=True),
        "move": lambda: storage.move("y", "x", overwrite=True),
        "check": storage.check,
        "cleanup": lambda: storage.cleanup_uploads(0),
    }
    for name, call in calls.items():
        with pytest.raises(exc.ConnectionError) as caught:
            call()
        assert caught.value.status == status, name
        assert caught.value.retryable, name
        assert "<html" not in str(caught.value), name


def _raised(errors: list[exc.FilesError]) -> None:
    for error in errors:
        raise error


@pytest.mark.parametrize(
    "page", ["return 200 '<html>Welcome to nginx!</html>'", "return 204", "return 404", "return 403"]
)
def test_a_page_of_its_own_is_no_answer(
    page: str, seaweedfs_server: RealS3, nginx_before: Callable[..., RealS3], storage_on: OnServer
) -> None:
    """What stands before the service answers itself: a wrong `location`, a maintenance page."""
    front = nginx_before(seaweedfs_server, f"if ($uri ~ /) {{ {page}; }} set $a 1")
    storage = storage_on(front, bucket=seaweedfs_server.bucket)
    expected = exc.PermissionError if "403" in page else exc.ConnectionError
    calls: dict[str, Callable[[], object]] = {
        "upload": lambda: storage.upload("x", b"x", overwrite=True),
        "content": lambda: storage.content("x"),
        "exists": lambda: storage.exists("x"),
        "remove": lambda: storage.remove("x"),
        "scan": lambda: list(storage.scan()),
        "check": storage.check,
    }
    for name, call in calls.items():
        with pytest.raises(expected) as caught:
            call()
        assert not isinstance(caught.value, exc.MissingFileError), name
