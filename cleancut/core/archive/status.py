"""Summary of the archive for gauges: what is planned, followed and behind. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from cleancut.core.archive.plan import ArchivePlan, ArchiveState, FollowedShard
from cleancut.core.primitives.ids import AgentName


class ArchiveSeen(NamedTuple):
    """`planned` shards, those that are `followed`, and the chains of these. `lag_s`: the age of the
    oldest operation that is not stored, or since an agent is away, the greatest of all shards;
    what nothing was read of does not count. `last_mark_s`: since 1970; None: none."""

    planned: int
    followed: int
    lag_s: float
    last_mark_s: float | None
    chains: frozenset[str]


def behind_ms(shard: FollowedShard, state: ArchiveState, *, lives: bool) -> int:
    """Since when something of this shard is not stored; 0: all is, as far as is known."""
    return shard.behind_ms or (0 if lives else state.at_ms)


def archive_seen(
    plan: ArchivePlan,
    states: Sequence[ArchiveState],
    living: Collection[AgentName],
    *,
    now_ms: float,
    marked_ms: int,
) -> ArchiveSeen:
    by_agent = {state.agent: state for state in states}
    followed, lag_ms, chains = 0, 0.0, set()
    for task in plan.tasks:
        state = by_agent.get(task.agent)
        shard = next((s for s in state.shards if s.place == task.place), None) if state else None
        if state is None or shard is None or shard.uuid != task.uuid:
            continue
        lives = task.agent in living
        followed += lives
        chains.add(shard.chain)
        since_ms = behind_ms(shard, state, lives=lives)
        lag_ms = max(lag_ms, now_ms - since_ms if since_ms else 0.0)
    marked_s = marked_ms / 1000 if marked_ms else None
    return ArchiveSeen(len(plan.tasks), followed, lag_ms / 1000, marked_s, frozenset(chains))
