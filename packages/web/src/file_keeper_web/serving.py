"""Answers that give a file: ranges, conditions, and headers that keep what users uploaded from running."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import file_keeper as fk
from file_keeper.backend import SANDBOX, ObjectInfo, content_disposition, is_inline

from .conditions import evaluate, format_date, format_etag, parse_range, wants_range
from .http import Failure, Reply, plain

_CHUNK = 256 << 10
_SNIFF = 2048
_TRIES = 3
_REMEMBERED = 4096

_judged: weakref.WeakKeyDictionary[fk.Storage, dict[tuple[str, str, str], bool]] = weakref.WeakKeyDictionary()
"""What was found out by a look at the content of one version: the look costs a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """How a file is shown.

    :param name: the file name to save it under; ``""``: the last segment of its location
    :param attachment: save it in any case; else what cannot run script is shown in the window
    :param content_type: instead of the stored one
    :param disposition: a whole ``Content-Disposition``; one that says ``inline`` is obeyed only for what cannot run
    :param cache_control: instead of the one that fits
    :param public: everybody may have it, so shared caches may keep it
    """

    name: str = ""
    attachment: bool = False
    content_type: str = ""
    disposition: str = ""
    cache_control: str = ""
    public: bool = False


@dataclass(frozen=True, slots=True)
class _Version:
    """One version of a file, as one request told of it."""

    storage: fk.Storage
    location: str
    size: int
    etag: str
    modified: datetime | None
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def stream(self, start: int, end: int) -> _Body:
        """Open some bytes of this very version. :raises ChangedFileError: when it is not there any more"""
        return _Body(self.storage.stream(self.location, start=start, end=end, etag=self.etag))


class _Body:
    """Chunks of a file; a beginning that was looked at comes first."""

    def __init__(self, reader: Any):
        self._reader = reader
        self._head = b""

    def peek(self) -> bytes:
        """Return the first bytes without moving on."""
        self._head = cast("bytes", self._reader.read(_SNIFF))
        return self._head

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk, self._head = self._head, b""
        chunk = chunk or cast("bytes", self._reader.read(_CHUNK))
        if not chunk:
            raise StopIteration
        return chunk

    def close(self) -> None:
        self._reader.close()


def _look(storage: fk.Storage, location: str) -> _Version:
    # Opening reads nothing; `analyze` would read a local file that nobody has hashed yet.
    opened: Any = storage.open(location)
    with opened:
        info: ObjectInfo = opened.raw.info
    content_type = info.content_type
    if not content_type:
        with storage.stream(location, end=min(_SNIFF, info.size), etag=info.etag) as head:
            content_type = fk.make_upload(fk.Upload(head, location)).content_type
    return _Version(storage, location, info.size, info.etag, info.modified, content_type, info.headers)


def send(
    storage: fk.Storage, file: fk.types.FileOrLocation, method: str, headers: Mapping[str, str], how: Presentation
) -> Reply:
    """Answer with a file; a GET or HEAD with a range of it, or 304, 412 or 416 as well.

    Of another method conditions and ranges are not about the file: its resource is another.

    The first request to the storage asks for its description only, the second for the bytes that are sent.

    :param headers: of the request, by lower-case name
    :raises FilesError: when the storage has no such file, or cannot give it
    """
    location = file if isinstance(file, str) else file.location
    for attempt in range(1, _TRIES + 1):
        version = _look(storage, location)
        try:
            return _answer(version, method, headers, how)
        except fk.exc.ChangedFileError:
            if attempt == _TRIES:
                raise
    raise AssertionError("unreachable")


def _answer(version: _Version, method: str, headers: Mapping[str, str], how: Presentation) -> Reply:
    etag = format_etag(version.etag)
    answer = {"Accept-Ranges": "bytes", "Cache-Control": _cache_control(version, how)}
    if etag:
        answer["ETag"] = etag
    if version.modified:
        answer["Last-Modified"] = format_date(version.modified)
    status = evaluate(method, headers, etag, version.modified) if method in ("GET", "HEAD") else 200
    if status == 304:
        return Reply(304, answer)
    if status == 412:
        return plain(412, "The file is another version.", method=method)
    part = None
    if method == "GET" and "range" in headers and wants_range(headers, etag, version.modified):
        part = parse_range(headers["range"], version.size)
    if part == "unsatisfiable":
        return plain(
            416, "The file ends before.", {"Content-Range": f"bytes */{version.size}", **answer}, method=method
        )
    start, end = part or (0, version.size)
    body = version.stream(start, end) if method != "HEAD" and end > start else None
    try:
        answer |= describe(version, how, _is_inline(version, how, body, start, end))
    except BaseException:
        if body is not None:
            body.close()
        raise
    answer["Content-Length"] = str(end - start)
    if part:
        answer["Content-Range"] = f"bytes {start}-{end - 1}/{version.size}"
    return Reply(206 if part else 200, answer, body if body is not None else b"")


def _is_inline(version: _Version, how: Presentation, body: _Body | None, start: int, end: int) -> bool:
    """Decide by the type and by a look at the content, which a body at its beginning gives for nothing."""
    kind = how.content_type or version.content_type
    if how.attachment or not is_inline(kind):
        return False
    known = _judged.setdefault(version.storage, {})
    key = (version.location, version.etag, kind)
    if version.etag and key in known:
        return known[key]
    wanted = min(_SNIFF, version.size)
    if body is not None and start == 0 and end >= wanted:
        head = body.peek()
    elif wanted:
        look = version.stream(0, wanted)
        try:
            head = b"".join(look)
        finally:
            look.close()
    else:
        head = b""
    result = is_inline(kind, head)
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = result
    return result


def describe(version: _Version, how: Presentation, inline: bool) -> dict[str, str]:
    """Return the headers that say what a file is and what a browser may do with it."""
    kind = how.content_type or version.content_type or "application/octet-stream"
    if not inline and is_inline(kind) and not how.attachment:
        kind = "application/octet-stream"  # the content is not what the type says
    answer = {"Content-Type": kind, "X-Content-Type-Options": "nosniff"}
    for name in ("Content-Encoding", "Content-Language"):
        if name in version.headers:
            answer[name] = version.headers[name]
    answer["Content-Disposition"] = disposition(version.location, version.headers, how, inline)
    if not inline:
        answer["Content-Security-Policy"] = SANDBOX
    return answer


def disposition(location: str, headers: Mapping[str, str], how: Presentation, inline: bool) -> str:
    """Return the ``Content-Disposition``: the one asked for, the stored one, or one made of the name."""
    given = how.disposition or ("" if how.name or how.attachment else headers.get("Content-Disposition", ""))
    if given:
        kind, semicolon, rest = given.partition(";")
        if inline or kind.strip().lower() == "attachment":
            return given
        return "attachment" + semicolon + rest
    return content_disposition("inline" if inline else "attachment", how.name or location)


def _cache_control(version: _Version, how: Presentation) -> str:
    if how.cache_control:
        return how.cache_control
    stored = version.headers.get("Cache-Control", "")
    if how.public:
        return stored or "public, no-cache"
    words = {word.partition("=")[0].strip().lower() for word in stored.split(",")}
    return stored if words & {"private", "no-store"} else "private, no-cache"


def give(
    storage: fk.Storage,
    file: fk.types.FileOrLocation,
    method: str,
    headers: Mapping[str, str],
    how: Presentation,
    redirect: Any = None,
) -> Reply:
    """Answer with a file for a view of a framework.

    :param redirect: how long a signed link to it is valid, to which the client is sent instead; ``None``: no link. A
        storage without links gives the file itself
    """
    try:
        if redirect is not None and storage.supports(fk.Capability.SIGNED):
            return _redirect(storage, file, redirect, how)
        return send(storage, file, method, headers, how)
    except fk.exc.LocationError as error:
        if isinstance(error, fk.exc.ChangedFileError):
            raise
        raise Failure(404, "There is no such file.") from error


def _redirect(storage: fk.Storage, file: fk.types.FileOrLocation, duration: Any, how: Presentation) -> Reply:
    """Answer with a redirect to a signed link, which says the same of the file as an answer of ours."""
    location = file if isinstance(file, str) else file.location
    version = _look(storage, location)
    inline = _is_inline(version, how, None, 0, 0)
    said = describe(version, how, inline)
    # The provider sends neither nosniff nor a policy: what must not run goes as bytes to be saved.
    kind = said["Content-Type"] if inline else "application/octet-stream"
    link = storage.signed("download", duration, location, content_type=kind, disposition=said["Content-Disposition"])
    return Reply(302, {"Location": link, "Cache-Control": "private, no-store", "Content-Length": "0"})
