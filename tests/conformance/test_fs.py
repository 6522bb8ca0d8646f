"""The conformance suite on the file system."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from file_keeper import Storage
from file_keeper_testing import Conformance


class OnFiles(Conformance):
    """What the file system shows beside the suite: staging files that nobody else can see."""

    def leftovers(self, storage: Storage) -> list[str]:
        root = os.path.join(storage.settings.root, storage.settings.bucket, storage.settings.path)
        return super().leftovers(storage) + list(staged(root))


def staged(root: str) -> Iterator[str]:
    """Give the files under a reserved segment that are no sidecars."""
    for folder, _, files in os.walk(root):
        if ".file-keeper" in Path(folder).parts:
            yield from (os.path.join(folder, name) for name in files if "sidecar" not in folder)


class TestFs(OnFiles):
    @pytest.fixture
    def storage_settings(self, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
        root = tmp_path_factory.mktemp("fs")
        return {"type": "file_keeper:fs", "root": str(root), "bucket": "bucket", "initialize": True}
