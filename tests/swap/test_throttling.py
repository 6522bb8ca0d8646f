"""Batches on services: fewer items in flight where one throttles, told by an event, and few connections."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import file_keeper as fk
import pytest
from faults.answers import azure_error, gcs_error, s3_error
from faults.proxy import FaultProxy

ANSWERS = {
    "s3": ("PUT", s3_error(503, "SlowDown")),
    "gcs": ("POST", gcs_error(429, "rateLimitExceeded")),
    "azure": ("PUT", azure_error(503, "ServerBusy")),
}


KINDS = ["s3", pytest.param("gcs", marks=pytest.mark.full), pytest.param("azure", marks=pytest.mark.full)]


def proxied(settings: dict[str, Any], fault_proxy: Callable[..., FaultProxy]) -> tuple[dict[str, Any], FaultProxy]:
    """Return the settings that go through a proxy, and the proxy."""
    address = re.search(r"https?://[^;]+", settings.get("endpoint") or settings["connection_string"])
    assert address is not None
    proxy = fault_proxy(address[0])
    changed = {
        option: settings[option].replace(address[0], proxy.url)
        for option in ("endpoint", "connection_string")
        if option in settings
    }
    return settings | changed, proxy


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_slows_down_and_recovers(
    kind: str, fresh_settings: Callable[..., dict[str, Any]], fault_proxy: Callable[..., FaultProxy]
) -> None:
    quick = {"attempts": 6, "base": "1ms", "longest": "1ms"}
    settings, proxy = proxied(fresh_settings(kind, retry=quick), fault_proxy)
    method, answer = ANSWERS[kind]
    with fk.make_storage("media", settings) as storage:
        storage.upload("warm", b"up")  # makes the bucket
        proxy.on(method, times=3, nth=40).answer(*answer)
        told: list[tuple[int, int]] = []
        storage.subscribe(
            lambda event: told.append((event.concurrency, event.status)) if event.kind == "concurrency" else None
        )
        for outcome in storage.upload_many((f"{number:03}", b"%d" % number) for number in range(200)):
            outcome.unwrap()
        assert told[0] == (8, answer[0])
        assert told[-1][0] > 8  # it recovers
        assert len(list(storage.scan())) == 201


@pytest.mark.full
@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
def test_a_batch_has_no_more_connections_than_items_in_flight(
    kind: str, fresh_settings: Callable[..., dict[str, Any]], fault_proxy: Callable[..., FaultProxy]
) -> None:
    settings, proxy = proxied(fresh_settings(kind), fault_proxy)
    serve, lock = proxy._serve, threading.Lock()
    now = most = total = 0

    def counted(client: Any) -> None:
        nonlocal now, most, total
        with lock:
            now, total = now + 1, total + 1
            most = max(most, now)
        try:
            serve(client)
        finally:
            with lock:
                now -= 1

    proxy._serve = counted
    with fk.make_storage("media", settings) as storage:
        storage.upload("warm", b"up")  # makes the bucket
        for outcome in storage.upload_many(((f"{n:03}", b"%d" % n) for n in range(200)), concurrency=8):
            outcome.unwrap()
        for outcome in storage.content_many(storage.scan(), concurrency=8):
            outcome.unwrap()
    # One beside them lists.
    assert 2 <= most <= 9
    assert total <= 12  # they are kept, though a transfer of this storage has four at a time
