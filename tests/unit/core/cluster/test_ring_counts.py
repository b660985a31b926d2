"""Proof by two rings: a point that one replica lacks is found, whatever clients do meanwhile."""

from __future__ import annotations

import random
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut.core.cluster.hash_ring import HashRing, PointId
from cleancut.core.cluster.ring_counts import ReplicaCount, RingProof, RingTally
from cleancut.core.primitives.ids import PeerId, ShardId

IDS = st.one_of(st.integers(0, 2**64 - 1), st.uuids())
OLD, NEW = HashRing(range(2)), HashRing(range(3))
UP, DOWN = (OLD, NEW), (NEW, OLD)
AGENTS = {1: "qdrant-0"}
NAMED = {1: "qdrant-0 (peer 1)", 2: "peer 2"}
Rings = tuple[HashRing, HashRing]
Replicas = dict[tuple[int, int], set[PointId]]


def filled(points: set[PointId], rings: Rings) -> Replicas:
    """Each shard at two peers, with all that it must hold before the read ring's commit."""
    replicas: Replicas = {(shard, peer): set() for shard in range(3) for peer in (1, 2)}
    for point in points:
        for ring in rings:
            (owner,) = ring.shards_of([point])
            for peer in (1, 2):
                replicas[owner, peer].add(point)
    return replicas


def counted(
    replicas: Replicas, rings: Rings, changed: frozenset[PointId] = frozenset()
) -> list[ReplicaCount]:
    """`changed`: points whose payload differs at peer 2."""
    counts = []
    for (shard, peer), points in replicas.items():
        tally = RingTally(ShardId(shard), *rings)
        ordered = sorted(points, key=str)
        for start in range(0, len(ordered), 7):
            tally.add(ordered[start : start + 7])
        digests = {
            (point if isinstance(point, int) else str(point)): (
                "other" if point in changed and peer == 2 else "same"
            )
            for point in points
        }
        counts.append(
            ReplicaCount(
                shard_id=ShardId(shard),
                peer_id=PeerId(peer),
                parts=tally.parts(digests),
                strays=tally.strays,
            )
        )
    return counts


@settings(max_examples=30)
@given(st.sets(IDS, max_size=60), st.sampled_from([UP, DOWN]), st.randoms())
def test_a_point_that_one_replica_lacks_is_found(
    points: set[PointId], rings: Rings, source: random.Random
) -> None:
    replicas = filled(points, rings)
    proof = RingProof()
    proof.add(counted(replicas, rings), AGENTS)
    assert proof.open == ()
    held = sorted(place for place, inside in replicas.items() if inside)
    if not held:
        return
    place = source.choice(held)
    replicas[place].remove(source.choice(sorted(replicas[place], key=str)))
    proof = RingProof()
    proof.add(counted(replicas, rings), AGENTS)
    (words,) = proof.open
    assert f"shard {place[0]} at {NAMED[place[1]]}" in words


@pytest.mark.parametrize("rings", [UP, DOWN], ids=["up", "down"])
def test_points_that_come_and_go_do_not_hold_it_up(rings: Rings) -> None:
    """Each round misses other new points at peer 2; what was there before is proven."""
    source = random.Random(1)
    points: set[PointId] = {*range(3000), *(uuid.UUID(int=at << 64 | 7) for at in range(3000))}
    proof = RingProof()
    rounds = 0
    while rounds < 15:
        rounds += 1
        late: set[PointId] = {source.getrandbits(60) | 1 << 61 for _ in range(200)}
        replicas = filled(points | late, rings)
        for place, inside in replicas.items():
            if place[1] == 2:
                inside -= late
        proof.add(counted(replicas, rings), AGENTS)
        if not proof.open:
            break
        points |= late
    assert not proof.open
    assert rounds > 1


def test_what_is_lost_is_never_proven() -> None:
    """The trap on the way down: one replica of a target got no stream."""
    points: set[PointId] = set(range(500))
    replicas = filled(points, DOWN)
    moved = {point for point in points if NEW.shards_of([point]) == [2]}
    replicas[0, 2] -= moved
    proof = RingProof()
    for _ in range(10):
        proof.add(counted(replicas, DOWN), AGENTS)
    (words,) = proof.open
    assert words.startswith("points of shard 2 that move to shard 0: ")
    gone = len(moved & replicas[0, 1])
    assert (
        f": {gone} in shard 0 at qdrant-0 (peer 1), 0 in shard 0 at peer 2, {gone} in shard 2"
        in words
    )


def test_a_payload_that_differs_is_found_in_the_sample() -> None:
    points: set[PointId] = set(range(40))
    replicas = filled(points, UP)
    proof = RingProof()
    proof.add(counted(replicas, UP, frozenset(points)), AGENTS)
    assert proof.open
    assert all("differs between replicas of shards" in words for words in proof.open)
    proof.add(counted(replicas, UP), AGENTS)
    assert proof.open == (), "a client had just changed it"


def test_points_that_belong_elsewhere_are_counted_apart() -> None:
    tally = RingTally(ShardId(0), OLD, NEW)
    tally.add(list(range(100)))
    kept = sum(part.count for part in tally.parts({}))
    assert (kept, tally.strays) == (
        OLD.shards_of(range(100)).count(0),
        OLD.shards_of(range(100)).count(1),
    )
