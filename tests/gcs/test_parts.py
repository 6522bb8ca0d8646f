"""Uploads in parts: objects under the reserved name, composed with the condition, then deleted."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import file_keeper as fk
import pytest
from emulators.gcs_double import GcsDouble, LoseAnswer, Status
from file_keeper import exc
from file_keeper.backend import MultipartRef, Part, WriteOptions
from file_keeper_gcs import GcsBackend

Make = Callable[..., GcsBackend]
Storages = Callable[..., fk.Storage]
MIB = 1 << 20


def test_the_scaffolding_lies_below_the_path_and_goes(backend: Make, double: GcsDouble) -> None:
    gcs = backend(path="up/load")
    ref = MultipartRef("up/load/a", gcs.multipart_create("up/load/a", WriteOptions()))
    sent = [gcs.multipart_put(ref, number, b"%d" % number) for number in (2, 0, 1)]
    assert all(name.startswith("up/load/.file-keeper/gcs-uploads/") for name in double.names("media"))
    assert [part.number for part in gcs.multipart_parts(ref)] == [0, 1, 2]
    sent.sort(key=lambda part: part.number)
    double.clear_log()
    made = gcs.multipart_complete(
        ref, sent, WriteOptions(content_type="x/y", metadata={"fk_hash": "md5:00"}, if_absent=True)
    )
    assert (made.content_type, made.metadata, made.size) == ("x/y", {"fk_hash": "md5:00"}, 3)
    assert double.content("media", "up/load/a") == b"012"
    assert double.names("media") == ["up/load/a"]
    assert [entry.method for entry in double.requests() if not entry.in_batch] == ["POST", "GET", "POST"]
    (composed,) = double.requests("POST", "/compose$")
    assert "ifGenerationMatch=0" in composed.query


def test_a_part_sent_again_replaces(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    ref = MultipartRef("a", gcs.multipart_create("a", WriteOptions()))
    old = gcs.multipart_put(ref, 0, b"old")
    new = gcs.multipart_put(ref, 0, b"new")
    assert list(gcs.multipart_parts(ref)) == [new]
    with pytest.raises(exc.MultipartUploadError, match="again"):
        gcs.multipart_complete(ref, [old], WriteOptions())
    assert [name for name in double.names("media") if ".file-keeper" not in name] == []
    gcs.multipart_complete(ref, [new], WriteOptions())
    assert double.content("media", "a") == b"new"


def test_more_than_a_thousand_parts(backend: Make, double: GcsDouble) -> None:
    gcs = backend(max_concurrency=8)
    ref = MultipartRef("a", gcs.multipart_create("a", WriteOptions()))
    for number in range(1100):
        double.put("media", f".file-keeper/gcs-uploads/{ref.id}/part-{number:05d}", b"%04d" % number)
    found = list(gcs.multipart_parts(ref))
    assert [part.number for part in found] == list(range(1100))
    gcs.multipart_complete(ref, found, WriteOptions())
    assert double.content("media", "a") == b"".join(b"%04d" % number for number in range(1100))
    assert double.names("media") == ["a"]


def test_what_is_no_upload(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    real = MultipartRef("a", gcs.multipart_create("a", WriteOptions()))
    gcs.multipart_put(real, 0, b"x")
    for ref in (
        MultipartRef("a", "0" * 32), MultipartRef("a", ""), MultipartRef("a", "../.."), MultipartRef("a", "x" * 32),
        MultipartRef("another", real.id),
    ):  # fmt: skip
        with pytest.raises(exc.MissingFileError):
            gcs.multipart_put(ref, 0, b"x")
        with pytest.raises(exc.MissingFileError):
            list(gcs.multipart_parts(ref))
        with pytest.raises(exc.MissingFileError):
            gcs.multipart_complete(ref, [], WriteOptions())
        if ref.key == "a":
            with pytest.raises(exc.MissingFileError):
                gcs.multipart_complete(ref, [Part(number=0, size=1, etag="1")], WriteOptions())
            assert gcs.multipart_abort(ref) is False
    assert [part.number for part in gcs.multipart_parts(real)] == [0]


def test_abort_leaves_the_neighbour_and_the_object(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    gcs.put("a", b"old", WriteOptions())
    one = MultipartRef("a", gcs.multipart_create("a", WriteOptions()))
    two = MultipartRef("a", gcs.multipart_create("a", WriteOptions()))
    gcs.multipart_put(one, 0, b"1")
    sent = gcs.multipart_put(two, 0, b"2")
    assert gcs.multipart_abort(one) is True
    assert gcs.multipart_abort(one) is False
    assert double.content("media", "a") == b"old"
    gcs.multipart_complete(two, [sent], WriteOptions())
    assert gcs.multipart_abort(two) is False
    assert double.content("media", "a") == b"2"
    assert double.names("media") == ["a"]
    with pytest.raises(exc.MissingFileError):
        gcs.multipart_put(two, 1, b"x")


def test_an_abort_that_is_refused_says_so(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    ref = MultipartRef("a", gcs.multipart_create("a", WriteOptions()))
    double.fault(Status(403, "retentionPolicyNotMet", "held"), method="DELETE", times=None)
    with pytest.raises(Exception, match="held") as caught:
        gcs.multipart_abort(ref)
    assert isinstance(gcs.translate(caught.value), exc.PermissionError)


def test_published_stands_though_the_parts_are_retained(
    backend: Make, double: GcsDouble, caplog: pytest.LogCaptureFixture
) -> None:
    gcs = backend()
    ref = MultipartRef("a", gcs.multipart_create("a", WriteOptions()))
    sent = gcs.multipart_put(ref, 0, b"x")
    double.fault(Status(403, "retentionPolicyNotMet", "held"), method="DELETE", times=None)
    assert gcs.multipart_complete(ref, [sent], WriteOptions(if_absent=True)).size == 1
    assert "cleanup_uploads" in caplog.text
    assert len(double.names("media")) == 3
    double.clear_faults()
    assert gcs.multipart_abort(ref) is True
    assert double.names("media") == ["a"]


def test_open_uploads_and_orphans_are_found(backend: Make, double: GcsDouble) -> None:
    gcs = backend(path="p")
    one = MultipartRef("p/x/a", gcs.multipart_create("p/x/a", WriteOptions()))
    gcs.multipart_put(one, 0, b"1")
    two = MultipartRef("p/y", gcs.multipart_create("p/y", WriteOptions()))
    orphan = f"p/.file-keeper/gcs-uploads/{'f' * 32}/part-00000"
    double.put("media", orphan)
    double.put("media", f".file-keeper/gcs-uploads/{'e' * 32}/begin", metadata={"key": "p/z"})  # of another path
    found = {upload.ref: upload for upload in gcs.multipart_list("p/")}
    assert set(found) == {one, two, MultipartRef(orphan, "f" * 32)}
    assert found[one].touched >= found[one].started
    assert abs(found[one].started - datetime.now(UTC)) < timedelta(minutes=1)
    assert [upload.ref for upload in gcs.multipart_list("p/x")] == [one]
    for upload in gcs.multipart_list("p/"):
        gcs.multipart_abort(upload.ref)
    assert [name for name in double.names("media") if name.startswith("p/")] == []


def test_cleanup_through_a_storage(storage: Storages, double: GcsDouble) -> None:
    media = storage(path="p")
    media.upload("there", b"x")
    media.multipart_start("a", 10)
    double.put("media", f"p/.file-keeper/gcs-uploads/{'f' * 32}/tail")
    media.cleanup_uploads(timedelta(hours=1))
    assert len(double.names("media")) == 3
    media.cleanup_uploads(timedelta(0))
    assert double.names("media") == ["p/there"]


def test_concurrency_that_is_asked_for_goes_in_parts(storage: Storages, double: GcsDouble) -> None:
    media = storage(path="p", part_size=MIB, max_concurrency=3, overwrite_existing=True)
    data = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(3 * MIB // 32)) + b"tail"
    made = media.upload("a", (data[i : i + 77777] for i in range(0, len(data), 77777)), metadata={"title": "ä"})
    assert (made.hash, made.algorithm) == (hashlib.md5(data).hexdigest(), "md5")
    assert double.object("media", "p/a").components == 4
    assert double.names("media") == ["p/a"]
    found = media.analyze("a")
    assert found == made
    assert found.metadata == {"title": "ä"}
    assert media.content("a") == data
    # The hash goes with the request that composes: nothing is sent for it.
    assert double.count("PATCH") == 0


@pytest.mark.parametrize("at", ["begin", "part-00001", "compose"])
def test_a_failure_anywhere_leaves_nothing(storage: Storages, double: GcsDouble, at: str) -> None:
    media = storage(path="p", part_size=MIB, max_concurrency=2, overwrite_existing=True)
    media.upload("a", b"old")
    if at == "compose":
        double.fault(Status(403, "forbidden", "no"), path="/compose$", times=None)
    else:
        double.fault(
            Status(403, "forbidden", "no"), method="POST", path="^/upload/", nth=1 if at == "begin" else 3, times=None
        )
    with pytest.raises(exc.PermissionError):
        media.upload("a", iter([b"x" * MIB] * 4))
    double.clear_faults()
    assert double.names("media") == ["p/a"]
    assert media.content("a") == b"old"


def test_a_lost_answer_to_the_composition_is_recognised(storage: Storages, double: GcsDouble) -> None:
    media = storage(part_size=MIB, max_concurrency=2)
    rule = double.fault(LoseAnswer(), path="/compose$")
    made = media.upload("a", iter([b"x" * MIB] * 3))
    assert rule.hits == 1
    assert double.count("POST", "/compose$") == 2
    assert media.analyze("a") == made
    assert double.names("media") == ["a"]


def test_a_lost_answer_to_an_append_appends_once(storage: Storages, double: GcsDouble) -> None:
    media = storage()
    media.upload("a", b"hello")
    rule = double.fault(LoseAnswer(), path="/compose$")
    assert media.append("a", b" world").size == 11
    assert rule.hits == 1
    assert media.content("a") == b"hello world"
    assert double.names("media") == ["a"]


WRITER = """
import json, os, sys
import file_keeper as fk
url, kind = sys.argv[1:]
media = fk.make_storage("m", {"type": "gcs", "bucket": "media", "path": "p", "endpoint": url, "anonymous": True})
start = getattr(media, kind + "_start")
data = start("big.bin", 1000000, metadata={"who": "me"})
if kind == "multipart":
    data = media.multipart_update(data, b"b" * 300000, 1)
    data = media.multipart_update(data, b"a" * 300000, 0)
else:
    data = media.resumable_resume(data, b"a" * 524288)
print(json.dumps(data.as_dict()), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("kind", ["multipart", "resumable"])
def test_another_process_goes_on_after_a_kill(storage: Storages, double: GcsDouble, kind: str) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, double.url, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        line = writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    finally:
        writer.wait()
        writer.stdin.close()
        writer.stdout.close()
    media = storage(path="p")
    data = fk.FileData.from_dict(json.loads(line))
    assert list(media.scan()) == []
    if kind == "multipart":
        data = media.multipart_refresh(data)
        assert data.storage_data["uploaded"] == 600_000
        data = media.multipart_update(data, b"c" * 400_000, 2)
        made = media.multipart_complete(data)
        expected = b"a" * 300_000 + b"b" * 300_000 + b"c" * 400_000
    else:
        data = media.resumable_refresh(data)
        assert data.storage_data["uploaded"] == 524_288
        made = media.resumable_resume(data, b"b" * (1_000_000 - 524_288))
        expected = b"a" * 524_288 + b"b" * (1_000_000 - 524_288)
        assert made.hash == hashlib.md5(expected).hexdigest()
    assert media.content("big.bin") == expected
    assert media.analyze("big.bin").metadata == {"who": "me"}
    assert double.names("media") == ["p/big.bin"]
    refresh = getattr(media, f"{kind}_refresh")
    assert refresh(data) == made
