"""What the settings add to each request, whoever makes it: who pays, whose the bucket is, the key of the customer."""

from __future__ import annotations

import functools
from collections.abc import Callable

from file_keeper.backend import customer_key

from .settings import S3Settings

_OBJECT = ("head_object", "get_object")
_WRITES = ("put_object", "create_multipart_upload", "upload_part", "complete_multipart_upload")
_COPIES = ("copy_object", "upload_part_copy")
_OF_KEYS = (*_OBJECT, *_WRITES, *_COPIES, "list_parts")
"""Operations that a customer's key belongs to."""

_FREE = ("head_bucket", "create_bucket")
"""Operations that nobody is asked to pay for."""


def standing(settings: S3Settings) -> Callable[[str], dict[str, str]] | None:
    """Return what gives the parameters that the settings add to an operation; ``None`` for nothing at all.

    :param settings: with their references read
    """
    if not (settings.requester_pays or settings.expected_bucket_owner or settings.sse_customer_key):
        return None

    @functools.cache
    def of(operation: str) -> dict[str, str]:
        params: dict[str, str] = {}
        copies = operation in _COPIES
        if settings.requester_pays and operation not in _FREE:
            params["RequestPayer"] = "requester"
        if (owner := settings.expected_bucket_owner) and operation != "create_bucket":
            params["ExpectedBucketOwner"] = owner
            if copies:
                params["ExpectedSourceBucketOwner"] = owner
        if settings.sse_customer_key and operation in _OF_KEYS:
            params |= customer(settings.sse_customer_key)
            if copies:
                params |= {f"CopySource{name}": value for name, value in customer(settings.sse_customer_key).items()}
        return params

    return of


def customer(key: str) -> dict[str, str]:
    """Return the parameters of a customer's key. API Reference, PutObject."""
    found = customer_key(key)
    # With the MD5 botocore takes the key for encoded as well.
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": found.key, "SSECustomerKeyMD5": found.md5}
