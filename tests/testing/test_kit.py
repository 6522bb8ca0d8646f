"""Faults, counting and the plugin do what they say."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from file_keeper import exc
from file_keeper_testing import (
    Counting,
    Faulty,
    ProviderError,
    Rule,
    counted,
    faulty,
    limited,
    lost_answer,
    without,
)


@pytest.fixture
def storage() -> fk.Storage:
    return fk.make_storage("kit", {"type": "memory"})


def test_a_rule_meets_the_chosen_calls_only(storage: fk.Storage):
    for name in ("a.png", "b.png", "c.txt"):
        storage.upload(name, name.encode())
    broken, faults = faulty(storage)
    rule = faults.on("read", key="*.png", nth=2, times=1, error=exc.StorageError("injected"))
    assert broken.content("a.png") == b"a.png"
    assert broken.content("c.txt") == b"c.txt"
    with pytest.raises(exc.StorageError, match="injected"):
        broken.content("b.png")
    assert broken.content("b.png") == b"b.png"
    assert (rule.seen, rule.hits) == (3, 1)


def test_errors_may_be_classes_functions_and_foreign(storage: fk.Storage):
    broken, faults = faulty(storage, Rule(verb="head", error=exc.PermissionError))
    with pytest.raises(exc.PermissionError, match="injected at head"):
        broken.exists("x")
    faults.on("head", error=lambda verb, key: exc.StorageError(f"{verb} of {key}"))
    with pytest.raises(exc.StorageError, match="head of x"):
        broken.exists("x")
    cause = ProviderError(exc.ChangedFileError("becomes this"))
    faults.on("head", error=cause)
    with pytest.raises(exc.ChangedFileError) as caught:
        broken.exists("x")
    assert caught.value.__cause__ is cause


def test_a_lost_answer_is_done_and_not_told(storage: fk.Storage):
    broken, faults = faulty(storage, Rule(verb="delete", lost=True, times=None))
    storage.upload("x", b"x")
    assert broken.remove("x"), "a look shows that it is gone"
    assert not storage.exists("x")
    storage.upload("x", b"x")
    faults.on("head", error=exc.ConnectionError("down"), times=None)
    with pytest.raises(exc.ConnectionError) as caught:
        broken.remove("x")
    assert caught.value.uncertain
    assert not storage.exists("x")


def test_delays_and_hooks_come_in_order(storage: fk.Storage):
    told: list[str] = []
    broken, _ = faulty(
        storage,
        Rule(
            verb="put",
            delay=0.05,
            hook=lambda verb, key: told.append(f"before {verb} {storage.exists(key)}"),
            after=lambda verb, key: told.append(f"after {verb} {storage.exists(key)}"),
        ),
    )
    began = time.monotonic()
    broken.upload("x", b"x")
    assert time.monotonic() - began >= 0.05
    assert told == ["before put False", "after put True"]


def test_bodies_are_spoiled(storage: fk.Storage):
    storage.upload("x", bytes(10))
    backend = Faulty(storage.backend)

    def read() -> bytes:
        body = backend.read("x")
        try:
            return b"".join(iter(lambda: body.read(3), b""))
        finally:
            body.close()

    backend.on("read", short=7)
    assert read() == bytes(7)
    backend.on("read", flip=4)
    assert read() == bytes(4) + b"\1" + bytes(5)
    backend.on("read", cut=6)
    with pytest.raises(exc.ConnectionError) as caught:
        read()
    assert caught.value.retryable
    assert read() == bytes(10)


def test_what_is_sent_is_spoiled(storage: fk.Storage):
    broken, faults = faulty(limited(storage, put_max=5), Rule(verb="put", flip=0), Rule(verb="multipart_put", flip=1))
    broken.upload("small", b"aaaa")
    assert storage.backend.read("small").read() == b"`aaa"
    with pytest.raises(exc.CorruptedFileError):
        storage.content("small")
    small = fk.make_storage("small", {"type": "memory", "part_size": 4, "verify_reads": "never"})
    broken, faults = faulty(small, Rule(verb="multipart_put", flip=1, nth=2))
    broken.upload("large", b"aaaaaaaa")
    assert sorted(small.content("large")) == sorted(b"aaaaaaa`")
    assert faults.rules[0].hits == 1


def test_bits_of_streams_are_flipped_too():
    taken: list[bytes] = []

    class Taking(Counting):
        def put(self, key: str, body: Any, options: Any) -> Any:
            taken.extend(bytes(chunk) for chunk in body)
            return fk.make_storage("none", {"type": "null"}).backend.put(key, b"", options)

    null = fk.make_storage("null", {"type": "null", "part_size": 4}).wrapped(Taking)
    broken, _ = faulty(null, Rule(verb="put", flip=5))
    broken.upload("x", io.BytesIO(bytes(9)))
    assert b"".join(taken) == bytes(5) + b"\1" + bytes(3)


def test_counting(storage: fk.Storage):
    storage.upload("x", b"12345")
    watched, counter = counted(storage)
    assert watched.content("x") == b"12345"
    assert not watched.exists("y")
    assert list(watched.scan()) == ["x"]
    assert counter.counts == {"read": 1, "head": 1, "list": 1}
    assert counter.requests == 3
    assert (counter.received, counter.asked) == (5, 5)
    assert [call.key for call in counter.calls if call.verb == "head"] == ["y"]
    assert isinstance(next(call.error for call in counter.calls if call.verb == "head"), exc.MissingFileError)
    assert counter.count("body", "item") > 0
    counter.reset()
    assert counter.requests == counter.received == 0


def test_the_peak_is_the_number_at_one_time(storage: fk.Storage):
    meeting = threading.Barrier(3)
    waiting, _ = faulty(storage, Rule(verb="head", times=None, hook=lambda _verb, _key: meeting.wait(10)))
    watched, counter = counted(waiting)
    threads = [threading.Thread(target=watched.exists, args=("x",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.peak() == counter.peak("head") == 3
    assert counter.peak("put") == 0
    meeting.abort()
    single, counter = counted(storage)
    single.exists("x")
    single.exists("x")
    assert counter.peak() == 1


def test_lacking_and_limited(storage: fk.Storage):
    poor = without(storage, "multipart_complete")
    assert not poor.supports(fk.Capability.MULTIPART)
    assert limited(storage, put_max=7).limits.put_max == 7
    assert storage.limits.put_max > 7


def test_wrapped_storages_do_not_travel(storage: fk.Storage):
    import pickle

    with pytest.raises(TypeError):
        pickle.dumps(faulty(fk.make_storage("shared", {"type": "memory", "bucket": "kit"}))[0])


def test_fixtures(memory_storage: fk.Storage, faulty_storage: Any, request_counter: Any):
    assert list(memory_storage.scan()) == []
    broken, faults = faulty_storage(Rule(verb="put", error=lost_answer(), times=1))
    watched, counter = request_counter(broken)
    watched.upload("x", b"x")
    assert faults.rules[0].hits == 1
    assert counter.count("put") == 2
    assert memory_storage.content("x") == b"x"


def test_the_option_names_a_storage(tmp_path: Path):
    settings = {"type": "memory", "bucket": "from-the-option"}
    (tmp_path / "storage.json").write_text(json.dumps(settings), "utf-8")
    (tmp_path / "test_it.py").write_text(
        "def test_it(storage_settings):\n"
        "    assert storage_settings == {'type': 'memory', 'bucket': 'from-the-option'}\n",
        "utf-8",
    )
    for given in (json.dumps(settings), str(tmp_path / "storage.json")):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, "--storage-settings", given, "."], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout


def test_the_plugin_is_light():
    code = (
        "import sys, file_keeper_testing.plugin;"
        "sys.exit(bool({'boto3', 'google.cloud', 'azure', 'file_keeper', 'file_keeper_testing.conformance'}"
        " & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
