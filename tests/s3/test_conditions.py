"""Conditions of writes: decided by the service; whether it does is found out; looked up first where it does not."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from emulators.s3 import S3Server
from faults.answers import s3_error
from faults.proxy import FaultProxy
from faults.strict_s3 import StrictS3
from file_keeper import Storage, exc
from file_keeper.backend import MultipartRef, PartsDiscardedError, WriteOptions
from file_keeper_s3 import S3Backend
from s3.conftest import MiB, open_uploads

PARTS = hashlib.shake_128(b"conditions").digest(6 * MiB)
Start = Callable[..., StrictS3]
OnServer = Callable[..., Storage]
Make = Callable[..., S3Backend]
ABSENT = WriteOptions(if_absent=True)


@pytest.mark.parametrize("size", [0, 1000, 6 * MiB])
def test_of_many_writers_one_wins(size: int, strict: Start, storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server(), part_size="5MiB", max_concurrency=1)
    count = 16 if size < MiB else 4
    barrier = threading.Barrier(count)

    def write(number: int) -> int | None:
        body = bytes([number]) * size
        barrier.wait()
        with contextlib.suppress(exc.ExistingFileError):
            storage.upload("a", body, metadata={"n": str(number)})
            return number
        return None

    with ThreadPoolExecutor(count) as pool:
        winners = [found for found in pool.map(write, range(count)) if found is not None]
    assert len(winners) == 1
    assert storage.content("a") == bytes(winners) * size
    assert storage.analyze("a").metadata == {"n": str(winners[0])}


def _write(kind: str, backend: S3Backend, options: WriteOptions) -> Any:
    """Write `area/target` in one of the ways that there are."""
    key = "area/target"
    if kind == "put":
        return backend.put(key, b"new", options)
    if kind == "copy":
        return backend.copy(backend.head("area/source"), key, options)
    upload = MultipartRef(key, backend.multipart_create(key, options))
    try:
        return backend.multipart_complete(upload, [backend.multipart_put(upload, 0, b"new")], options)
    except BaseException:
        backend.multipart_abort(upload)
        raise


@pytest.mark.parametrize("kind", ["put", "copy", "complete"])
@pytest.mark.parametrize("behaviour", ["honoured", "refused", "ignored", "ignored-on-complete"])
def test_what_is_there_is_kept_whatever_the_service_does(
    behaviour: str, kind: str, strict: Start, make_backend: Make, caplog: pytest.LogCaptureFixture
) -> None:
    front = strict(conditional_writes=behaviour)
    backend = make_backend(front.server())
    backend.put("area/source", b"new", WriteOptions())
    backend.put("area/target", b"old", WriteOptions())
    etag = backend.head("area/target").etag
    with caplog.at_level(logging.WARNING, "file_keeper"):
        with pytest.raises(exc.ExistingFileError):
            _write(kind, backend, ABSENT)
        with pytest.raises(exc.ChangedFileError):
            _write(kind, backend, WriteOptions(if_match="0" * 32))
        assert backend.head("area/target").etag == etag
        info = _write(kind, backend, WriteOptions(if_match=etag))
        assert info.etag == backend.head("area/target").etag
        backend.delete("area/target")
        _write(kind, backend, ABSENT)
        with pytest.raises(exc.ChangedFileError):
            _write(kind, backend, WriteOptions(if_match=etag))
    assert backend.read("area/target").read() == b"new"
    told = [record.getMessage() for record in caplog.records if "does not decide" in record.getMessage()]
    decided = behaviour == "honoured" or (behaviour == "ignored-on-complete" and kind != "complete")
    # Before a copy it is also asked whether a completion would do better.
    assert len(told) == (0 if decided else 3 if kind == "copy" else 2)
    sent = [r for r in front.requests if r.path.endswith("target") and r.headers.has("If-None-Match")]
    assert bool(sent) == decided
    # The probes leave nothing.
    client = front.server().client()
    with contextlib.closing(client):
        found = client.list_objects_v2(Bucket=backend.bucket)["Contents"]
    assert {one["Key"] for one in found} == {"area/source", "area/target"}
    assert not open_uploads(front.server(), backend.bucket)


def test_a_service_is_probed_once_a_kind(strict: Start, make_backend: Make) -> None:
    front = strict()
    backend = make_backend(front.server())
    backend.put("area/a", b"1", ABSENT)
    probes = front.matching(path=r"/area/\.file-keeper/probe-")
    # One that must be refused, then three races of two writers.
    assert [probe.method for probe in probes] == ["PUT", "PUT", "DELETE", *["PUT", "PUT", "DELETE"] * 3]
    other = make_backend(front.server(), bucket=backend.bucket, path="elsewhere")
    front.clear()
    backend.put("area/b", b"1", ABSENT)
    other.put("elsewhere/b", b"1", ABSENT)
    assert [request.method for request in front.requests] == ["PUT", "PUT"]


def test_first_writers_probe_once(strict: Start, make_backend: Make) -> None:
    front = strict()
    backend = make_backend(front.server())
    barrier = threading.Barrier(8)

    def write(number: int) -> None:
        barrier.wait()
        backend.put(f"area/{number}", b"1", ABSENT)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert front.count(path="probe-") == 12


@pytest.mark.parametrize("setting", ["yes", "no"])
def test_the_setting_spares_the_probe(setting: str, strict: Start, make_backend: Make) -> None:
    front = strict()
    backend = make_backend(front.server(), conditional_writes=setting)
    backend.put("area/a", b"1", ABSENT)
    assert front.count(path="probe-") == 0
    (put,) = front.matching("PUT", "/area/a")
    assert put.headers.has("If-None-Match") == (setting == "yes")
    assert front.count("HEAD", "/area/a") == (setting == "no")
    assert backend.limits.atomic_create == (setting == "yes")


def test_a_probe_that_is_not_allowed_means_looking_first(
    proxied: tuple[FaultProxy, S3Server], make_backend: Make
) -> None:
    proxy, server = proxied
    backend = make_backend(server)
    proxy.on("PUT", "probe-", times=None).answer(*s3_error(403, "AccessDenied"))
    backend.put("area/a", b"1", ABSENT)
    with pytest.raises(exc.ExistingFileError):
        backend.put("area/a", b"2", ABSENT)
    proxy.clear()
    other = make_backend(server, bucket=backend.bucket)
    other.put("area/b", b"1", ABSENT)
    sent = [request for request in proxy.requests if request.target.endswith("/area/b")]
    assert [request.headers.get("if-none-match") for request in sent] == ["*"], "others may be allowed to probe"


def test_a_probe_that_fails_teaches_nothing(proxied: tuple[FaultProxy, S3Server], make_backend: Make) -> None:
    proxy, server = proxied
    backend = make_backend(server)
    proxy.on("PUT", "probe-").answer(*s3_error(503, "SlowDown"))
    with pytest.raises(Exception, match="SlowDown") as caught:
        backend.put("area/a", b"1", ABSENT)
    assert isinstance(backend.translate(caught.value), exc.ThrottledError)
    backend.put("area/a", b"1", ABSENT)
    (put,) = proxy.matching("PUT", "/area/a$")
    assert put.headers.get("If-None-Match") == "*"


def test_a_service_that_compares_with_the_bare_etag(moto_server: S3Server, make_backend: Make) -> None:
    # radosgw 16: If-Match of a PUT is compared as it is, with its quotes.
    with StrictS3Bare(moto_server, signatures=False) as front:
        backend = make_backend(front.server())
        info = backend.put("area/a", b"1", WriteOptions())
        backend.put("area/a", b"2", WriteOptions(if_match=info.etag))
        with pytest.raises(exc.ChangedFileError):
            backend.put("area/a", b"3", WriteOptions(if_match=info.etag))
        assert backend.read("area/a").read() == b"2"


class StrictS3Bare(StrictS3):
    def process(self, request: Any, body: Any) -> Any:
        if request.method == "PUT" and request.headers.get("If-Match").startswith('"'):
            request.headers[:] = [*request.headers.without("If-Match"), ("If-Match", '"never"')]
        return super().process(request, body)


def test_an_empty_etag_is_asked_for(strict: Start, storage_on: OnServer) -> None:
    front = strict(conditional_writes="ignored-on-complete")
    storage = storage_on(front.server(), part_size="5MiB", overwrite_existing=True)
    made = storage.upload("a", PARTS)
    assert made.etag
    assert made.etag == storage.analyze("a").etag


@pytest.mark.parametrize("verb", ["put", "copy"])
def test_a_conflict_of_conditions_is_repeated(
    verb: str, proxied: tuple[FaultProxy, S3Server], storage_on: OnServer
) -> None:
    # API, PutObject: 409 ConditionalRequestConflict, "fetch the object's ETag and retry the upload".
    proxy, server = proxied
    storage = storage_on(server, conditional_writes="yes")
    storage.upload("source", b"1")
    rule = proxy.on("PUT", "/area/a$", times=2).answer(*s3_error(409, "ConditionalRequestConflict"))
    if verb == "put":
        storage.upload("a", b"1")
    else:
        storage.copy("a", "source")
    assert rule.hits == 2
    assert storage.content("a") == b"1"


def test_a_conflict_at_completion_loses_the_upload(proxied: tuple[FaultProxy, S3Server], make_backend: Make) -> None:
    proxy, server = proxied
    backend = make_backend(server, conditional_writes="yes")
    upload = MultipartRef("area/a", backend.multipart_create("area/a", ABSENT))
    part = backend.multipart_put(upload, 0, b"1")
    proxy.on("POST", query="uploadId").answer(*s3_error(409, "ConditionalRequestConflict"))
    with pytest.raises(PartsDiscardedError):
        backend.multipart_complete(upload, [part], ABSENT)


def test_a_lost_upload_of_a_file_begins_again(proxied: tuple[FaultProxy, S3Server], storage_on: OnServer) -> None:
    proxy, server = proxied
    storage = storage_on(server, conditional_writes="yes", part_size="5MiB")
    proxy.on("POST", "/area/a$", "uploadId").answer(*s3_error(409, "ConditionalRequestConflict"))
    storage.upload("a", PARTS)
    assert storage.content("a") == PARTS
    assert not open_uploads(server, storage.settings.bucket)


def test_an_own_write_whose_answer_was_lost_is_no_conflict(
    proxied: tuple[FaultProxy, S3Server], storage_on: OnServer
) -> None:
    proxy, server = proxied
    storage = storage_on(server, conditional_writes="yes", part_size="5MiB")
    proxy.on("PUT", "/area/a$").lose_answer()
    assert storage.upload("a", b"1").etag == storage.analyze("a").etag
    proxy.on("POST", "/area/b$", "uploadId").lose_answer()
    storage.upload("b", PARTS)
    assert storage.content("b") == PARTS
    with pytest.raises(exc.ExistingFileError):
        storage.upload("b", PARTS)


def test_another_write_in_between_is_told(proxied: tuple[FaultProxy, S3Server], storage_on: OnServer) -> None:
    proxy, server = proxied
    storage = storage_on(server, conditional_writes="yes")
    other = storage_on(dataclasses.replace(server), bucket=storage.settings.bucket, conditional_writes="yes")
    proxy.on("PUT", "/area/a$").reset()

    real = type(storage.backend).put
    done = False

    def put(self: S3Backend, key: str, body: Any, options: WriteOptions) -> Any:
        nonlocal done
        try:
            return real(self, key, body, options)
        except Exception:
            if not done:
                done = True
                other.upload("a", b"theirs")
            raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Backend, "put", put)
        with pytest.raises(exc.ExistingFileError):
            storage.upload("a", b"ours")
    assert storage.content("a") == b"theirs"


def test_removal_of_another_version_is_refused(strict: Start, make_backend: Make) -> None:
    front = strict()
    backend = make_backend(front.server(), conditional_writes="yes")
    old = backend.put("area/a", b"1", WriteOptions())
    backend.put("area/a", b"2", WriteOptions())
    with pytest.raises(exc.ChangedFileError):
        backend.delete("area/a", etag=old.etag)
    assert backend.read("area/a").read() == b"2"
    front.clear()
    assert backend.delete("area/a", etag=backend.head("area/a").etag)
    assert [request.method for request in front.requests] == ["HEAD", "DELETE"]
    assert front.requests[1].headers.has("If-Match")


def test_removal_where_nothing_is_decided_looks_first(strict: Start, make_backend: Make) -> None:
    backend = make_backend(strict(conditional_writes="ignored").server())
    old = backend.put("area/a", b"1", WriteOptions())
    new = backend.put("area/a", b"2", WriteOptions())
    with pytest.raises(exc.ChangedFileError):
        backend.delete("area/a", etag=old.etag)
    assert backend.delete("area/a", etag=new.etag)
    assert not backend.delete("area/a", etag=new.etag)
