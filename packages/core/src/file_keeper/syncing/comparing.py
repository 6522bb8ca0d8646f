"""Whether two files have the same content, at the least cost that proves it."""

from __future__ import annotations

import re
from enum import Enum

from ..data import FileData
from ..hashing import new
from ..storage import Storage
from .limiting import Pace
from .plan import Plan

_MD5 = re.compile("[0-9a-f]{32}")
_S3_ETAG = re.compile(r"[0-9a-f]{32}(-\d+)?")
_S3 = "file_keeper:s3"


class Verdict(Enum):
    """What is to be done with a file that both sides have."""

    COPY = "copy"
    SKIP = "skip"
    REFUSE = "refuse"
    LOOK = "look"
    """The listings alone do not tell."""


def judge(plan: Plan, file: FileData, there: FileData) -> Verdict:
    """Decide by what two listings tell, without a request."""
    if plan.differing == "keep":
        return Verdict.SKIP
    if plan.differing == "newer" and file.modified and there.modified and file.modified <= there.modified:
        return Verdict.SKIP
    differs = Verdict.REFUSE if plan.differing == "refuse" else Verdict.COPY
    if plan.compare == "always" or file.size != there.size:
        return differs
    if plan.compare == "size" or not file.size:
        return Verdict.SKIP
    equal = equal_by_hash(file, there)
    if equal is None and plan.compare == "auto" and _is_equal_by_etag(plan, file, there):
        equal = True
    return Verdict.LOOK if equal is None else Verdict.SKIP if equal else differs


def equal_by_hash(file: FileData, there: FileData) -> bool | None:
    """Compare two recorded hashes; ``None`` where they cannot be compared."""
    if not (file.hash and there.hash) or file.algorithm != there.algorithm:
        return None
    return file.hash == there.hash


def _is_equal_by_etag(plan: Plan, file: FileData, there: FileData) -> bool:
    """Return whether an ETag proves that two contents are equal. One that differs proves nothing.

    S3 makes the ETag of an object that was put in one request of its MD5, of one in parts of those of its parts. Where
    it is something else (encryption by KMS, another maker's server) it is equal to no MD5.
    """
    source_is_s3, target_is_s3 = (side.settings.type == _S3 for side in (plan.source, plan.target))
    if source_is_s3 and target_is_s3:
        return file.etag == there.etag and _S3_ETAG.fullmatch(file.etag) is not None
    return (target_is_s3 and _is_md5_of(there.etag, file)) or (source_is_s3 and _is_md5_of(file.etag, there))


def _is_md5_of(etag: str, file: FileData) -> bool:
    return file.algorithm == "md5" and etag == file.hash and _MD5.fullmatch(etag) is not None


def look(plan: Plan, file: FileData, there: FileData, pace: Pace) -> tuple[bool, int]:
    """Find out whether two files of one size are equal; return it, and the bytes that were read for that.

    The recorded hashes are asked for; where there is none, or they are of different kinds, content is read.
    """
    size = file.size
    if not file.hash:
        pace.call()
        file = plan.source.analyze(file.location)
    if plan.compare == "auto" and file.size == size and _is_equal_by_etag(plan, file, there):
        return True, 0
    if not there.hash:
        pace.call()
        there = plan.target.analyze(there.location)
    if file.size != there.size:
        return False, 0
    equal = equal_by_hash(file, there)
    if equal is not None:
        return equal, 0
    # One reading is enough where one side has a hash: of the side that is local, or lacks it.
    if there.hash and (not file.hash or plan.source.limits.local):
        return _hash(plan.source, file, there.algorithm, pace) == there.hash, file.size
    if file.hash:
        return _hash(plan.target, there, file.algorithm, pace) == file.hash, there.size
    algorithm = plan.target.settings.hashing_algorithm
    ours = _hash(plan.source, file, algorithm, pace)
    return ours == _hash(plan.target, there, algorithm, pace), file.size + there.size


def _hash(storage: Storage, file: FileData, algorithm: str, pace: Pace) -> str:
    hasher = new(algorithm)
    pace.call()
    with storage.stream(file.location, etag=file.etag) as stream:
        for chunk in stream:
            hasher.update(chunk)
            pace.bytes(len(chunk))
    return hasher.hexdigest()
