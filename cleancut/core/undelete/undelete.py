"""Coordinator's machine of an undelete: prepare, apply, count.

Each shard's progress outlives agents, leaders and attempts, and a batch may be repeated: what is
there is not written again. So nothing is ever undone, and any early end only waits for the batches
that are under way, and counts. No I/O, no clock.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from msgspec.structs import replace

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import AgentName, FencingToken
from cleancut.core.protocol.commands import Command, Effect
from cleancut.core.protocol.etcd_records import Failure, Operation
from cleancut.core.protocol.events import Event, Progressed, SessionMoved, Tick, Voted
from cleancut.core.protocol.live_attempt import LiveAttempt
from cleancut.core.protocol.requests import UndeleteRequest
from cleancut.core.protocol.states import PERMANENT, OperationKind, Phase, State
from cleancut.core.protocol.votes import CANCELLED, with_tasks, yes_of_all
from cleancut.core.undelete.phases import (
    ATTEMPTS,
    AWAY_S,
    LOOK_S,
    OPEN_BYTES_PER_S,
    RESTARTS,
    SETTLE_S,
    STATE_OF,
    TRANSITIONS,
    CountedPoints,
    CountPoints,
    FindAgents,
    PlannedUndelete,
    PlanUndelete,
    with_points,
)


class UndeleteMachine(LiveAttempt):
    """One machine per leader's term; rebuilt by `TakenOver`, started by `Started`."""

    kind = OperationKind.UNDELETE
    transitions = TRANSITIONS
    state_of = STATE_OF
    counting = frozenset({Phase.APPLY})
    rounds: ClassVar[frozenset[Phase]] = frozenset()
    stages = (PlanUndelete,)

    def reset(self, now_s: float) -> None:
        super().reset(now_s)
        self.away: dict[AgentName, float] = {}
        self.look_at_s = now_s
        self.tokens: dict[AgentName, FencingToken] = {}
        self.restarts: Counter[AgentName] = Counter()

    @property
    def _operation(self) -> Operation:
        assert self.operation is not None
        return self.operation

    def plan(self) -> Effect:
        request = decode(UndeleteRequest, self._operation.request.encode(), "the request")
        members = tuple(sorted(self.members))
        return PlanUndelete(self.ctl.epoch, self._operation.id, request, members)

    def work(self) -> list[Command]:
        return self._settled()

    def compare(self, documents: tuple[tuple[AgentName, str], ...]) -> Effect:
        return CountPoints(self.ctl.epoch, self.ctl.draft)

    def counted(self) -> list[Command]:
        """All shards are applied: what is back is counted. Or, at an early end, all agents have
        settled."""
        if self.busy:
            return []
        if self.ctl.phase is Phase.COUNT:
            return self._settled()
        if yes_of_all(Phase.APPLY, with_tasks(self.members), self.votes) is None:
            return []
        return [*self.move(Phase.COUNT, self.now_s), self.run(self.compare(()))]

    def _settled(self) -> list[Command]:
        waiting = [
            name for name in with_tasks(self.members) if (Phase.COUNT.value, name) not in self.votes
        ]
        overdue = self.now_s >= self.deadline_s
        if self.busy or (self.ctl.failure is not None and waiting and not overdue):
            return []
        return [self.run(self.compare(()))]

    def start_clocks(self, now_s: float) -> None:
        super().start_clocks(now_s)
        self._moves(now_s)
        if self.ctl.phase is Phase.COUNT and self.ctl.failure is not None:
            self.deadline_s = now_s + SETTLE_S

    def answered(self, effect: Effect, result: Any, now_s: float) -> list[Command]:
        match effect:
            case PlanUndelete():
                return self._planned(result, now_s)
            case FindAgents():
                return self._found(result, now_s)
            case CountPoints():
                return self._counted_points(result, now_s)
            case _:
                raise AssertionError(f"unexpected effect: {effect}")

    def _planned(self, planned: PlannedUndelete, now_s: float) -> list[Command]:
        votes = self.agreed()
        if votes is None:
            return []  # something moved meanwhile: planned again once all agree
        self.operation = replace(self._operation, detail=planned.draft)
        return self.give_out(
            Phase.APPLY, planned.tasks, now_s, draft=planned.draft, views=votes[0].view
        )

    def _counted_points(self, counted: CountedPoints, now_s: float) -> list[Command]:
        self.operation = replace(self._operation, detail=counted.report, reached=counted.restored)
        if self.ctl.failure is None:
            return self.move(Phase.IDLE, now_s)
        return self._close(self.ctl.failure)

    # Agents that go and come

    def react(self, event: Event, now_s: float) -> list[Command]:
        if isinstance(event, SessionMoved) and self._restarted(event):
            said = f"agent {event.agent} was restarted {RESTARTS + 1} times"
            hint = "see why it ends, such as for lack of memory for a shard"
            return self.end(Failure(reason="UNAVAILABLE", message=said, hint=hint), now_s)
        if isinstance(event, Progressed | Voted):
            self._moves(now_s)
        applies = self.ctl.phase is Phase.APPLY and not self.taking_over
        if isinstance(event, Tick) and applies and now_s >= self.stalled_s:
            return self.end(self._stalled(), now_s)
        look = isinstance(event, Tick) and self.ctl.phase is Phase.APPLY and not self.busy
        if look and self.look_at_s <= now_s < self.deadline_s:
            self.look_at_s = now_s + LOOK_S
            return [self.run(FindAgents(self.ctl.epoch))]
        return super().react(event, now_s)

    def _moves(self, now_s: float) -> None:
        """Something moves; nothing may for as long as the largest shard takes to be opened."""
        tasks = [task for member in self.members.values() for task in member.tasks]
        largest = max((task.size_bytes for task in tasks), default=0)
        self.stalled_s = now_s + self.ctl.bounds.stalled_s + largest / OPEN_BYTES_PER_S

    def _stalled(self) -> Failure:
        left = [
            name for name in with_tasks(self.members) if (Phase.APPLY.value, name) not in self.votes
        ]
        said = f"no point was looked at or put back for too long by {', '.join(sorted(left))}"
        hint = "see the logs of these agents, and whether their Qdrant answers"
        return Failure(reason="UNAVAILABLE", message=said, hint=hint)

    def _restarted(self, event: SessionMoved) -> bool:
        """True if an agent with shards left does not live long enough for them."""
        agent, member = event.agent, with_tasks(self.members).get(event.agent)
        left = (Phase.APPLY.value, agent) not in self.votes
        if event.token is None or member is None or self.ctl.phase is not Phase.APPLY:
            return False
        if event.token != self.tokens.get(agent, member.session):
            self.tokens[agent] = event.token
            self.restarts[agent] += 1
        return left and not self.taking_over and self.restarts[agent] > RESTARTS

    def _found(self, present: frozenset[AgentName], now_s: float) -> list[Command]:
        """Ends the attempt if an agent with shards left was away for too long."""
        self.tries = 0
        for name in sorted(with_tasks(self.members)):
            if name in present or (Phase.APPLY.value, name) in self.votes:
                self.away.pop(name, None)
            elif now_s - self.away.setdefault(name, now_s) >= AWAY_S:
                message = f"agent {name} has been away for {AWAY_S:g} s"
                return self.end(Failure(reason="UNAVAILABLE", message=message), now_s)
        return self.counted()

    # Early ends

    def end(self, failure: Failure, now_s: float) -> list[Command]:
        match self.ctl.phase:
            case Phase.APPLY:
                self.waiting, self.again = None, None
                self.operation = replace(self._operation, failure=failure)
                moved = self.move(Phase.COUNT, now_s, failure=failure)
                return [*moved, *self._settled()]
            case Phase.COUNT:
                return self._settled()
            case _:
                return self.abort(failure)

    def gave_up(self, effect: Effect, failure: Failure, now_s: float) -> list[Command]:
        if isinstance(effect, CountPoints):
            return self._close(self.ctl.failure or failure)
        return self.end(failure, now_s)

    def abort(self, failure: Failure) -> list[Command]:
        return self._close(failure)

    def _close(self, failure: Failure) -> list[Command]:
        """The attempt has ended; another goes on if it may."""
        operation = self._operation
        if failure.reason == CANCELLED.reason:
            return self.close(State.CANCELED, with_points(operation, CANCELLED))
        if failure.reason not in PERMANENT and operation.attempts < ATTEMPTS:
            return self.close(State.PENDING, failure)
        if operation.reached:
            return self.close(State.FAILED, with_points(operation, failure))
        return self.close(State.ABORTED, failure)
