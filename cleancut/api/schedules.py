"""Values of the API: schedules."""

from __future__ import annotations

import msgspec

from cleancut.api.values import ApiValue, Time
from cleancut.core.protocol.states import State


class RetentionRules(ApiValue, frozen=True):
    """What is kept of a schedule's backups; see `cleancut.core.maintenance.retention.Retention`."""

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    max_age_days: float = 0.0
    min_count: int = 0


class Schedule(ApiValue, frozen=True):
    """A schedule as it is configured, and how far it is. Times are RFC 3339, UTC.

    `overlap`: skip | queue. `retention` None: the general rules. `next_at` is None while it is
    paused. `last_id`: the newest backup that it has started, for the time `last_due_at`, or by hand
    if that is None; `last_state` is None once etcd has forgotten the operation. `skipped_at`: the
    newest time for which none was started, and why. `do`: backup | verify | drill | copy; `to`: the
    store that a copy goes to. `percent`, `shards`: how much of the newest backup is verified or
    drilled; `last_outcome` of that: "good", "under way", or what is wrong. `max_age_s`: how old its
    newest result may be; 0: no limit. `labels`: of its backups. `origin`: file | api, where it is
    defined; of one that a call has defined, `owner` is the object that it is of, and `revision`
    changes with its definition.
    """

    name: str
    cron: str = ""
    time_zone: str = ""
    jitter_s: float = 0.0
    start_within_s: float = 0.0
    overlap: str = ""
    collections: tuple[str, ...] = ()
    allow_empty: bool = False
    require_point_in_time: bool = False
    attempts: int = 0
    fence: tuple[str, ...] = ()
    fence_budget_s: float = 0.0
    exclude: tuple[str, ...] = ()
    allow_missing: bool = False
    retention: RetentionRules | None = None
    paused: bool = False
    next_at: Time | None = None
    last_id: str = ""
    last_due_at: Time | None = None
    last_state: State | None = None
    skipped_at: Time | None = None
    skipped_why: str = ""
    do: str = ""
    percent: int = 0
    shards: int = 0
    last_outcome: str = ""
    to: str = ""
    max_age_s: float = 0.0
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    origin: str = ""
    owner: str = ""
    revision: int = 0


class ScheduleList(ApiValue, frozen=True):
    """All of them, by name."""

    schedules: tuple[Schedule, ...] = ()
