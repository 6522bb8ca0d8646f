"""Copies on the server: of one blob, of several into one, and with some bytes behind them.

Nothing of the target changes before the last request of each. The asynchronous Copy Blob is not asked for, as it
replaces the target before it has succeeded; ``docs/decisions/azure.md`` tells more. A service that does it all the same
is waited for.

https://learn.microsoft.com/rest/api/storageservices/copy-blob-from-url and .../put-block-from-url
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from file_keeper import exc
from file_keeper.backend import ObjectInfo, Workers, WriteOptions, redact
from file_keeper.resilience.retry import Retry
from file_keeper.types import Buffer

from . import blocks
from .answers import ABORT_COPY, COPY_BLOB, DELETE_BLOB, FETCH_BLOCK, GET_PROPERTIES
from .errors import RefusedError
from .headers import conditions, metadata_headers, quoted, written
from .listing import COPIED
from .signing import Signer
from .transport import Wire

SIGNED_SECONDS = 900
"""How long a signature lives that the service reads a source with; it is checked when reading begins."""

_ATTEMPTS = 3

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Copier:
    """Makes blobs out of blobs.

    :param repeats: the core's policy, for each piece by itself: a copy of a thousand does not begin again for one
    :param piece: bytes that the service is asked to fetch at a time
    :param most: blocks that a blob can have
    :param concurrency: requests at a time
    :param timeout: seconds to wait for a copy that the service makes in the background
    """

    wire: Wire
    signer: Signer
    repeats: Retry
    piece: int
    most: int
    concurrency: int
    timeout: float

    def whole(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        """Copy a blob of up to 256 MiB, with its type and headers, in one request that ends when it is done."""
        headers = {
            **self._source(source),
            "x-ms-requires-sync": "true",
            **metadata_headers(options.metadata),
            **conditions(options),
        }
        try:
            answered = self.wire.send(COPY_BLOB, key, headers=headers).headers
        except RefusedError as error:
            if error.status not in (409, 412) or (answered := self._own(key, options)) is None:
                raise
        if answered["x-ms-copy-status"] != COPIED:
            # Nothing but the copies that are known to be done at once are asked for from now on.
            self.wire.copies_at_once = False
            answered = self._finished(key, answered)
        digests = {"md5": md5} if (md5 := source.digests.get("md5")) else {}
        return written(key, source.size, options, answered, digests)

    def _own(self, key: str, options: WriteOptions) -> Headers | None:
        """Return what is told of a copy of this very call that is not done, the answer to whose beginning was lost."""
        token = options.metadata.get("fk_token", "")
        try:
            found = self.wire.send(GET_PROPERTIES, key).headers
        except RefusedError:
            return None
        unfinished = found.get("x-ms-copy-status", COPIED) != COPIED
        return found if unfinished and token and found.get("x-ms-meta-fk_token") == token else None

    def _finished(self, key: str, begun: Headers) -> Headers:
        """Wait for a copy that the service makes in the background, although it was not asked to.

        :raises StorageError: the copy failed; the blob without content that it leaves is removed
        :raises TimeoutError: it took too long, and is aborted
        """
        until, pause = time.monotonic() + self.timeout, 0.05
        copy_id, now = begun.get("x-ms-copy-id", ""), begun
        try:
            while now.get("x-ms-copy-status") == "pending" and time.monotonic() < until:
                time.sleep(pause)
                pause = min(2 * pause, 5.0)
                now = self._state(key, copy_id)
        except BaseException:
            # An answer that was lost, or an interrupt: the copy would go on without anybody who knows of it.
            with suppress(RefusedError, exc.FilesError):
                self._withdraw(key, copy_id)
            raise
        if now.get("x-ms-copy-status") == COPIED:
            return now
        last = self._withdraw(key, copy_id)
        if last.get("x-ms-copy-status") == COPIED:
            return last
        if now.get("x-ms-copy-status") == "pending":
            raise exc.TimeoutError(f"the service did not copy within {self.timeout:g} s; the copy is aborted")
        why = now.get("x-ms-copy-status-description", "") or f"its status is {now.get('x-ms-copy-status')!r}"
        raise exc.StorageError(f"the service could not copy: {redact(why)}; nothing is left of the copy")

    def _state(self, key: str, copy_id: str) -> Headers:
        """Return what is told of the target. :raises ChangedFileError: another writer replaced it"""
        found = self.wire.send(GET_PROPERTIES, key).headers
        if found.get("x-ms-copy-id", "") != copy_id:
            raise exc.ChangedFileError("another writer replaced the target while the service was still copying")
        return found

    def _withdraw(self, key: str, copy_id: str) -> Headers:
        """End a copy and remove what it left, unless it is done after all; return what was told of the target last."""
        try:
            self.wire.send(ABORT_COPY, key, {"copyid": copy_id}, {"x-ms-copy-action": "abort"})
        except RefusedError as error:
            if error.code != "NoPendingCopyOperation":
                raise
        last = self._state(key, copy_id)
        if last.get("x-ms-copy-status") != COPIED:
            self.wire.send(DELETE_BLOB, key, headers={"If-Match": last["etag"]})
        return last

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
            except RefusedError as error:
                if error.code != "InvalidBlockList" or attempt == _ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _source(self, source: ObjectInfo) -> dict[str, str]:
        """Return the headers that name a source, let the service read it, and pin its version."""
        address, headers = self.wire.address(source.key, self._base(source)), dict[str, str]()
        if signature := self.wire.sender.right.signature():
            address += f"?{signature}"
        elif token := self.signer.bearer():
            headers["x-ms-copy-source-authorization"] = f"Bearer {token}"
        elif self.signer.has_key:
            # The account's key, which a copy within one account is allowed by, is not enough for these requests.
            address += f"?{self.signer.signature(source.key, 'r', SIGNED_SECONDS, container=source.bucket)}"
        headers["x-ms-copy-source"] = address
        if source.etag:
            headers["x-ms-source-if-match"] = quoted(source.etag)
        return headers

    def _base(self, source: ObjectInfo) -> str:
        """Return the address of the container of a source."""
        own = self.wire.base
        return f"{own[: own.rfind('/')]}/{quote(source.bucket)}" if source.bucket else own

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
        """Bring all blocks to where they can be committed from; return their ids in order."""
        upload, pieces = blocks.new_id(), self._pieces(sources)
        names = [blocks.block_id(upload, number) for number in range(len(pieces) + bool(tail))]
        if tail:
            blocks.stage(self.wire, key, names[-1], tail)
        if len(pieces) == 1:
            self._fetch(key, names[0], *pieces[0])
        elif pieces:
            with Workers(self.concurrency, "file-keeper-azure") as pool:
                pool.map(lambda one: self._fetch(key, one[0], *one[1]), zip(names, pieces, strict=False))
        return names

    def _fetch(self, key: str, name: str, source: ObjectInfo, start: int, end: int) -> None:
        """Have one piece fetched. :raises FilesError: after its repeats; not to be repeated as a whole"""

        def attempt() -> None:
            headers = {**self._source(source), "x-ms-source-range": f"bytes={start}-{end - 1}"}
            try:
                self.wire.send(FETCH_BLOCK, key, {"blockid": name}, headers)
            except RefusedError as error:
                raise self.repeats.inner.translate(error) or error from error

        try:
            self.repeats.around("copy", key, attempt)
        except exc.FilesError as error:
            error.retryable = False
            raise
