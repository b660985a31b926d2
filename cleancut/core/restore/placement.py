"""Placement of empty replicas: the moves that give every peer enough room. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import PeerId, ShardId

_LOOKS = 20_000
"""Arrangements tried for the fewest moves (about half a second)."""


class PlacedShard(Record, frozen=True):
    """A shard, the size of one replica, and the peers that hold one."""

    collection: str
    shard_id: ShardId
    size_bytes: int
    peers: tuple[PeerId, ...]


class ReplicaMove(Record, frozen=True):
    collection: str
    shard_id: ShardId
    source: PeerId
    target: PeerId


def moves(
    placed: Sequence[PlacedShard], free: Mapping[PeerId, int]
) -> tuple[ReplicaMove, ...] | None:
    """The fewest moves after which no peer lacks room, and no peer holds a shard twice.

    None: it is impossible, or the search found no way.
    """
    room = dict(free)
    for shard in placed:
        for peer in shard.peers:
            room[peer] -= shard.size_bytes
    if all(left >= 0 for left in room.values()):
        return ()
    largest = max((shard.size_bytes for shard in placed), default=0)
    if sum(room.values()) < 0 or largest > max(free.values()):
        return None
    replicas = sum(len(shard.peers) for shard in placed)
    search = _Search([(shard, set(shard.peers)) for shard in placed], room)
    for depth in range(1, replicas + 1):
        if search.fits(depth):
            return tuple(search.made)
        if search.looks >= _LOOKS:
            break
    else:
        return None
    return _Search([(shard, set(shard.peers)) for shard in placed], room).fits_greedily()


@dataclass(slots=True)
class _Search:
    """One arrangement at a time. `held`: each shard with the peers that hold it now."""

    held: list[tuple[PlacedShard, set[PeerId]]]
    room: dict[PeerId, int]
    made: list[ReplicaMove] = field(default_factory=list)
    looks: int = 0

    def fits(self, depth: int) -> bool:
        """True with `made` being up to `depth` moves after which all fits; else all is as before.

        Some replica must leave the fullest peer, whatever else happens, so only those are tried.
        One that has moved stays: what goes from A to B to C might as well go to C.
        """
        self.looks += 1
        lacking = [peer for peer, left in self.room.items() if left < 0]
        if not lacking:
            return True
        if len(lacking) > depth or self.looks >= _LOOKS:
            return False
        source = min(lacking, key=lambda peer: (self.room[peer], peer))
        return any(
            self._try(index, source, target, depth)
            for index in self._movable(source)
            for target in self._targets(index)
        )

    def fits_greedily(self) -> tuple[ReplicaMove, ...] | None:
        """Moves the largest shard that fits anywhere off the fullest peer, again and again."""
        while min(self.room.values()) < 0:
            source = min(self.room, key=lambda peer: (self.room[peer], peer))
            options = [
                (index, target)
                for index in self._movable(source)
                for target in self._targets(index)
                if self.room[target] >= self.held[index][0].size_bytes
            ]
            if not options:
                return None
            self._move(options[0][0], source, options[0][1])
        return tuple(self.made)

    def _movable(self, source: PeerId) -> list[int]:
        """Shards that were at `source` from the beginning and still are, largest first."""
        found = [
            index
            for index, (shard, peers) in enumerate(self.held)
            if source in shard.peers and source in peers
        ]
        return sorted(found, key=lambda index: -self.held[index][0].size_bytes)

    def _targets(self, index: int) -> list[PeerId]:
        """Peers that do not, and did not, hold the shard; the emptiest first."""
        shard, peers = self.held[index]
        found = [peer for peer in self.room if peer not in peers and peer not in shard.peers]
        return sorted(found, key=lambda peer: (-self.room[peer], peer))

    def _try(self, index: int, source: PeerId, target: PeerId, depth: int) -> bool:
        self._move(index, source, target)
        if self.fits(depth - 1):
            return True
        self._move(index, target, source)
        del self.made[-2:]
        return False

    def _move(self, index: int, source: PeerId, target: PeerId) -> None:
        shard, peers = self.held[index]
        peers.remove(source)
        peers.add(target)
        self.room[source] += shard.size_bytes
        self.room[target] -= shard.size_bytes
        move = ReplicaMove(
            collection=shard.collection, shard_id=shard.shard_id, source=source, target=target
        )
        self.made.append(move)
