"""S3: 1 GiB up and down, over HTTP and TLS, next to boto3 on one sink.

python -m uv run python scripts/bench s3_large
BENCH_MIB=256 BENCH_RUNS=1 ...               less
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from typing import Any

from _measure import interleaved, table
from _sink import Sink, started
from file_keeper import make_storage

MiB = 1 << 20


class Nowhere(io.RawIOBase):
    """Takes everything."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return len(data)


def _stream(size: int) -> Iterator[bytes]:
    piece = bytes(MiB)
    for _ in range(size // MiB):
        yield piece


def _read(stream: Any) -> None:
    target = memoryview(bytearray(MiB))
    while stream.readinto(target):
        pass


def _tasks(sink: Sink, size: int, tls: bool, stack: list[Any]) -> dict[str, Callable[[], object]]:
    source = sink.data / ("1g.bin" if size == 1 << 30 else "256m.bin")
    boto: Any = sink.boto3(tls=tls)
    stack.append(boto)

    def storage(algorithm: str, **more: Any) -> Any:
        # Over TLS nothing but a checksum of ours covers the body: it is the endpoint's word that it verifies it.
        made = make_storage("bench", sink.storage(tls=tls, hashing_algorithm=algorithm, checksums="always", **more))
        stack.append(made)
        return made

    crc, md5 = storage("crc32c"), storage("md5")
    key = source.name

    def upload_fileobj() -> None:
        with open(source, "rb") as file:
            boto.upload_fileobj(file, "bench", "new/1g")

    def put_object() -> None:
        with open(source, "rb") as file:
            boto.put_object(Bucket="bench", Key="new/1g", Body=file)

    def get_object() -> None:
        _read(boto.get_object(Bucket="bench", Key=key)["Body"])

    def hash_alone() -> None:
        hasher = hashlib.md5(usedforsecurity=False)
        for piece in _stream(size):
            hasher.update(piece)

    def down() -> None:
        with crc.stream(key) as stream:
            _read(stream)

    return {
        "boto3 upload_fileobj": upload_fileobj,
        "boto3 put_object": put_object,
        "upload a file, crc32c": lambda: crc.upload("new/1g", source),
        "upload a stream, crc32c": lambda: crc.upload("new/1g", _stream(size)),
        "md5 alone": hash_alone,
        "upload a stream, md5": lambda: md5.upload("new/1g", _stream(size)),
        "upload a file, md5": lambda: md5.upload("new/1g", source),
        "boto3 get_object": get_object,
        "boto3 download_fileobj": lambda: boto.download_fileobj("bench", key, Nowhere()),
        "stream": down,
    }


AGAINST = {
    "boto3 put_object": "boto3 upload_fileobj",
    "upload a file, crc32c": "boto3 upload_fileobj",
    "upload a stream, crc32c": "boto3 upload_fileobj",
    "upload a stream, md5": "boto3 upload_fileobj",
    "upload a file, md5": "boto3 upload_fileobj",
    "boto3 download_fileobj": "boto3 get_object",
    "stream": "boto3 get_object",
}


def main() -> None:
    size, runs = int(os.environ.get("BENCH_MIB", "1024")) * MiB, int(os.environ.get("BENCH_RUNS", "3"))
    size = 1 << 30 if size >= 1 << 30 else 256 * MiB
    with started() as sink:
        for tls in (False, True):
            print(f"{size // MiB} MiB over {'TLS' if tls else 'HTTP'}: seconds of CPU and of wall, ratios of both")
            stack: list[Any] = []
            try:
                table(interleaved(_tasks(sink, size, tls, stack), runs), AGAINST)
            finally:
                for one in stack:
                    one.close()


if __name__ == "__main__":
    main()
