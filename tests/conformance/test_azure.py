"""The conformance suite on Azure, against Azurite."""

from typing import Any, ClassVar

import pytest
from emulators.azure import AzuriteServer
from file_keeper_testing import Conformance
from file_keeper_testing.conformance.read import Read

MiB = 1 << 20


def settings_on(server: AzuriteServer, page: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings of a fresh container, listed in pages of so many blobs."""
    monkeypatch.setattr("file_keeper_azure.backend.PAGE", page)
    return {
        "type": "file_keeper:azure",
        "bucket": server.new_bucket(),
        "connection_string": server.connection_string,
    }


class TestAzure(Conformance):
    refused_characters = "\\"
    refused_endings = "."
    # Azurite takes some 50 requests a second here: smaller pages and streams show the same. 1 GiB is measured by
    # scripts/bench.
    page = 500
    many = 1200
    stream_size = 64 * MiB
    content_size = 32 * MiB
    emulator_gaps: ClassVar = {
        "case_61_size_type_and_overwrite": "Azurite takes a name with open blocks for an existing blob in Put Blob "
        "with If-None-Match: * (and for none in Put Block List); tests/azure/test_storage.py tries the rest of it",
    }

    @pytest.fixture
    def storage_settings(self, azurite_server: AzuriteServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        return {**settings_on(azurite_server, self.page, monkeypatch), "transport": "http"}


@pytest.mark.full
class TestAzureBySdk(Read):
    """By the pipeline of the SDK: what differs is who sends, and what its answers are."""

    refused_characters = TestAzure.refused_characters
    refused_endings = TestAzure.refused_endings
    page = TestAzure.page
    many = TestAzure.many
    content_size = TestAzure.content_size
    stream_size = TestAzure.stream_size
    emulator_gaps: ClassVar = TestAzure.emulator_gaps

    @pytest.fixture
    def storage_settings(self, azurite_server: AzuriteServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        return {**settings_on(azurite_server, self.page, monkeypatch), "transport": "sdk"}
