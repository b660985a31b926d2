"""Tables of reshards and of their plans."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from cleancut.api.reshards import Reshard, ReshardPlan, ReshardStep
from cleancut.api.state_words import state_of, step_of
from cleancut.cli.render.attempts import attempt_facts
from cleancut.cli.render.grids import Columns, facts, grid, size, troubles
from cleancut.cli.render.times import ago, clock, moment, took


def reshard_plan(value: ReshardPlan) -> RenderableType:
    head = facts(
        (
            ("collection", value.collection),
            ("shard key", value.shard_key),
            ("shards", f"{value.shards} -> {value.wanted}"),
            ("to move", size(value.size_bytes)),
            *(("note", text) for text in value.notes),
            *(("blocker", text) for text in value.blockers),
        )
    )
    return Group(head, "", _steps(value.steps)) if value.steps else head


def reshard(value: Reshard) -> RenderableType:
    head = facts(
        (
            ("id", value.id),
            ("state", step_of(value)),
            ("collection", value.collection),
            ("shard key", value.shard_key),
            ("shards", _numbers(value.shards, value.wanted)),
            ("created at", moment(value.created_at)),
            ("ended at", moment(value.ended_at)),
            *attempt_facts(value.attempt_history),
            *troubles(value),
        )
    )
    return Group(head, "", _steps(value.steps)) if value.steps else head


def reshard_list(values: Sequence[Reshard]) -> RenderableType:
    if not values:
        return Text("no reshards: `cleancut reshard plan COLLECTION --shards N` shows one")
    now_s = time.time()
    return Columns(
        ("ID", "STATE", "AGE", "TOOK", "COLLECTION", "KEY", "SHARDS", "CREATED AT"),
        (
            (
                v.id,
                state_of(v),
                ago(v.created_at, now_s),
                took(v.created_at, v.ended_at),
                v.collection,
                v.shard_key,
                _numbers(v.shards, v.wanted),
                clock(v.created_at),
            )
            for v in values
        ),
        drop=("CREATED AT", "TOOK", "KEY"),
        fold=("COLLECTION",),
    )


def _numbers(now: int, wanted: int) -> str:
    return str(wanted) if now == wanted else f"{now or '?'} of {wanted}"


def _steps(steps: Sequence[ReshardStep]) -> RenderableType:
    return grid(
        ("SHARDS", "SHARD", "AGENTS", "SIZE", "DONE", "POINTS MOVED", "SECONDS"),
        (
            (
                s.shards,
                s.shard_id,
                ", ".join(_peers(s)),
                size(s.size_bytes) if s.size_bytes else None,
                "yes" if s.done else "no",
                s.points if s.done else None,
                f"{s.seconds:.1f}" if s.done else None,
            )
            for s in steps
        ),
    )


def _peers(step: ReshardStep) -> list[str]:
    """By the names of their agents, or else by their ids."""
    agents = dict(zip(step.peer_ids, step.agents, strict=False))
    return [agents.get(peer) or str(peer) for peer in step.peer_ids]
