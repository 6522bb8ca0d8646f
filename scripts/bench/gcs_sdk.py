"""GCS: small files, streams and listings, next to google-cloud-storage itself.

    python -m uv run python scripts/bench gcs_sdk              against the double of the tests, which it starts
    BENCH_ENDPOINT=http://127.0.0.1:9100 ...                   against another server, such as a sink
    BENCH_MIB=64 BENCH_ROUNDS=3 BENCH_KEYS=2000 ...            less

Processor time is the client's alone. Both sides have a checksum that the service compares; the SDK is used as its
documentation shows, with its repeats off. Ours also makes an md5 of the content, unless it says crc32c.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from _measure import interleaved, table

MIB = 1 << 20
CONTENT = os.urandom(MIB)
SMALL = CONTENT[:4096]
CALLS = 200
BUCKET = "bench"


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


def _times(call: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(CALLS):
            call()

    return run


def main() -> None:
    from file_keeper import make_storage
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage as sdk

    size, rounds = int(os.environ.get("BENCH_MIB", "256")) * MIB, int(os.environ.get("BENCH_ROUNDS", "5"))
    keys = int(os.environ.get("BENCH_KEYS", "10000"))
    with ExitStack() as stack:
        endpoint = os.environ.get("BENCH_ENDPOINT") or _server(stack)
        common = {"type": "gcs", "bucket": BUCKET, "endpoint": endpoint, "anonymous": True, "overwrite_existing": True}
        ours = stack.enter_context(make_storage("bench", common))
        crc = stack.enter_context(make_storage("bench", {**common, "hashing_algorithm": "crc32c"}))
        client = sdk.Client("p", AnonymousCredentials(), client_options={"api_endpoint": endpoint})
        stack.callback(client.close)
        bucket = client.bucket(BUCKET)

        def put_sdk() -> None:
            bucket.blob("new/4k").upload_from_string(SMALL, checksum="crc32c", retry=None)

        def upload_sdk() -> None:
            blob = bucket.blob("new/large", chunk_size=8 * MIB)
            blob.upload_from_file(io.BufferedReader(Stream(size)), checksum="crc32c", retry=None)

        def names_sdk() -> int:
            return sum(1 for _ in client.list_blobs(BUCKET, prefix="list/"))

        def count(items: Iterator[object]) -> int:
            return sum(1 for _ in items)

        ours.upload("4k", SMALL)
        small = {
            "put 4 KiB, SDK": _times(put_sdk),
            "put 4 KiB, file-keeper": _times(lambda: ours.upload("new/4k", SMALL, content_type="text/plain")),
            "get 4 KiB, SDK": _times(lambda: bucket.blob("4k").download_as_bytes(retry=None)),
            "get 4 KiB, file-keeper": _times(lambda: ours.content("4k")),
        }
        for task in small.values():
            task()
        found = {
            name: (cpu / CALLS * 1e3, wall / CALLS * 1e3) for name, (cpu, wall) in interleaved(small, rounds).items()
        }
        table(found, {"put 4 KiB, file-keeper": "put 4 KiB, SDK", "get 4 KiB, file-keeper": "get 4 KiB, SDK"}, "ms")
        large = {
            f"stream {size // MIB} MiB, SDK, crc32c": upload_sdk,
            f"stream {size // MIB} MiB, crc32c": lambda: crc.upload("new/large", Stream(size)),
            f"stream {size // MIB} MiB, md5": lambda: ours.upload("new/large", Stream(size)),
        }
        first = next(iter(large))
        table(interleaved(large, rounds), {name: first for name in large if name != first})
        if not os.environ.get("BENCH_ENDPOINT"):
            for number in range(keys):
                ours.upload(f"list/{number:08d}.bin", b"")
        listed = {
            "list, SDK": names_sdk,
            "list, files": lambda: count(ours.files(prefix="list/")),
            "list, scan": lambda: count(ours.scan(prefix="list/")),
        }
        table(interleaved(listed, rounds), {"list, files": "list, SDK", "list, scan": "list, SDK"})
        print(f"load of the machine: {os.getloadavg()[0]:.1f}; {keys} keys listed, {rounds} rounds")


if __name__ == "__main__":
    main()
