"""GCS: small files, listings, streams and the first use, next to google-cloud-storage itself.

    python -m uv run python scripts/bench gcs_sdk
    BENCH_MIB=64 BENCH_ROUNDS=3 BENCH_COUNT=200 ...             less

Small files, the 100,000 keys of a listing and the first use are on the sink, streams on the double of the tests. CPU
time is the client's alone. Both sides have a checksum that the service compares; the SDK is used as its documentation
shows, with its repeats off. Ours also makes an md5 of the content, unless it says crc32c. The sink gives whole objects
in its listings: the fields that ours asks for are a third of that at Google's.
"""

from __future__ import annotations

import io
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from _measure import interleaved, table
from _sink import started

MIB = 1 << 20
CONTENT = os.urandom(MIB)
SMALL = CONTENT[:4096]
BUCKET = "bench"
KEYS = 100_000
FIRST = """
import sys
from file_keeper import make_storage
settings = {"type": "gcs", "bucket": "bench", "endpoint": sys.argv[1], "anonymous": True, "transport": sys.argv[2]}
with make_storage("bench", settings) as storage:
    storage.content("4k")
"""


class Stream(io.RawIOBase):
    """A stream of unknown length."""

    def __init__(self, size: int):
        self._left, self._position = size, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._left, MIB)
        buffer[:count] = CONTENT[:count]
        self._left -= count
        self._position += count
        return count

    def tell(self) -> int:
        return self._position


def _server(stack: ExitStack) -> str:
    """Start the double in a process of its own; it keeps no content, and stops with us."""
    tests = Path(__file__).resolve().parents[2] / "tests"
    command = [sys.executable, "-m", "emulators.gcs_double", "--bucket", BUCKET, "--discard"]
    process = subprocess.Popen(command, cwd=tests, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    stack.callback(process.stdout.close)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process.stdout.readline().partition("=")[2].strip()


def _times(call: Callable[[], object], count: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            call()

    return run


def _by_threads(call: Callable[[], object], count: int) -> Callable[[], None]:
    def run() -> None:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: call(), range(count)))

    return run


def _first(endpoint: str, transport: str) -> float:
    """Return the seconds of the processor that a process takes for its first file."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", FIRST, endpoint, transport], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _count(items: Iterator[object]) -> int:
    return sum(1 for _ in items)


def _pages() -> None:
    """Read a page of a listing, by what reads the usual form and by what reads any."""
    import json

    from file_keeper_gcs import listing, quick

    items = [
        {
            "name": f"list/{number:08d}.bin",
            "size": "4096",
            "generation": "1764165789012345",
            "contentType": "application/octet-stream",
            "timeCreated": "2026-11-23T10:00:00.123Z",
            "md5Hash": "1B2M2Y8AsgTpgAmY7PhCfg==",
            "crc32c": "AAAAAA==",
        }
        for number in range(1000)
    ]
    content = json.dumps({"kind": "storage#objects", "items": items}, indent=1).encode()
    tasks: dict[str, Callable[[], object]] = {
        "page, json and records": lambda: listing.page_of_objects(json.loads(content)),
        "page, msgspec and rows": lambda: quick.objects_of(content, md5_first=True),
    }
    measured = interleaved({name: _times(task, 20) for name, task in tasks.items()}, 5)
    first, second = tasks
    print("each object of a page of 1,000:")
    table({name: (cpu / 20 * 1e3, wall / 20 * 1e3) for name, (cpu, wall) in measured.items()}, {second: first}, "us")


def _against(names: list[str]) -> dict[str, str]:
    """Compare each task with the SDK's of the same title, which stands before the comma."""
    return {name: f"{name.partition(',')[0]}, SDK" for name in names if not name.endswith(", SDK")}


def _small(stack: ExitStack, endpoint: str, rounds: int, count: int) -> None:
    from file_keeper import make_storage
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage as sdk

    common = {"type": "gcs", "bucket": BUCKET, "endpoint": endpoint, "anonymous": True, "overwrite_existing": True}
    ours, through, crc = (
        stack.enter_context(make_storage("bench", {**common, **more}))
        for more in ({}, {"transport": "sdk"}, {"hashing_algorithm": "crc32c"})
    )
    client = sdk.Client("p", AnonymousCredentials(), client_options={"api_endpoint": endpoint})
    stack.callback(client.close)
    bucket = client.bucket(BUCKET)

    def put_sdk() -> None:
        bucket.blob("new/4k").upload_from_string(SMALL, checksum="crc32c", retry=None)

    tasks: dict[str, Callable[[], object]] = {
        "put 4 KiB, SDK": put_sdk,
        "put 4 KiB, http": lambda: ours.upload("new/4k", SMALL),
        "put 4 KiB, http and crc32c": lambda: crc.upload("new/4k", SMALL),
        "put 4 KiB, sdk": lambda: through.upload("new/4k", SMALL),
        "get 4 KiB, SDK": lambda: bucket.blob("4k").download_as_bytes(retry=None),
        "get 4 KiB, http": lambda: ours.content("4k"),
        "get 4 KiB, sdk": lambda: through.content("4k"),
        "analyze, SDK": lambda: bucket.blob("4k").reload(retry=None),
        "analyze, http": lambda: ours.analyze("4k"),
    }
    for task in tasks.values():
        task()
    for title, form in (("one thread", _times), ("16 threads", _by_threads)):
        measured = interleaved({name: form(task, count) for name, task in tasks.items()}, rounds)
        print(f"{title}, each:")
        each = {name: (cpu / count * 1e3, wall / count * 1e3) for name, (cpu, wall) in measured.items()}
        table(each, _against(list(each)), "ms")
    listed: dict[str, Callable[[], int]] = {
        "list, SDK": lambda: _count(client.list_blobs(BUCKET, prefix="list/")),
        "list, files": lambda: _count(ours.files(prefix="list/")),
        "list, scan": lambda: _count(ours.scan(prefix="list/")),
    }
    assert [task() for task in listed.values()] == [KEYS] * 3
    table(interleaved(listed, rounds), _against(list(listed)))
    for transport in ("sdk", "http"):
        took = statistics.median(_first(endpoint, transport) for _ in range(rounds))
        print(f"{'first file of a process, ' + transport:34} {took:8.3f}")


def _streams(stack: ExitStack, rounds: int, size: int) -> None:
    from file_keeper import make_storage
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage as sdk

    endpoint = _server(stack)
    common = {"type": "gcs", "bucket": BUCKET, "endpoint": endpoint, "anonymous": True, "overwrite_existing": True}
    ours = stack.enter_context(make_storage("bench", common))
    crc = stack.enter_context(make_storage("bench", {**common, "hashing_algorithm": "crc32c"}))
    client = sdk.Client("p", AnonymousCredentials(), client_options={"api_endpoint": endpoint})
    stack.callback(client.close)

    def upload_sdk() -> None:
        blob = client.bucket(BUCKET).blob("new/large", chunk_size=8 * MIB)
        blob.upload_from_file(io.BufferedReader(Stream(size)), checksum="crc32c", retry=None)

    title = f"stream {size // MIB} MiB"
    tasks: dict[str, Callable[[], object]] = {
        f"{title}, SDK": upload_sdk,
        f"{title}, crc32c": lambda: crc.upload("new/large", Stream(size)),
        f"{title}, md5": lambda: ours.upload("new/large", Stream(size)),
    }
    table(interleaved(tasks, rounds), _against(list(tasks)))


def main() -> None:
    size, rounds = int(os.environ.get("BENCH_MIB", "256")) * MIB, int(os.environ.get("BENCH_ROUNDS", "5"))
    count = int(os.environ.get("BENCH_COUNT", "500"))
    with ExitStack() as stack:
        sink = stack.enter_context(started())
        _small(stack, sink.url, rounds, count)
        _pages()
        _streams(stack, rounds, size)
        print(f"load of the machine: {os.getloadavg()[0]:.1f}; {rounds} rounds")


if __name__ == "__main__":
    main()
