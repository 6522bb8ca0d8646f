"""The conformance suite on the example adapter, and the bound that the docs promise of it."""

from pathlib import Path
from typing import Any

import pytest
from file_keeper_testing import Conformance
from file_keeper_testing.children import load

ADAPTER = Path(__file__).parents[2] / "examples" / "adapter.py"

load(str(ADAPTER))


@pytest.mark.full
class TestExample(Conformance):
    imports = (str(ADAPTER),)
    many = 120
    page = 100
    stream_size = 96 << 20
    content_size = 32 << 20

    @pytest.fixture
    def storage_settings(self, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
        database = tmp_path_factory.mktemp("example") / "files.db"
        return {"type": "example:sqlite", "database": str(database), "initialize": True}


def test_the_example_is_small() -> None:
    assert len(ADAPTER.read_text("utf-8").splitlines()) <= 150
