"""The request budget of the contract (6.6), counted by the double: small objects, no faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import file_keeper as fk
import pytest
from emulators.gcs_double import GcsDouble

KIB = 1024
PART = 256 * KIB
DATA = bytes(range(256)) * 4 * KIB  # 1 MiB: four pieces or parts


def stream(data: bytes = DATA) -> Iterator[bytes]:
    yield from (data[i : i + 100_000] for i in range(0, len(data), 100_000))


BUDGET: dict[str, tuple[Callable[[fk.Storage], Any], int]] = {
    "upload": (lambda media: media.upload("new", b"x"), 1),
    "upload of a file": (lambda media: media.upload("new", __import__("pathlib").Path(__file__)), 1),
    "upload over": (lambda media: media.upload("a", b"x", overwrite=True), 1),
    "exists": (lambda media: media.exists("a"), 1),
    "exists not": (lambda media: media.exists("none"), 1),
    "analyze": (lambda media: media.analyze("a"), 1),
    "size": (lambda media: media.size("a"), 1),
    "content": (lambda media: media.content("a"), 1),
    "stream": (lambda media: b"".join(media.stream("a")), 1),
    "range": (lambda media: media.range("a", 1, 2), 1),
    "empty range": (lambda media: media.range("a", 1, 1), 0),
    "remove": (lambda media: media.remove("a"), 1),
    "remove not": (lambda media: media.remove("none"), 1),
    "remove_many": (lambda media: media.remove_many([f"x{i}" for i in range(250)]), 3),
    "copy": (lambda media: media.copy("new", "a"), 2),
    "copy over": (lambda media: media.copy("b", "a", overwrite=True), 1),
    "move": (lambda media: media.move("new", "a"), 3),
    "scan": (lambda media: list(media.scan()), 1),
    "files": (lambda media: list(media.files()), 1),
    "check": (lambda media: media.check(), 1),
    "permanent_link": (lambda media: media.permanent_link("a"), 0),
    "session": (lambda media: media.upload("new", stream(), overwrite=True), 5),
    "session, not over": (lambda media: media.upload("new", stream()), 6),
    "append": (lambda media: media.append("a", b"x"), 4),
    "compose": (lambda media: media.compose("new", "a", "b"), 3),
}


@pytest.fixture
def media(double: GcsDouble) -> Iterator[fk.Storage]:
    raw = {"type": "gcs", "bucket": "media", "endpoint": double.url, "anonymous": True, "part_size": PART}
    with fk.make_storage("test", raw) as made:
        made.upload("a", b"abc")
        made.upload("b", b"abc")
        yield made


@pytest.mark.parametrize("name", BUDGET)
def test_budget(media: fk.Storage, double: GcsDouble, name: str) -> None:
    call, requests = BUDGET[name]
    double.clear_log()
    call(media)
    assert double.count() == requests, [(e.method, e.path, e.query) for e in double.requests()]


def test_parts(double: GcsDouble) -> None:
    """n parts: the begin, n, the composition, and the deletion: a listing and ⌈(n + 1) / 100⌉ batches."""
    raw = {"type": "gcs", "bucket": "media", "endpoint": double.url, "anonymous": True, "part_size": PART}
    with fk.make_storage("test", {**raw, "max_concurrency": 3, "overwrite_existing": True}) as media:
        double.clear_log()
        media.upload("new", stream())
        assert double.count() == 4 + 4


def test_making_a_storage(double: GcsDouble) -> None:
    double.clear_log()
    raw = {"type": "gcs", "bucket": "media", "endpoint": double.url, "credentials": double.credentials_info()}
    with fk.make_storage("test", raw) as media:
        media.signed("download", 60, "a")
        media.signed("upload", 60, "a")
        assert double.count() == 0


def test_pages(media: fk.Storage, double: GcsDouble) -> None:
    for i in range(2498):
        double.put("media", f"n{i:05d}")
    double.clear_log()
    assert sum(1 for _ in media.scan()) == 2500
    assert double.count() == 3
    double.clear_log()
    names = media.scan()
    next(names)
    assert double.count() == 1
