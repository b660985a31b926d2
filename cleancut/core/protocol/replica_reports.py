"""Reports of agents about the replicas that they restored."""

from __future__ import annotations

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import AgentName, Epoch, PeerId


class RestoredShard(Record, frozen=True):
    """One replica as its own agent found it. `expected`: the number in the group; None: unknown.
    `again`: a second count of a replica that clients may be writing to; -1: there was none."""

    collection: str
    shard_id: int
    peer_id: PeerId
    count: int
    expected: int | None = None
    routed: int = 0  # of `count`, how many belong into this very shard
    searched: tuple[str, ...] = ()  # vectors that a search answered for
    status: str = ""
    again: int = -1


class AgentRestoreReport(Record, frozen=True):
    """The replicas that one agent verified: votes/<epoch>/<agent>/<sha256>.json.

    `recovered_bytes` in `recover_s` seconds; zeros, if it was another process that recovered.
    """

    epoch: Epoch
    agent: AgentName
    shards: tuple[RestoredShard, ...]
    recovered_bytes: int = 0
    recover_s: float = 0.0
