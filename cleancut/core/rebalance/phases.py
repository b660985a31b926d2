"""The rebalance's phases as data, and the work that its machine asks of the coordinator's shell.

`TRANSITIONS` is complete: the machine asserts that it makes no other change of phase.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId
from cleancut.core.protocol.documents import RestoredShard
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.protocol.requests import RebalanceRequest
from cleancut.core.protocol.states import Phase, State
from cleancut.core.rebalance.plan import BalancePlan
from cleancut.core.rebalance.solver import Shard

TRANSITIONS: dict[tuple[Phase, Phase], str] = {
    (Phase.IDLE, Phase.PREPARE): "an operation gets its turn",
    (Phase.ABORT, Phase.PREPARE): "an operation gets its turn",
    (Phase.PREPARE, Phase.ABORT): "a no, a bound, a blocker, a lost session or leader",
    (Phase.PREPARE, Phase.MOVE): "views agree, the plan has no blocker and is staged",
    (Phase.MOVE, Phase.COUNT): "replicas are to be counted before one of them is dropped",
    (Phase.COUNT, Phase.MOVE): "they are counted by their own agents",
    (Phase.COUNT, Phase.ROLLBACK): "a no, a bound or a cancel",
    (Phase.COUNT, Phase.ABORT): "etcd has gone back: an operator is needed",
    (Phase.MOVE, Phase.VERIFY): "every step is done",
    (Phase.VERIFY, Phase.IDLE): "every new replica is counted",
    (Phase.MOVE, Phase.ROLLBACK): "a step failed too often, a bound or a cancel",
    (Phase.ROLLBACK, Phase.ABORT): "no transfer of ours is under way, finished steps stay",
    (Phase.MOVE, Phase.ABORT): "etcd has gone back: an operator is needed",
    (Phase.VERIFY, Phase.ABORT): "a replica cannot be counted, a bound or a cancel",
}
"""Every change of phase of a rebalance, with its cause; ARCHITECTURE's diagram is made from it."""

STATE_OF = {
    Phase.PREPARE: State.PREPARING,
    Phase.MOVE: State.MOVING,
    Phase.COUNT: State.MOVING,
    Phase.VERIFY: State.VERIFYING,
    Phase.ROLLBACK: State.ROLLING_BACK,
    Phase.IDLE: State.DONE,
}
ATTEMPTS = 3


class RebalanceDraft(Record, frozen=True):
    """The steps of an attempt, staged before anything moves so that any leader can go on. With
    `shards`, as the agents counted them, it is the final report."""

    epoch: Epoch
    operation: OperationId
    plan: BalancePlan
    bandwidth_aware: bool = False
    shards: tuple[RestoredShard, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanRebalance:
    """Plan from the live cluster, and stage the draft. Result: its sha256."""

    epoch: Epoch
    operation: OperationId
    request: RebalanceRequest


@dataclass(frozen=True, slots=True)
class MoveShards:
    """Carry out the steps of the draft. Repeatable: steps that are done or under way are seen.
    `counted`: shards whose replicas have just been counted, and agree; `differ`: why others do not.
    Result: the tasks of each agent once every step is done; or `ReplicasToCount`."""

    epoch: Epoch
    draft: str
    members: tuple[AgentName, ...]
    counted: tuple[Shard, ...] = ()
    differ: str = ""


@dataclass(frozen=True, slots=True)
class ReplicasToCount:
    """All replicas of the shards that are next, by the agents of their peers: no step of theirs
    starts before these are counted."""

    tasks: Mapping[AgentName, tuple[ShardTask, ...]]


@dataclass(frozen=True, slots=True)
class CompareCounts:
    """Compare what the agents counted, replica by replica. Result: `ComparedCounts`."""

    epoch: Epoch
    draft: str
    documents: tuple[tuple[AgentName, str], ...]


@dataclass(frozen=True, slots=True)
class ComparedCounts:
    """`agreed`: the shards all of whose replicas agree; `differ`: why others do not, or ""."""

    agreed: tuple[Shard, ...]
    differ: str = ""


@dataclass(frozen=True, slots=True)
class AbortTransfers:
    """Abort every transfer of the draft that is under way. Repeatable."""

    epoch: Epoch
    draft: str


@dataclass(frozen=True, slots=True)
class Report:
    """Store the draft with what the agents counted. Result: its sha256."""

    epoch: Epoch
    draft: str
    documents: tuple[tuple[AgentName, str], ...]


RebalanceEffect = Probe | PlanRebalance | MoveShards | CompareCounts | AbortTransfers | Report
