"""The SDKs of Google and of Azure, as their documentation shows them; google-cloud-storage with its repeats off."""

from __future__ import annotations

import os
from typing import Any

from . import ACCOUNT, ACCOUNT_KEY, KEYS, MIB, SMALL, Place


class GoogleSDK:
    """google-cloud-storage."""

    imports = "google.cloud.storage"

    def __init__(self, service: str, place: Place):
        self.place = place
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        options = {"api_endpoint": place.url} if place.url else None
        self.client: Any = storage.Client("p", AnonymousCredentials(), client_options=options)
        self.bucket: Any = self.client.bucket("bench")

    def put(self) -> None:
        self.bucket.blob("new/4k").upload_from_string(SMALL, checksum="crc32c", retry=None)

    def get(self) -> None:
        self.bucket.blob("4k").download_as_bytes(retry=None)

    def head(self) -> None:
        self.bucket.blob("4k").reload(retry=None)

    def list(self) -> None:
        assert sum(1 for _ in self.client.list_blobs("bench", prefix="list/")) == KEYS

    def upload_file(self) -> None:
        blob = self.bucket.blob("new/1g", chunk_size=8 * MIB)
        blob.upload_from_filename(os.path.join(self.place.folder, self.place.large), checksum="crc32c", retry=None)

    def download(self) -> None:
        with open(os.devnull, "wb") as nowhere:
            self.bucket.blob(self.place.large).download_to_file(nowhere, checksum=None, retry=None)


class AzureSDK:
    """azure-storage-blob."""

    imports = "azure.storage.blob"

    def __init__(self, service: str, place: Place):
        self.place = place
        from azure.storage.blob import BlobServiceClient

        key = {"account_name": ACCOUNT, "account_key": ACCOUNT_KEY}
        client = BlobServiceClient(f"{place.url or 'http://127.0.0.1'}/{ACCOUNT}", credential=key)
        self.container: Any = client.get_container_client("bench")

    def put(self) -> None:
        self.container.upload_blob("new/4k", SMALL, overwrite=True)

    def get(self) -> None:
        self.container.download_blob("4k").readall()

    def head(self) -> None:
        self.container.get_blob_client("4k").get_blob_properties()

    def list(self) -> None:
        assert sum(1 for _ in self.container.list_blobs(name_starts_with="list/")) == KEYS

    def upload_file(self) -> None:
        with open(os.path.join(self.place.folder, self.place.large), "rb") as source:
            self.container.upload_blob("new/1g", source, overwrite=True, max_concurrency=4)

    def download(self) -> None:
        for _ in self.container.download_blob(self.place.large).chunks():
            pass
