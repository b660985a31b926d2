"""Live attempt: the common part of the machines that change a live cluster step by step.

Qdrant holds what such an operation has done, so a new leader goes on from there, and agents only
answer with what they found. Machines say what they run, and how they end early.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec.structs import replace

from cleancut.core.primitives.codec import digest_of
from cleancut.core.primitives.errors import TimedOut
from cleancut.core.primitives.ids import AgentName
from cleancut.core.protocol.attempt import Attempt
from cleancut.core.protocol.commands import Command, Effect, Persist, Stop
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import Failure, ShardTask, Vote
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
from cleancut.core.protocol.states import CLOSED, PERMANENT, Phase, State
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

RETRY_S = 2.0
TRIES = 10
"""Tries of a repeatable effect before the attempt ends."""
LEADER_CHANGED = Failure(
    reason="UNAVAILABLE", message="the leading coordinator changed before anything was moved"
)
SESSION_LOST = Failure(reason="UNAVAILABLE", message="lost its session before anything was moved")


class LiveAttempt(Attempt):
    """One machine per leader's term; rebuilt by `TakenOver`, started by `Started`."""

    counting: ClassVar[frozenset[Phase]]
    """Phases in which agents look at what they were given, and vote with what they found."""
    rounds: ClassVar[frozenset[Phase]]
    """Those of them that come more than once: what was found before says nothing of now."""
    stages: ClassVar[tuple[type[Any], ...]]
    """Effects that an attempt runs once."""

    # What each machine defines

    @abstractmethod
    def plan(self) -> Effect:
        """What all agents agree on one view for."""

    @abstractmethod
    def work(self) -> list[Command]:
        """The work of the present phase from its beginning, but of `PREPARE` and `counting`."""

    @abstractmethod
    def compare(self, documents: tuple[tuple[AgentName, str], ...]) -> Effect:
        """What all agents' documents of the present phase are for."""

    @abstractmethod
    def answered(self, effect: Effect, result: Any, now_s: float) -> list[Command]:
        """Reaction to the result of an effect that the machine ran itself."""

    @abstractmethod
    def end(self, failure: Failure, now_s: float) -> list[Command]:
        """The early end that the present phase allows."""

    @abstractmethod
    def abort(self, failure: Failure) -> list[Command]:
        """The early end before anything was changed."""

    def gave_up(self, effect: Effect, failure: Failure, now_s: float) -> list[Command]:
        """Reaction to the last failure of an effect."""
        return self.end(failure, now_s)

    def halt(self, failure: Failure, effect: Effect, now_s: float) -> list[Command]:
        """ROLLBACK begins: whatever runs is stopped, and `effect` ends what it has begun."""
        assert self.operation is not None
        self.waiting, self.again = None, None
        self.operation = replace(self.operation, failure=failure)
        moved = self.move(Phase.ROLLBACK, now_s, failure=failure)
        return [*moved, Stop(self.ctl.epoch), self.run(effect)]

    def once(self, effect: Effect) -> bool:
        """True if the effect is not repeated alone: the whole attempt is instead."""
        return isinstance(effect, (Probe, *self.stages))

    def repeated(self, effect: Effect) -> Effect:
        """`effect`, as it is tried again."""
        return effect

    # Events

    def react(self, event: Event, now_s: float) -> list[Command]:
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
        return self.open(event, failure=None, **self.fresh()) or self.abort(
            no_agent(event.problems)
        )

    def fresh(self) -> dict[str, Any]:
        """What an attempt sets in its operation's record when it begins."""
        return {"detail": ""}

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
        asked = self.end(CANCELLED, now_s) if self.cancel_asked else []
        if self.busy or self.ctl.phase in CLOSED:
            return asked
        return [*asked, *self._go_on(now_s)]

    def _go_on(self, now_s: float) -> list[Command]:
        if self.ctl.phase is Phase.PREPARE:
            return self.abort(LEADER_CHANGED)
        if self.ctl.phase not in self.counting:
            return self.work()
        no = [
            reported_by(agent, vote.failure)
            for (phase, agent), vote in sorted(self.votes.items())
            if phase == self.ctl.phase.value and not vote.yes and self._of_round(vote)
        ]
        return self.end(no[0], now_s) if no else self.counted()

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
            return self.end(reported_by(event.agent, event.vote.failure), now_s)
        return self._prepared(now_s) if self.ctl.phase is Phase.PREPARE else self.counted()

    def _of_round(self, vote: Vote) -> bool:
        return self.ctl.phase not in self.rounds or vote.ready == self.ctl.cut_at

    def _prepared(self, now_s: float) -> list[Command]:
        if self.agreed() is None or self.busy:
            return []
        self.deadline_s = now_s + self.ctl.bounds.create_s
        return [self.run(self.plan())]

    def planned(self, now_s: float, draft: str, **facts: Any) -> list[Command]:
        """The draft is staged: MOVE begins, and its work. [], if something moved meanwhile: planned
        again once all agree."""
        votes = self.agreed()
        if votes is None:
            return []
        assert self.operation is not None
        self.operation = replace(self.operation, detail=draft)
        moved = self.move(Phase.MOVE, now_s, draft=draft, views=votes[0].view, **facts)
        return [*moved, *self.work()]

    def counted(self) -> list[Command]:
        """All agents have answered what they were given: their documents are looked at."""
        phase = self.ctl.phase
        if phase not in self.counting or self.busy:
            return []
        votes = yes_of_all(phase, with_tasks(self.members), self.votes)
        if votes is None or not all(map(self._of_round, votes)):
            return []
        return [self.run(self.compare(documents_of(self.members, self.votes, phase)))]

    def give_out(
        self,
        phase: Phase,
        tasks: Mapping[AgentName, tuple[ShardTask, ...]],
        now_s: float,
        **facts: Any,
    ) -> list[Command]:
        """`phase` begins, in which the agents look at what `tasks` gives them."""
        self.members = {
            name: replace(member, tasks=tasks.get(name, ()), assigned=True)
            for name, member in self.members.items()
        }
        given = {str(name): mine for name, mine in tasks_of_all(self.members).items()}
        self.move(phase, now_s, assigned=digest_of(given), **facts)
        return [Persist(self.ctl, self.operation, dict(self.members)), *self.counted()]

    @property
    def next_round(self) -> str:
        """The name of the round after the present one."""
        return str(int(self.ctl.cut_at or 0) + 1)

    # Sessions and time

    def _session_moved(self, event: SessionMoved) -> list[Command]:
        member = self.members.get(event.agent)
        if member is None or member.session == event.token or self.taking_over:
            return []
        if self.ctl.phase is not Phase.PREPARE and self.opening is None:
            return []  # Qdrant moves the data; a restarted agent looks at it
        return self.abort(reported_by(event.agent, SESSION_LOST))

    def start_clocks(self, now_s: float) -> None:
        super().start_clocks(now_s)
        if self.ctl.phase in self.counting:
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
        return self.end(overdue(self.ctl.phase, waited_for, self.votes), now_s)

    def _cancelled(self, now_s: float) -> list[Command]:
        if self.opening is not None:
            return self.abort(CANCELLED)
        if self.taking_over:
            self.cancel_asked = True
            return []
        return self.end(CANCELLED, now_s)

    # Answers of effects

    def _done(self, event: Done, now_s: float) -> list[Command]:
        effect, self.waiting = self.waiting, None
        match effect:
            case Probe():
                return self.opened(now_s)
            case ReadMarks():
                return self._marks_read(event.result, now_s)
            case None:
                raise AssertionError("an answer to no effect")
            case _:
                return self.answered(effect, event.result, now_s)

    def _failed(self, event: Failed, now_s: float) -> list[Command]:
        effect, self.waiting = self.waiting, None
        assert effect is not None
        if isinstance(effect, ReadMarks):  # until they are read, nothing may be done
            self.again, self.again_at_s = effect, now_s + RETRY_S
            return []
        self.tries += 1
        final = event.failure.reason in PERMANENT or event.failure.reason == TimedOut.reason
        if not final and not self.once(effect) and self.tries < TRIES:
            self.again, self.again_at_s = self.repeated(effect), now_s + RETRY_S
            return []
        return self.gave_up(effect, event.failure, now_s)
