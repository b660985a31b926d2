"""The undelete's phases as data, and the work that its machines ask of their shells.

`TRANSITIONS` is complete: the machine asserts that it makes no other change of phase.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId, ShardId
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import Failure, Operation, ShardTask
from cleancut.core.protocol.requests import UndeleteRequest
from cleancut.core.protocol.states import Phase, State
from cleancut.core.undelete.plan import UndeletePlan

TRANSITIONS: dict[tuple[Phase, Phase], str] = {
    (Phase.IDLE, Phase.PREPARE): "an operation gets its turn",
    (Phase.ABORT, Phase.PREPARE): "an operation gets its turn",
    (Phase.PREPARE, Phase.ABORT): "a no, a bound, a blocker, a cancel, a lost session or leader",
    (Phase.PREPARE, Phase.APPLY): "views agree, the plan has no blocker and is staged",
    (Phase.APPLY, Phase.COUNT): "all shards are applied; or a no, a bound, a lost agent, a cancel",
    (Phase.COUNT, Phase.IDLE): "what is back is counted",
    (Phase.COUNT, Phase.ABORT): "what is back so far is counted, or cannot be",
    (Phase.APPLY, Phase.ABORT): "etcd has gone back: an operator is needed",
}
"""Every change of phase of an undelete, with its cause; ARCHITECTURE's diagram is made from it."""

STATE_OF = {
    Phase.PREPARE: State.PREPARING,
    Phase.APPLY: State.APPLYING,
    Phase.COUNT: State.VERIFYING,
    Phase.IDLE: State.DONE,
}
ATTEMPTS = 3
AWAY_S = 60.0
"""How long an agent may be away before its shards are given to others, in another attempt."""
RESTARTS = 3
"""How often an agent may be restarted in one attempt: one that lacks memory ends again and again.
"""
LOOK_S = 15.0
"""Between two looks at which agents are there."""
OPEN_BYTES_PER_S = 2.5e6
"""Of a shard that is read from the store and unpacked while others are: nothing is said of it."""
SETTLE_S = 30.0
"""How long an early end waits for the batches that are under way."""


class ShardProgress(Record, frozen=True):
    """`undelete/<operation>/<shard>`: how far a shard of the backup is, whichever agent applies it.

    `settled`: selected points that are done with, in the order of their ids; of these `missing` and
    `differing` in the live collection, as they were found, `restored` of them sent, and `absent`
    after that. `sending`, `replacing`: points of the next batch that were missing, or differed;
    perhaps they are sent already. `uuid`: of the collection that they are in.
    """

    shard_id: ShardId
    settled: int = 0
    missing: int = 0
    differing: int = 0
    restored: int = 0
    absent: int = 0
    sending: int = 0
    replacing: int = 0
    done: bool = False
    nonce: str = ""
    uuid: str = ""


class UndeleteDraft(Record, frozen=True):
    """What agents are to do, staged before anything is written so that any leader can go on. With
    `shards`, as they are in the end, it is the report. `points_per_s`: of each agent."""

    epoch: Epoch
    operation: OperationId
    request: UndeleteRequest
    plan: UndeletePlan
    points_per_s: int = 0
    shards: tuple[ShardProgress, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanUndelete:
    """Plan from backup and live cluster, and stage the draft. Result: `PlannedUndelete`."""

    epoch: Epoch
    operation: OperationId
    request: UndeleteRequest
    members: tuple[AgentName, ...]


@dataclass(frozen=True, slots=True)
class PlannedUndelete:
    """`draft`: its sha256."""

    draft: str
    tasks: Mapping[AgentName, tuple[ShardTask, ...]]


@dataclass(frozen=True, slots=True)
class FindAgents:
    """Find the agents that are there. Result: their names."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class CountPoints:
    """Sum up what agents did of each shard, and stage the report. Result: `CountedPoints`."""

    epoch: Epoch
    draft: str


@dataclass(frozen=True, slots=True)
class CountedPoints:
    """`report`: its sha256. `restored`: points that were put back in all attempts."""

    report: str
    restored: int


@dataclass(frozen=True, slots=True)
class PutBack:
    """Put the points of these shards back, batch by batch, from where each shard is. Repeatable."""

    epoch: Epoch
    draft: str
    tasks: tuple[ShardTask, ...]


@dataclass(frozen=True, slots=True)
class Settle:
    """Wait for the batch that is under way, and send no other one."""

    epoch: Epoch


UndeleteEffect = Probe | PlanUndelete | FindAgents | CountPoints


def with_points(operation: Operation, failure: Failure) -> Failure:
    """`failure`, with the number of points that are back."""
    points = "1 point is" if operation.reached == 1 else f"{operation.reached:,} points are"
    return replace(failure, message=f"{failure.message}; {points} back")
