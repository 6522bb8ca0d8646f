"""One dictionary for every type: the settings of a fresh, empty place on each backend, on the servers of the tests."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from typing import Any

import pytest

KINDS = ("memory", "fs", "s3", "gcs", "azure", "libcloud")
"""The types, in the order in which the documentation names them."""

_count = itertools.count()


def _memory(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"bucket": uuid.uuid4().hex}


def _fs(request: pytest.FixtureRequest) -> dict[str, Any]:
    root = request.getfixturevalue("tmp_path_factory").mktemp("fs")
    return {"root": str(root), "bucket": "media"}


def _s3(request: pytest.FixtureRequest) -> dict[str, Any]:
    server = request.getfixturevalue("moto_server")
    return {
        "bucket": f"media-{uuid.uuid4().hex[:12]}",
        "endpoint": server.url,
        "key": server.access_key,
        "secret": server.secret_key,
        "region": server.region,
    }


def _gcs(request: pytest.FixtureRequest) -> dict[str, Any]:
    double = request.getfixturevalue("gcs_double_server")
    return {
        "bucket": f"media-{uuid.uuid4().hex[:12]}",
        "endpoint": double.url,
        "anonymous": True,
        "project_id": "test-project",
    }


def _azure(request: pytest.FixtureRequest) -> dict[str, Any]:
    server = request.getfixturevalue("azurite_server")
    return {"bucket": f"media-{uuid.uuid4().hex[:12]}", "connection_string": server.connection_string}


def _libcloud(request: pytest.FixtureRequest) -> dict[str, Any]:
    root = request.getfixturevalue("tmp_path_factory").mktemp("libcloud")
    return {"bucket": "media", "provider": "LOCAL", "key": str(root)}


_MAKERS: dict[str, Callable[[pytest.FixtureRequest], dict[str, Any]]] = {
    "memory": _memory,
    "fs": _fs,
    "s3": _s3,
    "gcs": _gcs,
    "azure": _azure,
    "libcloud": _libcloud,
}


def settings_of(kind: str, request: pytest.FixtureRequest, **more: Any) -> dict[str, Any]:
    """Give the settings of a fresh place of that type; what is missing there is created by ``initialize``."""
    return (
        {"type": f"file_keeper:{kind}", "path": f"area-{next(_count)}", "initialize": True}
        | _MAKERS[kind](request)
        | more
    )


@pytest.fixture
def fresh_settings(request: pytest.FixtureRequest) -> Callable[..., dict[str, Any]]:
    """`fresh_settings(kind, **more)` gives the settings of a fresh place of that type."""

    def make(kind: str, **more: Any) -> dict[str, Any]:
        return settings_of(kind, request, **more)

    return make
