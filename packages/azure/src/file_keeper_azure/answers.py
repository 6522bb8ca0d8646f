"""What the answer to each request must be: one table.

Anybody can answer 200: a captive portal, a console port, a proxy. The service sends the id of the request and the
version of its protocol with every answer, an etag with whatever tells of a version, and its code with every refusal;
what each operation answers is told under "Response" of its page in the reference.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from file_keeper import exc
from file_keeper.backend import Answer, check_answer, refuse_redirect, stranger

SETTING = "account_url"
"""The option that names the address of the service."""

_ALWAYS = ("x-ms-request-id", "x-ms-version")
_VERSIONED = (*_ALWAYS, "ETag")


@dataclass(frozen=True, slots=True)
class Request:
    """A kind of request.

    :param name: the operation, as the reference calls it
    :param answer: what a success looks like
    :param query: what tells the operation from others of the same method
    :param of_account: it is about the account, and not the container or a blob of it
    """

    name: str
    method: str
    answer: Answer
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    of_account: bool = False
    needed: tuple[str, ...] = field(init=False)
    """The names of headers that a success has, in lower case."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "needed", tuple(name.lower() for name in self.answer.headers))


def _is(status: int, headers: tuple[str, ...]) -> Answer:
    return Answer(frozenset((status,)), headers)


_CONTAINER = {"restype": "container"}

GET_PROPERTIES = Request("Get Blob Properties", "HEAD", _is(200, (*_VERSIONED, "x-ms-blob-type", "Content-Length")))
GET_BLOB = Request("Get Blob", "GET", Answer(frozenset((200, 206)), (*_VERSIONED, "x-ms-blob-type")))
PUT_BLOB = Request("Put Blob", "PUT", _is(201, _VERSIONED))
DELETE_BLOB = Request("Delete Blob", "DELETE", _is(202, _ALWAYS))
PUT_BLOCK = Request("Put Block", "PUT", _is(201, _ALWAYS), {"comp": "block"})
FETCH_BLOCK = Request("Put Block From URL", "PUT", _is(201, _ALWAYS), {"comp": "block"})
PUT_BLOCK_LIST = Request("Put Block List", "PUT", _is(201, _VERSIONED), {"comp": "blocklist"})
GET_BLOCK_LIST = Request("Get Block List", "GET", _is(200, _ALWAYS), {"comp": "blocklist", "blocklisttype": "all"})
COPY_BLOB = Request("Copy Blob From URL", "PUT", _is(202, (*_VERSIONED, "x-ms-copy-status")))
ABORT_COPY = Request("Abort Copy Blob", "PUT", _is(204, _ALWAYS), {"comp": "copy"})
SET_METADATA = Request("Set Blob Metadata", "PUT", _is(200, _VERSIONED), {"comp": "metadata"})
SET_PROPERTIES = Request("Set Blob Properties", "PUT", _is(200, _VERSIONED), {"comp": "properties"})
LIST_BLOBS = Request("List Blobs", "GET", _is(200, _ALWAYS), {**_CONTAINER, "comp": "list"})
CREATE_CONTAINER = Request("Create Container", "PUT", _is(201, _VERSIONED), _CONTAINER)
BLOB_BATCH = Request("Blob Batch", "POST", _is(202, _ALWAYS), {**_CONTAINER, "comp": "batch"})
# Told by its body: Azurite sends no headers with it.
GET_DELEGATION_KEY = Request(
    "Get User Delegation Key",
    "POST",
    _is(200, ()),
    {"restype": "service", "comp": "userdelegationkey"},
    of_account=True,
)

# Statuses that a gateway on the way may answer, and that mean the same whoever says it.
_ANYBODYS = frozenset((401, 403, 407, 408, 413, 429))


class Judge:
    """Tells answers of the service from those of somebody else.

    :param url: of the account; only its origin is shown
    """

    def __init__(self, url: str):
        self._url = url

    @property
    def _service(self) -> str:
        scheme, _, rest = self._url.partition("://")
        return f"Azure Blob Storage at {scheme}://{rest.partition('/')[0]}"

    # Headers have names in lower case here.

    def accept(self, request: Request, status: int, headers: Mapping[str, str]) -> None:
        """Let a success pass. :raises ConnectionError: when it is not one of the service"""
        if status in request.answer.statuses:
            for name in request.needed:
                if not headers.get(name):
                    break
            else:
                return
        check_answer(self._service, request.name, request.answer, status, headers, setting=SETTING)

    def accept_refusal(self, request: Request, status: int, code: str, headers: Mapping[str, str]) -> None:
        """Let a refusal pass. :raises ConnectionError: for a redirect, and when it is not one of the service"""
        if 300 <= status < 400 and status != 304:
            raise refuse_redirect("Azure Blob Storage", self._url, headers.get("location", ""), SETTING)
        if status >= 500 or status in _ANYBODYS or (code and headers.get(_ALWAYS[0])):
            return
        raise self.stranger(request, status, headers, "it bears no code and id of the service")

    def stranger(self, request: Request, status: int, headers: Mapping[str, str], why: str) -> exc.ConnectionError:
        """Return the error for an answer whose body shows that somebody else gave it."""
        return stranger(self._service, request.name, status, headers, why, setting=SETTING)
