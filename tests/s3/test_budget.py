"""What each operation costs in requests, counted on the wire; and how bodies travel."""

from __future__ import annotations

import dataclasses
import hashlib
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from emulators.s3 import S3Server
from faults.proxy import FaultProxy
from file_keeper import Storage, exc, make_storage
from file_keeper.backend import WriteOptions
from file_keeper_s3 import S3Backend, sdk_bodies
from s3.conftest import MiB, probe

OnServer = Callable[..., Storage]
PARTS = hashlib.shake_128(b"budget").digest(11 * MiB)
Proxied = tuple[FaultProxy, S3Server]

BUDGET: dict[str, tuple[int, Callable[[Storage], Any]]] = {
    "upload": (1, lambda storage: storage.upload("new", b"1")),
    "upload over": (1, lambda storage: storage.upload("a", b"1", overwrite=True)),
    "upload of a stream": (1, lambda storage: storage.upload("new", iter([b"1"]))),
    "exists": (1, lambda storage: storage.exists("a")),
    "analyze": (1, lambda storage: storage.analyze("a")),
    "content": (1, lambda storage: storage.content("a")),
    "stream": (1, lambda storage: b"".join(storage.stream("a"))),
    "range": (1, lambda storage: storage.range("a", 1, 3)),
    "empty range": (0, lambda storage: storage.range("a", 3, 3)),
    "remove": (2, lambda storage: storage.remove("a")),
    "remove_many": (1, lambda storage: storage.remove_many(["a", "b"])),
    "copy": (2, lambda storage: storage.copy("new", "a")),
    "move": (3, lambda storage: storage.move("new", "a")),
    "scan": (1, lambda storage: list(storage.scan())),
    "files": (1, lambda storage: list(storage.files())),
    "signed": (0, lambda storage: storage.signed("upload", 60, "a")),
    "permanent_link": (0, lambda storage: storage.permanent_link("a")),
    "check": (1, lambda storage: storage.check()),
    "three parts": (3 + 2, lambda storage: storage.upload("new", PARTS, overwrite=True)),
    "three parts, no overwriting": (3 + 3, lambda storage: storage.upload("new", PARTS)),
    "three parts, read once": (3 + 4, lambda storage: storage.upload("new", iter([PARTS]))),
}


@pytest.mark.parametrize("name", BUDGET)
def test_requests(name: str, proxied: Proxied, storage_on: OnServer) -> None:
    proxy, server = proxied
    storage = storage_on(server, part_size="5MiB", conditional_writes="yes")
    storage.upload("a", b"12345")
    assert not storage.exists("none")  # a storage's first 404 asks for the bucket too
    probe(storage)
    proxy.clear()
    expected, operation = BUDGET[name]
    operation(storage)
    assert [(request.method, request.path, request.query) for request in proxy.requests][expected:] == []
    assert len(proxy.requests) == expected


def test_making_a_storage_costs_nothing(proxied: Proxied) -> None:
    proxy, server = proxied
    raw = {"type": "s3", "bucket": "b", "endpoint": server.url, "key": "k", "secret": "s"}
    with make_storage("media", raw) as storage:
        assert storage.capabilities
        assert storage.limits.part_min == 5 * MiB
        repr(storage)
    assert proxy.requests == []


def test_connections_are_used_again(moto_server: S3Server, fault_proxy: Any, storage_on: OnServer) -> None:
    # The proxy would close upstream connections; what is counted is how often the client connects to it.
    proxy = fault_proxy(moto_server)
    connections = []
    accept = proxy._serve

    def counted(client: Any) -> None:
        connections.append(client)
        accept(client)

    proxy._serve = counted
    storage = storage_on(dataclasses.replace(moto_server, url=proxy.url), conditional_writes="yes")
    connections.clear()  # that of the client which made the bucket
    for number in range(5):
        storage.upload(str(number), bytes(100_000))
        assert len(storage.content(str(number))) == 100_000
        assert storage.range(str(number), 10, 20) == bytes(10)
        assert storage.exists(str(number))
        with storage.open(str(number)) as file:
            assert file.read() == bytes(100_000)
    storage.upload("empty", b"")
    assert storage.content("empty") == b""
    assert len(connections) == 1


def test_a_body_that_is_left_closes_its_connection(
    moto_server: S3Server, make_backend: Callable[..., S3Backend]
) -> None:
    backend = make_backend(moto_server)
    backend.put("area/a", bytes(4 * MiB), WriteOptions())
    body = backend.read("area/a")
    connection = body.stream._connection
    assert body.read(10) == bytes(10)
    body.close()
    assert connection.sock.fileno() == -1
    assert body.read(10) == b""
    whole = backend.read("area/a", 1, 3 * MiB)
    assert whole.length == 3 * MiB - 1
    target = memoryview(bytearray(5 * MiB))
    assert sum(iter(lambda: whole.readinto(target), 0)) == whole.length
    assert whole.readinto(target) == 0


def test_a_body_that_ends_early_is_an_error(proxied: Proxied, make_backend: Callable[..., S3Backend]) -> None:
    proxy, server = proxied
    backend = make_backend(server)
    backend.put("area/a", bytes(MiB), WriteOptions())
    for clean in (False, True):
        for how in (
            lambda body: body.read(),
            lambda body: b"".join(iter(lambda: body.read(1000), b"")),
            lambda body: list(iter(lambda: body.readinto(memoryview(bytearray(MiB))), 0)),
        ):
            proxy.on("GET").cut(after=MiB // 2, clean=clean)
            body = backend.read("area/a")
            with pytest.raises(Exception, match=r"end|closed|reset|Connection|broken") as caught:
                how(body)
            body.close()
            error = caught.value
            ours = error if isinstance(error, exc.FilesError) else backend.translate(error)
            assert type(ours) is exc.ConnectionError
            assert ours.retryable


def test_a_range_that_is_ignored_is_not_taken_for_one(proxied: Proxied, storage_on: OnServer) -> None:
    proxy, server = proxied
    storage = storage_on(server)
    headers = {"ETag": '"e"', "Last-Modified": "Mon, 23 Nov 2026 10:00:00 GMT"}
    proxy.on("GET", times=None).answer(200, b"0123456789", headers)
    with pytest.raises(exc.ConnectionError, match="does not honour ranges"):
        storage.range("a", 5, 7)
    assert storage.range("a", 0, 4) == b"0123"
    assert storage.range("a", 0, 20) == b"0123456789"


class InChunks(FaultProxy):
    """A proxy that does not pass on how long a body is."""

    def process(self, request: Any, body: Any) -> Any:
        response = super().process(request, body)
        if request.method == "GET":
            response.length = None
        return response


def test_a_body_of_chunks(moto_server: S3Server, make_backend: Callable[..., S3Backend]) -> None:
    with InChunks(moto_server.url) as proxy:
        backend = make_backend(dataclasses.replace(moto_server, url=proxy.url))
        content = PARTS[: MiB + 1]
        backend.put("area/a", content, WriteOptions())
        body = backend.read("area/a")
        assert (body.length, body.info.size) == (None, -1)
        assert body.read() == content
        part = backend.read("area/a", 10, 200_000)
        assert (part.length, part.info.size) == (199_990, len(content))
        target = bytearray(300_000)
        filled = 0
        while count := part.readinto(memoryview(target)[filled:]):
            filled += count
        assert filled == 199_990
        assert target[:199_990] == content[10:200_000]
        assert part.read() == b""


def test_what_is_encoded_comes_as_it_is_stored(moto_server: S3Server, storage_on: OnServer) -> None:
    import gzip

    storage = storage_on(moto_server)
    packed = gzip.compress(b"content" * 1000)
    storage.upload("a", packed, headers={"Content-Encoding": "gzip"})
    assert storage.content("a") == packed
    assert b"".join(storage.stream("a")) == packed
    assert storage.range("a", 3, 9) == packed[3:9]


def test_a_body_is_sent_without_a_copy(moto_server: S3Server, make_backend: Callable[..., S3Backend]) -> None:
    backend = make_backend(moto_server)
    content = memoryview(bytes(32 * MiB))
    options = WriteOptions(digests={"md5": hashlib.md5(content).hexdigest()})
    backend.put("area/a", content, options)
    tracemalloc.start()
    try:
        backend.put("area/a", content, options)
        assert tracemalloc.get_traced_memory()[1] < 4 * MiB
        body = backend.read("area/a")
        target = memoryview(bytearray(MiB))
        while body.readinto(target):
            pass
        assert tracemalloc.get_traced_memory()[1] < 6 * MiB
    finally:
        tracemalloc.stop()


def test_a_sent_body_is_a_file_of_slices() -> None:
    content = bytes(range(256)) * 4096
    body = sdk_bodies.RequestBody(memoryview(content))
    assert (len(body), bool(body), bool(sdk_bodies.RequestBody(b""))) == (len(content), True, False)
    pieces = list(iter(lambda: body.read(16384), b""))
    assert [len(piece) for piece in pieces] == [sdk_bodies.SLICE] * (len(content) // sdk_bodies.SLICE)
    assert b"".join(pieces) == content
    assert body.seek(-6, 2) == body.tell() == len(content) - 6
    assert bytes(body.read()) == content[-6:]
    assert body.seek(0) == 0
    target = bytearray(1000)
    assert body.readinto(memoryview(target)) == 1000
    assert target == content[:1000]
    assert body.seek(24, 1) == 1024
