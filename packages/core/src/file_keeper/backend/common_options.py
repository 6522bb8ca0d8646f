"""Options that several providers have in one form: how each is checked, once for all of them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import exc
from ..references import Reference
from .addresses import is_loopback

_AGENT = re.compile("[!-~]+(?: [!-~]+)*")


def _host_of(address: str) -> str:
    from urllib.parse import urlsplit  # only who has such an option pays for its import

    return urlsplit(address).hostname or ""


class CustomerKey(NamedTuple):
    """A key of the customer's for encryption by the service, as it travels in headers."""

    key: str
    """Base64."""
    md5: str
    """Of the key, in base64: S3."""
    sha256: str
    """The same, SHA-256: Google Cloud Storage and Azure."""

    def __repr__(self) -> str:
        return "CustomerKey(***)"


def customer_key(value: str) -> CustomerKey:
    """Read the option ``sse_customer_key``: 32 bytes in base64.

    :raises InvalidStorageConfigurationError: when it is something else; the message does not show it
    """
    try:
        key = base64.b64decode(value, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise exc.InvalidStorageConfigurationError(
            "option 'sse_customer_key' must be a key of 32 bytes in base64, as 'openssl rand -base64 32' prints one"
        )
    md5, sha256 = hashlib.md5(key, usedforsecurity=False).digest(), hashlib.sha256(key).digest()
    return CustomerKey(*(base64.b64encode(part).decode() for part in (key, md5, sha256)))


def check_common_options(settings: Any, url: Any = "") -> None:
    """Check the options that mean the same on every provider that has them.

    :param settings: of any type
    :param url: where requests go, as far as that is known
    :raises InvalidStorageConfigurationError: saying which option is wrong and what would be right
    """
    wrong = exc.InvalidStorageConfigurationError
    verify, agent = getattr(settings, "verify", None), getattr(settings, "user_agent", "")
    if not isinstance(verify, bool | str | None):
        raise wrong("option 'verify' must be true, false or the path of a CA bundle")
    if agent and isinstance(agent, str) and not _AGENT.fullmatch(agent):
        raise wrong(f"option 'user_agent' must be words of printable ASCII, such as 'shop/1.2', not {agent!r}")
    proxies: Mapping[str, Any] = getattr(settings, "proxies", None) or {}
    for scheme, proxy in proxies.items():
        if not isinstance(proxy, str) or not _host_of(proxy if "//" in proxy else f"//{proxy}"):
            raise wrong(f"option 'proxies': that of {scheme!r} must be an address such as 'http://proxy:3128'")
    key = getattr(settings, "sse_customer_key", "")
    if key and not isinstance(key, Reference):
        customer_key(key)
    if key and not settings.insecure and isinstance(url, str) and url.lower().startswith("http:"):
        host = _host_of(url)
        if not is_loopback(host):
            raise wrong(
                f"option 'sse_customer_key' is not sent over plain HTTP to {host!r}: use https, or say that the "
                "network is trusted with the option 'insecure': true"
            )
