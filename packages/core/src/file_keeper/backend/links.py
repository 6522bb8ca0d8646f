"""Signed links of storages that have no service of their own.

The backend makes a link, an application of ``file-keeper-web`` checks it: both with :class:`LinkSigner`.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from .. import exc
from ..settings import Settings
from .contract import MultipartRef, SignAction, SignedRequest, SignOptions

_METHODS: dict[SignAction, str] = {"upload": "PUT", "download": "GET", "delete": "DELETE", "part": "PUT"}
SIGNATURE = "fk-signature"
_OWN = ("expires", "type", "disposition", "size", "hash", "new", "upload", "part")
_DOMAIN = b"file-keeper link 1\n"


def check_base_url(value: str) -> None:
    """Check the option ``base_url``: an http(s) address, or a path on the host of the page that shows the link.

    :raises InvalidStorageConfigurationError: saying what cannot be in it
    """
    if not value.startswith(("http://", "https://", "/")) or value.startswith("//"):
        reason = "must be an http(s) address or a path that begins with '/'"
    elif not value.isascii() or not value.isprintable() or re.search(r'[\s"<>\\^`{|}]', value):
        reason = "must have no space, line break or character that an address cannot hold"
    elif "?" in value or "#" in value:
        reason = "must have no query and no fragment: a location is put behind it"
    else:
        from urllib.parse import urlsplit  # an import of the library does without; only who makes links pays

        try:
            parts = urlsplit(value)
            well_formed = value.startswith("/") or (bool(parts.hostname) and (parts.port or 0) >= 0)
        except ValueError:
            well_formed, parts = False, urlsplit("")
        if well_formed and "@" not in parts.netloc and not {".", ".."} & set(parts.path.split("/")):
            return
        reason = "must name a host, without user, password or '..'"
    raise exc.InvalidStorageConfigurationError(f"option 'base_url' {reason}, not {value!r}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a valid link allows, as it was signed.

    :param expires: seconds since 1970
    :param max_size: of an upload: the most bytes that it may have; ``None`` leaves it free
    :param digests: of an upload: the hashes that it must have
    """

    action: SignAction
    location: str
    expires: int
    content_type: str = ""
    disposition: str = ""
    if_absent: bool = False
    max_size: int | None = None
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    upload: MultipartRef | None = None
    part: int = 0


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class LinkSigner:
    """Signs the links of one storage, and checks them.

    A signature covers the storage's name, the method, the location, the end of its validity and all else that the link
    says. It is an HMAC-SHA256 under the first key; every key is accepted, so a key can be replaced without breaking
    the links that are out.

    :param storage: its name
    :param base_url: address under which the application answers
    :param keys: the first one signs
    """

    storage: str
    base_url: str
    keys: Sequence[str]

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Return the signer of a storage with these settings, ``None`` without ``base_url``.

        References (``{"file": ...}``) are read now.
        """
        known: Any = settings.resolve()
        base_url: str = getattr(known, "base_url", "")
        return cls(known.name, base_url, tuple(getattr(known, "signing_key", ()))) if base_url else None

    def url(self, location: str) -> str:
        """Return the address of a location, without a signature."""
        from urllib.parse import quote

        return f"{self.base_url.rstrip('/')}/{quote(location, safe='/~')}"

    def sign(self, action: SignAction, location: str, options: SignOptions) -> SignedRequest:
        """Sign a request for one location."""
        from urllib.parse import urlencode

        values = {
            "expires": str(math.ceil(time.time() + options.duration)),
            "type": options.content_type,
            "disposition": options.disposition,
            "size": "" if options.max_size is None else str(options.max_size),
            "hash": next((f"{name}:{value}" for name, value in options.digests.items()), ""),
            "new": "1" if options.if_absent else "",
            "upload": options.upload.id if options.upload else "",
            "part": str(options.part) if options.upload else "",
        }
        query = {f"fk-{name}": value for name, value in values.items() if value}
        method = _METHODS[action]
        if not self.keys:
            raise exc.UnsupportedOperationError("nothing can be signed without the option 'signing_key'")
        query[SIGNATURE] = self._signature(self.keys[0], method, location, query)
        headers: dict[str, str] = {}
        if action == "upload" and options.content_type:
            headers["Content-Type"] = options.content_type
        if options.if_absent:
            headers["If-None-Match"] = "*"
        return SignedRequest(f"{self.url(location)}?{urlencode(query)}", method, headers)

    def _signature(self, key: str, method: str, location: str, query: Mapping[str, str]) -> str:
        import hmac
        import json

        text = json.dumps([self.storage, method, location, sorted(query.items())]).encode()
        digest = hmac.new(key.encode(), _DOMAIN + text, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")

    def verify(self, method: str, location: str, query: Iterable[tuple[str, str]]) -> Link | None:
        """Return what a request may do by its signature, ``None`` when it may nothing. The time taken tells nothing.

        :param query: the pairs of the request's query, decoded; those that are not of a link are ignored
        """
        import hmac

        pairs = [(name, value) for name, value in query if name.startswith("fk-")]
        values = dict(pairs)
        given = values.pop(SIGNATURE, "")
        # A parameter that stands twice is read in one way here and in another elsewhere.
        if len(values) + 1 != len(pairs) or not given.isascii():
            return None
        method = "GET" if method == "HEAD" else method
        valid = False
        for key in self.keys:
            valid |= hmac.compare_digest(self._signature(key, method, location, values), given)
        if not valid:
            return None
        link = _read(method, location, {name: values.get(f"fk-{name}", "") for name in _OWN})
        return link if time.time() < link.expires else None


def _read(method: str, location: str, values: Mapping[str, str]) -> Link:
    """Read what we have signed: its form is known."""
    algorithm, _, digest = values["hash"].partition(":")
    action: SignAction = next(name for name, verb in _METHODS.items() if verb == method)
    return Link(
        action="part" if values["upload"] else action,
        location=location,
        expires=int(values["expires"]),
        content_type=values["type"],
        disposition=values["disposition"],
        if_absent=bool(values["new"]),
        max_size=int(values["size"]) if values["size"] else None,
        digests={algorithm: digest} if digest else {},
        upload=MultipartRef(location, values["upload"]) if values["upload"] else None,
        part=int(values["part"] or 0),
    )
