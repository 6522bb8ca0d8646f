"""The soak in short: ten minutes for each backend are run by hand, `python scripts/reliability.py soak`."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from . import soak
from .places import KINDS, placed

pytestmark = [pytest.mark.full, pytest.mark.timeout(180)]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost(kind: str) -> None:
    with placed(kind, "http") as place:
        report = soak.soak_place(place, 8)
    assert report.wrong == []
    assert report.calls.total() > 100
    assert report.errors, "no call met its faults to the end: the test shows nothing"


@pytest.mark.parametrize("kind", ["memory", "fs"])
def test_nothing_is_lost_without_a_network(kind: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"type": kind, "bucket": uuid.uuid4().hex, "retry": soak.SOAKED}
    if kind == "fs":
        settings |= {"root": str(tmp_path), "initialize": True}
    report = soak.soak_local(settings, 4, processes=2 if kind == "fs" else 1)
    assert report.wrong == []
    assert report.errors, "no call met its faults to the end: the test shows nothing"
