"""Repeats, with a clock that nobody waits for."""

from __future__ import annotations

import fnmatch
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from core.doubles import PARTS, SESSION, Double, Hooked, KiB, double, settings_of
from file_keeper import Storage, exc
from file_keeper.attributes import TOKEN
from file_keeper.backend import MultipartRef, ObjectInfo, Page, WriteOptions, cut_pages, entries_of
from file_keeper.resilience import retry
from file_keeper.resilience.retry import Policy, Retry


class Time:
    """A clock that goes only by sleeping, and by what calls take."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def lost(retry_after: float = 0.0) -> exc.FilesError:
    return exc.ConnectionError("reset", retryable=True, retry_after=retry_after)


def busy(retry_after: float = 0.0) -> exc.FilesError:
    return exc.ThrottledError("slow down", retryable=True, retry_after=retry_after)


class Script:
    """Raises what the script says at the calls of one verb: before the call, or instead of its answer."""

    def __init__(self, verb: str, *errors: BaseException | None, after: bool = False):
        self.verb = verb
        self.errors = iter(errors)
        self.after = after
        self.calls: list[str] = []

    def _next(self, verb: str) -> None:
        if fnmatch.fnmatchcase(verb, self.verb) and (error := next(self.errors, None)) is not None:
            raise error

    def before(self, verb: str, key: str) -> None:
        self.calls.append(verb)
        if not self.after:
            self._next(verb)

    def behind(self, verb: str, key: str) -> None:
        if self.after:
            self._next(verb)


def retrying(script: Script, policy: Policy | None = None, limits: Any = PARTS) -> tuple[Retry, Time, Double]:
    time, backend = Time(), Double(settings_of(), limits)
    backend.page_size = 1
    return (
        Retry(Hooked(backend, script.before, script.behind), policy, sleep=time.sleep, clock=time.clock),
        time,
        backend,
    )


OPTIONS = WriteOptions(metadata={TOKEN: "0" * 16})


def test_until_it_succeeds() -> None:
    script = Script("put", lost(), busy(), lost())
    wrapped, time, _ = retrying(script)
    assert wrapped.put("x", b"x", OPTIONS).size == 1
    assert (script.calls, len(time.pauses)) == (["put"] * 4, 3)


def test_not_more_often_than_said() -> None:
    for attempts in (1, 2, 4):
        script = Script("head", *[lost() for _ in range(9)])
        wrapped, time, _ = retrying(script, Policy(attempts=attempts))
        with pytest.raises(exc.ConnectionError):
            wrapped.head("x")
        assert (len(script.calls), len(time.pauses)) == (attempts, attempts - 1)


@pytest.mark.parametrize(
    "error",
    [exc.PermissionError("no"), exc.MissingFileError("no"), exc.ConnectionError("once"), exc.StorageError("no"),
     KeyboardInterrupt(), ValueError("own")],
)  # fmt: skip
def test_what_is_not_marked_is_not_repeated(error: BaseException) -> None:
    script = Script("head", error)
    wrapped, time, _ = retrying(script)
    with pytest.raises(type(error)) as caught:
        wrapped.head("x")
    assert caught.value is error
    assert (script.calls, time.pauses) == (["head"], [])


def test_pauses_grow_and_are_spread() -> None:
    policy = Policy(attempts=9, timeout=1e9, base=0.5, longest=4)
    first: list[float] = []
    for seed in range(300):
        random.seed(seed)
        wrapped, time, _ = retrying(Script("head", *[lost() for _ in range(8)]), policy)
        with pytest.raises(exc.MissingFileError):
            wrapped.head("x")
        for number, pause in enumerate(time.pauses):
            assert 0 <= pause <= min(4, 0.5 * 2**number)
        first.append(time.pauses[-1])
    assert min(first) < 0.4
    assert max(first) > 3.6
    assert len({round(pause, 3) for pause in first}) > 200


def test_the_time_that_the_provider_asks_for() -> None:
    wrapped, time, _ = retrying(Script("head", busy(7.5), lost(0.5)))
    with pytest.raises(exc.MissingFileError):
        wrapped.head("x")
    assert time.pauses[0] == 7.5
    assert 0.5 <= time.pauses[1] <= 0.5 or time.pauses[1] <= 0.4
    wrapped, time, _ = retrying(Script("head", busy(121)))
    with pytest.raises(exc.ThrottledError):
        wrapped.head("x")
    assert time.pauses == [], "what would come too late is not waited for"


def test_the_time_that_calls_take_counts() -> None:
    time = Time()

    def slow(verb: str, key: str) -> None:
        time.now += 50
        raise lost()

    calls: list[str] = []
    wrapped = Retry(
        Hooked(Double(settings_of(), PARTS), lambda verb, key: (calls.append(verb), slow(verb, key))),
        Policy(attempts=100, timeout=120),
        sleep=time.sleep,
        clock=time.clock,
    )
    with pytest.raises(exc.ConnectionError):
        wrapped.head("x")
    assert len(calls) == 3
    assert time.now - 1000 <= 150 + 1


# -- nothing is applied twice -----------------------------------------------------------------------------------------


def own(token: str = "1" * 16, **more: Any) -> WriteOptions:
    return WriteOptions(metadata={TOKEN: token}, **more)


def test_a_write_of_ones_own_is_no_conflict() -> None:
    script = Script("put", lost(), after=True)
    wrapped, _, backend = retrying(script)
    made = wrapped.put("x", b"x", own(if_absent=True))
    assert script.calls == ["put", "put", "head"]
    assert made == backend.head("x")


def test_anothers_write_is_a_conflict() -> None:
    for errors in ((lost(),), ()):
        script = Script("put", *errors)
        wrapped, _, backend = retrying(script)
        backend.put("x", b"other", own("2" * 16))
        with pytest.raises(exc.ExistingFileError):
            wrapped.put("x", b"x", own(if_absent=True))
        assert backend._get("x").data == b"other"
        assert script.calls == (["put", "put", "head"] if errors else ["put"]), "only a lost answer leads to a question"


def test_a_throttled_call_was_not_applied() -> None:
    script = Script("put", busy())
    wrapped, _, backend = retrying(script)
    backend.put("x", b"other", own("2" * 16))
    with pytest.raises(exc.ExistingFileError):
        wrapped.put("x", b"x", own(if_absent=True))
    assert script.calls == ["put", "put"]


def test_without_a_token_nothing_is_ones_own() -> None:
    wrapped, _, _ = retrying(Script("put", lost(), after=True))
    with pytest.raises(exc.ExistingFileError):
        wrapped.put("x", b"x", WriteOptions(if_absent=True))


def _complete(wrapped: Retry) -> ObjectInfo:
    ref = MultipartRef("x", wrapped.multipart_create("x", own()))
    part = wrapped.multipart_put(ref, 0, b"part")
    return wrapped.multipart_complete(ref, [part], own(if_absent=True))


def _append(wrapped: Retry) -> ObjectInfo:
    target = wrapped.put("x", b"a", own("2" * 16))
    return wrapped.append(target, b"b", own(if_match=target.etag))


def _copy(wrapped: Retry) -> ObjectInfo:
    return wrapped.copy(wrapped.put("y", b"y", own("2" * 16)), "x", own(if_absent=True))


def _compose(wrapped: Retry) -> ObjectInfo:
    source = wrapped.put("y", b"y", own("2" * 16))
    return wrapped.compose([source, source], "x", own(if_absent=True))


def _session(wrapped: Retry) -> ObjectInfo:
    ref = MultipartRef("x", wrapped.resumable_start("x", own()))
    made = wrapped.resumable_send(ref, 0, b"abc", 3, own(if_absent=True))
    assert isinstance(made, ObjectInfo)
    return made


def _replace(wrapped: Retry) -> ObjectInfo:
    seen = wrapped.put("x", b"1", own("2" * 16))
    return wrapped.put("x", b"2", own(if_match=seen.etag))


@pytest.mark.parametrize(
    ("verb", "call", "content"),
    [
        ("multipart_complete", _complete, b"part"), ("append", _append, b"ab"), ("copy", _copy, b"y"),
        ("compose", _compose, b"yy"), ("resumable_send", _session, b"abc"), ("put", _replace, b"2"),
    ],
)  # fmt: skip
def test_lost_answers(verb: str, call: Callable[[Retry], ObjectInfo], content: bytes) -> None:
    before = [None] if call is _replace else []
    script = Script(verb, *before, lost(), after=True)
    wrapped, _, backend = retrying(script, limits=SESSION)
    made = call(wrapped)
    assert backend._get("x").data == content
    assert made.etag == backend.head("x").etag
    assert backend.open == []


def test_a_removal_whose_answer_was_lost() -> None:
    wrapped, _, backend = retrying(Script("delete", lost(), after=True))
    backend.put("x", b"x", own())
    assert wrapped.delete("x") is True
    assert wrapped.delete("x") is False
    for verb, begin, end in (
        ("multipart_abort", "multipart_create", "multipart_abort"),
        ("resumable_cancel", "resumable_start", "resumable_cancel"),
    ):
        wrapped, _, _ = retrying(Script(verb, lost(), after=True), limits=SESSION)
        ref = MultipartRef("x", getattr(wrapped, begin)("x", own()))
        assert getattr(wrapped, end)(ref) is True
        assert getattr(wrapped, end)(ref) is False


def test_a_conflict_that_may_be_with_oneself_is_a_doubt() -> None:
    # Without metadata nothing tells the object of the unanswered attempt from another's.
    plain = WriteOptions(if_absent=True)
    wrapped, _, _ = retrying(Script("put", lost(), after=True))
    with pytest.raises(exc.ExistingFileError) as caught:
        wrapped.put("x", b"x", plain)
    assert caught.value.uncertain
    wrapped, _, backend = retrying(Script("put", lost()))
    backend.put("x", b"another's", OPTIONS)
    with pytest.raises(exc.ExistingFileError) as caught:
        wrapped.put("x", b"x", WriteOptions(metadata=own().metadata, if_absent=True))
    assert not caught.value.uncertain


def test_a_rename_is_not_repeated() -> None:
    script = Script("move", lost())
    wrapped, _, backend = retrying(script)
    backend.put("x", b"x", own())
    with pytest.raises(exc.ConnectionError):
        wrapped.move("x", "y", own())
    assert script.calls == ["move"]


def test_a_stream_is_not_repeated() -> None:
    script = Script("put", lost())
    wrapped, _, _ = retrying(script)
    source: Any = type("S", (), {"size": None, "digests": {}, "__iter__": lambda self: iter([memoryview(b"x")])})()
    with pytest.raises(exc.ConnectionError):
        wrapped.put("x", source, own())
    assert script.calls == ["put", "head"]


def test_only_what_the_provider_has_not_is_sent_again() -> None:
    script = Script("resumable_send", lost(), after=True)
    wrapped, _, backend = retrying(script, limits=SESSION)
    ref = MultipartRef("x", wrapped.resumable_start("x", own()))
    backend.taken = 100
    assert wrapped.resumable_send(ref, 0, bytes(300), None, own()) == 100
    assert script.calls == ["resumable_start", "resumable_send", "resumable_offset"]


@pytest.mark.parametrize("total", [None, 300])
def test_neither_a_piece_nor_its_offset_is_asked_for_more_often_than_allowed(total: int | None) -> None:
    # An offset was asked for `attempts` times after each of the pieces: it is a part of the attempt.
    script = Script("resumable_*", *[lost() for _ in range(20)])
    wrapped, time, backend = retrying(script, limits=SESSION)
    ref = MultipartRef("x", backend.resumable_start("x", own()))
    with pytest.raises(exc.ConnectionError) as caught:
        wrapped.resumable_send(ref, 0, bytes(300), total, own())
    assert script.calls[:4] == ["resumable_send", *["resumable_offset"] * 3]
    assert script.calls[4:] == ([] if total is None else ["head"])
    assert (caught.value.uncertain, len(time.pauses)) == (total is not None, 3)


# -- listings ---------------------------------------------------------------------------------------------------------


def test_listings_go_on_where_they_broke() -> None:
    names = [f"{number:03}" for number in range(50)]
    script = Script("item", *itertools.chain.from_iterable([None] * 7 + [lost()] for _ in range(30)))
    wrapped, time, backend = retrying(script)
    for name in names:
        backend.put(name, b"x", own())
    assert [item.key for item in entries_of(wrapped.list(""))] == names
    assert len(time.pauses) >= 7


def test_a_listing_that_does_not_get_on_ends() -> None:
    script = Script("item", None, *[lost() for _ in range(9)])
    wrapped, time, backend = retrying(script)
    for name in "abc":
        backend.put(name, b"x", own())
    found: list[str] = []
    with pytest.raises(exc.ConnectionError):  # noqa: PT012
        for item in entries_of(wrapped.list("")):
            found.append(item.key)
    assert (found, len(time.pauses)) == (["a"], 3)


def test_a_listing_with_prefixes_goes_on() -> None:
    script = Script("item", None, lost(), None, lost())
    wrapped, _, backend = retrying(script)
    for name in ("a/1", "a/2", "b", "c/1"):
        backend.put(name, b"x", own())
    assert [item.key for item in entries_of(wrapped.list("", delimiter="/"))] == ["a/", "b", "c/"]


def test_an_unordered_listing_is_got_again() -> None:
    class Unordered(Double):
        def list(
            self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
        ) -> Iterator[Page]:
            infos = [entry for entry in entries_of(super().list(prefix)) if isinstance(entry, ObjectInfo)]
            return cut_pages(reversed(infos), prefix, size=1)

    time, backend = Time(), Unordered(settings_of(), type(PARTS)(order="none"))
    for name in "abc":
        backend.put(name, b"x", own())
    script = Script("item", None, lost())
    wrapped = Retry(Hooked(backend, script.before), sleep=time.sleep, clock=time.clock)
    assert [item.key for item in entries_of(wrapped.list(""))] == ["c", "b", "a"]


# -- through a storage ------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DEFAULT", Policy(base=0.0001, longest=0.0001))


def flaky(storage: Storage, every: int, error: Callable[[], BaseException], *, after: bool) -> Storage:
    counter = itertools.count(1)

    def strike(verb: str, key: str) -> None:
        if verb not in ("move", "item", "body") and not next(counter) % every:
            raise error()

    nothing = lambda verb, key: None  # noqa: E731
    return storage.wrapped(lambda inner: Hooked(inner, *((nothing, strike) if after else (strike, nothing))))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("limits", [PARTS, SESSION])
def test_a_whole_day_in_bad_weather(limits: Any, after: bool, quick: None) -> None:
    calm, backend = double(limits, overwrite_existing=False)
    storage = flaky(calm, 3, lost, after=after)
    body = random.Random(1).randbytes(300 * KiB)
    for size in (0, 10, 300 * KiB):
        name = f"{size}"
        made = storage.upload(name, iter([body[:size]]))
        assert storage.content(name) == body[:size]
        assert storage.analyze(name).hash == made.hash
        with pytest.raises(exc.ExistingFileError):
            storage.upload(name, body[:size])
        storage.copy(name + "c", name)
        storage.append(name + "c", b"tail")
        assert storage.content(name + "c") == body[:size] + b"tail"
        storage.compose(name + "d", name, name + "c")
        assert storage.content(name + "d") == body[:size] * 2 + b"tail"
        assert storage.remove(name + "d") is True
    assert sorted(calm.scan()) == sorted(storage.scan()) == ["0", "0c", "10", "10c", "307200", "307200c"]
    data = storage.multipart_start("m", 20)
    data = storage.multipart_update(data, body[:10], 0)
    data = storage.multipart_update(data, body[10:20], 1)
    assert storage.multipart_complete(data).size == 20
    assert storage.remove_many(["m", "0", "nothing"]) == []
    if after:
        # Of a beginning whose answer was lost nobody knows the name: that takes the broom (a session expires).
        assert len(backend.open) == 1
        calm.cleanup_uploads(0)
        backend.sessions.clear()
    assert backend.open == []
