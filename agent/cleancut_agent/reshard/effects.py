"""Effects of the agent's reshard machine, on the local peer and the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from cleancut.core.cluster.hash_ring import HashRing
from cleancut.core.cluster.ring_counts import BUCKETS, ReplicaCount
from cleancut.core.primitives.errors import TimedOut, Unavailable
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.documents import AgentRingReport
from cleancut.core.protocol.effect_requests import Observe
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.reshard.participant import CleanReplicas, CountByRings
from cleancut.core.reshard.phases import step_alias
from cleancut.repository.catalog import put_votes_document
from cleancut_agent.context import AgentContext
from cleancut_agent.local_peer import observe_names
from cleancut_agent.progress import BytesProgress
from cleancut_agent.reshard.ring_counts import count_by_rings
from cleancut_agent.wait_for_peer import retry_until_reachable

_PLUNGE_S, _POLL_S = 120.0, 0.2


class AgentReshardEffects:
    """Runs one effect at a time; nothing outlives it."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context

    async def run(self, effect: Effect) -> object:
        """The effect's result. Raises: a CleancutError that says why there is none."""
        match effect:
            case Observe():
                return await observe_names(self._context, effect.epoch)
            case CountByRings():
                return await self._each(effect, self._count)
            case CleanReplicas():
                return await self._each(effect, partial(self._clean, step_alias(effect.epoch)))
            case _:
                raise AssertionError(f"not a reshard's effect: {effect}")

    async def stop(self, epoch: Epoch) -> None:
        """Nothing is left to end once the effects of `epoch` are cancelled."""

    def moved(self) -> BytesProgress:
        """Qdrant moves the points itself."""
        return BytesProgress(0)

    async def _each(
        self,
        effect: CountByRings | CleanReplicas,
        look: Callable[[ShardTask], Awaitable[ReplicaCount]],
    ) -> str:
        """One replica after the other: reading all ids of several at a time costs the clients."""
        context = self._context
        found = [
            await retry_until_reachable(context.clock, partial(look, task)) for task in effect.tasks
        ]
        document = AgentRingReport(epoch=effect.epoch, agent=context.name, replicas=tuple(found))
        return await put_votes_document(context.store, context.paths, document)

    async def _count(self, task: ShardTask) -> ReplicaCount:
        return await self._by_rings(task, HashRing(task.old_ring), HashRing(task.new_ring))

    async def _clean(self, alias: str, task: ShardTask) -> ReplicaCount:
        """`alias`: of the collection, while this step is under way; a cleanup that comes after it
        would delete points of the next one. Order: a cleanup finds nothing of what is still in the
        queue of writes, and Qdrant makes no second one of the same step."""
        await self._plunge(task)
        await self._context.qdrant.resharding.cleanup(alias, task.shard_id)
        new = HashRing(task.new_ring)
        return await self._by_rings(task, new, new)

    async def _plunge(self, task: ShardTask) -> None:
        """What was in the queue of the replica is applied. Raises: TimedOut."""
        clock, wanted = self._context.clock, -1
        until_s = clock.monotonic_s() + _PLUNGE_S
        while True:
            entry = (await self._context.qdrant.telemetry()).collections.get(task.collection)
            shard = entry.shards.get(task.shard_id) if entry is not None else None
            if shard is None or shard.op_num is None:
                raise Unavailable(
                    f"shard {task.shard_id} of {task.collection!r} is not loaded here",
                    "see the peer's log",
                )
            wanted = shard.op_num + shard.queue_length if wanted < 0 else wanted
            if shard.op_num >= wanted:
                return
            if clock.monotonic_s() >= until_s:
                raise TimedOut(
                    f"shard {task.shard_id} of {task.collection!r} has not applied its queue of"
                    f" writes after {_PLUNGE_S:g} s",
                    "see the peer's log",
                )
            await clock.sleep(_POLL_S)

    async def _by_rings(self, task: ShardTask, old: HashRing, new: HashRing) -> ReplicaCount:
        replica = task.collection, task.shard_id, task.peer_id
        return await count_by_rings(
            self._context.qdrant, replica, old, new, buckets=task.buckets or BUCKETS
        )
