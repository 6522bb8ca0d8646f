"""The checksums of S3 and the aws-chunked coding that carries them.

Amazon S3 User Guide, "Checking object integrity".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Iterator

from awscrt import checksums

from .http1 import Headers

Digest = dict[str, bytes]

CRCS: dict[str, tuple[int, Callable[[bytes, int], int], Callable[[int, int, int], int]]] = {
    "crc32": (4, checksums.crc32, checksums.combine_crc32),
    "crc32c": (4, checksums.crc32c, checksums.combine_crc32c),
    "crc64nvme": (8, checksums.crc64nvme, checksums.combine_crc64nvme),
}
HASHES = ("md5", "sha1", "sha256")
ALGORITHMS = (*CRCS, "sha1", "sha256")


class Digests:
    """Every checksum of one stream of bytes, and their number."""

    def __init__(self) -> None:
        self.size = 0
        self._crcs = dict.fromkeys(CRCS, 0)
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in HASHES}

    def update(self, data: bytes) -> None:
        self.size += len(data)
        for name, (_, crc, _) in CRCS.items():
            self._crcs[name] = crc(data, self._crcs[name])
        for one in self._hashes.values():
            one.update(data)

    def result(self) -> Digest:
        crcs = {name: value.to_bytes(CRCS[name][0], "big") for name, value in self._crcs.items()}
        return {**crcs, **{name: one.digest() for name, one in self._hashes.items()}}


def full_object(algorithm: str, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The checksum of the whole object out of those of its parts and their sizes; only CRCs allow it."""
    width, _, combine = CRCS[algorithm]
    value = 0
    for checksum, size in parts:
        value = combine(value, int.from_bytes(checksum, "big"), size)
    return value.to_bytes(width, "big")


def composite(algorithm: str, parts: Iterable[bytes]) -> bytes:
    """The checksum of the concatenated checksums of the parts."""
    digests = Digests()
    digests.update(b"".join(parts))
    return digests.result()[algorithm]


def decoded(value: str, algorithm: str) -> bytes | None:
    """The bytes of a base64 checksum; `None` when it is not one of this algorithm."""
    try:
        data = base64.b64decode(value, validate=True)
    except binascii.Error:
        return None
    width = CRCS[algorithm][0] if algorithm in CRCS else hashlib.new(algorithm, usedforsecurity=False).digest_size
    return data if len(data) == width else None


def encoded(checksum: bytes) -> str:
    return base64.b64encode(checksum).decode()


class ChunkError(Exception):
    """The body is not what its `aws-chunked` coding promised."""


def read_aws_chunked(chunks: Iterable[bytes], trailers: Headers) -> Iterator[bytes]:
    """The content inside `aws-chunked` ("Signature calculations: transferring payload in multiple chunks").

    Chunk signatures are not verified: no client here sends them. Trailer lines go to `trailers`.
    """
    source = iter(chunks)
    buffer = b""

    def line() -> bytes:
        nonlocal buffer
        while b"\r\n" not in buffer:
            data = next(source, b"")
            if not data or len(buffer) > 65536:
                raise ChunkError("the coding ends early")
            buffer += data
        found, _, buffer = buffer.partition(b"\r\n")
        return found

    while True:
        try:
            left = int(line().partition(b";")[0], 16)
        except ValueError:
            raise ChunkError("a chunk without its size") from None
        if not left:
            break
        while left:
            if not buffer:
                buffer = next(source, b"")
                if not buffer:
                    raise ChunkError("a chunk ends early")
            data, buffer = buffer[:left], buffer[left:]
            left -= len(data)
            yield data
        if line():
            raise ChunkError("a chunk is longer than its size")
    while text := line():
        name, _, value = text.decode("latin-1").partition(":")
        trailers.append((name.strip(), value.strip()))
