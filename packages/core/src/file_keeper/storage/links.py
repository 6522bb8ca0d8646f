"""Links: signed, temporary, permanent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from .. import attributes, exc, hashing
from ..backend import (
    Capability,
    SignAction,
    SignedRequest,
    SignOptions,
)
from ..data import FileData
from ..types import FileOrLocation
from ..units import parse_filesize
from ..upload import check_content_type
from .base import Base, Duration, name_of, operation, validity

SignedAction = Literal["upload", "download", "delete"]
"""What a signed address allows."""


class SignedURL(str):
    """A signed address. It is a ``str``, and knows how it must be requested.

    :ivar method: the HTTP method
    :ivar headers: to be sent as they are
    :ivar fields: where the method is ``POST``: the fields of a form (``multipart/form-data``), to be sent as they are,
        and behind them the content in a field ``file``; else empty, and the content is the body
    :ivar expires: when it ends, with its time zone
    """

    method: str
    headers: dict[str, str]
    fields: dict[str, str]
    expires: datetime

    @classmethod
    def make(cls, request: SignedRequest, seconds: float) -> SignedURL:
        self = cls(request.url)
        self.method = request.method
        self.headers = dict(request.headers)
        self.fields = dict(request.fields)
        self.expires = datetime.now(UTC) + timedelta(seconds=seconds)
        return self

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON for a script in a browser: ``url``, ``method``, ``headers``, ``expires``.

        And ``fields``, where a form is to be sent: libraries in the browser, Uppy among them, tell a form by that.
        """
        found: dict[str, Any] = {
            "url": str(self),
            "method": self.method,
            "headers": self.headers,
            "expires": self.expires.isoformat(),
        }
        return {**found, "fields": self.fields} if self.fields else found


class Links(Base):
    """The part of a storage that gives addresses."""

    @operation(Capability.SIGNED, "signed")
    def _signed(self, file: FileOrLocation, action: SignAction, options: SignOptions) -> SignedURL:
        key = self._key(file, writing=action == "upload")
        request = self._verbs.sign(action, key, options)
        return SignedURL.make(request, options.duration)

    def signed(
        self,
        action: SignedAction,
        duration: Duration,
        location: FileOrLocation,
        *,
        content_type: str = "",
        disposition: str = "",
        overwrite: bool | None = None,
        max_size: int | str | None = None,
        hash: str = "",
        algorithm: str = "",
    ) -> SignedURL:
        """Sign a request that anybody may send without credentials, for a time. No network I/O where a key is known.

        An upload through it overwrites, unless `overwrite` is ``False``: then the condition is among the headers, which
        must be sent as they are. The limits and hashes of this storage do not see such uploads: bind what they must be
        with `content_type`, `max_size` and `hash`, where the provider can, and look at them before they are believed.

        :param duration: seconds, ``"15m"`` or a timedelta
        :param content_type: of an upload: the one that must be sent; of a download: the one answered
        :param disposition: ``Content-Disposition`` of a download; names beyond ASCII are encoded
        :param max_size: of an upload: the most bytes that it may have (``10485760`` or ``"10MiB"``). S3 binds it in a
            form alone: then the method is ``POST``, and ``SignedURL.fields`` go before the content
        :param hash: of an upload: hex that it must have under `algorithm` (``""``: the storage's)
        :raises UnsupportedOperationError: when the provider's signatures cannot bind a size or hash
        """
        if action not in ("upload", "download", "delete"):
            raise exc.StorageDataError(
                f"{action!r} cannot be signed, only 'upload', 'download' and 'delete'",
                storage=self.name,
                operation="signed",
                location=name_of(location),
            )
        with self._at("signed", name_of(location)):
            options = SignOptions(
                duration=validity(duration),
                content_type=check_content_type(content_type),
                disposition=attributes.disposition(disposition),
                if_absent=action == "upload" and overwrite is False,
                **self._bounds(action, max_size, hash, algorithm),
            )
        return self._signed(location, action, options)

    def _bounds(self, action: SignAction, max_size: int | str | None, hash: str, algorithm: str) -> dict[str, Any]:
        """Check what an upload is bound to: no bound is dropped in silence."""
        bounds: dict[str, Any] = {}
        if max_size is not None:
            try:
                bounds["max_size"] = parse_filesize(max_size)
            except (ValueError, TypeError) as error:
                raise exc.StorageDataError(f"max_size: {error}") from None
        if hash:
            chosen = algorithm or self.settings.hashing_algorithm
            bounds["digests"] = {chosen: hashing.check(hash, chosen)}
        for name, asked in (("size", "max_size" in bounds), ("hash", "digests" in bounds)):
            if asked and action != "upload":
                raise exc.StorageDataError(f"only an upload is bound to a {name}, not {action!r}")
            if asked and name not in self.limits.sign_bounds:
                raise exc.UnsupportedOperationError(
                    f"a signature of {self.settings.type} does not bind the {name} of an upload: "
                    "sign without it, and check the file once it is there"
                )
        return bounds

    @operation(Capability.SIGNED | Capability.MULTIPART)
    def multipart_signed(self, data: FileData, part: int, duration: Duration) -> SignedURL:
        """Sign the sending of one part of a multipart upload, for a browser; then :meth:`multipart_refresh`."""
        key, ref = self._sessions.ref(data)
        self._sessions.check_number(part)
        options = SignOptions(duration=validity(duration), upload=ref, part=part)
        request = self._verbs.sign("part", key, options)
        return SignedURL.make(request, options.duration)

    @operation(Capability.LINK_TEMPORARY)
    def temporary_link(self, file: FileOrLocation, duration: Duration) -> str:
        """Return an address to download a file from, for a time."""
        return str(self.signed("download", duration, file))

    @operation(Capability.LINK_PERMANENT)
    def permanent_link(self, file: FileOrLocation) -> str:
        """Return the address of a file that does not end; whether it is readable is up to the bucket's rights."""
        return self._verbs.url(self._key(file))

    @operation(Capability.LINK_ONE_TIME)
    def one_time_link(self, file: FileOrLocation, duration: Duration) -> str:
        """Return an address that works once.

        No provider has them yet: always :class:`file_keeper.exc.UnsupportedOperationError`.
        """
        raise self._cannot(Capability.LINK_ONE_TIME)
