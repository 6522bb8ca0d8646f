"""Storages on servers as people run them, each test in a folder of its own in one bucket."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from emulators.real_s3 import RealS3
from file_keeper import Storage, make_storage

FULL = "FIELD_TESTS"
BY_THE_CORE = (
    "case_03", "case_13", "case_17", "case_18", "case_19_source", "case_19_leaving", "case_19_a_wrapper",
    "case_19_a_writer", "case_20", "case_21", "case_28", "case_32", "case_33", "case_34", "case_35", "case_36_under",
    "case_63", "case_66", "case_68", "case_69", "case_70", "case_72", "case_73", "case_74", "case_75", "writers",
    "every_verb", "wrappers",
)  # fmt: skip
"""Cases of the kit that show what the core does by itself, whatever the server: they run on moto; here with
FIELD_TESTS=full in the environment."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get(FULL) == "full":
        return
    here = os.path.dirname(__file__)
    left = [
        item
        for item in items
        if str(item.path).startswith(here) and item.name.removeprefix("test_").startswith(BY_THE_CORE)
    ]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in set(left)]


def settings_of(server: RealS3, **more: Any) -> dict[str, Any]:
    """The settings of a fresh place on a server."""
    return {
        "type": "file_keeper:s3",
        "bucket": more.get("bucket") or server.bucket,
        "path": f"area-{uuid.uuid4().hex[:8]}",
        "endpoint": server.url,
        "key": server.access_key,
        "secret": server.secret_key,
        "region": server.region,
        **more,
    }


@pytest.fixture
def storage_on() -> Iterator[Callable[..., Storage]]:
    """`storage_on(server, **settings)`: a storage; closed after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda server, **more: stack.enter_context(make_storage("field", settings_of(server, **more)))
