"""What the drivers can do: the one table. A driver is known by the class of Libcloud that it extends."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Literal

from file_keeper import exc
from libcloud.storage.base import StorageDriver

MiB = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a driver gives beyond the least that all have.

    The defaults are right for a driver that nobody has looked at: less is promised, nothing is pretended.

    :param keyed: it cannot do without ``key`` and ``secret``, and would say so by an error of its own making
    :param streams: ``upload_object_via_stream`` needs bounded memory and shows nothing before its end; else content is
        gathered in a temporary file and sent with ``upload_object``
    :param plain: a container needs no more than its name and an object no more than that and its container, so that
        neither has to be fetched before it is used
    :param metadata: ``extra={"meta_data": ...}`` comes back
    :param names: as :attr:`file_keeper.backend.Limits.metadata_names`
    :param header_prefix: how ``headers=`` must spell the four headers of a file; ``None``: they are not kept
    :param content_md5: ``headers=`` may carry a ``Content-MD5``, which the provider verifies
    :param empty: an empty body can be sent in one request
    :param blocks: uploads are numbered blocks that writers of one name share: see :mod:`file_keeper_libcloud.blocks`
    :param hash: where an MD5 of the whole content stands: in the ``etag`` (where that is one), or ``content-md5``
    :param kept: the provider itself keeps the MD5 of everything that the driver uploads
    :param order: of its listings, see :class:`file_keeper.backend.Limits`
    :param object_max: largest object in bytes that the driver's way of streaming allows
    :param refused: characters and endings that cannot be part of a new name
    :param ids: headers of which the provider's answers bear one
    :param identified: each of them does; else only those of services that send one at all
    :param local: it is a directory of this machine: see :mod:`file_keeper_libcloud.local`
    """

    keyed: bool = False
    streams: bool = False
    plain: bool = False
    metadata: bool = False
    names: Literal["identifiers", "headers"] = "headers"
    header_prefix: str | None = None
    content_md5: bool = False
    empty: bool = True
    blocks: bool = False
    hash: Literal["", "etag", "content-md5"] = ""
    kept: bool = False
    order: Literal["bytes", "utf16", "none"] = "none"
    object_max: int = 5 << 40
    refused: re.Pattern[str] | None = None
    ids: tuple[str, ...] = ()
    identified: bool = False
    local: bool = False


_S3 = Traits(
    keyed=True,
    streams=True,
    plain=True,
    metadata=True,
    header_prefix="",
    content_md5=True,
    hash="etag",
    order="bytes",
    object_max=10_000 * 5 * MiB,  # parts of 5 MiB, at most 10,000
    ids=("x-amz-request-id", "x-amz-id-2", "x-amzn-requestid"),
)

# By the name of the class, nearest first in the order of inheritance: no driver is imported for the sake of another.
_TABLE: dict[str, Traits] = {
    "LocalStorageDriver": Traits(plain=True, order="bytes", refused=re.compile(r"(^|/)\.(lock|hash)(/|$)"), local=True),
    # Its chunked upload is one request of a length that is not told before; Google's composite objects have etags of
    # another form.
    "GoogleStorageDriver": dataclasses.replace(
        _S3,
        keyed=False,
        streams=False,
        content_md5=False,
        object_max=5 << 40,
        ids=("x-guploader-uploadid",),
        identified=True,
    ),
    "BaseS3StorageDriver": _S3,
    "AzureBlobsStorageDriver": Traits(
        keyed=True,
        streams=True,
        plain=True,
        metadata=True,
        names="identifiers",
        header_prefix="x-ms-blob-",
        content_md5=True,
        empty=False,  # it signs a Content-Length of 0, which the service does not
        blocks=True,
        hash="content-md5",
        kept=True,
        order="utf16",
        object_max=50_000 * 4 * MiB,
        refused=re.compile(r"\\|\.(/|$)"),
        ids=("x-ms-request-id",),
        identified=True,
    ),
    # Downloads are asked for without quoting: such a name would read another file.
    "CloudFilesStorageDriver": Traits(
        plain=True,
        metadata=True,
        hash="etag",
        order="bytes",
        refused=re.compile(r"[%?#]"),
        ids=("x-trans-id", "x-openstack-request-id"),
        identified=True,
    ),
    "OSSStorageDriver": Traits(metadata=True, hash="etag", order="bytes", ids=("x-oss-request-id",), identified=True),
}

NEEDED = (
    "get_container",
    "get_object",
    "iterate_container_objects",
    "download_object_as_stream",
    "upload_object",
    "delete_object",
)
"""Methods without which there is no storage."""


def has(driver: type[StorageDriver], method: str) -> bool:
    """Return whether a driver has a method of its own; the base class has all, which raise."""
    return getattr(driver, method) is not getattr(StorageDriver, method)


def traits_of(driver: type[StorageDriver]) -> Traits:
    """Return what is known of a driver.

    :raises InvalidStorageConfigurationError: when it lacks what every storage needs
    """
    if missing := [method for method in NEEDED if not has(driver, method)]:
        raise exc.InvalidStorageConfigurationError(
            f"Libcloud's driver {driver.__name__} cannot be a storage: it has no {', no '.join(missing)}"
        )
    return next((_TABLE[base.__name__] for base in driver.__mro__ if base.__name__ in _TABLE), Traits())


def signs(driver: type[StorageDriver]) -> bool:
    """Return whether a driver's links are signed for a time that can be chosen, and for a method."""
    known = inspect.signature(driver.get_object_cdn_url).parameters
    return {"ex_expiry", "ex_method"} <= set(known)
