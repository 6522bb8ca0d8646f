"""Batches on services that throttle: fewer items in flight, told by an event, and nothing fails."""

from __future__ import annotations

import re
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


@pytest.mark.parametrize(
    "kind", ["s3", pytest.param("gcs", marks=pytest.mark.full), pytest.param("azure", marks=pytest.mark.full)]
)
def test_a_batch_slows_down_and_recovers(
    kind: str, fresh_settings: Callable[..., dict[str, Any]], fault_proxy: Callable[..., FaultProxy]
) -> None:
    settings = fresh_settings(kind, retry={"attempts": 6, "base": "1ms", "longest": "1ms"})
    address = re.search(r"https?://[^;]+", settings.get("endpoint") or settings["connection_string"])
    assert address is not None
    proxy = fault_proxy(address[0])
    for option in ("endpoint", "connection_string"):
        if option in settings:
            settings[option] = settings[option].replace(address[0], proxy.url)
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
