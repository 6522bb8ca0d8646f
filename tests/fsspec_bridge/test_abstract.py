"""fsspec's own abstract tests (copy, get, put, open, pipe), on every storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import file_keeper as fk
import pytest
from file_keeper_fsspec import FileKeeperFileSystem
from fsspec.tests import abstract

KINDS = ("memory", *(pytest.param(kind, marks=pytest.mark.full) for kind in ("fs", "s3", "gcs", "azure")))


class Fixtures(abstract.AbstractFixtures):
    @pytest.fixture(params=KINDS)
    def fs(
        self, request: pytest.FixtureRequest, fresh_settings: Callable[..., dict[str, Any]]
    ) -> Iterator[FileKeeperFileSystem]:
        with fk.make_storage("media", fresh_settings(request.param)) as storage:
            yield FileKeeperFileSystem(storage)

    @pytest.fixture
    def fs_path(self) -> str:
        return "media/area"

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(parts)

    @pytest.fixture(scope="class")
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(abstract.AbstractCopyTests, Fixtures): ...


class TestGet(abstract.AbstractGetTests, Fixtures): ...


class TestPut(abstract.AbstractPutTests, Fixtures): ...


class TestOpen(abstract.AbstractOpenTests, Fixtures): ...


class TestPipe(abstract.AbstractPipeTests, Fixtures): ...
