"""Collections, replicas and transfers of the simulated cluster, as they truly are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cleancut.core.primitives.ids import PeerId
from simulation.logs import LogRecorder, SimLog
from simulation.world import Process

USER = "user"


class Shape(NamedTuple):
    """A cluster at its beginning. `recorder`: logs are archived."""

    peers: int
    shards: dict[str, int]
    copies: int
    recorder: LogRecorder | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """One transfer of a shard. `keep`: the source keeps its replica."""

    source: PeerId
    target: PeerId
    keep: bool


@dataclass(slots=True)
class SimReplica:
    """One shard's copy on one peer. `history`: content by time, for the checkers. `tar`: what was
    recovered into it last. `writes`: when each write since then was applied. `looked_s`: when its
    points were counted last, and by which process. `dirty`: its peer was killed while it loaded a
    tar. `logged`: the newest entry of its `log` that it has taken. `failed`: writes that it could
    not apply and has still to apply again; `unnumbered`: those that its number does not hold yet.
    `optimizing`: since when an optimization is under way, "" without one; `optimized`: when earlier
    ones began; `lost`: deletes since then, which a tar lacks. `missing`: writes that others have
    and this one never got."""

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

    def begin_log(self) -> None:
        """Another log is in the place of this replica's, which goes on with its number."""
        self.log.begin(self.number + 1)
        self.logged = self.number


@dataclass(slots=True)
class SimCollection:
    """One life of a name. `maker` and `dropper`: USER, or the attempt (`epoch 7`) that did it.
    `version`: of the cluster's shape that holds it first. `drop_known`: the peer that was asked to
    drop the name had shown this life, or would have, if it had been asked just before. `lost_s`:
    when the writes came that went with it."""

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


@dataclass(slots=True)
class PeerView:
    """One version of the cluster's shape, as a peer shows it."""

    collections: dict[str, SimCollection]
    aliases: dict[str, str]
