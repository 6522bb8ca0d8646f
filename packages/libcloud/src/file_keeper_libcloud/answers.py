"""Whether an answer is one of the provider's: drivers look at little more than its status.

Anybody can answer 200. A page of a portal is an empty listing to a driver, a stored file, a deleted one. What the
providers send with every answer is known for the drivers of :mod:`.traits`; of any other driver nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from file_keeper import exc
from file_keeper.backend import Answer, check_answer, refuse_redirect, stranger

REDIRECTS = (301, 302, 303, 307, 308)
REFUSALS = (404, 409, 412, 416)
"""What says how things are: an error of a stranger must not be taken for that."""

_ROOTS = re.compile(
    rb"<(?:\w+:)?(?:ListBucketResult|ListAllMyBucketsResult|ListMultipartUploadsResult|InitiateMultipartUploadResult"
    rb"|CompleteMultipartUploadResult|LocationConstraint|ListPartsResult|Error)[\s>/]"
)
_XML_ERROR = re.compile(rb"<Error[\s>]")


class Witness:
    """Looks at the answers that the drivers of one storage get.

    :param service: who should answer, for messages
    :param ids: headers of which every answer of the provider bears one; empty for a driver that nobody has looked at
    :param strict: each answer has one. Else (S3, which many services speak) only those of a service that sends them
    """

    def __init__(self, service: str, ids: tuple[str, ...], *, strict: bool):
        self._service = service
        self._ids = ids
        self._strict = self._known = strict

    def check(self, response: Any, *, raw: bool) -> None:
        """Look at an answer.

        :param raw: its body is an object's, and stays unread
        :raises ConnectionError: when someone else answered, or the answer leads elsewhere
        """
        status, headers = int(response.status_code), response.headers
        request = f"{response.request.method} ({self._service})"
        signed = any(name in headers for name in self._ids)
        if status in REDIRECTS and not signed and not _is_error(response):
            raise refuse_redirect(self._service, str(response.url), headers.get("Location", ""), "params")
        if signed:
            self._known = True
        elif self._ids and (status < 300 or status in REFUSALS):
            # moto's 416 bears no id, and is an error document of S3.
            told = not self._strict and status in REFUSALS and _is_error(response)
            if self._known and not told:
                raise stranger(self._service, request, status, headers, f"it bears no {self._ids[0]}")
            self._look(response, request, status, headers, raw=raw)

    def _look(self, response: Any, request: str, status: int, headers: Mapping[str, str], *, raw: bool) -> None:
        """Look for other marks of S3: an ETag, or the root element of a document."""
        method = response.request.method
        if "etag" in headers:
            return
        if status in REFUSALS:
            # A HEAD has nothing to look at; a driver asks for the bucket before, and to miss that one is an error.
            if method != "HEAD" and not _is_error(response):
                raise stranger(self._service, request, status, headers, "it is no error of this service")
            return
        if method == "DELETE":
            check_answer(self._service, request, Answer(frozenset((200, 202, 204))), status, headers)
            if response.content.strip():
                raise stranger(self._service, request, status, headers, "it holds something")
        elif method == "HEAD" and not raw and _is_bucket(response):
            check_answer(self._service, request, Answer(), status, headers)
        elif method == "HEAD" or raw or method == "PUT":
            raise stranger(self._service, request, status, headers, "it lacks etag")
        elif not _ROOTS.search(response.content[:1024]):
            raise stranger(self._service, request, status, headers, "it is no document of this service")


def _is_error(response: Any) -> bool:
    return response.request.method != "HEAD" and _XML_ERROR.search(response.content[:1024]) is not None


def _is_bucket(response: Any) -> bool:
    """Return whether a bucket was asked for, whose answer has no ETag; the driver addresses it by its path."""
    return str(response.request.path_url).partition("?")[0].strip("/").count("/") == 0


class Advance:
    """Sees that the pages of a listing advance: drivers ask for the same page for ever."""

    def __init__(self) -> None:
        # Brent's algorithm finds a circle of any length in constant memory.
        self._landmark = ""
        self._steps = 0
        self._power: int = 1

    def check(self, url: str) -> None:
        """Note the page that is asked for now. :raises ConnectionError: when it was asked for before"""
        if url == self._landmark:
            raise exc.ConnectionError(
                "the listing does not advance: its answer promises more and leads back to a page that was read "
                "already; the service, or a proxy before it, does not page as its protocol says"
            )
        self._steps += 1
        if not self._landmark or self._steps == self._power:
            self._landmark, self._steps, self._power = url, 0, self._power * 2
