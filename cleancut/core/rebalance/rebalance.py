"""Coordinator's machine of a rebalance: prepare, count and move, verify.

Each finished step leaves a valid cluster, so nothing is ever undone: a new leader goes on from the
cluster's state, and an early end only aborts the transfers that are under way. No I/O, no clock.
"""

from __future__ import annotations

from dataclasses import replace as with_fields
from typing import Any

from msgspec.structs import replace

from cleancut.core.primitives.codec import decode, digest_of
from cleancut.core.primitives.errors import TimedOut
from cleancut.core.protocol.attempt import Attempt
from cleancut.core.protocol.commands import Command, Persist, Stop
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import Failure, Vote
from cleancut.core.protocol.events import (
    Cancelled,
    Done,
    Event,
    Failed,
    Progressed,
    Seen,
    SessionMoved,
    Started,
    TakenOver,
    Tick,
    Voted,
)
from cleancut.core.protocol.high_water import (
    ReadMarks,
    StoreMarks,
    Takeover,
    gone_back,
    judge_takeover,
)
from cleancut.core.protocol.requests import RebalanceRequest
from cleancut.core.protocol.states import CLOSED, PERMANENT, OperationKind, Phase, State
from cleancut.core.protocol.votes import (
    CANCELLED,
    documents_of,
    no_agent,
    overdue,
    reported_by,
    tasks_of_all,
    verify_bound_s,
    with_tasks,
    yes_of_all,
)
from cleancut.core.rebalance.phases import (
    ATTEMPTS,
    LEADER_CHANGED,
    RETRY_S,
    SESSION_LOST,
    STATE_OF,
    TRANSITIONS,
    TRIES,
    AbortTransfers,
    CompareCounts,
    ComparedCounts,
    MoveShards,
    PlanRebalance,
    ReplicasToCount,
    Report,
)


class RebalanceMachine(Attempt):
    """One machine per leader's term; rebuilt by `TakenOver`, started by `Started`."""

    kind = OperationKind.REBALANCE
    transitions = TRANSITIONS
    state_of = STATE_OF

    def step(self, event: Event, now_s: float) -> list[Command]:
        """The commands that follow from `event`, in order."""
        match event:
            case TakenOver():
                return self._took(event, now_s)
            case Started():
                return self._began(event, now_s)
            case Voted():
                return self._voted(event, now_s)
            case SessionMoved():
                return self._session_moved(event)
            case Progressed():
                return []
            case Cancelled():
                return self._cancelled(now_s)
            case Done():
                return self._done(event, now_s) if event.effect == self.waiting else []
            case Failed():
                return self._failed(event, now_s) if event.effect == self.waiting else []
            case Tick():
                return self._tick(now_s)
            case Seen():
                raise AssertionError("agents read ctl, coordinators write it")

    # Beginning and taking over

    def _began(self, event: Started, now_s: float) -> list[Command]:
        assert self.idle, "an operation began while another holds ctl"
        self.reset(now_s)
        return self.open(event, failure=None, detail="") or self._abort(no_agent(event.problems))

    def _took(self, event: TakenOver, now_s: float) -> list[Command]:
        self.reset(now_s)
        self.ctl, self.operation = event.ctl, event.operation
        self.members, self.votes = dict(event.members), dict(event.votes)
        self.start_clocks(now_s)
        return [] if self.ctl.phase in CLOSED else [self.run(ReadMarks(self.ctl.epoch))]

    def _marks_read(self, marks: StoreMarks, now_s: float) -> list[Command]:
        """Goes on where the cluster stands, unless etcd shows a past."""
        if judge_takeover(self.ctl, marks) is not Takeover.GO_ON:
            return self.close(State.NEEDS_OPERATOR, gone_back(self.ctl, marks))
        self.start_clocks(now_s)
        if self.cancel_asked:
            return self._end(CANCELLED, now_s)
        match self.ctl.phase:
            case Phase.PREPARE:
                return self._abort(LEADER_CHANGED)
            case Phase.MOVE:
                return [self._move()]
            case Phase.COUNT | Phase.VERIFY:
                no = [
                    reported_by(agent, vote.failure)
                    for (phase, agent), vote in sorted(self.votes.items())
                    if phase == self.ctl.phase.value and not vote.yes and self._of_round(vote)
                ]
                return self._end(no[0], now_s) if no else self._counted()
            case Phase.ROLLBACK:
                return [self.run(AbortTransfers(self.ctl.epoch, self.ctl.draft))]
            case _:
                return []

    # Votes

    def _voted(self, event: Voted, now_s: float) -> list[Command]:
        stray = event.epoch != self.ctl.epoch or event.agent not in self.members
        if stray or self.ctl.phase in CLOSED:
            return []
        self.votes[event.phase, event.agent] = event.vote  # of any session: replicas outlive them
        if event.phase != self.ctl.phase.value or self.taking_over:
            return []
        if not self._of_round(event.vote):
            return []
        if not event.vote.yes:
            return self._end(reported_by(event.agent, event.vote.failure), now_s)
        return self._prepared(now_s) if self.ctl.phase is Phase.PREPARE else self._counted()

    def _of_round(self, vote: Vote) -> bool:
        """Each round of COUNT has its own votes: what was counted before says nothing of now."""
        return self.ctl.phase is not Phase.COUNT or vote.ready == self.ctl.cut_at

    def _prepared(self, now_s: float) -> list[Command]:
        if self.agreed() is None or self.busy:
            return []
        assert self.operation is not None
        self.deadline_s = now_s + self.ctl.bounds.create_s
        request = decode(RebalanceRequest, self.operation.request.encode(), "the request")
        return [self.run(PlanRebalance(self.ctl.epoch, self.operation.id, request))]

    def _counted(self) -> list[Command]:
        """All agents have counted what they were given, before a step or after all of them."""
        phase = self.ctl.phase
        if phase not in {Phase.COUNT, Phase.VERIFY} or self.busy:
            return []
        votes = yes_of_all(phase, with_tasks(self.members), self.votes)
        if votes is None or not all(map(self._of_round, votes)):
            return []
        documents = documents_of(self.members, self.votes, phase)
        compare = CompareCounts if phase is Phase.COUNT else Report
        return [self.run(compare(self.ctl.epoch, self.ctl.draft, documents))]

    # Sessions and time

    def _session_moved(self, event: SessionMoved) -> list[Command]:
        member = self.members.get(event.agent)
        if member is None or member.session == event.token or self.taking_over:
            return []
        if self.ctl.phase is not Phase.PREPARE and self.opening is None:
            return []  # Qdrant moves the shards; a restarted agent counts them
        return self._abort(reported_by(event.agent, SESSION_LOST))

    def start_clocks(self, now_s: float) -> None:
        super().start_clocks(now_s)
        if self.ctl.phase in {Phase.COUNT, Phase.VERIFY}:
            self.deadline_s += verify_bound_s(self.members)

    def _tick(self, now_s: float) -> list[Command]:
        if self.again is not None:
            if now_s < self.again_at_s:
                return []
            effect, self.again = self.again, None
            return [self.run(effect)]
        if self.ctl.phase in CLOSED or now_s < self.deadline_s or self.taking_over:
            return []
        waited_for = self.members if self.ctl.phase is Phase.PREPARE else with_tasks(self.members)
        return self._end(overdue(self.ctl.phase, waited_for, self.votes), now_s)

    def _cancelled(self, now_s: float) -> list[Command]:
        if self.opening is not None:
            return self._abort(CANCELLED)
        if self.taking_over:
            self.cancel_asked = True
            return []
        return self._end(CANCELLED, now_s)

    # Answers of effects

    def _done(self, event: Done, now_s: float) -> list[Command]:
        effect, self.waiting = self.waiting, None
        match effect:
            case Probe():
                return self.opened(now_s)
            case ReadMarks():
                return self._marks_read(event.result, now_s)
            case PlanRebalance():
                return self._arranged(event.result, now_s)
            case MoveShards() if isinstance(event.result, ReplicasToCount):
                following = str(int(self.ctl.cut_at or 0) + 1)
                return self._give_out(Phase.COUNT, event.result.tasks, now_s, cut_at=following)
            case MoveShards():
                return self._give_out(Phase.VERIFY, event.result, now_s)
            case CompareCounts():
                return [*self.move(Phase.MOVE, now_s), self._move(event.result)]
            case Report():
                assert self.operation is not None
                self.operation = replace(self.operation, detail=event.result)
                return self.move(Phase.IDLE, now_s)
            case AbortTransfers():
                return self.close(State.ABORTED, self.ctl.failure)
            case _:
                raise AssertionError("an answer to no effect")

    def _arranged(self, draft: str, now_s: float) -> list[Command]:
        votes = self.agreed()
        if votes is None:
            return []  # something moved meanwhile: planned again once all agree
        assert self.operation is not None
        self.operation = replace(self.operation, detail=draft)
        moved = self.move(Phase.MOVE, now_s, draft=draft, views=votes[0].view)
        return [*moved, self._move()]

    def _move(self, compared: ComparedCounts | None = None) -> Command:
        found = compared or ComparedCounts(())
        members = tuple(sorted(self.members))
        return self.run(
            MoveShards(self.ctl.epoch, self.ctl.draft, members, found.agreed, found.differ)
        )

    def _give_out(self, phase: Phase, tasks: Any, now_s: float, **facts: Any) -> list[Command]:
        """`phase` begins, in which the agents count what `tasks` gives them."""
        self.members = {
            name: replace(member, tasks=tasks.get(name, ()), assigned=True)
            for name, member in self.members.items()
        }
        given = {str(name): mine for name, mine in tasks_of_all(self.members).items()}
        self.move(phase, now_s, assigned=digest_of(given), **facts)
        return [Persist(self.ctl, self.operation, dict(self.members)), *self._counted()]

    def _failed(self, event: Failed, now_s: float) -> list[Command]:
        effect, self.waiting = self.waiting, None
        assert effect is not None
        if isinstance(effect, ReadMarks):  # until they are read, nothing may be done
            self.again, self.again_at_s = effect, now_s + RETRY_S
            return []
        self.tries += 1
        final = event.failure.reason in PERMANENT or event.failure.reason == TimedOut.reason
        once = isinstance(effect, Probe | PlanRebalance)  # the whole attempt is repeated instead
        if isinstance(effect, MoveShards):  # what was counted is old by the next try
            effect = with_fields(effect, counted=())
        if not final and not once and self.tries < TRIES:
            self.again, self.again_at_s = effect, now_s + RETRY_S
            return []
        if isinstance(effect, AbortTransfers):
            message = f"a transfer may be under way: {event.failure.message}"
            return self.close(State.NEEDS_OPERATOR, replace(event.failure, message=message))
        return self._end(event.failure, now_s)

    # Early ends

    def _end(self, failure: Failure, now_s: float) -> list[Command]:
        match self.ctl.phase:
            case Phase.MOVE | Phase.COUNT:
                return self._halt(failure, now_s)
            case Phase.VERIFY:
                return self.close(State.ABORTED, failure)
            case Phase.ROLLBACK:
                return []  # it ends by itself
            case _:
                return self._abort(failure)

    def _halt(self, failure: Failure, now_s: float) -> list[Command]:
        """Aborts running transfers; finished steps stay."""
        assert self.operation is not None
        self.waiting, self.again = None, None
        self.operation = replace(self.operation, failure=failure)
        moved = self.move(Phase.ROLLBACK, now_s, failure=failure)
        epoch = self.ctl.epoch
        return [*moved, Stop(epoch), self.run(AbortTransfers(epoch, self.ctl.draft))]

    def _abort(self, failure: Failure) -> list[Command]:
        """Ends the attempt before anything was moved; it is pending again if it can be repeated."""
        assert self.operation is not None
        repeat = failure.reason not in PERMANENT and self.operation.attempts < ATTEMPTS
        return self.close(State.PENDING if repeat else State.ABORTED, failure)
