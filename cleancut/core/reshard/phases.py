"""The reshard's phases as data, and the work that its machine asks of the coordinator's shell.

One attempt makes one step, of one shard up or down; between two the operation is pending again, so
that others get their turn. `TRANSITIONS` is complete: the machine asserts that it makes no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from cleancut.core.primitives.codec import Record, decode
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId
from cleancut.core.primitives.record_times import Time
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import Failure, Operation, ShardTask
from cleancut.core.protocol.requests import ReshardRequest
from cleancut.core.protocol.states import Phase, State
from cleancut.core.reshard.plan import ReshardPlan, ReshardStep

TRANSITIONS: dict[tuple[Phase, Phase], str] = {
    (Phase.IDLE, Phase.PREPARE): "an operation gets its turn",
    (Phase.ABORT, Phase.PREPARE): "an operation gets its turn",
    (Phase.PREPARE, Phase.ABORT): "a no, a bound, a blocker, a cancel, a lost session or leader",
    (Phase.PREPARE, Phase.IDLE): "there are as many shards as are wanted",
    (Phase.PREPARE, Phase.MOVE): "views agree, the step has no blocker and is staged",
    (Phase.MOVE, Phase.COUNT): "points are streamed, the new shard is replicated",
    (Phase.COUNT, Phase.COUNT): "replicas do not agree yet: writes are on their way",
    (Phase.COUNT, Phase.COMMIT): "every replica holds what the new ring says",
    (Phase.COMMIT, Phase.CLEAN): "both rings are committed",
    (Phase.CLEAN, Phase.CLEAN): "a replica is not clean yet",
    (Phase.CLEAN, Phase.IDLE): "every old replica is clean, the step is finished",
    (Phase.MOVE, Phase.ROLLBACK): "a step failed too often, a bound or a cancel",
    (Phase.COUNT, Phase.ROLLBACK): "replicas differ, a no, a bound or a cancel",
    (Phase.ROLLBACK, Phase.ABORT): "the step is aborted, finished steps stay",
    (Phase.MOVE, Phase.ABORT): "etcd has gone back: an operator is needed",
    (Phase.COUNT, Phase.ABORT): "etcd has gone back: an operator is needed",
    (Phase.COMMIT, Phase.ABORT): "it cannot be finished: an operator is needed",
    (Phase.CLEAN, Phase.ABORT): "it cannot be finished: an operator is needed",
}
"""Every change of phase of a reshard, with its cause; ARCHITECTURE's diagram is made from it."""

STATE_OF = {
    Phase.PREPARE: State.PREPARING,
    Phase.MOVE: State.MOVING,
    Phase.COUNT: State.VERIFYING,
    Phase.COMMIT: State.COMMITTING,
    Phase.CLEAN: State.CLEANING,
    Phase.ROLLBACK: State.ROLLING_BACK,
    Phase.IDLE: State.DONE,
}
STEP_ALIASES = "cleancut-step-"
"""What the alias of a step begins with."""
ATTEMPTS = 3
"""Of one step."""
FINISH_S = 6 * 3600.0
"""Until a step whose read ring is committed counts as one that needs an operator."""
GONE_S = 60.0
"""Until a resharding counts as gone, if a peer knows nothing of it: that peer may lag."""


def step_alias(epoch: Epoch) -> str:
    """An alias of the collection for as long as this step is under way.

    Qdrant's calls carry no token. One that is made by the alias of a step that is over finds no
    collection, however late it comes.
    """
    return f"{STEP_ALIASES}{epoch}"


def with_number(operation: Operation, failure: Failure) -> Failure:
    """`failure`, with the number of shards that the collection is whole at, if it is known."""
    if not operation.reached:
        return failure
    request = decode(ReshardRequest, operation.request.encode(), "the request")
    shards = "1 shard" if operation.reached == 1 else f"{operation.reached} shards"
    key = "" if request.shard_key is None else f" under key {request.shard_key!r}"
    said = f"{failure.message}; {request.collection!r} has {shards}{key}"
    return replace(failure, message=said)


class DoneStep(Record, frozen=True):
    """A step that is finished. `points`: those that moved to another shard; 0: not known."""

    shards: int
    shard_id: int
    points: int = 0
    seconds: float = 0.0


class ReshardDraft(Record, frozen=True):
    """One step of a reshard, staged before anything moves so that any leader can go on; with
    `done`, the steps before it, and once it has `ended` itself. `begun_at`: RFC 3339 UTC.
    `first`: the number of shards before any step."""

    epoch: Epoch
    operation: OperationId
    plan: ReshardPlan
    first: int = 0
    begun_at: Time = ""
    done: tuple[DoneStep, ...] = ()
    ended: bool = False

    @property
    def step(self) -> ReshardStep:
        return self.plan.steps[0]


@dataclass(frozen=True, slots=True)
class PlanStep:
    """Plan from the live cluster, and stage the next step. `before`: the draft of the attempt
    before, and its epoch. Result: `PlannedStep`."""

    epoch: Epoch
    operation: OperationId
    request: ReshardRequest
    before: tuple[Epoch, str] | None = None


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """`draft`: its sha256. `present`: the number of shards now; `left`: of steps."""

    draft: str
    present: int
    left: int


@dataclass(frozen=True, slots=True)
class MovePoints:
    """Start the step unless it is under way, stream the points, replicate the new shard.
    Repeatable. Result: the tasks of each agent, which counts its replicas."""

    epoch: Epoch
    draft: str
    members: tuple[AgentName, ...]


@dataclass(frozen=True, slots=True)
class CompareRings:
    """Compare what the agents counted. Result: 0 once every replica has been seen to hold what the
    new ring says; until then, the number of buckets to count with in the next round."""

    epoch: Epoch
    draft: str
    documents: tuple[tuple[AgentName, str], ...]


@dataclass(frozen=True, slots=True)
class CommitRings:
    """Commit the read ring, then the write ring. Repeatable. Result: the tasks of each agent, which
    cleans its replicas; none on the way down."""

    epoch: Epoch
    draft: str
    members: tuple[AgentName, ...]


@dataclass(frozen=True, slots=True)
class FinishStep:
    """Finish the resharding. Repeatable. Result: `FinishedStep`."""

    epoch: Epoch
    draft: str
    documents: tuple[tuple[AgentName, str], ...]


@dataclass(frozen=True, slots=True)
class FinishedStep:
    """`detail`: sha256 of the draft with this step among those done."""

    detail: str
    present: int
    left: int


@dataclass(frozen=True, slots=True)
class AbortStep:
    """Abort the resharding if it is under way. Repeatable. Result: the number of shards."""

    epoch: Epoch
    draft: str


Tasks = Mapping[AgentName, tuple[ShardTask, ...]]
ReshardEffect = Probe | PlanStep | MovePoints | CompareRings | CommitRings | FinishStep | AbortStep
