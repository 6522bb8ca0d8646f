"""The operations of S3 as requests of HTTP: where each of their parameters goes. API Reference, "Request Syntax"."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

_SAFE = "-_.~"
_PLAIN = re.compile(r"[A-Za-z0-9/_.~-]*")


class Operation(NamedTuple):
    """One operation.

    :param query: what its address always asks
    :param xml: the root element of its answer; ``""`` when that is told by headers
    :param again: it may be sent once more when a kept connection broke without an answer
    """

    name: str
    method: str
    query: str = ""
    xml: str = ""
    again: bool = True


OPERATIONS: Mapping[str, Operation] = {
    "head_object": Operation("HeadObject", "HEAD"),
    "get_object": Operation("GetObject", "GET"),
    "put_object": Operation("PutObject", "PUT"),
    "copy_object": Operation("CopyObject", "PUT", xml="CopyObjectResult"),
    "delete_object": Operation("DeleteObject", "DELETE"),
    "delete_objects": Operation("DeleteObjects", "POST", "delete=", "DeleteResult"),
    "create_multipart_upload": Operation("CreateMultipartUpload", "POST", "uploads=", "InitiateMultipartUploadResult",
                                         again=False),
    "upload_part": Operation("UploadPart", "PUT"),
    "upload_part_copy": Operation("UploadPartCopy", "PUT", xml="CopyPartResult"),
    "complete_multipart_upload": Operation("CompleteMultipartUpload", "POST", xml="CompleteMultipartUploadResult",
                                           again=False),
    "abort_multipart_upload": Operation("AbortMultipartUpload", "DELETE", again=False),  # it tells whether it was open
    "list_parts": Operation("ListParts", "GET", xml="ListPartsResult"),
    "list_multipart_uploads": Operation("ListMultipartUploads", "GET", "uploads=", "ListMultipartUploadsResult"),
    "list_objects_v2": Operation("ListObjectsV2", "GET", "list-type=2", "ListBucketResult"),
    "list_objects": Operation("ListObjects", "GET", xml="ListBucketResult"),
    "get_object_tagging": Operation("GetObjectTagging", "GET", "tagging=", "Tagging"),
    "put_object_tagging": Operation("PutObjectTagging", "PUT", "tagging="),
    "head_bucket": Operation("HeadBucket", "HEAD"),
    "create_bucket": Operation("CreateBucket", "PUT", again=False),
}  # fmt: skip

_HEADERS: Mapping[str, str] = {
    "ContentType": "Content-Type",
    "ContentMD5": "Content-MD5",
    "CacheControl": "Cache-Control",
    "ContentDisposition": "Content-Disposition",
    "ContentEncoding": "Content-Encoding",
    "ContentLanguage": "Content-Language",
    "IfMatch": "If-Match",
    "IfNoneMatch": "If-None-Match",
    "Range": "Range",
    "ChecksumMode": "x-amz-checksum-mode",
    "ChecksumAlgorithm": "x-amz-checksum-algorithm",
    "ChecksumType": "x-amz-checksum-type",
    "ChecksumCRC32C": "x-amz-checksum-crc32c",
    "ChecksumCRC64NVME": "x-amz-checksum-crc64nvme",
    "ChecksumSHA256": "x-amz-checksum-sha256",
    "ChecksumSHA1": "x-amz-checksum-sha1",
    "CopySourceIfMatch": "x-amz-copy-source-if-match",
    "CopySourceRange": "x-amz-copy-source-range",
    "MetadataDirective": "x-amz-metadata-directive",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "StorageClass": "x-amz-storage-class",
    "ACL": "x-amz-acl",
    "RequestPayer": "x-amz-request-payer",
    "ExpectedBucketOwner": "x-amz-expected-bucket-owner",
    "ExpectedSourceBucketOwner": "x-amz-source-expected-bucket-owner",
    "SSECustomerAlgorithm": "x-amz-server-side-encryption-customer-algorithm",
    "SSECustomerKey": "x-amz-server-side-encryption-customer-key",
    "SSECustomerKeyMD5": "x-amz-server-side-encryption-customer-key-MD5",
    "CopySourceSSECustomerAlgorithm": "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "CopySourceSSECustomerKey": "x-amz-copy-source-server-side-encryption-customer-key",
    "CopySourceSSECustomerKeyMD5": "x-amz-copy-source-server-side-encryption-customer-key-MD5",
}
_QUERY: Mapping[str, str] = {
    "ContinuationToken": "continuation-token",
    "Delimiter": "delimiter",
    "EncodingType": "encoding-type",
    "KeyMarker": "key-marker",
    "Marker": "marker",
    "MaxKeys": "max-keys",
    "MaxParts": "max-parts",
    "MaxUploads": "max-uploads",
    "PartNumber": "partNumber",
    "PartNumberMarker": "part-number-marker",
    "Prefix": "prefix",
    "StartAfter": "start-after",
    "UploadId": "uploadId",
    "UploadIdMarker": "upload-id-marker",
}
_NS = "http://s3.amazonaws.com/doc/2006-03-01/"
_ENCODED = ("list_objects_v2", "list_objects")
"""Listings whose names are asked for in URL encoding: XML 1.0 cannot hold every character of a key."""


class Request(NamedTuple):
    """A request without its address and signature.

    :param key: ``""`` for the bucket itself
    :param query: encoded, in order of the names, as it is signed: what has no value ends in ``=``
    :param sent: the same as it is sent, where that ends without it
    """

    operation: Operation
    key: str
    query: str
    sent: str
    headers: dict[str, str]
    body: Any


def request_of(name: str, body: Any, params: Mapping[str, Any]) -> Request:
    """Return the request of an operation with parameters of the API Reference."""
    operation = OPERATIONS[name]
    headers: dict[str, str] = {}
    query: list[str] = [operation.query] if operation.query else []
    key = ""
    for param, value in params.items():
        if (header := _HEADERS.get(param)) is not None:
            headers[header] = value
        elif param == "Key":
            key = value
        elif (asked := _QUERY.get(param)) is not None:
            query.append(f"{asked}={quote(str(value), safe=_SAFE)}")
        elif param == "Metadata":
            for own, text in value.items():
                headers[f"x-amz-meta-{own}"] = text
        elif param == "CopySource":
            headers["x-amz-copy-source"] = f"{encoded_bucket(value['Bucket'])}/{encoded(value['Key'])}"
        elif param == "Tagging" and isinstance(value, str):
            headers["x-amz-tagging"] = value
        else:
            body = _XML[param](value)
            headers["Content-Type"] = "application/xml"
            if param in ("Delete", "Tagging"):
                digest = hashlib.md5(body, usedforsecurity=False).digest()
                headers["Content-MD5"] = base64.b64encode(digest).decode("ascii")
    if name in _ENCODED:
        query.append("encoding-type=url")
    query.sort()
    sent = [asked.removesuffix("=") if asked == operation.query else asked for asked in query]
    return Request(operation, key, "&".join(query), "&".join(sent), headers, body)


def encoded(key: str) -> str:
    """Return a key as it stands in an address."""
    return key if _PLAIN.fullmatch(key) else quote(key, safe=f"/{_SAFE}")


def encoded_bucket(bucket: str) -> str:
    """Return the name of a bucket as it stands in an address; Ceph's may be ``tenant:bucket``."""
    return quote(bucket, safe=_SAFE) if ":" in bucket else bucket


def _text(value: object) -> str:
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    return text.replace("\n", "&#10;")


def _complete(value: Mapping[str, Any]) -> bytes:
    parts = "".join(
        f"<Part><ETag>{_text(part['ETag'])}</ETag><PartNumber>{part['PartNumber']}</PartNumber></Part>"
        for part in value["Parts"]
    )
    return f'<CompleteMultipartUpload xmlns="{_NS}">{parts}</CompleteMultipartUpload>'.encode()


def _delete(value: Mapping[str, Any]) -> bytes:
    objects = "".join(f"<Object><Key>{_text(found['Key'])}</Key></Object>" for found in value["Objects"])
    return f'<Delete xmlns="{_NS}">{objects}</Delete>'.encode()


def tagging(found: Sequence[Mapping[str, str]]) -> bytes:
    """Return tags as they are sent."""
    tags = "".join(f"<Tag><Key>{_text(tag['Key'])}</Key><Value>{_text(tag['Value'])}</Value></Tag>" for tag in found)
    return f'<Tagging xmlns="{_NS}"><TagSet>{tags}</TagSet></Tagging>'.encode()


def _tagging(value: Mapping[str, Any]) -> bytes:
    return tagging(value["TagSet"])


def _bucket(value: Mapping[str, Any]) -> bytes:
    where = f"<LocationConstraint>{_text(value['LocationConstraint'])}</LocationConstraint>"
    return f'<CreateBucketConfiguration xmlns="{_NS}">{where}</CreateBucketConfiguration>'.encode()


_XML = {
    "MultipartUpload": _complete,
    "Delete": _delete,
    "Tagging": _tagging,
    "CreateBucketConfiguration": _bucket,
}
