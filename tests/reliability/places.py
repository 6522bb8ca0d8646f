"""Where faults are tried: a bucket on an emulator, behind a proxy that breaks what passes.

    with Place("s3", "sdk", tls=True) as place:
        place.front.on("PUT").answer(503)
        place.storage.upload("a", b"x")

S3 is moto behind the front that refuses what moto forgives, Google Cloud Storage its double, Azure Azurite.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Self

import file_keeper as fk
from emulators import azure, s3, tls
from emulators.gcs_double import GcsDouble
from faults.http1 import Body, Headers, Request, Response
from faults.proxy import FaultProxy
from faults.strict_s3 import StrictS3

KINDS = ("s3", "gcs", "azure")
SENDERS = ("http", "sdk")
ATTEMPTS = 3
RETRY = {"attempts": ATTEMPTS, "base": "1ms", "longest": "10ms", "timeout": "60s"}
PART = {"s3": 5 << 20, "gcs": 256 << 10, "azure": 256 << 10}
"""Bytes of a part: the least that the provider takes, or little."""


class Front(FaultProxy):
    """A proxy whose clients are sent back to it, not to the server, by the addresses in answers."""

    def process(self, request: Request, body: Body) -> Response:
        response = super().process(request, body)
        if self.ca_file:
            lines = [
                (name, value.replace("http://", "https://", 1) if name.lower() == "location" else value)
                for name, value in response.headers
            ]
            response = dataclasses.replace(response, headers=Headers(lines))
        return response


@functools.cache
def certificates() -> tls.Certificates:
    """Give the authority of all fronts of this process; botocore, requests and our client trust it where told."""
    folder = tempfile.TemporaryDirectory(prefix="reliability-")
    made = tls.make_certificates(folder.name)
    _KEPT.append(folder)
    os.environ["REQUESTS_CA_BUNDLE"] = made.ca_file  # Azure has no option for it
    return made


_KEPT: list[Any] = []


class Servers:
    """The emulators, each started when it is first needed."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    @functools.cached_property
    def s3(self) -> s3.S3Server:
        server = s3.start()
        self._stack.callback(server.stop)
        return server

    @functools.cached_property
    def gcs(self) -> GcsDouble:
        return self._stack.enter_context(GcsDouble())

    @functools.cached_property
    def azure(self) -> azure.AzuriteServer:
        server = azure.start()
        self._stack.callback(server.stop)
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class Place:
    """A fresh bucket behind a proxy, and storages on it, all closed at the end."""

    def __init__(self, servers: Servers, kind: str, sender: str, *, secure: bool = False) -> None:
        self.kind, self.sender, self.secure = kind, sender, secure
        self.bucket = f"b-{uuid.uuid4().hex[:12]}"
        self._servers = servers
        self._stack = contextlib.ExitStack()
        self._turn = 0
        self._open()
        self.plain.initialize()

    def _open(self) -> None:
        proxy: dict[str, Any] = {"certificates": certificates()} if self.secure else {}
        if self.kind == "s3":
            self.front: FaultProxy = StrictS3(self._servers.s3, proxy=proxy or None)
        else:
            self.front = Front((self._servers.gcs if self.kind == "gcs" else self._servers.azure).url, **proxy)
        self._stack.enter_context(self.front)
        self._plain = self.make()
        self._storage = self.make(retry=RETRY)
        self._hasty = self.make(retry=RETRY, timeout=1.5)

    @property
    def plain(self) -> fk.Storage:
        """Without faults, as long as no rule is armed; it looks at what became of the trials."""
        return self._plain.below(self.folder)

    @property
    def storage(self) -> fk.Storage:
        """What meets the faults."""
        return self._storage.below(self.folder)

    @property
    def hasty(self) -> fk.Storage:
        """The same, with little patience."""
        return self._hasty.below(self.folder)

    @property
    def folder(self) -> str:
        """Where the files of this trial lie: what another one left in doubt does not disturb it."""
        return f"turn-{self._turn}"

    def renew(self) -> None:
        """Be another address, of which a client knows nothing."""
        self._stack.close()
        self._open()

    def settings(self, **more: Any) -> dict[str, Any]:
        """Give the dictionary of a storage here."""
        found: dict[str, Any] = {
            "type": f"file_keeper:{self.kind}",
            "bucket": self.bucket,
            "path": "area",
            "transport": self.sender,
            "part_size": PART[self.kind],
            "timeout": 20,
            "verify_reads": "always",
        }
        if self.kind == "s3":
            server = self._servers.s3
            found |= {"endpoint": self.front.url, "key": server.access_key, "secret": server.secret_key}
            found |= {"region": server.region}
        elif self.kind == "gcs":
            found |= {"endpoint": self.front.url, "anonymous": True, "project_id": "test-project"}
        else:
            found |= {"account_url": self.front.url, "account_key": self._servers.azure.account_key}
        if self.secure and self.kind != "azure":
            found["verify"] = self.front.ca_file
        return found | more

    def make(self, **more: Any) -> fk.Storage:
        """Make a storage here; it is closed with the place."""
        storage = fk.make_storage("media", self.settings(**more))
        assert storage.backend.transport == self.sender
        return self._stack.enter_context(storage)

    def keys(self) -> list[str]:
        """Give all keys of the bucket, ours under the reserved name among them."""
        return [key for page in self.plain.backend.list("") for key in page.keys]

    def contents(self) -> dict[str, bytes]:
        """Give what a user sees."""
        return {name: self.plain.content(name) for name in self.plain.scan()}

    def leftovers(self) -> list[str]:
        """Give what no user sees: open uploads, and what lies under the reserved name."""
        found = [key for key in self.keys() if "/.file-keeper/" in key]
        if self.kind != "azure":  # whose blocks nobody sees, and nobody can drop: they end by themselves
            found += [f"upload of {one.ref.key}" for one in self.plain.backend.multipart_list(f"area/{self.folder}")]
        if self.kind == "gcs":
            found += [f"session {one}" for one in self._servers.gcs.sessions]
        return found

    def clean(self) -> None:
        """Do what an operator does now and then, for the whole storage and for the one of this folder."""
        self._plain.cleanup_uploads(0)
        self.plain.cleanup_uploads(0)

    def empty(self) -> None:
        """Remove everything, and go to another folder."""
        for key in self.keys():
            self.plain.backend.delete(key)
        if self.leftovers():
            self.clean()
        if self.kind == "gcs":
            self._servers.gcs.expire_sessions()
        self._turn += 1

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def placed(kind: str, sender: str, *, secure: bool = False) -> Iterator[Place]:
    """Give a place on servers of its own."""
    with Servers() as servers, Place(servers, kind, sender, secure=secure) as place:
        yield place


Make = Callable[..., Place]
