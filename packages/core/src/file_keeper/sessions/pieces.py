"""Uploads in pieces that follow one another, each sent by whatever process comes next.

Of several calls that go on from one state exactly one is told that its piece is stored: the ledger of the upload
decides it, whatever becomes of the processes. There are two ways, as there are two kinds of providers:

* **Parts.** A call takes a part number that nobody else gets (``number-N``), sends the part, and then enters it as the
  one at its offset (``at-OFFSET``). Who comes second has sent a part that no chain holds. A call that dies anywhere
  holds back nobody.
* **Native sessions.** What was sent cannot be taken back, so the offset is taken first (``at-OFFSET.ATTEMPT``). A call
  that died there leaves its entry; a refresh counts it, and the next attempt is another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from .. import exc, hashing
from ..backend import MultipartRef, ObjectInfo, Part
from ..backend.contract import RESUMABLE_MULTIPLE
from ..data import FileData
from ..intake import SourceReader, part_sizes
from ..transfer import UploadRequest, send_piece
from ..upload import Upload
from .base import Session, type_of
from .ledger import Ledger
from .state import State, damage

_SUM = "crc32c"
"""What the bytes of a native session are summed up by, from piece to piece."""


class PieceUploads(Session):
    """The verbs ``resumable_*``."""

    def resumable_start(self, location: str, size: int, plan: UploadRequest) -> FileData:
        backend = self._backend
        native = backend.limits.put_digests if self._native else frozenset[str]()
        data, key = self._begin(location, size, plan, native=native)
        state = data.storage_data
        state["resumable"] = True
        options = self._options(data, state, publish=self._native and "scratch" not in state)
        start = backend.resumable_start if self._native else backend.multipart_create
        part_size = next(iter(part_sizes(backend.limits, self._settings.part_size, size)))
        state |= {
            "upload_id": start(key, options),
            "part_size": -(-part_size // RESUMABLE_MULTIPLE) * RESUMABLE_MULTIPLE,
        }
        if not self._native:
            state["parts"] = []
        return data

    def resumable_resume(self, data: FileData, upload: Upload) -> FileData:
        state = self._state(data, "resumable")
        ref = self._ref(data, state)
        offset = int(state["uploaded"])
        if upload.size is None:
            import tempfile

            with tempfile.SpooledTemporaryFile(self._settings.part_size) as spool:
                self._spool(upload, spool, data.size - offset)
                return self._resume(data, state, ref, Upload(spool, size=spool.tell() - spool.seek(0)))
        return self._resume(data, state, ref, upload)

    def _spool(self, upload: Upload, spool: Any, room: int) -> None:
        """Keep a piece of unknown size aside: its size must be known before anything is sent."""
        upload.rewind()
        chunk = memoryview(bytearray(1 << 20))
        total = 0
        try:
            while count := upload.read_into(chunk):
                total += count
                if total > room:
                    raise exc.UploadOutOfBoundError(f"more bytes are given than the {room} that were still to come")
                spool.write(chunk[:count])
        finally:
            upload.release()

    def _resume(self, data: FileData, state: State, ref: MultipartRef, upload: Upload) -> FileData:
        size, offset = upload.size or 0, int(state["uploaded"])
        if offset + size > data.size:
            raise exc.UploadOutOfBoundError(f"{size} bytes are given, {data.size - offset} were still to come")
        last = offset + size == data.size
        if not last and size % RESUMABLE_MULTIPLE:
            raise exc.ResumableUploadError(
                f"a piece that is not the last is a multiple of {RESUMABLE_MULTIPLE} bytes, this one has {size}"
            )
        self._judge_size(data)
        send = self._send_session if self._native else self._send_part
        try:
            upload.rewind()
            reader = SourceReader(upload, set(), None)
            made: ObjectInfo | None = None
            for body, is_end in self._chunks(reader, size, int(state["part_size"])):
                if body and not state["uploaded"]:
                    self._judge_beginning(data, body)
                if body or (last and self._native):
                    made = send(data, state, ref, body, last=last and is_end)
            if not last:
                return dataclasses.replace(data, storage_data=state)
            return self._complete(data, state, ref) if made is None else self._end(data, state, made)
        except exc.MissingFileError as error:
            self._ended(data, state, error)
            raise
        finally:
            upload.release()

    def _ended(self, data: FileData, state: State, error: exc.FilesError) -> None:
        """Raise when there is no such upload any more because another call finished it.

        :raises ResumableUploadError: then
        """
        self._ledger(state).drop()  # of what this call entered
        finished = None
        with suppress(exc.FilesError):
            finished = self._finished(data, state)
        if finished:
            raise exc.ResumableUploadError("another call has finished this upload: a refresh gives the file") from error

    def _chunks(self, reader: SourceReader, size: int, part_size: int) -> Iterator[tuple[memoryview, bool]]:
        """Cut a piece into requests; the last is marked. An empty piece is one empty request."""
        left = size
        while True:
            count = min(left, part_size)
            last = count == left
            body = memoryview(bytearray(count + (1 if last else 0)))
            body = body[: reader.fill(body)]
            left -= len(body)
            yield body, last
            if last:
                return

    def _taken(self, offset: int) -> exc.ResumableUploadError:
        return exc.ResumableUploadError(
            f"another call has gone on from byte {offset}, so this piece is not stored: refresh the state"
        )

    # -- native sessions --------------------------------------------------------------------------------------------

    def _send_session(
        self, data: FileData, state: State, ref: MultipartRef, body: memoryview, *, last: bool
    ) -> ObjectInfo | None:
        offset, ledger = int(state["uploaded"]), self._ledger(state)
        entry: State = {}
        if state.get("declared_type") and not offset and body:
            state["detected"] = entry["detected"] = type_of(body)
        if last:
            self._check_type(data, state, state if data.size else None)
        if total := self._sum(data, state, body):
            entry |= {"end": offset + len(body), "sum": total}
        place = f"at-{offset}.{state.get('attempt', 0)}"
        if not ledger.write(place, entry):
            raise self._taken(offset)
        # Whoever has finished it meanwhile has dropped the ledger. An empty session is not asked: some publish it then.
        gone_on = False
        if offset:
            gone_on = self._backend.resumable_offset(ref, data.size) != offset
        else:
            with suppress(exc.PermissionError):  # a credential may be good for creating alone
                gone_on = bool(self._finished(data, state) or self._scratch_left(data, state))
        if gone_on:
            ledger.remove(place)
            raise self._taken(offset)
        options = self._options(data, state, publish="scratch" not in state)
        if last and total:
            options = dataclasses.replace(options, digests={**options.digests, _SUM: total})
        try:
            made = send_piece(self._backend, ref, offset, body, data.size if last else None, options)
        except exc.FilesError:
            with suppress(exc.FilesError):
                if self._backend.resumable_offset(ref, data.size) == offset:
                    ledger.remove(place)
            raise
        if not last and not isinstance(made, int):
            raise self._taken(offset)
        state["uploaded"] = offset + len(body)
        state.pop("sum", None)
        if total:
            state["sum"] = total
        state.pop("attempt", None)
        return None if isinstance(made, int) else made

    def _sums(self, data: FileData) -> bool:
        """Return whether the service needs a sum of the whole from here, and compares it."""
        limits = self._backend.limits
        return not (data.hash or limits.local) and _SUM in limits.put_digests

    def _sum_at(self, ledger: Ledger, reached: int) -> str:
        """Return the sum of the bytes before an offset, as the call that sent the last of them has entered it."""
        entered = [
            (int(text), name) for name in ledger.names("at-") if (text := name[3:].partition(".")[0]).isdecimal()
        ]
        last = max((offset for offset, _ in entered if offset < reached), default=-1)
        found = [ledger.read(name) or State() for offset, name in entered if offset == last]
        sums = {str(entry.get("sum")) for entry in found if entry.get("end") == reached}
        # Of several attempts nobody knows which one was stored: what they would have made of it must be the same.
        value = sums.pop() if len(sums) == 1 else ""
        return value if hashing.is_hex(value, _SUM) else ""

    def _sum(self, data: FileData, state: State, body: memoryview) -> str:
        """Return the checksum of all bytes to the end of a piece; ``""`` where that is not known or not needed.

        A piece carries none of its own: the service compares that of the whole, which goes with the last one.
        """
        if not self._sums(data):
            return ""
        before = state.get("sum") if state["uploaded"] else hashing.new(_SUM).hexdigest()
        if not before:
            return ""
        hasher = hashing.new(_SUM)
        hasher.update(body)
        return hashing.combine(_SUM, before, hasher.hexdigest(), len(body))

    def _reached(self, data: FileData, state: State, ref: MultipartRef) -> FileData | None:
        """Bring the state of a native session up to date, or return the file when it was finished."""
        reached = self._backend.resumable_offset(ref, data.size)
        if not isinstance(reached, int):
            if not state.get("scratch"):
                return self._described(reached, data)
            reached = data.size
        ledger = self._ledger(state)
        if reached != state["uploaded"]:
            state.pop("sum", None)
        # A credential that may create and no more sees no entries; then what is not known is refused later.
        with suppress(exc.PermissionError):
            attempts = [int(name.rpartition(".")[2]) + 1 for name in ledger.names(f"at-{reached}.")]
            state.pop("attempt", None)
            if attempts:
                state["attempt"] = max(attempts)
            if state.get("declared_type") and reached and "detected" not in state:
                first = sorted(ledger.names("at-0."), key=lambda name: int(name.rpartition(".")[2]))
                if first and isinstance(found := (ledger.read(first[-1]) or {}).get("detected"), str):
                    state["detected"] = found
            if reached and "sum" not in state and self._sums(data) and (total := self._sum_at(ledger, reached)):
                state["sum"] = total
        state["uploaded"] = reached
        return None

    # -- parts as pieces --------------------------------------------------------------------------------------------

    def _send_part(
        self, data: FileData, state: State, ref: MultipartRef, body: memoryview, *, last: bool
    ) -> ObjectInfo | None:
        offset, ledger, parts = int(state["uploaded"]), self._ledger(state), _parts(state)
        number = self._number(ledger, ref, parts, offset)
        self._check_open(ref, ledger, parts, offset)
        sent = self._backend.multipart_put(ref, number, body)
        entry: State = {"part": number, "size": sent.size, "etag": sent.etag}
        if state.get("declared_type") and not offset:
            entry["detected"] = type_of(body)
        if not ledger.write(_place(offset), entry):
            raise self._taken(offset)
        # Another call may have ended the upload meanwhile: then this entry was the first of an empty ledger.
        self._check_open(ref, ledger, parts, offset)
        state |= {"parts": [*parts, entry], "uploaded": offset + len(body)}
        return None

    def _check_open(self, ref: MultipartRef, ledger: Ledger, parts: list[State], offset: int) -> None:
        """Refuse to go on with an upload that was ended: its ledger went with it. :raises MissingFileError: then"""
        if not parts:
            next(iter(self._backend.multipart_parts(ref)), None)
        elif ledger.read(_place(offset - parts[-1]["size"])) is None:
            raise exc.MissingFileError("there is no such upload: it was completed or removed")

    def _number(self, ledger: Ledger, ref: MultipartRef, parts: list[State], offset: int) -> int:
        """Take a part number that no other call has or gets.

        :raises MissingFileError: when another call ended the upload
        """
        number = parts[-1]["part"] + 1 if parts else 0
        while number < self._backend.limits.parts_max:
            if ledger.write(f"number-{number}", {}):
                return number
            if ledger.read(_place(offset)) is not None:
                raise self._taken(offset)
            if ledger.read(f"number-{number}") is None:
                # Whoever has finished the upload has dropped the ledger.
                next(iter(self._backend.multipart_parts(ref)), None)
                raise exc.ConnectionError(
                    "the service refuses a new object as if it were there, and it is not: conditions are not honoured"
                )
            number += 1
        raise exc.MultipartUploadError(f"this provider takes at most {number} parts: send larger pieces")

    def _complete(self, data: FileData, state: State, ref: MultipartRef) -> FileData:
        scratch = bool(state.get("scratch"))
        options = self._options(data, state, publish=not scratch)
        try:
            there = {part.number: part for part in self._backend.multipart_parts(ref)}
        except exc.MissingFileError:
            if scratch and (left := self._scratch_left(data, state)):
                made = self._publish_left(data, state, left)
                self._ledger(state).drop()
                return made
            raise
        parts = _parts(state)
        if sum(part["size"] for part in parts) != data.size or not all(_is_there(part, there) for part in parts):
            raise exc.ResumableUploadError("pieces that were sent are not there any more: the upload is gone")
        self._check_type(data, state, parts[0] if parts else None)
        chosen = [there[part["part"]] for part in parts]
        info = self._backend.multipart_complete(ref, chosen, options)
        return self._end(data, state, dataclasses.replace(info, metadata={**options.metadata, **info.metadata}))

    def _chain(self, data: FileData, state: State, ref: MultipartRef) -> None:
        """Bring the state up to date with what other calls have entered. :raises MissingFileError: when it is gone"""
        there = {part.number: part for part in self._backend.multipart_parts(ref)}
        ledger, parts, reached = self._ledger(state), _parts(state), int(state["uploaded"])
        while reached < data.size and (entry := ledger.read(_place(reached))):
            if damage(data, {**state, "parts": [*parts, entry]}) or not entry["size"]:
                break
            parts.append(entry)
            reached += entry["size"]
        if not all(_is_there(part, there) for part in parts):
            raise exc.MissingFileError("the provider has not the beginning any more: the upload is gone")
        state |= {"parts": parts, "uploaded": reached}

    # -- either -----------------------------------------------------------------------------------------------------

    def _end(self, data: FileData, state: State, info: ObjectInfo) -> FileData:
        info = dataclasses.replace(info, size=data.size)
        made = self._publish(data, state, info) if state.get("scratch") else self._described(info, data)
        self._ledger(state).drop()
        return made

    def resumable_refresh(self, data: FileData) -> FileData:
        state = self._state(data, "resumable")
        ref = self._ref(data, state)
        try:
            if not self._native:
                self._chain(data, state, ref)
            elif finished := self._reached(data, state, ref):
                return finished
        except exc.MissingFileError:
            if finished := self._finished(data, state):
                return finished
            raise
        return dataclasses.replace(data, storage_data=state)

    def resumable_remove(self, data: FileData) -> bool:
        state = self._state(data, "resumable")
        ref = self._ref(data, state)
        removed = self._backend.resumable_cancel(ref) if self._native else self._backend.multipart_abort(ref)
        if left := self._scratch_left(data, state):
            removed = self._backend.delete(left.key) or removed
        self._ledger(state).drop()
        return removed


def _place(offset: int) -> str:
    return f"at-{offset}"


def _parts(state: State) -> list[State]:
    return [dict(part) for part in state.get("parts", [])]


def _is_there(part: State, there: dict[int, Part]) -> bool:
    found = there.get(part["part"])
    return found is not None and (found.size, found.etag) == (part["size"], part["etag"])
