"""Names of their own for the blocks of an upload to Azure.

Libcloud numbers the blocks of every upload 1, 2, 3. Blocks belong to the blob until one writer commits, so two writers
of one name at a time would publish a mixture of both: a block sent again replaces the one of that name. With a random
beginning no writer meets another's block, and the one that comes second is told that its own are gone.
https://learn.microsoft.com/rest/api/storageservices/put-block-list
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

_COMMITTED = re.compile("(?<=<Uncommitted>)[^<]*(?=</Uncommitted>)")


class Blocks:
    """Stands before the requests of one connection.

    :param connection: of an Azure driver; its ``request`` is wrapped
    """

    def __init__(self, connection: Any):
        self._request = connection.request
        self._token = ""
        connection.request = self.request

    def begin(self) -> None:
        """Begin another upload."""
        self._token = secrets.token_urlsafe(4)[:5]

    def _name(self, given: str) -> str:
        """Return the name of a block: as long as Libcloud's, since all of a blob have one length."""
        number = int(base64.b64decode(given))
        return base64.b64encode(f"{self._token}{number:05}".encode()).decode("ascii")

    def request(
        self,
        action: str,
        params: Mapping[str, Any] | None = None,
        data: Any = None,
        headers: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Send a request of the driver; blocks, and the list of them, under other names."""
        what = (params or {}).get("comp")
        if params and what == "block":
            params = {**params, "blockid": self._name(params["blockid"])}
        elif what == "blocklist" and data:
            data = _COMMITTED.sub(lambda found: self._name(found[0]), data)
            digest = hashlib.md5(data.encode(), usedforsecurity=False).digest()
            checks = {"Content-MD5": base64.b64encode(digest).decode("ascii"), "Content-Length": str(len(data))}
            headers = {**(headers or {}), **checks}
        return self._request(action, params=params, data=data, headers=headers, **options)
