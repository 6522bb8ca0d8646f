"""What the tests of the HTTP client share: clients that are closed, servers that end, certificates."""

from __future__ import annotations

import ssl
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


@pytest.fixture(scope="session")
def server_contexts(authority: Authority) -> dict[str, ssl.SSLContext | None]:
    """Contexts of servers by the name of what they speak."""
    made = authority.issue()
    contexts: dict[str, ssl.SSLContext | None] = {"http": None}
    for name, version in (("tls1.2", ssl.TLSVersion.TLSv1_2), ("tls1.3", ssl.TLSVersion.TLSv1_3)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.cert_file, made.key_file)
        context.minimum_version = context.maximum_version = version
        contexts[name] = context
    return contexts


@pytest.fixture(params=["http", pytest.param("tls1.2", marks=pytest.mark.full), "tls1.3"])
def either(
    request: pytest.FixtureRequest,
    serve: Callable[..., RawServer],
    make_client: Callable[..., Client],
    authority: Authority,
    server_contexts: dict[str, ssl.SSLContext | None],
) -> Callable[..., tuple[Client, RawServer]]:
    """Start a server with TLS or without, and make a client that trusts it."""

    def start(handler: Handler, *, receive: int = 0, **options: Any) -> tuple[Client, RawServer]:
        server = serve(handler, tls=server_contexts[request.param], receive=receive)
        return make_client(verify=authority.ca_file, **options), server

    return start
