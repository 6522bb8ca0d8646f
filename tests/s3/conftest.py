"""S3 backends and storages on moto, on the strict front before it, and through a proxy that breaks things."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from emulators.s3 import S3Server
from faults.hooked_s3 import HookedS3
from faults.proxy import FaultProxy
from faults.strict_s3 import StrictS3
from file_keeper import Storage, make_storage, settings
from file_keeper_s3 import S3Backend, S3Settings

MiB = 1 << 20


def raw_settings(server: S3Server, **more: Any) -> dict[str, Any]:
    """The settings of a place on a server; in a bucket of its own unless one is given."""
    found: dict[str, Any] = {
        "path": "area",
        "endpoint": server.url,
        "key": server.access_key,
        "secret": server.secret_key,
        "region": server.region,
        # moto does not look at this condition, and is to stand for a service that does.
        "features": {"copy_source_if_match": True},
    }
    if server.ca_file:
        found["verify"] = server.ca_file
    if "bucket" not in more:
        found["bucket"] = server.new_bucket()
    return {**found, **more}


@pytest.fixture
def make_backend() -> Iterator[Callable[..., S3Backend]]:
    """`make_backend(server, **settings)`: the backend alone, below the core; closed after the test."""
    with contextlib.ExitStack() as stack:

        def make(server: S3Server, **more: Any) -> S3Backend:
            raw = raw_settings(server, **more)
            backend = S3Backend(settings.parse(S3Settings, "media", raw, "file_keeper:s3"))
            stack.callback(backend.close)
            return backend

        yield make


@pytest.fixture
def storage_on() -> Iterator[Callable[..., Storage]]:
    """`storage_on(server, **settings)`: a whole storage; closed after the test."""
    with contextlib.ExitStack() as stack:

        def make(server: S3Server, **more: Any) -> Storage:
            raw = {"type": "file_keeper:s3", **raw_settings(server, **more)}
            return stack.enter_context(make_storage("media", raw))

        yield make


@pytest.fixture
def strict(moto_server: S3Server) -> Iterator[Callable[..., StrictS3]]:
    """`strict(mode="modern", **options)` starts a strict front before moto; all are stopped after the test."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> StrictS3:
            return stack.enter_context(StrictS3(moto_server, **options))

        yield start


@pytest.fixture
def proxied(moto_server: S3Server, fault_proxy: Callable[..., FaultProxy]) -> tuple[FaultProxy, S3Server]:
    """A proxy before moto, and the server as it is seen through it."""
    proxy = fault_proxy(moto_server)
    return proxy, dataclasses.replace(moto_server, url=proxy.url)


@pytest.fixture
def hooked(moto_server: S3Server) -> Iterator[HookedS3]:
    """A front before moto that changes what passes."""
    with HookedS3(moto_server) as front:
        yield front


def open_uploads(server: S3Server, bucket: str) -> list[str]:
    """The keys of the multipart uploads that are open in a bucket."""
    with contextlib.closing(server.client()) as client:
        return [upload["Key"] for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())]


def keys_of(server: S3Server, bucket: str) -> list[str]:
    """All keys of a bucket (of up to a page)."""
    with contextlib.closing(server.client()) as client:
        return [found["Key"] for found in client.list_objects_v2(Bucket=bucket).get("Contents", ())]


def probe(storage: Storage) -> None:
    """Let a service that is not Amazon's be tried, which it is once a process."""
    endpoint = storage.backend.endpoint
    assert all(endpoint.has(feature) for feature in ("tagging", "parts", "copy"))
    storage.upload("probe", bytes(11 * MiB), overwrite=True)
    storage.remove("probe")
