"""What an HTTP status means, once for all providers; a backend adds the codes of its provider only.

Also how long an answer asks to wait, and what must not stand in a message.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import NamedTuple

from .. import exc


class Meaning(NamedTuple):
    """The error that an answer becomes.

    :param text: what to say; ``""`` leaves the word to the service
    :param retryable: whether the same request may succeed later; ``None``: as the status says
    """

    kind: type[exc.FilesError]
    text: str = ""
    retryable: bool | None = None


STATUSES: Mapping[int, Meaning] = {
    401: Meaning(exc.PermissionError),
    403: Meaning(exc.PermissionError),
    404: Meaning(exc.MissingFileError, "there is no such file"),
    408: Meaning(exc.TimeoutError, "the request did not arrive in time"),
    413: Meaning(
        exc.LargeUploadError,
        "the service, or a proxy before it, takes no body this large: raise its limit (in nginx client_max_body_size)",
    ),
    429: Meaning(exc.ThrottledError, "the service asks to slow down"),
    501: Meaning(exc.StorageError, "the service cannot do this"),
    505: Meaning(exc.StorageError, "the service does not speak this version of HTTP"),
}
"""RFC 9110, section 15, as far as object stores agree on it. Of 412 only the backend knows whose condition it was."""


def meaning_of(status: int) -> Meaning:
    """Return what a status means whose code no table knows."""
    if found := STATUSES.get(status):
        return found
    return Meaning(exc.ConnectionError) if status >= 500 else Meaning(exc.StorageError)


def is_transient(status: int) -> bool:
    """Return whether the same request may succeed later: 408, 429 and those of 5xx that say so (contract 8)."""
    return status in (408, 429, 500, 502, 503, 504)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that an answer asks to wait, 0.0 when it does not.

    :param headers: case-insensitive, or in lower case; ``Retry-After`` is a number or a date (RFC 9110, section
        10.2.3), its variants of Azure are in milliseconds
    """
    for name, unit in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = str(headers.get(name) or "").strip()
        if not value:
            continue
        if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
            return float(value) * unit
        from email.utils import parsedate_to_datetime  # only where an answer has a date: it is slow to import

        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (TypeError, ValueError, OverflowError):
            continue
    return 0.0


_SECRETS = re.compile(
    r"(?i)(\b(?:sig(?:nature)?|x-(?:amz|goog)-(?:signature|credential|security-token)|awsaccesskeyid|(?:access_)?token"
    r"|upload_?id)=)[^&\s'\"<>;)]+"
    r"|(\bAccountKey=)[^;\s'\"]+"
    r"|(\bSharedKey(?:Lite)?\s+[^:\s]+:)[^\s'\"]+"
    r"|(\bBearer\s+)[^\s'\",]+"
    r"|(://[^/\s:@]+:)[^/\s@]+(?=@)"
)


def redact(text: str) -> str:
    """Return a text with the signatures, keys, tokens and passwords in it replaced by ``***``."""
    return _SECRETS.sub(lambda found: next(filter(None, found.groups())) + "***", text)
