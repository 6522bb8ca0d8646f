"""The types that are known, installed or not, with the options that only they have."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A type of ours: its distribution and the options that only it has."""

    distribution: str
    options: frozenset[str]
    extra: str


# The one table of types, so that blocks and options are recognised of a provider that is not installed.
KNOWN: dict[str, Known] = {
    f"file_keeper:{name}": Known(f"file-keeper-{distribution}", frozenset(own.split()), name)
    for name, distribution, own in (
        ("memory", "core", "base_url public signing_key"),
        ("null", "core", ""),
        ("fallback", "core", "storages copy_on_read hide"),
        ("fs", "fs", "root attributes fsync file_mode directory_mode base_url public signing_key"),
        (
            "s3",
            "s3",
            "key secret session_token profile region endpoint public_endpoint config checksums conditional_writes"
            " listing_order addressing client sse kms_key storage_class anonymous verify proxies transport"
            " access_key access_key_id aws_access_key_id secret_key secret_access_key aws_secret_access_key"
            " aws_session_token profile_name region_name endpoint_url addressing_style server_side_encryption"
            " kms_key_id sse_customer_key acl tags requester_pays expected_bucket_owner role_arn external_id"
            " role_session_name web_identity_token_file sts_endpoint user_agent features equal_parts",
        ),
        (
            "gcs",
            "gcs",
            "bucket_name project_id project credentials_file credentials endpoint client_options public_endpoint client"
            " anonymous storage_class iam_endpoint transport verify proxies requester_pays user_project kms_key"
            " kms_key_name sse_customer_key acl user_agent",
        ),
        (
            "azure",
            "azure",
            "container container_name account_name account_key account_url connection_string sas_token credential"
            " public_endpoint client anonymous transport tenant_id client_id storage_class access_tier tags"
            " encryption_scope sse_customer_key api_version verify proxies user_agent",
        ),
        ("libcloud", "libcloud", "provider key secret params container_name public_prefix driver"),
    )
}
ALIASES: dict[str, str] = {name.partition(":")[2]: name for name in KNOWN} | {
    "file_keeper:azure_blob": "file_keeper:azure"
}
"""Short names of the types of ours, and their full ones."""


_CALLED: dict[str, str] = {
    other: name
    for name, others in {
        "s3": "aws amazon amazons3 awss3 boto3 s3a s3n minio ceph radosgw r2 cloudflare wasabi b2 backblaze spaces"
        " digitalocean seaweedfs garage scaleway hetzner ovh storj tigris",
        "gcs": "gs google gcp googlestorage googlecloud googlecloudstorage",
        "azure": "az azureblob azblob blob abfs abfss wasb wasbs adl azurestorage microsoft",
        "fs": "local disk file files filesystem folder directory dir localfs localdisk posix path",
        "memory": "mem ram inmemory",
        "null": "none devnull",
    }.items()
    for other in others.split()
}


def meant_type(kind: str) -> str:
    """Return the short name of the type that a word means, ``s3`` for ``"minio"``; ``""`` when it means none."""
    word = kind.rpartition(":")[2].casefold()
    word = "".join(char for char in word if char.isalnum())
    return word if f"file_keeper:{word}" in KNOWN else _CALLED.get(word, "")


def near_miss(word: str, words: Iterable[str]) -> str:
    """Return ``, did you mean 'x'?`` for the nearest of `words`, ``""`` when none is near."""
    import difflib

    found = difflib.get_close_matches(word, list(words), 1)
    return f", did you mean {found[0]!r}?" if found else ""


@functools.cache
def option_owners() -> dict[str, list[str]]:
    """Return the full types that have an option, by the option's name."""
    owners: dict[str, list[str]] = {}
    for name, known in KNOWN.items():
        for entry in known.options:
            owners.setdefault(entry, []).append(name)
    return owners
