"""One replica of a simulated shard, as it truly is, and what its peer says of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from cleancut.core.protocol.etcd_records import ShardState
from tests.sim.world import Process


@dataclass(slots=True)
class Replica:
    """One shard's copy on one peer. `history`: content by time, for the checkers. `tar`: what was
    recovered into it last. `writes`: when each write since then was applied. `looked_s`: when its
    points were counted last, and by which process. `dirty`: its peer was killed while it loaded a
    tar. `failed`: writes that it could not apply and has still to apply again;
    `unnumbered`: those that its number does not hold yet."""

    life: int
    applied: int
    content: int
    number: int
    history: list[tuple[float, int]]
    uncounted: int = 0
    pumping: bool = False
    tar: str = ""
    writes: list[float] = field(default_factory=list)
    looked_s: float = 0.0
    looked_by: Process | None = None
    dirty: bool = False
    failed: int = 0
    unnumbered: int = 0


def state_of(replica: Replica | None) -> ShardState:
    """What telemetry says of it besides its number."""
    if replica is None:
        return ShardState()
    status = "red" if replica.failed else "green"
    return ShardState(status=status, segment=f"segment-{replica.life}", optimizing=0)
