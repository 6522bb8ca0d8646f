"""Services that do not know a sub-resource: what they make of it is seen on an object of our own, not a user's."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Any

import pytest
from emulators.s3 import S3Server
from faults.answers import s3_error
from faults.hooked_s3 import HookedS3
from faults.http1 import Body, Request, Response
from file_keeper import Storage, exc
from file_keeper_s3 import copying
from s3.conftest import MiB, keys_of, open_uploads

OnServer = Callable[..., Storage]
PARTS = hashlib.shake_128(b"features").digest(11 * MiB)
PART = r"partNumber"


def _left(front: HookedS3, storage: Storage) -> list[str]:
    assert not open_uploads(front.server(), storage.settings.bucket)
    return [key for key in keys_of(front.server(), storage.settings.bucket) if ".file-keeper" in key]


def test_tags_do_not_take_the_place_of_the_content(
    hooked: HookedS3, storage_on: OnServer, caplog: pytest.LogCaptureFixture
) -> None:
    hooked.ignore("tagging")
    storage = storage_on(hooked.server(), part_size="5MiB")
    with caplog.at_level(logging.WARNING, "file_keeper"):
        made = storage.upload("a", iter([PARTS]))
        storage.upload("b", iter([PARTS]))
    assert made.hash == hashlib.md5(PARTS).hexdigest()
    assert storage.content("a") == storage.content("b") == PARTS
    assert storage.hash("a") == ""
    assert not hooked.count("PUT", "/area/[ab]$", "tagging")
    assert hooked.count("PUT", query="tagging") == 1, "it is tried once"
    told = [record.getMessage() for record in caplog.records]
    assert len([text for text in told if "keeps no object tags" in text and "http" in text]) == 1
    assert len([text for text in told if "could not be recorded" in text]) == 2
    assert not _left(hooked, storage)


def test_a_tag_is_recorded_where_a_tag_is_a_tag(hooked: HookedS3, storage_on: OnServer) -> None:
    storage = storage_on(hooked.server(), part_size="5MiB")
    storage.upload("a", iter([PARTS]))
    assert storage.hash("a") == hashlib.md5(PARTS).hexdigest()
    assert not _left(hooked, storage)


def test_tags_are_not_written_while_it_is_not_known_what_they_do(hooked: HookedS3, storage_on: OnServer) -> None:
    storage = storage_on(hooked.server(), part_size="5MiB")
    probe = hooked.on("PUT", r"probe-", "tagging", times=None).reset()
    storage.upload("a", iter([PARTS]))
    assert probe.hits
    assert storage.content("a") == PARTS
    assert not hooked.count("PUT", "/area/a$", "tagging")


@pytest.mark.parametrize("ignored", [("uploads",), ("partNumber", "uploadId")], ids="+".join)
def test_a_part_does_not_take_the_place_of_the_file(
    ignored: tuple[str, ...], hooked: HookedS3, storage_on: OnServer
) -> None:
    def create(request: Request, body: Body, forward: Any) -> Response:
        return Response.of(200, "")  # a POST to a key, as it is to who knows nothing of uploads

    storage = storage_on(hooked.server(), part_size="5MiB", overwrite_existing=True)
    storage.upload("a", b"before")
    hooked.ignore(*ignored)
    if ignored == ("uploads",):
        hooked.hook(create, method="POST", query="uploads")
    with pytest.raises(exc.UnsupportedOperationError, match="multipart_threshold"):
        storage.upload("a", PARTS)
    with pytest.raises(exc.UnsupportedOperationError, match="in parts"):
        storage.multipart_start("a", 10)
    assert storage.content("a") == b"before"
    whole = storage_on(
        hooked.server(), bucket=storage.settings.bucket, multipart_threshold="20MiB", overwrite_existing=True
    )
    whole.upload("a", PARTS)
    assert storage.content("a") == PARTS
    assert not [key for key in keys_of(hooked.server(), storage.settings.bucket) if ".file-keeper" in key]


def test_a_copy_is_not_an_empty_file(hooked: HookedS3, storage_on: OnServer) -> None:
    hooked.ignore(headers=("x-amz-copy-source",))
    storage = storage_on(hooked.server(), overwrite_existing=True)
    storage.upload("a", b"content", content_type="text/x", metadata={"k": "v"})
    storage.upload("b", b"before")
    made = storage.copy("b", "a")
    assert storage.content("b") == b"content"
    assert (made.content_type, made.metadata, made.hash) == ("text/x", {"k": "v"}, storage.hash("a"))
    assert storage.move("c", "b").size == 7
    assert storage.content("c") == b"content"
    assert not storage.exists("b")
    assert not [r for r in hooked.matching("PUT", "/area/[abc]$") if r.headers.has("x-amz-copy-source")]
    assert not _left(hooked, storage)


@pytest.mark.parametrize("ignored", ["x-amz-copy-source", "x-amz-copy-source-range"])
def test_a_copied_part_is_the_piece_that_was_asked_for(
    ignored: str, hooked: HookedS3, storage_on: OnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "COPY_MAX", 5 * MiB)

    def ignore(request: Request, body: Body, forward: Any) -> Response:
        request.headers[:] = request.headers.without(ignored)
        return forward(request, body)

    hooked.hook(ignore, method="PUT", query=PART)
    storage = storage_on(hooked.server(), part_size="5MiB", multipart_threshold="16MiB")
    storage.upload("a", PARTS)
    storage.copy("b", "a")
    storage.compose("c", "a", "b")
    storage.append("a", b"more")
    assert storage.content("b") == PARTS
    assert storage.content("c") == PARTS + PARTS
    assert storage.content("a") == PARTS + b"more"
    assert not _left(hooked, storage)


def test_a_batch_counts_what_the_answer_names(hooked: HookedS3, storage_on: OnServer) -> None:
    storage = storage_on(hooked.server())
    for name in "ab":
        storage.upload(name, b"1")
    hooked.hook(
        lambda request, body, forward: Response.of(200, "<DeleteResult/>", [("Content-Type", "application/xml")]),
        method="POST",
        query="delete",
    )
    found = storage.remove_many(["a", "b"])
    assert [(type(error), error.location) for error in found] == [
        (exc.ConnectionError, "a"),
        (exc.ConnectionError, "b"),
    ]


def test_a_probe_that_is_throttled_decides_nothing(hooked: HookedS3, storage_on: OnServer) -> None:
    storage = storage_on(hooked.server(), part_size="5MiB")
    hooked.on("POST", "probe-", "uploads").answer(*s3_error(503, "SlowDown"))
    storage.upload("a", PARTS)
    assert storage.content("a") == PARTS


@pytest.mark.full
def test_real_servers_keep_the_content(real_s3_server: S3Server, storage_on: OnServer) -> None:
    storage = storage_on(real_s3_server, part_size="5MiB")
    made = storage.upload("a", iter([PARTS]))
    assert storage.content("a") == PARTS
    assert storage.hash("a") in ("", made.hash)
    assert storage.analyze("a").etag == made.etag
    assert storage.range("a", 5, 9) == PARTS[5:9]
    storage.upload("a", PARTS[:100], overwrite=made)
    storage.copy("b", "a")
    assert storage.content("b") == PARTS[:100]
    storage.upload("c", PARTS)
    storage.compose("d", "c", "b")
    assert storage.content("d") == PARTS + PARTS[:100]
    storage.append("c", b"more")
    assert storage.content("c") == PARTS + b"more"
    storage.move("e", "b")
    assert sorted(storage.scan()) == ["a", "c", "d", "e"]
    assert storage.remove_many(["a", "c", "none"]) == []
    assert storage.cleanup_uploads(0) == 0
    assert sorted(keys_of(real_s3_server, storage.settings.bucket)) == ["area/d", "area/e"]
