"""Counts of replicas by two hash rings: proof that every replica holds each point that it must.

A point lies in shard `old` by the ring of today and in shard `new` by that of tomorrow. While it is
in both, each replica of both must hold it, so all of them give the same count and sums for that
pair of shards. Sums are kept by bucket of ids. Clients may insert and delete meanwhile: a bucket is
proven by the first round in which all replicas agree about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cleancut.core.cluster.hash_ring import HashRing, PointId, hashes_of, shown_id
from cleancut.core.cluster.peer_names import peer_and_id
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import PeerId, ShardId

BUCKETS = 256
SAMPLE = 16
Pair = tuple[ShardId, ShardId]
"""The shard of a point by the old ring, and by the new one."""
_WORD = (1 << 64) - 1


class RingPart(Record, frozen=True):
    """The points of one pair in one replica. `sums`: of each bucket, the hashes of its ids, modulo
    2^64. `sample`: of points that move, the ids with the smallest hashes, each with the digest of
    its payload and vectors."""

    old: ShardId
    new: ShardId
    count: int
    sums: tuple[int, ...]
    sample: tuple[tuple[int | str, str], ...] = ()

    @property
    def pair(self) -> Pair:
        return self.old, self.new


class ReplicaCount(Record, frozen=True):
    """One replica. `strays`: points in it that lie in another shard by both rings."""

    shard_id: ShardId
    peer_id: PeerId
    parts: tuple[RingPart, ...]
    strays: int = 0

    def part(self, pair: Pair) -> RingPart | None:
        return next((one for one in self.parts if one.pair == pair), None)


class RingTally:
    """The counts of one replica while its ids are read, page by page."""

    def __init__(
        self, shard_id: ShardId, old: HashRing, new: HashRing, buckets: int = BUCKETS
    ) -> None:
        self._shard, self._old, self._new = shard_id, old, new
        self._buckets = buckets
        self._counts: dict[Pair, int] = {}
        self._sums: dict[Pair, list[int]] = {}
        self._smallest: dict[Pair, list[tuple[int, PointId]]] = {}
        self.strays = 0

    def add(self, ids: Sequence[PointId]) -> None:
        """Counted. Order: a page after the other; each id once."""
        hashes = hashes_of(ids)
        owners = zip(self._old.owners_of(hashes), self._new.owners_of(hashes), strict=True)
        moving: dict[Pair, list[tuple[int, PointId]]] = {}
        for point, hashed, (old, new) in zip(ids, hashes, owners, strict=True):
            if self._shard not in (old, new):
                self.strays += 1
                continue
            pair = ShardId(old), ShardId(new)
            sums = self._sums.get(pair)
            if sums is None:
                sums = self._sums[pair] = [0] * self._buckets
            at = hashed % self._buckets
            sums[at] = sums[at] + hashed & _WORD
            self._counts[pair] = self._counts.get(pair, 0) + 1
            if old != new:
                moving.setdefault(pair, []).append((hashed, point))
        for pair, found in moving.items():
            merged = sorted([*self._smallest.get(pair, []), *found], key=lambda one: one[0])
            self._smallest[pair] = merged[:SAMPLE]

    def sampled(self) -> dict[Pair, list[PointId]]:
        """Of the points that move, those with the smallest hashes: the same in each replica."""
        return {pair: [point for _, point in found] for pair, found in self._smallest.items()}

    def parts(self, digests: dict[int | str, str]) -> tuple[RingPart, ...]:
        """What was counted, with the digests of the sampled points that are still there."""
        return tuple(
            RingPart(
                old=old,
                new=new,
                count=self._counts[old, new],
                sums=tuple(sums),
                sample=tuple(
                    (shown, digests[shown])
                    for _, point in self._smallest.get((old, new), [])
                    if (shown := shown_id(point)) in digests
                ),
            )
            for (old, new), sums in sorted(self._sums.items())
        )


class RingProof:
    """What rounds of counting have proven so far. Order: each round has every replica once."""

    def __init__(self) -> None:
        self._proven: dict[Pair, set[int]] = {}
        self._equal: set[int | str] = set()
        self._differing: dict[int | str, Pair] = {}
        self._missing: dict[Pair, str] = {}

    def add(self, counts: Sequence[ReplicaCount], agents: Mapping[int, str]) -> None:
        """One round: what all replicas that must hold a point counted. `agents`: they name the
        peers."""
        pairs = {part.pair for one in counts for part in one.parts}
        self._missing = {}
        for pair in sorted(pairs):
            holders = [one for one in counts if one.shard_id in pair]
            parts = [one.part(pair) for one in holders]
            columns = zip(*(part.sums if part else _nothing(parts) for part in parts), strict=True)
            proven = self._proven.setdefault(pair, set())
            proven |= {at for at, sums in enumerate(columns) if len(set(sums)) == 1}
            if len(proven) < len(_nothing(parts)):
                self._missing[pair] = _words(pair, holders, agents)
            self._compare_samples(pair, [part for part in parts if part])

    def _compare_samples(self, pair: Pair, parts: Sequence[RingPart]) -> None:
        seen: dict[int | str, set[str]] = {}
        for part in parts:
            for point, digest in part.sample:
                seen.setdefault(point, set()).add(digest)
        for point, digests in seen.items():
            if len(digests) == 1:
                self._equal.add(point)
                self._differing.pop(point, None)
            elif point not in self._equal:
                self._differing[point] = pair

    @property
    def proven(self) -> int:
        """The number of buckets about which all replicas have agreed."""
        return sum(map(len, self._proven.values()))

    @property
    def open(self) -> tuple[str, ...]:
        """What is not proven yet, in words; empty: every replica holds what it must."""
        found = [words for _, words in sorted(self._missing.items())]
        for point, (old, new) in sorted(self._differing.items(), key=lambda one: str(one[0])):
            found.append(f"point {point!r} differs between replicas of shards {old} and {new}")
        return tuple(found)


def _nothing(parts: Iterable[RingPart | None]) -> tuple[int, ...]:
    return (0,) * max(len(part.sums) for part in parts if part)


def _words(pair: Pair, holders: Sequence[ReplicaCount], agents: Mapping[int, str]) -> str:
    old, new = pair
    what = f"points of shard {old}" + ("" if old == new else f" that move to shard {new}")
    counts = []
    for one in sorted(holders, key=lambda one: (one.shard_id, one.peer_id)):
        part = one.part(pair)
        count = part.count if part else 0
        counts.append(f"{count} in shard {one.shard_id} at {peer_and_id(one.peer_id, agents)}")
    return f"{what}: " + ", ".join(counts)
