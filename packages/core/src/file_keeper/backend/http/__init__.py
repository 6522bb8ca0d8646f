"""The HTTP client of the backends: see :class:`Client`, and docs/decisions/transport.md for why it is our own."""

from .client import Client, Config, acquire, release
from .head import Head, ProtocolError
from .proxies import Origin, is_supported
from .response import Response

__all__ = ["Client", "Config", "Head", "Origin", "ProtocolError", "Response", "acquire", "is_supported", "release"]
