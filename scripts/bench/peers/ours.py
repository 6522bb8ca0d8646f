"""file-keeper itself, with its defaults; :class:`OursCRC` asks for the fastest hash."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import ACCOUNT, ACCOUNT_KEY, CLIENT, KEYS, MIB, SMALL, Place

ALGORITHM = {"s3": "crc32c", "gcs": "crc32c", "azure": "crc64nvme", "fs": "crc32c"}


class Ours:
    """One storage of the service."""

    fastest = False

    def __init__(self, service: str, place: Place):
        self.place = place
        self.buffer = memoryview(bytearray(MIB))
        if service == "start":
            return
        from file_keeper import make_storage

        self.storage = make_storage("bench", self._settings(service))
        if service == "fs":
            self.storage.upload("4k", SMALL)
            self.tree = make_storage("tree", {"type": "fs", "root": place.folder, "path": "tree"})

    def _settings(self, service: str) -> dict[str, Any]:
        url, verify = self.place.url, {"verify": self.place.ca_file} if self.place.tls else {}
        found: dict[str, Any] = {
            # The sink keeps nothing, and a probe of it would find just that.
            "s3": {"endpoint": url, "max_concurrency": 16, "features": {"parts": True}, **CLIENT, **verify},
            "gcs": {"endpoint": url, "anonymous": True},
            "azure": {"account_url": f"{url}/{ACCOUNT}", "account_name": ACCOUNT, "account_key": ACCOUNT_KEY},
            "fs": {"root": self.place.folder, "path": f"ours{self.fastest}", "initialize": True},
        }[service]
        if service != "fs":
            found["bucket"] = "bench"
        if self.fastest:
            found["hashing_algorithm"] = ALGORITHM[service]
            if service == "s3":
                found["checksums"] = "always"
        return {"type": service, "overwrite_existing": True, **found}

    def put(self) -> None:
        self.storage.upload("new/4k", SMALL)

    def get(self) -> None:
        self.storage.content("4k")

    def head(self) -> None:
        self.storage.analyze("4k")

    def list(self) -> None:
        assert sum(1 for _ in self.storage.files(prefix="list/")) == KEYS

    def walk(self) -> None:
        assert sum(1 for _ in self.tree.scan()) == KEYS

    def put_many(self) -> None:
        for outcome in self.storage.upload_many((f"new/4k-{number}", SMALL) for number in range(self.place.count)):
            outcome.unwrap()

    def upload_file(self) -> None:
        self.storage.upload("new/1g", Path(self.place.folder, self.place.large))

    def upload_stream(self) -> None:
        self.storage.upload("new/1g", self._stream())

    def download(self) -> None:
        with self.storage.stream(self.place.large) as stream:
            while stream.readinto(self.buffer):
                pass

    def copy(self) -> None:
        self.storage.upload("copy", Path(self.place.folder, self.place.large))

    def _stream(self) -> Iterator[bytes]:
        piece = os.urandom(MIB)
        for _ in range(self.place.mib):
            yield piece


class OursCRC(Ours):
    """The same with crc32c or crc64nvme."""

    fastest = True
