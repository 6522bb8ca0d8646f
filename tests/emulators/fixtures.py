"""Pytest's door to the servers: each starts when first asked for, once a worker, and ends with it.

Loaded by `conftest.py` with `pytest_plugins`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import azure, gcs, s3


@pytest.fixture(scope="session")
def moto_server() -> Iterator[s3.S3Server]:
    server = s3.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def moto_tls_server() -> Iterator[s3.S3Server]:
    server = s3.start(tls=True)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[gcs.GcsServer]:
    server = gcs.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def gcs_service_account() -> dict[str, str]:
    return gcs.service_account()


@pytest.fixture(scope="session")
def azurite_server() -> Iterator[azure.AzuriteServer]:
    server = azure.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def azurite_tls_server() -> Iterator[azure.AzuriteServer]:
    server = azure.start(tls=True)
    yield server
    server.stop()
