"""What the tests here share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from file_keeper import Storage

Make = Callable[..., Storage]
"""Makes a storage out of settings; it is closed after the test."""


def at(url: str) -> dict[str, Any]:
    """The driver's parameters for an address."""
    address = urlsplit(url)
    return {"host": address.hostname, "port": address.port, "secure": address.scheme == "https"}
