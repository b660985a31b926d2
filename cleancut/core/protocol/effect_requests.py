"""Effects that state machines of several operations ask for, and their results, as records."""

from __future__ import annotations

from dataclasses import dataclass

from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.canary import Canaries
from cleancut.core.protocol.etcd_records import EpochMember, Reading, ShardTask
from cleancut.core.protocol.fence import Fence


@dataclass(frozen=True, slots=True)
class Probe:
    """Write the coordinator's probe object, so that agents prove to use the same store."""

    epoch: Epoch
    nonce: str


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
    """`view`: sha256 of the canonical view; `view_object`: its name among the probe objects."""

    view: str
    view_object: str
    probe: str
    free_bytes: int
    member: EpochMember | None


@dataclass(frozen=True, slots=True)
class Readings:
    """Numbers in the order of the tasks. `view` and `fenced` (the local peer still shows the fence)
    belong to the second reading only."""

    numbers: tuple[int | None, ...]
    incarnation: str
    arrivals: int
    view: str = ""
    fenced: bool = False

    def at(self, index: int) -> Reading:
        """The reading of one shard."""
        return Reading(
            number=self.numbers[index], incarnation=self.incarnation, arrivals=self.arrivals
        )
