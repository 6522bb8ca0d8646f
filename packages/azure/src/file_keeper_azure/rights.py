"""By what right a request is made: the account's key, a signature, a token, or none.

https://learn.microsoft.com/rest/api/storageservices/authorize-requests-to-azure-storage
"""

from __future__ import annotations

import base64
import binascii
import functools
import hmac
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

from file_keeper import exc

SCOPE = "https://storage.azure.com/.default"
"""What a token for the blob service is asked for."""

EARLY = 300.0
"""Seconds before its end at which a token is replaced."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Right:
    """No right: anonymous. What others add to a request is added here."""

    key = b""
    """The account's key, where that is the right."""

    def signature(self) -> str:
        """Return the signature that goes into the query of each request, ``""`` for a right of another kind."""
        return ""

    def token(self) -> str:
        """Return the token that each request bears, ``""`` for a right of another kind."""
        return ""

    def sign(self, method: str, path: str, query: Mapping[str, str], headers: dict[str, str], size: int) -> None:
        """Add to the headers of a request what shows the right.

        :param path: as it is sent
        :param query: not encoded
        :param size: bytes of the body
        """

    def renew(self, token: str, challenge: str) -> bool:
        """Do something about a 401; return whether another try may succeed.

        :param token: what the refused request bore
        :param challenge: ``WWW-Authenticate`` of the answer
        """
        return False


class Signature(Right):
    """A shared access signature.

    :param source: the signature, or the SDK's ``AzureSasCredential``, whose owner may exchange it
    """

    def __init__(self, source: Any):
        self._source = source

    def signature(self) -> str:
        text: str = self._source if isinstance(self._source, str) else self._source.signature
        return text.lstrip("?")


# -- the account's key -------------------------------------------------------------------------------------------------

_SIGNED = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip

# The service sorts the names of its headers by the weights that Windows sorts words with: hyphens count only where
# nothing else differs.
_WEIGHTS = {char: place for place, char in enumerate("!#$%&*.^_`|~+0123456789abcdefghijklmnopqrstuvwxyz", 2)}
_LIGHT = {"'": 2, "-": 3}


def _weight(name: str) -> tuple[list[int], list[int]]:
    heavy = [_WEIGHTS[char] for char in name if char in _WEIGHTS]
    return heavy, [*(_LIGHT.get(char, 0) for char in name), 1]


@functools.lru_cache(maxsize=256)
def _plan(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Return what of a request's headers is signed: the plain ones in order, ``""`` for none, and the service's own."""
    lower = {name.lower(): name for name in names}
    own = sorted((name for name in lower if name.startswith("x-ms-")), key=_weight)
    return tuple(lower.get(name, "") for name in _SIGNED), tuple((name, lower[name]) for name in own)


def text_to_sign(
    account: str, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], size: int
) -> str:
    """Return what a request is signed by.

    https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
    """
    plain, own = _plan(tuple(headers))
    lines = [method, *(headers[name] if name else "" for name in plain)]
    lines[3] = str(size) if size else ""
    lines += [f"{name}:{headers[sent]}" for name, sent in own]
    lines.append(f"/{account}{path}")
    lines += [f"{name.lower()}:{query[name]}" for name in sorted(query)]
    return "\n".join(lines)


class SharedKey(Right):
    """The key of an account.

    :param key: in base64
    """

    def __init__(self, account: str, key: str):
        self.key = base64.b64decode(key)
        self._account = account

    def sign(self, method: str, path: str, query: Mapping[str, str], headers: dict[str, str], size: int) -> None:
        text = text_to_sign(self._account, method, path, query, headers, size).encode()
        headers["Authorization"] = f"SharedKey {self._account}:{digest(self.key, text)}"


def digest(key: bytes, text: bytes) -> str:
    """Return the signature of a text."""
    return binascii.b2a_base64(hmac.digest(key, text, "sha256"), newline=False).decode("ascii")


# -- tokens ------------------------------------------------------------------------------------------------------------


class TokenSource(Protocol):
    """A token credential of the SDK, as far as it is needed."""

    def get_token(self, *scopes: str, **kwargs: Any) -> Any: ...


class Token(Right):
    """Tokens of a credential; one that is near its end is replaced by one thread, while others still use it."""

    def __init__(self, source: TokenSource):
        self._source = source
        self._lock = threading.Lock()
        self._text = ""
        self._until = 0.0
        self._tenant: dict[str, str] = {}

    def token(self) -> str:
        left = self._until - time.time()
        if left > EARLY:
            return self._text
        if not self._lock.acquire(blocking=left <= 0):
            return self._text  # another thread is at it
        try:
            if self._until - time.time() <= EARLY:
                self._ask()
            return self._text
        except Exception:
            if left > 0:
                return self._text  # good for a while: the next request asks again
            raise
        finally:
            self._lock.release()

    def _ask(self, **more: str) -> None:
        found = self._source.get_token(SCOPE, **self._tenant, **more)
        self._text, self._until = found.token, float(found.expires_on)

    def sign(self, method: str, path: str, query: Mapping[str, str], headers: dict[str, str], size: int) -> None:
        headers["Authorization"] = f"Bearer {self.token()}"

    def renew(self, token: str, challenge: str) -> bool:
        """Get another token than the refused one, from the tenant and with the claims that the service asks for.

        https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory#bearer-challenge
        """
        with self._lock:
            if self._text == token:
                wanted = _wanted(challenge)
                self._tenant = {name: value for name, value in wanted.items() if name == "tenant_id"} or self._tenant
                self._ask(**{name: value for name, value in wanted.items() if name not in self._tenant})
            return self._text != token


def _wanted(challenge: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in challenge.replace(",", " ").split():
        name, _, value = part.partition("=")
        fields[name.lower()] = value.strip('"')
    wanted: dict[str, str] = {}
    tenant = fields.get("authorization_uri", "").partition("://")[2].split("/")[1:2]
    if tenant and tenant[0]:
        wanted["tenant_id"] = tenant[0]
    if fields.get("error") == "insufficient_claims":
        try:
            claims = fields.get("claims", "")
            wanted["claims"] = base64.b64decode(claims + "=" * (-len(claims) % 4)).decode()
        except ValueError:
            raise exc.PermissionError("the service asks for claims that cannot be read") from None
    return wanted


# -- dates -------------------------------------------------------------------------------------------------------------

_now: tuple[int, str] = (0, "")


def date() -> str:
    """Return this moment as ``x-ms-date`` wants it; whatever the locale is, and made once a second."""
    global _now
    second, text = _now
    if second != (now := int(time.time())):
        at = time.gmtime(now)
        text = (
            f"{_DAYS[at.tm_wday]}, {at.tm_mday:02d} {_MONTHS[at.tm_mon - 1]} {at.tm_year} "
            f"{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} GMT"
        )
        _now = now, text
    return text


def right_of(account: str, key: str, sas: str, credential: Any) -> Right:
    """Return the right that settings give, one of them at most."""
    if key:
        return SharedKey(account, key)
    if hasattr(credential, "get_token"):
        return Token(credential)
    if sas or credential is not None:
        return Signature(sas or credential)
    return Right()
