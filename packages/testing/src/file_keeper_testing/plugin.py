"""The pytest plugin: fixtures for tests of applications, and the option that points the suite at a storage.

Loaded by pytest wherever the distribution is installed, so it imports nothing but pytest until a fixture is used.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from file_keeper import Storage

    from .counting import Counting
    from .faults import Faulty
    from .servers import Server

pytest.register_assert_rewrite("file_keeper_testing.conformance")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the storage to try."""
    parser.getgroup("file-keeper").addoption(
        "--storage-settings",
        metavar="JSON",
        default="",
        help="settings of a storage as JSON, or a file that holds them: what the fixture `storage_settings` gives",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of the conformance suite."""
    config.addinivalue_line("markers", "slow: a conformance case with much data; its size is a class attribute")


@pytest.fixture(scope="session")
def storage_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what ``--storage-settings`` names, else a private memory storage. A `Conformance` class overrides it."""
    given = str(request.config.getoption("--storage-settings"))
    if not given:
        return {"type": "file_keeper:memory", "bucket": uuid.uuid4().hex}
    if not given.lstrip().startswith("{"):
        with open(os.path.expanduser(given), encoding="utf-8") as file:
            given = file.read()
    return json.loads(given)


@pytest.fixture
def memory_storage() -> Iterator[Storage]:
    """Make an empty storage in memory, for this test alone."""
    import file_keeper

    with file_keeper.make_storage("memory", {"type": "file_keeper:memory"}) as storage:
        yield storage


@pytest.fixture
def faulty_storage(memory_storage: Storage) -> Callable[..., tuple[Storage, Faulty]]:
    """`faulty_storage(*rules, storage=None)`: a storage (one in memory, if none is given) and the faults it meets."""
    from .faults import Rule, faulty

    def make(*rules: Rule, storage: Storage | None = None) -> tuple[Storage, Faulty]:
        return faulty(storage or memory_storage, *rules)

    return make


@pytest.fixture
def request_counter() -> Callable[[Storage], tuple[Storage, Counting]]:
    """`request_counter(storage)`: the storage with its requests counted, and the counter."""
    from .counting import counted

    return counted


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    """Run a server of S3 (moto): `s3_server.url`, and `s3_server.settings()` for a storage in a new bucket."""
    yield from _running("s3", "moto", "file-keeper-testing[s3]")


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[Server]:
    """Run a server of Google Cloud Storage (gcp-storage-emulator, which ignores preconditions)."""
    yield from _running("gcs", "gcp_storage_emulator", "file-keeper-testing[gcs]")


@pytest.fixture(scope="session")
def azure_server() -> Iterator[Server]:
    """Run a server of Azure Blob Storage: Azurite, where its command is on the path; skipped where it is not."""
    from . import servers

    try:
        with servers.azure() as server:
            yield server
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def seaweedfs_server() -> Iterator[Server]:
    """Run SeaweedFS, a real server of S3; skipped where its program is not installed."""
    yield from _in_the_field("seaweedfs")


@pytest.fixture(scope="session")
def rclone_server() -> Iterator[Server]:
    """Run ``rclone serve s3``, a real server that ignores conditions; skipped where its program is not installed."""
    yield from _in_the_field("rclone")


def _in_the_field(kind: str) -> Iterator[Server]:
    from . import field

    try:
        with getattr(field, kind)() as server:
            yield server
    except FileNotFoundError as error:
        pytest.skip(str(error))


def _running(kind: str, module: str, extra: str) -> Iterator[Server]:
    pytest.importorskip(module, reason=f"needs {extra}")
    from . import servers

    with getattr(servers, kind)() as server:
        yield server
