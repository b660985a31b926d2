"""The planner of a rebalance over thousands of clusters, each step applied to a model of Qdrant.

Hypothesis looks for the odd ones; `test_thousands` takes many larger ones by their seeds.

Invariants, for every cluster that has no blocker:
- a step names what is there: its source has the replica, its target has not, and both are peers;
- two replicas of one shard never lie on one peer, and no step takes a shard's last replica, nor
  makes it have fewer than the lesser of what it had and what it wants;
- no target is filled above what was free on it, in whatever order one wave's steps end;
- in the end each shard has as many replicas as it wants, or as there are peers; surplus ones are
  gone if they are to be dropped, and else all are there;
- in the end peers hold equally many replicas of each collection, and in all, give or take one;
- no peer's bytes are higher than before only for the sake of bytes: the fullest peer never gets
  fuller when numbers and replicas were right;
- a plan for what was planned has no steps; the same cluster gives the same plan;
- nothing moves without need: with one collection of equal shards as few as are possible;
- any number of steps with --max-moves leaves a valid cluster.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut.core.cluster.layout import Layout, LayoutCollection, LayoutPeer
from cleancut.core.cluster.view import ACTIVE, ReplicaView
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.rebalance.plan import BalancePlan, Step, make_balance

SIZES = st.one_of(st.just(100), st.integers(0, 1000))
Shard = tuple[str, ShardId]


@dataclass
class Qdrant:
    """Which peers hold which shards, as far as the planner's rules go."""

    wanted: dict[str, int]
    sizes: dict[Shard, int]
    holders: dict[Shard, set[PeerId]]
    free: dict[PeerId, int | None]
    drop: bool = True
    goal: dict[Shard, int] = field(default_factory=dict)
    floor: dict[Shard, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for shard, holders in self.holders.items():
            factor = min(self.wanted[shard[0]], len(self.free))
            self.goal[shard] = factor if self.drop else max(factor, len(holders))
            self.floor[shard] = min(len(holders), self.goal[shard])

    def plan(self, moves: int = 0) -> BalancePlan:
        return make_balance(self.layout(), moves, drop_surplus=self.drop)

    def layout(self) -> Layout:
        names = sorted(self.wanted)
        return Layout(
            peers=tuple(LayoutPeer(peer_id=p, free_bytes=f) for p, f in sorted(self.free.items())),
            collections=tuple(self._collection(name) for name in names),
        )

    def _collection(self, name: str) -> LayoutCollection:
        mine = {number: self.holders[n, number] for n, number in self.holders if n == name}
        return LayoutCollection(
            name=name,
            factor=self.wanted[name],
            replicas=tuple(
                ReplicaView(shard_id=number, peer_id=peer, state=ACTIVE)
                for number, holders in sorted(mine.items())
                for peer in sorted(holders)
            ),
            sizes=tuple((number, self.sizes[name, number]) for number in sorted(mine)),
            shard_number=len(mine),
        )

    def _credit(self, peer: PeerId, size: int) -> None:
        free = self.free[peer]
        self.free[peer] = None if free is None else free + size

    def apply(self, step: Step) -> None:
        """Refuses what Qdrant, or the disk, would not do."""
        holders, size = self.holders[step.shard], self.sizes[step.shard]
        assert step.source in holders
        assert step.size_bytes == size
        if step.target is not None:
            assert step.target in self.free
            assert step.target not in holders
            free = self.free[step.target]
            assert free is None or free >= size, f"{step} does not fit"
            self._credit(step.target, -size)
            holders.add(step.target)
        if step.action != "replicate":
            assert len(holders) > 1, f"{step} takes the last replica"
            holders.remove(step.source)
            self._credit(step.source, size)
        assert (step.action == "drop") == (step.target is None)
        assert len(holders) >= self.floor[step.shard], f"{step} takes away redundancy"

    def numbers(self, name: str | None = None) -> list[int]:
        return [
            sum(p in h for (n, _), h in self.holders.items() if name in (None, n))
            for p in self.free
        ]

    def fullest(self) -> int:
        return max(
            sum(self.sizes[shard] for shard, holders in self.holders.items() if p in holders)
            for p in self.free
        )


@st.composite
def clusters(draw: st.DrawFn, *, tight: bool = False, equal: bool = False) -> Qdrant:
    peers = [PeerId(100 + n) for n in range(draw(st.integers(1, 6)))]
    wanted: dict[str, int] = {}
    sizes: dict[Shard, int] = {}
    holders: dict[Shard, set[PeerId]] = {}
    for name in ["only"] if equal else draw(st.sampled_from([["a"], ["a", "b"], ["a", "b", "c"]])):
        wanted[name] = 1 if equal else draw(st.integers(1, 4))
        for number in range(draw(st.integers(1, 8))):
            sizes[name, ShardId(number)] = 100 if equal else draw(SIZES)
            chosen = st.sets(st.sampled_from(peers), min_size=1, max_size=1 if equal else 4)
            holders[name, ShardId(number)] = draw(chosen)
    free = {p: draw(st.one_of(st.none(), st.integers(0, 1500))) if tight else None for p in peers}
    return Qdrant(wanted, sizes, holders, free, draw(st.booleans()))


def check_plan(cluster: Qdrant, *, reverse: bool = False, moves: int = 0) -> tuple[Step, ...]:
    """Applies the plan step by step."""
    plan = cluster.plan(moves)
    assert plan == cluster.plan(moves)
    assert plan.blockers == ()
    waves = [step.wave for step in plan.steps]
    assert waves == sorted(waves)
    for wave in sorted(set(waves)):
        mine = [step for step in plan.steps if step.wave == wave]
        for step in sorted(mine, key=lambda s: s.shard, reverse=True) if reverse else mine:
            cluster.apply(step)
    assert [load.shards_after for load in plan.peers] == [
        cluster.numbers()[list(cluster.free).index(load.peer_id)] for load in plan.peers
    ]
    return plan.steps


def check_with_room(cluster: Qdrant) -> None:
    """Everything that there is to reach is reached."""
    before_even = all(
        max(cluster.numbers(n)) - min(cluster.numbers(n)) <= 1 for n in [None, *cluster.wanted]
    )
    complete = all(len(h) == cluster.goal[shard] for shard, h in cluster.holders.items())
    fullest = cluster.fullest()
    steps = check_plan(cluster)
    for shard, holders in cluster.holders.items():
        assert len(holders) == cluster.goal[shard]
    for name in [None, *cluster.wanted]:
        assert max(cluster.numbers(name)) - min(cluster.numbers(name)) <= 1
    if before_even and complete and steps:
        assert cluster.fullest() <= fullest * 0.9
    assert cluster.plan().steps == ()


@settings(max_examples=100)
@given(clusters())
def test_with_room_everything_is_reached(cluster: Qdrant) -> None:
    check_with_room(cluster)


def random_cluster(seed: int, *, tight: bool) -> Qdrant:
    rng = random.Random(seed)
    peers = [PeerId(100 + n) for n in range(rng.randint(1, 9))]
    wanted = {name: rng.randint(1, 3) for name in "abcde"[: rng.randint(1, 5)]}
    shards = [(n, ShardId(i)) for n in wanted for i in range(rng.randint(1, 10))]
    used = peers[: rng.randint(1, len(peers))]  # the others have just joined
    holders = {shard: set(rng.sample(used, min(len(used), rng.randint(1, 3)))) for shard in shards}
    sizes = {shard: rng.choice([0, 100, rng.randint(0, 1000)]) for shard in shards}
    free = {p: rng.choice([None, rng.randint(0, 2000)]) if tight else None for p in peers}
    return Qdrant(wanted, sizes, holders, free, rng.random() < 0.5)


@pytest.mark.parametrize("tight", [False, True])
def test_thousands(tight: bool) -> None:
    for seed in range(400):
        cluster = random_cluster(seed, tight=tight)
        if tight:
            check_plan(cluster, reverse=bool(seed % 2))
            assert cluster.plan().steps == ()
        else:
            check_with_room(cluster)


@settings(max_examples=100)
@given(clusters(tight=True), st.booleans())
def test_with_little_room_nothing_overflows(cluster: Qdrant, reverse: bool) -> None:
    check_plan(cluster, reverse=reverse)
    for shard, holders in cluster.holders.items():
        assert len(holders) <= cluster.goal[shard]
    assert cluster.plan().steps == ()


@settings(max_examples=100)
@given(clusters(equal=True))
def test_no_more_moves_than_it_takes(cluster: Qdrant) -> None:
    numbers, peers = cluster.numbers(), len(cluster.free)
    low, high = sum(numbers) // peers, math.ceil(sum(numbers) / peers)
    least = max(
        sum(max(0, number - high) for number in numbers),
        sum(max(0, low - number) for number in numbers),
    )
    assert len(check_plan(cluster)) == least


@settings(max_examples=100)
@given(clusters(tight=True), st.integers(1, 5))
def test_a_part_of_a_plan_leaves_a_valid_cluster(cluster: Qdrant, moves: int) -> None:
    steps = check_plan(cluster, moves=moves)
    assert sum(step.target is not None for step in steps) <= moves
    assert all(cluster.holders.values())
