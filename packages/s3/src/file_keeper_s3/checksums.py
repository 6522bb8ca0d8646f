"""Checksums: which one goes with a body, what the service makes of it, and whether it has what was sent.

Amazon's own is trusted to keep what its reference says. What another service takes is found out when it matters.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from file_keeper import exc, hashing
from file_keeper.types import Buffer

from .facts import Facts, Feature
from .reply import Members, Refusal
from .settings import EXPRESS, S3Settings

log = logging.getLogger("file_keeper")

Attempt = Callable[[], tuple[dict[str, Any], Any]]

# How a request with a checksum that the service does not know is refused: boto/boto3#4435 and its kind name 400 and
# 501, R2 a 401 "Unauthorized", old radosgw a 411; an answer to HEAD has no code but its status.
_REFUSED_CODES = re.compile(
    "NotImplemented|InvalidArgument|InvalidRequest|BadRequest|MalformedHeader|InvalidHeader|UnsupportedHeader"
    "|UnsupportedOperation|MissingContentLength|Unauthorized|400|501"
)
_REFUSED_STATUS = (400, 401, 411, 501)
_ABOUT_MD5 = re.compile("content-?md5", re.IGNORECASE)
_DEMANDED = re.compile("required|missing|must", re.IGNORECASE)
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


def refuses_checksums(error: Refusal) -> bool:
    """Return whether a request may have been refused for what is modern in it."""
    return error.status in _REFUSED_STATUS and _REFUSED_CODES.fullmatch(error.code) is not None


def refuses_md5(error: Refusal) -> bool:
    """Return whether a request was refused for its ``Content-MD5``."""
    told = f"{error.code} {error.said}"
    return error.status in (400, 501) and _ABOUT_MD5.search(told) is not None and _DEMANDED.search(told) is None


def demands_md5(error: Refusal) -> bool:
    """Return whether a request was refused since it has no ``Content-MD5``."""
    told = f"{error.code} {error.said}"
    return error.status in (400, 501) and _ABOUT_MD5.search(told) is not None and _DEMANDED.search(told) is not None


class Checksums:
    """The checksums of one storage.

    :param aws: the service is Amazon's
    :param call: makes a request of an operation, by parameters
    :param known: what the service is known to have
    """

    def __init__(
        self,
        settings: S3Settings,
        url: str,
        facts: Facts,
        call: Callable[..., Any],
        *,
        aws: bool,
        known: Callable[[Feature], bool | None] = lambda _: None,
    ):
        self.url = url
        self.facts = facts
        self.native = (aws and settings.checksums == "auto") or settings.checksums == "always"
        self._aws = aws
        self._known = known
        self._lock = threading.Lock()
        self._settings = settings
        self._call = call
        self._signed = url.startswith("http://") and not settings.anonymous
        self._algorithm = settings.hashing_algorithm if settings.hashing_algorithm in NATIVE else "crc32c"

    @property
    def modern(self) -> bool:
        """Whether ``x-amz-checksum-*`` headers are in use."""
        return self._settings.checksums != "required" and not self.facts.legacy

    @property
    def part_algorithm(self) -> str:
        """The checksum of parts, declared when an upload begins; ``""`` where none is."""
        return self._algorithm if self.native else ""

    def checksum(self, body: Buffer, digests: Mapping[str, str], *, part: bool = False) -> dict[str, str]:
        """Return the parameters of one checksum of `body` that the service verifies; nothing is hashed twice.

        :param digests: what is known of the body already
        """
        modern = self.modern and not (part and self.facts.legacy_parts)
        found = self._modern(body, digests, part) if modern else self._legacy(body, digests)
        if self.facts.md5_demanded and "ContentMD5" not in found:
            found["ContentMD5"] = hashing.to_base64(digests.get("md5") or _hash("md5", body))
        return found

    @property
    def _takes_md5(self) -> bool:
        return self._known("content_md5") is not False

    def _modern(self, body: Buffer, digests: Mapping[str, str], part: bool) -> dict[str, str]:
        algorithm = next((name for name in PARAMS if name in digests and (not part or name == self._algorithm)), "")
        if "md5" in digests and algorithm not in NATIVE and not part and self._takes_md5:
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
        if not self._takes_md5:
            return {}
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

        def finish(sent: dict[str, Any], answer: Any) -> Any:
            if body is not None:
                self._compare(operation, body, digests or {}, sent, answer)
            return answer

        before = (self.facts.legacy, self.facts.legacy_parts)
        modern = self.modern  # as this attempt is: another one may learn meanwhile that it must not be
        try:
            sent, answer = attempt()
        except Refusal as error:
            if body is not None and (found := self._other_md5(error, lambda: finish(*attempt()))) is not None:
                return found
            if self.native or not modern:
                raise
            if not refuses_checksums(error):
                raise
            mismatch = part and _MISMATCH.search(str(error)) is not None
            return finish(*self._again(attempt, error, "legacy_parts" if mismatch else "legacy", before))
        if self.native or not self.modern:
            return finish(sent, answer)
        if body is not None and self.facts.keeps is None and any(name in sent for name in PARAMS.values()):
            # The answer repeats the checksum where the service knows what that is.
            self.facts.keeps = any(name in answer for name in PARAMS.values()) or (None if self._signed else False)
        return finish(sent, answer)

    def _other_md5(self, error: Refusal, again: Callable[[], Any]) -> Any:
        """Send a body again with ``Content-MD5`` where that is demanded, without it where it is refused.

        :return: ``None`` where the refusal is about something else
        """
        facts = self.facts
        if refuses_md5(error) and not self._aws and self._takes_md5:
            facts.learn("content_md5", False)
        elif demands_md5(error) and not facts.md5_demanded:
            facts.md5_demanded = True
        else:
            return None
        return again()

    def _again(
        self,
        attempt: Callable[[], tuple[dict[str, Any], Any]],
        error: Refusal,
        fact: str,
        before: tuple[bool, bool],
    ) -> tuple[dict[str, Any], Any]:
        facts = self.facts
        with self._lock:
            fresh = not getattr(facts, fact)
            setattr(facts, fact, True)
        try:
            sent, answer = attempt()
        except Refusal as second:
            if fresh and refuses_checksums(second):
                # It was not the checksum: nothing was learned.
                facts.legacy, facts.legacy_parts = before
            raise
        if fresh and fact == "legacy":
            log.warning(
                "%s refuses x-amz-checksum headers (%s): from now on it gets %s instead, and keeps no CRC of whole "
                "objects; 'checksums': 'required' in the settings of %r spares the attempt",
                self.url,
                error.code or error.status,
                "Content-MD5" if sent.get("ContentMD5") or not self._signed else "signed bodies and Content-MD5",
                self._settings.name,
            )
        return sent, answer

    # -- what the service has ---------------------------------------------------------------------------------------

    def _compare(
        self,
        operation: str,
        body: Buffer,
        digests: Mapping[str, str],
        sent: Mapping[str, Any],
        answer: Members,
    ) -> None:
        """Compare what the service says that it has with what was sent.

        :raises CorruptedFileError: when it has something else; for a part, which may be sent again, it is retryable
        """
        for name in PARAMS.values():
            if name in sent and (told := answer.get(name)):
                if told != sent[name]:
                    raise self._corrupted(operation, f"{name} {told}, sent was {sent[name]}")
                return
        found = md5_etag(answer, self._settings.bucket)
        if not found or self.facts.md5_etags is False:
            return
        expected = digests.get("md5") or (
            hashing.from_base64(sent["ContentMD5"], "md5") if "ContentMD5" in sent else md5_of(body)
        )
        if found == expected:
            self.facts.md5_etags = True
        elif self._aws or self.facts.md5_etags:
            raise self._corrupted(operation, f"the MD5 {found}, sent was {expected}")
        else:
            self.facts.md5_etags = False  # an ETag of another kind

    def _corrupted(self, operation: str, what: str) -> exc.FilesError:
        part = operation == "upload_part"
        return exc.CorruptedFileError(
            f"{self.url} has stored something else than was sent ({what}): it was damaged on its way or by the service"
            + ("" if part else "; what stands there is wrong: write the file again"),
            retryable=part,
        )


_MD5 = re.compile("[0-9a-f]{32}")


def md5_etag(answer: Members, bucket: str) -> str:
    """Return the MD5 that an ETag is, ``""`` where it may be something else.

    API Reference, "Object": it is the MD5 only of what was put in one request and is not encrypted with a key that is
    managed elsewhere; in directory buckets it never is.
    """
    encrypted = answer.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in answer
    etag = etag_of(answer)
    return etag if _MD5.fullmatch(etag) and not encrypted and not bucket.endswith(EXPRESS) else ""


def etag_of(answer: Members) -> str:
    """Return an ETag without its quotes, and without the mark that a compressing proxy puts before it."""
    return str(answer.get("ETag") or "").removeprefix("W/").strip('"')


def md5_of(body: Buffer) -> str:
    """Return the MD5 of a buffer."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _hash(algorithm: str, body: Buffer) -> str:
    if algorithm == "md5":
        return md5_of(body)
    hasher = hashing.new(algorithm)
    hasher.update(body)
    return hasher.hexdigest()
