"""The verbs, request by request, against the double: conditions, pins, pages, copies."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Callable

import pytest
from emulators.gcs_double import Delay, GcsDouble
from faults.proxy import FaultProxy
from file_keeper import exc
from file_keeper.backend import MultipartRef, ObjectInfo, Part, Prefix, WriteOptions, entries_of
from file_keeper_gcs import GcsBackend

Make = Callable[..., GcsBackend]
KIB = 1024


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def test_attributes_and_hashes_come_back(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    options = WriteOptions(
        content_type="text/plain; charset=utf-8",
        metadata={"color": "blue", "empty": ""},
        headers={
            "Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="a.txt"',
            "Content-Encoding": "identity", "Content-Language": "de",
        },
        digests={"md5": md5(b"hello")},
    )  # fmt: skip
    made = gcs.put("dir/a.txt", b"hello", options)
    assert made == gcs.head("dir/a.txt")
    assert made.content_type == "text/plain; charset=utf-8"
    assert (made.metadata, made.headers) == (options.metadata, options.headers)
    assert made.digests == {"md5": md5(b"hello"), "crc32c": "9a71bb4c"}
    assert made.etag == str(double.object("media", "dir/a.txt").generation)
    assert made.modified is not None
    assert made.modified.tzinfo is not None
    with_body = gcs.read("dir/a.txt")
    assert (with_body.info.size, with_body.info.etag, with_body.info.digests) == (5, made.etag, made.digests)
    assert with_body.read() == b"hello"
    with_body.close()


def test_a_wrong_hash_is_refused_by_the_service(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    gcs.put("a", b"old", WriteOptions())
    for digests in ({"md5": md5(b"other")}, {"crc32c": "00000001"}):
        with pytest.raises(Exception, match="match") as caught:
            gcs.put("a", b"new", WriteOptions(digests=digests))
        assert isinstance(gcs.translate(caught.value), exc.UploadHashMismatchError)
    assert double.content("media", "a") == b"old"


def test_what_is_changed_on_the_way_is_refused(
    backend: Make, double: GcsDouble, fault_proxy: Callable[..., FaultProxy]
) -> None:
    """Also under a hash that Google does not know: every request carries a checksum that it does."""
    proxy = fault_proxy(double.url)
    gcs = backend(proxy.url)
    data = b"x" * 100_000
    ref = MultipartRef("b", gcs.multipart_create("b", WriteOptions()))
    session = MultipartRef("c", gcs.resumable_start("c", WriteOptions()))
    digests = {"sha256": hashlib.sha256(data).hexdigest(), "md5": md5(data)}
    sends: list[Callable[[], object]] = [
        lambda: gcs.put("a", data, WriteOptions(digests={"sha256": digests["sha256"]})),
        lambda: gcs.multipart_put(ref, 0, data),
        lambda: gcs.resumable_send(session, 0, data, len(data), WriteOptions(digests=digests)),
    ]
    for send in sends:
        rule = proxy.on().flip_request(offset=50_000)
        with pytest.raises(Exception, match="match calculated") as caught:
            send()
        assert rule.hits == 1
        assert isinstance(gcs.translate(caught.value), exc.UploadHashMismatchError)
    assert [name for name in double.names("media") if "begin" not in name] == []


WAYS: dict[str, Callable[[GcsBackend, WriteOptions], ObjectInfo | int]] = {}


def way(function: Callable[[GcsBackend, WriteOptions], ObjectInfo | int]) -> object:
    WAYS[function.__name__] = function
    return function


@way
def put(gcs: GcsBackend, options: WriteOptions) -> ObjectInfo | int:
    return gcs.put("target", b"new", options)


@way
def session(gcs: GcsBackend, options: WriteOptions) -> ObjectInfo | int:
    ref = MultipartRef("target", gcs.resumable_start("target", options))
    return gcs.resumable_send(ref, 0, b"new", 3, options)


@way
def parts(gcs: GcsBackend, options: WriteOptions) -> ObjectInfo | int:
    ref = MultipartRef("target", gcs.multipart_create("target", options))
    sent = [gcs.multipart_put(ref, 0, b"ne"), gcs.multipart_put(ref, 1, b"w")]
    return gcs.multipart_complete(ref, sent, options)


@way
def no_parts(gcs: GcsBackend, options: WriteOptions) -> ObjectInfo | int:
    ref = MultipartRef("target", gcs.multipart_create("target", options))
    return gcs.multipart_complete(ref, [], options)


@way
def copy(gcs: GcsBackend, options: WriteOptions) -> ObjectInfo | int:
    return gcs.copy(gcs.put("source", b"new", WriteOptions()), "target", options)


@way
def compose(gcs: GcsBackend, options: WriteOptions) -> ObjectInfo | int:
    one = gcs.put("one", b"ne", WriteOptions())
    two = gcs.put("two", b"w", WriteOptions())
    return gcs.compose([one, two], "target", options)


@pytest.mark.parametrize("name", WAYS)
def test_no_way_to_create_overwrites(backend: Make, double: GcsDouble, name: str) -> None:
    gcs = backend()
    first = gcs.put("target", b"first", WriteOptions())
    with pytest.raises(exc.ExistingFileError) as caught:
        WAYS[name](gcs, WriteOptions(if_absent=True))
    assert caught.value.status == 412
    assert double.content("media", "target") == b"first"
    with pytest.raises(exc.ChangedFileError):
        WAYS[name](gcs, WriteOptions(if_match=str(int(first.etag) - 1)))
    with pytest.raises(exc.ChangedFileError):
        WAYS[name](gcs, WriteOptions(if_match='"0f343b"'))  # of another provider
    assert gcs.head("target").etag == first.etag
    made = WAYS[name](gcs, WriteOptions(if_match=first.etag))
    assert isinstance(made, ObjectInfo)
    assert double.content("media", "target") == (b"" if name == "no_parts" else b"new")
    gcs.delete("target")
    with pytest.raises(exc.ChangedFileError):
        WAYS[name](gcs, WriteOptions(if_match=made.etag))
    assert isinstance(WAYS[name](gcs, WriteOptions(if_absent=True)), ObjectInfo)


@pytest.mark.parametrize("name", [name for name in WAYS if name != "no_parts"])
def test_of_racing_creators_one_wins(backend: Make, double: GcsDouble, name: str) -> None:
    gcs = backend()
    outcomes: list[str] = []
    barrier = threading.Barrier(16)

    def create() -> None:
        barrier.wait()
        try:
            WAYS[name](gcs, WriteOptions(if_absent=True))
            outcomes.append("won")
        except exc.ExistingFileError:
            outcomes.append("lost")
        except Exception as error:
            # The sources of this race are overwritten by the racers themselves: a pin that fails is right, too.
            outcomes.append(type(gcs.translate(error) or error).__name__)

    threads = [threading.Thread(target=create) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 16
    assert outcomes.count("won") == 1 if name in ("put", "session", "parts") else outcomes.count("won") <= 1
    assert set(outcomes) <= {"won", "lost", "ChangedFileError"}


def test_ranges(backend: Make) -> None:
    gcs = backend()
    made = gcs.put("a", bytes(range(100)), WriteOptions())
    for start, end in ((0, None), (10, 20), (90, None), (0, 1), (99, 100), (50, 1000), (100, None), (0, 0), (7, 7)):
        body = gcs.read("a", start, end, etag=made.etag)
        expected = bytes(range(100))[start:end]
        assert body.length == len(expected)
        assert (body.info.size, body.info.etag) == (100, made.etag)
        target = bytearray(200)
        assert body.readinto(memoryview(target)) == len(expected)
        assert target[: len(expected)] == expected
        assert body.read(10) == b""
        body.close()
    empty = gcs.put("empty", b"", WriteOptions())
    assert gcs.read("empty", 0, 10, etag=empty.etag).length == 0
    assert gcs.read("empty").read() == b""


def test_reads_are_pinned(backend: Make) -> None:
    gcs = backend()
    old = gcs.put("a", b"old", WriteOptions())
    gcs.put("a", b"new", WriteOptions())
    for start, end in ((0, None), (1, 2), (3, None)):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            gcs.read("a", start, end, etag=old.etag)
        found = caught.value if isinstance(caught.value, exc.FilesError) else gcs.translate(caught.value)
        assert isinstance(found, exc.ChangedFileError)
    # Of nothing only the version is told; the core compares it.
    assert gcs.read("a", 1, 1, etag=old.etag).info.etag != old.etag
    with pytest.raises(exc.ChangedFileError):
        gcs.read("a", etag="abc")


def test_what_is_stored_packed_is_read_packed(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    packed = gzip.compress(b"hello" * 100)
    gcs.put("a.gz", packed, WriteOptions(headers={"Content-Encoding": "gzip"}, content_type="text/plain"))
    body = gcs.read("a.gz")
    assert body.length == len(packed)
    assert body.read() == packed
    assert gcs.read("a.gz", 2, 9).read() == packed[2:9]
    assert double.requests("GET", "download")[-1].headers["accept-encoding"] == "gzip"


def test_what_was_packed_on_the_way_only_is_unpacked(
    backend: Make, double: GcsDouble, fault_proxy: Callable[..., FaultProxy]
) -> None:
    """A front that packs what is stored plainly: the stored bytes are what is given."""
    proxy = fault_proxy(double.url)
    packed = gzip.compress(b"hello" * 1000)
    headers = {
        "Content-Type": "text/plain", "Content-Encoding": "gzip", "X-Goog-Generation": "7",
        "X-Goog-Stored-Content-Encoding": "identity", "X-Goog-Stored-Content-Length": "5000",
    }  # fmt: skip
    proxy.on("GET").answer(200, packed, headers)
    body = backend(proxy.url).read("a")
    assert (body.length, body.info.size, body.info.etag) == (5000, 5000, "7")
    assert body.read() == b"hello" * 1000


def test_an_endpoint_that_gives_no_ranges_is_noticed(
    backend: Make, double: GcsDouble, fault_proxy: Callable[..., FaultProxy]
) -> None:
    proxy = fault_proxy(double.url)
    proxy.on("GET").answer(200, b"the whole", {"Content-Type": "text/plain", "X-Goog-Generation": "1"})
    # The answer says where it begins; the core refuses it (tests/core/test_answers.py).
    assert backend(proxy.url).read("a", 4).start == 0


def test_stopping_early_closes_the_connection(backend: Make) -> None:
    gcs = backend()
    gcs.put("a", b"x" * (4 << 20), WriteOptions())
    body = gcs.read("a")
    assert len(body.read(1000)) == 1000
    body.close()
    # The next request is not answered with what was left.
    assert gcs.head("a").size == 4 << 20


def test_listing_pages_lazily_in_byte_order(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    names = sorted((f"t{chr(0x20 + i % 90)}{i:04d}" for i in range(2500)), key=str.encode)
    names += ["t\uffee", "t\U0001f600"]  # UTF-16 would have these the other way round
    for name in names:
        double.put("media", name, b"x")
    double.clear_log()
    listing = entries_of(gcs.list("t"))
    first = next(listing)
    assert double.count("GET") == 1
    assert [first.key, *(each.key for each in listing)] == names
    assert double.count("GET") == 3
    assert isinstance(first, ObjectInfo)
    assert (first.size, first.etag) == (1, str(double.object("media", names[0]).generation))
    assert first.modified is not None
    assert first.digests["md5"] == md5(b"x")
    asked = double.requests("GET")[0].query
    assert "metadata" not in asked
    assert "acl" not in asked


def test_listing_from_a_name(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    for name in ("a/1", "a/2", "a0", "b/1", "b/2/x", "b/2/y", "b/3", "c"):
        double.put("media", name)

    def keys(prefix: str, **options: str) -> list[str]:
        # What the service gives again, the core drops.
        after = options.get("start_after", "")
        return [each.key for each in entries_of(gcs.list(prefix, **options)) if each.key > after]

    assert keys("", start_after="a/2") == ["a0", "b/1", "b/2/x", "b/2/y", "b/3", "c"]
    assert keys("", start_after="a/15") == ["a/2", "a0", "b/1", "b/2/x", "b/2/y", "b/3", "c"]
    assert keys("b/", start_after="a0") == ["b/1", "b/2/x", "b/2/y", "b/3"]
    assert keys("", delimiter="/") == ["a/", "a0", "b/", "c"]
    assert keys("", delimiter="/", start_after="a/") == ["a0", "b/", "c"]
    assert keys("", delimiter="/", start_after="a/1") == ["a0", "b/", "c"]
    assert keys("", delimiter="/", start_after="b/") == ["c"]
    assert keys("b/", delimiter="/", start_after="b/1") == ["b/2/", "b/3"]
    assert list(entries_of(gcs.list("b/", delimiter="/")))[1] == Prefix("b/2/")
    assert keys("zzz") == []


def test_deletion_says_what_was_there(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    old = gcs.put("a", b"1", WriteOptions())
    new = gcs.put("a", b"2", WriteOptions())
    with pytest.raises(Exception, match="pre-conditions") as caught:
        gcs.delete("a", etag=old.etag)
    assert isinstance(gcs.translate(caught.value), exc.ChangedFileError)
    assert gcs.delete("a", etag=new.etag) is True
    assert gcs.delete("a") is False
    assert double.names("media") == []


def test_deletions_go_by_the_hundred(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    names = [f"a b/{i}☺%41#?&+'\".txt" for i in range(205)]
    for name in names:
        double.put("media", name)
    double.clear_log()
    assert list(gcs.delete_many([*names, "missing"])) == []
    assert double.names("media") == []
    assert double.count("POST", "batch") == 3
    assert double.count() == 3


def test_deletions_that_fail_are_told_by_name(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    for name in ("a", "b", "c"):
        double.put("media", name)
    from emulators.gcs_double import Status

    double.fault(Status(403, "forbidden", "no"), method="DELETE", path="/o/b$")
    ((key, error),) = gcs.delete_many(["a", "b", "c"])
    assert (key, type(error)) == ("b", exc.PermissionError)
    assert double.names("media") == ["b"]


def test_a_large_copy_takes_several_calls(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    source = gcs.put("a", bytes(1 << 20), WriteOptions(content_type="x/y", metadata={"m": "1"}))
    double.rewrite_limit = 300_000
    double.clear_log()
    made = gcs.copy(source, "b", WriteOptions(if_absent=True))
    assert double.count("POST", "rewriteTo") == 4
    assert double.count() == 4
    assert (made.size, made.content_type, made.metadata) == (1 << 20, "x/y", {"m": "1"})
    assert made.digests == source.digests
    assert double.count("POST", "", "rewriteToken=") == 3


def test_a_copy_is_pinned_to_its_source(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    old = gcs.put("a", b"old", WriteOptions())
    gcs.put("a", b"new", WriteOptions())
    with pytest.raises(exc.ChangedFileError, match="source"):
        gcs.copy(old, "b", WriteOptions())
    with pytest.raises(exc.ChangedFileError, match="source"):
        gcs.copy(old, "b", WriteOptions(if_absent=True))
    assert double.names("media") == ["a"]
    assert gcs.copy(ObjectInfo(key="a", size=0), "b", WriteOptions()).size == 3
    with pytest.raises(Exception, match="No such object") as caught:
        gcs.copy(ObjectInfo(key="none", size=0), "b", WriteOptions())
    assert isinstance(gcs.translate(caught.value), exc.MissingFileError)


def test_a_rewrite_whose_token_expires_begins_again(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    source = gcs.put("a", bytes(1 << 20), WriteOptions())
    double.rewrite_limit = 600_000
    double.fault(Delay(0), when=lambda r: "rewriteToken" in r.query_string and double.expire_rewrites() is None)
    with pytest.raises(exc.ConnectionError, match="begin again") as caught:
        gcs.copy(source, "b", WriteOptions())
    assert (caught.value.status, caught.value.retryable) == (410, True)
    assert double.names("media") == ["a"]


@pytest.mark.parametrize("count", [2, 32, 33, 70, 1100])
def test_compose_any_number(backend: Make, double: GcsDouble, count: int) -> None:
    gcs = backend(path="p", max_concurrency=8)
    one = gcs.put("p/x", b"x", WriteOptions())
    two = gcs.put("p/y", b"y", WriteOptions())
    sources = [one if i % 2 else two for i in range(count)]
    made = gcs.compose(sources, "p/z", WriteOptions(content_type="x/y", metadata={"m": "1"}, if_absent=True))
    assert double.content("media", "p/z") == b"yx" * (count // 2) + b"y" * (count % 2)
    assert (made.content_type, made.metadata, list(made.digests)) == ("x/y", {"m": "1"}, ["crc32c"])
    assert double.names("media") == ["p/x", "p/y", "p/z"]


def test_compose_onto_one_of_its_sources(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    one = gcs.put("a", b"1", WriteOptions())
    gcs.compose([one, one], "a", WriteOptions(if_match=one.etag))
    assert double.content("media", "a") == b"11"
    with pytest.raises(exc.ChangedFileError):
        gcs.compose([one, one], "a", WriteOptions(if_match=one.etag))
    with pytest.raises(exc.ChangedFileError, match="one of the objects"):
        gcs.compose([one, one], "b", WriteOptions(if_absent=True))
    assert double.names("media") == ["a"]


def test_append(backend: Make, double: GcsDouble) -> None:
    gcs = backend(path="p")
    old = gcs.put("p/a", b"hello", WriteOptions())
    double.clear_log()
    made = gcs.append(old, b" world", WriteOptions(content_type="text/plain", if_match=old.etag))
    assert double.content("media", "p/a") == b"hello world"
    assert (made.size, made.content_type) == (11, "text/plain")
    assert double.count() == 3
    with pytest.raises(exc.ChangedFileError):
        gcs.append(old, b"again", WriteOptions(if_match=old.etag))
    assert double.content("media", "p/a") == b"hello world"
    assert double.names("media") == ["p/a"]


def test_objects_of_several_storage_classes_are_left_to_the_core(backend: Make, double: GcsDouble) -> None:
    from file_keeper.backend import NotSupportedForObject

    cold = backend(storage_class="COLDLINE").put("cold", b"1", WriteOptions())
    assert double.object("media", "cold").storage_class == "COLDLINE"
    gcs = backend()
    warm = gcs.put("warm", b"2", WriteOptions())
    with pytest.raises(NotSupportedForObject):
        gcs.compose([cold, warm], "both", WriteOptions())
    with pytest.raises(NotSupportedForObject):
        gcs.append(cold, b"3", WriteOptions(if_match=cold.etag))
    assert double.names("media") == ["cold", "warm"]
    # Parts are of the class of what they become, so that they can be composed at all.
    stored = backend(storage_class="NEARLINE")
    ref = MultipartRef("near", stored.multipart_create("near", WriteOptions()))
    stored.multipart_complete(ref, [stored.multipart_put(ref, 0, b"x")], WriteOptions())
    assert double.object("media", "near").storage_class == "NEARLINE"


def test_a_hash_is_noted_without_a_second_upload(backend: Make, double: GcsDouble) -> None:
    gcs = backend()
    made = gcs.put("a", b"x", WriteOptions(metadata={"m": "1"}))
    gcs.store_digests(made, {"sha256": "00ff"})
    assert gcs.head("a").metadata == {"m": "1", "fk-hash": "sha256:00ff"}
    assert gcs.head("a").etag == made.etag
    gcs.put("a", b"y", WriteOptions())
    with pytest.raises(Exception, match="pre-conditions"):
        gcs.store_digests(made, {"sha256": "00ff"})
    assert gcs.head("a").metadata == {}


def test_the_bucket_is_made_when_it_is_asked_for(backend: Make, double: GcsDouble) -> None:
    gcs = backend(bucket="fresh-one", project_id="p", storage_class="NEARLINE")
    with pytest.raises(exc.InvalidStorageConfigurationError, match="'fresh-one' does not exist"):
        gcs.check()
    gcs.prepare()
    gcs.check()
    assert double.api.store.buckets["fresh-one"].project == "p"
    assert double.api.store.buckets["fresh-one"].storage_class == "NEARLINE"
    double.clear_log()
    gcs.prepare()
    assert double.count() == 1
    nameless = backend(bucket="fresh-two")
    with pytest.raises(exc.MissingStorageConfigurationError, match="project_id"):
        nameless.prepare()


def test_two_may_make_the_bucket_at_once(backend: Make, double: GcsDouble) -> None:
    double.fault(
        Delay(0),
        method="POST",
        path="/b$",
        when=lambda _: double.create_bucket("fresh") is not None,
    )
    backend(bucket="fresh", project_id="p").prepare()
    assert double.count("POST", "/b$") == 1


def test_parts_records_are_equal(backend: Make) -> None:
    gcs = backend()
    ref = MultipartRef("a", gcs.multipart_create("a", WriteOptions()))
    sent = gcs.multipart_put(ref, 3, b"abc")
    assert isinstance(sent, Part)
    assert list(gcs.multipart_parts(ref)) == [sent]
