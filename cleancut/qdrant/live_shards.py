"""Live shards of one collection, from a peer's placement and telemetry. No I/O."""

from __future__ import annotations

from cleancut.core.cluster.live_shards import LiveShards
from cleancut.core.cluster.view import ReplicaView, TransferView
from cleancut.core.primitives.ids import WITHOUT_CLUSTER, PeerId, ShardId
from cleancut.qdrant.responses import CollectionTelemetry, Placement, Transfer


def live_shards(
    name: str, entry: CollectionTelemetry, placement: Placement, *, alone: bool = False
) -> LiveShards:
    """`alone`: a single Qdrant gives its replicas a peer id of chance; to us it is peer 0."""
    params = entry.config.get("params") or {}
    return LiveShards(
        name=name,
        uuid=entry.uuid or "",
        shard_number=int(params.get("shard_number") or 1),
        replication_factor=int(params.get("replication_factor") or 1),
        custom=params.get("sharding_method") == "custom",
        replicas=tuple(
            ReplicaView(
                shard_id=ShardId(one.shard_id),
                peer_id=WITHOUT_CLUSTER if alone else PeerId(one.peer_id),
                state=one.state,
                shard_key=one.shard_key,
            )
            for one in placement.shards
        ),
        transfers=tuple(transfer_view(one) for one in placement.transfers),
        known=tuple(ShardId(shard) for shard in sorted(entry.shards)),
        resharding=placement.resharding,
    )


def transfer_view(one: Transfer) -> TransferView:
    return TransferView(
        shard_id=ShardId(one.shard_id),
        source=PeerId(one.source),
        target=PeerId(one.target),
        target_shard=None if one.target_shard is None else ShardId(one.target_shard),
    )
