"""Tables of rebalances and of their plans."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from cleancut.api.rebalances import BalancedPeer, BalanceStep, Rebalance, RebalancePlan
from cleancut.api.state_words import state_of, step_of
from cleancut.cli.render.attempts import attempt_facts
from cleancut.cli.render.grids import Columns, facts, grid, size, troubles
from cleancut.cli.render.times import ago, clock, moment, took


def rebalance_plan(value: RebalancePlan) -> RenderableType:
    head = facts(
        (
            ("steps", len(value.steps)),
            ("to move", size(value.size_bytes)),
            *(("note", text) for text in value.notes),
            *(("blocker", text) for text in value.blockers),
        )
    )
    return Group(head, *_steps(value.steps), "", _peers(value.peers))


def rebalance(value: Rebalance) -> RenderableType:
    head = facts(
        (
            ("id", value.id),
            ("state", step_of(value)),
            ("after restore", value.after or None),
            ("created at", moment(value.created_at)),
            ("ended at", moment(value.ended_at)),
            *attempt_facts(value.attempt_history),
            *troubles(value),
        )
    )
    if not value.peers:
        return head
    return Group(head, *_steps(value.steps), "", _peers(value.peers))


def rebalance_list(values: Sequence[Rebalance]) -> RenderableType:
    if not values:
        return Text("no rebalances: `cleancut rebalance plan` shows one")
    now_s = time.time()
    return Columns(
        ("ID", "STATE", "AGE", "TOOK", "STEPS", "AFTER RESTORE", "CREATED AT"),
        (
            (
                v.id,
                state_of(v),
                ago(v.created_at, now_s),
                took(v.created_at, v.ended_at),
                len(v.steps),
                v.after,
                clock(v.created_at),
            )
            for v in values
        ),
        drop=("CREATED AT", "AFTER RESTORE", "TOOK", "STEPS"),
    )


def _steps(steps: Sequence[BalanceStep]) -> Iterator[RenderableType]:
    if not steps:
        return
    yield ""
    yield grid(
        ("STEP", "COLLECTION", "SHARD", "FROM", "TO", "SIZE", "DONE", "POINTS"),
        (
            (
                s.action,
                s.collection,
                s.shard_id,
                s.source_agent or s.source_peer_id,
                s.target_agent or s.target_peer_id,
                size(s.size_bytes),
                None if s.done is None else "yes" if s.done else "no",
                s.count,
            )
            for s in steps
        ),
        fold=("COLLECTION",),
    )


def _peers(peers: Sequence[BalancedPeer]) -> RenderableType:
    return grid(
        ("AGENT", "PEER", "SHARDS BEFORE", "AFTER", "BYTES BEFORE", "AFTER"),
        (
            (
                p.agent,
                p.peer_id,
                p.shards_before,
                p.shards_after,
                size(p.bytes_before),
                size(p.bytes_after),
            )
            for p in peers
        ),
    )
