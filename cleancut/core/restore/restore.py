"""Coordinator's machine of a restore: prepare, create, recover, verify, publish -- or roll back.

Before CREATE nothing is touched; from then on the restore either completes, or the current leader
drops what it created. One with reshards is pending again in between: the attempt after them only
looks at what is there, and publishes. `Persist` and the staged draft hold everything that a
successor needs, so a crash at any line is just another `TakenOver`. No I/O, no clock.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cleancut.core.primitives.codec import decode, digest_of
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import FencingToken, OperationId
from cleancut.core.protocol.commands import Command, Effect, Persist, Stop
from cleancut.core.protocol.effect_requests import Drain, Drained, Probe
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
from cleancut.core.protocol.requests import RestoreRequest
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
from cleancut.core.restore.overwrite import NOT_DECIDED, DrainOld, with_old
from cleancut.core.restore.overwriting import Overwriting
from cleancut.core.restore.phases import (
    ATTEMPTS,
    FOREIGN_WRITES,
    LEADER_CHANGED,
    NEVER_STEADY,
    RETRY_S,
    ROUNDS,
    ROUNDS_MORE,
    SESSION_LOST,
    STATE_OF,
    TRANSITIONS,
    UNDOABLE,
    CheckRestore,
    Create,
    MakeWay,
    MarkPublished,
    PublishRestore,
    Review,
    RollBack,
    TakeUp,
    Tried,
    free_of,
    longest_bound_s,
    may_repeat,
    no_foreign_writes,
    peer_restarted,
    unfinished,
)


class RestoreMachine(Overwriting):
    """One machine per leader's term; rebuilt by `TakenOver`, started by `Started`.

    Before CREATE an attempt is aborted and may be repeated; from then on it is rolled back;
    publishing and rolling back are repeated until they succeed or an operator is needed.
    """

    kind, transitions, state_of = OperationKind.RESTORE, TRANSITIONS, STATE_OF

    def reset(self, now_s: float) -> None:
        """Drops the state that lives in memory only."""
        super().reset(now_s)
        self.rounds = 0

    def request(self) -> RestoreRequest:
        assert self.operation is not None
        return decode(RestoreRequest, self.operation.request.encode(), "the operation's request")

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
        if event.operation.detail:  # agents have done their part
            self.begin(event, failure=None)
            self.members, self.votes = {}, {}
            return self.open_by(event, speaker=FencingToken(0))
        return self.open(event, failure=None) or self.abort(no_agent(event.problems))

    @property
    def _resharded(self) -> bool:
        """True in an attempt that publishes what an earlier one has restored."""
        one = self.operation
        return one is not None and bool(one.detail) and one.detail_at != one.epoch

    def _took(self, event: TakenOver, now_s: float) -> list[Command]:
        self.reset(now_s)
        self.ctl, self.operation = event.ctl, event.operation
        self.members = dict(event.members)
        self.votes = {key: vote for key, vote in event.votes.items() if self._of_round(*key, vote)}
        self.start_clocks(now_s)
        self.start_stall(now_s)
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
        if self.cancel_asked and (commands := self._cancelled(now_s)):
            return commands
        for (phase, agent), vote in sorted(self.votes.items()):
            if phase == self.ctl.phase.value != Phase.PUBLISH.value and not vote.yes:
                return self.end(reported_by(agent, vote.failure), now_s)
        match self.ctl.phase:
            case Phase.PREPARE:
                return self._take_up() if self._resharded else self.abort(LEADER_CHANGED)
            case Phase.CREATE:
                return [self._create()]
            case Phase.RECOVER:
                return self._drained_after(Phase.RECOVER, 1)
            case Phase.VERIFY:  # the second drain may have been sent: a new round begins
                return [self.run(Drain(self.ctl.epoch, self.ctl.draft, 1))]
            case Phase.SEAL:
                return self._sealed(now_s)
            case Phase.STANDSTILL:  # the report is not known here, and the drain is counted
                return self.roll_back(NOT_DECIDED, now_s)
            case Phase.PUBLISH:
                return [self.run(PublishRestore(self.ctl.epoch, self.ctl.draft))]
            case Phase.ROLLBACK:
                return [self.run(RollBack(self.ctl.epoch, self.ctl.draft))]
            case _:
                return []

    # Votes

    def _of_round(self, phase: str, _agent: str, vote: Vote) -> bool:
        if phase == Phase.PUBLISH.value:
            return vote.round == self.ctl.round
        return phase not in ROUNDS or vote.ready == self.ctl.cut_at

    def _voted(self, event: Voted, now_s: float) -> list[Command]:
        stray = event.epoch != self.ctl.epoch or event.agent not in self.members
        if stray or self.ctl.phase in CLOSED:
            return []
        if not self._of_round(event.phase, event.agent, event.vote):
            return []  # any session counts: a restarted agent goes on with its shards
        self.votes[event.phase, event.agent] = event.vote
        if event.phase != self.ctl.phase.value:
            return []
        self.start_stall(now_s)
        if self.taking_over:
            return []  # counted once the store's marks are read
        if not event.vote.yes:
            failure = reported_by(event.agent, event.vote.failure)
            published = self.ctl.phase is Phase.PUBLISH
            return self._unread(failure, now_s) if published else self.end(failure, now_s)
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
            case Phase.STANDSTILL:
                return self._old_read(now_s)
            case Phase.PUBLISH:
                return self._old_read_again(now_s)
            case _:
                return []

    def _prepared(self, now_s: float) -> list[Command]:
        if self.agreed() is None or self.busy:
            return []
        free = free_of(self.members, self.votes)
        self.deadline_s = now_s + self.ctl.bounds.verify_s  # a large group has many pages to read
        return [self.run(CheckRestore(self.ctl.epoch, self.request(), free))]

    def _all_voted(self, phase: Phase) -> bool:
        """True if every member with tasks voted yes, and no effect runs or has to be repeated."""
        votes = yes_of_all(phase, with_tasks(self.members), self.votes)
        return votes is not None and not self.busy

    def _drained_after(self, phase: Phase, round_: int) -> list[Command]:
        if not self._all_voted(phase):
            return []
        return [self.run(Drain(self.ctl.epoch, self.ctl.draft, round_))]

    def _sealed(self, now_s: float) -> list[Command]:
        if not self._all_voted(Phase.SEAL):
            return []
        if peer_restarted(self.members, self.votes):
            if self.rounds == ROUNDS_MORE:
                return self.roll_back(NEVER_STEADY, now_s)
            self.rounds, self.deadline_s = self.rounds + 1, now_s + self.ctl.bounds.verify_s
            return self._drained_after(Phase.SEAL, 1)
        if not no_foreign_writes(self.members, self.votes):
            return self.close(State.NEEDS_OPERATOR, FOREIGN_WRITES)
        documents = documents_of(self.members, self.votes)
        return [self.run(Review(self.ctl.epoch, self.ctl.draft, documents))]

    # An overwrite

    def _reviewed(self, report: str) -> list[Command]:
        """What is restored is whole: it is published, or what it overwrites is looked at before."""
        if self.request().overwrite:
            self.report = report
            return [self.run(DrainOld(self.ctl.epoch, self.ctl.draft))]
        if self.request().shards and not self._resharded:
            return [self.run(MakeWay(self.ctl.epoch, self.ctl.draft, report))]
        return [self.run(MarkPublished(self.ctl.epoch, self.ctl.draft, report))]

    # A restore with reshards

    def _made_way(self, effect: MakeWay, last: OperationId, now_s: float) -> list[Command]:
        """The reshards get their turns, and the rest of this restore one after the last of them."""
        assert self.operation is not None
        if not last:
            return [self.run(MarkPublished(effect.epoch, effect.draft, effect.report))]
        self.move(Phase.IDLE, now_s)
        self.operation = replace(
            self.operation,
            state=State.PENDING,
            detail=effect.report,
            detail_epoch=effect.epoch,
            after=last,
            attempts=0,
        )
        return [Persist(self.ctl, self.operation)]

    def _take_up(self) -> list[Command]:
        assert self.operation is not None
        before = self.operation.detail_at, self.operation.detail
        return [self.run(TakeUp(self.ctl.epoch, before))]

    def _taken_up(self, draft: str, now_s: float) -> list[Command]:
        assert self.operation is not None
        self.ctl = replace(self.ctl, draft=draft)
        if self.operation.cancelled:
            return self.roll_back(CANCELLED, now_s)
        return [*self.move(Phase.SEAL, now_s), *self._sealed(now_s)]

    # Sessions and time

    def start_clocks(self, now_s: float) -> None:
        super().start_clocks(now_s)
        if self.ctl.phase is Phase.VERIFY:
            self.deadline_s += verify_bound_s(self.members)

    def start_stall(self, now_s: float) -> None:
        """While Qdrant loads a shard no bytes move, for as long as the largest may take."""
        self.stalled_s = now_s + self.ctl.bounds.stalled_s + longest_bound_s(self.members)

    def _session_moved(self, event: SessionMoved) -> list[Command]:
        member = self.members.get(event.agent)
        if member is None or member.session == event.token or self.taking_over:
            return []
        if self.ctl.phase is not Phase.PREPARE and self.opening is None:
            return []  # recovered shards stay; a restarted agent goes on
        return self.abort(reported_by(event.agent, SESSION_LOST))

    def _tick(self, now_s: float) -> list[Command]:
        if self.again is not None:
            if now_s < self.again_at_s:
                return []
            effect, self.again = self.again, None
            return [self.run(effect)]
        if self.ctl.phase is Phase.PUBLISH and not self.busy and now_s >= self.deadline_s:
            return self._unread(overdue(Phase.PUBLISH, with_old(self.members), self.votes), now_s)
        timed = self.ctl.phase in UNDOABLE or self.ctl.phase is Phase.PREPARE
        bounded = ReadMarks | Create | Review | DrainOld | MakeWay | TakeUp | MarkPublished
        if not timed or isinstance(self.waiting, bounded):
            return []  # its bound grows with the number of collections, so the shell sets it
        if isinstance(self.waiting, CheckRestore) and self.waiting.request.target is not None:
            return []  # it reads all entries that are to be replayed
        stalled = self.ctl.phase is Phase.RECOVER and now_s >= self.stalled_s
        if not stalled and now_s < self.deadline_s:
            return []
        still = self.ctl.phase is Phase.STANDSTILL
        waited_for = (with_old if still else with_tasks)(self.members) or self.members
        return self.end(overdue(self.ctl.phase, waited_for, self.votes), now_s)

    def _cancelled(self, now_s: float) -> list[Command]:
        if self.taking_over:
            self.cancel_asked = True
            return []
        if self.ctl.phase is Phase.PREPARE or self.opening is not None:
            return self._cancel_later() if self._resharded else self.abort(CANCELLED)
        if isinstance(self.waiting or self.again, MarkPublished):
            return []  # it may be marked already
        return self.roll_back(CANCELLED, now_s) if self.ctl.phase in UNDOABLE else []

    def _cancel_later(self) -> list[Command]:
        """It is rolled back once what it restored is known again."""
        assert self.operation is not None
        self.operation = replace(self.operation, cancelled=True)
        again = [] if self.busy else self._take_up()
        return [Persist(operation=self.operation), *again]

    # Answers of effects

    def _done(self, event: Done, now_s: float) -> list[Command]:
        effect, self.waiting = self.waiting, None
        match effect:
            case Probe():
                return [*self.opened(now_s), *(self._take_up() if self._resharded else ())]
            case ReadMarks():
                return self._marks_read(event.result, now_s)
            case CheckRestore():
                return self._checked(event.result, now_s)
            case Create():
                return self._created(event.result, now_s)
            case Drain(round=1):
                return self._begin_round(event.result, now_s)
            case Drain():
                return [*self.move(Phase.SEAL, now_s), *self._sealed(now_s)]
            case Review():
                return self._reviewed(event.result)
            case DrainOld():
                return self._old_drained(event.result, now_s)
            case _:
                return self._done_last(effect, event.result, now_s)

    def _done_last(self, effect: Effect | None, result: Any, now_s: float) -> list[Command]:
        match effect:
            case MakeWay():
                return self._made_way(effect, result, now_s)
            case TakeUp():
                return self._taken_up(result, now_s)
            case MarkPublished():
                return self._publish(result, now_s)
            case PublishRestore():
                unread = result is False
                return self._read_again(now_s) if unread else self.move(Phase.IDLE, now_s)
            case RollBack():
                return self.close(State.ROLLED_BACK, self.ctl.failure)
            case _:
                raise AssertionError("an answer to no effect")

    def _checked(self, draft: str, now_s: float) -> list[Command]:
        votes = self.agreed()
        if votes is None:
            return []  # something moved meanwhile: checked again once all agree
        moved = self.move(Phase.CREATE, now_s, draft=draft, views=votes[0].view)
        return [*moved, self._create()]

    def _begin_round(self, drained: Drained, now_s: float) -> list[Command]:
        moved = self.move(Phase.VERIFY, now_s, cut_at=drained.at)
        self.votes = {key: vote for key, vote in self.votes.items() if self._of_round(*key, vote)}
        return [*moved, *self._drained_after(Phase.VERIFY, 2)]  # at once, if there are no shards

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
        self.operation = replace(self.operation, detail=report, detail_epoch=self.ctl.epoch)
        moved = self.move(Phase.PUBLISH, now_s)
        return [*moved, self.run(PublishRestore(self.ctl.epoch, self.ctl.draft))]

    def failed(self, event: Failed, now_s: float) -> list[Command]:
        """The commands that follow from the failure of the awaited effect."""
        effect, self.waiting = self.waiting, None
        assert effect is not None
        self.tries += 1
        tried = Tried(self.tries, now_s - self.phase_began_s, resharded=self._resharded)
        if may_repeat(effect, event.failure, tried, self.ctl.bounds.stalled_s):
            if isinstance(effect, PublishRestore):
                effect = PublishRestore(effect.epoch, effect.draft)  # its reading is old by then
            self.again, self.again_at_s = effect, now_s + RETRY_S
            return []
        if isinstance(effect, MakeWay | TakeUp | MarkPublished | PublishRestore | RollBack):
            return self.close(State.NEEDS_OPERATOR, unfinished(self.ctl, event.failure))
        return self.end(event.failure, now_s)

    # The end of an attempt

    def end(self, failure: Failure, now_s: float) -> list[Command]:
        if self._resharded and self.ctl.phase is Phase.SEAL:
            return self.close(State.NEEDS_OPERATOR, unfinished(self.ctl, failure))
        undo = self.ctl.phase in UNDOABLE
        return self.roll_back(failure, now_s) if undo else self.abort(failure)

    def roll_back(self, failure: Failure, now_s: float) -> list[Command]:
        """Drops what was created, however long it takes; the cause is kept."""
        assert self.operation is not None
        self.waiting, self.again = None, None
        self.operation = replace(self.operation, failure=failure)
        moved = self.move(Phase.ROLLBACK, now_s, failure=failure)
        return [*moved, Stop(self.ctl.epoch), self.run(RollBack(self.ctl.epoch, self.ctl.draft))]

    def abort(self, failure: Failure) -> list[Command]:
        """Ends the attempt before anything was touched. It is pending again, as a new epoch, if it
        can be repeated."""
        assert self.operation is not None
        if self._resharded:
            over = self.operation.attempts >= ATTEMPTS
            state = State.NEEDS_OPERATOR if over else State.PENDING
            return self.close(state, unfinished(self.ctl, failure))
        final = failure.reason in PERMANENT or failure.reason == Corrupt.reason  # it stays broken
        repeat = not final and self.operation.attempts < ATTEMPTS
        return self.close(State.PENDING if repeat else State.ABORTED, failure)
