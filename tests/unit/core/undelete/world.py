"""A pure world for the undelete's machines: two shards, whose points any agent puts back in
batches, and whose progress outlives agents, leaders and attempts."""

from __future__ import annotations

from dataclasses import dataclass, field

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName, Epoch, FencingToken, OperationId
from cleancut.core.protocol.attempt import Attempt
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Observe, Observed, Probe
from cleancut.core.protocol.etcd_records import Bounds, Operation
from cleancut.core.protocol.high_water import ReadMarks, StoreMarks
from cleancut.core.protocol.participant import Participant
from cleancut.core.protocol.requests import UndeleteRequest
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.undelete.participant import UndeleteParticipant
from cleancut.core.undelete.phases import (
    CountedPoints,
    CountPoints,
    FindAgents,
    PlannedUndelete,
    PlanUndelete,
    PutBack,
    Settle,
)
from cleancut.core.undelete.undelete import UndeleteMachine
from tests.unit.core.restore.world import AGENTS, COORDINATOR, World, task_of

BATCHES = 3


@dataclass
class UndeleteWorld(World):
    """`back`: batches of each shard that are written. `away`: agents without a session. `ended_at`:
    epochs whose end is marked. `settled`: by agent, the epoch in which it sends no more."""

    back: dict[int, int] = field(default_factory=lambda: {0: 0, 1: 0})
    away: set[AgentName] = field(default_factory=set)
    ended_at: set[Epoch] = field(default_factory=set)
    settled: dict[AgentName, Epoch] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        request = UndeleteRequest(backup=Epoch(1), collection="docs", into="docs")
        self.operation = Operation(
            id=OperationId("op"),
            kind=OperationKind.UNDELETE,
            state=State.PENDING,
            request=encode(request).decode(),
        )

    def new_leader(self) -> Attempt:
        return UndeleteMachine(Bounds())

    def new_agent(self, session: FencingToken) -> Participant:
        return UndeleteParticipant(session)

    def restart(self, name: AgentName) -> None:
        self.settled.pop(name, None)
        self.away.discard(name)
        super().restart(name)

    def send_one(self, name: AgentName) -> None:
        """One batch of what this agent is at is written, while its effect still runs."""
        for owner, effect in self.running:
            if owner == name and isinstance(effect, PutBack):
                self._send(name, effect, 1)

    def _send(self, name: AgentName, effect: PutBack, batches: int) -> None:
        if self.settled.get(name) == effect.epoch:
            return
        for task in effect.tasks:
            self.back[task.shard_id] = min(BATCHES, self.back[task.shard_id] + batches)

    def _act_as_leader(self, effect: Effect) -> object:
        match effect:
            case Probe():
                return None
            case ReadMarks(epoch=epoch):
                ended = State.DONE if epoch in self.ended_at else None
                return StoreMarks(epoch, ended=ended)
            case PlanUndelete(members=members):
                able = [name for name in members if name not in self.away]
                tasks = {able[0]: tuple(map(task_of, AGENTS))}
                if len(able) > 1:
                    tasks = {name: (task_of(name),) for name in able}
                return PlannedUndelete("draft", tasks)
            case FindAgents():
                return frozenset(AGENTS) - self.away
            case CountPoints(epoch=epoch):
                self.ended_at.add(epoch)
                return CountedPoints("report", sum(self.back.values()))
            case _:
                raise AssertionError(effect)

    def _act_as_agent(self, name: AgentName, effect: Effect) -> object:
        match effect:
            case Observe(probe=probe):
                return Observed("view", "", probe, 0, None)
            case PutBack():
                self._send(name, effect, BATCHES)
                return None
            case Settle(epoch=epoch):
                self.settled[name] = epoch
                return None
            case _:
                raise AssertionError(effect)

    def check(self) -> None:
        """What must hold at the end, whatever happened on the way."""
        operation = self.operation
        assert not [effect for owner, effect in self.running if owner == COORDINATOR]
        if operation.state is State.DONE:
            assert set(self.back.values()) == {BATCHES}
            assert operation.reached == sum(self.back.values())
            assert operation.detail == "report"
        else:
            assert operation.failure is not None
        if operation.state is State.ABORTED:
            assert operation.reached == 0
        if operation.state in {State.CANCELED, State.FAILED}:
            assert operation.failure is not None
            assert f"{operation.reached} point" in operation.failure.message

    @property
    def at(self) -> Phase:
        return self.ctl.phase
