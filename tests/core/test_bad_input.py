"""Whatever stands in a header or a setting: a value that makes sense, or an error of our own."""

from __future__ import annotations

import math
from typing import Any

import pytest
from file_keeper import exc, make_storage
from file_keeper.backend.http_errors import retry_after
from hypothesis import given, settings
from hypothesis import strategies as st

QUICK = settings(max_examples=150, deadline=None)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.binary(max_size=4)
KEYS = st.sampled_from(["attempts", "timeout", "base", "longest", "failures", "reset", "max_size", "types"])
MAPPINGS = st.dictionaries(KEYS | st.text(max_size=5) | st.integers(), SCALARS | st.lists(SCALARS, max_size=3))
ODD_DATES = ["Thu, 26 Nov 2026 20:00:00 GMT", "Thu, 99 Nov 99999 20:00:00 +9999", "-0", "1e999", "\u0663", "nan"]


@QUICK
@given(value=st.text() | st.integers().map(str) | st.floats().map(str) | st.sampled_from(ODD_DATES))
def test_a_senseless_retry_after_counts_as_none(value: str) -> None:
    seconds = retry_after({"Retry-After": value, "retry-after": value})
    assert seconds >= 0
    assert not math.isnan(seconds)


@pytest.mark.parametrize(
    "option", ["retry", "deadline", "circuit_breaker", "limits", "timeout", "max_buffer_memory", "part_size"]
)
@QUICK
@given(value=SCALARS | MAPPINGS | st.lists(SCALARS, max_size=3))
def test_any_value_of_a_policy_is_taken_or_refused(option: str, value: Any) -> None:
    told = f"storage 'media'.*({option}|max_buffer_memory)"
    try:
        repr(make_storage("media", {"type": "memory", option: value}))
    except exc.InvalidStorageConfigurationError as refused:
        error = refused
    else:
        return
    with pytest.raises(exc.InvalidStorageConfigurationError, match=f"(?s){told}"):
        raise error
