"""pyarrow's file systems, smart_open, and what the standard library has."""

from __future__ import annotations

import os
import shutil
from typing import Any

from . import CLIENT, KEYS, MIB, SMALL, Place


class PyArrow:
    """pyarrow.fs."""

    imports = "pyarrow.fs"

    def __init__(self, service: str, place: Place):
        from pyarrow import fs

        self.place, self.remote = place, service == "s3"
        self.fs: Any = fs.LocalFileSystem()
        self.selector: Any = fs.FileSelector
        if self.remote:
            scheme, _, host = place.url.partition("://")
            self.fs = fs.S3FileSystem(
                access_key=CLIENT["key"], secret_key=CLIENT["secret"], region=CLIENT["region"], scheme=scheme,
                endpoint_override=host, **({"tls_ca_file_path": place.ca_file} if place.ca_file else {}),
            )  # fmt: skip

    def put(self) -> None:
        with self.fs.open_output_stream(self._at("new-4k")) as stream:
            stream.write(SMALL)

    def get(self) -> None:
        with self.fs.open_input_stream(self._at("4k")) as stream:
            stream.read()

    def head(self) -> None:
        self.fs.get_file_info(self._at("4k"))

    def list(self) -> None:
        self._count("bench/list/")

    def walk(self) -> None:
        self._count(self._at("tree"))

    def _count(self, where: str) -> None:
        assert sum(one.is_file for one in self.fs.get_file_info(self.selector(where, recursive=True))) == KEYS

    def upload_file(self) -> None:
        with (
            open(os.path.join(self.place.folder, self.place.large), "rb") as source,
            self.fs.open_output_stream("bench/new/1g") as stream,
        ):
            while block := source.read(8 * MIB):
                stream.write(block)

    def download(self) -> None:
        with self.fs.open_input_stream(self._at(self.place.large)) as stream:
            while stream.read(8 * MIB):
                pass

    def _at(self, name: str) -> str:
        return f"bench/{name}" if self.remote else os.path.join(self.place.folder, name)


class SmartOpen:
    """smart_open on a client of boto3."""

    imports = "smart_open"

    def __init__(self, service: str, place: Place):
        from peers.boto import Boto3

        self.place = place
        self.parameters = {"client": Boto3(service, place).client}

    def _open(self, name: str, mode: str) -> Any:
        import smart_open

        return smart_open.open(f"s3://bench/{name}", mode, transport_params=self.parameters)

    def put(self) -> None:
        with self._open("new/4k", "wb") as file:
            file.write(SMALL)

    def get(self) -> None:
        with self._open("4k", "rb") as file:
            file.read()

    def upload_file(self) -> None:
        with (
            open(os.path.join(self.place.folder, self.place.large), "rb") as source,
            self._open("new/1g", "wb") as target,
        ):
            shutil.copyfileobj(source, target, MIB)

    def download(self) -> None:
        with self._open(self.place.large, "rb") as file:
            while file.read(MIB):
                pass


class Shutil:
    """The standard library on local disk."""

    def __init__(self, service: str, place: Place):
        self.place = place

    def copy(self) -> None:
        source = os.path.join(self.place.folder, self.place.large)
        shutil.copyfile(source, os.path.join(self.place.folder, "shutil-copy"))
