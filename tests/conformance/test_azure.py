"""The conformance suite on Azure, against Azurite."""

from typing import Any

import pytest
from emulators.azure import AzuriteServer
from file_keeper_testing import Conformance


class TestAzure(Conformance):
    refused_characters = "\\"
    refused_endings = "."
    page = 5000

    @pytest.fixture
    def storage_settings(self, azurite_server: AzuriteServer) -> dict[str, Any]:
        return {
            "type": "file_keeper:azure",
            "bucket": azurite_server.new_bucket(),
            "connection_string": azurite_server.connection_string,
        }
