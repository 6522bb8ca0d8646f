"""What is known of a service: which checksums it takes, whether it decides conditions, which listing it speaks.

Amazon's own is trusted. Of another one it is found out when it matters, once a process, address and bucket.
"""

# botocore ships no types: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Literal

from botocore.exceptions import ClientError
from file_keeper import hashing
from file_keeper.location import RESERVED
from file_keeper.types import Buffer

from .errors import code_of, status_of
from .settings import S3Settings, is_aws

log = logging.getLogger("file_keeper")

Kind = Literal["put", "complete", "copy", "delete"]
Call = Callable[..., Any]
Attempt = Callable[[], tuple[dict[str, Any], Any]]

# How a request with a checksum that the service does not know is refused: boto/boto3#4435 and its kind name 400 and
# 501, R2 a 401 "Unauthorized", old radosgw a 411; an answer to HEAD has no code but its status.
_REFUSED_CODES = re.compile(
    "NotImplemented|InvalidArgument|InvalidRequest|BadRequest|MalformedHeader|InvalidHeader|UnsupportedHeader"
    "|UnsupportedOperation|MissingContentLength|Unauthorized|400|501"
)
_REFUSED_STATUS = (400, 401, 411, 501)
_MISMATCH = re.compile("checksum type mismatch", re.IGNORECASE)

PARAMS = {
    "crc32c": "ChecksumCRC32C",
    "crc64nvme": "ChecksumCRC64NVME",
    "sha256": "ChecksumSHA256",
    "sha1": "ChecksumSHA1",
}
"""The parameter of a request, and the field of an answer, that holds the checksum of each algorithm."""

NATIVE = frozenset(("crc32c", "crc64nvme"))
"""What S3 keeps of a whole object, however it came to be."""


def refuses_checksums(error: ClientError) -> bool:
    """Tell whether a request may have been refused for what is modern in it."""
    return status_of(error) in _REFUSED_STATUS and _REFUSED_CODES.fullmatch(code_of(error)) is not None


class Facts:
    """What was found out about one bucket at one address, by any storage of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.legacy = False
        """It refuses ``x-amz-checksum-*``."""
        self.legacy_parts = False
        """It refuses a checksum on the parts of uploads that were begun without one."""
        self.keeps: bool | None = None
        """It answers with the checksum that it was sent; ``None`` while nobody knows."""
        self.list_v1 = False
        self.conditions: dict[tuple[Kind, bool], str] = {}
        """By kind of write and whether ``If-Match`` is meant: the form of the etag, ``""`` where it is not decided."""
        self.bucket_seen = False


_KNOWN: dict[tuple[str, str], Facts] = {}


def _forked() -> None:
    for facts in _KNOWN.values():
        facts.lock = threading.Lock()  # the parent's may be held by a thread that is not here


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_forked)


class Endpoint:
    """The service of one storage.

    :param url: its address
    :param call: makes a request of an operation, by parameters
    """

    def __init__(self, settings: S3Settings, url: str, call: Call):
        self.url = url
        self.aws = is_aws(url)
        self.native = (self.aws and settings.checksums == "auto") or settings.checksums == "always"
        self.facts = _KNOWN.setdefault((url, settings.bucket), Facts())
        self._denied: set[tuple[Kind, bool]] = set()
        self._settings = settings
        self._call = call
        self._signed = url.startswith("http://") and not settings.anonymous
        self._algorithm = settings.hashing_algorithm if settings.hashing_algorithm in NATIVE else "crc32c"

    # -- checksums --------------------------------------------------------------------------------------------------

    @property
    def modern(self) -> bool:
        """Whether ``x-amz-checksum-*`` headers are in use."""
        return self._settings.checksums != "required" and not self.facts.legacy

    @property
    def part_algorithm(self) -> str:
        """The checksum of parts, declared when an upload begins; ``""`` where none is."""
        return self._algorithm if self.native else ""

    def checksum(self, body: Buffer, digests: Mapping[str, str], *, part: bool = False) -> dict[str, str]:
        """Give the parameters of one checksum of `body` that the service verifies; nothing is hashed twice.

        :param digests: what is known of the body already
        """
        if self.modern and not (part and self.facts.legacy_parts):
            return self._modern(body, digests, part)
        return self._legacy(body, digests)

    def _modern(self, body: Buffer, digests: Mapping[str, str], part: bool) -> dict[str, str]:
        algorithm = next((name for name in PARAMS if name in digests and (not part or name == self._algorithm)), "")
        if "md5" in digests and algorithm not in NATIVE and not part:
            return {"ContentMD5": hashing.to_base64(digests["md5"])}
        value = digests.get(algorithm, "")
        if not value:
            algorithm = self._algorithm
            value = _hash(algorithm, body)
        result = {PARAMS[algorithm]: hashing.to_base64(value)}
        if not self.native and self.facts.keeps is not True:
            # A service that ignores the header verifies nothing, unless the signature covers the body.
            if self.facts.keeps is False:
                return self._legacy(body, digests)
            if not self._signed:
                result |= self._legacy(body, digests)
        return result

    def _legacy(self, body: Buffer, digests: Mapping[str, str]) -> dict[str, str]:
        value = digests.get("md5", "")
        if not value and self._signed and self._settings.checksums != "required":
            return {}  # over plain HTTP the signature has a SHA-256 of the body, which every service verifies
        return {"ContentMD5": hashing.to_base64(value or _hash("md5", body))}

    def send(
        self, operation: str, body: Buffer | None = None, digests: Mapping[str, str] | None = None, **params: Any
    ) -> Any:
        """Make a request, with a checksum where it has a body; without what is modern if the service refuses that."""
        part = operation == "upload_part"

        def attempt() -> tuple[dict[str, Any], Any]:
            sums = self.checksum(body, digests or {}, part=part) if body is not None else {}
            kept = params if self.modern else {k: v for k, v in params.items() if not k.startswith("Checksum")}
            whole = {**kept, **sums}
            return whole, self._call(operation, body, **whole)

        if self.native or not self.modern:
            return attempt()[1]
        before = (self.facts.legacy, self.facts.legacy_parts)
        try:
            sent, answer = attempt()
        except ClientError as error:
            if not refuses_checksums(error):
                raise
            mismatch = part and _MISMATCH.search(str(error)) is not None
            return self._again(attempt, error, "legacy_parts" if mismatch else "legacy", before)
        if body is not None and self.facts.keeps is None and any(name in sent for name in PARAMS.values()):
            # The answer repeats the checksum where the service knows what that is.
            self.facts.keeps = any(name in answer for name in PARAMS.values()) or (None if self._signed else False)
        return answer

    def _again(
        self,
        attempt: Callable[[], tuple[dict[str, Any], Any]],
        error: ClientError,
        fact: str,
        before: tuple[bool, bool],
    ) -> Any:
        facts = self.facts
        with facts.lock:
            fresh = not getattr(facts, fact)
            setattr(facts, fact, True)
        try:
            sent, answer = attempt()
        except ClientError as second:
            if fresh and refuses_checksums(second):
                # It was not the checksum: nothing was learned.
                facts.legacy, facts.legacy_parts = before
            raise
        if fresh and fact == "legacy":
            log.warning(
                "%s refuses x-amz-checksum headers (%s): from now on it gets %s instead, and keeps no CRC of whole "
                "objects; 'checksums': 'required' in the settings of %r spares the attempt",
                self.url,
                code_of(error) or status_of(error),
                "Content-MD5" if sent.get("ContentMD5") or not self._signed else "signed bodies and Content-MD5",
                self._settings.name,
            )
        return answer

    # -- conditions -------------------------------------------------------------------------------------------------

    def condition(self, kind: Kind, *, if_match: bool) -> str:
        """Tell in which form the service takes the etag of a condition; ``""`` when it does not decide conditions.

        :return: a format for the etag, ``'"{}"'`` or ``'{}'``
        """
        found = self.condition_known(kind, if_match=if_match)
        if found is None:
            with self.facts.lock:
                found = self.condition_known(kind, if_match=if_match)
                if found is None:
                    found = self._probe(kind, if_match)
                    if found is None:
                        # Others may have other credentials: they find out themselves.
                        self._denied.add((kind, if_match))
                        return ""
                    self.facts.conditions[kind, if_match] = found
        return found

    def condition_known(self, kind: Kind, *, if_match: bool = False) -> str | None:
        """Tell the same without a request; ``None`` while nobody knows."""
        wanted = self._settings.conditional_writes
        if wanted == "yes" or (wanted == "auto" and self.aws):
            return '"{}"'
        if wanted == "no" or (kind, if_match) in self._denied:
            return ""
        return self.facts.conditions.get((kind, if_match))

    def _probe(self, kind: Kind, if_match: bool) -> str | None:
        """Try a write whose condition does not hold: only a service that refuses it decides conditions.

        :return: as :meth:`condition`; ``None`` when trying is not allowed
        """
        path = self._settings.path
        key = f"{path}/{RESERVED}/probe-{uuid.uuid4().hex}" if path else f"{RESERVED}/probe-{uuid.uuid4().hex}"
        try:
            etag = self._write(key, b"1")
        except ClientError as error:
            if status_of(error) not in (401, 403):
                raise
            log.warning(
                "%s: probing for conditional writes is not allowed (%s): what is there is looked up before a write "
                "instead, and of two writers at one moment both may succeed",
                self.url,
                code_of(error),
            )
            return None
        found = ""
        if etag:
            try:
                found = self._decides(kind, key, etag, if_match)
            finally:
                self._quietly("delete_object", Key=key)
        if not found:
            log.warning(
                "%s does not decide %s when a file is written (%s): what is there is looked up before the write "
                "instead, and of two writers at one moment both may succeed",
                self.url,
                "If-Match" if if_match else "If-None-Match",
                kind,
            )
        return found

    def _decides(self, kind: Kind, key: str, etag: str, if_match: bool) -> str:
        if not if_match:
            return '"{}"' if self._refuses(kind, key, {"IfNoneMatch": "*"}) else ""
        if not self._refuses(kind, key, {"IfMatch": '"' + "0" * 32 + '"'}):
            return ""
        if kind != "put":
            return '"{}"'
        for form in ('"{}"', "{}"):  # old radosgw compares with the bare etag
            if not self._refuses(kind, key, {"IfMatch": form.format(etag)}):
                return form
        return ""

    def _write(self, key: str, body: bytes, **condition: str) -> str:
        md5 = hashing.to_base64(_hash("md5", body))
        return self._call("put_object", body, Key=key, ContentMD5=md5, **condition)["ETag"].strip('"')

    def _refuses(self, kind: Kind, key: str, condition: dict[str, str]) -> bool:
        """Tell whether a write is refused for its condition."""
        bucket = self._settings.bucket
        upload = ""
        try:
            if kind == "put":
                self._write(key, b"1", **condition)
            elif kind == "copy":
                source = {"Bucket": bucket, "Key": key}
                self._call("copy_object", Key=key, CopySource=source, MetadataDirective="REPLACE", **condition)
            elif kind == "delete":
                self._call("delete_object", Key=key, **condition)
            else:
                upload = self._call("create_multipart_upload", Key=key)["UploadId"]
                md5 = hashing.to_base64(_hash("md5", b"2"))
                part = self._call("upload_part", b"2", Key=key, UploadId=upload, PartNumber=1, ContentMD5=md5)
                parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
                self._call("complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload=parts, **condition)
                upload = ""
        except ClientError as error:
            if status_of(error) in (409, 412):
                return True
            if status_of(error) in (400, 404, 405, 501):
                return False
            raise
        finally:
            if upload:
                self._quietly("abort_multipart_upload", Key=key, UploadId=upload)
        return False

    def _quietly(self, operation: str, **params: Any) -> None:
        try:
            self._call(operation, **params)
        except Exception as error:  # what the probe leaves lies under the reserved name and is never listed
            log.debug("after probing %s: %s", self.url, type(error).__name__)


def _hash(algorithm: str, body: Buffer) -> str:
    if algorithm == "md5":
        return hashlib.md5(body, usedforsecurity=False).hexdigest()
    hasher = hashing.new(algorithm)
    hasher.update(body)
    return hasher.hexdigest()
