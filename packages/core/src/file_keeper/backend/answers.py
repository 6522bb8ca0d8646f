"""What an answer must bear to count as one of the service: anybody can say 200.

A captive portal, a console port or a proxy answers 200 with a page of its own. So each backend lists, once and by
request, the statuses that mean success and the headers that its service always sends with them; whatever else comes
is an error that says who answered (contract 7).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Mapping
from typing import TypeVar

from .. import exc

E = TypeVar("E", bound=BaseException)

_WITNESSES = ("content-type", "server", "via", "x-cache", "x-powered-by")


_LOOKED = "_file_keeper_looked"


@contextlib.contextmanager
def looking() -> Generator[None]:
    """Mark what fails within as a look before a change: whatever became of it, nothing was changed.

    For a verb that looks first, as a removal where only that tells whether there was anything.
    """
    try:
        yield
    except Exception as error:
        setattr(error, _LOOKED, True)
        raise


def was_look(error: BaseException) -> bool:
    """Return whether an error was raised while :func:`looking`."""
    return getattr(error, _LOOKED, False)


_UNSENT = "_file_keeper_unsent"


def mark_unsent(error: E) -> E:
    """Mark an error as one before the request: nothing of that was sent, so nothing can have been done."""
    setattr(error, _UNSENT, True)
    return error


def was_unsent(error: BaseException) -> bool:
    """Return whether an error was raised before anything of the request was sent; see :func:`mark_unsent`."""
    return getattr(error, _UNSENT, False)


_SENDS = "_file_keeper_sends"


def mark_sends(error: E, sends: int) -> E:
    """Record in an error how many times its request went out: the policy of repeats counts each."""
    setattr(error, _SENDS, sends)
    return error


def sends_of(error: BaseException) -> int:
    """Return how many times the request of an error went out; see :func:`mark_sends`."""
    return getattr(error, _SENDS, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a successful answer to one kind of request looks like.

    :param statuses: the statuses that mean success
    :param headers: names of headers that the service always sends with it, in any case
    """

    statuses: frozenset[int] = frozenset((200,))
    headers: tuple[str, ...] = ()


def check_answer(
    service: str,
    request: str,
    expected: Answer,
    status: int,
    headers: Mapping[str, str],
    *,
    setting: str = "endpoint",
) -> None:
    """Refuse an answer that the service would not give. Errors of the service are judged elsewhere, before.

    :param service: who should have answered, for the message (``"Amazon S3"``)
    :param request: the request, for the message (``"PutObject"``)
    :param status: HTTP status of the answer
    :param headers: its headers; names are compared without regard to case
    :param setting: the option that names the address
    :raises ConnectionError: when status or headers are not those of `expected`
    """
    if status in expected.statuses:
        if not expected.headers:
            return
        names = {name.lower() for name, value in headers.items() if value}
        missing = [name for name in expected.headers if name.lower() not in names]
        if not missing:
            return
        raise stranger(service, request, status, headers, f"it lacks {' and '.join(missing)}", setting=setting)
    raise stranger(service, request, status, headers, "that is no answer to this request", setting=setting)


def stranger(
    service: str, request: str, status: int, headers: Mapping[str, str], why: str, *, setting: str = "endpoint"
) -> exc.ConnectionError:
    """Return the error for an answer that `service` did not give; it says who did, and where to look.

    :param why: what shows it, as the end of a sentence
    :param setting: the option that names the address
    """
    lower = {name.lower(): value for name, value in headers.items()}
    facts = [f"{name}: {lower[name]:.80}" for name in _WITNESSES if lower.get(name)]
    who = f" ({', '.join(facts)})" if facts else ""
    return exc.ConnectionError(
        f"{service} did not answer {request}: the answer has status {status}{who} and {why}. Something else stands at "
        f"the endpoint, a proxy or a portal: check {setting!r} (port, scheme), the proxy settings and the network",
        status=status,
    )


def refuse_redirect(service: str, url: str, target: str, setting: str) -> exc.ConnectionError:
    """Return the error for a redirect that is not followed: it would carry credentials or content elsewhere.

    :param url: what was asked; only its origin is shown, queries may hold signatures
    :param target: where the answer points to; only its origin is shown
    :param setting: the option to change where the target is right
    """
    return exc.ConnectionError(
        f"{service} at {_origin(url)} redirects to {_origin(target)}, which is not followed: credentials and content "
        f"go to no other address than the configured one. If that address is right, set {setting!r} to it"
    )


def _origin(url: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    if not host:
        return "a path of the same host" if url.startswith("/") else "no address"
    return f"{parts.scheme}://{host}{port}"
