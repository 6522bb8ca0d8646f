"""The kills in short: 200 for each backend are made by hand, `python scripts/reliability.py kills`."""

from __future__ import annotations

import pytest

from .kills import kill_on

pytestmark = [pytest.mark.full, pytest.mark.timeout(180)]


@pytest.mark.parametrize("kind", ["fs", "s3", "gcs", "azure"])
def test_nothing_is_torn(kind: str) -> None:
    report = kill_on(kind, "http", 10)
    assert (report.kills, report.wrong) == (10, [])
    assert report.within, "no kill came within an operation: the test shows nothing"
