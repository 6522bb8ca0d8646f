"""The bucket itself: made where it is missing, checked."""

# botocore ships no types: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from file_keeper import exc

from . import errors
from .objects import Objects


def prepare(objects: Objects, region: str | None) -> None:
    """Make the bucket where there is none."""
    try:
        objects.call("head_bucket")
        return
    except ClientError as error:
        if errors.status_of(error) != 404:
            objects.tell_400(error, "list_objects_v2", MaxKeys=1)
            raise
    # API Reference, "CreateBucket": outside of us-east-1 the region must be named, inside it must not be.
    where = region if region and region not in ("us-east-1", "aws-global", "auto") else ""
    try:
        _create_bucket(objects, where)
    except ClientError as error:
        if errors.code_of(error) in ("InvalidLocationConstraint", "IllegalLocationConstraintException") and where:
            _create_bucket(objects, "")  # services of one region have none by that name
        else:
            raise


def _create_bucket(objects: Objects, region: str) -> None:
    try:
        where: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region else {}
        objects.call("create_bucket", **where)
    except ClientError as error:
        if errors.code_of(error) == "BucketAlreadyOwnedByYou":
            return
        if errors.code_of(error) == "BucketAlreadyExists":
            raise errors.answer(
                error, exc.InvalidStorageConfigurationError, f"the bucket {objects.bucket!r} belongs to someone else"
            ) from error
        raise


def check(objects: Objects) -> None:
    """Prove credentials and bucket with one request."""
    try:
        objects.call("head_bucket")
    except ClientError as error:
        if errors.status_of(error) == 404:
            kind = exc.InvalidStorageConfigurationError
            raise errors.answer(error, kind, f"there is no bucket {objects.bucket!r}") from error
        objects.tell_400(error, "list_objects_v2", MaxKeys=1)
        raise
