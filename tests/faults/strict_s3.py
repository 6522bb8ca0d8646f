"""An S3 that forgives nothing, in front of moto, which forgives nearly everything.

    with StrictS3(moto, mode="modern") as front: ...      # AWS today
    with StrictS3(moto, mode="legacy") as front: ...      # the S3 of old appliances and compatible servers

It is a `FaultProxy`, so requests are recorded and faults can be injected as well. Everything must go through one front:
it keeps the checksums and the uploads that pass, and decides conditions under one lock. Addressing is by path.

Behaviours are the providers', named where they are made; "API" is the Amazon S3 API Reference, "Guide" its User Guide.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import IO, Any, Literal
from urllib.parse import parse_qs, quote, unquote, urlencode
from xml.sax.saxutils import escape, unescape

from emulators.s3 import S3Server

from . import post_policy
from .answers import s3_error
from .checksums import (
    ALGORITHMS,
    CRCS,
    ChunkError,
    Digests,
    decoded,
    encoded,
    read_aws_chunked,
)
from .http1 import Body, Headers, Request, Response
from .proxy import FaultProxy
from .sigv4 import Refused, is_presigned, scope_region, verify
from .strict_rules import Checksum, Content, Multipart, Options, combined, given_checksums, not_implemented

IN_MEMORY = 4 * 1024 * 1024
CONDITIONS = ("If-Match", "If-None-Match")
# Behind every name that begins with what it is added to.
LAST = "\U0010ffff"
# What a request on an object may be about instead of its content.
SUBRESOURCES = {"uploadId", "tagging", "acl", "attributes", "retention", "legal-hold", "torrent"}
# An opaque ETag is moto's with its hexadecimal digits exchanged: 32 digits as before, but the MD5 of nothing, and the
# translation back needs no memory.
DIGITS = "0123456789abcdef"
TO_OPAQUE = str.maketrans(DIGITS, DIGITS[5:] + DIGITS[:5])
FROM_OPAQUE = str.maketrans(DIGITS[5:] + DIGITS[:5], DIGITS)
ETAG = re.compile(r"[0-9a-f]{32}(?=(-\d+)?\b)")


class StrictS3(FaultProxy):
    """`server` is moto; `region` is where every bucket is; `clock` is read for skew and expiry."""

    def __init__(
        self,
        server: S3Server,
        *,
        mode: Literal["modern", "legacy"] = "modern",
        region: str = "",
        proxy: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.options = Options.of(mode, **options)
        self.region = region or server.region
        self.clock = time.time
        self._server = server
        self._writing = threading.Lock()
        self._checksums: dict[str, Checksum] = {}
        self._uploads: dict[str, Multipart] = {}
        self._rotten: dict[str, int] = {}
        # moto takes a Host that it does not know for a bucket's: the client's is for the signature only.
        super().__init__(server.url, upstream_ca_file=server.ca_file, keep_host=False, **(proxy or {}))

    def server(self) -> S3Server:
        """The address and the key of this front, as of a server; `reset` and `stop` are not for it."""
        return S3Server(
            self.url, self._server.access_key, self._server.secret_key, region=self.region, ca_file=self.ca_file
        )

    def rot(self, bucket: str, key: str, offset: int = 0) -> None:
        """From now on the object's byte at `offset` has a bit flipped, as on a bad disk; no header tells."""
        self._rotten[f"/{bucket}/{key}"] = offset

    # Requests

    def process(self, request: Request, body: Body) -> Response:
        try:
            with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
                return self._process(request, body, file)
        except Refused as refusal:
            if not body.waiting:
                collections.deque(body, maxlen=0)
            status, text, headers = s3_error(refusal.status, refusal.code, refusal.message, extra=refusal.extra)
            return Response.of(status, text, {**headers, **refusal.headers}.items())

    def _process(self, request: Request, body: Body, file: IO[bytes]) -> Response:
        if request.method == "POST" and request.headers.get("Content-Type").startswith("multipart/form-data"):
            return self._put_form(request, body, file)
        self._check_caller(request)
        self._check_headers(request)
        content = self._receive(request, body, file)
        self._check_content(request, content)
        self._check_source(request)
        headers = request.headers
        if headers.get("x-amz-content-sha256").startswith("STREAMING-"):
            coding = [one.strip() for one in headers.get("Content-Encoding").split(",")]
            kept = ",".join(one for one in coding if one != "aws-chunked")
            headers = headers.without(
                "Content-Encoding", "x-amz-decoded-content-length", "x-amz-trailer", "x-amz-content-sha256"
            )
            if kept:
                headers.append(("Content-Encoding", kept))
        # moto keeps checksums without verifying them, and some wrongly: it is told none.
        headers = Headers(
            (name, value)
            for name, value in headers
            if not name.lower().startswith(("x-amz-checksum-", "x-amz-sdk-checksum-")) and name.lower() != "content-md5"
        )
        return self._dispatch(dataclasses.replace(request, headers=headers), request, content)

    def _dispatch(self, sent: Request, request: Request, content: Content) -> Response:
        """`sent` is what moto is to see of `request`."""
        query = parse_qs(request.query, keep_blank_values=True)
        is_object = "/" in request.path.strip("/")
        if request.method == "PUT" and is_object and "uploadId" in query:
            return self._put_part(sent, request, content, query["uploadId"][0], int(query["partNumber"][0]))
        if request.method == "PUT" and is_object and not query.keys() & SUBRESOURCES:
            return self._put(sent, request, content)
        if request.method == "POST" and "uploads" in query:
            return self._create(sent, request, content)
        if request.method == "POST" and "uploadId" in query:
            return self._complete(sent, request, content, query["uploadId"][0])
        if request.method == "POST" and "delete" in query:
            return self._delete_many(sent, content)
        if request.method == "DELETE" and is_object and not query.keys() & SUBRESOURCES:
            return self._delete(sent, content)
        if request.method in ("GET", "HEAD") and is_object and not query.keys() & SUBRESOURCES:
            return self._get(sent, request, content)
        if request.method == "GET" and is_object and "uploadId" in query:
            return self._list_parts(sent, content, query["uploadId"][0])
        if request.method == "GET" and not is_object:
            return self._list(sent, content, query)
        return self._send(sent, content)

    def _check_caller(self, request: Request) -> None:
        options = self.options
        signed = request.headers.has("Authorization") or is_presigned(request)
        if options.anonymous and not signed and request.method in ("GET", "HEAD"):
            return
        region = scope_region(request)
        if region and region != self.region:
            # API, "Error responses": PermanentRedirect, AuthorizationHeaderMalformed; HeadBucket and all redirects
            # carry x-amz-bucket-region.
            if options.redirect:
                bucket = request.path.split("/")[1]
                raise Refused(
                    301,
                    "PermanentRedirect",
                    "The bucket you are attempting to access must be addressed using the specified endpoint.",
                    f"<Bucket>{bucket}</Bucket><Endpoint>{request.headers.get('Host')}</Endpoint>",
                    x_amz_bucket_region=self.region,
                )
            raise Refused(
                400,
                "AuthorizationHeaderMalformed",
                f"The authorization header is malformed; the region '{region}' is wrong; expecting '{self.region}'",
                f"<Region>{self.region}</Region>",
                x_amz_bucket_region=self.region,
            )
        if options.signatures:
            verify(request, self._server.access_key, self._server.secret_key, self.clock())

    def _check_headers(self, request: Request) -> None:
        headers, options = request.headers, self.options
        if not options.tagging and ("tagging" in request.parameters or headers.has("x-amz-tagging")):
            raise not_implemented("tagging")
        streaming = headers.get("x-amz-content-sha256").startswith("STREAMING-")
        chunked = streaming or "aws-chunked" in headers.get("Content-Encoding")
        if options.checksums == "refused":
            # OpenStack Swift's S3 answers aws-chunked and its trailer with a 501; radosgw 16 wants a Content-Length.
            if chunked or headers.has("x-amz-trailer"):
                raise not_implemented("aws-chunked")
            if names := [*headers.starting("x-amz-checksum-"), *headers.starting("x-amz-sdk-checksum-")]:
                raise Refused(400, "InvalidArgument", f"unsupported header: {names[0]}")
            if request.method in ("PUT", "POST") and headers.has("Transfer-Encoding"):
                raise Refused(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        elif streaming and headers.get("x-amz-content-sha256") != "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
            raise not_implemented("signed chunks, which this double does not verify")

    def _receive(self, request: Request, body: Body, file: IO[bytes]) -> Content:
        """Read and decode the body to its end; nothing is passed on before it is known to be whole and right."""
        trailers = Headers()
        chunks: Iterator[bytes] = iter(body)
        if request.headers.get("x-amz-content-sha256").startswith("STREAMING-"):
            chunks = read_aws_chunked(chunks, trailers)
        digests = Digests()
        try:
            for data in chunks:
                digests.update(data)
                file.write(data)
        except ChunkError as error:
            raise Refused(400, "IncompleteBody", str(error)) from None
        collections.deque(body, maxlen=0)  # the coding may end before the body does
        declared = request.headers.get("x-amz-decoded-content-length")
        if declared and int(declared) != digests.size:
            raise Refused(400, "IncompleteBody", "You did not provide the number of bytes specified.")
        return Content(file, digests.size, digests.result(), trailers)

    def _check_content(self, request: Request, content: Content) -> None:
        headers = request.headers
        payload = headers.get("x-amz-content-sha256")
        if re.fullmatch("[0-9a-f]{64}", payload) and payload != content.digests["sha256"].hex():
            raise Refused(400, "XAmzContentSHA256Mismatch", "The provided header does not match what was computed.")
        # API, "Error responses": InvalidDigest is a Content-MD5 that is none, BadDigest one of other content.
        if headers.has("Content-MD5"):
            value = decoded(headers.get("Content-MD5"), "md5")
            if value is None:
                raise Refused(400, "InvalidDigest", "The Content-MD5 you specified is not valid.")
            if value != content.digests["md5"]:
                raise Refused(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
        query = request.parameters
        deletes = request.method == "POST" and "delete" in query
        if self.options.checksums == "refused":
            if deletes and not headers.has("Content-MD5"):
                raise Refused(400, "MissingContentMD5", "Missing required header for this request: Content-MD5")
            return
        completes = request.method == "POST" and "uploadId" in query
        creates = request.method == "POST" and "uploads" in query
        copies = headers.has("x-amz-copy-source")
        given = {} if completes or creates or copies else given_checksums(request, content)
        # API, DeleteObjects: Content-MD5 or a checksum is required. For objects and parts that is so where a bucket has
        # Object Lock; here it is so for all but links, whose bodies come from browsers.
        stores = request.method == "PUT" and "/" in request.path.strip("/") and not copies and "tagging" not in query
        required = deletes or (stores and self.options.require_checksum and not is_presigned(request))
        if required and not given and not headers.has("Content-MD5"):
            raise Refused(
                400, "InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
            )

    def _check_source(self, request: Request) -> None:
        """API, CopyObject and UploadPartCopy, "x-amz-copy-source-if-match": moto does not look at it."""
        wanted = request.headers.get("x-amz-copy-source-if-match").strip('"')
        if not wanted:
            return
        etag = self._etag("/" + request.headers.get("x-amz-copy-source").partition("?")[0].lstrip("/"))
        if etag and etag != wanted:
            raise Refused(
                412,
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
                "<Condition>x-amz-copy-source-If-Match</Condition>",
            )

    # Operations

    def _put_form(self, request: Request, body: Body, file: IO[bytes]) -> Response:
        """API, "POST Object": the policy decides, and the fields are what headers are for PUT."""
        form = post_policy.read(request.headers.get("Content-Type"), b"".join(body))
        bucket = request.path.strip("/")
        if self.options.signatures:
            post_policy.check(form, bucket, self._server.access_key, self._server.secret_key, self.clock())
        kept = [item for item in form.fields.items() if item[0] == "content-type" or item[0].startswith("x-amz-meta-")]
        target = quote(f"/{bucket}/{form.fields['key']}", safe="/~")
        stored = dataclasses.replace(
            request, method="PUT", target=target, path=target, headers=Headers([("Host", "form"), *kept])
        )
        digests = Digests()
        digests.update(form.content)
        file.write(form.content)
        answer = self._put(stored, stored, Content(file, digests.size, digests.result(), Headers()))
        return Response.of(204, b"", []) if answer.status == 200 else answer

    def _put(self, sent: Request, request: Request, content: Content) -> Response:
        copies = request.headers.has("x-amz-copy-source")
        sent = self._without_refused_conditions(sent)
        with self._writing:
            sent = self._decide_conditions(sent)
            response = self._send(sent, content)
            if response.status != 200 or self.options.checksums == "refused":
                return response
            if copies:  # the answer may be an error after all: API, CopyObject
                text = response.read().decode()
                response = _with_text(response, text)
                if "<ETag>" not in text:
                    return response
                algorithm = request.headers.get("x-amz-checksum-algorithm", "crc64nvme").lower()
                digests = self._stored(request.path).result()
            else:
                given = given_checksums(request, content)
                algorithm = next(iter(given), "crc64nvme")
                digests = content.digests
            # Guide, "Checking object integrity": without a checksum of the client's S3 keeps a CRC64NVME of its own.
            etag = self._etag(request.path)
            checksum = Checksum(etag, algorithm, encoded(digests[algorithm]), "FULL_OBJECT")
            self._checksums[_name(request.path)] = checksum
        if copies:
            return _with_text(response, text.replace("</ETag>", f"</ETag>{checksum.xml()}", 1))
        response.headers.extend(checksum.headers())
        return response

    def _put_part(self, sent: Request, request: Request, content: Content, upload: str, number: int) -> Response:
        known = self._uploads.get(upload)
        digests, size = content.digests, content.size
        given = {} if request.headers.has("x-amz-copy-source") else given_checksums(request, content)
        if known and known.declared and known.algorithm not in given and not request.headers.has("x-amz-copy-source"):
            # API, UploadPart: the algorithm of the upload is that of each part.
            raise Refused(
                400,
                "InvalidRequest",
                f"Checksum Type mismatch occurred, expected checksum Type: {known.algorithm}, "
                f"actual checksum Type: {next(iter(given), 'null')}",
            )
        response = self._send(sent, content)
        if response.status != 200 or not known:
            return response
        if request.headers.has("x-amz-copy-source"):
            bounds = request.headers.get("x-amz-copy-source-range")
            source = "/" + request.headers.get("x-amz-copy-source").partition("?")[0].lstrip("/")
            whole = self._stored(source, bounds)
            digests, size = whole.result(), whole.size
        known.parts[number] = (size, digests)
        if self.options.checksums == "verified":
            algorithm = next(iter(given), known.algorithm)
            if not request.headers.has("x-amz-copy-source"):
                response.headers.append((f"x-amz-checksum-{algorithm}", encoded(digests[algorithm])))
        return response

    def _create(self, sent: Request, request: Request, content: Content) -> Response:
        """API, CreateMultipartUpload: which kind of checksum the object will have."""
        algorithm = request.headers.get("x-amz-checksum-algorithm").lower()
        default = "FULL_OBJECT" if algorithm in ("", "crc64nvme") else "COMPOSITE"
        kind = request.headers.get("x-amz-checksum-type").upper() or default
        if algorithm and (
            algorithm not in ALGORITHMS
            or (kind == "FULL_OBJECT" and algorithm not in CRCS)
            or (kind == "COMPOSITE" and algorithm == "crc64nvme")
        ):
            raise Refused(400, "InvalidRequest", f"The {kind} checksum type cannot be used with {algorithm}.")
        response = self._send(sent, content)
        text = response.read().decode()
        if match := re.search("<UploadId>(.*?)</UploadId>", text):
            upload = Multipart(algorithm or "crc64nvme", kind, declared=bool(algorithm))
            self._uploads[unescape(match[1])] = upload
            if algorithm:
                response.headers.append(("x-amz-checksum-algorithm", algorithm.upper()))
                response.headers.append(("x-amz-checksum-type", kind))
        return _with_text(response, text)

    def _complete(self, sent: Request, request: Request, content: Content, upload: str) -> Response:
        content.file.seek(0)
        text = content.file.read().decode()
        listed = [
            (int(number[1]), part)
            for part in re.findall("<Part>(.*?)</Part>", text, re.DOTALL)
            if (number := re.search(r"<PartNumber>\s*(\d+)\s*</PartNumber>", part))
        ]
        numbers = [number for number, _ in listed]
        if numbers != sorted(set(numbers)):  # API, CompleteMultipartUpload, "InvalidPartOrder"
            raise Refused(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
        known = self._uploads.get(upload)
        if known and all(number in known.parts for number in numbers):
            sizes = [known.parts[number][0] for number in numbers]
            if self.options.equal_parts and len(set(sizes[:-1])) > 1:  # R2, "Multipart upload: limitations"
                raise Refused(400, "InvalidPart", "All non-trailing parts must have the same length.")
        checksum = None
        if known and self.options.checksums == "verified":
            checksum = combined(known, listed, request)
        empty_etag = self.options.conditional_writes == "ignored-on-complete"
        sent = self._without_refused_conditions(sent, ignored=empty_etag)
        with self._writing:
            sent = self._decide_conditions(sent)
            response = self._send(sent, content)
            text = response.read().decode()
            if "<CompleteMultipartUploadResult" in text:
                self._uploads.pop(upload, None)
                if checksum:
                    checksum = dataclasses.replace(checksum, etag=self._etag(request.path))
                    self._checksums[_name(request.path)] = checksum
                    text = text.replace("</ETag>", f"</ETag>{checksum.xml()}", 1)
                if empty_etag:  # radosgw 16
                    text = re.sub("<ETag>.*?</ETag>", "<ETag></ETag>", text)
        return _with_text(response, text)

    def _list_parts(self, sent: Request, content: Content, upload: str) -> Response:
        """API, ListParts: each part's checksum is told when the upload was begun with an algorithm."""
        response = self._send(sent, content)
        known = self._uploads.get(upload)
        if response.status != 200 or not known or not known.declared:
            return response
        tag = f"Checksum{known.algorithm.upper()}"

        def with_checksum(match: re.Match[str]) -> str:
            part = known.parts.get(int(match[1]))
            return f"{match[0]}<{tag}>{encoded(part[1][known.algorithm])}</{tag}>" if part else match[0]

        text = re.sub(r"<PartNumber>(\d+)</PartNumber>", with_checksum, response.read().decode())
        about = (
            f"<ChecksumAlgorithm>{known.algorithm.upper()}</ChecksumAlgorithm><ChecksumType>{known.kind}</ChecksumType>"
        )
        return _with_text(response, text.replace("<PartNumberMarker>", f"{about}<PartNumberMarker>", 1))

    def _delete(self, sent: Request, content: Content) -> Response:
        sent = self._without_refused_conditions(sent)
        with self._writing:
            # API, DeleteObject: If-Match; an object that is not there is deleted already.
            if sent.headers.has("If-Match") and self._etag(sent.path):
                self._decide_conditions(sent)
            headers = sent.headers.without(*CONDITIONS)
            return self._send(dataclasses.replace(sent, headers=headers), content)

    def _delete_many(self, sent: Request, content: Content) -> Response:
        content.file.seek(0)
        if content.file.read().count(b"<Key>") > 1000:  # API, DeleteObjects: up to 1000 keys
            raise Refused(400, "MalformedXML", "The XML you provided was not well-formed.")
        with self._writing:
            return self._send(sent, content)

    def _get(self, sent: Request, request: Request, content: Content) -> Response:
        response = self._send(sent, content)
        name = _name(request.path)
        checksum = self._checksums.get(name)
        # API, GetObject: checksums are told on demand, and of a range not at all.
        asked = request.headers.get("x-amz-checksum-mode").upper() == "ENABLED" and response.status == 200
        if asked and checksum and checksum.etag == response.headers.get("ETag").strip('"'):
            response.headers.extend(checksum.headers())
        rotten = self._rotten.get(name)
        if rotten is not None and response.status in (200, 206):
            first = re.match(r"bytes (\d+)-", response.headers.get("Content-Range"))
            response.chunks = _with_bit_flipped(response.chunks, rotten - (int(first[1]) if first else 0))
        return response

    def _list(self, sent: Request, content: Content, query: dict[str, list[str]]) -> Response:
        if query.keys() & {"versions", "uploads", "location", "versioning", "policy"}:
            return self._send(sent, content)
        if query.get("list-type") == ["2"]:
            if self.options.list_v2 == "refused":
                raise not_implemented("list-type=2")
            if self.options.list_v2 == "yes":
                return self._send(sent, content)
        return self._list_v1(sent, content, {name: values[0] for name, values in query.items()})

    def _list_v1(self, sent: Request, content: Content, query: dict[str, str]) -> Response:
        """API, ListObjects: NextMarker is there only with a delimiter, and is the last key or common prefix.

        A marker that is a common prefix begins behind it. moto's version 1 does neither, and its pages do not count
        common prefixes: so it is made of its version 2.
        """
        delimiter, marker = query.get("delimiter", ""), query.get("marker", "")
        asked = {name: query[name] for name in ("prefix", "delimiter", "max-keys", "encoding-type") if name in query}
        if marker:
            asked["start-after"] = marker + LAST if delimiter and marker.endswith(delimiter) else marker
        target = urlencode({"list-type": "2", "fetch-owner": "true", **asked}, quote_via=quote)
        response = self._send(dataclasses.replace(sent, query=target), content)
        text = response.read().decode()
        if response.status != 200:
            return _with_text(response, text)
        plain = unquote if query.get("encoding-type") == "url" else unescape
        names = re.findall(r"<Key>(.*?)</Key>|<CommonPrefixes>\s*<Prefix>(.*?)</Prefix>", text)
        last = max((key or prefix for key, prefix in names), key=plain, default="")
        text = re.sub(r"<(KeyCount|StartAfter|NextContinuationToken)>.*?</\1>", "", text)
        added = f"<Marker>{escape(marker)}</Marker>"
        if delimiter and "<IsTruncated>true" in text:
            added += f"<NextMarker>{last}</NextMarker>"
        return _with_text(response, text.replace("<IsTruncated>", f"{added}<IsTruncated>", 1))

    # Conditions

    def _without_refused_conditions(self, sent: Request, *, ignored: bool = False) -> Request:
        if not any(sent.headers.has(name) for name in CONDITIONS):
            return sent
        if self.options.conditional_writes == "refused":  # OpenStack Swift, older MinIO and Ceph
            raise not_implemented("a conditional write")
        if self.options.conditional_writes == "ignored" or ignored:
            return dataclasses.replace(sent, headers=sent.headers.without(*CONDITIONS))
        return sent

    def _decide_conditions(self, sent: Request) -> Request:
        """Guide, "Conditional requests": of PutObject, CompleteMultipartUpload, CopyObject and DeleteObject."""
        match, none_match = (sent.headers.get(name).strip('"') for name in CONDITIONS)
        if not match and not none_match:
            return sent
        etag = self._etag(sent.path)
        if none_match and none_match != "*":
            raise not_implemented("If-None-Match with anything but *")
        failed = ""
        if none_match and etag:
            failed = "If-None-Match"
        elif match and not etag:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        elif match and match not in ("*", etag):
            failed = "If-Match"
        if failed:
            raise Refused(
                412,
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
                f"<Condition>{failed}</Condition>",
            )
        return dataclasses.replace(sent, headers=sent.headers.without(*CONDITIONS))

    # moto

    def _send(self, sent: Request, content: Content) -> Response:
        headers = sent.headers
        if not headers.has("Authorization"):  # who may do what is decided here; moto refuses links and the unsigned
            headers = Headers((*headers, ("Authorization", self._authorization)))
        if headers.has("Transfer-Encoding"):
            headers = Headers((*headers.without("Transfer-Encoding"), ("Content-Length", str(content.size))))
        body = content.body()
        if self.options.etags != "md5":
            headers = Headers(
                (name, _translated(value, FROM_OPAQUE) if "match" in name.lower() else value) for name, value in headers
            )
            if sent.method == "POST" and "uploadId" in sent.parameters:
                text = re.sub("<ETag>.*?</ETag>", lambda m: _translated(m[0], FROM_OPAQUE), b"".join(body).decode())
                body = Body(iter([text.encode()]), len(text.encode()), Headers())
        response = self.forward(sent.method, sent.path, sent.query, headers, body)
        response.headers = Headers(
            (name, value) for name, value in response.headers if not name.lower().startswith("x-amz-checksum-")
        )
        return self._opaque(sent, response) if self.options.etags != "md5" else response

    def _opaque(self, sent: Request, response: Response) -> Response:
        response.headers = Headers(
            (name, _translated(value, TO_OPAQUE) if name.lower() == "etag" else value)
            for name, value in response.headers
        )
        is_object = "/" in sent.path.strip("/")
        if self.options.etags == "kms" and is_object and response.status < 300 and sent.method != "DELETE":
            response.headers.append(("x-amz-server-side-encryption", "aws:kms"))
        if response.headers.get("Content-Type").endswith("/xml") and not self._is_content(sent):
            text = response.read().decode()
            return _with_text(
                response, re.sub(r"<ETag>.*?</ETag>", lambda match: _translated(match[0], TO_OPAQUE), text)
            )
        return response

    def _is_content(self, sent: Request) -> bool:
        return sent.method == "GET" and "/" in sent.path.strip("/") and "uploadId" not in sent.parameters

    def _etag(self, path: str) -> str:
        """The ETag of what is there now, as a client sees it; "" when there is nothing."""
        response = self._ask("HEAD", path)
        response.read()
        etag = response.headers.get("ETag").strip('"') if response.status == 200 else ""
        return _translated(etag, TO_OPAQUE) if self.options.etags != "md5" else etag

    def _stored(self, path: str, bounds: str = "") -> Digests:
        digests = Digests()
        response = self._ask("GET", path, bounds)
        try:
            for data in response.chunks:
                digests.update(data)
        finally:
            response.close()
        return digests

    @property
    def _authorization(self) -> str:
        """moto looks at the credential's scope to find the service, not at the signature."""
        return f"AWS4-HMAC-SHA256 Credential={self._server.access_key}/20000101/{self.region}/s3/aws4_request"

    def _ask(self, method: str, path: str, bounds: str = "") -> Response:
        headers = Headers([("Authorization", self._authorization)])
        if bounds:
            headers.append(("Range", bounds))
        return self.forward(method, path, "", headers, Body(iter(()), 0, Headers()))


def _name(path: str) -> str:
    return unquote(path)


def _translated(text: str, table: dict[int, int]) -> str:
    return ETAG.sub(lambda match: match[0].translate(table), text)


def _with_text(response: Response, text: str) -> Response:
    data = text.encode()
    return dataclasses.replace(response, chunks=[data] if data else [], length=len(data), close=lambda: None)


def _with_bit_flipped(chunks: Any, offset: int) -> Iterator[bytes]:
    for data in chunks:
        if 0 <= offset < len(data):
            data = data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]
        offset -= len(data)
        yield data
