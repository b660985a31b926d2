"""Durations as people read them."""

from __future__ import annotations

import pytest

from cleancut.core.primitives.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (79, "1m19s"), (3600, "1h"), (5400, "1h30m"), (93600, "1d2h"), (86461, "1d1m")],
)
def test_the_two_largest_units_are_shown_and_read_back(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
    assert abs(parse_duration(text) - seconds) < 60
