"""S3: puts and gets of 4 KiB by one thread and by sixteen, and a listing, next to boto3 on one sink.

python -m uv run python scripts/bench s3_small
BENCH_COUNT=500 BENCH_RUNS=1 ...             less
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from _measure import interleaved
from _sink import started
from file_keeper import make_storage

BODY = bytes(4096)
KEYS = 100_000


def main() -> None:
    count, runs = int(os.environ.get("BENCH_COUNT", "1000")), int(os.environ.get("BENCH_RUNS", "3"))
    with (
        started() as sink,
        make_storage("bench", sink.storage(max_concurrency=16)) as storage,
        make_storage("crc", sink.storage(max_concurrency=16, hashing_algorithm="crc32c")) as crc,
    ):
        boto: Any = sink.boto3()
        backend = storage.backend
        try:
            one: dict[str, Callable[[], object]] = {
                "boto3 put_object": lambda: boto.put_object(Bucket="bench", Key="new/4k", Body=BODY),
                "upload, md5": lambda: storage.upload("new/4k", BODY),
                "upload, crc32c": lambda: crc.upload("new/4k", BODY),
                "boto3 get_object": lambda: boto.get_object(Bucket="bench", Key="4k")["Body"].read(),
                "content": lambda: storage.content("4k"),
                "boto3 head_object": lambda: boto.head_object(Bucket="bench", Key="4k"),
                "analyze": lambda: storage.analyze("4k"),
                "backend.head": lambda: backend.head("4k"),
            }

            def repeated(call: Callable[[], object]) -> Callable[[], object]:
                return lambda: [call() for _ in range(count)]

            def threaded(call: Callable[[], object]) -> Callable[[], object]:
                def run() -> None:
                    with ThreadPoolExecutor(16) as pool:
                        list(pool.map(lambda _: call(), range(count)))

                return run

            for title, form in (("one thread", repeated), ("16 threads", threaded)):
                for call in one.values():
                    call()
                measured = interleaved({name: form(call) for name, call in one.items()}, runs)
                print(f"{title}: us of CPU each, operations a second")
                for name, (cpu, wall) in measured.items():
                    print(f"{name:24} {cpu / count * 1e6:8.0f} {count / wall:8.0f}")

            def list_boto() -> int:
                pages = boto.get_paginator("list_objects_v2").paginate(Bucket="bench", Prefix="list/")
                return sum(len(page["Contents"]) for page in pages)

            def list_ours() -> int:
                return sum(1 for _ in storage.files(prefix="list/"))

            assert list_boto() == list_ours() == KEYS
            print("listing: keys a second of CPU")
            for name, (cpu, _) in interleaved({"boto3": list_boto, "files": list_ours}, runs).items():
                print(f"{name:24} {KEYS / cpu:8.0f}")
        finally:
            boto.close()


if __name__ == "__main__":
    main()
