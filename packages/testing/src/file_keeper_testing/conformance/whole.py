"""Cases 67 and 71 to 75: storages at work together, in threads and processes; requests and repeats."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from file_keeper import Capability, Storage, exc
from file_keeper.backend import OPTIONAL, VERBS, Backend, Wrapper
from file_keeper.resilience import retry
from file_keeper.resilience.retry import Policy, Retry

from ..children import work
from ..counting import Counting, counted
from ..faults import Faulty, Rule, faulty, lost_answer
from ..sources import payload, ragged
from .base import GAPS, Base, Make, cases, needs, shown, store

T = TypeVar("T")


class Whole(Base):
    """The storage as a whole."""

    def test_case_67_initialize_and_check(self, storage: Storage, make: Make) -> None:
        storage.initialize()
        storage.initialize()
        storage.check()
        storage.upload("x", b"x")
        again = make(initialize=True)
        again.check()
        assert again.content("x") == b"x"

    def test_case_67_a_place_that_is_not_there(self, make: Make, storage_settings: dict[str, Any]) -> None:
        absent = self.absent
        if absent is None and self.shared and isinstance(storage_settings.get("bucket"), str):
            absent = {"bucket": f"missing-{uuid.uuid4().hex[:12]}"}
        if not absent:
            return  # this backend has no places that could be missing
        storage = make("", **{**absent, "initialize": False})
        calls: list[Callable[[], Any]] = [
            storage.check, lambda: storage.upload("x", b"x"), lambda: storage.content("x"),
            lambda: storage.exists("x"), lambda: storage.analyze("x"), lambda: storage.remove("x"),
            lambda: list(storage.scan()), lambda: storage.copy("y", "x"),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(exc.InvalidStorageConfigurationError) as caught:
                call()
            assert caught.value.storage == "conformance"
            for value in absent.values():
                assert str(value) in str(caught.value)
        with make("", **{**absent, "initialize": True}) as made:
            made.upload("x", b"x")
        assert storage.content("x") == b"x"

    @needs(Capability.CREATE, Capability.REMOVE)
    def test_case_71_two_storages_see_each_other_at_once(self, storage: Storage, make: Make) -> None:
        other = make()
        for round_ in range(5):
            content = f"round {round_}".encode()
            storage.upload("x", content, overwrite=True)
            assert other.content("x") == content
            assert other.analyze("x").size == len(content)
            assert list(other.scan()) == ["x"]
            assert other.remove("x")
            assert not storage.exists("x")
            assert list(storage.scan()) == []
        if self.shared:
            made = storage.upload("x", b"for another process")
            with self.child("describe", storage, "x") as child:
                seen, content = child.hear()
            self.assert_same(seen, made)
            assert content == b"for another process"

    @needs(Capability.CREATE, Capability.STREAM)
    def test_case_72_64_threads_from_the_first_use(self, make: Make, storage: Storage) -> None:
        fresh = make()
        barrier = threading.Barrier(64)
        failures: list[BaseException] = []

        def run(number: int) -> None:
            try:
                barrier.wait()
                content = payload(500 + number, number)
                fresh.upload(f"{number}", content)
                assert fresh.content(f"{number}") == content
                assert fresh.remove(f"{number}")
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert list(storage.scan()) == []

    @needs(Capability.CREATE, Capability.STREAM)
    def test_case_73_fork(self, storage: Storage) -> None:
        if not hasattr(os, "fork"):
            pytest.skip("this platform has no fork")
        storage.upload("before", b"parent")
        with storage.stream("before") as stream:
            pids: list[int] = []
            for number in range(8):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    pid = os.fork()
                if pid == 0:
                    status = 1
                    try:
                        assert storage.content("before") == b"parent"
                        work(storage, f"child{number}", 3)
                        storage.upload(f"left/{number}", b"child")
                        status = 0
                    except BaseException as error:
                        sys.stderr.write(f"child {number}: {error!r}\n")
                    finally:
                        os._exit(status)
                pids.append(pid)
            work(storage, "parent", 3)
            assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 8
            assert stream.read() == b"parent"
        work(storage, "parent", 1)
        assert len(list(storage.scan(prefix="left/"))) == (8 if self.shared else 0)

    @needs(Capability.CREATE, Capability.STREAM)
    def test_case_73_pickled(self, storage: Storage) -> None:
        twin = pickle.loads(pickle.dumps(storage))
        with twin:
            assert twin.name == storage.name
            assert twin.full_path("x") == storage.full_path("x")
            assert twin.capabilities == storage.capabilities
            work(twin, "twin", 1)
        with self.child("mixed", storage, "child", 3) as child:
            assert child.hear() == 21

    @needs(Capability.CREATE, Capability.STREAM)
    def test_case_73_closed_and_used_again(self, storage: Storage) -> None:
        storage.upload("x", b"x")
        storage.close()
        storage.close()
        assert storage.content("x") == b"x"

    def _requests(self, storage: Storage, call: Callable[[Storage], Any]) -> list[str]:
        watched, counter = counted(storage)
        call(watched)
        return [entry.verb for entry in counter.calls if entry.verb in VERBS]

    @needs(Capability.CREATE, Capability.STREAM, Capability.COPY, Capability.MOVE)
    def test_case_74_request_budget(self, storage: Storage) -> None:
        assert self._requests(storage, lambda s: (s.full_path("x"), s.capabilities, s.limits, repr(s))) == []
        for overwrite in (False, True):
            assert self._requests(storage, lambda s, o=overwrite: s.upload("x", b"x", overwrite=o)) == ["put"]
        assert self._requests(storage, lambda s: s.upload("y", iter([b"y"]))) == ["put"]
        looking: list[Callable[[Storage], Any]] = [
            lambda s: s.exists("x"), lambda s: s.analyze("x"), lambda s: s.size("x"), lambda s: s.exists("-"),
        ]  # fmt: skip
        for call in looking:
            assert self._requests(storage, call)[:1] == ["head"]
            assert len(self._requests(storage, call)) <= 2
        reading: list[Callable[[Storage], Any]] = [
            lambda s: s.content("x"), lambda s: list(s.stream("x")), lambda s: s.range("x", 0, 1),
        ]  # fmt: skip
        for call in reading:
            assert self._requests(storage, call) == ["read"]
        assert self._requests(storage, lambda s: s.range("x", 1, 1)) == []
        assert self._requests(storage, lambda s: list(s.scan())) == ["list"]
        copying = 2 if "copy" in storage.backend.verbs else 3
        assert len(self._requests(storage, lambda s: s.copy("copy", "x"))) <= copying
        assert len(self._requests(storage, lambda s: s.move("moved", "copy"))) <= copying + 1
        assert self._requests(storage, lambda s: s.remove("moved")) == ["delete"]
        assert self._requests(storage, lambda s: s.check()) in (["check"], ["list"])

    @needs(Capability.CREATE)
    def test_case_74_request_budget_of_parts(self, storage: Storage) -> None:
        parts = 4
        content = payload((parts - 1) * storage.settings.part_size + 10)
        for overwrite in (False, True):
            for source in (content, ragged(content)):
                requests = self._requests(
                    storage, lambda s, o=overwrite, x=source: (s.remove("x"), s.upload("x", x, overwrite=o))
                )[1:]
                # Create and complete, the parts, a look before the first one with overwriting off, a note afterwards.
                allowed = parts + 2 + (not overwrite) + ("store_digests" in storage.backend.verbs)
                assert len(requests) <= allowed, requests
                assert requests.count("head") <= (not overwrite)

    @needs(Capability.CREATE)
    def test_case_74_parts_are_sent_concurrently(self, make: Make, storage: Storage) -> None:
        watched, counter = counted(
            faulty(make(max_concurrency=3), Rule(verb="multipart_put", times=None, delay=0.05))[0]
        )
        content = payload(6 * storage.settings.part_size)
        watched.upload("x", ragged(content))
        assert storage.content("x") == content
        if counter.count("multipart_put"):
            assert counter.peak("multipart_put") == 3

    @pytest.fixture
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Repeats come at once: what is tried is that they come, and how many."""
        monkeypatch.setattr(retry, "DEFAULT", Policy(base=0.001))

    @pytest.mark.parametrize(
        "error", [exc.ConnectionError, exc.TimeoutError, exc.ThrottledError], ids=lambda kind: kind.__name__
    )
    @needs(Capability.CREATE)
    def test_case_75_passing_errors_are_repeated(
        self, error: type[exc.FilesError], storage: Storage, quick: None
    ) -> None:
        large = payload(2 * storage.settings.part_size + 10)
        passing = error("transient", retryable=True)
        operations: dict[str, tuple[Callable[[Storage], Any], Any]] = {
            "put": (lambda s: s.upload("new", b"new").size, 3),
            "put overwriting": (lambda s: s.upload("x", b"content", overwrite=True).size, 7),
            "multipart_*": (lambda s: (s.upload("large", ragged(large)), s.content("large"))[1], large),
            "resumable_*": (lambda s: (s.upload("larger", ragged(large)), s.content("larger"))[1], large),
            "head": (lambda s: s.exists("x"), True),
            "read": (lambda s: s.content("x"), b"content"),
            "list": (lambda s: [f if isinstance(f, str) else f.location for f in s.files(prefix="x")], ["x"]),
            "item": (lambda s: list(s.scan(prefix="x")), ["x"]),
            "delete": (lambda s: s.remove("new"), True),
            "copy": (lambda s: s.copy("copied", "x").size, 7),
        }
        storage.upload("x", b"content")
        for name, (call, expected) in operations.items():
            flaky, _ = faulty(storage, Rule(verb=name.split(" ")[0], error=passing, times=3))
            assert call(flaky) == expected, name
        assert storage.content("x") == b"content"
        assert storage.content("copied") == b"content"
        assert self.leftovers(storage) == []

    @needs(Capability.EXISTS)
    def test_case_75_the_wait_that_is_asked_for(self, storage: Storage, quick: None) -> None:
        slow, _ = faulty(storage, Rule(verb="head", error=exc.ThrottledError("busy", retryable=True, retry_after=0.3)))
        began = time.monotonic()
        assert not slow.exists("x")
        assert time.monotonic() - began >= 0.3

    @needs(Capability.CREATE)
    def test_case_75_attempts_are_bounded_and_do_not_multiply(self, storage: Storage, quick: None) -> None:
        storage.upload("x", b"content")
        operations: dict[str, Callable[[Storage], Any]] = {
            "head": lambda s: s.exists("x"),
            "read": lambda s: s.content("x"),
            "put": lambda s: s.upload("y", b"y"),
            "delete": lambda s: s.remove("x"),
        }
        for verb, call in operations.items():
            broken, faults = faulty(storage, Rule(verb=verb, times=None, error=lost_answer()))
            with pytest.raises(exc.ConnectionError):
                call(broken)
            assert faults.rules[0].hits == 4, verb
            once, faults = faulty(storage, Rule(verb=verb, times=None, error=exc.ConnectionError("not retryable")))
            with pytest.raises(exc.ConnectionError):
                call(once)
            assert faults.rules[0].hits == 1, verb
        assert storage.content("x") == b"content"

    @pytest.mark.parametrize("large", [False, True], ids=["small", "in parts"])
    @needs(Capability.CREATE)
    def test_case_75_a_lost_answer_is_no_conflict(self, large: bool, storage: Storage, quick: None) -> None:
        if not storage.supports(Capability.METADATA):
            return  # nothing tells its own write from another's
        content = payload(2 * storage.settings.part_size if large else 10)
        for number, verb in enumerate(("put", "multipart_complete", "multipart_put", "resumable_send")):
            flaky, faults = faulty(storage, Rule(verb=verb, lost=True))
            try:
                made = flaky.upload(f"{number}", ragged(content))
            except exc.ConnectionError:
                # A body that is a stream is sent once: its lost answer cannot be asked for again.
                assert storage.limits.streaming_put
                assert large
            else:
                assert made.size == len(content)
            assert storage.content(f"{number}") == content
            assert storage.analyze(f"{number}").metadata == {}
            assert large or verb != "put" or faults.rules[0].hits == 1
        assert self.leftovers(storage) == []

    @needs(Capability.CREATE)
    def test_case_75_anothers_write_is_a_conflict(self, storage: Storage, quick: None) -> None:
        # The first attempt never arrives; before the second one somebody else is there.
        flaky, _ = faulty(
            storage, Rule(verb="put", error=lost_answer(), hook=lambda _verb, _key: storage.upload("x", b"theirs"))
        )
        with pytest.raises(exc.ExistingFileError):
            flaky.upload("x", b"ours")
        assert storage.content("x") == b"theirs"

    @needs(Capability.REMOVE, Capability.COPY, Capability.MOVE)
    def test_case_75_lost_answers_of_the_rest(self, storage: Storage, quick: None) -> None:
        storage.upload("x", b"content")
        flaky, faults = faulty(storage, Rule(verb="copy", lost=True))
        assert flaky.copy("copied", "x").size == 7
        assert storage.content("copied") == b"content"
        faults.on("delete", lost=True)
        assert flaky.remove("copied") is True
        assert not storage.exists("copied")
        if storage.supports(Capability.APPEND):
            for verb in ("append", "put", "compose"):
                storage.upload(verb, b"a")
                faults.rules[:] = [Rule(verb=verb, lost=True)]
                try:
                    flaky.append(verb, b"b")
                except exc.FilesError:
                    assert storage.content(verb) in (b"a", b"ab")
                else:
                    assert storage.content(verb) == b"ab"  # once, never twice
        faults.rules[:] = [Rule(verb="move", lost=True)]
        try:
            flaky.move("moved", "x")
        except exc.ConnectionError:
            assert faults.rules[0].hits == 1
        assert storage.content("moved") == b"content"
        assert not storage.exists("x")

    # -- the suite itself -------------------------------------------------------------------------------------------

    def test_every_capability_meets_a_case(self, storage: Storage) -> None:
        met = Capability.NONE
        for case in shown(type(self)).values():
            met |= getattr(case, "needed", Capability.NONE)
        missing = [member.name for member in storage.capabilities & ~met]
        assert missing == [], "every case of these capabilities is an emulator gap"

    def test_every_gap_is_a_known_one(self, storage: Storage) -> None:
        assert set(self.gaps) <= set(GAPS)
        names = list(cases(type(self)))
        for case, reason in {**self.emulator_gaps, **self.server_gaps}.items():
            assert reason
            case = case.partition("[")[0]
            assert [name for name in names if name == case or name.startswith(case + "_")], f"no case {case!r}"
        assert storage.limits.atomic_create is not bool(self.gaps.get("atomic_create"))

    def test_wrappers_lose_no_verb(self, storage: Storage) -> None:
        contract = {name for name in vars(Backend) if not name.startswith("_")} - {"settings_type"}
        assert set(VERBS) | {"translate", "verbs", "limits", "client", "after_fork", "close", "neighbour"} == contract
        for cls in (Wrapper, Retry, Faulty, Counting):
            for name in contract:
                assert any(name in vars(base) for base in cls.__mro__ if base not in (Backend, object)), (cls, name)
            wrapped = storage.wrapped(cls)
            assert wrapped.backend.verbs == storage.backend.verbs
            assert wrapped.limits == storage.limits
            assert wrapped.capabilities == storage.capabilities

    def test_every_verb_passes_the_hook_of_a_wrapper(self, storage: Storage) -> None:
        seen: list[str] = []

        class Hook(Wrapper):
            def around(self, verb: str, key: str, call: Callable[[], T]) -> T:
                seen.append(verb)
                raise exc.StorageError(f"stopped at {verb}")

        hook = Hook(storage.backend)
        any_: Any = hook
        arguments = {
            name: {"upload": _Ref(), "target": _Ref(), "info": _Ref(), "keys": ["x"]} for name in (*VERBS, *OPTIONAL)
        }
        for name in VERBS:
            method = getattr(any_, name)
            code = method.__func__.__code__
            positional = code.co_varnames[1 : code.co_argcount]
            given = [arguments[name].get(parameter, "x") for parameter in positional]
            with pytest.raises(exc.StorageError, match=f"stopped at {name}$"):
                list(method(*given))
        assert seen == list(VERBS)
        store(storage, ["still works"])


class _Ref:
    """Whatever has a key."""

    key = "x"
