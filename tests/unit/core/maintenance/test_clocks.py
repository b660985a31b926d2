"""The clock check: who disagrees, by how much, and in which direction."""

from __future__ import annotations

import pytest

from cleancut.core.maintenance.clocks import find_clock_doubt
from cleancut.core.primitives.timestamps import format_time

NOW_S = 1_800_000_000.0
HOUR_S = 3600.0


@pytest.mark.parametrize("off_s", [0.0, 3599.0, -3599.0])
def test_an_hour_is_tolerated(off_s: float) -> None:
    agents = {"a1": format_time(NOW_S + off_s)}
    assert not find_clock_doubt(NOW_S, NOW_S + off_s, agents)


@pytest.mark.parametrize("off_s", [3660.0, -3660.0, 400 * 24 * HOUR_S, -400 * 24 * HOUR_S])
def test_the_store_disagrees(off_s: float) -> None:
    doubt = find_clock_doubt(NOW_S, NOW_S + off_s, {})
    assert "the store's" in doubt
    assert format_time(NOW_S) in doubt


@pytest.mark.parametrize("off_s", [3660.0, -2 * HOUR_S, 400 * 24 * HOUR_S])
def test_one_agent_disagrees(off_s: float) -> None:
    agents = {"a1": format_time(NOW_S), "a2": format_time(NOW_S + off_s)}
    doubt = find_clock_doubt(NOW_S, NOW_S, agents)
    assert "agent a2" in doubt
    assert "agent a1" not in doubt


def test_what_is_not_known_is_no_doubt() -> None:
    """No clock in the store, an agent of another version, nonsense."""
    assert not find_clock_doubt(NOW_S, None, {"a1": "", "a2": "yesterday"})


def test_a_session_may_be_some_minutes_old() -> None:
    assert not find_clock_doubt(NOW_S, None, {"a1": format_time(NOW_S - HOUR_S - 900.0)})
