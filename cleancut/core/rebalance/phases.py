"""The rebalance's phases as data, and the work that its machine asks of the coordinator's shell.

`TRANSITIONS` is complete: the machine asserts that it makes no other change of phase.
"""

from __future__ import annotations

from dataclasses import dataclass

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import Failure
from cleancut.core.protocol.replica_reports import RestoredShard
from cleancut.core.protocol.requests import RebalanceRequest
from cleancut.core.protocol.states import Phase, State
from cleancut.core.rebalance.plan import BalancePlan

TRANSITIONS: dict[tuple[Phase, Phase], str] = {
    (Phase.IDLE, Phase.PREPARE): "an operation gets its turn",
    (Phase.ABORT, Phase.PREPARE): "an operation gets its turn",
    (Phase.PREPARE, Phase.ABORT): "a no, a bound, a blocker, a lost session or leader",
    (Phase.PREPARE, Phase.MOVE): "views agree, the plan has no blocker and is staged",
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
    Phase.VERIFY: State.VERIFYING,
    Phase.ROLLBACK: State.ROLLING_BACK,
    Phase.IDLE: State.DONE,
}
ATTEMPTS = 3
RETRY_S = 2.0
TRIES = 10
"""Tries of a repeatable effect before the rebalance ends."""

LEADER_CHANGED = Failure(
    reason="UNAVAILABLE", message="the leading coordinator changed before anything was moved"
)
SESSION_LOST = Failure(reason="UNAVAILABLE", message="lost its session before anything was moved")


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
    """Carry out every step of the draft. Repeatable: steps that are done or under way are seen.
    Result: the tasks of each agent."""

    epoch: Epoch
    draft: str
    members: tuple[AgentName, ...]


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


RebalanceEffect = Probe | PlanRebalance | MoveShards | AbortTransfers | Report
