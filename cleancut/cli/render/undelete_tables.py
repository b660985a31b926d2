"""Tables of undeletes and of their plans."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from cleancut.api.state_words import state_of, step_of
from cleancut.api.undeletes import Undelete, UndeletePlan, UndeleteShard
from cleancut.cli.render.attempts import attempt_facts
from cleancut.cli.render.grids import Columns, facts, grid, size, troubles
from cleancut.cli.render.times import ago, clock, moment, took


def undelete_plan(value: UndeletePlan) -> RenderableType:
    head = facts(
        (
            ("backup", value.backup_epoch),
            ("collection", value.collection),
            ("into", value.into if value.into != value.collection else None),
            ("to read", size(value.size_bytes)),
            *(("note", text) for text in value.notes),
            *(("blocker", text) for text in value.blockers),
        )
    )
    return Group(head, "", _shards(value.shards)) if value.shards else head


def undelete(value: Undelete) -> RenderableType:
    head = facts(
        (
            ("id", value.id),
            ("state", step_of(value)),
            ("backup", value.backup_epoch),
            ("collection", value.collection),
            ("into", value.into if value.into != value.collection else None),
            ("selected", f"{value.selected:,}"),
            ("already there", f"{value.present:,}"),
            ("differ", f"{value.differing:,}" if value.overwrite else None),
            ("missing", f"{value.missing:,}"),
            ("put back", "nothing: only counted" if value.count_only else f"{value.restored:,}"),
            ("still missing", f"{value.absent:,}" if value.absent else None),
            ("created at", moment(value.created_at)),
            ("ended at", moment(value.ended_at)),
            *attempt_facts(value.attempt_history),
            *troubles(value),
        )
    )
    return Group(head, "", _shards(value.shards)) if value.shards else head


def undelete_list(values: Sequence[Undelete]) -> RenderableType:
    if not values:
        return Text("no undeletes: `cleancut undelete plan BACKUP -c COLLECTION` counts for one")
    now_s = time.time()
    return Columns(
        ("ID", "STATE", "AGE", "TOOK", "BACKUP", "COLLECTION", "MISSING", "PUT BACK", "CREATED AT"),
        (
            (
                v.id,
                state_of(v),
                ago(v.created_at, now_s),
                took(v.created_at, v.ended_at),
                v.backup_epoch,
                v.into,
                v.missing,
                "only counted" if v.count_only else v.restored,
                clock(v.created_at),
            )
            for v in values
        ),
        drop=("CREATED AT", "TOOK", "BACKUP"),
        fold=("COLLECTION",),
    )


def _shards(shards: Sequence[UndeleteShard]) -> RenderableType:
    return grid(
        ("SHARD", "KEY", "AGENT", "SIZE", "POINTS", "LOOKED UP", "DONE"),
        (
            (
                s.shard_id,
                s.shard_key,
                s.agent,
                size(s.size_bytes),
                s.points,
                s.selected,
                "yes" if s.done else "no",
            )
            for s in shards
        ),
    )
