"""Strays: points of a replica that lie in another shard by the ring."""

from __future__ import annotations

from collections.abc import Iterable

from cleancut.core.cluster.hash_ring import HashRing
from cleancut_devcluster.peer.engine.queries import run
from cleancut_devcluster.peer.engine.shard import LocalShard
from cleancut_devcluster.peer.engine.updates import parse_id

_ALL = 1 << 30


async def delete_strays(shard: LocalShard, shard_id: int, ring: Iterable[int]) -> None:
    """They are deleted in this very replica."""
    body = {"limit": _ALL, "with_payload": False}
    ids = [point["id"] for point in run(await shard.engine(), "scroll", body)]
    owners = HashRing(ring).shards_of([parse_id(one) for one in ids])
    strays = [one for one, owner in zip(ids, owners, strict=True) if owner != shard_id]
    await shard.apply({"kind": "delete", "ids": strays})
