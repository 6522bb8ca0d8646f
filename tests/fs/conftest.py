"""Backends of the file system, of each kind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from file_keeper import settings
from file_keeper_fs import FsBackend, FsSettings
from file_keeper_fs.portable import PortableDirectory

Make = Callable[..., FsBackend]


def build(root: Path, **options: Any) -> FsBackend:
    """Make a backend on a directory; `portable` has it go by paths, as on Windows."""
    portable = options.pop("portable", False)
    backend = FsBackend(settings.parse(FsSettings, "test", {"root": str(root), **options}, "file_keeper:fs"))
    if portable:
        backend._kind = PortableDirectory
    return backend


KINDS = {
    "xattr": {"attributes": "xattr"},
    "sidecar": {"attributes": "sidecar"},
    "portable": {"attributes": "sidecar", "portable": True},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> dict[str, Any]:
    return KINDS[request.param]


@pytest.fixture
def backend(root: Path, kind: dict[str, Any]) -> FsBackend:
    """A backend of each kind."""
    return build(root, **kind)


@pytest.fixture
def plain(root: Path) -> FsBackend:
    """A backend with the defaults."""
    return build(root)
