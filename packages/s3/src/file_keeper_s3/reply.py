"""What S3 answered, whoever sent the request: the answer to a request, and the one that refuses it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

HEADERS: Mapping[str, str] = {
    "ETag": "etag",
    "ContentLength": "content-length",
    "ContentType": "content-type",
    "ContentRange": "content-range",
    "CacheControl": "cache-control",
    "ContentDisposition": "content-disposition",
    "ContentEncoding": "content-encoding",
    "ContentLanguage": "content-language",
    "ChecksumCRC32C": "x-amz-checksum-crc32c",
    "ChecksumCRC64NVME": "x-amz-checksum-crc64nvme",
    "ChecksumSHA256": "x-amz-checksum-sha256",
    "ChecksumSHA1": "x-amz-checksum-sha1",
    "ChecksumType": "x-amz-checksum-type",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSECustomerAlgorithm": "x-amz-server-side-encryption-customer-algorithm",
    "TagCount": "x-amz-tagging-count",
}
"""The header that holds each member of an answer; API Reference, "Response Syntax" of each operation."""

IDS = ("x-amz-request-id", "x-amz-id-2", "x-amzn-requestid")
"""Headers that only a service of this kind sends."""

_META = "x-amz-meta-"


class Reply:
    """A success, by the names of the API Reference.

    :param headers: names in lower case
    :param fields: what its XML holds
    :param body: of an object, to be read
    """

    __slots__ = ("body", "fields", "headers", "status")

    def __init__(
        self, status: int, headers: Mapping[str, str], fields: Mapping[str, Any] | None = None, body: Any = None
    ):
        self.status = status
        self.headers = headers
        self.fields: Mapping[str, Any] = fields or {}
        self.body = body

    def get(self, name: str, default: Any = None) -> Any:
        """Return a member out of the XML, else of the headers."""
        if name in self.fields:
            return self.fields[name]
        header = HEADERS.get(name)
        return default if header is None else self.headers.get(header, default)

    def __getitem__(self, name: str) -> Any:
        found = self.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    @property
    def length(self) -> int | None:
        """What ``Content-Length`` says; ``None`` when it is missing or no number."""
        told = self.headers.get("content-length", "")
        return int(told) if told.isascii() and told.isdigit() else None

    @property
    def modified(self) -> datetime | None:
        """What ``Last-Modified`` says."""
        return http_date(self.headers.get("last-modified", ""))

    @property
    def metadata(self) -> dict[str, str]:
        """The user's metadata, names in lower case."""
        return {name[len(_META) :]: value for name, value in self.headers.items() if name.startswith(_META)}

    def close(self) -> None:
        """End the body, where there is one."""
        if self.body is not None:
            self.body.close()


Members = Reply | Mapping[str, Any]
"""An answer, or an element of one."""


class Refusal(Exception):
    """An answer that refuses a request.

    :param operation: as the API Reference names it
    :param code: as S3 names it; the status where the answer has no error of S3
    :param said: the message of the answer
    :param fields: what else the XML of the error holds
    """

    def __init__(
        self,
        operation: str,
        status: int,
        code: str,
        said: str = "",
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, Any] | None = None,
    ):
        super().__init__(f"{operation} was refused: {code or status} ({said})" if said else f"{operation}: {code}")
        self.operation = operation
        self.status = status
        self.code = code
        self.said = said
        self.headers: Mapping[str, str] = headers or {}
        self.fields: Mapping[str, Any] = fields or {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Refusal, (self.operation, self.status, self.code, self.said, dict(self.headers), dict(self.fields))

    @property
    def region(self) -> str:
        """The region that the answer names as that of the bucket."""
        return str(self.headers.get("x-amz-bucket-region") or self.fields.get("Region") or "")


_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: at for at, name in enumerate(_NAMES, 1)}


def http_date(text: str) -> datetime | None:
    """Return the time of a header, in UTC; ``None`` for one that cannot be read. RFC 9110, section 5.6.7."""
    try:
        if len(text) == 29 and text.endswith(" GMT"):
            return datetime(int(text[12:16]), _MONTHS[text[8:11]], int(text[5:7]),
                            int(text[17:19]), int(text[20:22]), int(text[23:25]), tzinfo=UTC)  # fmt: skip
        from email.utils import parsedate_to_datetime  # slow to import, and seldom needed

        found = parsedate_to_datetime(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (KeyError, TypeError, ValueError, OverflowError):
        return iso_date(text)


def iso_date(text: str | datetime | None) -> datetime | None:
    """Return the time of an element of XML, in UTC; ``None`` for one that cannot be read."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else text
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo not in (None, UTC) else found.replace(tzinfo=UTC)
