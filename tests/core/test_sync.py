"""Making one storage hold what another one holds: what is sent, what is left, what is deleted, and what is told."""

from __future__ import annotations

import hashlib
import itertools
import pickle
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from file_keeper import exc
from file_keeper.backend import ObjectInfo, Page, Wrapper, WriteOptions
from file_keeper.syncing import SyncProgress
from file_keeper_testing import Counting, Faulty, Rule


def memory(name: str = "m", **settings: Any) -> fk.Storage:
    return fk.make_storage(name, {"type": "memory", **settings})


def filled(*names: str, **contents: bytes) -> fk.Storage:
    storage = memory("source")
    for name in names:
        storage.upload(name, name.encode())
    for name, content in contents.items():
        storage.upload(name, content)
    return storage


def contents(storage: fk.Storage) -> dict[str, bytes]:
    return {name: storage.content(name) for name in storage.scan()}


def test_the_target_holds_what_the_source_holds() -> None:
    source, target = memory("source"), memory("target")
    source.upload("a.txt", b"A", content_type="text/x-a", metadata={"Owner": "Zoë"}, headers={"Cache-Control": "no"})
    source.upload("d/b.bin", bytes(range(256)) * 100)
    report = fk.sync(source, target)
    assert (report.copied, report.skipped, report.failed, report.bytes) == (2, 0, 0, 25601)
    file = target.analyze("a.txt")
    assert (file.content_type, file.metadata, file.headers) == ("text/x-a", {"Owner": "Zoë"}, {"Cache-Control": "no"})
    assert contents(target) == contents(source)
    again = fk.sync(source, target)
    assert (again.copied, again.skipped, again.bytes, again.errors) == (0, 2, 0, [])


def test_the_report_is_json_and_travels() -> None:
    refusing = Faulty(memory().backend, Rule(verb="put", times=None, error=exc.PermissionError("no")))
    report = fk.sync(filled("a"), memory("target").wrapped(lambda _: refusing))
    assert report.failed == 1
    assert report.as_dict()["errors"][0]["error"] == "PermissionError"
    assert pickle.loads(pickle.dumps(report)).as_dict() == report.as_dict()


def test_a_second_run_costs_listings_only() -> None:
    source, target = filled(*(f"{number:04}" for number in range(2500))), memory("target")
    fk.sync(source, target)
    seen = Counting(target.backend)
    report = fk.sync(source, target.wrapped(lambda _: seen))
    assert report.skipped == 2500
    assert set(seen.counts) == {"list"}


def test_prefix_and_patterns_limit_what_is_looked_at() -> None:
    source = filled("a/1.txt", "a/2.jpg", "a/3.txt", "b/1.txt")
    target = filled("a/4.jpg", "a/5.txt", "b/9.txt")
    report = fk.sync(source, target, prefix="a/", include=["*.txt"], exclude=["*/3.*"], delete=True)
    assert (report.copied, report.deleted) == (1, 1)
    # What the filters hide is not deleted: 4.jpg and b/9.txt stay.
    assert list(target.scan()) == ["a/1.txt", "a/4.jpg", "b/9.txt"]


@pytest.mark.parametrize(
    ("overwrite", "expected"),
    [(True, {"new": b"S", "old": b"S", "same": b"="}), (False, {"new": b"T", "old": b"T", "same": b"="}),
     ("newer", {"new": b"S", "old": b"T", "same": b"="})],
)  # fmt: skip
def test_what_is_replaced(overwrite: Any, expected: dict[str, bytes]) -> None:
    source, target = memory("source"), memory("target")
    source.upload("old", b"S")
    target.upload("new", b"T")
    for storage in (source, target):
        storage.upload("same", b"=")
    time.sleep(0.01)
    target.upload("old", b"T")
    source.upload("new", b"S")
    report = fk.sync(source, target, overwrite=overwrite)
    assert contents(target) == expected
    assert report.copied + report.skipped == 3


def test_equal_sizes_are_not_equal_contents() -> None:
    def pair() -> tuple[fk.Storage, fk.Storage]:
        return filled(a=b"one", b=b"two"), filled(a=b"uno", b=b"two")

    source, target = pair()
    assert fk.sync(source, target, compare="size").copied == 0
    assert fk.sync(source, target, compare="auto").copied == 1
    assert contents(target) == contents(source)
    source, target = pair()
    assert fk.sync(source, target, compare="hash").copied == 1
    assert fk.sync(source, target, compare="always").copied == 2


def test_hashes_of_different_kinds_are_compared_by_reading_one_side() -> None:
    source, target = memory("source", hashing_algorithm="sha256"), memory("target")
    source.upload("a", b"x" * 1000)
    source.upload("b", b"x" * 1000)
    target.upload("a", b"x" * 1000)
    target.upload("b", b"y" * 1000)
    report = fk.sync(source, target)
    assert (report.skipped, report.copied, report.compared) == (1, 1, 2000)


class NoHashes(Wrapper):
    """A service that tells no hash of anything, as of objects that another tool sent in parts."""

    def head(self, key: str) -> ObjectInfo:
        info = super().head(key)
        return ObjectInfo(key=key, size=info.size, etag=info.etag, content_type="x/y", modified=info.modified)

    def list(self, prefix: str, **options: Any) -> Iterator[Page]:
        for page in super().list(prefix, **options):
            yield Page(
                page.keys, [(info.key, info.size, info.etag, info.modified) for info in map(super().head, page.keys)]
            )

    @property
    def limits(self) -> Any:
        return type(super().limits)(put_max=1 << 40)


def test_without_any_hash_both_are_read() -> None:
    source, target = filled(a=b"one").wrapped(NoHashes), filled(a=b"one").wrapped(NoHashes)
    report = fk.sync(source, target)
    assert (report.skipped, report.compared) == (1, 6)
    # A size that differs is enough.
    assert fk.sync(filled(a=b"four").wrapped(NoHashes), target).compared == 0


# -- deleting ---------------------------------------------------------------------------------------------------------


def test_what_the_source_does_not_have_is_deleted_when_asked() -> None:
    source, target = filled("b"), filled("a", "b", "c")
    assert fk.sync(source, target).deleted == 0
    assert fk.sync(source, target, delete=True).deleted == 2
    assert list(target.scan()) == ["b"]


def _cut(storage: fk.Storage, left: int) -> fk.Storage:
    """A storage whose listing ends early and looks like any other."""

    class Cut(Wrapper):
        def list(self, prefix: str, **options: Any) -> Iterator[Page]:
            if options.get("start_after"):
                yield from super().list(prefix, **options)
                return
            for page in super().list(prefix, **options):
                yield Page(page.keys[:left], page.entries[:left], page.prefixes)

    return storage.wrapped(Cut)


def _failing_at(storage: fk.Storage, step: int) -> fk.Storage:
    storage.backend.page_size = 1  # pyright: ignore[reportAttributeAccessIssue]
    return storage.wrapped(
        lambda inner: Faulty(inner, Rule(verb="item", nth=step, times=None, error=exc.PermissionError))
    )


def test_a_listing_that_fails_deletes_nothing_and_says_so() -> None:
    target = filled("a", "b", "c", "x", "y")
    with pytest.raises(exc.PermissionError):
        fk.sync(_failing_at(filled("a", "b", "c"), 3), target, delete=True)
    assert list(target.scan()) == ["a", "b", "c", "x", "y"]
    with pytest.raises(exc.PermissionError):
        fk.sync(filled("a", "b", "c"), _failing_at(target, 3), delete=True)
    assert list(target.scan()) == ["a", "b", "c", "x", "y"]


@pytest.mark.parametrize("left", [1, 2])
def test_a_listing_that_ended_early_deletes_nothing(left: int) -> None:
    target = filled("a", "b", "c", "x")
    report = fk.sync(_cut(filled("a", "b", "c"), left), target, delete=True)
    assert report.deleted == 0
    assert "behind the end of its listing" in report.undeleted
    assert list(target.scan()) == ["a", "b", "c", "x"]


def test_a_listing_with_a_hole_deletes_nothing() -> None:
    class Holed(Wrapper):
        def list(self, prefix: str, **options: Any) -> Iterator[Page]:
            for page in super().list(prefix, **options):
                yield Page(*zip(*((key, entry) for key, entry in zip(page.keys, page.entries) if key != "b")))  # noqa: B905

    target = filled("a", "b", "c")
    report = fk.sync(filled("a", "b", "c").wrapped(Holed), target, delete=True)
    assert "which its listing did not have" in report.undeleted
    assert "b" in target.scan()


def test_a_listing_out_of_order_deletes_nothing() -> None:
    class Backwards(fk.Storage):
        def files(self, **options: Any) -> Any:
            return reversed(list(super().files(**options)))

    made = filled("a", "b")
    source = Backwards("back", made.settings, made.backend)
    target = filled("a", "b", "c")
    with pytest.raises(exc.ConnectionError, match="not in order"):
        fk.sync(source, target, delete=True)
    assert list(target.scan()) == ["a", "b", "c"]


def test_an_empty_source_deletes_nothing_unless_max_delete_is_said() -> None:
    target = filled("a", "b")
    report = fk.sync(memory(), target, delete=True)
    assert (report.deleted, "the source has no file" in report.undeleted) == (0, True)
    # Nor does one that the filters leave nothing of.
    assert fk.sync(filled("x.jpg"), target, delete=True, exclude=["*.jpg"]).undeleted
    assert fk.sync(memory(), target, delete=True, max_delete=2).deleted == 2


def test_max_delete_counts_before_the_first_removal() -> None:
    target = filled("a", "b", "c", "d")
    report = fk.sync(filled("a"), target, delete=True, max_delete=2)
    assert (report.deleted, "max_delete allows 2" in report.undeleted) == (0, True)
    assert len(list(target.scan())) == 4
    assert fk.sync(filled("a"), target, delete=True, max_delete=3).deleted == 3


def test_a_failure_deletes_nothing() -> None:
    source, target = filled("a", "b"), filled("x")
    broken = source.wrapped(
        lambda inner: Faulty(inner, Rule(verb="read", key="b", times=None, error=exc.PermissionError))
    )
    report = fk.sync(broken, target, delete=True)
    assert (report.copied, report.failed, report.deleted) == (1, 1, 0)
    assert (report.errors[0].location, "1 file(s) failed" in report.undeleted) == ("b", True)
    assert "x" in target.scan()


def test_a_file_that_changes_while_it_is_copied_fails_and_deletes_nothing() -> None:
    source, target = filled(a=b"1" * 100, b=b"b"), filled("x")

    def change(verb: str, key: str) -> None:
        source.upload("a", b"2" * 100, overwrite=True)

    rule = Rule(verb="read", key="a", after=change, error=exc.ChangedFileError("it was changed"))
    changing = source.wrapped(lambda inner: Faulty(inner, rule))
    report = fk.sync(changing, target, delete=True)
    assert (report.copied, report.failed, report.deleted) == (1, 1, 0)
    assert isinstance(report.errors[0], exc.ChangedFileError)
    # The next run has it.
    assert fk.sync(source, target, delete=True).deleted == 1
    assert contents(target) == contents(source)


def test_a_removal_that_fails_is_in_the_report() -> None:
    target = filled("a", "x", "y").wrapped(
        lambda inner: Faulty(inner, Rule(verb="delete", key="x", times=None, error=exc.PermissionError))
    )
    report = fk.sync(filled("a"), target, delete=True)
    assert (report.deleted, report.failed, report.errors[0].location) == (1, 1, "x")


def test_a_dry_run_plans_what_the_run_does() -> None:
    source, target = filled("a", "b", "c", d=b"old"), filled("c", "x", "y", d=b"new")
    refusing = target.wrapped(
        lambda inner: Faulty(inner, *(Rule(verb=verb, times=None, error=AssertionError) for verb in ("put", "delete*")))
    )
    planned = fk.sync(source, refusing, delete=True, dry_run=True)
    done = fk.sync(source, target, delete=True)
    numbers = {"copied", "skipped", "deleted", "failed", "bytes"}
    assert {name: planned.as_dict()[name] for name in numbers} == {name: done.as_dict()[name] for name in numbers}
    assert (planned.dry_run, done.dry_run) == (True, False)


# -- others at work, and names ----------------------------------------------------------------------------------------


def test_a_file_that_somebody_wrote_meanwhile_is_judged_anew() -> None:
    source, target = filled(a=b"source"), memory("target")

    def write(verb: str, key: str) -> None:
        target.upload("a", b"theirs")

    racing = target.wrapped(lambda inner: Faulty(inner, Rule(verb="put", hook=write)))
    assert fk.sync(source, racing, overwrite=False).skipped == 1
    assert target.content("a") == b"theirs"
    target.remove("a")
    racing = target.wrapped(lambda inner: Faulty(inner, Rule(verb="put", hook=write)))
    assert fk.sync(source, racing).copied == 1
    assert target.content("a") == b"source"


class Folding(Wrapper):
    """A target that does not tell upper case from lower case, as the file systems of Windows and macOS."""

    def _there(self, key: str) -> str:
        keys = [one for page in self.inner.list("") for one in page.keys]
        return next((one for one in keys if one.lower() == key.lower()), key)

    def put(self, key: str, body: Any, options: WriteOptions) -> ObjectInfo:
        return super().put(self._there(key), body, options)

    def head(self, key: str) -> ObjectInfo:
        return super().head(self._there(key))


def test_names_that_the_target_does_not_tell_apart_are_reported_and_nothing_is_lost() -> None:
    source = filled("File.txt", "file.txt", "other")
    inner = filled("STALE")
    target = inner.wrapped(Folding)
    for _ in range(2):
        report = fk.sync(source, target, delete=True, concurrency=1)  # the first one wins
        assert (report.failed, report.errors[0].location, report.deleted) == (1, "file.txt", 0)
        assert "rename one of the two" in str(report.errors[0])
        assert contents(inner) == {"File.txt": b"File.txt", "other": b"other", "STALE": b"STALE"}


def test_names_that_a_disk_cannot_hold_are_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    long = "l" * 256
    source = filled("a", "a/b", long, "n/ok", "Ω/\u00e9", "Ω/e\u0301")
    target = fk.make_storage("disk", {"type": "fs", "path": str(tmp_path / "t"), "initialize": True})
    target.upload("stale", b"")
    for _ in range(2):
        report = fk.sync(source, target, delete=True)
        failed = sorted(error.location for error in report.errors)
        assert failed in (["a", long], ["a/b", long])  # whichever of the two comes first stays
        assert all(isinstance(error, exc.LocationError) for error in report.errors)
        kept = "a" if failed[0] == "a/b" else "a/b"
        assert list(target.scan()) == [kept, "n/ok", "stale", "Ω/e\u0301", "Ω/\u00e9"]


def test_a_service_that_fails_ends_the_run() -> None:
    source = filled(*(f"{number:04}" for number in range(500)))
    down = Faulty(memory("target").backend, Rule(verb="put", times=None, error=exc.ConnectionError("it is down")))
    with pytest.raises(exc.ConnectionError, match="it is down") as caught:
        fk.sync(source, memory().wrapped(lambda _: down), concurrency=4)
    assert any("file after file" in note for note in caught.value.__notes__)
    assert down.rules[0].hits < 100


def test_places_that_overlap_are_refused(tmp_path: Path) -> None:
    storage = fk.make_storage("disk", {"type": "fs", "path": str(tmp_path)})
    other = fk.make_storage("other", {"type": "fs", "root": str(tmp_path.parent), "path": tmp_path.name})
    for target in (storage, storage.below("x"), other, other.below("y/z")):
        with pytest.raises(exc.StorageDataError, match="one place"):
            fk.sync(storage, target)
    storage.upload("x/a", b"a")
    assert fk.sync(storage.below("x"), storage.below("y")).copied == 1
    assert storage.content("y/a") == b"a"


@pytest.mark.parametrize(
    "options", [{"compare": "date"}, {"overwrite": "older"}, {"max_delete": -1}, {"bandwidth": "fast"},
                {"bandwidth": 0}, {"request_rate": -1}],
)  # fmt: skip
def test_senseless_arguments_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(exc.StorageDataError):
        fk.sync(memory(), memory(), **options)


# -- how it goes ------------------------------------------------------------------------------------------------------


def test_progress_tells_how_far_it_is_and_may_end_it() -> None:
    told: list[SyncProgress] = []
    fk.sync(filled("a", "b"), memory(), progress=told.append)
    assert (told[-1].copied, told[-1].bytes) == (2, 2)
    assert all(a.bytes <= b.bytes and a.copied <= b.copied for a, b in itertools.pairwise(told))

    def stop(_: SyncProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fk.sync(filled("a"), memory(), progress=stop)


def test_bandwidth_and_rate_are_kept_to() -> None:
    source = filled(**{f"f{number}": bytes(10_000) for number in range(6)})
    began = time.monotonic()
    fk.sync(source, memory(), bandwidth="100kB")
    assert 0.4 < time.monotonic() - began < 3  # 60 kB, of which the first 10 are free
    began = time.monotonic()
    fk.sync(source, memory(), request_rate=10)
    assert 0.4 < time.monotonic() - began < 3


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_on_an_executor_the_report_is_one(kind: type[Executor], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("file_keeper.syncing.fleet.RANGE", 7)
    source = fk.make_storage("s", {"type": "fs", "path": str(tmp_path / "s"), "initialize": True})
    target = fk.make_storage("t", {"type": "fs", "path": str(tmp_path / "t"), "initialize": True})
    for number in range(60):
        source.upload(f"d/{number:03}", b"%d" % number)
    # More names of the target in one range than of the source in many, and some behind the last.
    for number in range(100):
        target.upload(f"d/010-{number:03}", b"")
    target.upload("z", b"")
    source.upload("l" * 200 + "/x", b"")
    target.upload("l" * 200, b"")
    with kind(2) as executor:  # pyright: ignore[reportCallIssue]
        report = fk.sync(source, target, executor=executor, journal=tmp_path / "j", delete=True)
        assert (report.copied, report.failed, report.deleted) == (60, 1, 0)
        target.remove("l" * 200)
        report = fk.sync(source, target, executor=executor, journal=tmp_path / "j", delete=True)
    assert (report.copied, report.skipped, report.failed, report.deleted) == (1, 60, 0, 101)
    assert contents(target) == contents(source)


# -- S3 ---------------------------------------------------------------------------------------------------------------


def test_s3_is_compared_by_etag_without_a_request_for_each_file(tmp_path: Path, fresh_settings: Any) -> None:
    source = fk.make_storage("disk", {"type": "fs", "path": str(tmp_path), "initialize": True})
    for number in range(30):
        source.upload(f"{number:02}.txt", b"%02d" % number)
    with fk.make_storage("cloud", fresh_settings("s3")) as cloud:
        assert fk.sync(source, cloud).copied == 30
        assert cloud.analyze("07.txt").hash == hashlib.md5(b"07").hexdigest()
        seen = Counting(cloud.backend)
        assert fk.sync(source, cloud.wrapped(lambda _: seen)).skipped == 30
        assert set(seen.counts) == {"list"}
        source.upload("07.txt", b"70", overwrite=True)
        assert fk.sync(source, cloud.wrapped(lambda _: seen)).copied == 1
        assert cloud.content("07.txt") == b"70"
        # Back onto the disk: the same proof the other way round.
        assert fk.sync(cloud, source).skipped == 30


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
def test_between_two_buckets_of_one_service_no_byte_passes_through_here(kind: str, fresh_settings: Any) -> None:
    # moto ignores the version of a source, and of two buckets such a service copies nothing: it is told to be believed.
    more: dict[str, Any] = {"features": {"copy_source_if_match": True}} if kind == "s3" else {}
    with (
        fk.make_storage("a", {**fresh_settings(kind), **more}) as source,
        fk.make_storage("b", {**fresh_settings(kind), **more}) as target,
    ):
        assert source.full_path("x") != target.full_path("x") or source.settings.bucket != target.settings.bucket
        for number in range(5):
            source.upload(f"d/{number}.txt", b"text %d" % number, metadata={"n": str(number)})
        source.upload("empty", b"")
        source.upload("ü #?", b"odd", headers={"Cache-Control": "no-store"})
        assert source.copies_to(target)
        seen = Counting(source.backend)
        written = Counting(target.backend)
        report = fk.sync(source.wrapped(lambda _: seen), target.wrapped(lambda _: written))
        assert (report.copied, report.failed, report.errors) == (7, 0, [])
        assert (seen.counts["read"], written.counts["put"], written.counts["copy"]) == (0, 0, 7)
        assert contents(target) == contents(source)
        file = target.analyze("d/3.txt")
        assert (file.metadata, file.hash) == ({"n": "3"}, hashlib.md5(b"text 3").hexdigest())
        assert target.analyze("ü #?").headers == {"Cache-Control": "no-store"}
        source.upload("d/3.txt", b"TEXT 3", overwrite=True)
        source.remove("empty")
        report = fk.sync(source, target, delete=True)
        assert (report.copied, report.skipped, report.deleted) == (1, 5, 1)


def test_other_rights_or_another_service_are_no_neighbours(fresh_settings: Any) -> None:
    settings = fresh_settings("s3")
    one, two = fk.make_storage("a", settings), fk.make_storage("b", {**settings, "key": "another"})
    assert not one.copies_to(two)
    assert not one.copies_to(memory())
    assert one.copies_to(one.below("x"))
    assert memory().below("a").copies_to(memory()) is False


def test_within_one_storage_the_provider_copies() -> None:
    storage = filled("a/1", "a/2")
    seen = Counting(storage.backend)
    counted = storage.wrapped(lambda _: seen)
    assert fk.sync(counted.below("a"), counted.below("b")).copied == 2
    assert (seen.counts["copy"], seen.counts["read"], seen.counts["put"]) == (2, 0, 0)
    assert storage.content("b/2") == b"a/2"
    assert fk.sync(counted.below("a"), counted.below("b")).skipped == 2
    with pytest.raises(exc.ExistingFileError):
        counted.below("a").copy_synthetic("1", "1", counted.below("b"), overwrite=False)
