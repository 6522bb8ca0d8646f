"""Backends on Azurite, constructed directly: what is tried here is the backend, below the core."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from emulators.azure import AzuriteServer
from faults.hooked import HookedProxy
from faults.proxy import FaultProxy
from file_keeper import Storage, make_storage, settings
from file_keeper.resilience import retry
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


BY_SDK = ("test_verbs", "test_errors")
"""The files whose tests are tried with both senders: requests and answers, credentials, faults."""


@pytest.fixture(params=["http", pytest.param("sdk", marks=pytest.mark.full)])
def transport(request: pytest.FixtureRequest) -> str:
    """What requests go through: all is the same with both."""
    if request.param == "sdk" and request.module.__name__.rpartition(".")[2] not in BY_SDK:
        pytest.skip("what differs by the SDK is tried in other files")
    return request.param


@pytest.fixture
def account(azurite_server: AzuriteServer, transport: str) -> dict[str, Any]:
    """The settings of a fresh container, by its account's key."""
    return {
        "transport": transport,
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


@pytest.fixture
def hooked(azurite_server: AzuriteServer) -> Iterator[HookedProxy]:
    """Azurite with answers and requests that a test changes on the way."""
    with HookedProxy(azurite_server.url) as front:
        yield front


@pytest.fixture
def behind(
    make_backend: Callable[..., AzureBackend], account: dict[str, Any], hooked: HookedProxy
) -> Callable[..., AzureBackend]:
    """`behind(**settings)`: a backend whose requests go through `hooked`."""

    def make(**more: Any) -> AzureBackend:
        return make_backend(**{**account, "account_url": hooked.url, **more})

    return make


@pytest.fixture
def storage_behind(
    account: dict[str, Any], hooked: HookedProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Storage]]:
    """`storage_behind(**settings)`: a whole storage behind `hooked`, with pauses between repeats that take no time."""
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(base=0.001, longest=0.01))
    with contextlib.ExitStack() as stack:

        def make(**more: Any) -> Storage:
            raw = {
                **account,
                "type": "azure",
                "account_url": hooked.url,
                "path": "area",
                "part_size": 256 << 10,
                **more,
            }
            return stack.enter_context(make_storage("media", {key: value for key, value in raw.items() if value}))

        yield make
