"""The conformance suite on memory."""

import uuid
from typing import Any

import pytest
from file_keeper_testing import Conformance


class TestMemory(Conformance):
    shared = False
    in_memory = True

    @pytest.fixture
    def storage_settings(self) -> dict[str, Any]:
        return {"type": "file_keeper:memory", "bucket": uuid.uuid4().hex}
