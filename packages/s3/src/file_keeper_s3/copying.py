"""Copies of any size, and objects made of others, by parts that never leave the service."""

# botocore ships no types: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from file_keeper import exc
from file_keeper.backend import Backend, NotModifiedInPlace, ObjectInfo
from file_keeper.resilience.retry import Retry

MiB = 1 << 20
GiB = 1 << 30

COPY_MAX = 5 * GiB
"""Largest object of one CopyObject; what is larger is copied in parts."""

COPY_PART = 256 * MiB
"""Bytes of one copied part: large for few requests, small enough for several at a time."""

PART_MIN = 5 * MiB
PARTS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of an object, both ends included, that becomes a part; without a range the whole object."""

    source: ObjectInfo
    start: int
    end: int


def pieces(source: ObjectInfo, size: int) -> Iterator[Piece]:
    """Cut an object into pieces of nearly one size, about `size` and no smaller than :data:`PART_MIN`."""
    count = max(1, min(-(-source.size // size), source.size // PART_MIN))
    start = 0
    for number in range(count):
        end = source.size * (number + 1) // count
        yield Piece(source, start, end - 1)
        start = end


def plan(sources: Sequence[ObjectInfo], *, tail: int = 0) -> list[Piece]:
    """Cut sources into the parts of one object.

    :param tail: parts that follow them
    :raises NotModifiedInPlace: when one is too small to be a part that is not the last, or there are too many
    """
    sources = [source for source in sources if source.size]
    room = PARTS_MAX - tail - max(0, len(sources) - 1)  # each source may end in a piece that is not full
    last = len(sources) - (0 if tail else 1)
    if not sources or room <= 0 or any(source.size < PART_MIN for source in sources[:last]):
        raise NotModifiedInPlace(f"S3 makes no object of parts under {PART_MIN} bytes, nor of over {PARTS_MAX}")
    size = max(PART_MIN, min(COPY_PART, COPY_MAX), -(-sum(source.size for source in sources) // room))
    return [piece for source in sources for piece in pieces(source, size)]


def send_pieces(
    backend: Backend[Any], copy: Callable[[int, Piece], dict[str, Any]], found: list[Piece], concurrency: int
) -> list[dict[str, Any]]:
    """Copy pieces as parts, several at a time, each repeated by itself.

    :param copy: copies one piece as the part of a number, and gives how the part is named at completion
    :raises FilesError: what a part failed with after its repeats: not to be repeated as a whole
    """
    repeats = Retry(backend)

    def one(number: int, piece: Piece) -> dict[str, Any]:
        def attempt() -> dict[str, Any]:
            try:
                return copy(number, piece)
            except exc.FilesError:
                raise
            except Exception as error:
                ours = backend.translate(error)
                if ours is None:
                    raise
                raise ours from error

        try:
            return repeats.around("copy", piece.source.key, attempt)
        except exc.FilesError as error:
            error.retryable = False
            raise

    with ThreadPoolExecutor(concurrency, thread_name_prefix="file-keeper-s3") as pool:
        futures = [pool.submit(one, number, piece) for number, piece in enumerate(found, 1)]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise
