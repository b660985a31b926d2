"""Reshards that are wrong on purpose."""

from __future__ import annotations

from cleancut.core.cluster.hash_ring import HashRing
from cleancut.core.cluster.ring_counts import ReplicaCount
from cleancut.core.primitives.ids import Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Operation, ShardTask
from cleancut.core.reshard.phases import STEP_ALIASES, CompareRings
from cleancut.core.restore.report import RestoreDraft
from cleancut.qdrant.client import Qdrant
from cleancut_agent.reshard import effects as agent_effects
from cleancut_agent.reshard.effects import AgentReshardEffects
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.state import LeaderState
from cleancut_coordinator.reshard import migration
from cleancut_coordinator.reshard.effects import ReshardEffects
from cleancut_coordinator.reshard.migration import StepMigration
from cleancut_coordinator.restore import effects as restore_effects
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


def one_alias(epoch: Epoch) -> str:
    """The same for all steps."""
    return f"{STEP_ALIASES}0"


_real_pending = LeaderState.all_pending


async def oldest_first(self: LeaderState) -> list[Operation]:
    """An operation keeps its place until it has ended."""
    return sorted(await _real_pending(self), key=lambda one: one.created_at)


async def make_no_way(context: CoordinatorContext, draft: RestoreDraft) -> OperationId:
    """Names are published as soon as all is verified."""
    return OperationId("")


_RESHARDS = {"reshards": True}
_UNCOUNTED = Patch(ReshardEffects, "_compare", compare_nothing)

RESHARD_MUTANTS = {
    "compares_no_ring": Mutant(
        "every replica holds what the new ring says before reads go by it",
        ("no_point_lost",),
        (_UNCOUNTED,),
        {"diverged": True},
        first=838,
    ),
    "cleans_nothing": Mutant(
        "old replicas keep nothing of what has moved",
        ("no_point_lost",),
        (Patch(AgentReshardEffects, "_clean", clean_nothing),),
        _RESHARDS,
        first=10,
    ),
    "streams_once_down": Mutant(
        "on the way down each replica gets a stream of its own",
        ("no_point_lost",),
        (Patch(StepMigration, "_empty_last", stream_once_each), _UNCOUNTED),
        _RESHARDS,
        first=441,
    ),
    "streams_once_counted": Mutant(
        "on the way down each replica gets a stream of its own, or the counts never agree",
        ("nothing_disturbed_is_done",),
        (Patch(StepMigration, "_empty_last", stream_once_each),),
        {"reshards": True, "calm": True},
        first=1665,
    ),
    "commits_suspended": Mutant(
        "a leader that lost its term commits nothing of a later step",
        ("ring_epochs",),
        (
            Patch(migration, "step_alias", one_alias),
            Patch(agent_effects, "step_alias", one_alias),
        ),
        {"reshards": True, "calm": False},
        first=473,
    ),
    "publishes_first": Mutant(
        "a restore publishes its names after the last of its reshards",
        ("published_last",),
        (Patch(restore_effects, "make_way", make_no_way),),
        {"renumbered": True},
        first=48,
    ),
    "keeps_its_turn": Mutant(
        "another operation waits for one step at the most",
        ("others_get_their_turn",),
        (Patch(LeaderState, "all_pending", oldest_first),),
        _RESHARDS,
        first=13,
    ),
}
