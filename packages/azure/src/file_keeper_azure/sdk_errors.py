"""What the SDK raises, as ours: of its pipelines, and of credentials, which are asked for tokens by the client too."""

# What the SDK's pipelines give is not typed by it.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import logging
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from file_keeper import exc
from file_keeper.backend import redact

from . import errors


class _Redacting(logging.Filter):
    """Keeps signatures out of the lines in which the HTTP library tells each address that it asks for."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(redact(arg) if isinstance(arg, str) else arg for arg in record.args)
        return True


_FILTER = _Redacting()


def quiet_logs() -> None:
    """See to it that no log at any level holds a signature; once is enough, more does no harm."""
    logging.getLogger("urllib3.connectionpool").addFilter(_FILTER)


def scrub(error: BaseException) -> list[BaseException]:
    """Take the secrets out of an exception and of all that it was made of, which a traceback would show.

    :return: the exception and what it was made of
    """
    todo: list[Any] = [error]
    chain: list[BaseException] = []
    while todo:
        one = todo.pop()
        if not isinstance(one, BaseException) or any(one is known for known in chain):
            continue
        chain.append(one)
        one.args = tuple(redact(arg) if isinstance(arg, str) else arg for arg in one.args)
        for name in ("message", "url"):
            if isinstance(text := getattr(one, name, None), str):
                setattr(one, name, redact(text))
        todo += [one.__cause__, one.__context__, getattr(one, "inner_exception", None), getattr(one, "reason", None)]
        todo += one.args
    return chain


def translate(error: Exception, container: str) -> exc.FilesError | None:
    """Turn an exception of the SDK into one of ours; ``None`` when it is not the SDK's.

    :param container: its name, for the messages that are about it
    """
    if not isinstance(error, AzureError):
        return None
    chain = scrub(error)
    if isinstance(error, HttpResponseError) and error.response is not None and not isinstance(error, DecodeError):
        found = errors.translate(_refused(error, error.response), container)
        if isinstance(found, exc.PermissionError) or not isinstance(error, ClientAuthenticationError):
            return found
    if isinstance(error, ClientAuthenticationError):
        # Also of the service that gives tokens, whatever its status is.
        return exc.PermissionError(f"{errors.CREDENTIALS}: {_words(error)}")
    # An answer that breaks off is an HttpResponseError without a response, made of what the transport raised.
    if len(chain) > 1 or isinstance(error, ServiceRequestError | ServiceResponseError | DecodeError):
        return _unanswered(error, chain)
    return exc.StorageError(_words(error))


def _words(error: AzureError) -> str:
    return redact(str(error)).partition("\n")[0].strip() or type(error).__name__


def _refused(error: HttpResponseError, response: Any) -> errors.RefusedError:
    """Return the refusal that an error of the SDK's own methods is about."""
    headers = {str(name).lower(): str(value) for name, value in response.headers.items()}
    code: Any = getattr(error, "error_code", None) or headers.get("x-ms-error-code", "")
    return errors.RefusedError(
        int(response.status_code), str(getattr(code, "value", code) or ""), _words(error), headers
    )


def _unanswered(error: AzureError, chain: list[BaseException]) -> exc.FilesError:
    """No answer, or not all of it: the network, the name of the host, a certificate, time."""
    names = {cls.__name__ for one in chain for cls in type(one).__mro__}
    if "SSLCertVerificationError" in names:
        return exc.ConnectionError(f"the certificate of the service is not trusted: {_words(error)}")
    if names & {"TimeoutError", "Timeout", "ServiceRequestTimeoutError", "ServiceResponseTimeoutError"}:
        return exc.TimeoutError(f"the service did not answer in time: {_words(error)}", retryable=True)
    return exc.ConnectionError(f"the service cannot be reached: {_words(error)}", retryable=True)
