"""Azure: a stream of unknown length, time, CPU and memory, next to the SDK's upload_blob(max_concurrency=4).

    python -m uv run python scripts/bench azure_upload            against Azurite, which it starts
    BENCH_ENDPOINT=http://127.0.0.1:9100/devstoreaccount1 ...     against another server, such as a sink
    BENCH_MIB=256 BENCH_ROUNDS=1 ...                              less

Each contestant runs in a process of its own, in turns; the medians of the rounds are printed. Against Azurite the
server's own work, in JavaScript, is most of the wall time: CPU and memory are those of the client alone.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MIB = 1 << 20
KEY = base64.b64encode(b"a key for tests only").decode()
CONTENT = os.urandom(MIB)


def _stream(size: int) -> Iterator[bytes]:
    for _ in range(size // MIB):
        yield CONTENT


def _ours(algorithm: str) -> Callable[[str, str, int], None]:
    def run(endpoint: str, account: str, size: int) -> None:
        from file_keeper import make_storage

        settings = {
            "type": "azure",
            "bucket": "bench",
            "account_url": endpoint,
            "account_name": account,
            "account_key": KEY,
            "hashing_algorithm": algorithm,
            "overwrite_existing": True,
        }
        with make_storage("bench", settings) as storage:
            assert storage.upload("new/1g", _stream(size)).size == size

    return run


def _sdk(**options: Any) -> Callable[[str, str, int], None]:
    def run(endpoint: str, account: str, size: int) -> None:
        from azure.storage.blob import BlobServiceClient

        credential = {"account_name": account, "account_key": KEY}
        with BlobServiceClient(endpoint, credential=credential, max_block_size=8 * MIB) as client:
            blob = client.get_blob_client("bench", "new/1g")
            blob.upload_blob(_stream(size), overwrite=True, max_concurrency=4, **options)

    return run


CONTESTANTS = {
    "file-keeper, md5 (default)": _ours("md5"),
    "file-keeper, crc64nvme": _ours("crc64nvme"),
    "SDK, no checksum": _sdk(),
    "SDK, validate_content": _sdk(validate_content=True),
}
"""Ours has a checksum in each request that the service compares, and a hash of the whole."""


def _child(name: str, endpoint: str, account: str, size: int) -> None:
    run = CONTESTANTS[name]
    run(endpoint, account, 32 * MIB)  # imports, connections and buffers are not what is measured
    before, cpu, wall = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time(), time.perf_counter()
    run(endpoint, account, size)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps([wall, cpu, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024]))


def _contest(endpoint: str, account: str, size: int, rounds: int) -> None:
    results: dict[str, list[list[float]]] = {name: [] for name in CONTESTANTS}
    for _ in range(rounds):
        for name, found in results.items():
            command = [sys.executable, __file__, name, endpoint, account, str(size)]
            found.append(json.loads(subprocess.run(command, capture_output=True, check=True, timeout=900).stdout))
    medians = {name: [statistics.median(row) for row in zip(*found, strict=True)] for name, found in results.items()}
    sdk = medians["SDK, no checksum"]
    print(f"{size // MIB} MiB of unknown length, parts of 8 MiB, 4 at a time, {rounds} rounds")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    print(f"{'':28}{'wall s':>9}{'× SDK':>7}{'CPU s':>9}{'× SDK':>7}{'memory MiB':>12}")
    for name, (wall, cpu, growth) in medians.items():
        print(f"{name:28}{wall:9.2f}{wall / sdk[0]:7.2f}{cpu:9.2f}{cpu / sdk[1]:7.2f}{growth:12.0f}")


def main() -> None:
    if len(sys.argv) == 5:
        _child(*sys.argv[1:4], int(sys.argv[4]))
        return
    size, rounds = int(os.environ.get("BENCH_MIB", "1024")) * MIB, int(os.environ.get("BENCH_ROUNDS", "3"))
    endpoint = os.environ.get("BENCH_ENDPOINT", "")
    if endpoint:
        _contest(endpoint, endpoint.rstrip("/").rpartition("/")[2], size, rounds)
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
    from emulators import azure

    server = azure.start()
    try:
        with server.client() as client:
            client.create_container("bench")
        _contest(server.url, server.account_name, size, rounds)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
