"""Tables of schedules."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from cleancut.api.schedules import RetentionRules, Schedule
from cleancut.api.state_words import word_of
from cleancut.cli.render.grids import Columns, facts, some
from cleancut.cli.render.times import ago, clock, moment
from cleancut.core.primitives.durations import format_duration
from cleancut.core.protocol.states import State

_TITLES = (
    *("NAME", "DOES", "LAST", "RESULT", "NEXT", "MAX AGE", "KEEPS", "CRON", "TIME ZONE"),
    *("SKIPPED", "COLLECTIONS", "LAST ID", "DEFINED"),
)
_DROPPED = ("LAST ID", "DEFINED", "COLLECTIONS", "SKIPPED", "TIME ZONE", "CRON", "KEEPS", "MAX AGE")


def schedule_list(schedules: Sequence[Schedule]) -> RenderableType:
    if not schedules:
        return Text(
            "no schedules: `cleancut schedule set` or the settings of the coordinators define them"
        )
    now_s = time.time()
    return Columns(
        _TITLES,
        (
            (
                one.name,
                one.do,
                ago(one.last_due_at, now_s),
                _last(one),
                "paused" if one.paused else clock(one.next_at, one.time_zone),
                format_duration(one.max_age_s) if one.max_age_s else None,
                _rules(one.retention) if one.retention else None,
                one.cron,
                one.time_zone,
                ago(one.skipped_at, now_s),
                some(one.collections) or "all",
                one.last_id,
                one.owner or one.origin,
            )
            for one in schedules
        ),
        drop=_DROPPED,
        fold=("COLLECTIONS",),
    )


def schedule(value: Schedule) -> RenderableType:
    return facts(
        (
            ("name", value.name),
            ("defined by", value.owner or value.origin or None),
            ("does", value.do),
            ("reads", f"{value.percent} %" if value.percent else None),
            ("shards", value.shards or None),
            ("copies to", value.to or None),
            ("cron", f"{value.cron} ({value.time_zone})"),
            ("next", _next(value)),
            ("jitter", f"{value.jitter_s:g} s" if value.jitter_s else None),
            ("starts within", f"{value.start_within_s:g} s" if value.start_within_s else None),
            ("overlap", value.overlap),
            ("collections", ", ".join(value.collections) or "all"),
            ("fence", ", ".join(value.fence) or None),
            ("must be point-in-time", "yes" if value.require_point_in_time else None),
            ("attempts", value.attempts),
            ("retention", _rules(value.retention) if value.retention else None),
            ("last", value.last_id or None),
            ("last due at", moment(value.last_due_at, value.time_zone)),
            ("last state", _last(value) or None),
            ("skipped at", moment(value.skipped_at, value.time_zone)),
            ("skipped because", value.skipped_why or None),
        )
    )


def _last(value: Schedule) -> str:
    return word_of(State(value.last_state)) if value.last_state else value.last_outcome


def _next(value: Schedule) -> str | None:
    return "paused" if value.paused else moment(value.next_at, value.time_zone)


def _rules(value: RetentionRules) -> str:
    set_ = ((name.replace("_", "-"), getattr(value, name)) for name in value.__struct_fields__)
    return ", ".join(f"{name} {number:g}" for name, number in set_ if number)
