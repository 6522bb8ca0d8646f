"""The table of docs/budget.md is this test: each number in it is counted on the wire."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from emulators.storages import settings_of
from faults.proxy import FaultProxy
from google.oauth2 import service_account

PAGE = Path(__file__).resolve().parents[2] / "docs" / "budget.md"
MiB = 1 << 20
PARTS = 3
LARGE = bytes(PARTS - 1) * (5 * MiB) + b"end"


def _expected() -> dict[str, dict[str, int]]:
    """Give the numbers of the page, by operation and type."""
    rows = [
        [cell.strip().strip("`") for cell in line.strip()[1:-1].split("|")]
        for line in PAGE.read_text("utf-8").splitlines()
        if line.startswith("|")
    ]
    head, _, *body = rows
    return {row[0]: {kind: int(number) for kind, number in zip(head[1:], row[1:], strict=True)} for row in body}


def _link(storage: fk.Storage) -> None:
    storage.signed("download", 60, "a")


# One for each row of the page, in its order; each runs in the state that the ones before it left.
OPERATIONS: dict[str, Callable[[fk.Storage], Any]] = {
    "make_storage": lambda s: (s.full_path("a"), s.capabilities, s.limits),
    "upload(location, small)": lambda s: s.upload("a", b"small"),
    "upload(location, small, overwrite=True)": lambda s: s.upload("a", b"other", overwrite=True),
    "exists(file)": lambda s: s.exists("a"),
    "analyze(file)": lambda s: s.analyze("a"),
    "content(file)": lambda s: s.content("a"),
    "stream(file)": lambda s: list(s.stream("a")),
    "range(file, 1, 3)": lambda s: s.range("a", 1, 3),
    "range(file, 1, 1)": lambda s: s.range("a", 1, 1),
    "open(file).read()": lambda s: _read(s),
    "copy(location, file)": lambda s: s.copy("b", "a"),
    "copy(location, file, overwrite=True)": lambda s: s.copy("b", "a", overwrite=True),
    "move(location, file)": lambda s: s.move("c", "b"),
    "upload(location, three parts, overwrite=True)": lambda s: s.upload("large", LARGE, overwrite=True),
    "upload(location, three parts)": lambda s: s.upload("larger", LARGE),
    "scan()": lambda s: list(s.scan()),
    'signed("download", 60, file)': _link,
    "remove(file)": lambda s: s.remove("c"),
    "remove_many(three files)": lambda s: s.remove_many(["a", "large", "larger"]),
}


def _read(storage: fk.Storage) -> None:
    with storage.open("a") as file:
        assert file.read() == b"other"


def _through(
    kind: str, settings: dict[str, Any], start: Callable[[str], FaultProxy]
) -> tuple[dict[str, Any], FaultProxy]:
    """Give the settings that go through a proxy, and the proxy."""
    if kind == "azure":
        address = re.search(r"BlobEndpoint=([^;]+)", settings["connection_string"])
        assert address is not None
        proxy = start(address[1])
        changed = settings["connection_string"].replace(address[1], proxy.url)
        return {**settings, "connection_string": changed}, proxy
    proxy = start(settings["endpoint"])
    more = {"conditional_writes": "yes", "checksums": "required"} if kind == "s3" else {}
    return {**settings, "endpoint": proxy.url, **more}, proxy


@pytest.fixture
def start() -> Iterator[Callable[[str], FaultProxy]]:
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(FaultProxy(url))


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
def test_the_page_is_right(
    kind: str,
    request: pytest.FixtureRequest,
    start: Callable[[str], FaultProxy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = {operation: row[kind] for operation, row in _expected().items()}
    assert list(expected) == list(OPERATIONS)
    settings = settings_of(kind, request, part_size="5MiB")
    if kind == "gcs":  # with a key, as links need one
        # Google's credentials look up at IAM, in a thread of their own, where an account may be used from: not here.
        monkeypatch.setattr(
            service_account.Credentials, "_is_regional_access_boundary_lookup_required", lambda _: False, raising=False
        )
        del settings["anonymous"]
        settings["credentials"] = request.getfixturevalue("gcs_double_server").credentials_info()
    with fk.make_storage("direct", settings) as direct:
        direct.upload("warm", b"up")  # makes the bucket
        direct.remove("warm")
    through, proxy = _through(kind, settings, start)
    if kind == "s3":  # moto does not look at this condition, Amazon does
        through["features"] = {"copy_source_if_match": True}
    with fk.make_storage("media", {**through, "initialize": False}) as storage:
        assert not storage.exists("missing")  # the first 404 of S3 asks for the bucket too, once
        if kind == "s3":  # what a service that is not Amazon's does is tried once
            assert all(storage.backend.endpoint.has(feature) for feature in ("parts", "copy"))
            storage.upload("warm", bytes(11 << 20))
            storage.remove("warm")
        seen: dict[str, int] = {}
        for operation, call in OPERATIONS.items():
            proxy.clear()
            call(storage)
            seen[operation] = len(proxy.requests)
        assert seen == expected
