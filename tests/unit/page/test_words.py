"""Words and numbers of a page."""

from __future__ import annotations

import pytest

from cleancut.page import words


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "\u2013"),
        (0.041, "41 ms"),
        (3.21, "3.2 s"),
        (250, "4 min 10 s"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert words.span(seconds) == shown


@pytest.mark.parametrize(
    ("gone", "shown"),
    [(3, "just now"), (600, "10 min ago"), (3 * 3600, "3 h ago"), (-7200, "in 2 h")],
)
def test_times_are_relative(gone: float, shown: str) -> None:
    assert words.ago(1000.0, 1000.0 + gone) == shown


def test_sizes_and_counts() -> None:
    assert words.size(27_682_406) == "26.4 MiB"
    assert words.size(0) == "0 B"
    assert words.count(1234567) == "1,234,567"
    assert words.count(None) == "\u2013"
