"""Documents that an epoch stages in the store: canaries, recorded questions to a collection with
the answers that were read in the cut, and what agents found of the replicas that they restored."""

from __future__ import annotations

from typing import Any

from cleancut.core.cluster.ring_counts import ReplicaCount
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import AgentName, Epoch, PeerId


class Question(Record, frozen=True):
    """What is to be asked inside the cut: the points nearest to `target`, about the value that
    point `query` has as `vector`, among those under `shard_key` (None: among all).
    `replicated`: all replicas of a shard have to agree.
    Shape: of `target` as in Qdrant's API: a list, a list of lists, or indices and values.
    """

    collection: str
    vector: str
    query: str | int
    target: Any = None
    shard_key: str | int | None = None
    replicated: bool = False


class Canary(Record, frozen=True):
    """One exact search, answered inside the cut: the nearest `ids` to the `target` of its
    question, with their `scores`. `vector` "": the one without a name. An id may be in several
    shard keys, so the search is by the vector itself; without a `target` it is not repeated."""

    collection: str
    vector: str
    query: str | int
    ids: tuple[str | int, ...]
    scores: tuple[float, ...]
    target: Any = None
    shard_key: str | int | None = None


class Canaries(Record, frozen=True):
    """The answers that the coordinator read inside the cut, staged as a document of the epoch."""

    epoch: Epoch
    canaries: tuple[Canary, ...]


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


class AgentRingReport(Record, frozen=True):
    """The replicas that one agent counted by two hash rings, or cleaned, in one round of a reshard:
    votes/<epoch>/<agent>/<sha256>.json."""

    epoch: Epoch
    agent: AgentName
    replicas: tuple[ReplicaCount, ...]
