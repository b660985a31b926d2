"""Tables of schedules."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType

from cleancut.api.schedules import RetentionRules, Schedule
from cleancut.api.state_words import word_of
from cleancut.cli.render.grids import facts, grid, minute, some
from cleancut.core.protocol.states import State


def schedule_list(schedules: Sequence[Schedule]) -> RenderableType:
    return grid(
        ("NAME", "DOES", "CRON", "TIME ZONE", "NEXT", "LAST", "STATE", "SKIPPED", "COLLECTIONS"),
        (
            (
                one.name,
                one.do,
                one.cron,
                one.time_zone,
                "paused" if one.paused else minute(one.next_at),
                one.last_id or minute(one.last_due_at),
                _last(one),
                minute(one.skipped_at),
                some(one.collections) or "all",
            )
            for one in schedules
        ),
        fold=("CRON", "COLLECTIONS"),
    )


def schedule(value: Schedule) -> RenderableType:
    return facts(
        (
            ("name", value.name),
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
            ("last", value.last_id),
            ("last due at", value.last_due_at),
            ("last state", _last(value)),
            ("skipped at", value.skipped_at),
            ("skipped because", value.skipped_why),
        )
    )


def _last(value: Schedule) -> str:
    return word_of(State(value.last_state)) if value.last_state else value.last_outcome


def _next(value: Schedule) -> str | None:
    return "paused" if value.paused else value.next_at


def _rules(value: RetentionRules) -> str:
    set_ = ((name.replace("_", "-"), getattr(value, name)) for name in value.__struct_fields__)
    return ", ".join(f"{name} {number:g}" for name, number in set_ if number)
