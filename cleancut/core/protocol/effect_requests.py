"""Effects that state machines of several operations ask for, and their results, as records."""

from __future__ import annotations

from dataclasses import dataclass

from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.documents import Canaries
from cleancut.core.protocol.etcd_records import (
    EpochMember,
    Reading,
    ShardState,
    ShardTask,
)
from cleancut.core.protocol.fence import Fence
from cleancut.core.protocol.requests import NAMES_ONLY, Selection


@dataclass(frozen=True, slots=True)
class Probe:
    """Write the coordinator's probe object, so that agents prove to use the same store and look at
    the same collections."""

    epoch: Epoch
    nonce: str
    selection: Selection = NAMES_ONLY


@dataclass(frozen=True, slots=True)
class Drain:
    """Drain every collection of the draft once. Result: `Drained`. Round 1 before CUT, then 2,
    which asks the draft's questions first: while all shards are cut and none is read again."""

    epoch: Epoch
    draft: str
    round: int


@dataclass(frozen=True, slots=True)
class Drained:
    """`undrained`: indexes of collections whose drain did not answer. `at`: RFC 3339 UTC.
    `canaries`: of round 2; None for none."""

    undrained: tuple[int, ...]
    at: str
    canaries: Canaries | None = None


OBSERVE_EVERY_S = 0.25
OPTIMIZING_EVERY_S = 1.0
"""While shards are optimized: each observation then reads all segments of the peer."""


@dataclass(frozen=True, slots=True)
class Observe:
    """Observe the local peer, the store and the agent's member record. Result: `Observed`."""

    epoch: Epoch
    probe: str


@dataclass(frozen=True, slots=True)
class ReadNumbers:
    """Read the numbers again, then the view, the fence's aliases in it under their old names.
    Result: `Readings`."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    fence: Fence | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """`view`: sha256 of the canonical view; `view_object`: its name among the probe objects.
    `arrivals`: what was recovered or transferred into the local peer so far; -1: unknown.
    `optimizing`: of the member's shards, those under optimization."""

    view: str
    view_object: str
    probe: str
    free_bytes: int
    member: EpochMember | None
    arrivals: int = -1
    optimizing: int = 0


@dataclass(frozen=True, slots=True)
class Readings:
    """Numbers, and `states` where they were read, in the order of the tasks. `view`, and whether
    the local peer was `fenced` still, only of the second reading."""

    numbers: tuple[int | None, ...]
    incarnation: str
    arrivals: int
    view: str = ""
    fenced: bool = False
    states: tuple[ShardState, ...] = ()

    def at(self, index: int) -> Reading:
        """The reading of one shard."""
        return Reading(
            number=self.numbers[index],
            incarnation=self.incarnation,
            arrivals=self.arrivals,
            state=self.states[index] if self.states else None,
        )

    def segments(self) -> tuple[str, ...]:
        """The segment that each shard's reading names."""
        return tuple(state.segment for state in self.states)
