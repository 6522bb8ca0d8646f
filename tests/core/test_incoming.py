"""Files whose place is not decided yet: out of sight, moved by the provider, removed when nobody comes for them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import file_keeper as fk
import pytest
from emulators.storages import KINDS


@pytest.fixture(params=KINDS)
def storage(request: pytest.FixtureRequest, fresh_settings: Callable[..., dict[str, Any]]) -> Iterator[fk.Storage]:
    with fk.make_storage("media", fresh_settings(request.param)) as made:
        yield made


def test_what_comes_in_is_out_of_sight_until_it_is_moved(storage: fk.Storage):
    incoming = storage.incoming
    metadata = {"by": "me"} if storage.limits.metadata else None
    file = incoming.upload("some-id.txt", fk.make_upload(b"content"), metadata=metadata)
    assert list(storage.scan()) == list(storage.files(delimiter="/")) == []
    assert list(incoming.scan()) == ["some-id.txt"]
    assert incoming.content(file) == b"content"
    made = incoming.move_synthetic("a/b.txt", file, storage)
    assert (made.location, made.size, made.hash) == ("a/b.txt", 7, file.hash)
    assert storage.content("a/b.txt") == b"content"
    assert storage.analyze("a/b.txt").content_type == "text/plain"
    assert storage.analyze("a/b.txt").metadata == (metadata or {})
    assert list(incoming.scan()) == []
    assert list(storage.scan()) == ["a/b.txt"]


def test_a_place_that_is_taken_leaves_both(storage: fk.Storage):
    storage.upload("a.txt", fk.make_upload(b"old"))
    file = storage.incoming.upload("id", fk.make_upload(b"new"))
    with pytest.raises(fk.exc.ExistingFileError):
        storage.incoming.move_synthetic("a.txt", file, storage)
    assert (storage.content("a.txt"), storage.incoming.content("id")) == (b"old", b"new")
    calls: list[tuple[int, int | None]] = []
    progress = lambda done, total: calls.append((done, total))  # noqa: E731
    storage.incoming.move_synthetic("a.txt", file, storage, overwrite=True, progress=progress)
    assert storage.content("a.txt") == b"new"
    assert calls == [(3, 3)]


def test_a_missing_source_and_a_bad_target(storage: fk.Storage):
    with pytest.raises(fk.exc.MissingFileError):
        storage.incoming.move_synthetic("a.txt", "none", storage)
    with pytest.raises(fk.exc.LocationError):
        storage.incoming.move_synthetic(".file-keeper/x", "none", storage)
    with pytest.raises(fk.exc.LocationError):
        storage.incoming.upload("../x", fk.make_upload(b""))


def test_what_nobody_comes_for_is_cleaned_up(storage: fk.Storage):
    storage.upload("stays.txt", fk.make_upload(b"x"))
    storage.incoming.upload("left/behind.txt", fk.make_upload(b"x"))
    assert storage.cleanup_uploads(3600) == 0
    assert storage.cleanup_uploads(0) == 1
    assert list(storage.incoming.scan()) == []
    assert list(storage.scan()) == ["stays.txt"]


def test_a_move_asks_the_provider(fresh_settings: Callable[..., dict[str, Any]], fault_proxy: Any, moto_server: Any):
    settings = fresh_settings("s3")
    with fk.make_storage("media", settings):
        proxy = fault_proxy(moto_server)
    with fk.make_storage("media", settings | {"endpoint": proxy.url, "initialize": False}) as storage:
        file = storage.incoming.upload("id", fk.make_upload(b"x" * 100_000))
        before = len(proxy.requests)
        storage.incoming.move_synthetic("a.bin", file, storage)
        sent = [request for request in proxy.requests[before:] if "/probe-" not in request.path]
        assert not [request for request in sent if request.method == "GET" and "uploadId" not in request.query]
        assert sum(request.body_length for request in sent) < 2000


def test_it_is_one_and_travels(fresh_settings: Callable[..., dict[str, Any]]):
    storage = fk.make_storage("media", fresh_settings("memory"))
    assert storage.incoming is storage.incoming.incoming
    storage.incoming.upload("id", fk.make_upload(b"x"))
    assert pickle.loads(pickle.dumps(storage.incoming)).content("id") == b"x"
