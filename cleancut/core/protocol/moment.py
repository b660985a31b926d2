"""Moment to which a restore goes: as it is asked for, and as it is resolved to entries of logs.

A base (a backup) is restored, and the archived entries up to the moment are replayed on it.
"""

from __future__ import annotations

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import ShardId

REPLAY_BYTES_PER_S = 10e6
"""Source: measured: 20 MB/s on two loaded cores (Qdrant 1.18.3); half of it is relied on."""
REPLAY_ENTRIES_PER_S = 5e3
"""Small ones take their time, too. Source: measured: 5,000 to 10,000 on two cores at a load of 14
(Qdrant 1.18.3), several times as many on idle ones."""


class LogEntry(Record, frozen=True):
    """An entry of a shard's log, as people name it: SHARD:INDEX."""

    shard_id: ShardId
    index: int

    def __str__(self) -> str:
        return f"{self.shard_id}:{self.index}"


class MomentRequest(Record, frozen=True):
    """What is asked for: one of `at_ms`, `mark` and `before`; or `without`, alone or with one of
    the first two, which then say where the replay ends.

    `exact`: the time itself instead of the newest mark before it. `force`: entries are left out
    although later ones depend on what is there.
    """

    at_ms: int = 0
    mark: str = ""
    before: LogEntry | None = None
    without: LogEntry | None = None
    exact: bool = False
    force: bool = False


class ShardMoment(Record, frozen=True):
    """The entries of one shard that are replayed: `first` to `last` of `chain`, but for `left_out`;
    none if `last` precedes `first`. `log_bytes`: of their data. `since_ms`, `until_ms`: they are in
    chunks that were made between these times."""

    collection: str
    shard_id: ShardId
    chain: str
    first: int
    last: int
    log_bytes: int = 0
    left_out: tuple[int, ...] = ()
    since_ms: int = 0
    until_ms: int = 0

    @property
    def entries(self) -> int:
        return self.last - self.first + 1

    @property
    def replay_s(self) -> float:
        """An upper bound."""
        return self.log_bytes / REPLAY_BYTES_PER_S + self.entries / REPLAY_ENTRIES_PER_S


class Moment(Record, frozen=True):
    """A resolved moment.

    `at_ms`: when it was. `instant`: it is a mark, one instant of all shards; else they are apart by
    `skew_ms` at most. `mark`: its name, if it has one. `distance_ms`: from the time that was asked
    for.
    """

    asked: MomentRequest
    at_ms: int
    instant: bool
    shards: tuple[ShardMoment, ...]
    mark: str = ""
    skew_ms: int = 0
    distance_ms: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def log_bytes(self) -> int:
        return sum(shard.log_bytes for shard in self.shards)

    @property
    def entries(self) -> int:
        return sum(shard.entries - len(shard.left_out) for shard in self.shards)

    @property
    def replay_s(self) -> float:
        """An upper bound, as if one peer replayed all of it."""
        return sum(shard.replay_s for shard in self.shards)

    def shards_of(self, collection: str) -> tuple[ShardMoment, ...]:
        return tuple(shard for shard in self.shards if shard.collection == collection)

    def bytes_of(self, collection: str) -> int:
        """The bytes that are replayed in a collection."""
        return sum(shard.log_bytes for shard in self.shards_of(collection))

    def of(self, collection: str, shard_id: ShardId) -> ShardMoment | None:
        for shard in self.shards:
            if (shard.collection, shard.shard_id) == (collection, shard_id):
                return shard
        return None
