"""What is measured: the method of a peer, how often in one run, by how many threads, and our bars."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Task:
    """One row of the table.

    :param times: calls in one run, ``None``: as many as there are small files
    :param divide: items that one call stands for, ``None``: as many as there are small files
    :param unit: of the CPU that is printed: "s" or "us"
    :param bars: the most that our CPU may be of a peer's: ratio by peer
    :param rates: the least that our rate (by the clock) may be of a peer's
    :param ours: which of ours the bars are for
    """

    service: str
    title: str
    method: str
    times: int | None = 1
    threads: int = 1
    divide: int | None = 1
    unit: str = "s"
    bars: dict[str, float] = field(default_factory=lambda: {})
    rates: dict[str, float] = field(default_factory=lambda: {})
    ours: str = "file-keeper"


def _small(service: str, put: dict[str, float], get: dict[str, float]) -> list[Task]:
    return [
        Task(service, "put 4 KiB", "put", None, unit="us", bars=put),
        Task(service, "get 4 KiB", "get", None, unit="us", bars=get),
        Task(service, "head", "head", None, unit="us"),
    ]


TASKS = [
    *_small("s3", {"obstore": 1.5, "boto3": 1 / 6}, {"obstore": 1.0}),
    Task("s3", "put 4 KiB, 16 threads", "put", None, 16, unit="us", rates={"obstore": 0.7, "boto3": 10}),
    Task("s3", "get 4 KiB, 16 threads", "get", None, 16, unit="us", rates={"obstore": 0.7, "boto3": 10}),
    Task("s3", "list 100,000 keys", "list", bars={"obstore": 1.3, "boto3": 1 / 15}),
    Task("s3", "many puts of 4 KiB", "put_many", divide=None, unit="us", rates={"obstore": 0.7}),
    Task("s3", "upload a file, crc32c", "upload_file", bars={"floor": 1.5, "obstore": 0.5}, ours="file-keeper, crc32c"),
    Task("s3", "upload a file, md5", "upload_file", bars={"floor, md5": 1.15}),
    Task("s3", "upload a stream", "upload_stream", ours="file-keeper, crc32c"),
    Task("s3", "download", "download", bars={"obstore": 0.8, "opendal": 0.8}),
    *_small("gcs", {"google-cloud-storage": 0.3}, {"google-cloud-storage": 0.3}),
    Task("gcs", "list 100,000 keys", "list", bars={"google-cloud-storage": 0.8}),
    Task("gcs", "upload a file", "upload_file", ours="file-keeper, crc32c"),
    Task("gcs", "download", "download"),
    *_small("azure", {"azure-storage-blob": 0.3}, {"azure-storage-blob": 0.3}),
    Task("azure", "list 100,000 keys", "list", bars={"azure-storage-blob": 0.05}),
    Task("azure", "upload a file", "upload_file", ours="file-keeper, crc32c"),
    Task("azure", "download", "download"),
    Task("fs", "copy a large file, md5", "copy", bars={"floor, md5": 1.1}),
    Task("fs", "copy a large file, crc32c", "copy", bars={"shutil": 1.4}, ours="file-keeper, crc32c"),
    Task("fs", "write 4 KiB", "put", None, unit="us"),
    Task("fs", "read 4 KiB", "get", None, unit="us"),
    Task("fs", "scan 100,000 files", "walk", bars={"floor": 1.3}),
]
