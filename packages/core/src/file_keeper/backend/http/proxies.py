"""Which proxy a request goes through: one of the settings, one of the environment, or none."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ... import exc


class Origin(NamedTuple):
    """Where a server is: RFC 9110, section 4.3.1."""

    secure: bool
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """Return the origin of an address.

        :raises InvalidStorageConfigurationError: it is no address of HTTP
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
            if host and not host.isascii():
                host = host.encode("idna").decode()
        except ValueError:
            host = port = None
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not host or not host.isprintable() or " " in host:
            # Neither a password nor a signature in it is shown.
            shown = url.rpartition("@")[2].partition("?")[0]
            raise exc.InvalidStorageConfigurationError(f"{shown!r} is no address such as 'https://host.example'")
        secure = parts.scheme == "https"
        return cls(secure, host, port or (443 if secure else 80))

    @property
    def authority(self) -> str:
        """Host and, unless it is the usual one, port: the value of ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.authority}"


class Proxy(NamedTuple):
    """A proxy, and what it is told of who asks."""

    origin: Origin
    authorization: str

    def __repr__(self) -> str:
        return f"Proxy({self.origin})"


Proxies = tuple[tuple[str, str], ...] | None
"""Addresses by scheme, hashable; ``None`` for those of the environment."""


def is_supported(proxies: Mapping[str, str] | None) -> bool:
    """Return whether all proxies that may be used are of HTTP: none speaks SOCKS, none is reached by TLS."""
    found = _of_environment() if proxies is None else proxies
    return all(
        address.partition("://")[0].lower() == "http" or "://" not in address
        for name, address in found.items()
        if name in ("http", "https", "all") and address
    )


def proxy_for(origin: Origin, proxies: Proxies) -> Proxy | None:
    """Return the proxy of an origin.

    :raises InvalidStorageConfigurationError: for an address that is none, or a proxy of another kind than HTTP
    """
    found = _of_environment() if proxies is None else dict(proxies)
    address = found.get("https" if origin.secure else "http") or found.get("all") or ""
    if not address or (proxies is None and _bypassed(origin)):
        return None
    address = address if "://" in address else f"http://{address}"
    user = password = ""
    try:
        parts = urlsplit(address)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        place = Origin.of(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    except (ValueError, exc.InvalidStorageConfigurationError):
        place = None
    if place is None or place.secure:
        # The address may hold a password: it is not shown.
        raise exc.InvalidStorageConfigurationError(
            f"the proxy for {origin} must have an address such as 'http://proxy.example:3128': set 'proxies', or "
            "'transport' to 'sdk' for a proxy of another kind"
        )
    given = base64.b64encode(f"{user}:{password}".encode()).decode() if user or password else ""
    return Proxy(place, f"Basic {given}" if given else "")


def _of_environment() -> Mapping[str, str]:
    if sys.platform not in ("darwin", "win32") and not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}
    from urllib.request import getproxies  # slow to import, and seldom needed

    return getproxies()


def _bypassed(origin: Origin) -> bool:
    from urllib.request import proxy_bypass

    # With the port first: a rule may name one.
    return bool(proxy_bypass(f"{origin.host}:{origin.port}") or proxy_bypass(origin.host))
