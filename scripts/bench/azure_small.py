"""Azure: puts and gets of 4 KiB by one thread and by sixteen, and a listing, next to the SDK on one sink.

python -m uv run python scripts/bench azure_small
BENCH_COUNT=500 BENCH_RUNS=1 ...             less
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from _measure import interleaved
from _sink import started
from azure.storage.blob import BlobServiceClient
from file_keeper import make_storage

BODY = bytes(4096)
KEYS = 100_000
ACCOUNT = "devstoreaccount1"
KEY = base64.b64encode(b"a key for tests only").decode()


def main() -> None:
    count, runs = int(os.environ.get("BENCH_COUNT", "1000")), int(os.environ.get("BENCH_RUNS", "3"))
    with started() as sink:
        url = f"{sink.url}/{ACCOUNT}"
        settings = {
            "type": "azure",
            "bucket": "bench",
            "account_url": url,
            "account_name": ACCOUNT,
            "account_key": KEY,
            "overwrite_existing": True,
            "max_concurrency": 16,
        }
        with (
            make_storage("bench", settings) as storage,
            make_storage("crc", {**settings, "hashing_algorithm": "crc64nvme"}) as crc,
            make_storage("sdk", {**settings, "transport": "sdk"}) as by_sdk,
            BlobServiceClient(url, credential={"account_name": ACCOUNT, "account_key": KEY}) as service,
        ):
            container: Any = service.get_container_client("bench")
            backend = storage.backend
            one: dict[str, Callable[[], object]] = {
                "SDK upload_blob": lambda: container.upload_blob("new/4k", BODY, overwrite=True),
                "upload, md5": lambda: storage.upload("new/4k", BODY),
                "upload, crc64nvme": lambda: crc.upload("new/4k", BODY),
                "upload by the pipeline": lambda: by_sdk.upload("new/4k", BODY),
                "SDK download_blob": lambda: container.download_blob("4k").readall(),
                "content": lambda: storage.content("4k"),
                "content by the pipeline": lambda: by_sdk.content("4k"),
                "SDK properties": lambda: container.get_blob_client("4k").get_blob_properties(),
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
                print(f"{title}: us of CPU each, of the SDK's, operations a second")
                sdk = 1.0
                for name, (cpu, wall) in measured.items():
                    sdk = cpu if name.startswith("SDK") else sdk
                    print(f"{name:26} {cpu / count * 1e6:8.0f} {cpu / sdk:6.2f} {count / wall:8.0f}")

            lists: dict[str, Callable[[], int]] = {
                "SDK list_blobs": lambda: sum(1 for _ in container.list_blobs(name_starts_with="list/")),
                "SDK list_blob_names": lambda: sum(1 for _ in container.list_blob_names(name_starts_with="list/")),
                "files": lambda: sum(1 for _ in storage.files(prefix="list/")),
                "scan": lambda: sum(1 for _ in storage.scan(prefix="list/")),
                "backend.list": lambda: sum(len(page.keys) for page in backend.list("list/")),
            }
            assert {name: call() for name, call in lists.items()} == dict.fromkeys(lists, KEYS)
            print("listing: keys a second of CPU, and CPU of list_blobs'")
            measured = interleaved(lists, runs)
            for name, (cpu, _) in measured.items():
                print(f"{name:26} {KEYS / cpu:8.0f} {cpu / measured['SDK list_blobs'][0]:6.3f}")


if __name__ == "__main__":
    main()
