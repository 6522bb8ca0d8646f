"""Signature version 4 with a key that is made once a day. Reference: AWS General Reference, "Signature Version 4".

Equal to what botocore signs, which a test shows; a tenth of its time.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import NamedTuple

EMPTY = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"

_LEFT_OUT = frozenset(("user-agent", "expect", "accept-encoding", "connection", "transfer-encoding", "content-length"))
"""Headers that a proxy may change, and that the signature leaves out."""


class Credentials(NamedTuple):
    """Who signs."""

    key: str
    secret: str
    token: str

    def __repr__(self) -> str:
        return f"Credentials({self.key!r})"


class Signer:
    """Signs the requests of one storage."""

    def __init__(self) -> None:
        self._second = -1
        self._stamp = ""
        self._keys: dict[tuple[str, str, str], bytes] = {}

    def sign(
        self,
        credentials: Credentials,
        region: str,
        method: str,
        host: str,
        path: str,
        query: str,
        headers: dict[str, str],
        payload: str,
        *,
        now: float | None = None,
    ) -> None:
        """Add a signature to headers.

        :param path: as it is sent
        :param query: as it is sent: encoded, in order of the names
        :param headers: without ``Host``; gains ``Authorization`` and what belongs to it
        :param payload: SHA-256 of the body in hex, or :data:`UNSIGNED`
        """
        stamp = self._stamp_at(time.time() if now is None else now)
        headers["x-amz-date"] = stamp
        headers["x-amz-content-sha256"] = payload
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        signed = {name.lower(): value for name, value in headers.items()}
        signed["host"] = host
        names = sorted(name for name in signed if name not in _LEFT_OUT)
        lines = "".join([f"{name}:{' '.join(signed[name].split())}\n" for name in names])
        listed = ";".join(names)
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{listed}\n{payload}"
        day = stamp[:8]
        scope = f"{day}/{region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = self._keys.get((credentials.secret, day, region)) or self._make_key(credentials.secret, day, region)
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.key}/{scope}, SignedHeaders={listed}, Signature={signature}"
        )

    def _stamp_at(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
            self._second = second
            return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        return self._stamp

    def _make_key(self, secret: str, day: str, region: str) -> bytes:
        key = f"AWS4{secret}".encode()
        for part in (day, region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._keys = {(secret, day, region): key}
        return key
