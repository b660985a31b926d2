"""The requests of an undelete are those that the live collection takes."""

from __future__ import annotations

from typing import Any

import pytest

from cleancut.core.undelete.pace import Pace, pace_notes, pace_of


@pytest.mark.parametrize(
    ("strict", "pace"),
    [
        (None, Pace()),
        ({"enabled": False, "upsert_max_batchsize": 5}, Pace()),
        ({"enabled": True}, Pace()),
        ({"enabled": True, "upsert_max_batchsize": 5000, "max_timeout": 600}, Pace(256, 60)),
        ({"enabled": True, "upsert_max_batchsize": 5, "max_timeout": 1}, Pace(5, 1)),
        ({"enabled": True, "read_rate_limit": 7, "write_rate_limit": 900}, Pace(7, 0, 7)),
    ],
)
def test_strict_mode_bounds_each_request(strict: dict[str, Any] | None, pace: Pace) -> None:
    assert pace_of({"config": {"strict_mode_config": strict}}) == pace


def test_a_rate_limit_is_told_before_it_begins() -> None:
    assert pace_notes("docs", Pace(points=5)) == ()
    (note,) = pace_notes("docs", Pace(points=7, per_minute=7))
    assert "'docs' lets each shard take 7 points a minute" in note
