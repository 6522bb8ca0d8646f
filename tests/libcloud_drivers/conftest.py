"""Storages on Libcloud's drivers, against the servers of the tests and what stands in front of them."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from emulators.azure import AzuriteServer
from emulators.s3 import S3Server
from faults.proxy import FaultProxy
from file_keeper import Storage, make_storage
from file_keeper.resilience import retry
from libcloud_drivers.places import Make, at


@pytest.fixture
def make() -> Iterator[Make]:
    """`make(**settings)` gives a storage; all are closed after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **raw: stack.enter_context(make_storage("media", {"type": "libcloud", **raw}))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats come at once: what is tried is that they come, and how many."""
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(base=0.001))


@pytest.fixture
def s3(moto_server: S3Server) -> dict[str, Any]:
    """The settings of a fresh bucket on moto."""
    return {
        "provider": "S3",
        "key": moto_server.access_key,
        "secret": moto_server.secret_key,
        "params": at(moto_server.url),
        "bucket": moto_server.new_bucket(),
    }


@pytest.fixture
def azure(azurite_server: AzuriteServer) -> dict[str, Any]:
    """The settings of a fresh container on Azurite."""
    return {
        "provider": "AZURE_BLOBS",
        "key": azurite_server.account_name,
        "secret": azurite_server.account_key,
        "params": at(azurite_server.url),
        "bucket": azurite_server.new_bucket(),
        "path": f"area-{uuid.uuid4().hex[:8]}",
    }


@pytest.fixture
def proxy(moto_server: S3Server, fault_proxy: Callable[..., FaultProxy]) -> FaultProxy:
    return fault_proxy(moto_server)


@pytest.fixture
def proxied(s3: dict[str, Any], proxy: FaultProxy, make: Make) -> Storage:
    """A storage on moto whose requests go through `proxy`; none have come yet."""
    storage = make(**{**s3, "params": at(proxy.url)})
    proxy.clear()
    return storage
