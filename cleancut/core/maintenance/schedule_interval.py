"""How far apart a schedule's times are: what "too old" is measured by. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

from cleancut.core.maintenance.schedule import CronTimes, ScheduleRule
from cleancut.core.primitives.ids import ClusterName

_TIMES, _LEAST, _SPAN_S = 20_000, 3, 400 * 86400.0
"""A year of hourly times, a fortnight of minutely ones; of rare ones so many at least."""
_FROM = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=1)


def worst_gap_s(schedule: ScheduleRule) -> float:
    """The longest that two of its times lie apart: three days for every weekday's night.

    Limits: looks at 400 days, or 20,000 times. Infinite for one that has a single time.
    """
    worst_s, seen = 0.0, 1
    times = CronTimes(ClusterName(""), "", schedule).following(_FROM.timestamp())
    for one, later in pairwise(islice(times, _TIMES)):
        worst_s, seen = max(worst_s, later - one), seen + 1
        if seen >= _LEAST and later > _FROM.timestamp() + _SPAN_S:
            break
    return worst_s or float("inf")
