"""Trying what a service does, with objects of our own under the reserved name, before it is done to a user's.

What each probe can show and what it cannot is in docs/decisions/s3.md.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any

from file_keeper import exc, hashing
from file_keeper.backend import Workers
from file_keeper.location import RESERVED

from .checksums import etag_of, md5_of, refuses_md5
from .facts import Facts, Feature, Kind
from .records import storing
from .reply import Refusal
from .settings import S3Settings

log = logging.getLogger("file_keeper")

PROBE = f"{RESERVED}/probe-"
"""How the keys of all probes begin, below the path of the storage."""

ROUNDS = 3
"""Races of two writers; a service that looks first and writes then loses about each of them."""

Condition = dict[str, str]


class Probes:
    """The probes of one storage.

    :param call: makes a request of an operation, by parameters
    """

    def __init__(self, settings: S3Settings, facts: Facts, call: Callable[..., Any]):
        self._settings = settings
        self._facts = facts
        self._call = call
        # A bucket may refuse what is not encrypted as its policy says.
        self._sse = {k: v for k, v in storing(settings).items() if k != "StorageClass"}

    # -- features ---------------------------------------------------------------------------------------------------

    def has(self, feature: Feature) -> bool:
        """Try a feature on an object that must come out of it unchanged.

        :raises Refusal: when the object cannot be written at all
        """
        tries: dict[Feature, Callable[[str], bool]] = {
            "tagging": self._has_tagging,
            "parts": self._has_parts,
            "copy": self._has_copy,
            "copy_source_if_match": self._has_copy_source_if_match,
        }
        if feature not in tries:
            return True  # till the service refuses it
        with self._object(_FIRST) as (key, _):
            try:
                return tries[feature](key)
            except Refusal as error:
                if error.status in _NO_ANSWER or (error.status >= 500 and error.status != 501):
                    raise
                return False
            except exc.ConnectionError as error:
                if not error.status:
                    raise
                return False  # it gave something else than what was asked for

    def _has_tagging(self, key: str) -> bool:
        tag = {"Key": "fk_probe", "Value": uuid.uuid4().hex}
        self._call("put_object_tagging", Key=key, Tagging={"TagSet": [tag]})
        return self._content(key) == _FIRST and self._call("get_object_tagging", Key=key)["TagSet"] == [tag]

    def _has_parts(self, key: str) -> bool:
        """Begin an upload, drop it, and complete another: only that may change the object."""
        for last in (False, True):
            with self._upload(key, _SECOND) as (upload, parts):
                if self._content(key) != _FIRST:
                    return False
                if last:
                    made = self._complete(upload, parts)
                    if etag_of(made) != etag_of(self._call("head_object", Key=key)):
                        self._facts.final_etag = False
            if self._content(key) != (_SECOND if last else _FIRST):
                return False
        return True

    def _has_copy(self, key: str) -> bool:
        with self._object(_SECOND) as (target, _):
            self._copy(key, target)
            if self._content(target) != _FIRST:
                return False
            if "copy_source_if_match" not in {**self._facts.known, **self._settings.given_features}:
                self._facts.learn("copy_source_if_match", self._refuses_other_version(key, target))
            return True

    def _has_copy_source_if_match(self, key: str) -> bool:
        """Ask for a version that there is not: only who looks at the condition refuses."""
        with self._object(_SECOND) as (target, _):
            return self._refuses_other_version(key, target)

    def _refuses_other_version(self, source: str, target: str) -> bool:
        try:
            self._copy(source, target, CopySourceIfMatch='"' + "0" * 32 + '"')
        except Refusal as error:
            return error.status == 412
        return False

    # -- conditions -------------------------------------------------------------------------------------------------

    def condition(self, kind: Kind, *, if_match: bool) -> str:
        """Try a write whose condition does not hold: only a service that refuses it decides conditions.

        :return: a format for the etag, ``'"{}"'`` or ``'{}'``; ``""`` when conditions are not decided
        :raises Refusal: when the object cannot be written at all
        """
        with ExitStack() as stack:
            key, etag = stack.enter_context(self._object(_FIRST))
            source = stack.enter_context(self._object(_SECOND))[0] if kind == "copy" else ""
            return self._form(kind, key, etag, source, if_match) if etag else ""

    def _form(self, kind: Kind, key: str, etag: str, source: str, if_match: bool) -> str:
        if not if_match:
            return '"{}"' if not self._accepts(kind, key, {"IfNoneMatch": "*"}, source) else ""
        if self._accepts(kind, key, {"IfMatch": '"' + "0" * 32 + '"'}, source):
            return ""
        if kind != "put":
            return '"{}"'
        for form in ('"{}"', "{}"):  # old radosgw compares with the bare etag
            if self._accepts(kind, key, {"IfMatch": form.format(etag)}):
                return form
        return ""

    def is_atomic(self, kind: Kind, form: str, *, if_match: bool) -> bool:
        """Let two writers of one condition race, a few times: of each two, one at most may win.

        That nobody was seen to break it proves nothing: a service that looks and then writes may be lucky.
        """
        return all(self._race(kind, form, if_match) for _ in range(ROUNDS))

    def _race(self, kind: Kind, form: str, if_match: bool) -> bool:
        with ExitStack() as stack:
            if if_match:
                key, etag = stack.enter_context(self._object(_FIRST))
                condition = {"IfMatch": form.format(etag)}
            else:
                key, condition = stack.enter_context(self._key()), {"IfNoneMatch": "*"}
            source = stack.enter_context(self._object(_SECOND))[0] if kind == "copy" else ""
            start = threading.Barrier(2)

            def write(_: int) -> bool:
                return self._accepts(kind, key, condition, source, meet=start)

            with Workers(2, "file-keeper-s3") as pool:
                return sum(pool.map(write, range(2))) < 2

    def _accepts(
        self,
        kind: Kind,
        key: str,
        condition: Condition,
        source: str = "",
        *,
        meet: threading.Barrier | None = None,
    ) -> bool:
        """Return whether a write with a condition is done.

        :param source: the object to copy
        :param meet: where this writer of a race waits for the other, when all is ready but the deciding request
        """

        def ready() -> None:
            if meet is not None:
                meet.wait(_PATIENCE)

        try:
            if kind == "complete":
                with self._upload(key, _SECOND) as (upload, parts):
                    ready()
                    self._complete(upload, parts, **condition)
                return True
            ready()
            if kind == "put":
                self._write(key, _FIRST if meet is None else _SECOND, **condition)
            elif kind == "copy":
                self._copy(source, key, **condition)
            else:
                self._call("delete_object", Key=key, **condition)
        except threading.BrokenBarrierError:
            return False  # the other one could not even begin
        except Refusal as error:
            if error.status in (409, 412):
                return False
            if error.status in (400, 404, 405, 501):
                if not (code := error.code) or code.isdigit():
                    # A proxy's page: it must not decide for the service behind it, for as long as the process lives.
                    raise exc.ConnectionError(
                        f"something before the service answered a probe with status {error.status} and no error "
                        "of S3; set 'conditional_writes' if it is what the service says",
                        status=error.status,
                    ) from error
                return meet is None  # what it does not know it does not decide; in a race it found nothing to replace
            raise
        return True

    # -- objects of the probes --------------------------------------------------------------------------------------

    @contextmanager
    def _key(self) -> Generator[str]:
        """Make up a key under the reserved name; what stands there at the end goes."""
        path = self._settings.path
        key = f"{path}/{PROBE}{uuid.uuid4().hex}" if path else f"{PROBE}{uuid.uuid4().hex}"
        try:
            yield key
        except Refusal as error:
            if error.status not in (401, 403):
                self._quietly("delete_object", Key=key)
            raise
        except BaseException:
            self._quietly("delete_object", Key=key)  # an answer may be lost, and the object there
            raise
        self._quietly("delete_object", Key=key)

    @contextmanager
    def _object(self, body: bytes) -> Generator[tuple[str, str]]:
        """Make an object under the reserved name, with its etag; it goes at the end."""
        with self._key() as key:
            yield key, self._write(key, body)

    @contextmanager
    def _upload(self, key: str, body: bytes) -> Generator[tuple[dict[str, str], list[dict[str, Any]]]]:
        """Begin an upload of one part; it is dropped at the end, unless it was completed."""
        upload = {"Key": key, "UploadId": self._call("create_multipart_upload", Key=key, **self._sse)["UploadId"]}
        parts: list[dict[str, Any]] = [{"PartNumber": 1}]
        try:
            parts[0]["ETag"] = self._send("upload_part", body, **upload, PartNumber=1)["ETag"]
            yield upload, parts
        finally:
            if parts:
                self._quietly("abort_multipart_upload", **upload)

    def _complete(self, upload: dict[str, str], parts: list[dict[str, Any]], **condition: str) -> Any:
        answer = self._call("complete_multipart_upload", **upload, MultipartUpload={"Parts": parts}, **condition)
        parts.clear()  # nothing is left to drop
        return answer

    def _write(self, key: str, body: bytes, **condition: str) -> str:
        return etag_of(self._send("put_object", body, Key=key, **self._sse, **condition))

    def _send(self, operation: str, body: bytes, **params: Any) -> Any:
        """Make a request with a body, and with the checksum that most services take."""
        if self._settings.given_features.get("content_md5", self._facts.known.get("content_md5")) is not False:
            try:
                return self._call(operation, body, **params, ContentMD5=hashing.to_base64(md5_of(body)))
            except Refusal as error:
                if not refuses_md5(error):
                    raise
                self._facts.learn("content_md5", False)
        return self._call(operation, body, **params)

    def _content(self, key: str) -> bytes:
        answer = self._call("get_object", Key=key)
        try:
            return answer.body.read()
        finally:
            answer.close()

    def _copy(self, source: str, target: str, **condition: str) -> None:
        found = {"Bucket": self._settings.bucket, "Key": source}
        more = {"MetadataDirective": "REPLACE", **self._sse, **condition}
        more.pop("Tagging", None)  # which the copy has of its source
        self._call("copy_object", Key=target, CopySource=found, **more)

    def _quietly(self, operation: str, **params: Any) -> None:
        try:
            self._call(operation, **params)
        except Exception as error:  # what a probe leaves is never listed, and cleanup_uploads finds it
            log.debug("after a probe: %s: %s", operation, type(error).__name__)


_FIRST, _SECOND = b"1", b"22"
_NO_ANSWER = (401, 403, 408, 409, 429)
_PATIENCE = 30.0
