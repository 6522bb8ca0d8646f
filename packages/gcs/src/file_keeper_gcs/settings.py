"""The options of Google Cloud Storage, and where and by what its requests are sent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from file_keeper import exc
from file_keeper.backend import check_common_options
from file_keeper.settings import Settings, option

EMULATOR = "STORAGE_EMULATOR_HOST"
OVERRIDE = "API_ENDPOINT_OVERRIDE"
"""What the SDK looks at as well."""

UNDERSTOOD = frozenset(("api_endpoint", "quota_project_id", "scopes", "universe_domain"))
"""The options of a client that mean something without one."""

REMEDY = (
    "run 'gcloud auth application-default login', set GOOGLE_APPLICATION_CREDENTIALS or the option "
    "'credentials_file' to a key file, or ask for anonymous access with 'anonymous'"
)


@dataclass(frozen=True, kw_only=True, repr=False)
class GcsSettings(Settings):
    """What a storage on Google Cloud Storage is told.

    :param bucket: its name
    :param project_id: needed only where a bucket is created; else found as by Google's own tools
    :param credentials_file: a key file, of a service account or of any other kind that Google's libraries read
    :param credentials: a ``google.auth`` credentials object, or the content of a key file (a mapping, or its JSON)
    :param endpoint: address of the service instead of Google's; ``STORAGE_EMULATOR_HOST`` is honoured
    :param public_endpoint: address that links are given with
    :param iam_endpoint: address of the IAM Credentials API, which signs where there is no private key
    :param client_options: for the client, as by ``google.api_core.client_options.ClientOptions``
    :param client: a ready ``google.cloud.storage.Client``
    :param anonymous: send no credentials
    :param storage_class: of what is uploaded, instead of the bucket's default
    :param transport: what sends the requests: ``http`` (this library), ``sdk`` (the session of Google's client), or
        ``auto``: ``http``, unless a client was given, has options of its own, or mutual TLS or a proxy that is not
        of plain HTTP is in use
    :param verify: a CA bundle's path for TLS, or false to accept any certificate
    :param proxies: by scheme, ``{"https": "http://proxy:3128"}``; else those of the environment
    :param requester_pays: the bucket charges who asks: here ``user_project``, else ``project_id``
    :param user_project: the project that is charged for the requests
    :param kms_key: name of the Cloud KMS key for what is written, ``projects/P/locations/L/keyRings/R/cryptoKeys/K``
    :param sse_customer_key: 32 bytes in base64: what is written is encrypted with this key of your own, and nothing is
        read without it
    :param acl: predefined ACL of what is written, such as ``bucket-owner-full-control``
    :param user_agent: words that are added to ``User-Agent``, such as ``shop/1.2``
    """

    bucket: str = option("text", required=True, aliases=("bucket_name",))
    project_id: str = option("text", aliases=("project",))
    credentials_file: str = option("text")
    credentials: Any = option("any", secret=True)
    endpoint: str = option("text")
    public_endpoint: str = option("text")
    iam_endpoint: str = option("text")
    client_options: Mapping[str, Any] = option("mapping", secret=True)
    client: Any = option("any", live=True)
    anonymous: bool = option("bool", False)
    storage_class: str = option("text")
    transport: str = option("text", "auto", choices=("auto", "http", "sdk"))
    verify: Any = option("any")
    proxies: Mapping[str, str] = option("mapping", secret=True)
    requester_pays: bool = option("bool", False)
    user_project: str = option("text")
    kms_key: str = option("text", aliases=("kms_key_name",))
    sse_customer_key: str = option("text", secret=True)
    acl: str = option(
        "text",
        choices=(
            "", "authenticated-read", "bucket-owner-full-control", "bucket-owner-read", "private", "project-private",
            "public-read",
        ),
    )  # fmt: skip
    user_agent: str = option("text")

    def validate(self) -> None:
        """Check that there is one answer to who is asking, and that addresses are addresses."""
        ways = [name for name in ("client", "credentials", "credentials_file", "anonymous") if getattr(self, name)]
        if len(ways) > 1:
            raise exc.InvalidStorageConfigurationError(
                f"options {ways[0]!r} and {ways[1]!r} exclude each other: keep one of them"
            )
        if self.client is not None and (self.endpoint or self.client_options):
            raise exc.InvalidStorageConfigurationError(
                "a ready client has its own endpoint and options: drop 'endpoint' and 'client_options', or 'client'"
            )
        if self.client is not None and (self.transport == "http" or self.verify is not None or self.proxies):
            raise exc.InvalidStorageConfigurationError(
                "a ready client sends its requests itself: drop 'transport', 'verify' and 'proxies', or 'client'"
            )
        if self.kms_key and self.sse_customer_key:
            raise exc.InvalidStorageConfigurationError(
                "options 'kms_key' and 'sse_customer_key' exclude each other: one of them encrypts"
            )
        if self.requester_pays and not (self.user_project or self.project_id):
            raise exc.InvalidStorageConfigurationError(
                "option 'requester_pays' needs 'user_project' (or 'project_id'): the project that is charged"
            )
        if self.payer and self.anonymous:
            raise exc.InvalidStorageConfigurationError("nobody can be charged for 'anonymous' requests")
        strange = sorted(set(self.client_options) - UNDERSTOOD)
        if self.transport == "http" and strange:
            raise exc.InvalidStorageConfigurationError(
                f"{strange[0]!r} in 'client_options' is for Google's client: set 'transport' to 'auto' or 'sdk'"
            )
        for name in ("endpoint", "public_endpoint", "iam_endpoint"):
            value = getattr(self, name)
            if isinstance(value, str) and value and not _is_address(value):
                raise exc.InvalidStorageConfigurationError(
                    f"option {name!r} must be an address such as https://storage.example.com, not {value!r}"
                )
        check_common_options(self, self.endpoint or os.environ.get(EMULATOR) or "")

    @property
    def payer(self) -> str:
        """The project that is charged for the requests, ``""`` for the bucket's own."""
        return self.user_project or (self.project_id if self.requester_pays else "")

    def live(self) -> str:
        """Name an option that holds an object of the program; the content of a key file is none."""
        if self.credentials is not None and not isinstance(self.credentials, str | Mapping):
            return "credentials"
        return super().live()


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and "@" not in parts.netloc
        )
    except ValueError:
        return False


def address(settings: GcsSettings) -> str:
    """Return the address of the service as the settings and the environment name it; nobody is asked.

    :param settings: resolved
    """
    if settings.client is not None:
        return str(settings.client.api_endpoint)
    options = settings.client_options
    universe = options.get("universe_domain") or "googleapis.com"
    found = settings.endpoint or options.get("api_endpoint") or os.environ.get(EMULATOR) or os.environ.get(OVERRIDE)
    if not found:
        return f"https://storage.{universe}"
    return (found if "://" in found else f"http://{found}").rstrip("/")


def is_emulated(settings: GcsSettings) -> bool:
    """Return whether the environment names an emulator, which no credentials are looked for.

    :param settings: resolved
    """
    return bool(os.environ.get(EMULATOR)) and not (settings.endpoint or settings.client_options.get("api_endpoint"))


def authorities(settings: GcsSettings) -> bool | str:
    """Return what certificates are verified with: the option, or what the variables of ``requests`` name.

    :param settings: resolved
    """
    if settings.verify is not None:
        return settings.verify
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


def transport_of(settings: GcsSettings) -> str:
    """Return what sends the requests: ``http`` or ``sdk``; nobody is asked.

    :param settings: resolved
    """
    if settings.client is not None or set(settings.client_options) - UNDERSTOOD:
        return "sdk"
    if settings.transport != "auto":
        return settings.transport
    from file_keeper.backend import http

    from .credentials import uses_mutual_tls

    return "http" if http.is_supported(settings.proxies or None) and not uses_mutual_tls(settings) else "sdk"
