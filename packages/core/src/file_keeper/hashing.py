"""Hashes under one name each: hashlib's fixed-length ones, and the CRCs that providers keep of whole objects."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Callable
from types import ModuleType
from typing import Protocol

from . import exc
from .types import Buffer

CRCS = {"crc32c": 4, "crc64nvme": 8}
"""The CRCs that are known, with their length in bytes. Their hex is big-endian."""


NAMES = frozenset(name for name in hashlib.algorithms_guaranteed if not name.startswith("shake")) | frozenset(CRCS)
"""The algorithms that every Python has: what a backend keeps that keeps any of them."""


class Hasher(Protocol):
    """What :func:`new` gives: hashlib's interface, as far as it is needed."""

    def update(self, data: Buffer, /) -> None: ...
    def digest(self) -> bytes: ...
    def hexdigest(self) -> str: ...


def _crt() -> ModuleType:
    """Import the CRCs when they are first wanted: they cost more than the rest of the library."""
    import awscrt.checksums  # pyright: ignore[reportMissingTypeStubs]

    return awscrt.checksums


class _Crc:
    """A CRC with hashlib's interface."""

    def __init__(self, algorithm: str):
        self._function: Callable[[Buffer, int], int] = getattr(_crt(), algorithm)
        self._length = CRCS[algorithm]
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._length, "big")

    def hexdigest(self) -> str:
        return self.digest().hex()


@functools.cache
def digest_size(algorithm: str) -> int:
    """Return the length in bytes of a digest; 0 for an algorithm that is unknown or has no fixed length."""
    if algorithm in CRCS:
        return CRCS[algorithm]
    if algorithm not in hashlib.algorithms_available:
        return 0  # OpenSSL knows them by other names too, but one algorithm has one name here
    try:
        return hashlib.new(algorithm, usedforsecurity=False).digest_size
    except (ValueError, TypeError):
        return 0


def new(algorithm: str) -> Hasher:
    """Begin a hash.

    :raises StorageDataError: for an algorithm that :func:`digest_size` does not know
    """
    if algorithm in CRCS:
        return _Crc(algorithm)
    if not digest_size(algorithm):
        raise exc.StorageDataError(
            f"unknown hashing algorithm {algorithm!r}: one of hashlib's with a fixed length, {' or '.join(CRCS)}"
        )
    return hashlib.new(algorithm, usedforsecurity=False)


def check(value: str, algorithm: str) -> str:
    """Return a declared hash in its one form, lower-case hex.

    :raises StorageDataError: when it cannot be a hash under `algorithm`
    """
    new(algorithm)
    if not is_hex(value, algorithm):
        raise exc.StorageDataError(f"{value!r} is not the hex of a hash under {algorithm!r}")
    return value.lower()


def is_hex(value: str, algorithm: str) -> bool:
    """Return whether a text can be the hex of a digest under `algorithm`."""
    size = digest_size(algorithm)
    return bool(size) and re.fullmatch(f"[0-9A-Fa-f]{{{2 * size}}}", value) is not None


def combine(algorithm: str, first: str, second: str, second_size: int) -> str:
    """Return the CRC of two contents one after the other, out of the CRC of each.

    :param second_size: bytes of the second content
    """
    function: Callable[[int, int, int], int] = getattr(_crt(), f"combine_{algorithm}")
    return function(int(first, 16), int(second, 16), second_size).to_bytes(CRCS[algorithm], "big").hex()


def to_base64(hexdigest: str) -> str:
    """Return the base64 of a digest, the form that HTTP headers carry."""
    return base64.b64encode(bytes.fromhex(hexdigest)).decode("ascii")


def from_base64(value: str, algorithm: str) -> str:
    """Return the hex of a digest in base64; ``""`` when it cannot be one under `algorithm`."""
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError:
        return ""
    return digest.hex() if len(digest) == digest_size(algorithm) else ""
