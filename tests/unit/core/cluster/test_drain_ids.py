"""Ids of a drain: every shard of every key gets one."""

from __future__ import annotations

import uuid

import pytest

from cleancut.core.cluster.drain_ids import ShardKeys, drain_ids
from cleancut.core.cluster.hash_ring import HashRing


@pytest.mark.parametrize(
    ("shard_ids", "shard_keys"),
    [
        ((0,), ()),
        (tuple(range(40)), ()),
        ((1, 2, 3, 7), (("a", (1, 2)), (7, (3,)), ("late", (7,)))),
        ((), ()),
        ((2,), (("empty", ()), ("one", (2,)))),
    ],
)
def test_each_shard_gets_an_id(shard_ids: tuple[int, ...], shard_keys: ShardKeys) -> None:
    ids = [uuid.UUID(one) for one in drain_ids(shard_ids, shard_keys)]
    rings = [keyed for _, keyed in shard_keys if keyed] or ([shard_ids] if shard_ids else [])
    reached = {shard for ring in rings for shard in HashRing(ring).shards_of(ids)}
    assert reached == set(shard_ids)
    assert len(ids) <= len(shard_ids)
    assert len(set(ids)) == len(ids)


def test_they_are_drawn_once() -> None:
    assert drain_ids((0, 1), ()) is drain_ids([0, 1], [])
