"""The bytes of objects: in memory while small, in a temporary file when large, shared by copies and compositions."""

from __future__ import annotations

import base64
import hashlib
import tempfile
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import google_crc32c

CHUNK = 256 * 1024


class Spool:
    """An append-only run of bytes. Past `limit` it lives in an unnamed temporary file.

    With `discard` nothing is kept but the length, and zeros are read back: for measuring clients, where storing
    would be the bottleneck.
    """

    def __init__(self, limit: int, *, discard: bool = False) -> None:
        self.size = 0
        self.discard = discard
        self._limit = limit
        self._memory: bytearray | None = bytearray()
        self._file = None
        self._lock = threading.Lock()

    def append(self, data: bytes | memoryview) -> None:
        with self._lock:
            self.size += len(data)
            if self.discard:
                return
            if self._memory is not None and self.size > self._limit:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it lives as long as this
                # Closed with its last reader, not by the garbage collector's warning.
                weakref.finalize(self, self._file.close)
                self._file.write(self._memory)
                self._memory = None
            if self._memory is not None:
                self._memory += data
            else:
                assert self._file is not None
                self._file.seek(0, 2)
                view = memoryview(data)
                while view:
                    view = view[self._file.write(view) :]

    def read(self, start: int, length: int) -> bytes:
        if self.discard:
            return bytes(length)
        with self._lock:
            if self._memory is not None:
                return bytes(self._memory[start : start + length])
            assert self._file is not None
            self._file.seek(start)
            return self._file.read(length)


class Piece(NamedTuple):
    spool: Spool
    start: int
    length: int


@dataclass(frozen=True)
class Content:
    """Immutable bytes made of pieces of spools, so that compose and copy move nothing."""

    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        return sum(piece.length for piece in self.pieces)

    @property
    def discarded(self) -> bool:
        return any(piece.spool.discard for piece in self.pieces)

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        stop = self.size if end is None else end
        offset = 0
        for spool, first, length in self.pieces:
            low, high = max(start - offset, 0), min(stop - offset, length)
            while low < high:
                chunk = spool.read(first + low, min(CHUNK, high - low))
                yield chunk
                low += len(chunk)
            offset += length

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        return b"".join(self.chunks(start, end))

    def flipped(self, at: int, mask: int, limit: int) -> Content:
        """The same with the bits of `mask` inverted in the byte at `at`; other holders of these pieces keep theirs."""
        spool = Spool(limit)
        done = 0
        for chunk in self.chunks():
            if done <= at < done + len(chunk):
                changed = bytearray(chunk)
                changed[at - done] ^= mask
                chunk = bytes(changed)
            spool.append(chunk)
            done += len(chunk)
        return Content((Piece(spool, 0, spool.size),))


class Writer:
    """Takes bytes in, and knows their length, md5 and crc32c at any time."""

    def __init__(self, limit: int, *, discard: bool = False) -> None:
        self._spool = Spool(limit, discard=discard)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc = 0

    @property
    def size(self) -> int:
        return self._spool.size

    def write(self, data: bytes) -> None:
        if data:
            self._spool.append(data)
            self._md5.update(data)
            self._crc = google_crc32c.extend(self._crc, data)

    @property
    def md5(self) -> str:
        return base64.b64encode(self._md5.digest()).decode()

    @property
    def crc32c(self) -> int:
        return self._crc

    def content(self) -> Content:
        return Content((Piece(self._spool, 0, self._spool.size),))


def crc_text(value: int) -> str:
    """Base64 of the big-endian checksum (reference: "Objects", property `crc32c`)."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()


# Polynomial of CRC-32C, bit-reflected; the CRC of a concatenation follows from those of its parts, which is how
# Google makes the crc32c of a composite object ("Composite objects", Integrity checking).
_POLYNOMIAL = 0x82F63B78


def _multiply(a: int, b: int) -> int:
    """Product of two reflected polynomials modulo the CRC's."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return product


def crc_combine(first: int, second: int, second_length: int) -> int:
    """The crc32c of A + B from those of A and B and the length of B."""
    power, square = 1 << 31, 1 << 23  # x^0, and x^8: one byte further
    while second_length:
        if second_length & 1:
            power = _multiply(power, square)
        square = _multiply(square, square)
        second_length >>= 1
    return _multiply(power, first) ^ second
