"""A synchronisation that was killed is taken up where it was, and tells the numbers of one whole run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from file_keeper import exc
from file_keeper_testing import Faulty, Rule

FILES = 120

CHILD = textwrap.dedent(
    """
    import json, os, sys
    import file_keeper as fk
    from file_keeper_testing import Faulty, Rule

    here, journal = sys.argv[1:3]
    log = os.open(here + "/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sent = Rule(verb="read", times=None, hook=lambda verb, key: os.write(log, key.encode() + b"\\n"), delay=0.01)
    source = fk.make_storage("s", {"type": "fs", "path": here + "/s"}).wrapped(lambda inner: Faulty(inner, sent))
    target = fk.make_storage("t", {"type": "fs", "path": here + "/t"})
    print("begins", flush=True)
    report = fk.sync(source, target, journal=journal, delete=True, concurrency=4)
    print(json.dumps(report.as_dict()))
    """
)


def places(tmp_path: Path) -> tuple[fk.Storage, fk.Storage]:
    source = fk.make_storage("s", {"type": "fs", "path": str(tmp_path / "s"), "initialize": True})
    target = fk.make_storage("t", {"type": "fs", "path": str(tmp_path / "t"), "initialize": True})
    for number in range(FILES):
        source.upload(f"{number:03}/f", b"%d" % number * 100)
        if number % 3 == 0:
            target.upload(f"{number:03}/f", b"%d" % number * 100)
        if number % 5 == 0:
            target.upload(f"{number:03}/only here", b"x")
    target.upload("001/f", b"another")
    return source, target


def numbers(report: fk.SyncReport | dict[str, Any]) -> dict[str, int]:
    told = report if isinstance(report, dict) else report.as_dict()
    return {name: told[name] for name in ("copied", "skipped", "deleted", "failed", "bytes")}


EXPECTED = {
    "copied": FILES - FILES // 3,
    "skipped": FILES // 3,
    "deleted": FILES // 5,
    "failed": 0,
    "bytes": sum(len(str(number)) * 100 for number in range(FILES) if number % 3),
}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills as POSIX does")
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_the_next_run_goes_on(tmp_path: Path, seed: int) -> None:
    source, target = places(tmp_path)
    child, journal = tmp_path / "child.py", tmp_path / "journal"
    child.write_text(CHILD)
    moments = random.Random(seed)
    kills, told = 0, b""
    while not told:
        with subprocess.Popen([sys.executable, child, tmp_path, journal], stdout=subprocess.PIPE) as running:
            assert running.stdout is not None
            running.stdout.readline()
            if kills < 5:
                time.sleep(moments.uniform(0, 0.2))
                running.kill()
                kills += 1
            told = running.stdout.read()
    assert numbers(json.loads(told)) == EXPECTED
    assert {name: target.content(name) for name in target.scan()} == {
        name: source.content(name) for name in source.scan()
    }
    # Nothing was sent twice but what was in flight at a kill.
    sent = (tmp_path / "log").read_text().splitlines()
    assert EXPECTED["copied"] <= len(sent) <= EXPECTED["copied"] + 4 * kills


def test_a_journal_torn_at_any_byte_of_its_last_line_is_taken_up(tmp_path: Path) -> None:
    source, target = places(tmp_path)
    journal = tmp_path / "journal"
    broken = source.wrapped(
        lambda inner: Faulty(inner, Rule(verb="read", nth=30, times=None, error=KeyboardInterrupt()))
    )
    with pytest.raises(KeyboardInterrupt):
        fk.sync(broken, target, journal=journal, delete=True, concurrency=1)
    whole = journal.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    assert last > 0
    for end in range(last, len(whole) + 1, 7):
        torn = tmp_path / "torn"
        torn.write_bytes(whole[:end])
        numbers_of = numbers(fk.sync(source, target, journal=torn, dry_run=False, delete=True))
        # The target holds all after the first of these runs; what the journal had begun counts as copied all the same.
        assert numbers_of["failed"] == 0
        assert numbers_of["copied"] + numbers_of["skipped"] == FILES
    assert sorted(target.scan()) == sorted(source.scan())


def test_a_resumed_run_tells_the_numbers_of_one_whole(tmp_path: Path) -> None:
    source, target = places(tmp_path)
    journal = tmp_path / "journal"
    for nth in (10, 25):
        broken = source.wrapped(
            lambda inner, nth=nth: Faulty(inner, Rule(verb="read", nth=nth, times=None, error=KeyboardInterrupt()))
        )
        with pytest.raises(KeyboardInterrupt):
            fk.sync(broken, target, journal=journal, delete=True, concurrency=2)
    assert numbers(fk.sync(source, target, journal=journal, delete=True)) == EXPECTED
    # The journal is of a run that ended: the next one is a whole run of its own.
    assert numbers(fk.sync(source, target, journal=journal, delete=True)) == {
        "copied": 0, "skipped": FILES, "deleted": 0, "failed": 0, "bytes": 0,
    }  # fmt: skip


def test_what_failed_before_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("file_keeper.syncing.run._NOTED", 1)
    source, target = places(tmp_path)
    journal = tmp_path / "journal"
    rules = (
        Rule(verb="read", key="002/f", error=exc.PermissionError("not now")),
        Rule(verb="read", key="050/f", times=None, error=KeyboardInterrupt()),
    )
    with pytest.raises(KeyboardInterrupt):
        fk.sync(
            source.wrapped(lambda inner: Faulty(inner, *rules)), target, journal=journal, delete=True, concurrency=1
        )
    assert not target.exists("002/f")
    assert '"reached":"049/f"' in journal.read_text()
    assert numbers(fk.sync(source, target, journal=journal, delete=True)) == EXPECTED
    assert target.exists("002/f")


@pytest.mark.parametrize(
    "other", [{"exclude": ["*.tmp"]}, {"prefix": "0"}, {"delete": False}, {"compare": "size"}, {"overwrite": False}]
)
def test_a_journal_of_another_job_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    source, target = places(tmp_path)
    options: dict[str, Any] = {"journal": tmp_path / "journal", "delete": True}
    fk.sync(source, target, **options)
    target.upload("x", b"")
    with pytest.raises(exc.StorageDataError, match="of another job"):
        fk.sync(source, target, **{**options, **other})
    with pytest.raises(exc.StorageDataError, match="of another job"):
        fk.sync(source, target.below("below"), **options)
    assert target.exists("x")


def test_a_damaged_journal_and_one_in_use_are_refused(tmp_path: Path) -> None:
    source, target = places(tmp_path)
    journal = tmp_path / "journal"
    fk.sync(source, target, journal=journal)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], b"rubbish\n", *lines[2:]]))
    with pytest.raises(exc.StorageDataError, match="damaged at byte"):
        fk.sync(source, target, journal=journal)
    journal.write_bytes(b'{"some": "other file"}\n')
    with pytest.raises(exc.StorageDataError, match="no journal"):
        fk.sync(source, target, journal=journal)
    assert journal.read_bytes() == b'{"some": "other file"}\n'
    with pytest.raises(exc.StorageDataError, match="No such file"):
        fk.sync(source, target, journal=tmp_path / "no" / "journal")
    journal.unlink()

    def again(_: Any) -> None:
        with pytest.raises(exc.StorageDataError, match="another run writes to it"):
            fk.sync(source, target, journal=journal)

    fk.sync(source, target, journal=journal, progress=again)


def test_a_dry_run_leaves_the_journal_alone(tmp_path: Path) -> None:
    source, target = places(tmp_path)
    fk.sync(source, target, journal=tmp_path / "journal", dry_run=True)
    assert not os.path.exists(tmp_path / "journal")
