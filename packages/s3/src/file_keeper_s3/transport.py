"""Which of the two senders a storage uses, and what they have in common."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from file_keeper import exc
from file_keeper.backend.http import is_supported
from file_keeper.types import Buffer

from .facts import Facts, facts_of
from .http import HTTPSender
from .reply import Refusal, Reply
from .sdk import Clients, SDKSender
from .settings import EXPRESS, S3Settings, is_aws
from .standing import standing


class Transport:
    """Sends the requests of one bucket, by the client of our own or by the SDK.

    :param clients: botocore's, which are made only where they are needed
    """

    def __init__(self, clients: Clients, bucket: str):
        self._clients = clients
        self._bucket = bucket
        self._sender: HTTPSender | SDKSender | None = None
        self._standing: Callable[[str], dict[str, str]] | None = None
        self._asked_signed = False
        self._address = ""
        self._lock = threading.Lock()

    @property
    def kind(self) -> str:
        """``"http"`` or ``"sdk"``: which one is used."""
        return self._made().kind

    @property
    def address(self) -> str:
        """Where the service is."""
        if not self._address:
            settings = self._clients.settings
            self._address = (settings.endpoint if settings.client is None else "") or self._clients.address
        return self._address

    def request(self, operation: str, body: Buffer | None = None, /, **params: Any) -> Reply:
        """Make a request of an operation of S3.

        :param params: by the names of the API Reference
        :raises Refusal: the service says no
        :raises ConnectionError: there was no answer, or not one of the service
        """
        sender = self._sender or self._made()
        if self._standing:
            params = {**self._standing(operation), **params}
        try:
            return sender.request(operation, body, **params)
        except Refusal as error:
            if not self._is_unsigned(error):
                raise
        sender.sign_payloads()
        answer = sender.request(operation, body, **params)
        self._facts.learn("unsigned_payload", False)
        return answer

    @property
    def _facts(self) -> Facts:
        return facts_of(self.address, self._bucket)

    def _is_unsigned(self, error: Refusal) -> bool:
        """Return whether a request was refused since its body was not signed, which happens over TLS only."""
        if self._asked_signed or is_aws(self.address) or not self.address.startswith("https:"):
            return False
        if error.status not in (400, 403, 501) or not _UNSIGNED.search(f"{error.code} {error.said}"):
            return False
        self._asked_signed = True  # once, whatever becomes of it
        return True

    def _made(self) -> HTTPSender | SDKSender:
        with self._lock:
            if self._sender is None:
                settings = self._clients.settings
                self._standing = standing(settings)
                if _needs_sdk(settings):
                    self._sender = SDKSender(self._clients, self._bucket)
                else:
                    self._sender = HTTPSender(self._clients, self._bucket)
                known = settings.given_features.get("unsigned_payload")
                if known is None and settings.endpoint:
                    known = self._facts.known.get("unsigned_payload")
                if known is False:
                    self._sender.sign_payloads()
            return self._sender

    def after_fork(self) -> None:
        """Make the sender anew in the child."""
        self._lock = threading.Lock()
        if self._sender is not None:
            self._sender.after_fork()

    def close(self) -> None:
        """Close what was made here."""
        with self._lock:
            sender, self._sender, self._address = self._sender, None, ""
        if sender is not None:
            sender.close()


_UNSIGNED = re.compile(
    "XAmzContentSHA256Mismatch|MissingContentSHA256|SignatureDoesNotMatch|UNSIGNED-PAYLOAD|x-amz-content-sha256"
)
_KNOWN = frozenset(
    ("s3", "retries", "connect_timeout", "read_timeout", "max_pool_connections", "tcp_keepalive", "region_name",
     "request_checksum_calculation", "response_checksum_validation", "parameter_validation", "proxies")
)  # fmt: skip
_KNOWN_S3 = frozenset(("addressing_style", "payload_signing_enabled"))


def _needs_sdk(settings: S3Settings) -> bool:
    """Return whether only botocore does what the settings ask for.

    :raises InvalidStorageConfigurationError: ``http`` was asked for and cannot do it
    """
    if settings.transport == "sdk":
        return True
    why = _beyond_http(settings)
    if why and settings.transport == "http":
        raise exc.InvalidStorageConfigurationError(f"option 'transport': 'http' cannot do it: {why}; use 'sdk'")
    return bool(why)


def _beyond_http(settings: S3Settings) -> str:
    """Return what the sender of our own does not do of what is asked for, ``""`` for nothing."""
    if settings.client is not None:
        return "a 'client' was given, with hooks of its own"
    if settings.bucket.startswith("arn:") or settings.bucket.endswith(EXPRESS):
        return f"the bucket {settings.bucket!r} has endpoints and signatures of its own kind"
    if not isinstance(settings.config.get("retries", {}), Mapping):
        return "'config' has 'retries' of another form"
    unknown = [*(set(settings.config) - _KNOWN), *(set(settings.config.get("s3", {})) - _KNOWN_S3)]
    if unknown:
        return f"'config' has {', '.join(map(repr, sorted(unknown)))}"
    if not is_supported(settings.proxies or settings.config.get("proxies") or None):
        return "a proxy is not one of HTTP"
    if "moto" in sys.modules and _is_patched():
        return "botocore is patched by a mock"
    return ""


def _is_patched() -> bool:
    """Return whether moto answers in the place of the network, as in a user's tests."""
    models: Any = sys.modules.get("moto.core.models")
    stubber = getattr(models, "botocore_stubber", None)
    return bool(getattr(stubber, "enabled", False))
