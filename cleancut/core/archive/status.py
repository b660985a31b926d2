"""Summary of the archive for gauges: what is planned, followed and behind. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from cleancut.core.archive.plan import ArchivePlan, ArchiveState, ArchiveTask, FollowedShard
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


def find_followed(
    task: ArchiveTask, states: Iterable[ArchiveState]
) -> tuple[ArchiveState | None, FollowedShard | None]:
    """What the task's agent says last, and of the task's shard; None: nothing, or only of a
    collection that had its name before."""
    state = next((one for one in states if one.agent == task.agent), None)
    shards = state.shards if state else ()
    same = (one for one in shards if (one.place, one.uuid) == (task.place, task.uuid))
    return state, next(same, None)


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
    followed, lag_ms, chains = 0, 0.0, set()
    for task in plan.tasks:
        state, shard = find_followed(task, states)
        if state is None or shard is None:
            continue
        lives = task.agent in living
        followed += lives
        chains.add(shard.chain)
        since_ms = behind_ms(shard, state, lives=lives)
        lag_ms = max(lag_ms, now_ms - since_ms if since_ms else 0.0)
    marked_s = marked_ms / 1000 if marked_ms else None
    return ArchiveSeen(len(plan.tasks), followed, lag_ms / 1000, marked_s, frozenset(chains))
