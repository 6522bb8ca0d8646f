"""What the strict S3 is like, and the integrity that it asks of a request.

"API" is the Amazon S3 API Reference, "Guide" its User Guide, "Checking object integrity".
"""

from __future__ import annotations

import dataclasses
import re
from typing import IO, Any, Literal

from .checksums import ALGORITHMS, Digest, composite, decoded, encoded, full_object
from .http1 import CHUNK, Body, Headers, Request
from .sigv4 import Refused

Conditions = Literal["honoured", "refused", "ignored", "ignored-on-complete"]


@dataclasses.dataclass(frozen=True)
class Options:
    """What the server is like; `of` gives the two modes, changed by keyword.

    `conditional_writes`: `refused` is a 501, `ignored` acts as if the header were not there, `ignored-on-complete` does
    so at CompleteMultipartUpload only and answers it with an empty ETag, as radosgw does.
    `list_v2`: `ignored` answers as version 1, as servers do that do not know the parameter.
    `etags`: `opaque` are not MD5s, `kms` neither and the answers name SSE-KMS.
    `equal_parts`: all parts but the last have one size, as on R2. `anonymous`: unsigned GET and HEAD are let through.
    `redirect`: a request signed for another region is a 301 instead of a 400.
    """

    checksums: Literal["verified", "refused"] = "verified"
    require_checksum: bool = True
    conditional_writes: Conditions = "honoured"
    list_v2: Literal["yes", "refused", "ignored"] = "yes"
    tagging: bool = True
    etags: Literal["md5", "opaque", "kms"] = "md5"
    equal_parts: bool = False
    signatures: bool = True
    anonymous: bool = False
    redirect: bool = False

    @classmethod
    def of(cls, mode: Literal["modern", "legacy"], **changes: Any) -> Options:
        legacy = cls(
            checksums="refused",
            require_checksum=False,
            conditional_writes="refused",
            list_v2="refused",
            tagging=False,
        )
        return dataclasses.replace(legacy if mode == "legacy" else cls(), **changes)


@dataclasses.dataclass
class Content:
    """A request's content, decoded, with what was computed over it."""

    file: IO[bytes]
    size: int
    digests: Digest
    trailers: Headers

    def body(self) -> Body:
        self.file.seek(0)
        return Body(iter(lambda: self.file.read(CHUNK), b""), self.size, Headers())


@dataclasses.dataclass(frozen=True)
class Checksum:
    """What GET and HEAD say of an object's checksum, while it is still the object with this ETag."""

    etag: str
    algorithm: str
    value: str
    kind: str

    def headers(self) -> list[tuple[str, str]]:
        return [(f"x-amz-checksum-{self.algorithm}", self.value), ("x-amz-checksum-type", self.kind)]

    def xml(self) -> str:
        tag = f"Checksum{self.algorithm.upper()}"
        return f"<{tag}>{self.value}</{tag}><ChecksumType>{self.kind}</ChecksumType>"


@dataclasses.dataclass
class Multipart:
    algorithm: str
    kind: str
    declared: bool
    parts: dict[int, tuple[int, Digest]] = dataclasses.field(default_factory=dict)


def given_checksums(request: Request, content: Content) -> dict[str, bytes]:
    """Verify the checksum in the headers or the trailer; Guide, "Checking object integrity"."""
    headers = request.headers
    announced = {name.strip().lower() for name in headers.get("x-amz-trailer").split(",") if name.strip()}
    if announced != {name.lower() for name, _ in content.trailers if name.lower() != "x-amz-trailer-signature"}:
        raise Refused(400, "MalformedTrailerError", "The request contained trailing data that was not well-formed.")
    texts = {**headers.starting("x-amz-checksum-"), **content.trailers.starting("x-amz-checksum-")}
    values = {
        name.removeprefix("x-amz-checksum-"): value
        for name, value in texts.items()
        if name.removeprefix("x-amz-checksum-") in ALGORITHMS
    }
    if len(values) > 1:
        raise Refused(400, "InvalidRequest", "Expecting a single x-amz-checksum- header.")
    named = headers.get("x-amz-sdk-checksum-algorithm").lower()
    if named and not values and request.method in ("PUT", "POST"):
        raise Refused(
            400,
            "InvalidRequest",
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
            "headers were found.",
        )
    result = {}
    for algorithm, text in values.items():
        value = decoded(text, algorithm)
        if value is None:
            raise Refused(400, "InvalidRequest", f"Value for x-amz-checksum-{algorithm} header is invalid.")
        if value != content.digests[algorithm]:
            raise Refused(
                400, "BadDigest", f"The {algorithm.upper()} you specified did not match the calculated checksum."
            )
        result[algorithm] = value
    return result


def combined(known: Multipart, listed: list[tuple[int, str]], request: Request) -> Checksum | None:
    """Verify the checksums in the request that completes, and make the object's; API, CompleteMultipartUpload."""
    if any(number not in known.parts for number, _ in listed):
        return None  # moto says which part is not there
    algorithm = known.algorithm
    parts = [known.parts[number] for number, _ in listed]
    for (number, xml), (_, digests) in zip(listed, parts, strict=True):
        tags = re.findall(r"<Checksum(\w+)>\s*(.*?)\s*</Checksum", xml)
        if known.declared and known.kind == "COMPOSITE" and algorithm not in [tag.lower() for tag, _ in tags]:
            raise Refused(
                400,
                "InvalidRequest",
                f"The upload was created using a {algorithm} checksum. The complete request must include the "
                f"checksum for each part. It was missing for part {number} in the request.",
            )
        for tag, value in tags:
            if decoded(value, tag.lower()) != digests[tag.lower()]:
                raise Refused(400, "InvalidPart", f"The checksum of part {number} is not that of what was sent.")
    if known.kind == "COMPOSITE":
        whole = composite(algorithm, [digests[algorithm] for _, digests in parts])
        value = f"{encoded(whole)}-{len(parts)}"
    else:
        whole = full_object(algorithm, [(digests[algorithm], size) for size, digests in parts])
        value = encoded(whole)
    size = request.headers.get("x-amz-mp-object-size")
    if size and int(size) != sum(size for size, _ in parts):
        raise Refused(400, "InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match.")
    for name, text in request.headers.starting("x-amz-checksum-").items():
        given = name.removeprefix("x-amz-checksum-")
        if given not in ALGORITHMS:
            continue
        if given != algorithm or text not in (value, encoded(whole)):
            raise Refused(400, "BadDigest", f"The {given} you specified did not match the calculated checksum.")
    return Checksum("", algorithm, value, known.kind)


def not_implemented(what: str) -> Refused:
    return Refused(
        501, "NotImplemented", f"A header you provided implies functionality that is not implemented: {what}"
    )
