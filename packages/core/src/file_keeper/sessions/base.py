"""What uploads in parts and uploads in pieces have in common: their state, what they become, how that is published."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from .. import attributes, contenttype, exc, hashing
from .. import location as locations
from ..attributes import TOKEN
from ..backend import Backend, MultipartRef, ObjectInfo, WriteOptions, entries_of
from ..data import FileData
from ..reading import ObjectStream
from ..settings import Settings
from ..transfer import UploadRequest, discard
from .ledger import Ledger, folder_of
from .state import FOLDER, LEFT, State, damage


def type_of(head: memoryview | bytes) -> str:
    """Return the type that the beginning of a content shows."""
    return contenttype.detect(head[: contenttype.SNIFF], "", complete=len(head) <= contenttype.SNIFF)


class Session:
    """What both kinds of uploads stand on.

    Declared hashes are verified on the whole content before it shows. Where the provider cannot do that itself the
    upload goes to a scratch key under the reserved name, is read once, and is published by a copy on the server.

    :param root: the prefix of the keys of the storage
    """

    def __init__(self, backend: Backend[Any], settings: Settings, root: str):
        self._backend = backend
        self._settings = settings
        self._root = root

    def _target(self, data: FileData) -> str:
        locations.check(data.location, max_bytes=locations.MAX_KEY - len(self._root.encode()), writing=True)
        return self._root + data.location

    def _state(self, data: FileData, kind: str) -> State:
        """Return a copy of the state of an upload.

        :raises MissingFileError: when `data` holds none
        :raises StorageDataError: when it is damaged
        """
        state = data.storage_data if isinstance(data, FileData) else {}  # pyright: ignore[reportUnnecessaryIsInstance]
        if not state.get(kind) or not isinstance(state.get("upload_id"), str) or not state["upload_id"]:
            raise exc.MissingFileError(f"the data holds no {kind} upload: begin with {kind}_start")
        if wrong := damage(data, state):
            raise exc.StorageDataError(f"the state of the upload is damaged: {wrong}")
        return dict(state)

    def _ref(self, data: FileData, state: State) -> MultipartRef:
        target = self._target(data)
        scratch = state.get("scratch", "")
        if scratch:
            return MultipartRef(f"{self._root}{FOLDER}{scratch}", state["upload_id"])
        return MultipartRef(target, state["upload_id"])

    @property
    def _native(self) -> bool:
        """Whether the provider has sessions of its own."""
        return "resumable_start" in self._backend.verbs

    def _ledger(self, state: State) -> Ledger:
        return Ledger(self._backend, self._root, state["upload_id"])

    def ref(self, data: FileData) -> tuple[str, MultipartRef]:
        """Return the key and the provider's name of an open multipart upload."""
        ref = self._ref(data, self._state(data, "multipart"))
        return ref.key, ref

    def _begin(self, location: str, size: int, plan: UploadRequest, *, native: frozenset[str]) -> tuple[FileData, str]:
        """Return the state of a new upload, and the key that its bytes go to."""
        algorithm, value = next(iter(plan.expected.items()), ("", ""))
        state: State = {"token": attributes.new_token(), "uploaded": 0, "if_absent": plan.if_absent}
        if plan.if_match:
            state["if_match"] = plan.if_match
        if plan.content_type:
            state["declared_type"] = True
        key = plan.key
        if algorithm and algorithm not in native:
            state["scratch"] = attributes.new_token() + attributes.new_token()
            key = f"{self._root}{FOLDER}{state['scratch']}"
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
            encoded[attributes.named(TOKEN, limits)] = str(state["token"])
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
        """Return the finished file when this very upload was published already."""
        try:
            info = self._backend.head(self._target(data))
        except exc.MissingFileError:
            return None
        if attributes.token_of(info.metadata) != state.get("token"):
            return None
        return self._described(info, data)

    def _described(self, info: ObjectInfo, data: FileData) -> FileData:
        wanted = self._settings.hashing_algorithm
        info = dataclasses.replace(info, content_type=info.content_type or data.content_type, size=data.size)
        if self._backend.limits.local and wanted not in attributes.all_digests(info):
            # It is published, whatever another writer has put there by now, and whether it can be read or not.
            with suppress(exc.FilesError):
                found = self._hash(info, wanted)
                info = dataclasses.replace(info, digests={**info.digests, wanted: found})
        made = attributes.describe(info, data.location, wanted)
        if not made.hash and data.hash:
            made = dataclasses.replace(made, hash=data.hash, algorithm=data.algorithm)
        return dataclasses.replace(made, metadata=dict(data.metadata), headers=dict(data.headers))

    def _hash(self, info: ObjectInfo, algorithm: str) -> str:
        hasher = hashing.new(algorithm)
        with ObjectStream(self._backend, info.key, etag=info.etag) as reader:
            for chunk in reader:
                hasher.update(chunk)
        return hasher.hexdigest()

    def _judge_size(self, data: FileData) -> None:
        """Refuse what is larger than allowed, whoever began it. :raises LargeUploadError: always"""
        if self._settings.limits is not None:
            self._settings.limits.check_size(data.size)

    def _judge_beginning(self, data: FileData, head: memoryview) -> None:
        """Refuse the first part or piece by its type.

        :raises WrongUploadTypeError: it is of none that is allowed
        :raises MultipartUploadError: it is too short to show its type
        """
        allowed = self._settings.limits
        if allowed is None or not allowed.types:
            return
        if len(head) < min(contenttype.SNIFF, data.size):
            raise exc.MultipartUploadError(
                f"'limits' of this storage name types: part 0 shows its own by at least {contenttype.SNIFF} bytes"
            )
        allowed.check_head(head[: contenttype.SNIFF], complete=data.size <= contenttype.SNIFF)

    def _check_type(self, data: FileData, state: State, beginning: State | None) -> None:
        """Compare the declared type with the one that the content shows.

        :param beginning: what is known of the first bytes: the entry of their part, or the state of a native session
        """
        if not state.get("declared_type") or beginning is None:
            return
        detected = beginning.get("detected")
        if not detected:
            raise exc.UploadError(
                "what the content begins with is not known here, so its type cannot be compared with the declared one: "
                "refresh the state, or send the first part again"
            )
        if not contenttype.agrees(data.content_type, detected):
            raise exc.UploadTypeMismatchError(f"declared was {data.content_type}, the content is {detected}")

    def _publish(self, data: FileData, state: State, info: ObjectInfo) -> FileData:
        """Verify a scratch object and show it at its location, under the caller's condition."""
        backend = self._backend
        found = self._hash(info, data.algorithm)
        if found != data.hash:
            backend.delete(info.key)
            self._ledger(state).drop()
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

    # -- what is left over ------------------------------------------------------------------------------------------

    def cleanup(self, older_than: float) -> int:
        """Drop open uploads and scratch objects that nobody touched for so many seconds; return how many.

        What cannot be dropped does not keep the rest: the first such error is raised when all else is done.
        """
        backend = self._backend
        limit = time.time() - older_than
        failures: list[exc.FilesError] = []
        alive: set[str] = set()
        count = 0

        def drop(call: Callable[[], int]) -> None:
            nonlocal count
            try:
                dropped = call()  # which may count by itself
            except exc.ConnectionError:
                raise  # nothing else would get through
            except exc.FilesError as error:
                failures.append(error)
            else:
                count += dropped

        if "multipart_list" in backend.verbs:
            for upload in list(backend.multipart_list(self._root)):
                if (upload.touched or upload.started).timestamp() <= limit:
                    drop(partial(backend.multipart_abort, upload.ref))
                else:
                    alive.add(folder_of(self._root, upload.ref.id))
        for folder in LEFT:
            drop(lambda folder=folder: self._cleanup_scratch(self._root + folder, limit, alive, drop))
        if "cleanup" in backend.verbs:
            drop(lambda: backend.cleanup(self._root, older_than))
        if failures:
            raise failures[0]
        return count

    def _cleanup_scratch(self, begin: str, limit: float, alive: set[str], drop: Callable[..., None]) -> int:
        """Drop scratch objects, and ledgers (which count for nothing) that nothing was written to since `limit`."""
        ledgers: dict[str, list[ObjectInfo]] = {}
        for entry in list(entries_of(self._backend.list(begin))):
            if not isinstance(entry, ObjectInfo) or not entry.modified or not entry.key.startswith(begin):
                continue
            folder, slash, _ = entry.key[len(begin) :].partition("/")
            if slash and begin.endswith(FOLDER):
                ledgers.setdefault(f"{begin}{folder}/", []).append(entry)
            elif entry.modified.timestamp() <= limit:
                drop(partial(self._backend.delete, entry.key, etag=entry.etag))
        for folder, entries in ledgers.items():
            newest = max(entry.modified.timestamp() for entry in entries if entry.modified)
            if folder not in alive and newest <= limit:
                for entry in entries:
                    drop(lambda key=entry.key: self._backend.delete(key) and 0)
        return 0
