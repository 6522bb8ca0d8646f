"""Uploads in parts, which are sent in any order and by any process."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

from .. import exc, hashing
from ..backend import Part
from ..data import FileData
from ..intake import SourceReader, part_sizes
from ..transfer import UploadRequest
from ..upload import Upload
from .base import Session, type_of
from .state import Parts, State, damage

_LONG_AGO = datetime.fromtimestamp(0, UTC)


def _fact(part: State) -> str:
    """Return the name of what the ledger says of a part; of one that is sent again there is another."""
    return f"part-{part['part']}-{hashlib.sha256(part['etag'].encode()).hexdigest()[:16]}"


def _is_known(part: Part, known: dict[int, State]) -> bool:
    old = known.get(part.number, {})
    return old.get("size") == part.size and old.get("etag") == part.etag


def _one_of_each(parts: Iterable[Part], known: dict[int, State]) -> list[Part]:
    """Choose among parts of one number, as some (SeaweedFS) list a part that was sent again several times.

    It is the newest, and of those that are as new the one that we know.
    """

    def rank(part: Part) -> tuple[datetime, bool]:
        return part.modified or _LONG_AGO, _is_known(part, known)

    listed: dict[int, Part] = {}
    for part in parts:
        if part.number not in listed or rank(part) >= rank(listed[part.number]):
            listed[part.number] = part
    return list(listed.values())


class PartUploads(Session):
    """The verbs ``multipart_*``."""

    def multipart_start(self, location: str, size: int, plan: UploadRequest) -> FileData:
        limits = self._backend.limits
        # A CRC is combined out of those of the parts; anything else must be read.
        data, key = self._begin(location, size, plan, native=frozenset(hashing.CRCS))
        state = data.storage_data
        part_size = next(iter(part_sizes(limits, self._settings.part_size, size)))
        options = self._options(data, state, publish=False)
        state |= {
            "multipart": True,
            "upload_id": self._backend.multipart_create(key, options),
            "parts": Parts.of(()),
            "part_size": part_size,
        }
        return data

    def _with_parts(self, data: FileData, state: State, parts: Parts) -> FileData:
        return dataclasses.replace(data, storage_data={**state, "parts": parts, "uploaded": parts.size})

    def _parts(self, state: State) -> Parts:
        found: list[State] = state.get("parts", [])
        return found if isinstance(found, Parts) and found.sound else Parts.of(dict(part) for part in found)

    def check_number(self, part: int) -> None:
        """Refuse what cannot be the number of a part. :raises MultipartUploadError: always"""
        if isinstance(part, bool) or not isinstance(part, int) or part < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise exc.MultipartUploadError(f"the number of a part is 0 or more, not {part!r}")
        if part >= (most := self._backend.limits.parts_max):
            raise exc.MultipartUploadError(f"part {part}: at most {most} parts are taken")

    def multipart_update(self, data: FileData, upload: Upload, part: int) -> FileData:
        state = self._state(data, "multipart")
        ref = self._ref(data, state)
        self._judge_size(data)
        limits = self._backend.limits
        self.check_number(part)
        parts = self._parts(state)
        old = parts.at(part)
        room = data.size - parts.size + (old["size"] if old else 0)
        crc = {data.algorithm} if data.algorithm in hashing.CRCS else set[str]()
        body, reader = self._read(upload, room, crc)
        if limits.equal_parts and len(body) != state["part_size"] and len(body) != room:
            raise exc.MultipartUploadError(
                f"part {part} has {len(body)} bytes: here all parts but the last have {state['part_size']}"
            )
        if part == 0:
            self._judge_beginning(data, body)
        facts: State = dict(reader.digests)
        if state.get("declared_type") and (not parts or part <= parts[0]["part"]):
            facts["detected"] = type_of(body)
        sent = self._backend.multipart_put(ref, part, body)
        entry: State = {"part": part, "size": sent.size, "etag": sent.etag, **facts}
        if facts:
            self._ledger(state).write(_fact(entry), entry, once=False)
        return self._with_parts(data, state, parts.replaced(entry))

    def _read(self, upload: Upload, room: int, algorithms: set[str]) -> tuple[memoryview, SourceReader]:
        """Read a part or piece as a whole; no more than there is room for."""
        if upload.size is not None and upload.size > room:
            raise exc.UploadOutOfBoundError(f"{upload.size} bytes are given, {max(0, room)} were still to come")
        try:
            upload.rewind()
            reader = SourceReader(upload, algorithms, None)
            if upload.size is not None:
                body = reader.look(upload.size + 1)
            else:
                content, chunk = bytearray(), memoryview(bytearray(1 << 20))
                while count := reader.fill(chunk):
                    content += chunk[:count]
                    if len(content) > room:
                        break
                body = memoryview(content)
        finally:
            upload.release()
        if len(body) > room:
            raise exc.UploadOutOfBoundError(f"more bytes are given than the {max(0, room)} that were still to come")
        return body, reader

    def _listed(self, data: FileData, state: State) -> list[State]:
        """Ask the provider for the parts; what it does not keep of them is known here, or stands in the ledger."""
        known = {part["part"]: part for part in self._parts(state)}
        result: list[State] = []
        there: set[str] | None = None
        for part in _one_of_each(self._backend.multipart_parts(self._ref(data, state)), known):
            entry: State = {"part": part.number, "size": part.size, "etag": part.etag}
            if _is_known(part, known):
                entry = known[part.number]
            elif self._has_facts(data, state):
                there = set(self._ledger(state).names("part-")) if there is None else there
                entry = self._recalled(data, state, entry) if _fact(entry) in there else entry
            result.append(entry)
        if known and not result:
            raise exc.MissingFileError("the provider has no part of this upload any more: begin again")
        return result

    def _has_facts(self, data: FileData, state: State) -> bool:
        """Return whether something must be known of the parts that the provider does not keep."""
        return bool(state.get("declared_type") or (data.hash and data.algorithm in hashing.CRCS))

    def _recalled(self, data: FileData, state: State, part: State) -> State:
        """Add to a part what was found out when it was sent, by whatever process."""
        found = self._ledger(state).read(_fact(part)) or State()
        whole = {**found, **part}
        sound = found.get("size") == part["size"] and not damage(data, {**state, "parts": [whole]})
        return whole if sound else part

    def multipart_refresh(self, data: FileData) -> FileData:
        state = self._state(data, "multipart")
        try:
            parts = self._listed(data, state)
        except exc.MissingFileError:
            if finished := self._finished(data, state):
                return finished
            raise
        return self._with_parts(data, state, Parts.of(parts))

    def multipart_complete(self, data: FileData) -> FileData:
        state = self._state(data, "multipart")
        self._judge_size(data)
        try:
            parts = self._listed(data, state)
        except exc.MissingFileError:
            if left := self._scratch_left(data, state):
                return self._forget(data, state, self._publish_left(data, state, left))
            raise
        size = sum(part["size"] for part in parts)
        if size != data.size:
            raise exc.UploadSizeMismatchError(f"{data.size} bytes were declared, the parts have {size}")
        first = min(parts, key=lambda part: part["part"], default=None)
        if first is not None and first["part"] and self._settings.limits is not None and self._settings.limits.types:
            raise exc.MultipartUploadError("'limits' of this storage name types: what begins the file must be part 0")
        self._check_type(data, state, first)
        digests = self._combined(data, parts)
        listed = [Part(number=part["part"], size=part["size"], etag=part["etag"]) for part in parts]
        listed.sort(key=lambda part: part.number)
        scratch = bool(state.get("scratch"))
        options = self._options(data, state, publish=not scratch, digests=digests)
        info = self._backend.multipart_complete(self._ref(data, state), listed, options)
        if scratch:
            return self._forget(data, state, self._publish(data, state, dataclasses.replace(info, size=size)))
        info = dataclasses.replace(
            info, metadata={**options.metadata, **info.metadata}, digests={**info.digests, **digests}
        )
        return self._forget(data, state, self._described(info, data))

    def _forget(self, data: FileData, state: State, made: FileData) -> FileData:
        """Drop the ledger of an upload that ended, if it can have one."""
        if self._has_facts(data, state):
            self._ledger(state).drop()
        return made

    def _combined(self, data: FileData, parts: list[State]) -> dict[str, str]:
        """Return the declared CRC when the parts' agree with it."""
        algorithm = data.algorithm
        if algorithm not in hashing.CRCS or not data.hash:
            return {}
        value = hashing.new(algorithm).hexdigest()
        for part in sorted(parts, key=lambda part: part["part"]):
            if algorithm not in part:
                raise exc.MultipartUploadError(
                    f"the {algorithm} of part {part['part']} is not known here: send this part again"
                )
            value = hashing.combine(algorithm, value, part[algorithm], part["size"])
        if value != data.hash:
            raise exc.UploadHashMismatchError(f"the {algorithm} of the parts is {value}, declared was {data.hash}")
        return {algorithm: value}

    def multipart_remove(self, data: FileData) -> bool:
        state = self._state(data, "multipart")
        removed = self._backend.multipart_abort(self._ref(data, state))
        if left := self._scratch_left(data, state):
            removed = self._backend.delete(left.key) or removed
        self._forget(data, state, data)
        return removed
