"""Pytest's door to the double: one server a worker, as new for every test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .double import GcsDouble


@pytest.fixture(scope="session")
def gcs_double_server() -> Iterator[GcsDouble]:
    with GcsDouble() as double:
        yield double


@pytest.fixture
def gcs_double(gcs_double_server: GcsDouble) -> Iterator[GcsDouble]:
    """The worker's double, empty but for the bucket "media"."""
    gcs_double_server.reset()
    gcs_double_server.create_bucket("media")
    yield gcs_double_server
    gcs_double_server.reset()
