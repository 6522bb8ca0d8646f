"""Uploads in several calls, and their state: plain JSON, enough for another process to go on after a kill."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

from . import attributes, contenttype, exc, hashing
from .backend import Backend, MultipartRef, ObjectInfo, Part, WriteOptions
from .backend.contract import RESUMABLE_MULTIPLE
from .data import FileData
from .intake import Reader, part_sizes
from .location import RESERVED
from .reading import Reader as ObjectReader
from .resilience.retry import TOKEN
from .settings import Settings
from .transfer import Plan, discard, send_piece
from .upload import Upload

State = dict[str, Any]

# Declared hashes are verified on the whole content before it shows. Where the provider cannot do that itself the
# upload goes to a scratch key under the reserved name, is read once, and is published by a copy on the server.
_SCRATCH = f"{RESERVED}/sessions/"


def _number(part: Part) -> int:
    return part.number


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _damage(data: FileData, state: State) -> str:
    """Say what is wrong with a state, which went through other hands; ``""`` if nothing is."""
    for name, least in (("uploaded", 0), ("part_size", 1)):
        if not _is_count(state.get(name)) or state[name] < least:
            return f"{name} is {state.get(name)!r}"
    beyond = _is_count(data.size) and state.get("resumable") and state["uploaded"] > data.size
    if not _is_count(data.size) or not _is_count(state.get("pieces", 0)) or beyond:
        return f"{state['uploaded']} bytes of {data.size!r} in {state.get('pieces', 0)!r} pieces"
    if not isinstance(state.get("token"), str) or not re.fullmatch("[0-9a-f]{16}", state["token"]):
        return "its token is none"
    if "scratch" in state and not re.fullmatch("[0-9a-f]{32}", str(state["scratch"])):
        return "its scratch name is none"
    if data.hash and not hashing.is_hex(data.hash, data.algorithm):
        return f"{data.hash!r} is no hash under {data.algorithm!r}"
    parts: Any = state.get("parts", [])
    if not isinstance(parts, list):
        return "its parts are no list"
    seen: set[int] = set()
    for part in cast("list[Any]", parts):
        entry = cast("State", part) if isinstance(part, dict) else State()
        number = entry.get("part")
        sound = _is_count(number) and _is_count(entry.get("size")) and isinstance(entry.get("etag"), str)
        if not sound or number in seen:
            return f"{part!r} is not a part"
        if data.algorithm in entry and not hashing.is_hex(str(entry[data.algorithm]), data.algorithm):
            return f"{part!r} has no hash"
        seen.add(cast("int", number))
    return ""


class Sessions:
    """Multipart and resumable uploads of one storage.

    :param root: the prefix of its keys
    """

    def __init__(self, backend: Backend[Any], settings: Settings, root: str):
        self._backend = backend
        self._settings = settings
        self._root = root

    # -- state ------------------------------------------------------------------------------------------------------

    def _target(self, data: FileData) -> str:
        from . import location as locations

        locations.check(data.location, room=locations.MAX_KEY - len(self._root.encode()), writing=True)
        return self._root + data.location

    def _state(self, data: FileData, kind: str) -> State:
        """Give a copy of the state of an upload.

        :raises MissingFileError: when `data` holds none
        :raises StorageDataError: when it is damaged
        """
        state = data.storage_data if isinstance(data, FileData) else {}  # pyright: ignore[reportUnnecessaryIsInstance]
        if not state.get(kind) or not isinstance(state.get("upload_id"), str) or not state["upload_id"]:
            raise exc.MissingFileError(f"the data holds no {kind} upload: begin with {kind}_start")
        if wrong := _damage(data, state):
            raise exc.StorageDataError(f"the state of the upload is damaged: {wrong}")
        return dict(state)

    def _ref(self, data: FileData, state: State) -> MultipartRef:
        target = self._target(data)
        scratch = state.get("scratch", "")
        if scratch:
            return MultipartRef(f"{self._root}{_SCRATCH}{scratch}", state["upload_id"])
        return MultipartRef(target, state["upload_id"])

    def ref(self, data: FileData) -> tuple[str, MultipartRef]:
        """Give the key and the provider's name of an open multipart upload."""
        ref = self._ref(data, self._state(data, "multipart"))
        return ref.key, ref

    def _begin(self, location: str, size: int, plan: Plan, *, native: frozenset[str]) -> tuple[FileData, str]:
        """Make the state of a new upload, and the key that its bytes go to."""
        algorithm, value = next(iter(plan.expected.items()), ("", ""))
        state: State = {"token": attributes.new_token(), "uploaded": 0, "if_absent": plan.if_absent}
        if plan.if_match:
            state["if_match"] = plan.if_match
        if plan.content_type:
            state["declared_type"] = True
        key = plan.key
        if algorithm and algorithm not in native:
            state["scratch"] = attributes.new_token() + attributes.new_token()
            key = f"{self._root}{_SCRATCH}{state['scratch']}"
        data = FileData(
            location,
            size=size,
            content_type=plan.content_type or contenttype.by_name(location),
            hash=value,
            algorithm=algorithm,
            storage_data=state,
            metadata=attributes.decode(plan.metadata),
            headers=dict(plan.headers),
        )
        return data, key

    def _options(self, data: FileData, state: State, *, publish: bool = True, digests: Any = None) -> WriteOptions:
        limits = self._backend.limits
        wanted = self._settings.hashing_algorithm
        known: dict[str, str] = digests or ({data.algorithm: data.hash} if data.hash else {})
        encoded = attributes.encode(data.metadata, limits, wanted)
        native = limits.put_digests if state.get("resumable") and self._native else limits.multipart_digests
        encoded.update(attributes.record(known, data.algorithm or wanted, native, limits))
        if limits.metadata:
            encoded[TOKEN] = str(state["token"])
        return WriteOptions(
            content_type=data.content_type,
            metadata=encoded,
            headers=data.headers,
            if_absent=publish and bool(state.get("if_absent")),
            if_match=str(state.get("if_match", "")) if publish else "",
            digests=known,
            size=data.size,
        )

    def _finished(self, data: FileData, state: State) -> FileData | None:
        """Give the finished file when this very upload was published already."""
        try:
            info = self._backend.head(self._target(data))
        except exc.MissingFileError:
            return None
        if info.metadata.get(TOKEN) != state.get("token"):
            return None
        return self._described(info, data)

    def _described(self, info: ObjectInfo, data: FileData) -> FileData:
        wanted = self._settings.hashing_algorithm
        info = dataclasses.replace(info, content_type=info.content_type or data.content_type, size=data.size)
        if self._backend.limits.local and wanted not in attributes.all_digests(info):
            # The next writer may be quick: this file is published, whatever stands there by now.
            with suppress(exc.ChangedFileError, exc.MissingFileError):
                found = self._hash(info, wanted)
                info = dataclasses.replace(info, digests={**info.digests, wanted: found})
        made = attributes.describe(info, data.location, wanted)
        if not made.hash and data.hash:
            made = dataclasses.replace(made, hash=data.hash, algorithm=data.algorithm)
        return dataclasses.replace(made, metadata=dict(data.metadata), headers=dict(data.headers))

    def _hash(self, info: ObjectInfo, algorithm: str) -> str:
        hasher = hashing.new(algorithm)
        with ObjectReader(self._backend, info.key, etag=info.etag) as reader:
            for chunk in reader:
                hasher.update(chunk)
        return hasher.hexdigest()

    def _check_type(self, data: FileData, state: State) -> None:
        detected = str(state.get("detected", ""))
        if state.get("declared_type") and detected and not contenttype.agrees(data.content_type, detected):
            raise exc.UploadTypeMismatchError(f"declared was {data.content_type}, the content is {detected}")

    def _publish(self, data: FileData, state: State, info: ObjectInfo) -> FileData:
        """Verify a scratch object and show it at its location, under the caller's condition."""
        backend = self._backend
        found = self._hash(info, data.algorithm)
        if found != data.hash:
            backend.delete(info.key)
            raise exc.UploadHashMismatchError(
                f"the {data.algorithm} of the content is {found}, declared was {data.hash}: the upload is dropped"
            )
        options = self._options(data, state)
        target = self._target(data)
        if "move" in backend.verbs:
            made = backend.move(info.key, target, options)
        else:
            made = backend.copy(info, target, options)
            discard(backend, info.key)
        made = dataclasses.replace(made, metadata=options.metadata, digests={**made.digests, **options.digests})
        return self._described(made, data)

    def _publish_left(self, data: FileData, state: State, left: ObjectInfo) -> FileData:
        """Go on where a call was killed after the completion: before the publication, or behind it."""
        if finished := self._finished(data, state):
            discard(self._backend, left.key)
            return finished
        return self._publish(data, state, left)

    def _scratch_left(self, data: FileData, state: State) -> ObjectInfo | None:
        """Find the scratch object of an upload that was completed there and not published yet."""
        if not state.get("scratch"):
            return None
        try:
            return self._backend.head(self._ref(data, state).key)
        except exc.MissingFileError:
            return None

    # -- parts ------------------------------------------------------------------------------------------------------

    def multipart_start(self, location: str, size: int, plan: Plan) -> FileData:
        limits = self._backend.limits
        # A CRC is combined out of those of the parts; anything else must be read.
        data, key = self._begin(location, size, plan, native=frozenset(hashing.CRCS))
        state = data.storage_data
        part_size = next(iter(part_sizes(limits, self._settings.part_size, size)))
        options = self._options(data, state, publish=False)
        state |= {
            "multipart": True,
            "upload_id": self._backend.multipart_create(key, options),
            "parts": [],
            "part_size": part_size,
        }
        return data

    def _with_parts(self, data: FileData, state: State, parts: list[State]) -> FileData:
        parts = sorted(parts, key=lambda part: part["part"])
        return dataclasses.replace(
            data, storage_data={**state, "parts": parts, "uploaded": sum(part["size"] for part in parts)}
        )

    def _parts(self, state: State) -> list[State]:
        return [dict(part) for part in cast("list[State]", state.get("parts", []))]

    def check_number(self, part: int) -> None:
        """Refuse what cannot be the number of a part. :raises MultipartUploadError: always"""
        if isinstance(part, bool) or not isinstance(part, int) or part < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise exc.MultipartUploadError(f"the number of a part is 0 or more, not {part!r}")
        if part >= (most := self._backend.limits.parts_max):
            raise exc.MultipartUploadError(f"part {part}: at most {most} parts are taken")

    def multipart_update(self, data: FileData, upload: Upload, part: int) -> FileData:
        state = self._state(data, "multipart")
        ref = self._ref(data, state)
        limits = self._backend.limits
        self.check_number(part)
        others = [other for other in self._parts(state) if other["part"] != part]
        room = data.size - sum(other["size"] for other in others)
        crc = {data.algorithm} if data.algorithm in hashing.CRCS else set[str]()
        body, reader = self._read(upload, room, crc)
        if limits.equal_parts and len(body) != state["part_size"] and len(body) != room:
            raise exc.MultipartUploadError(
                f"part {part} has {len(body)} bytes: here all parts but the last have {state['part_size']}"
            )
        if part == 0:
            head = body[: contenttype.SNIFF]
            state["detected"] = contenttype.detect(head, "", complete=len(body) <= contenttype.SNIFF)
        sent = self._backend.multipart_put(ref, part, body)
        entry: State = {"part": part, "size": sent.size, "etag": sent.etag, **reader.digests}
        return self._with_parts(data, state, [*others, entry])

    def _read(self, upload: Upload, room: int, algorithms: set[str]) -> tuple[memoryview, Reader]:
        """Read a part or piece as a whole; no more than there is room for."""
        if upload.size is not None and upload.size > room:
            raise exc.UploadOutOfBoundError(f"{upload.size} bytes are given, {max(0, room)} were still to come")
        try:
            upload.rewind()
            reader = Reader(upload, algorithms, None)
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
        """Ask the provider for the parts; what only we know of them stays."""
        known = {part["part"]: part for part in self._parts(state)}
        result: list[State] = []
        for part in self._backend.multipart_parts(self._ref(data, state)):
            old = known.get(part.number, {})
            same = old.get("size") == part.size and old.get("etag") == part.etag
            result.append(old if same else {"part": part.number, "size": part.size, "etag": part.etag})
        if known and not result:
            raise exc.MissingFileError("the provider has no part of this upload any more: begin again")
        return result

    def multipart_refresh(self, data: FileData) -> FileData:
        state = self._state(data, "multipart")
        try:
            parts = self._listed(data, state)
        except exc.MissingFileError:
            if finished := self._finished(data, state):
                return finished
            raise
        return self._with_parts(data, state, parts)

    def multipart_complete(self, data: FileData) -> FileData:
        state = self._state(data, "multipart")
        try:
            parts = self._listed(data, state)
        except exc.MissingFileError:
            if left := self._scratch_left(data, state):
                return self._publish_left(data, state, left)
            raise
        size = sum(part["size"] for part in parts)
        if size != data.size:
            raise exc.UploadSizeMismatchError(f"{data.size} bytes were declared, the parts have {size}")
        self._check_type(data, state)
        digests = self._combined(data, parts)
        listed = [Part(number=part["part"], size=part["size"], etag=part["etag"]) for part in parts]
        listed.sort(key=lambda part: part.number)
        scratch = bool(state.get("scratch"))
        options = self._options(data, state, publish=not scratch, digests=digests)
        info = self._backend.multipart_complete(self._ref(data, state), listed, options)
        if scratch:
            return self._publish(data, state, dataclasses.replace(info, size=size))
        info = dataclasses.replace(
            info, metadata={**options.metadata, **info.metadata}, digests={**info.digests, **digests}
        )
        return self._described(info, data)

    def _combined(self, data: FileData, parts: list[State]) -> dict[str, str]:
        """Give the declared CRC when the parts' agree with it."""
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
        return removed

    # -- pieces -----------------------------------------------------------------------------------------------------

    @property
    def _native(self) -> bool:
        return "resumable_start" in self._backend.verbs

    def resumable_start(self, location: str, size: int, plan: Plan) -> FileData:
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
        return data

    def resumable_resume(self, data: FileData, upload: Upload) -> FileData:
        state = self._state(data, "resumable")
        ref = self._ref(data, state)
        offset = int(state["uploaded"])
        if upload.size is None:
            import tempfile

            with tempfile.SpooledTemporaryFile(self._settings.part_size) as spool:
                self._spool(upload, spool, data.size - offset)
                return self._resume(data, state, ref, Upload(spool, size=spool.tell() - spool.seek(0)), offset)
        return self._resume(data, state, ref, upload, offset)

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

    def _resume(self, data: FileData, state: State, ref: MultipartRef, upload: Upload, offset: int) -> FileData:
        size = upload.size or 0
        if offset + size > data.size:
            raise exc.UploadOutOfBoundError(f"{size} bytes are given, {data.size - offset} were still to come")
        last = offset + size == data.size
        if not last and size % RESUMABLE_MULTIPLE:
            raise exc.ResumableUploadError(
                f"a piece that is not the last is a multiple of {RESUMABLE_MULTIPLE} bytes, this one has {size}"
            )
        try:
            upload.rewind()
            reader = Reader(upload, set(), None)
            info: ObjectInfo | int = offset
            chunks = self._chunks(reader, size, int(state["part_size"]))
            for body, is_end in chunks:
                if not offset and body:
                    state["detected"] = contenttype.detect(
                        body[: contenttype.SNIFF], "", complete=len(body) <= contenttype.SNIFF
                    )
                if last and is_end:
                    self._check_type(data, state)
                if body or (last and self._native):
                    info = self._send(data, state, ref, offset, body, last=last and is_end)
                offset += len(body)
        finally:
            upload.release()
        state["uploaded"] = offset
        if not last:
            return dataclasses.replace(data, storage_data=state)
        return self._end(data, state, ref, info)

    def _chunks(self, reader: Reader, size: int, part_size: int) -> Iterator[tuple[memoryview, bool]]:
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

    def _send(
        self, data: FileData, state: State, ref: MultipartRef, offset: int, body: memoryview, *, last: bool
    ) -> ObjectInfo | int:
        if not self._native:
            number = int(state.get("pieces", 0))
            self._backend.multipart_put(ref, number, body)
            state["pieces"] = number + 1
            return offset + len(body)
        total = data.size if last else None
        options = self._options(data, state, publish="scratch" not in state)
        return send_piece(self._backend, ref, offset, body, total, options)

    def _end(self, data: FileData, state: State, ref: MultipartRef, info: ObjectInfo | int) -> FileData:
        scratch = bool(state.get("scratch"))
        if isinstance(info, int):
            options = self._options(data, state, publish=not scratch)
            try:
                parts = list(self._backend.multipart_parts(ref))
            except exc.MissingFileError:
                if left := self._scratch_left(data, state):
                    return self._publish_left(data, state, left)
                raise
            # What an attempt that was forgotten sent beyond these is not part of the content.
            parts = [part for part in parts if part.number < int(state.get("pieces", 0))]
            if sum(part.size for part in parts) != data.size:
                raise exc.ResumableUploadError("pieces that were sent are not there any more: the upload is gone")
            info = self._backend.multipart_complete(ref, sorted(parts, key=_number), options)
            info = dataclasses.replace(info, metadata={**options.metadata, **info.metadata})
        info = dataclasses.replace(info, size=data.size)
        return self._publish(data, state, info) if scratch else self._described(info, data)

    def resumable_refresh(self, data: FileData) -> FileData:
        state = self._state(data, "resumable")
        ref = self._ref(data, state)
        try:
            if self._native:
                reached = self._backend.resumable_offset(ref, data.size)
                if not isinstance(reached, int):
                    if not state.get("scratch"):
                        return self._described(reached, data)
                    reached = data.size
            else:
                parts = list(self._backend.multipart_parts(ref))
                # What follows a gap does not count: the pieces before it were dropped (Azure).
                whole = [part for place, part in enumerate(sorted(parts, key=_number)) if part.number == place]
                if state["uploaded"] and not whole:
                    raise exc.MissingFileError("the provider has not the beginning any more: the upload is gone")
                state["pieces"] = len(whole)
                reached = sum(part.size for part in whole)
        except exc.MissingFileError:
            if finished := self._finished(data, state):
                return finished
            raise
        state["uploaded"] = reached
        return dataclasses.replace(data, storage_data=state)

    def resumable_remove(self, data: FileData) -> bool:
        state = self._state(data, "resumable")
        ref = self._ref(data, state)
        removed = self._backend.resumable_cancel(ref) if self._native else self._backend.multipart_abort(ref)
        if left := self._scratch_left(data, state):
            removed = self._backend.delete(left.key) or removed
        return removed

    # -- what is left over ------------------------------------------------------------------------------------------

    def cleanup(self, older_than: float) -> int:
        """Drop open uploads and scratch objects that nobody touched for so many seconds; give how many."""
        backend = self._backend
        limit = time.time() - older_than
        count = 0
        if "multipart_list" in backend.verbs:
            for upload in list(backend.multipart_list(self._root)):
                if (upload.touched or upload.started).timestamp() <= limit:
                    count += backend.multipart_abort(upload.ref)
        scratch = list(backend.list(self._root + _SCRATCH))
        for entry in scratch:
            if isinstance(entry, ObjectInfo) and entry.modified and entry.modified.timestamp() <= limit:
                count += backend.delete(entry.key, etag=entry.etag)
        if "sweep" in backend.verbs:
            count += backend.sweep(self._root, older_than)
        return count
