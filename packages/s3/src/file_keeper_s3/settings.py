"""The options of S3, and how botocore's clients are made of them."""

# botocore and boto3 ship no types: what they give is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from file_keeper import exc
from file_keeper.backend import check_common_options
from file_keeper.settings import Settings, near_miss, option

AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")
EXPRESS = ("--x-s3", "--xa-s3")
"""How the names of directory buckets (S3 Express One Zone), and of their access points, end."""
ARN = re.compile("arn:[^:]+:s3[a-z-]*:[^:]*:[^:]*:.+")
"""What AWS prints for an access point: its own, one of several regions, of an Outpost, of Object Lambda."""
HASH_TAG = "fk_hash"
"""The object tag of a recorded hash."""


@dataclass(frozen=True, kw_only=True, repr=False)
class S3Settings(Settings):
    """What a storage on S3 is told; credentials that are not given come from boto3's own chain.

    :param bucket: its name, the ARN of an access point, or Ceph's ``tenant:bucket``
    :param key: access key id
    :param secret: secret access key
    :param session_token: of temporary credentials
    :param profile: of the AWS configuration files
    :param region: of the bucket; else as boto3 finds it
    :param endpoint: address of an S3-compatible service, ``https://minio.example:9000``
    :param public_endpoint: address, a path included, that links are given with
    :param config: options of ``botocore.config.Config``, over ours
    :param checksums: ``auto`` finds out what an endpoint takes, ``required`` sends Content-MD5 only, ``always`` sends
        ``x-amz-checksum-*`` and counts on the endpoint to keep them, as on AWS
    :param conditional_writes: whether the service decides ``If-None-Match`` and ``If-Match`` of writes; ``auto``
        trusts AWS and tries another endpoint once
    :param listing_order: how the service lists: ``bytes`` (UTF-8, as S3 says), ``tree`` or ``none``, which are listed a
        directory at a time; ``auto`` knows some services and looks at the others before it relies on their order
    :param equal_parts: whether the service wants all parts of one size, as R2 and Mega S4 do; ``auto`` knows that of
        R2, and learns it of another one by its refusal
    :param features: what the service has or does not have, true or false by name, instead of finding it out:
        ``tagging``, ``parts``, ``copy``, ``copy_parts``, ``copy_source_if_match``, ``delete_objects``,
        ``read_if_match``, ``etags``, ``list_v2``, ``content_md5``, ``unsigned_payload``
    :param addressing: ``path`` (default with an ``endpoint``) or ``virtual`` (bucket in the host name)
    :param client: a ready boto3 client of S3, used as it is
    :param transport: ``http`` sends by the HTTP client of this library, ``sdk`` by botocore's; ``auto`` takes the
        first wherever it can do what is asked for
    :param sse: server-side encryption: ``AES256``, ``aws:kms``, ``aws:kms:dsse``
    :param kms_key: key id or ARN for it
    :param sse_customer_key: 32 bytes in base64: what is written is encrypted with this key of your own, and nothing is
        read without it
    :param storage_class: of what is written, such as ``STANDARD_IA``
    :param acl: canned ACL of what is written, such as ``bucket-owner-full-control``
    :param tags: that every upload gets, at most 9
    :param requester_pays: whoever asks is charged for it, in a bucket where its owner is not
    :param expected_bucket_owner: id of the account that the bucket must belong to
    :param role_arn: a role that is assumed for all requests, with the credentials given or found
    :param external_id: that the role's trust policy asks for
    :param role_session_name: how the session of the role is called in logs
    :param web_identity_token_file: path of a token that the role is assumed with, in place of credentials
    :param sts_endpoint: address of the service that gives the role's credentials, where it is not AWS's
    :param user_agent: words that are added to ``User-Agent``, such as ``shop/1.2``
    :param anonymous: sign nothing
    :param verify: a CA bundle's path for TLS, or false to accept any certificate
    :param proxies: by scheme, ``{"https": "http://proxy:3128"}``
    """

    bucket: str = option("text", required=True)
    key: str = option("text", aliases=("access_key", "access_key_id", "aws_access_key_id"))
    secret: str = option("text", secret=True, aliases=("secret_key", "secret_access_key", "aws_secret_access_key"))
    session_token: str = option("text", secret=True, aliases=("aws_session_token",))
    profile: str = option("text", aliases=("profile_name",))
    region: str = option("text", aliases=("region_name",))
    endpoint: str = option("text", aliases=("endpoint_url",))
    public_endpoint: str = option("text")
    config: Mapping[str, Any] = option("mapping", secret=True)
    checksums: str = option("text", "auto", choices=("auto", "required", "always"))
    conditional_writes: str = option("text", "auto", choices=("auto", "yes", "no"))
    listing_order: str = option("text", "auto", choices=("auto", "bytes", "tree", "none"))
    addressing: str = option("text", "auto", choices=("auto", "path", "virtual"), aliases=("addressing_style",))
    client: Any = option("any", live=True)
    transport: str = option("text", "auto", choices=("auto", "http", "sdk"))
    sse: str = option("text", aliases=("server_side_encryption",))
    kms_key: str = option("text", aliases=("kms_key_id",))
    storage_class: str = option("text")
    anonymous: bool = option("bool", False)
    verify: Any = option("any")
    proxies: Mapping[str, str] = option("mapping", secret=True)
    sse_customer_key: str = option("text", secret=True)
    acl: str = option("text")
    tags: Mapping[str, str] = option("mapping")
    requester_pays: bool = option("bool", False)
    expected_bucket_owner: str = option("text")
    role_arn: str = option("text")
    external_id: str = option("text", secret=True)
    role_session_name: str = option("text")
    web_identity_token_file: str = option("text")
    sts_endpoint: str = option("text")
    user_agent: str = option("text")
    features: Mapping[str, bool] = option("mapping")
    equal_parts: str = option("text", "auto", choices=("auto", "yes", "no"))

    bucket_arns: ClassVar[bool] = True

    def validate(self) -> None:
        super().validate()
        wrong = exc.InvalidStorageConfigurationError
        for name in ("endpoint", "public_endpoint", "sts_endpoint"):
            value: Any = getattr(self, name)  # perhaps a reference
            if value and isinstance(value, str):
                try:
                    parts = urlsplit(value)
                except ValueError as error:
                    raise wrong(f"option {name!r} is no address: {error}") from error
                if "@" in (parts.netloc or value):
                    raise wrong(f"option {name!r} must hold no credentials: they belong into 'key' and 'secret'")
                if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                    raise wrong(f"option {name!r} must be an address such as 'https://s3.example.com', not {value!r}")
        if bool(self.key) != bool(self.secret):
            raise wrong("options 'key' and 'secret' belong together: give both or none")
        if self.session_token and not self.key:
            raise wrong("option 'session_token' belongs to 'key' and 'secret'")
        if self.anonymous and (self.key or self.profile):
            raise wrong("option 'anonymous' excludes 'key', 'secret' and 'profile'")
        if not isinstance(self.config.get("s3", {}), Mapping):
            raise wrong("option 'config': its 's3' must be a mapping")
        if self.kms_key and self.sse not in ("aws:kms", "aws:kms:dsse"):
            raise wrong("option 'kms_key' needs 'sse' to be 'aws:kms' or 'aws:kms:dsse'")
        if self.client is not None and not hasattr(self.client, "generate_presigned_url"):
            raise wrong("option 'client' must be a boto3 client of S3, boto3.client('s3')")
        check_common_options(self, self.endpoint_known)
        self._validate_who()
        self._validate_kept()
        self._validate_features()

    def _validate_who(self) -> None:
        wrong = exc.InvalidStorageConfigurationError
        whose: Any = self.expected_bucket_owner
        if isinstance(whose, str) and whose and not re.fullmatch("[0-9]{12}", whose):
            raise wrong(f"option 'expected_bucket_owner' must be the id of an account, 12 digits, not {whose!r}")
        for name in ("external_id", "role_session_name", "web_identity_token_file", "sts_endpoint"):
            if getattr(self, name) and not self.role_arn:
                raise wrong(f"option {name!r} belongs to 'role_arn'")
        if self.role_arn and (self.anonymous or self.client is not None):
            raise wrong("option 'role_arn' excludes 'anonymous' and 'client'")
        if self.web_identity_token_file and (self.key or self.external_id):
            raise wrong("option 'web_identity_token_file' excludes 'key', 'secret' and 'external_id'")
        bucket: Any = self.bucket
        if isinstance(bucket, str) and ":" in bucket and not ARN.match(bucket):
            if not re.fullmatch("[^:/]+:[^:/]+", bucket):
                raise wrong(
                    f"bucket {bucket!r} is neither a name, nor 'tenant:bucket' of Ceph, nor the ARN of an access point"
                )
            if self.addressing == "virtual":
                raise wrong(f"bucket {bucket!r} is of a tenant, and is no host's name: 'addressing' must be 'path'")

    @property
    def given_features(self) -> Mapping[str, bool]:
        """What the settings say of the service."""
        equal = {} if self.equal_parts == "auto" else {"unequal_parts": self.equal_parts == "no"}
        if not equal and is_r2(self.endpoint_known):
            equal = {"unequal_parts": False}
        # API Reference, "PutObject": directory buckets do not take it.
        md5 = {"content_md5": False} if self.bucket.endswith(EXPRESS) else {}
        return {**md5, **self.features, **equal}

    def _validate_features(self) -> None:
        from .facts import LOST

        names = [name for name in LOST if name != "unequal_parts"]
        given: Mapping[str, Any] = self.features
        for name, value in given.items():
            if name not in names:
                raise exc.InvalidStorageConfigurationError(
                    f"option 'features' has no {name!r}{near_miss(name, names)}: it knows {', '.join(names)}"
                )
            if not isinstance(value, bool):
                raise exc.InvalidStorageConfigurationError(f"option 'features': {name!r} must be true or false")

    def _validate_kept(self) -> None:
        wrong = exc.InvalidStorageConfigurationError
        if self.sse_customer_key and (self.sse or self.kms_key):
            raise wrong("option 'sse_customer_key' excludes 'sse' and 'kms_key': one of them encrypts")
        # Amazon S3 User Guide, "Categorizing your storage using tags": at most 10, and one of them is the hash.
        tags: Mapping[str, Any] = self.tags
        if len(tags) > 9 or any(
            not 0 < len(name) <= 128 or not isinstance(value, str) or len(value) > 256 for name, value in tags.items()
        ):
            raise wrong("option 'tags' must be at most 9 texts of up to 256 characters, by names of 1 to 128")
        if HASH_TAG in self.tags:
            raise wrong(f"option 'tags': {HASH_TAG!r} is reserved for the hash")

    @property
    def endpoint_known(self) -> str:
        """The address that the service will be asked at as far as is known without boto3; ``""`` for AWS's own."""
        if self.client is not None:
            return str(self.client.meta.endpoint_url)
        endpoint: Any = self.endpoint  # perhaps a reference
        if endpoint:
            return str(endpoint) if isinstance(endpoint, str) else "https://"
        return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def is_aws(url: str) -> bool:
    """Return whether an address is Amazon's own, which is trusted to do what its reference says."""
    return not url or f".{urlsplit(url).hostname or ''}".endswith(AWS_HOSTS)


def is_r2(url: str) -> bool:
    """Return whether an address is Cloudflare's, whose R2 wants parts of one size."""
    return f".{urlsplit(url).hostname or ''}".endswith(".r2.cloudflarestorage.com")


def service_at(url: str) -> str:
    """Return what the service at an address is called in errors."""
    return "Amazon S3" if is_aws(url) else f"the S3 service at {urlsplit(url).netloc}"


_ORDERED = (*AWS_HOSTS, ".r2.cloudflarestorage.com", ".storage.googleapis.com", ".digitaloceanspaces.com",
            ".wasabisys.com", ".backblazeb2.com")  # fmt: skip
"""Hosts whose services list in the order of UTF-8 bytes, as the reference says."""


def order_of(settings: S3Settings, address: str) -> Literal["bytes", "assumed", "tree", "none"]:
    """Return how a service orders its listings, as far as that is known without asking it."""
    if settings.bucket.endswith(EXPRESS):
        return "none"
    if settings.listing_order in ("bytes", "tree", "none"):
        return settings.listing_order
    known = not address or f".{urlsplit(address).hostname or ''}".endswith(_ORDERED)
    return "bytes" if known else "assumed"


@functools.cache
def _loader(data_path: str | None) -> Any:
    """Return what reads botocore's descriptions of the services: one for all storages of the process.

    It is most of what a client costs: 12 MB and 50 to 120 ms of CPU without it, 0.5 MB and 8 ms with it.
    """
    from botocore.loaders import create_loader

    return create_loader(data_path)


def make_session(settings: S3Settings) -> Any:
    """Make a botocore session of its own, since sessions must not be shared by threads.

    :raises InvalidStorageConfigurationError: there is no such profile
    """
    import botocore.session
    from botocore.exceptions import ProfileNotFound

    session = botocore.session.Session(profile=settings.profile or None)
    try:
        session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    except ProfileNotFound as error:
        raise exc.InvalidStorageConfigurationError(str(error)) from error
    if settings.client is not None:
        # Links are signed by whom the client acts for. There is no other way to its credentials.
        session._credentials = settings.client._get_credentials()  # pyright: ignore[reportPrivateUsage]
    elif settings.key:
        session.set_credentials(settings.key, settings.secret, settings.session_token or None)
    if settings.role_arn:
        from .roles import assume

        assume(session, settings)
    return session


def make_config(settings: S3Settings, *, secure: bool, custom: bool, unsigned: bool) -> Any:
    """Make botocore's configuration: ours, and the user's over it.

    :param secure: the endpoint speaks TLS
    :param custom: the endpoint is not AWS's own
    :param unsigned: nothing is signed
    """
    from botocore import UNSIGNED
    from botocore.config import Config

    given = dict(settings.config)
    # botocore's own default would give links of the global address, which redirects where a signature does not follow.
    addressing = settings.addressing
    if addressing == "auto" and settings.client is not None:
        addressing = (settings.client.meta.config.s3 or {}).get("addressing_style", addressing)
    if addressing == "auto":
        addressing = "path" if custom else "virtual"
    s3: dict[str, Any] = {"addressing_style": addressing}
    if secure:
        # Every body has a checksum of our own: over TLS it is not hashed a second time for the signature.
        s3["payload_signing_enabled"] = False
    s3.update(given.pop("s3", {}))
    ours: dict[str, Any] = {
        "s3": s3,
        "signature_version": UNSIGNED if unsigned else "s3v4",
        # Repeats are the core's; a second policy beneath it would multiply them.
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "connect_timeout": settings.timeout,
        "read_timeout": settings.timeout,
        "max_pool_connections": max(10, settings.max_concurrency + 2),
        "tcp_keepalive": True,
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        # The parameters are ours and known to be right; checking them costs a tenth of a small request.
        "parameter_validation": False,
    }
    if settings.user_agent:
        ours["user_agent_extra"] = settings.user_agent
    if settings.proxies:
        ours["proxies"] = dict(settings.proxies)
    try:
        return Config(**{**ours, **given})
    except (AttributeError, TypeError, ValueError) as error:
        raise exc.InvalidStorageConfigurationError(f"option 'config': {error}") from error


def make_client(session: Any, settings: S3Settings, endpoint: str = "", *, plain: bool = False) -> Any:
    """Make a client.

    :param endpoint: another address than the one of the settings
    :param plain: it makes addresses only, for which any credentials do
    """
    from botocore.exceptions import BotoCoreError

    url = endpoint or settings.endpoint
    known = url or settings.endpoint_known
    secure = not known.startswith("http://")
    region = settings.region or session.get_config_variable("region") or ("us-east-1" if known else None)
    if settings.client is not None:
        region = settings.client.meta.region_name
    try:
        client = session.create_client(
            "s3",
            region_name=region,
            endpoint_url=url or None,
            verify=settings.verify if settings.verify is not None else None,
            config=make_config(
                settings, secure=secure, custom=not is_aws(known), unsigned=settings.anonymous and not plain
            ),
            **({"aws_access_key_id": "-", "aws_secret_access_key": "-"} if plain else {}),
        )
    except (ValueError, BotoCoreError) as error:
        raise exc.InvalidStorageConfigurationError(f"the client cannot be made: {error}") from error
    if ":" in settings.bucket and not ARN.match(settings.bucket):
        from botocore import handlers

        # Names of Ceph's tenants are none of Amazon's.
        client.meta.events.unregister("before-parameter-build.s3", handlers.validate_bucket_name)
    return client
