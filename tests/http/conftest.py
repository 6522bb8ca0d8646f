"""What the tests of the HTTP client share: clients that are closed, servers that end, certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from emulators.tls import Authority
from faults.raw import Handler, RawServer
from file_keeper.backend.http import Client, Config


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def serve(stack: ExitStack) -> Callable[..., RawServer]:
    """Start a server that ends with the test."""

    def start(handler: Handler, **options: Any) -> RawServer:
        return stack.enter_context(RawServer(handler, **options))

    return start


@pytest.fixture
def make_client(stack: ExitStack) -> Callable[..., Client]:
    """Make a client that is closed with the test; it uses no proxy unless told to."""

    def make(connections: int = 10, **options: Any) -> Client:
        settings: dict[str, Any] = {"timeout": 5.0, "proxies": (), **options}
        made = Client(Config(**settings), connections=connections)
        stack.callback(made.close)
        return made

    return make


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    return make_client()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(str(tmp_path_factory.mktemp("authority")))
