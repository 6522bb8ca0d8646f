"""Pytest's door to the servers: each starts when first asked for, once a worker, and ends with it.

Loaded by `conftest.py` with `pytest_plugins`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from faults.proxy import FaultProxy
from faults.strict_s3 import StrictS3

from . import azure, gcs, nginx, real_s3, s3, tls


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


@pytest.fixture(scope="session", params=["seaweedfs", "rclone"])
def real_s3_server(request: pytest.FixtureRequest) -> Iterator[real_s3.RealS3]:
    """SeaweedFS and rclone's server, one after the other."""
    yield from _real(request.param)


@pytest.fixture(scope="session")
def rclone_server() -> Iterator[real_s3.RealS3]:
    yield from _real("rclone")


@pytest.fixture(scope="session")
def seaweedfs_server() -> Iterator[real_s3.RealS3]:
    yield from _real("seaweedfs")


@pytest.fixture(scope="session")
def nginx_before() -> Iterator[Callable[..., real_s3.RealS3]]:
    """`nginx_before(server, *options)`: a server as it is seen through nginx; all end after the run."""
    if not nginx.is_installed():
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    with contextlib.ExitStack() as stack:

        def start(server: real_s3.RealS3, *options: str) -> real_s3.RealS3:
            front = nginx.before(server, *options)
            stack.callback(front.stop)
            return front

        yield start


@pytest.fixture(scope="session")
def nginx_server(seaweedfs_server: real_s3.RealS3, nginx_before: Callable[..., real_s3.RealS3]) -> real_s3.RealS3:
    """SeaweedFS behind nginx that lets bodies of any size through."""
    return nginx_before(seaweedfs_server, "client_max_body_size 0")


def _real(kind: str) -> Iterator[real_s3.RealS3]:
    if not real_s3.is_installed(kind):
        pytest.skip(f"{kind} is not installed: its wheel is for Linux")
    server = real_s3.start(kind)
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


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tls.Certificates:
    """For a proxy of our own that is to speak https."""
    return tls.make_certificates(str(tmp_path_factory.mktemp("tls")))


@pytest.fixture
def fault_proxy() -> Iterator[Callable[..., FaultProxy]]:
    """`fault_proxy(server_or_url, **options)` starts a proxy in front of it; all are stopped after the test."""
    with contextlib.ExitStack() as stack:

        def start(server: s3.S3Server | gcs.GcsServer | azure.AzuriteServer | str, **options: Any) -> FaultProxy:
            url = server if isinstance(server, str) else server.url
            ca_file = "" if isinstance(server, str) else getattr(server, "ca_file", "")
            return stack.enter_context(FaultProxy(url, **{"upstream_ca_file": ca_file, **options}))

        yield start


@pytest.fixture
def strict_s3(moto_server: s3.S3Server, certificates: tls.Certificates) -> Iterator[Callable[..., StrictS3]]:
    """`strict_s3(mode="modern", secure=False, **options)` starts a strict S3 before moto; stopped after the test.

    `secure` makes it https, over which boto3 sends its checksums in trailers. `front.server()` is its address and key.
    """
    with contextlib.ExitStack() as stack:

        def start(mode: Literal["modern", "legacy"] = "modern", *, secure: bool = False, **options: Any) -> StrictS3:
            proxy = {"certificates": certificates} if secure else None
            return stack.enter_context(StrictS3(moto_server, mode=mode, proxy=proxy, **options))

        yield start
