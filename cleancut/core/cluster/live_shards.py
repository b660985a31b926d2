"""Live shards of one collection: the replicas that each peer reports, and their states."""

from __future__ import annotations

from cleancut.core.cluster.resharding import ReshardingState
from cleancut.core.cluster.view import ReplicaView, TransferView
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import ShardId

INITIALIZING = "Initializing"


class LiveShards(Record, frozen=True):
    """One collection. `known`: all shard ids that a peer knows, with or without replicas."""

    name: str
    uuid: str
    shard_number: int
    replication_factor: int
    custom: bool = False
    replicas: tuple[ReplicaView, ...] = ()
    transfers: tuple[TransferView, ...] = ()
    known: tuple[ShardId, ...] = ()
    resharding: tuple[ReshardingState, ...] = ()

    def of(self, shard_id: int) -> tuple[ReplicaView, ...]:
        return tuple(one for one in self.replicas if one.shard_id == shard_id)

    @property
    def shard_ids(self) -> tuple[ShardId, ...]:
        """All shards that must exist: 0 to n-1, or every block of a shard key."""
        if not self.custom:
            return tuple(ShardId(number) for number in range(self.shard_number))
        return tuple(sorted({*self.known, *self._blocks()}))

    def _blocks(self) -> set[ShardId]:
        """A key's shards have consecutive ids, so an id missing between two of them is lost."""
        keys = {(type(r.shard_key).__name__, r.shard_key) for r in self.replicas}
        found: set[ShardId] = set()
        for kind, key in keys:
            mine = [
                r.shard_id
                for r in self.replicas
                if r.shard_key == key and type(r.shard_key).__name__ == kind
            ]
            found |= {ShardId(number) for number in range(min(mine), max(mine) + 1)}
        return found

    @property
    def lost(self) -> tuple[ShardId, ...]:
        """Shards without any replica: the collection cannot be read until they are back."""
        placed = {replica.shard_id for replica in self.replicas}
        return tuple(shard for shard in self.shard_ids if shard not in placed)
