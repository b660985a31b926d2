"""The coordinator's machine of a restore: prepare, create, recover, verify, publish -- or undo.

Before CREATE nothing is touched; from then on it either comes to its end, or what it made is
dropped again, by whoever leads. Everything a successor needs is in what `Persist` wrote and in the
staged draft, so a crash at any line is just another `TakenOver`. No I/O, no clock.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cleancut.core.primitives.codec import digest_of
from cleancut.core.protocol.commands import Command, Persist
from cleancut.core.protocol.effect_requests import Drain, Drained, Probe
from cleancut.core.protocol.etcd_records import Vote
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
from cleancut.core.protocol.states import CLOSED, Phase, State
from cleancut.core.protocol.votes import (
    CANCELLED,
    NO_AGENT,
    documents_of,
    overdue,
    tasks_of_all,
    told_by,
    with_tasks,
    yes_of_all,
)
from cleancut.core.restore.phases import (
    FOREIGN_WRITES,
    LEADER_CHANGED,
    NEVER_STEADY,
    ROUNDS,
    ROUNDS_MORE,
    SESSION_LOST,
    UNDOABLE,
    CheckRestore,
    Create,
    MarkPublished,
    PublishRestore,
    Review,
    RollBack,
    free_of,
    nobody_wrote,
    started_anew,
)
from cleancut.core.restore.rollback import UndoableAttempt


class RestoreMachine(UndoableAttempt):
    """One machine a leader's term; rebuilt by `TakenOver`, started by `Started`."""

    def step(self, event: Event, now_s: float) -> list[Command]:
        """What to do about `event`, in order."""
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
                self.start_stall(now_s)
                return []
            case Cancelled():
                return self._cancelled(now_s)
            case Done():
                return self._done(event, now_s) if event.effect == self.waiting else []
            case Failed():
                return self.failed(event, now_s) if event.effect == self.waiting else []
            case Tick():
                return self._tick(now_s)
            case Seen():
                raise AssertionError("agents read ctl, coordinators write it")

    # Beginning and taking over

    def _began(self, event: Started, now_s: float) -> list[Command]:
        assert self.idle, "an operation began while another holds ctl"
        self.reset(now_s)
        return self.open(event, failure=None) or self.abort(NO_AGENT)

    def _took(self, event: TakenOver, now_s: float) -> list[Command]:
        self.reset(now_s)
        self.ctl, self.operation = event.ctl, event.operation
        self.members = dict(event.members)
        self.votes = {key: vote for key, vote in event.votes.items() if self._of_round(*key, vote)}
        self.start_clocks(now_s)
        self.start_stall(now_s)
        if self.ctl.phase is Phase.PREPARE:
            return self.abort(LEADER_CHANGED)
        return [] if self.ctl.phase in CLOSED else [self.run(ReadMarks(self.ctl.epoch))]

    def _marks_read(self, marks: StoreMarks, now_s: float) -> list[Command]:
        """The store has the last word on what may be done with an attempt that was taken over."""
        match judge_takeover(self.ctl, marks):
            case Takeover.STOP:
                return self.close(State.NEEDS_OPERATOR, gone_back(self.ctl, marks))
            case Takeover.CLOSE if self.ctl.phase is Phase.PUBLISH:
                return self.move(Phase.IDLE, now_s)
            case Takeover.CLOSE:
                return self.close(State.ROLLED_BACK, self.ctl.failure)
            case Takeover.PUBLISH:
                return self._publish(marks.published, now_s)
            case Takeover.GO_ON:
                return self._resume(now_s)

    def _resume(self, now_s: float) -> list[Command]:
        """Goes on where the predecessor ended."""
        self.start_clocks(now_s)
        self.start_stall(now_s)
        if self.cancel_asked:
            return self._cancelled(now_s)
        for (phase, agent), vote in sorted(self.votes.items()):
            if phase == self.ctl.phase.value and not vote.yes:
                return self.end(told_by(agent, vote.failure), now_s)
        match self.ctl.phase:
            case Phase.CREATE:
                return [self._create()]
            case Phase.RECOVER:
                return self._drained_after(Phase.RECOVER, 1)
            case Phase.VERIFY:  # the second drain may have been sent: a new round begins
                return [self.run(Drain(self.ctl.epoch, self.ctl.draft, 1))]
            case Phase.SEAL:
                return self._sealed(now_s)
            case Phase.PUBLISH:
                return [self.run(PublishRestore(self.ctl.epoch, self.ctl.draft))]
            case Phase.ROLLBACK:
                return [self.run(RollBack(self.ctl.epoch, self.ctl.draft))]
            case _:
                return []

    # Votes

    def _of_round(self, phase: str, _agent: str, vote: Vote) -> bool:
        return phase not in ROUNDS or vote.ready == self.ctl.cut_at

    def _voted(self, event: Voted, now_s: float) -> list[Command]:
        stray = event.epoch != self.ctl.epoch or event.agent not in self.members
        if stray or self.ctl.phase in CLOSED:
            return []
        if not self._of_round(event.phase, event.agent, event.vote):
            return []  # any session will do: a restarted agent goes on with its shards
        self.votes[event.phase, event.agent] = event.vote
        if event.phase != self.ctl.phase.value:
            return []
        self.start_stall(now_s)
        if self.taking_over:
            return []  # counted once the store's marks are read
        if not event.vote.yes:
            return self.end(told_by(event.agent, event.vote.failure), now_s)
        return self._counted(now_s)

    def _counted(self, now_s: float) -> list[Command]:
        match self.ctl.phase:
            case Phase.PREPARE:
                return self._prepared(now_s)
            case Phase.RECOVER:
                return self._drained_after(Phase.RECOVER, 1)
            case Phase.VERIFY:
                return self._drained_after(Phase.VERIFY, 2)
            case Phase.SEAL:
                return self._sealed(now_s)
            case _:
                return []

    def _prepared(self, now_s: float) -> list[Command]:
        if self.agreed() is None or self.busy:
            return []
        free = free_of(self.members, self.votes)
        self.deadline_s = now_s + self.ctl.bounds.verify_s  # a large group has many pages to read
        return [self.run(CheckRestore(self.ctl.epoch, self.request(), free))]

    def _all_told(self, phase: Phase) -> bool:
        """True if everybody with tasks has said yes, and no effect runs or has to be repeated."""
        told = yes_of_all(phase, with_tasks(self.members), self.votes)
        return told is not None and not self.busy

    def _drained_after(self, phase: Phase, round_: int) -> list[Command]:
        if not self._all_told(phase):
            return []
        return [self.run(Drain(self.ctl.epoch, self.ctl.draft, round_))]

    def _sealed(self, now_s: float) -> list[Command]:
        if not self._all_told(Phase.SEAL):
            return []
        if started_anew(self.members, self.votes):
            if self.rounds == ROUNDS_MORE:
                return self.roll_back(NEVER_STEADY, now_s)
            self.rounds, self.deadline_s = self.rounds + 1, now_s + self.ctl.bounds.verify_s
            return self._drained_after(Phase.SEAL, 1)
        if not nobody_wrote(self.members, self.votes):
            return self.roll_back(FOREIGN_WRITES, now_s)
        documents = documents_of(self.members, self.votes)
        return [self.run(Review(self.ctl.epoch, self.ctl.draft, documents))]

    # Sessions and time

    def _session_moved(self, event: SessionMoved) -> list[Command]:
        member = self.members.get(event.agent)
        if member is None or member.session == event.token:
            return []
        if self.ctl.phase is not Phase.PREPARE and self.opening is None:
            return []  # what is recovered stays; whoever comes back goes on
        return self.abort(told_by(event.agent, SESSION_LOST))

    def _tick(self, now_s: float) -> list[Command]:
        if self.again is not None:
            if now_s < self.again_at_s:
                return []
            effect, self.again = self.again, None
            return [self.run(effect)]
        timed = self.ctl.phase in UNDOABLE or self.ctl.phase is Phase.PREPARE
        if not timed or isinstance(self.waiting, ReadMarks | Create | Review | MarkPublished):
            return []  # its bound grows with the number of collections, so the shell sets it
        stalled = self.ctl.phase is Phase.RECOVER and now_s >= self.stalled_s
        if not stalled and now_s < self.deadline_s:
            return []
        waited_for = with_tasks(self.members) or self.members
        return self.end(overdue(self.ctl.phase, waited_for, self.votes), now_s)

    def _cancelled(self, now_s: float) -> list[Command]:
        if self.ctl.phase is Phase.PREPARE or self.opening is not None:
            return self.abort(CANCELLED)
        if self.taking_over:
            self.cancel_asked = True
            return []
        if isinstance(self.waiting or self.again, MarkPublished):
            return []  # it may be marked already
        return self.roll_back(CANCELLED, now_s) if self.ctl.phase in UNDOABLE else []

    # Answers of effects

    def _done(self, event: Done, now_s: float) -> list[Command]:
        effect, self.waiting = self.waiting, None
        match effect:
            case Probe():
                return self.opened(now_s)
            case ReadMarks():
                return self._marks_read(event.result, now_s)
            case CheckRestore():
                return self._checked(event.result, now_s)
            case Create():
                return self._created(event.result, now_s)
            case Drain(round=1):
                return self._begin_round(event.result, now_s)
            case Drain():
                return self.move(Phase.SEAL, now_s)
            case Review():
                return [self.run(MarkPublished(self.ctl.epoch, self.ctl.draft, event.result))]
            case MarkPublished():
                return self._publish(event.result, now_s)
            case PublishRestore():
                return self.move(Phase.IDLE, now_s)
            case RollBack():
                return self.close(State.ROLLED_BACK, self.ctl.failure)
            case _:
                raise AssertionError("an answer that nobody waits for")

    def _checked(self, draft: str, now_s: float) -> list[Command]:
        votes = self.agreed()
        if votes is None:
            return []  # something moved meanwhile: checked anew once all see the same
        moved = self.move(Phase.CREATE, now_s, draft=draft, views=votes[0].view)
        return [*moved, self._create()]

    def _begin_round(self, drained: Drained, now_s: float) -> list[Command]:
        moved = self.move(Phase.VERIFY, now_s, cut_at=drained.at)
        self.votes = {key: vote for key, vote in self.votes.items() if self._of_round(*key, vote)}
        return moved

    def _create(self) -> Command:
        return self.run(Create(self.ctl.epoch, self.ctl.draft, free_of(self.members, self.votes)))

    def _created(self, tasks: Any, now_s: float) -> list[Command]:
        self.members = {
            name: replace(member, tasks=tasks.get(name, ()), assigned=True)
            for name, member in self.members.items()
        }
        assigned = digest_of(
            {str(name): given for name, given in tasks_of_all(self.members).items()}
        )
        self.move(Phase.RECOVER, now_s, assigned=assigned)
        self.start_stall(now_s)
        return [
            Persist(self.ctl, self.operation, dict(self.members)),
            *self._drained_after(Phase.RECOVER, 1),
        ]

    def _publish(self, report: str, now_s: float) -> list[Command]:
        assert self.operation is not None
        self.operation = replace(self.operation, detail=report)
        moved = self.move(Phase.PUBLISH, now_s)
        return [*moved, self.run(PublishRestore(self.ctl.epoch, self.ctl.draft))]
