"""Reshards that are wrong on purpose."""

from __future__ import annotations

from typing import Any

from cleancut.core.cluster.hash_ring import HashRing
from cleancut.core.cluster.ring_counts import ReplicaCount
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.protocol.etcd_records import Operation, ShardTask
from cleancut.core.protocol.states import State
from cleancut.core.reshard.phases import CompareRings
from cleancut.qdrant.client import Qdrant
from cleancut_agent.reshard.effects import AgentReshardEffects
from cleancut_coordinator.etcd_state import read_operations
from cleancut_coordinator.leader.state import LeaderState
from cleancut_coordinator.reshard.effects import ReshardEffects
from cleancut_coordinator.reshard.migration import StepMigration
from simulation.mutation import Mutant, Patch


async def compare_nothing(self: ReshardEffects, effect: CompareRings) -> int:
    """The rings are committed whatever was counted."""
    return 0


async def clean_nothing(self: AgentReshardEffects, alias: str, task: ShardTask) -> ReplicaCount:
    """What moved stays behind."""
    ring = HashRing(task.new_ring)
    counted = await self._by_rings(task, ring, ring)
    return ReplicaCount(counted.shard_id, counted.peer_id, counted.parts)


async def stream_once_each(self: StepMigration, peer: Qdrant) -> None:
    """On the way down one replica of each shard gets a stream."""
    step, seen = self.draft.step, set[int]()
    for one in (await peer.placement(self.name)).shards:
        if one.shard_id in step.new and one.shard_id not in seen:
            seen.add(one.shard_id)
            target, at = ShardId(one.shard_id), PeerId(one.peer_id)
            await self._stream(peer, step.shard_id, target, at)
            await self._serve(peer, target, at)


async def name_nothing(self: StepMigration, *_: Any) -> None:
    """No alias stands for the step."""


async def never_wait(self: StepMigration, peer: Qdrant) -> None:
    """Peers that lag behind are not waited for."""


async def clean_at_once(self: AgentReshardEffects, task: ShardTask) -> None:
    """What waits in a replica's queue is not waited for."""


async def oldest_first(self: LeaderState) -> Operation | None:
    """An operation keeps its place until it has ended."""
    records = await read_operations(self._context)
    waiting = [one for one in records if one.state is State.PENDING and not one.after]
    return min(waiting, key=lambda one: one.created_at, default=None)


_RESHARDS = {"reshards": True}
_UNCOUNTED = Patch(ReshardEffects, "_compare", compare_nothing)

RESHARD_MUTANTS = {
    "compares_no_ring": Mutant(
        "every replica holds what the new ring says before reads go by it",
        ("no_point_lost",),
        (_UNCOUNTED,),
        {"diverged": True},
    ),
    "cleans_nothing": Mutant(
        "old replicas keep nothing of what has moved",
        ("no_point_lost",),
        (Patch(AgentReshardEffects, "_clean", clean_nothing),),
        _RESHARDS,
    ),
    "cleans_at_once": Mutant(
        "a replica is cleaned once it has applied what was in its queue",
        ("no_point_lost", "operations_end"),
        (Patch(AgentReshardEffects, "_plunge", clean_at_once),),
        _RESHARDS,
    ),
    "streams_once_down": Mutant(
        "on the way down each replica gets a stream of its own",
        ("no_point_lost",),
        (Patch(StepMigration, "_empty_last", stream_once_each), _UNCOUNTED),
        _RESHARDS,
    ),
    "streams_once_counted": Mutant(
        "on the way down each replica gets a stream of its own, or the counts never agree",
        ("nothing_disturbed_is_done",),
        (Patch(StepMigration, "_empty_last", stream_once_each),),
        {"reshards": True, "calm": True},
    ),
    "commits_suspended": Mutant(
        "a leader that lost its term commits nothing of a later step",
        ("ring_epochs",),
        (
            Patch(StepMigration, "_alias", property(lambda self: self.name)),
            Patch(StepMigration, "_name_step", name_nothing),
        ),
        {"reshards": True, "calm": False},
    ),
    "ignores_lag": Mutant(
        "every peer has applied a step before the next",
        ("no_point_lost",),
        (Patch(StepMigration, "_applied", never_wait),),
        {"reshards": True, "calm": False},
    ),
    "keeps_its_turn": Mutant(
        "another operation waits for one step at the most",
        ("others_get_their_turn",),
        (Patch(LeaderState, "next_pending", oldest_first),),
        _RESHARDS,
    ),
}
