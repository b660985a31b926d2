"""What doctor hears of the backups and their schedules."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from cleancut.core.maintenance.retention import Retention
from cleancut_coordinator.api.backup_health import read_backup_health
from tests.support.schedule_cluster import HOURLY, Cluster

WEEK = Retention(keep_daily=7)


@pytest.mark.parametrize(
    ("own", "deletes"),
    [
        (None, False),
        (Retention(), False),
        (WEEK, True),
        (replace(WEEK, keep_daily=0, max_age_days=3.0), True),
    ],
)
def test_a_schedule_alone_deletes_nothing(own: Retention | None, deletes: bool) -> None:
    """A schedule that is known makes no rule, so doctor says that backups are kept for ever."""
    health = asyncio.run(read_backup_health(Cluster(replace(HOURLY, retention=own)).context))
    assert health is not None
    assert [one.name for one in health.schedules] == ["hourly"]
    assert health.retention is deletes
