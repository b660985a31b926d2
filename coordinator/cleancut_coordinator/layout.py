"""The cluster as the planner of a rebalance needs it: replicas, sizes, wishes. Reads only."""

from __future__ import annotations

from functools import partial
from typing import Any

from cleancut.core.cluster.layout import Layout, LayoutCollection, LayoutPeer
from cleancut.core.cluster.view import ReplicaView
from cleancut.core.primitives.errors import CleancutError, Refused
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.protocol.etcd_records import Session
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.responses import CollectionTelemetry
from cleancut.qdrant.shard_sizes import WeighedCollection, WeighedShard
from cleancut.runtime.concurrency import run_all
from cleancut_coordinator.any_peer import ask_any, check_peers
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_sessions

_AT_ONCE = 8


async def read_layout(context: CoordinatorContext) -> Layout:
    """The answer of any one peer, and which peers have an agent.

    Raises: Refused, if there is no cluster, or a URL reaches several peers; Unavailable.
    """
    await check_peers(context.peers)
    cluster = await ask_any(context.peers, lambda peer: peer.cluster())
    if not cluster.enabled:
        raise Refused(
            "Qdrant does not run in cluster mode", "run it in cluster mode, and add peers"
        )
    telemetry = await ask_any(context.peers, lambda peer: peer.telemetry())
    weights = await ask_any(context.peers, lambda peer: peer.weights())
    beside = {one.peer_id: one for one in (await read_sessions(context)).values()}
    return Layout(
        peers=tuple(
            _peer(PeerId(peer), beside.get(PeerId(peer)), answers=answers)
            for peer, answers in sorted(weights.peers.items())
        ),
        collections=tuple(
            _collection(name, entry, telemetry.collections.get(name))
            for name, entry in sorted(weights.collections.items())
        ),
    )


async def read_allowed(context: CoordinatorContext) -> dict[PeerId, bool | None]:
    """Whether the configuration of each peer that answers allows resharding; None: it does not
    say."""
    calls = [partial(_allows, peer) for peer in context.peers]
    return dict(found for found in await run_all(calls, _AT_ONCE) if found)


async def _allows(peer: Qdrant) -> tuple[PeerId, bool | None] | None:
    try:
        told = await peer.telemetry()
    except CleancutError:
        return None
    return PeerId(told.peer_id), told.resharding_enabled


def _peer(peer_id: PeerId, session: Session | None, *, answers: bool) -> LayoutPeer:
    free = session.free_bytes if session is not None else -1
    return LayoutPeer(
        peer_id=peer_id,
        free_bytes=free if free >= 0 else None,
        answers=answers,
        counted=session is not None,
        agent="" if session is None else session.name,
    )


def _collection(
    name: str, entry: WeighedCollection, told: CollectionTelemetry | None
) -> LayoutCollection:
    params: dict[str, Any] = (told.config.get("params") if told else None) or {}
    custom = params.get("sharding_method") == "custom"
    return LayoutCollection(
        name=name,
        factor=int(params.get("replication_factor") or 1),
        replicas=tuple(
            ReplicaView(
                shard_id=ShardId(shard.shard_id),
                peer_id=PeerId(replica.peer_id),
                state=replica.state,
                shard_key=shard.shard_key,
            )
            for shard in entry.shards
            for replica in shard.replicas
        ),
        sizes=tuple((ShardId(shard.shard_id), _size(shard)) for shard in entry.shards),
        shard_number=None if custom else int(params.get("shard_number") or 0),
        transfers=entry.transfers,
        resharding=entry.resharding,
        uuid=(told.uuid if told else None) or "",
    )


def _size(shard: WeighedShard) -> int:
    return max((replica.size_bytes or 0 for replica in shard.replicas), default=0)
