"""What agents may take: settings that can be meant, and a pace that keeps to a rate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut.core.cluster.agent_settings import (
    LEAST_RATE,
    RateLimiter,
    UploadSettings,
    check_settings,
)
from cleancut.core.primitives.errors import Invalid


def test_settings_that_can_be_meant() -> None:
    for good in (
        UploadSettings(),
        UploadSettings(upload_bytes_per_s=LEAST_RATE, uploads=16, spill_bytes=0),
    ):
        assert check_settings(good) is good


@pytest.mark.parametrize(
    "bad",
    [
        UploadSettings(upload_bytes_per_s=1),
        UploadSettings(upload_bytes_per_s=-1),
        UploadSettings(read_bytes_per_s=1),
        UploadSettings(uploads=0),
        UploadSettings(uploads=17),
        UploadSettings(spill_bytes=-1),
        UploadSettings(spill_floor_bytes=-1),
    ],
)
def test_settings_that_cannot(bad: UploadSettings) -> None:
    with pytest.raises(Invalid):
        check_settings(bad)


@given(
    st.lists(st.tuples(st.integers(1, 9_000_000), st.floats(0, 3)), min_size=2, max_size=40),
    st.sampled_from([LEAST_RATE, 1_000_000, 50_000_000]),
)
def test_a_pace_keeps_to_its_rate(objects: list[tuple[int, float]], rate: int) -> None:
    """Whatever comes whenever: what went, but for the last object, took its time at that rate; and
    who comes after a pause longer than that does not wait."""
    pace, now_s, went, began_s = RateLimiter(), 100.0, 0, 100.0
    for size_bytes, pause_s in objects:
        now_s += pause_s
        wait_s = pace.wait_s(now_s, rate)
        assert wait_s * rate <= went + 1
        now_s += wait_s
        assert pace.wait_s(now_s, rate) == pytest.approx(0, abs=1e-6)
        assert went <= rate * (now_s - began_s) + 1
        pace.went(size_bytes)
        went += size_bytes


def test_no_limit_and_a_limit_that_is_lifted() -> None:
    pace = RateLimiter()
    pace.went(10**9)
    assert pace.wait_s(0.0, LEAST_RATE) > 1000
    assert pace.wait_s(0.0, 0) == 0
    assert pace.wait_s(0.0, LEAST_RATE) == 0
