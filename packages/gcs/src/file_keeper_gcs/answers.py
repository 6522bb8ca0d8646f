"""Answers, and what the one to each request must be: one table, and the one place where it is looked at.

Anybody can answer 200: a captive portal, a console port, a proxy. Google's resources name their kind, and each answer
bears the id of its request. Emulators bear no id; then one request that only this API answers shows who is there.

Reference: "Objects", "Objects: list", "Objects: rewrite", resource representations; "Response headers"
(X-GUploader-UploadID).
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from file_keeper import exc
from file_keeper.backend import Answer, check_answer, stranger

SERVICE = "Google Cloud Storage"
ID = "x-guploader-uploadid"
REFUSALS = (404, 409, 410, 412, 416)
"""What says how things are: an error of a stranger must not be taken for that."""

ERROR_MAX = 1 << 20
"""Bytes of an error that are read."""

ANSWER_MAX = 64 << 20
"""Bytes of a resource, or of a page of a listing: a thousand objects with all the metadata there can be have 9 MiB."""

_SECRET = re.compile(r"upload_id=[^&\s'\")]+")


def redacted(text: str) -> str:
    """Return a text without the secret of a session's address."""
    return _SECRET.sub("upload_id=***", text)


class Stream(Protocol):
    """The bytes of an answer, as they come."""

    def read(self, size: int = -1, /) -> bytes: ...
    def readinto(self, buffer: Any, /) -> int: ...
    def content(self, limit: int) -> bytes: ...
    def close(self) -> None: ...


class Reply:
    """An answer, whoever brought it.

    :param headers: names in lower case
    :param url: what was asked, without its query
    :param stream: its body, which is not read yet
    """

    __slots__ = ("_content", "headers", "reason", "status", "stream", "url")

    def __init__(self, status: int, reason: str, headers: Mapping[str, str], url: str, stream: Stream):
        self.status = status
        self.reason = reason
        self.headers = headers
        self.url = url
        self.stream = stream
        self._content: bytes | None = None

    @property
    def content(self) -> bytes:
        """The body, read once: the whole of an answer, the beginning of an error."""
        found = self._content
        if found is None:
            limit = ERROR_MAX if self.status >= 400 else ANSWER_MAX
            found = self.stream.content(limit)
            if self.headers.get("content-encoding") == "gzip":
                found = _unpacked(found, limit)
            self._content = found
        return found

    def close(self) -> None:
        """Return the connection to its pool, or close it."""
        self.stream.close()


def _unpacked(packed: bytes, limit: int) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(packed, limit)
    except zlib.error:
        return packed  # then it is what it is: looked at as any other answer


class Refused(Exception):
    """An answer that refuses what was asked for.

    :param headers: of the answer; without those that hold the secret of a session
    :param errors: the reasons, as the service lists them
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str], errors: list[Any]):
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.headers = headers
        self.errors = errors


class BadRequest(Refused):
    """400."""


class NotFound(Refused):
    """404."""


class Conflict(Refused):
    """409."""


class PreconditionFailed(Refused):
    """412."""


_KINDS: dict[int, type[Refused]] = {400: BadRequest, 404: NotFound, 409: Conflict, 412: PreconditionFailed}


def refused(
    status: int, content: bytes, headers: Mapping[str, str], *, reason: str = "", secret: bool = False
) -> Refused:
    """Return the error for an answer.

    :param reason: of its first line
    :param secret: its headers hold the secret of a session
    """
    message, errors = explained(content, headers.get("content-type", ""))
    if secret:
        headers = {name: value for name, value in headers.items() if name not in (ID, "location")}
        message = redacted(message)
    return _KINDS.get(status, Refused)(status, message or reason or f"status {status}", headers, errors)


def explained(content: bytes, kind: str) -> tuple[str, list[Any]]:
    """Return the message and the list of reasons of an error document, which is JSON, plain text or XML."""
    try:
        found = json.loads(content)
        error: Any = found["error"]
        if isinstance(error, dict):
            members = cast("dict[str, Any]", error)
            return str(members.get("message", "")), list(members.get("errors") or [])
        return f"{error} {found.get('error_description', '')}".strip(), []
    except (ValueError, KeyError, TypeError):
        text = content.decode("utf-8", "replace").strip()
    if "html" in kind or text.startswith("<"):
        text = re.sub(r"<[^>]*>", " ", text)
    return " ".join(text.split())[:500], []


@dataclass(frozen=True, slots=True)
class Expected:
    """What a success looks like.

    :param kind: of the resource that it is
    :param members: which that resource always has
    :param media: how its media type begins
    :param anonymous: nothing in it tells that it is Google's: a header must
    """

    answer: Answer = Answer()
    kind: str = ""
    members: tuple[str, ...] = ()
    media: str = ""
    anonymous: bool = False


_OBJECT = Expected(kind="storage#object", members=("name", "generation", "size"))
EXPECTED: dict[str, Expected] = {
    "objects.get": _OBJECT,
    "objects.get (media)": Expected(Answer(frozenset((200, 206, 416))), anonymous=True),
    "objects.list": Expected(kind="storage#objects"),
    "objects.insert": _OBJECT,
    "objects.insert (session)": Expected(Answer(frozenset((200, 201)), ("location",))),
    "objects.insert (piece)": Expected(
        Answer(frozenset((200, 201, 308))), kind="storage#object", members=("name", "generation", "size")
    ),
    # 499: cancelled; 404, 410: it is gone already.
    "objects.insert (cancel)": Expected(Answer(frozenset((204, 404, 410, 499))), anonymous=True),
    "objects.patch": _OBJECT,
    "objects.delete": Expected(Answer(frozenset((200, 204))), anonymous=True),
    "objects.compose": _OBJECT,
    "objects.rewrite": Expected(kind="storage#rewriteResponse", members=("done",)),
    "buckets.insert": Expected(kind="storage#bucket"),
    "batch": Expected(media="multipart/mixed"),
    "signBlob": Expected(members=("signedBlob",)),
}


class Prover:
    """Shows that an answer is one of the service.

    :param known: it is Google's own address: each answer must bear an id
    :param ask: asks for the buckets of any project, which no other service knows
    """

    def __init__(self, *, known: bool, ask: Callable[[], Reply]):
        self._bears_ids: bool | None = True if known else None
        self._ask = ask

    def check(self, operation: str, reply: Reply) -> dict[str, Any]:
        """Return the resource that an answer is, ``{}`` where there is none to be.

        :raises ConnectionError: when someone else answered
        """
        expected = EXPECTED[operation]
        status, headers = reply.status, reply.headers
        check_answer(SERVICE, operation, expected.answer, status, headers)
        if expected.media and not headers.get("content-type", "").startswith(expected.media):
            raise stranger(SERVICE, operation, status, headers, f"it is not of the type {expected.media}")
        if expected.anonymous or status == 308:
            self._identify(operation, reply)
            return {}
        if not (expected.kind or expected.members):
            return {}
        found = document(reply)
        if found is None or (expected.kind and found.get("kind") != expected.kind):
            wanted = f"of the kind {expected.kind}" if expected.kind else "an object"
            raise stranger(SERVICE, operation, status, headers, f"it is no JSON {wanted}")
        if missing := [name for name in expected.members if name not in found]:
            raise stranger(SERVICE, operation, status, headers, f"it holds no {', no '.join(missing)}")
        return found

    def check_refusal(self, operation: str, reply: Reply) -> None:
        """Look at an answer that says how things are. :raises ConnectionError: when it is not Google's"""
        if reply.status in REFUSALS and not _is_error(document(reply)):
            self._identify(operation, reply)

    def _identify(self, operation: str, reply: Reply) -> None:
        headers = reply.headers
        if ID in headers:
            self._bears_ids = True
            return
        if any(name.startswith("x-goog-") for name in headers):
            return  # emulators send some of them with some answers
        page = operation != "objects.get (media)" and reply.content[:64].lstrip().startswith(b"<")
        if self._bears_ids is None and not page:
            self._bears_ids = self._look()
        if page or self._bears_ids is not False:
            raise stranger(SERVICE, operation, reply.status, headers, f"it bears no {ID}")

    def _look(self) -> bool | None:
        """Ask who is there; return whether its answers bear an id, ``None`` when it is not this API."""
        reply = self._ask()
        found = document(reply)
        if _is_error(found) or (found is not None and found.get("kind") == "storage#buckets"):
            return ID in reply.headers
        return None


def document(reply: Reply) -> dict[str, Any] | None:
    """Return the JSON object that an answer is, ``None`` when it is something else."""
    try:
        found = json.loads(reply.content)
    except ValueError:
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _is_error(found: dict[str, Any] | None) -> bool:
    """Return whether this is the document of an error. Reference: "HTTP status and error codes for JSON"."""
    error = (found or {}).get("error")
    return isinstance(error, dict) and "message" in error


def misshapen(what: str, error: Exception) -> exc.ConnectionError:
    """Return the error for a resource that has the right kind and not the right form."""
    return exc.ConnectionError(
        f"{SERVICE} describes {what} in a way that is not understood ({type(error).__name__}: {error}): look at the "
        "endpoint and at proxies on the way"
    )
