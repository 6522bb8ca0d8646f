"""What the answer to each request must be: one table, and the one place where it is looked at.

Anybody can answer 200: a captive portal, a console port, a proxy. Google's resources name their kind, and each answer
bears the id of its request. Emulators bear no id; then one request that only this API answers shows who is there.

Reference: "Objects", "Objects: list", "Objects: rewrite", resource representations; "Response headers"
(X-GUploader-UploadID).
"""

# `requests` types the body of an answer as anything.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from file_keeper import exc
from file_keeper.backend import Answer, check_answer, stranger

SERVICE = "Google Cloud Storage"
ID = "x-guploader-uploadid"
REFUSALS = (404, 409, 410, 412, 416)
"""What says how things are: an error of a stranger must not be taken for that."""


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

    def __init__(self, *, known: bool, ask: Callable[[], requests.Response]):
        self._bears_ids: bool | None = True if known else None
        self._ask = ask

    def check(self, operation: str, response: requests.Response) -> dict[str, Any]:
        """Return the resource that an answer is, ``{}`` where there is none to be.

        :raises ConnectionError: when someone else answered
        """
        expected = EXPECTED[operation]
        status, headers = response.status_code, response.headers
        check_answer(SERVICE, operation, expected.answer, status, headers)
        if expected.media and not headers.get("Content-Type", "").startswith(expected.media):
            raise stranger(SERVICE, operation, status, headers, f"it is not of the type {expected.media}")
        if expected.anonymous or status == 308:
            self._identify(operation, response)
            return {}
        if not (expected.kind or expected.members):
            return {}
        found = document(response)
        if found is None or (expected.kind and found.get("kind") != expected.kind):
            wanted = f"of the kind {expected.kind}" if expected.kind else "an object"
            raise stranger(SERVICE, operation, status, headers, f"it is no JSON {wanted}")
        if missing := [name for name in expected.members if name not in found]:
            raise stranger(SERVICE, operation, status, headers, f"it holds no {', no '.join(missing)}")
        return found

    def check_refusal(self, operation: str, response: requests.Response) -> None:
        """Look at an answer that says how things are. :raises ConnectionError: when it is not Google's"""
        if response.status_code in REFUSALS and not _is_error(document(response)):
            self._identify(operation, response)

    def _identify(self, operation: str, response: requests.Response) -> None:
        headers = response.headers
        if ID in headers:
            self._bears_ids = True
            return
        if any(name.lower().startswith("x-goog-") for name in headers):
            return  # emulators send some of them with some answers
        page = operation != "objects.get (media)" and response.content[:64].lstrip().startswith(b"<")
        if self._bears_ids is None and not page:
            self._bears_ids = self._look()
        if page or self._bears_ids is not False:
            raise stranger(SERVICE, operation, response.status_code, headers, f"it bears no {ID}")

    def _look(self) -> bool | None:
        """Ask who is there; return whether its answers bear an id, ``None`` when it is not this API."""
        response = self._ask()
        found = document(response)
        if _is_error(found) or (found is not None and found.get("kind") == "storage#buckets"):
            return ID in response.headers
        return None


def document(response: requests.Response) -> dict[str, Any] | None:
    """Return the JSON object that an answer is, ``None`` when it is something else."""
    try:
        found = json.loads(response.content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


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
