"""Resharding: a change of one collection's number of shards, one shard up or down, as values."""

from __future__ import annotations

from enum import StrEnum

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import PeerId, ShardId

ENABLING = "QDRANT__CLUSTER__RESHARDING_ENABLED=true (`cluster.resharding_enabled` in its file)"
"""What a peer needs in its environment, or in its file, to allow it."""
STREAM = "resharding_stream_records"
"""The method of a transfer that sends another shard the points that lie there in the new ring."""
RECEIVES = "Resharding"
"""The state of the new shard's replica on the way up: it takes writes, and nothing reads it."""
RECEIVES_AND_SERVES = "ReshardingScaleDown"
"""The state of a replica that gets points on the way down: Active for reads and writes alike."""


class Direction(StrEnum):
    """UP: one shard more, with the next free id. DOWN: one less, the last one of its key."""

    UP = "up"
    DOWN = "down"


class ReshardingState(Record, frozen=True):
    """A resharding under way. `shard_id`: the shard that comes or goes; `peer_id`: where it is made
    or, on the way down, any peer that has it. `uuid`: as given to its start, or by Qdrant.

    Its stage, whether rings are committed, is in no answer of Qdrant: it is for the driver to keep.
    Source: lib/collection/src/operations/types.rs (ReshardingInfo), Qdrant 1.18.3 and 1.19.0
    """

    direction: Direction
    shard_id: ShardId
    peer_id: PeerId
    shard_key: str | int | None = None
    uuid: str = ""

    def __str__(self) -> str:
        key = "" if self.shard_key is None else f" of key {self.shard_key!r}"
        return f"{self.direction}, shard {self.shard_id}{key}"


def under_way(states: tuple[ReshardingState, ...]) -> str:
    """`up, shard 3`, for a sentence; "" if there is none."""
    return "; ".join(str(one) for one in states)
