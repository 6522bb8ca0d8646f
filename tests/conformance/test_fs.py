"""The conformance suite on the file system: with extended attributes, and with sidecars."""

from pathlib import Path
from typing import Any

import pytest
from file_keeper import Storage
from file_keeper_testing import Conformance


class TestFs(Conformance):
    many = 1001  # it has no pages

    @pytest.fixture
    def storage_settings(self, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
        root = tmp_path_factory.mktemp("root")
        return {"type": "file_keeper:fs", "root": str(root), "bucket": "bucket", "initialize": True}

    def leftovers(self, storage: Storage) -> list[str]:
        # Also what the backend itself does not tell of: staging files, orphaned sidecars, directories of no file.
        root: Path = storage.backend.client
        found = super().leftovers(storage)
        for path in root.rglob("*"):
            if ".file-keeper" in path.parts and path.is_file() and path.suffix != ".json":
                found.append(f"file {path}")
            # One just below the root may be the directory of another storage of the test.
            if path.is_dir() and path.parent != root and not any(path.iterdir()):
                found.append(f"empty directory {path}")
            if path.name == ".file-keeper":
                files = sum(entry.is_file() for entry in path.parent.iterdir())
                if len(list(path.glob("*.json"))) > files:
                    found.append(f"orphaned sidecar in {path}")
        return found


@pytest.mark.full
class TestFsSidecars(TestFs):
    stream_size = 64 << 20
    content_size = 16 << 20

    @pytest.fixture
    def storage_settings(self, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
        root = tmp_path_factory.mktemp("root")
        return {"type": "file_keeper:fs", "root": str(root), "initialize": True, "attributes": "sidecar"}
