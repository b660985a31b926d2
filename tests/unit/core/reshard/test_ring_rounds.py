"""Rounds of counting: writers spoil some, a lost point spoils all."""

from __future__ import annotations

import random

from cleancut.core.cluster.hash_ring import HashRing
from cleancut.core.cluster.ring_counts import BUCKETS, ReplicaCount, RingTally
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.reshard.ring_rounds import MAX_BUCKETS, RingRounds

AGENTS = {1: "qdrant-0"}
OLD, NEW = HashRing([0]), HashRing([0, 1])
MOVING = [one for one in range(4000) if NEW.shards_of([one]) == [1]]


def counts(old: list[int], new: list[int], buckets: int) -> list[ReplicaCount]:
    """Shard 0 as it was, and shard 1 with what has come to it."""
    found = []
    for shard, ids in enumerate((old, new)):
        tally = RingTally(ShardId(shard), OLD, NEW, buckets)
        tally.add(ids)
        found.append(
            ReplicaCount(
                shard_id=ShardId(shard), peer_id=PeerId(1), parts=tally.parts({}), strays=0
            )
        )
    return found


def test_one_round_is_enough_at_rest() -> None:
    rounds = RingRounds()
    assert rounds.lacking
    rounds.add(counts(list(range(4000)), MOVING, rounds.buckets), {}, 0.0)
    assert rounds.lacking == ()
    assert rounds.points == len(MOVING)
    assert not rounds.hopeless(1e9)


def test_many_new_points_are_looked_at_closer_until_all_is_proven() -> None:
    """Each round misses a thousand points that have just come: with few buckets nearly every one is
    spoiled each time."""
    source, rounds = random.Random(1), RingRounds()
    for at in range(40):
        fresh = [source.getrandbits(50) | 1 << 52 for _ in range(2000)]
        rounds.add(counts([*range(4000), *fresh], MOVING, rounds.buckets), AGENTS, float(at))
        if not rounds.lacking:
            break
        assert not rounds.hopeless(float(at))
    assert rounds.lacking == ()
    assert BUCKETS < rounds.buckets <= MAX_BUCKETS


def test_a_lost_point_ends_it_however_often_it_is_counted() -> None:
    rounds, at = RingRounds(), 0
    while not rounds.hopeless(float(at)):
        rounds.add(counts(list(range(4000)), MOVING[1:], rounds.buckets), AGENTS, float(at))
        assert len(rounds.lacking) == 1
        at += 1
    assert at < 40
    assert rounds.lacking[0].startswith("points of shard 0 that move to shard 1")
