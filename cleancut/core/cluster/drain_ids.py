"""Ids of no point, of which each shard of a collection gets at least one: what a drain deletes.

A delete by ids goes to the shards that the ids belong to, and is queued there like any other write;
a delete by a filter goes to all shards by itself, but Qdrant 1.19 first works off the queue for it
and holds back all other writes meanwhile.
Source: lib/collection/src/shards/local_shard/shard_ops.rs, Qdrant 1.19.0 (filter_resolving)
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import lru_cache

from cleancut.core.cluster.hash_ring import HashRing

_DRAWN = 64
_RINGS = 4096

ShardKeys = Sequence[tuple[str | int, Sequence[int]]]
"""The shards of each custom sharding key; empty for a collection without such keys."""


def drain_ids(shard_ids: Sequence[int], shard_keys: ShardKeys) -> tuple[str, ...]:
    """Random UUIDs, drawn once for the same shards; () if there is no shard."""
    rings = tuple(tuple(ids) for _, ids in shard_keys) or (tuple(shard_ids),)
    return _drawn(tuple(ring for ring in rings if ring))


@lru_cache(_RINGS)
def _drawn(rings: tuple[tuple[int, ...], ...]) -> tuple[str, ...]:
    missing = {shard for ring in rings for shard in ring}
    hash_rings = [HashRing(ring) for ring in rings]
    chosen: list[str] = []
    while missing:
        drawn = [uuid.uuid4() for _ in range(_DRAWN)]
        owners = zip(*(ring.shards_of(drawn) for ring in hash_rings), strict=True)
        for one, shards in zip(drawn, owners, strict=True):
            if missing.intersection(shards):
                missing.difference_update(shards)
                chosen.append(str(one))
    return tuple(chosen)
