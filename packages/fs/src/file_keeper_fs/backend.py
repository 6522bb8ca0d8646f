"""The verbs, in the order of the contract."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import io
import os
import stat
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, cast

from file_keeper import exc, hashing
from file_keeper.backend import (
    Backend,
    Body,
    Limits,
    LinkSigner,
    MultipartRef,
    ObjectInfo,
    OpenUpload,
    Page,
    Part,
    SignAction,
    SignedRequest,
    SignOptions,
    Source,
    WriteOptions,
    cut_pages,
    entries_of,
)
from file_keeper.location import RESERVED
from file_keeper.settings import Settings
from file_keeper.types import Buffer

from . import attributes, cleaning, errors, listing, parts
from .attributes import Record, identity
from .directory import Directory, move_new
from .listing import modified
from .locks import NoLocks
from .place import Place, is_private, writing
from .portable import PortableDirectory
from .settings import FsSettings
from .tree import Tree, locked, missing, segments_of

_TRIES = 100
_HUGE = 1 << 62
_DIGESTS = frozenset(filter(hashing.digest_size, hashlib.algorithms_available | hashing.CRCS.keys()))


class FsBackend(Backend[FsSettings]):
    """Files in a directory of this machine."""

    settings_type: ClassVar[type[Settings]] = FsSettings
    limits = Limits(
        put_max=_HUGE,
        part_max=_HUGE,
        parts_max=10_000_000,
        object_max=_HUGE,
        streaming_put=True,
        put_digests=_DIGESTS,
        multipart_digests=_DIGESTS,
        late_metadata=True,
        read_describes=True,
        local=True,
        ranges=False,
        sign_bounds=frozenset(("size", "hash")),
    )

    def __init__(self, settings: FsSettings):
        super().__init__(settings)
        if settings.attributes == "none":
            self.limits = dataclasses.replace(type(self).limits, metadata=False)
        try:
            self._here = os.getcwd()
        except FileNotFoundError:
            self._here = ""  # it was removed; an absolute path does without
        self._kind: type[Directory] = Directory if os.open in os.supports_dir_fd else PortableDirectory
        self._made: Tree | None = None

    @property
    def _tree(self) -> Tree:
        # Built when it is first needed, as references are read then. Two threads may build two equal ones.
        if self._made is None:
            known = self.settings.resolve()
            path = known.directory(self._here)
            if not os.path.isabs(path):
                raise exc.InvalidStorageConfigurationError(
                    f"the directory {path!r} is relative to the current directory, which was removed"
                )
            self._made = Tree(path, known, self._kind)
        return self._made

    # -- required ---------------------------------------------------------------------------------------------------

    def head(self, key: str) -> ObjectInfo:
        with self._tree.find(key) as (directory, name):
            fd, st, record = self._open(directory, name)
            os.close(fd)
        return _info(key, st, record)

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        with self._tree.find(key) as (directory, name):
            fd, st, record = self._open(directory, name)
        try:
            if etag and identity(st) != etag:
                raise exc.ChangedFileError("the file was changed meanwhile")
            end = st.st_size if end is None else min(end, st.st_size)
            if start:
                os.lseek(fd, start, os.SEEK_SET)
            stream = _Slice(io.FileIO(fd), max(0, end - start), identity(st))
        except BaseException:
            os.close(fd)
            raise
        return Body(_info(key, st, record), stream.left, stream, start=start)

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        if delimiter in ("", "/"):
            return listing.pages(self._tree, prefix, start_after, delimiter, keys_only=keys_only)
        found = cast(
            "Iterator[ObjectInfo]", entries_of(listing.pages(self._tree, prefix, start_after, "", keys_only=False))
        )
        return cut_pages(found, prefix, start_after=start_after, delimiter=delimiter)

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        with writing(self._tree, key, new=options.if_absent) as place:
            digests: Mapping[str, str] = options.digests
            if isinstance(body, bytes | bytearray | memoryview):
                place.write(body)
            else:
                for chunk in body:
                    place.write(chunk)
                digests = {**digests, **body.digests}
            return _publish(place, key, options, digests)

    def delete(self, key: str, *, etag: str = "") -> bool:
        tree = self._tree
        try:
            with tree.find(key) as (directory, name):
                with locked(tree, directory, alone=bool(etag), needed=bool(etag)):
                    st = _regular(directory, name)
                    if etag and identity(st) != etag:
                        raise exc.ChangedFileError("the file was changed meanwhile")
                    directory.unlink(name)
                    _drop_sidecar(directory, name, st)
                if tree.fsync:
                    directory.sync()
        except exc.MissingFileError:
            return False
        tree.prune(segments_of(key)[:-1])
        return True

    def translate(self, error: Exception) -> exc.FilesError | None:
        return errors.translate(error)

    # -- parts ------------------------------------------------------------------------------------------------------

    def multipart_create(self, key: str, options: WriteOptions) -> str:
        return parts.create(self._tree, key)

    def multipart_put(self, upload: MultipartRef, number: int, body: Buffer) -> Part:
        return parts.put(self._tree, upload, number, body)

    def multipart_parts(self, upload: MultipartRef) -> Iterator[Part]:
        return iter(parts.listed(self._tree, upload))

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        return self._complete(upload, parts, options)

    def _complete(self, upload: MultipartRef, chosen: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        with parts.opened(self._tree, upload) as (hold, directory), contextlib.ExitStack() as stack:
            # Of two who complete one upload the second waits, and finds it ended.
            with contextlib.suppress(NoLocks):
                stack.enter_context(directory.locked(True, self._tree.timeout))
            try:
                hold.lstat(upload.id)
            except FileNotFoundError as error:
                raise exc.MissingFileError("there is no such upload") from error
            with writing(self._tree, upload.key, new=options.if_absent) as place:
                parts.join(place, directory, chosen)
                info = _publish(place, upload.key, options, options.digests)
            with cleaning.passing(upload.key):  # it is published, whatever becomes of its parts
                parts.drop(hold, upload.id)
        cleaning.tidy(self._tree, segments_of(upload.key)[:-1])
        return info

    def multipart_abort(self, upload: MultipartRef) -> bool:
        return parts.abort(self._tree, upload)

    def multipart_list(self, prefix: str) -> Iterator[OpenUpload]:
        return parts.uploads(self._tree, prefix)

    # -- the rest ---------------------------------------------------------------------------------------------------

    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        with self._pinned(source) as (fd, st, record), writing(self._tree, key) as place:
            _copy(place, fd, st)
            return _publish(place, key, options, {**record.digests, **options.digests})

    def compose(self, sources: Sequence[ObjectInfo], key: str, options: WriteOptions) -> ObjectInfo:
        with writing(self._tree, key) as place:
            for source in sources:
                with self._pinned(source) as (fd, st, _):
                    _copy(place, fd, st)
            return _publish(place, key, options, options.digests)

    def append(self, target: ObjectInfo, body: Buffer, options: WriteOptions) -> ObjectInfo:
        with self._pinned(target) as (fd, st, _), writing(self._tree, target.key) as place:
            _copy(place, fd, st)
            place.write(body)
            pinned = dataclasses.replace(options, if_match=target.etag, if_absent=False)
            return _publish(place, target.key, pinned, options.digests)

    def move(self, source: str, key: str, options: WriteOptions) -> ObjectInfo:
        for _ in range(_TRIES):
            directory, name = self._tree.above(source)
            try:
                with directory, writing(self._tree, key, staging=is_private(source)) as place:
                    info = self._move(directory, name, place, key, options)
            except FileNotFoundError as error:
                # Another one removed the empty directory that the file was to go to.
                if isinstance(error, exc.FilesError):
                    raise
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                return self._carry(source, key, options)
            else:
                self._tree.prune(segments_of(source)[:-1])
                return info
        raise exc.ConnectionError("the directory keeps vanishing", code="ENOENT", retryable=True)

    def _move(self, directory: Directory, name: str, place: Place, key: str, options: WriteOptions) -> ObjectInfo:
        tree, target = self._tree, place.directory
        try:
            os.close(self._open(directory, name)[0])
            sidecar = _has_sidecar(directory, name, _regular(directory, name))
        except OSError as error:
            raise missing(error) from error
        alone = sidecar or bool(options.if_match)
        here, there = directory.stat(), target.stat()
        same = os.path.samestat(here, there)
        with contextlib.ExitStack() as stack:
            # Always in one order, so that two moves cannot wait for each other.
            for _, where, how in sorted(
                [((there.st_dev, there.st_ino), target, alone)]
                + ([] if same else [((here.st_dev, here.st_ino), directory, False)]),
                key=lambda item: item[0],
            ):
                stack.enter_context(locked(tree, where, alone=how, needed=how and bool(options.if_match)))
            try:
                fd, st, record = self._open(directory, name)
            except OSError as error:
                raise missing(error) from error
            try:
                if same and name == place.name:
                    return _info(key, st, record)
                old = None if options.if_absent else place.current(options.if_match)
                if place.fd >= 0:
                    st = place.settle_moved(directory, fd, name, old)
            finally:
                os.close(fd)
            moved = attributes.sidecar_name(place.name, st) if _has_sidecar(directory, name, st) else ""
            if moved:
                place.write_sidecar(moved, attributes.encode(record, st), st)
            try:
                _rename(directory, name, place, old, st, new=options.if_absent)
            except BaseException:
                if moved:
                    place.drop_sidecar(st)
                raise
            _drop_sidecar(directory, name, st)
            if old is not None and not os.path.samestat(old, st):
                place.drop_sidecar(old)
            if old is not None:
                place.drop_seal()
        if tree.fsync:
            target.sync()
            directory.sync()
        return _info(key, st, record)

    def _carry(self, source: str, key: str, options: WriteOptions) -> ObjectInfo:
        """Move to another file system: by a copy, and the removal of what was copied."""
        info = self.head(source)
        kept = dataclasses.replace(
            options, content_type=info.content_type, metadata=info.metadata, headers=info.headers
        )
        with self._pinned(info) as (fd, st, record), writing(self._tree, key) as place:
            _copy(place, fd, st, narrow=not is_private(source))
            place.like = None if is_private(source) else st
            result = _publish(place, key, kept, record.digests)
        try:
            self.delete(source, etag=info.etag)
        except Exception as error:
            error.add_note(f"the copy at {key!r} stays, and what is at {source!r} too")
            raise
        return result

    def store_digests(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        tree = self._tree
        with tree.find(info.key) as (directory, name):
            fd, st, record = self._open(directory, name)
            try:
                if info.etag and identity(st) != info.etag:
                    raise exc.ChangedFileError("the file was changed meanwhile")
                data = attributes.encode(dataclasses.replace(record, digests={**record.digests, **digests}), st)
                if tree.attributes == "none":
                    return
                sidecar = _has_sidecar(directory, name, st)
                kept = not sidecar and attributes.write_xattr(fd, data, tree.attributes)
            finally:
                os.close(fd)
        seal = attributes.encode_seal({**record.digests, **digests})
        with writing(tree, info.key, staging=False) as place, locked(tree, place.directory, alone=True, needed=False):
            now = place.current()
            if now is not None and identity(now) == identity(st):
                if not kept:
                    place.write_sidecar(attributes.sidecar_name(place.name, st), data, st)
                place.write_sidecar(attributes.seal_name(place.name), seal, st)

    def prepare(self) -> None:
        try:
            os.makedirs(self._tree.path, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise exc.InvalidStorageConfigurationError(
                f"the directory {self._tree.path!r} cannot be created: a file is in the way", code="EEXIST"
            ) from error
        except OSError as error:
            if error.errno not in errors.NO_FILE:
                raise
            raise exc.InvalidStorageConfigurationError(
                f"the directory {self._tree.path!r} cannot be created: {(error.strerror or '').lower()}",
                code=errno.errorcode.get(error.errno or 0, ""),
            ) from error

    def check(self) -> None:
        self._tree.root().close()

    def url(self, key: str) -> str:
        return self._links().url(key)

    def sign(self, action: SignAction, key: str, options: SignOptions) -> SignedRequest:
        return self._links().sign(action, key, options)

    def _links(self) -> LinkSigner:
        signer = LinkSigner.of(self.settings)
        assert signer is not None, "the verbs sign and url need base_url"
        return signer

    def cleanup(self, prefix: str, older_than: float) -> int:
        return cleaning.cleanup(self._tree, prefix, older_than)

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def verbs(self) -> frozenset[str]:
        if not self.settings.base_url:
            return super().verbs - {"sign", "url"}
        return super().verbs - (frozenset() if self.settings.signing_key else {"sign"})

    @property
    def client(self) -> Path:
        """The directory of the files: for what the contract does not hold, there is :mod:`pathlib`."""
        return Path(self._tree.path)

    # -- reading ----------------------------------------------------------------------------------------------------

    def _open(self, directory: Directory, name: str) -> tuple[int, os.stat_result, Record]:
        """Open a file with the attributes of that very content."""
        for _ in range(_TRIES):
            fd, st = directory.open(name)
            try:
                if self._tree.attributes == "none":
                    return fd, st, Record()
                record = attributes.read_xattr(fd, st) or _read_sidecar(directory, name, st)
                if record is not None:
                    return fd, st, record
                # Had it been replaced meanwhile, its sidecar would be gone: then the new one is meant.
                if identity(directory.lstat(name)) == identity(st):
                    return fd, st, Record(sealed=_read_seal(directory, name))
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
        raise exc.ConnectionError("the file is replaced all the time", retryable=True)

    @contextlib.contextmanager
    def _pinned(self, source: ObjectInfo) -> Generator[tuple[int, os.stat_result, Record]]:
        """Open the version of a file that is meant. :raises ChangedFileError: when it is there no more"""
        with self._tree.find(source.key) as (directory, name):
            fd, st, record = self._open(directory, name)
        try:
            if source.etag and identity(st) != source.etag:
                raise exc.ChangedFileError("the file was changed meanwhile")
            yield fd, st, record
        finally:
            os.close(fd)


class _Slice:
    """A part of a file.

    :param version: of the file: when it is another one at the end, another program wrote into the file meanwhile
    """

    __slots__ = ("_file", "_version", "left")

    def __init__(self, file: io.FileIO, left: int, version: str):
        self._file = file
        self._version = version
        self.left = left

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(self.left if size < 0 else min(size, self.left))
        self._moved(len(data))
        return data

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._file.readinto(buffer[: self.left]) or 0
        self._moved(count)
        return count

    def _moved(self, count: int) -> None:
        self.left -= count
        if count and not self.left and identity(os.fstat(self._file.fileno())) != self._version:
            raise exc.ChangedFileError("another program wrote into the file while it was read")

    def close(self) -> None:
        self._file.close()


def _info(key: str, st: os.stat_result, record: Record) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size=st.st_size,
        content_type=record.content_type,
        etag=identity(st),
        modified=modified(st),
        metadata=record.metadata,
        headers=record.headers,
        digests=record.digests,
        sealed=record.sealed,
    )


def _publish(place: Place, key: str, options: WriteOptions, digests: Mapping[str, str]) -> ObjectInfo:
    record = Record(options.content_type, options.metadata, options.headers, dict(digests))
    st = place.publish(record, if_absent=options.if_absent, if_match=options.if_match)
    return _info(key, st, record)


def _copy(place: Place, fd: int, st: os.stat_result, *, narrow: bool = True) -> None:
    if narrow:
        place.narrow(st)
    place.copy(fd, st.st_size)
    if identity(os.fstat(fd)) != identity(st):
        raise exc.ChangedFileError("another program changed the file while it was copied")


def _rename(
    directory: Directory, name: str, place: Place, old: os.stat_result | None, st: os.stat_result, *, new: bool
) -> None:
    if old is not None and os.path.samestat(old, st):
        # Two names of one file: a rename would do nothing, and say so of neither.
        directory.unlink(name)
    elif not new:
        place.rename(directory, name)
    else:
        try:
            move_new(directory, name, place.directory, place.name)
        except FileExistsError as error:
            if place.current() is None:
                raise FileNotFoundError(errno.ENOENT, "what was there is gone: again") from error
            raise exc.ExistingFileError("there is a file already and overwriting is off") from error


def _regular(directory: Directory, name: str) -> os.stat_result:
    st = directory.lstat(name)
    if not stat.S_ISREG(st.st_mode):
        raise exc.MissingFileError("there is no such file")
    return st


def _read_sidecar(directory: Directory, name: str, st: os.stat_result) -> Record | None:
    try:
        with directory.sub(RESERVED) as hold:
            fd, _ = hold.open(attributes.sidecar_name(name, st))
    except OSError as error:
        # Something else may have our name: a file or a link. The file beside it is there all the same.
        if error.errno in errors.NO_FILE:
            return None
        raise
    with open(fd, "rb") as file:
        return attributes.decode(file.read(), st)


def _read_seal(directory: Directory, name: str) -> dict[str, str]:
    """Return the hashes that were recorded of what had this name; none of them is known to fit."""
    try:
        with directory.sub(RESERVED) as hold:
            fd, _ = hold.open(attributes.seal_name(name))
    except OSError as error:
        if error.errno in errors.NO_FILE:
            return {}
        raise
    with open(fd, "rb") as file:
        return attributes.decode_seal(file.read())


def _has_sidecar(directory: Directory, name: str, st: os.stat_result) -> bool:
    return _read_sidecar(directory, name, st) is not None


def _drop_sidecar(directory: Directory, name: str, st: os.stat_result) -> None:
    with contextlib.suppress(OSError):
        with directory.sub(RESERVED) as hold:
            for stale in (attributes.sidecar_name(name, st), attributes.seal_name(name)):
                with contextlib.suppress(FileNotFoundError):
                    hold.unlink(stale)
        directory.rmdir(RESERVED)
