"""The bucket itself: made where it is missing, checked."""

from __future__ import annotations

from typing import Any

from file_keeper import exc

from . import errors
from .objects import Objects
from .reply import Refusal


def prepare(objects: Objects, region: str | None) -> None:
    """Make the bucket where there is none."""
    try:
        objects.call("head_bucket")
        return
    except Refusal as error:
        if error.status != 404:
            objects.tell_400(error, "list_objects_v2", MaxKeys=1)
            raise
    # API Reference, "CreateBucket": outside of us-east-1 the region must be named, inside it must not be.
    where = region if region and region not in ("us-east-1", "aws-global", "auto") else ""
    try:
        _create_bucket(objects, where)
    except Refusal as error:
        if error.code in ("InvalidLocationConstraint", "IllegalLocationConstraintException") and where:
            _create_bucket(objects, "")  # services of one region have none by that name
        else:
            raise


def _create_bucket(objects: Objects, region: str) -> None:
    try:
        where: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region else {}
        objects.call("create_bucket", **where)
    except Refusal as error:
        if error.code == "BucketAlreadyOwnedByYou":
            return
        if error.code == "BucketAlreadyExists":
            raise errors.answer(
                error, exc.InvalidStorageConfigurationError, f"the bucket {objects.bucket!r} belongs to someone else"
            ) from error
        raise


def check(objects: Objects) -> None:
    """Prove credentials and bucket with one request."""
    try:
        objects.call("head_bucket")
    except Refusal as error:
        if error.status == 404:
            kind = exc.InvalidStorageConfigurationError
            raise errors.answer(error, kind, f"there is no bucket {objects.bucket!r}") from error
        objects.tell_400(error, "list_objects_v2", MaxKeys=1)
        raise
