"""obstore and opendal: Rust with a thin layer of Python."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from . import ACCOUNT, ACCOUNT_KEY, CLIENT, KEYS, SMALL, Place


class Obstore:
    """obstore with its defaults."""

    imports = "obstore"

    def __init__(self, service: str, place: Place):
        import obstore
        from obstore import store

        self.place, self.obstore = place, obstore
        options: Any = {"allow_http": True}
        if place.ca_file:
            # It takes no authority of its own by this option alone in every version.
            options["allow_invalid_certificates"] = True
        made: dict[str, Any] = {
            "s3": lambda: store.S3Store(
                "bench", endpoint=place.url, access_key_id=CLIENT["key"], secret_access_key=CLIENT["secret"],
                region=CLIENT["region"], client_options=options, virtual_hosted_style_request=False,
            ),
            "gcs": lambda: store.GCSStore(
                "bench", client_options=options,
                service_account_key=json.dumps(
                    {"gcs_base_url": place.url, "disable_oauth": True, "client_email": "", "private_key": "",
                     "private_key_id": ""}
                ),
            ),
            "azure": lambda: store.AzureStore(
                "bench", account_name=ACCOUNT, account_key=ACCOUNT_KEY, endpoint=f"{place.url}/{ACCOUNT}",
                client_options=options,
            ),
            "fs": lambda: store.LocalStore(place.folder),
        }  # fmt: skip
        self.store: Any = made[service]() if service in made else None
        if service == "fs":
            obstore.put(self.store, "4k", SMALL)

    def put(self) -> None:
        self.obstore.put(self.store, "new/4k", SMALL, use_multipart=False)

    def get(self) -> None:
        bytes(self.obstore.get(self.store, "4k").bytes())

    def head(self) -> None:
        self.obstore.head(self.store, "4k")

    def list(self) -> None:
        self._count("list/")

    def walk(self) -> None:
        self._count("tree/")

    def _count(self, prefix: str) -> None:
        assert sum(len(page) for page in self.obstore.list(self.store, prefix, chunk_size=1000)) == KEYS

    def put_many(self) -> None:
        async def run() -> None:
            room = asyncio.Semaphore(16)

            async def one(number: int) -> None:
                async with room:
                    await self.obstore.put_async(self.store, f"new/4k-{number}", SMALL, use_multipart=False)

            await asyncio.gather(*(one(number) for number in range(self.place.count)))

        asyncio.run(run())

    def upload_file(self) -> None:
        self.obstore.put(self.store, "new/1g", Path(self.place.folder, self.place.large))

    def copy(self) -> None:
        self.obstore.put(self.store, "obstore-copy", Path(self.place.folder, self.place.large))

    def download(self) -> None:
        for _ in self.obstore.get(self.store, self.place.large).stream():
            pass


class OpenDAL:
    """opendal with its defaults: no checksum in any direction."""

    imports = "opendal"

    def __init__(self, service: str, place: Place):
        import opendal

        self.place = place
        made: dict[str, Any] = {
            "s3": ("s3", {"bucket": "bench", "endpoint": place.url, "region": CLIENT["region"],
                          "access_key_id": CLIENT["key"], "secret_access_key": CLIENT["secret"]}),
            "gcs": ("gcs", {"bucket": "bench", "endpoint": place.url, "allow_anonymous": "true",
                            "disable_vm_metadata": "true", "disable_config_load": "true"}),
            "azure": ("azblob", {"container": "bench", "endpoint": f"{place.url}/{ACCOUNT}",
                                 "account_name": ACCOUNT, "account_key": ACCOUNT_KEY}),
            "fs": ("fs", {"root": place.folder}),
        }  # fmt: skip
        if service in made:
            scheme, options = made[service]
            self.operator: Any = opendal.Operator(scheme, **options)
        if service == "fs":
            self.operator.write("4k", SMALL)

    def put(self) -> None:
        self.operator.write("new/4k", SMALL)

    def get(self) -> None:
        bytes(self.operator.read("4k"))

    def head(self) -> None:
        self.operator.stat("4k")

    def list(self) -> None:
        self._count("list/")

    def walk(self) -> None:
        self._count("tree/")

    def _count(self, prefix: str) -> None:
        assert sum(1 for _ in self.operator.list(prefix, recursive=True)) >= KEYS  # folders count too

    def upload_file(self) -> None:
        self._send("new/1g")

    def copy(self) -> None:
        self._send("opendal-copy")

    def _send(self, name: str) -> None:
        with (
            open(os.path.join(self.place.folder, self.place.large), "rb") as source,
            self.operator.open(name, "wb") as target,
        ):
            while block := source.read(8 << 20):
                target.write(block)

    def download(self) -> None:
        with self.operator.open(self.place.large, "rb") as file:
            while file.read(8 << 20):
                pass
