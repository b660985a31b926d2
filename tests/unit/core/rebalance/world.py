"""A pure world for the rebalance's machines: three steps, of which a dead leader may have done
some, and left one under way."""

from __future__ import annotations

from dataclasses import dataclass, field

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName, OperationId, ShardId
from cleancut.core.protocol.attempt import Attempt
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Observe, Observed, Probe, Readings
from cleancut.core.protocol.etcd_records import Bounds, Operation
from cleancut.core.protocol.high_water import ReadMarks, StoreMarks
from cleancut.core.protocol.requests import RebalanceRequest
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.rebalance.phases import (
    AbortTransfers,
    CompareCounts,
    ComparedCounts,
    MoveShards,
    PlanRebalance,
    ReplicasToCount,
    Report,
)
from cleancut.core.rebalance.rebalance import RebalanceMachine
from cleancut.core.restore.participant import Verified, Verify
from tests.unit.core.restore.world import AGENTS, COORDINATOR, World, task_of

STEPS = 3


@dataclass
class MovingWorld(World):
    """`moved`: steps that are done; `under_way`: a transfer that nobody has ended. `differ`: what
    the counts of replicas show."""

    moved: int = 0
    under_way: bool = False
    counted: set[AgentName] = field(default_factory=set)
    differ: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.operation = Operation(
            id=OperationId("op"),
            kind=OperationKind.REBALANCE,
            state=State.PENDING,
            request=encode(RebalanceRequest()).decode(),
        )

    def new_leader(self) -> Attempt:
        return RebalanceMachine(Bounds())

    def crash(self, *, acted: bool = False) -> None:
        """What was asked of Qdrant goes on without its leader."""
        moving = any(o == COORDINATOR and isinstance(e, MoveShards) for o, e in self.running)
        if moving and acted:
            self.moved = min(STEPS, self.moved + 1)
            self.under_way = self.moved < STEPS
        super().crash(acted=acted and not moving)

    def stop_half_way(self) -> None:
        """One step is done and another under way, while the effect still runs."""
        self.moved, self.under_way = 1, True

    def _act_as_leader(self, effect: Effect) -> object:
        match effect:
            case Probe():
                return None
            case ReadMarks(epoch=epoch):
                return StoreMarks(epoch)
            case PlanRebalance() | Report():
                return "draft" if isinstance(effect, PlanRebalance) else "report"
            case MoveShards(counted=counted):
                if self.moved < STEPS and not counted:
                    return ReplicasToCount({name: (task_of(name),) for name in AGENTS})
                self.moved, self.under_way = STEPS, False
                return {name: (task_of(name),) for name in AGENTS}
            case CompareCounts():
                if self.differ:
                    return ComparedCounts((), self.differ)
                return ComparedCounts((("docs", ShardId(0)),))
            case AbortTransfers():
                self.under_way = False
                return None
            case _:
                raise AssertionError(effect)

    def _act_as_agent(self, name: AgentName, effect: Effect) -> object:
        match effect:
            case Observe(probe=probe):
                return Observed("view", "", probe, 0, None)
            case Verify():
                if self.ctl.phase is Phase.VERIFY:
                    assert self.moved == STEPS, "counts what has not come"
                    self.counted.add(name)
                return Verified(Readings((1,), "start", 0), "document")
            case _:
                raise AssertionError(effect)

    def check(self) -> None:
        """What must hold at the end, whatever happened on the way."""
        state = self.operation.state
        assert not [effect for owner, effect in self.running if owner == COORDINATOR]
        assert not self.under_way or state is State.NEEDS_OPERATOR
        if state is State.DONE:
            assert self.moved == STEPS
            assert self.counted == set(AGENTS)
            assert self.operation.detail == "report"
        else:
            assert self.operation.failure is not None
