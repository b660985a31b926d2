"""A pure world for the reshard's machines: a collection whose resharding a dead leader may have
left at any stage, and what would lose points."""

from __future__ import annotations

from dataclasses import dataclass, field

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName, FencingToken, OperationId
from cleancut.core.protocol.attempt import Attempt
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Observe, Observed, Probe
from cleancut.core.protocol.etcd_records import Bounds, Operation
from cleancut.core.protocol.high_water import ReadMarks, StoreMarks
from cleancut.core.protocol.participant import Participant
from cleancut.core.protocol.requests import ReshardRequest
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.reshard.participant import CleanReplicas, CountByRings, ReshardParticipant
from cleancut.core.reshard.phases import (
    AbortStep,
    CommitRings,
    CompareRings,
    FinishedStep,
    FinishStep,
    MovePoints,
    PlannedStep,
    PlanStep,
)
from cleancut.core.reshard.reshard import ReshardMachine
from tests.unit.core.restore.world import AGENTS, COORDINATOR, World, task_of

FIRST, WANTED = 2, 4


@dataclass
class ReshardWorld(World):
    """`shards`: how many there are. `under_way`: a resharding; `committed`: its rings are.
    `counted`, `clean`: agents that have looked at the step under way. `disagree`: for how many
    rounds replicas differ."""

    shards: int = FIRST
    under_way: bool = False
    moved: bool = False
    committed: bool = False
    counted: set[AgentName] = field(default_factory=set)
    clean: set[AgentName] = field(default_factory=set)
    disagree: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.operation = Operation(
            id=OperationId("op"),
            kind=OperationKind.RESHARD,
            state=State.PENDING,
            request=encode(ReshardRequest(collection="docs", shards=WANTED)).decode(),
        )

    def new_leader(self) -> Attempt:
        return ReshardMachine(Bounds())

    def new_agent(self, session: FencingToken) -> Participant:
        return ReshardParticipant(session)

    def crash(self, *, acted: bool = False) -> None:
        """What was asked of Qdrant goes on without its leader: half of it, or all."""
        running = [effect for owner, effect in self.running if owner == COORDINATOR]
        if acted and any(isinstance(one, MovePoints) for one in running):
            self.under_way = True
        super().crash(acted=acted and not any(isinstance(one, MovePoints) for one in running))

    def _act_as_leader(self, effect: Effect) -> object:
        tasks = {name: (task_of(name),) for name in AGENTS}
        match effect:
            case Probe():
                return None
            case ReadMarks(epoch=epoch):
                return StoreMarks(epoch)
            case PlanStep():
                assert not self.under_way, "a step begins while another is under way"
                return PlannedStep(f"draft {self.shards}", self.shards, WANTED - self.shards)
            case MovePoints():
                assert not self.committed
                self.under_way = self.moved = True
                self.counted.clear()
                return tasks
            case CompareRings():
                self.disagree -= 1
                return 0 if self.disagree < 0 and self.counted == set(AGENTS) else 512
            case CommitRings():
                assert self.moved, "reads by a number that has no points"
                assert self.counted == set(AGENTS), "not all replicas are counted"
                self.committed = self.under_way
                return tasks
            case FinishStep():
                return self._finish()
            case AbortStep():
                assert not self.committed, "aborts what is committed"
                self.under_way = self.moved = False
                return self.shards
            case _:
                raise AssertionError(effect)

    def _finish(self) -> FinishedStep:
        if self.under_way:
            assert self.committed
            assert self.clean == set(AGENTS), "points of other shards are left"
            self.under_way = self.moved = self.committed = False
            self.shards += 1
            self.clean.clear()
        return FinishedStep(f"report {self.shards}", self.shards, WANTED - self.shards)

    def _act_as_agent(self, name: AgentName, effect: Effect) -> object:
        match effect:
            case Observe(probe=probe):
                return Observed("view", "", probe, 0, None)
            case CountByRings():
                assert self.moved
                self.counted.add(name)
                return "counted"
            case CleanReplicas():
                assert self.committed or not self.under_way, "deletes what no other shard has"
                self.clean.add(name)
                return "clean"
            case _:
                raise AssertionError(effect)

    def check(self) -> None:
        """What must hold at the end, whatever happened on the way."""
        operation = self.operation
        assert not [effect for owner, effect in self.running if owner == COORDINATOR]
        assert not self.under_way or operation.state is State.NEEDS_OPERATOR
        if operation.state is State.DONE:
            assert self.shards == WANTED
            assert operation.detail == f"report {WANTED}"
        elif operation.state is not State.NEEDS_OPERATOR:
            assert operation.failure is not None
        if operation.reached:
            assert operation.reached == self.shards or operation.state is State.NEEDS_OPERATOR

    @property
    def at(self) -> Phase:
        return self.ctl.phase
