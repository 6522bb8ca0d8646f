"""The handle that tests hold: start, stop, look inside, break things."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from .app import Api
from .auth import ServiceAccount
from .faults import Action, Rule
from .messages import Request
from .store import Bucket, Preconditions, StoredObject, writable
from .uploads import draft
from .wire import Entry, WireServer

SPOOL = 1024 * 1024


class GcsDouble:
    """A double of Google Cloud Storage on a loopback port of its own.

    `spool` is the size from which the bytes of an object lie in a temporary file instead of memory.
    """

    def __init__(self, *, port: int = 0, spool: int = SPOOL) -> None:
        self.api = Api(spool)
        self._port = port
        self._server: WireServer | None = None
        self._thread: threading.Thread | None = None

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        self._server = WireServer(("127.0.0.1", self._port), self.api)
        # A daemon: it never keeps a process alive that has come to its end.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="gcs-double", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        if self._server and self._thread:
            self._server.end()
            self._thread.join(10)
            self._server = self._thread = None

    def __enter__(self) -> Self:
        return self if self._server else self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def reset(self) -> None:
        """As new: no bucket, session, token, rule, denial or log; every option at its default."""
        self.api.faults.clear()
        self.api.sessions.clear()
        self.api.rewrites.clear()
        self.api.authority.clear()
        self.api.store.clear()
        self.clear_log()

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("the double is not running")
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # -- credentials -----------------------------------------------------------------------------------------------

    @property
    def account(self) -> ServiceAccount:
        return self.api.authority.account

    @property
    def project(self) -> str:
        return self.account.project

    @property
    def token_uri(self) -> str:
        return f"{self.url}/token"

    def credentials_info(self) -> dict[str, str]:
        return self.account.info(self.token_uri)

    def write_credentials(self, path: Path) -> Path:
        """A service account's credentials file whose tokens come from the double."""
        return self.account.write(path, self.token_uri)

    @property
    def require_auth(self) -> bool:
        return self.api.authority.required

    @require_auth.setter
    def require_auth(self, value: bool) -> None:
        self.api.authority.required = value

    def expire_tokens(self) -> None:
        self.api.authority.expire_tokens()

    def deny(self, permission: str, bucket: str = "") -> None:
        """Takes an IAM permission away; without storage.objects.list a missing object is a 403, as it is there."""
        self.api.authority.deny(permission, bucket)

    def allow(self, permission: str, bucket: str = "") -> None:
        self.api.authority.allow(permission, bucket)

    # -- content ---------------------------------------------------------------------------------------------------

    def create_bucket(self, name: str, *, location: str = "US", versioning: bool = False) -> Bucket:
        resource = {"location": location, "versioning": {"enabled": versioning}}
        return self.api.store.create_bucket(name, self.project, resource)

    def disable_billing(self, bucket: str) -> None:
        self.api.store.buckets[bucket].billing = False

    def put(self, bucket: str, name: str, data: bytes = b"", **fields: Any) -> StoredObject:
        """An object put there behind the API; `fields` as in the resource (contentType, metadata, ...)."""
        writer = self.api.store.writer()
        writer.write(data)
        return self.api.store.commit(draft(bucket, name, writer, writable(fields)), Preconditions())

    def object(self, bucket: str, name: str) -> StoredObject | None:
        return self.api.store.find(bucket, name)

    def content(self, bucket: str, name: str) -> bytes:
        return self.api.store.get(bucket, name).content.read()

    def names(self, bucket: str) -> list[str]:
        with self.api.store.lock:
            return [key.decode() for key in self.api.store.bucket(bucket).keys]

    def remove(self, bucket: str, name: str) -> None:
        self.api.store.delete(bucket, name, None, Preconditions())

    def corrupt(self, bucket: str, name: str, at: int = 0, mask: int = 1) -> None:
        """Damage at rest: a byte is another, the recorded checksums are not."""
        found = self.api.store.get(bucket, name)
        self.api.store.replace_content(bucket, name, found.content.flipped(at, mask, self.api.store.spool_limit))

    @property
    def discard(self) -> bool:
        """Uploads are hashed and thrown away, zeros are read back: for measuring a client."""
        return self.api.store.discard

    @discard.setter
    def discard(self, value: bool) -> None:
        self.api.store.discard = value

    # -- behaviour on demand ---------------------------------------------------------------------------------------

    def fault(
        self,
        action: Action,
        *,
        method: str = "",
        path: str = "",
        query: str = "",
        nth: int = 1,
        times: int | None = 1,
        when: Callable[[Request], bool] | None = None,
    ) -> Rule:
        """From the nth matching request on, `times` times (None: always), `action` happens. The rule counts."""
        return self.api.faults.add(Rule(action, method, path, query, nth, times, when))

    def clear_faults(self) -> None:
        self.api.faults.clear()

    @property
    def sessions(self) -> list[str]:
        """The ids of the upload sessions that are neither finished, cancelled nor expired."""
        return [each.id for each in list(self.api.sessions.open.values()) if each.finished is None]

    def expire_sessions(self, status: int = 410, upload_id: str | None = None) -> int:
        """Sessions end as they do after a week: 404 or 410 from now on."""
        return self.api.sessions.expire(status, upload_id)

    @property
    def rewrite_limit(self) -> int | None:
        """Bytes that one rewrite call copies, as between locations; None: everything."""
        return self.api.rewrites.limit

    @rewrite_limit.setter
    def rewrite_limit(self, value: int | None) -> None:
        self.api.rewrites.limit = value

    def expire_rewrites(self) -> None:
        self.api.rewrites.expire()

    # -- what was asked --------------------------------------------------------------------------------------------

    def requests(self, method: str = "", path: str = "", query: str = "") -> list[Entry]:
        """The log, by regular expressions; the calls inside a batch are entries of their own (`in_batch`)."""
        return [
            entry
            for entry in list(self.api.log)
            if re.search(method, entry.method) and re.search(path, entry.path) and re.search(query, entry.query)
        ]

    def count(self, method: str = "", path: str = "", query: str = "") -> int:
        """How many requests came over the wire (those inside a batch not counted)."""
        return sum(not entry.in_batch for entry in self.requests(method, path, query))

    @property
    def counters(self) -> dict[str, int]:
        return dict(self.api.counters)

    def clear_log(self) -> None:
        self.api.log.clear()
        self.api.counters.clear()
