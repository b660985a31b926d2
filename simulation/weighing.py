"""Sizes of shards, and how far each peer is, as one peer of the simulated Qdrant shows them."""

from __future__ import annotations

from cleancut.core.cluster.view import ACTIVE
from cleancut.core.primitives.ids import PeerId
from cleancut.qdrant.shard_sizes import WeighedCollection, WeighedReplica, WeighedShard, Weights
from simulation.qdrant import SimQdrant
from simulation.replica import Rings
from simulation.shards import Peer, Place


def weigh(qdrant: SimQdrant, peer_id: PeerId) -> Weights:
    """By this peer's view of the cluster; what a peer that is down holds is not known."""
    seen, peers = qdrant.seen_by(peer_id), qdrant.peers.values()
    return Weights(
        peers={int(peer.id): peer.up for peer in peers},
        collections={
            name: _weighed(qdrant, name, seen.rings_of(name))
            for name, found in seen.collections.items()
            if qdrant.collections.get(name) is found
        },
        commits={int(peer.id): peer.view for peer in peers if peer.up},
    )


def _weighed(qdrant: SimQdrant, name: str, rings: Rings) -> WeighedCollection:
    peers = qdrant.peers.values()
    shards = tuple(
        WeighedShard(
            shard,
            None,
            tuple(
                _replica(peer, (name, shard)) for peer in peers if (name, shard) in peer.replicas
            ),
        )
        for shard in range(rings.shards)
    )
    transfers = sum(place[0] == name for place in qdrant.moves)
    return WeighedCollection(shards, transfers, resharding=rings.resharding is not None)


def _replica(peer: Peer, place: Place) -> WeighedReplica:
    replica, state = peer.replicas[place], peer.replicas[place].state or ACTIVE
    if not peer.up:
        return WeighedReplica(int(peer.id), state, None, None)
    return WeighedReplica(int(peer.id), state, 1000 * (place[1] + 1), replica.content)
