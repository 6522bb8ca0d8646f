"""The conformance suite on Libcloud's drivers: LOCAL, S3 against moto, Azure against Azurite."""

from __future__ import annotations

import os
import uuid
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from emulators.azure import AzuriteServer
from emulators.s3 import S3Server
from file_keeper import Storage
from file_keeper_testing import Conformance


class TestLocal(Conformance):
    gaps: ClassVar = {
        "atomic_create": "it is decided by the file system, but a version to be replaced is not: neither is promised",
        "damage": "the driver keeps nothing beside the bytes",
        "conditions": "the driver has none; a version is looked at before the write",
        "content_type": "the driver keeps none: it is told from content and name each time",
    }
    many = 300
    page = 100
    stream_size = 128 << 20
    content_size = 48 << 20

    @pytest.fixture
    def storage_settings(self, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
        return {
            "type": "libcloud",
            "provider": "LOCAL",
            "key": str(tmp_path_factory.mktemp("local")),
            "bucket": "media",
            "initialize": True,
        }

    def leftovers(self, storage: Storage) -> list[str]:
        found: list[str] = []
        for folder, _, files in os.walk(storage.settings.key):  # type: ignore[attr-defined]
            if f"{os.sep}.file-keeper" in folder:
                found += [os.path.join(folder, name) for name in files]
        return found


@pytest.mark.full
@pytest.mark.full
class TestS3(Conformance):
    gaps: ClassVar = {
        "atomic_create": "the driver cannot say If-None-Match: a look, then the write",
        "conditions": "the driver cannot say If-Match: a look, then the write",
        "one_hash": "metadata is sent first, so the hash of a stream that can be read only once is not recorded",
    }
    emulator_gaps: ClassVar = {
        "case_64_refused": "moto checks no signature; tests/libcloud_drivers tries it on the strict front"
    }
    many = 300
    page = 100
    stream_size = 128 << 20
    content_size = 48 << 20

    @pytest.fixture
    def storage_settings(self, moto_server: S3Server) -> dict[str, Any]:
        address = urlsplit(moto_server.url)
        return {
            "type": "libcloud",
            "provider": "S3",
            "key": moto_server.access_key,
            "secret": moto_server.secret_key,
            "params": {"host": address.hostname, "port": address.port, "secure": False},
            "bucket": moto_server.new_bucket(),
            "path": f"area-{uuid.uuid4().hex[:8]}",
        }


@pytest.mark.full
@pytest.mark.full
class TestAzure(Conformance):
    gaps: ClassVar = {
        "atomic_create": "the driver signs no condition with a commit: a look, then the write",
        "conditions": "the driver signs no condition with a commit: a look, then the write",
        "one_hash": "a hash other than MD5 of a stream that can be read only once is not recorded",
    }
    refused_characters = "\\"
    refused_endings = "."
    many = 300
    page = 100
    stream_size = 128 << 20
    content_size = 48 << 20

    @pytest.fixture
    def storage_settings(self, azurite_server: AzuriteServer) -> dict[str, Any]:
        address = urlsplit(azurite_server.url)
        return {
            "type": "libcloud",
            "provider": "azure_blobs",
            "key": azurite_server.account_name,
            "secret": azurite_server.account_key,
            "params": {"host": address.hostname, "port": address.port, "secure": False},
            "bucket": azurite_server.new_bucket(),
            "path": f"area-{uuid.uuid4().hex[:8]}",
        }
