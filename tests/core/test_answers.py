"""What a provider answers to a read is checked: version, first byte, length, sum; in every way of reading."""

from __future__ import annotations

import dataclasses
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core.doubles import PARTS, Double, KiB, MiB, settings_of
from file_keeper import Storage, download, exc
from file_keeper.backend import Body
from file_keeper.resilience import retry

BODY = random.Random(5).randbytes(2 * MiB + 11)
Twist = Callable[[bytes, int, int | None, Body], Body]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_RANGE", 256 * KiB)  # so that this content comes in ranges side by side
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(attempts=2, base=0.0001, longest=0.0001))


class Odd(Double):
    """Its answers to reads are another's than those asked for."""

    twist: Twist | None = None

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        body = super().read(key, start, end, etag=etag)
        if self.twist is None:
            return body
        return type(self).twist(self._get(key).info.size and BODY, start, end, body)  # type: ignore[misc]


def odd(twist: Twist, **settings: Any) -> Storage:
    class Twisted(Odd):
        pass

    backend = Twisted(settings_of(part_size=256 * KiB, **settings), PARTS)
    storage = Storage("s", backend.settings, backend)
    storage.upload("x", BODY)
    Twisted.twist = staticmethod(twist)
    return storage


def _bytes(start: int, end: int | None) -> bytes:
    return BODY[start : len(BODY) if end is None else min(end, len(BODY))]


def shorter(content: bytes, start: int, end: int | None, body: Body) -> Body:
    """A part of the range, and said so: as services do that answer a range of at most so much."""
    some = _bytes(start, end)[: 100 * KiB]
    return Body(body.info, len(some), io.BytesIO(some), start=start)


def longer(content: bytes, start: int, end: int | None, body: Body) -> Body:
    more = _bytes(start, None)
    return Body(body.info, len(more), io.BytesIO(more), start=start)


def unmeasured(content: bytes, start: int, end: int | None, body: Body) -> Body:
    """In chunks, through some proxy: neither length nor size is told."""
    return Body(dataclasses.replace(body.info, size=-1), None, io.BytesIO(_bytes(start, end)), start=start)


def shifted(content: bytes, start: int, end: int | None, body: Body) -> Body:
    some = _bytes(start + 4096 if start else 0, None if end is None else end + 4096)
    return Body(body.info, len(some), io.BytesIO(some), start=start + 4096 if start else 0)


def whole(content: bytes, start: int, end: int | None, body: Body) -> Body:
    """Range is not known to it: a 200 with all."""
    return Body(body.info, len(BODY), io.BytesIO(BODY), start=0)


def another_version(content: bytes, start: int, end: int | None, body: Body) -> Body:
    """If-Match is not known to it, and the file was replaced after the first answer."""
    etag = "another" if start else body.info.etag
    return Body(dataclasses.replace(body.info, etag=etag), body.length, body.stream, start=start)


def nameless(content: bytes, start: int, end: int | None, body: Body) -> Body:
    etag = "" if start else body.info.etag
    return Body(dataclasses.replace(body.info, etag=etag), body.length, body.stream, start=start)


def of_another_size(content: bytes, start: int, end: int | None, body: Body) -> Body:
    size = body.info.size + (1 if start else 0)
    return Body(dataclasses.replace(body.info, size=size), body.length, body.stream, start=start)


def _downloaded(storage: Storage, folder: Path) -> bytes:
    target = folder / "target"
    target.write_bytes(b"before")
    try:
        storage.download("x", target)
    except BaseException:
        assert target.read_bytes() == b"before"
        assert [path.name for path in folder.iterdir()] == ["target"]
        raise
    return target.read_bytes()


def _opened(storage: Storage, folder: Path) -> bytes:
    with storage.open("x") as file:
        head = file.read(10)
        file.seek(1 * MiB)
        middle = file.read(300 * KiB)
        assert middle == BODY[1 * MiB : 1 * MiB + 300 * KiB]
        file.seek(10)
        return head + file.read()


WAYS: dict[str, Callable[[Storage, Path], bytes]] = {
    "content": lambda storage, folder: storage.content("x"),
    "stream": lambda storage, folder: b"".join(storage.stream("x")),
    "ranges": lambda storage, folder: b"".join(
        storage.range("x", start, min(start + 300_001, len(BODY))) for start in range(0, len(BODY), 300_001)
    ),
    "open": _opened,
    "download": _downloaded,
    "copy_synthetic": lambda storage, folder: _copied(storage),
}


def _copied(storage: Storage) -> bytes:
    backend = Double(settings_of(), PARTS)
    other = Storage("other", backend.settings, backend)
    try:
        storage.copy_synthetic("y", "x", other)
    except BaseException:
        assert list(other.scan()) == []
        raise
    return other.content("y")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("twist", [shorter, longer, unmeasured], ids=lambda twist: twist.__name__)
def test_an_odd_answer_gives_the_right_bytes(twist: Twist, way: str, tmp_path: Path) -> None:
    assert WAYS[way](odd(twist), tmp_path) == BODY


@pytest.mark.parametrize("way", ["ranges", "open", "download"])
@pytest.mark.parametrize(
    "twist", [shifted, whole, another_version, nameless, of_another_size], ids=lambda twist: twist.__name__
)
def test_an_answer_of_something_else_is_refused(twist: Twist, way: str, tmp_path: Path) -> None:
    storage = odd(twist)
    if way == "ranges" and twist in (another_version, nameless, of_another_size):
        # Each range by itself is of one version, whichever.
        assert WAYS[way](storage, tmp_path) == BODY
        return
    with pytest.raises((exc.ConnectionError, exc.ChangedFileError)) as caught:
        WAYS[way](storage, tmp_path)
    assert caught.value.location == "x"


# -- sums -------------------------------------------------------------------------------------------------------------


def damaged(content: bytes, start: int, end: int | None, body: Body) -> Body:
    some = bytearray(_bytes(start, end))
    some[len(some) // 2] ^= 1
    return Body(body.info, len(some), io.BytesIO(some), start=start)


@pytest.mark.parametrize("algorithm", ["md5", "crc32c"])
@pytest.mark.parametrize("mode", ["auto", "small", "always", "never"])
@pytest.mark.parametrize("way", ["content", "stream", "download", "copy_synthetic"])
def test_damage_is_told(way: str, mode: str, algorithm: str, tmp_path: Path) -> None:
    more = {"multipart_threshold": "4MiB"} if mode == "small" else {}
    storage = odd(damaged, verify_reads="auto" if mode == "small" else mode, hashing_algorithm=algorithm, **more)
    if way == "copy_synthetic":  # the upload is held to the recorded hash in any case
        with pytest.raises((exc.CorruptedFileError, exc.UploadHashMismatchError)):
            WAYS[way](storage, tmp_path)
    elif mode == "never" or (mode == "auto" and algorithm == "md5"):
        found = WAYS[way](storage, tmp_path)
        assert found != BODY
        assert len(found) == len(BODY)
    else:
        with pytest.raises(exc.CorruptedFileError, match="damaged"):
            WAYS[way](storage, tmp_path)


def test_a_part_of_a_content_has_no_sum(tmp_path: Path) -> None:
    storage = odd(damaged, verify_reads="always")
    assert len(storage.range("x", 5, 100)) == 95
    with storage.open("x") as file:
        assert len(file.read(100)) == 100
