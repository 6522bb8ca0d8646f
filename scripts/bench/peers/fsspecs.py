"""s3fs, gcsfs and adlfs, without their listing caches."""

from __future__ import annotations

import os
from typing import Any

from . import ACCOUNT, ACCOUNT_KEY, CLIENT, KEYS, SMALL, Place


class _FS:
    fs: Any

    def __init__(self, service: str, place: Place):
        self.place = place
        if service != "start":
            self.fs = self.made(place)

    def made(self, place: Place) -> Any:
        raise NotImplementedError

    def put(self) -> None:
        self.fs.pipe_file("bench/new/4k", SMALL)

    def get(self) -> None:
        self.fs.cat_file("bench/4k")

    def head(self) -> None:
        self.fs.invalidate_cache()
        self.fs.info("bench/4k")

    def list(self) -> None:
        self.fs.invalidate_cache()
        assert len(self.fs.find("bench/list/")) == KEYS

    def upload_file(self) -> None:
        self.fs.put_file(os.path.join(self.place.folder, self.place.large), "bench/new/1g")

    def download(self) -> None:
        self.fs.get_file(f"bench/{self.place.large}", os.devnull)


class S3FS(_FS):
    """s3fs."""

    imports = "s3fs"

    def made(self, place: Place) -> Any:
        import s3fs

        return s3fs.S3FileSystem(
            key=CLIENT["key"], secret=CLIENT["secret"], use_listings_cache=False,
            client_kwargs={"endpoint_url": place.url, "region_name": CLIENT["region"], "verify": place.ca_file or None},
        )  # fmt: skip


class GCSFS(_FS):
    """gcsfs."""

    imports = "gcsfs"

    def made(self, place: Place) -> Any:
        import gcsfs

        return gcsfs.GCSFileSystem(token="anon", endpoint_url=place.url, use_listings_cache=False)


class ADLFS(_FS):
    """adlfs."""

    imports = "adlfs"

    def made(self, place: Place) -> Any:
        import adlfs

        address = f"BlobEndpoint={place.url}/{ACCOUNT};AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY}"
        return adlfs.AzureBlobFileSystem(
            connection_string=f"DefaultEndpointsProtocol=http;{address}", use_listings_cache=False
        )

    def upload_file(self) -> None:
        self.fs.put_file(os.path.join(self.place.folder, self.place.large), "bench/new/1g", overwrite=True)
