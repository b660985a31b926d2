"""Counts of the local peer's replicas by two hash rings, before reads go by the new one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cleancut.core.cluster.hash_ring import HashRing, point_id, shown_id
from cleancut.core.cluster.ring_counts import BUCKETS, ReplicaCount, RingTally
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.qdrant.client import Qdrant


async def count_by_rings(
    qdrant: Qdrant,
    replica: tuple[str, ShardId, PeerId],
    old: HashRing,
    new: HashRing,
    *,
    buckets: int = BUCKETS,
) -> ReplicaCount:
    """All points of one replica at this peer, by pairs of shards. Shape: `replica` is a collection,
    a shard and this peer's id; the rings are those of the shard's key.

    Limits: memory for a page of ids, and a sample; nothing is held back meanwhile.
    Raises: Corrupt, for an id that is neither number nor UUID; as `Qdrant`.
    """
    name, shard_id, peer_id = replica
    tally = RingTally(shard_id, old, new, buckets)
    async for page in qdrant.ids_of_shard(name, shard_id):
        try:
            tally.add([point_id(one) for one in page])
        except ValueError as error:
            raise Corrupt(f"shard {shard_id} of {name!r} has an unknown id: {error}") from error
    sampled = [shown_id(point) for points in tally.sampled().values() for point in points]
    digests = await digests_of(qdrant, name, shard_id, sampled)
    return ReplicaCount(
        shard_id=shard_id, peer_id=peer_id, parts=tally.parts(digests), strays=tally.strays
    )


async def digests_of(
    qdrant: Qdrant, name: str, shard_id: ShardId, ids: Sequence[int | str]
) -> dict[int | str, str]:
    """The sha256 of payload and vectors of those of `ids` that the replica here has."""
    if not ids:
        return {}
    points = await qdrant.points_of_shard(name, shard_id, ids)
    return {
        point["id"]: hashlib.sha256(
            encode([point.get("payload") or {}, point.get("vector")])
        ).hexdigest()
        for point in points
    }
