"""Copies on the server: of one blob, of several into one, and with some bytes behind them.

Nothing of the target changes before the last request of each. The asynchronous Copy Blob is not used, as it replaces
the target before it has succeeded; ``docs/decisions/azure.md`` tells more.

https://learn.microsoft.com/rest/api/storageservices/copy-blob-from-url and .../put-block-from-url
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from azure.core.exceptions import AzureError, HttpResponseError
from file_keeper import exc
from file_keeper.backend import ObjectInfo, WriteOptions
from file_keeper.resilience.retry import Retry
from file_keeper.types import Buffer

from . import blocks
from .errors import code_of
from .headers import conditions, metadata_headers, quoted, written
from .signing import Signer
from .wire import Wire

SIGNED_SECONDS = 900
"""How long a signature lives that the service reads a source with; it is checked when reading begins."""

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Copier:
    """Makes blobs out of blobs.

    :param repeats: the core's policy, for each piece by itself: a copy of a thousand does not begin again for one
    :param piece: bytes that the service is asked to fetch at a time
    :param most: blocks that a blob can have
    :param concurrency: requests at a time
    """

    wire: Wire
    signer: Signer
    repeats: Retry
    piece: int
    most: int
    concurrency: int

    def whole(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        """Copy a blob of up to 256 MiB, with its type and headers, in one request that ends when it is done."""
        headers = {
            **self._source(source),
            "x-ms-requires-sync": "true",
            **metadata_headers(options.metadata),
            **conditions(options),
        }
        answer = self.wire.send("PUT", key, headers=headers)
        digests = {"md5": md5} if (md5 := source.digests.get("md5")) else {}
        return written(key, source.size, options, answer.headers, digests)

    def assemble(
        self, sources: Sequence[ObjectInfo], key: str, options: WriteOptions, tail: Buffer = b""
    ) -> ObjectInfo:
        """Make a blob out of others, and some bytes, by blocks that the service fetches itself.

        Another writer of the key makes the service drop the blocks: then all is begun again, under the same condition.
        """
        size = sum(source.size for source in sources) + memoryview(tail).nbytes
        for attempt in range(1, _ATTEMPTS + 1):
            names = self._stage(sources, key, tail)
            try:
                return blocks.commit(self.wire, key, names, size, options)
            except HttpResponseError as error:
                if code_of(error) != "InvalidBlockList" or attempt == _ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _source(self, source: ObjectInfo) -> dict[str, str]:
        """Give the headers that name a source, let the service read it, and pin its version."""
        address, headers = self.wire.address(source.key), dict[str, str]()
        if signature := self.wire.given_signature():
            address += f"?{signature}"
        elif token := self.signer.bearer():
            headers["x-ms-copy-source-authorization"] = f"Bearer {token}"
        elif self.signer.has_key:
            # The account's key, which a copy within one account is allowed by, is not enough for these requests.
            address += f"?{self.signer.signature(source.key, 'r', SIGNED_SECONDS)}"
        headers["x-ms-copy-source"] = address
        if source.etag:
            headers["x-ms-source-if-match"] = quoted(source.etag)
        return headers

    def _pieces(self, sources: Sequence[ObjectInfo]) -> list[tuple[ObjectInfo, int, int]]:
        total = sum(source.size for source in sources)
        # The last piece of each source is not full, and bytes behind them take one block more.
        step = max(self.piece, -(-total // max(1, self.most - len(sources) - 1)))
        return [
            (source, start, min(start + step, source.size))
            for source in sources
            for start in range(0, source.size, step)
        ]

    def _stage(self, sources: Sequence[ObjectInfo], key: str, tail: Buffer) -> list[str]:
        """Bring all blocks to where they can be committed from; give their ids in order."""
        upload, pieces = blocks.new_id(), self._pieces(sources)
        names = [blocks.block_id(upload, number) for number in range(len(pieces) + bool(tail))]
        if tail:
            blocks.stage(self.wire, key, names[-1], tail)
        if len(pieces) == 1:
            self._fetch(key, names[0], *pieces[0])
        elif pieces:
            with ThreadPoolExecutor(self.concurrency, "file-keeper-azure") as pool:
                sent = [pool.submit(self._fetch, key, name, *piece) for name, piece in zip(names, pieces, strict=False)]
                try:
                    for future in sent:
                        future.result()
                finally:
                    for future in sent:
                        future.cancel()
        return names

    def _fetch(self, key: str, name: str, source: ObjectInfo, start: int, end: int) -> None:
        """Have one piece fetched. :raises FilesError: after its repeats; not to be repeated as a whole"""

        def attempt() -> None:
            headers = {**self._source(source), "x-ms-source-range": f"bytes={start}-{end - 1}"}
            try:
                self.wire.send("PUT", key, {"comp": "block", "blockid": name}, headers)
            except AzureError as error:
                raise self.repeats.inner.translate(error) or error from error

        try:
            self.repeats.around("copy", key, attempt)
        except exc.FilesError as error:
            error.retryable = False
            raise
