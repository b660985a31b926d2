"""Puts lost shards back into a collection that lives: nothing is made, and nothing is ever dropped.

A shard without any replica is recovered at one peer, which becomes its Active owner. The collection
is read and written meanwhile, so neither drains nor equal counts can prove anything here.
Source: src/common/snapshots.rs, lib/collection/src/shards/replica_set, Qdrant 1.18.3 (measured)
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from cleancut.core.cluster.live_shards import LiveShards
from cleancut.core.cluster.view import ACTIVE
from cleancut.core.primitives.errors import NotFound, Refused, Unavailable
from cleancut.core.primitives.ids import AgentName, PeerId, ShardId
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.protocol.states import Phase
from cleancut.core.restore.plan import CollectionPlan
from cleancut.core.restore.report import Creation, ObservedCollection, RestoreDraft
from cleancut.core.restore.target import LiveCollection, LiveReplica, Target
from cleancut.qdrant.live_shards import live_shards
from cleancut.qdrant.responses import CollectionTelemetry, Placement
from cleancut.repository.catalog import put_staged
from cleancut_coordinator.any_peer import ask_any, first_peer
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import check_phase
from cleancut_coordinator.restore.create_collections import known_creations
from cleancut_coordinator.restore.destination import AgentHost


async def add_live_collections(
    context: CoordinatorContext, request: RestoreRequest, target: Target
) -> Target:
    """`target`, with the collections in which this request wants shards repaired.

    Raises: Unavailable, TimedOut.
    """
    names = request.collections if request.only_shards else ()
    found = [await _read_live(context, name) for name in names]
    live = tuple(
        LiveCollection(
            name=name,
            uuid=entry.uuid or "",
            config=entry.config,
            replicas=tuple(
                LiveReplica(
                    shard_id=ShardId(one.shard_id), peer_id=PeerId(one.peer_id), state=one.state
                )
                for one in placement.shards
            ),
        )
        for name, (entry, placement) in zip(names, found, strict=True)
        if entry is not None and placement is not None
    )
    return replace(target, live=live)


async def observe_collection(context: CoordinatorContext, name: str) -> ObservedCollection:
    """As the cluster shows it; the payload indexes are unknown while another shard is lost."""
    entry, placement = await _read_live(context, name)
    if entry is None or placement is None:
        raise _gone(name)
    lost = live_shards(name, entry, placement).lost
    info = {} if lost else await ask_any(context.peers, lambda peer: peer.collection(name))
    return ObservedCollection(
        active=not lost and all(replica.state == ACTIVE for replica in placement.shards),
        schema=dict(info.get("payload_schema") or {}),
        places=placement.places(),
        shard_keys=placement.shard_keys(),
    )


async def _read_live(
    context: CoordinatorContext, name: str
) -> tuple[CollectionTelemetry | None, Placement | None]:
    """The answer of one peer about a collection with lost shards; None: it does not exist."""
    peer = await first_peer(context.peers)
    entry = (await peer.telemetry()).collections.get(name)
    return entry, await peer.placement(name) if entry is not None else None


def _gone(name: str) -> NotFound:
    return NotFound(f"there is no collection {name!r} any more", "restore it as a whole")


class ShardRepairer:
    """The lost shards of one attempt, as `draft` names them."""

    def __init__(self, context: CoordinatorContext, draft: RestoreDraft) -> None:
        self._context, self._draft = context, draft

    async def create(
        self, hosts: Mapping[PeerId, AgentHost]
    ) -> dict[AgentName, tuple[ShardTask, ...]]:
        """Who is to recover which shard; that it was lost until now is recorded. Repeatable.

        Raises: Refused, if a shard has a replica by now; Unavailable, Fenced.
        """
        tasks: dict[AgentName, tuple[ShardTask, ...]] = {}
        for planned in self._draft.planned:
            live = await self._read(planned)
            back = sorted(set(planned.shard_ids) - set(live.lost))
            if back:
                raise Refused(
                    f"shard {back[0]} of {planned.created_as!r} is not lost any more",
                    "`cleancut doctor` shows which shards are",
                )
            host = hosts.get(planned.repair_peer) if planned.repair_peer is not None else None
            if host is None:
                raise Unavailable(
                    f"no agent takes part at peer {planned.repair_peer}, where the lost shards go",
                    "start an agent beside it, or choose another --peer",
                )
            await check_phase(self._context, self._draft.epoch, Phase.CREATE)
            creation = Creation(
                epoch=self._draft.epoch, collection=live.name, outcome="asked", uuid=live.uuid
            )
            context = self._context
            await put_staged(context.store, context.paths, self._draft.epoch, creation)
            tasks[host.agent] = (*tasks.get(host.agent, ()), *self._tasks(planned, live.uuid))
        return tasks

    async def undo(self) -> None:
        """Nothing was put back. Repeatable; nothing is dropped, since the data may be in use.

        Raises: Refused, if a shard has a replica that was not verified; Unavailable, TimedOut.
        """
        known = await known_creations(self._context, self._draft.epoch)
        for planned in self._draft.planned:
            if planned.created_as not in known:
                continue  # it was never begun
            try:
                live = await self._read(planned)
            except NotFound:
                continue
            back = sorted(set(planned.shard_ids) - set(live.lost))
            if back:
                raise Refused(
                    f"shard {back[0]} of {live.name!r} was recovered, but is not verified; it is"
                    " Active and not dropped, since it is the only replica",
                    "count and search it; if it is not whole, restore the collection beside"
                    " (`cleancut restore start --beside`) and switch to that",
                )

    async def _read(self, planned: CollectionPlan) -> LiveShards:
        name = planned.created_as
        entry, placement = await _read_live(self._context, name)
        if entry is None or placement is None:
            raise _gone(name)
        return live_shards(name, entry, placement)

    def _tasks(self, planned: CollectionPlan, uuid: str) -> tuple[ShardTask, ...]:
        assert planned.repair_peer is not None, "a repair without a peer is refused in the plan"
        return tuple(
            ShardTask(
                collection=planned.created_as,
                shard_id=shard.shard_id,
                peer_id=planned.repair_peer,
                recipe=shard.recipe,
                tar_sha256=shard.tar_sha256,
                size_bytes=shard.size_bytes,
                count=shard.count if shard.quiet else None,
                last_entry=shard.last_entry,
                source=self._draft.source,
                store=self._draft.store,
                repair=True,
                uuid=uuid,
            )
            for shard in self._draft.shards_of(planned.name)
            if shard.shard_id in planned.shard_ids
        )
