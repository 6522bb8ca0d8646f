"""The page of compatibility is what its script writes from what was found; the kit itself is not run here."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("compatibility", ROOT / "scripts" / "compatibility.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_was_found(script: Any) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.render(script._results())


def test_each_server_tells_what_it_is(script: Any) -> None:
    results = script._results()
    assert results
    for name, found in results.items():
        assert found["version"], name
        assert found["on"], name
        assert found["passed"] > 200, name


def test_a_report_is_read(script: Any, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite><testcase name='test_case_01_x[a|b]'/>"
        "<testcase name='test_case_02_y'><failure message='exc.StorageError: at http://127.0.0.1:4711/x&#10;more'/>"
        "</testcase><testcase name='test_case_03_z'><skipped message='not here'/></testcase></testsuite></testsuites>"
    )
    found = script.read_report(report)
    assert found == {
        "passed": 1,
        "failed": {"case_02_y": "StorageError: at http://server/x"},
        "skipped": {"case_03_z": "not here"},
    }
    page = script.render({"A server": {**found, "version": "1", "kit": "0", "type": "s3", "on": "2026-01-01"}})
    assert "| [A server](#a-server) | 1 | `s3` | 0 | 1 of 2 | 1 | 1 | 2026-01-01 |" in page
    assert "| `case_02_y` | `StorageError: at http://server/x` |" in page
