"""What every test may use, and the two tiers.

``pytest`` alone runs the quick tier: units and one run of the conformance suite for each provider. ``pytest --full``
(``.ci/run``) runs everything, and so does whoever names files. A test belongs to the full tier by its folder, or by the
marker ``full``.
"""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

pytest_plugins = ["emulators.fixtures", "emulators.gcs_double.fixtures", "emulators.storages"]

FULL = frozenset(("field", "infra", "install", "swap", "testing", "types"))
"""The folders of the full tier."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run everything, not the quick tier alone")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: beyond the quick tier")
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:  # the workers of xdist get the same arguments
        config.option.full = True


def pytest_collection_finish() -> None:
    # Many tests collect garbage to see that nothing is left; what was imported until now is none, and large.
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.full:
        return
    here = Path(__file__).parent

    def is_full(item: pytest.Item) -> bool:
        return item.path.relative_to(here).parts[0] in FULL or item.get_closest_marker("full") is not None

    config.hook.pytest_deselected(items=[item for item in items if is_full(item)])
    items[:] = [item for item in items if not is_full(item)]
