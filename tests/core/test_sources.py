"""Sources that are cut, closed, asynchronous or half made: never a part of one stored as the whole."""

from __future__ import annotations

import gc
import gzip
import http.client
import io
import socketserver
import sys
import threading
import urllib.request
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from file_keeper import HashingReader, Storage, Upload, exc, make_storage, make_upload
from file_keeper.streams import IterableBytesReader, PathReader

SIZE, CUT = 100_000, 40_000
BODY = bytes(range(250)) * (SIZE // 250)


@pytest.fixture
def storage() -> Storage:
    return make_storage("s", {"type": "memory", "part_size": 16_000})


class Handler(socketserver.StreamRequestHandler):
    """Answers with the body that the path names: whole, cut, in chunks, or compressed."""

    def handle(self) -> None:
        path = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        body, headers = BODY, ""
        if "gzip" in path:
            body, headers = gzip.compress(BODY), "Content-Encoding: gzip\r\n"
        sent = body[: len(body) * 2 // 5] if "cut" in path else body
        if "chunked" in path:
            headers += "Transfer-Encoding: chunked\r\n"
            sent = b"%x\r\n%b\r\n" % (len(sent), sent) + (b"" if "cut" in path else b"0\r\n\r\n")
        else:
            headers += f"Content-Length: {len(body)}\r\n"
        self.wfile.write(f"HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}\r\n".encode() + sent)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as found:
        found.daemon_threads = True
        thread = threading.Thread(target=found.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{found.server_address[1]}"
        found.shutdown()
        thread.join()


def by_urlopen(url: str) -> Any:
    return urllib.request.urlopen(url)


def by_buffered(url: str) -> Any:
    return io.BufferedReader(urllib.request.urlopen(url))


def by_upload(url: str) -> Any:
    return Upload(urllib.request.urlopen(url))


def by_hashing(url: str) -> Any:
    return HashingReader(urllib.request.urlopen(url))


def by_urllib3(url: str) -> Any:
    import urllib3

    return urllib3.PoolManager().request("GET", url, preload_content=False, decode_content=True)


def by_lenient_urllib3(url: str) -> Any:
    """Get a response that does not mind being cut, as that of version 1 and of what asks for it."""
    import urllib3

    return urllib3.PoolManager().request("GET", url, preload_content=False, enforce_content_length=False)


def by_requests(url: str) -> Any:
    import requests

    return requests.get(url, stream=True)


def by_raw_requests(url: str) -> Any:
    import requests

    return requests.get(url, stream=True).raw


def by_botocore(url: str) -> Any:
    import urllib3
    from botocore.response import StreamingBody

    pool = urllib3.PoolManager()
    raw = pool.request("GET", url, preload_content=False, decode_content=False, enforce_content_length=False)
    return StreamingBody(raw, raw.headers.get("Content-Length"))


WAYS = [
    by_urlopen, by_buffered, by_upload, by_hashing, by_urllib3, by_lenient_urllib3, by_requests, by_raw_requests,
    by_botocore,
]  # fmt: skip
OURS = {by_urlopen, by_buffered, by_upload, by_hashing, by_lenient_urllib3}
"""The sources that say nothing themselves."""
DECODES = {by_urllib3, by_lenient_urllib3, by_requests}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("threshold", [16_000, 1 << 20])
@pytest.mark.parametrize("way", WAYS)
def test_a_source_that_is_cut_is_not_stored(way: Callable[[str], Any], threshold: int, server: str) -> None:
    storage = make_storage("s", {"type": "memory", "part_size": 16_000, "multipart_threshold": threshold})
    kinds: Any = exc.UploadSizeMismatchError if way in OURS else Exception
    with pytest.raises(kinds) as caught:
        storage.upload("a", way(f"{server}/cut"))
    if way in OURS:
        assert f"it gave {CUT} bytes and still owes {SIZE - CUT}" in str(caught.value)
    assert list(storage.scan()) == []
    assert storage.upload("a", way(f"{server}/whole")).size == SIZE
    assert storage.content("a") == BODY


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("way", WAYS)
def test_decoded_and_chunked_bodies_are_no_false_alarm(
    way: Callable[[str], Any], server: str, storage: Storage
) -> None:
    storage.upload("gzip", way(f"{server}/gzip"))
    got = storage.content("gzip")
    assert (got if way in DECODES else gzip.decompress(got)) == BODY
    storage.upload("chunked", way(f"{server}/chunked"))
    assert storage.content("chunked") == BODY


def test_a_chunked_source_that_is_cut(server: str, storage: Storage) -> None:
    with pytest.raises(http.client.IncompleteRead), urllib.request.urlopen(f"{server}/chunked-cut") as response:
        storage.upload("a", response)
    assert list(storage.scan()) == []


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_rest_of_a_source_is_whole_by_its_own_word(server: str, storage: Storage) -> None:
    """What was read before the upload is not owed."""
    response = by_urlopen(f"{server}/whole")
    response.read(10)
    assert storage.upload("a", response).size == SIZE - 10


def test_a_chunked_source_that_is_cut_and_read_by_lines(server: str, storage: Storage) -> None:
    """``http.client`` ends the iteration in silence."""
    with urllib.request.urlopen(f"{server}/chunked-cut") as response, pytest.raises(exc.UploadSizeMismatchError):
        storage.upload("a", IterableBytesReader(response))
    assert not storage.exists("a")
    with urllib.request.urlopen(f"{server}/chunked") as response:
        assert storage.upload("a", IterableBytesReader(response)).size == SIZE


def test_a_multipart_part_of_a_cut_source(server: str, storage: Storage) -> None:
    data = storage.multipart_start("a", SIZE)
    with pytest.raises(exc.FilesError), urllib.request.urlopen(f"{server}/cut") as response:
        storage.multipart_update(data, response, 0)


def test_a_cut_source_is_not_appended(server: str, storage: Storage) -> None:
    storage.upload("a", b"before")
    with pytest.raises(exc.UploadSizeMismatchError), urllib.request.urlopen(f"{server}/cut") as response:
        storage.append("a", response)
    assert storage.content("a") == b"before"


# -- closed -----------------------------------------------------------------------------------------------------------


def test_a_closed_source(storage: Storage, tmp_path: Any) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")

    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

    for open_it in (lambda: io.BytesIO(b"x"), lambda: path.open("rb"), lambda: Unseekable(b"x")):
        stream: Any = open_it()
        upload = make_upload(stream)
        stream.close()
        for value in (stream, upload):
            with pytest.raises(exc.ContentError, match="the source is closed"):
                storage.upload("a", value)
        with pytest.raises(exc.ContentError, match="the source is closed"):
            Upload(stream)
    assert list(storage.scan()) == []


def test_a_framework_file_that_cannot_be_rewound(storage: Storage) -> None:
    from werkzeug.datastructures import FileStorage

    class Form(io.RawIOBase):
        """A part of a form that is read once."""

        def __init__(self) -> None:
            self.at = 0

        def readable(self) -> bool:
            return True

        def tell(self) -> int:
            return self.at

        def readinto(self, buffer: Any, /) -> int:
            count = min(len(buffer), 100 - self.at)
            buffer[:count] = b"x" * count
            self.at += count
            return count

    value = FileStorage(Form(), "f.bin")  # type: ignore[arg-type]
    value.stream.read(7)
    with pytest.raises(exc.ContentError, match=r"'f\.bin' is already read up to byte 7 and cannot be rewound"):
        storage.upload("a", value)
    assert storage.upload("a", FileStorage(Form(), "f.bin")).size == 100  # type: ignore[arg-type]


# -- asynchronous -----------------------------------------------------------------------------------------------------


class AsyncReader:
    async def read(self, size: int = -1) -> bytes:
        return b""


class AsyncReadInto(AsyncReader):
    async def readinto(self, buffer: Any) -> int:
        return 0


class HiddenAsyncReader:
    """Does not look asynchronous before it is read."""

    def read(self, size: int = -1) -> Any:
        return AsyncReader().read(size)


async def generator() -> AsyncIterator[bytes]:
    yield b""


async def coroutine() -> bytes:
    return b""


@pytest.mark.parametrize(
    "make",
    [AsyncReader, AsyncReadInto, HiddenAsyncReader, generator, coroutine, lambda: [coroutine()]],
    ids=["read", "readinto", "hidden", "generator", "coroutine", "iterable"],
)
def test_an_asynchronous_source(make: Callable[[], Any], storage: Storage) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a coroutine that is never awaited is a warning
        with pytest.raises(TypeError, match=r"is asynchronous .* storage\.aio"):
            storage.upload("a", make())
        gc.collect()
    assert list(storage.scan()) == []


# -- half made --------------------------------------------------------------------------------------------------------


@pytest.fixture
def unraised(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What finalizers raised, which Python only prints."""
    found: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: found.append(one.exc_value))
    return found


def half_made(storage: Storage) -> list[Callable[[], Any]]:
    return [
        lambda: IterableBytesReader(5),  # type: ignore[arg-type]
        lambda: PathReader(),  # type: ignore[call-arg]
        lambda: Upload(io.StringIO()),  # type: ignore[arg-type]
        lambda: storage.open("missing"),
        lambda: storage.open("missing", "r", encoding="nonsense"),
        lambda: storage.open("a", "w", encoding="nonsense"),
        lambda: storage.open("a", "w", newline="nonsense"),
        lambda: storage.open("a", "wb", metadata={"fk_x": "y"}),
        lambda: storage.stream("missing"),
        lambda: make_storage("s", {"type": "memory", "bucket": 5}),
    ]


@pytest.mark.parametrize("number", range(10))
def test_what_is_half_made_is_let_go_of_in_silence(number: int, storage: Storage, unraised: list[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((exc.FilesError, TypeError, ValueError, LookupError)) as caught:
            half_made(storage)[number]()
        caught.value.__traceback__ = None
        del caught
        gc.collect()
    assert unraised == []
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("file-keeper")] == []
    assert list(storage.scan()) == []
