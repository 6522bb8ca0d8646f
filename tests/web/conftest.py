"""Storages with links, behind real servers."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from file_keeper_web import links
from web.servers import SERVERS

Make = Callable[..., fk.Storage]
KEY = "first key of the tests"


@pytest.fixture(params=["fs", pytest.param("memory", marks=pytest.mark.full)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """`make(**options)` gives a local storage with links below `/files`."""

    def build(name: str = "media", **options: Any) -> fk.Storage:
        place = (
            {"type": "fs", "path": str(tmp_path / uuid.uuid4().hex), "initialize": True}
            if request.param == "fs"
            else {"type": "memory", "bucket": uuid.uuid4().hex, "path": "tenant/1"}
        )
        return fk.make_storage(name, {**place, "base_url": "/files", "signing_key": KEY, **options})

    return build


@pytest.fixture
def storage(make: Make) -> fk.Storage:
    return make()


@pytest.fixture(params=["wsgi", "asgi"])
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """`serve(*storages)` gives the address of a server with the link application of these."""
    with contextlib.ExitStack() as stack:

        def start(*storages: fk.Storage) -> str:
            return stack.enter_context(SERVERS[request.param](getattr(links, request.param)(*storages)))

        yield start
