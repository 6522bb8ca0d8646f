"""The conformance suite, fault injection and request counting for file-keeper backends.

An adapter proves itself with one class in one test module::

    from file_keeper_testing import Conformance

    class TestMine(Conformance):
        @pytest.fixture
        def storage_settings(self):
            return {"type": "mine", "bucket": "tests", "initialize": True}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conformance import Conformance
    from .counting import Call, Counting, counted
    from .faults import Faulty, Lacking, Limited, ProviderError, Rule, faulty, limited, lost_answer, without

__all__ = [
    "Call",
    "Conformance",
    "Counting",
    "Faulty",
    "Lacking",
    "Limited",
    "ProviderError",
    "Rule",
    "counted",
    "faulty",
    "limited",
    "lost_answer",
    "without",
]

_HOMES = {
    "Conformance": "conformance",
    "Call": "counting",
    "Counting": "counting",
    "counted": "counting",
    "Faulty": "faults",
    "Lacking": "faults",
    "Limited": "faults",
    "ProviderError": "faults",
    "Rule": "faults",
    "faulty": "faults",
    "limited": "faults",
    "lost_answer": "faults",
    "without": "faults",
}


def __getattr__(name: str) -> Any:
    # Pytest loads the plugin in every run: what a run does not use is not imported.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
