"""Solver that spreads replicas over peers: one arrangement, changed in place to a fixed point.

Every change gains something that no later one takes back: the replication factor first, then even
numbers of shards, then even bytes. So arranging an arranged state changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from cleancut.core.primitives.ids import PeerId, ShardId

Shard = tuple[str, ShardId]
"""A collection's name and a shard of it."""
NOTICEABLE = 0.1
"""Bytes are evened out only if that lowers the fullest peer's by more than this part."""
_GAIN = 0.01
_EXCHANGES = 10_000


@dataclass(frozen=True, slots=True)
class ShardDemand:
    """A shard with its size, where it is, and how many replicas it is to have."""

    size_bytes: int
    replicas: int
    holders: frozenset[PeerId]


class Spread:
    """`room`: bytes that each peer can still take; a replica that leaves a peer frees no room
    before `commit`, so the changes up to there may be carried out in any order."""

    def __init__(self, shards: Mapping[Shard, ShardDemand], room: Mapping[PeerId, float]) -> None:
        self.peers = tuple(sorted(room))
        self.shards = dict(sorted(shards.items()))
        self.names = sorted({name for name, _ in shards})
        self.before = {shard: wanted.holders for shard, wanted in self.shards.items()}
        self.holders = {shard: set(wanted.holders) for shard, wanted in self.shards.items()}
        self.room = dict(room)
        self._count()

    def _count(self) -> None:
        self.bytes = dict.fromkeys(self.peers, 0)
        self.total = dict.fromkeys(self.peers, 0)
        self.number = {(name, peer): 0 for name in self.names for peer in self.peers}
        self._taken = dict.fromkeys(self.peers, 0)
        for shard, holders in self.holders.items():
            for peer in holders:
                self._tally(shard, peer, 1)

    def _tally(self, shard: Shard, peer: PeerId, sign: int) -> None:
        size = self._size(shard)
        self.bytes[peer] += sign * size
        self.total[peer] += sign
        self.number[shard[0], peer] += sign
        if peer not in self.before[shard]:
            self._taken[peer] += sign * size

    def _size(self, shard: Shard) -> int:
        return self.shards[shard].size_bytes

    def _add(self, shard: Shard, peer: PeerId) -> None:
        self.holders[shard].add(peer)
        self._tally(shard, peer, 1)

    def _remove(self, shard: Shard, peer: PeerId) -> None:
        self.holders[shard].remove(peer)
        self._tally(shard, peer, -1)

    def _move(self, shard: Shard, source: PeerId, target: PeerId) -> None:
        self._remove(shard, source)
        self._add(shard, target)

    def fits(self, shard: Shard, peer: PeerId) -> bool:
        """True if the peer has no replica of the shard, and room for one."""
        if peer in self.holders[shard]:
            return False
        returns = peer in self.before[shard]
        return returns or self._taken[peer] + self._size(shard) <= self.room[peer]

    def arrange(self) -> None:
        """Changes the state until no single change gains anything."""
        self._replicate()
        for name in self.names:
            self._level(self._number_of(name), self._of(name))
        self._level(lambda peer: self.total[peer], self._spare)
        self._even_bytes()

    def commit(self) -> None:
        """Makes the arranged state the present one."""
        for peer in self.peers:
            went = sum(
                self._size(shard)
                for shard, before in self.before.items()
                if peer in before and peer not in self.holders[shard]
            )
            self.room[peer] += went - self._taken[peer]
        self.before = {shard: frozenset(holders) for shard, holders in self.holders.items()}
        self._count()

    # The replication factor

    def _replicate(self) -> None:
        for shard, wanted in self.shards.items():
            holders = self.holders[shard]
            while len(holders) > wanted.replicas:
                self._remove(shard, max(holders, key=self._fullness(shard)))
        for shard, wanted in self.shards.items():
            while len(self.holders[shard]) < wanted.replicas:
                able = [peer for peer in self.peers if self.fits(shard, peer)]
                if not able:
                    break
                self._add(shard, min(able, key=self._fullness(shard)))

    def _fullness(self, shard: Shard) -> Callable[[PeerId], tuple[int, int, int, int]]:
        name = shard[0]
        return lambda peer: (self.number[name, peer], self.total[peer], self.bytes[peer], peer)

    # Even numbers

    def _level(
        self,
        load: Callable[[PeerId], int],
        movable: Callable[[PeerId, PeerId], Iterable[Shard]],
    ) -> None:
        """Moves from the fullest to the emptiest until they differ by one, or nothing fits."""
        while self._level_once(load, movable):
            pass

    def _level_once(
        self,
        load: Callable[[PeerId], int],
        movable: Callable[[PeerId, PeerId], Iterable[Shard]],
    ) -> bool:
        order = sorted(self.peers, key=lambda p: (load(p), self.total[p], self.bytes[p], p))
        for source in reversed(order):
            for target in order:
                if load(source) - load(target) < 2:
                    break
                able = [shard for shard in movable(source, target) if self.fits(shard, target)]
                if able:
                    shard = min(able, key=lambda s: self._after(s, source, target))
                    self._move(shard, source, target)
                    return True
        return False

    def _after(self, shard: Shard, source: PeerId, target: PeerId) -> tuple[int, int, Shard]:
        size = self._size(shard)
        return max(self.bytes[source] - size, self.bytes[target] + size), size, shard

    def _on(self, peer: PeerId) -> Iterator[Shard]:
        return (shard for shard, holders in self.holders.items() if peer in holders)

    def _number_of(self, name: str) -> Callable[[PeerId], int]:
        return lambda peer: self.number[name, peer]

    def _of(self, name: str) -> Callable[[PeerId, PeerId], Iterable[Shard]]:
        return lambda source, _: (shard for shard in self._on(source) if shard[0] == name)

    def _spare(self, source: PeerId, target: PeerId) -> Iterable[Shard]:
        """Shards whose collection stays as even as it is when one of them goes that way."""
        return (shard for shard in self._on(source) if self._is_fuller(shard, source, target))

    def _is_fuller(self, shard: Shard, source: PeerId, target: PeerId) -> bool:
        return self.number[shard[0], source] > self.number[shard[0], target]

    # Even bytes

    def _even_bytes(self) -> None:
        """Exchanges shards between the fullest and another peer, if it is worth it in the end."""
        highest = max(self.bytes.values(), default=0)
        kept = {shard: set(holders) for shard, holders in self.holders.items()}
        for _ in range(_EXCHANGES):
            if not self._exchange_once():
                break
        if max(self.bytes.values(), default=0) > highest * (1 - NOTICEABLE):
            self.holders = kept
            self._count()

    def _exchange_once(self) -> bool:
        if not self.peers:
            return False
        source = max(self.peers, key=lambda peer: (self.bytes[peer], peer))
        for target in sorted(self.peers, key=lambda peer: (self.bytes[peer], peer)):
            best = min(self._exchanges(source, target), default=None)
            if best is not None:
                _, _, given, taken = best
                self._move(given, source, target)
                for shard in taken:
                    self._move(shard, target, source)
                return True
        return False

    def _exchanges(
        self, source: PeerId, target: PeerId
    ) -> Iterator[tuple[int, int, Shard, tuple[Shard, ...]]]:
        """Pairs to swap, and single shards to move, that lower the source enough."""
        limit = math.floor(self.bytes[source] * (1 - _GAIN))
        backs = [shard for shard in self._on(target) if self.fits(shard, source)]
        for given in self._on(source):
            if not self.fits(given, target):
                continue
            spare = self._is_fuller(given, source, target)
            if spare and self.total[source] > self.total[target]:
                highest, size, _ = self._after(given, source, target)
                if highest <= limit:
                    yield highest, size, given, ()
            for taken in backs:
                same = taken[0] == given[0]
                if not same and not (spare and self._is_fuller(taken, target, source)):
                    continue
                net = self._size(given) - self._size(taken)
                highest = max(self.bytes[source] - net, self.bytes[target] + net)
                if net > 0 and highest <= limit:
                    yield highest, self._size(given) + self._size(taken), given, (taken,)
