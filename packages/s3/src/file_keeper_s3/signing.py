"""Links: signed with a known key, without a request."""

# boto3 and botocore ship no types: what they give is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from file_keeper import exc
from file_keeper.backend import SignAction, SignedRequest, SignOptions

from .operations import tagging
from .sdk import Clients

LONGEST = 7 * 24 * 3600
"""Seconds that a signature of version 4 can be valid."""

_OPERATIONS: dict[SignAction, tuple[str, str]] = {
    "upload": ("put_object", "PUT"),
    "download": ("get_object", "GET"),
    "delete": ("delete_object", "DELETE"),
    "part": ("upload_part", "PUT"),
}


def sign(
    clients: Clients, bucket: str, storing: Mapping[str, str], action: SignAction, key: str, options: SignOptions
) -> SignedRequest:
    """Sign a request.

    :param storing: parameters of how an upload is to be kept
    :raises StorageDataError: for a duration that a signature cannot have
    :raises PermissionError: without credentials
    """
    if not 0 < options.duration <= LONGEST:
        raise exc.StorageDataError(f"a link of S3 is valid for up to {LONGEST} seconds, not {options.duration}")
    if clients.settings.anonymous:
        raise exc.PermissionError("nothing can be signed without credentials, and the storage is anonymous")
    if options.max_size is not None:
        return _form(clients, bucket, storing, key, options)
    operation, method = _OPERATIONS[action]
    params: dict[str, Any] = {"Bucket": bucket, "Key": key}
    headers: dict[str, str] = {}
    if action == "upload":
        params.update(storing)
        headers.update((_HEADERS[name], value) for name, value in storing.items())
        if options.content_type:
            params["ContentType"] = headers["Content-Type"] = options.content_type
        if options.if_absent:
            params["IfNoneMatch"] = headers["If-None-Match"] = "*"
    elif action == "download":
        if options.content_type:
            params["ResponseContentType"] = options.content_type
        if options.disposition:
            params["ResponseContentDisposition"] = options.disposition
    elif action == "part" and options.upload is not None:
        params.update(UploadId=options.upload.id, PartNumber=options.part + 1)
    if clients.settings.requester_pays:
        params["RequestPayer"] = headers["x-amz-request-payer"] = "requester"
    signed = clients.links.generate_presigned_url(operation, Params=params, ExpiresIn=math.ceil(options.duration))
    return SignedRequest(_public(clients, signed), method, headers)


def _form(clients: Clients, bucket: str, storing: Mapping[str, str], key: str, options: SignOptions) -> SignedRequest:
    """Sign a form: the one upload whose size S3 decides. Reference: Amazon S3 API Reference, "POST Policy"."""
    if options.if_absent:
        raise exc.UnsupportedOperationError(
            "a form of S3 knows no condition: sign with 'max_size' or with overwrite=False, and where a name must not "
            "be taken sign one that nobody else can have"
        )
    fields = {_FIELDS.get(name, _HEADERS[name]): value for name, value in storing.items()}
    if tags := clients.settings.tags:
        fields["tagging"] = tagging([{"Key": name, "Value": value} for name, value in tags.items()]).decode()
    if clients.settings.requester_pays:
        fields["x-amz-request-payer"] = "requester"
    if options.content_type:
        fields["Content-Type"] = options.content_type
    made = clients.links.generate_presigned_post(
        bucket,
        key,
        Fields=dict(fields),
        Conditions=[*({name: value} for name, value in fields.items()), ["content-length-range", 0, options.max_size]],
        ExpiresIn=math.ceil(options.duration),
    )
    return SignedRequest(_public(clients, str(made["url"])), "POST", fields=made["fields"])


_HEADERS = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "StorageClass": "x-amz-storage-class",
    "ACL": "x-amz-acl",
    "Tagging": "x-amz-tagging",
}
_FIELDS = {"ACL": "acl", "Tagging": "tagging"}
"""How those are called in a form whose name there is another."""


def url(clients: Clients, bucket: str, key: str) -> str:
    """Return the address of an object, which serves it to everyone if the bucket lets it."""
    plain: str = clients.plain.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    return _public(clients, urlunsplit(urlsplit(plain)._replace(query="")))


def _public(clients: Clients, address: str) -> str:
    """Put the path of the public endpoint before that of an address."""
    before = urlsplit(clients.settings.public_endpoint).path.rstrip("/")
    if not before:
        return address
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=before + parts.path))
