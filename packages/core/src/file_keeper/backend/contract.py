"""The contract of a backend: one provider, one request at a time.

A :class:`Backend` speaks keys (already checked and prefixed), bytes and plain records. Everything else is done once,
by :class:`file_keeper.Storage`: locations, hashing, content types, the encoding of metadata, overwriting, parts and
concurrency, order, repeats, capability checks and the context of errors.

Five verbs are required. Each optional verb that a class overrides adds what it makes possible to the capabilities of
its storages; nothing is declared beside that.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeAlias, TypeVar

from .. import exc
from ..settings import Settings
from ..types import Buffer, Readable

MiB = 1 << 20
GiB = 1 << 30
TiB = 1 << 40

_EMPTY: Mapping[str, str] = {}


class Capability(enum.Flag):
    """What a storage can do; see the table in the contract."""

    NONE = 0
    ANALYZE = enum.auto()
    APPEND = enum.auto()
    COMPOSE = enum.auto()
    COPY = enum.auto()
    CREATE = enum.auto()
    EXISTS = enum.auto()
    LINK_PERMANENT = enum.auto()
    LINK_TEMPORARY = enum.auto()
    LINK_ONE_TIME = enum.auto()
    METADATA = enum.auto()
    MOVE = enum.auto()
    MULTIPART = enum.auto()
    RANGE = enum.auto()
    REMOVE = enum.auto()
    RESUMABLE = enum.auto()
    SCAN = enum.auto()
    SIGNED = enum.auto()
    STREAM = enum.auto()

    def can(self, other: Capability) -> bool:
        """Return whether all of `other` is among these."""
        return other in self


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a provider holds to. The core cuts, orders and checks by these.

    :param put_max: largest body in bytes of one ``put``
    :param part_min: smallest part that is not the last, in bytes; what a resumable piece is held to as well
    :param part_max: largest part, in bytes
    :param parts_max: most parts of an upload
    :param object_max: largest object, in bytes
    :param equal_parts: all parts but the last must have one size
    :param metadata_max: largest metadata in bytes, names and values in their encoded form
    :param metadata: whether metadata and headers are kept at all
    :param metadata_names: which names the provider carries: ``headers`` (they travel as HTTP headers, in which an
        underscore is lost on the way), ``identifiers`` (``[a-z][a-z0-9_]*``)
    :param order: how ``list`` orders: ``bytes`` (UTF-8), ``assumed`` (``bytes`` by its protocol, which services of many
        makers speak; the core looks before it relies on that for ``start_after``), ``utf16``, ``tree`` (a directory's
        own name before what sorts between it and its children), ``none``. The core checks every page against it
    :param atomic_create: ``if_absent`` is decided by the provider in one step
    :param streaming_put: ``put`` takes a :class:`file_keeper.backend.Source` of any and unknown size and shows nothing
        before its end; uploads then need no parts
    :param session: whole streams rather go through ``resumable_*`` than through parts, unless the user asks for
        concurrency
    :param put_digests: algorithms under which the provider itself keeps the hash of an object that was put in one go
    :param multipart_digests: the same of an object put in parts (a session counts as put in one go)
    :param late_metadata: ``multipart_complete``, and ``put`` of a :class:`file_keeper.backend.Source` (its
        ``digests``), may set metadata and digests that were not known at the start; a session is annotated afterwards
    :param md5_metadata: the metadata key, if there is one, under which the tools of this provider record an MD5
        (base64)
    :param local: the bytes are local: a hash that nothing recorded is computed when it is asked for
    :param copy_attributes: ``copy`` keeps type, metadata, headers and hash by itself where `options` bring none, and
        answers with them
    :param read_describes: the answer to ``read`` tells of an object all that ``head`` does: one is spared
    :param ranges: a large download is faster in parallel ranges
    :param missing: what a service was found not to do of its protocol, by names of the backend's own; it is worked
        around, and what that costs is logged once
    :param sign_bounds: what the signature of an upload can bind beside its type: ``size`` (the largest), ``hash``
    """

    put_max: int = 5 * GiB
    part_min: int = 1
    part_max: int = 5 * GiB
    parts_max: int = 10_000
    object_max: int = 5 * TiB
    equal_parts: bool = False
    metadata_max: int = 2048
    metadata: bool = True
    metadata_names: Literal["identifiers", "headers"] = "identifiers"
    order: Literal["bytes", "assumed", "utf16", "tree", "none"] = "bytes"
    atomic_create: bool = True
    streaming_put: bool = False
    session: bool = False
    put_digests: frozenset[str] = frozenset()
    multipart_digests: frozenset[str] = frozenset()
    late_metadata: bool = False
    md5_metadata: str = ""
    local: bool = False
    copy_attributes: bool = False
    read_describes: bool = False
    ranges: bool = True
    missing: frozenset[str] = frozenset()
    sign_bounds: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How an object is written.

    :param content_type: media type
    :param metadata: in its encoded form: names as :attr:`Limits.metadata_names` says, values of printable ASCII
    :param headers: ``Cache-Control``, ``Content-Disposition``, ``Content-Encoding``, ``Content-Language``
    :param if_absent: only when there is no object (else :class:`file_keeper.exc.ExistingFileError`), decided by the
        provider
    :param if_match: only when the object there has this etag (else :class:`file_keeper.exc.ChangedFileError`)
    :param digests: hashes of the whole content that are known by now, algorithm to lower-case hex. The provider is
        made to verify one of them where it can, and keeps what its ``Limits`` say
    :param size: bytes of the whole content, if known
    """

    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    if_absent: bool = False
    if_match: str = ""
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    size: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """An object, as the provider tells of it.

    :param key: its key
    :param size: bytes
    :param content_type: media type, ``""`` where this answer does not tell it
    :param etag: names this version: what ``if_match`` and ``etag=`` take. A validator, never a hash (on GCS the
        generation)
    :param modified: when it was written, with its time zone
    :param metadata: in its encoded form, as written
    :param headers: those of :class:`WriteOptions`
    :param digests: of the **whole content** only, algorithm to lower-case hex
    :param sealed: hashes that ``store_digests`` recorded under this name of a content that others may have changed
        since: told to nobody, but what is read as a whole must have them
    :param noted: hashes are recorded beside the object (S3 tags) and ``read_digests`` would give them
    :param bucket: another bucket of the same service that it lies in, as :meth:`Backend.neighbour` names it; only of a
        source that ``copy`` is given
    """

    key: str
    size: int
    content_type: str = ""
    etag: str = ""
    modified: datetime | None = None
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    noted: bool = False
    bucket: str = ""
    sealed: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])


Row: TypeAlias = tuple[str, int, str, datetime | None] | tuple[str, int, str, datetime | None, str, tuple[str, str]]
"""An object in a listing: its key, size, etag and time, as in :class:`ObjectInfo`. Where the listing tells more, also
its content type, and one hash of the whole content (lower-case hex) with its algorithm, both ``""`` where it has
none: of several the one that the settings ask for (``hashing_algorithm``), else md5."""


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, as the provider answered it.

    :param keys: those of the objects, in the provider's order
    :param entries: what is known of each of them, in the order of `keys`: a :data:`file_keeper.backend.Row`, or an
        :class:`ObjectInfo` where the listing tells more. Empty where keys alone were asked for
    :param prefixes: what keys that were rolled up at the delimiter have in common, up to and with it
    """

    keys: Sequence[str]
    entries: Sequence[ObjectInfo | Row] = ()
    prefixes: Sequence[str] = ()

    @classmethod
    def of(cls, infos: Iterable[ObjectInfo], prefixes: Sequence[str] = ()) -> Page:
        """Return the page of these objects."""
        entries = list(infos)
        return cls([info.key for info in entries], entries, prefixes)


@dataclasses.dataclass(frozen=True, slots=True)
class Prefix:
    """What several keys have in common up to and with the delimiter, in a listing."""

    key: str


@dataclasses.dataclass(frozen=True, slots=True)
class MultipartRef:
    """An open multipart upload."""

    key: str
    id: str = dataclasses.field(repr=False)  # may be a bearer secret: the address of a session


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a multipart upload.

    :param number: from 0
    :param size: bytes
    :param etag: the provider's name for it; the same from ``multipart_put`` and from ``multipart_parts``
    :param modified: when it was sent, where the provider tells it
    """

    number: int
    size: int
    etag: str = ""
    modified: datetime | None = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class OpenUpload:
    """An upload that was begun and not ended: when it began, when it last got something."""

    ref: MultipartRef
    started: datetime
    touched: datetime | None = None


class Source(Protocol):
    """A body that is not in memory as a whole.

    Iteration gives its bytes; each buffer is valid until the next one is asked for. It raises when the content turns
    out not to be what was declared: a ``put`` then publishes nothing. ``digests`` has the hashes of the whole once
    iteration has ended.
    """

    size: int | None

    @property
    def digests(self) -> Mapping[str, str]: ...
    def __iter__(self) -> Iterator[memoryview]: ...


class Body:
    """The bytes of an object, as the answer of the provider describes them.

    A backend reports what **the answer** says and judges nothing: the core checks version, first byte and length of
    every answer, goes on where a short one ended and refuses one that is shifted or of another version.

    :param info: the object as far as this answer tells: its size (of the whole object), its etag (``""`` when the
        answer names none), and in ``digests`` the hashes of the whole content that the answer carries
    :param length: bytes that the answer promises; ``None`` when it promises nothing and ends with the connection
    :param stream: gives them: ``read(size)``, and ``readinto`` and ``close`` where it has them
    :param start: offset of the first byte as the answer says (``Content-Range``, 0 for a whole object); ``None`` when
        it does not say
    """

    __slots__ = ("info", "length", "start", "stream")

    def __init__(self, info: ObjectInfo, length: int | None, stream: Readable, *, start: int | None = None):
        self.info = info
        self.length = length
        self.start = start
        self.stream: Any = stream

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; ``b""`` at the end."""
        return self.stream.read(size)

    def readinto(self, buffer: memoryview, /) -> int:
        """Put up to as many bytes into `buffer` as it holds; 0 at the end."""
        readinto = getattr(self.stream, "readinto", None)
        if readinto is not None:
            return readinto(buffer)
        chunk = self.stream.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        """Return the connection to the pool, or close it."""
        close = getattr(self.stream, "close", None)
        if close is not None:
            close()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SignOptions:
    """What a signed request is bound to.

    :param duration: seconds that it is valid
    :param content_type: of an upload (sent), of a download (answered); ``""`` leaves it free
    :param disposition: the ``Content-Disposition`` that a download is answered with
    :param if_absent: an upload must not overwrite
    :param max_size: the most bytes that an upload may have; given only where ``Limits.sign_bounds`` has ``size``
    :param digests: a hash that an upload must have; given only where ``Limits.sign_bounds`` has ``hash``
    :param upload: for ``part``: the multipart upload and the part's number
    """

    duration: float
    content_type: str = ""
    disposition: str = ""
    if_absent: bool = False
    max_size: int | None = None
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    upload: MultipartRef | None = None
    part: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class SignedRequest:
    """A signed address with the method and the headers that it must be requested with.

    :param fields: of a form (``multipart/form-data``) that is sent by POST, before the content in the field ``file``;
        empty where the content is the body
    """

    url: str
    method: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])


SignAction = Literal["upload", "download", "delete", "part"]


class PartsDiscardedError(exc.MultipartUploadError):
    """The provider dropped the parts of an upload because of another writer of the same key.

    Raised by ``multipart_complete``. The core looks who is there now, and begins again where the source allows it.
    """


class NotSupportedForObject(exc.StorageError):
    """A verb cannot serve this very case (an object too small to append to): the core takes its own way."""


REQUIRED = ("head", "read", "list", "put", "delete")
OPTIONAL = (
    "multipart_create", "multipart_put", "multipart_parts", "multipart_complete", "multipart_abort", "multipart_list",
    "resumable_start", "resumable_send", "resumable_offset", "resumable_cancel",
    "copy", "move", "compose", "append", "store_digests", "read_digests", "prepare", "check", "sign", "url",
    "delete_many", "cleanup",
)  # fmt: skip
VERBS = REQUIRED + OPTIONAL

S = TypeVar("S", bound=Settings)


class Backend(ABC, Generic[S]):
    """One provider. Keys are checked and complete; errors are ours or become so by :meth:`translate`.

    A backend makes its client when it is first needed, never in ``__init__``, and is safe to use from several threads.
    Whatever an SDK raises may leave a verb: the core passes it through :meth:`translate`, also what is raised while a
    body or a listing is read.

    :param settings: checked, with references (``{"env": ...}``) still in the options of the backend itself:
        ``settings.resolve()`` when the client is built
    """

    settings_type: ClassVar[type[Settings]] = Settings
    limits: Limits = Limits()

    def __init__(self, settings: S):
        self.settings = settings

    # -- required ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def head(self, key: str) -> ObjectInfo:
        """Return the record of an object. :raises MissingFileError: when there is none"""

    @abstractmethod
    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        """Open the bytes ``[start, end)`` of an object, as stored (never decoded).

        `start` is at most the size that the core knows of; a start at or past the end gives an empty body. `end` may
        be past the end.

        :param etag: only if the object is still this version
        :raises MissingFileError: at the call
        :raises ChangedFileError: when it is not the version of `etag`
        """

    @abstractmethod
    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        """List the keys that begin with `prefix`, lazily, a page for each request, in the provider's order.

        A backend leaves out and reorders nothing: the core checks the order, and drops what is not after
        `start_after` or does not begin with `prefix`. Return a :func:`follow_pages` where the provider has tokens.

        :param start_after: a whole key to begin behind, in the provider's order, if it can. It may begin earlier
        :param delimiter: keys that hold it after the prefix are named once, in ``Page.prefixes``
        :param keys_only: only ``Page.keys`` matter; what makes the answer larger or slower may be left out. Markers of
            directories (empty objects whose key ends in ``/``) then have to be left out as well
        """

    @abstractmethod
    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        """Write an object in one request; it shows as a whole or not at all.

        `body` is a :class:`file_keeper.backend.Source` only with ``limits.streaming_put``.

        :raises ExistingFileError: with ``options.if_absent`` and an object there
        :raises ChangedFileError: with ``options.if_match`` and another version, or none, there
        """

    @abstractmethod
    def delete(self, key: str, *, etag: str = "") -> bool:
        """Delete an object; return whether it was there.

        :param etag: only if it is still this version
        :raises ChangedFileError: when it is not
        """

    @abstractmethod
    def translate(self, error: Exception) -> exc.FilesError | None:
        """Turn an exception of the SDK into one of ours; ``None`` when it is not the SDK's."""

    # -- parts ------------------------------------------------------------------------------------------------------

    def multipart_create(self, key: str, options: WriteOptions) -> str:
        """Begin an upload in parts; return its id. Conditions are decided by ``multipart_complete``."""
        raise NotImplementedError

    def multipart_put(self, upload: MultipartRef, number: int, body: Buffer) -> Part:
        """Send a part (numbers from 0); a number sent again replaces.

        :raises MultipartUploadError: when the provider does not take it
        :raises MissingFileError: when there is no such upload
        """
        raise NotImplementedError

    def multipart_parts(self, upload: MultipartRef) -> Iterator[Part]:
        """Return the parts that the provider has, by number. :raises MissingFileError: when there is no such upload"""
        raise NotImplementedError

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        """Publish the parts, in the order given, as one object; of none: an empty object, and the upload ends.

        :raises ExistingFileError, ChangedFileError: as ``put``; the upload stays open and the core aborts it
        :raises PartsDiscardedError: when another writer made the provider drop the parts
        :raises MissingFileError: when there is no such upload
        """
        raise NotImplementedError

    def multipart_abort(self, upload: MultipartRef) -> bool:
        """Drop an upload and its parts; return whether it was open. The object at its key is never touched."""
        raise NotImplementedError

    def multipart_list(self, prefix: str) -> Iterator[OpenUpload]:
        """Return the open uploads whose key begins with `prefix`."""
        raise NotImplementedError

    # -- native sessions --------------------------------------------------------------------------------------------

    def resumable_start(self, key: str, options: WriteOptions) -> str:
        """Begin a session of one object sent piece after piece; return its id."""
        raise NotImplementedError

    def resumable_send(
        self, upload: MultipartRef, offset: int, body: Buffer, total: int | None, options: WriteOptions
    ) -> int | ObjectInfo:
        """Send bytes at `offset`; with `total` (known when this is the last piece) the object is published.

        Gives the bytes that the provider has now (perhaps fewer than were sent), or the object.
        """
        raise NotImplementedError

    def resumable_offset(self, upload: MultipartRef, total: int | None) -> int | ObjectInfo:
        """Return the bytes that the provider has, or the object when the session was finished.

        :raises MissingFileError: when there is no such session
        """
        raise NotImplementedError

    def resumable_cancel(self, upload: MultipartRef) -> bool:
        """Drop a session; return whether it was open."""
        raise NotImplementedError

    # -- the rest ---------------------------------------------------------------------------------------------------

    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        """Copy on the server, any size, pinned to ``source.etag``; conditions of `options` hold for the target.

        Type, metadata and headers are those of `options` (equal to the source's, the core's own keys apart). With
        ``limits.copy_attributes`` a copy without a condition has no metadata in `options`: then `source` may hold a
        key only, and the object keeps its own.

        :raises MissingFileError: when the source is not there
        :raises ChangedFileError: when the source is another version
        :raises NotSupportedForObject: when the provider cannot: the core then reads and writes
        """
        raise NotImplementedError

    def move(self, source: str, key: str, options: WriteOptions) -> ObjectInfo:
        """Rename, with all attributes, in one step; only ``if_absent`` and ``if_match`` of `options` are looked at."""
        raise NotImplementedError

    def compose(self, sources: Sequence[ObjectInfo], key: str, options: WriteOptions) -> ObjectInfo:
        """Make one object of several, on the server, pinned to the etag of each; at least two.

        :raises NotSupportedForObject: when the provider cannot do it with these (parts too small)
        """
        raise NotImplementedError

    def append(self, target: ObjectInfo, body: Buffer, options: WriteOptions) -> ObjectInfo:
        """Add bytes to the end of an object, pinned to ``target.etag``, as atomic as ``put``.

        `options` has the attributes of the result.

        :raises NotSupportedForObject: when the provider cannot do it with this object
        """
        raise NotImplementedError

    def store_digests(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        """Record hashes with an object that is there, without rewriting it; pinned to ``info.etag`` where possible."""
        raise NotImplementedError

    def read_digests(self, info: ObjectInfo) -> Mapping[str, str]:
        """Return what ``store_digests`` recorded of this very version of an object: algorithm to lower-case hex."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Create what is missing (bucket, container, root); what is there is fine. Called for ``initialize``."""
        raise NotImplementedError

    def check(self) -> None:
        """Prove credentials and bucket with one cheap request; raise what is wrong."""
        raise NotImplementedError

    def sign(self, action: SignAction, key: str, options: SignOptions) -> SignedRequest:
        """Sign a request; no network I/O where a key is known."""
        raise NotImplementedError

    def url(self, key: str) -> str:
        """Return the permanent public address of an object; no network I/O."""
        raise NotImplementedError

    def delete_many(self, keys: Sequence[str]) -> Iterable[tuple[str, Exception]]:
        """Delete objects, there or not; return the key and the error of each that could not be deleted."""
        raise NotImplementedError

    def cleanup(self, prefix: str, older_than: float) -> int:
        """Remove what killed writers left under the reserved segment (staging files), open uploads apart.

        :param older_than: seconds since it was last touched; what a living writer holds is never taken
        :return: how many things were removed
        """
        raise NotImplementedError

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def verbs(self) -> frozenset[str]:
        """The optional verbs of this instance: those overridden; an instance that cannot do one takes it out."""
        return _overridden(type(self))

    @property
    def client(self) -> Any:
        """The provider's own client, the way out for what the contract does not hold; ``None`` where there is none."""
        return None

    def neighbour(self, other: Backend[Any]) -> str:
        """Return the bucket of `other` if ``copy`` can read its objects on the server, ``""`` where it cannot.

        That takes one service and the same rights; no request is made. ``copy`` is then given the source with its
        ``bucket``, and may still raise :class:`NotSupportedForObject`.
        """
        return ""

    def after_fork(self) -> None:
        """Forget the parent in the child after a fork: drop clients, sockets and locks, they are the parent's."""

    def close(self) -> None:
        """Let go of what is held: clients, connections."""


@functools.cache
def _overridden(cls: type[Backend[Any]]) -> frozenset[str]:
    return frozenset(verb for verb in OPTIONAL if getattr(cls, verb) is not getattr(Backend, verb))


_COMPLETE = frozenset(
    ("multipart_create", "multipart_put", "multipart_parts", "multipart_complete", "multipart_abort", "multipart_list")
)
_SESSION = frozenset(("resumable_start", "resumable_send", "resumable_offset", "resumable_cancel"))

RESUMABLE_MULTIPLE = 256 << 10
"""Pieces of a resumable upload are multiples of this many bytes (the rule of GCS, kept everywhere)."""

_BASE = (
    Capability.ANALYZE | Capability.CREATE | Capability.EXISTS | Capability.RANGE | Capability.REMOVE | Capability.SCAN
    | Capability.STREAM | Capability.COPY | Capability.MOVE
)  # fmt: skip


def capabilities(backend: Backend[Any]) -> Capability:
    """Compute what a storage on this backend can do. This is the one table; nothing is declared beside it."""
    limits = backend.limits
    return _capabilities(backend.verbs, limits.metadata, limits.atomic_create, limits.part_min)


@functools.cache
def _capabilities(verbs: frozenset[str], metadata: bool, atomic_create: bool, part_min: int) -> Capability:
    result = _BASE
    if metadata:
        result |= Capability.METADATA
    if atomic_create:
        # The core's own ways (read + conditional put) need the condition to be decided by the provider.
        result |= Capability.APPEND | Capability.COMPOSE
    if verbs >= _COMPLETE:
        result |= Capability.MULTIPART
        if part_min <= RESUMABLE_MULTIPLE:
            result |= Capability.RESUMABLE
    if verbs >= _SESSION:
        result |= Capability.RESUMABLE
    if "sign" in verbs:
        result |= Capability.SIGNED | Capability.LINK_TEMPORARY
    if "url" in verbs:
        result |= Capability.LINK_PERMANENT
    return result
