"""The options of Azure Blob Storage, and how its client is built from them.

An account and the right to use it come, in this order, from ``client``; ``connection_string``; ``account_url`` or
``account_name`` with ``account_key``, ``sas_token``, ``credential`` or ``anonymous``; the environment, under the names
that the Azure CLI reads. An account without any right is used by the default credential of ``azure-identity``.
"""

# azure-identity is an extra and need not be there when this is checked.
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import base64
import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from file_keeper import exc
from file_keeper.backend import check_common_options, require_secure
from file_keeper.backend.http import is_supported
from file_keeper.settings import Reference, Settings, option

ENVIRONMENT = {
    "connection_string": "AZURE_STORAGE_CONNECTION_STRING",
    "account_name": "AZURE_STORAGE_ACCOUNT",
    "account_key": "AZURE_STORAGE_KEY",
    "sas_token": "AZURE_STORAGE_SAS_TOKEN",
}
"""Where an account, and a key or signature for it, are looked for when the settings name none. The Azure CLI reads the
same variables."""

_DEVELOPMENT = {
    # The one account of the emulator, the same everywhere and documented:
    # https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
    "BLOBENDPOINT": "http://127.0.0.1:10000/devstoreaccount1",
    "ACCOUNTNAME": "devstoreaccount1",
    "ACCOUNTKEY": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
}

RIGHTS = ("account_key", "sas_token", "credential", "anonymous")
"""The options of which one says by what right the account is used."""


@dataclass(frozen=True, kw_only=True, repr=False)
class AzureSettings(Settings):
    """Options of Azure Blob Storage.

    :param bucket: the container
    :param account_name: of the account, where neither ``account_url`` nor ``connection_string`` says it
    :param account_key: signs requests and links
    :param account_url: address of the account: ``https://ACCOUNT.blob.core.windows.net``, a private endpoint, or that
        of an emulator with the account in its path
    :param connection_string: as the portal shows it; else ``AZURE_STORAGE_CONNECTION_STRING``
    :param sas_token: a shared access signature, instead of a key
    :param credential: anything that the SDK takes as one
    :param public_endpoint: address of the account that links are given with
    :param client: a ready ``BlobServiceClient`` or ``ContainerClient``
    :param anonymous: send no credentials
    :param tenant_id: tenant that the default credential asks for its token in
    :param client_id: of the managed or workload identity that the default credential is to be
    :param storage_class: access tier of what is written: ``Hot``, ``Cool``, ``Cold``, ``Archive``
    :param tags: index tags of what is written, at most 10
    :param encryption_scope: name of the scope that what is written is encrypted with
    :param sse_customer_key: 32 bytes in base64: what is written is encrypted with this key of your own, and nothing is
        read without it
    :param api_version: version of the protocol, for services that do not know the one that is used, ``2023-11-03``
    :param verify: a CA bundle's path for TLS, or false to accept any certificate
    :param proxies: by scheme, ``{"https": "http://proxy:3128"}``; else those of the environment
    :param user_agent: words that are added to ``User-Agent``, such as ``shop/1.2``
    :param transport: what requests go through: ``http``, the client of this library; ``sdk``, the SDK's pipeline;
        ``auto``: ``http``, unless there is a ``client``, or the environment names a proxy of another kind than HTTP
    """

    bucket: Any = option("text", aliases=("container", "container_name"))
    account_name: str = option("text")
    account_key: str = option("text", secret=True)
    account_url: str = option("text")
    connection_string: str = option("text", secret=True)
    sas_token: str = option("text", secret=True)
    credential: Any = option("any", secret=True, live=True)
    public_endpoint: str = option("text")
    client: Any = option("any", live=True)
    anonymous: bool = option("bool", False)
    transport: str = option("text", "auto", choices=("auto", "http", "sdk"))
    tenant_id: str = option("text")
    client_id: str = option("text")
    storage_class: str = option("text", aliases=("access_tier",))
    tags: Mapping[str, str] = option("mapping")
    encryption_scope: str = option("text")
    sse_customer_key: str = option("text", secret=True)
    api_version: str = option("text")
    verify: Any = option("any")
    proxies: Mapping[str, str] = option("mapping", secret=True)
    user_agent: str = option("text")

    def validate(self) -> None:
        """Check what concerns several options.

        :raises InvalidStorageConfigurationError: two options that exclude one another, a wrong kind of object
        :raises MissingStorageConfigurationError: no container, no account
        """
        self._validate_live()
        if not self.bucket and not hasattr(self.client, "container_name"):
            raise exc.MissingStorageConfigurationError("option 'bucket' (the container) is required")
        for name in ("account_url", "public_endpoint"):
            _check_url(name, getattr(self, name))
        if self.client is not None and self.transport == "http":
            raise exc.InvalidStorageConfigurationError(
                "option 'client' is what sends: 'transport' cannot be 'http' beside it"
            )
        rights = [name for name in RIGHTS if getattr(self, name)]
        if len(rights) > 1:
            raise exc.InvalidStorageConfigurationError(
                f"options {' and '.join(map(repr, rights))} exclude one another: one of them says by what right the "
                "account is used"
            )
        whole = [name for name in ("client", "connection_string") if getattr(self, name)]
        others = [*whole[1:], *rights, *(name for name in ("account_name", "account_url") if getattr(self, name))]
        if whole and others:
            raise exc.InvalidStorageConfigurationError(
                f"option {whole[0]!r} says all of the account: {' and '.join(map(repr, others))} cannot stand beside it"
            )
        self._validate_more(rights)
        if not (whole or self.account_name or self.account_url or _environment()):
            raise exc.MissingStorageConfigurationError(
                "no account is named: give 'account_name', 'account_url', 'connection_string' or 'client', or set "
                f"{ENVIRONMENT['connection_string']} or {ENVIRONMENT['account_name']}"
            )

    def _validate_more(self, rights: list[str]) -> None:
        wrong = exc.InvalidStorageConfigurationError
        check_common_options(self, self.account_url)
        if self.sse_customer_key and self.encryption_scope:
            raise wrong("options 'sse_customer_key' and 'encryption_scope' exclude one another: one of them encrypts")
        version: Any = self.api_version
        if isinstance(version, str) and version and not re.fullmatch(r"20\d\d-\d\d-\d\d", version):
            raise wrong(f"option 'api_version' must be a date such as '2023-11-03', not {version!r}")
        tags: Mapping[str, Any] = self.tags
        if len(tags) > 10 or any(
            not 0 < len(name) <= 128 or not isinstance(value, str) or len(value) > 256 for name, value in tags.items()
        ):
            raise wrong("option 'tags' must be at most 10 texts of up to 256 characters, by names of 1 to 128")
        for name in ("tenant_id", "client_id"):
            if getattr(self, name) and (rights or self.client is not None or self.connection_string):
                raise wrong(f"option {name!r} is for the default credential: another right is given")
        for name in ("verify", "proxies", "api_version", "user_agent"):
            if self.client is not None and getattr(self, name) not in (None, "", {}):
                raise wrong(f"option {name!r} is the client's own affair: drop it, or 'client'")

    def _validate_live(self) -> None:
        if self.client is not None:
            # Its owner has imported it; where nobody gives one it need not be.
            from azure.storage.blob import BlobServiceClient, ContainerClient

            if not isinstance(self.client, BlobServiceClient | ContainerClient):
                kind = type(self.client).__name__
                raise exc.InvalidStorageConfigurationError(
                    f"option 'client' must be a BlobServiceClient or a ContainerClient, not a {kind}"
                )
            if isinstance(self.client, ContainerClient) and self.bucket and self.client.container_name != self.bucket:
                raise exc.InvalidStorageConfigurationError(
                    f"option 'client' is of the container {self.client.container_name!r}, option 'bucket' says "
                    f"{self.bucket!r}: keep one of them"
                )
        known = any(hasattr(self.credential, name) for name in ("get_token", "named_key", "signature"))
        if self.credential is not None and not known:
            raise exc.InvalidStorageConfigurationError(
                f"option 'credential' must be a credential object, not a {type(self.credential).__name__}: a key "
                "belongs into 'account_key', a signature into 'sas_token'"
            )

    @property
    def sender(self) -> Literal["http", "sdk"]:
        """What requests go through."""
        if self.transport != "auto":
            return "http" if self.transport == "http" else "sdk"
        return "http" if self.client is None and is_supported(self.proxies or None) else "sdk"


@dataclass(frozen=True, slots=True)
class Account:
    """An account and the right to use it, all options read.

    :param url: of the account, without a signature
    :param name: of the account, ``""`` where only its address is known
    :param key: one of these four, or none of them: anonymous
    :param ambient: the right comes out of the environment, and the address does not come with it
    """

    url: str
    name: str = ""
    key: str = dataclasses.field(default="", repr=False)
    sas: str = dataclasses.field(default="", repr=False)
    credential: Any = dataclasses.field(default=None, repr=False)
    default: bool = False
    ambient: bool = False

    @property
    def can_sign(self) -> bool:
        """Whether there is something to sign links with: a key, or a token that a delegation key can be got with."""
        return bool(self.key or self.default) or hasattr(self.credential, "get_token")


def _environment() -> bool:
    """Return whether the environment names an account."""
    return any(os.environ.get(ENVIRONMENT[name]) for name in ("connection_string", "account_name"))


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match, a port that is none
        return False


def _check_url(name: str, value: str | Reference) -> None:
    if not value or isinstance(value, Reference):
        return
    if not _is_url(value):
        shown = value if "?" not in value and "@" not in value else "that"
        raise exc.InvalidStorageConfigurationError(f"option {name!r} must be an http or https address, not {shown!r}")
    parts = urlsplit(value)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise exc.InvalidStorageConfigurationError(
            f"option {name!r} must be an address and nothing else: a signature belongs into 'sas_token'"
        )


def account(settings: AzureSettings) -> Account:
    """Read the account out of settings that have no ``client``, or out of the environment.

    :param settings: resolved
    :raises InvalidStorageConfigurationError: a malformed connection string or key
    :raises MissingStorageConfigurationError: no account anywhere
    """
    text, name, key, sas = settings.connection_string, settings.account_name, settings.account_key, settings.sas_token
    variables = {option: os.environ.get(variable, "") for option, variable in ENVIRONMENT.items()}
    if not (text or name or settings.account_url):
        text, name = variables["connection_string"], variables["account_name"]
    if not any(getattr(settings, right) for right in RIGHTS) and variables["account_name"] in (name, ""):
        key = variables["account_key"]
        sas = "" if key else variables["sas_token"]
    ambient = bool(key or sas) and not (settings.account_key or settings.sas_token)
    if text:
        return _from_connection_string(text)
    _check_url("account_url", settings.account_url)
    url = settings.account_url.rstrip("/") or (name and f"https://{name}.blob.core.windows.net")
    if not url:
        raise exc.MissingStorageConfigurationError("no account is named: give 'account_name' or 'account_url'")
    credential = settings.credential
    if hasattr(credential, "named_key"):
        name, key, credential = credential.named_key.name, credential.named_key.key, None
    default = not (key or sas or credential is not None or settings.anonymous)
    named = name or name_of(url)
    return Account(url, named, _checked_key(key), sas.lstrip("?"), credential, default, ambient or default)


def name_of(url: str) -> str:
    """Return the account's name by its address: the first label of Azure's own hosts, else the path (emulators)."""
    parts = urlsplit(url)
    host, _, rest = (parts.hostname or "").partition(".")
    if rest.startswith(("blob.", "privatelink.blob.")) or ".blob." in rest:
        return host.removesuffix("-secondary")
    return parts.path.strip("/").partition("/")[0]


def _checked_key(key: str) -> str:
    try:
        base64.b64decode(key, validate=True)
    except ValueError:  # also what is not ASCII
        raise exc.InvalidStorageConfigurationError("the account key is not base64: is it complete?") from None
    return key


def _from_connection_string(text: str) -> Account:
    pairs = [part.partition("=") for part in text.strip().split(";") if part.strip()]
    fields = {name.strip().upper(): value.strip() for name, _, value in pairs}
    if fields.get("USEDEVELOPMENTSTORAGE", "").lower() == "true":
        fields = _DEVELOPMENT
    name = fields.get("ACCOUNTNAME", "")
    url = fields.get("BLOBENDPOINT", "").rstrip("/")
    if not url and name:
        scheme = fields.get("DEFAULTENDPOINTSPROTOCOL", "https")
        url = f"{scheme}://{name}.blob.{fields.get('ENDPOINTSUFFIX', 'core.windows.net')}"
    key, sas = fields.get("ACCOUNTKEY", ""), fields.get("SHAREDACCESSSIGNATURE", "").lstrip("?")
    if not url or not (key or sas):
        raise exc.InvalidStorageConfigurationError(
            "the connection string needs AccountName or BlobEndpoint, and AccountKey or SharedAccessSignature"
        )
    _check_url("connection_string", url)
    return Account(url, name or name_of(url), _checked_key(key), "" if key else sas)


def checked(settings: AzureSettings) -> Account:
    """Read the account out of settings that have no ``client``, to use it.

    :param settings: resolved
    :raises InvalidStorageConfigurationError: the right may not go over plain HTTP to where the address leads
    """
    found = account(settings)
    require_secure("Azure Blob Storage", found.url, ambient=found.ambient, insecure=settings.insecure)
    if found.key and not found.name:
        raise exc.MissingStorageConfigurationError("option 'account_name' is required beside 'account_key'")
    if (found.default or hasattr(found.credential, "get_token")) and not found.url.lower().startswith("https:"):
        raise exc.InvalidStorageConfigurationError("a token goes over HTTPS only: 'account_url' is plain HTTP")
    return found


class _OfTenant:
    """A credential that asks for its tokens in one tenant."""

    def __init__(self, inner: Any, tenant: str):
        self._inner = inner
        self._tenant = tenant

    def get_token(self, *scopes: str, **more: Any) -> Any:
        """Return a token; see ``azure.core.credentials.TokenCredential``."""
        return self._inner.get_token(*scopes, **{"tenant_id": self._tenant, **more})

    def close(self) -> None:
        """Close the credential."""
        self._inner.close()


def authorities(settings: AzureSettings) -> bool | str:
    """Return what certificates are verified with: the option, or what the SDK's transport looks at."""
    if settings.verify is not None:
        return settings.verify
    # The authorities of a network that looks into TLS stand there.
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


def default_credential(settings: AzureSettings) -> Any:
    """Return the default credential of ``azure-identity``, which its caller closes.

    :param settings: resolved
    :raises MissingExtrasError: ``azure-identity`` is not installed
    """
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise exc.MissingExtrasError(
            "no key, signature or credential is given, so the default credential is wanted: "
            'pip install "file-keeper-azure[identity]" (or ask for {"anonymous": true})'
        ) from None
    more: dict[str, Any] = {}
    if settings.client_id:
        more |= {"managed_identity_client_id": settings.client_id, "workload_identity_client_id": settings.client_id}
    if settings.tenant_id:
        more["additionally_allowed_tenants"] = [settings.tenant_id]
    if settings.proxies:
        more["proxies"] = dict(settings.proxies)
    made: Any = DefaultAzureCredential(**more)
    return _OfTenant(made, settings.tenant_id) if settings.tenant_id else made


def can_sign(settings: AzureSettings) -> bool:
    """Tell, without a request and without building a client, whether links can be signed.

    What cannot be told yet (a reference that is not there yet) is taken for yes: signing itself then says what is
    missing.
    """
    if settings.client is not None:
        credential = settings.client.credential
        return hasattr(credential, "account_key") or hasattr(credential, "get_token")
    try:
        return account(settings.resolve()).can_sign
    except exc.InvalidStorageConfigurationError:
        return True
