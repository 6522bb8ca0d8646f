"""The conformance suite on Azure, against Azurite."""

from typing import Any, ClassVar

import pytest
from emulators.azure import AzuriteServer
from file_keeper_testing import Conformance

MiB = 1 << 20


class TestAzure(Conformance):
    refused_characters = "\\"
    refused_endings = "."
    # Azurite takes some 50 requests a second here: smaller pages and streams show the same. 1 GiB is measured by
    # scripts/bench/azure_upload.py.
    page = 500
    many = 1200
    stream_size = 64 * MiB
    content_size = 32 * MiB
    emulator_gaps: ClassVar = {
        "case_61_size_type_and_overwrite": "Azurite takes a name with open blocks for an existing blob in Put Blob "
        "with If-None-Match: * (and for none in Put Block List); tests/azure/test_storage.py tries the rest of it",
    }

    transport = "http"

    @pytest.fixture
    def storage_settings(self, azurite_server: AzuriteServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        monkeypatch.setattr("file_keeper_azure.backend.PAGE", self.page)
        return {
            "type": "file_keeper:azure",
            "bucket": azurite_server.new_bucket(),
            "connection_string": azurite_server.connection_string,
            "transport": self.transport,
        }


@pytest.mark.full
class TestAzureBySdk(TestAzure):
    transport = "sdk"
