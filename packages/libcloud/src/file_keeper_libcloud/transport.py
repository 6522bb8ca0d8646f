"""Between a driver and the network: what Libcloud hides of an answer, and how it is made to stream.

Libcloud's connections read bodies whole, decode what has a Content-Encoding, send raw requests without a timeout, and
tell of an error little more than a sentence. Every connection makes its HTTP client through its ``conn_class``, so a
client of our own takes its place, in this storage's drivers only.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import requests
from libcloud.http import LibcloudConnection
from libcloud.storage.base import StorageDriver
from libcloud.utils.retry import Retry

from .answers import Advance, Witness

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# Libcloud's connections are not typed.

_TOLD = 64 << 10  # bytes of the body of an error that are looked at
_TAG = re.compile(r"<(Code|Message)>([^<]*)</\1>")


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What the provider said: of the last request before an error."""

    status: int
    code: str
    message: str
    request_id: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, response: requests.Response) -> Answer:
        """Read an answer; of a body that is still open its beginning."""
        body = b""
        if response.status_code >= 300:
            with suppress(Exception):
                opened = not getattr(response, "_content_consumed", False)
                raw: Any = response.raw
                body = raw.read(_TOLD, decode_content=True) if opened else response.content[:_TOLD]
        found = _elements(body)
        headers = response.headers
        return cls(
            status=response.status_code,
            code=headers.get("x-ms-error-code", "") or found.get("Code", ""),
            message=(found.get("Message") or "").partition("\n")[0],
            request_id=next(
                (headers[name] for name in ("x-amz-request-id", "x-ms-request-id", "x-trans-id") if name in headers), ""
            ),
            headers=headers,
        )


def _elements(body: bytes) -> dict[str, str]:
    """Return the elements ``Code`` and ``Message`` of an error in XML."""
    return dict(_TAG.findall(body.decode("utf-8", "replace")))


class Trace:
    """The last answer that a driver got, and the clients that it made."""

    def __init__(self, witness: Witness) -> None:
        self.response: requests.Response | None = None
        self.advance: Advance | None = None
        self.witness = witness
        self._sessions: list[requests.Session] = []

    def made(self, session: requests.Session) -> None:
        self._sessions.append(session)

    def close(self) -> None:
        """Close the connections."""
        for session in self._sessions:
            session.close()


class Wire(LibcloudConnection):
    """An HTTP client of Libcloud that keeps the last answer, streams what is read, and never waits for ever."""

    session: Any

    def __init__(self, *args: Any, trace: Trace, **options: Any):
        super().__init__(*args, **options)
        self._trace = trace
        trace.made(self.session)
        # No redirect is followed: requests asks its session where to.
        self.session.get_redirect_target = _nowhere

    def request(self, method: str, url: str, *args: Any, **options: Any) -> None:
        if self._trace.advance is not None and method == "GET":
            self._trace.advance.check(url)
        super().request(method, url, *args, **options)
        self._answered(raw=False)

    def _answered(self, *, raw: bool) -> None:
        response: Any = self.response
        self._trace.response = response
        try:
            self._trace.witness.check(response, raw=raw)
        except BaseException:
            response.close()
            raise

    def prepared_request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: dict[str, Any] | None = None,
        raw: bool = False,
        stream: bool = False,
    ) -> None:
        if hasattr(body, "fileno") and not os.fstat(body.fileno()).st_size:
            body = None  # an empty file would be sent in chunks, which S3 refuses; nothing at all has a length of 0
        request = requests.Request(method, f"{self.host}{url}", data=body, headers=self._normalize_headers(headers))
        self.response = self.session.send(
            self.session.prepare_request(request),
            stream=stream or method == "GET",
            verify=self.verification,
            timeout=self.session.timeout,
        )
        self._answered(raw=method == "GET")


def _nowhere(response: requests.Response) -> None:
    """Return where a redirect leads to: nowhere."""


class _Once(Retry):
    """Repeats nothing, whatever the environment says: the core repeats."""

    def __call__(self, func: Callable[..., Any]) -> Any:
        return func


def install(driver: StorageDriver, timeout: float, witness: Witness) -> Trace:
    """Make the connection of a driver use :class:`Wire`; return what it will tell.

    :param timeout: seconds without a byte, unless the driver was made with one of its own
    """
    trace = Trace(witness)
    connection: Any = getattr(driver, "connection", None)
    if connection is None:  # a driver that needs none
        return trace
    connection.retryCls = _Once
    raw: type[Any] = connection.rawResponseCls

    class Raw(raw):
        """A range is a success: a driver that does not know so (Azure's) reads all of it to look for the error."""

        def success(self) -> bool:
            return self.status == 206 or super().success()

    connection.rawResponseCls = Raw
    connection.timeout = connection.timeout or timeout
    connection.conn_class = functools.partial(Wire, trace=trace)
    before, connection.connection = getattr(connection, "connection", None), None
    session = getattr(before, "session", None)
    if session is not None:
        session.close()
    return trace


class RawBody:
    """The bytes of an answer as stored: nothing decodes them."""

    def __init__(self, response: requests.Response):
        self._response = response
        self._raw = response.raw

    def read(self, size: int = -1, /) -> bytes:
        return self._raw.read(None if size < 0 else size, decode_content=False)

    def close(self) -> None:
        self._response.close()
