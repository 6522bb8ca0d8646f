"""S3: puts and gets of 4 KiB by one thread and by sixteen, and a listing, next to boto3 and obstore on one sink.

python -m uv run --with obstore python scripts/bench s3_small
BENCH_COUNT=500 BENCH_RUNS=1 ...             less
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from _measure import interleaved
from _sink import CLIENT, Sink, started
from file_keeper import make_storage

BODY = bytes(4096)
KEYS = 100_000


def obstore_of(sink: Sink) -> tuple[dict[str, Callable[[], object]], dict[str, Callable[[], object]]]:
    """What obstore does on the same sink; nothing where it is not installed."""
    if importlib.util.find_spec("obstore") is None:
        return {}, {}
    peer: Any = importlib.import_module("obstore")
    store: Any = importlib.import_module("obstore.store").S3Store(
        "bench", endpoint=sink.url, access_key_id=CLIENT["key"], secret_access_key=CLIENT["secret"],
        region=CLIENT["region"], client_options={"allow_http": True}, virtual_hosted_style_request=False,
    )  # fmt: skip

    def listing() -> int:
        return sum(len(page) for page in peer.list(store, "list/", chunk_size=1000))

    return {
        "obstore put": lambda: peer.put(store, "new/4k", BODY, use_multipart=False),
        "obstore get": lambda: bytes(peer.get(store, "4k").bytes()),
        "obstore head": lambda: peer.head(store, "4k"),
    }, {"obstore": listing}


def main() -> None:
    count, runs = int(os.environ.get("BENCH_COUNT", "1000")), int(os.environ.get("BENCH_RUNS", "3"))
    with (
        started() as sink,
        make_storage("bench", sink.storage(max_concurrency=16)) as storage,
        make_storage("crc", sink.storage(max_concurrency=16, hashing_algorithm="crc32c")) as crc,
    ):
        boto: Any = sink.boto3()
        backend = storage.backend
        peers, list_peers = obstore_of(sink)
        try:
            one: dict[str, Callable[[], object]] = {
                "boto3 put_object": lambda: boto.put_object(Bucket="bench", Key="new/4k", Body=BODY),
                "upload, md5": lambda: storage.upload("new/4k", BODY),
                "upload, crc32c": lambda: crc.upload("new/4k", BODY),
                "boto3 get_object": lambda: boto.get_object(Bucket="bench", Key="4k")["Body"].read(),
                "content": lambda: storage.content("4k"),
                **peers,
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
            listings = {"boto3": list_boto, "files": list_ours, **list_peers}
            for name, (cpu, _) in interleaved(listings, runs).items():
                print(f"{name:24} {KEYS / cpu:8.0f}")
        finally:
            boto.close()


if __name__ == "__main__":
    main()
