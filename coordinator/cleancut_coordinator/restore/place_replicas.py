"""Reads where Qdrant has placed new shards, and moves empty ones to where there is room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cleancut.core.cluster.collection_config import wal_bytes
from cleancut.core.cluster.view import ACTIVE
from cleancut.core.primitives.errors import Refused, TimedOut, Unavailable
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.restore.placement import PlacedShard, ReplicaMove, moves
from cleancut.qdrant.responses import Replica
from cleancut_coordinator.any_peer import first_value
from cleancut_coordinator.restore.destination import RestoreTarget, TargetCollection

_ACTIVE_S = 60.0
_METHOD = "stream_records"

Placements = Mapping[str, Sequence[Replica]]


async def place_replicas(site: RestoreTarget, wanted: Sequence[TargetCollection]) -> Placements:
    """Where every replica is, by the collection's name in Qdrant: Active, at a peer with an agent,
    and with room for it as far as that is known. Repeatable.

    Raises: Refused, if there is no room; Unavailable, TimedOut, Fenced.
    """
    placed = {one.name: await _placed(site, one) for one in wanted}
    if not site.free_bytes:
        return placed
    chosen = moves(_shards(wanted, placed), site.free_bytes)
    if chosen is None:
        raise _no_room(site, _shards(wanted, placed))
    for move in chosen:
        await site.still()
        await _move(site, move)
    moved = {move.collection for move in chosen}
    return placed | {one.name: await _placed(site, one) for one in wanted if one.name in moved}


async def _placed(site: RestoreTarget, wanted: TargetCollection) -> tuple[Replica, ...]:
    """Where Qdrant put the shards, once all replicas are Active and none is on its way."""

    async def active() -> tuple[Replica, ...] | None:
        placement = await site.peer.placement(wanted.name)
        ready = all(replica.state == ACTIVE for replica in placement.shards)
        there = {replica.shard_id for replica in placement.shards}
        whole = there == set(wanted.entry.shard_ids) and not placement.transfers
        return placement.shards if ready and whole else None

    found = await first_value(site.clock, active, _ACTIVE_S)
    if found is None:
        raise TimedOut(
            f"not all shards of the new collection {wanted.name!r} became Active",
            "look at the cluster's state: a peer may be down",
        )
    if not (await site.peer.cluster()).enabled:
        found = tuple(
            replace(one, peer_id=0) for one in found
        )  # without cluster mode the id is made up
    for replica in found:
        if PeerId(replica.peer_id) not in site.hosts:
            raise Unavailable(
                f"Qdrant placed a shard of {wanted.name!r} on peer {replica.peer_id},"
                " where no agent takes part",
                "start an agent beside it, or remove the peer if it is gone for good",
            )
    return found


def _shards(wanted: Sequence[TargetCollection], placed: Placements) -> list[PlacedShard]:
    return [
        PlacedShard(
            collection=one.name,
            shard_id=shard.shard_id,
            size_bytes=shard.size_bytes + wal_bytes(one.entry.info),
            peers=tuple(
                PeerId(replica.peer_id)
                for replica in placed[one.name]
                if replica.shard_id == shard.shard_id
            ),
        )
        for one in wanted
        for shard in one.shards
    ]


async def _move(site: RestoreTarget, move: ReplicaMove) -> None:
    """The replica, still empty, is at its new peer and nowhere else. Raises: TimedOut."""
    name, shard_id = move.collection, move.shard_id
    await site.peer.move_shard(
        name, shard_id, source=move.source, target=move.target, method=_METHOD
    )

    async def moved() -> bool | None:
        placement = await site.peer.placement(name)
        states = {r.peer_id: r.state for r in placement.shards if ShardId(r.shard_id) == shard_id}
        there = states.get(move.target) == ACTIVE and move.source not in states
        return True if there and not placement.transfers else None

    if await first_value(site.clock, moved, _ACTIVE_S) is None:
        raise TimedOut(
            f"empty shard {shard_id} of {name!r} did not move to {site.named(move.target)}",
            "look at the state of that peer",
        )


def _no_room(site: RestoreTarget, shards: Sequence[PlacedShard]) -> Refused:
    need = sum(shard.size_bytes * len(shard.peers) for shard in shards)
    free = ", ".join(
        f"{site.named(peer)}: {size}" for peer, size in sorted(site.free_bytes.items())
    )
    return Refused(
        f"the shards take {need} bytes in all, and cannot be spread over what is free ({free})",
        "make room, add peers, or restore fewer collections or replicas",
    )
