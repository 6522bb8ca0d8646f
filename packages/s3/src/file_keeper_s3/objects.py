"""One object: looked at, read, written, deleted, and the conditions of all writes."""

from __future__ import annotations

import dataclasses
from typing import Any

from file_keeper import exc
from file_keeper.backend import Body, ObjectInfo, WriteOptions, looking
from file_keeper.types import Buffer

from . import errors
from .bodies import Bounded, Nothing
from .checksums import etag_of
from .endpoint import Endpoint
from .facts import Kind
from .records import attributes, described, first_byte, is_partial, sizes, written
from .reply import Members, Refusal
from .requests import Requests
from .settings import S3Settings


def _refuse_marker(key: str, size: int) -> None:
    """Refuse what stands for a directory: other tools make such objects, SeaweedFS shows each directory as one.

    :raises MissingFileError: when it is one
    """
    if key.endswith("/") and not size:
        raise exc.MissingFileError("there is a directory, and no file")


class Objects:
    """The objects of one bucket.

    :param settings: with their references read
    """

    def __init__(self, settings: S3Settings, requests: Requests, endpoint: Endpoint):
        self.settings = settings
        self.endpoint = endpoint
        self.call = requests
        self.bucket = requests.bucket

    # -- looking ----------------------------------------------------------------------------------------------------

    def head(self, key: str) -> ObjectInfo:
        try:
            answer = self.endpoint.checksums.send("head_object", Key=key, ChecksumMode="ENABLED")
        except Refusal as error:
            if error.status == 404:
                raise self._missing(error) from error
            self.tell_400(error, "get_object", Key=key, Range="bytes=0-0")
            raise
        size = answer.length
        if size is None:
            size = self._size_by_range(key)
        if size is None:
            raise exc.ConnectionError(
                f"{self.endpoint.url} does not say how large the object is: a proxy before it takes that away"
            )
        _refuse_marker(key, size)
        md5 = self.endpoint.facts.md5_etags is not False
        return self._versioned(described(key, answer, self.bucket, size, md5=md5))

    def _versioned(self, info: ObjectInfo) -> ObjectInfo:
        """Take an ETag away that names no version."""
        return dataclasses.replace(info, etag="") if info.etag and self.endpoint.lacks("etags") else info

    def _size_by_range(self, key: str) -> int | None:
        """Return the size that the answer to a range tells, where that to a HEAD tells none: a proxy takes it away."""
        try:
            answer = self.call("get_object", Key=key, Range="bytes=0-0")
        except Refusal as error:
            if error.status == 416:
                return 0
            raise
        answer.close()
        size = sizes(answer, partial=is_partial(answer))[1]
        return None if size < 0 else size

    def read(self, key: str, start: int, end: int | None, etag: str) -> Body:
        if etag and self.endpoint.lacks("etags"):
            etag = ""
        bound = bool(etag) and not self.endpoint.lacks("read_if_match")
        params: dict[str, str] = {"IfMatch": f'"{etag}"'} if bound else {}
        if start or end is not None:
            params["Range"] = f"bytes={start}-" + ("" if end is None else str(max(start, end - 1)))
        try:
            answer = self.call("get_object", Key=key, **params)
        except Refusal as error:
            if bound and self._is_unbound(error, key, etag):
                return self.read(key, start, end, etag)
            if error.status == 416 or error.code == "InvalidRange":
                return Body(self.head(key), 0, Nothing(), start=start)  # it begins past the end
            if error.status == 412:
                raise errors.answer(error, exc.ChangedFileError, "the file is another version now") from error
            raise
        partial = is_partial(answer)
        length, size = sizes(answer, partial=partial)
        # Compared with what is read: only what certainly is a hash.
        md5 = self.endpoint.aws or self.endpoint.facts.md5_etags is True
        info = described(key, answer, self.bucket, size, md5=md5)
        if etag and info.etag != etag and not self.endpoint.aws:
            info = dataclasses.replace(info, etag=self._judged_etag(key, info.etag, etag))
        else:
            info = self._versioned(info)
        stream = answer.body if length == answer.length else Bounded(answer.body, length)
        try:
            _refuse_marker(key, size)
        except exc.MissingFileError:
            stream.close()
            raise
        if (end is not None and end <= start) or (not partial and start and 0 <= size <= start):
            stream.close()
            return Body(info, 0, Nothing(), start=start)
        return Body(info, length, stream, start=first_byte(answer) if partial else 0)

    def _is_unbound(self, error: Refusal, key: str, etag: str) -> bool:
        """Return whether a read was refused for its condition although that holds, and remember that."""
        if self.endpoint.learn_refused("read_if_match", error):
            return True
        if error.status != 412 or self.endpoint.aws or self.head(key).etag != etag:
            return False
        self.endpoint.facts.learn("read_if_match", False)
        return True

    def _judged_etag(self, key: str, found: str, wanted: str) -> str:
        """Return the ETag of an answer that has another one than was asked for, as the file's own tell it."""
        first, second = self.head(key).etag, self.head(key).etag
        if first == second == found:
            return found  # it is another version
        if first == second == wanted:
            return wanted if not found else self._without_etags(wanted)  # only answers to GET have another one
        return self._without_etags(wanted)

    def _without_etags(self, wanted: str) -> str:
        self.endpoint.facts.learn("etags", False)
        return wanted

    def _missing(self, error: Refusal) -> exc.FilesError:
        """Return what a 404 without a body means: once, it is asked whether there is a bucket."""
        facts = self.endpoint.facts
        if not facts.bucket_seen:
            try:
                self.call("head_bucket")
            except Refusal as second:
                if second.status == 404:
                    kind = exc.InvalidStorageConfigurationError
                    return errors.answer(second, kind, f"there is no bucket {self.bucket!r}")
                if second.status not in (400, 401, 403, 405, 501):
                    raise
            facts.bucket_seen = True
        return errors.answer(error, exc.MissingFileError, "there is no such file")

    def tell_400(self, error: Refusal, operation: str, **params: Any) -> None:
        """Ask why a HEAD was a 400: its answer has no body to tell of an expired token, the answer to a GET has."""
        if error.status != 400:
            return
        try:
            answer = self.call(operation, **params)
        except Refusal as second:
            if second.status in (400, 401, 403):
                raise second from error
        else:
            answer.close()

    # -- writing ----------------------------------------------------------------------------------------------------

    def put(self, key: str, body: Buffer, options: WriteOptions) -> ObjectInfo:
        params = attributes(options, self.settings) | self.conditions("put", key, options)
        try:
            answer = self.endpoint.checksums.send("put_object", body, options.digests, Key=key, **params)
        except Refusal as error:
            if ours := self.failed(error, options):
                raise ours from error
            raise
        return self.written(key, len(body), answer, options)

    def written(self, key: str, size: int, answer: Members, options: WriteOptions) -> ObjectInfo:
        """Return what was just written, out of the answer to that."""
        # radosgw answers some writes without an etag.
        return written(key, size, answer, options) if etag_of(answer) else self.head(key)

    def delete(self, key: str, etag: str) -> bool:
        form = self.endpoint.condition("delete", if_match=True) if etag else ""
        if not form:
            # Deleting what is not there succeeds: only a look tells.
            try:
                with looking():
                    found = self.head(key)
            except exc.MissingFileError:
                return False
            if etag and found.etag != etag:
                raise exc.ChangedFileError("the file is another version now and was not removed")
        try:
            self.call("delete_object", Key=key, **({"IfMatch": form.format(etag)} if form else {}))
        except Refusal as error:
            if form and error.status == 404 and error.code != "NoSuchBucket":
                return False
            if ours := self.failed(error, WriteOptions(if_match=etag)):
                raise ours from error
            raise
        return True

    # -- conditions -------------------------------------------------------------------------------------------------

    def conditions(self, kind: Kind, key: str, options: WriteOptions) -> dict[str, str]:
        """Return the conditions of a write as parameters, or look now where the service does not decide them."""
        if not options.if_absent and not options.if_match:
            return {}
        form = self.endpoint.condition(kind, if_match=not options.if_absent)
        if form:
            return {"IfNoneMatch": "*"} if options.if_absent else {"IfMatch": form.format(options.if_match)}
        try:
            found = self.head(key)
        except exc.MissingFileError:
            found = None
        if options.if_absent and found is not None:
            raise exc.ExistingFileError("there is a file already and overwriting is off")
        if options.if_match and (found is None or found.etag != options.if_match):
            raise exc.ChangedFileError("the file is not the version that was to be replaced")
        return {}

    def failed(self, error: Refusal, options: WriteOptions) -> exc.FilesError | None:
        """Return what an answer means in the light of the conditions that were sent; ``None`` for nothing special."""
        status, code = error.status, error.code
        if status == 412 and options.if_absent:
            return errors.answer(error, exc.ExistingFileError, "there is a file already and overwriting is off")
        if options.if_match and (status == 412 or (status == 404 and code not in ("NoSuchBucket", "NoSuchUpload"))):
            return errors.answer(
                error, exc.ChangedFileError, "the file is not the version that was to be replaced, or is gone"
            )
        return None
