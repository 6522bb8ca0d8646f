"""What the answer to each request must be: one table, and the one place where it is looked at.

Anybody can answer 200: a captive portal, a console port, a proxy. What S3 always sends with each success is in the API
Reference, under "Response Syntax" of the operation. What has nothing of its own (a deletion) must bear the id of the
request, or come from a service that was shown to speak S3 without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from file_keeper import exc
from file_keeper.backend import Answer, check_answer, stranger

from .facts import Facts
from .reply import IDS, Refusal, Reply


@dataclass(frozen=True, slots=True)
class Expected:
    """What a success looks like.

    :param members: of which the parsed answer has at least one: elements within the root element of this answer, or
        headers
    :param within: the element that holds them
    :param anonymous: nothing in it tells that it is of S3: the headers must
    """

    answer: Answer = Answer()
    members: tuple[str, ...] = ()
    within: str = ""
    anonymous: bool = False


_OBJECT = Expected(Answer(headers=("etag",)))  # or an id of the request, see Prover.check
_DONE = Expected(Answer(frozenset((200, 204))), anonymous=True)
_EXPECTED: dict[str, Expected] = {
    "head_object": _OBJECT,
    "get_object": Expected(Answer(frozenset((200, 206)), ("etag",))),
    "put_object": _OBJECT,
    "copy_object": Expected(members=("ETag",), within="CopyObjectResult"),
    "delete_object": _DONE,
    "delete_objects": Expected(),  # each key must be told of: see the backend
    "create_multipart_upload": Expected(members=("UploadId",)),
    "upload_part": _OBJECT,
    "upload_part_copy": Expected(members=("ETag",), within="CopyPartResult"),
    # Not the ETag, which radosgw leaves empty.
    "complete_multipart_upload": Expected(members=("Location", "Bucket", "Key", "ETag")),
    "abort_multipart_upload": _DONE,
    "list_parts": Expected(members=("UploadId", "PartNumberMarker", "MaxParts")),
    "list_multipart_uploads": Expected(members=("KeyMarker", "UploadIdMarker", "MaxUploads", "Bucket")),
    "list_objects_v2": Expected(members=("IsTruncated", "Name")),
    "list_objects": Expected(members=("IsTruncated", "Name")),
    "get_object_tagging": Expected(members=("TagSet",)),
    "put_object_tagging": _DONE,
    "head_bucket": Expected(anonymous=True),
    "create_bucket": Expected(anonymous=True),
}


class Prover:
    """Shows that an answer is one of the service.

    :param service: who should answer, for messages
    :param send: makes a request without looking at its answer
    """

    def __init__(self, service: str, facts: Facts, send: Callable[..., Any]):
        self._service = service
        self._facts = facts
        self._send = send

    def check(self, operation: str, answer: Reply) -> None:
        """Look at a success. :raises ConnectionError: when it is none of S3"""
        status, headers = answer.status, answer.headers
        expected = _EXPECTED[operation]
        wanted = expected.answer
        if wanted.headers and operation != "upload_part" and _bears_id(headers):
            wanted = Answer(wanted.statuses)  # a service that has no ETags is one all the same
        check_answer(self._service, operation, wanted, status, headers)
        if expected.anonymous:
            self._identify(operation, status, headers)
        elif expected.answer.headers == _OBJECT.answer.headers:
            self._check_object(operation, status, headers)
        if expected.members:
            found = answer.fields.get(expected.within) if expected.within else answer.fields
            if not isinstance(found, Mapping) or not any(name in found for name in expected.members):
                wanted = expected.within or " or ".join(expected.members)
                raise stranger(self._service, operation, status, headers, f"it holds no {wanted}")

    def _check_object(self, operation: str, status: int, headers: Mapping[str, str]) -> None:
        """Refuse what a web server sends for a page of its own: it has an ETag, and no id where the service sends one.

        Only for a page it is asked whether the service does; what is no page and bears none is believed till then.
        """
        if any(headers.get(name) for name in IDS):
            return
        facts = self._facts
        page = "html" in headers.get("content-type", "")
        if page and facts.identified is None:
            facts.identified = self._has_ids()
        if facts.identified or (page and facts.identified is None):
            raise stranger(self._service, operation, status, headers, f"it bears no {IDS[0]}")

    def check_refusal(self, operation: str, error: Refusal) -> None:
        """Look at an answer that says how things are (nothing there, a conflict) without a code of S3.

        :raises ConnectionError: when it is not of S3
        """
        status, code = error.status, error.code
        if status in (404, 409, 412, 416) and (not code or code.isdigit()):
            self._identify(operation, status, error.headers)

    def _identify(self, operation: str, status: int, headers: Mapping[str, str]) -> None:
        facts = self._facts
        if any(headers.get(name) for name in IDS):
            facts.identified = True
            return
        page = status == 200 and "html" in headers.get("content-type", "") and headers.get("content-length", "0") != "0"
        if facts.identified is None and not page:
            facts.identified = self._has_ids()
        if page or facts.identified or facts.identified is None:
            raise stranger(self._service, operation, status, headers, f"it bears no {IDS[0]}")

    def _has_ids(self) -> bool | None:
        """Ask for something that only S3 can answer; return whether that bears an id, ``None`` when it is not S3."""
        try:
            answer = self._send("list_objects", MaxKeys=1)
        except Refusal as error:
            if (code := error.code) and not code.isdigit():
                return _bears_id(error.headers)
            return None
        try:
            self.check("list_objects", answer)
        except exc.ConnectionError:
            return None
        return _bears_id(answer.headers)


def _bears_id(headers: Mapping[str, str]) -> bool:
    return any(headers.get(name) for name in IDS)
