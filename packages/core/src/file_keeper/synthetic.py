"""What the library does by itself where a provider has no verb for it, and between two storages."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import attributes, calls, contenttype, exc, hashing
from .backend import Backend, Capability, NotSupportedForObject, ObjectInfo, WriteOptions
from .data import FileData
from .location import RESERVED
from .reading import NO_VERIFICATION, RECORDS, ObjectStream
from .streams import IterableBytesReader
from .transfer import UploadRequest, discard
from .types import FileOrLocation, Progress
from .upload import Upload

if TYPE_CHECKING:
    from .storage import Storage
    from .storage.base import Base
    from .storage.reading import Reading

# This module is one mind with Storage, and stands apart only for its size.
# pyright: reportPrivateUsage=false


def _chain(backend: Backend[Any], infos: Sequence[ObjectInfo]) -> Iterator[bytes]:
    """Return the content of several objects one after the other, each pinned to the version seen."""
    for info in infos:
        if info.size:
            with ObjectStream(backend, info.key, etag=info.etag) as reader:
                yield from reader


def _joined(infos: Sequence[ObjectInfo], algorithm: str) -> dict[str, str]:
    """Return the hash of contents one after the other, where the algorithm allows it: the CRCs."""
    if algorithm not in hashing.CRCS:
        return {}
    result = hashing.new(algorithm).hexdigest()
    for info in infos:
        value = attributes.all_digests(info).get(algorithm)
        if value is None:
            return {}
        result = hashing.combine(algorithm, result, value, info.size)
    return {algorithm: result}


def _options(storage: Base, like: ObjectInfo, parts: Sequence[ObjectInfo]) -> WriteOptions:
    """Return the options of an object made of `parts` with the attributes of `like`."""
    wanted = storage.settings.hashing_algorithm
    digests = _joined(parts, wanted)
    plain = storage._attributes_of(like)
    recorded = attributes.record(digests, wanted, storage.limits.multipart_digests, storage.limits)
    return dataclasses.replace(
        plain, metadata={**plain.metadata, **recorded}, digests=digests, size=sum(part.size for part in parts)
    )


def _result(storage: Base, made: ObjectInfo, options: WriteOptions, location: str) -> FileData:
    size = options.size if options.size is not None else made.size
    info = dataclasses.replace(
        made,
        size=size,
        content_type=options.content_type,
        metadata=options.metadata,
        headers=options.headers,
        digests={**made.digests, **options.digests},
        noted=False,
    )
    return storage._describe_made(info, location)


def _rewrite(
    storage: Base, key: str, location: str, like: ObjectInfo, stream: Iterator[bytes], condition: tuple[bool, str]
) -> FileData:
    """Store a stream with the attributes of `like`."""
    plan = UploadRequest(
        key=key,
        content_type=like.content_type,
        metadata=attributes.without_ours(like.metadata, storage.limits),
        headers=like.headers,
        if_absent=condition[0],
        if_match=condition[1],
        name=key,
    )
    return storage._send(location, Upload(IterableBytesReader(stream)), plan, attributes.decode(like.metadata))


def _beginning(backend: Backend[Any], infos: Sequence[ObjectInfo]) -> bytes:
    """Return the first bytes of several contents one after the other, as many as tell their type."""
    head = b""
    for info in infos:
        count = min(info.size, contenttype.SNIFF - len(head))
        if count > 0:
            with ObjectStream(backend, info.key, 0, count, etag=info.etag) as reader:
                head += b"".join(reader)
    return head


def _scratch(storage: Base) -> str:
    return f"{storage._root}{RESERVED}/sessions/{attributes.new_token()}{attributes.new_token()}"


def append(storage: Base, key: str, location: str, upload: Upload) -> FileData:
    """Add an upload to the end of an object; see :meth:`Storage.append`."""
    try:
        return _append(storage, key, location, upload)
    finally:
        upload.release()


def _append(storage: Base, key: str, location: str, upload: Upload) -> FileData:
    backend = storage._verbs
    target = backend.head(key)
    upload.rewind()
    allowed = storage.settings.limits
    if allowed is not None:
        allowed = dataclasses.replace(allowed, before=target.size)
        allowed.check_size(upload.size)
    room = min(storage.settings.part_size, storage.limits.put_max)
    head = memoryview(bytearray(min(room, upload.size if upload.size is not None else room) + 1))
    count = upload.read_into(head)
    small = count < len(head)
    if upload.size is not None and small and count != upload.size:
        raise exc.UploadSizeMismatchError(f"{upload.size} bytes were declared, the source gave {count}")
    if allowed is not None:
        allowed.check_size(count)
        if allowed.types:
            begin = _beginning(backend, (target,)) + bytes(head[: min(count, contenttype.SNIFF)])
            allowed.check_head(begin, complete=small and len(begin) == target.size + count)
    if "append" in backend.verbs and small:
        hasher = hashing.new(storage.settings.hashing_algorithm)
        hasher.update(head[:count])
        tail = ObjectInfo(key="", size=count, digests={storage.settings.hashing_algorithm: hasher.hexdigest()})
        options = dataclasses.replace(_options(storage, target, (target, tail)), if_match=target.etag)
        try:
            made = backend.append(target, head[:count], options)
        except NotSupportedForObject:
            pass
        else:
            return _result(storage, made, options, location)

    def rest() -> Iterator[bytes]:
        yield bytes(head[:count])
        if not small:
            total = count
            chunk = memoryview(bytearray(1 << 20))
            while size := upload.read_into(chunk):
                total += size
                if allowed is not None:
                    allowed.check_size(total)
                yield bytes(chunk[:size])
            if upload.size is not None and total != upload.size:
                raise exc.UploadSizeMismatchError(f"{upload.size} bytes were declared, the source gave {total}")

    if "compose" in backend.verbs and not small and not storage.limits.local:
        tail = UploadRequest(key=_scratch(storage), if_absent=True, name=key)
        added = storage._engine.send(Upload(IterableBytesReader(rest())), tail)
        extra = dataclasses.replace(added.info, digests={**added.info.digests, **added.digests})
        try:
            options = dataclasses.replace(_options(storage, target, (target, extra)), if_match=target.etag)
            made = backend.compose((target, extra), key, options)
            return _result(storage, made, options, location)
        except NotSupportedForObject:
            stream = _chain(backend, (target, extra))
            return _rewrite(storage, key, location, target, stream, (False, target.etag))
        finally:
            discard(backend, extra.key)

    def whole() -> Iterator[bytes]:
        yield from _chain(backend, (target,))
        yield from rest()

    return _rewrite(storage, key, location, target, whole(), (False, target.etag))


def compose(
    storage: Base, key: str, location: str, infos: Sequence[ObjectInfo], condition: tuple[bool, str]
) -> FileData:
    """Make one object of several; see :meth:`Storage.compose`."""
    backend, allowed = storage._verbs, storage.settings.limits
    if allowed is not None:
        size = sum(info.size for info in infos)
        allowed.check_size(size)
        if allowed.types:
            allowed.check_head(_beginning(backend, infos), complete=size <= contenttype.SNIFF)
    # Of one it is a copy that keeps the rights of the file, where there are some.
    if (len(infos) > 1 or storage.limits.local) and "compose" in backend.verbs:
        options = dataclasses.replace(_options(storage, infos[0], infos), if_absent=condition[0], if_match=condition[1])
        try:
            made = backend.compose(infos, key, options)
            return _result(storage, made, options, location)
        except NotSupportedForObject:
            pass
    return _rewrite(storage, key, location, infos[0], _chain(backend, infos), condition)


# -- between two storages -------------------------------------------------------------------------------------------

_NEEDS = {
    Capability.COPY: (Capability.STREAM | Capability.ANALYZE, Capability.CREATE),
    Capability.MOVE: (Capability.STREAM | Capability.ANALYZE | Capability.REMOVE, Capability.CREATE),
    Capability.RANGE: (Capability.STREAM, Capability.NONE),
    Capability.COMPOSE: (Capability.STREAM | Capability.ANALYZE, Capability.CREATE),
}


def supports(storage: Base, capability: Capability, destination: Base) -> bool:
    """Return whether each of `capability` can be done with the help of this machine."""
    for member in capability:
        if member not in _NEEDS:
            return False
        here, there = _NEEDS[member]
        if here not in storage.capabilities or there not in destination.capabilities:
            return False
    return bool(capability)


def _opened(storage: Base, file: FileOrLocation) -> tuple[FileData, ObjectStream]:
    """Open a file and describe it, in one request where the answer tells all."""
    location = file.location if isinstance(file, FileData) else file
    key, wanted = storage._key(file), storage.settings.hashing_algorithm
    verify = NO_VERIFICATION if storage.settings.verify_reads == "never" else RECORDS
    if storage.limits.read_describes:
        reader = ObjectStream(storage._verbs, key, verify=verify)
        info = reader.info
        # Where bytes are sent without their hash it may be told without them.
        if info.size >= 0 and (storage.limits.local or wanted in attributes.all_digests(info)):
            return attributes.describe(info, location, wanted), reader
        reader.close()
    info = storage._verbs.head(key)
    reader = ObjectStream(storage._verbs, key, etag=info.etag, verify=verify)
    try:
        info = dataclasses.replace(info, digests=storage._digests(info))
    except BaseException:
        reader.close()
        raise
    return attributes.describe(info, location, wanted), reader


def _upload_to(
    destination: Storage, location: str, stream: Any, like: FileData, overwrite: bool | FileData | None, **more: Any
) -> FileData:
    keeps = destination.limits.metadata
    return destination.upload(
        location,
        stream,
        overwrite=overwrite,
        # What others wrote need not be a media type; then the content tells it.
        content_type=like.content_type if contenttype.valid(like.content_type) else "",
        metadata=like.metadata if keeps else None,
        headers=like.headers if keeps else None,
        **more,
    )


def copy(
    storage: Base,
    location: str,
    file: FileOrLocation,
    destination: Storage,
    overwrite: bool | FileData | None = None,
    progress: Progress | None = None,
) -> FileData:
    """Copy between two storages, with type, metadata and headers, verified by the recorded hash where there is one."""
    with storage._at("copy_synthetic", file.location if isinstance(file, FileData) else file):
        seen, reader = _opened(storage, file)
    with reader:
        return _upload_to(
            destination,
            location,
            Upload(reader, size=seen.size),
            seen,
            overwrite,
            hash=seen.hash,
            algorithm=seen.algorithm,
            progress=progress,
        )


def _version(info: ObjectInfo) -> tuple[object, ...]:
    return info.etag, info.modified, attributes.token_of(info.metadata)


def move(
    storage: Base,
    location: str,
    file: FileOrLocation,
    destination: Storage,
    overwrite: bool | FileData | None = None,
    progress: Progress | None = None,
) -> FileData:
    """Copy, then remove the very version that was copied."""
    name = file.location if isinstance(file, FileData) else file
    with storage._at("move_synthetic", name):
        key = storage._key(file)
        before = storage._verbs.head(key)
    made = copy(storage, location, file, destination, overwrite, progress)
    # Once there is a copy the move is ended, also where nobody waits for it any more.
    with storage._at("move_synthetic", name), calls.cleaning_up():
        try:
            # Two storages may name one object. Equal content may have an equal etag there, but never an equal token; a
            # service that keeps no token tells at least another time.
            now = storage._verbs.head(key)
            if _version(now) != _version(before):
                raise exc.ChangedFileError(
                    "the source was changed meanwhile, or is the very file that was written: it stays"
                )
            storage._verbs.delete(key, etag=before.etag)
        except exc.FilesError as error:
            error.add_note(f"the copy at {location!r} in storage {destination.name!r} stays")
            raise
    return made


def range(storage: Reading, file: FileOrLocation, start: int, end: int | None) -> bytes:
    """Read from the beginning and keep what lies in ``[start, end)``."""
    if start < 0 or (end is not None and end < 0):
        raise exc.StorageDataError(f"the bounds of a range are not negative: {start}, {end}", storage=storage.name)
    kept: list[bytes] = []
    position = 0
    with storage.stream(file) as reader:
        for chunk in reader:
            first = max(0, start - position)
            last = len(chunk) if end is None else min(len(chunk), end - position)
            if first < last:
                kept.append(chunk[first:last])
            position += len(chunk)
            if end is not None and position >= end:
                break
    return b"".join(kept)


def compose_between(
    storage: Base,
    location: str,
    destination: Storage,
    files: Sequence[FileOrLocation],
    overwrite: bool | FileData | None = None,
) -> FileData:
    """Make one file in `destination` of several in `storage`."""
    infos: list[ObjectInfo] = []
    for file in files:
        with storage._at("compose_synthetic", file.location if isinstance(file, FileData) else file):
            infos.append(storage._verbs.head(storage._key(file)))
    like = attributes.describe(infos[0], location, "") if infos else FileData(location, content_type="")
    stream = IterableBytesReader(_chain(storage._verbs, infos))
    return _upload_to(destination, location, Upload(stream, size=sum(info.size for info in infos)), like, overwrite)
