"""Empty replicas move only where they must, and end where there is room."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.restore.placement import PlacedShard, ReplicaMove, moves

Free = dict[PeerId, int]
World = tuple[list[PlacedShard], Free]


@st.composite
def worlds(draw: st.DrawFn, peers_max: int = 4, shards_max: int = 5) -> World:
    peers = [PeerId(number) for number in range(1, draw(st.integers(1, peers_max)) + 1)]
    shards = []
    for number in range(draw(st.integers(0, shards_max))):
        replicas = draw(st.integers(1, min(2, len(peers))))
        shards.append(
            PlacedShard(
                collection=draw(st.sampled_from(["a", "b"])),
                shard_id=ShardId(number),
                size_bytes=draw(st.integers(0, 5)),
                peers=tuple(draw(st.permutations(peers))[:replicas]),
            )
        )
    return shards, {peer: draw(st.integers(0, 9)) for peer in peers}


def _after(shards: list[PlacedShard], made: tuple[ReplicaMove, ...]) -> list[PlacedShard]:
    """Each move in its turn; it must be one that Qdrant takes."""
    now = {(s.collection, s.shard_id): set(s.peers) for s in shards}
    for move in made:
        held = now[move.collection, move.shard_id]
        assert move.source in held
        assert move.target not in held, "two replicas of a shard on one peer"
        held.remove(move.source)
        held.add(move.target)
    return [
        PlacedShard(
            collection=s.collection,
            shard_id=s.shard_id,
            size_bytes=s.size_bytes,
            peers=tuple(sorted(now[s.collection, s.shard_id])),
        )
        for s in shards
    ]


def _fits(shards: list[PlacedShard], free: Free) -> bool:
    room = dict(free)
    for shard in shards:
        for peer in shard.peers:
            room[peer] -= shard.size_bytes
    return all(left >= 0 for left in room.values())


def _fewest(shards: list[PlacedShard], free: Free) -> int | None:
    """By looking at every arrangement."""

    def best(index: int, room: Free) -> int | None:
        if index == len(shards):
            return 0
        shard, counts = shards[index], []
        for peers in combinations(sorted(free), len(shard.peers)):
            left = {peer: size - shard.size_bytes * (peer in peers) for peer, size in room.items()}
            if min(left.values()) >= 0 and (rest := best(index + 1, left)) is not None:
                counts.append(rest + len(set(peers) - set(shard.peers)))
        return min(counts, default=None)

    return best(0, free)


@settings(max_examples=300)
@given(worlds())
def test_the_fewest_moves_make_everything_fit(world: World) -> None:
    """None only if no arrangement fits; otherwise all fits, with as few moves as any arrangement
    needs, none of which puts two replicas of a shard on a peer."""
    shards, free = world
    made = moves(shards, free)
    fewest = _fewest(shards, free)
    if made is None:
        assert fewest is None
    else:
        assert _fits(_after(shards, made), free)
        assert len(made) == fewest


@settings(max_examples=100)
@given(worlds(peers_max=12, shards_max=40))
def test_what_it_says_of_large_clusters_holds(world: World) -> None:
    """However large: the moves that it gives make everything fit; none, if all fits already."""
    shards, free = world
    made = moves(shards, free)
    if made is not None:
        assert _fits(_after(shards, made), free)
        assert bool(made) != _fits(shards, free)


def test_a_full_peer_gives_one_shard_to_an_empty_one() -> None:
    one, two = PeerId(1), PeerId(2)
    shards = [
        PlacedShard(collection="a", shard_id=ShardId(n), size_bytes=4, peers=(one,))
        for n in range(3)
    ]
    (move,) = moves(shards, {one: 8, two: 5}) or ()
    assert (move.source, move.target) == (one, two)
    assert moves(shards, {one: 8, two: 3}) is None
    assert moves(shards, {one: 12, two: 0}) == ()
