"""Collections, replicas and transfers of the simulated cluster, as they truly are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cleancut.core.primitives.ids import PeerId
from simulation.logs import LogRecorder, SimLog
from simulation.world import Process

USER = "user"
POINTED = "p"
"""The one collection whose replicas hold points, and whose number of shards changes."""
RECEIVES, RECEIVES_AND_SERVES = "Resharding", "ReshardingScaleDown"
MIGRATING, READS, WRITES = range(3)
"""How far a resharding is: whether its read ring, then its write ring is committed."""


class PointWrite(NamedTuple):
    """`version` None: the point is deleted."""

    point: int
    version: int | None

    def apply_to(self, points: dict[int, int]) -> None:
        if self.version is None:
            points.pop(self.point, None)
        else:
            points[self.point] = self.version


class Resharding(NamedTuple):
    """The last shard comes, if it goes `up`, or goes."""

    uuid: str
    up: bool
    shard: int
    peer: PeerId
    stage: int = MIGRATING


class Rings(NamedTuple):
    """How many shards there are, with one that comes; and what is under way."""

    shards: int
    resharding: Resharding | None = None

    @property
    def old(self) -> int:
        """The number of shards of the old ring."""
        one = self.resharding
        if one is None or one.stage == WRITES:
            return self.new
        return self.shards - one.up

    @property
    def new(self) -> int:
        one = self.resharding
        return self.shards - (one is not None and not one.up)


class Shape(NamedTuple):
    """A cluster at its beginning. `recorder`: logs are archived."""

    peers: int
    shards: dict[str, int]
    copies: int
    recorder: LogRecorder | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """One transfer of a shard. `keep`: the source keeps its replica. `to_shard`: some points of it
    go to another shard."""

    source: PeerId
    target: PeerId
    keep: bool
    to_shard: int | None = None


@dataclass(slots=True)
class SimReplica:
    """One shard's copy on one peer. `history`: content by time, for the checkers. `tar`: what was
    recovered into it last. `writes`: when each write since then was applied. `looked_s`: when its
    points were counted last, and by which process. `dirty`: its peer was killed while it loaded a
    tar. `logged`: the newest entry of its `log` that it has taken. `failed`: writes that it could
    not apply and has still to apply again; `unnumbered`: those that its number does not hold yet.
    `optimizing`: since when an optimization is under way, "" without one; `optimized`: when earlier
    ones began; `lost`: deletes since then, which a tar lacks. `missing`: writes that others have
    and this one never got. `points`: versions by id, of what is resharded. `state`: "" unless it
    gets points of another shard."""

    life: int
    applied: int
    content: int
    number: int
    history: list[tuple[float, int]]
    log: SimLog
    logged: int
    uncounted: int = 0
    pumping: bool = False
    tar: str = ""
    writes: list[float] = field(default_factory=list)
    looked_s: float = 0.0
    looked_by: Process | None = None
    dirty: bool = False
    failed: int = 0
    unnumbered: int = 0
    optimizing: str = ""
    optimized: list[str] = field(default_factory=list)
    lost: int = 0
    missing: int = 0
    points: dict[int, int] = field(default_factory=dict)
    state: str = ""

    def begin_log(self) -> None:
        """Another log is in the place of this replica's, which goes on with its number."""
        self.log.begin(self.number + 1)
        self.logged = self.number


@dataclass(slots=True)
class Span:
    """One resharding of a collection that had this number of `shards` before."""

    from_s: float
    shards: int
    until_s: float = float("inf")


@dataclass(slots=True)
class SimCollection:
    """One life of a name. `maker` and `dropper`: USER, or the attempt (`epoch 7`) that did it.
    `version`: of the cluster's shape that holds it first. `drop_known`: the peer that was asked to
    drop the name had shown this life, or would have, if it had been asked just before. `lost_s`:
    when the writes came that went with it. `resharding`: under way; `resharded`: when each began
    and ended, and with how many shards."""

    name: str
    uuid: str
    shards: int
    info: dict[str, Any]
    maker: str = USER
    made_s: float = 0.0
    version: int = 0
    dropper: str = ""
    drop_known: bool = False
    dropped_s: float = float("inf")
    lost_s: tuple[float, ...] = ()
    resharding: Resharding | None = None
    resharded: list[Span] = field(default_factory=list)

    @property
    def rings(self) -> Rings:
        return Rings(self.shards, self.resharding)

    def shards_at(self, at_s: float) -> int:
        """How many it had then, if it was not resharded at that moment."""
        later = next((one for one in self.resharded if one.until_s > at_s), None)
        return self.shards if later is None else later.shards


@dataclass(slots=True)
class PeerView:
    """One version of the cluster's shape, as a peer shows it."""

    collections: dict[str, SimCollection]
    aliases: dict[str, str]
    rings: dict[str, Rings]

    def rings_of(self, name: str) -> Rings:
        return self.rings[name]
