"""Listings: pages in the usual form are read at once (:mod:`.quick`), others as any resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from file_keeper.backend import Page, Pages, follow_pages

from . import errors, records
from .answers import NotFound, misshapen
from .transport import Transport

T = TypeVar("T")

LISTED = "name,size,generation,contentType,timeCreated,md5Hash,crc32c"
"""What a listing asks for of an object. One alone is asked for whole: to name the fields costs more than it saves."""


def list_objects(transport: Transport, params: Mapping[str, str], *, keys_only: bool, algorithm: str) -> Pages[Page]:
    """List objects.

    :param params: what is asked for
    :param algorithm: of the hash that is wanted
    """
    from . import quick

    what = "name,size" if keys_only else LISTED
    params = {**params, "fields": f"kind,nextPageToken,prefixes,items({what})"}
    if keys_only:
        return pages(transport, params, page_of_keys, quick.keys_of)
    md5_first = algorithm != "crc32c"
    return pages(transport, params, page_of_objects, lambda content: quick.objects_of(content, md5_first=md5_first))


def pages(
    transport: Transport,
    params: Mapping[str, str],
    page_of: Callable[[Mapping[str, Any]], T],
    quick: Callable[[bytes], tuple[T, str] | None] | None = None,
) -> Pages[T]:
    """List a bucket.

    :param page_of: makes a page of the resource that an answer is
    :param quick: makes a page and the next token of an answer in the usual form, ``None`` of any other
    :raises InvalidStorageConfigurationError: when there is no such bucket, which is all that a 404 means here
    """

    def read(answer: Mapping[str, Any]) -> tuple[T, str]:
        try:
            return page_of(answer), answer.get("nextPageToken") or ""
        except (KeyError, TypeError, AttributeError) as error:
            raise misshapen("a page of a listing", error) from error

    def fetch(token: str) -> tuple[T, str | None]:
        try:
            page, following = transport.listed({**params, "pageToken": token} if token else params, quick, read)
        except NotFound as error:
            raise errors.no_bucket(error, transport.bucket) from error
        return page, following or None

    return follow_pages(fetch)


def page_of_keys(answer: Mapping[str, Any]) -> Page:
    """Return the page of a resource that lists keys, whatever else its objects hold."""
    items: list[dict[str, Any]] = answer.get("items") or []
    keys = [item["name"] for item in items if not (item["name"].endswith("/") and str(item.get("size")) == "0")]
    return Page(keys, (), answer.get("prefixes") or [])


def page_of_objects(answer: Mapping[str, Any]) -> Page:
    """Return the page of a resource that lists objects."""
    return Page.of(map(records.info, answer.get("items") or []), answer.get("prefixes") or [])
