"""Backends on Azurite, constructed directly: what is tried here is the backend, below the core."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from emulators.azure import AzuriteServer
from faults.proxy import FaultProxy
from file_keeper import settings
from file_keeper_azure import AzureBackend


@pytest.fixture
def make_backend() -> Iterator[Callable[..., AzureBackend]]:
    """`make_backend(**settings)`; closed after the test."""
    with contextlib.ExitStack() as stack:

        def make(**raw: Any) -> AzureBackend:
            backend = AzureBackend(settings.parse(AzureBackend.settings_type, "media", raw, "file_keeper:azure"))
            stack.callback(backend.close)
            return backend

        yield make


@pytest.fixture
def account(azurite_server: AzuriteServer) -> dict[str, Any]:
    """The settings of a fresh container, by its account's key."""
    return {
        "bucket": azurite_server.new_bucket(),
        "account_name": azurite_server.account_name,
        "account_key": azurite_server.account_key,
        "account_url": azurite_server.url,
    }


@pytest.fixture
def backend(make_backend: Callable[..., AzureBackend], account: dict[str, Any]) -> AzureBackend:
    return make_backend(**account)


@pytest.fixture
def proxy(azurite_server: AzuriteServer, fault_proxy: Callable[..., FaultProxy]) -> FaultProxy:
    return fault_proxy(azurite_server)


@pytest.fixture
def proxied(make_backend: Callable[..., AzureBackend], account: dict[str, Any], proxy: FaultProxy) -> AzureBackend:
    """A backend whose requests go through `proxy`."""
    return make_backend(**{**account, "account_url": proxy.url})
