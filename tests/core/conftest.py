"""What the tests of batches and of ``storage.aio`` share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from file_keeper import Storage, make_storage


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["memory", "fs", "s3"])
def any_storage(request: pytest.FixtureRequest, fresh_settings: Callable[..., dict[str, Any]]) -> Iterator[Storage]:
    with make_storage("any", fresh_settings(request.param)) as made:
        yield made
